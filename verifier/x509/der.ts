/**
 * A reader for the DER that X.509 certificates and CRLs of AMD's fixed profile use (ITU-T X.690 §10). Everything with
 * more than one encoding is refused: only one-byte tags, definite and minimal lengths, minimal integers, whole bytes.
 */
import { type Code, concat, EvidenceError, hex } from '@veritee/protocol';

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  context0: 0xa0,
  context1: 0xa1,
  context2: 0xa2,
  context3: 0xa3,
} as const;

/** A certificate needs 3 length bytes at most; more would only allow numbers no file can have. */
const MAX_LENGTH_BYTES = 3;

export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #code: Code;
  readonly #field: string;
  #at = 0;

  constructor(bytes: Uint8Array, code: Code, field: string) {
    this.#bytes = bytes;
    this.#code = code;
    this.#field = field;
  }

  fail(reason: string): never {
    throw new EvidenceError(this.#code, `${this.#field}: ${reason}`, { field: this.#field });
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Nothing may follow. */
  end(what: string): void {
    if (!this.done) this.fail(`${what}: bytes left over`);
  }

  peek(): number | null {
    return this.#bytes[this.#at] ?? null;
  }

  #byte(what: string): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) return this.fail(`${what}: truncated`);
    this.#at += 1;
    return byte;
  }

  #length(what: string): number {
    const first = this.#byte(what);
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0) this.fail(`${what}: indefinite length`);
    if (count > MAX_LENGTH_BYTES) this.fail(`${what}: length of ${count} bytes`);
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte(what);
    if (length < 0x80 || (count > 1 && length < 256 ** (count - 1))) this.fail(`${what}: length is not minimal`);
    return length;
  }

  /** The contents of the next element, which must have this tag. A view, not a copy. */
  read(tag: number, what: string): Uint8Array {
    const got = this.#byte(what);
    if (got !== tag) this.fail(`${what}: got tag 0x${got.toString(16)}, want 0x${tag.toString(16)}`);
    const length = this.#length(what);
    if (length > this.#bytes.length - this.#at) this.fail(`${what}: truncated`);
    const contents = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return contents;
  }

  /** The next element whole, header included. A view, not a copy. */
  readWhole(tag: number, what: string): Uint8Array {
    const start = this.#at;
    this.read(tag, what);
    return this.#bytes.subarray(start, this.#at);
  }

  open(tag: number, what: string): DerReader {
    return this.inside(this.read(tag, what));
  }

  /** A reader of the same field over bytes that were read from it. */
  inside(contents: Uint8Array): DerReader {
    return new DerReader(contents, this.#code, this.#field);
  }

  integer(what: string): bigint {
    const contents = this.read(TAG.integer, what);
    const [first, second] = contents;
    if (first === undefined) return this.fail(`${what}: empty integer`);
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      this.fail(`${what}: integer is not minimal`);
    }
    if (first >= 0x80) this.fail(`${what}: negative integer`);
    return BigInt(`0x${hex(contents)}`);
  }

  /** An integer that fits its purpose as a number. */
  small(what: string, maximum: number): number {
    const value = this.integer(what);
    if (value > BigInt(maximum)) this.fail(`${what}: above ${maximum}`);
    return Number(value);
  }

  boolean(what: string): boolean {
    const contents = this.read(TAG.boolean, what);
    if (contents.length !== 1 || (contents[0] !== 0x00 && contents[0] !== 0xff))
      this.fail(`${what}: not a DER boolean`);
    return contents[0] === 0xff;
  }

  /** A bit string of whole bytes. */
  bitString(what: string): Uint8Array {
    const contents = this.read(TAG.bitString, what);
    if (contents[0] !== 0) this.fail(`${what}: want a bit string without unused bits`);
    return contents.subarray(1);
  }

  /** Dotted decimal, as in `1.2.840.113549.1.1.10`. */
  oid(what: string): string {
    const contents = this.read(TAG.oid, what);
    const arcs: number[] = [];
    let arc = 0;
    let started = false;
    for (const byte of contents) {
      if (!started && byte === 0x80) this.fail(`${what}: object identifier is not minimal`);
      started = true;
      arc = arc * 128 + (byte & 0x7f);
      if (arc > 0xffff_ffff) this.fail(`${what}: object identifier arc is too large`);
      if (byte < 0x80) {
        arcs.push(arc);
        arc = 0;
        started = false;
      }
    }
    const [head, ...rest] = arcs;
    if (head === undefined || started) return this.fail(`${what}: object identifier is cut off`);
    const root = Math.min(Math.floor(head / 40), 2);
    return [root, head - 40 * root, ...rest].join('.');
  }

  /** UTCTime through 2049 and GeneralizedTime from 2050 on, whole seconds, `Z` (RFC 5280 §4.1.2.5). */
  time(what: string): Date {
    const tag = this.peek();
    if (tag !== TAG.utcTime && tag !== TAG.generalizedTime)
      return this.fail(`${what}: want a UTCTime or GeneralizedTime`);
    const contents = this.read(tag, what);
    if (contents.length > 'YYYYMMDDHHMMSSZ'.length) this.fail(`${what}: too long`);
    const text = String.fromCharCode(...contents);
    const match =
      tag === TAG.utcTime
        ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
        : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
    if (!match) return this.fail(`${what}: not in the form RFC 5280 asks for`);
    const [digits, month, day, hour, minute, second] = match.slice(1) as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    let year = Number(digits);
    if (tag === TAG.utcTime) year += year < 50 ? 2000 : 1900;
    else if (year < 2050) this.fail(`${what}: a time before 2050 must be a UTCTime`);
    const iso = `${String(year).padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
    const date = new Date(iso);
    // The round trip refuses 30 February, hour 24 and second 60.
    if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) this.fail(`${what}: no such time`);
    return date;
  }
}

/** Writes one element: for the few fixed encodings that are compared whole. */
export function tlv(tag: number, ...contents: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const value = concat(...contents);
  const { length } = value;
  if (length > 0xffff) throw new RangeError(`a fixed encoding of ${length} bytes`);
  if (length < 0x80) return concat(Uint8Array.of(tag, length), value);
  if (length <= 0xff) return concat(Uint8Array.of(tag, 0x81, length), value);
  return concat(Uint8Array.of(tag, 0x82, length >> 8, length & 0xff), value);
}
