import { leafHash, rootFromInclusion } from '@veritee/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkCompleteness, openArchive, proveInclusion, settingsOf } from '../../archive/index.ts';
import { ingestService } from '../../archive/ingest/index.ts';
import { openPostgres } from '../../archive/store/postgres.ts';
import { SqlStore } from '../../archive/store/store.ts';
import { AT } from '../support/mini-enclave.ts';
import { type Postgres, query, startPostgres } from '../support/postgres.ts';
import { appraiser, grow, MemorySource, tempFolder } from './memory-source.ts';
import { storeContract } from './store-contract.ts';

let server: Postgres | null = null;
const schemas = new Map<string, string>();

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

async function urlOf(running: Postgres, name: string): Promise<string> {
  const known = schemas.get(name) ?? (await running.newSchema());
  schemas.set(name, known);
  return known;
}

storeContract('PostgreSQL', async () => {
  const running = server;
  if (!running) return null;
  return {
    open: async (name, mode = 'write') => new SqlStore(await openPostgres(await urlOf(running, name), { mode })),
  };
});

test('a whole archive over it: ingest, reopening, a database of another archive', async ({ skip }) => {
  if (!server) return skip('no PostgreSQL can be had here');
  const create = settingsOf(await urlOf(server, 'archive'), 'folder', false);
  const folder = tempFolder();
  const open = (at: string) =>
    openArchive({ folder: at, mode: 'write' }, { create, now: () => AT.getTime(), by: 'test' });
  const grown = await grow([2, 300]);
  const source = new MemorySource();
  const { boot } = await source.show(grown.enclave, grown.ticks);
  const archive = await open(folder);
  const filing = { tenant: null, retentionClass: 'standard' };
  const done = await ingestService(archive, source, {
    ...filing,
    appraiser: await appraiser(archive.blobs, grown.ticks[0]!),
  });
  expect(done).toMatchObject({ entries: 303, evidence: 2, findings: [] });
  await archive.record([{ kind: 'release', hold: 'h', reason: 'r' }], (act) => ({
    purge: { places: [{ boot, index: 1 }], act },
  }));
  await archive.close();
  const again = await open(folder);
  const path = await proveInclusion(again.store, boot, 1, 303);
  const leaf = leafHash(grown.enclave.log.entries[1]!);
  expect(rootFromInclusion(leaf, 1, 303, path)).toEqual(grown.enclave.log.root());
  expect(await again.store.countStatements({ boot })).toBe(301);
  for await (const one of checkCompleteness(again.store)) expect(one).toBeNull();
  await expect(again.store.backup('x')).rejects.toMatchObject({ code: 'STORE_FAILED' });
  await again.close();
  await expect(open(tempFolder())).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
});

test('one writer; a store of a later release is refused', async ({ skip }) => {
  if (!server) return skip('no PostgreSQL can be had here');
  const url = await urlOf(server, 'writers');
  const other = await urlOf(server, 'others');
  const first = await openPostgres(url, { mode: 'write' });
  await expect(openPostgres(url, { mode: 'write' })).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
  await (await openPostgres(other, { mode: 'write' })).close();
  await (await openPostgres(url, { mode: 'read' })).close();
  await first.close();
  await (await openPostgres(url, { mode: 'write' })).close();
  await query(url, 'UPDATE schema_version SET version = 99');
  for (const mode of ['write', 'read'] as const) {
    await expect(openPostgres(url, { mode })).rejects.toMatchObject({ code: 'STORE_NEWER' });
  }
});
