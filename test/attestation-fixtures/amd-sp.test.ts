import { verify, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SIMULATED_WARNING, SimulatedAmdSp } from '../../attestation-fixtures/index.ts';
import type { SimulatedAuthority } from '../../attestation-fixtures/snp/authority.ts';
import { sharedAuthority } from '../../attestation-fixtures/snp/evidence.ts';
import { ARK_FILE, KEY_FILE } from '../../attestation-fixtures/snp/key-file.ts';
import { PRODUCTS } from '../../attestation-fixtures/snp/products.ts';
import { bytes, hex } from '../../protocol/bytes.ts';
import { CodedError } from '../../protocol/errors.ts';

const root = mkdtempSync(path.join(tmpdir(), 'veritee-amd-sp-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const guest = {
  reportData: bytes(new Uint8Array(64).fill(1), 64, 'REPORT_DATA'),
  measurement: bytes(new Uint8Array(48).fill(2), 48, 'MEASUREMENT'),
};

let authority: SimulatedAuthority;
let turin: SimulatedAmdSp;
const made: string[] = [];
beforeAll(async () => {
  authority = await sharedAuthority('Genoa');
  turin = await SimulatedAmdSp.create({ product: 'Turin', onProgress: (event) => made.push(event.made) });
});

let folder: string;
let count = 0;
beforeEach(() => {
  folder = path.join(root, String(count++));
});

const keyFile = () => path.join(folder, KEY_FILE);
const arkFile = () => path.join(folder, ARK_FILE);

async function unusable(work: Promise<unknown>): Promise<CodedError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CodedError);
  expect((error as CodedError).code).toBe('DATA_FOLDER_UNUSABLE');
  return error as CodedError;
}

function signatureHolds(report: Uint8Array, vcek: Uint8Array): boolean {
  const part = (offset: number) => Buffer.from(report.subarray(offset, offset + 48)).reverse();
  const key = { key: new X509Certificate(vcek).publicKey, dsaEncoding: 'ieee-p1363' } as const;
  return verify('sha384', report.subarray(0, 0x2a0), key, Buffer.concat([part(0x2a0), part(0x2e8)]));
}

describe('a chip', () => {
  test('is made under new roots, telling how far it is', () => {
    const chip = turin;
    expect(made.sort()).toEqual(['ARK', 'ASK', 'VCEK']);
    const [vcek, ask, ark] = (['vcek', 'ask', 'ark'] as const).map(
      (name) => new X509Certificate(chip.certificates[name]),
    );
    expect(vcek!.verify(ask!.publicKey) && ask!.verify(ark!.publicKey) && ark!.verify(ark!.publicKey)).toBe(true);
    expect(hex(chip.chipId.subarray(8))).toBe('00'.repeat(56));
    expect(hex(chip.chipId.subarray(0, 8))).not.toBe('00'.repeat(8));
    const report = chip.report(guest);
    expect(hex(report.subarray(0x1a0, 0x1e0))).toBe(hex(chip.chipId));
    expect(signatureHolds(report, chip.certificates.vcek)).toBe(true);
  });

  test('signs its own version, TCB and CHIP_ID, and what the guest gives', async () => {
    const tcb = { layout: 'milan-genoa', bootloader: 9, tee: 0, snp: 22, microcode: 72 } as const;
    const now = new Date('2026-05-04T03:02:01.999Z');
    const chip = await SimulatedAmdSp.create({ authority, reportVersion: 3, tcb, now });
    const report = chip.report({ ...guest, vmpl: 2, policy: 0xb0000n });
    expect(report[0]).toBe(3);
    for (const offset of [0x38, 0x180, 0x1e0, 0x1f0])
      expect(hex(report.subarray(offset, offset + 8))).toBe('0900000000001648');
    expect([report[0x30], hex(report.subarray(0x08, 0x10))]).toEqual([2, '00000b0000000000']);
    expect(signatureHolds(report, chip.certificates.vcek)).toBe(true);
    const vcek = new X509Certificate(chip.certificates.vcek);
    expect(new Date(vcek.validFrom)).toEqual(new Date('2026-05-04T03:02:01Z'));
    expect(new Date(vcek.validTo)).toEqual(new Date('2033-05-04T03:02:01Z'));
    expect(chip.reportVersion).toBe(3);
    expect(chip.tcb).toEqual(tcb);
  });

  test('keeps its secrets out of JSON and of printed objects', async () => {
    const chip = await SimulatedAmdSp.create({ authority });
    const { inspect } = await import('node:util');
    expect(`${JSON.stringify(chip)}${inspect(chip, { depth: 9, showHidden: true })}`).not.toMatch(/MII|privateKey/);
  });

  test('refuses a TCB layout or an authority of another product', async () => {
    await expect(SimulatedAmdSp.create({ authority, tcb: PRODUCTS.Turin.tcb })).rejects.toThrow(TypeError);
    await expect(SimulatedAmdSp.create({ authority, product: 'Milan' })).rejects.toThrow(TypeError);
  });

  test('issues CRLs under its root', async () => {
    const chip = await SimulatedAmdSp.create({ authority });
    const crl = chip.crl({
      thisUpdate: new Date('2026-01-01T00:00:00Z'),
      nextUpdate: new Date('2027-01-01T00:00:00Z'),
    });
    expect(hex(crl)).toContain(Buffer.from('ARK-Genoa').toString('hex'));
  });
});

