/**
 * The one-machine store: SQLite, one writer, write-ahead log flushed at every commit.
 *
 * @see https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous
 */
import {
  type Bytes,
  bytes,
  CodedError,
  type EntryKind,
  equalBytes,
  fromHex,
  type Hash,
  hex,
  inclusionPath,
  originOf,
  parseSign1,
  rootOf,
  ServiceError,
  TILE_WIDTH,
  treeRoot,
} from '@veritee/protocol';
import Database from 'better-sqlite3';
import { type DataFolder, takeDataFolder } from './data-folder.ts';
import { type ReadEntry, type ReadEvidence, readRecord } from './records.ts';
import { migrate } from './schema.ts';
import type { Appended, Boot, BootEnd, LogRecord, Store, StoredEvidence } from './store.ts';
import { TreeNodes } from './tree.ts';

/** Boots whose inner nodes are remembered: the live one and the few that people still ask about. */
const MAX_TREES = 8;
/** Only somebody's own tool can hold this database; waiting for it stops the event loop. */
const BUSY_TIMEOUT_MS = 100;

interface BootRow {
  readonly id: number;
  readonly boot: Buffer;
  readonly link: string;
  readonly first_seen_ms: number;
  readonly ended: BootEnd;
}

interface EvidenceRow {
  readonly boot: Buffer;
  readonly report_data: Buffer;
  readonly size: number;
  readonly stored_ms: number;
  readonly note: string;
  readonly file: Buffer;
}

interface AppendedRecords {
  size: number;
  newEntries: number;
  newEvidence: Appended['newEvidence'][number][];
}

const bootBytes = (boot: string): Uint8Array => fromHex(boot) ?? new Uint8Array(0);
const EVIDENCE_COLUMNS = 'b.boot, e.report_data, e.size, e.stored_ms, e.note, e.file';

function prepare(db: Database.Database) {
  return {
    insertBoot: db.prepare<[Uint8Array, string, number]>(
      'INSERT INTO boots (boot, link, first_seen_ms) VALUES (?, ?, ?) ON CONFLICT (boot) DO NOTHING',
    ),
    reviveBoot: db.prepare<[number]>('UPDATE boots SET ended = NULL WHERE id = ?'),
    endBoot: db.prepare<[BootEnd, number]>('UPDATE boots SET ended = ? WHERE id = ?'),
    otherBoots: db.prepare<[string, number], BootRow>(
      'SELECT * FROM boots WHERE link = ? AND id <> ? AND ended IS NULL',
    ),
    boot: db.prepare<[Uint8Array], BootRow>('SELECT * FROM boots WHERE boot = ?'),
    boots: db.prepare<[], BootRow>('SELECT * FROM boots ORDER BY id'),
    size: db.prepare<[number], number>('SELECT coalesce(max(idx) + 1, 0) FROM entries WHERE boot = ?').pluck(),
    lastKind: db.prepare<[number], string>('SELECT kind FROM entries WHERE boot = ? ORDER BY idx DESC LIMIT 1').pluck(),

    insertEntry: db.prepare<[number, number, string, Uint8Array, Uint8Array]>(
      'INSERT INTO entries (boot, idx, kind, leaf, cose) VALUES (?, ?, ?, ?, ?)',
    ),
    cose: db.prepare<[number, number], Buffer>('SELECT cose FROM entries WHERE boot = ? AND idx = ?').pluck(),
    coses: db
      .prepare<[number, number, number], Buffer>(
        'SELECT cose FROM entries WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx',
      )
      .pluck(),
    leaf: db.prepare<[number, number], Buffer>('SELECT leaf FROM entries WHERE boot = ? AND idx = ?').pluck(),
    leaves: db
      .prepare<[number, number, number], Buffer>(
        'SELECT leaf FROM entries WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx',
      )
      .pluck(),
    indicesOf: db
      .prepare<[number, string, number, number], number>(
        "SELECT idx FROM entries WHERE boot = ? AND kind = ? AND kind <> 'statement' AND idx < ? ORDER BY idx DESC LIMIT ?",
      )
      .pluck(),

    // Ids are random, so an id met twice is not a later answer's: whoever got the first keeps it.
    insertReceipt: db.prepare<[Uint8Array, number, number]>(
      'INSERT INTO receipts (receipt_id, boot, idx) VALUES (?, ?, ?) ON CONFLICT (receipt_id) DO NOTHING',
    ),
    receipt: db.prepare<[Uint8Array], { boot: Buffer; idx: number }>(
      'SELECT b.boot, r.idx FROM receipts r JOIN boots b ON b.id = r.boot WHERE r.receipt_id = ?',
    ),

    insertTile: db.prepare<[number, number, number, Uint8Array, Uint8Array]>(
      'INSERT INTO tiles (boot, level, idx, root, hashes) VALUES (?, ?, ?, ?, ?)',
    ),
    tile: db
      .prepare<[number, number, number], Buffer>('SELECT hashes FROM tiles WHERE boot = ? AND level = ? AND idx = ?')
      .pluck(),
    tileRoot: db
      .prepare<[number, number, number], Buffer>('SELECT root FROM tiles WHERE boot = ? AND level = ? AND idx = ?')
      .pluck(),
    tileRoots: db
      .prepare<[number, number, number, number], Buffer>(
        'SELECT root FROM tiles WHERE boot = ? AND level = ? AND idx >= ? AND idx < ? ORDER BY idx',
      )
      .pluck(),

    insertEvidence: db.prepare<[number, Uint8Array, number, number, string, Uint8Array]>(
      'INSERT INTO evidence (boot, report_data, size, stored_ms, note, file) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    evidence: db.prepare<[Uint8Array], EvidenceRow>(
      `SELECT ${EVIDENCE_COLUMNS} FROM evidence e JOIN boots b ON b.id = e.boot WHERE e.report_data = ?`,
    ),
    latestEvidence: db.prepare<[number], EvidenceRow>(
      `SELECT ${EVIDENCE_COLUMNS} FROM evidence e JOIN boots b ON b.id = e.boot
       WHERE e.boot = ? ORDER BY e.size DESC, e.id DESC LIMIT 1`,
    ),
    firstEvidenceOver: db.prepare<[number, number], EvidenceRow>(
      `SELECT ${EVIDENCE_COLUMNS} FROM evidence e JOIN boots b ON b.id = e.boot
       WHERE e.boot = ? AND e.size > ? ORDER BY e.size, e.id LIMIT 1`,
    ),
  };
}

