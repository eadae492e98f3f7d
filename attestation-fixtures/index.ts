export { type GuestFields, randomChipId, SimulatedAmdSp, type SimulatedAmdSpOptions } from './snp/amd-sp.ts';
export {
  type CrlContent,
  createAuthority,
  generateVcekKey,
  type Issuer,
  type KeyProgress,
  makeCrl,
  type SimulatedAuthority,
} from './snp/authority.ts';
export {
  amdName,
  arkSpec,
  askSpec,
  type CertificateSpec,
  type CrlSpec,
  type Extension,
  issueCertificate,
  issueCrl,
  pem,
  pssAlgorithm,
  publicKeyOf,
  type VcekFacts,
  vcekSpec,
} from './snp/certificates.ts';
export {
  type SimulatedEvidence,
  type SimulatedEvidenceRequest,
  sharedAuthority,
  sharedChipId,
  simulatedEvidence,
} from './snp/evidence.ts';
export { ARK_FILE, KEY_FILE } from './snp/key-file.ts';
export { type Cpuid, encodeTcb, type Firmware, type Product, type Tcb } from './snp/products.ts';
export {
  encodeReport,
  encodeSignature,
  type ReportFields,
  type ReportVersion,
  reportFields,
  signReport,
} from './snp/report.ts';
export type { Sleep, Throttle } from './snp/throttle.ts';
export {
  type ErrnoName,
  SimulatedTsm,
  type SimulatedTsmOptions,
  type TsmFault,
  type TsmFilesystem,
} from './snp/tsm.ts';
export { SIMULATED_WARNING } from './warning.ts';
