import { Pool } from 'undici';
import type { EnclaveAddress } from './settings.ts';

/** Keep-alive connections to the enclave. Nothing on them is secret from the host, and nothing is re-encoded. */
export function enclavePool(address: EnclaveAddress, connections: number): Pool {
  const shared = { connections, pipelining: 1, connectTimeout: 5000 };
  if (address.kind === 'unix') return new Pool('http://enclave', { ...shared, socketPath: address.path });
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return new Pool(`http://${host}:${address.port}`, shared);
}