describe('persistence', () => {
  test('writes the secrets in one file of mode 0600 and the root as the only *.pem', async () => {
    const previous = process.umask(0);
    try {
      const chip = await SimulatedAmdSp.create({ authority });
      await chip.save(folder);
    } finally {
      process.umask(previous);
    }
    expect(readdirSync(folder).sort()).toEqual([ARK_FILE, KEY_FILE].sort());
    expect(readdirSync(folder).filter((name) => name.endsWith('.pem'))).toEqual([ARK_FILE]);
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    const text = readFileSync(arkFile(), 'utf8');
    expect(text).toMatch(/^VERITEE SIMULATED PLATFORM: NOT AMD\. Anyone can sign with this key\.\n/);
    expect(text.match(/-----BEGIN [A-Z ]+-----/g)).toEqual(['-----BEGIN CERTIFICATE-----']);
    expect(new Uint8Array(new X509Certificate(text).raw)).toEqual(authority.ark.certificate);
    expect(JSON.parse(readFileSync(keyFile(), 'utf8')).warning).toEqual(SIMULATED_WARNING.split('\n'));
  });

  test('the same chip comes back', async () => {
    const first = await SimulatedAmdSp.loadOrCreate(folder, { authority, reportVersion: 2 });
    const again = await SimulatedAmdSp.loadOrCreate(folder, {});
    const loaded = await SimulatedAmdSp.load(folder);
    for (const chip of [again, loaded]) {
      expect([chip.product, chip.reportVersion, chip.tcb]).toEqual([first.product, 2, first.tcb]);
      expect(chip.certificates).toEqual(first.certificates);
      expect(chip.chipId).toEqual(first.chipId);
      expect(chip.arkPem).toBe(first.arkPem);
      expect(signatureHolds(chip.report(guest), first.certificates.vcek)).toBe(true);
    }
    const crl = loaded.crl({ thisUpdate: new Date(), nextUpdate: new Date() });
    expect(crl.length).toBeGreaterThan(512);
  });

  test('a missing root certificate is written again; a missing key is not replaced', async () => {
    const first = await SimulatedAmdSp.loadOrCreate(folder, { authority });
    rmSync(arkFile());
    await SimulatedAmdSp.loadOrCreate(folder);
    expect(readFileSync(arkFile(), 'utf8')).toBe(first.arkPem);
    rmSync(keyFile());
    const error = await unusable(SimulatedAmdSp.loadOrCreate(folder, { authority }));
    expect(error.field).toBe(KEY_FILE);
    expect(readdirSync(folder)).toEqual([ARK_FILE]);
  });

  test('an empty folder: load refuses, loadOrCreate creates', async () => {
    await unusable(SimulatedAmdSp.load(folder));
    await SimulatedAmdSp.loadOrCreate(folder, { authority });
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test('a chip of another product or version is refused', async () => {
    await SimulatedAmdSp.loadOrCreate(folder, { authority, reportVersion: 3 });
    await unusable(SimulatedAmdSp.loadOrCreate(folder, { product: 'Milan' }));
    await unusable(SimulatedAmdSp.loadOrCreate(folder, { reportVersion: 5 }));
    await SimulatedAmdSp.loadOrCreate(folder, { product: 'Genoa', reportVersion: 3 });
  });

  test('a key file cut short anywhere is refused, kept, and not quoted', async () => {
    await SimulatedAmdSp.loadOrCreate(folder, { authority });
    const whole = readFileSync(keyFile());
    const root = readFileSync(arkFile());
    const secret = JSON.parse(whole.toString()).chip.ask.key as string;
    for (let size = 0; size < whole.length - 1; size += 97) {
      writeFileSync(keyFile(), whole.subarray(0, size));
      const error = await unusable(SimulatedAmdSp.loadOrCreate(folder, { authority }));
      expect(error.field).toBe(KEY_FILE);
      expect(error.cause).toBeUndefined();
      expect(error.message).not.toContain(secret.slice(0, 8));
      expect(readFileSync(keyFile()).length).toBe(size);
    }
    expect(readFileSync(arkFile())).toEqual(root);
    writeFileSync(keyFile(), whole);
    await SimulatedAmdSp.load(folder);
  });

  test('a key file with one changed character is refused, outside the free-text warning', async () => {
    await SimulatedAmdSp.loadOrCreate(folder, { authority });
    const whole = readFileSync(keyFile(), 'utf8');
    for (let i = whole.indexOf('"format"'); i < whole.length; i += 131) {
      if (/\s/.test(whole[i]!)) continue; // white space between JSON tokens means nothing
      const other = whole[i] === 'A' ? 'B' : 'A';
      writeFileSync(keyFile(), `${whole.slice(0, i)}${other}${whole.slice(i + 1)}`);
      await unusable(SimulatedAmdSp.load(folder));
    }
  });

  test('a root certificate that is not the one of the key file is refused', async () => {
    await SimulatedAmdSp.loadOrCreate(folder, { authority });
    for (const text of ['', 'not a certificate\n', turin.arkPem]) {
      writeFileSync(arkFile(), text);
      expect((await unusable(SimulatedAmdSp.loadOrCreate(folder))).field).toBe(ARK_FILE);
    }
  });

  test('a folder that cannot be used gives the system error as cause', async () => {
    writeFileSync(folder, 'a file');
    const error = await unusable(SimulatedAmdSp.loadOrCreate(folder, { authority }));
    expect(error.cause).toMatchObject({ code: 'ENOTDIR' });
    const chip = await SimulatedAmdSp.create({ authority });
    expect((await unusable(chip.save(folder))).cause).toBeInstanceOf(Error);
    rmSync(folder);
    mkdirSync(keyFile(), { recursive: true });
    expect((await unusable(SimulatedAmdSp.load(folder))).cause).toMatchObject({ code: 'EISDIR' });
    await unusable(chip.save(folder));
    expect(readdirSync(folder)).toEqual([KEY_FILE]); // and no temporary file stays behind
  });

  test.skipIf(process.getuid?.() === 0)('a folder without write permission is refused', async () => {
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    await unusable(SimulatedAmdSp.loadOrCreate(folder, { authority }));
  });
});
