import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type SimulatedEvidence, simulatedEvidence } from '../../attestation-fixtures/index.ts';
import { bytes, encodeEvidence } from '../../protocol/index.ts';
import {
  type AssessInput,
  assess,
  detectKind,
  readTrustAnchors,
  type TrustAnchor,
  toJson,
} from '../../verifier/index.ts';
import { parseHclReport } from '../../verifier/snp/hcl.ts';
import { AT, anchorsOf, MiniEnclave } from '../support/mini-enclave.ts';
import { caseFiles, codeOf, midOf, read, SNP_EVIDENCE, snpCases } from './snp-support.ts';

const CLAIMS =
  '{"keys":[{"kid":"HCLAkPub","kty":"RSA"}],"vm-configuration":{"secure-boot":true,"n":12345678901234567890}}';
const DATA_AT = 0x20 + 1184;

interface Parts {
  readonly claims?: string | Uint8Array;
  readonly version?: number;
  readonly reportType?: number;
  readonly hashType?: number;
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const claimBytes = ({ claims = CLAIMS }: Parts): Uint8Array => (typeof claims === 'string' ? utf8(claims) : claims);

function wrap(report: Uint8Array, parts: Parts = {}): Uint8Array<ArrayBuffer> {
  const claims = claimBytes(parts);
  const file = new Uint8Array(2600);
  const view = new DataView(file.buffer);
  file.set(utf8('HCLA'));
  view.setUint32(4, parts.version ?? 1, true);
  view.setUint32(8, DATA_AT + 20 + claims.length, true);
  view.setUint32(12, 2, true);
  file.set(report, 0x20);
  const data = [20 + claims.length, 1, parts.reportType ?? 2, parts.hashType ?? 1, claims.length];
  for (const [i, value] of data.entries()) view.setUint32(DATA_AT + 4 * i, value, true);
  file.set(claims, DATA_AT + 20);
  return file;
}

const binding = (claims: Uint8Array, rest = 0) => {
  const data = new Uint8Array(64);
  data.set(createHash('sha256').update(claims).digest());
  data[63] = rest;
  return bytes(data, 64, 'REPORT_DATA');
};

const measurement = bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT');
const evidenceFor = (parts: Parts = {}, rest = 0): Promise<SimulatedEvidence> =>
  simulatedEvidence({ product: 'Milan', version: 3, reportData: binding(claimBytes(parts), rest), measurement });

let evidence: SimulatedEvidence;
let anchors: readonly TrustAnchor[];
let good: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  evidence = await evidenceFor();
  anchors = await readTrustAnchors(evidence.ark, 'ark');
  good = wrap(evidence.report);
});

const judge = (file: Uint8Array, more: Partial<AssessInput> = {}) =>
  assess({
    file,
    policy: 'builtin:authenticity',
    at: AT,
    trustAnchors: anchors,
    endorsements: evidence.chain,
    ...more,
  });
const outcome = async (file: Uint8Array, more: Partial<AssessInput> = {}) => {
  const result = await judge(file, more);
  const failed = result.checks.flatMap(({ id, outcome: how }) => (how === 'fail' ? [id] : []));
  return [result.verdict, result.findings.map(({ code }) => code).join(), failed.join()];
};

