/**
 * Phase 1: bytes to typed values. Shape only; nothing returned here is trusted until `verify`.
 *
 * Everything nested is parsed at once, so that a file with one malformed part is refused before any cryptography runs.
 */
import {
  type Attestation,
  type Bytes,
  type ChallengeProof,
  type ChallengesEntry,
  type Checkpoint,
  CONTENT_TYPE,
  type CodedError,
  type Entry,
  type EntryKind,
  type Evidence,
  EvidenceError,
  equalBytes,
  type Hash,
  hex,
  type KeyEntry,
  parseAttestation,
  parseCheckpoint,
  parseEntry,
  parseEvidence,
  parseReceipt,
  parseSessionClaims,
  type Receipt,
  type SessionClaims,
  type Sign1,
  type Statement,
} from '@veritee/protocol';
import { CheckFailure, type CheckLog, type CheckRow } from '../checks.ts';
import type { EvidenceKind } from '../kind.ts';
import type { NitroDocument } from '../nitro/document.ts';
import type { HclReport } from '../snp/hcl.ts';
import { HCL_SHAPE_ROW } from '../snp/hcl-rows.ts';
import { parseSnpReport, type SnpReport } from '../snp/report.ts';

const OURS = ['evidence', 'attestation', 'receipt'] as const;

export const SHAPE_ROWS: readonly CheckRow[] = [
  { id: 'shape.kind', claim: 'kind of file', source: 'docs/formats.md' },
  { id: 'shape.file', claim: 'size, canonical CBOR, closed maps, profile', source: 'docs/formats.md', kinds: OURS },
  { id: 'shape.evidence', claim: 'evidence file', source: 'docs/formats.md, evidence', kinds: OURS },
  HCL_SHAPE_ROW,
  {
    id: 'shape.report',
    claim: 'ATTESTATION_REPORT',
    source: 'AMD 56860, ATTESTATION_REPORT',
    kinds: [...OURS, 'snp-report', 'snp-hcl'],
  },
  {
    id: 'shape.document',
    claim: 'attestation document',
    source: 'AWS Nitro Enclaves, attestation_process.md §3.1, §3.2.2',
    kinds: [...OURS, 'nitro-document'],
  },
  { id: 'session.claims', claim: 'session claims', source: 'docs/formats.md, session claims', kinds: OURS },
  { id: 'session.key', claim: 'cnf', source: 'RFC 8747 §3.2; RFC 8032 §5.1.3', kinds: OURS },
  { id: 'session.boot-id', claim: 'boot id', source: 'design §3: SHA-256 of the session key, 16 bytes', kinds: OURS },
  { id: 'checkpoint.shape', claim: 'checkpoint', source: 'C2SP tlog-checkpoint, signed-note', kinds: OURS },
  { id: 'challenge.shape', claim: 'challenges entry', source: 'docs/formats.md, challenges', kinds: ['attestation'] },
  { id: 'key.shape', claim: 'key entries', source: 'docs/formats.md, key', kinds: ['attestation'] },
  { id: 'statement.shape', claim: 'statement', source: 'docs/formats.md, statement', kinds: ['receipt'] },
  { id: 'shape.endorsements', claim: 'endorsement and CRL files of the caller', source: 'RFC 7468; ITU-T X.690 §10' },
];

/** The platform's own word. */
export type ParsedPlatform =
  | { readonly name: 'sev-snp'; readonly report: SnpReport }
  | { readonly name: 'nitro'; readonly document: NitroDocument };

export interface ParsedEvidence {
  readonly platform: ParsedPlatform;
  readonly chain: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
  /** The exact bytes that REPORT_DATA and statements refer to. */
  readonly sessionClaims: Uint8Array;
  readonly claims: SessionClaims;
  readonly checkpoint: Checkpoint;
  readonly previousReportData: Bytes<64> | null;
}

/** A log entry with its path; `raw` is the whole COSE message, which is the leaf. */
export interface ParsedEntry<T> {
  readonly raw: Uint8Array;
  readonly message: Sign1;
  readonly value: T;
  readonly path: readonly Hash[];
}

export type ParsedChallenge = ParsedEntry<ChallengesEntry> & Pick<ChallengeProof, 'nonce' | 'nonceIndex' | 'noncePath'>;

