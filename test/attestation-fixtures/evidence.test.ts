import { generateKeyPairSync, verify, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type ReportFields,
  SIMULATED_WARNING,
  sharedAuthority,
  simulatedEvidence,
} from '../../attestation-fixtures/index.ts';
import { bytes, hex } from '../../protocol/bytes.ts';

const reportData = bytes(new Uint8Array(64).fill(4), 64, 'REPORT_DATA');
const measurement = bytes(new Uint8Array(48).fill(5), 48, 'MEASUREMENT');
const good = { product: 'Turin', version: 5, reportData, measurement } as const;

beforeAll(async () => {
  await sharedAuthority('Turin'); // two RSA-4096 keys, made once
});

function signatureHolds(report: Uint8Array, vcek: Uint8Array): boolean {
  const part = (offset: number) => Buffer.from(report.subarray(offset, offset + 48)).reverse();
  const key = { key: new X509Certificate(vcek).publicKey, dsaEncoding: 'ieee-p1363' } as const;
  return verify('sha384', report.subarray(0, 0x2a0), key, Buffer.concat([part(0x2a0), part(0x2e8)]));
}

describe('evidence for tests', () => {
  test('is good unless changed, and the same but for what is drawn', async () => {
    const [first, second] = await Promise.all([simulatedEvidence(good), simulatedEvidence(good)]);
    for (const { report, chain, ark } of [first!, second!]) {
      const [vcek, ask, root] = [...chain, ark].map((der) => new X509Certificate(der));
      expect(vcek!.verify(ask!.publicKey) && ask!.verify(root!.publicKey)).toBe(true);
      expect(signatureHolds(report, chain[0])).toBe(true);
    }
    expect(second!.chain[1]).toEqual(first!.chain[1]);
    expect(second!.ark).toEqual(first!.ark);
    expect(second!.fields.chipId).toEqual(first!.fields.chipId);
    expect(new X509Certificate(first!.chain[0]).validFrom).toBe('Dec  5 06:04:27 2025 GMT');
  });

  test('a change is one change, under a good signature', async () => {
    const base = await simulatedEvidence(good);
    const { reportId } = base.fields;
    const debug = (fields: ReportFields): ReportFields => ({
      ...fields,
      reportId,
      policy: fields.policy | (1n << 19n),
    });
    const { report, chain } = await simulatedEvidence({ ...good, mutate: debug });
    expect(signatureHolds(report, chain[0])).toBe(true);
    const differing = [...report.subarray(0, 0x2a0)].flatMap((byte, i) => (byte === base.report[i] ? [] : [i]));
    expect(differing).toEqual([0x0a]);
  });

  test('takes a chip, a TCB, a date, a key and an authority of the caller', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const chipId = bytes(new Uint8Array(64).fill(6, 0, 8), 64, 'CHIP_ID');
    const tcb = { layout: 'turin', fmc: 2, bootloader: 3, tee: 4, snp: 5, microcode: 200 } as const;
    const notBefore = new Date('2027-01-01T00:00:00Z');
    const { report, chain } = await simulatedEvidence({ ...good, chipId, tcb, notBefore, vcekKey: privateKey });
    const vcek = new X509Certificate(chain[0]);
    expect(vcek.publicKey.equals(publicKey)).toBe(true);
    expect(new Date(vcek.validFrom)).toEqual(notBefore);
    expect(hex(report.subarray(0x180, 0x188))).toBe('02030405000000c8');
    expect(hex(new Uint8Array(vcek.raw))).toContain(`0408${'06'.repeat(8)}`);
    expect(signatureHolds(report, chain[0])).toBe(true);
  });
});

test('the warning says in plain words that nothing is protected', () => {
  expect(SIMULATED_WARNING).toContain('NOT a confidential VM');
  expect(SIMULATED_WARNING).toContain('They prove nothing about this machine');
});
