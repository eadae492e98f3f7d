import { beforeAll, describe, expect, test } from 'vitest';
import {
  createAuthority,
  makeCrl,
  type SimulatedEvidence,
  sharedAuthority,
  simulatedEvidence,
} from '../../attestation-fixtures/index.ts';
import { bytes, encodeSnpCertificateTable, SNP_CERTIFICATE_GUID } from '../../protocol/index.ts';
import { type AssessInput, assess, parsePolicy, readTrustAnchors, type TrustAnchor } from '../../verifier/index.ts';
import { readEndorsements } from '../../verifier/snp/endorsements.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';
import { strictPolicy } from '../support/policies.ts';
import { caseFiles, codeOf, midOf, read, SNP_EVIDENCE, snpCases } from './snp-support.ts';

const AT = new Date('2026-06-01T12:00:00Z');
const EXTRA = 'ecae0c0f-9502-43b1-afa2-0ae2e0d565b6';
const { vcek, vlek, ask, ark, crl } = SNP_CERTIFICATE_GUID;

let evidence: SimulatedEvidence;
let anchors: readonly TrustAnchor[];
let leaf: Uint8Array;
let intermediate: Uint8Array;

beforeAll(async () => {
  const reportData = bytes(new Uint8Array(64).fill(1), 64, 'REPORT_DATA');
  const measurement = bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT');
  evidence = await simulatedEvidence({ product: 'Milan', version: 3, reportData, measurement });
  anchors = await readTrustAnchors(evidence.ark, 'ark');
  [leaf, intermediate] = evidence.chain as [Uint8Array, Uint8Array];
});

const pem = (der: Uint8Array, label = 'CERTIFICATE'): Uint8Array =>
  new TextEncoder().encode(
    `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`,
  );
const table = (...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array<ArrayBuffer> =>
  encodeSnpCertificateTable(entries.map(([guid, data]) => ({ guid, data })));
const judge = (endorsement: Uint8Array, more: Partial<AssessInput> = {}) =>
  assess({
    file: evidence.report,
    policy: 'builtin:authenticity',
    at: AT,
    trustAnchors: anchors,
    endorsements: [endorsement],
    ...more,
  });
const codes = async (endorsement: Uint8Array, more: Partial<AssessInput> = {}): Promise<string[]> =>
  (await judge(endorsement, more)).findings.map(({ code }) => code);

describe('a certificate table as endorsement', () => {
  test('is read with DER and with PEM in its entries, in any order, with entries of the host beside', async () => {
    expect(await codes(table([vcek, leaf], [ask, intermediate]))).toEqual([]);
    expect(await codes(table([ask, pem(intermediate)], [ark, pem(evidence.ark)], [vcek, pem(leaf)]))).toEqual([]);
    expect(
      await codes(table([EXTRA, Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4)], [vcek, leaf], [ask, intermediate])),
    ).toEqual([]);
  });

  test('has labels that decide nothing', async () => {
    expect(await codes(table([vlek, leaf], [ask, intermediate]))).toEqual([]);
    expect(await codes(table([ark, intermediate], [vcek, leaf]))).toEqual([]);
  });

  test('cannot bring a root of its own', async () => {
    const other = await createAuthority('Milan');
    expect(await codes(table([vcek, leaf], [ask, intermediate], [ark, other.ark.certificate]))).toEqual([
      'CHAIN_UNTRUSTED',
    ]);
  });

  test('may be empty, which endorses nothing', async () => {
    expect(readEndorsements(new Uint8Array(24), 'table')).toEqual({ certificates: [], crls: [] });
    expect(await codes(new Uint8Array(24))).toEqual(['ENDORSEMENT_MISSING']);
  });

  test('may bring a list, which adds a revocation but says nothing of its absence', async () => {
    const authority = await sharedAuthority('Milan');
    const list = (revoked: boolean) =>
      makeCrl(authority, {
        thisUpdate: new Date('2026-05-01T00:00:00Z'),
        nextUpdate: new Date('2027-05-01T00:00:00Z'),
        revoked: revoked
          ? [{ serial: parseCertificate(intermediate, 'ASK').serial, date: new Date('2026-05-01T00:00:00Z') }]
          : [],
      });
    const entries = [
      [vcek, leaf],
      [ask, intermediate],
    ] as const;
    expect(await codes(table(...entries, [crl, await list(true)]))).toEqual(['CERTIFICATE_REVOKED']);
    expect(await codes(table(...entries, [crl, pem(await list(false), 'X509 CRL')]))).toEqual([]);
    const wants = parsePolicy(strictPolicy({}, { crl: { maxAgeDays: 365 } }));
    expect(await codes(table(...entries, [crl, await list(false)]), { policy: wants })).toContain('CRL_REQUIRED');
    expect(await codes(table(...entries, [crl, leaf]))).toEqual(['CRL_INVALID']);
  });
});

