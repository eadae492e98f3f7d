import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Archive, openArchive } from '../../archive/archive.ts';
import { audit } from '../../archive/audit/index.ts';
import { bootField, EVERYTHING } from '../../archive/log/acts.ts';
import { entryTlogProof, logOf, proveEntry } from '../../archive/proofs/prove.ts';
import { parseTlogProof, verifyTlogProof } from '../../archive/proofs/tlog-proof.ts';
import { hold, holdsInForce, release } from '../../archive/retention/holds.ts';
import { finishPurges, purgeExpired, purgeScope } from '../../archive/retention/purge.ts';
import { parseRetentionRules, retentionInForce, setRetention } from '../../archive/retention/rules.ts';
import { scopeOf } from '../../archive/retention/scope.ts';
import { DEFAULT_SETTINGS } from '../../archive/settings.ts';
import { leafHash, utf8 } from '../../protocol/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { AT } from '../support/mini-enclave.ts';
import { ROOT } from '../support/shared.ts';
import { Filler, open, POLICY } from './filled.ts';

const DAY = 86_400_000;
const REASON = { reason: 'the customer asked' };
const rules = (...list: readonly Record<string, unknown>[]) =>
  utf8(
    JSON.stringify({
      profile: 'veritee/retention/v1',
      rules: list.map((rule, i) => ({ name: `r${i}`, class: null, tenant: null, model: null, ...rule })),
    }),
  );

let folder: string;
let remove: () => void;
let archive: Archive;
let filler: Filler;
let nowMs: number;

beforeEach(async () => {
  ({ folder, remove } = temporaryFolder());
  nowMs = AT.getTime();
  archive = await open(path.join(folder, 'archive'), DEFAULT_SETTINGS, () => nowMs);
  filler = await Filler.start(archive, (good) => ({ ...good, policy: POLICY }));
});
afterEach(async () => {
  await archive.close();
  remove();
});

const counted = (input = {}) => archive.store.countStatements(input);
const proofHolds = async (index: number): Promise<boolean> => {
  const proof = await proveEntry(archive, { boot: filler.boot, index });
  const leaf = leafHash(filler.enclave.log.entries[index]!);
  return verifyTlogProof(parseTlogProof(entryTlogProof(proof)), leaf, logOf(proof.evidence) as never);
};
const defects = async (): Promise<readonly string[]> => {
  const reader = await openArchive({ folder: archive.folder, mode: 'read' }, { now: () => nowMs });
  const report = await audit(reader);
  await reader.close();
  return report.findings.filter(({ severity }) => severity !== 'info').map(({ code, text }) => `${code}: ${text}`);
};

/** Whether any file under the archive holds these bytes. */
function isOnDisk(needle: Uint8Array): boolean {
  return readdirSync(archive.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readFileSync(path.join(entry.parentPath, entry.name)).includes(Buffer.from(needle)));
}

describe('a purge', () => {
  test('erases content, salts and columns; every proof still holds, and the audit is clean', async () => {
    await filler.add(4, { tenant: 'other', retentionClass: 'default' }, { private: true });
    const { made } = await filler.add(3, { tenant: 'acme', retentionClass: 'default' }, { private: true });
    const [one] = made;
    const salts = Buffer.from(
      JSON.stringify({ requestSalt: Buffer.from(one!.request.salt).toString('hex') }).slice(0, -1),
    );
    expect([isOnDisk(one!.entry.subarray(-64)), isOnDisk(salts)]).toEqual([true, true]);

    const done = await purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON);
    // The bodies are those of every answer of this enclave: other receipts still have them.
    expect(done).toMatchObject({ entries: 3, blobs: 3, held: {} });
    expect([isOnDisk(one!.entry.subarray(-64)), isOnDisk(salts)]).toEqual([false, false]);
    expect(isOnDisk(one!.request.body)).toBe(true);
    expect(await counted()).toBe(4);
    for (let index = 0; index < filler.enclave.log.size; index++) expect(await proofHolds(index)).toBe(true);
    const [row] = await archive.store.entries({ boot: filler.boot, from: one!.sequence, to: one!.sequence + 1 });
    expect(row).toMatchObject({ cose: null, purge: done.acts[0] });
    expect(await defects()).toEqual([]);

    const again = await purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON);
    expect(again).toMatchObject({ entries: 0, acts: [] });
    const rest = await purgeScope(archive, scopeOf({ boot: filler.boot }), REASON);
    expect(rest).toMatchObject({ entries: 4, blobs: 6 });
    expect(isOnDisk(one!.request.body)).toBe(false);
  });

  test('of more than one tombstone holds', async () => {
    await filler.add(2100, { tenant: 'acme', retentionClass: 'default' });
    const done = await purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON);
    expect([done.entries, done.acts.length, await counted()]).toEqual([2100, 3, 0]);
    expect(await defects()).toEqual([]);
  });

  test('a dry run counts and erases nothing', async () => {
    await filler.add(3, { tenant: 'acme', retentionClass: 'default' });
    const size = (await archive.store.actHead())?.size;
    expect(await purgeScope(archive, scopeOf({ tenant: 'acme' }), { ...REASON, dryRun: true })).toMatchObject({
      entries: 3,
      acts: [],
    });
    expect([await counted(), (await archive.store.actHead())?.size]).toEqual([3, size]);
  });

  test('a body that is the policy file, byte for byte, leaves the policy where it is', async () => {
    const { made } = await filler.add(1, { tenant: 'acme', retentionClass: 'default' });
    const blob = await archive.blobs.put(POLICY);
    const place = { index: made[0]!.sequence, role: 'request' as const, blob };
    await archive.record(
      [
        {
          kind: 'deposit',
          source: 'test',
          boot: bootField(filler.boot),
          evidence: null,
          entries: [],
          attachments: [place],
          tenant: null,
          retentionClass: 'default',
        },
      ],
      () => ({ attachments: [{ boot: filler.boot, ...place }] }),
    );
    expect(await purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON)).toMatchObject({ entries: 1, blobs: 0 });
    expect(await archive.blobs.has(blob)).toBe(true);
    expect(await defects()).toEqual([]);
  });

  test.each([
    ['everything', () => purgeScope(archive, EVERYTHING, REASON)],
    ['no reason', () => purgeScope(archive, scopeOf({ tenant: 'acme' }), { reason: ' ' })],
    ['a reason too long', () => purgeScope(archive, scopeOf({ tenant: 'acme' }), { reason: 'x'.repeat(901) })],
  ])('%s is refused', async (_, attempt) => {
    await filler.add(1, { tenant: 'acme', retentionClass: 'default' });
    await expect(attempt()).rejects.toMatchObject({ code: 'USAGE' });
    expect(await counted()).toBe(1);
  });
});

