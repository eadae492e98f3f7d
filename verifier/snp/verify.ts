/**
 * Verify an SEV-SNP report: from the caller's anchors down to the key that signed it, then the report itself, then that
 * report and certificate speak of the same chip and firmware. No network, no clock: everything comes from the caller.
 */
import { type Bytes, hex, isZero } from '@veritee/protocol';
import { CheckFailure, type CheckLog, type CheckRow } from '../checks.ts';
import { verifyEcdsaP384Sha384 } from '../crypto.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { amdAnchor } from '../trust/read.ts';
import type { Crl } from '../x509/crl.ts';
import { checkValidity } from '../x509/validity.ts';
import { type AmdCertificateFacts, readAmdExtensions } from './amd-certificate.ts';
import {
  checkProfile,
  findAnchor,
  type IntermediateFacts,
  sortChain,
  verifyIntermediate,
  verifyLeaf,
} from './chain.ts';
import { checkChipId, checkProduct, checkSigningKey, checkTcb, checkTcbReserved } from './match.ts';
import type { SignerKind } from './profile.ts';
import type { SnpReport } from './report.ts';
import { currentCrl, NO_LISTS, type RevocationLists, refuseRevoked } from './revocation.ts';
import { type SnpProduct, tcbText } from './tcb.ts';

export interface SnpEndorsements {
  /** DER, any order: leaf, intermediate, root. The root is only compared, never trusted from here. */
  readonly certificates: readonly Uint8Array[];
  /** CRLs by the caller, DER. */
  readonly crlsGiven: readonly Uint8Array[];
  /** CRLs from the file, DER: they can only add a revocation. */
  readonly crlsInside: readonly Uint8Array[];
}

export type CrlDates = Pick<Crl, 'thisUpdate' | 'nextUpdate'>;

declare const verified: unique symbol; // not exported: minted by one cast, the last line of verifySnp
export interface VerifiedSnp {
  readonly [verified]: true;
  readonly report: SnpReport;
  readonly product: SnpProduct;
  readonly signer: SignerKind;
  readonly anchor: TrustAnchor;
  readonly certificate: AmdCertificateFacts;
  readonly chipId: Bytes<64>;
  /** A VCEK's report without CHIP_ID: nothing ties it to the certificate's chip but the key. Policy decides. */
  readonly chipIdMasked: boolean;
  /** The given CRL that was current at the time; null when there was none. */
  readonly crl: CrlDates | null;
}

const ABI = 'AMD 56860, ATTESTATION_REPORT';
const KDS = 'AMD 57230, certificate profile';

export const SNP_VERIFY_ROWS: readonly CheckRow[] = [
  { id: 'snp.chain.shape', claim: 'certificates', source: 'RFC 5280 §4.1, ITU-T X.690 §10' },
  { id: 'snp.chain.profile', claim: 'certificates', source: KDS },
  { id: 'snp.signing-key', claim: 'KEY_INFO.SIGNING_KEY', source: `${ABI}; ${KDS}` },
  { id: 'snp.chain.root', claim: 'ARK', source: 'trust anchors of the caller' },
  { id: 'snp.chain.intermediate', claim: 'ASK or ASVK', source: KDS },
  { id: 'snp.revocation', claim: 'ASK or ASVK', source: 'RFC 5280 §5, CRL of the ARK' },
  { id: 'snp.crl', claim: 'CRL', source: 'RFC 5280 §5.1.2, nextUpdate' },
  { id: 'snp.chain.leaf', claim: 'VCEK or VLEK', source: KDS },
  { id: 'snp.chain.time', claim: 'validity', source: 'RFC 5280 §4.1.2.5' },
  { id: 'snp.signature', claim: 'SIGNATURE', source: `${ABI}, ECDSA P-384 with SHA-384` },
  { id: 'snp.product', claim: 'CPUID_FAM_ID, CPUID_MOD_ID', source: `${ABI}; ${KDS}, productName` },
  { id: 'snp.reserved', claim: 'TCB_VERSION', source: 'AMD 56860, TCB_VERSION' },
  { id: 'snp.tcb-certificate', claim: 'REPORTED_TCB', source: `${KDS}, SPL extensions` },
  { id: 'snp.chip-id', claim: 'CHIP_ID', source: `${KDS}, hwID` },
];

/**
 * Every check is a row of `SNP_VERIFY_ROWS`, recorded in `log`; the first that fails ends it.
 *
 * @param at the time at which the chain must be valid
 * @throws EvidenceError the code of the failing row
 */
