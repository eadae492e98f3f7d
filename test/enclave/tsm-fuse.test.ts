import { execFileSync } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigfsTsmAttester, type ConfigfsTsmOptions } from '../../enclave/attester/configfs-tsm.ts';
import { NsmAttester } from '../../enclave/attester/nsm.ts';
import { ThreadedNsm } from '../../enclave/attester/nsm-thread.ts';
import { ERRNO } from '../../enclave/attester/platform-error.ts';
import { GivenEndorsements } from '../../enclave/attester/snp-certificates.ts';
import { TsmFolder } from '../../enclave/attester/tsm-folder.ts';
import { bytes, modelSetPcr, sha256, utf8 } from '../../protocol/index.ts';
import type { FuseFault, FuseOptions } from '../support/tsm-fuse.ts';
import { bundleProgram, PROGRAMS, TsmMount } from '../support/tsm-mount.ts';

const missing = TsmMount.missing();
if (missing !== null)
  console.warn(`SKIPPED: the attesters over a real file system and a real ioctl (FUSE): ${missing}`);

const data = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');
const key = bytes(new Uint8Array(32).fill(8), 32, 'session key');

const keys = mkdtempSync(path.join(tmpdir(), 'veritee-chip-'));
const mounted: TsmMount[] = [];
const threads: ThreadedNsm[] = [];
afterAll(async () => {
  for (const thread of threads) await thread.close();
  for (const one of mounted) await one.stop();
  for (const folder of [keys, PROGRAMS]) rmSync(folder, { recursive: true, force: true });
});

async function mount(options: Partial<FuseOptions> = {}): Promise<TsmMount> {
  const one = await TsmMount.mount({ keys, ...options });
  mounted.push(one);
  return one;
}

const snp = ({ folder }: TsmMount, options: Partial<ConfigfsTsmOptions> = {}) =>
  new ConfigfsTsmAttester(new TsmFolder(`${folder}/report`), {
    platform: 'snp',
    warning: null,
    minIntervalMs: 1,
    privlevel: null,
    endorsements: new GivenEndorsements(),
    ...options,
  });

function nsm(device: string): NsmAttester {
  const thread = new ThreadedNsm(pathToFileURL(bundleProgram('test/support/nsm-program.ts', 'nsm-program')), device);
  threads.push(thread);
  return new NsmAttester(thread, { platform: 'nitro', warning: null, minIntervalMs: 1 });
}

const requests = ({ folder }: TsmMount): string[] => readdirSync(`${folder}/report`);

