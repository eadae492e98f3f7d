/** Exact bytes by their SHA-256: certificates, CRLs, policies, anchors, private parts, timestamp tokens. */
import type { Digest } from '../store/port.ts';

export interface BlobStore {
  /** Durable when it resolves; bytes that are there already are left as they are. */
  put(content: Uint8Array): Promise<Digest>;
  /**
   * Null when there is none. What is returned was hashed again.
   * @throws CodedError STORE_FAILED other bytes lie there, or the storage fails
   */
  get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null>;
  has(digest: Digest): Promise<boolean>;
  /**
   * Erases; one that is absent is no error.
   * @throws CodedError ARCHIVE_WRITE_ONCE the storage is write-once
   */
  delete(digest: Digest): Promise<void>;
  /** Every digest there is, in no order: the audit looks for what nothing refers to. */
  list(): AsyncIterable<Digest>;
  close(): Promise<void>;
}
