import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '@veritee/protocol';
import Database from 'better-sqlite3';

const DATABASE_FILE = 'host.sqlite';
const LOCK_FILE = 'host.lock';

/** A data folder that this process alone holds. */
export interface DataFolder {
  readonly databasePath: string;
  release(): void;
}

const unusable = (path: string, cause: unknown): CodedError =>
  new CodedError('DATA_FOLDER_UNUSABLE', `${path}: ${(cause as Error).message}`, { field: 'data', cause });

/**
 * SQLite would create the file under the umask. An existing one is left alone: opening and closing it here would drop
 * the POSIX locks this process may hold on it.
 */
function createPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable(path, cause);
  }
}

/**
 * Takes the folder for this process: an exclusive transaction on a lock database, which the kernel gives back when the
 * process ends in whatever way. A pid file would outlive `kill -9`.
 *
 * @throws CodedError DATA_FOLDER_IN_USE another process holds it; DATA_FOLDER_UNUSABLE it cannot be made or written
 */
export function takeDataFolder(folder: string): DataFolder {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw unusable(folder, cause);
  }
  const lockPath = join(folder, LOCK_FILE);
  createPrivate(lockPath);
  let lock: Database.Database | undefined;
  try {
    lock = new Database(lockPath, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock?.close();
    if ((cause as { code?: string }).code === 'SQLITE_BUSY') {
      throw new CodedError('DATA_FOLDER_IN_USE', `${folder}: another process holds this data folder`, {
        field: 'data',
        cause,
      });
    }
    throw unusable(lockPath, cause);
  }
  const held = lock;
  const databasePath = join(folder, DATABASE_FILE);
  try {
    createPrivate(databasePath);
  } catch (cause) {
    held.close();
    throw cause;
  }
  return { databasePath, release: () => void held.close() };
}