describe('legal holds', () => {
  test('what a hold covers is not erased until it is released, and each act is logged', async () => {
    await filler.add(3, { tenant: 'acme', retentionClass: 'default' });
    await filler.add(2, { tenant: 'acme', retentionClass: 'short' });
    const act = await hold(archive, 'case 7', scopeOf({ retentionClass: 'short' }), 'litigation');
    await expect(purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON)).rejects.toMatchObject({
      code: 'ARCHIVE_HELD',
    });
    expect(await counted()).toBe(5);
    expect([...(await holdsInForce(archive)).values()]).toMatchObject([{ name: 'case 7', act, by: 'tester' }]);

    await setRetention(archive, rules({ keepDays: 30 }));
    nowMs += 31 * DAY;
    const expired = await purgeExpired(archive, { reason: 'retention' });
    expect(expired).toMatchObject({ entries: 3, held: { 'case 7': 2 } });

    await release(archive, 'case 7', 'settled');
    expect(await purgeExpired(archive, { reason: 'retention' })).toMatchObject({ entries: 2, held: {} });
    expect((await archive.store.actsOf('hold')).length + (await archive.store.actsOf('release')).length).toBe(2);
    expect(await defects()).toEqual([]);
  });

  test('a name is held once, and only what is held is released', async () => {
    await hold(archive, 'case', scopeOf({ tenant: 'acme' }), 'why');
    for (const attempt of [
      () => hold(archive, 'case', scopeOf({}), 'why'),
      () => hold(archive, 'other', scopeOf({}), ''),
      () => hold(archive, '', scopeOf({}), 'why'),
      () => release(archive, 'other', 'why'),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'USAGE' });
    }
  });
});

