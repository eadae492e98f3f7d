import { type Bytes, equalBytes } from '@veritee/protocol';

/** The platform an anchor speaks for; `platform` in a result comes from here, never from the file. */
export type Platform = 'snp' | 'nitro' | 'simulated-snp' | 'simulated-nitro';

/**
 * A root as facts (RFC 5914's idea): matched by public key and certificate fingerprint, never by name.
 */
export interface TrustAnchor {
  /** For people: `ARK-Milan`. */
  readonly name: string;
  readonly platform: Platform;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 of the root certificate's DER. */
  readonly fingerprint: Bytes<32>;
}

/** The one of these that this key and certificate are, or null. Both must agree; a name proves nothing. */
export const embedded = (
  anchors: readonly TrustAnchor[],
  { publicKey, fingerprint }: Pick<TrustAnchor, 'publicKey' | 'fingerprint'>,
): TrustAnchor | null =>
  anchors.find((anchor) => equalBytes(anchor.publicKey, publicKey) && equalBytes(anchor.fingerprint, fingerprint)) ??
  null;
