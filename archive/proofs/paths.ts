/** Inclusion paths by the thousand: every tile that is read is hashed up once and kept for its neighbours. */
import { CodedError, type Hash, inclusionPath, type NodeRef, TILE_WIDTH, tileWidth } from '@veritee/protocol';
import { nodeHashOf } from '../log/frontier.ts';
import { readTile } from '../log/proofs.ts';
import type { ArchiveStore } from '../store/port.ts';

const TILE_HEIGHT = 8;
const MAX_TILES = 64;

/** `rows[k]` holds the roots of the complete subtrees of 2^k of the tile's hashes. */
type Pyramid = readonly (readonly Hash[])[];

export function pyramidOf(hashes: Uint8Array): Pyramid {
  const base = Array.from({ length: hashes.length / 32 }, (_, i) => hashes.subarray(32 * i, 32 * i + 32) as Hash);
  const rows: Hash[][] = [base];
  for (let below: readonly Hash[] = base; below.length > 1; ) {
    const row = Array.from({ length: Math.floor(below.length / 2) }, (_, i) =>
      nodeHashOf(below[2 * i] as Hash, below[2 * i + 1] as Hash),
    );
    rows.push(row);
    below = row;
  }
  return rows;
}

/** The paths of one boot's log, of which the first `end` entries are stored. */
export class Paths {
  readonly #store: Pick<ArchiveStore, 'leaves' | 'nodes'>;
  readonly #boot: string;
  readonly #end: number;
  readonly #tiles = new Map<string, Pyramid>();

  constructor(store: Pick<ArchiveStore, 'leaves' | 'nodes'>, boot: string, end: number) {
    this.#store = store;
    this.#boot = boot;
    this.#end = end;
  }

  /** @throws CodedError STORE_FAILED a tile is not whole in the archive */
  async of(index: number, size: number): Promise<Hash[]> {
    if (size > this.#end) {
      throw new CodedError('STORE_FAILED', `boot ${this.#boot}: ${this.#end} entries stored, ${size} needed`, {
        field: 'tile',
      });
    }
    for (;;) {
      let missing: NodeRef | null = null;
      const path = inclusionPath(index, size, (node) => {
        const hash = this.#kept(node);
        if (hash) return hash;
        missing ??= node;
        return PLACEHOLDER;
      });
      if (missing === null) return path;
      await this.#fetch(missing);
    }
  }

  #kept({ level, index }: NodeRef): Hash | undefined {
    const [name, row, at] = placeOf(level, index);
    return this.#tiles.get(name)?.[row]?.[at];
  }

  async #fetch({ level, index }: NodeRef): Promise<void> {
    const [name] = placeOf(level, index);
    const [tileLevel, tileIndex] = name.split('/').map(Number) as [number, number];
    const width = tileWidth(tileLevel, tileIndex, this.#end);
    const hashes = await readTile(this.#store, this.#boot, tileLevel, tileIndex, width);
    const oldest = this.#tiles.keys().next();
    if (this.#tiles.size >= MAX_TILES && !oldest.done) this.#tiles.delete(oldest.value);
    this.#tiles.set(name, pyramidOf(hashes));
  }
}

/** Stands for what is still to be fetched; no path that holds it is handed out. */
const PLACEHOLDER = new Uint8Array(32) as Hash;

function placeOf(level: number, index: number): readonly [tile: string, row: number, at: number] {
  const row = level % TILE_HEIGHT;
  const perTile = TILE_WIDTH / 2 ** row;
  return [`${Math.floor(level / TILE_HEIGHT)}/${Math.floor(index / perTile)}`, row, index % perTile];
}
