import { hash } from 'node:crypto';
import { type Hash, type NodeRef, nodeHash as portableNodeHash, sha256 } from '@veritee/protocol';

/** RFC 9162 §2.1 hashing by node:crypto, several times as fast as the portable one; a test holds them equal. */
const digest = (input: Uint8Array): Hash => new Uint8Array(hash('sha256', input, 'buffer')) as Hash;

export const sha256Of = digest;

export function leafHashOf(entry: Uint8Array): Hash {
  const input = new Uint8Array(1 + entry.length);
  input.set(entry, 1);
  return digest(input);
}

export function nodeHashOf(left: Uint8Array, right: Uint8Array): Hash {
  const input = new Uint8Array(65);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 33);
  return digest(input);
}

/** A tree's right edge that can be taken up again from stored nodes, and thrown away when a write fails. */
export class Frontier {
  #size: number;
  /** Roots of the complete subtrees that make up the tree, largest first; their sizes are the set bits of `size`. */
  #edge: readonly Hash[];

  private constructor(size: number, edge: readonly Hash[]) {
    this.#size = size;
    this.#edge = edge;
  }

  static readonly empty = (): Frontier => new Frontier(0, []);

  /** @param read gives the complete subtrees that `edgeOf(size)` names */
  static async from(size: number, read: (node: NodeRef) => Promise<Hash>): Promise<Frontier> {
    const edge: Hash[] = [];
    for (const node of edgeOf(size)) edge.push(await read(node));
    return new Frontier(size, edge);
  }

  get size(): number {
    return this.#size;
  }

  copy(): Frontier {
    return new Frontier(this.#size, this.#edge);
  }

  /** @returns the complete nodes above the leaf that it finished, lowest first */
  append(leaf: Hash): (NodeRef & { readonly hash: Hash })[] {
    const edge = [...this.#edge];
    const finished: (NodeRef & { readonly hash: Hash })[] = [];
    let node = leaf;
    let index = this.#size;
    for (let level = 1; index % 2 === 1; level++) {
      node = nodeHashOf(edge.pop() as Hash, node);
      index = (index - 1) / 2;
      finished.push({ level, index, hash: node });
    }
    edge.push(node);
    this.#edge = edge;
    this.#size += 1;
    return finished;
  }

  root(): Hash {
    if (this.#edge.length === 0) return sha256(new Uint8Array(0));
    return this.#edge.reduceRight((right, left) => portableNodeHash(left, right));
  }
}

/** The complete subtrees of a tree of `size` leaves, largest first. */
export function edgeOf(size: number): NodeRef[] {
  const edge: NodeRef[] = [];
  let start = 0;
  for (let width = 2 ** 52, level = 52; level >= 0; width /= 2, level--) {
    if (size - start < width) continue;
    edge.push({ level, index: start / width });
    start += width;
  }
  return edge;
}
