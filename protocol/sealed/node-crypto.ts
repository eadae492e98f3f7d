/**
 * The suite's primitives on node:crypto. WebCrypto costs several times as much per message, because each of its dozen
 * small steps crosses threads. Looked up at run time: in a browser there is no such module and WebCrypto serves.
 *
 * @see RFC 9180 §4.1 (DHKEM), §7.1.4 (zero shared secret), §7.3 (AEAD); RFC 5869 (HKDF)
 */
import {
  type AEADFactory,
  type KDF,
  type KDFFactory,
  type KEM,
  type KEMFactory,
  LabeledExpand,
  LabeledExtract,
} from 'hpke';
import { base64url, bytes, concat, fromBase64url, isZero, utf8 } from '../bytes.ts';

interface KeyObject {
  export(options: { readonly format: 'jwk' }): { readonly x?: string };
}

interface Cipher {
  setAAD(aad: Uint8Array): unknown;
  update(data: Uint8Array): Uint8Array<ArrayBuffer>;
  final(): unknown;
}

/** What is used of node:crypto; this room compiles without Node's types. */
export interface NodeCrypto {
  createHmac(hash: string, key: Uint8Array): { update(data: Uint8Array): unknown; digest(): Uint8Array<ArrayBuffer> };
  createCipheriv(name: string, key: Uint8Array, nonce: Uint8Array): Cipher & { getAuthTag(): Uint8Array };
  createDecipheriv(
    name: string,
    key: Uint8Array,
    nonce: Uint8Array,
    options: { readonly authTagLength: number },
  ): Cipher & { setAuthTag(tag: Uint8Array): unknown };
  generateKeyPairSync(type: 'x25519'): { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  createPublicKey(key: KeyObject | { readonly key: object; readonly format: 'jwk' }): KeyObject;
  createPrivateKey(key: { readonly key: Uint8Array; readonly format: 'der'; readonly type: 'pkcs8' }): KeyObject;
  diffieHellman(keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): Uint8Array<ArrayBuffer>;
}

interface Runtime {
  readonly process?: { readonly getBuiltinModule?: (name: string) => NodeCrypto | undefined };
}

/** undefined outside Node, and in Node before 20.16. */
export const nodeCrypto = (): NodeCrypto | undefined =>
  (globalThis as unknown as Runtime).process?.getBuiltinModule?.('node:crypto');

/** A Buffer shown as the plain array it is; its memory is its own, since it comes from the cipher and not from a pool. */
const plain = (value: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(value.buffer, value.byteOffset, value.byteLength);

export function nodeHkdfSha256(crypto: NodeCrypto): KDFFactory {
  function hmac(key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
    const mac = crypto.createHmac('sha256', key);
    mac.update(data);
    return plain(mac.digest());
  }
  return () => ({
    id: 0x0001,
    type: 'KDF',
    name: 'HKDF-SHA256',
    Nh: 32,
    stages: 2,
    Extract: async (salt, ikm) => hmac(salt, ikm),
    Expand: async (prk, info, length) => {
      const out = new Uint8Array(32 * Math.ceil(length / 32));
      let block = new Uint8Array(0);
      for (let i = 0; 32 * i < length; i++) {
        block = hmac(prk, concat(block, info, Uint8Array.of(i + 1)));
        out.set(block, 32 * i);
      }
      return out.slice(0, length);
    },
    Derive: async () => {
      throw new TypeError('HKDF has two stages');
    },
  });
}

interface X25519Key {
  readonly algorithm: { name: 'X25519' };
  /** The public half. */
  readonly extractable: boolean;
  readonly type: 'public' | 'private';
  readonly handle: KeyObject;
}

const ALGORITHM: X25519Key['algorithm'] = { name: 'X25519' };
const SUITE_ID = concat(utf8('KEM'), Uint8Array.of(0x00, 0x20));
const EMPTY = new Uint8Array(0);
/** RFC 8410: everything in front of the 32 bytes of an X25519 private key in PKCS #8. */
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);

const publicOf = (handle: KeyObject): X25519Key => ({
  algorithm: ALGORITHM,
  extractable: true,
  type: 'public',
  handle,
});
const privateOf = (handle: KeyObject): X25519Key => ({
  algorithm: ALGORITHM,
  extractable: false,
  type: 'private',
  handle,
});

export function nodeX25519(crypto: NodeCrypto, hkdf: Pick<KDF, 'Extract' | 'Expand'>): KEMFactory<X25519Key> {
  const rawOf = (key: X25519Key) =>
    bytes(fromBase64url(key.handle.export({ format: 'jwk' }).x ?? '') ?? EMPTY, 32, 'publicKey');
  const readPublic = (raw: Uint8Array): X25519Key =>
    publicOf(crypto.createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url(raw) }, format: 'jwk' }));
  const readPrivate = (raw: Uint8Array): X25519Key =>
    privateOf(crypto.createPrivateKey({ key: concat(PKCS8_HEAD, raw), format: 'der', type: 'pkcs8' }));

  async function sharedSecret(own: X25519Key, other: X25519Key, enc: Uint8Array, recipient: Uint8Array) {
    // OpenSSL refuses an all-zero result itself; another library behind node:crypto may not.
    const dh = plain(crypto.diffieHellman({ privateKey: own.handle, publicKey: other.handle }));
    if (isZero(dh)) throw new TypeError('all-zero shared secret');
    const prk = await LabeledExtract(hkdf, SUITE_ID, EMPTY, utf8('eae_prk'), dh);
    return LabeledExpand(hkdf, SUITE_ID, prk, utf8('shared_secret'), concat(enc, recipient), 32);
  }

  return (): KEM<X25519Key> => ({
    id: 0x0020,
    type: 'KEM',
    name: 'DHKEM(X25519, HKDF-SHA256)',
    Nsecret: 32,
    Nenc: 32,
    Npk: 32,
    Nsk: 32,
    async DeriveKeyPair(ikm) {
      const prk = await LabeledExtract(hkdf, SUITE_ID, EMPTY, utf8('dkp_prk'), ikm);
      const privateKey = readPrivate(await LabeledExpand(hkdf, SUITE_ID, prk, utf8('sk'), EMPTY, 32));
      return { privateKey, publicKey: publicOf(crypto.createPublicKey(privateKey.handle)) };
    },
    async GenerateKeyPair() {
      const pair = crypto.generateKeyPairSync('x25519');
      return { publicKey: publicOf(pair.publicKey), privateKey: privateOf(pair.privateKey) };
    },
    SerializePublicKey: async (key) => rawOf(key),
    DeserializePublicKey: async (raw) => readPublic(raw),
    SerializePrivateKey: async () => {
      throw new TypeError('private halves are not extractable');
    },
    DeserializePrivateKey: async (raw) => readPrivate(raw),
    async Encap(recipient) {
      const ephemeral = await this.GenerateKeyPair(false);
      const enc = rawOf(ephemeral.publicKey);
      return { enc, shared_secret: await sharedSecret(ephemeral.privateKey, recipient, enc, rawOf(recipient)) };
    },
    Decap: async (enc, own, ownPublic) =>
      sharedSecret(own, readPublic(enc), enc, rawOf(ownPublic ?? publicOf(crypto.createPublicKey(own.handle)))),
  });
}

