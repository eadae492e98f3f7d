import type { Bytes, EntryKind, Hash } from '@veritee/protocol';

/** `clean`: its last entry is an end entry. `lost`: it just stopped. Null while it may still send. */
export type BootEnd = 'clean' | 'lost' | null;

export interface Boot {
  /** 32 lower-case hex digits. */
  readonly boot: string;
  /** Name of the enclave link it came over. */
  readonly link: string;
  /** Milliseconds since 1970 by this host's clock. */
  readonly firstSeenMs: number;
  readonly ended: BootEnd;
  /** Durable entries. */
  readonly size: number;
}

export interface StoredEvidence {
  readonly boot: string;
  readonly reportData: Bytes<64>;
  /** Entries under its checkpoint. */
  readonly size: number;
  /** The checkpoint's signed note. */
  readonly note: string;
  /** The evidence file, exactly as the enclave sent it. */
  readonly file: Uint8Array<ArrayBuffer>;
  /** Milliseconds since 1970 by this host's clock. */
  readonly storedMs: number;
}

/** What the enclave sends over the link, in its order. */
export type LogRecord =
  | { readonly type: 'entry'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'evidence'; readonly bytes: Uint8Array<ArrayBuffer> };

export interface Appended {
  /** Durable entries of the boot after this commit. */
  readonly size: number;
  /** Records that were not known before. */
  readonly newEntries: number;
  readonly newEvidence: readonly { readonly reportData: Bytes<64>; readonly size: number }[];
}

/**
 * Keeps what the enclave's log says, durably. Methods are asynchronous so that a networked database fits behind them.
 *
 * Writers throw ServiceError STORE_FULL or STORE_FAILED with nothing written; the same call may then be made again.
 */
export interface Store {
  /**
   * Makes a boot known as the one now speaking on a link, and marks the link's other boots as ended.
   * @returns its durable entries
   */
  startBoot(boot: string, link: string): Promise<Boot>;

  /**
   * One group commit: when the promise resolves, every record is durable. Records already held byte for byte are passed
   * over, so a repeated delivery is harmless.
   * @throws ServiceError LOG_FORKED the records contradict what is stored or leave a gap; EvidenceError a record that
   *   this release cannot read. Nothing is written then.
   */
  append(boot: string, records: readonly LogRecord[]): Promise<Appended>;

  /** In the order they were first seen. */
  boots(): Promise<readonly Boot[]>;
  boot(boot: string): Promise<Boot | null>;

  /** Entries of the half-open range; fewer when not all are stored. */
  entries(boot: string, start: number, end: number): Promise<readonly Uint8Array<ArrayBuffer>[]>;
  /** The newest indices of a kind below `size`, ascending, at most `atMost`. */
  indicesOf(boot: string, kind: EntryKind, size: number, atMost: number): Promise<readonly number[]>;
  /** Where the statement with this receipt id stands. */
  statementOf(receiptId: Bytes<16>): Promise<{ readonly boot: string; readonly index: number } | null>;

  latestEvidence(boot: string): Promise<StoredEvidence | null>;
  /** The first evidence whose checkpoint covers the entry. */
  firstEvidenceOver(boot: string, index: number): Promise<StoredEvidence | null>;
  evidence(reportData: Bytes<64>): Promise<StoredEvidence | null>;

  /** Inclusion path of an entry in the tree of the first `size` entries; `size` is at most what is stored. */
  inclusionPath(boot: string, index: number, size: number): Promise<Hash[]>;
  /** The first `width` hashes of a tile, concatenated; null when that many are not stored. */
  tile(boot: string, level: number, index: number, width: number): Promise<Uint8Array<ArrayBuffer> | null>;

  close(): Promise<void>;
}
