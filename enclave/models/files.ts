import { constants as bufferConstants } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { constants, type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { type Bytes, bytes, modelPathProblem, ServiceError, shown } from '@veritee/protocol';

/** A file's bytes in memory that engine threads can read without a copy. Written once, by `readHashed`. */
export type SharedBytes = Uint8Array<SharedArrayBuffer>;

export interface FolderFile {
  /** `/`-separated, from the version folder. */
  readonly path: string;
  readonly size: number;
}

const MAX_FILES = 512; // a model's file map must fit one log entry
const MAX_FOLDER_DEPTH = 16;
const CHUNK_BYTES = 4 << 20; // hashed in one go: about 3 ms of the event loop

export const invalid = (where: string, reason: string, cause?: unknown): ServiceError =>
  new ServiceError('MODEL_REPOSITORY_INVALID', `${shownPath(where)}: ${reason}`, { field: where.slice(0, 256), cause });

export const linkRefused = (where: string): ServiceError => invalid(where, 'a link or special file');

export const shownPath = (text: string): string => text.split('/').map(shown).join('/');

/** A failed system call in words; its own message would repeat absolute paths. */
const systemCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

/**
 * Names in a folder, sorted.
 *
 * @param where the folder as messages name it
 * @throws ServiceError MODEL_REPOSITORY_INVALID it cannot be read
 */
export async function listFolder(folder: string, where: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw invalid(where, `cannot be listed (${systemCode(error)})`, error);
  }
}

/**
 * Every file below a version folder. Links and special files are refused, not followed: what is hashed must be what
 * lies in the folder.
 *
 * @param where the version folder as messages name it: `<name>/<version>`
 * @throws ServiceError MODEL_REPOSITORY_INVALID
 */
export async function listVersionFolder(folder: string, where: string): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  const visit = async (relative: string, depth: number): Promise<void> => {
    const here = relative === '' ? where : `${where}/${relative}`;
    if (depth > MAX_FOLDER_DEPTH) throw invalid(here, `deeper than ${MAX_FOLDER_DEPTH} folders`);
    for (const entry of await listFolder(path.join(folder, relative), here)) {
      const inner = relative === '' ? entry.name : `${relative}/${entry.name}`;
      const problem = entry.name.includes('\ufffd') ? 'a name that is not UTF-8' : modelPathProblem(inner);
      if (problem !== null) throw invalid(`${where}/${inner}`, problem);
      if (entry.isDirectory()) await visit(inner, depth + 1);
      else if (!entry.isFile()) throw linkRefused(`${where}/${inner}`);
      else if (files.length === MAX_FILES) throw invalid(where, `more than ${MAX_FILES} files`);
      else files.push({ path: inner, size: await sizeOf(path.join(folder, inner), `${where}/${inner}`) });
    }
  };
  await visit('', 0);
  return files;
}

async function sizeOf(file: string, where: string): Promise<number> {
  try {
    return (await lstat(file)).size;
  } catch (error) {
    throw invalid(where, `cannot be read (${systemCode(error)})`, error);
  }
}

export interface HashedFile {
  readonly bytes: SharedBytes;
  readonly sha256: Bytes<32>;
}

/** A file of a version folder, opened once: whatever happens to the name meanwhile, it is this file that is read. */
export interface OpenFile {
  /** Exactly `length` bytes from `offset` on, into `target`. */
  read(target: Uint8Array, length: number, offset: number): Promise<void>;
}

/**
 * Opens a plain file, hands it to `use` and closes it; afterwards it must still have the size it was listed with.
 *
 * @throws ServiceError MODEL_REPOSITORY_INVALID unreadable, no longer a plain file, or its size changed
 */
export async function withFile<T>(
  file: string,
  size: number,
  where: string,
  use: (file: OpenFile) => Promise<T>,
): Promise<T> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) throw invalid(where, 'no longer a plain file');
    const opened = handle;
    const result = await use({
      read: async (target, length, offset) => {
        for (let done = 0; done < length; ) {
          const { bytesRead } = await opened.read(target, done, length - done, offset + done);
          if (bytesRead === 0) throw invalid(where, 'became shorter while it was read');
          done += bytesRead;
        }
      },
    });
    const { bytesRead } = await handle.read(new Uint8Array(1), 0, 1, size);
    if (bytesRead !== 0) throw invalid(where, 'became longer while it was read');
    return result;
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw invalid(where, `cannot be read (${systemCode(error)})`, error);
  } finally {
    await handle?.close();
  }
}

/**
 * Reads a file once, hashing each chunk where it landed: the bytes returned are the bytes hashed, whatever happens to
 * the file meanwhile.
 *
 * @throws ServiceError MODEL_REPOSITORY_INVALID as `withFile`; MODEL_FILE_TOO_LARGE no memory for it
 */
export function readHashed(
  file: string,
  size: number,
  where: string,
  onBytes: (count: number) => void,
): Promise<HashedFile> {
  return withFile(file, size, where, async ({ read }) => {
    const target = allocate(size, where);
    const hash = createHash('sha256');
    for (let offset = 0; offset < size; offset += CHUNK_BYTES) {
      const chunk = target.subarray(offset, Math.min(offset + CHUNK_BYTES, size));
      await read(chunk, chunk.length, offset);
      hash.update(chunk);
      onBytes(chunk.length);
    }
    return { bytes: target, sha256: bytes(hash.digest(), 32, where) };
  });
}

export function allocate(size: number, where: string): SharedBytes {
  const tooLarge = (cause?: unknown) =>
    new ServiceError('MODEL_FILE_TOO_LARGE', `${shownPath(where)}: no memory for ${size} bytes in one piece`, {
      field: where,
      cause,
    });
  if (size > bufferConstants.MAX_LENGTH) throw tooLarge();
  try {
    return new Uint8Array(new SharedArrayBuffer(size));
  } catch (error) {
    throw tooLarge(error);
  }
}