describe('a hostile table', () => {
  const good = (): Uint8Array<ArrayBuffer> => table([vcek, leaf], [ask, intermediate]);
  const patched = (at: number, value: number): Uint8Array<ArrayBuffer> => {
    const copy = good();
    new DataView(copy.buffer).setUint32(at, value, true);
    return copy;
  };
  const read = (file: Uint8Array): string => codeOf(() => readEndorsements(file, 'table'));

  test.each([
    ['an offset inside the header', 16, 24],
    ['an offset behind the end', 16, 0x7fff_ffff],
    ['an offset and length that wrap in 32 bits', 16, 0xffff_ffff],
    ['a length behind the end', 20, 0x0010_0000],
    ['the greatest length', 20, 0xffff_ffff],
    ['a length of nothing', 20, 0],
    ['a certificate cut short', 20, 100],
    ['an entry that begins inside another', 40, 80],
  ])('%s is refused', (_, at, value) => {
    expect(read(patched(at, value))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('an entry twice, no terminator, too many entries, too many bytes, and text in an entry are refused', () => {
    expect(read(table([vcek, leaf], [vcek, leaf]))).toBe('ENDORSEMENT_MALFORMED');
    expect(read(good().subarray(0, 48))).toBe('ENDORSEMENT_MALFORMED');
    const many = Array.from(
      { length: 33 },
      (_, i) => [`${String(i).padStart(8, '0')}${EXTRA.slice(8)}`, leaf] as const,
    );
    expect(read(table([vcek, leaf], ...many))).toBe('ENDORSEMENT_MALFORMED');
    expect(read(table([vcek, leaf], [EXTRA, new Uint8Array(1 << 18)]))).toBe('ENDORSEMENT_MALFORMED');
    expect(read(table([vcek, new TextEncoder().encode('no certificate')]))).toBe('ENDORSEMENT_MALFORMED');
    expect(read(table([vcek, pem(leaf, 'X509 CRL')]))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('cut short anywhere it is refused with a code, and never vouches', async () => {
    const whole = good();
    for (let length = 0; length < whole.length; length++) {
      expect(read(whole.subarray(0, length))).toBe('ENDORSEMENT_MALFORMED');
    }
  });

  test('with any byte changed it is refused with a code or leaves the chain as it was', async () => {
    const whole = good();
    for (let at = 0; at < whole.length; at += at < 72 ? 1 : 17) {
      const bad = new Uint8Array(whole);
      bad[at] = bad[at]! ^ (1 << (at % 8));
      const [code] = await codes(bad);
      // The label of an entry is not trusted, so a changed one either hides its certificate or changes nothing.
      expect([
        undefined,
        'ENDORSEMENT_MALFORMED',
        'ENDORSEMENT_MISSING',
        'CERTIFICATE_INVALID',
        'CHAIN_UNTRUSTED',
      ]).toContain(code);
      if (at >= 72) expect(code).toBeDefined();
    }
  });
});

describe.skipIf(!SNP_EVIDENCE)('a real table', () => {
  const one = snpCases().find(({ id }) => id === 'genoa-v3-tsm-veraison');

  test('endorses the report it came with', async () => {
    if (!one) throw new Error('no such case');
    const auxblob = read(SNP_EVIDENCE ?? '', one.dir, 'auxblob.bin');
    expect(readEndorsements(auxblob, 'auxblob').certificates).toHaveLength(3);
    const result = await assess({
      file: caseFiles(one).report,
      policy: 'builtin:authenticity',
      at: midOf(one),
      endorsements: [auxblob],
    });
    expect(result.findings).toEqual([]);
    expect(result.verdict).toBe('affirming');
  });
});
