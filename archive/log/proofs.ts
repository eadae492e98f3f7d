/** Proofs over a boot's log from what is stored: leaves, and one node for every 256 below it. */
import {
  bytes,
  CodedError,
  consistencyPath,
  type Hash,
  inclusionPath,
  type NodeRef,
  nodesFromTiles,
  type ReadNode,
  TILE_WIDTH,
  tileWidth,
} from '@veritee/protocol';
import type { ArchiveStore } from '../store/port.ts';
import { nodeHashOf } from './frontier.ts';

const TILE_HEIGHT = 8;
type Nodes = Pick<ArchiveStore, 'leaves' | 'nodes'>;

/** Up to 256 hashes of a C2SP tile, level 0 being the leaves. @throws CodedError STORE_FAILED one is not stored */
export async function readTile(
  store: Nodes,
  boot: string,
  level: number,
  index: number,
  width: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const from = index * TILE_WIDTH;
  const hashes =
    level === 0
      ? await store.leaves({ boot, from, to: from + width })
      : await store.nodes(boot, level, from, from + width);
  if (hashes) return hashes;
  throw new CodedError('STORE_FAILED', `boot ${boot}: tile ${level}/${index} is not whole in the archive`, {
    field: 'tile',
  });
}

/** Root of one complete subtree. */
export async function readNode(store: Nodes, boot: string, { level, index }: NodeRef): Promise<Hash> {
  const span = 2 ** (level % TILE_HEIGHT);
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const from = index * span;
  const joined =
    tileLevel === 0
      ? await store.leaves({ boot, from, to: from + span })
      : await store.nodes(boot, tileLevel, from, from + span);
  if (!joined)
    throw new CodedError('STORE_FAILED', `boot ${boot}: node ${level}/${index} is not in the archive`, {
      field: 'tile',
    });
  let row = Array.from({ length: span }, (_, i) => joined.subarray(32 * i, 32 * i + 32));
  while (row.length > 1) {
    row = Array.from({ length: row.length / 2 }, (_, i) =>
      nodeHashOf(row[2 * i] as Uint8Array, row[2 * i + 1] as Uint8Array),
    );
  }
  return bytes(row[0] as Uint8Array, 32, 'node');
}

/**
 * A reader for the proofs of one tree of `size` leaves. Proofs are made by synchronous code: the tiles it asks for are
 * fetched between its attempts, a few per level.
 */
async function withNodes<T>(store: Nodes, boot: string, size: number, prove: (read: ReadNode) => T): Promise<T> {
  const tiles = new Map<string, Uint8Array>();
  for (;;) {
    const missing: { readonly level: number; readonly index: number }[] = [];
    const read = nodesFromTiles((level, index) => {
      const tile = tiles.get(`${level}/${index}`);
      if (tile) return tile;
      missing.push({ level, index });
      throw new MissingTile();
    });
    try {
      return prove(read);
    } catch (error) {
      if (!(error instanceof MissingTile)) throw error;
    }
    for (const { level, index } of missing) {
      tiles.set(`${level}/${index}`, await readTile(store, boot, level, index, tileWidth(level, index, size)));
    }
  }
}

class MissingTile extends Error {
  override readonly name = 'MissingTile';
}

/** Path of entry `index` in the tree of the first `size`. */
export const proveInclusion = (store: Nodes, boot: string, index: number, size: number): Promise<Hash[]> =>
  withNodes(store, boot, size, (read) => inclusionPath(index, size, read));

export const proveConsistency = (store: Nodes, boot: string, first: number, second: number): Promise<Hash[]> =>
  withNodes(store, boot, second, (read) => consistencyPath(first, second, read));