describe('an Azure HCL report', () => {
  test('is told from its bytes and affirming, with its claims and what was not checked', async () => {
    expect(detectKind(good)).toBe('snp-hcl');
    const result = await judge(good);
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({ verdict: 'affirming', kind: 'snp-hcl', platform: 'simulated-snp', strength: null });
    expect(result.claims.runtimeClaims).toEqual({
      keys: [{ kid: 'HCLAkPub', kty: 'RSA' }],
      'vm-configuration': { 'secure-boot': true, n: '12345678901234567890' },
    });
    expect(result.notChecked.join('\n')).toContain('TPM quote');
    expect(JSON.stringify(toJson(result))).toContain('HCLAkPub');
    expect(result).not.toHaveProperty('session');
  });

  test('may have a header of version 2', async () => {
    expect(await outcome(wrap(evidence.report, { version: 2 }))).toEqual(['affirming', '', '']);
  });

  test('holds a raw report that is genuine by itself', async () => {
    const inside = parseHclReport(good).report;
    expect(detectKind(inside)).toBe('snp-report');
    expect(await outcome(inside)).toEqual(['affirming', '', '']);
  });

  test('answers no nonce of the caller, not even the hash that is there', async () => {
    const bad = ['contraindicated', 'NONCE_MISMATCH', 'expected.nonce'];
    for (const nonce of [new Uint8Array(32), binding(claimBytes({})), binding(claimBytes({})).slice(0, 32)]) {
      expect(await outcome(good, { expected: { nonce } })).toEqual(bad);
    }
  });

  test.each([
    ['other claims', CLAIMS.replace('true', 'null')],
    ['no claims', '{}'],
  ])('with %s under the same report is refused', async (_, claims) => {
    expect(await outcome(wrap(evidence.report, { claims }))).toEqual([
      'contraindicated',
      'KEY_BINDING_MISMATCH',
      'hcl.claims',
    ]);
  });

  test('whose REPORT_DATA holds more than the hash is refused', async () => {
    const more = await evidenceFor({}, 1);
    expect(await outcome(wrap(more.report))).toEqual(['contraindicated', 'KEY_BINDING_MISMATCH', 'hcl.claims']);
  });

  test('without its certificate, or at another time, is refused like any report', async () => {
    expect((await outcome(good, { endorsements: [] }))[1]).toBe('ENDORSEMENT_MISSING');
    expect((await outcome(good, { at: new Date('2040-01-01T00:00:00Z') }))[1]).toBe('CERTIFICATE_EXPIRED');
    expect((await outcome(good, { trustAnchors: [] }))[1]).toBe('CHAIN_UNTRUSTED');
  });

  test.each<[string, Parts]>([
    ['version 0', { version: 0 }],
    ['version 3', { version: 3 }],
    ['a TDX report inside', { reportType: 4 }],
    ['SHA-384', { hashType: 2 }],
  ])('with %s is unsupported', async (_, parts) => {
    expect(await outcome(wrap(evidence.report, parts))).toEqual(['unsupported', 'EVIDENCE_UNSUPPORTED', 'shape.hcl']);
  });

  test('with a report of version 6 inside is unsupported', async () => {
    const report = new Uint8Array(evidence.report);
    report[0] = 6;
    expect(await outcome(wrap(report))).toEqual(['unsupported', 'EVIDENCE_UNSUPPORTED', 'shape.report']);
  });

  test.each<[string, string | Uint8Array]>([
    ['an array', '[1]'],
    ['a number', '1'],
    ['nothing', ''],
    ['a duplicate member', '{"a":1,"a":2}'],
    ['bytes behind the value', '{} {}'],
    ['invalid UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ['deep nesting', `{"a":${'['.repeat(600)}${']'.repeat(600)}}`],
  ])('whose claims are %s is malformed', async (_, claims) => {
    const parts = { claims };
    expect(await outcome(wrap((await evidenceFor(parts)).report, parts))).toEqual([
      'contraindicated',
      'EVIDENCE_MALFORMED',
      'shape.hcl',
    ]);
  });

  test('a claim called __proto__ is a claim like any other', async () => {
    const parts = { claims: '{"__proto__":{"polluted":true},"b":1}' };
    const result = await judge(wrap((await evidenceFor(parts)).report, parts));
    expect(result.verdict).toBe('affirming');
    expect(Object.keys(result.claims.runtimeClaims ?? {})).toEqual(['__proto__', 'b']);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('with any byte changed, cut short anywhere or longer is never affirming', async () => {
    const affirmed: string[] = [];
    for (let at = 0; at < good.length; at++) {
      const bad = new Uint8Array(good);
      bad[at] = bad[at]! ^ (1 << (at % 8));
      // The header's version is a number of Azure's that changes nothing else.
      if (at === 4 && bad[at] === 2) continue;
      if ((await judge(bad)).verdict === 'affirming') affirmed.push(`byte ${at}`);
    }
    for (let length = 0; length < good.length; length++) {
      if (codeOf(() => parseHclReport(good.subarray(0, length))) !== 'EVIDENCE_MALFORMED')
        affirmed.push(`cut to ${length}`);
    }
    expect(affirmed).toEqual([]);
    expect(codeOf(() => parseHclReport(new Uint8Array([...good, 0])))).toBe('EVIDENCE_MALFORMED');
  });

  test('huge sizes are refused', () => {
    for (const at of [8, DATA_AT, DATA_AT + 16]) {
      for (const value of [0xffff_ffff, 0x8000_0000, 2600, 0]) {
        const bad = new Uint8Array(good);
        new DataView(bad.buffer).setUint32(at, value, true);
        expect(codeOf(() => parseHclReport(bad))).toBe('EVIDENCE_MALFORMED');
      }
    }
  });

  test('can never carry a receipt', async () => {
    const enclave = new MiniEnclave();
    const answer = await enclave.infer();
    const tick = await enclave.tick();
    const hcl = (report: Uint8Array<ArrayBuffer>) =>
      enclave.receipt(answer, { ...tick, file: encodeEvidence({ ...tick.evidence, report }) });
    const trustAnchors = await anchorsOf(tick);
    const receipt = async (file: Uint8Array) => (await outcome(file, { trustAnchors, endorsements: [] })).slice(0, 2);
    expect(await receipt(hcl(tick.evidence.report))).toEqual(['affirming', '']);
    expect(await receipt(hcl(wrap(tick.evidence.report)))).toEqual(['contraindicated', 'EVIDENCE_MALFORMED']);
    // The report inside an HCL report commits to the claims, so it commits to no session.
    const inside = evidence.report;
    expect(await receipt(hcl(new Uint8Array(inside)))).toEqual(['contraindicated', 'KEY_BINDING_MISMATCH']);
  });
});

describe.skipIf(!SNP_EVIDENCE)('a real HCL report', () => {
  test('is affirming, and binds its claims', async () => {
    const one = snpCases().find(({ id }) => id === 'milan-v2-azure-attestationrs-hcl');
    if (!one) throw new Error('no such case');
    const file = read(SNP_EVIDENCE ?? '', one.dir, 'hcl-report.bin');
    expect(detectKind(file)).toBe('snp-hcl');
    const result = await assess({
      file,
      policy: 'builtin:authenticity',
      at: midOf(one),
      endorsements: caseFiles(one).certificates,
    });
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({ verdict: 'affirming', platform: 'snp', kind: 'snp-hcl' });
    expect(Object.keys(result.claims.runtimeClaims ?? {})).toEqual(['keys', 'vm-configuration', 'user-data']);
    expect(parseHclReport(file).report).toEqual(caseFiles(one).report);
  });
});
