/** The files people keep (design §3): evidence, attestation, receipt. Canonical CBOR, closed maps, text keys. */
import { type Bytes, isZero } from './bytes.ts';
import { type Cbor, decodeCbor, encodeCbor, MapReader } from './cbor.ts';
import { MAX_CHECKPOINT_BYTES } from './checkpoint.ts';
import { PROFILE } from './claims.ts';
import { MAX_ENTRY_BYTES, MAX_NONCE_BYTES, MAX_STATEMENT_BYTES, MIN_NONCE_BYTES } from './entries.ts';
import { EvidenceError } from './errors.ts';
import type { Hash } from './merkle.ts';

/** A tree of 2^53−1 leaves has paths of at most 53 hashes. */
export const MAX_PATH = 53;
const MAX_CERTIFICATES = 8;
const MAX_CERTIFICATE_BYTES = 16_384;
const MAX_CRL_BYTES = 1 << 20;
const MAX_REPORT_BYTES = 65_536;
const MAX_KEYS = 64;
export const MAX_EVIDENCE_BYTES = 4 << 20;
export const MAX_RECEIPT_BYTES = MAX_EVIDENCE_BYTES + MAX_STATEMENT_BYTES + 4096;
export const MAX_ATTESTATION_BYTES = 16 << 20;

export type EvidenceFormat = 'sev-snp-report' | 'nitro-attestation-document';

/** What one tick froze. Nothing in it is trusted until the verifier has been through it. */
export interface Evidence {
  readonly format: EvidenceFormat;
  /** The raw report or document, as the platform returned it. */
  readonly report: Uint8Array<ArrayBuffer>;
  /** DER certificates, leaf first, never the root; empty for Nitro, whose document carries its own. */
  readonly chain: readonly Uint8Array<ArrayBuffer>[];
  /** DER; can only add a revocation. */
  readonly crls: readonly Uint8Array<ArrayBuffer>[];
  /** The payload of log entry 0. */
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  /** The signed note. */
  readonly checkpoint: string;
  /** REPORT_DATA of the previous report of this boot. */
  readonly previousReportData: Bytes<64> | null;
  /** Witness lines of the checkpoint, kept apart from its own signature. */
  readonly cosignatures: readonly string[];
}

/** A log entry with its path to the checkpoint of the evidence it lies beside. */
export interface ProvenEntry {
  readonly entry: Uint8Array<ArrayBuffer>;
  readonly path: readonly Hash[];
}

/** A caller's nonce under a challenges entry. */
export interface ChallengeProof extends ProvenEntry {
  readonly nonce: Uint8Array<ArrayBuffer>;
  readonly nonceIndex: number;
  readonly noncePath: readonly Hash[];
}

export interface Attestation {
  /** The evidence file's exact bytes. */
  readonly evidence: Uint8Array<ArrayBuffer>;
  readonly keys: readonly ProvenEntry[];
  /** Null when no nonce was asked for. */
  readonly challenge: ChallengeProof | null;
}

export interface Receipt {
  /** The statement's whole COSE message. */
  readonly statement: Uint8Array<ArrayBuffer>;
  /** Null exactly when session-signed. */
  readonly path: readonly Hash[] | null;
  /** The evidence file's exact bytes, or in a store the REPORT_DATA it is kept under. */
  readonly evidence: { readonly file: Uint8Array<ArrayBuffer> } | { readonly reportData: Bytes<64> };
}

const encode = (fields: Record<string, Cbor>): Uint8Array<ArrayBuffer> => encodeCbor(new Map(Object.entries(fields)));

function open(file: Uint8Array, what: 'evidence' | 'attestation' | 'receipt', atMost: number): MapReader {
  if (file.length > atMost) {
    throw new EvidenceError('EVIDENCE_TOO_LARGE', `${what}: ${file.length} bytes, at most ${atMost}`, { field: what });
  }
  const fields = new MapReader(decodeCbor(file, what), what);
  const profile = fields.text('profile', 'profile', 256);
  if (profile !== PROFILE[what]) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `${what}.profile: this release reads ${PROFILE[what]}`, {
      field: `${what}.profile`,
    });
  }
  return fields;
}

export const encodeEvidence = (evidence: Evidence): Uint8Array<ArrayBuffer> =>
  encode({ profile: PROFILE.evidence, ...evidence });

