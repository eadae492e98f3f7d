import { EvidenceError } from '@veritee/protocol';
import type { TrustAnchor } from '../trust/anchor.ts';
import { awsAnchor } from '../trust/aws.ts';
import type { Certificate } from '../x509/certificate.ts';
import { parseNitroCertificate, verifyNitroCertificateSignature } from './certificate.ts';
import { refuseUnlessRoot } from './profile.ts';

/**
 * One root certificate as an anchor. AWS's own, by key and fingerprint, speaks for `nitro`; any other self-signed root of
 * the profile speaks for `simulated-nitro`, whatever its name says.
 *
 * @throws EvidenceError TRUST_ANCHOR_INVALID not a certificate, not a root of this profile, or not signed by itself
 */
export async function nitroAnchorOf(der: Uint8Array, field: string): Promise<TrustAnchor> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new EvidenceError('TRUST_ANCHOR_INVALID', `${field}: ${reason}`, { field, cause });
  };
  let root: Certificate;
  try {
    root = parseNitroCertificate(der, field);
    refuseUnlessRoot(root);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail(error.message, error);
  }
  if (!(await verifyNitroCertificateSignature(root, root.spki))) fail('the self-signature does not verify');
  const facts = {
    name: root.subjectCN,
    publicKey: root.spki,
    notBefore: root.notBefore,
    notAfter: root.notAfter,
    fingerprint: root.fingerprint,
  };
  return awsAnchor(facts) ?? { ...facts, platform: 'simulated-nitro' };
}
