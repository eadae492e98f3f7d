/**
 * The Merkle tree of RFC 9162 §2.1 over SHA-256: roots, inclusion and consistency proofs.
 *
 * Sizes go to 2^53−1, so indices are halved by division, never by 32-bit shifts.
 */
import { type Bytes, equalBytes } from './bytes.ts';
import { sha256 } from './hash.ts';

export type Hash = Bytes<32>;

/** Leaf hash: SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Hash {
  const input = new Uint8Array(1 + entry.length);
  input.set(entry, 1);
  return sha256(input);
}

/** Node hash: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Hash, right: Hash): Hash {
  const input = new Uint8Array(65);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 33);
  return sha256(input);
}

/** Root of the empty tree: SHA-256 of nothing. */
export const emptyRoot = (): Hash => sha256(new Uint8Array(0));

/** A complete subtree: the 2^level leaves from index · 2^level on. */
export interface NodeRef {
  readonly level: number;
  readonly index: number;
}

/** The tree's right edge: appending needs O(log n) memory and no stored leaf. */
export class MerkleFrontier {
  #size = 0;
  /** Roots of the complete subtrees that make up the tree, largest first; their sizes are the set bits of `size`. */
  readonly #edge: Hash[] = [];

  get size(): number {
    return this.#size;
  }

  /** @returns the complete nodes this leaf finished, leaf first: what a store of nodes has to write */
  append(leaf: Hash): (NodeRef & { hash: Hash })[] {
    let node = leaf;
    let level = 0;
    let index = this.#size;
    const finished = [{ level, index, hash: node }];
    while (index % 2 === 1) {
      node = nodeHash(this.#edge.pop() as Hash, node);
      index = (index - 1) / 2;
      level += 1;
      finished.push({ level, index, hash: node });
    }
    this.#edge.push(node);
    this.#size += 1;
    return finished;
  }

  root(): Hash {
    if (this.#edge.length === 0) return emptyRoot();
    return this.#edge.reduceRight((right, left) => nodeHash(left, right));
  }
}

/** Root of a list of leaves held in memory, as for the tree of nonces. */
export function rootOf(leaves: readonly Hash[]): Hash {
  const tree = new MerkleFrontier();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/** Largest power of two below n; n ≥ 2. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** Gives the hash of a complete subtree; throws when it is not stored. */
export type ReadNode = (node: NodeRef) => Hash;

/** MTH(D[start:end]) for a start that is aligned to the range, from complete subtrees alone. */
function rangeRoot(start: number, end: number, read: ReadNode): Hash {
  const size = end - start;
  let level = 0;
  for (let width = 1; width < size; width *= 2) level += 1;
  if (2 ** level === size) return read({ level, index: start / size });
  const k = split(size);
  return nodeHash(rangeRoot(start, start + k, read), rangeRoot(start + k, end, read));
}

/** Root of the first `size` leaves, from complete subtrees. */
export const treeRoot = (size: number, read: ReadNode): Hash => (size === 0 ? emptyRoot() : rangeRoot(0, size, read));

/** RFC 9162 §2.1.3.1: the path of leaf `index` in the tree of the first `size` leaves. */
export function inclusionPath(index: number, size: number, read: ReadNode): Hash[] {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  const path: Hash[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + split(end - start);
    if (index < middle) {
      path.push(rangeRoot(middle, end, read));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle, read));
      start = middle;
    }
  }
  return path.reverse();
}

/** RFC 9162 §2.1.4.1: proof that the tree of `first` leaves is a prefix of the tree of `second` leaves. */
export function consistencyPath(first: number, second: number, read: ReadNode): Hash[] {
  if (!(first > 0 && first <= second)) throw new RangeError(`no consistency proof from ${first} to ${second}`);
  const path: Hash[] = [];
  let start = 0;
  let end = second;
  let whole = true; // the subtree in hand began at leaf 0, so the old root itself need not be sent
  while (end !== first) {
    const middle = start + split(end - start);
    if (first <= middle) {
      path.push(rangeRoot(middle, end, read));
      end = middle;
    } else {
      path.push(rangeRoot(start, middle, read));
      start = middle;
      whole = false;
    }
  }
  if (!whole) path.push(rangeRoot(start, end, read));
  return path.reverse();
}

/** RFC 9162 §2.1.3.2. @returns the root the path leads to, or null when index, size and path length do not fit */
export function rootFromInclusion(leaf: Hash, index: number, size: number, path: readonly Hash[]): Hash | null {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  let fn = index;
  let sn = size - 1;
  let root = leaf;
  for (const node of path) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      root = nodeHash(node, root);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      root = nodeHash(root, node);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? root : null;
}

/** RFC 9162 §2.1.4.2. */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Hash,
  secondRoot: Hash,
  path: readonly Hash[],
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 1 || first > second) return false;
  if (first === second) return path.length === 0 && equalBytes(firstRoot, secondRoot);
  let exact = first;
  while (exact % 2 === 0) exact /= 2;
  const nodes = exact === 1 ? [firstRoot, ...path] : [...path]; // first is a power of two: its root starts the proof
  const start = nodes.shift();
  if (!start) return false;
  let fn = first - 1;
  let sn = second - 1;
  while (fn % 2 === 1) {
    fn = (fn - 1) / 2;
    sn = Math.floor(sn / 2);
  }
  let fr = start;
  let sr = start;
  for (const node of nodes) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(node, fr);
      sr = nodeHash(node, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      sr = nodeHash(sr, node);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 && equalBytes(fr, firstRoot) && equalBytes(sr, secondRoot);
}
