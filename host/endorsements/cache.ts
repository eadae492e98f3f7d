/**
 * Answers kept on disk, one file each: what it answers, when it came, its digest, its bytes. A file that is damaged, was
 * moved, or holds something else is as good as absent.
 */
import path from 'node:path';
import { base64, EvidenceError, fromBase64, hex, sha256 } from '@veritee/protocol';
import { readSmallFile, removeFile, replaceFile } from './files.ts';
import { cachePathOf, type EndorsementKey, resourceOf } from './keys.ts';
import { checkShape, MAX_BYTES } from './shape.ts';

export interface CacheEntry {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fetchedAt: number;
}

interface Stored {
  readonly resource: string;
  readonly fetchedAt: string;
  readonly sha256: string;
  readonly data: string;
}

export class EndorsementCache {
  readonly #folder: string;
  readonly #onDamage: (key: EndorsementKey) => void;

  constructor(folder: string, onDamage: (key: EndorsementKey) => void) {
    this.#folder = folder;
    this.#onDamage = onDamage;
  }

  /** @throws CodedError FILE_UNREADABLE the system refuses to read it; damage is null */
  async read(key: EndorsementKey): Promise<CacheEntry | null> {
    const text = await readSmallFile(this.#fileOf(key), 2 * MAX_BYTES[key.kind]);
    if (text === null) return null;
    const entry = readEntry(key, text);
    if (!entry) this.#onDamage(key);
    return entry;
  }

  /** @throws CodedError FILE_UNWRITABLE */
  write(key: EndorsementKey, { bytes, fetchedAt }: CacheEntry): Promise<void> {
    const stored: Stored = {
      resource: resourceOf(key),
      fetchedAt: new Date(fetchedAt).toISOString(),
      sha256: hex(sha256(bytes)),
      data: base64(bytes),
    };
    return replaceFile(this.#fileOf(key), `${JSON.stringify(stored, null, 1)}\n`);
  }

  /** @throws CodedError FILE_UNWRITABLE */
  remove(key: EndorsementKey): Promise<void> {
    return removeFile(this.#fileOf(key));
  }

  #fileOf(key: EndorsementKey): string {
    return path.join(this.#folder, cachePathOf(key));
  }
}

function readEntry(key: EndorsementKey, text: string): CacheEntry | null {
  let stored: Partial<Record<keyof Stored, unknown>> | null;
  try {
    stored = JSON.parse(text);
  } catch {
    return null; // not JSON: damaged
  }
  if (stored?.resource !== resourceOf(key)) return null;
  const fetchedAt = typeof stored.fetchedAt === 'string' ? Date.parse(stored.fetchedAt) : Number.NaN;
  const bytes = typeof stored.data === 'string' ? fromBase64(stored.data) : null;
  if (!bytes || Number.isNaN(fetchedAt) || stored.sha256 !== hex(sha256(bytes))) return null;
  try {
    checkShape(key, bytes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return null;
  }
  return { bytes, fetchedAt };
}
