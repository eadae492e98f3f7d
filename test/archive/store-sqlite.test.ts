import path from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { openSqlite } from '../../archive/store/sqlite.ts';
import { SqlStore } from '../../archive/store/store.ts';
import { tempFolder } from './memory-source.ts';
import { storeContract } from './store-contract.ts';

storeContract('SQLite', async () => {
  const folder = tempFolder();
  return {
    open: async (name, mode = 'write') => new SqlStore(openSqlite(path.join(folder, `${name}.sqlite`), { mode })),
  };
});

const codeOf = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return null;
};

test('a store of a later release is refused, and left alone', () => {
  const file = path.join(tempFolder(), 'newer.sqlite');
  void openSqlite(file, { mode: 'write' }).close();
  const db = new Database(file);
  db.pragma('user_version = 99');
  for (const mode of ['write', 'read'] as const) expect(codeOf(() => openSqlite(file, { mode }))).toBe('STORE_NEWER');
  expect(db.pragma('user_version', { simple: true })).toBe(99);
  db.pragma('user_version = 0');
  expect(codeOf(() => openSqlite(file, { mode: 'read' }))).toBe('ARCHIVE_INVALID');
  db.close();
});

test('what is no database is refused', async () => {
  const { writeFileSync } = await import('node:fs');
  const file = path.join(tempFolder(), 'noise.sqlite');
  writeFileSync(file, Buffer.alloc(9000, 7));
  expect(codeOf(() => openSqlite(file, { mode: 'write' }))).toBe('STORE_FAILED');
  expect(codeOf(() => openSqlite(path.join(tempFolder(), 'none.sqlite'), { mode: 'read' }))).toBe('STORE_FAILED');
});
