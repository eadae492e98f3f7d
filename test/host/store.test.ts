import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONTENT_TYPE, type Code, encodeSign1, leafHash, originOf, rootOf } from '@veritee/protocol';
import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { SqliteStore } from '../../host/store/sqlite.ts';
import { FakeLog, random } from '../support/fake-log.ts';
import { entryRecord, evidenceRecord, fill, openStore, tempFolder } from './support.ts';

const coded = (code: Code) => expect.objectContaining({ code });

describe('append', () => {
  test('keeps entries, receipts and evidence, and says what is new', async () => {
    const store = openStore();
    const log = new FakeLog();
    const { receiptId, index, entry } = log.statement();
    const evidence = log.evidence();
    expect(await store.startBoot(log.boot, 'link')).toMatchObject({ boot: log.boot, size: 0, ended: null });
    const done = await store.append(log.boot, [...log.entries.map(entryRecord), evidenceRecord(evidence)]);
    expect(done).toEqual({ size: 2, newEntries: 2, newEvidence: [{ reportData: evidence.reportData, size: 2 }] });
    expect(await store.statementOf(receiptId)).toEqual({ boot: log.boot, index });
    expect(await store.entries(log.boot, 0, 9)).toEqual(log.entries);
    expect(await store.entries(log.boot, index, index + 1)).toEqual([entry]);
    expect(await store.latestEvidence(log.boot)).toMatchObject({ file: evidence.file, note: evidence.note, size: 2 });
    expect(await store.evidence(evidence.reportData)).toMatchObject({ boot: log.boot });
    expect(await store.statementOf(random(16))).toBeNull();
    expect(await store.evidence(random(64))).toBeNull();
  });

  test('passes over what it already holds byte for byte', async () => {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 5);
    const evidence = log.evidence();
    await store.append(log.boot, [evidenceRecord(evidence)]);
    log.statement();
    const again = [...log.entries.slice(2).map(entryRecord), evidenceRecord(evidence)];
    expect(await store.append(log.boot, again)).toEqual({ size: 6, newEntries: 1, newEvidence: [] });
    expect(await store.append(log.boot, again)).toEqual({ size: 6, newEntries: 0, newEvidence: [] });
  });

  test('survives closing and opening', async () => {
    const folder = tempFolder();
    const log = new FakeLog();
    const first = SqliteStore.open(folder);
    await fill(first, log, 300);
    await first.close();
    const store = openStore(folder);
    expect(await store.entries(log.boot, 0, 300)).toEqual(log.entries);
    log.statement();
    const evidence = log.evidence();
    const done = await store.append(log.boot, [entryRecord(log.entries[300]!), evidenceRecord(evidence)]);
    expect(done.size).toBe(301);
  });

  test('lets the first statement keep a receipt id that comes twice', async () => {
    const store = openStore();
    const log = new FakeLog();
    const id = random(16);
    log.statement(id);
    log.statement(id);
    await fill(store, log, 3);
    expect(await store.statementOf(id)).toEqual({ boot: log.boot, index: 1 });
  });

  test('finds evidence by what it covers', async () => {
    const store = openStore();
    const log = new FakeLog();
    await store.startBoot(log.boot, 'link');
    const covering = [];
    for (let i = 0; i < 4; i++) {
      log.statement();
      covering.push(log.evidence(), log.evidence()); // a quiet tick covers the same entries again
      await store.append(log.boot, [...log.entries.map(entryRecord), ...covering.map(evidenceRecord)]);
    }
    log.statement();
    await store.append(log.boot, log.entries.map(entryRecord));
    for (let index = 0; index < 5; index++) {
      const expected = covering.find(({ size }) => size > index);
      expect((await store.firstEvidenceOver(log.boot, index))?.reportData).toEqual(expected?.reportData);
    }
    expect(await store.firstEvidenceOver(log.boot, 5)).toBeNull();
    expect((await store.latestEvidence(log.boot))?.reportData).toEqual(covering.at(-1)?.reportData);
  });
});

