/** What every engine behind the store's port must do. */
import { randomBytes } from 'node:crypto';
import { bytes, type CodedError, hex, leafHash } from '@veritee/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Act, encodeAct, finding } from '../../archive/index.ts';
import type {
  ActHead,
  ActRow,
  ArchiveStore,
  BootRow,
  Commit,
  EntryRow,
  EvidenceRow,
  StatementRow,
} from '../../archive/store/port.ts';
import { SessionKey } from '../support/mini-enclave.ts';

const random = <N extends number>(n: N) => bytes(randomBytes(n), n, 'random');
const key = new SessionKey();

export interface Engine {
  /** Opens the same store again and again; a new one for each name. */
  open(name: string, mode?: 'read' | 'write'): Promise<ArchiveStore>;
}

const bootRow = (boot: string, changes: Partial<BootRow> = {}): BootRow => ({
  boot,
  source: 'test',
  sessionClaims: new Uint8Array([1, 2, 3]),
  platform: null,
  state: 'open',
  head: null,
  firstSeenMs: 5,
  ...changes,
});

const entry = (boot: string, index: number, kind: EntryRow['kind'] = 'statement'): EntryRow => {
  const cose = new Uint8Array(randomBytes(40));
  return { boot, index, kind, leaf: leafHash(cose), cose, purge: null };
};

const statement = (boot: string, index: number, changes: Partial<StatementRow> = {}): StatementRow => ({
  boot,
  index,
  receiptId: random(16),
  timeMs: 1000 * index,
  model: { name: 'sample', version: '1', digest: bytes(new Uint8Array(32).fill(7), 32, 'digest') },
  outcome: 'ok',
  requestDigest: random(32),
  responseDigest: random(32),
  tenant: null,
  retentionClass: 'standard',
  ...changes,
});

const evidence = (
  boot: string,
  size: number,
  changes: Partial<EvidenceRow> = {},
): EvidenceRow & { resultJson: string } => ({
  boot,
  reportData: random(64),
  size,
  root: random(32),
  previousReportData: null,
  parts: new Uint8Array(randomBytes(100)),
  certificates: [random(32), random(32)],
  crls: [],
  file: random(32),
  facts: {
    platform: 'snp',
    product: 'Genoa',
    measurement: 'ab',
    chip: null,
    tcb: { snp: 3, microcode: 9 },
    existedByMs: null,
  },
  appraisal: {
    policy: random(32),
    policyDigest: random(32),
    anchors: [random(32)],
    endorsements: [],
    crls: [random(32)],
    verifier: 'v',
    atMs: 77,
    verdict: 'contraindicated',
    codes: ['DEBUG_ENABLED', 'TCB_BELOW_MINIMUM'],
    result: random(32),
  },
  firstSeenMs: 6,
  resultJson: '{"verdict":"contraindicated"}',
  ...changes,
});

/** Commits with acts of no meaning, in their order. */
class Writer {
  readonly store: ArchiveStore;
  size = 0;
  constructor(store: ArchiveStore) {
    this.store = store;
  }

  acts(count = 1): { acts: ActRow[]; head: ActHead } {
    const act: Act = { kind: 'release', hold: 'h', reason: 'r' };
    const acts = Array.from({ length: count }, (_, i) =>
      encodeAct(act, { index: this.size + i, timeMs: 1, by: 't' }, key.sign),
    );
    return { acts, head: { size: this.size + count, root: random(32), note: `note ${this.size + count}` } };
  }

  async commit(rows: Omit<Commit, 'acts' | 'head'>): Promise<void> {
    const acts = this.acts();
    await this.store.commit({ ...rows, ...acts });
    this.size += 1;
  }
}

