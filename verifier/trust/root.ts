import { EvidenceError } from '@veritee/protocol';
import type { Certificate } from '../x509/certificate.ts';
import { embedded, type TrustAnchor } from './anchor.ts';

/** How one platform's roots are read, and what one speaks for that is not embedded. */
export interface RootProfile {
  parse(der: Uint8Array, field: string): Certificate;
  refuseUnlessRoot(certificate: Certificate): void;
  verify(certificate: Certificate, spki: Uint8Array): Promise<boolean>;
  readonly embedded: readonly TrustAnchor[];
  readonly otherwise: 'simulated-snp' | 'simulated-nitro';
}

/**
 * One root certificate as an anchor: an embedded one by key and fingerprint, whatever its name says.
 *
 * @throws EvidenceError TRUST_ANCHOR_INVALID not a certificate, not a root of this profile, or not signed by itself
 */
export async function rootAnchor(der: Uint8Array, field: string, profile: RootProfile): Promise<TrustAnchor> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new EvidenceError('TRUST_ANCHOR_INVALID', `${field}: ${reason}`, { field, cause });
  };
  let root: Certificate;
  try {
    root = profile.parse(der, field);
    profile.refuseUnlessRoot(root);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail(error.message, error);
  }
  if (!(await profile.verify(root, root.spki))) fail('the self-signature does not verify');
  const facts = {
    name: root.subjectCN,
    publicKey: root.spki,
    notBefore: root.notBefore,
    notAfter: root.notAfter,
    fingerprint: root.fingerprint,
  };
  return embedded(profile.embedded, facts) ?? { ...facts, platform: profile.otherwise };
}
