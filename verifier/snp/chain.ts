/**
 * The chain from an anchor down to the key that signs reports: ARK → ASK → VCEK, or ARK → ASVK → VLEK. The ARK comes from
 * the caller's anchors and never from the evidence; a root that is given must be that anchor, byte for byte.
 */
import { equalBytes, hex } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { amdAnchor } from '../trust/read.ts';
import { type Certificate, isKnownSigner, parseCertificate, verifyCertificateSignature } from '../x509/certificate.ts';
import { AMD_EXTENSIONS } from './amd-certificate.ts';
import {
  type IntermediateRole,
  type Role,
  refuseUnlessArk,
  refuseUnlessIntermediate,
  refuseUnlessLeaf,
  roleOfName,
} from './profile.ts';
import type { SnpReport } from './report.ts';

/** The certificates of one chain, sorted by what they claim to be. Nothing is verified yet. */
export interface GivenChain {
  readonly leaf: Certificate;
  readonly intermediate: Certificate | null;
  readonly root: Certificate | null;
}

/** The ASK or ASVK that signed the leaf: a given certificate or a pinned one. */
export interface IntermediateFacts {
  readonly name: string;
  readonly serial: bigint;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly source: 'given' | 'pinned';
}

/** Exact copies count once: a caller may bring what the file already holds. */
function parseDistinct(files: readonly Uint8Array[]): Certificate[] {
  const distinct: Certificate[] = [];
  for (const [index, der] of files.entries()) {
    if (distinct.some((one) => equalBytes(one.der, der))) continue;
    distinct.push(parseCertificate(der, `certificate ${index + 1}`));
  }
  return distinct;
}

/** @throws EvidenceError ENDORSEMENT_MALFORMED, ENDORSEMENT_MISSING, CERTIFICATE_INVALID one that has no place in a chain */
export function sortChain(report: SnpReport, files: readonly Uint8Array[]): GivenChain {
  const places: Partial<Record<Role['role'], Certificate>> = {};
  for (const certificate of parseDistinct(files)) {
    const role = roleOfName(certificate.subjectCN)?.role;
    const wanted = 'only the certificates of one AMD chain';
    if (!role) throw new CheckFailure('CERTIFICATE_INVALID', wanted, `one named ${certificate.subjectCN}`);
    const taken = places[role];
    if (taken) {
      throw new CheckFailure('CERTIFICATE_INVALID', wanted, `both ${taken.subjectCN} and ${certificate.subjectCN}`);
    }
    places[role] = certificate;
  }
  const { leaf, intermediate = null, root = null } = places;
  if (!leaf) {
    const expected = `the ${report.signingKey} certificate that belongs to this report`;
    throw new CheckFailure('ENDORSEMENT_MISSING', expected, files.length === 0 ? 'no certificate' : 'only others');
  }
  return { leaf, intermediate, root };
}

/**
 * Names, keys and extensions of each place, and that the places fit together.
 * @returns what the leaf's issuer claims to be
 * @throws EvidenceError CERTIFICATE_INVALID
 */
export function checkProfile({ leaf, intermediate, root }: GivenChain): IntermediateRole {
  const issuer = roleOfName(leaf.issuerCN);
  if (issuer?.role !== 'intermediate') {
    throw new CheckFailure('CERTIFICATE_INVALID', `${leaf.subjectCN} issued by an ASK or ASVK`, leaf.issuerCN);
  }
  checkPlace(leaf, () => refuseUnlessLeaf(leaf, leaf.issuerCN, AMD_EXTENSIONS));
  const arkCN = `ARK-${issuer.product}`;
  if (intermediate) {
    checkPlace(intermediate, () => refuseUnlessIntermediate(intermediate));
    refuseStranger(intermediate, leaf.issuerCN);
  }
  if (root) {
    checkPlace(root, () => refuseUnlessArk(root));
    refuseStranger(root, arkCN);
  }
  return issuer;
}

/** Certificates that fit the place which their name claims: for their bytes that is so for ever. */
const inPlace = new WeakSet<Certificate>();

function checkPlace(certificate: Certificate, refuse: () => void): void {
  if (inPlace.has(certificate)) return;
  refuse();
  inPlace.add(certificate);
}

