/**
 * The chain from an anchor down to the key that signs documents. The document brings all of it, root first; the root is
 * only compared with the caller's anchors and never trusted from here.
 */
import { equalBytes, hex } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import type { Certificate } from '../x509/certificate.ts';
import { parseNitroCertificate, verifyNitroCertificateSignature } from './certificate.ts';
import type { NitroDocument } from './document.ts';
import { refuseUnlessAuthority, refuseUnlessLeaf } from './profile.ts';

/** The certificates of a document in their places. Nothing is verified yet. */
export interface NitroChain {
  readonly root: Certificate;
  /** From the one that the root signed to the one that signed the leaf. */
  readonly intermediates: readonly Certificate[];
  readonly leaf: Certificate;
}

/** Root first, leaf last. */
export const certificatesOf = ({ root, intermediates, leaf }: NitroChain): readonly Certificate[] => [
  root,
  ...intermediates,
  leaf,
];

/** @throws EvidenceError ENDORSEMENT_MALFORMED */
export function parseChain(document: NitroDocument): NitroChain {
  const bundle = document.cabundle.map((der, i) => parseNitroCertificate(der, `document.cabundle[${i}]`));
  const [root, ...intermediates] = bundle;
  if (!root) throw new TypeError('cabundle: parseNitroDocument returns at least one certificate');
  return { root, intermediates, leaf: parseNitroCertificate(document.certificate, 'document.certificate') };
}

/**
 * Names, rights and extensions of each place, and that the places fit together.
 * @throws EvidenceError CERTIFICATE_INVALID
 */
export function checkProfile(chain: NitroChain): void {
  const certificates = certificatesOf(chain);
  for (const [i, certificate] of certificates.entries()) {
    // Of the root, being its own issuer.
    const issuer = certificates[i - 1] ?? certificate;
    if (!equalBytes(certificate.issuerDer, issuer.subjectDer)) {
      const expected = `${certificate.subjectCN} issued by ${issuer.subjectCN}`;
      throw new CheckFailure('CERTIFICATE_INVALID', expected, certificate.issuerCN, { field: certificate.subjectCN });
    }
  }
  const authorities = [chain.root, ...chain.intermediates];
  for (const [i, authority] of authorities.entries()) checkAuthority(authority, authorities.length - 1 - i);
  if (leaves.has(chain.leaf)) return;
  refuseUnlessLeaf(chain.leaf);
  leaves.add(chain.leaf);
}

/** Certificates that fit their place: for their bytes that is so for ever. */
const leaves = new WeakSet<Certificate>();
/** With the greatest number of authorities that each may have below it, as far as seen. */
const authoritiesAbove = new WeakMap<Certificate, number>();

function checkAuthority(authority: Certificate, below: number): void {
  if ((authoritiesAbove.get(authority) ?? -1) >= below) return;
  refuseUnlessAuthority(authority, below);
  authoritiesAbove.set(authority, below);
}

/**
 * The anchor that the document's first certificate is, by fingerprint and key; its name proves nothing.
 * @throws EvidenceError CHAIN_UNTRUSTED
 */
export function findAnchor({ root }: NitroChain, anchors: readonly TrustAnchor[]): TrustAnchor {
  const candidates = anchors.filter(({ platform }) => platform === 'nitro' || platform === 'simulated-nitro');
  // Equal fingerprints make it the anchor's own certificate, so its self-signature says nothing new.
  const anchor = candidates.find(
    ({ fingerprint, publicKey }) => equalBytes(fingerprint, root.fingerprint) && equalBytes(publicKey, root.spki),
  );
  if (anchor) return anchor;
  const expected = `a chain that begins with one of the ${candidates.length} trusted Nitro roots`;
  const actual = `${root.subjectCN} with SHA-256 ${hex(root.fingerprint)}`;
  throw new CheckFailure('CHAIN_UNTRUSTED', expected, actual, { field: 'document.cabundle[0]' });
}

async function verifyIssued(certificate: Certificate, issuer: Certificate): Promise<void> {
  if (await verifyNitroCertificateSignature(certificate, issuer.spki)) return;
  const expected = `${certificate.subjectCN} signed by ${issuer.subjectCN}`;
  throw new CheckFailure('CHAIN_UNTRUSTED', expected, 'another signature', { field: certificate.subjectCN });
}

/** @throws EvidenceError CHAIN_UNTRUSTED */
export async function verifyIntermediates({ root, intermediates }: NitroChain): Promise<void> {
  let issuer = root;
  for (const certificate of intermediates) {
    await verifyIssued(certificate, issuer);
    issuer = certificate;
  }
}

/** @throws EvidenceError CHAIN_UNTRUSTED */
export const verifyLeaf = ({ root, intermediates, leaf }: NitroChain): Promise<void> =>
  verifyIssued(leaf, intermediates.at(-1) ?? root);
