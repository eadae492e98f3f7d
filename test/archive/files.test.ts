import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { hex, leafHash, type Receipt, rootFromInclusion } from '@veritee/protocol';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Archive, checkCompleteness, openArchive, parseAct } from '../../archive/index.ts';
import { ingestFolder, ingestService } from '../../archive/ingest/index.ts';
import { type Answer, AT, MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { appraiser, codesOf, grow, MemorySource, tempFolder } from './memory-source.ts';

const NOW = AT.getTime();
const FILING = { tenant: 'acme', retentionClass: 'standard' };
let archive: Archive;
let folder: string;
let enclave: MiniEnclave;

beforeEach(async () => {
  folder = tempFolder();
  enclave = new MiniEnclave();
  archive = await openArchive({ folder: tempFolder(), mode: 'write' }, { now: () => NOW, by: 'test' });
  return () => archive.close();
});

/** As the client keeps a receipt. */
function keep(answer: Answer, tick: Tick, change?: (good: Receipt) => Receipt): string {
  const id = hex(answer.statement.receiptId);
  const name = path.join(folder, `${id}.veritee`);
  writeFileSync(name, enclave.receipt(answer, tick, change));
  writeFileSync(`${name}.request`, answer.request.body);
  writeFileSync(`${name}.response`, answer.response.body);
  const salts = { receiptId: id, requestSalt: hex(answer.request.salt), responseSalt: hex(answer.response.salt) };
  writeFileSync(`${name}.private.json`, JSON.stringify(salts));
  return name;
}

const take = async (tick: Tick) =>
  ingestFolder(archive, folder, { ...FILING, appraiser: await appraiser(archive.blobs, tick) });
const bootId = (tick: Tick): string => /veritee\/([0-9a-f]{32})/.exec(tick.evidence.checkpoint)![1]!;

test('receipts with their private parts; again gives nothing new', async () => {
  const answers = [await enclave.infer(), await enclave.infer(), await enclave.infer()];
  const tick = await enclave.tick();
  const late = await enclave.infer();
  mkdirSync(path.join(folder, 'more'));
  for (const answer of answers) keep(answer, tick);
  keep(late, tick); // session-signed
  expect(await take(tick)).toEqual({ files: 4, entries: 4, evidence: 1, attachments: 12, findings: [] });
  const boot = bootId(tick);
  expect(await archive.store.boot(boot)).toMatchObject({ source: 'files', head: null, platform: 'simulated-snp' });
  const [proof] = await archive.store.proofs({ boot, from: 2, to: 3 });
  const { size, root } = (await archive.store.evidence(proof!.reportData))!;
  expect(rootFromInclusion(leafHash(enclave.log.entries[2]!), 2, size, proof!.path)).toEqual(root);
  expect(await archive.store.proofs({ boot, from: 4, to: 5 })).toEqual([]);
  const parts = await archive.store.attachments({ boot, from: 1, to: 2 });
  expect(parts.map(({ role }) => role)).toEqual(['private', 'request', 'response']);
  expect(await archive.blobs.get(parts[1]!.blob)).toEqual(new Uint8Array(answers[0]!.request.body));
  const kinds = (await archive.store.acts(0, 99)).map(({ cose }) => parseAct(cose).act.kind);
  expect(kinds).toEqual(['created', 'deposit', 'deposit', 'deposit', 'deposit']);
  expect(await take(tick)).toMatchObject({ entries: 0, evidence: 0, attachments: 0 });
  const found = [];
  for await (const { code } of checkCompleteness(archive.store)) found.push(code);
  expect(found).toEqual(['LOG_NOT_FOLLOWED']);
});

test('attestations and evidence files', async () => {
  const { file, tick } = await enclave.attestation([new Uint8Array(32).fill(1)], { keys: 2 });
  writeFileSync(path.join(folder, 'a.attestation'), file);
  const next = await enclave.tick();
  writeFileSync(path.join(folder, 'b.evidence'), next.file);
  expect(await take(tick)).toMatchObject({ files: 2, entries: 3, evidence: 2, findings: [] });
  const rows = await archive.store.entries({ boot: bootId(tick), from: 0, to: 9 });
  expect(rows.map(({ kind }) => kind)).toEqual(['key', 'key', 'challenges']);
});

test('the log behind a receipt may be followed later, and receipts come to a log that was followed', async () => {
  const first = await enclave.infer();
  const tick = await enclave.tick();
  keep(first, tick);
  await take(tick);
  const grown = await grow([3], { enclave, ticks: [tick] });
  const source = new MemorySource();
  await source.show(enclave, grown.ticks);
  const done = await ingestService(archive, source, { ...FILING, appraiser: await appraiser(archive.blobs, tick) });
  expect(done).toMatchObject({ entries: 4, evidence: 1, findings: [] });
  expect(await archive.store.extent(bootId(tick))).toEqual({ count: 5, end: 5 });
  for await (const one of checkCompleteness(archive.store)) expect(one).toBeNull();
  expect(await take(tick)).toMatchObject({ entries: 0, attachments: 0, findings: [] });
});

describe('a file that is not what it says is refused, and the others are taken', () => {
  async function refused(change: (name: string, answer: Answer, tick: Tick) => void | Promise<void>): Promise<string> {
    const [good, bad] = [await enclave.infer(), await enclave.infer()];
    const tick = await enclave.tick();
    keep(good, tick);
    await change(keep(bad, tick), bad, tick);
    expect((await take(tick)).entries).toBe(1);
    const [one, ...more] = await archive.store.findings();
    expect(more).toEqual([]);
    expect(one!.code).toBe('FILE_REFUSED');
    return one!.text.split(':')[0]!;
  }

  test('another path', async () => {
    expect(
      await refused(
        (_, answer, tick) =>
          void keep(answer, tick, (good) => ({ ...good, path: good.path!.map((hash) => leafHash(hash)) })),
      ),
    ).toBe('INCLUSION_INVALID');
  });
  test('no path where there must be one', async () => {
    expect(await refused((_, answer, tick) => void keep(answer, tick, (good) => ({ ...good, path: null })))).toBe(
      'INCLUSION_MISSING',
    );
  });
  test('another statement', async () => {
    expect(
      await refused(async (_, answer, tick) => {
        const stranger = await new MiniEnclave().infer();
        keep(answer, tick, (good) => ({ ...good, statement: stranger.entry }));
        // its private parts are of the statement it should have been
      }),
    ).toBe('REQUEST_MISMATCH');
  });
  test('another body', async () => {
    expect(await refused((name) => writeFileSync(`${name}.response`, 'other'))).toBe('REQUEST_MISMATCH');
  });
  test('salts that are none', async () => {
    expect(await refused((name) => writeFileSync(`${name}.private.json`, '{"receiptId":1}'))).toBe('REQUEST_MISMATCH');
  });
  test('no receipt at all', async () => {
    expect(await refused((name) => writeFileSync(name, 'noise'))).toBe('EVIDENCE_UNSUPPORTED');
  });
  test('a receipt cut short', async () => {
    expect(
      await refused((name, answer, tick) => writeFileSync(name, enclave.receipt(answer, tick).subarray(0, -1))),
    ).toMatch(/^EVIDENCE_/);
  });
  test('evidence by name only, which nobody has', async () => {
    expect(
      await refused(
        (_, answer, tick) =>
          void keep(answer, tick, (good) => ({
            ...good,
            evidence: { reportData: tick.snp.report.slice(80, 144) as never },
          })),
      ),
    ).toBe('EVIDENCE_MISSING');
  });
});

test('two statements signed for one place', async () => {
  const answer = await enclave.infer();
  const tick = await enclave.tick();
  keep(answer, tick);
  await take(tick);
  const twin = new MiniEnclave({ session: enclave.session });
  const other = await twin.infer();
  const twinTick = await twin.tick();
  writeFileSync(path.join(folder, 'other.veritee'), twin.receipt(other, twinTick));
  expect((await take(tick)).entries).toBe(0);
  expect(await codesOf(archive)).toEqual(['SESSION_FORKED']);
});

test('a head from a file that is not of the log that was followed', async () => {
  const grown = await grow([2], { enclave, ticks: [] });
  const source = new MemorySource();
  await source.show(enclave, grown.ticks);
  await ingestService(archive, source, { ...FILING, appraiser: await appraiser(archive.blobs, grown.ticks[0]!) });
  const twin = new MiniEnclave({ session: enclave.session });
  await twin.infer();
  await twin.infer();
  writeFileSync(path.join(folder, 'fork.evidence'), (await twin.tick()).file);
  await take(grown.ticks[0]!);
  expect(await codesOf(archive)).toEqual(['LOG_FORKED']);
});
