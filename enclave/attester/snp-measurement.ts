/** The fields of the enclave's own report that it was launched with. @see AMD 56860, ATTESTATION_REPORT */
import { bytes } from '@veritee/protocol';
import type { SnpMeasurement } from './attester.ts';

const FIELDS = {
  vmpl: [0x30, 4],
  measurement: [0x90, 48],
  hostData: [0xc0, 32],
  idKeyDigest: [0xe0, 48],
  authorKeyDigest: [0x110, 48],
} as const;

export function snpMeasurement(report: Uint8Array): SnpMeasurement {
  const field = <N extends number>(name: keyof typeof FIELDS, n: N) => {
    const [at] = FIELDS[name];
    return bytes(report.subarray(at, at + n), n, name);
  };
  const vmpl = field('vmpl', FIELDS.vmpl[1]);
  return {
    platform: 'sev-snp',
    vmpl: new DataView(vmpl.buffer).getUint32(0, true),
    measurement: field('measurement', 48),
    hostData: field('hostData', 32),
    idKeyDigest: field('idKeyDigest', 48),
    authorKeyDigest: field('authorKeyDigest', 48),
  };
}
