export {
  AMD_KDS_URL,
  DEFAULT_ENDORSEMENT_LIMITS,
  EndorsementFetcher,
  type EndorsementFetcherOptions,
  type EndorsementLimits,
  type EndorsementProgress,
  type UnverifiedEndorsement,
} from './endorsements/fetcher.ts';
export {
  type EndorsementKey,
  KDS_PRODUCTS,
  type KdsProduct,
  type KdsSigner,
  type ListKey,
  type VcekKey,
} from './endorsements/keys.ts';
export { kdsProductsOf } from './endorsements/products.ts';
export { type Host, type HostParts, startHost } from './host.ts';
export {
  DEFAULT_LIMITS,
  type EnclaveAddress,
  type EndorsementSource,
  type HostLimits,
  type HostSettings,
  type Listen,
  parseEnclaveAddress,
  parseListen,
} from './settings.ts';
