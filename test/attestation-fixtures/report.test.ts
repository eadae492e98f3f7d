import { type createPublicKey, generateKeyPairSync, verify, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodeTcb, PRODUCTS, type Product } from '../../attestation-fixtures/snp/products.ts';
import {
  encodeReport,
  encodeSignature,
  type ReportFields,
  reportFields,
  signReport,
} from '../../attestation-fixtures/snp/report.ts';
import { type Bytes, bytes, hex } from '../../protocol/bytes.ts';
import { decodeReport, haveReal, realCases } from './oracles.ts';

const PRODUCT_NAMES: readonly Product[] = ['Milan', 'Genoa', 'Turin'];
const filled = <N extends number>(n: N, value: number): Bytes<N> => bytes(new Uint8Array(n).fill(value), n, 'filled');
const given = { reportData: filled(64, 0xd0), measurement: filled(48, 0xd1) };
const at = (report: Uint8Array, offset: number, size: number) => hex(report.subarray(offset, offset + size));

/** R and S back from the SIGNATURE field, for node:crypto. */
function ieeeP1363(report: Uint8Array): Buffer {
  const part = (offset: number) => Buffer.from(report.subarray(offset, offset + 48)).reverse();
  return Buffer.concat([part(0x2a0), part(0x2e8)]);
}

const signatureHolds = (report: Uint8Array, key: ReturnType<typeof createPublicKey>) =>
  verify('sha384', report.subarray(0, 0x2a0), { key, dsaEncoding: 'ieee-p1363' }, ieeeP1363(report));

const cases = PRODUCT_NAMES.flatMap((product) => [2, 3, 5].map((version) => [product, version] as const));

describe.each(cases)('%s report, version %i', (product, version) => {
  const facts = PRODUCTS[product];
  const report = encodeReport(reportFields(product, version, given));

  test('defaults are a healthy platform', () => {
    expect(report.length).toBe(1184);
    expect(at(report, 0x000, 4)).toBe(`0${version}000000`);
    expect(at(report, 0x004, 4)).toBe('00000000');
    expect(at(report, 0x008, 8)).toBe('0000030000000000');
    expect(at(report, 0x010, 32)).toBe('00'.repeat(32));
    expect(at(report, 0x030, 8)).toBe('0000000001000000');
    expect(at(report, 0x048, 8)).toBe('00'.repeat(8));
    expect(at(report, 0x050, 64)).toBe('d0'.repeat(64));
    expect(at(report, 0x090, 48)).toBe('d1'.repeat(48));
    expect(at(report, 0x0c0, 128)).toBe('00'.repeat(128));
    expect(at(report, 0x140, 32)).not.toBe('00'.repeat(32));
    expect(at(report, 0x160, 32)).toBe('ff'.repeat(32));
    const tcb = { Milan: '0400000000001bde', Genoa: '0a00000000001954', Turin: '0101010400000051' }[product];
    for (const offset of [0x038, 0x180, 0x1e0, 0x1f0]) expect(at(report, offset, 8)).toBe(tcb);
    const platform = version === 2 ? '01' : { Milan: '25', Genoa: '25', Turin: '65' }[product];
    expect(at(report, 0x040, 8)).toBe(`${platform}00000000000000`);
    const cpuid = { Milan: '190101', Genoa: '191101', Turin: '1a0201' }[product];
    expect(at(report, 0x188, 3)).toBe(version === 2 ? '000000' : cpuid);
    const build = hex(Uint8Array.of(facts.firmware.build));
    expect(at(report, 0x1e8, 8)).toBe(`${build}370100${build}370100`);
    const vector = `${{ Milan: '0b', Genoa: '01', Turin: '3f' }[product]}00000000000000`;
    expect(at(report, 0x1f8, 16)).toBe(version === 5 ? vector.repeat(2) : '00'.repeat(16));
  });

  test('reserved bytes and the empty signature are zero', () => {
    const reserved: readonly (readonly [number, number])[] = [
      [0x04c, 0x050],
      [version === 2 ? 0x188 : 0x18b, 0x1a0],
      [0x1eb, 0x1ec],
      [0x1ef, 0x1f0],
      [version < 5 ? 0x1f8 : 0x208, 1184],
    ];
    for (const [from, to] of reserved) expect(at(report, from, to - from)).toBe('00'.repeat(to - from));
  });

  test('REPORT_ID differs from report to report', () => {
    const other = encodeReport(reportFields(product, version, given));
    expect(at(other, 0x140, 32)).not.toBe(at(report, 0x140, 32));
  });
});