export type Parsed =
  | { readonly kind: 'snp-report'; readonly platform: ParsedPlatform }
  | { readonly kind: 'nitro-document'; readonly platform: ParsedPlatform }
  | { readonly kind: 'snp-hcl'; readonly platform: ParsedPlatform; readonly hcl: HclReport; readonly report: SnpReport }
  | { readonly kind: 'evidence'; readonly evidence: ParsedEvidence }
  | {
      readonly kind: 'attestation';
      readonly evidence: ParsedEvidence;
      readonly challenge: ParsedChallenge | null;
      readonly keys: readonly ParsedEntry<KeyEntry>[];
    }
  | {
      readonly kind: 'receipt';
      readonly evidence: ParsedEvidence;
      readonly statement: Omit<ParsedEntry<Statement>, 'path'>;
      /** Null exactly when session-signed. */
      readonly path: readonly Hash[] | null;
    };

/**
 * @param evidence evidence files for a receipt that names its evidence by REPORT_DATA only
 * @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED, EVIDENCE_MISSING, SESSION_INVALID,
 *   STATEMENT_INVALID, CHALLENGE_INVALID
 */
export async function parse(
  file: Uint8Array,
  kind: EvidenceKind,
  evidence: readonly Uint8Array[],
  log: CheckLog,
): Promise<Parsed> {
  switch (kind) {
    case 'snp-report':
      return { kind, platform: { name: 'sev-snp', report: readReport(file, log) } };
    case 'nitro-document':
      return { kind, platform: { name: 'nitro', document: await readDocument(file, log) } };
    case 'snp-hcl': {
      const { parseHclReport } = await import('../snp/hcl.ts');
      const hcl = log.step('shape.hcl', () => parseHclReport(file), sizeOf(file));
      const report = readReport(hcl.report, log);
      return { kind, platform: { name: 'sev-snp', report }, report, hcl };
    }
    case 'evidence':
      log.skip('shape.file', 'the file is an evidence file, see shape.evidence');
      return { kind, evidence: await readEvidence(file, log) };
    case 'attestation':
      return readAttestation(
        log.step('shape.file', () => parseAttestation(file), sizeOf(file)),
        log,
      );
    case 'receipt':
      return readReceipt(
        log.step('shape.file', () => parseReceipt(file), sizeOf(file)),
        evidence,
        log,
      );
  }
}

const sizeOf = (file: Uint8Array) => (): string => `${file.length} bytes`;

const readReport = (raw: Uint8Array, log: CheckLog): SnpReport =>
  log.step(
    'shape.report',
    () => parseSnpReport(raw),
    (report) => `version ${report.version}, ${raw.length} bytes`,
  );

async function readDocument(raw: Uint8Array, log: CheckLog): Promise<NitroDocument> {
  const { parseNitroDocument } = await import('../nitro/document.ts');
  return log.step(
    'shape.document',
    () => parseNitroDocument(raw),
    ({ moduleId, pcrs }) => `of ${moduleId}, ${pcrs.size} PCRs, ${raw.length} bytes`,
  );
}

async function readPlatform({ format, report }: Evidence, log: CheckLog): Promise<ParsedPlatform> {
  switch (format) {
    case 'sev-snp-report':
      log.skip('shape.document', 'the evidence is an SEV-SNP report');
      return { name: 'sev-snp', report: readReport(report, log) };
    case 'nitro-attestation-document':
      log.skip('shape.report', 'the evidence is a Nitro document');
      return { name: 'nitro', document: await readDocument(report, log) };
  }
}

/** A document brings its own chain, and AWS asks not to use CRLs: bytes that no signature covers have no place beside it. */
function refuseUnlessBare({ format, chain, crls }: Evidence): void {
  if (format !== 'nitro-attestation-document' || chain.length + crls.length === 0) return;
  const actual = `${chain.length} certificates, ${crls.length} CRLs`;
  throw new CheckFailure('EVIDENCE_MALFORMED', 'no chain and no CRL beside a Nitro document', actual, {
    field: chain.length > 0 ? 'evidence.chain' : 'evidence.crls',
  });
}

async function readEvidence(file: Uint8Array, log: CheckLog): Promise<ParsedEvidence> {
  const evidence = log.step(
    'shape.evidence',
    () => {
      const parsed = parseEvidence(file);
      refuseUnlessBare(parsed);
      return parsed;
    },
    sizeOf(file),
  );
  const platform = await readPlatform(evidence, log);
  const claims = readSession(evidence.sessionClaims, log);
  const checkpoint = log.step(
    'checkpoint.shape',
    () => parseCheckpoint(evidence.checkpoint),
    ({ origin, size }) => `${origin}, ${size} entries`,
  );
  return { ...evidence, platform, claims, checkpoint };
}

