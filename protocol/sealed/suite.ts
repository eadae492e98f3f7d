/** The one suite of sealed messages: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180 §7). */
import {
  type AEAD,
  AEAD_AES_256_GCM,
  type AEADFactory,
  CipherSuite,
  type KDF,
  KDF_HKDF_SHA256,
  type KDFFactory,
  KEM_DHKEM_X25519_HKDF_SHA256,
  type KEMFactory,
  type Key,
} from 'hpke';
import { nodeAesGcm, nodeCrypto, nodeHkdfSha256, nodeX25519 } from './node-crypto.ts';

export type SuiteKey = Key;

export const KEM_X25519 = 0x0020;
export const KDF_SHA256 = 0x0001;
export const AEAD_AES256 = 0x0002;
/** Length of `enc`: the sender's X25519 public key. */
export const ENC_BYTES = 32;
/** Length of the AEAD's tag. */
export const TAG_BYTES = 16;

export interface Suite {
  readonly hpke: CipherSuite<SuiteKey>;
  /** The same KDF and AEAD once more: an answer is sealed outside of the HPKE context (RFC 9458 §4.4). */
  readonly kdf: Readonly<KDF>;
  readonly aead: Readonly<AEAD>;
}

export const makeSuite = (kem: KEMFactory<SuiteKey>, kdf: KDFFactory, aead: AEADFactory): Suite => ({
  hpke: new CipherSuite<SuiteKey>(kem, kdf, aead),
  kdf: kdf(),
  aead: aead(),
});

export const webSuite = (): Suite =>
  makeSuite(KEM_DHKEM_X25519_HKDF_SHA256 as KEMFactory<SuiteKey>, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/** null where there is no node:crypto. */
export function nodeSuite(): Suite | null {
  const crypto = nodeCrypto();
  if (!crypto) return null;
  const kdf = nodeHkdfSha256(crypto);
  return makeSuite(nodeX25519(crypto, kdf()) as KEMFactory<SuiteKey>, kdf, nodeAesGcm(crypto, 32));
}

let chosen: Suite | undefined;

/** The suite on the fastest primitives at hand. */
export function suite(): Suite {
  chosen ??= nodeSuite() ?? webSuite();
  return chosen;
}
