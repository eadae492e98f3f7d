export type { Attester, PlatformEvidence } from './attester/attester.ts';
export { ConfigfsTsmAttester, type TsmFilesystem } from './attester/configfs-tsm.ts';
export { NsmAttester, type NsmDevice } from './attester/nsm.ts';
export { type RunningEnclave, startEnclave } from './enclave.ts';
export { type EnclaveSettings, parseSettings } from './settings.ts';
