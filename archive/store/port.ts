/**
 * What the archive keeps in its database, and the one door to it. SQLite and PostgreSQL stand behind it and pass one
 * contract suite.
 *
 * The store is believed by nobody: every row can be recomputed from signed bytes or is committed to by an act of the
 * archive's own log (`log/acts.ts`), and the audit does so.
 */
import type { Bytes, EntryKind, Hash } from '@veritee/protocol';
import type { Finding } from '../findings.ts';
import type { ActKind } from '../log/acts.ts';

/** SHA-256 of a blob, or of any exact bytes. */
export type Digest = Bytes<32>;

/** An entry of one boot's log. `boot` is 32 lower-case hex digits everywhere in this room. */
export interface Place {
  readonly boot: string;
  readonly index: number;
}

/** The half-open range of indices `from` to `to`. */
export interface Range {
  readonly boot: string;
  readonly from: number;
  readonly to: number;
}

/** `open`: may still grow. `ended`: its last entry is an end entry under a report. `lost`: it just stopped. */
export type BootState = 'open' | 'ended' | 'lost';

/** The newest head of a boot that was verified, from entry 0 on: all its entries are stored. */
export interface BootHead {
  readonly size: number;
  readonly root: Hash;
  /** The evidence that covers it. */
  readonly reportData: Bytes<64>;
}

export interface BootRow {
  readonly boot: string;
  /** Where it was first met: a service URL, or `files`. */
  readonly source: string;
  /** The COSE payload of entry 0. */
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  /** From the anchor that verified its evidence; null while none has. */
  readonly platform: string | null;
  readonly state: BootState;
  /** Null for a boot known only from single receipts or evidence files: its log was never followed. */
  readonly head: BootHead | null;
  /** Milliseconds since 1970 by the archive's clock. */
  readonly firstSeenMs: number;
}

export type Verdict = 'affirming' | 'contraindicated' | 'unsupported';

/** One appraisal with all that a replay needs; digests name blobs. Never changed afterwards. */
export interface Appraisal {
  /** The policy file, exact bytes (`builtin:authenticity` as that text). */
  readonly policy: Digest;
  /** The policy's canonical digest, as the result states it. */
  readonly policyDigest: Digest;
  /** Trust anchor files given beside the policy. */
  readonly anchors: readonly Digest[];
  /** Endorsement files given beside the evidence. */
  readonly endorsements: readonly Digest[];
  /** CRL files given beside the evidence. */
  readonly crls: readonly Digest[];
  /** Release of `@veritee/verifier`. */
  readonly verifier: string;
  /** The instant given to the verifier, milliseconds since 1970. */
  readonly atMs: number;
  readonly verdict: Verdict;
  /** Codes of its findings, in order. */
  readonly codes: readonly string[];
  /** SHA-256 of the result's JSON text. */
  readonly result: Digest;
}

/** What a verified report says, for search. Null where the platform has no such field or nothing was verified. */
export interface EvidenceFacts {
  readonly platform: string | null;
  readonly product: string | null;
  /** Lower-case hex: MEASUREMENT, or PCR0. */
  readonly measurement: string | null;
  /** Lower-case hex: CHIP_ID; for Nitro the module id. */
  readonly chip: string | null;
  /** REPORTED_TCB part by part. */
  readonly tcb: Readonly<Record<string, number>> | null;
  /** By an outside clock (Nitro's signed time), milliseconds since 1970. */
  readonly existedByMs: number | null;
}

export interface EvidenceRow {
  readonly boot: string;
  readonly reportData: Bytes<64>;
  /** Entries under its checkpoint, and their root. */
  readonly size: number;
  readonly root: Hash;
  readonly previousReportData: Bytes<64> | null;
  /** The evidence file without certificates and CRLs, which are blobs; `evidence-parts.ts` puts them together again. */
  readonly parts: Uint8Array<ArrayBuffer>;
  readonly certificates: readonly Digest[];
  readonly crls: readonly Digest[];
  /** SHA-256 of the evidence file's exact bytes. */
  readonly file: Digest;
  readonly facts: EvidenceFacts;
  readonly appraisal: Appraisal;
  readonly firstSeenMs: number;
}

