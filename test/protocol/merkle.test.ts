import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RFC9162 } from '@transmute/rfc9162';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hex, utf8 } from '../../protocol/bytes.ts';
import {
  consistencyPath,
  emptyRoot,
  type Hash,
  inclusionPath,
  leafHash,
  MerkleFrontier,
  type NodeRef,
  nodeHash,
  type ReadNode,
  rootFromInclusion,
  rootOf,
  treeRoot,
  verifyConsistency,
} from '../../protocol/merkle.ts';
import { unhex } from './support.ts';

// The recursive definitions of RFC 9162 §2.1 word for word, over node:crypto: slow, and nothing of ours in them.
const H = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
const cut = (n: number): number => 2 ** Math.ceil(Math.log2(n) - 1); // k: the largest power of two with k < n ≤ 2k
class Definition {
  readonly #d: readonly Uint8Array[];
  readonly #known = new Map<string, Buffer>(); // MTH(D[i:j]) is asked for over and over
  constructor(d: readonly Uint8Array[]) {
    this.#d = d;
  }
  mth(i: number, j: number): Buffer {
    if (j === i) return H();
    if (j - i === 1) return H(unhex('00'), this.#d[i]!);
    const name = `${i}:${j}`;
    const k = i + cut(j - i);
    const hash = this.#known.get(name) ?? H(unhex('01'), this.mth(i, k), this.mth(k, j));
    this.#known.set(name, hash);
    return hash;
  }
  /** PATH(m, D[i:j]), m counted from 0 in D. */
  path(m: number, i: number, j: number): Buffer[] {
    if (j - i === 1) return [];
    const k = i + cut(j - i);
    return m < k ? [...this.path(m, i, k), this.mth(k, j)] : [...this.path(m, k, j), this.mth(i, k)];
  }
  /** SUBPROOF(m, D[i:j], b), m counted from i. */
  subproof(m: number, i: number, j: number, b: boolean): Buffer[] {
    if (m === j - i) return b ? [] : [this.mth(i, j)];
    const k = cut(j - i);
    return m <= k
      ? [...this.subproof(m, i, i + k, b), this.mth(i + k, j)]
      : [...this.subproof(m - k, i + k, j, false), this.mth(i, i + k)];
  }
}

const entriesOf = (n: number): Uint8Array<ArrayBuffer>[] =>
  Array.from({ length: n }, (_, i) => utf8(`entry ${i}`) as Uint8Array<ArrayBuffer>);
const hexes = (hashes: readonly Uint8Array[]): string[] => hashes.map(hex);
const replaced = (path: readonly Hash[], i: number, ...by: Hash[]): Hash[] => [
  ...path.slice(0, i),
  ...by,
  ...path.slice(i + 1),
];

/** A store of exactly the nodes that `append` said to write; reading any other fails. */
function grow(entries: readonly Uint8Array[]): { tree: MerkleFrontier; nodes: Map<string, Hash>; read: ReadNode } {
  const tree = new MerkleFrontier();
  const nodes = new Map<string, Hash>();
  for (const entry of entries) {
    for (const { level, index, hash } of tree.append(leafHash(entry))) {
      const name = `${level}/${index}`;
      if (nodes.has(name)) throw new Error(`${name} written twice`);
      nodes.set(name, hash);
    }
  }
  const read = ({ level, index }: NodeRef): Hash => {
    const hash = nodes.get(`${level}/${index}`);
    if (!hash) throw new Error(`${level}/${index} is not complete`);
    return hash;
  };
  return { tree, nodes, read };
}

describe('published values', () => {
  // The reference tree of Certificate Transparency (RFC 6962), as in transparency-dev/merkle testonly/constants.go.
  const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const ROOTS = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  const { read } = grow(LEAVES.map(unhex));

  test('roots of the trees of 0 to 8 leaves', () => {
    for (const [size, root] of ROOTS.entries()) {
      expect(hex(treeRoot(size, read))).toBe(root);
      expect(hex(rootOf(LEAVES.slice(0, size).map((leaf) => leafHash(unhex(leaf)))))).toBe(root);
    }
    expect(hex(emptyRoot())).toBe(ROOTS[0]);
  });

  test('inclusion paths', () => {
    expect(hexes(inclusionPath(0, 8, read))).toEqual([
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ]);
    expect(hexes(inclusionPath(5, 8, read))).toEqual([
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ]);
    expect(hexes(inclusionPath(2, 3, read))).toEqual([
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    ]);
    expect(hexes(inclusionPath(1, 5, read))).toEqual([
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ]);
  });
});

const MOST = 70;
const entries = entriesOf(MOST);
const full = grow(entries);
const definition = new Definition(entries);
const roots = Array.from({ length: MOST + 1 }, (_, size) => treeRoot(size, full.read));

describe('against the recursive definition and @transmute/rfc9162', () => {
  test('roots of every size', async () => {
    for (let size = 0; size <= MOST; size++) {
      const some = entries.slice(0, size);
      expect(hex(roots[size]!)).toBe(hex(definition.mth(0, size)));
      expect(hex(roots[size]!)).toBe(hex(await RFC9162.treeHead(some)));
      expect(hex(grow(some).tree.root())).toBe(hex(roots[size]!));
    }
  });

  test('every inclusion path of every size is the one of the definition, and leads to the root', () => {
    for (let size = 1; size <= MOST; size++) {
      for (let index = 0; index < size; index++) {
        const path = inclusionPath(index, size, full.read);
        expect(hexes(path)).toEqual(hexes(definition.path(index, 0, size)));
        const root = rootFromInclusion(leafHash(entries[index]!), index, size, path);
        expect(root && hex(root)).toBe(hex(roots[size]!));
      }
    }
  });

  test('every consistency path of every pair of sizes is the one of the definition, and verifies', () => {
    for (let second = 1; second <= MOST; second++) {
      for (let first = 1; first <= second; first++) {
        const path = consistencyPath(first, second, full.read);
        expect(hexes(path)).toEqual(hexes(definition.subproof(first, 0, second, true)));
        expect(verifyConsistency(first, second, roots[first]!, roots[second]!, path)).toBe(true);
      }
    }
  });

  test('@transmute/rfc9162 makes the same proofs and accepts ours', async () => {
    for (const size of [1, 2, 3, 7, 8, 13, 32, 33]) {
      const some = entries.slice(0, size);
      for (let index = 0; index < size; index++) {
        const inclusion_path = inclusionPath(index, size, full.read);
        expect(hexes(inclusion_path)).toEqual(hexes(await RFC9162.PATH(index, some)));
        const proof = { log_id: '', tree_size: size, leaf_index: index, inclusion_path };
        const leaf = leafHash(entries[index]!);
        expect(await RFC9162.verifyInclusionProof(roots[size]!, leaf, proof)).toBe(true);
      }
      for (let first = 1; first < size; first++) {
        const path = consistencyPath(first, size, full.read);
        // That library always sends the old root where RFC 9162 leaves it out: when the old size is a power of two.
        const sent = Number.isInteger(Math.log2(first)) ? [roots[first]!, ...path] : path;
        expect(hexes(sent)).toEqual(hexes(await RFC9162.PROOF(first, some)));
        const proof = { log_id: '', tree_size_1: first, tree_size_2: size, consistency_path: sent };
        expect(await RFC9162.verifyConsistencyProof(roots[first]!, roots[size]!, proof)).toBe(true);
      }
    }
  });
});

describe('bigger trees', () => {
  const big = entriesOf(3000);
  const { tree, read } = grow(big);
  const bigDefinition = new Definition(big);

  test('random places', () => {
    expect(hex(tree.root())).toBe(hex(bigDefinition.mth(0, 3000)));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(), fc.nat(), (second, a, b) => {
        const secondRoot = treeRoot(second, read);
        expect(hex(secondRoot)).toBe(hex(bigDefinition.mth(0, second)));
        const index = a % second;
        const path = inclusionPath(index, second, read);
        expect(hexes(path)).toEqual(hexes(bigDefinition.path(index, 0, second)));
        expect(hex(rootFromInclusion(leafHash(big[index]!), index, second, path)!)).toBe(hex(secondRoot));
        const first = 1 + (b % second);
        const proof = consistencyPath(first, second, read);
        expect(hexes(proof)).toEqual(hexes(bigDefinition.subproof(first, 0, second, true)));
        expect(verifyConsistency(first, second, treeRoot(first, read), secondRoot, proof)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('sizes above 2^32, where 32-bit shifts would go wrong', () => {
    // A tree in which every leaf is the same: a complete subtree is known by its level alone.
    const leaf = leafHash(utf8('same'));
    const complete = [leaf];
    for (let level = 1; level <= 53; level++) complete.push(nodeHash(complete[level - 1]!, complete[level - 1]!));
    const same: ReadNode = ({ level }) => complete[level]!;
    for (const size of [2 ** 32, 2 ** 32 + 1, 2 ** 40 - 1, 2 ** 52 + 12_345, 2 ** 53 - 1]) {
      const root = treeRoot(size, same);
      for (const index of [0, 1, 2 ** 31, 2 ** 32 - 1, size - 1]) {
        const path = inclusionPath(index, size, same);
        expect(hex(rootFromInclusion(leaf, index, size, path)!)).toBe(hex(root));
        expect(path.length).toBeLessThanOrEqual(53);
        expect(rootFromInclusion(leaf, index, size, path.slice(1))).toBeNull();
      }
      for (const first of [1, 2, 2 ** 31 + 7, 2 ** 32 - 1, size - 1]) {
        const path = consistencyPath(first, size, same);
        expect(verifyConsistency(first, size, treeRoot(first, same), root, path)).toBe(true);
        expect(verifyConsistency(first, size, root, root, path)).toBe(false);
      }
    }
  });
});

describe('refusals', () => {
  const other = leafHash(utf8('not in the tree'));
  const leads = (leaf: Hash, index: number, size: number, path: readonly Hash[], to = size): boolean => {
    const root = rootFromInclusion(leaf, index, size, path);
    return root !== null && hex(root) === hex(roots[to]!);
  };

  test('an inclusion path with any one part wrong', () => {
    for (let size = 1; size <= 20; size++) {
      for (let index = 0; index < size; index++) {
        const leaf = leafHash(entries[index]!);
        const path = inclusionPath(index, size, full.read);
        expect(leads(other, index, size, path)).toBe(false);
        expect(leads(leaf, index, size, [...path, other])).toBe(false);
        expect(leads(leaf, index, size, [other, ...path])).toBe(false);
        for (let i = 0; i < path.length; i++) {
          expect(leads(leaf, index, size, replaced(path, i, other))).toBe(false);
          expect(leads(leaf, index, size, replaced(path, i))).toBe(false);
          expect(leads(leaf, index, size, replaced(path, i, path[i]!, path[i]!))).toBe(false);
        }
        if (path.length > 1) expect(leads(leaf, index, size, [...path].reverse())).toBe(false);
        for (let wrong = 0; wrong < size; wrong++) {
          if (wrong !== index) expect(leads(leaf, wrong, size, path)).toBe(false);
        }
      }
    }
  });

  test('a path of the wrong length for its index and size, whatever it holds', () => {
    for (let size = 1; size <= MOST; size++) {
      for (let index = 0; index < size; index++) {
        const right = inclusionPath(index, size, full.read).length;
        for (let length = 0; length <= 8; length++) {
          const root = rootFromInclusion(other, index, size, Array(length).fill(other));
          expect(root !== null).toBe(length === right);
        }
      }
    }
  });

  test.each([
    [-1, 5],
    [5, 5],
    [6, 5],
    [0, 0],
    [0.5, 5],
    [0, 4.5],
    [Number.NaN, 5],
    [0, Number.NaN],
    [0, 2 ** 53],
    [0, Number.POSITIVE_INFINITY],
  ])('index %d in size %d', (index, size) => {
    for (let length = 0; length < 5; length++) {
      expect(rootFromInclusion(other, index, size, Array(length).fill(other))).toBeNull();
    }
  });

  test('a leaf read as a node and a node read as a leaf', () => {
    // The prefixes keep them apart: an entry made of two hashes is not their parent.
    const [left, right] = [leafHash(entries[0]!), leafHash(entries[1]!)];
    const joined = new Uint8Array([...left, ...right]);
    expect(hex(leafHash(joined))).not.toBe(hex(nodeHash(left, right)));
    expect(leads(roots[2]!, 0, 2, inclusionPath(0, 4, full.read).slice(1), 4)).toBe(true); // a subtree root is a valid "leaf" hash
    expect(leads(leafHash(joined), 0, 2, inclusionPath(0, 4, full.read).slice(1), 4)).toBe(false);
  });

  test('a consistency path with any one part wrong', () => {
    for (let second = 2; second <= 20; second++) {
      for (let first = 1; first < second; first++) {
        const path = consistencyPath(first, second, full.read);
        const holds = (a: number, b: number, ra: Hash, rb: Hash, p: readonly Hash[]) =>
          verifyConsistency(a, b, ra, rb, p);
        const [ra, rb] = [roots[first]!, roots[second]!];
        expect(holds(first, second, other, rb, path)).toBe(false);
        expect(holds(first, second, ra, other, path)).toBe(false);
        expect(holds(first, second, rb, ra, path)).toBe(false);
        expect(holds(second, first, rb, ra, path)).toBe(false);
        expect(holds(first, second, ra, rb, [...path, other])).toBe(false);
        expect(holds(first, second, ra, rb, [other, ...path])).toBe(false);
        expect(holds(first, second, ra, rb, [])).toBe(false);
        for (let i = 0; i < path.length; i++) {
          expect(holds(first, second, ra, rb, replaced(path, i, other))).toBe(false);
          expect(holds(first, second, ra, rb, replaced(path, i))).toBe(false);
        }
      }
    }
  });

  test('a consistency path whose length does not fit the sizes it is claimed for, although both roots come out', () => {
    let refused = 0;
    for (let second = 2; second <= 14; second++) {
      for (let first = 1; first < second; first++) {
        const path = consistencyPath(first, second, full.read);
        for (let b = 2; b <= 18; b++) {
          for (let a = 1; a < b; a++) {
            if (consistencyPath(a, b, full.read).length === path.length) continue;
            refused += 1;
            if (verifyConsistency(a, b, roots[first]!, roots[second]!, path))
              expect.fail(`${first}-${second} as ${a}-${b}`);
          }
        }
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  test('a consistency proof from nothing, backwards, of broken sizes, or that is not needed', () => {
    const [r3, r5] = [roots[3]!, roots[5]!];
    const path = consistencyPath(3, 5, full.read);
    expect(verifyConsistency(3, 5, r3, r5, path)).toBe(true);
    for (const [first, second] of [
      [0, 5],
      [-3, 5],
      [5, 3],
      [3.5, 5],
      [3, Number.NaN],
      [3, 2 ** 53],
    ]) {
      expect(verifyConsistency(first!, second!, r3, r5, path)).toBe(false);
    }
    expect(verifyConsistency(5, 5, r5, r5, [])).toBe(true);
    expect(verifyConsistency(5, 5, r3, r5, [])).toBe(false);
    expect(verifyConsistency(5, 5, r5, r5, path)).toBe(false);
  });

  test('a rewritten past has no consistency proof', () => {
    const rewritten = grow([utf8('another first entry'), ...entries.slice(1)]);
    for (const [first, second] of [
      [1, 2],
      [4, 7],
      [33, 70],
    ] as const) {
      const now = treeRoot(second, rewritten.read);
      expect(verifyConsistency(first, second, roots[first]!, now, consistencyPath(first, second, rewritten.read))).toBe(
        false,
      );
      expect(verifyConsistency(first, second, roots[first]!, now, consistencyPath(first, second, full.read))).toBe(
        false,
      );
    }
  });

  test('asking for a proof that does not exist is a RangeError', () => {
    for (const [index, size] of [
      [-1, 5],
      [5, 5],
      [0, 0],
    ] as const)
      expect(() => inclusionPath(index, size, full.read)).toThrow(RangeError);
    for (const [first, second] of [
      [0, 5],
      [6, 5],
    ] as const)
      expect(() => consistencyPath(first, second, full.read)).toThrow(RangeError);
  });
});

describe('MerkleFrontier', () => {
  test('append names exactly the complete nodes, each once, leaf first', () => {
    const tree = new MerkleFrontier();
    for (let size = 0; size < MOST; size++) {
      expect(tree.size).toBe(size);
      const finished = tree.append(leafHash(entries[size]!));
      const expected: NodeRef[] = [];
      for (let level = 0; (size + 1) % 2 ** level === 0; level++) {
        expected.push({ level, index: (size + 1) / 2 ** level - 1 });
      }
      expect(finished.map(({ level, index }) => ({ level, index }))).toEqual(expected);
      for (const { level, index, hash } of finished) {
        expect(hex(hash)).toBe(hex(definition.mth(index * 2 ** level, (index + 1) * 2 ** level)));
      }
    }
  });

  test('keeps one hash for each set bit of its size, and nothing else', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const tree = new MerkleFrontier();
    const made: WeakRef<Hash>[] = [];
    const grow = (to: number): void => {
      while (tree.size < to) {
        for (const { hash } of tree.append(leafHash(utf8(String(tree.size))))) made.push(new WeakRef(hash));
      }
    };
    for (const [size, bits] of [
      [1000, 6],
      [4095, 12],
      [4096, 1],
      [5000, 5],
    ] as const) {
      grow(size);
      await new Promise((resolve) => setTimeout(resolve)); // a WeakRef holds its target until the turn ends
      collect();
      expect(made.filter((ref) => ref.deref()).length).toBe(bits);
    }
  });

  test('the root of a size is not changed by looking at it', () => {
    const tree = new MerkleFrontier();
    for (let size = 1; size <= 20; size++) {
      tree.append(leafHash(entries[size - 1]!));
      expect(hex(tree.root())).toBe(hex(tree.root()));
      expect(hex(tree.root())).toBe(hex(roots[size]!));
    }
  });
});
