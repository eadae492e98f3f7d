/**
 * The only door of the verifier to a signature primitive: Node's own crypto in Node, WebCrypto elsewhere, plain JavaScript
 * where neither can. All three give the same verdict for every key, signature and message; a key in another form than its
 * profile's verifies nothing, so what the runtimes make of such keys does not matter.
 */
import { isP384, isRsa4096 } from './crypto-keys.ts';
import { verifyEcdsaP384Sha384Node, verifyRsaPssSha384Node } from './crypto-node.ts';
import { verifyEcdsaP384Sha384Web, verifyRsaPssSha384Web } from './crypto-web.ts';

/** Node answers at once; to be awaited. */
type Verdict = boolean | Promise<boolean>;

type Check<V> = (spki: Uint8Array, signature: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer>) => V;

const rsaElsewhere: Check<Promise<boolean>> = async (spki, signature, data) =>
  (await verifyRsaPssSha384Web(spki, signature, data)) ??
  (await import('./crypto-fallback.ts')).verifyRsaPssSha384Pure(spki, signature, data);

const ecdsaElsewhere: Check<Promise<boolean>> = async (spki, signature, data) =>
  (await verifyEcdsaP384Sha384Web(spki, signature, data)) ??
  (await import('./crypto-fallback.ts')).verifyEcdsaP384Sha384Pure(spki, signature, data);

/** RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48 (RFC 8017 §8.1.2), with a key of AMD's profile: RSA-4096, exponent 65537. */
export const verifyRsaPssSha384: Check<Verdict> = (spki, signature, data) =>
  isRsa4096(spki) && (verifyRsaPssSha384Node(spki, signature, data) ?? rsaElsewhere(spki, signature, data));

/** ECDSA over P-384 with SHA-384; the key an uncompressed point, the signature r ‖ s, big-endian (FIPS 186-5 §6.4). */
export const verifyEcdsaP384Sha384: Check<Verdict> = (spki, signature, data) =>
  isP384(spki) && (verifyEcdsaP384Sha384Node(spki, signature, data) ?? ecdsaElsewhere(spki, signature, data));
