/** The two signature checks by WebCrypto; null where the runtime has none, or not this algorithm. */
import { ByteCache } from './byte-cache.ts';
import { p384Point } from './crypto-keys.ts';

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

/** RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48. */
export async function verifyRsaPssSha384Web(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean | null> {
  const subtle = webCrypto();
  if (!subtle) return null;
  const key = await importKey(subtle, rsaKeys, 'spki', new Uint8Array(spki), RSA_PSS_SHA384);
  if (key === 'unknown') return null;
  return key !== 'refused' && subtle.verify({ name: 'RSA-PSS', saltLength: SALT_BYTES }, key, signature, data);
}

/** ECDSA over P-384 with SHA-384, r ‖ s. */
export async function verifyEcdsaP384Sha384Web(
  spki: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean | null> {
  const subtle = webCrypto();
  if (!subtle) return null;
  // The bare point: OpenSSL takes three times as long over the same key in its SubjectPublicKeyInfo.
  const point = p384Point(spki);
  if (!point) return false;
  const key = await importKey(subtle, ecKeys, 'raw', point, ECDSA_P384);
  if (key === 'unknown') return null;
  return key !== 'refused' && subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, key, signature, data);
}
