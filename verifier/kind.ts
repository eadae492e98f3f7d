import { detectFile } from '@veritee/protocol';
import { opensLikeAir } from './air/detect.ts';
import { opensLikeNitroDocument } from './nitro/detect.ts';
import { opensLikeHclReport } from './snp/hcl-rows.ts';
import { HIGHEST_PLAUSIBLE_VERSION, SNP_REPORT_BYTES } from './snp/report.ts';

/** What a file claims to be. */
export type Kind = 'receipt' | 'attestation' | 'evidence' | 'snp-report' | 'snp-hcl' | 'nitro-document' | 'air-receipt';

/** Those that bring a platform's own evidence. */
export type EvidenceKind = Exclude<Kind, 'air-receipt'>;

/** For sentences. */
export const A_FILE: Readonly<Record<Kind, string>> = {
  receipt: 'a receipt',
  attestation: 'an attestation',
  evidence: 'an evidence file',
  'snp-report': 'a raw report',
  'snp-hcl': 'an Azure HCL report',
  'nitro-document': 'a raw Nitro document',
  'air-receipt': 'an AIR receipt',
};

const SIGNATURE_ALGO_OFFSET = 0x34;
const SIGNATURE_ALGO_ECDSA_P384_SHA384 = 1;

/** VERSION and SIGNATURE_ALGO as every known report has them: a report cut short is then malformed, not unknown. */
function opensLikeSnpReport(file: Uint8Array): boolean {
  if (file.length < SIGNATURE_ALGO_OFFSET + 4) return false;
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const version = view.getUint32(0, true);
  return (
    version >= 1 &&
    version <= HIGHEST_PLAUSIBLE_VERSION &&
    view.getUint32(SIGNATURE_ALGO_OFFSET, true) === SIGNATURE_ALGO_ECDSA_P384_SHA384
  );
}

/** Detection only: a file so named can still be malformed. Null when it is none of ours. */
export function detectKind(file: Uint8Array): Kind | null {
  const ours = detectFile(file);
  if (ours) return ours;
  if (opensLikeNitroDocument(file)) return 'nitro-document';
  if (opensLikeHclReport(file)) return 'snp-hcl';
  if (opensLikeAir(file)) return 'air-receipt';
  return file.length === SNP_REPORT_BYTES || opensLikeSnpReport(file) ? 'snp-report' : null;
}
