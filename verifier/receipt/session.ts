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
import type { NitroDocument } from '../nitro/document.ts';
import type { ParsedEvidence, ParsedPlatform } from './parse.ts';

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
    claim: 'REPORT_DATA, or user_data and public_key, over session claims, previous value and checkpoint',
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
  platform: ParsedPlatform,
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
  log.step(
    'binding.report-data',
    () => {
      const expected = reportData(sessionClaims, evidence.previousReportData, checkpoint.body);
      if (platform.name === 'sev-snp') refuseUnlessBound('REPORT_DATA', expected, platform.report.reportData);
      else refuseUnlessDocumentBound(platform.document, expected, claims.sessionKey);
    },
    () =>
      platform.name === 'sev-snp'
        ? 'the chip signed this session and this checkpoint'
        : 'the hypervisor signed this session and this checkpoint',
  );
  log.establish({ claims: sessionFacts(claims, checkpoint) });
  return { bootId: claims.bootId, key: claims.sessionKey, claims, digest: sha256(sessionClaims), checkpoint };
}

/** A null is bound to by nothing else than null. */
function refuseUnlessBound(field: string, expected: Uint8Array | null, actual: Uint8Array | null): void {
  const same = expected && actual ? equalBytes(expected, actual) : expected === actual;
  if (same) return;
  throw new CheckFailure('KEY_BINDING_MISMATCH', shown(expected), shown(actual), { field });
}

const shown = (value: Uint8Array | null): string => (value ? hex(value) : 'none');

/** A document has three fields for outside words, so all three have one meaning. */
function refuseUnlessDocumentBound(document: NitroDocument, data: Bytes<64>, key: Ed25519Key): void {
  refuseUnlessBound('document.user_data', data, document.userData);
  refuseUnlessBound('document.public_key', key, document.publicKey);
  refuseUnlessBound('document.nonce', null, document.nonce);
}