/** `cose` is null once purged; `purge` is then the index of the act that did it. */
export interface EntryRow extends Place {
  readonly kind: EntryKind;
  readonly leaf: Hash;
  readonly cose: Uint8Array<ArrayBuffer> | null;
  readonly purge: number | null;
}

export interface ModelName {
  readonly name: string;
  readonly version: string;
  readonly digest: Digest;
}

/** The search columns of one statement; the truth is the entry's COSE message. Deleted when the entry is purged. */
export interface StatementRow extends Place {
  readonly receiptId: Bytes<16>;
  readonly timeMs: number;
  readonly model: ModelName | null;
  readonly outcome: string;
  readonly requestDigest: Digest;
  readonly responseDigest: Digest;
  readonly tenant: string | null;
  readonly retentionClass: string;
}

/** `private`: the salts; `request` and `response`: exact bodies. */
export type AttachmentRole = 'private' | 'request' | 'response';

export interface AttachmentRow extends Place {
  readonly role: AttachmentRole;
  readonly blob: Digest;
}

/** Path of an entry that came in a receipt file, where the log around it may be missing. */
export interface ProofRow extends Place {
  readonly reportData: Bytes<64>;
  readonly path: readonly Hash[];
}

/** A complete subtree of 256^level leaves, level ≥ 1: one hash of the C2SP tile level above the leaves. */
export interface NodeRow {
  readonly boot: string;
  readonly level: number;
  readonly index: number;
  readonly hash: Hash;
}

export interface ActRow {
  readonly index: number;
  readonly kind: ActKind;
  readonly leaf: Hash;
  readonly cose: Uint8Array<ArrayBuffer>;
}

/** The archive's own log: its newest signed checkpoint. */
export interface ActHead {
  readonly size: number;
  readonly root: Hash;
  readonly note: string;
}

export interface FindingRow extends Finding {
  /** Index of the act that recorded it. */
  readonly act: number;
  readonly firstSeenMs: number;
}

export interface ArchiveIdentity {
  /** 32 lower-case hex digits: the first 16 bytes of SHA-256 of the archive's public key. */
  readonly id: string;
  readonly publicKey: Bytes<32>;
}

/** Rows written together, in one transaction with the acts that commit to them. */
export interface Rows {
  /** New boots, or the new state of known ones; `source` and `firstSeenMs` of a known one stay. */
  readonly boots?: readonly BootRow[];
  readonly evidence?: readonly (EvidenceRow & {
    /** The result's JSON text. */
    readonly resultJson: string;
  })[];
  /** At a place that is taken the write is refused, whatever the entry says. */
  readonly entries?: readonly EntryRow[];
  readonly statements?: readonly StatementRow[];
  readonly nodes?: readonly NodeRow[];
  readonly attachments?: readonly AttachmentRow[];
  readonly proofs?: readonly ProofRow[];
  /** A finding that is known (same code and place) stays as it was first seen. */
  readonly findings?: readonly FindingRow[];
  /** Erases COSE messages, statements and attachments at these places; leaf hashes and paths stay. */
  readonly purge?: { readonly places: readonly Place[]; readonly act: number };
}

export interface Commit extends Rows {
  readonly acts: readonly ActRow[];
  /** Over all acts up to and with these. */
  readonly head: ActHead;
}

/** Every given field must match. Fields about evidence are resolved to `ranges` by the search. */
export interface StatementFilter {
  readonly boot?: string;
  readonly receiptId?: Bytes<16>;
  /** Milliseconds since 1970 as the statement claims them, from inclusive, to exclusive. */
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly tenant?: string;
  readonly model?: string;
  readonly modelVersion?: string;
  readonly modelDigest?: Digest;
  readonly outcome?: string;
  readonly retentionClass?: string;
  readonly requestDigest?: Digest;
  readonly responseDigest?: Digest;
  /** Only statements within one of these; none when empty. */
  readonly ranges?: readonly Range[];
}

