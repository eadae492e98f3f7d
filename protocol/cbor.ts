/**
 * Canonical CBOR: RFC 8949 §4.2.1 core deterministic encoding, narrowed to what Veritee's formats use.
 *
 * Integers −2^64…2^64−1, byte strings, valid UTF-8 text, arrays, maps with integer or text keys, true, false, null.
 * No floats, tags, undefined or simple values. One value has exactly one byte form, and the reader refuses every other.
 * cbor-x and its like accept duplicate keys, long integers and bad UTF-8, so the strict reader is our own;
 * it is tested against `cbor2 {cde: true}`.
 */
import { type Bytes, bytes, equalBytes, fromUtf8, join, utf8 } from './bytes.ts';
import { EvidenceError } from './errors.ts';

export type CborKey = number | bigint | string;
export type CborMap = ReadonlyMap<CborKey, Cbor>;
export type Cbor = number | bigint | string | boolean | null | Uint8Array | readonly Cbor[] | CborMap;

export const MAX_DEPTH = 16;
/** Values in one reading. An empty map is one byte on the wire and some two hundred in memory. */
export const MAX_ITEMS = 65_536;

function head(major: number, value: bigint): Uint8Array {
  const type = major << 5;
  if (value < 24n) return Uint8Array.of(type | Number(value));
  const width = value < 0x100n ? 1 : value < 0x10000n ? 2 : value < 0x100000000n ? 4 : 8;
  const out = new Uint8Array(1 + width);
  out[0] = type | (width === 1 ? 24 : width === 2 ? 25 : width === 4 ? 26 : 27);
  for (let i = width, rest = value; i > 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}

function integer(value: number | bigint): Uint8Array {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new TypeError('canonical CBOR holds safe integers and bigints, no floats');
  }
  const big = BigInt(value);
  if (big >= 1n << 64n || big < -(1n << 64n)) throw new TypeError('integer outside the range of CBOR');
  return big >= 0n ? head(0, big) : head(1, -1n - big);
}

const SURROGATE = /\p{Surrogate}/u;

function encodeParts(value: Cbor, depth: number, out: Uint8Array[]): void {
  if (depth > MAX_DEPTH) throw new TypeError(`nested deeper than ${MAX_DEPTH}`);
  if (value === null) out.push(Uint8Array.of(0xf6));
  else if (typeof value === 'boolean') out.push(Uint8Array.of(value ? 0xf5 : 0xf4));
  else if (typeof value === 'number' || typeof value === 'bigint') out.push(integer(value));
  else if (typeof value === 'string') {
    if (SURROGATE.test(value)) throw new TypeError('text with a lone surrogate has no UTF-8 form');
    const text = utf8(value);
    out.push(head(3, BigInt(text.length)), text);
  } else if (value instanceof Uint8Array) out.push(head(2, BigInt(value.length)), value);
  else if (Array.isArray(value)) {
    out.push(head(4, BigInt(value.length)));
    for (const item of value) encodeParts(item, depth + 1, out);
  } else if (value instanceof Map) {
    const pairs = [...(value as CborMap)].map(([key, item]) => ({ key: encodeCbor(key), item }));
    pairs.sort((a, b) => compareBytes(a.key, b.key));
    out.push(head(5, BigInt(pairs.length)));
    for (const [i, { key, item }] of pairs.entries()) {
      const before = pairs[i - 1];
      if (before && equalBytes(before.key, key)) throw new TypeError('duplicate map key'); // 1 and 1n are one key
      out.push(key);
      encodeParts(item, depth + 1, out);
    }
  } else throw new TypeError(`no canonical CBOR form for ${typeof value}`);
}

/** @throws TypeError for a value outside the profile: a caller's mistake, never bad input */
export function encodeCbor(value: Cbor): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  encodeParts(value, 0, parts);
  return join(parts);
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/**
 * Read one canonical value that fills `data` exactly.
 *
 * @param what names the value in errors, for example `receipt`
 * @throws EvidenceError EVIDENCE_MALFORMED for anything that is not the canonical form of its value
 */
