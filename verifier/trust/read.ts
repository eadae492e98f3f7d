import { EvidenceError } from '@veritee/protocol';
import { refuseUnlessArk } from '../snp/profile.ts';
import { parseCertificate, verifyCertificateSignature } from '../x509/certificate.ts';
import { isEcdsaSigned } from '../x509/ecdsa.ts';
import { readCertificates } from '../x509/pem.ts';
import { AMD_ANCHORS } from './amd.ts';
import { embedded, type TrustAnchor } from './anchor.ts';
import { type RootProfile, rootAnchor } from './root.ts';

/** AMD's embedded root that this key and certificate are, or null. */
export const amdAnchor = (candidate: Pick<TrustAnchor, 'publicKey' | 'fingerprint'>): TrustAnchor | null =>
  embedded(AMD_ANCHORS, candidate);

const ARK: RootProfile = {
  parse: parseCertificate,
  refuseUnlessRoot: refuseUnlessArk,
  verify: verifyCertificateSignature,
  embedded: AMD_ANCHORS,
  otherwise: 'simulated-snp',
};

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
  return Promise.all(
    items.map(async (der) => {
      if (!isEcdsaSigned(der)) return rootAnchor(der, field, ARK);
      const { nitroAnchorOf } = await import('../nitro/root.ts');
      return nitroAnchorOf(der, field);
    }),
  );
}
