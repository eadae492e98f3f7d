import {
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign as nodeSign,
  randomBytes,
} from 'node:crypto';
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

const SEED_BYTES = 32;
/** PrivateKeyInfo of an Ed25519 key is this and the 32-byte seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The seed is as good as the better of both sources: HKDF-SHA256 (RFC 5869) over the kernel's bytes and the platform's. */
function sessionKey(platformRandom: Uint8Array): KeyObject {
  const material = Buffer.concat([randomBytes(SEED_BYTES), platformRandom]);
  const seed = Buffer.from(hkdfSync('sha256', material, '', 'veritee/session-key/v1', SEED_BYTES));
  const der = Buffer.concat([PKCS8_PREFIX, seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  for (const secret of [material, seed, der]) secret.fill(0);
  return key;
}

/** @param platformRandom from a generator of the platform's own; empty where it has none */
export function startSession(
  runtime: Runtime,
  now: () => number,
  platformRandom: Uint8Array = new Uint8Array(0),
): Session {
  const privateKey = sessionKey(platformRandom);
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
