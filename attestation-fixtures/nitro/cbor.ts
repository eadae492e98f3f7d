import { type CborKey, concat, encodeCbor, fromUtf8 } from '@veritee/protocol';

// CBOR (RFC 8949) as the Nitro Security Module speaks it: maps in the order of the fields of a struct, not canonical,
// and indefinite in length since the middle of 2025.

/** A map entry, key and value encoded already: lists of them can hold what no Map can, for example a key twice. */
export type Entry = readonly [key: Uint8Array, value: Uint8Array];

export type MapLength = 'definite' | 'indefinite';

const MAP = 5;

/** Initial byte and argument, in the shortest form. */
function head(major: number, count: number): Uint8Array {
  const shortest = encodeCbor(count);
  return Uint8Array.of((major << 5) | (shortest[0] as number), ...shortest.subarray(1));
}

export function encodeMap(entries: readonly Entry[], length: MapLength): Uint8Array<ArrayBuffer> {
  const content = entries.flat();
  if (length === 'definite') return concat(head(MAP, entries.length), ...content);
  return concat(Uint8Array.of(0xbf), ...content, Uint8Array.of(0xff));
}

/** A struct as Rust's serde writes it: definite, fields in order, values encoded already. */
export const encodeStruct = (fields: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> =>
  encodeMap(
    Object.entries(fields).map(([name, value]) => [encodeCbor(name), value]),
    'definite',
  );

export type Value = bigint | string | Uint8Array | null | boolean | readonly Value[] | ReadonlyMap<CborKey, Value>;

const MAX_DEPTH = 8;

/** Reads one value that fills `data`, in any encoding of it. @throws SyntaxError */
export function readCbor(data: Uint8Array): Value {
  const reader = new Reader(data);
  const value = reader.value(0);
  if (reader.offset !== data.length) throw new SyntaxError('bytes after the value');
  return value;
}

class Reader {
  readonly #data: Uint8Array;
  offset = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  #take(length: number): Uint8Array {
    if (length > this.#data.length - this.offset) throw new SyntaxError('truncated');
    const part = this.#data.subarray(this.offset, this.offset + length);
    this.offset += length;
    return part;
  }

  /** Null stands for an indefinite length. */
  #argument(info: number): bigint | null {
    if (info < 24) return BigInt(info);
    if (info === 31) return null;
    if (info > 27) throw new SyntaxError('reserved additional information');
    let value = 0n;
    for (const byte of this.#take(1 << (info - 24))) value = (value << 8n) | BigInt(byte);
    return value;
  }

  /** True at the end of an array or map, the break of an indefinite one included. */
  #ended(count: bigint | null, read: number): boolean {
    if (count !== null) return BigInt(read) === count;
    if (this.#data[this.offset] !== 0xff) return false;
    this.offset += 1;
    return true;
  }

  #string(length: bigint | null): Uint8Array {
    if (length === null) throw new SyntaxError('a string in pieces');
    return this.#take(Number(length));
  }

  value(depth: number): Value {
    if (depth > MAX_DEPTH) throw new SyntaxError('nested too deeply');
    const initial = this.#take(1)[0] as number;
    if (initial === 0xf4 || initial === 0xf5) return initial === 0xf5;
    if (initial === 0xf6) return null;
    const argument = this.#argument(initial & 0x1f);
    switch (initial >> 5) {
      case 0:
        if (argument === null) throw new SyntaxError('an integer without value');
        return argument;
      case 2:
        return new Uint8Array(this.#string(argument));
      case 3:
        return this.#text(argument);
      case 4:
        return this.#array(argument, depth);
      case 5:
        return this.#map(argument, depth);
      default:
        throw new SyntaxError('a type that no NSM message has');
    }
  }

  #text(length: bigint | null): string {
    try {
      return fromUtf8(this.#string(length));
    } catch {
      throw new SyntaxError('text that is not whole or not UTF-8');
    }
  }

  #array(count: bigint | null, depth: number): readonly Value[] {
    const items: Value[] = [];
    while (!this.#ended(count, items.length)) items.push(this.value(depth + 1));
    return items;
  }

  #map(count: bigint | null, depth: number): ReadonlyMap<CborKey, Value> {
    const map = new Map<CborKey, Value>();
    for (let read = 0; !this.#ended(count, read); read++) {
      const key = this.value(depth + 1);
      if (typeof key !== 'string' && typeof key !== 'bigint') throw new SyntaxError('a key that is no text or integer');
      map.set(key, this.value(depth + 1));
    }
    return map;
  }
}
