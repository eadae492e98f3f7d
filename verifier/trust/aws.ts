/**
 * AWS's Nitro Enclaves root G1 as facts: public key, validity, SHA-256 of the certificate. AWS publishes it as
 * https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip with this fingerprint in its user guide; a test
 * compares it with the certificate itself. It stands for AWS's commercial regions; a policy can name other roots.
 */
import { bytes, fromBase64, fromHex } from '@veritee/protocol';
import type { TrustAnchor } from './anchor.ts';

function root(name: string, notBefore: string, notAfter: string, fingerprint: string, publicKey: string): TrustAnchor {
  const digest = fromHex(fingerprint);
  const key = fromBase64(publicKey);
  if (!digest || !key) throw new TypeError('a pinned AWS certificate is mistyped');
  return {
    name,
    platform: 'nitro',
    publicKey: key,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    fingerprint: bytes(digest, 32, 'fingerprint'),
  };
}

export const AWS_ANCHORS: readonly TrustAnchor[] = [
  root(
    'aws.nitro-enclaves',
    '2019-10-28T13:28:05Z',
    '2049-10-28T14:28:05Z',
    '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b',
    'MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE/AJU66YIwfNocOKa2pC+RjgyknNuiUv/9nLZiURLUFHlNKSx9tvjwLxYGjK3sXYHDt4S1po/6iEbZudSz33R3QlfbxNw9BcIQ9ncEAEh5M9jASgJZkSHyXlihDBNxT/0',
  ),
];
