/** Database rows to the port's rows and back. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type Bytes, bytes, type EntryKind, EvidenceError, fromHex, type Hash, hex } from '@veritee/protocol';
import type { FindingCode, Severity } from '../findings.ts';
import type { ActKind } from '../log/acts.ts';
import type {
  ActRow,
  AttachmentRole,
  AttachmentRow,
  BootRow,
  BootState,
  Digest,
  EntryRow,
  EvidenceRow,
  FindingRow,
  ProofRow,
  Rows,
  StatementRow,
  Verdict,
} from './port.ts';
import type { SqlValue } from './sql.ts';

const MAX_RESULT_BYTES = 1 << 20;

export const bootBytes = (boot: string): Uint8Array => {
  const value = fromHex(boot);
  if (value?.length !== 16) throw new TypeError('boot: want 32 hex digits');
  return value;
};

const own = (value: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(value);
const digest = (value: Uint8Array): Digest => bytes(value, 32, 'digest');
const join = (digests: readonly Uint8Array[]): Uint8Array => Buffer.concat(digests);

/** @throws EvidenceError EVIDENCE_MALFORMED not whole digests */
export function digests(value: Uint8Array): Digest[] {
  if (value.length % 32 !== 0)
    throw new EvidenceError('EVIDENCE_MALFORMED', 'digests: not whole', { field: 'digests' });
  return Array.from({ length: Math.floor(value.length / 32) }, (_, i) => digest(value.subarray(32 * i, 32 * i + 32)));
}

export interface BootRecord {
  readonly id: number;
  readonly boot: Uint8Array;
  readonly source: string;
  readonly session_claims: Uint8Array;
  readonly platform: string | null;
  readonly state: BootState;
  readonly head_size: number | null;
  readonly head_root: Uint8Array | null;
  readonly head_report_data: Uint8Array | null;
  readonly first_seen_ms: number;
}

export const toBoot = (row: BootRecord): BootRow => ({
  boot: hex(row.boot),
  source: row.source,
  sessionClaims: own(row.session_claims),
  platform: row.platform,
  state: row.state,
  head:
    row.head_size !== null && row.head_root && row.head_report_data
      ? {
          size: row.head_size,
          root: digest(row.head_root),
          reportData: bytes(row.head_report_data, 64, 'REPORT_DATA'),
        }
      : null,
  firstSeenMs: row.first_seen_ms,
});

export interface EvidenceRecord {
  readonly boot: Uint8Array;
  readonly report_data: Uint8Array;
  readonly size: number;
  readonly root: Uint8Array;
  readonly previous: Uint8Array | null;
  readonly parts: Uint8Array;
  readonly certificates: Uint8Array;
  readonly crls: Uint8Array;
  readonly file: Uint8Array;
  readonly platform: string | null;
  readonly product: string | null;
  readonly measurement: string | null;
  readonly chip: string | null;
  readonly tcb: string | null;
  readonly existed_by_ms: number | null;
  readonly policy: Uint8Array;
  readonly policy_digest: Uint8Array;
  readonly anchors: Uint8Array;
  readonly endorsements: Uint8Array;
  readonly given_crls: Uint8Array;
  readonly verifier: string;
  readonly at_ms: number;
  readonly verdict: Verdict;
  readonly codes: string;
  readonly result: Uint8Array;
  readonly first_seen_ms: number;
}

/** In the order of `evidenceValues`. */
export const EVIDENCE_COLUMNS = [
  'boot',
  'report_data',
  'size',
  'root',
  'previous',
  'parts',
  'certificates',
  'crls',
  'file',
  'platform',
  'product',
  'measurement',
  'chip',
  'tcb',
  'existed_by_ms',
  'policy',
  'policy_digest',
  'anchors',
  'endorsements',
  'given_crls',
  'verifier',
  'at_ms',
  'verdict',
  'codes',
  'result',
  'first_seen_ms',
  'result_json',
] as const;

export const evidenceValues = (bootId: number, row: NonNullable<Rows['evidence']>[number]): SqlValue[] => [
  bootId,
  row.reportData,
  row.size,
  row.root,
  row.previousReportData,
  row.parts,
  join(row.certificates),
  join(row.crls),
  row.file,
  row.facts.platform,
  row.facts.product,
  row.facts.measurement,
  row.facts.chip,
  row.facts.tcb && JSON.stringify(row.facts.tcb),
  row.facts.existedByMs,
  row.appraisal.policy,
  row.appraisal.policyDigest,
  join(row.appraisal.anchors),
  join(row.appraisal.endorsements),
  join(row.appraisal.crls),
  row.appraisal.verifier,
  row.appraisal.atMs,
  row.appraisal.verdict,
  row.appraisal.codes.join(' '),
  row.appraisal.result,
  row.firstSeenMs,
  deflateRawSync(row.resultJson),
];

