import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { hex, utf8 } from '../../protocol/bytes.ts';
import {
  encodeKbsAttestation,
  encodeKbsChallenge,
  encodeKbsRequest,
  kbsReportData,
  parseKbsAttestation,
  parseKbsChallenge,
  parseKbsRequest,
  parseKbsResource,
  parseKbsToken,
  type TeeKey,
} from '../../protocol/kbs.ts';

const teeKey: TeeKey = {
  kty: 'EC',
  crv: 'P-256',
  alg: 'ECDH-ES+A256KW',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};
const nonce = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
const body = (value: unknown) => utf8(typeof value === 'string' ? value : JSON.stringify(value));
const request = expect.objectContaining({ code: 'BROKER_REQUEST_INVALID' });
const answer = expect.objectContaining({ code: 'BROKER_ANSWER_INVALID' });

test('REPORT_DATA: SHA-384 over the canonical runtime data, then zeros', () => {
  const canonical =
    `{"additional-evidence":"","nonce":"${nonce}","tee-pubkey":` +
    `{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"${teeKey.x}","y":"${teeKey.y}"}}`;
  const digest = createHash('sha384').update(canonical).digest('hex');
  expect(hex(kbsReportData(nonce, teeKey))).toBe(digest + '00'.repeat(16));
  // The order of the members as they arrive changes nothing.
  expect(kbsReportData(nonce, Object.fromEntries(Object.entries(teeKey).reverse()) as never)).toEqual(
    kbsReportData(nonce, teeKey),
  );
});

describe('what one side writes, the other reads', () => {
  test.each(['snp', 'nitro'] as const)('request of %s', (tee) => {
    expect(parseKbsRequest(body(encodeKbsRequest(tee)))).toEqual({ tee });
  });

  test('challenge', () => expect(parseKbsChallenge(body(encodeKbsChallenge(nonce)))).toEqual({ nonce }));

  test('attestation with a report and its certificates', () => {
    const evidence = {
      tee: 'snp',
      report: new Uint8Array(1184).fill(1),
      chain: [Uint8Array.of(0x30, 1), Uint8Array.of(0x30, 2)],
    } as const;
    const written = encodeKbsAttestation({ nonce, teeKey, evidence });
    expect(parseKbsAttestation(body(written), 'snp')).toEqual({ nonce, teeKey, evidence });
    expect(JSON.parse(written)['tee-evidence'].primary_evidence.cert_chain).toMatchObject([
      { cert_type: 'VCEK' },
      { cert_type: 'ASK' },
    ]);
  });

  test('attestation with a document', () => {
    const evidence = { tee: 'nitro', document: new Uint8Array(5000).fill(2) } as const;
    expect(parseKbsAttestation(body(encodeKbsAttestation({ nonce, teeKey, evidence })), 'nitro')).toEqual({
      nonce,
      teeKey,
      evidence,
    });
  });
});

test('a challenge of Trustee, whose extra-params are an empty text or an object', () => {
  for (const extra of ['', {}, { 'selected-hash-algorithm': 'SHA384' }]) {
    expect(parseKbsChallenge(body({ nonce, 'extra-params': extra }))).toEqual({ nonce });
  }
});

const attestation = JSON.parse(
  encodeKbsAttestation({ nonce, teeKey, evidence: { tee: 'nitro', document: utf8('d') } }),
);
const withKey = (changes: object) => ({
  ...attestation,
  'runtime-data': { nonce, 'tee-pubkey': { ...teeKey, ...changes } },
});

