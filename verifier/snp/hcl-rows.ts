/** Apart from the reader, which is loaded when such a file is met. */
import type { CheckRow } from '../checks.ts';

const SOURCE = 'Microsoft, guest attestation for confidential VMs, attestation report format';

export const HCL_SHAPE_ROW: CheckRow = {
  id: 'shape.hcl',
  claim: 'Azure HCL report',
  source: SOURCE,
  kinds: ['snp-hcl'],
};

export const HCL_ROWS: readonly CheckRow[] = [
  { id: 'hcl.claims', claim: 'REPORT_DATA', source: `${SOURCE}: SHA-256 of the runtime claims`, kinds: ['snp-hcl'] },
];

/** 'HCLA': detection only. */
export const opensLikeHclReport = (file: Uint8Array): boolean =>
  file[0] === 0x48 && file[1] === 0x43 && file[2] === 0x4c && file[3] === 0x41;
