/** Report and certificate must speak of the same kind of key, product, firmware and chip. No crypto here. */
import { type Bytes, bytes, equalBytes, hex } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { AmdCertificateFacts } from './amd-certificate.ts';
import type { IntermediateRole } from './profile.ts';
import { productOfCpuid, type SnpReport } from './report.ts';
import { equalTcb, parseTcb, type SnpProduct, type Tcb, tcbLayoutOf, tcbText } from './tcb.ts';

/**
 * SIGNING_KEY, the leaf's name, its issuer and its extensions must all tell of one kind of key.
 * @throws EvidenceError SIGNING_KEY_MISMATCH
 */
export function checkSigningKey(
  report: SnpReport,
  leafCN: string,
  issuer: IntermediateRole,
  facts: AmdCertificateFacts,
): void {
  const { signingKey } = report;
  const mismatch = (actual: string): never => {
    throw new CheckFailure('SIGNING_KEY_MISMATCH', `a certificate for a ${signingKey}`, actual, { field: 'KEY_INFO' });
  };
  if (leafCN !== `SEV-${signingKey}`) mismatch(leafCN);
  if (issuer.signer !== signingKey) mismatch(`one issued by the authority for a ${issuer.signer}`);
  if (facts.kind !== signingKey) mismatch(facts.kind === 'VCEK' ? 'one with hwID' : 'one with cspID');
}

/**
 * CPUID in the report, productName and issuer of the certificate. Version 2 carries no CPUID: there the certificate alone
 * names the product.
 * @throws EvidenceError PRODUCT_MISMATCH
 */
export function checkProduct(report: SnpReport, issuer: IntermediateRole, facts: AmdCertificateFacts): SnpProduct {
  const { product, productName } = facts;
  if (product !== issuer.product) {
    const expected = `a product of ARK-${issuer.product}`;
    throw new CheckFailure('PRODUCT_MISMATCH', expected, productName, { field: 'productName' });
  }
  if (report.cpuid && productOfCpuid(report) !== product) {
    const { family, model } = report.cpuid;
    const actual = `family 0x${family.toString(16)}, model 0x${model.toString(16)}`;
    throw new CheckFailure('PRODUCT_MISMATCH', `a ${product} processor`, actual, { field: 'CPUID' });
  }
  return product;
}

/**
 * The reserved bytes of all four TCBs, now that the product tells which they are.
 * @returns the reported TCB
 * @throws EvidenceError EVIDENCE_MALFORMED
 */
export function checkTcbReserved(report: SnpReport, product: SnpProduct): Tcb {
  const layout = tcbLayoutOf(product);
  parseTcb(report.currentTcb, layout, 'CURRENT_TCB');
  parseTcb(report.committedTcb, layout, 'COMMITTED_TCB');
  parseTcb(report.launchTcb, layout, 'LAUNCH_TCB');
  return parseTcb(report.reportedTcb, layout, 'REPORTED_TCB');
}

/** The signing key is derived from the TCB it is certified for. @throws EvidenceError TCB_MISMATCH */
export function checkTcb(reported: Tcb, facts: AmdCertificateFacts): void {
  if (equalTcb(reported, facts.tcb)) return;
  throw new CheckFailure('TCB_MISMATCH', tcbText(facts.tcb), tcbText(reported), { field: 'REPORTED_TCB' });
}

/** The hwID of the certificate, padded as the report pads it: Turin fills 8 bytes of 64. */
function chipIdOf(hwId: Uint8Array): Bytes<64> {
  const padded = new Uint8Array(64);
  padded.set(hwId);
  return bytes(padded, 64, 'hwID');
}

/** @throws EvidenceError CHIP_ID_MISMATCH */
export function checkChipId(report: SnpReport, hwId: Uint8Array): void {
  const chipId = chipIdOf(hwId);
  if (equalBytes(report.chipId, chipId)) return;
  throw new CheckFailure('CHIP_ID_MISMATCH', hex(chipId), hex(report.chipId), { field: 'CHIP_ID' });
}
