import {
  encodeEndEntry,
  encodeEvidence,
  encodeModelEntry,
  hex,
  leafHash,
  rootFromInclusion,
  sha256,
} from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import {
  type Archive,
  checkCompleteness,
  openArchive,
  parseAct,
  proveInclusion,
  putTogether,
} from '../../archive/index.ts';
import { ingestService } from '../../archive/ingest/index.ts';
import { AT, MiniEnclave } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { appraiser, codesOf, type Grown, grow, MemorySource, tempFolder } from './memory-source.ts';

const NOW = AT.getTime();
const FILING = { tenant: null, retentionClass: 'standard' };

const open = (folder = tempFolder()): Promise<Archive> =>
  openArchive({ folder, mode: 'write' }, { now: () => NOW, by: 'test' });

async function ingest(archive: Archive, source: MemorySource, { ticks }: Grown, policy: object = strictPolicy()) {
  return ingestService(archive, source, { ...FILING, appraiser: await appraiser(archive.blobs, ticks[0]!, policy) });
}

async function started(counts: readonly number[]) {
  const grown = await grow(counts);
  const source = new MemorySource();
  const shown = await source.show(grown.enclave, grown.ticks);
  const archive = await open();
  return { grown, source, shown, archive, boot: shown.boot };
}

const incomplete = async (archive: Archive) => {
  const found = [];
  for await (const one of checkCompleteness(archive.store)) found.push(one.code);
  return found;
};

