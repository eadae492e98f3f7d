import {
  attestationToJson,
  base64url,
  bytes,
  type Evidence,
  encodeEvidence,
  evidenceToJson,
  fromBase64url,
  parseEvidence,
  receiptToJson,
} from '@veritee/protocol';
import { describe, expect, test } from 'vitest';

const fill = <N extends number>(n: N, value: number) => bytes(new Uint8Array(n).fill(value), n, 'test');

const evidence: Evidence = {
  format: 'sev-snp-report',
  report: fill(1184, 1),
  chain: [fill(100, 2), fill(101, 3)],
  crls: [],
  sessionClaims: fill(80, 0xfb),
  checkpoint: 'veritee/x\n1\nroot\n\n— line\n',
  previousReportData: null,
  cosignatures: [],
};
const file = encodeEvidence(evidence);

describe('files as JSON', () => {
  test('evidence: base64url bytes, the checkpoint as its text, null as null', () => {
    const json = evidenceToJson(evidence);
    expect(JSON.parse(JSON.stringify(json))).toEqual({
      profile: 'tag:veritee.dev,2026:evidence/v1',
      format: 'sev-snp-report',
      report: base64url(evidence.report),
      chain: [base64url(fill(100, 2)), base64url(fill(101, 3))],
      crls: [],
      sessionClaims: base64url(evidence.sessionClaims),
      checkpoint: evidence.checkpoint,
      previousReportData: null,
      cosignatures: [],
    });
    expect(json['sessionClaims']).not.toMatch(/[+/=]/);
  });

  test('evidence loses nothing: the file can be made again', () => {
    const json = JSON.parse(JSON.stringify(evidenceToJson({ ...evidence, previousReportData: fill(64, 9) })));
    const back = (text: string) => fromBase64url(text)!;
    const again = encodeEvidence({
      format: json.format,
      report: back(json.report),
      chain: json.chain.map(back),
      crls: json.crls.map(back),
      sessionClaims: back(json.sessionClaims),
      checkpoint: json.checkpoint,
      previousReportData: bytes(back(json.previousReportData), 64, 'test'),
      cosignatures: json.cosignatures,
    });
    expect(again).toEqual(encodeEvidence({ ...evidence, previousReportData: fill(64, 9) }));
    expect(parseEvidence(again).checkpoint).toBe(evidence.checkpoint);
  });

  test('attestation: nested evidence as an object, paths as lists', () => {
    const proven = { entry: fill(50, 4), path: [fill(32, 5), fill(32, 6)] };
    expect(attestationToJson({ evidence: file, keys: [proven], challenge: null })).toEqual({
      profile: 'tag:veritee.dev,2026:attestation/v1',
      evidence: evidenceToJson(evidence),
      keys: [{ entry: base64url(proven.entry), path: proven.path.map(base64url) }],
      challenge: null,
    });
    const challenge = { ...proven, nonce: fill(16, 7), nonceIndex: 3, noncePath: [fill(32, 8)] };
    expect(attestationToJson({ evidence: file, keys: [], challenge })['challenge']).toEqual({
      entry: base64url(proven.entry),
      path: proven.path.map(base64url),
      nonce: base64url(fill(16, 7)),
      nonceIndex: 3,
      noncePath: [base64url(fill(32, 8))],
    });
  });

  test('receipt: no path is null, evidence by digest stays a digest', () => {
    expect(receiptToJson({ statement: fill(40, 1), path: null, evidence: { file } })).toEqual({
      profile: 'tag:veritee.dev,2026:receipt/v1',
      statement: base64url(fill(40, 1)),
      path: null,
      evidence: evidenceToJson(evidence),
    });
    const digest = receiptToJson({ statement: fill(40, 1), path: [], evidence: { reportData: fill(64, 2) } });
    expect(digest).toMatchObject({ path: [], evidenceReportData: base64url(fill(64, 2)) });
    expect('evidence' in digest).toBe(false);
  });

  test('malformed evidence inside is a coded error', () => {
    expect(() => attestationToJson({ evidence: fill(9, 1), keys: [], challenge: null })).toThrowError(
      expect.objectContaining({ code: 'EVIDENCE_MALFORMED' }),
    );
  });
});
