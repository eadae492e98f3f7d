import { readFileSync } from 'node:fs';
import path from 'node:path';
import { bytes, CodedError, hex } from '@veritee/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeReport, reportFields } from '../../attestation-fixtures/snp/report.ts';
import { parseSnpReport, productOfCpuid, type SnpReport } from '../../verifier/snp/report.ts';
import { equalTcb, meetsTcb, parseTcb, type Tcb, tcbText } from '../../verifier/snp/tcb.ts';
import { caseFiles, codeOf, SNP_EVIDENCE, snpCases } from './snp-support.ts';

interface Facts {
  readonly policy: string;
  readonly vmpl: number;
  readonly platformInfo: string;
  readonly keyInfo: number;
  readonly firmware: string;
  readonly committedFirmware: string;
  readonly tcb: Readonly<Record<'current' | 'reported' | 'committed' | 'launch', string>>;
}

const raw8 = (...parts: readonly number[]) => bytes(Uint8Array.from(parts), 8, 'TCB');

describe.skipIf(!SNP_EVIDENCE)('real reports', () => {
  test.each(snpCases())('$id is decoded as its index entry says', (one) => {
    const report = parseSnpReport(caseFiles(one).report);
    const index = JSON.parse(readFileSync(path.join(SNP_EVIDENCE ?? '', 'index.json'), 'utf8'));
    const facts: Facts = index.cases.find(({ id }: { id: string }) => id === one.id).facts;
    const version = ({ major, minor, build }: SnpReport['currentFirmware']) => `${major}.${minor}.${build}`;
    expect(report.version).toBe(one.reportVersion);
    expect(report.signingKey).toBe(one.signer);
    expect(report.policy.raw).toBe(BigInt(facts.policy));
    expect(report.platformInfo.raw).toBe(BigInt(facts.platformInfo));
    expect(report.vmpl).toBe(facts.vmpl);
    expect(report.authorKeyEn).toBe((facts.keyInfo & 1) === 1);
    expect(version(report.currentFirmware)).toBe(facts.firmware);
    expect(version(report.committedFirmware)).toBe(facts.committedFirmware);
    expect(hex(report.currentTcb)).toBe(facts.tcb.current);
    expect(hex(report.reportedTcb)).toBe(facts.tcb.reported);
    expect(hex(report.committedTcb)).toBe(facts.tcb.committed);
    expect(hex(report.launchTcb)).toBe(facts.tcb.launch);
    if (one.reportVersion >= 3) expect(productOfCpuid(report)).toBe(one.product);
    else expect([report.cpuid, productOfCpuid(report)]).toEqual([null, null]);
    expect(report.launchMitVector === null).toBe(one.reportVersion < 5);
  });
});