const forked = (field: string, reason: string): ServiceError =>
  new ServiceError('LOG_FORKED', `${field}: ${reason}`, { field });

function storedEvidence(row: EvidenceRow | undefined): StoredEvidence | null {
  if (!row) return null;
  return {
    boot: hex(row.boot),
    reportData: bytes(row.report_data, 64, 'REPORT_DATA'),
    size: row.size,
    note: row.note,
    file: new Uint8Array(row.file),
    storedMs: row.stored_ms,
  };
}

function asServiceError(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const full = error.code === 'SQLITE_FULL';
  return new ServiceError(full ? 'STORE_FULL' : 'STORE_FAILED', `the store: ${error.message} (${error.code})`, {
    field: 'store',
    cause: error,
  });
}

export class SqliteStore implements Store {
  readonly #folder: DataFolder;
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof prepare>;
  readonly #trees = new Map<number, TreeNodes>();

  private constructor(folder: DataFolder, db: Database.Database) {
    this.#folder = folder;
    this.#db = db;
    this.#sql = prepare(db);
  }

  /**
   * @param maxBytes the database file never grows beyond this; null for no limit but the disk's
   * @throws CodedError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, STORE_NEWER
   */
  static open(folder: string, maxBytes: number | null = null): SqliteStore {
    const held = takeDataFolder(folder);
    let db: Database.Database | undefined;
    try {
      db = new Database(held.databasePath, { timeout: BUSY_TIMEOUT_MS });
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL'); // a commit is on the disk before it is acknowledged, whatever the machine does next
      db.pragma('foreign_keys = ON');
      migrate(db);
      const store = new SqliteStore(held, db);
      store.setMaxBytes(maxBytes);
      return store;
    } catch (cause) {
      db?.close();
      held.release();
      if (cause instanceof CodedError) throw cause;
      throw new CodedError('DATA_FOLDER_UNUSABLE', `${held.databasePath}: ${(cause as Error).message}`, {
        field: 'data',
        cause,
      });
    }
  }

