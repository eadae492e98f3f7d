import { createPublicKey, generateKeyPairSync, sign as nodeSign } from 'node:crypto';
import {
  type Bytes,
  bootIdOf,
  bytes,
  ed25519Key,
  encodeSessionClaims,
  hex,
  originOf,
  type Runtime,
  type SessionClaims,
  type Sign,
} from '@veritee/protocol';

/** One life of the enclave process. The private key exists in this closure only and is never written anywhere. */
export interface Session {
  readonly claims: SessionClaims;
  /** The payload of log entry 0, which REPORT_DATA and statements refer to. */
  readonly claimsBytes: Uint8Array<ArrayBuffer>;
  /** 32 lower-case hex digits. */
  readonly boot: string;
  readonly origin: string;
  readonly publicKey: Bytes<32>;
  readonly sign: Sign;
}

const SPKI_PREFIX_BYTES = 12; // SubjectPublicKeyInfo of Ed25519 ends in the 32 raw bytes (RFC 8410 §4)

export function startSession(runtime: Runtime, now: () => number): Session {
  const { privateKey } = generateKeyPairSync('ed25519');
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const publicKey = bytes(spki.subarray(SPKI_PREFIX_BYTES), 32, 'session key');
  const bootId = bootIdOf(publicKey);
  const claims: SessionClaims = {
    bootId,
    issuedAt: Math.floor(now() / 1000),
    sessionKey: ed25519Key(publicKey, 'session key'),
    runtime,
  };
  return {
    claims,
    claimsBytes: encodeSessionClaims(claims),
    boot: hex(bootId),
    origin: originOf(bootId),
    publicKey,
    sign: (message) => new Uint8Array(nodeSign(null, message, privateKey)) as Bytes<64>,
  };
}
