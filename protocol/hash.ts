import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js';
import type { Bytes } from './bytes.ts';

// Synchronous on purpose: an entry is numbered, signed and appended in one turn of the event loop. Large bodies are
// hashed by the platform instead (`saltedDigest` below, node:crypto in the enclave).

export const sha256 = (data: Uint8Array): Bytes<32> => nobleSha256(data) as Bytes<32>;
export const sha512 = (data: Uint8Array): Bytes<64> => nobleSha512(data) as Bytes<64>;

/** The salted commitment to a body, design §3: `SHA-256(salt ‖ exact body bytes)`; `cat salt body | sha256sum` by hand. */
export async function saltedDigest(salt: Bytes<32>, body: Uint8Array): Promise<Bytes<32>> {
  const input = new Uint8Array(32 + body.length);
  input.set(salt);
  input.set(body, 32);
  const subtle = globalThis.crypto?.subtle as typeof crypto.subtle | undefined; // absent where a page was not served securely
  return subtle ? (new Uint8Array(await subtle.digest('SHA-256', input)) as Bytes<32>) : sha256(input);
}