function refuseStranger(certificate: Certificate, wanted: string): void {
  if (certificate.subjectCN !== wanted) {
    throw new CheckFailure('CERTIFICATE_INVALID', `${wanted} or nothing in its place`, certificate.subjectCN);
  }
}

/**
 * The anchor the chain ends in. Matched by key and fingerprint; names only say where to look first.
 * @throws EvidenceError CHAIN_UNTRUSTED no anchor for this platform signed it; ENDORSEMENT_MISSING no way to tell
 */
export async function findAnchor(chain: GivenChain, anchors: readonly TrustAnchor[]): Promise<TrustAnchor> {
  const candidates = anchors.filter(({ platform }) => platform === 'snp' || platform === 'simulated-snp');
  const expected = `a chain to one of the ${candidates.length} trusted SNP roots`;
  const { leaf, intermediate, root } = chain;
  if (root) {
    // Equal fingerprints make it the anchor's own certificate, so its self-signature says nothing new.
    const anchor = candidates.find(
      ({ fingerprint, publicKey }) => equalBytes(fingerprint, root.fingerprint) && equalBytes(publicKey, root.spki),
    );
    if (anchor) return anchor;
    throw new CheckFailure('CHAIN_UNTRUSTED', expected, `${root.subjectCN} with SHA-256 ${hex(root.fingerprint)}`);
  }
  if (intermediate) {
    const known = candidates.find(({ publicKey }) => isKnownSigner(intermediate, publicKey));
    if (known) return known;
    const likelyFirst = [...candidates].sort(
      (a, b) => Number(b.name === intermediate.issuerCN) - Number(a.name === intermediate.issuerCN),
    );
    for (const anchor of likelyFirst) {
      if (await verifyCertificateSignature(intermediate, anchor.publicKey)) return anchor;
    }
    throw new CheckFailure('CHAIN_UNTRUSTED', expected, `${intermediate.subjectCN}, which none of them signed`);
  }
  const role = roleOfName(leaf.issuerCN);
  const anchor =
    role?.role === 'intermediate' &&
    candidates.find((candidate) => amdAnchor(candidate)?.name === `ARK-${role.product}`);
  if (anchor) return anchor;
  throw new CheckFailure('ENDORSEMENT_MISSING', `the ${leaf.issuerCN} certificate that signed the leaf`, 'none given');
}

/** @throws EvidenceError CHAIN_UNTRUSTED the anchor did not sign it; ENDORSEMENT_MISSING neither given nor pinned */
export async function verifyIntermediate(chain: GivenChain, anchor: TrustAnchor): Promise<IntermediateFacts> {
  const { intermediate, leaf } = chain;
  if (intermediate) {
    if (!(await verifyCertificateSignature(intermediate, anchor.publicKey))) {
      throw new CheckFailure(
        'CHAIN_UNTRUSTED',
        `${intermediate.subjectCN} signed by ${anchor.name}`,
        'another signature',
      );
    }
    const { subjectCN: name, serial, notBefore, notAfter, spki: publicKey } = intermediate;
    return { name, serial, notBefore, notAfter, publicKey, source: 'given' };
  }
  // AMD's own intermediates are pinned; under any other root the certificate must be brought.
  if (amdAnchor(anchor)) {
    const { AMD_INTERMEDIATES } = await import('../trust/amd-intermediates.ts');
    const pinned = AMD_INTERMEDIATES.find(({ name }) => name === leaf.issuerCN);
    if (pinned) return { ...pinned, source: 'pinned' };
  }
  throw new CheckFailure('ENDORSEMENT_MISSING', `the ${leaf.issuerCN} certificate that signed the leaf`, 'none given');
}

/** @throws EvidenceError CHAIN_UNTRUSTED */
export async function verifyLeaf(leaf: Certificate, issuer: IntermediateFacts): Promise<void> {
  if (await verifyCertificateSignature(leaf, issuer.publicKey)) return;
  throw new CheckFailure(
    'CHAIN_UNTRUSTED',
    `${leaf.subjectCN} signed by the ${issuer.source} ${issuer.name}`,
    'another signature',
  );
}