export const toEvidence = (row: EvidenceRecord): EvidenceRow => ({
  boot: hex(row.boot),
  reportData: bytes(row.report_data, 64, 'REPORT_DATA'),
  size: row.size,
  root: digest(row.root),
  previousReportData: row.previous && bytes(row.previous, 64, 'REPORT_DATA'),
  parts: own(row.parts),
  certificates: digests(row.certificates),
  crls: digests(row.crls),
  file: digest(row.file),
  facts: {
    platform: row.platform,
    product: row.product,
    measurement: row.measurement,
    chip: row.chip,
    tcb: row.tcb === null ? null : (JSON.parse(row.tcb) as Record<string, number>),
    existedByMs: row.existed_by_ms,
  },
  appraisal: {
    policy: digest(row.policy),
    policyDigest: digest(row.policy_digest),
    anchors: digests(row.anchors),
    endorsements: digests(row.endorsements),
    crls: digests(row.given_crls),
    verifier: row.verifier,
    atMs: row.at_ms,
    verdict: row.verdict,
    codes: row.codes === '' ? [] : row.codes.split(' '),
    result: digest(row.result),
  },
  firstSeenMs: row.first_seen_ms,
});

export const toResultJson = (deflated: Uint8Array): string =>
  inflateRawSync(deflated, { maxOutputLength: MAX_RESULT_BYTES }).toString();

export interface EntryRecord {
  readonly idx: number;
  readonly kind: EntryKind;
  readonly leaf: Uint8Array;
  readonly cose: Uint8Array | null;
  readonly purge: number | null;
}

/** No copy: what a database returned is nobody else's, and an audit reads a million of these. */
export const toEntry = (boot: string, row: EntryRecord): EntryRow => ({
  boot,
  index: row.idx,
  kind: row.kind,
  leaf: row.leaf as Hash,
  cose: row.cose as Uint8Array<ArrayBuffer> | null,
  purge: row.purge,
});

export interface StatementRecord {
  readonly boot: Uint8Array;
  readonly idx: number;
  readonly receipt_id: Uint8Array;
  readonly time_ms: number;
  readonly model_name: string | null;
  readonly model_version: string | null;
  readonly model_digest: Uint8Array | null;
  readonly outcome: string;
  readonly request_digest: Uint8Array;
  readonly response_digest: Uint8Array;
  readonly tenant: string | null;
  readonly class: string;
}

export const toStatement = (row: StatementRecord): StatementRow => ({
  boot: hex(row.boot),
  index: row.idx,
  receiptId: bytes(row.receipt_id, 16, 'receipt id'),
  timeMs: row.time_ms,
  model:
    row.model_name !== null && row.model_version !== null && row.model_digest
      ? { name: row.model_name, version: row.model_version, digest: digest(row.model_digest) }
      : null,
  outcome: row.outcome,
  requestDigest: digest(row.request_digest),
  responseDigest: digest(row.response_digest),
  tenant: row.tenant,
  retentionClass: row.class,
});

export const toAttachment = (
  boot: string,
  row: { readonly idx: number; readonly role: AttachmentRole; readonly blob: Uint8Array },
): AttachmentRow => ({ boot, index: row.idx, role: row.role, blob: digest(row.blob) });

export const toProof = (
  boot: string,
  row: { readonly idx: number; readonly report_data: Uint8Array; readonly path: Uint8Array },
): ProofRow => ({
  boot,
  index: row.idx,
  reportData: bytes(row.report_data, 64, 'REPORT_DATA'),
  path: digests(row.path),
});

export const toAct = (row: {
  readonly idx: number;
  readonly kind: ActKind;
  readonly leaf: Uint8Array;
  readonly cose: Uint8Array;
}): ActRow => ({ index: row.idx, kind: row.kind, leaf: digest(row.leaf), cose: own(row.cose) });

export interface FindingRecord {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly boot: string;
  readonly idx: number;
  readonly object: string;
  readonly text: string;
  readonly act: number;
  readonly first_seen_ms: number;
}

/** Empty text and −1 stand for null, which a unique index would never find equal. */
export const toFinding = (row: FindingRecord): FindingRow => ({
  code: row.code,
  severity: row.severity,
  boot: row.boot || null,
  index: row.idx < 0 ? null : row.idx,
  object: row.object || null,
  text: row.text,
  act: row.act,
  firstSeenMs: row.first_seen_ms,
});

export const findingValues = (row: FindingRow): SqlValue[] => [
  row.code,
  row.severity,
  row.boot ?? '',
  row.index ?? -1,
  row.object ?? '',
  row.text,
  row.act,
  row.firstSeenMs,
];

/** Concatenated hashes of `count` rows; null when one is missing. */
export function hashesOf(
  rows: readonly { readonly hash: Uint8Array }[],
  count: number,
): Uint8Array<ArrayBuffer> | null {
  if (rows.length !== count) return null;
  const out = new Uint8Array(32 * count);
  for (const [i, { hash }] of rows.entries()) out.set(hash, 32 * i);
  return out;
}

export type ReportData = Bytes<64>;
