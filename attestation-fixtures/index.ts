export {
  type CertificateSpec,
  type Extension,
  type Issuer,
  pem,
  publicKeyOf,
} from './certificate.ts';
export { type Entry, encodeMap, type MapLength } from './nitro/cbor.ts';
export {
  type CertificateFacts,
  ECDSA_SHA256,
  ECDSA_SHA384,
  ECDSA_SHA512,
  issueNitroCertificate,
  moduleIdOf,
  NITRO_LEVELS,
  type NitroIdentity,
  type NitroLevel,
  nitroName,
} from './nitro/certificates.ts';
export {
  CURRENT_ENCODING,
  type DocumentEncoding,
  type DocumentFields,
  type DocumentParts,
  encodeDocument,
  mirrorSignature,
} from './nitro/document.ts';
export {
  SIMULATED_PCRS,
  type SimulatedNitroEvidence,
  type SimulatedNitroEvidenceRequest,
  sharedNitroRoot,
  simulatedNitroEvidence,
} from './nitro/evidence.ts';
export { KEY_FILE as NITRO_KEY_FILE, ROOT_FILE as NITRO_ROOT_FILE } from './nitro/key-file.ts';
export { type NsmFault, SimulatedNsm, type SimulatedNsmOptions } from './nitro/nsm.ts';
export { type NsmErrorCode, pcrOf } from './nitro/pcrs.ts';
export { createNitroRoot, generateNitroKey, type Issued, issueUnder } from './nitro/pki.ts';
export { type GuestFields, randomChipId, SimulatedAmdSp, type SimulatedAmdSpOptions } from './snp/amd-sp.ts';
export {
  type CrlContent,
  createAuthority,
  generateVcekKey,
  type KeyProgress,
  makeCrl,
  type SimulatedAuthority,
} from './snp/authority.ts';
export {
  amdName,
  arkSpec,
  askSpec,
  type CrlSpec,
  issueCertificate,
  issueCrl,
  pssAlgorithm,
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
  TSM_ATTRIBUTES,
  type TsmFault,
  type TsmFilesystem,
} from './snp/tsm.ts';
export { SIMULATED_NITRO_WARNING, SIMULATED_WARNING } from './warning.ts';
