/** Steps 4 to 6 of the list in docs/formats.md: a session key, the log's head it signed, and the chip's word for both. */
import {
  type Bytes,
  type Checkpoint,
  type Ed25519Key,
  equalBytes,
  hex,
  reportData,
  type SessionClaims,
  sha256,
  verifyCheckpoint,
} from '@veritee/protocol';
import { sessionFacts } from '../appraise/claims.ts';
import { CheckFailure, type CheckLog, type CheckRow } from '../checks.ts';
import type { VerifiedSnp } from '../snp/verify.ts';
import type { ParsedEvidence } from './parse.ts';

const OURS = ['evidence', 'attestation', 'receipt'] as const;

export const SESSION_ROWS: readonly CheckRow[] = [
  {
    id: 'checkpoint.signature',
    claim: 'checkpoint origin, key id and signature under cnf',
    source: 'C2SP tlog-checkpoint, signed-note',
    kinds: OURS,
  },
  {
    id: 'binding.report-data',
    claim: 'REPORT_DATA over session claims, previous value and checkpoint',
    source: 'docs/formats.md, REPORT_DATA',
    kinds: OURS,
  },
];

/** One life of an enclave process, as the chip's report vouches for it. */
export interface VerifiedSession {
  readonly bootId: Bytes<16>;
  readonly key: Ed25519Key;
  readonly claims: SessionClaims;
  /** SHA-256 of the session claims bytes, which every statement of the session names. */
  readonly digest: Bytes<32>;
  readonly checkpoint: Checkpoint;
}

/** @throws EvidenceError CHECKPOINT_INVALID, KEY_BINDING_MISMATCH */
export async function verifySession(
  evidence: ParsedEvidence,
  snp: VerifiedSnp,
  log: CheckLog,
): Promise<VerifiedSession> {
  const { claims, checkpoint, sessionClaims } = evidence;
  await log.step(
    'checkpoint.signature',
    async () => {
      if (await verifyCheckpoint(checkpoint, claims.sessionKey)) return;
      const expected = 'origin, key id and signature of the session key';
      throw new CheckFailure('CHECKPOINT_INVALID', expected, 'another', { field: 'evidence.checkpoint' });
    },
    () => `${checkpoint.size} entries, signed by the session key`,
  );
  await log.step(
    'binding.report-data',
    () => {
      const expected = reportData(sessionClaims, evidence.previousReportData, checkpoint.body);
      if (equalBytes(expected, snp.report.reportData)) return;
      throw new CheckFailure('KEY_BINDING_MISMATCH', hex(expected), hex(snp.report.reportData), {
        field: 'REPORT_DATA',
      });
    },
    () => 'the chip signed this session and this checkpoint',
  );
  log.establish({ claims: sessionFacts(claims, checkpoint) });
  return { bootId: claims.bootId, key: claims.sessionKey, claims, digest: sha256(sessionClaims), checkpoint };
}
