import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '@veritee/protocol';

const errno = (cause: unknown): string => (cause as NodeJS.ErrnoException).code ?? 'failed';

/**
 * Null when there is no such file, or one too large to be ours.
 * @throws CodedError FILE_UNREADABLE
 */
export async function readSmallFile(file: string, maxBytes: number): Promise<string | null> {
  try {
    return (await stat(file)).size > maxBytes ? null : await readFile(file, 'utf8');
  } catch (cause) {
    if (errno(cause) === 'ENOENT') return null;
    throw new CodedError('FILE_UNREADABLE', `${file}: ${errno(cause)}`, { field: file, cause });
  }
}

/**
 * The whole file or nothing, for its owner only; its folder is made.
 * @throws CodedError FILE_UNWRITABLE
 */
export async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to report
    throw new CodedError('FILE_UNWRITABLE', `${file}: ${errno(cause)}`, { field: file, cause });
  }
}

/** @throws CodedError FILE_UNWRITABLE */
export async function removeFile(file: string): Promise<void> {
  try {
    await rm(file, { force: true });
  } catch (cause) {
    throw new CodedError('FILE_UNWRITABLE', `${file}: ${errno(cause)}`, { field: file, cause });
  }
}
