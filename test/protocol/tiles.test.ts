import { existsSync, readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex, utf8 } from '../../protocol/bytes.ts';
import {
  consistencyPath,
  type Hash,
  inclusionPath,
  leafHash,
  MerkleFrontier,
  type NodeRef,
  rootFromInclusion,
  rootOf,
  treeRoot,
  verifyConsistency,
} from '../../protocol/merkle.ts';
import {
  encodeEntryBundle,
  nodesFromTiles,
  parseEntryBundle,
  parseTilePath,
  type TileRef,
  tilePath,
  tilesOf,
  tileWidth,
} from '../../protocol/tiles.ts';
import { plain, sharedVectors, verdict } from './support.ts';

const foreign = sharedVectors('tlog-tiles/log');
describe.skipIf(foreign.absent)("another implementation's log (Tessera)", () => {
  const file = (path: string): Uint8Array<ArrayBuffer> => plain(readFileSync(`${foreign.path}/${path}`));
  const SIZE = 15;
  const rootOfCheckpoint = (size: number): string => {
    const [, digits, root] = Buffer.from(file(`checkpoint.${size}`))
      .toString('utf8')
      .split('\n');
    expect(digits).toBe(String(size));
    return Buffer.from(root!, 'base64').toString('hex');
  };
  const bundle = (size: number) => file(tilePath({ level: null, index: 0, width: size }));

  test('every bundle gives its entries, and is what we write for them', () => {
    for (let size = 1; size <= SIZE; size++) {
      const entries = parseEntryBundle(bundle(size));
      expect(entries.length).toBe(size);
      expect(hex(encodeEntryBundle(entries))).toBe(hex(bundle(size)));
    }
  });

  test('every hash tile is the leaf hashes of its bundle', () => {
    for (let size = 1; size <= SIZE; size++) {
      const leaves = parseEntryBundle(bundle(size)).map(leafHash);
      expect(hex(file(tilePath({ level: 0, index: 0, width: size })))).toBe(hex(concat(...leaves)));
    }
  });

  test('every checkpoint has the root of its tiles', () => {
    for (let size = 0; size <= SIZE; size++) {
      const leaves = size === 0 ? [] : parseEntryBundle(bundle(size)).map(leafHash);
      expect(hex(rootOf(leaves))).toBe(rootOfCheckpoint(size));
      const read = nodesFromTiles(() => file(tilePath({ level: 0, index: 0, width: size })));
      expect(hex(treeRoot(size, read))).toBe(rootOfCheckpoint(size));
    }
  });

  test('every entry is in every later checkpoint, and every pair of checkpoints is consistent', () => {
    const read = nodesFromTiles(() => file(tilePath({ level: 0, index: 0, width: SIZE })));
    const entries = parseEntryBundle(bundle(SIZE));
    for (let size = 1; size <= SIZE; size++) {
      for (let index = 0; index < size; index++) {
        const root = rootFromInclusion(leafHash(entries[index]!), index, size, inclusionPath(index, size, read));
        expect(root && hex(root)).toBe(rootOfCheckpoint(size));
        const [first, second] = [treeRoot(index + 1, read), treeRoot(size, read)];
        expect(verifyConsistency(index + 1, size, first, second, consistencyPath(index + 1, size, read))).toBe(true);
      }
    }
  });

  test('its file names are the ones we read and write', () => {
    const paths = readdirSync(foreign.path, { recursive: true, encoding: 'utf8' })
      .map((path) => path.replaceAll('\\', '/'))
      .filter((path) => /^tile\/.*\.p\/\d+$/.test(path));
    expect(paths.length).toBe(2 * SIZE);
    for (const path of paths) {
      const tile = parseTilePath(path);
      expect(tile && tilePath(tile)).toBe(path);
      expect(existsSync(`${foreign.path}/${path}`)).toBe(true);
    }
  });
});

