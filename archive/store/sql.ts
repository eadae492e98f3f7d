/** The few words of SQL that SQLite and PostgreSQL share, spoken through one narrow door. Parameters are `?`. */

export type SqlValue = number | string | Uint8Array | null;

export interface SqlReader {
  all<T>(sql: string, params?: readonly SqlValue[]): Promise<readonly T[]>;
}

export interface SqlWriter extends SqlReader {
  run(sql: string, params?: readonly SqlValue[]): Promise<void>;
  /** @param conflict what follows `ON CONFLICT`, for example `DO NOTHING` */
  insert(
    table: string,
    columns: readonly string[],
    rows: readonly (readonly SqlValue[])[],
    conflict?: string,
  ): Promise<void>;
}

/** All methods throw CodedError STORE_FAILED or STORE_FULL. */
export interface Sql extends SqlReader {
  /** All or nothing, and durable when it resolves. One at a time. */
  transaction<T>(work: (tx: SqlWriter) => Promise<T>): Promise<T>;
  /** After content was erased: leaves no copy of it behind that the engine could have kept. */
  scrub(tables: readonly string[]): Promise<void>;
  /** What the engine finds wrong with its own files; none where it has no such check. */
  check(): Promise<readonly string[]>;
  backup(file: string): Promise<void>;
  close(): Promise<void>;
}

/** Called before each step that changes what is on the disk. */
export type OnStep = (step: string) => void;

/** Lets one piece of asynchronous work begin when the one before has ended, however it ended. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
