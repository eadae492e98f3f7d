import { EvidenceError } from './errors.ts';

declare const size: unique symbol;

/** A byte string of exactly N bytes: the length is checked once, where bytes enter. */
export type Bytes<N extends number> = Uint8Array<ArrayBuffer> & { readonly [size]: N };

/** Checks the length and copies, so that later writes to the input cannot change the result. */
export function bytes<N extends number>(value: Uint8Array, n: N, field: string): Bytes<N> {
  if (value.length !== n) {
    throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: got ${value.length} bytes, want ${n}`, { field });
  }
  return new Uint8Array(value) as Bytes<N>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text) as Uint8Array<ArrayBuffer>;

/** @throws TypeError when the bytes are not valid UTF-8; a byte order mark is kept as a character. */
export const fromUtf8 = (value: Uint8Array): string => decoder.decode(value);

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** Lower-case hexadecimal. */
export function hex(value: Uint8Array): string {
  let text = '';
  for (const byte of value) text += HEX[byte];
  return text;
}

/** Reads lower- or upper-case hexadecimal; null when it is not hexadecimal of whole bytes. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return out;
}

export const concat = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => join(parts);

/** `concat` for lists too long to be spread into arguments. */
export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}

export function isZero(value: Uint8Array): boolean {
  for (let i = 0; i < value.length; i++) if (value[i] !== 0) return false;
  return true;
}

/** RFC 4648 base64 with padding. */
export function base64(value: Uint8Array): string {
  let text = '';
  for (let i = 0; i < value.length; i += 0x8000) text += String.fromCharCode(...value.subarray(i, i + 0x8000));
  return btoa(text);
}

/** Reads base64 strictly: padded, no white space, no spare bits; null otherwise. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return base64(out) === text ? out : null;
}

/** RFC 4648 base64url without padding. */
export const base64url = (value: Uint8Array): string =>
  base64(value).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

/** Reads unpadded base64url strictly; null otherwise. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  const padded = text.replaceAll('-', '+').replaceAll('_', '/') + '='.repeat((4 - (text.length % 4)) % 4);
  return fromBase64(padded);
}
