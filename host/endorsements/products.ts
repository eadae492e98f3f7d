import { type Bytes, EvidenceError, isZero } from '@veritee/protocol';
import type { KdsProduct } from './keys.ts';

interface ReportIdentity {
  /** Null in report version 2, which has none. */
  readonly cpuid: { readonly family: number; readonly model: number } | null;
  readonly chipId: Bytes<64>;
}

const TURIN_HW_ID_BYTES = 8;

/**
 * The product names under which KDS may know the chip of a report, likeliest first. Bergamo and Siena are served as Genoa.
 * Without CPUID the length of CHIP_ID tells Turin from the others, and only asking tells Milan from Genoa.
 *
 * @throws EvidenceError EVIDENCE_UNSUPPORTED a processor this release does not know
 * @see AMD 56860, CPUID_FAM_ID and CPUID_MOD_ID
 */
export function kdsProductsOf({ cpuid, chipId }: ReportIdentity): readonly [KdsProduct, ...KdsProduct[]] {
  if (!cpuid) return isZero(chipId.subarray(TURIN_HW_ID_BYTES)) ? ['Turin'] : ['Milan', 'Genoa'];
  const { family, model } = cpuid;
  if (family === 0x19 && model <= 0x0f) return ['Milan'];
  if (family === 0x19 && (model <= 0x1f || (model >= 0xa0 && model <= 0xaf))) return ['Genoa'];
  if (family === 0x1a && model <= 0x11) return ['Turin'];
  const message = `CPUID: family 0x${family.toString(16)} model 0x${model.toString(16)} is no processor this release knows`;
  throw new EvidenceError('EVIDENCE_UNSUPPORTED', message, { field: 'CPUID' });
}