describe('a live service', () => {
  test('every entry, report and proof; again gives nothing new', async () => {
    const { grown, source, archive, boot } = await started([3, 300, 0, 5]);
    const done = await ingest(archive, source, grown);
    expect(done).toMatchObject({ entries: 309, evidence: 4, boots: 1, findings: [] });
    const row = (await archive.store.boot(boot))!;
    expect(row).toMatchObject({ state: 'open', platform: 'simulated-snp', head: { size: 309 } });
    expect(Buffer.from(row.head!.root)).toEqual(Buffer.from(grown.enclave.log.root()));
    const entries = await archive.store.entries({ boot, from: 0, to: 400 });
    expect(entries.map(({ cose }) => Buffer.from(cose!))).toEqual(
      grown.enclave.log.entries.map((one) => Buffer.from(one)),
    );
    for (const index of [0, 255, 256, 308]) {
      const path = await proveInclusion(archive.store, boot, index, 309);
      expect(rootFromInclusion(leafHash(grown.enclave.log.entries[index]!), index, 309, path)).toEqual(row.head!.root);
    }
    const evidence = await archive.store.evidenceOf(boot, 0, 10);
    expect(evidence.map(({ size }) => size)).toEqual([4, 304, 304, 309]);
    for (const [i, one] of evidence.entries()) {
      expect(Buffer.from(await putTogether(one, archive.blobs))).toEqual(Buffer.from(grown.ticks[i]!.file));
      expect(one.appraisal).toMatchObject({ verdict: 'affirming', atMs: NOW, codes: [] });
      expect(one.facts).toMatchObject({ platform: 'simulated-snp', product: 'Milan', measurement: '5a'.repeat(48) });
    }
    const acts = (await archive.store.acts(0, 100)).map(({ cose }) => parseAct(cose).act);
    expect(acts.map(({ kind }) => kind)).toEqual(['created', 'ingest', 'ingest', 'ingest', 'ingest']);
    const again = await ingest(archive, source, grown);
    expect(again).toMatchObject({ entries: 0, evidence: 0, findings: [] });
    expect((await archive.store.actHead())!.size).toBe(5);
    expect(await incomplete(archive)).toEqual([]);
    await archive.close();
  });

  test('goes on from the head seen before', async () => {
    const { grown, source, shown, archive, boot } = await started([3, 2]);
    await ingest(archive, source, grown);
    await grow([700, 1], grown);
    shown.entries = [...grown.enclave.log.entries];
    await source.show(grown.enclave, grown.ticks);
    shown.evidence = source.shown.pop()!.evidence;
    expect(await ingest(archive, source, grown)).toMatchObject({ entries: 701, evidence: 2, findings: [] });
    expect((await archive.store.boot(boot))!.head).toMatchObject({ size: 707 });
    expect(await incomplete(archive)).toEqual([]);
    await archive.close();
  });

  test('a clean end, and one that is none', async () => {
    const { grown, source, shown, archive, boot } = await started([2]);
    const { enclave } = grown;
    shown.ended = 'clean';
    await ingest(archive, source, grown);
    expect((await archive.store.boot(boot))!.state).toBe('lost');
    expect(await codesOf(archive)).toEqual(['BOOT_LOST']);
    await archive.close();

    enclave.append('end', encodeEndEntry({ sequence: enclave.log.size, issuedAt: 1_780_000_001, reason: 'stopped' }));
    grown.ticks.push(await enclave.tick());
    const clean = new MemorySource();
    (await clean.show(enclave, grown.ticks)).ended = 'clean';
    const other = await open();
    await ingest(other, clean, grown);
    expect((await other.store.boot(boot))!.state).toBe('ended');
    expect(await codesOf(other)).toEqual([]);
    await other.close();
  });

  test('a report that the service lacks, and one that says it is another', async () => {
    const { grown, source, shown, archive, boot } = await started([1, 1, 1]);
    const [middle] = shown.evidence.splice(1, 1);
    await ingest(archive, source, grown);
    expect(await codesOf(archive)).toEqual(['CHAIN_BROKEN']);
    expect(await archive.store.boot(boot)).toBeNull();
    shown.evidence.splice(1, 0, { ...middle!, file: shown.evidence[0]!.file });
    await ingest(archive, source, grown);
    expect(await codesOf(archive)).toEqual(['CHAIN_BROKEN', 'CHAIN_BROKEN']);
    shown.evidence[1] = middle!;
    expect(await ingest(archive, source, grown)).toMatchObject({ entries: 4, evidence: 3, findings: [] });
    await archive.close();
  });

  test('a head that the session key did not sign', async () => {
    const { grown, source, shown, archive, boot } = await started([1]);
    const stranger = await grow([1]);
    const { checkpoint } = stranger.ticks[0]!.evidence;
    const file = encodeEvidence({ ...grown.ticks[0]!.evidence, checkpoint });
    shown.evidence[0] = { ...shown.evidence[0]!, file };
    await ingest(archive, source, grown);
    expect(await codesOf(archive)).toEqual(['CHECKPOINT_INVALID']);
    expect(await archive.store.boot(boot)).toBeNull();
    await archive.close();
  });

  test('a model entry whose digest is not that of its files', async () => {
    const grown: Grown = { enclave: new MiniEnclave(), ticks: [] };
    const { enclave } = grown;
    const files = new Map([['model.onnx', sha256(Uint8Array.of(1))]]);
    const model = { name: 'm', version: '1', digest: sha256(Uint8Array.of(2)) };
    enclave.append('model', encodeModelEntry({ sequence: 1, issuedAt: 1_780_000_000, event: 'loaded', model, files }));
    grown.ticks.push(await enclave.tick());
    const source = new MemorySource();
    await source.show(enclave, grown.ticks);
    const archive = await open();
    await ingest(archive, source, grown);
    expect((await archive.store.findings()).map(({ code, index }) => [code, index])).toEqual([
      ['MODEL_DIGEST_MISMATCH', 1],
    ]);
    await archive.close();
  });

  test("a lost boot's last entries are kept as what they are", async () => {
    const { grown, source, shown, archive, boot } = await started([2]);
    await grown.enclave.infer();
    await grown.enclave.infer();
    shown.entries = [...grown.enclave.log.entries];
    shown.ended = 'lost';
    expect(await ingest(archive, source, grown)).toMatchObject({ entries: 5 });
    expect(await codesOf(archive)).toEqual(['TAIL_UNCOMMITTED', 'BOOT_LOST']);
    expect(await archive.store.extent(boot)).toEqual({ count: 5, end: 5 });
    expect((await archive.store.boot(boot))!).toMatchObject({ state: 'lost', head: { size: 3 } });
    expect(await ingest(archive, source, grown)).toMatchObject({ entries: 0 });
    await archive.close();
  });

  test('evidence that the policy refuses is kept with its verdict, and said once', async () => {
    const { grown, source, archive, boot } = await started([1, 1]);
    const denying = strictPolicy({ deniedMeasurements: ['5a'.repeat(48)] });
    const done = await ingest(archive, source, grown, denying);
    expect(done).toMatchObject({ entries: 3, evidence: 2 });
    expect((await archive.store.evidenceOf(boot, 0, 9)).map(({ appraisal }) => appraisal.codes)).toEqual([
      ['MEASUREMENT_DENIED'],
      ['MEASUREMENT_DENIED'],
    ]);
    expect(await codesOf(archive)).toEqual(['EVIDENCE_REFUSED']);
    await archive.close();
  });
});

