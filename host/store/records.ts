import {
  type Bytes,
  bytes,
  type EntryKind,
  type Hash,
  hex,
  leafHash,
  parseCheckpoint,
  parseEntry,
  parseEvidence,
  reportData,
} from '@veritee/protocol';
import type { LogRecord } from './store.ts';

/** A record with what the store files it under. Signatures are not verified: that is for whoever relies on them. */
export type ReadRecord = ReadEntry | ReadEvidence;

export interface ReadEntry {
  readonly type: 'entry';
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly kind: EntryKind;
  /** The index the entry itself claims. */
  readonly sequence: number;
  readonly leaf: Hash;
  readonly receiptId: Bytes<16> | null;
  /** Only on a session entry: the boot its claims name. */
  readonly boot: string | null;
}

export interface ReadEvidence {
  readonly type: 'evidence';
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reportData: Bytes<64>;
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
  readonly note: string;
}

/** @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED, SESSION_INVALID */
export function readRecord(record: LogRecord): ReadRecord {
  if (record.type === 'entry') {
    const entry = parseEntry(record.bytes);
    return {
      type: 'entry',
      bytes: record.bytes,
      kind: entry.kind,
      sequence: entry.sequence,
      leaf: leafHash(record.bytes),
      receiptId: entry.kind === 'statement' ? entry.value.receiptId : null,
      boot: entry.kind === 'session' ? hex(entry.value.bootId) : null,
    };
  }
  const evidence = parseEvidence(record.bytes);
  const checkpoint = parseCheckpoint(evidence.checkpoint);
  return {
    type: 'evidence',
    bytes: record.bytes,
    reportData: bytes(
      reportData(evidence.sessionClaims, evidence.previousReportData, checkpoint.body),
      64,
      'REPORT_DATA',
    ),
    sessionClaims: evidence.sessionClaims,
    origin: checkpoint.origin,
    size: checkpoint.size,
    root: checkpoint.root,
    note: evidence.checkpoint,
  };
}
