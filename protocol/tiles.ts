/**
 * C2SP tlog-tiles: where a log's hashes and entries are published.
 *
 * @see https://c2sp.org/tlog-tiles
 */
import { bytes, concat } from './bytes.ts';
import { EvidenceError } from './errors.ts';
import { type Hash, type NodeRef, nodeHash, type ReadNode } from './merkle.ts';

export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8; // levels of the tree in one tile

/** One tile: `level` null is an entry bundle. Width 1–256; 256 is a full tile. */
export interface TileRef {
  readonly level: number | null;
  readonly index: number;
  readonly width: number;
}

/** 1234067 → `x001/x234/067`. */
function indexPath(index: number): string {
  const groups: string[] = [];
  for (let rest = index; groups.length === 0 || rest > 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
  }
  return groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/');
}

/** For example `tile/0/x001/234.p/17` or `tile/entries/000`. */
export function tilePath(tile: TileRef): string {
  const level = tile.level === null ? 'entries' : String(tile.level);
  const partial = tile.width === TILE_WIDTH ? '' : `.p/${tile.width}`;
  return `tile/${level}/${indexPath(tile.index)}${partial}`;
}

/** Reads a path as `tilePath` writes it; null for anything else. */
export function parseTilePath(path: string): TileRef | null {
  const match = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path);
  if (!match) return null;
  const level = match[1] === 'entries' ? null : Number(match[1]);
  const index = Number((match[2] as string).replaceAll(/[x/]/g, ''));
  const tile = { level, index, width: match[3] === undefined ? TILE_WIDTH : Number(match[3]) };
  if ((level ?? 0) > 63 || !Number.isSafeInteger(index) || tile.width > TILE_WIDTH) return null;
  return tilePath(tile) === path ? tile : null;
}

/** How many hashes the tile at this place holds in a tree of `size` leaves: 0 to 256. */
export function tileWidth(level: number, index: number, size: number): number {
  const nodes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, nodes - index * TILE_WIDTH));
}

/** Every tile of a tree of `size` leaves, partial ones included; entry bundles are like level 0. */
export function tilesOf(size: number): TileRef[] {
  const tiles: TileRef[] = [];
  for (let level = 0; Math.floor(size / TILE_WIDTH ** level) > 0; level++) {
    for (let index = 0; tileWidth(level, index, size) > 0; index++) {
      tiles.push({ level, index, width: tileWidth(level, index, size) });
    }
  }
  return tiles;
}

/** Entry bundle: each entry behind its length as a big-endian u16. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concat(
    ...entries.flatMap((entry) => {
      if (entry.length > 0xffff) throw new RangeError(`an entry of ${entry.length} bytes; at most 65,535 fit a bundle`);
      return [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry];
    }),
  );
}

export function parseEntryBundle(bundle: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = [];
  for (let offset = 0; offset < bundle.length; ) {
    const start = offset + 2;
    const end = start + (((bundle[offset] as number) << 8) | (bundle[offset + 1] ?? 0));
    if (start > bundle.length || end > bundle.length) {
      throw new EvidenceError('EVIDENCE_MALFORMED', `entry bundle truncated at byte ${offset}`, { field: 'bundle' });
    }
    entries.push(new Uint8Array(bundle.subarray(start, end)));
    offset = end;
  }
  return entries;
}

/** Gives a tile's hashes, concatenated; at least `width` of them. */
export type ReadTile = (level: number, index: number, width: number) => Uint8Array;

/** A node reader over tiles: a node at level 8·t+k is hashed from 2^k neighbours in a tile of level t. */
export function nodesFromTiles(readTile: ReadTile): ReadNode {
  return ({ level, index }: NodeRef): Hash => {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const span = 2 ** (level % TILE_HEIGHT);
    const first = index * span;
    const within = first % TILE_WIDTH;
    const tile = readTile(tileLevel, Math.floor(first / TILE_WIDTH), within + span);
    let row = Array.from({ length: span }, (_, i) => {
      const at = (within + i) * 32;
      return bytes(tile.subarray(at, at + 32), 32, `tile ${tileLevel} hash ${first + i}`);
    });
    while (row.length > 1) {
      row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i] as Hash, row[2 * i + 1] as Hash));
    }
    return row[0] as Hash;
  };
}