describe('a fork', () => {
  /** A store of five entries and one evidence; `change` makes the record that contradicts it. */
  async function refuses(change: (log: FakeLog) => ReturnType<typeof entryRecord>, field?: string) {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 5);
    await store.append(log.boot, [evidenceRecord(log.evidence())]);
    const { entry } = log.statement(); // good on its own: must not be written beside the bad one
    const bad = change(log);
    await expect(store.append(log.boot, [entryRecord(entry), bad])).rejects.toMatchObject({
      code: 'LOG_FORKED',
      ...(field === undefined ? {} : { field }),
    });
    expect((await store.boot(log.boot))?.size).toBe(5);
    expect((await store.latestEvidence(log.boot))?.size).toBe(5);
    expect(await store.append(log.boot, [entryRecord(entry)])).toMatchObject({ size: 6 });
  }

  test('refuses a different entry at a known index', () =>
    refuses((log) => entryRecord(log.foreignStatement(3)), 'entry 3'));
  test('refuses a gap in the sequence', () => refuses((log) => entryRecord(log.foreignStatement(7)), 'entry 7'));
  test('refuses a second session entry', () =>
    refuses((log) => entryRecord(encodeSign1(CONTENT_TYPE.session, log.sessionClaims, () => random(64)))));
  test('refuses evidence whose root is not that of the stored entries', () =>
    refuses((log) => evidenceRecord(log.evidenceOver(6, random(32))), 'evidence.checkpoint'));
  test('refuses evidence over a smaller tree than an earlier one', () =>
    refuses((log) => evidenceRecord(log.evidenceOver(4, rootOf(log.leaves.slice(0, 4)))), 'evidence.checkpoint'));
  test('refuses evidence over entries that are not stored', () =>
    refuses((log) => evidenceRecord(log.evidenceOver(7, rootOf([...log.leaves, random(32)]))), 'evidence.checkpoint'));
  test('refuses evidence of another origin', () =>
    refuses((log) => evidenceRecord(log.evidenceOver(6, rootOf(log.leaves), originOf(random(16))))));
  test('refuses evidence with the session claims of another boot', () =>
    refuses(() => evidenceRecord(new FakeLog().evidence()), 'evidence.sessionClaims'));

  test('refuses another file for a known REPORT_DATA', async () => {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 2);
    const twin = new FakeLog({ seed: new Uint8Array(32).fill(7) });
    const other = new FakeLog({ seed: new Uint8Array(32).fill(7) });
    await fill(store, twin, 1);
    await store.append(twin.boot, [evidenceRecord(twin.evidence())]);
    await expect(store.append(twin.boot, [evidenceRecord(other.evidence())])).rejects.toEqual(coded('LOG_FORKED'));
  });

  test('refuses the session claims of one boot in the log of another', async () => {
    const store = openStore();
    const [one, other] = [new FakeLog(), new FakeLog()];
    await store.startBoot(one.boot, 'link');
    await expect(store.append(one.boot, [entryRecord(other.entries[0]!)])).rejects.toEqual(coded('LOG_FORKED'));
    await expect(store.append(one.boot, [entryRecord(other.foreignStatement(0))])).rejects.toEqual(coded('LOG_FORKED'));
    expect((await store.boot(one.boot))?.size).toBe(0);
  });

  test('remembers no tree node of entries that were rolled back', async () => {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 2);
    const kept = log.entries.length;
    log.statement();
    log.statement();
    const lying = log.evidenceOver(4, random(32));
    await expect(
      store.append(log.boot, [...log.entries.slice(kept).map(entryRecord), evidenceRecord(lying)]),
    ).rejects.toEqual(coded('LOG_FORKED'));
    // The enclave's own story from here on differs from the one rolled back: the tree must follow it.
    const twin = log.entries.slice(0, kept);
    const other = [log.foreignStatement(2), log.foreignStatement(3)];
    await store.append(log.boot, [...twin, ...other].map(entryRecord));
    const root = rootOf([...twin, ...other].map((entry) => leafHash(entry)));
    expect(await store.append(log.boot, [evidenceRecord(log.evidenceOver(4, root))])).toMatchObject({ size: 4 });
  });
});

describe('records it cannot read', () => {
  test.each([
    ['empty', new Uint8Array(0), 'EVIDENCE_MALFORMED'],
    ['random', new Uint8Array(randomBytes(300)), 'EVIDENCE_MALFORMED'],
    ['too large', new Uint8Array(65_536), 'EVIDENCE_TOO_LARGE'],
  ])('refuses an entry that is %s', async (_name, entry, code) => {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 1);
    await expect(store.append(log.boot, [entryRecord(entry)])).rejects.toMatchObject({ code });
  });

  test('refuses evidence that is not an evidence file', async () => {
    const store = openStore();
    const log = new FakeLog();
    await fill(store, log, 1);
    await expect(store.append(log.boot, [{ type: 'evidence', bytes: random(100) }])).rejects.toMatchObject({
      code: 'EVIDENCE_MALFORMED',
    });
  });

  test('refuses records of a boot that was never started', async () => {
    const log = new FakeLog();
    await expect(openStore().append(log.boot, log.entries.map(entryRecord))).rejects.toEqual(coded('BOOT_UNKNOWN'));
  });
});

describe('boots', () => {
  test('ends the former boots of a link: clean after an end entry, lost without', async () => {
    const store = openStore();
    const [clean, lost, elsewhere, next] = [new FakeLog(), new FakeLog(), new FakeLog(), new FakeLog()];
    clean.end();
    await fill(store, clean, 2);
    await fill(store, lost, 3);
    await store.startBoot(elsewhere.boot, 'another link');
    await store.startBoot(next.boot, 'test');
    expect((await store.boots()).map(({ boot, ended }) => [boot, ended])).toEqual([
      [clean.boot, 'clean'],
      [lost.boot, 'lost'],
      [elsewhere.boot, null],
      [next.boot, null],
    ]);
  });

  test('takes a boot back that speaks again', async () => {
    const store = openStore();
    const [one, two] = [new FakeLog(), new FakeLog()];
    await fill(store, one, 2);
    await store.startBoot(two.boot, 'test');
    expect((await store.boot(one.boot))?.ended).toBe('lost');
    expect(await store.startBoot(one.boot, 'test')).toMatchObject({ ended: null, size: 2 });
    expect((await store.boot(two.boot))?.ended).toBe('lost');
  });
});