describe.skipIf(missing !== null)('configfs-tsm as a file system', () => {
  let tsm: TsmMount;
  beforeAll(async () => {
    tsm = await mount();
  }, 120_000);

  test('a report over REPORT_DATA with its chain, and no directory left', async () => {
    const { report, chain } = await snp(tsm).attest(data);
    expect(report.subarray(0x50, 0x90)).toEqual(new Uint8Array(data));
    expect(chain).toEqual(tsm.chain);
    expect(requests(tsm)).toEqual([]);
  });

  test('the file system is as strict as configfs: no reading of inblob, no writing of outblob, no creating', async () => {
    const folder = `${tsm.folder}/report/by-hand`;
    mkdirSync(folder);
    const tsmFolder = new TsmFolder(`${tsm.folder}/report`);
    await expect(tsmFolder.read('by-hand/inblob')).rejects.toMatchObject({ code: 'EACCES' });
    await expect(tsmFolder.write('by-hand/outblob', utf8('x'))).rejects.toMatchObject({ code: 'EACCES' });
    await expect(tsmFolder.read('by-hand/outblob')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(tsmFolder.read('by-hand/nothing')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(tsmFolder.write('by-hand/inblob', new Uint8Array(65))).rejects.toMatchObject({ code: 'EFBIG' });
    await tsmFolder.rmdir('by-hand');
  });

  const places: readonly (readonly [FuseFault['operation'], string | undefined, string])[] = [
    ['mkdir', undefined, 'mkdir'],
    ['open', 'inblob', 'inblob'],
    ['write', 'inblob', 'inblob'],
    ['read', 'provider', 'provider'],
    ['read', 'generation', 'generation'],
    ['read', 'auxblob', 'auxblob'],
    ['read', 'outblob', 'outblob'],
  ];
  test.each(places)(
    '%s %s: every errno has its code, and the next request works',
    async (operation, attribute, field) => {
      const attester = snp(tsm);
      for (const [errno, [code]] of Object.entries(ERRNO)) {
        const name = errno === 'EINTR' ? 'EIO' : errno; // the kernel restarts an interrupted call by itself
        await tsm.fault({ operation, ...(attribute === undefined ? {} : { attribute }), errno: name, times: 1 });
        const expected = { code: name === errno ? code : 'PLATFORM_FAILED', field };
        await expect(attester.attest(data), errno).rejects.toMatchObject(expected);
        expect(requests(tsm)).toEqual([]);
      }
      expect((await attester.attest(data)).report.length).toBe(1184);
    },
  );

  test('a short report is a failure', async () => {
    for (const short of [0, 1, 1183]) {
      await tsm.fault({ operation: 'read', attribute: 'outblob', short, times: 1 });
      await expect(snp(tsm).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_FAILED', field: 'outblob' });
    }
    expect(requests(tsm)).toEqual([]);
  });

  test('a partial write is a failure, on a file system that is full', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'veritee-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'none', folder]);
    try {
      writeFileSync(path.join(folder, 'inblob'), '');
      const expected = { code: 'PLATFORM_FAILED', field: 'inblob', message: expect.stringContaining('4096 of 5000') };
      await expect(new TsmFolder(folder).write('inblob', new Uint8Array(5000))).rejects.toMatchObject(expected);
    } finally {
      execFileSync('umount', [folder]);
      rmdirSync(folder);
    }
  });

  test('a blob without end is refused at the bound', async () => {
    const expected = { code: 'PLATFORM_FAILED', field: 'zero', message: expect.stringContaining('262144') };
    await expect(new TsmFolder('/dev').read('zero')).rejects.toMatchObject(expected);
  });

  test('a generation race is asked again; one each time is busy', async () => {
    await tsm.fault({ operation: 'read', attribute: 'outblob', race: true, times: 1 });
    expect((await snp(tsm).attest(data)).report.length).toBe(1184);
    await tsm.fault({ operation: 'read', attribute: 'outblob', race: true, times: 3 });
    await expect(snp(tsm).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_BUSY', field: 'generation' });
    expect(requests(tsm)).toEqual([]);
  });

  test('a directory that cannot be removed costs no report, and a crashed run’s go at the next start', async () => {
    await tsm.fault({ operation: 'rmdir', errno: 'EBUSY', times: 1 });
    expect((await snp(tsm).attest(data)).report.length).toBe(1184);
    expect(requests(tsm).length).toBe(1);
    expect(await snp(tsm).cleanUp()).toBe(1);
    expect(requests(tsm)).toEqual([]);
    await tsm.fault({ operation: 'list', errno: 'EACCES', times: 1 });
    await expect(snp(tsm).cleanUp()).rejects.toMatchObject({ code: 'PLATFORM_UNAVAILABLE' });
  });

  test('while the host throttles, files, crypto and the event loop go on', async () => {
    await tsm.fault({ operation: 'read', attribute: 'outblob', held: true, errno: 'ETIMEDOUT', times: 1 });
    let over = false;
    const report = expect(snp(tsm).attest(data))
      .rejects.toMatchObject({ code: 'PLATFORM_TIMEOUT', field: 'outblob' })
      .finally(() => {
        over = true;
      });
    let done = 0;
    while (done < 20) {
      const [content] = await Promise.all([
        readFile(new URL(import.meta.url)),
        promisify(pbkdf2)('x', 'y', 1, 32, 'sha256'),
      ]);
      expect(content.length).toBeGreaterThan(0);
      done += 1;
    }
    expect(over).toBe(false);
    tsm.release();
    await report;
  });

  test('no such folder: not this platform', async () => {
    const nowhere = new ConfigfsTsmAttester(new TsmFolder(`${tsm.folder}/nowhere`), {
      platform: 'snp',
      warning: null,
      minIntervalMs: 1,
      privlevel: null,
      endorsements: new GivenEndorsements(),
    });
    await expect(nowhere.attest(data)).rejects.toMatchObject({ code: 'PLATFORM_UNAVAILABLE', field: 'mkdir' });
    await expect(nowhere.cleanUp()).rejects.toMatchObject({ code: 'PLATFORM_UNAVAILABLE' });
  });
});

describe.skipIf(missing !== null)('other hosts', () => {
  test('one that gives no certificates: evidence waits until somebody does', async () => {
    const tsm = await mount({ certificates: 'none' });
    const attester = snp(tsm);
    await expect(attester.attest(data)).rejects.toMatchObject({ code: 'ENDORSEMENT_MISSING' });
    for (const der of tsm.chain) attester.endorsements.offer(der);
    expect((await attester.attest(data)).chain).toEqual(tsm.chain);
  });

  test('one under an SVSM, at VMPL 2: its level, and the manifest under the hash', async () => {
    const tsm = await mount({ svsmManifest: 'services', privlevelFloor: 2 });
    expect((await snp(tsm, { privlevel: 2 }).attest(data)).report[0x30]).toBe(2);
    const { report, manifest } = await snp(tsm, { privlevel: 2 }).serviceManifest();
    expect(manifest).toEqual(utf8('services'));
    expect(report.subarray(0x50, 0x90)).not.toEqual(new Uint8Array(data));
    await expect(snp(tsm, { privlevel: 1 }).attest(data)).rejects.toMatchObject({ field: 'privlevel' });
    await expect(snp(tsm).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_FAILED' });
  });
});

describe.skipIf(missing !== null)('the ioctl of /dev/nsm, through koffi', () => {
  let tsm: TsmMount;
  let attester: NsmAttester;
  beforeAll(async () => {
    tsm = await mount();
    attester = nsm(`${tsm.folder}/nsm`);
  }, 120_000);

  test('a document over REPORT_DATA, in the caller’s memory', async () => {
    const { report } = await attester.attest(data, key);
    expect(report.length).toBeGreaterThan(4000);
    const found = (part: Uint8Array) => Buffer.from(report).includes(Buffer.from(part));
    expect([found(data), found(key)]).toEqual([true, true]);
  });

  test('describes itself, gives random bytes, and measures models once', async () => {
    expect(await attester.describe()).toMatchObject({ version: '1.0.0', maxPcrs: 32 });
    const random = await Promise.all([attester.random(), attester.random()]);
    expect(random.map(({ length }) => length)).toEqual([256, 256]);
    expect(random[0]).not.toEqual(random[1]);
    const models = [sha256(utf8('b')), sha256(utf8('a'))];
    await attester.measureModels(models);
    expect(await attester.pcr(16)).toEqual({ lock: true, data: modelSetPcr(models) });
    await attester.measureModels(models); // a process that started anew
    await expect(attester.measureModels(models.slice(1))).rejects.toMatchObject({ code: 'PLATFORM_MODELS_DIFFER' });
  });

  test('every errno of the driver has its code, and the next request works', async () => {
    for (const [errno, [code]] of Object.entries(ERRNO)) {
      const name = errno === 'EINTR' ? 'EIO' : errno;
      await tsm.fault({ operation: 'ioctl', errno: name, times: 1 });
      const expected = { code: name === errno ? code : 'PLATFORM_FAILED', field: 'nsm' };
      await expect(attester.random(), errno).rejects.toMatchObject(expected);
    }
    expect((await attester.random()).length).toBe(256);
  });

  test('a stall holds its own thread alone', async () => {
    await tsm.fault({ operation: 'ioctl', held: true, errno: 'ETIMEDOUT', times: 1 });
    let over = false;
    const asked = expect(attester.random())
      .rejects.toMatchObject({ code: 'PLATFORM_TIMEOUT' })
      .finally(() => {
        over = true;
      });
    for (let i = 0; i < 50; i++) {
      await readFile(new URL(import.meta.url));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(over).toBe(false);
    tsm.release();
    await asked;
  });

  test('a request over 4,096 bytes does not reach the device', async () => {
    const [thread] = threads.slice(-1);
    await expect(thread!.request(new Uint8Array(0x1001))).rejects.toMatchObject({ code: 'EMSGSIZE' });
  });
});

describe('the ioctl where there is no such device', () => {
  const home = mkdtempSync(path.join(tmpdir(), 'veritee-nsm-'));
  afterAll(() => rmSync(home, { recursive: true }));

  test('the kernel’s own ENOTTY, on a pipe', async () => {
    const pipe = path.join(home, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(nsm(pipe).describe()).rejects.toMatchObject({
      code: 'PLATFORM_UNAVAILABLE',
      message: expect.stringContaining('ENOTTY'),
    });
  });

  test('nothing there, and no right to it', async () => {
    await expect(nsm(path.join(home, 'nothing')).describe()).rejects.toMatchObject({
      code: 'PLATFORM_UNAVAILABLE',
      message: expect.stringContaining('ENOENT'),
    });
    await expect(nsm(home).describe()).rejects.toMatchObject({
      code: 'PLATFORM_FAILED',
      message: expect.stringContaining('EISDIR'),
    });
  });

  test('a program that ends fails what is pending, and the next request starts it anew', async () => {
    const thread = new ThreadedNsm(new URL('file:///nonexistent/program.mjs'), '/dev/null');
    const attester = new NsmAttester(thread, { platform: 'nitro', warning: null, minIntervalMs: 1 });
    for (let i = 0; i < 2; i++) {
      await expect(attester.random()).rejects.toMatchObject({ code: 'PLATFORM_FAILED', field: 'nsm' });
    }
  });
});
