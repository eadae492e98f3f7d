import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Hash, rootFromInclusion, rootOf, TILE_WIDTH } from '@veritee/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SqliteStore } from '../../host/store/sqlite.ts';
import { bundle, removeBundles } from './bundle.ts';
import { CrashLog } from './crash-log.ts';
import { entryRecord, evidenceRecord, tempFolder } from './support.ts';

const KILLS = 25;
let child: string;

afterAll(removeBundles);
beforeAll(async () => {
  child = join(await bundle('test/host/crash-child.ts'), 'crash-child.js');
});

/** Lets a writer work for a random while, kills it without warning. @returns what it had acknowledged */
async function killedWriter(folder: string, seed: number): Promise<{ size: number; evidence: number }> {
  const writer = spawn(process.execPath, [child, folder, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(writer, 'exit');
  let last = '0 0';
  const lines = createInterface({ input: writer.stdout });
  const ready = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line.startsWith('ready')) resolve();
      else last = line;
    });
  });
  await ready;
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
  writer.kill('SIGKILL');
  const [, signal] = await exited;
  expect(signal).toBe('SIGKILL');
  const [size = 0, evidence = 0] = last.split(' ').map(Number);
  return { size, evidence };
}

/** Everything that must hold of a store, whatever happened to its writer. */
async function expectWhole(store: SqliteStore, log: CrashLog, acknowledged: number): Promise<number> {
  const boot = await store.boot(log.boot);
  const size = boot?.size ?? 0;
  expect(size).toBeGreaterThanOrEqual(acknowledged);
  if (size === 0) return 0;
  log.extendTo(size);
  expect(await store.entries(log.boot, 0, size + 1)).toEqual(log.entries.slice(0, size));
  const root = rootOf(log.leaves.slice(0, size));
  for (const index of [0, Math.floor(size / 2), size - 1]) {
    const path = await store.inclusionPath(log.boot, index, size);
    expect(rootFromInclusion(log.leaves[index] as Hash, index, size, path)).toEqual(root);
    if (index > 0) expect(await store.statementOf(CrashLog.receiptId(index))).toEqual({ boot: log.boot, index });
  }
  for (let tile = 0; (tile + 1) * TILE_WIDTH <= size; tile++) {
    const hashes = Buffer.concat(log.leaves.slice(tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH));
    expect(Buffer.from((await store.tile(log.boot, 0, tile, TILE_WIDTH)) ?? [])).toEqual(hashes);
  }
  const evidence = await store.latestEvidence(log.boot);
  expect(evidence?.size ?? 0).toBeLessThanOrEqual(size);
  expect(await store.statementOf(CrashLog.receiptId(size))).toBeNull();
  return size;
}

test(`holds every acknowledged record after each of ${KILLS} kills`, { timeout: 180_000 }, async () => {
  const folder = tempFolder();
  const log = new CrashLog();
  let acknowledged = { size: 0, evidence: 0 };
  for (let kill = 0; kill < KILLS; kill++) {
    const { size, evidence } = await killedWriter(folder, kill + 1);
    acknowledged = {
      size: Math.max(acknowledged.size, size),
      evidence: Math.max(acknowledged.evidence, evidence),
    };
    const store = SqliteStore.open(folder); // the kernel gave the lock back
    await expectWhole(store, log, acknowledged.size);
    expect((await store.latestEvidence(log.boot))?.size ?? 0).toBeGreaterThanOrEqual(acknowledged.evidence);
    await store.close();
  }
  expect(acknowledged.size).toBeGreaterThan(TILE_WIDTH);
  expect(acknowledged.evidence).toBeGreaterThan(0);
});

test('is a whole log after the write-ahead log is cut at any byte, as a power failure may', {
  timeout: 120_000,
}, async () => {
  const folder = tempFolder();
  const log = new CrashLog();
  const store = SqliteStore.open(folder);
  await store.startBoot(log.boot, 'crash');
  const commits: { readonly walBytes: number; readonly size: number }[] = [];
  const wal = join(folder, 'host.sqlite-wal');
  for (let at = 0; at < 400; ) {
    const end = at + 1 + ((at * 7) % 23);
    log.extendTo(end);
    await store.append(log.boot, [...log.entries.slice(at, end).map(entryRecord), evidenceRecord(log.evidence())]);
    commits.push({ walBytes: statSync(wal).size, size: end });
    at = end;
  }
  const whole = statSync(wal).size;
  expect(whole).toBeGreaterThan(100_000);
  for (let cut = 0; cut < 30; cut++) {
    const length = Math.floor((whole * cut) / 29);
    const copy = join(folder, `cut-${cut}`);
    mkdirSync(copy);
    copyFileSync(join(folder, 'host.sqlite'), join(copy, 'host.sqlite'));
    copyFileSync(wal, join(copy, 'host.sqlite-wal'));
    truncateSync(join(copy, 'host.sqlite-wal'), length);
    const reopened = SqliteStore.open(copy);
    const flushed = commits.filter(({ walBytes }) => walBytes <= length).at(-1)?.size ?? 0;
    expect(await expectWhole(reopened, log, flushed)).toBeLessThanOrEqual(400 + 23);
    await reopened.close();
  }
  await store.close();
  expect(existsSync(wal)).toBe(false); // a clean close leaves one file
});