export async function verifySnp(
  report: SnpReport,
  endorsements: SnpEndorsements,
  anchors: readonly TrustAnchor[],
  at: Date,
  log: CheckLog,
): Promise<VerifiedSnp> {
  if (Number.isNaN(at.getTime())) throw new TypeError('at: not a time');

  const chain = log.step(
    'snp.chain.shape',
    () => sortChain(report, endorsements.certificates),
    ({ leaf, intermediate, root }) => [leaf, intermediate, root].flatMap((one) => one?.subjectCN ?? []).join(', '),
  );
  const { leaf } = chain;
  const { notBefore, notAfter } = leaf;
  const { issuer, facts } = log.step(
    'snp.chain.profile',
    () => ({ issuer: checkProfile(chain), facts: readAmdExtensions(leaf) }),
    ({ facts: { kind, productName, tcb } }) => `${kind} for ${productName}: ${tcbText(tcb)}`,
  );
  log.step(
    'snp.signing-key',
    () => checkSigningKey(report, leaf.subjectCN, issuer, facts),
    () => `signed with the ${report.signingKey}`,
  );

  const anchor = await log.step(
    'snp.chain.root',
    () => findAnchor(chain, anchors),
    ({ name, platform, fingerprint }) => `${name} (${platform}), SHA-256 ${hex(fingerprint)}`,
  );
  const intermediate = await log.step(
    'snp.chain.intermediate',
    () => verifyIntermediate(chain, anchor),
    ({ name, source }) => `${name}, ${source === 'pinned' ? 'pinned in this release' : `signed by ${anchor.name}`}`,
  );
  const lists = await checkRevocation(endorsements, anchors, anchor, intermediate, issuer.product, log);
  const crl = checkCrlAge(lists.given, at, log);
  await log.step(
    'snp.chain.leaf',
    () => verifyLeaf(leaf, intermediate),
    () => `${leaf.subjectCN} signed by ${intermediate.name}`,
  );
  log.step(
    'snp.chain.time',
    () => checkValidity([anchor, intermediate, { name: leaf.subjectCN, notBefore, notAfter }], at),
    () => `all valid at ${at.toISOString()}; ${leaf.subjectCN} until ${notAfter.toISOString()}`,
  );

  await log.step(
    'snp.signature',
    async () => {
      if (await verifyEcdsaP384Sha384(leaf.spki, report.signature, report.signedBytes)) return;
      throw new CheckFailure('SIGNATURE_INVALID', `a signature by the ${facts.kind} given`, 'another', {
        field: 'SIGNATURE',
      });
    },
    () => `verifies over the ${report.signedBytes.length} bytes as received`,
  );
  const product = log.step(
    'snp.product',
    () => checkProduct(report, issuer, facts),
    (name) => (report.cpuid ? `${name}, by CPUID and certificate` : `${name}, by certificate; version 2 has no CPUID`),
  );
  const reportedTcb = log.step(
    'snp.reserved',
    () => checkTcbReserved(report, product),
    () => `zero in the report and in all four TCBs, in the layout of ${product}`,
  );
  log.step(
    'snp.tcb-certificate',
    () => checkTcb(reportedTcb, facts),
    () => tcbText(reportedTcb),
  );

  const { hwId } = facts;
  const chipIdMasked = hwId !== null && isZero(report.chipId);
  if (hwId === null) {
    log.skip(
      'snp.chip-id',
      'a VLEK is issued to a cloud provider, not to a chip',
      'which chip signed: a VLEK names none',
    );
  } else if (chipIdMasked) {
    log.skip('snp.chip-id', 'CHIP_ID is masked', "whether CHIP_ID is the certificate's: the platform masks it");
  } else {
    log.step(
      'snp.chip-id',
      () => checkChipId(report, hwId),
      () => 'the hwID of the VCEK',
    );
  }

  return {
    report,
    product,
    signer: facts.kind,
    anchor,
    certificate: facts,
    chipId: report.chipId,
    chipIdMasked,
    crl,
  } as VerifiedSnp;
}

async function checkRevocation(
  { crlsGiven, crlsInside }: SnpEndorsements,
  anchors: readonly TrustAnchor[],
  anchor: TrustAnchor,
  intermediate: IntermediateFacts,
  product: SnpProduct,
  log: CheckLog,
): Promise<RevocationLists> {
  const none = crlsGiven.length + crlsInside.length === 0;
  if (!amdAnchor(anchor) && none) {
    log.skip('snp.revocation', 'no CRL, and this release knows no revocation by this root');
    return NO_LISTS;
  }
  return log.step(
    'snp.revocation',
    async () => {
      const files = { given: crlsGiven, inside: crlsInside };
      const lists = none
        ? NO_LISTS
        : await (await import('./revocation-lists.ts')).verifyCrls(anchor, product, anchors, files);
      refuseRevoked(intermediate, anchor, lists);
      return lists;
    },
    ({ given, inside, ofOtherRoots }) => {
      const ignored = ofOtherRoots.length > 0 ? `; ignored: CRLs of ${ofOtherRoots.join(', ')}` : '';
      return `${intermediate.name} is not known as revoked; CRLs read: ${given.length + inside.length}${ignored}`;
    },
  );
}

/**
 * A row of its own: without a current list the check is skipped, and a skipped check is never a pass. A list issued after the
 * time of the check adds its revocations but is no word about that time; one that has run out is refused.
 */
function checkCrlAge(given: readonly Crl[], at: Date, log: CheckLog): CrlDates | null {
  const crl = currentCrl(given, at);
  if (!crl && (given.length === 0 || given.some(({ thisUpdate }) => thisUpdate > at))) {
    const detail = given.length === 0 ? 'no CRL of this root was given' : 'the CRL given is newer than the time';
    log.skip('snp.crl', detail, 'whether AMD had revoked the certificate authority: no CRL of that time was given');
    return null;
  }
  return log.step(
    'snp.crl',
    () => {
      if (crl) return { thisUpdate: crl.thisUpdate, nextUpdate: crl.nextUpdate };
      const due = given.map(({ nextUpdate }) => nextUpdate.toISOString()).join(', ');
      throw new CheckFailure('CRL_STALE', `a CRL current at ${at.toISOString()}`, `the next was due at ${due}`);
    },
    ({ thisUpdate, nextUpdate }) => `issued ${thisUpdate.toISOString()}, next due ${nextUpdate.toISOString()}`,
  );
}