const TAG = 16;

export function nodeAesGcm(crypto: NodeCrypto, keyBytes: 16 | 32): AEADFactory {
  const name = `aes-${8 * keyBytes}-gcm`;
  return () => ({
    id: keyBytes === 16 ? 0x0001 : 0x0002,
    type: 'AEAD',
    name: `AES-${8 * keyBytes}-GCM`,
    Nk: keyBytes,
    Nn: 12,
    Nt: TAG,
    async Seal(key, nonce, aad, plaintext) {
      const cipher = crypto.createCipheriv(name, key, nonce);
      cipher.setAAD(aad);
      const out = new Uint8Array(plaintext.length + TAG);
      out.set(cipher.update(plaintext));
      cipher.final();
      out.set(cipher.getAuthTag(), plaintext.length);
      return out;
    },
    async Open(key, nonce, aad, ciphertext) {
      if (ciphertext.length < TAG) throw new TypeError('shorter than its tag');
      const cipher = crypto.createDecipheriv(name, key, nonce, { authTagLength: TAG });
      cipher.setAAD(aad);
      cipher.setAuthTag(ciphertext.subarray(ciphertext.length - TAG));
      const plaintext = plain(cipher.update(ciphertext.subarray(0, ciphertext.length - TAG)));
      cipher.final(); // throws unless the tag fits: nothing is handed on before
      return plaintext;
    },
  });
}
