import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { hex } from '@veritee/protocol';
import { afterEach, expect, test, vi } from 'vitest';
import { openArchive } from '../../archive/index.ts';
import { httpSource } from '../../archive/ingest/index.ts';
import { type ArchiveIngestOptions, archiveIngest } from '../../cli/commands/archive-ingest.ts';
import { exitOfError } from '../../cli/exit.ts';
import { entryRecord, hostOf, openStore } from '../host/support.ts';
import { strictPolicy } from '../support/policies.ts';
import { type Grown, grow, tempFolder } from './memory-source.ts';

afterEach(() => vi.restoreAllMocks());

/** A real host whose store holds this log; its enclave is gone. */
async function served({ enclave, ticks }: Grown) {
  const store = openStore();
  const boot = /veritee\/([0-9a-f]{32})/.exec(ticks[0]!.evidence.checkpoint)![1]!;
  await store.startBoot(boot, 'test');
  await store.append(boot, enclave.log.entries.map(entryRecord));
  for (const { file } of ticks) await store.append(boot, [{ type: 'evidence', bytes: file }]);
  const host = await hostOf({ address: { kind: 'tcp', host: '127.0.0.1', port: 9 } as never }, { store });
  return { boot, host, store };
}

async function run(options: Partial<ArchiveIngestOptions>, folders: readonly string[] = []) {
  const out: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0);
  const status = await archiveIngest(folders, {
    ...{ archive: tempFolder(), trustAnchor: [], endorsement: [], crl: [], class: 'standard', expectBoot: [] },
    ...{ database: 'sqlite', blobs: 'folder', writeOnce: false, json: true },
    ...options,
  }).finally(() => vi.restoreAllMocks());
  return { status, json: JSON.parse(out.join('')) };
}

function filesOf(tick: { readonly root: Uint8Array }, policy: object = strictPolicy()) {
  const folder = tempFolder();
  const [policyFile, anchor] = [path.join(folder, 'policy.json'), path.join(folder, 'root.der')];
  writeFileSync(policyFile, JSON.stringify(policy));
  writeFileSync(anchor, tick.root);
  return { policy: policyFile, trustAnchor: [anchor] };
}

test('a whole log over HTTP, twice; the command says what it did', async () => {
  const grown = await grow([3, 520, 2]);
  const { boot, host } = await served(grown);
  const archive = tempFolder();
  const flags = { archive, url: `${host.url}/`, ...filesOf(grown.ticks[0]!), tenant: 'acme' };
  const first = await run(flags);
  expect(first.status).toBe(0);
  expect(first.json).toMatchObject({ entries: 526, evidence: 3, boots: 1, findings: [] });
  const again = await run(flags);
  expect(again).toMatchObject({ status: 0, json: { entries: 0, evidence: 0, head: first.json.head } });
  const opened = await openArchive({ folder: archive, mode: 'read' });
  expect(await opened.store.boot(boot)).toMatchObject({ source: host.url, head: { size: 526 } });
  expect(await opened.store.countStatements({ tenant: 'acme' })).toBe(525);
  expect((await opened.store.actsOf('policy')).length).toBe(1);
  await opened.close();
  const { policy } = filesOf(grown.ticks[0]!, strictPolicy({ deniedMeasurements: ['5a'.repeat(48)] }));
  await grow([1], grown);
  const next = await served(grown);
  const refused = await run({ ...flags, policy, url: next.host.url });
  expect(refused.status).toBe(1);
  expect(refused.json.findings.map(({ code }: { code: string }) => code)).toEqual(['EVIDENCE_REFUSED']);
});

test('what is missing from the service is said', async () => {
  const grown = await grow([1]);
  const { host } = await served(grown);
  const gone = 'ab'.repeat(16);
  const { status, json } = await run({ url: host.url, ...filesOf(grown.ticks[0]!), expectBoot: [gone] });
  expect(status).toBe(0); // worth knowing, and no proof of wrong
  expect(json.findings).toMatchObject([{ code: 'BOOT_MISSING', boot: gone, severity: 'warning' }]);
});

test('evidence by its REPORT_DATA, and none of another boot', async () => {
  const grown = await grow([1, 1]);
  const { boot, host } = await served(grown);
  const previous = grown.ticks[1]!.evidence.previousReportData!;
  const source = httpSource(host.url);
  expect(await source.evidence(boot, previous)).toEqual(grown.ticks[0]!.file);
  expect(await source.evidence(boot, null)).toEqual(grown.ticks[1]!.file);
  expect(await source.evidence(boot, new Uint8Array(64))).toBeNull();
  for (const [name, status] of [
    [hex(previous).toUpperCase(), 400],
    ['00', 400],
  ] as const) {
    expect((await fetch(`${host.url}/log/${boot}/evidence/${name}`)).status).toBe(status);
  }
  expect((await fetch(`${host.url}/log/${'00'.repeat(16)}/evidence`)).status).toBe(404);
});

test('a mistake in the flags makes no archive; a service that is not there is unreachable', async () => {
  const grown = await grow([1]);
  const files = filesOf(grown.ticks[0]!);
  const statusOf = async (options: Partial<ArchiveIngestOptions>, folders: readonly string[] = []) => {
    try {
      return (await run(options, folders)).status;
    } catch (error) {
      return exitOfError(error);
    }
  };
  expect(await statusOf(files)).toBe(2);
  expect(await statusOf({ ...files, url: 'ftp://x' })).toBe(2);
  expect(await statusOf({ url: 'http://127.0.0.1:9' })).toBe(2); // no policy
  expect(await statusOf({ ...files, url: 'http://127.0.0.1:9', expectBoot: ['x'] })).toBe(2);
  expect(await statusOf({ ...files, url: 'http://127.0.0.1:9', database: 'mysql://' })).toBe(2);
  expect(await statusOf({ ...files, url: 'http://127.0.0.1:9' })).toBe(3);
  expect(await statusOf(files, [path.join(tempFolder(), 'none')])).toBe(2);
});

test('answers that are larger than they may be, or of another form, are refused', async () => {
  const answering = (body: string | Uint8Array<ArrayBuffer>, status = 200) =>
    httpSource('http://x', { fetch: async () => new Response(body, { status }) });
  const boot = 'ab'.repeat(16);
  await expect(answering(new Uint8Array(256 * 32 + 1)).tile(boot, 0, 0, 256)).rejects.toMatchObject({
    code: 'SERVICE_ANSWER_INVALID',
  });
  for (const bad of ['{', '[]', '{"boots":[{}]}', `{"boots":[{"boot":"${boot}","ended":1,"size":1,"committed":1}]}`]) {
    await expect(answering(bad).boots()).rejects.toMatchObject({ code: 'SERVICE_ANSWER_INVALID' });
  }
  await expect(answering('', 403).tile(boot, null, 0, 1)).rejects.toMatchObject({ code: 'SERVICE_REFUSED' });
  await expect(answering('', 404).boots()).rejects.toMatchObject({ code: 'SERVICE_REFUSED' });
});
