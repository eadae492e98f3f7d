/**
 * The CBOR that Nitro hypervisors write inside a document's payload (RFC 8949). It is not canonical: since mid-2025 the
 * payload map has indefinite length, and keys come in any order. The signature covers the payload's own bytes, so more
 * than one encoding of a value does no harm; a value that two readers could read differently does. Hence a reader of our
 * own: cbor-x takes the last of two equal keys, bad UTF-8, tags and floats without a word, and `protocol/cbor.ts` refuses
 * every current document.
 *
 * Integers of any width, byte strings, UTF-8 text, arrays, maps with integer or text keys, true, false, null; arrays and
 * maps of definite or indefinite length. No strings in pieces, tags, floats, undefined or simple values.
 */
import { type Cbor, type CborKey, type CborMap, EvidenceError, fromUtf8 } from '@veritee/protocol';

/** Payload, pcrs or cabundle, value: three. The rest is room for fields this release does not know. */
const MAX_DEPTH = 8;
const BREAK = 0xff;
const INDEFINITE = 31;

/**
 * Read one value that fills `data` exactly. Work and memory are bounded by its length: every value takes a byte.
 *
 * @param what names the value in errors, for example `document.payload`
 * @throws EvidenceError EVIDENCE_MALFORMED
 */
export function decodeNsmCbor(data: Uint8Array, what: string): Cbor {
  const reader = new Reader(data, what);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  readonly #data: Uint8Array;
  readonly #what: string;
  #at = 0;

  constructor(data: Uint8Array, what: string) {
    this.#data = data;
    this.#what = what;
  }

  #fail(reason: string): never {
    const field = this.#what;
    throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: at byte ${this.#at}: ${reason}`, { field });
  }

  end(): void {
    if (this.#at !== this.#data.length) this.#fail('bytes after the value');
  }

  #take(length: number): Uint8Array {
    if (length > this.#data.length - this.#at) this.#fail('truncated');
    const part = this.#data.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }

  #byte(): number {
    const byte = this.#data[this.#at];
    if (byte === undefined) return this.#fail('truncated');
    this.#at += 1;
    return byte;
  }

  /** The argument of an initial byte, in whatever width it was written. */
  #argument(info: number): number | bigint {
    if (info < 24) return info;
    if (info > 27) this.#fail(info === INDEFINITE ? 'indefinite length' : 'reserved additional information');
    const width = 1 << (info - 24);
    if (width === 8) return (BigInt(this.#uint(4)) << 32n) | BigInt(this.#uint(4));
    return this.#uint(width);
  }

  #uint(width: number): number {
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + this.#byte();
    return value;
  }

  /** Each byte or item takes at least one byte, so a length beyond what is left is refused before any work. */
  #length(info: number): number {
    const value = this.#argument(info);
    if (value > this.#data.length - this.#at) this.#fail('truncated');
    return Number(value);
  }

  /** Calls `item` as often as the length says, or until the break. */
  #each(info: number, item: () => void): void {
    if (info !== INDEFINITE) {
      for (let left = this.#length(info); left > 0; left--) item();
      return;
    }
    while (this.#data[this.#at] !== BREAK) item();
    this.#at += 1;
  }

  value(depth: number): Cbor {
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH}`);
    const initial = this.#byte();
    const info = initial & 0x1f;
    switch (initial >> 5) {
      case 0:
        return narrow(this.#argument(info));
      case 1:
        return narrow(-1n - BigInt(this.#argument(info)));
      case 2:
        return new Uint8Array(this.#take(this.#length(info)));
      case 3:
        return this.#text(this.#length(info));
      case 4:
        return this.#array(info, depth);
      case 5:
        return this.#map(info, depth);
      case 6:
        return this.#fail('a tag');
      default:
        if (initial === 0xf4) return false;
        if (initial === 0xf5) return true;
        if (initial === 0xf6) return null;
        return this.#fail(initial === BREAK ? 'a break outside an indefinite length' : 'a float or simple value');
    }
  }

  #text(length: number): string {
    const raw = this.#take(length);
    try {
      return fromUtf8(raw);
    } catch {
      return this.#fail('text that is not UTF-8');
    }
  }

  #array(info: number, depth: number): readonly Cbor[] {
    const items: Cbor[] = []; // grows as items are read: the count is only a claim
    this.#each(info, () => items.push(this.value(depth + 1)));
    return items;
  }

  #map(info: number, depth: number): CborMap {
    const map = new Map<CborKey, Cbor>();
    this.#each(info, () => {
      const major = (this.#data[this.#at] ?? 0) >> 5;
      if (major > 1 && major !== 3) this.#fail('a map key that is neither integer nor text'); // so nothing nests in a key
      const key = this.value(depth + 1) as CborKey;
      // Compared as values: 1 written in two widths is one key.
      if (map.has(key)) this.#fail('duplicate map key');
      map.set(key, this.value(depth + 1));
    });
    return map;
  }
}

/** One JavaScript value for one integer, so that equal keys are equal. */
const narrow = (value: number | bigint): number | bigint =>
  value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value;
