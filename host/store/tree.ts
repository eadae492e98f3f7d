import { type Hash, type NodeRef, nodeHash, type ReadNode } from '@veritee/protocol';

const TILE_HEIGHT = 8;
const MAX_REMEMBERED = 32_768;

/** Reads a node at a multiple of eight levels. */
export type ReadBaseNode = (tileLevel: number, index: number) => Hash;

/**
 * Complete nodes of one log: those at multiples of eight levels are stored, those between are hashed and remembered.
 * A complete node never changes, so what is remembered stays true as long as its leaves are durable.
 */
export class TreeNodes {
  readonly #readBase: ReadBaseNode;
  readonly #remembered = new Map<string, Hash>();

  constructor(readBase: ReadBaseNode) {
    this.#readBase = readBase;
  }

  readonly read: ReadNode = ({ level, index }: NodeRef): Hash => {
    if (level % TILE_HEIGHT === 0) return this.#readBase(level / TILE_HEIGHT, index);
    const key = `${level}/${index}`;
    const known = this.#remembered.get(key);
    if (known) return known;
    const below = level - 1;
    const hash = nodeHash(
      this.read({ level: below, index: 2 * index }),
      this.read({ level: below, index: 2 * index + 1 }),
    );
    if (this.#remembered.size >= MAX_REMEMBERED) {
      this.#remembered.delete(this.#remembered.keys().next().value as string);
    }
    this.#remembered.set(key, hash);
    return hash;
  };

  /** After a rolled back write, whose leaves may have been read. */
  forget(): void {
    this.#remembered.clear();
  }
}
