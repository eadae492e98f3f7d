import { AEAD_AES_128_GCM, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256, type KEMFactory, type KeyPair } from 'hpke';
import { CodedError, ServiceError } from '../../protocol/errors.ts';
import { nodeAesGcm, nodeCrypto, nodeHkdfSha256, nodeX25519 } from '../../protocol/sealed/node-crypto.ts';
import { openRequest } from '../../protocol/sealed/recipient.ts';
import type { SealingKeyPair } from '../../protocol/sealed/sealing-key.ts';
import { makeSuite, nodeSuite, type Suite, type SuiteKey, webSuite } from '../../protocol/sealed/suite.ts';

const crypto = nodeCrypto()!;
const nodeKdf = nodeHkdfSha256(crypto);

/** Both sets of primitives; `of(128)` for the vectors of RFC 9458, `of(256)` for what we speak. */
export const PRIMITIVES: readonly { name: string; kem: KEMFactory<SuiteKey>; of: (bits: 128 | 256) => Suite }[] = [
  {
    name: 'WebCrypto',
    kem: KEM_DHKEM_X25519_HKDF_SHA256 as KEMFactory<SuiteKey>,
    of: (bits) =>
      bits === 256 ? webSuite() : makeSuite(KEM_DHKEM_X25519_HKDF_SHA256 as never, KDF_HKDF_SHA256, AEAD_AES_128_GCM),
  },
  {
    name: 'node:crypto',
    kem: nodeX25519(crypto, nodeKdf()) as KEMFactory<SuiteKey>,
    of: (bits) =>
      bits === 256 ? nodeSuite()! : makeSuite(nodeX25519(crypto, nodeKdf()) as never, nodeKdf, nodeAesGcm(crypto, 16)),
  },
];

/** The same suite with a sender whose ephemeral key is the published one. */
export async function withEphemeral(
  { kem, of }: (typeof PRIMITIVES)[number],
  bits: 128 | 256,
  secret: Uint8Array,
): Promise<Suite> {
  const base = kem();
  const ephemeral = await pairOf(of(bits), secret);
  const { kdf, aead } = of(bits);
  const fixed = () => ({ ...base, GenerateKeyPair: async () => ephemeral });
  return makeSuite(
    fixed,
    () => kdf,
    () => aead,
  );
}

/** A key pair from its private half, whose public half WebCrypto does not give away. */
export async function pairOf({ hpke }: Suite, secret: Uint8Array): Promise<KeyPair<SuiteKey>> {
  const handle = crypto.createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]),
    format: 'der',
    type: 'pkcs8',
  });
  const x = Buffer.from(crypto.createPublicKey(handle).export({ format: 'jwk' }).x!, 'base64url');
  return {
    privateKey: await hpke.DeserializePrivateKey(secret),
    publicKey: await hpke.DeserializePublicKey(new Uint8Array(x)),
  };
}

/** The stream, cut behind each of these offsets. */
export async function* cutAt(body: Uint8Array, offsets: readonly number[]): AsyncGenerator<Uint8Array, void, void> {
  let from = 0;
  for (const to of [...offsets].sort((a, b) => a - b)) {
    yield body.subarray(from, to);
    from = to;
  }
  yield body.subarray(from);
}

export async function gather(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return new Uint8Array(Buffer.concat(parts));
}

/** `ok`, or the code it was refused with. Any other exception is a defect and fails the test. */
export async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
}

export const optionsFor = (pair: SealingKeyPair, firstUse: (enc: Uint8Array) => void = () => {}) => ({
  keyOf: (keyId: number) => {
    if (keyId === pair.keyId) return pair;
    throw new ServiceError('SEALING_KEY_UNKNOWN', 'no such key');
  },
  firstUse,
  maxBytes: 1 << 20,
});

/** Opens a request that is all there, to its end. */
export async function openWhole(pair: SealingKeyPair, body: Uint8Array, mediaType: string): Promise<Uint8Array> {
  const { content } = await openRequest(cutAt(body, []), mediaType, optionsFor(pair));
  return gather(content);
}
