/**
 * The sealing-key list of docs/formats.md: a caller's nonce and the sealing keys in force, both under the checkpoint.
 * Whether the nonce is the caller's own is decided in appraisal.
 */
import {
  type Bytes,
  type ChallengesEntry,
  equalBytes,
  hex,
  type KeyEntry,
  leafHash,
  rootFromInclusion,
  sha256,
  verifySign1,
} from '@veritee/protocol';
import { CheckFailure, type CheckLog, type CheckRow } from '../checks.ts';
import type { ParsedChallenge, ParsedEntry } from './parse.ts';
import type { VerifiedSession } from './session.ts';

const ATTESTATION = ['attestation'] as const;
const SIGN1 = 'RFC 9052 §4.4, under cnf';
const INCLUSION = 'RFC 9162 §2.1.3.2';

export const CHALLENGE_ROWS: readonly CheckRow[] = [
  { id: 'challenge.signature', claim: 'challenges entry', source: SIGN1, kinds: ATTESTATION },
  { id: 'challenge.inclusion', claim: 'challenges entry under the checkpoint', source: INCLUSION, kinds: ATTESTATION },
  { id: 'challenge.nonce', claim: 'nonce in the tree of nonces', source: INCLUSION, kinds: ATTESTATION },
  { id: 'key.signature', claim: 'key entries', source: SIGN1, kinds: ATTESTATION },
  { id: 'key.inclusion', claim: 'key entries under the checkpoint', source: INCLUSION, kinds: ATTESTATION },
  {
    id: 'key.in-force',
    claim: 'sealing-key configuration named by the challenges entry',
    source: 'docs/formats.md, challenges',
    kinds: ATTESTATION,
  },
];

/** A sealing key that was in force when the nonce was answered. */
export interface SealingKey {
  /** One OHTTP key configuration (RFC 9458 §3.1), exact bytes. */
  readonly config: Uint8Array;
  readonly digest: Bytes<32>;
  readonly sequence: number;
  /** Seconds since 1970 by the enclave's own clock: a claim. */
  readonly claimedNotBefore: number;
  readonly claimedNotAfter: number;
}

export interface VerifiedChallenge {
  readonly nonce: Uint8Array;
  readonly sequence: number;
  readonly keys: readonly SealingKey[];
}

/** @throws EvidenceError CHALLENGE_INVALID, SIGNATURE_INVALID, INCLUSION_INVALID, KEY_NOT_COMMITTED */
export async function verifyChallenge(
  challenge: ParsedChallenge | null,
  keys: readonly ParsedEntry<KeyEntry>[],
  session: VerifiedSession,
  log: CheckLog,
): Promise<VerifiedChallenge | null> {
  if (challenge) {
    await verifyEntry('challenge', 'CHALLENGE_INVALID', challenge, session, log);
    log.step(
      'challenge.nonce',
      () => verifyNonce(challenge),
      () => hex(challenge.nonce),
    );
  } else {
    for (const { id } of CHALLENGE_ROWS) {
      if (id.startsWith('challenge.')) log.skip(id, 'the attestation answers no nonce');
    }
  }
  const verified: SealingKey[] = [];
  for (const key of keys) {
    await verifyEntry('key', 'SIGNATURE_INVALID', key, session, log);
    verified.push({
      config: key.value.config,
      digest: sha256(key.value.config),
      sequence: key.value.sequence,
      claimedNotBefore: key.value.notBefore,
      claimedNotAfter: key.value.notAfter,
    });
  }
  if (keys.length === 0) {
    for (const { id } of CHALLENGE_ROWS) {
      if (id.startsWith('key.')) log.skip(id, 'the attestation offers no sealing key');
    }
  } else if (challenge) {
    log.step(
      'key.in-force',
      () => verifyInForce(verified, challenge.value),
      () => `${verified.length} named by the challenges entry`,
    );
  } else {
    log.skip('key.in-force', 'only a challenges entry names the keys in force');
  }
  log.establish({
    claims: {
      challenge: challenge && { nonce: challenge.nonce, sequence: challenge.value.sequence },
      keyConfigs: verified.map(({ digest, sequence }) => ({ digest, sequence })),
    },
  });
  return challenge && { nonce: challenge.nonce, sequence: challenge.value.sequence, keys: verified };
}

/** Signature and inclusion of an entry other than a statement: it has to stand below the checkpoint. */
async function verifyEntry(
  what: 'challenge' | 'key',
  signatureCode: 'CHALLENGE_INVALID' | 'SIGNATURE_INVALID',
  entry: ParsedEntry<{ readonly sequence: number }>,
  session: VerifiedSession,
  log: CheckLog,
): Promise<void> {
  const { size, root } = session.checkpoint;
  const { sequence } = entry.value;
  await log.step(
    `${what}.signature`,
    async () => {
      if (await verifySign1(entry.message, session.key)) return;
      throw new CheckFailure(signatureCode, 'a signature by the session key', 'another', { field: what });
    },
    () => 'signed by the session key',
  );
  log.step(
    `${what}.inclusion`,
    () => {
      const reached = rootFromInclusion(leafHash(entry.raw), sequence, size, entry.path);
      if (reached && equalBytes(reached, root)) return;
      const expected = `a path from entry ${sequence} to the root over ${size} entries`;
      throw new CheckFailure('INCLUSION_INVALID', expected, 'one that leads elsewhere', { field: `${what}.path` });
    },
    () => `entry ${sequence} of ${size}`,
  );
}

function verifyNonce({ value, nonce, nonceIndex, noncePath }: ParsedChallenge): void {
  const reached = rootFromInclusion(leafHash(nonce), nonceIndex, value.nonceCount, noncePath);
  if (reached && equalBytes(reached, value.nonceRoot)) return;
  const expected = `a path from nonce ${nonceIndex} to the root over ${value.nonceCount} nonces`;
  throw new CheckFailure('CHALLENGE_INVALID', expected, 'one that leads elsewhere', { field: 'challenge.noncePath' });
}

function verifyInForce(keys: readonly SealingKey[], { keyConfigDigests }: ChallengesEntry): void {
  for (const { digest, sequence } of keys) {
    if (keyConfigDigests.some((named) => equalBytes(named, digest))) continue;
    const expected = 'every sealing key named by the challenges entry';
    throw new CheckFailure('KEY_NOT_COMMITTED', expected, `key entry ${sequence} is not`, {
      field: 'attestation.keys',
    });
  }
}
