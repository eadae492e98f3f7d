/**
 * The two signature checks in plain JavaScript, for runtimes without WebCrypto (a page that was not served securely) or
 * without P-384. Verification only: everything here is public, so nothing has to run in constant time.
 */
import type { ECDSA } from '@noble/curves/abstract/weierstrass.js';
import { sha384 } from '@noble/hashes/sha2.js';
import { concat, equalBytes, fromHex, hex, isZero } from '@veritee/protocol';
import { p384Point, rsa4096Modulus } from './crypto-keys.ts';

const HASH_BYTES = 48;
const SALT_BYTES = 48;

const MODULUS_BYTES = 512;
const MODULUS_BITS = 8 * MODULUS_BYTES;
const P384_SIGNATURE_BYTES = 96;

const integer = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);

/** RSASSA-PSS-VERIFY (RFC 8017 §8.1.2) with a key of AMD's profile: RSA-4096, exponent 65537. Any other key verifies nothing. */
export function verifyRsaPssSha384Pure(spki: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  const modulus = rsa4096Modulus(spki);
  if (!modulus || signature.length !== MODULUS_BYTES) return false;
  const n = integer(modulus);
  const s = integer(signature);
  if (s >= n) return false;
  let power = s;
  for (let i = 0; i < 16; i++) power = (power * power) % n;
  const message = ((power * s) % n).toString(16).padStart(2 * MODULUS_BYTES, '0');
  const encoded = fromHex(message);
  return encoded !== null && isPssEncoding(encoded, data);
}

/** EMSA-PSS-VERIFY (RFC 8017 §9.1.2) for emBits = 4095: one bit of the first byte is unused. */
function isPssEncoding(encoded: Uint8Array, data: Uint8Array): boolean {
  const seedAt = MODULUS_BYTES - HASH_BYTES - 1;
  const maskedDb = encoded.subarray(0, seedAt);
  const hash = encoded.subarray(seedAt, seedAt + HASH_BYTES);
  const unused = 0xff << (8 - (8 * MODULUS_BYTES - (MODULUS_BITS - 1)));
  if (encoded[MODULUS_BYTES - 1] !== 0xbc || ((encoded[0] ?? 0) & unused & 0xff) !== 0) return false;
  const db = maskGeneration(hash, seedAt);
  for (const [i, byte] of maskedDb.entries()) db[i] = (db[i] ?? 0) ^ byte;
  db[0] = (db[0] ?? 0) & ~unused;
  const saltAt = seedAt - SALT_BYTES;
  if (!isZero(db.subarray(0, saltAt - 1)) || db[saltAt - 1] !== 0x01) return false;
  return equalBytes(hash, sha384(concat(new Uint8Array(8), sha384(data), db.subarray(saltAt))));
}

/** MGF1 (RFC 8017 §B.2.1). */
function maskGeneration(seed: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const blocks = Array.from({ length: Math.ceil(length / HASH_BYTES) }, (_, i) =>
    sha384(concat(seed, Uint8Array.of(0, 0, 0, i))),
  );
  return concat(...blocks).slice(0, length);
}

// SP 800-186 §3.2.1.4. Built here because `@noble/curves/nist.js` brings hash-to-curve, OPRF and FROST along.
const P384 = {
  p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn,
  n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  h: 1n,
  a: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000fffffffcn,
  b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  Gx: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
  Gy: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
};

let curve: Promise<ECDSA> | null = null;

async function loadCurve(): Promise<ECDSA> {
  const { ecdsa, weierstrass } = await import('@noble/curves/abstract/weierstrass.js');
  return ecdsa(weierstrass(P384), sha384);
}

/** ECDSA (FIPS 186-5 §6.4.2); both forms of s are valid. A key without a `p384Point` verifies nothing. */
export async function verifyEcdsaP384Sha384Pure(
  spki: Uint8Array,
  signature: Uint8Array,
  data: Uint8Array,
): Promise<boolean> {
  const point = p384Point(spki);
  if (!point || signature.length !== P384_SIGNATURE_BYTES) return false;
  curve ??= loadCurve();
  const p384 = await curve;
  try {
    return p384.verify(signature, sha384(data), point, { prehash: false, lowS: false, format: 'compact' });
  } catch {
    return false; // the point is off the curve, or r or s is zero or not below the order
  }
}