export interface Page {
  /** The last place of the page before. Pages come in order of boot and index. */
  readonly after: Place | null;
  readonly limit: number;
}

/** Readers see whole commits only. All throw CodedError STORE_FAILED or STORE_FULL when the database fails. */
export interface ArchiveStore {
  /** Null before the first commit. */
  identity(): Promise<ArchiveIdentity | null>;
  /** Once, on a new store. */
  setIdentity(identity: ArchiveIdentity): Promise<void>;

  /**
   * All or nothing, and durable when it resolves. The acts must start at the stored log's size.
   * @throws CodedError STORE_FAILED the acts leave a gap or overlap, or a place is taken
   */
  commit(commit: Commit): Promise<void>;

  boots(): Promise<readonly BootRow[]>;
  boot(boot: string): Promise<BootRow | null>;

  evidence(reportData: Bytes<64>): Promise<EvidenceRow | null>;
  /** The JSON text of the frozen result. */
  resultJson(reportData: Bytes<64>): Promise<string | null>;
  /** Of one boot, by size and then as first seen; at most `limit`, from the `skip`-th on. */
  evidenceOf(boot: string, skip: number, limit: number): Promise<readonly EvidenceRow[]>;
  /** The first evidence of the boot whose checkpoint covers the entry. */
  firstEvidenceOver(boot: string, index: number): Promise<EvidenceRow | null>;

  /** Those stored within the range, by index. */
  entries(range: Range): Promise<readonly EntryRow[]>;
  /** Those stored at `from` and after it, by index, at most `limit`: what lies there is not known beforehand. */
  entriesFrom(boot: string, from: number, limit: number): Promise<readonly EntryRow[]>;
  /** Leaf hashes of the range, concatenated as in a tile; null when one is not stored. */
  leaves(range: Range): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Stored entries of a boot, and the index after the last. */
  extent(boot: string): Promise<{ readonly count: number; readonly end: number }>;
  /** Indices within the range where no entry is stored, as ranges; at most `limit` of them. */
  gaps(range: Range, limit: number): Promise<readonly Range[]>;
  /** Indices of all entries of a kind that is not `statement`, ascending. */
  indicesOf(boot: string, kind: Exclude<EntryKind, 'statement'>): Promise<readonly number[]>;
  /** Node hashes of one level ≥ 1, concatenated; null when one is not stored. */
  nodes(boot: string, level: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer> | null>;

  /** The place of the statement with this receipt id. */
  placeOf(receiptId: Bytes<16>): Promise<Place | null>;
  statements(filter: StatementFilter, page: Page): Promise<readonly StatementRow[]>;
  countStatements(filter: StatementFilter): Promise<number>;
  /** Places that share a receipt id with another, at most `limit`. */
  reusedReceiptIds(limit: number): Promise<readonly Place[]>;
  attachments(range: Range): Promise<readonly AttachmentRow[]>;
  /** How many places a blob is attached to. */
  attachedTo(blob: Digest): Promise<number>;
  proofs(range: Range): Promise<readonly ProofRow[]>;

  /** The half-open range of acts. */
  acts(from: number, to: number): Promise<readonly ActRow[]>;
  actsOf(kind: ActKind): Promise<readonly ActRow[]>;
  /** Leaf hashes of all acts, concatenated. */
  actLeaves(): Promise<Uint8Array<ArrayBuffer>>;
  actHead(): Promise<ActHead | null>;
  findings(): Promise<readonly FindingRow[]>;

  /** What the engine itself finds wrong with its files, such as an index that is not its table's; at most a hundred. */
  check(): Promise<readonly string[]>;

  /** A copy that can be opened as a store, while this one is in use. @throws CodedError STORE_FAILED not this engine */
  backup(file: string): Promise<void>;
  close(): Promise<void>;
}
