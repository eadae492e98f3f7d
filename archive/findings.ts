/** What was found wrong, with its place. Codes are API: added freely, never renamed or reused. */

/** `critical`: the record is not what it should be. `warning`: a fact an auditor must weigh. `info`: for completeness. */
export type Severity = 'critical' | 'warning' | 'info';

export const FINDINGS = {
  // A boot's log, as its service shows it.
  LOG_FORKED: 'critical', // a signed head that does not continue the one seen before
  LOG_ROLLED_BACK: 'critical', // a signed head that is shorter than the one seen before
  LOG_INCOMPLETE: 'critical', // entries under a signed head that the service does not hand out, or other ones
  LOG_GAP: 'critical', // entries missing within the followed part
  LOG_NOT_FOLLOWED: 'info', // single receipts of a boot whose log the archive never saw
  SESSION_FORKED: 'critical', // two entries signed for one place
  CHECKPOINT_INVALID: 'critical',
  CHAIN_BROKEN: 'critical', // a REPORT_DATA that names a report the archive lacks, or two that name one
  EVIDENCE_REFUSED: 'warning', // not affirming under the policy of the ingest
  ENTRY_INVALID: 'critical', // an entry under a signed head that no enclave of ours writes
  SIGNATURE_INVALID: 'critical',
  MODEL_DIGEST_MISMATCH: 'critical', // a model entry whose digest is not that of its files
  RECEIPT_ID_REUSED: 'critical',
  TAIL_UNCOMMITTED: 'warning', // entries of a lost boot that no report covers
  BOOT_LOST: 'warning', // ended without an end entry
  BOOT_MISSING: 'warning', // the service names a boot, or the fleet list an enclave, that has no log here
  CLOCK_BACKWARDS: 'warning', // a claimed time earlier than one before it in the log
  CLOCK_AHEAD: 'warning', // a claimed time later than the archive's own clock when it arrived
  CLOCK_CONTRADICTED: 'warning', // a claimed time later than an outside clock's
  FILE_REFUSED: 'warning', // a file of an ingested folder that is not what it says

  // The archive itself.
  ENTRY_ALTERED: 'critical',
  ENTRY_MISSING: 'critical',
  EVIDENCE_ALTERED: 'critical',
  EVIDENCE_MISSING: 'critical',
  ROW_ALTERED: 'critical', // a search column or summary that is not what the signed bytes say
  BLOB_MISSING: 'critical',
  BLOB_ALTERED: 'critical',
  BLOB_UNUSED: 'info',
  POLICY_ALTERED: 'critical',
  ACT_ALTERED: 'critical',
  ACT_MISSING: 'critical',
  STORE_ROLLED_BACK: 'critical', // older than a head this archive has signed
  VERDICT_CHANGED: 'critical', // a frozen verdict that its own inputs do not give again
} as const satisfies Record<string, Severity>;

export type FindingCode = keyof typeof FINDINGS;

/** Never holds payload, salts or keys. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly boot: string | null;
  readonly index: number | null;
  /** Lower-case hex of a blob's digest, a REPORT_DATA, or the number of an act as `act 12`; null for none. */
  readonly object: string | null;
  /** One sentence. */
  readonly text: string;
}

export const isFindingCode = (text: string): text is FindingCode => Object.hasOwn(FINDINGS, text);

export const finding = (
  code: FindingCode,
  text: string,
  place: { readonly boot?: string; readonly index?: number; readonly object?: string } = {},
): Finding => ({
  code,
  severity: FINDINGS[code],
  boot: place.boot ?? null,
  index: place.index ?? null,
  object: place.object ?? null,
  text,
});

/** Two findings with one key are the same one, seen again. */
export const findingKey = ({ code, boot, index, object }: Finding): string =>
  [code, boot ?? '', index ?? -1, object ?? ''].join(' ');
