/**
 * What to ask AMD for, read from a raw SNP report at fixed places. Nothing is verified: a wrong answer fetches certificates
 * that fit nothing.
 * @see AMD 56860, ATTESTATION_REPORT structure
 */
import { type Bytes, bytes, EvidenceError, hex } from '@veritee/protocol';
import { KDS_PRODUCTS, type KdsProduct, type KdsSigner } from './keys.ts';
import { kdsProductsOf } from './products.ts';

const REPORT_BYTES = 1184;
const AT = { version: 0x00, signingKey: 0x48, reportedTcb: 0x180, family: 0x188, model: 0x189, chipId: 0x1a0 } as const;
const SIGNING_KEYS: ReadonlyMap<number, KdsSigner> = new Map([
  [0, 'vcek'],
  [1, 'vlek'],
]);
/** The first version with CPUID. */
const VERSION_WITH_CPUID = 3;

export interface WantedEndorsements {
  readonly signer: KdsSigner;
  readonly products: readonly [KdsProduct, ...KdsProduct[]];
  readonly chipId: Bytes<64>;
  readonly tcb: Bytes<8>;
}

/** @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_UNSUPPORTED */
export function readWanted(report: Uint8Array): WantedEndorsements {
  if (report.length !== REPORT_BYTES) {
    const message = `report: got ${report.length} bytes, want ${REPORT_BYTES}`;
    throw new EvidenceError('EVIDENCE_MALFORMED', message, { field: 'report' });
  }
  const view = new DataView(report.buffer, report.byteOffset, report.length);
  const signer = SIGNING_KEYS.get((view.getUint32(AT.signingKey, true) >> 2) & 0b111);
  if (!signer) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'SIGNING_KEY: neither a VCEK nor a VLEK', { field: 'SIGNING_KEY' });
  }
  const chipId = bytes(report.subarray(AT.chipId, AT.chipId + 64), 64, 'CHIP_ID');
  const tcb = bytes(report.subarray(AT.reportedTcb, AT.reportedTcb + 8), 8, 'REPORTED_TCB');
  const hasCpuid = view.getUint32(AT.version, true) >= VERSION_WITH_CPUID;
  const cpuid = hasCpuid ? { family: view.getUint8(AT.family), model: view.getUint8(AT.model) } : null;
  // With a VLEK the chip may be hidden, and then nothing but CPUID tells the product.
  const products = signer === 'vlek' && !cpuid ? KDS_PRODUCTS : kdsProductsOf({ cpuid, chipId });
  return { signer, products, chipId, tcb };
}

/** Equal for all reports of one signing key: a firmware update or another machine changes it. */
export const identityOf = (report: Uint8Array): string =>
  [
    [AT.signingKey, AT.signingKey + 4],
    [AT.reportedTcb, AT.reportedTcb + 8],
    [AT.chipId, AT.chipId + 64],
  ]
    .map(([start, end]) => hex(report.subarray(start, end)))
    .join(' ');