describe('refused', () => {
  test.each([
    ['no JSON', 'x'],
    ['nothing', ''],
    ['an array', []],
    ['another version', { version: '0.1.0', tee: 'snp', 'extra-params': '' }],
    ['a platform not known here', { version: '0.4.0', tee: 'sgx', 'extra-params': '' }],
    ['the sample attester', { version: '0.4.0', tee: 'sample', 'extra-params': '' }],
    ['a duplicate member', '{"version":"0.4.0","version":"0.4.0","tee":"snp"}'],
  ])('request: %s', (_what, value) => expect(() => parseKbsRequest(body(value))).toThrow(request));

  test.each([
    ['no JSON', '{"nonce":'],
    ['no nonce', {}],
    ['a nonce that is a number', { nonce: 5 }],
    ['a nonce that is not base64', { nonce: 'a"}' }],
    ['a nonce of kilobytes', { nonce: 'A'.repeat(4096) }],
    ['another hash', { nonce, 'extra-params': { 'selected-hash-algorithm': 'sha512' } }],
    ['a hash that is an object', { nonce, 'extra-params': { 'selected-hash-algorithm': {} } }],
  ])('challenge: %s', (_what, value) => expect(() => parseKbsChallenge(body(value))).toThrow(answer));

  test.each([
    ['nothing', {}],
    ['no key', { ...attestation, 'runtime-data': { nonce } }],
    ['an RSA key', withKey({ kty: 'RSA' })],
    ['another curve', withKey({ crv: 'P-384' })],
    ['another algorithm', withKey({ alg: 'ECDH-ES' })],
    ['a short coordinate', withKey({ x: 'AAAA' })],
    ['a long coordinate', withKey({ x: `${'A'.repeat(44)}` })],
    ['a coordinate with padding', withKey({ x: `${'A'.repeat(42)}=` })],
    ['a private key', withKey({ d: teeKey.x })],
    [
      'additional evidence',
      { ...attestation, 'tee-evidence': { primary_evidence: {}, additional_evidence: '{"tpm":1}' } },
    ],
    ['no evidence', { ...attestation, 'tee-evidence': { primary_evidence: {} } }],
    ['a document that is an array', { ...attestation, 'tee-evidence': { primary_evidence: { document: [1] } } }],
    [
      'a document of 100 KB',
      { ...attestation, 'tee-evidence': { primary_evidence: { document: 'A'.repeat(100_000) } } },
    ],
  ])('attestation: %s', (_what, value) => expect(() => parseKbsAttestation(body(value), 'nitro')).toThrow(request));

  test.each([
    ['a report that is Trustee’s decoded object', { attestation_report: { version: 2 }, cert_chain: [] }],
    ['a report with a byte too many', { attestation_report: 'A'.repeat(1584), cert_chain: [] }],
    ['no chain', { attestation_report: 'AAAA' }],
    [
      'three certificates',
      { attestation_report: 'AAAA', cert_chain: [{ data: 'AA' }, { data: 'AA' }, { data: 'AA' }] },
    ],
    ['a certificate that is a number', { attestation_report: 'AAAA', cert_chain: [7] }],
  ])('evidence of SNP: %s', (_what, primary_evidence) => {
    expect(() => parseKbsAttestation(body({ ...attestation, 'tee-evidence': { primary_evidence } }), 'snp')).toThrow(
      request,
    );
  });

  test('tokens and resources that are none', () => {
    for (const value of ['', '[]', '{}', '{"token":5}', '{"token":""}']) {
      expect(() => parseKbsToken(body(value)), value).toThrow(answer);
    }
    const good = { protected: 'e30', encrypted_key: 'AA', iv: 'AA', ciphertext: 'AA', tag: 'AA' };
    expect(parseKbsResource(body(good))).toEqual(good);
    for (const member of Object.keys(good)) {
      expect(() => parseKbsResource(body({ ...good, [member]: undefined })), member).toThrow(answer);
      expect(() => parseKbsResource(body({ ...good, [member]: 'A A' })), member).toThrow(answer);
      expect(() => parseKbsResource(body({ ...good, [member]: 'A'.repeat(20_000) })), member).toThrow(answer);
    }
  });

  test('an error names the field and quotes nothing', () => {
    expect(() => parseKbsAttestation(body(withKey({ x: 'secret' })), 'nitro')).toThrow(
      expect.objectContaining({ field: 'runtime-data.tee-pubkey.x', message: expect.not.stringContaining('secret') }),
    );
  });
});
