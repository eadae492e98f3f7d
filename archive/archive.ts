/** One archive, opened: its database, its blobs, its key and its own log. */
import { mkdir, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { bytes, CodedError, type Ed25519Key, ed25519Key, equalBytes, type Hash, hex } from '@veritee/protocol';
import { FolderBlobs, writeOnceRefusal, writeWhole } from './blobs/folder.ts';
import type { BlobStore } from './blobs/port.ts';
import { openS3 } from './blobs/s3.ts';
import { type Finding, finding, findingKey } from './findings.ts';
import { takeFolder } from './folder-lock.ts';
import { type Act, bootField, encodeAct, parseAct, type RecordedAct } from './log/acts.ts';
import { archiveIdOf, parseArchiveCheckpoint, signHead, verifyArchiveCheckpoint } from './log/checkpoint.ts';
import { Frontier } from './log/frontier.ts';
import { type ArchiveKey, newKeyFile, readKeyFile } from './log/key.ts';
import {
  type ArchiveSettings,
  DEFAULT_SETTINGS,
  encodeSettings,
  parseSettings,
  type SettingsFile,
} from './settings.ts';
import type { ActHead, ActRow, ArchiveIdentity, ArchiveStore, FindingRow, Rows } from './store/port.ts';
import { openPostgres } from './store/postgres.ts';
import { OneAtATime, type OnStep } from './store/sql.ts';
import { openSqlite } from './store/sqlite.ts';
import { SqlStore } from './store/store.ts';

const SETTINGS_FILE = 'archive.json';
/** In the archive's folder. */
export const KEY_FILE = 'archive.key';
const HEAD_FILE = 'archive.head';
const DATABASE_FILE = 'archive.sqlite';
const BLOB_FOLDER = 'blobs';

/** How an archive is found; plain data, so that worker threads can be given it. */
export interface ArchiveTarget {
  /** Holds the settings, the archive's key and its newest head; with SQLite and a blob folder, all the rest too. */
  readonly folder: string;
  /** `read` takes no lock and cannot record: any number of them, beside one `write`. */
  readonly mode: 'read' | 'write';
}

export interface OpenOptions {
  /** What a new archive is made with; one that exists keeps its own. */
  readonly create?: ArchiveSettings;
  /** The archive's clock, milliseconds since 1970. */
  readonly now?: () => number;
  /** Who acts, as the acts will say. */
  readonly by?: string;
  /** Called before every step that changes what is on the disk; tests end the process in it. */
  readonly onStep?: OnStep;
}

export interface Recorded {
  readonly acts: readonly RecordedAct[];
  readonly head: ActHead;
}

export interface Archive extends ArchiveIdentity {
  readonly publicKey: Ed25519Key;
  readonly folder: string;
  readonly store: ArchiveStore;
  readonly blobs: BlobStore;
  /** Write-once: nothing is ever erased. */
  readonly writeOnce: boolean;
  /** The note of the newest head this archive signed, from the file beside the key; null before the first. */
  lastHead(): Promise<string | null>;
  now(): number;

  /**
   * Acts, the rows they commit to, and findings not known yet, in one transaction. `rows` is given the index of the
   * first act. Null when there was nothing to record.
   * @throws CodedError STORE_FAILED, STORE_FULL: nothing was written; ARCHIVE_WRITE_ONCE a purge
   */
  record(
    acts: readonly Act[],
    rows?: (firstAct: number) => Rows,
    findings?: readonly Finding[],
  ): Promise<Recorded | null>;
  close(): Promise<void>;
}

/**
 * Opens an archive; in `write` mode makes one where there is none.
 * @throws CodedError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, STORE_NEWER, STORE_FAILED, ARCHIVE_INVALID
 */
export async function openArchive(target: ArchiveTarget, options: OpenOptions = {}): Promise<Archive> {
  return target.mode === 'write' ? openForWriting(target.folder, options) : openForReading(target.folder, options);
}

async function openForReading(folder: string, options: OpenOptions): Promise<Archive> {
  const settings = await readSettings(folder);
  if (!settings) throw invalid(`${folder}: no archive is here`);
  return openParts(folder, settings, 'read', options);
}

async function openForWriting(folder: string, options: OpenOptions): Promise<Archive> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${folder}: ${cause.code}`, { field: 'archive', cause });
  });
  const release = takeFolder(folder);
  try {
    const settings = (await readSettings(folder)) ?? (await create(folder, options));
    return await openParts(folder, settings, 'write', options, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** The key first: the settings, which name it, make the folder an archive. */
async function create(
  folder: string,
  { create: settings = DEFAULT_SETTINGS, onStep }: OpenOptions,
): Promise<SettingsFile> {
  const pem = (await readOrNull(path.join(folder, KEY_FILE))) ?? newKeyFile();
  const file = { id: archiveIdOf(readKeyFile(pem, KEY_FILE).publicKey), ...settings };
  await writeNamed(folder, KEY_FILE, pem, onStep);
  await writeNamed(folder, SETTINGS_FILE, encodeSettings(file), onStep);
  return file;
}

async function openParts(
  folder: string,
  settings: SettingsFile,
  mode: 'read' | 'write',
  options: OpenOptions,
  release: () => void = () => undefined,
): Promise<Archive> {
  const { now = Date.now, onStep = () => undefined } = options;
  const sqlOptions = { mode, onStep };
  const sql =
    settings.database === 'sqlite'
      ? openSqlite(path.join(folder, DATABASE_FILE), sqlOptions)
      : await openPostgres(settings.database, sqlOptions);
  const store = new SqlStore(sql);
  let blobs: BlobStore | null = null;
  try {
    const { writeOnce } = settings;
    if (settings.blobs === 'folder') {
      const files = new FolderBlobs(path.join(folder, BLOB_FOLDER), { writeOnce, onStep });
      if (mode === 'write') await files.sweep();
      blobs = files;
    } else blobs = await openS3(settings.blobs, { writeOnce, now, onStep });
    const parts = { folder, store, blobs, writeOnce, now };
    if (mode === 'read') return await ReadArchive.open(parts, settings.id);
    const key = readKeyFile((await readOrNull(path.join(folder, KEY_FILE))) ?? '', path.join(folder, KEY_FILE));
    if (archiveIdOf(key.publicKey) !== settings.id) throw invalid(`${KEY_FILE}: the key of another archive`);
    return await WriteArchive.start(parts, key, { by: options.by ?? userName(), onStep, release });
  } catch (error) {
    await blobs?.close();
    await store.close();
    throw error;
  }
}

const invalid = (reason: string): CodedError => new CodedError('ARCHIVE_INVALID', reason, { field: 'archive' });

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a container's user without an entry in passwd
  }
}

async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code = 'failed' } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${file}: ${code}`, { field: 'archive', cause });
  }
}