describe('a full or failing disk', () => {
  test('writes nothing at the quota, says so, and goes on when it is raised', async () => {
    const folder = tempFolder();
    const store = openStore(folder, 256 << 10);
    const log = new FakeLog();
    await fill(store, log, 1);
    let full: unknown;
    let stored = 1;
    while (!full) {
      for (let i = 0; i < 20; i++) log.statement();
      const evidence = log.evidence();
      try {
        await store.append(log.boot, [...log.entries.slice(stored).map(entryRecord), evidenceRecord(evidence)]);
        stored = log.size;
      } catch (error) {
        full = error;
      }
    }
    expect(full).toMatchObject({ code: 'STORE_FULL', field: 'store' });
    expect(stored).toBeGreaterThan(20);
    expect((await store.boot(log.boot))?.size).toBe(stored);
    await expect(store.append(log.boot, log.entries.slice(stored).map(entryRecord))).rejects.toEqual(
      coded('STORE_FULL'),
    );
    expect(await store.entries(log.boot, 0, stored)).toEqual(log.entries.slice(0, stored));

    store.setMaxBytes(null);
    const evidence = log.evidence();
    await store.append(log.boot, [...log.entries.slice(stored).map(entryRecord), evidenceRecord(evidence)]);
    expect((await store.boot(log.boot))?.size).toBe(log.size);
  });

  test('answers STORE_FAILED while somebody else holds the database, and goes on afterwards', async () => {
    const folder = tempFolder();
    const store = openStore(folder);
    const log = new FakeLog();
    await fill(store, log, 2);
    log.statement();
    const other = new Database(join(folder, 'host.sqlite'));
    other.exec('BEGIN IMMEDIATE');
    await expect(store.append(log.boot, log.entries.map(entryRecord))).rejects.toEqual(coded('STORE_FAILED'));
    expect((await store.boot(log.boot))?.size).toBe(2);
    other.close();
    expect(await store.append(log.boot, log.entries.map(entryRecord))).toMatchObject({ size: 3, newEntries: 1 });
  });
});

describe('the data folder', () => {
  test('is held by one opener at a time', async () => {
    const folder = tempFolder();
    const first = SqliteStore.open(folder);
    expect(() => SqliteStore.open(folder)).toThrowError(coded('DATA_FOLDER_IN_USE'));
    expect(() => SqliteStore.open(folder)).toThrowError(coded('DATA_FOLDER_IN_USE'));
    await first.close();
    await openStore(folder).boots();
  });

  test('holds files for this user alone', async () => {
    const folder = join(tempFolder(), 'data');
    const store = openStore(folder);
    const log = new FakeLog();
    await fill(store, log, 3);
    for (const name of readdirSync(folder))
      expect([name, statSync(join(folder, name)).mode & 0o077]).toEqual([name, 0]);
    expect(readdirSync(folder).filter((name) => name.endsWith('.pem'))).toEqual([]);
  });

  test('is refused when a later release wrote it', async () => {
    const folder = tempFolder();
    await SqliteStore.open(folder).close();
    const db = new Database(join(folder, 'host.sqlite'));
    db.pragma('user_version = 1000');
    db.close();
    expect(() => SqliteStore.open(folder)).toThrowError(coded('STORE_NEWER'));
    expect(() => SqliteStore.open(folder)).toThrowError(coded('STORE_NEWER')); // and the lock was given back
  });

  test('is refused when it is a file', () => {
    const path = join(tempFolder(), 'file');
    writeFileSync(path, 'x');
    expect(() => SqliteStore.open(path)).toThrowError(coded('DATA_FOLDER_UNUSABLE'));
  });

  test('is refused when the database is not one', () => {
    const folder = tempFolder();
    writeFileSync(join(folder, 'host.sqlite'), randomBytes(8192));
    expect(() => SqliteStore.open(folder)).toThrowError(coded('DATA_FOLDER_UNUSABLE'));
  });

  test.skipIf(process.getuid?.() === 0)('is refused when it cannot be written', () => {
    const folder = tempFolder();
    mkdirSync(join(folder, 'data'));
    chmodSync(join(folder, 'data'), 0o500);
    expect(() => SqliteStore.open(join(folder, 'data'))).toThrowError(coded('DATA_FOLDER_UNUSABLE'));
    expect(existsSync(join(folder, 'data', 'host.sqlite'))).toBe(false);
  });

  test('keeps STRICT tables in a write-ahead log that is flushed at every commit', () => {
    const pragma = vi.spyOn(Database.prototype, 'pragma');
    onTestFinished(() => pragma.mockRestore());
    openStore();
    const db = pragma.mock.contexts.at(-1) as Database.Database;
    expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(db.pragma('synchronous', { simple: true })).toBe(2); // FULL
    const tables = db.prepare(
      "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'",
    );
    expect(tables.all().length).toBeGreaterThan(4);
    for (const table of tables.all()) expect(table).toMatchObject({ strict: 1 });
  });
});