/** Shape only. @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED */
export function parseEvidence(file: Uint8Array): Evidence {
  const fields = open(file, 'evidence', MAX_EVIDENCE_BYTES);
  const format = fields.text('format', 'format', 64);
  if (format !== 'sev-snp-report' && format !== 'nitro-attestation-document') {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'evidence.format: a platform this release does not know', {
      field: 'evidence.format',
    });
  }
  const evidence: Evidence = {
    format,
    report: fields.anyBytes('report', 'report', MAX_REPORT_BYTES, 1),
    chain: fields.arrayOfAnyBytes('chain', 'chain', MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES),
    crls: fields.arrayOfAnyBytes('crls', 'crls', MAX_CERTIFICATES, MAX_CRL_BYTES),
    sessionClaims: fields.anyBytes('sessionClaims', 'sessionClaims', MAX_ENTRY_BYTES, 1),
    checkpoint: fields.text('checkpoint', 'checkpoint', MAX_CHECKPOINT_BYTES),
    previousReportData: fields.isNull('previousReportData', 'previousReportData')
      ? null
      : fields.bytes('previousReportData', 'previousReportData', 64),
    cosignatures: fields.array('cosignatures', 'cosignatures', 64).map((line) => {
      if (typeof line === 'string') return line;
      throw new EvidenceError('EVIDENCE_MALFORMED', 'evidence.cosignatures: want text', {
        field: 'evidence.cosignatures',
      });
    }),
  };
  fields.end();
  if (evidence.previousReportData && isZero(evidence.previousReportData)) {
    // The first report of a boot is null here: zeros would be a second spelling of the same REPORT_DATA.
    throw new EvidenceError('EVIDENCE_MALFORMED', 'evidence.previousReportData: zeros; the first report has null', {
      field: 'evidence.previousReportData',
    });
  }
  if (evidence.cosignatures.length > 0) {
    // A line that nobody checks must not ride along as if it had been.
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'evidence.cosignatures: this release does not verify witnesses', {
      field: 'evidence.cosignatures',
    });
  }
  return evidence;
}

const provenEntry = ({ entry, path }: ProvenEntry): Cbor =>
  new Map<string, Cbor>([
    ['entry', entry],
    ['path', path],
  ]);

export const encodeAttestation = ({ evidence, keys, challenge }: Attestation): Uint8Array<ArrayBuffer> =>
  encode({
    profile: PROFILE.attestation,
    evidence,
    keys: keys.map(provenEntry),
    challenge: challenge && new Map<string, Cbor>(Object.entries({ ...challenge })),
  });

function readProven(fields: MapReader): ProvenEntry {
  return {
    entry: fields.anyBytes('entry', 'entry', MAX_ENTRY_BYTES, 1),
    path: fields.arrayOfBytes('path', 'path', MAX_PATH, 32),
  };
}

/** Shape only. @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED */
export function parseAttestation(file: Uint8Array): Attestation {
  const fields = open(file, 'attestation', MAX_ATTESTATION_BYTES);
  const evidence = fields.anyBytes('evidence', 'evidence', MAX_EVIDENCE_BYTES, 1);
  const keys = fields.array('keys', 'keys', MAX_KEYS).map((item, i) => {
    const key = new MapReader(item, `attestation.keys[${i}]`);
    const proven = readProven(key);
    key.end();
    return proven;
  });
  let challenge: ChallengeProof | null = null;
  if (!fields.isNull('challenge', 'challenge')) {
    const proof = fields.map('challenge', 'challenge');
    challenge = {
      ...readProven(proof),
      nonce: proof.anyBytes('nonce', 'nonce', MAX_NONCE_BYTES, MIN_NONCE_BYTES),
      nonceIndex: proof.uint('nonceIndex', 'nonceIndex'),
      noncePath: proof.arrayOfBytes('noncePath', 'noncePath', MAX_PATH, 32),
    };
    proof.end();
  }
  fields.end();
  return { evidence, keys, challenge };
}

export const encodeReceipt = ({ statement, path, evidence }: Receipt): Uint8Array<ArrayBuffer> =>
  encode({
    profile: PROFILE.receipt,
    statement,
    path,
    ...('file' in evidence ? { evidence: evidence.file } : { evidenceReportData: evidence.reportData }),
  });

/** Shape only. @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED */
export function parseReceipt(file: Uint8Array): Receipt {
  const fields = open(file, 'receipt', MAX_RECEIPT_BYTES);
  const receipt: Receipt = {
    statement: fields.anyBytes('statement', 'statement', MAX_STATEMENT_BYTES, 1),
    path: fields.isNull('path', 'path') ? null : fields.arrayOfBytes('path', 'path', MAX_PATH, 32),
    evidence: fields.has('evidence')
      ? { file: fields.anyBytes('evidence', 'evidence', MAX_EVIDENCE_BYTES, 1) }
      : { reportData: fields.bytes('evidenceReportData', 'evidenceReportData', 64) },
  };
  fields.end();
  return receipt;
}

const FILE_KINDS = ['evidence', 'attestation', 'receipt'] as const;
export type FileKind = (typeof FILE_KINDS)[number];

/**
 * Which of our files these bytes claim to be, by the profile text; null for none.
 * Detection only: a file so named can still be malformed.
 */
export function detectFile(file: Uint8Array): FileKind | null {
  if (file[0] === undefined || file[0] >> 5 !== 5) return null; // a CBOR map
  const text = new TextDecoder('latin1').decode(file.subarray(0, MAX_ATTESTATION_BYTES)); // CRLs or keys may come first
  const key = 'gprofile'; // the map key with its CBOR head; the text behind it has a two-byte head
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1)) {
    const kind = FILE_KINDS.find((name) => text.startsWith(PROFILE[name], at + key.length + 2));
    if (kind) return kind;
  }
  return null;
}
