/** What a boot's entries and heads are verified with: its session key, from claims that the evidence commits to. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import {
  type Bytes,
  bytes,
  type Checkpoint,
  type Entry,
  type Evidence,
  EvidenceError,
  equalBytes,
  hex,
  modelDigest,
  parseCheckpoint,
  parseEntry,
  parseEvidence,
  parseSessionClaims,
  reportData,
  type SessionClaims,
  verifyCheckpoint,
} from '@veritee/protocol';
import { type Finding, finding } from '../findings.ts';
import { leafHashOf, sha256Of } from '../log/frontier.ts';
import type { EntryRow, StatementRow } from '../store/port.ts';

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex'); // RFC 8410 §4, up to the 32-byte key
/** Claimed times of neighbouring entries may swap within this, as requests finish out of order. */
const CLOCK_TOLERANCE_MS = 5_000;
/** How far an enclave's clock may run ahead of the archive's before it is worth saying. */
const CLOCK_AHEAD_MS = 300_000;

/** An evidence file that was read, with the head it carries; its report is for the verifier. */
export interface ReadEvidence {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly evidence: Evidence;
  readonly checkpoint: Checkpoint;
  readonly session: SessionClaims;
  readonly boot: string;
  readonly reportData: Bytes<64>;
}

/**
 * Shape, session claims, and the head's signature under the session key.
 * @throws EvidenceError
 */
export async function readEvidenceFile(file: Uint8Array<ArrayBuffer>): Promise<ReadEvidence> {
  const evidence = parseEvidence(file);
  const session = parseSessionClaims(evidence.sessionClaims);
  const checkpoint = parseCheckpoint(evidence.checkpoint);
  if (!(await verifyCheckpoint(checkpoint, session.sessionKey))) {
    throw new EvidenceError('CHECKPOINT_INVALID', 'checkpoint: not signed by the session key', { field: 'checkpoint' });
  }
  return {
    file,
    evidence,
    checkpoint,
    session,
    boot: hex(session.bootId),
    reportData: bytes(
      reportData(evidence.sessionClaims, evidence.previousReportData, checkpoint.body),
      64,
      'REPORT_DATA',
    ),
  };
}

export interface ReadEntry {
  readonly row: EntryRow;
  readonly entry: Entry;
}

/** Verifies entries of one boot, whichever way they came. */
export class SessionVerifier {
  readonly boot: string;
  readonly #claims: Uint8Array;
  readonly #digest: Uint8Array;
  readonly #key: KeyObject;

  constructor(sessionClaims: Uint8Array, session: SessionClaims) {
    this.boot = hex(session.bootId);
    this.#claims = sessionClaims;
    this.#digest = sha256Of(sessionClaims);
    this.#key = createPublicKey({
      key: Buffer.concat([SPKI_ED25519, session.sessionKey]),
      format: 'der',
      type: 'spki',
    });
  }

  /**
   * Shape, place, signature, and that it is an entry of this boot.
   * @throws EvidenceError
   */
  verify(cose: Uint8Array<ArrayBuffer>, index: number): ReadEntry {
    const entry = parseEntry(cose);
    const refuse = (
      code: 'STATEMENT_INVALID' | 'SESSION_INVALID' | 'SIGNATURE_INVALID' | 'MODEL_MISMATCH',
      reason: string,
    ) => new EvidenceError(code, `entry ${index}: ${reason}`, { field: 'entry' });
    if (entry.sequence !== index) throw refuse('STATEMENT_INVALID', `it says that it is entry ${entry.sequence}`);
    if ((entry.kind === 'session') !== (index === 0))
      throw refuse('SESSION_INVALID', 'session claims stand at index 0 and nowhere else');
    const { payload, signature, toBeSigned } = entry.message;
    // The key is of prime order (`ed25519Key`), and OpenSSL refuses S ≥ L: the same answers as `verifyEd25519`.
    if (!verify(null, toBeSigned, this.#key, signature))
      throw refuse('SIGNATURE_INVALID', 'not signed by the session key');
    if (entry.kind === 'session' && !equalBytes(payload, this.#claims))
      throw refuse('SESSION_INVALID', 'other session claims than the evidence has');
    if (entry.kind === 'statement' && !equalBytes(entry.value.sessionDigest, this.#digest))
      throw refuse('STATEMENT_INVALID', 'of another session');
    if (entry.kind === 'model' && !equalBytes(entry.value.model.digest, modelDigest(entry.value.files)))
      throw refuse('MODEL_MISMATCH', 'the digest is not that of the files it lists');
    return { entry, row: { boot: this.boot, index, kind: entry.kind, leaf: leafHashOf(cose), cose, purge: null } };
  }
}

/** How an entry that was refused is filed. */
export function entryFinding(boot: string, index: number, error: EvidenceError): Finding {
  const code =
    error.code === 'SIGNATURE_INVALID'
      ? 'SIGNATURE_INVALID'
      : error.code === 'MODEL_MISMATCH'
        ? 'MODEL_DIGEST_MISMATCH'
        : 'ENTRY_INVALID';
  return finding(code, error.message, { boot, index });
}

export interface Filing {
  readonly tenant: string | null;
  readonly retentionClass: string;
}

/** The search columns of a statement. */
export function statementRow({ row, entry }: ReadEntry, { tenant, retentionClass }: Filing): StatementRow | null {
  if (entry.kind !== 'statement') return null;
  const { receiptId, timeMs, model, outcome, requestDigest, responseDigest } = entry.value;
  const { boot, index } = row;
  return { boot, index, receiptId, timeMs, model, outcome, requestDigest, responseDigest, tenant, retentionClass };
}

/** Watches the times that a boot's entries claim. One finding a batch: a wrong clock is wrong for every entry. */
export class ClockWatch {
  #latestMs = 0;

  check(entries: readonly ReadEntry[], nowMs: number, provenMs: number | null): Finding[] {
    const findings = new Map<string, Finding>();
    for (const { row, entry } of entries) {
      const timeMs = claimedMs(entry);
      const place = { boot: row.boot, index: row.index };
      const found =
        timeMs < this.#latestMs - CLOCK_TOLERANCE_MS
          ? finding('CLOCK_BACKWARDS', `claims a time ${this.#latestMs - timeMs} ms before an earlier entry`, place)
          : provenMs !== null && timeMs > provenMs + CLOCK_AHEAD_MS
            ? finding(
                'CLOCK_CONTRADICTED',
                `claims a time ${timeMs - provenMs} ms after the report that covers it`,
                place,
              )
            : timeMs > nowMs + CLOCK_AHEAD_MS
              ? finding('CLOCK_AHEAD', `claims a time ${timeMs - nowMs} ms after it was archived`, place)
              : null;
      if (found && !findings.has(found.code)) findings.set(found.code, found);
      this.#latestMs = Math.max(this.#latestMs, timeMs);
    }
    return [...findings.values()];
  }
}

const claimedMs = (entry: Entry): number =>
  entry.kind === 'statement' ? entry.value.timeMs : entry.value.issuedAt * 1000 + 999; // claimed in whole seconds
