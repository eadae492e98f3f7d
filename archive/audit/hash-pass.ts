/**
 * The first pass: every stored entry is hashed again and the tree is built anew. Its cost is two SHA-256 an entry, and
 * no byte is parsed: roots under hardware signatures vouch for all of it at once.
 */
import { hash } from 'node:crypto';
import { TILE_WIDTH } from '@veritee/protocol';
import { finding } from '../findings.ts';
import type { ArchiveStore, EntryRow, Range } from '../store/port.ts';
import { Defects, type Found } from './defects.ts';
import type { Erased } from './ledger.ts';

export interface HashTask extends Range {
  readonly pass: 'hash';
  /** Sizes after `from`, up to `to`, whose roots are to be compared; ascending. `from` is a multiple of 256. */
  readonly heads: readonly number[];
  /** Under a report: below it the root of every whole block is stored. */
  readonly reported: number;
  /** What purges erased of this boot. */
  readonly erased: readonly Erased[];
}

export interface HashAnswer {
  readonly pass: 'hash';
  readonly entries: number;
  readonly purged: number;
  readonly bytes: number;
  /** Root of each whole block of 256 leaves, up to the first missing entry. */
  readonly blocks: readonly string[];
  /** Under each head, the complete subtrees of its last block, largest first. */
  readonly edges: readonly (readonly string[])[];
  /** Index of the first entry that is not stored: nothing from there on can be compared with a root. */
  readonly missing: number | null;
  /** Blocks whose stored node is another, by number within the boot. */
  readonly differing: readonly number[];
  readonly found: Found;
}

const LEAF = 0;
const NODE = 1;
const leafInput = Buffer.alloc(1 + 0x1_0000, LEAF);
const nodeInput = Buffer.alloc(65, NODE);

/** RFC 9162 §2.1. Hashes are held as 32 latin-1 characters: making that string costs a third of making a buffer. */
export function leafDigest(entry: Uint8Array): string {
  if (entry.length >= leafInput.length) return hash('sha256', Buffer.concat([Uint8Array.of(LEAF), entry]), 'binary');
  leafInput.set(entry, 1);
  return hash('sha256', leafInput.subarray(0, 1 + entry.length), 'binary');
}

export function nodeDigest(left: string, right: string): string {
  nodeInput.write(left, 1, 'latin1');
  nodeInput.write(right, 33, 'latin1');
  return hash('sha256', nodeInput, 'binary');
}

export const latin1 = (digest: Uint8Array): string =>
  Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('latin1');

/** Complete subtrees of a growing tree, largest first. */
export class Edge {
  #size = 0;
  #edge: string[] = [];

  append(node: string): void {
    let joined = node;
    for (let index = this.#size; index % 2 === 1; index = (index - 1) / 2) {
      joined = nodeDigest(this.#edge.pop() as string, joined);
    }
    this.#edge.push(joined);
    this.#size += 1;
  }

  get size(): number {
    return this.#size;
  }

  get subtrees(): readonly string[] {
    return [...this.#edge];
  }

  /** @returns the root of the one complete subtree it holds, after which it is empty */
  take(): string {
    const [root = ''] = this.#edge;
    this.#edge = [];
    this.#size = 0;
    return root;
  }
}

export async function hashPass(store: ArchiveStore, task: HashTask): Promise<HashAnswer> {
  const rows = await store.entries(task);
  const stored = await storedBlocks(store, task);
  const defects = new Defects();
  const isErased = (index: number, act: number): boolean =>
    task.erased.some((range) => range.act === act && index >= range.from && index < range.to);
  const blocks: string[] = [];
  const edges: (readonly string[])[] = [];
  const differing: number[] = [];
  const edge = new Edge();
  let [head, purged, bytes] = [0, 0, 0];
  let next = task.from;
  for (const row of rows) {
    bytes += row.cose?.length ?? 0;
    if (!row.cose) purged += 1;
    const leaf = checkedLeaf(row, isErased, defects);
    if (row.index !== next) continue; // behind a gap there is no tree
    next += 1;
    edge.append(leaf);
    if (task.heads[head] === next) {
      edges.push(edge.size === TILE_WIDTH ? [] : edge.subtrees);
      head += 1;
    }
    if (edge.size < TILE_WIDTH) continue;
    const block = edge.take();
    if (blocks.length < stored.length && stored[blocks.length] !== block)
      differing.push(task.from / TILE_WIDTH + blocks.length);
    blocks.push(block);
  }
  return {
    pass: 'hash',
    entries: rows.length,
    purged,
    bytes,
    blocks,
    edges,
    missing: next < task.to ? next : null,
    differing,
    found: defects.found(),
  };
}

function checkedLeaf(row: EntryRow, isErased: (index: number, act: number) => boolean, defects: Defects): string {
  const { boot, index } = row;
  const leaf = latin1(row.leaf);
  if (row.cose) {
    const own = leafDigest(row.cose);
    if (own === leaf) return leaf;
    defects.add(finding('ENTRY_ALTERED', `entry ${index} does not hash to its leaf`, { boot, index }));
    return own;
  }
  if (row.purge === null || !isErased(index, row.purge)) {
    const text = `the content of entry ${index} is gone, and no tombstone says why`;
    defects.add(finding('ENTRY_MISSING', text, { boot, index }));
  }
  return leaf;
}

/** The archive keeps the root of every whole block, to make proofs from. */
async function storedBlocks(
  store: ArchiveStore,
  { boot, from, to, reported }: HashTask,
): Promise<readonly (string | undefined)[]> {
  const [first, last] = [from / TILE_WIDTH, Math.floor(Math.min(to, reported) / TILE_WIDTH)];
  if (last <= first) return [];
  const blocks: (string | undefined)[] = [];
  const joined = await store.nodes(boot, 1, first, last);
  for (let i = first; i < last; i++) {
    const at = 32 * (i - first);
    const one = joined ? joined.subarray(at, at + 32) : await store.nodes(boot, 1, i, i + 1);
    blocks.push(one ? latin1(one) : undefined);
  }
  return blocks;
}
