export { type Host, type HostParts, startHost } from './host.ts';
export {
  DEFAULT_LIMITS,
  type EnclaveAddress,
  type HostLimits,
  type HostSettings,
  type Listen,
  parseEnclaveAddress,
  parseListen,
} from './settings.ts';
