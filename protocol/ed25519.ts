/**
 * Ed25519 (RFC 8032), strict: non-canonical encodings, small-order and mixed-order keys and S ≥ L are refused, so that
 * the WebCrypto path and the `@noble/curves` path give the same verdict for every input.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { type Bytes, bytes, hex } from './bytes.ts';
import { EvidenceError } from './errors.ts';

/** Signs synchronously with the session key; the enclave passes one built on node:crypto. */
export type Sign = (message: Uint8Array) => Bytes<64>;

declare const checked: unique symbol;
/** A public key that is a canonical encoding of a point of prime order. */
export type Ed25519Key = Bytes<32> & { readonly [checked]: true };

const MAX_CACHED_KEYS = 1024;
const points = new Map<string, Ed25519Key>();
/** `CryptoKey`, which Node's types do not declare as a global. */
type ImportedKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
const imported = new Map<string, Promise<ImportedKey | null>>();

function remember<V>(cache: Map<string, V>, name: string, value: V): V {
  if (cache.size >= MAX_CACHED_KEYS) cache.delete(cache.keys().next().value as string);
  cache.set(name, value);
  return value;
}

/**
 * Accepts a public key once, so that it can be used many times.
 * @throws EvidenceError SESSION_INVALID not a canonical point of prime order
 */
export function ed25519Key(raw: Uint8Array, field: string): Ed25519Key {
  const name = hex(raw);
  const known = points.get(name);
  if (known) return known;
  try {
    const point = ed25519.Point.fromBytes(raw, false); // false: ZIP 215's lax decoding is off
    if (point.is0() || !point.isTorsionFree()) throw new Error('low or mixed order');
  } catch (cause) {
    throw new EvidenceError('SESSION_INVALID', `${field}: not an Ed25519 public key of prime order`, { field, cause });
  }
  return remember(points, name, bytes(raw, 32, field) as Ed25519Key);
}

const L = (1n << 252n) + 27742317777372353535851937790883648493n;

function hasCanonicalS(signature: Uint8Array): boolean {
  let s = 0n;
  for (let i = 63; i >= 32; i--) s = (s << 8n) | BigInt(signature[i] as number);
  return s < L;
}

async function importKey(key: Ed25519Key): Promise<ImportedKey | null> {
  try {
    return await crypto.subtle.importKey('raw', key, { name: 'Ed25519' }, false, ['verify']);
  } catch {
    return null; // no Ed25519, or no WebCrypto at all: a page that was not served securely
  }
}

/** The WebCrypto key, or null where this runtime has no Ed25519. */
function webCryptoKey(key: Ed25519Key): Promise<ImportedKey | null> {
  const name = hex(key);
  return imported.get(name) ?? remember(imported, name, importKey(key));
}

/** Pure JavaScript path: also what runs where WebCrypto lacks Ed25519. */
export function verifyEd25519Pure(key: Ed25519Key, message: Uint8Array, signature: Bytes<64>): boolean {
  if (!hasCanonicalS(signature)) return false;
  try {
    // noble's equation is cofactored; with R and the key of prime order it equals the cofactorless one WebCrypto uses.
    if (!ed25519.Point.fromBytes(signature.subarray(0, 32), false).isTorsionFree()) return false;
    return ed25519.verify(signature, message, key, { zip215: false });
  } catch {
    return false; // R is not a point
  }
}

export async function verifyEd25519(key: Ed25519Key, message: Uint8Array, signature: Bytes<64>): Promise<boolean> {
  if (!hasCanonicalS(signature)) return false;
  const native = await webCryptoKey(key);
  if (!native) return verifyEd25519Pure(key, message, signature);
  return crypto.subtle.verify({ name: 'Ed25519' }, native, signature, new Uint8Array(message));
}