describe('tile paths', () => {
  test.each<[string, TileRef]>([
    ['tile/0/000', { level: 0, index: 0, width: 256 }],
    ['tile/0/000.p/1', { level: 0, index: 0, width: 1 }],
    ['tile/0/x001/234.p/17', { level: 0, index: 1234, width: 17 }],
    ['tile/1/x001/x234/067', { level: 1, index: 1_234_067, width: 256 }],
    ['tile/63/999.p/255', { level: 63, index: 999, width: 255 }],
    ['tile/entries/x001/000', { level: null, index: 1000, width: 256 }],
    ['tile/entries/x001/x234/067.p/5', { level: null, index: 1_234_067, width: 5 }],
  ])('%s', (path, tile) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  test('round trip', () => {
    const level = fc.option(fc.integer({ min: 0, max: 63 }));
    fc.assert(
      fc.property(level, fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
        expect(parseTilePath(tilePath({ level, index, width }))).toEqual({ level, index, width });
      }),
    );
  });

  test.each([
    '',
    'tile/0',
    'tile/0/',
    '/tile/0/000',
    'tile/0/000/',
    'tile/0/000\n',
    'tile/0/0',
    'tile/0/00',
    'tile/0/0000',
    'tile/0/001/000',
    'tile/0/x000/001',
    'tile/0/x000/x000/001',
    'tile/0/x001',
    'tile/0/X001/000',
    'tile/00/000',
    'tile/01/000',
    'tile/64/000',
    'tile/100/000',
    'tile/-1/000',
    'tile/entry/000',
    'tile/0/000.p',
    'tile/0/000.p/',
    'tile/0/000.p/0',
    'tile/0/000.p/01',
    'tile/0/000.p/256',
    'tile/0/000.p/257',
    'tile/0/000.p/1000',
    'tile/0/000.p/1.p/1',
    'tile/0/../000',
    'tile/0/%2e%2e/000',
    'tile/0/x009/x007/x199/x254/x740/992',
    'tile/0/x999/x999/x999/x999/x999/x999/999',
    'tile/٠/000',
    'tile/0/٠٠٠',
  ])('refuses %j', (path) => {
    expect(parseTilePath(path)).toBeNull();
  });

  test('whatever is accepted is the path of what was read', () => {
    const piece = fc.constantFrom(
      'tile/',
      '0',
      '1',
      '63',
      'entries',
      '/',
      'x',
      '000',
      '001',
      '.p/',
      '256',
      '17',
      '.',
      '..',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const path = pieces.join('');
        const tile = parseTilePath(path);
        if (tile) expect(tilePath(tile)).toBe(path);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('tiles of a tree', () => {
  const SIZE = 66_000; // more than 256², so that there is a tile at level 2
  const tree = new MerkleFrontier();
  const nodes = new Map<string, Hash>();
  const leaves: Hash[] = [];
  for (let i = 0; i < SIZE; i++) {
    const leaf = leafHash(utf8(`entry ${i}`));
    leaves.push(leaf);
    for (const { level, index, hash } of tree.append(leaf)) nodes.set(`${level}/${index}`, hash);
  }
  const node = ({ level, index }: NodeRef): Hash => {
    const hash = nodes.get(`${level}/${index}`);
    if (!hash) throw new Error(`${level}/${index} is not complete`);
    return hash;
  };
  const tileOf = (level: number, index: number, width: number): Uint8Array<ArrayBuffer> =>
    concat(...Array.from({ length: width }, (_, i) => node({ level: 8 * level, index: 256 * index + i })));
  /** Serves only what a tree of `size` has published, at the width it has it. */
  const published = (size: number) => (level: number, index: number, width: number) => {
    const most = tileWidth(level, index, size);
    expect(width).toBeLessThanOrEqual(most);
    return tileOf(level, index, most);
  };

  test('widths and list', () => {
    expect(tilesOf(0)).toEqual([]);
    expect(tilesOf(1)).toEqual([{ level: 0, index: 0, width: 1 }]);
    expect(tilesOf(256)).toEqual([
      { level: 0, index: 0, width: 256 },
      { level: 1, index: 0, width: 1 },
    ]);
    expect(tilesOf(70_000).length).toBe(Math.ceil(70_000 / 256) + 2 + 1);
    expect(tilesOf(70_000).slice(-2)).toEqual([
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
    ]);
    expect(tileWidth(0, 273, 70_000)).toBe(112);
    expect(tileWidth(0, 274, 70_000)).toBe(0);
    expect(tileWidth(6, 0, 2 ** 53 - 1)).toBe(31);
  });

  test('proofs read from tiles alone are the proofs of the tree', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: SIZE }), fc.nat(), fc.nat(), (size, a, b) => {
        const read = nodesFromTiles(published(size));
        const index = a % size;
        const first = 1 + (b % size);
        expect(inclusionPath(index, size, read).map(hex)).toEqual(inclusionPath(index, size, node).map(hex));
        expect(consistencyPath(first, size, read).map(hex)).toEqual(consistencyPath(first, size, node).map(hex));
        const root = rootFromInclusion(leaves[index]!, index, size, inclusionPath(index, size, read));
        expect(root && hex(root)).toBe(hex(treeRoot(size, node)));
      }),
      { numRuns: 50 },
    );
    expect(hex(treeRoot(SIZE, nodesFromTiles(published(SIZE))))).toBe(hex(tree.root()));
  });

  test('a tile that is too short or not whole hashes is refused with a code', () => {
    for (const length of [0, 31, 32 * 5 - 1]) {
      const read = nodesFromTiles(() => tileOf(0, 0, 5).subarray(0, length));
      expect(verdict(() => treeRoot(5, read))).toBe('EVIDENCE_MALFORMED');
    }
  });
});

describe('entry bundles', () => {
  test('round trip', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (entries) => {
        expect(parseEntryBundle(encodeEntryBundle(entries)).map(hex)).toEqual(entries.map(hex));
      }),
    );
  });

  test('the longest entry is 65,535 bytes', () => {
    const longest = new Uint8Array(65_535).fill(0xab);
    expect(parseEntryBundle(encodeEntryBundle([longest, longest])).map(hex)).toEqual([hex(longest), hex(longest)]);
    expect(() => encodeEntryBundle([new Uint8Array(65_536)])).toThrow(RangeError);
  });

  test('a cut inside an entry is refused, one between entries gives fewer', () => {
    const entries = [utf8('one'), utf8(''), utf8('three')];
    const bundle = encodeEntryBundle(entries);
    const whole = new Map([
      [0, 0],
      [5, 1],
      [7, 2],
      [14, 3],
    ]);
    for (let n = 0; n <= bundle.length; n++) {
      const cut = bundle.subarray(0, n);
      const count = whole.get(n);
      if (count === undefined) expect(verdict(() => parseEntryBundle(cut))).toBe('EVIDENCE_MALFORMED');
      else expect(parseEntryBundle(cut).length).toBe(count);
    }
  });

  test('random bytes: entries that are written back the same, or a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (data) => {
        if (verdict(() => parseEntryBundle(data)) === 'ok')
          expect(hex(encodeEntryBundle(parseEntryBundle(data)))).toBe(hex(data));
      }),
      { numRuns: 2000 },
    );
  });

  test('what was read shares no memory with the input', () => {
    const bundle = Buffer.from(encodeEntryBundle([utf8('one')]));
    const [entry] = parseEntryBundle(bundle);
    bundle.fill(0);
    expect(entry).toEqual(utf8('one'));
  });
});