// One field, the value put in, where it must appear and as which bytes; nothing else may change.
const moved: readonly (readonly [Partial<ReportFields>, number, string])[] = [
  [{ version: 0x01020304 }, 0x000, '04030201'],
  [{ guestSvn: 0xa1b2c3d4 }, 0x004, 'd4c3b2a1'],
  [{ policy: 0x1122334455667788n }, 0x008, '8877665544332211'],
  [{ familyId: filled(16, 0x11) }, 0x010, '11'.repeat(16)],
  [{ imageId: filled(16, 0x12) }, 0x020, '12'.repeat(16)],
  [{ vmpl: 0xffffffff }, 0x030, 'ffffffff'],
  [{ signatureAlgo: 2 }, 0x034, '02000000'],
  [{ currentTcb: { layout: 'milan-genoa', bootloader: 1, tee: 2, snp: 3, microcode: 4 } }, 0x038, '0102000000000304'],
  [{ platformInfo: 0xff00000000000001n }, 0x040, '01000000000000ff'],
  [{ keyInfo: 0x1f }, 0x048, '1f000000'],
  [{ reportData: filled(64, 0x13) }, 0x050, '13'.repeat(64)],
  [{ measurement: filled(48, 0x14) }, 0x090, '14'.repeat(48)],
  [{ hostData: filled(32, 0x15) }, 0x0c0, '15'.repeat(32)],
  [{ idKeyDigest: filled(48, 0x16) }, 0x0e0, '16'.repeat(48)],
  [{ authorKeyDigest: filled(48, 0x17) }, 0x110, '17'.repeat(48)],
  [{ reportId: filled(32, 0x18) }, 0x140, '18'.repeat(32)],
  [{ reportIdMa: filled(32, 0x19) }, 0x160, '19'.repeat(32)],
  [
    { reportedTcb: { layout: 'turin', fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 255 } },
    0x180,
    '01020304000000ff',
  ],
  [{ cpuid: { family: 1, model: 2, stepping: 3 } }, 0x188, '010203'],
  [{ chipId: filled(64, 0x1a) }, 0x1a0, '1a'.repeat(64)],
  [{ committedTcb: { layout: 'milan-genoa', bootloader: 5, tee: 6, snp: 7, microcode: 8 } }, 0x1e0, '0506000000000708'],
  [{ currentFirmware: { major: 3, minor: 2, build: 1 } }, 0x1e8, '010203'],
  [{ committedFirmware: { major: 6, minor: 5, build: 4 } }, 0x1ec, '040506'],
  [{ launchTcb: { layout: 'milan-genoa', bootloader: 9, tee: 8, snp: 7, microcode: 6 } }, 0x1f0, '0908000000000706'],
  [{ mitigationVectors: { launch: 2n, current: 3n } }, 0x1f8, `02${'00'.repeat(7)}03${'00'.repeat(7)}`],
  [{ overwrite: [{ offset: 0x04c, value: Uint8Array.of(0xab) }] }, 0x04c, 'ab'],
];

describe('every field stands at its own offset', () => {
  const base = reportFields('Milan', 5, given);
  const before = encodeReport(base);

  test.each(moved.map((row) => [Object.keys(row[0])[0] ?? '', ...row] as const))(
    '%s',
    (_name, change, offset, wanted) => {
      const after = encodeReport({ ...base, ...change });
      const size = wanted.length / 2;
      expect(at(after, offset, size)).toBe(wanted);
      const restored = Uint8Array.from(after);
      restored.set(before.subarray(offset, offset + size), offset);
      expect(hex(restored)).toBe(hex(before));
    },
  );

  test('all fields are in the list above', () => {
    expect(new Set(moved.flatMap(([change]) => Object.keys(change)))).toEqual(new Set(Object.keys(base)));
  });
});

