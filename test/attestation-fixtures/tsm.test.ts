import { verify, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  SimulatedAmdSp,
  SimulatedTsm,
  type SimulatedTsmOptions,
  type TsmFilesystem,
} from '../../attestation-fixtures/index.ts';
import { sharedAuthority } from '../../attestation-fixtures/snp/evidence.ts';
import { bytes, concat, fromUtf8, hex, utf8 } from '../../protocol/bytes.ts';
import { sha512 } from '../../protocol/hash.ts';
import { encodeSnpCertificateTable, SNP_CERTIFICATE_GUID } from '../../protocol/snp-certificate-table.ts';
import { EVIDENCE } from './oracles.ts';

const measurement = bytes(new Uint8Array(48).fill(3), 48, 'MEASUREMENT');
const nonce = (value: number) => new Uint8Array(64).fill(value);

let chip: SimulatedAmdSp;
beforeAll(async () => {
  chip = await SimulatedAmdSp.create({ authority: await sharedAuthority('Milan') });
});

/** A simulated report folder whose sleeps are noted, not slept. */
function simulated(options: Partial<SimulatedTsmOptions> = {}) {
  const slept: number[] = [];
  const sleep = async (ms: number) => slept.push(ms);
  return { tsm: new SimulatedTsm(chip, { guest: { measurement }, sleep, ...options }), slept };
}

const text = async (tsm: TsmFilesystem, path: string) => fromUtf8(await tsm.read(path));

function readTable(table: Uint8Array): Map<string, Buffer> {
  const raw = Buffer.from(table);
  const found = new Map<string, Buffer>();
  for (let at = 0; ; at += 24) {
    const guid = raw.subarray(at, at + 16).toString('hex');
    if (/^0+$/.test(guid)) return found;
    const offset = raw.readUInt32LE(at + 16);
    const length = raw.readUInt32LE(at + 20);
    expect(offset + length).toBeLessThanOrEqual(raw.length);
    found.set(guid, raw.subarray(offset, offset + length));
  }
}

const guid = (name: keyof typeof SNP_CERTIFICATE_GUID) => SNP_CERTIFICATE_GUID[name].replaceAll('-', '');

describe('a report', () => {
  test('answers inblob, under the chip', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    await tsm.write('one/inblob', nonce(0x5a));
    const report = await tsm.read('one/outblob');
    expect(report.length).toBe(1184);
    expect(hex(report.subarray(0x50, 0x90))).toBe('5a'.repeat(64));
    expect(hex(report.subarray(0x90, 0xc0))).toBe(hex(measurement));
    expect(hex(report.subarray(0x1a0, 0x1e0))).toBe(hex(chip.chipId));
    const part = (offset: number) => Buffer.from(report.subarray(offset, offset + 48)).reverse();
    const key = { key: new X509Certificate(chip.certificates.vcek).publicKey, dsaEncoding: 'ieee-p1363' } as const;
    expect(verify('sha384', report.subarray(0, 0x2a0), key, Buffer.concat([part(0x2a0), part(0x2e8)]))).toBe(true);
    await tsm.rmdir('one');
  });

  test('stays until the next write; REPORT_ID stays with the guest', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    await tsm.write('one/inblob', nonce(1));
    const first = await tsm.read('one/outblob');
    expect(await tsm.read('one/outblob')).toEqual(first);
    first.fill(0); // what the caller does to its copy stays with the caller
    expect((await tsm.read('one/outblob'))[0]).toBe(5);
    await tsm.write('one/inblob', nonce(1));
    const second = await tsm.read('one/outblob');
    const again = await tsm.read('one/outblob');
    expect(hex(second.subarray(0x2a0, 0x2d0))).toBe(hex(again.subarray(0x2a0, 0x2d0)));
    await tsm.write('one/inblob', nonce(1));
    const third = await tsm.read('one/outblob');
    expect(hex(third.subarray(0x2a0, 0x2d0))).not.toBe(hex(second.subarray(0x2a0, 0x2d0))); // ECDSA is drawn anew
    expect(hex(third.subarray(0x140, 0x160))).toBe(hex(second.subarray(0x140, 0x160)));
  });

  test('comes at the level asked for', async () => {
    const { tsm } = simulated({ privlevelFloor: 1 });
    await tsm.mkdir('one');
    expect(await text(tsm, 'one/privlevel_floor')).toBe('1\n');
    await tsm.write('one/inblob', nonce(1));
    await expect(tsm.read('one/outblob')).rejects.toMatchObject({ code: 'EIO' }); // level 0 is above this guest
    await tsm.write('one/privlevel', utf8('2\n'));
    expect((await tsm.read('one/outblob'))[0x30]).toBe(2);
    await tsm.write('one/privlevel', utf8('3'));
    expect((await tsm.read('one/outblob'))[0x30]).toBe(3);
    for (const bad of ['0', '4', '-1', 'x', '', '1 ', '99999']) {
      const code = bad === '' ? 'EFAULT' : 'EINVAL';
      await expect(tsm.write('one/privlevel', utf8(bad))).rejects.toMatchObject({ code });
    }
    expect(await text(tsm, 'one/generation')).toBe('3\n');
  });

  test('two folders do not disturb each other', async () => {
    const { tsm } = simulated();
    await Promise.all(['a', 'b'].map((name) => tsm.mkdir(name)));
    await Promise.all([tsm.write('a/inblob', nonce(0xa)), tsm.write('b/inblob', nonce(0xb))]);
    const [a, b] = await Promise.all([tsm.read('a/outblob'), tsm.read('b/outblob')]);
    expect([a[0x50], b[0x50]]).toEqual([0xa, 0xb]);
  });

  test('takes the bytes given at the call, whatever the caller does to its buffer next', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    const buffer = nonce(1);
    const writing = tsm.write('one/inblob', buffer);
    buffer.fill(2);
    await writing;
    expect((await tsm.read('one/outblob'))[0x50]).toBe(1);
  });
});

