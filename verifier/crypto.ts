/**
 * The only place of the verifier that calls a signature primitive. WebCrypto everywhere; a runtime without it gets its
 * fallback here and nowhere else.
 */
import { ByteCache } from './byte-cache.ts';

const RSA_PSS_SHA384 = { name: 'RSA-PSS', hash: 'SHA-384' } as const;
const ECDSA_P384 = { name: 'ECDSA', namedCurve: 'P-384' } as const;
const SALT_BYTES = 48;

/** `CryptoKey`, which Node's types do not declare as a global. */
type ImportedKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

const rsaKeys = new ByteCache<ImportedKey>(256);
const ecKeys = new ByteCache<ImportedKey>(4096);

/** Null for a key the platform refuses, such as a point off the curve: it verifies nothing. */
async function importKey(
  cache: ByteCache<ImportedKey>,
  spki: Uint8Array,
  algorithm: typeof RSA_PSS_SHA384 | typeof ECDSA_P384,
): Promise<ImportedKey | null> {
  const known = cache.get(spki);
  if (known) return known;
  try {
    const key = await crypto.subtle.importKey('spki', new Uint8Array(spki), algorithm, false, ['verify']);
    cache.set(spki, key);
    return key;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'DataError') return null;
    throw error;
  }
}

/** RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48 (RFC 8017 §8.1.2). */
export async function verifyRsaPssSha384(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const key = await importKey(rsaKeys, spki, RSA_PSS_SHA384);
  if (!key) return false;
  return crypto.subtle.verify({ name: 'RSA-PSS', saltLength: SALT_BYTES }, key, signature, data);
}

/** ECDSA over P-384 with SHA-384; the signature is r ‖ s, big-endian (FIPS 186-5 §6.4). */
export async function verifyEcdsaP384Sha384(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const key = await importKey(ecKeys, spki, ECDSA_P384);
  if (!key) return false;
  return crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, key, signature, data);
}