describe('numbers that do not fit are refused', () => {
  const base = reportFields('Genoa', 5, given);
  const bad: readonly Partial<ReportFields>[] = [
    { version: -1 },
    { version: 2 ** 32 },
    { guestSvn: 1.5 },
    { policy: -1n },
    { policy: 1n << 64n },
    { cpuid: { family: 256, model: 0, stepping: 0 } },
    { currentFirmware: { major: 1, minor: 2, build: Number.NaN } },
    { reportedTcb: { layout: 'milan-genoa', bootloader: 256, tee: 0, snp: 0, microcode: 0 } },
    { overwrite: [{ offset: 1184, value: Uint8Array.of(1) }] },
  ];
  test.each(bad.map((change) => [Object.keys(change)[0] ?? '', change] as const))('%s', (_name, change) => {
    expect(() => encodeReport({ ...base, ...change })).toThrow(RangeError);
  });

  test('a TCB part that is no byte', () => {
    const parts = { layout: 'turin', fmc: 0, bootloader: 0, tee: -1, snp: 0, microcode: 0 } as const;
    expect(() => encodeTcb(parts)).toThrow(RangeError);
  });
});

describe('signature', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });

  test('verifies with node:crypto, covers 0x000-0x29f and leaves the rest of its field zero', () => {
    const unsigned = encodeReport(reportFields('Genoa', 5, given));
    const signed = signReport(unsigned, privateKey);
    expect(at(unsigned, 0x2a0, 144)).toBe('00'.repeat(144));
    expect(at(signed, 0, 0x2a0)).toBe(at(unsigned, 0, 0x2a0));
    for (const top of [0x2a0 + 48, 0x2e8 + 48]) expect(at(signed, top, 24)).toBe('00'.repeat(24));
    expect(at(signed, 0x330, 368)).toBe('00'.repeat(368));
    expect(signatureHolds(signed, publicKey)).toBe(true);
    for (const offset of [0x000, 0x05f, 0x29f]) {
      const changed = Uint8Array.from(signed);
      changed[offset]! ^= 1;
      expect(signatureHolds(changed, publicKey)).toBe(false);
    }
  });

  test('R and S are little-endian', () => {
    const counting = Uint8Array.from({ length: 96 }, (_, i) => i);
    const field = encodeSignature(counting);
    expect(hex(field.subarray(0, 3))).toBe('2f2e2d');
    expect(hex(field.subarray(45, 50))).toBe('0201000000');
    expect(hex(field.subarray(72, 75))).toBe('5f5e5d');
    expect(hex(counting.subarray(0, 3))).toBe('000102');
  });
});

describe.skipIf(!haveReal)('against reports of real firmware', () => {
  const cases = realCases();

  test('there are versions 2, 3, 4 and 5 of all three products', () => {
    expect(new Set(cases.map(({ report }) => report[0]))).toEqual(new Set([2, 3, 4, 5]));
    expect(new Set(cases.map(({ product }) => product))).toEqual(new Set(PRODUCT_NAMES));
  });

  test.each(cases.map((real) => [real.id, real] as const))(
    '%s: its fields encode to its bytes',
    (_id, { product, report }) => {
      const encoded = encodeReport(decodeReport(product, report));
      expect(hex(encoded.subarray(0, 0x2a0))).toBe(hex(report.subarray(0, 0x2a0)));
      encoded.set(encodeSignature(ieeeP1363(report)), 0x2a0);
      expect(hex(encoded)).toBe(hex(report));
    },
  );

  test('this file reads signatures as the real ones are written', () => {
    const real = cases.find(({ id }) => id === 'genoa-v5-oak');
    expect(signatureHolds(real!.report, new X509Certificate(real!.vcek!).publicKey)).toBe(true);
  });
});