  setMaxBytes(maxBytes: number | null): void {
    const pageSize = Number(this.#db.pragma('page_size', { simple: true }));
    const pages = maxBytes === null ? 0xfffffffe : Math.max(1, Math.floor(maxBytes / pageSize));
    this.#db.pragma(`max_page_count = ${pages}`);
  }

  async startBoot(boot: string, link: string): Promise<Boot> {
    return this.#write(() => {
      this.#sql.insertBoot.run(bootBytes(boot), link, Date.now());
      const row = this.#row(boot);
      this.#sql.reviveBoot.run(row.id);
      for (const other of this.#sql.otherBoots.all(link, row.id)) {
        this.#sql.endBoot.run(this.#sql.lastKind.get(other.id) === 'end' ? 'clean' : 'lost', other.id);
      }
      return this.#toBoot({ ...row, ended: null });
    });
  }

  async append(boot: string, records: readonly LogRecord[]): Promise<Appended> {
    const read = records.map(readRecord);
    return this.#write(() => {
      const { id } = this.#row(boot);
      const done: AppendedRecords = { size: this.#size(id), newEntries: 0, newEvidence: [] };
      for (const record of read) {
        if (record.type === 'entry') this.#appendEntry(id, boot, record, done);
        else this.#appendEvidence(id, boot, record, done);
      }
      return done;
    });
  }

  #appendEntry(id: number, boot: string, entry: ReadEntry, done: AppendedRecords): void {
    const { sequence, kind } = entry;
    if (sequence > done.size) {
      throw forked(`entry ${sequence}`, `${done.size} entries are stored: those between are missing`);
    }
    if (sequence < done.size) {
      const stored = this.#sql.cose.get(id, sequence);
      if (!stored || !equalBytes(stored, entry.bytes)) throw forked(`entry ${sequence}`, 'another one is stored there');
      return;
    }
    if ((sequence === 0) !== (kind === 'session') || (entry.boot !== null && entry.boot !== boot)) {
      throw forked(`entry ${sequence}`, 'session claims of this boot stand at index 0 and nowhere else');
    }
    this.#sql.insertEntry.run(id, sequence, kind, entry.leaf, entry.bytes);
    if (entry.receiptId) this.#sql.insertReceipt.run(entry.receiptId, id, sequence);
    done.size += 1;
    done.newEntries += 1;
    this.#finishTiles(id, done.size);
  }

  /** Stores every tile that the newest leaf completed. */
  #finishTiles(id: number, size: number): void {
    let nodes = size;
    for (let level = 0; nodes % TILE_WIDTH === 0; level++) {
      nodes /= TILE_WIDTH;
      const index = nodes - 1;
      const hashes = this.#baseNodes(id, level, index * TILE_WIDTH, TILE_WIDTH);
      this.#sql.insertTile.run(id, level, index, rootOf(hashes), Buffer.concat(hashes));
    }
  }

  #appendEvidence(id: number, boot: string, evidence: ReadEvidence, done: AppendedRecords): void {
    const known = this.#sql.evidence.get(evidence.reportData);
    if (known) {
      if (!equalBytes(known.file, evidence.bytes))
        throw forked('evidence', 'another one is stored for its REPORT_DATA');
      return;
    }
    const first = this.#sql.cose.get(id, 0);
    if (!first || !equalBytes(parseSign1(first, 'entry 0').payload, evidence.sessionClaims)) {
      throw forked('evidence.sessionClaims', 'not the payload of entry 0');
    }
    if (evidence.origin !== originOf(bytes(bootBytes(boot), 16, 'boot'))) {
      throw forked('evidence.checkpoint', 'the origin is another boot');
    }
    const { size } = evidence;
    if (size > done.size) throw forked('evidence.checkpoint', `covers ${size} entries, ${done.size} are stored`);
    const before = this.#sql.latestEvidence.get(id)?.size ?? 0;
    if (size < before) throw forked('evidence.checkpoint', `covers ${size} entries, an earlier one ${before}`);
    if (!equalBytes(treeRoot(size, this.#tree(id).read), evidence.root)) {
      throw forked('evidence.checkpoint', `the root differs from the tree of the ${size} stored entries`);
    }
    this.#sql.insertEvidence.run(id, evidence.reportData, size, Date.now(), evidence.note, evidence.bytes);
    done.newEvidence.push({ reportData: evidence.reportData, size });
  }

  async boots(): Promise<readonly Boot[]> {
    return this.#read(() => this.#sql.boots.all().map((row) => this.#toBoot(row)));
  }

  async boot(boot: string): Promise<Boot | null> {
    return this.#read(() => {
      const row = this.#sql.boot.get(bootBytes(boot));
      return row ? this.#toBoot(row) : null;
    });
  }

  async entries(boot: string, start: number, end: number): Promise<readonly Uint8Array<ArrayBuffer>[]> {
    return this.#read(() => this.#sql.coses.all(this.#row(boot).id, start, end).map((cose) => new Uint8Array(cose)));
  }

  async indicesOf(boot: string, kind: EntryKind, size: number, atMost: number): Promise<readonly number[]> {
    return this.#read(() => this.#sql.indicesOf.all(this.#row(boot).id, kind, size, atMost).reverse());
  }

  async statementOf(receiptId: Bytes<16>): Promise<{ readonly boot: string; readonly index: number } | null> {
    return this.#read(() => {
      const row = this.#sql.receipt.get(receiptId);
      return row ? { boot: hex(row.boot), index: row.idx } : null;
    });
  }

  async latestEvidence(boot: string): Promise<StoredEvidence | null> {
    return this.#read(() => storedEvidence(this.#sql.latestEvidence.get(this.#row(boot).id)));
  }

  async firstEvidenceOver(boot: string, index: number): Promise<StoredEvidence | null> {
    return this.#read(() => storedEvidence(this.#sql.firstEvidenceOver.get(this.#row(boot).id, index)));
  }

  async evidence(reportData: Bytes<64>): Promise<StoredEvidence | null> {
    return this.#read(() => storedEvidence(this.#sql.evidence.get(reportData)));
  }

  async inclusionPath(boot: string, index: number, size: number): Promise<Hash[]> {
    return this.#read(() => inclusionPath(index, size, this.#tree(this.#row(boot).id).read));
  }

  async tile(boot: string, level: number, index: number, width: number): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#read(() => {
      const { id } = this.#row(boot);
      const full = this.#sql.tile.get(id, level, index);
      if (full) return new Uint8Array(full.subarray(0, 32 * width));
      const hashes = this.#baseNodes(id, level, index * TILE_WIDTH, width);
      return hashes.length === width ? new Uint8Array(Buffer.concat(hashes)) : null;
    });
  }

  async close(): Promise<void> {
    this.#db.close();
    this.#folder.release();
  }

  #read<T>(query: () => T): T {
    try {
      return query();
    } catch (error) {
      throw asServiceError(error);
    }
  }

  /** One transaction, all or nothing. */
  #write<T>(change: () => T): T {
    try {
      return this.#db.transaction(change).immediate();
    } catch (error) {
      this.#trees.clear(); // nodes of rolled back entries may have been remembered
      throw asServiceError(error);
    }
  }

  #row(boot: string): BootRow {
    const row = this.#sql.boot.get(bootBytes(boot));
    if (!row) throw new ServiceError('BOOT_UNKNOWN', 'boot: this service keeps no log of it', { field: 'boot' });
    return row;
  }

  #size(id: number): number {
    return this.#sql.size.get(id) ?? 0;
  }

  #toBoot(row: BootRow): Boot {
    return {
      boot: hex(row.boot),
      link: row.link,
      firstSeenMs: row.first_seen_ms,
      ended: row.ended,
      size: this.#size(row.id),
    };
  }

  /** Up to `count` stored nodes of tile level `level`: leaves, or roots of the tiles below. */
  #baseNodes(id: number, level: number, start: number, count: number): Hash[] {
    const rows =
      level === 0
        ? this.#sql.leaves.all(id, start, start + count)
        : this.#sql.tileRoots.all(id, level - 1, start, start + count);
    return rows.map((row) => bytes(row, 32, 'node'));
  }

  #tree(id: number): TreeNodes {
    const known = this.#trees.get(id);
    if (known) return known;
    const tree = new TreeNodes((level, index) => {
      const row = level === 0 ? this.#sql.leaf.get(id, index) : this.#sql.tileRoot.get(id, level - 1, index);
      if (!row) throw new ServiceError('STORE_FAILED', `the store lacks node ${index} of tile level ${level}`);
      return bytes(row, 32, 'node');
    });
    if (this.#trees.size >= MAX_TREES) this.#trees.delete(this.#trees.keys().next().value as number);
    this.#trees.set(id, tree);
    return tree;
  }
}
