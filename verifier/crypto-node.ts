/**
 * The two signature checks by Node's own crypto, reached without an import so that the verifier stays free of Node. It
 * answers at once, where Node's WebCrypto hands every check to another thread and back.
 */
import { ByteCache } from './byte-cache.ts';

/** As much of `node:crypto` as is called here. */
interface NodeCrypto {
  readonly constants: { readonly RSA_PKCS1_PSS_PADDING: number };
  createPublicKey(input: { key: Uint8Array; format: 'der'; type: 'spki' }): PublicKey;
  verify(hash: 'sha384', data: Uint8Array, key: VerifyKey, signature: Uint8Array): boolean;
}

declare const publicKey: unique symbol; // node:crypto alone makes one
interface PublicKey {
  readonly [publicKey]: true;
}

interface VerifyKey {
  readonly key: PublicKey;
  readonly dsaEncoding?: 'ieee-p1363';
  readonly padding?: number;
  readonly saltLength?: number;
}

interface Process {
  readonly versions?: { readonly node?: string };
  readonly getBuiltinModule?: (name: 'crypto') => NodeCrypto | undefined;
}

const SALT_BYTES = 48;

const rsaKeys = new ByteCache<VerifyKey>(256);
const ecKeys = new ByteCache<VerifyKey>(4096);

/** Null anywhere but in Node 20.16 and later: a page's bundler may have put a `process` of its own there. */
function nodeCrypto(): NodeCrypto | null {
  const { process } = globalThis as { readonly process?: Process };
  if (process?.versions?.node === undefined) return null;
  return process.getBuiltinModule?.('crypto') ?? null;
}

/** Null for a key that OpenSSL refuses, such as a point off the curve: it verifies nothing. */
function keyOf(
  node: NodeCrypto,
  cache: ByteCache<VerifyKey>,
  spki: Uint8Array,
  how: Omit<VerifyKey, 'key'>,
): VerifyKey | null {
  const known = cache.get(spki);
  if (known) return known;
  try {
    const key = { key: node.createPublicKey({ key: spki, format: 'der', type: 'spki' }), ...how };
    cache.set(spki, key);
    return key;
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (typeof code === 'string' && code.startsWith('ERR_OSSL_')) return null;
    throw error;
  }
}

/** RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48; null where there is no Node. `spki` is in the one form of its profile. */
export function verifyRsaPssSha384Node(spki: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean | null {
  const node = nodeCrypto();
  if (!node) return null;
  const padding = node.constants.RSA_PKCS1_PSS_PADDING;
  const key = keyOf(node, rsaKeys, spki, { padding, saltLength: SALT_BYTES });
  return key !== null && node.verify('sha384', data, key, signature);
}

/** ECDSA over P-384 with SHA-384, r ‖ s; null where there is no Node. `spki` is in the one form of its profile. */
export function verifyEcdsaP384Sha384Node(spki: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean | null {
  const node = nodeCrypto();
  if (!node) return null;
  const key = keyOf(node, ecKeys, spki, { dsaEncoding: 'ieee-p1363' });
  return key !== null && node.verify('sha384', data, key, signature);
}
