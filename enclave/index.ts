export type { Attester, PlatformEvidence } from './attester/attester.ts';
export { ConfigfsTsmAttester } from './attester/configfs-tsm.ts';
export { NsmAttester, type NsmDevice } from './attester/nsm.ts';
export { GivenEndorsements } from './attester/snp-certificates.ts';
export { type TsmFilesystem, TsmFolder } from './attester/tsm-folder.ts';
export { type RunningEnclave, startEnclave } from './enclave.ts';
export type { KeyProvider } from './keys/provider.ts';
export { digestRepository, type ModelDigest } from './models/digests.ts';
export { type EnclaveSettings, parseSettings } from './settings.ts';
