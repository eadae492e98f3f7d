import { cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ed25519Key, MerkleFrontier, noteVerifierKey, rootOf } from '@veritee/protocol';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import {
  archiveOrigin,
  checkCompleteness,
  openArchive,
  parseAct,
  parseArchiveCheckpoint,
  settingsOf,
  verifyArchiveCheckpoint,
} from '../../archive/index.ts';
import { ingestService } from '../../archive/ingest/index.ts';
import { edgeOf, Frontier, leafHashOf } from '../../archive/log/frontier.ts';
import { parseSettings } from '../../archive/settings.ts';
import { AT } from '../support/mini-enclave.ts';
import { appraiser, grow, MemorySource, tempFolder } from './memory-source.ts';

const NOW = AT.getTime();
const write = (folder: string, create?: Parameters<typeof openArchive>[1]) =>
  openArchive({ folder, mode: 'write' }, { now: () => NOW, by: 'test', ...create });

async function filled(folder: string) {
  const grown = await grow([3, 2]);
  const source = new MemorySource();
  await source.show(grown.enclave, grown.ticks);
  const archive = await write(folder);
  await ingestService(archive, source, {
    ...{ tenant: null, retentionClass: 'standard' },
    appraiser: await appraiser(archive.blobs, grown.ticks[0]!),
  });
  return archive;
}

