/** A zip that is written as it is made; the digest of every file in it is kept for the manifest. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { CodedError } from '@veritee/protocol';
import { Zip, ZipDeflate } from 'fflate';

/** What the format holds without its 64-bit extension, which not every reader has. */
const MAX_BYTES = 2 ** 32 - 2 ** 20;
const MAX_FILES = 65_000;
const LEVEL = 6;

export interface BundledFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export class ZipWriter {
  readonly files: BundledFile[] = [];
  readonly #file: string;
  readonly #temporary: string;
  readonly #descriptor: number;
  readonly #zip: Zip;
  readonly #time: number;
  #written = 0;
  #failure: Error | null = null;

  /** @throws CodedError FILE_UNWRITABLE */
  constructor(file: string, timeMs: number) {
    this.#file = file;
    this.#temporary = `${file}.unfinished`;
    this.#time = timeMs;
    this.#descriptor = unwritable(file, () => openSync(this.#temporary, 'w', 0o600));
    this.#zip = new Zip((error, chunk) => {
      if (error) this.#failure = error;
      else this.#write(chunk);
    });
  }

  #write(chunk: Uint8Array): void {
    unwritable(this.#file, () => {
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#descriptor, chunk, at);
    });
    this.#written += chunk.length;
  }

  add(path: string, content: Uint8Array): void {
    this.addParts(path, [content]);
  }

  /** @throws CodedError USAGE more than one zip holds */
  addParts(path: string, parts: Iterable<Uint8Array>): void {
    const hash = createHash('sha256');
    let bytes = 0;
    const entry = new ZipDeflate(path, { level: LEVEL });
    entry.mtime = this.#time;
    this.#zip.add(entry);
    for (const part of parts) {
      hash.update(part);
      bytes += part.length;
      entry.push(part.slice()); // the compressor takes the array over
    }
    entry.push(new Uint8Array(0), true);
    if (this.#failure) throw this.#failure;
    this.files.push({ path, bytes, sha256: hash.digest('hex') });
    if (this.#written > MAX_BYTES || bytes > MAX_BYTES || this.files.length > MAX_FILES) {
      throw new CodedError('USAGE', 'more than one zip holds: export by smaller ranges of time', { field: 'scope' });
    }
  }

  /** Durable under its name when it returns. */
  end(): void {
    this.#zip.end();
    if (this.#failure) throw this.#failure;
    unwritable(this.#file, () => {
      fsyncSync(this.#descriptor);
      closeSync(this.#descriptor);
      renameSync(this.#temporary, this.#file);
    });
  }

  /** Instead of `end`: leaves nothing behind. */
  abandon(): void {
    closeSync(this.#descriptor);
    rmSync(this.#temporary, { force: true });
  }
}

function unwritable<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const { code = 'failed' } = cause as NodeJS.ErrnoException;
    throw new CodedError('FILE_UNWRITABLE', `${file}: ${code}`, { field: file, cause });
  }
}