describe('retention rules', () => {
  test('the first rule that matches decides, and none keeps', async () => {
    const filed = (tenant: string | null, retentionClass: string) => filler.add(1, { tenant, retentionClass });
    await filed('acme', 'short');
    await filed('acme', 'long');
    await filed('other', 'short');
    await filed(null, 'unknown');
    await setRetention(
      archive,
      rules(
        { tenant: 'acme', class: 'short', keepDays: 'forever' },
        { tenant: 'acme', keepDays: 10 },
        { class: 'short', keepDays: 20 },
      ),
    );
    const erased = async () => (await purgeExpired(archive, { reason: 'retention' })).entries;
    nowMs += 9 * DAY;
    expect(await erased()).toBe(0);
    nowMs += 2 * DAY;
    expect(await erased()).toBe(1);
    nowMs += 10 * DAY;
    expect(await erased()).toBe(1);
    nowMs += 10_000 * DAY;
    expect(await erased()).toBe(0);
    expect(
      (await archive.store.statements({}, { after: null, limit: 9 })).map((row) => [row.tenant, row.retentionClass]),
    ).toEqual([
      ['acme', 'short'],
      [null, 'unknown'],
    ]);
  });

  test('a claimed time long past does not shorten what is kept; one in the future does lengthen it', async () => {
    await filler.add(1, { tenant: 'past', retentionClass: 'default' }, { timeMs: 1000 });
    await filler.add(1, { tenant: 'future', retentionClass: 'default' }, { timeMs: nowMs + 100 * DAY });
    await setRetention(archive, rules({ keepDays: 10 }));
    expect((await purgeExpired(archive, { reason: 'retention' })).entries).toBe(0);
    nowMs += 11 * DAY;
    expect((await purgeExpired(archive, { reason: 'retention' })).entries).toBe(1);
    expect(await counted({ tenant: 'future' })).toBe(1);
  });

  test('the rules in force are the newest that were set', async () => {
    expect(await retentionInForce(archive)).toEqual([]);
    await setRetention(archive, rules({ keepDays: 1 }));
    await setRetention(archive, rules({ keepDays: 2 }));
    expect(await retentionInForce(archive)).toMatchObject([{ keepDays: 2 }]);
  });

  test.each([
    ['no JSON', utf8('{')],
    ['another profile', utf8('{"profile":"x","rules":[]}')],
    ['a field of its own', utf8('{"profile":"veritee/retention/v1","rules":[],"x":1}')],
    ['no days', rules({})],
    ['zero days', rules({ keepDays: 0 })],
    ['half a day', rules({ keepDays: 0.5 })],
    ['an empty class', rules({ keepDays: 1, class: '' })],
    ['one name twice', rules({ keepDays: 1, name: 'a' }, { keepDays: 1, name: 'a' })],
    ['a list of something', utf8('{"profile":"veritee/retention/v1","rules":[1]}')],
  ])('%s is refused', (_, file) => {
    expect(() => parseRetentionRules(file)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});

test('a write-once archive erases nothing, at anybody’s word', async () => {
  const worm = await open(path.join(folder, 'worm'), { ...DEFAULT_SETTINGS, writeOnce: true });
  try {
    const own = await Filler.start(worm);
    await own.add(2, { tenant: 'acme', retentionClass: 'default' }, { private: true });
    await setRetention(worm, rules({ keepDays: 1 }));
    for (const attempt of [
      () => purgeScope(worm, scopeOf({ tenant: 'acme' }), REASON),
      () => purgeExpired(worm, REASON),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'ARCHIVE_WRITE_ONCE' });
    }
    expect(await worm.store.countStatements({})).toBe(2);
    expect(await finishPurges(worm)).toBe(0);
  } finally {
    await worm.close();
  }
});

describe('kill -9', () => {
  let script: string;
  let place: string;

  beforeAll(async () => {
    const { mkdirSync } = await import('node:fs');
    const cache = path.join(ROOT, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    place = mkdtempSync(path.join(cache, 'veritee-purge-')); // beside the packages that the bundle imports
    script = path.join(place, 'child.mjs');
    await build({
      absWorkingDir: ROOT,
      entryPoints: ['test/archive/purge-child.ts'],
      outfile: script,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'es2022',
      conditions: ['veritee-source', 'node'],
      external: ['better-sqlite3', 'pg', '@aws-sdk/*', 'cbor-x'],
      logLevel: 'error',
    });
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  test('at every write step of a purge: it happened or it did not, and the next one finishes it', async () => {
    await filler.add(3, { tenant: 'other', retentionClass: 'default' }, { private: true });
    await filler.add(2, { tenant: 'acme', retentionClass: 'default' }, { private: true });
    const whence = archive.folder;
    await archive.close();
    const run = (copy: string, killAt: number) =>
      spawnSync(process.execPath, [script, copy, String(killAt)], { encoding: 'utf8' });
    const copyOf = (name: string): string => {
      const copy = path.join(folder, name);
      cpSync(whence, copy, { recursive: true });
      return copy;
    };
    const whole = run(copyOf('whole'), 0);
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    const steps = Number(whole.stdout);
    expect(steps).toBeGreaterThan(10);

    const outcomes = new Set<string>();
    for (let killAt = 1; killAt <= steps; killAt++) {
      const copy = copyOf(`killed-${killAt}`);
      expect(run(copy, killAt).signal).toBe('SIGKILL');
      archive = await openArchive({ folder: copy, mode: 'write' }, { now: () => nowMs, by: 'tester' });
      const left = await counted({ tenant: 'acme' });
      outcomes.add(`${left} left`);
      const tombstones = (await archive.store.actsOf('purge')).length;
      expect([killAt, left, tombstones]).toEqual([killAt, left === 0 ? 0 : 2, left === 0 ? 1 : 0]);
      await purgeScope(archive, scopeOf({ tenant: 'acme' }), REASON);
      expect([killAt, await finishPurges(archive)]).toEqual([killAt, 0]);
      for (const [i, { sequence, request }] of filler.answers.entries()) {
        const salts = Buffer.from(request.salt).toString('hex');
        expect([killAt, i, isOnDisk(utf8(salts))]).toEqual([killAt, i, i < 3]);
        expect(await proofHolds(sequence)).toBe(true);
      }
      await archive.close();
      expect([killAt, await defects()]).toEqual([killAt, []]);
      rmSync(copy, { recursive: true });
    }
    expect(outcomes).toEqual(new Set(['2 left', '0 left']));
  }, 300_000);
});