describe('opening', () => {
  test('makes an archive with a key, a first act and a signed head; opens it again', async () => {
    const folder = tempFolder();
    const first = await write(folder);
    const { id, publicKey } = first;
    const note = (await first.store.actHead())!.note;
    expect(parseArchiveCheckpoint(note)).toMatchObject({ id, size: 1 });
    expect(await verifyArchiveCheckpoint(parseArchiveCheckpoint(note), publicKey)).toBe(true);
    expect(note.startsWith(`${archiveOrigin(id)}\n1\n`)).toBe(true);
    expect(noteVerifierKey(archiveOrigin(id), publicKey)).toMatch(/^veritee-archive\/[0-9a-f]{32}\+/);
    expect(await first.lastHead()).toBe(note);
    const [act] = await first.store.acts(0, 9);
    expect(parseAct(act!.cose).act).toEqual({
      ...{ kind: 'created', publicKey, writeOnce: false, index: 0, timeMs: NOW, by: 'test' },
    });
    for (const name of ['archive.key', 'archive.json', 'archive.head', 'archive.sqlite', 'archive.lock']) {
      expect(statSync(path.join(folder, name)).mode & 0o077).toBe(0);
    }
    await first.close();
    const again = await write(folder);
    expect(again.id).toBe(id);
    expect((await again.store.actHead())!.note).toBe(note);
    await again.close();
  });

  test('one writer, and readers beside it', async () => {
    const folder = tempFolder();
    const writer = await write(folder);
    await expect(write(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
    const reader = await openArchive({ folder, mode: 'read' });
    expect(reader.id).toBe(writer.id);
    await expect(reader.record([])).rejects.toThrow(TypeError);
    await expect(write(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
    await reader.close();
    await writer.close();
    await (await write(folder)).close();
  });

  test('refuses a folder that is none, and parts that are not of one archive', async () => {
    await expect(openArchive({ folder: tempFolder(), mode: 'read' })).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
    });
    const [a, b] = [tempFolder(), tempFolder()];
    for (const folder of [a, b]) await (await write(folder)).close();
    cpSync(path.join(a, 'archive.key'), path.join(b, 'archive.key'));
    await expect(write(b)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
    cpSync(path.join(a, 'archive.json'), path.join(b, 'archive.json'));
    for (const mode of ['read', 'write'] as const) {
      await expect(openArchive({ folder: b, mode })).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
    }
  });

  test('does not sign over a log that was altered', async () => {
    const folder = tempFolder();
    await (await filled(folder)).close();
    const db = new Database(path.join(folder, 'archive.sqlite'));
    db.exec('UPDATE acts SET leaf = zeroblob(32) WHERE idx = 1');
    db.close();
    await expect(write(folder)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
    await (await openArchive({ folder, mode: 'read' })).close();
  });

  test('a write-once archive erases nothing', async () => {
    const archive = await write(tempFolder(), { create: settingsOf('sqlite', 'folder', true) });
    expect(archive.writeOnce).toBe(true);
    await expect(archive.record([], () => ({ purge: { places: [], act: 1 } }))).rejects.toMatchObject({
      code: 'ARCHIVE_WRITE_ONCE',
    });
    expect((await archive.store.actHead())!.size).toBe(1);
    await archive.close();
  });
});

describe('settings', () => {
  test('object storage by URL', () => {
    expect(
      settingsOf('postgresql://h/db', 's3://bucket/a/b?region=eu-1&endpoint=http://x:9&lock-days=30', true),
    ).toEqual({
      database: 'postgresql://h/db',
      blobs: { bucket: 'bucket', prefix: 'a/b/', region: 'eu-1', endpoint: 'http://x:9', lockDays: 30 },
      writeOnce: true,
    });
    for (const [database, blobs] of [
      ['mysql://x', 'folder'],
      ['sqlite', 'ftp://x'],
      ['sqlite', 's3://b?lock-days=0'],
      ['sqlite', 's3://b?endpoint=no'],
    ] as const) {
      expect(() => settingsOf(database, blobs, false)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
    }
  });

  test('a file of another form is refused', () => {
    const good = {
      profile: 'veritee/archive/v1',
      id: 'ab'.repeat(16),
      database: 'sqlite',
      blobs: 'folder',
      writeOnce: false,
    };
    expect(parseSettings(JSON.stringify(good), 'f')).toMatchObject({ database: 'sqlite' });
    for (const change of [
      { profile: 'x' },
      { id: 'AB' },
      { database: 'x' },
      { blobs: {} },
      { writeOnce: 1 },
      { more: 1 },
    ]) {
      expect(() => parseSettings(JSON.stringify({ ...good, ...change }), 'f')).toThrowError(
        expect.objectContaining({ code: 'ARCHIVE_INVALID' }),
      );
    }
    expect(() => parseSettings('{', 'f')).toThrowError(expect.objectContaining({ code: 'ARCHIVE_INVALID' }));
  });
});

test('a backup taken while the archive is in use is the archive of that moment', async () => {
  const folder = tempFolder();
  const archive = await filled(folder);
  const head = (await archive.store.actHead())!;
  const restored = tempFolder();
  await archive.store.backup(path.join(restored, 'archive.sqlite'));
  for (const name of ['archive.json', 'archive.key', 'archive.head'])
    cpSync(path.join(folder, name), path.join(restored, name));
  cpSync(path.join(folder, 'blobs'), path.join(restored, 'blobs'), { recursive: true });
  await archive.close();
  rmSync(folder, { recursive: true });
  const again = await write(restored);
  expect(await again.store.actHead()).toEqual(head);
  expect(await again.store.findings()).toEqual([]);
  expect(await again.store.countStatements({})).toBe(5);
  for await (const one of checkCompleteness(again.store)) expect(one).toBeNull();
  await again.close();
});

test('the frontier is the portable tree, from any size on', async () => {
  const nodes = new Map<string, ReturnType<typeof leafHashOf>>();
  const tree = Frontier.empty();
  const other = new MerkleFrontier();
  const leaves = Array.from({ length: 70 }, (_, i) => leafHashOf(Uint8Array.of(i)));
  for (const [i, leaf] of leaves.entries()) {
    nodes.set(`0/${i}`, leaf);
    for (const { level, index, hash } of tree.append(leaf)) nodes.set(`${level}/${index}`, hash);
    other.append(leaf);
    expect(tree.root()).toEqual(other.root());
    const taken = await Frontier.from(i + 1, async ({ level, index }) => nodes.get(`${level}/${index}`)!);
    expect(taken.root()).toEqual(other.root());
    const longer = taken.copy();
    longer.append(leaf);
    expect(longer.root()).toEqual(rootOf([...leaves.slice(0, i + 1), leaf]));
    expect(taken.root()).toEqual(other.root());
  }
  expect(Frontier.empty().root()).toEqual(rootOf([]));
  expect(edgeOf(2 ** 53 - 1)).toHaveLength(53);
});

test('an archive checkpoint of another shape or key is refused', async () => {
  const archive = await write(tempFolder());
  const { note } = (await archive.store.actHead())!;
  await archive.close();
  for (const bad of [
    note.slice(0, -1),
    `${note}\n`,
    note.replace('\n1\n', '\n01\n'),
    note.replace('veritee-archive', 'veritee'),
    '',
  ]) {
    expect(() => parseArchiveCheckpoint(bad)).toThrowError(expect.objectContaining({ code: 'EVIDENCE_MALFORMED' }));
  }
  const longer = parseArchiveCheckpoint(note.replace('\n1\n', '\n2\n'));
  expect(await verifyArchiveCheckpoint(longer, archive.publicKey)).toBe(false);
  const other = await write(tempFolder());
  expect(await verifyArchiveCheckpoint(parseArchiveCheckpoint(note), ed25519Key(other.publicKey, 'key'))).toBe(false);
  await other.close();
});

test('the key file is the archive’s alone', async () => {
  const folder = tempFolder();
  await (await write(folder)).close();
  expect(readFileSync(path.join(folder, 'archive.key'), 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  writeFileSync(path.join(folder, 'archive.key'), 'no key');
  await expect(write(folder)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
});
