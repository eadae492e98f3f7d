import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { bytes, hex, sha256, utf8 } from '@veritee/protocol';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FolderBlobs } from '../../archive/blobs/folder.ts';
import type { BlobStore } from '../../archive/blobs/port.ts';
import { openS3, type S3Settings } from '../../archive/blobs/s3.ts';
import { ACCESS, type FakeS3, startFakeS3 } from '../support/fake-s3.ts';
import { AT } from '../support/mini-enclave.ts';
import { tempFolder } from './memory-source.ts';

interface Kind {
  open(writeOnce: boolean): Promise<BlobStore>;
  /** Puts other bytes where a blob lies. */
  alter(digest: string): void;
}

let s3: FakeS3;
beforeAll(async () => {
  s3 = await startFakeS3();
  vi.stubEnv('AWS_ACCESS_KEY_ID', ACCESS.id);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', ACCESS.secret);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await s3.stop();
});

const settings = (prefix: string): S3Settings => ({
  bucket: 'evidence',
  prefix,
  region: ACCESS.region,
  endpoint: s3.endpoint,
  lockDays: 10,
});

const kinds: Record<string, () => Kind> = {
  folder: () => {
    const folder = tempFolder();
    return {
      open: async (writeOnce) => new FolderBlobs(folder, { writeOnce }),
      alter: (digest) => writeFileSync(path.join(folder, digest.slice(0, 2), digest.slice(2)), 'other'),
    };
  },
  S3: () => {
    const prefix = `run-${s3.objects.size}/`;
    return {
      open: (writeOnce) => openS3(settings(prefix), { writeOnce, now: () => AT.getTime() }),
      alter: (digest) => {
        s3.objects.get(`evidence/${prefix}${digest}`)!.content = Buffer.from('other');
      },
    };
  },
};

for (const [name, make] of Object.entries(kinds)) {
  describe(`blobs: ${name}`, () => {
    const listed = async (blobs: BlobStore) => {
      const found = [];
      for await (const digest of blobs.list()) found.push(hex(digest));
      return found.sort();
    };

    test('put, get, has, list, delete', async () => {
      const blobs = await make().open(false);
      expect(await listed(blobs)).toEqual([]);
      const contents = ['', 'a', 'b', 'c', 'd'].map(utf8);
      const digests = [];
      for (const content of contents) digests.push(await blobs.put(content));
      expect(digests).toEqual(contents.map((content) => sha256(content)));
      for (const [i, digest] of digests.entries()) expect(await blobs.get(digest)).toEqual(contents[i]);
      expect(await blobs.put(contents[1]!)).toEqual(digests[1]);
      expect(await listed(blobs)).toEqual(digests.map(hex).sort());
      await blobs.delete(digests[2]!);
      await blobs.delete(digests[2]!);
      expect(await blobs.has(digests[2]!)).toBe(false);
      expect(await blobs.get(digests[2]!)).toBeNull();
      expect(await blobs.has(digests[3]!)).toBe(true);
      await blobs.close();
    });

    test('other bytes in its place are refused', async () => {
      const kind = make();
      const blobs = await kind.open(false);
      const digest = await blobs.put(utf8('certificate'));
      kind.alter(hex(digest));
      await expect(blobs.get(digest)).rejects.toMatchObject({ code: 'STORE_FAILED' });
      await blobs.close();
    });

    test('write-once: nothing is erased', async () => {
      const blobs = await make().open(true);
      const digest = await blobs.put(utf8('kept'));
      await expect(blobs.delete(digest)).rejects.toMatchObject({ code: 'ARCHIVE_WRITE_ONCE' });
      expect(await blobs.get(digest)).toEqual(utf8('kept'));
      await blobs.close();
    });
  });
}

test('a blob folder is for its owner alone, and holds nothing half-written', async () => {
  const folder = tempFolder();
  const steps: string[] = [];
  const blobs = new FolderBlobs(folder, { writeOnce: false, onStep: (step) => steps.push(step) });
  const name = hex(await blobs.put(utf8('x')));
  expect(steps).toEqual(['WRITE', 'FSYNC', 'RENAME', 'FSYNC FOLDER']);
  const file = path.join(folder, name.slice(0, 2), name.slice(2));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8')).toBe('x');
  expect(readdirSync(path.join(folder, 'unfinished'))).toEqual([]);
});

test('S3: a lock for as long as the archive says; a wrong secret is refused', async () => {
  const blobs = await openS3(settings('locked/'), { writeOnce: true, now: () => AT.getTime() });
  const digest = await blobs.put(utf8('locked'));
  const object = s3.objects.get(`evidence/locked/${hex(digest)}`)!;
  expect(new Date(object.lockedUntil!).getTime()).toBe(AT.getTime() + 10 * 86_400_000);
  await blobs.close();
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another');
  const wrong = await openS3(settings('wrong/'), { writeOnce: false, now: () => AT.getTime() });
  await expect(wrong.put(utf8('x'))).rejects.toMatchObject({ code: 'STORE_FAILED' });
  await expect(wrong.get(bytes(digest, 32, 'digest'))).rejects.toMatchObject({ code: 'STORE_FAILED' });
  await wrong.close();
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', ACCESS.secret);
});