export function decodeCbor(data: Uint8Array, what: string): Cbor {
  const reader = new Reader(data, what);
  const value = reader.value(0);
  if (reader.offset !== data.length) reader.fail('bytes after the value');
  return value;
}

class Reader {
  readonly data: Uint8Array;
  readonly what: string;
  offset = 0;
  #items = 0;

  constructor(data: Uint8Array, what: string) {
    this.data = data;
    this.what = what;
  }

  fail(reason: string): never {
    throw new EvidenceError(
      'EVIDENCE_MALFORMED',
      `${this.what}: not canonical CBOR at byte ${this.offset}: ${reason}`,
      {
        field: this.what,
      },
    );
  }

  take(length: number): Uint8Array {
    if (length > this.data.length - this.offset) this.fail('truncated');
    const part = this.data.subarray(this.offset, this.offset + length);
    this.offset += length;
    return part;
  }

  /** The argument of an initial byte, which must use the shortest form. */
  argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    if (info > 27) this.fail(info === 31 ? 'indefinite length' : 'reserved additional information');
    const width = 1 << (info - 24);
    let value = 0n;
    for (const byte of this.take(width)) value = (value << 8n) | BigInt(byte);
    const least = width === 1 ? 24n : 1n << BigInt(4 * width);
    if (value < least) this.fail('longer than the shortest form');
    return value;
  }

  /** A length or count; each item takes at least one byte, so a count beyond what is left is refused before any work. */
  length(info: number): number {
    const value = this.argument(info);
    if (value > BigInt(this.data.length - this.offset)) this.fail('truncated');
    return Number(value);
  }

  value(depth: number): Cbor {
    if (depth > MAX_DEPTH) this.fail(`nested deeper than ${MAX_DEPTH}`);
    if (++this.#items > MAX_ITEMS) this.fail(`more than ${MAX_ITEMS} values`);
    const initial = this.take(1)[0] as number;
    const info = initial & 0x1f;
    switch (initial >> 5) {
      case 0:
        return narrow(this.argument(info));
      case 1:
        return narrow(-1n - this.argument(info));
      case 2:
        return new Uint8Array(this.take(this.length(info)));
      case 3:
        return this.text(this.length(info));
      case 4:
        return this.array(this.length(info), depth);
      case 5:
        return this.map(this.length(info), depth);
      case 6:
        return this.fail('a tag');
      default:
        if (initial === 0xf4) return false;
        if (initial === 0xf5) return true;
        if (initial === 0xf6) return null;
        return this.fail('a float or simple value');
    }
  }

  text(length: number): string {
    const raw = this.take(length);
    try {
      return fromUtf8(raw);
    } catch {
      return this.fail('text that is not UTF-8');
    }
  }

  array(count: number, depth: number): readonly Cbor[] {
    const items: Cbor[] = []; // grows as items are read: the count is only a claim
    for (let i = 0; i < count; i++) items.push(this.value(depth + 1));
    return items;
  }

  map(count: number, depth: number): CborMap {
    const map = new Map<CborKey, Cbor>();
    let before: Uint8Array | null = null;
    for (let i = 0; i < count; i++) {
      const start = this.offset;
      const major = (this.data[start] ?? 0) >> 5;
      if (major > 1 && major !== 3) this.fail('a map key that is neither integer nor text'); // so nothing nests in a key
      const key = this.value(depth + 1) as CborKey;
      const encoded = this.data.subarray(start, this.offset);
      if (before) {
        const order = compareBytes(before, encoded);
        if (order === 0) this.fail('duplicate map key');
        if (order > 0) this.fail('map keys out of order');
      }
      before = encoded;
      map.set(key, this.value(depth + 1));
    }
    return map;
  }
}

const narrow = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;

/**
 * Reads a closed map field by field: each getter checks type and length, `end()` refuses what was not asked for.
 * Errors name the field as `what.label`.
 */
export class MapReader {
  readonly #map: CborMap;
  readonly #what: string;
  readonly #seen = new Set<CborKey>();

  constructor(value: Cbor | undefined, what: string) {
    this.#what = what;
    if (!(value instanceof Map)) this.#fail('', 'want a map');
    this.#map = value as CborMap;
  }

