/**
 * The only place of the verifier that calls a signature primitive: WebCrypto, and `crypto-fallback.ts` where the runtime
 * has none or lacks the curve. Both give the same verdict for every key, signature and message.
 */
import { ByteCache } from './byte-cache.ts';
import { p384Point, verifyEcdsaP384Sha384Pure, verifyRsaPssSha384Pure } from './crypto-fallback.ts';

const RSA_PSS_SHA384 = { name: 'RSA-PSS', hash: 'SHA-384' } as const;
const ECDSA_P384 = { name: 'ECDSA', namedCurve: 'P-384' } as const;
const SALT_BYTES = 48;

type Subtle = typeof crypto.subtle;
/** `CryptoKey`, which Node's types do not declare as a global. */
type ImportedKey = Awaited<ReturnType<Subtle['importKey']>>;

const rsaKeys = new ByteCache<ImportedKey>(256);
const ecKeys = new ByteCache<ImportedKey>(4096);

/** Absent where a page was not served securely. */
const webCrypto = (): Subtle | undefined => globalThis.crypto?.subtle as Subtle | undefined;

/** `refused`: a key such as a point off the curve, which verifies nothing. `unknown`: an algorithm this runtime lacks. */
async function importKey(
  subtle: Subtle,
  cache: ByteCache<ImportedKey>,
  format: 'spki' | 'raw',
  bytes: Uint8Array<ArrayBuffer>,
  algorithm: typeof RSA_PSS_SHA384 | typeof ECDSA_P384,
): Promise<ImportedKey | 'refused' | 'unknown'> {
  const known = cache.get(bytes);
  if (known) return known;
  try {
    const key = await subtle.importKey(format, bytes, algorithm, false, ['verify']);
    cache.set(bytes, key);
    return key;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'DataError') return 'refused';
    if (error instanceof DOMException && error.name === 'NotSupportedError') return 'unknown';
    throw error;
  }
}

/** RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48 (RFC 8017 §8.1.2). */
export async function verifyRsaPssSha384(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const subtle = webCrypto();
  const key = subtle ? await importKey(subtle, rsaKeys, 'spki', new Uint8Array(spki), RSA_PSS_SHA384) : 'unknown';
  if (!subtle || key === 'unknown') return verifyRsaPssSha384Pure(spki, signature, data);
  if (key === 'refused') return false;
  return subtle.verify({ name: 'RSA-PSS', saltLength: SALT_BYTES }, key, signature, data);
}

/** ECDSA over P-384 with SHA-384; the signature is r ‖ s, big-endian (FIPS 186-5 §6.4). */
export async function verifyEcdsaP384Sha384(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const subtle = webCrypto();
  // The bare point: OpenSSL takes three times as long over the same key in its SubjectPublicKeyInfo.
  const point = p384Point(spki);
  if (!point) return false;
  const key = subtle ? await importKey(subtle, ecKeys, 'raw', point, ECDSA_P384) : 'unknown';
  if (!subtle || key === 'unknown') return verifyEcdsaP384Sha384Pure(spki, signature, data);
  if (key === 'refused') return false;
  return subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, key, signature, data);
}