describe('rules of the kernel', () => {
  test('generation counts successful writes and shows a stranger in the folder', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    expect(await text(tsm, 'one/generation')).toBe('0\n');
    await tsm.write('one/inblob', nonce(1));
    expect(await text(tsm, 'one/generation')).toBe('1\n');
    await tsm.read('one/outblob');
    await tsm.read('one/auxblob');
    expect(await text(tsm, 'one/generation')).toBe('1\n');
    await tsm.write('one/inblob', nonce(2)); // the stranger
    expect(await text(tsm, 'one/generation')).toBe('2\n');
    expect((await tsm.read('one/outblob'))[0x50]).toBe(2);
    await expect(tsm.write('one/inblob', new Uint8Array(65))).rejects.toMatchObject({ code: 'EFBIG' });
    expect(await text(tsm, 'one/generation')).toBe('2\n');
    await tsm.rmdir('one');
    await tsm.mkdir('one');
    expect(await text(tsm, 'one/generation')).toBe('0\n');
  });

  test('nothing to read before inblob, nor with one that is not 64 bytes', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    for (const blob of ['outblob', 'auxblob']) {
      await expect(tsm.read(`one/${blob}`)).rejects.toMatchObject({
        code: 'EINVAL',
        syscall: 'read',
        path: `one/${blob}`,
      });
    }
    await tsm.write('one/inblob', new Uint8Array(63));
    await expect(tsm.read('one/outblob')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(tsm.write('one/inblob', new Uint8Array(0))).rejects.toMatchObject({ code: 'EFAULT' });
  });

  test('provider, and attributes that are not there or not for that use', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    expect(await text(tsm, 'one/provider')).toBe('sev_guest\n');
    expect(await text(tsm, 'one/privlevel_floor')).toBe('0\n');
    for (const path of ['one/manifestblob', 'one/nothing', 'one', 'two/outblob', 'one/a/b', '']) {
      await expect(tsm.read(path)).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(tsm.write(path, nonce(1))).rejects.toMatchObject({ code: 'ENOENT' });
    }
    for (const path of ['one/inblob', 'one/privlevel']) {
      await expect(tsm.read(path)).rejects.toMatchObject({ code: 'EACCES' });
    }
    for (const path of ['one/outblob', 'one/auxblob', 'one/generation', 'one/provider', 'one/privlevel_floor']) {
      await expect(tsm.write(path, nonce(1))).rejects.toMatchObject({ code: 'EACCES' });
    }
  });

  test('an SVSM’s manifest, bound by the hash that takes REPORT_DATA’s place', async () => {
    const { tsm } = simulated({ svsmManifest: utf8('services') });
    await tsm.mkdir('one');
    await expect(tsm.write('one/service_provider', utf8('other'))).rejects.toMatchObject({ code: 'EINVAL' });
    await tsm.write('one/service_provider', utf8('svsm\n'));
    await tsm.write('one/inblob', nonce(1));
    expect(await text(tsm, 'one/generation')).toBe('2\n');
    const report = await tsm.read('one/outblob');
    expect(report.subarray(0x50, 0x90)).toEqual(sha512(concat(nonce(1), utf8('services'))));
    expect(await text(tsm, 'one/manifestblob')).toBe('services');
  });

  test('folders', async () => {
    const { tsm } = simulated();
    await tsm.mkdir('one');
    await expect(tsm.mkdir('one')).rejects.toMatchObject({ code: 'EEXIST', errno: -17, syscall: 'mkdir' });
    await expect(tsm.mkdir('..')).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(tsm.mkdir('a/b')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(tsm.rmdir('two')).rejects.toMatchObject({ code: 'ENOENT' });
    await tsm.rmdir('one');
    await expect(tsm.read('one/generation')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('certificate table', () => {
  async function table(options: Partial<SimulatedTsmOptions>) {
    const { tsm } = simulated(options);
    await tsm.mkdir('one');
    await tsm.write('one/inblob', nonce(1));
    return tsm.read('one/auxblob');
  }

  test('holds VCEK, ASK and ARK as DER', async () => {
    const found = readTable(await table({}));
    expect(found.size).toBe(3);
    for (const name of ['vcek', 'ask', 'ark'] as const) {
      expect(new Uint8Array(found.get(guid(name))!)).toEqual(chip.certificates[name]);
    }
  });

  test('holds PEM on demand, and no root on demand', async () => {
    const found = readTable(await table({ certificates: 'pem', includeArk: false }));
    expect([...found.keys()].sort()).toEqual([guid('ask'), guid('vcek')].sort());
    for (const name of ['vcek', 'ask'] as const) {
      expect(new Uint8Array(new X509Certificate(found.get(guid(name))!).raw)).toEqual(chip.certificates[name]);
    }
  });

  test('may be empty', async () => {
    expect((await table({ certificates: 'none' })).length).toBe(0);
  });

  test('refuses what is not a GUID', () => {
    expect(() => encodeSnpCertificateTable([{ guid: 'zz', data: nonce(1) }])).toThrow(TypeError);
  });

  const real = `${EVIDENCE}/genoa-v3-tsm-veraison/auxblob.bin`;
  if (!existsSync(real)) console.warn(`SKIPPED: ${real} is not here`);
  test.skipIf(!existsSync(real))('a real table is the same bytes when its entries are encoded again', () => {
    const raw = readFileSync(real);
    const entries = [...readTable(raw)].map(([id, data]) => ({ guid: id, data }));
    expect(entries.map((entry) => entry.guid)).toEqual([guid('ark'), guid('ask'), guid('vcek')]);
    expect(hex(encodeSnpCertificateTable(entries))).toBe(hex(raw));
  });
});

describe('throttle', () => {
  async function reports(tsm: TsmFilesystem, n: number) {
    for (let i = 0; i < n; i++) {
      await tsm.write('one/inblob', nonce(i));
      await tsm.read('one/auxblob');
      await tsm.read('one/outblob');
    }
  }

  test('a cloud takes 8 ms a report, and every tenth waits 10 s', async () => {
    const { tsm, slept } = simulated({ throttle: 'cloud' });
    await tsm.mkdir('one');
    await reports(tsm, 21);
    const ten = [...Array<number>(9).fill(8), 10_000];
    expect(slept).toEqual([...ten, ...ten, 8]);
  });

  test('none does not wait', async () => {
    const { tsm, slept } = simulated();
    await tsm.mkdir('one');
    await reports(tsm, 21);
    expect(slept).toEqual([]);
  });

  test('others wait while the chip is busy', async () => {
    const order: string[] = [];
    let wake = () => {};
    const sleep = () => new Promise<void>((resolve) => (wake = resolve));
    const { tsm } = simulated({ throttle: 'cloud', sleep });
    await tsm.mkdir('one');
    await tsm.write('one/inblob', nonce(1));
    const slow = tsm.read('one/outblob').then(() => order.push('report'));
    const other = tsm.mkdir('two').then(() => order.push('mkdir'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([]);
    wake();
    await Promise.all([slow, other]);
    expect(order).toEqual(['report', 'mkdir']);
  });
});

describe('injected faults', () => {
  test.each(['EBUSY', 'EINVAL', 'EWOULDBLOCK', 'EFAULT', 'ENXIO', 'EIO', 'ETIMEDOUT'] as const)(
    'the next two reads give %s',
    async (code) => {
      const { tsm } = simulated();
      await tsm.mkdir('one');
      await tsm.write('one/inblob', nonce(1));
      tsm.failNext({ operation: 'read', attribute: 'outblob', code, times: 2 });
      expect(await text(tsm, 'one/generation')).toBe('1\n');
      for (let i = 0; i < 2; i++) await expect(tsm.read('one/outblob')).rejects.toMatchObject({ code });
      expect((await tsm.read('one/outblob')).length).toBe(1184);
    },
  );

  test('writes and folders too; a failed write leaves the generation alone', async () => {
    const { tsm } = simulated();
    tsm.failNext({ operation: 'mkdir', code: 'ENXIO', times: 1 });
    await expect(tsm.mkdir('one')).rejects.toMatchObject({ code: 'ENXIO' });
    await tsm.mkdir('one');
    tsm.failNext({ operation: 'write', code: 'EBUSY', times: 1 });
    await expect(tsm.write('one/inblob', nonce(1))).rejects.toMatchObject({ code: 'EBUSY', syscall: 'write' });
    expect(await text(tsm, 'one/generation')).toBe('0\n');
    tsm.failNext({ operation: 'rmdir', code: 'EBUSY', times: 1 });
    await expect(tsm.rmdir('one')).rejects.toMatchObject({ code: 'EBUSY' });
    await tsm.rmdir('one');
  });
});
