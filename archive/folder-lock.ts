import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '@veritee/protocol';
import Database from 'better-sqlite3';

const LOCK_FILE = 'archive.lock';

/** An existing file is left alone: opening and closing it would drop the POSIX locks this process may hold on it. */
function createPrivate(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
  }
}

/**
 * Takes the folder for this process: an exclusive transaction on a lock database, which the kernel gives back when the
 * process ends in whatever way. A pid file would outlive `kill -9`.
 *
 * @returns what gives it back
 * @throws CodedError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE
 */
export function takeFolder(folder: string): () => void {
  const file = path.join(folder, LOCK_FILE);
  let lock: Database.Database | undefined;
  try {
    createPrivate(file);
    lock = new Database(file, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock?.close();
    const { code = 'failed' } = cause as { readonly code?: string };
    if (code === 'SQLITE_BUSY') {
      throw new CodedError('DATA_FOLDER_IN_USE', `${folder}: another process writes to this archive`, {
        field: 'archive',
        cause,
      });
    }
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${file}: ${code}`, { field: 'archive', cause });
  }
  const held = lock;
  return () => void held.close();
}