describe('report', () => {
  const marked = <N extends number>(n: N, value: number) => bytes(new Uint8Array(n).fill(value), n, 'marked');
  const good = reportFields('Genoa', 5, {
    reportData: marked(64, 1),
    measurement: marked(48, 2),
    hostData: marked(32, 3),
    idKeyDigest: marked(48, 4),
    authorKeyDigest: marked(48, 5),
    reportId: marked(32, 6),
    reportIdMa: marked(32, 7),
    chipId: marked(64, 8),
    familyId: marked(16, 9),
    imageId: marked(16, 10),
    guestSvn: 11,
    vmpl: 3,
    mitigationVectors: { launch: 12n, current: 13n },
    overwrite: [
      { offset: 0x2a0, value: Uint8Array.from({ length: 48 }, (_, i) => i + 1) },
      { offset: 0x2e8, value: Uint8Array.from({ length: 48 }, (_, i) => 100 + i) },
    ],
  });

  test('each field is read from its own place', () => {
    const raw = encodeReport(good);
    const report = parseSnpReport(raw);
    expect(report).toMatchObject({ guestSvn: 11, vmpl: 3, launchMitVector: 12n, currentMitVector: 13n });
    expect(hex(report.reportData)).toBe('01'.repeat(64));
    expect(hex(report.measurement)).toBe('02'.repeat(48));
    expect(hex(report.hostData)).toBe('03'.repeat(32));
    expect(hex(report.idKeyDigest)).toBe('04'.repeat(48));
    expect(hex(report.authorKeyDigest)).toBe('05'.repeat(48));
    expect(hex(report.reportId)).toBe('06'.repeat(32));
    expect(hex(report.reportIdMa)).toBe('07'.repeat(32));
    expect(hex(report.chipId)).toBe('08'.repeat(64));
    expect(hex(report.familyId)).toBe('09'.repeat(16));
    expect(hex(report.imageId)).toBe('0a'.repeat(16));
    expect(hex(report.signedBytes)).toBe(hex(raw.subarray(0, 0x2a0)));
    expect(report.signature[0]).toBe(48);
    expect(report.signature[47]).toBe(1);
    expect(report.signature[48]).toBe(147);
    expect(report.signature[95]).toBe(100);
  });

  test('writing to the input later changes nothing', () => {
    const raw = new Uint8Array(encodeReport(good));
    const report = parseSnpReport(raw);
    raw.fill(0xff);
    expect(hex(report.measurement)).toBe('02'.repeat(48));
    expect(report.signedBytes[0x90]).toBe(2);
  });

  test.each([
    ['smt', 16],
    ['migrateMa', 18],
    ['debug', 19],
    ['singleSocket', 20],
    ['cxlAllow', 21],
    ['memAes256Xts', 22],
    ['raplDis', 23],
    ['ciphertextHidingDram', 24],
    ['pageSwapDisable', 25],
  ] as const)('guest policy %s is bit %i', (name, bit) => {
    const policy = (raw: bigint) => parseSnpReport(encodeReport({ ...good, policy: raw })).policy;
    expect(policy(0x20000n | (1n << BigInt(bit)))[name]).toBe(true);
    expect(policy((0x3fd0000n & ~(1n << BigInt(bit))) | 0x20000n)[name]).toBe(false);
    expect(policy(0x30133n)).toMatchObject({ abiMajor: 1, abiMinor: 0x33 });
  });

  test.each([
    ['smtEn', 0],
    ['tsmeEn', 1],
    ['eccEn', 2],
    ['raplDis', 3],
    ['ciphertextHidingDramEn', 4],
    ['aliasCheckComplete', 5],
    ['tioEn', 7],
  ] as const)('platform info %s is bit %i', (name, bit) => {
    const info = (platformInfo: bigint) => parseSnpReport(encodeReport({ ...good, platformInfo })).platformInfo;
    expect(info(1n << BigInt(bit))).toMatchObject({ [name]: true, unknownBits: 0n });
    expect(info(0xffn & ~(1n << BigInt(bit)))).toMatchObject({ [name]: false, unknownBits: 0x40n });
  });

  test('version 2 has no alias check bit: what stands there is unknown', () => {
    const old = reportFields('Milan', 2, { reportData: marked(64, 1), measurement: marked(48, 2) });
    const report = encodeReport({ ...old, platformInfo: 0x21n, overwrite: good.overwrite });
    expect(parseSnpReport(report).platformInfo).toMatchObject({ aliasCheckComplete: false, unknownBits: 0x20n });
  });

  test.each([
    [0x19, 0x00, 'Milan'],
    [0x19, 0x0f, 'Milan'],
    [0x19, 0x10, 'Genoa'],
    [0x19, 0x1f, 'Genoa'],
    [0x19, 0x20, null],
    [0x19, 0xa0, 'Genoa'],
    [0x19, 0xaf, 'Genoa'],
    [0x19, 0xb0, null],
    [0x1a, 0x00, 'Turin'],
    [0x1a, 0x11, 'Turin'],
    [0x1a, 0x12, null],
    [0x1a, 0x4f, null],
    [0x1a, 0xb0, null],
    [0x17, 0x01, null],
  ])('CPUID family %i, model %i is %s', (family, model, product) => {
    const report = encodeReport({ ...good, cpuid: { family, model, stepping: 0 } });
    expect(productOfCpuid(parseSnpReport(report))).toBe(product);
  });

  test('random bytes of the right length are refused with a code', () => {
    const random = fc.uint8Array({ minLength: 1184, maxLength: 1184 });
    fc.assert(fc.property(random, (raw) => codeOf(() => parseSnpReport(raw)) !== 'accepted'));
    const version5 = random.map((raw) => Uint8Array.from([5, 0, 0, 0, ...raw.subarray(4)]));
    fc.assert(
      fc.property(version5, (raw) => {
        try {
          parseSnpReport(raw);
          return false;
        } catch (error) {
          return error instanceof CodedError;
        }
      }),
    );
  });
});

describe('TCB_VERSION', () => {
  const milan: Tcb = { layout: 'milan-genoa', bootloader: 4, tee: 1, snp: 24, microcode: 219 };
  const turin: Tcb = { layout: 'turin', fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 81 };

  test('is read in the layout of the product', () => {
    expect(parseTcb(raw8(4, 1, 0, 0, 0, 0, 24, 219), 'milan-genoa')).toEqual(milan);
    expect(parseTcb(raw8(1, 2, 3, 4, 0, 0, 0, 81), 'turin')).toEqual(turin);
    expect(tcbText(turin)).toBe('fmc 1, bootloader 2, tee 3, snp 4, microcode 81');
  });

  test.each([
    ['milan-genoa', [2, 3, 4, 5]],
    ['turin', [4, 5, 6]],
  ] as const)('%s: reserved bytes are %j', (layout, reserved) => {
    for (let at = 0; at < 8; at++) {
      const raw = new Uint8Array(8);
      raw[at] = 1;
      const code = codeOf(() => parseTcb(bytes(raw, 8, 'TCB'), layout));
      expect(code).toBe((reserved as readonly number[]).includes(at) ? 'EVIDENCE_MALFORMED' : 'accepted');
    }
  });

  test('is compared part by part, never across layouts', () => {
    for (const tcb of [milan, turin]) {
      expect(meetsTcb(tcb, tcb)).toBe(true);
      expect(equalTcb(tcb, { ...tcb })).toBe(true);
      for (const part of ['bootloader', 'tee', 'snp', 'microcode'] as const) {
        const higher = { ...tcb, [part]: tcb[part] + 1 };
        expect(meetsTcb(higher, tcb)).toBe(true);
        expect(meetsTcb(tcb, higher)).toBe(false);
        expect(equalTcb(tcb, higher)).toBe(false);
        // As one number this would be larger.
        expect(meetsTcb({ ...higher, microcode: 255, [part]: tcb[part] - 1 }, tcb)).toBe(false);
      }
    }
    expect(meetsTcb(turin, { ...turin, fmc: 2 })).toBe(false);
    expect(meetsTcb({ ...turin, fmc: 2 }, turin)).toBe(true);
    const low = { bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    expect(meetsTcb(milan, { layout: 'turin', fmc: 0, ...low })).toBe(false);
    expect(meetsTcb(turin, { layout: 'milan-genoa', ...low })).toBe(false);
  });
});
