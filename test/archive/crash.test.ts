import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { leafHash } from '@veritee/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Archive, audit, checkCompleteness, openArchive, parseAct, putTogether } from '../../archive/index.ts';
import { ingestService } from '../../archive/ingest/index.ts';
import { bundle, removeBundles } from '../host/bundle.ts';
import { AT } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { appraiser, type Grown, grow, MemorySource, tempFolder } from './memory-source.ts';
import { encodeShown } from './shown-logs.ts';

const NOW = AT.getTime();
const LANES = 2;
let child: string;
let grown: Grown;
let source: MemorySource;
const files = { logs: '', policy: '', anchor: '' };

afterAll(removeBundles);
beforeAll(async () => {
  child = path.join(await bundle('test/archive/crash-child.ts'), 'crash-child.js');
  grown = await grow([3, 260, 2]);
  source = new MemorySource();
  await source.show(grown.enclave, grown.ticks);
  const folder = tempFolder();
  for (const name of ['logs', 'policy', 'anchor'] as const) files[name] = path.join(folder, name);
  writeFileSync(files.logs, encodeShown(source.shown));
  writeFileSync(files.policy, JSON.stringify(strictPolicy()));
  writeFileSync(files.anchor, grown.ticks[0]!.root);
});

/** @returns the steps it took, or null when it was killed */
function run(folder: string, at: number, purge = ''): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const args = [child, folder, files.logs, files.policy, files.anchor, String(NOW), String(at), purge];
    const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    process_.stdout.on('data', (text) => (out += text));
    process_.stderr.on('data', (text) => (err += text));
    process_.once('close', (status, signal) => {
      if (signal === 'SIGKILL') resolve(null);
      else if (status === 0) resolve(Number(out));
      else reject(new Error(`step ${at}: status ${status}\n${err}`));
    });
  });
}

async function eachStep(steps: number, check: (step: number) => Promise<void>): Promise<void> {
  let next = 1;
  const lane = async () => {
    while (next <= steps) await check(next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Everything that must hold whatever happened to the writer; opening it has verified its own log against its head. */
async function expectWhole(archive: Archive): Promise<void> {
  const { store, blobs } = archive;
  for await (const one of checkCompleteness(store)) expect(one).toBeNull();
  expect(await store.findings()).toEqual([]);
  const acts = (await store.acts(0, 1000)).map(({ cose }) => parseAct(cose).act);
  for (const { boot, head } of await store.boots()) {
    const entries = await store.entries({ boot, from: 0, to: 1000 });
    expect(entries).toHaveLength(head!.size);
    for (const { index, leaf, cose } of entries) {
      expect(leaf).toEqual(Buffer.from(leafHash(grown.enclave.log.entries[index]!)));
      if (cose) expect(cose).toEqual(Buffer.from(grown.enclave.log.entries[index]!));
    }
    const evidence = await store.evidenceOf(boot, 0, 100);
    const said = acts.flatMap((act) => (act.kind === 'ingest' ? [Buffer.from(act.reportData).toString('hex')] : []));
    expect(evidence.map(({ reportData }) => Buffer.from(reportData).toString('hex'))).toEqual(said);
    for (const [i, one] of evidence.entries()) {
      expect(Buffer.from(await putTogether(one, blobs))).toEqual(Buffer.from(grown.ticks[i]!.file));
      for (const digest of [one.appraisal.policy, ...one.appraisal.anchors])
        expect(await blobs.get(digest)).not.toBeNull();
    }
  }
}

test('killed before every step of an ingest: nothing is lost, nothing half-written', { timeout: 900_000 }, async () => {
  const whole = tempFolder();
  const steps = (await run(whole, 0))!;
  expect(steps).toBeGreaterThan(40);
  await eachStep(steps, async (step) => {
    const folder = tempFolder();
    expect(await run(folder, step)).toBeNull();
    const archive = await openArchive({ folder, mode: 'write' }, { now: () => NOW, by: 'test' });
    await expectWhole(archive);
    // Blobs are put before the rows that name them.
    const { verdict, findings } = await audit(archive);
    expect([verdict, ...findings.map(({ code }) => code).filter((code) => code !== 'BLOB_UNUSED')]).toEqual(['intact']);
    await ingestService(archive, source, {
      ...{ tenant: 'acme', retentionClass: 'standard' },
      appraiser: await appraiser(archive.blobs, grown.ticks[0]!),
    });
    await expectWhole(archive);
    expect(await audit(archive)).toMatchObject({ verdict: 'intact', findings: [] });
    expect((await archive.store.boots()).map(({ head }) => head?.size)).toEqual([266]);
    expect(await archive.store.countStatements({ tenant: 'acme' })).toBe(265);
    await archive.close();
    if (existsSync(path.join(folder, 'blobs/unfinished')))
      expect(readdirSync(path.join(folder, 'blobs/unfinished'))).toEqual([]);
  });
});

test('killed before every step of a purge: done or not done', { timeout: 900_000 }, async () => {
  const before = tempFolder();
  await run(before, 0);
  const copy = () => {
    const folder = path.join(tempFolder(), 'copy');
    mkdirSync(folder);
    cpSync(before, folder, { recursive: true });
    return folder;
  };
  const steps = (await run(copy(), 0, 'purge'))!;
  const outcomes = new Set<string>();
  await eachStep(steps, async (step) => {
    const folder = copy();
    expect(await run(folder, step, 'purge')).toBeNull();
    const archive = await openArchive({ folder, mode: 'write' }, { now: () => NOW, by: 'test' });
    await expectWhole(archive);
    const { boot } = (await archive.store.boots())[0]!;
    const erased = (await archive.store.entries({ boot, from: 1, to: 3 })).map(({ purge }) => purge);
    const acts = await archive.store.actsOf('retention');
    outcomes.add(JSON.stringify(erased));
    expect(erased).toEqual(acts.length === 0 ? [null, null] : [acts[0]!.index, acts[0]!.index]);
    expect(await archive.store.countStatements({})).toBe(acts.length === 0 ? 265 : 263);
    await archive.close();
  });
  expect(outcomes.size).toBe(2);
});
