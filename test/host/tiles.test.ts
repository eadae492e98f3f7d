import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  consistencyPath,
  type Hash,
  nodesFromTiles,
  rootFromInclusion,
  rootOf,
  TILE_WIDTH,
  tilesOf,
  treeRoot,
  verifyConsistency,
} from '@veritee/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SqliteStore } from '../../host/store/sqlite.ts';
import { FakeLog } from '../support/fake-log.ts';
import { entryRecord, evidenceRecord, fill, openStore } from './support.ts';

/** Reads a whole tree back through its tiles alone, as a mirror would. */
async function tileReader(store: SqliteStore, boot: string, size: number) {
  const tiles = new Map<string, Uint8Array>();
  for (const { level, index, width } of tilesOf(size)) {
    const tile = await store.tile(boot, level as number, index, width);
    expect(tile?.length).toBe(32 * width);
    tiles.set(`${level}/${index}`, tile as Uint8Array);
  }
  return nodesFromTiles((level, index) => tiles.get(`${level}/${index}`) as Uint8Array);
}

describe('a log that grows past a tile', () => {
  const SIZES = [1, 2, 3, 255, 256, 257, 300, 511, 512, 513];

  test('proves every index at several sizes, and gives the same tree through its tiles', async () => {
    const store = openStore();
    const log = new FakeLog({ unsigned: true });
    for (const size of SIZES) {
      await fill(store, log, size);
      const root = rootOf(log.leaves);
      for (let index = 0; index < size; index++) {
        const path = await store.inclusionPath(log.boot, index, size);
        expect(rootFromInclusion(log.leaves[index] as Hash, index, size, path)).toEqual(root);
      }
      expect(treeRoot(size, await tileReader(store, log.boot, size))).toEqual(root);
    }
  });

  test('still proves and serves every earlier size', async () => {
    const store = openStore();
    const log = new FakeLog({ unsigned: true });
    await fill(store, log, 600);
    for (const size of SIZES) {
      const root = rootOf(log.leaves.slice(0, size));
      for (let index = 0; index < size; index++) {
        const path = await store.inclusionPath(log.boot, index, size);
        expect(rootFromInclusion(log.leaves[index] as Hash, index, size, path)).toEqual(root);
      }
      const node = await tileReader(store, log.boot, size);
      expect(treeRoot(size, node)).toEqual(root);
      const proof = consistencyPath(size, 600, await tileReader(store, log.boot, 600));
      expect(verifyConsistency(size, 600, root, rootOf(log.leaves), proof)).toBe(true);
    }
  });

  test('serves every width of a tile and no wider one', async () => {
    const store = openStore();
    const log = new FakeLog({ unsigned: true });
    await fill(store, log, 300);
    const bytesOf = (start: number, end: number) => Buffer.concat(log.leaves.slice(start, end));
    for (let width = 1; width <= TILE_WIDTH; width++) {
      expect(Buffer.from((await store.tile(log.boot, 0, 0, width)) ?? [])).toEqual(bytesOf(0, width));
    }
    for (let width = 1; width <= 44; width++) {
      expect(Buffer.from((await store.tile(log.boot, 0, 1, width)) ?? [])).toEqual(bytesOf(256, 256 + width));
    }
    expect(await store.tile(log.boot, 0, 1, 45)).toBeNull();
    expect(await store.tile(log.boot, 0, 2, 1)).toBeNull();
    expect(await store.tile(log.boot, 1, 0, 1)).toEqual(new Uint8Array(rootOf(log.leaves.slice(0, 256))));
    expect(await store.tile(log.boot, 1, 0, 2)).toBeNull();
    expect(await store.tile(log.boot, 2, 0, 1)).toBeNull();
    expect(await store.tile(log.boot, 63, 2 ** 40, 256)).toBeNull();
  });
});

describe('a log that grows past a tile of tiles', () => {
  const SIZE = 65_536 + 257;
  const log = new FakeLog({ unsigned: true });
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'veritee-tiles-'));
    const store = SqliteStore.open(folder);
    await fill(store, log, SIZE);
    await store.append(log.boot, [evidenceRecord(log.evidence())]);
    await store.close();
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each([65_535, 65_536, 65_537, SIZE])('proves a sample at size %i', async (size) => {
    const store = openStore(folder);
    const root = rootOf(log.leaves.slice(0, size));
    const sample = [0, 1, 254, 255, 256, 257, 32_767, 32_768, 65_279, 65_280, 65_534, 65_535, 65_536, 65_537, size - 1];
    for (let i = 0; i < 60; i++) sample.push((i * 7919) % size);
    for (const index of sample) {
      if (index >= size) continue;
      const path = await store.inclusionPath(log.boot, index, size);
      expect(rootFromInclusion(log.leaves[index] as Hash, index, size, path)).toEqual(root);
    }
    expect(treeRoot(size, await tileReader(store, log.boot, size))).toEqual(root);
  });

  test('stores a full tile at level 1 and the one hash above it', async () => {
    const store = openStore(folder);
    const full = await store.tile(log.boot, 1, 0, 256);
    expect(full?.length).toBe(8192);
    expect(await store.tile(log.boot, 2, 0, 1)).toEqual(new Uint8Array(rootOf(log.leaves.slice(0, 65_536))));
    expect(await store.tile(log.boot, 1, 1, 1)).toEqual(new Uint8Array(rootOf(log.leaves.slice(65_536, 65_792))));
    expect(await store.tile(log.boot, 1, 1, 2)).toBeNull();
  });

  test('goes on from where it was', async () => {
    const store = openStore(folder);
    log.statement();
    const done = await store.append(log.boot, [entryRecord(log.entries[SIZE]!), evidenceRecord(log.evidence())]);
    expect(done.size).toBe(SIZE + 1);
  });
});
