/**
 * SQLite behind the SQL door: one writer, and a connection of its own for readers, who therefore see whole commits only.
 *
 * @see https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous
 */
import { closeSync, openSync } from 'node:fs';
import { CodedError } from '@veritee/protocol';
import Database from 'better-sqlite3';
import { type Dialect, MIGRATIONS, newer, notMigrated } from './schema.ts';
import { OneAtATime, type OnStep, type Sql, type SqlReader, type SqlValue, type SqlWriter } from './sql.ts';

const DIALECT: Dialect = {
  id: 'INTEGER PRIMARY KEY',
  int: 'INTEGER',
  blob: 'BLOB',
  byRow: 'STRICT',
  byKey: 'STRICT, WITHOUT ROWID',
};
const BUSY_TIMEOUT_MS = 5_000;

const failure = (error: unknown): unknown => {
  if (!(error instanceof Database.SqliteError)) return error;
  const code = error.code === 'SQLITE_FULL' ? 'STORE_FULL' : 'STORE_FAILED';
  return new CodedError(code, `the archive's database: ${error.message} (${error.code})`, {
    field: 'store',
    cause: error,
  });
};

class Connection implements SqlReader {
  readonly db: Database.Database;
  readonly #prepared = new Map<string, Database.Statement<SqlValue[], unknown>>();

  constructor(db: Database.Database) {
    this.db = db;
  }

  prepare(sql: string): Database.Statement<SqlValue[], unknown> {
    const known = this.#prepared.get(sql);
    if (known) return known;
    const statement = this.db.prepare<SqlValue[], unknown>(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }

  async all<T>(sql: string, params: readonly SqlValue[] = []): Promise<readonly T[]> {
    try {
      return this.prepare(sql).all(...params) as T[];
    } catch (error) {
      throw failure(error);
    }
  }
}

class Transaction implements SqlWriter {
  readonly #connection: Connection;
  readonly #onStep: OnStep;

  constructor(connection: Connection, onStep: OnStep) {
    this.#connection = connection;
    this.#onStep = onStep;
  }

  all<T>(sql: string, params: readonly SqlValue[] = []): Promise<readonly T[]> {
    return this.#connection.all<T>(sql, params);
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<void> {
    this.#onStep(sql.trim().split(/\s+/, 3).join(' '));
    this.#connection.prepare(sql).run(...params);
  }

  async insert(
    table: string,
    columns: readonly string[],
    rows: readonly (readonly SqlValue[])[],
    conflict?: string,
  ): Promise<void> {
    if (rows.length === 0) return;
    this.#onStep(`INSERT ${table}`);
    const statement = this.#connection.prepare(
      `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})` +
        (conflict === undefined ? '' : ` ON CONFLICT ${conflict}`),
    );
    for (const row of rows) statement.run(...row);
  }
}

export interface SqliteOptions {
  readonly mode: 'read' | 'write';
  readonly onStep?: OnStep;
}

/** @throws CodedError STORE_NEWER, STORE_FAILED, ARCHIVE_INVALID */
export function openSqlite(path: string, { mode, onStep = () => undefined }: SqliteOptions): Sql {
  const opened: Database.Database[] = [];
  const open = (readonly: boolean): Connection => {
    const db = new Database(path, { readonly, fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    opened.push(db);
    return new Connection(db);
  };
  try {
    let writer: Connection | null = null;
    if (mode === 'write') {
      createPrivate(path);
      writer = open(false);
      writer.db.pragma('journal_mode = WAL');
      writer.db.pragma('synchronous = FULL'); // a commit is on the disk before it is acknowledged
      writer.db.pragma('foreign_keys = ON');
      writer.db.pragma('secure_delete = ON'); // what a purge erases is overwritten, not only unlinked
      migrate(writer.db);
    }
    const reader = open(true);
    const version = Number(reader.db.pragma('user_version', { simple: true }));
    if (version > MIGRATIONS.length) throw newer(version);
    if (version < MIGRATIONS.length) throw notMigrated(version);
    return new SqliteSql(reader, writer, onStep);
  } catch (error) {
    for (const db of opened) db.close();
    throw failure(error);
  }
}

/** SQLite would create the file under the umask. */
function createPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${path}: ${(cause as Error).message}`, { field: 'archive', cause });
  }
}

function migrate(db: Database.Database): void {
  const version = Number(db.pragma('user_version', { simple: true }));
  if (version > MIGRATIONS.length) throw newer(version);
  for (const [step, sql] of MIGRATIONS.entries()) {
    if (step < version) continue;
    db.transaction(() => {
      db.exec(sql(DIALECT));
      db.pragma(`user_version = ${step + 1}`);
    }).immediate();
  }
}

class SqliteSql implements Sql {
  readonly #reader: Connection;
  readonly #writer: Connection | null;
  readonly #onStep: OnStep;
  readonly #turns = new OneAtATime();

  constructor(reader: Connection, writer: Connection | null, onStep: OnStep) {
    this.#reader = reader;
    this.#writer = writer;
    this.#onStep = onStep;
  }

  all<T>(sql: string, params: readonly SqlValue[] = []): Promise<readonly T[]> {
    return this.#reader.all<T>(sql, params);
  }

  transaction<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T> {
    const writer = this.#writer;
    if (!writer) throw new TypeError('this archive was opened for reading');
    return this.#turns.run(async () => {
      try {
        this.#onStep('BEGIN');
        writer.db.exec('BEGIN IMMEDIATE');
        const value = await work(new Transaction(writer, this.#onStep));
        this.#onStep('COMMIT');
        writer.db.exec('COMMIT');
        this.#onStep('COMMITTED');
        return value;
      } catch (error) {
        if (writer.db.inTransaction) writer.db.exec('ROLLBACK');
        throw failure(error);
      }
    });
  }

  /** The pages were overwritten in place; the write-ahead log still holds what they were. */
  async scrub(): Promise<void> {
    const writer = this.#writer;
    if (!writer) throw new TypeError('this archive was opened for reading');
    await this.#turns.run(async () => {
      try {
        this.#onStep('CHECKPOINT');
        writer.db.pragma('wal_checkpoint(TRUNCATE)');
      } catch (error) {
        throw failure(error);
      }
    });
  }

  async check(): Promise<readonly string[]> {
    const rows = await this.#reader.all<{ integrity_check: string }>('PRAGMA integrity_check(100)');
    return rows.map((row) => row.integrity_check).filter((text) => text !== 'ok');
  }

  async backup(file: string): Promise<void> {
    try {
      await this.#reader.db.backup(file);
    } catch (error) {
      throw failure(error);
    }
  }

  async close(): Promise<void> {
    this.#reader.db.close();
    this.#writer?.db.close();
  }
}