/** One parser makes three checks here; the field of its refusal says which of them failed. */
function readSession(sessionClaims: Uint8Array, log: CheckLog): SessionClaims {
  const rowOf: Readonly<Record<string, string>> = { 'session.cnf': 'session.key', 'session.bootId': 'session.boot-id' };
  try {
    const claims = parseSessionClaims(sessionClaims);
    log.pass('session.claims', `${sessionClaims.length} bytes`);
    log.pass('session.key', `Ed25519 ${hex(claims.sessionKey)}`);
    log.pass('session.boot-id', hex(claims.bootId));
    return claims;
  } catch (error) {
    const field = error instanceof EvidenceError ? (error as CodedError).field : undefined;
    log.refuse(rowOf[field ?? ''] ?? 'session.claims', error);
    throw error;
  }
}

async function readAttestation(file: Attestation, log: CheckLog): Promise<Parsed> {
  const evidence = await readEvidence(file.evidence, log);
  const { challenge } = file;
  const challenges = challenge && readEntry('challenge.shape', 'challenges', challenge.entry, log);
  if (!challenge) log.skip('challenge.shape', 'the attestation answers no nonce');
  const keys: ParsedEntry<KeyEntry>[] = [];
  for (const { entry, path } of file.keys) keys.push({ ...readEntry('key.shape', 'key', entry, log), path });
  if (keys.length === 0) log.skip('key.shape', 'the attestation offers no sealing key');
  return { kind: 'attestation', evidence, challenge: challenge && challenges && { ...challenge, ...challenges }, keys };
}

async function readReceipt(file: Receipt, supplied: readonly Uint8Array[], log: CheckLog): Promise<Parsed> {
  const statement = readEntry('statement.shape', 'statement', file.statement, log);
  const evidence =
    'file' in file.evidence
      ? await readEvidence(file.evidence.file, log)
      : await findEvidence(file.evidence.reportData, supplied, log);
  return { kind: 'receipt', evidence, statement, path: file.path };
}

/** Stores keep a receipt's evidence apart, under its REPORT_DATA. */
async function findEvidence(
  reportData: Bytes<64>,
  supplied: readonly Uint8Array[],
  log: CheckLog,
): Promise<ParsedEvidence> {
  const found = await log.step(
    'shape.evidence',
    async () => {
      for (const file of supplied) {
        const named = await boundBytes(parseEvidence(file));
        if (named && equalBytes(named, reportData)) return file;
      }
      const expected = `the evidence whose REPORT_DATA is ${hex(reportData)}`;
      throw new CheckFailure('EVIDENCE_MISSING', expected, `${supplied.length} other evidence files`, {
        field: 'receipt.evidenceReportData',
      });
    },
    () => 'found by its REPORT_DATA',
  );
  return readEvidence(found, log);
}

/** REPORT_DATA, or what a document has in its place. */
async function boundBytes({ format, report }: Evidence): Promise<Uint8Array | null> {
  if (format === 'sev-snp-report') return parseSnpReport(report).reportData;
  const { parseNitroDocument } = await import('../nitro/document.ts');
  return parseNitroDocument(report).userData;
}

const ENTRY_CODE = {
  challenges: 'CHALLENGE_INVALID',
  key: 'KEY_NOT_COMMITTED',
  statement: 'STATEMENT_INVALID',
} as const satisfies Partial<Record<EntryKind, string>>;

type EntryOf<K extends EntryKind> = Extract<Entry, { readonly kind: K }>['value'];

function readEntry<K extends keyof typeof ENTRY_CODE>(
  row: string,
  kind: K,
  raw: Uint8Array,
  log: CheckLog,
): Omit<ParsedEntry<EntryOf<K>>, 'path'> {
  return log.step(
    row,
    () => {
      const entry = parseEntry(raw);
      if (entry.kind !== kind) {
        throw new CheckFailure(ENTRY_CODE[kind], CONTENT_TYPE[kind], entry.message.contentType, { field: kind });
      }
      return { raw, message: entry.message, value: entry.value as EntryOf<K> };
    },
    () => `${raw.length} bytes, ${CONTENT_TYPE[kind]}`,
  );
}
