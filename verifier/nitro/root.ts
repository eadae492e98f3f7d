import type { TrustAnchor } from '../trust/anchor.ts';
import { AWS_ANCHORS } from '../trust/aws.ts';
import { type RootProfile, rootAnchor } from '../trust/root.ts';
import { parseNitroCertificate, verifyNitroCertificateSignature } from './certificate.ts';
import { refuseUnlessRoot } from './profile.ts';

const ROOT: RootProfile = {
  parse: parseNitroCertificate,
  refuseUnlessRoot,
  verify: verifyNitroCertificateSignature,
  embedded: AWS_ANCHORS,
  otherwise: 'simulated-nitro',
};

/**
 * One root certificate as an anchor. AWS's own speaks for `nitro`; any other self-signed root of the profile speaks for
 * `simulated-nitro`.
 *
 * @throws EvidenceError TRUST_ANCHOR_INVALID not a certificate, not a root of this profile, or not signed by itself
 */
export const nitroAnchorOf = (der: Uint8Array, field: string): Promise<TrustAnchor> => rootAnchor(der, field, ROOT);
