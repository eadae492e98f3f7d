import { beforeAll, describe, expect, test } from 'vitest';
import { type SimulatedEvidence, simulatedEvidence } from '../../attestation-fixtures/index.ts';
import { bytes } from '../../protocol/index.ts';
import { assess, detectKind, type Kind } from '../../verifier/index.ts';

const AT = new Date('2026-06-01T12:00:00Z');
let evidence: SimulatedEvidence;

beforeAll(async () => {
  const reportData = bytes(new Uint8Array(64).fill(1), 64, 'REPORT_DATA');
  const measurement = bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT');
  evidence = await simulatedEvidence({ product: 'Turin', version: 5, reportData, measurement });
});

const judge = (file: Uint8Array, kind?: Kind) =>
  assess({ file, policy: 'builtin:authenticity', at: AT, endorsements: evidence.chain, ...(kind ? { kind } : {}) });

const withVersion = (version: number, length = 1184): Uint8Array<ArrayBuffer> => {
  const file = new Uint8Array(length);
  file.set(evidence.report.subarray(0, length));
  new DataView(file.buffer).setUint32(0, version, true);
  return file;
};

describe('a report that this release does not read is neither yes nor no, and named', () => {
  test.each([0, 1, 6, 7, 15, 16, 0xffff_ffff])('version %i', async (version) => {
    const file = withVersion(version);
    expect(detectKind(file)).toBe('snp-report');
    const result = await judge(file);
    expect([result.verdict, result.findings.map(({ code }) => code)]).toEqual([
      'unsupported',
      ['EVIDENCE_UNSUPPORTED'],
    ]);
    expect(result.findings[0]?.actual).toContain(`VERSION: got ${version}`);
  });

  test('version 6 by its name, also when it is longer or shorter than the reports of today', async () => {
    for (const length of [600, 1184, 2048]) {
      const file = withVersion(6, length);
      expect(detectKind(file)).toBe('snp-report');
      const result = await judge(file);
      expect([result.verdict, result.findings[0]?.actual]).toEqual([
        'unsupported',
        'VERSION: got 6 (ABI 1.59), this release reads 2 to 5',
      ]);
    }
  });

  test('Venice by its name', async () => {
    for (const model of [0x50, 0x57, 0x90, 0xaf, 0xc0, 0xc7]) {
      const file = new Uint8Array(evidence.report);
      file[0x189] = model;
      const result = await judge(file);
      expect([result.verdict, result.findings[0]?.actual]).toEqual([
        'unsupported',
        'CPUID: a Venice processor, this release reads Milan, Genoa and Turin',
      ]);
    }
  });

  test('a known version of another length is malformed', async () => {
    for (const version of [2, 3, 4, 5]) {
      for (const length of [1183, 1185]) {
        const result = await judge(withVersion(version, length));
        expect([result.verdict, result.findings[0]?.code]).toEqual(['contraindicated', 'EVIDENCE_MALFORMED']);
      }
    }
    for (const length of [0, 1, 3]) {
      const result = await judge(new Uint8Array(length), 'snp-report');
      expect([result.verdict, result.findings[0]?.code]).toEqual(['contraindicated', 'EVIDENCE_MALFORMED']);
    }
  });
});