async function readSettings(folder: string): Promise<SettingsFile | null> {
  const file = path.join(folder, SETTINGS_FILE);
  const text = await readOrNull(file);
  return text === null ? null : parseSettings(text, file);
}

async function writeNamed(folder: string, name: string, content: string, onStep: OnStep = () => undefined) {
  const file = path.join(folder, name);
  try {
    await writeWhole(file, content, `${file}.unfinished`, onStep);
  } catch (cause) {
    const { code = 'failed' } = cause as NodeJS.ErrnoException;
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${file}: ${code}`, { field: 'archive', cause });
  }
}

interface Parts {
  readonly folder: string;
  readonly store: ArchiveStore;
  readonly blobs: BlobStore;
  readonly writeOnce: boolean;
  readonly now: () => number;
}

class ReadArchive implements Archive {
  readonly id: string;
  readonly publicKey: Ed25519Key;
  readonly folder: string;
  readonly store: ArchiveStore;
  readonly blobs: BlobStore;
  readonly writeOnce: boolean;
  readonly now: () => number;

  protected constructor({ folder, store, blobs, writeOnce, now }: Parts, id: string, publicKey: Ed25519Key) {
    this.id = id;
    this.publicKey = publicKey;
    this.folder = folder;
    this.store = store;
    this.blobs = blobs;
    this.writeOnce = writeOnce;
    this.now = now;
  }

  static async open(parts: Parts, id: string): Promise<Archive> {
    const identity = await parts.store.identity();
    if (!identity) throw invalid('the database holds no archive yet');
    const publicKey = ed25519Key(identity.publicKey, 'archive key');
    if (identity.id !== id || archiveIdOf(publicKey) !== id) throw invalid('the database is of another archive');
    return new ReadArchive(parts, id, publicKey);
  }

  lastHead(): Promise<string | null> {
    return readOrNull(path.join(this.folder, HEAD_FILE));
  }

  async record(
    _acts: readonly Act[],
    _rows?: (firstAct: number) => Rows,
    _findings?: readonly Finding[],
  ): Promise<Recorded | null> {
    throw new TypeError('this archive was opened for reading');
  }

  async close(): Promise<void> {
    await this.blobs.close();
    await this.store.close();
  }
}

interface WriterParts {
  readonly by: string;
  readonly onStep: OnStep;
  readonly release: () => void;
}

class WriteArchive extends ReadArchive {
  readonly #key: ArchiveKey;
  readonly #writer: WriterParts;
  readonly #turns = new OneAtATime();
  readonly #knownFindings: Set<string>;
  #log: Frontier;

  private constructor(parts: Parts, key: ArchiveKey, writer: WriterParts, log: Frontier, known: Set<string>) {
    super(parts, archiveIdOf(key.publicKey), key.publicKey);
    this.#key = key;
    this.#writer = writer;
    this.#log = log;
    this.#knownFindings = known;
  }

  static async start(parts: Parts, key: ArchiveKey, writer: WriterParts): Promise<Archive> {
    const { store } = parts;
    const id = archiveIdOf(key.publicKey);
    const identity = await store.identity();
    if (identity && identity.id !== id) throw invalid('the database is of another archive');
    if (!identity) await store.setIdentity({ id, publicKey: key.publicKey });
    const leaves = leavesOf(await store.actLeaves());
    const log = Frontier.empty();
    for (const leaf of leaves) log.append(leaf);
    await checkHead(await store.actHead(), log, key.publicKey);
    const known = new Set((await store.findings()).map(findingKey));
    const archive = new WriteArchive(parts, key, writer, log, known);
    const lost = lostHead(await archive.lastHead(), leaves);
    const acts: readonly Act[] =
      log.size === 0 ? [{ kind: 'created', publicKey: key.publicKey, writeOnce: parts.writeOnce }] : [];
    await archive.record(acts, undefined, lost ? [lost] : []);
    const head = await store.actHead();
    if (head) await archive.#keepHead(head); // a writer that was killed may have left an older one
    return archive;
  }

  #keepHead({ note }: ActHead): Promise<void> {
    return writeNamed(this.folder, HEAD_FILE, note, this.#writer.onStep);
  }

  override record(
    acts: readonly Act[] = [],
    rows: (firstAct: number) => Rows = () => ({}),
    findings: readonly Finding[] = [],
  ): Promise<Recorded | null> {
    return this.#turns.run(() => this.#record(acts, rows, findings));
  }

  async #record(
    acts: readonly Act[],
    rowsOf: (firstAct: number) => Rows,
    findings: readonly Finding[],
  ): Promise<Recorded | null> {
    const first = this.#log.size;
    const rows = rowsOf(first);
    if (rows.purge && this.writeOnce) throw writeOnceRefusal();
    const fresh = this.#unknown(findings);
    const all = [...acts, ...fresh.map(findingAct)];
    if (all.length === 0) return null;
    const timeMs = this.now();
    const log = this.#log.copy();
    const encoded = all.map((act, i): ActRow => {
      const row = encodeAct(act, { index: first + i, timeMs, by: this.#writer.by }, this.#key.sign);
      log.append(row.leaf);
      return row;
    });
    const root = log.root();
    const note = signHead(this.id, log.size, root, this.#key.publicKey, this.#key.sign);
    const head: ActHead = { size: log.size, root, note };
    const found = fresh.map((one, i): FindingRow => ({ ...one, act: first + acts.length + i, firstSeenMs: timeMs }));
    await this.store.commit({ ...rows, findings: [...(rows.findings ?? []), ...found], acts: encoded, head });
    this.#log = log;
    for (const one of fresh) this.#knownFindings.add(findingKey(one));
    await this.#keepHead(head);
    return { acts: encoded.map(({ cose }) => parseAct(cose).act), head };
  }

  #unknown(findings: readonly Finding[]): Finding[] {
    const fresh = new Map(findings.map((one) => [findingKey(one), one]));
    return [...fresh].filter(([key]) => !this.#knownFindings.has(key)).map(([, one]) => one);
  }

  override async close(): Promise<void> {
    await super.close();
    this.#writer.release();
  }
}

/** The finding when a database older than a head that this archive has signed was put in its place. */
function lostHead(note: string | null, leaves: readonly Hash[]): Finding | null {
  if (note === null) return null;
  const last = parseArchiveCheckpoint(note);
  const prefix = Frontier.empty();
  for (const leaf of leaves.slice(0, last.size)) prefix.append(leaf);
  if (last.size <= leaves.length && equalBytes(prefix.root(), last.root)) return null;
  return finding(
    'STORE_ROLLED_BACK',
    `the database holds ${leaves.length} acts, which do not continue the head of ${last.size} that this archive signed`,
    { object: hex(last.root) },
  );
}

const findingAct = ({ code, severity, boot, index, object, text }: Finding): Act => ({
  kind: 'finding',
  code,
  severity,
  boot: boot === null ? null : bootField(boot),
  entry: index,
  object,
  text,
});

const leavesOf = (joined: Uint8Array): Hash[] =>
  Array.from({ length: joined.length / 32 }, (_, i) => bytes(joined.subarray(32 * i, 32 * i + 32), 32, 'leaf'));

/** A log that was altered is not signed again as if it were whole. */
async function checkHead(head: ActHead | null, log: Frontier, key: Ed25519Key): Promise<void> {
  if (!head && log.size === 0) return;
  const note = head && parseArchiveCheckpoint(head.note);
  const whole =
    note !== null &&
    note.size === log.size &&
    equalBytes(note.root, log.root()) &&
    (await verifyArchiveCheckpoint(note, key));
  if (!whole)
    throw invalid("the archive's own log does not hash to its signed head; `veritee archive audit` says where");
}
