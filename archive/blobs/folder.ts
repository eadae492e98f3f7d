/** Blobs as files: `ab/cdef…`, named by their SHA-256 in hex. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { bytes, CodedError, equalBytes, fromHex, hex } from '@veritee/protocol';
import { sha256Of } from '../log/frontier.ts';
import type { Digest } from '../store/port.ts';
import type { OnStep } from '../store/sql.ts';
import type { BlobStore } from './port.ts';

const UNFINISHED = 'unfinished';
const isCode = (error: unknown, code: string): boolean => (error as NodeJS.ErrnoException).code === code;

function failure(cause: unknown): CodedError {
  if (cause instanceof CodedError) return cause;
  const { code = 'failed' } = cause as NodeJS.ErrnoException;
  return new CodedError(code === 'ENOSPC' ? 'STORE_FULL' : 'STORE_FAILED', `the archive's blobs: ${code}`, {
    field: 'blobs',
    cause,
  });
}

export const writeOnceRefusal = (): CodedError =>
  new CodedError('ARCHIVE_WRITE_ONCE', 'this archive is write-once: nothing in it is erased', { field: 'archive' });

export const alteredBlob = (digest: Digest): CodedError =>
  new CodedError('STORE_FAILED', `blob ${hex(digest)}: what lies there has another digest`, { field: 'blobs' });

/** Makes a name that was given or taken away durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file whole or not at all, and durable when it resolves. */
export async function writeWhole(
  file: string,
  content: Uint8Array | string,
  temporary: string,
  onStep: OnStep,
): Promise<void> {
  onStep('WRITE');
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(content);
    onStep('FSYNC');
    await handle.sync();
  } finally {
    await handle.close();
  }
  onStep('RENAME');
  await rename(temporary, file);
  onStep('FSYNC FOLDER');
  await syncFolder(path.dirname(file));
}

export interface FolderOptions {
  readonly writeOnce: boolean;
  readonly onStep?: OnStep;
}

export class FolderBlobs implements BlobStore {
  readonly #folder: string;
  readonly #writeOnce: boolean;
  readonly #onStep: OnStep;

  constructor(folder: string, { writeOnce, onStep = () => undefined }: FolderOptions) {
    this.#folder = folder;
    this.#writeOnce = writeOnce;
    this.#onStep = onStep;
  }

  #path(digest: Digest): string {
    const name = hex(digest);
    return path.join(this.#folder, name.slice(0, 2), name.slice(2));
  }

  async put(content: Uint8Array): Promise<Digest> {
    const digest = sha256Of(content);
    if (await this.has(digest)) return digest;
    const file = this.#path(digest);
    try {
      const unfinished = path.join(this.#folder, UNFINISHED);
      await this.#makeFolder(unfinished);
      await this.#makeFolder(path.dirname(file));
      await writeWhole(file, content, path.join(unfinished, randomBytes(8).toString('hex')), this.#onStep);
    } catch (cause) {
      throw failure(cause);
    }
    return digest;
  }

  async #makeFolder(folder: string): Promise<void> {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (made !== undefined) await syncFolder(path.dirname(folder));
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    let content: Uint8Array<ArrayBuffer>;
    try {
      content = new Uint8Array(await readFile(this.#path(digest)));
    } catch (cause) {
      if (isCode(cause, 'ENOENT')) return null;
      throw failure(cause);
    }
    if (!equalBytes(sha256Of(content), digest)) throw alteredBlob(digest);
    return content;
  }

  async has(digest: Digest): Promise<boolean> {
    try {
      await access(this.#path(digest));
      return true;
    } catch (cause) {
      if (isCode(cause, 'ENOENT')) return false;
      throw failure(cause);
    }
  }

  async delete(digest: Digest): Promise<void> {
    if (this.#writeOnce) throw writeOnceRefusal();
    const file = this.#path(digest);
    try {
      this.#onStep('UNLINK');
      await unlink(file);
      this.#onStep('FSYNC FOLDER');
      await syncFolder(path.dirname(file));
    } catch (cause) {
      if (!isCode(cause, 'ENOENT')) throw failure(cause);
    }
  }

  async *list(): AsyncIterable<Digest> {
    for (const first of await this.#names(this.#folder)) {
      if (!/^[0-9a-f]{2}$/.test(first)) continue;
      for (const rest of await this.#names(path.join(this.#folder, first))) {
        const digest = fromHex(first + rest);
        if (digest?.length === 32) yield bytes(digest, 32, 'blob');
      }
    }
  }

  async #names(folder: string): Promise<string[]> {
    try {
      return (await readdir(folder)).sort();
    } catch (cause) {
      if (isCode(cause, 'ENOENT')) return [];
      throw failure(cause);
    }
  }

  /** What a killed writer left half-written. Only while nobody writes. */
  async sweep(): Promise<void> {
    await rm(path.join(this.#folder, UNFINISHED), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    // Nothing is held open.
  }
}