describe('what a service must not do is found and changes nothing', () => {
  async function refused(change: (parts: Awaited<ReturnType<typeof started>>) => void | Promise<void>) {
    const parts = await started([3, 4]);
    const { archive, source, grown, boot } = parts;
    await ingest(archive, source, grown);
    const before = await archive.store.boot(boot);
    await change(parts);
    const done = await ingest(archive, source, grown);
    expect(done.entries).toBe(0);
    expect(await archive.store.boot(boot)).toEqual(before);
    const codes = await codesOf(archive);
    await archive.close();
    return codes;
  }

  test('an older head', async () => {
    expect(await refused(({ shown }) => void shown.evidence.pop())).toEqual(['LOG_ROLLED_BACK']);
  });

  test('no head at all', async () => {
    expect(await refused(({ shown }) => void shown.evidence.splice(0))).toEqual(['LOG_ROLLED_BACK']);
  });

  const forkedAt =
    (counts: readonly number[]) =>
    async ({ grown, shown, source }: Awaited<ReturnType<typeof started>>) => {
      const other = new ForkedEnclave(grown.enclave);
      await grow(counts, other);
      await source.show(other.enclave, other.ticks);
      const fork = source.shown.pop()!;
      shown.entries = fork.entries;
      shown.evidence = fork.evidence;
    };

  test('another tree of the same size', async () => {
    expect(await refused(forkedAt([3, 4]))).toEqual(['LOG_FORKED']);
  });

  test('a longer tree that does not continue the one before', async () => {
    expect(await refused(forkedAt([3, 9]))).toEqual(['LOG_FORKED']);
  });

  test('a dropped log', async () => {
    expect(await refused(({ source }) => void source.shown.splice(0))).toEqual(['BOOT_MISSING']);
  });
});

/** The same session key over another history. */
class ForkedEnclave {
  readonly enclave: MiniEnclave;
  readonly ticks: Grown['ticks'] = [];
  constructor(twin: MiniEnclave) {
    this.enclave = new MiniEnclave({ session: twin.session });
  }
}

test('entries other than those under the head', async () => {
  const { grown, source, shown, archive, boot } = await started([3]);
  const other = await grow([3]);
  shown.entries[2] = other.enclave.log.entries[2]!;
  await ingest(archive, source, grown);
  expect(await codesOf(archive)).toEqual(['SIGNATURE_INVALID']);
  shown.entries[2] = shown.entries[3]!;
  await ingest(archive, source, grown);
  expect(await codesOf(archive)).toEqual(['SIGNATURE_INVALID', 'ENTRY_INVALID']);
  shown.entries.splice(2, 2);
  await ingest(archive, source, grown);
  expect((await codesOf(archive)).slice(2)).toEqual(['LOG_INCOMPLETE']);
  expect(await archive.store.boot(boot)).toBeNull();
  await archive.close();
});

test('an entry at a claimed time long before the one before it', async () => {
  const grown = await grow([2]);
  await grown.enclave.infer({ change: (good) => ({ ...good, timeMs: good.timeMs - 3_600_000 }) });
  await grown.enclave.infer({ change: (good) => ({ ...good, timeMs: NOW + 7_200_000 }) });
  grown.ticks.push(await grown.enclave.tick());
  const source = new MemorySource();
  const { boot } = await source.show(grown.enclave, grown.ticks);
  const archive = await open();
  await ingest(archive, source, grown);
  const found = await archive.store.findings();
  expect(found.map(({ code, index }) => [code, index])).toEqual([
    ['CLOCK_BACKWARDS', 3],
    ['CLOCK_AHEAD', 4],
  ]);
  expect(found[0]!.boot).toBe(boot);
  await archive.close();
});

test('a database older than the head it signed', async () => {
  const { grown, source, archive, boot } = await started([1]);
  const folder = archive.folder;
  const copy = `${tempFolder()}/old.sqlite`;
  await archive.store.backup(copy);
  await ingest(archive, source, grown);
  await archive.close();
  const { copyFileSync, rmSync } = await import('node:fs');
  for (const end of ['-wal', '-shm']) rmSync(`${folder}/archive.sqlite${end}`, { force: true });
  copyFileSync(copy, `${folder}/archive.sqlite`);
  const again = await open(folder);
  expect(await codesOf(again)).toEqual(['STORE_ROLLED_BACK']);
  expect(await again.store.boot(boot)).toBeNull();
  expect(hex((await again.store.actHead())!.root)).toMatch(/^[0-9a-f]{64}$/);
  await again.close();
});