  #fail(label: string, reason: string): never {
    const field = label === '' ? this.#what : `${this.#what}.${label}`;
    throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
  }

  has(key: CborKey): boolean {
    return this.#map.has(key);
  }

  value(key: CborKey, label: string): Cbor {
    this.#seen.add(key);
    const value = this.#map.get(key);
    if (value === undefined) this.#fail(label, 'missing');
    return value as Cbor;
  }

  bytes<N extends number>(key: CborKey, label: string, n: N): Bytes<N> {
    const value = this.value(key, label);
    if (!(value instanceof Uint8Array)) this.#fail(label, 'want a byte string');
    return bytes(value as Uint8Array, n, `${this.#what}.${label}`);
  }

  anyBytes(key: CborKey, label: string, atMost: number, atLeast = 0): Uint8Array<ArrayBuffer> {
    const value = this.value(key, label);
    if (!(value instanceof Uint8Array)) this.#fail(label, 'want a byte string');
    const { length } = value as Uint8Array;
    if (length > atMost || length < atLeast) this.#fail(label, `got ${length} bytes, want ${atLeast} to ${atMost}`);
    return value as Uint8Array<ArrayBuffer>;
  }

  text(key: CborKey, label: string, atMost: number): string {
    const value = this.value(key, label);
    if (typeof value !== 'string') this.#fail(label, 'want text');
    if (utf8(value as string).length > atMost) this.#fail(label, `longer than ${atMost} bytes`);
    return value as string;
  }

  exactly<T extends string | number>(key: CborKey, label: string, expected: T): T {
    const value = this.value(key, label);
    if (value !== expected) this.#fail(label, `want ${JSON.stringify(expected)}`);
    return expected;
  }

  /** An unsigned integer up to 2^53−1. */
  uint(key: CborKey, label: string): number {
    const value = this.value(key, label);
    if (typeof value !== 'number' || value < 0) this.#fail(label, 'want an unsigned integer up to 2^53−1');
    return value as number;
  }

  array(key: CborKey, label: string, atMost: number): readonly Cbor[] {
    const value = this.value(key, label);
    if (!Array.isArray(value)) this.#fail(label, 'want an array');
    if ((value as readonly Cbor[]).length > atMost) this.#fail(label, `more than ${atMost} items`);
    return value as readonly Cbor[];
  }

  arrayOfBytes<N extends number>(key: CborKey, label: string, atMost: number, n: N): Bytes<N>[] {
    return this.array(key, label, atMost).map((item, i) => {
      if (!(item instanceof Uint8Array)) this.#fail(`${label}[${i}]`, 'want a byte string');
      return bytes(item as Uint8Array, n, `${this.#what}.${label}[${i}]`);
    });
  }

  arrayOfAnyBytes(key: CborKey, label: string, atMost: number, itemAtMost: number): Uint8Array<ArrayBuffer>[] {
    return this.array(key, label, atMost).map((item, i) => {
      if (!(item instanceof Uint8Array)) this.#fail(`${label}[${i}]`, 'want a byte string');
      if ((item as Uint8Array).length > itemAtMost) this.#fail(`${label}[${i}]`, `longer than ${itemAtMost} bytes`);
      return item as Uint8Array<ArrayBuffer>;
    });
  }

  map(key: CborKey, label: string): MapReader {
    return new MapReader(this.value(key, label), `${this.#what}.${label}`);
  }

  isNull(key: CborKey, label: string): boolean {
    return this.value(key, label) === null;
  }

  /** The pairs of a map with text keys, for maps whose keys are data. */
  entries(): [string, Cbor][] {
    return [...this.#map].map(([key, value]) => {
      this.#seen.add(key);
      if (typeof key !== 'string') this.#fail(String(key), 'want a text key');
      return [key as string, value];
    });
  }

  /** Closes the map. An unknown key is named only when it looks like a name: it comes from the sender and goes to logs. */
  end(): void {
    for (const key of this.#map.keys()) {
      if (!this.#seen.has(key)) this.#fail(/^-?\w{1,64}$/.test(String(key)) ? String(key) : '', 'unknown field');
    }
  }
}