export function storeContract(name: string, start: () => Promise<Engine | null>): void {
  describe(`store: ${name}`, () => {
    let engine: Engine | null = null;
    const opened: ArchiveStore[] = [];
    beforeAll(async () => {
      engine = await start();
    });
    afterAll(async () => {
      for (const store of opened) await store.close();
    });
    const fresh = async (label: string): Promise<Writer> => {
      const store = await engine!.open(label);
      opened.push(store);
      return new Writer(store);
    };
    const boot = () => hex(randomBytes(16));
    const check = (title: string, run: () => Promise<void>) =>
      test(title, async ({ skip }) => {
        if (!engine) skip(`no ${name} can be had here`);
        await run();
      });

    check('identity, once', async () => {
      const { store } = await fresh('identity');
      expect(await store.identity()).toBeNull();
      const publicKey = random(32);
      await store.setIdentity({ id: 'ab'.repeat(16), publicKey });
      expect(await store.identity()).toEqual({ id: 'ab'.repeat(16), publicKey });
      await expect(store.setIdentity({ id: 'cd'.repeat(16), publicKey })).rejects.toMatchObject({
        code: 'STORE_FAILED',
      });
    });

    check('rows come back as they were written', async () => {
      const writer = await fresh('rows');
      const { store } = writer;
      const [a, b] = [boot(), boot()];
      const entries = [entry(a, 0, 'session'), entry(a, 1), entry(a, 2, 'key'), entry(b, 7)];
      const statements = [
        statement(a, 1, { tenant: 'acme' }),
        statement(b, 7, { model: null, outcome: 'QUEUE_FULL', timeMs: 9_007_199_254_740_991 }),
      ];
      const proof = [random(32), random(32)];
      const reportData = random(64);
      await writer.commit({
        boots: [bootRow(a), bootRow(b, { platform: 'nitro' })],
        entries,
        statements,
        nodes: [{ boot: a, level: 1, index: 0, hash: random(32) }],
        attachments: [{ boot: a, index: 1, role: 'request', blob: random(32) }],
        proofs: [{ boot: b, index: 7, reportData, path: proof }],
        findings: [{ ...finding('LOG_GAP', 'text', { boot: a, index: 3 }), act: 0, firstSeenMs: 8 }],
      });
      expect(await store.boots()).toEqual([bootRow(a), bootRow(b, { platform: 'nitro' })]);
      expect(await store.boot(boot())).toBeNull();
      const plain = (rows: readonly EntryRow[]) =>
        rows.map((row) => ({ ...row, leaf: hex(row.leaf), cose: row.cose && hex(row.cose) }));
      expect(plain(await store.entries({ boot: a, from: 0, to: 10 }))).toEqual(plain(entries.slice(0, 3)));
      expect(plain(await store.entries({ boot: b, from: 7, to: 8 }))).toEqual(plain(entries.slice(3)));
      expect(await store.statements({}, { after: null, limit: 10 })).toEqual(statements);
      expect(await store.indicesOf(a, 'key')).toEqual([2]);
      expect(await store.placeOf(statements[1]!.receiptId)).toEqual({ boot: b, index: 7 });
      expect(await store.placeOf(random(16))).toBeNull();
      expect(await store.proofs({ boot: b, from: 0, to: 9 })).toEqual([{ boot: b, index: 7, reportData, path: proof }]);
      expect((await store.attachments({ boot: a, from: 0, to: 9 })).map(({ role }) => role)).toEqual(['request']);
      expect(await store.findings()).toEqual([
        { ...finding('LOG_GAP', 'text', { boot: a, index: 3 }), act: 0, firstSeenMs: 8 },
      ]);
      expect((await store.nodes(a, 1, 0, 1))?.length).toBe(32);
      expect(await store.nodes(a, 1, 0, 2)).toBeNull();
      const leaves = await store.leaves({ boot: a, from: 0, to: 3 });
      expect(Buffer.from(leaves!)).toEqual(Buffer.concat(entries.slice(0, 3).map(({ leaf }) => leaf)));
      expect(await store.leaves({ boot: a, from: 0, to: 4 })).toBeNull();
    });

    check('a boot is changed in place', async () => {
      const writer = await fresh('boots');
      const a = boot();
      await writer.commit({ boots: [bootRow(a)] });
      const head = { size: 4, root: random(32), reportData: random(64) };
      await writer.commit({
        boots: [bootRow(a, { source: 'other', firstSeenMs: 99, state: 'ended', head, platform: 'snp' })],
      });
      expect(await writer.store.boots()).toEqual([bootRow(a, { state: 'ended', head, platform: 'snp' })]);
    });

    check('evidence with its appraisal', async () => {
      const writer = await fresh('evidence');
      const { store } = writer;
      const a = boot();
      const rows = [evidence(a, 3), evidence(a, 3, { previousReportData: random(64) }), evidence(a, 9)];
      await writer.commit({ boots: [bootRow(a)], evidence: rows });
      const stored = rows.map(({ resultJson: _, ...row }) => row);
      expect(await store.evidenceOf(a, 0, 10)).toEqual(stored);
      expect(await store.evidenceOf(a, 1, 1)).toEqual([stored[1]]);
      expect(await store.evidence(rows[2]!.reportData)).toEqual(stored[2]);
      expect(await store.evidence(random(64))).toBeNull();
      expect(await store.resultJson(rows[0]!.reportData)).toBe(rows[0]!.resultJson);
      expect((await store.firstEvidenceOver(a, 2))?.size).toBe(3);
      expect((await store.firstEvidenceOver(a, 3))?.size).toBe(9);
      expect(await store.firstEvidenceOver(a, 9)).toBeNull();
    });

    check('a commit is whole or not at all', async () => {
      const writer = await fresh('atomic');
      const { store } = writer;
      const a = boot();
      await writer.commit({ boots: [bootRow(a)], entries: [entry(a, 0, 'session')] });
      const head = await store.actHead();
      const taken: Commit = { ...writer.acts(), entries: [entry(a, 1), entry(a, 0, 'session')] };
      await expect(store.commit(taken)).rejects.toMatchObject({ code: 'STORE_FAILED' } satisfies Partial<CodedError>);
      expect(await store.extent(a)).toEqual({ count: 1, end: 1 });
      expect(await store.actHead()).toEqual(head);
      expect(await store.acts(0, 10)).toHaveLength(1);
      await writer.commit({ entries: [entry(a, 1)] });
      expect(await store.extent(a)).toEqual({ count: 2, end: 2 });
    });

    check('acts follow one another', async () => {
      const writer = await fresh('acts');
      const { store } = writer;
      const first = writer.acts(2);
      await store.commit(first);
      expect(await store.acts(0, 9)).toEqual(first.acts);
      expect(await store.acts(1, 2)).toEqual(first.acts.slice(1));
      expect(await store.actsOf('release')).toEqual(first.acts);
      expect(await store.actsOf('hold')).toEqual([]);
      expect(await store.actHead()).toEqual(first.head);
      expect(Buffer.from(await store.actLeaves())).toEqual(Buffer.concat(first.acts.map(({ leaf }) => leaf)));
      for (const size of [0, 1, 3]) {
        writer.size = size;
        await expect(store.commit(writer.acts())).rejects.toMatchObject({ code: 'STORE_FAILED' });
      }
      writer.size = 2;
      await expect(store.commit({ acts: [], head: first.head })).rejects.toMatchObject({ code: 'STORE_FAILED' });
      await store.commit(writer.acts());
    });

    check('statements by every field, page by page', async () => {
      const writer = await fresh('search');
      const { store } = writer;
      const [a, b] = [boot(), boot()];
      const other = { name: 'other', version: '2', digest: random(32) };
      const rows = [a, b].flatMap((one) =>
        Array.from({ length: 30 }, (_, i) =>
          statement(one, i, {
            tenant: i % 3 === 0 ? 'acme' : null,
            outcome: i % 10 === 0 ? 'DEADLINE_EXCEEDED' : 'ok',
            retentionClass: i < 5 ? 'short' : 'standard',
            ...(i % 2 === 0 ? { model: other } : {}),
          }),
        ),
      );
      await writer.commit({
        boots: [bootRow(a), bootRow(b)],
        entries: rows.map(({ boot: of, index }) => entry(of, index)),
        statements: rows,
      });
      const expectFound = async (
        filter: Parameters<ArchiveStore['countStatements']>[0],
        keep: (row: StatementRow) => boolean,
      ) => {
        const wanted = rows.filter(keep);
        expect(await store.countStatements(filter)).toBe(wanted.length);
        const found: StatementRow[] = [];
        for (;;) {
          const last = found.at(-1);
          const page = await store.statements(filter, {
            after: last ? { boot: last.boot, index: last.index } : null,
            limit: 7,
          });
          found.push(...page);
          if (page.length < 7) break;
        }
        expect(found).toEqual(wanted);
      };
      await expectFound({}, () => true);
      await expectFound({ boot: b }, (row) => row.boot === b);
      await expectFound({ boot: boot() }, () => false);
      await expectFound({ fromMs: 4000, toMs: 9000 }, ({ index }) => index >= 4 && index < 9);
      await expectFound({ tenant: 'acme', outcome: 'ok' }, (row) => row.tenant === 'acme' && row.outcome === 'ok');
      await expectFound({ model: 'other' }, ({ index }) => index % 2 === 0);
      await expectFound(
        { modelDigest: other.digest, modelVersion: '2', boot: a },
        (row) => row.boot === a && row.index % 2 === 0,
      );
      await expectFound({ modelVersion: '3' }, () => false);
      await expectFound({ retentionClass: 'short' }, ({ index }) => index < 5);
      await expectFound({ receiptId: rows[33]!.receiptId }, (row) => row === rows[33]);
      await expectFound({ requestDigest: rows[5]!.requestDigest }, (row) => row === rows[5]);
      await expectFound({ responseDigest: rows[6]!.responseDigest }, (row) => row === rows[6]);
      await expectFound({ ranges: [] }, () => false);
      await expectFound(
        {
          tenant: 'acme',
          ranges: [
            { boot: b, from: 20, to: 40 },
            { boot: a, from: 3, to: 12 },
            { boot: a, from: 9, to: 20 },
          ],
        },
        (row) => row.tenant === 'acme' && (row.boot === a ? row.index >= 3 && row.index < 20 : row.index >= 20),
      );
      const twice = statement(a, 40, { receiptId: rows[0]!.receiptId });
      await writer.commit({ entries: [entry(a, 40)], statements: [twice] });
      expect(await store.reusedReceiptIds(9)).toEqual([
        { boot: a, index: 0 },
        { boot: a, index: 40 },
      ]);
    });

    check('gaps', async () => {
      const writer = await fresh('gaps');
      const { store } = writer;
      const a = boot();
      await writer.commit({ boots: [bootRow(a)], entries: [2, 3, 5, 9].map((index) => entry(a, index)) });
      const gaps = async (from: number, to: number, limit = 9) =>
        (await store.gaps({ boot: a, from, to }, limit)).map((range) => [range.from, range.to]);
      expect(await gaps(0, 12)).toEqual([
        [0, 2],
        [4, 5],
        [6, 9],
        [10, 12],
      ]);
      expect(await gaps(2, 6)).toEqual([[4, 5]]);
      expect(await gaps(2, 4)).toEqual([]);
      expect(await gaps(20, 22)).toEqual([[20, 22]]);
      expect(await gaps(0, 12, 2)).toEqual([
        [0, 2],
        [4, 5],
      ]);
      const indicesFrom = async (from: number, limit: number) =>
        (await store.entriesFrom(a, from, limit)).map(({ index }) => index);
      expect(await indicesFrom(Number.MIN_SAFE_INTEGER, 9)).toEqual([2, 3, 5, 9]);
      expect(await indicesFrom(4, 1)).toEqual([5]);
      expect(await indicesFrom(10, 9)).toEqual([]);
      expect(await store.check()).toEqual([]);
      expect(await store.extent(a)).toEqual({ count: 4, end: 10 });
      expect(await store.extent(boot())).toEqual({ count: 0, end: 0 });
    });

    check('a purge erases content and leaves the leaf', async () => {
      const writer = await fresh('purge');
      const { store } = writer;
      const a = boot();
      const blob = random(32);
      const rows = [0, 1, 2, 3].map((index) => entry(a, index));
      await writer.commit({
        boots: [bootRow(a)],
        entries: rows,
        statements: rows.map(({ index }) => statement(a, index)),
        attachments: [1, 3].map((index) => ({ boot: a, index, role: 'private', blob })),
        proofs: [{ boot: a, index: 1, reportData: random(64), path: [] }],
      });
      expect(await store.attachedTo(blob)).toBe(2);
      await writer.commit({ purge: { places: [1, 2].map((index) => ({ boot: a, index })), act: 1 } });
      const left = await store.entries({ boot: a, from: 0, to: 4 });
      expect(left.map(({ purge }) => purge)).toEqual([null, 1, 1, null]);
      expect(left.map(({ cose }) => cose === null)).toEqual([false, true, true, false]);
      expect(left.map(({ leaf }) => hex(leaf))).toEqual(rows.map(({ leaf }) => hex(leaf)));
      expect((await store.statements({}, { after: null, limit: 9 })).map(({ index }) => index)).toEqual([0, 3]);
      expect(await store.attachedTo(blob)).toBe(1);
      expect(await store.proofs({ boot: a, from: 0, to: 9 })).toHaveLength(1);
    });

    check('a finding stays as it was first seen', async () => {
      const writer = await fresh('findings');
      const seen = (text: string, act: number) => ({ ...finding('BOOT_LOST', text), act, firstSeenMs: act });
      await writer.commit({ findings: [seen('first', 0)] });
      await writer.commit({ findings: [seen('second', 1), { ...seen('third', 1), object: 'x' }] });
      expect((await writer.store.findings()).map(({ text }) => text)).toEqual(['first', 'third']);
    });

    check('readers beside the writer see whole commits', async () => {
      const writer = await fresh('readers');
      const a = boot();
      await writer.commit({ boots: [bootRow(a)] });
      const reader = await engine!.open('readers', 'read');
      opened.push(reader);
      expect((await reader.boots()).map((row) => row.boot)).toEqual([a]);
      let done = false;
      const writing = (async () => {
        for (let i = 0; i < 20; i++) {
          await writer.commit({ entries: Array.from({ length: 50 }, (_, k) => entry(a, 50 * i + k)) });
        }
        done = true;
      })();
      while (!done) {
        expect((await reader.extent(a)).count % 50).toBe(0);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writing;
      expect(await reader.extent(a)).toEqual({ count: 1000, end: 1000 });
    });

    check('what it holds is there when it is opened again', async () => {
      const writer = await fresh('again');
      const a = boot();
      await writer.commit({ boots: [bootRow(a)], entries: [entry(a, 0)] });
      opened.splice(opened.indexOf(writer.store), 1);
      await writer.store.close();
      const again = await fresh('again');
      expect(await again.store.extent(a)).toEqual({ count: 1, end: 1 });
      expect((await again.store.actHead())?.size).toBe(1);
    });
  });
}
