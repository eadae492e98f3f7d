import { EvidenceError, equalBytes } from '@veritee/protocol';
import { nitroAnchorOf } from '../nitro/root.ts';
import { refuseUnlessArk } from '../snp/profile.ts';
import { type Certificate, parseCertificate, verifyCertificateSignature } from '../x509/certificate.ts';
import { isEcdsaSigned } from '../x509/ecdsa.ts';
import { readCertificates } from '../x509/pem.ts';
import { AMD_ANCHORS } from './amd.ts';
import type { TrustAnchor } from './anchor.ts';

/** The embedded root that this key and certificate are, or null. Both must agree; a name proves nothing. */
export const amdAnchor = (candidate: Pick<TrustAnchor, 'publicKey' | 'fingerprint'>): TrustAnchor | null =>
  AMD_ANCHORS.find(
    (anchor) =>
      equalBytes(anchor.publicKey, candidate.publicKey) && equalBytes(anchor.fingerprint, candidate.fingerprint),
  ) ?? null;

async function amdAnchorOf(der: Uint8Array, field: string): Promise<TrustAnchor> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new EvidenceError('TRUST_ANCHOR_INVALID', `${field}: ${reason}`, { field, cause });
  };
  let root: Certificate;
  try {
    root = parseCertificate(der, field);
    refuseUnlessArk(root);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail(error.message, error);
  }
  if (!(await verifyCertificateSignature(root, root.spki))) fail('the self-signature does not verify');
  const facts = {
    name: root.subjectCN,
    publicKey: root.spki,
    notBefore: root.notBefore,
    notAfter: root.notAfter,
    fingerprint: root.fingerprint,
  };
  return amdAnchor(facts) ?? { ...facts, platform: 'simulated-snp' };
}

/**
 * Root certificates, DER or PEM, as anchors. One that is an embedded AMD root, by key and fingerprint, speaks for `snp`;
 * any other self-signed root of the ARK profile speaks for `simulated-snp`, whatever its name says. Likewise AWS's root
 * for `nitro`, and any other root of its profile for `simulated-nitro`; the two profiles sign with different algorithms.
 *
 * @throws EvidenceError TRUST_ANCHOR_INVALID not a certificate, not a root of this profile, or not signed by itself
 */
export async function readTrustAnchors(file: Uint8Array, field: string): Promise<TrustAnchor[]> {
  let items: Uint8Array[];
  try {
    items = readCertificates(file, field);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new EvidenceError('TRUST_ANCHOR_INVALID', error.message, { field, cause: error });
  }
  return Promise.all(items.map((der) => (isEcdsaSigned(der) ? nitroAnchorOf(der, field) : amdAnchorOf(der, field))));
}
