import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeCrl, sharedAuthority } from '../../attestation-fixtures/index.ts';
import {
  bootIdOf,
  type Cbor,
  type CborKey,
  CLAIM,
  type Code,
  decodeCbor,
  encodeCbor,
  encodeCheckpoint,
  encodeEvidence,
  encodeReceipt,
  hex,
  originOf,
  parseEvidence,
  parseReceipt,
  sha256,
} from '../../protocol/index.ts';
import {
  type Affirming,
  ALL_ROWS,
  type AssessInput,
  type AttestationResult,
  assess,
  detectKind,
  type Expected,
  type Kind,
  parsePolicy,
  type TrustAnchor,
  toJson,
} from '../../verifier/index.ts';
import {
  type Answer,
  AT,
  anchorsOf,
  MiniEnclave,
  MODEL,
  SessionKey,
  salt,
  type Tick,
} from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';

let enclave: MiniEnclave;
let early: Answer;
let answer: Answer;
let late: Answer;
let tick: Tick;
let trustAnchors: TrustAnchor[];
const nonce = new Uint8Array(randomBytes(32));

beforeAll(async () => {
  enclave = new MiniEnclave();
  early = await enclave.infer();
  for (let i = 0; i < 4; i++) await enclave.infer();
  answer = await enclave.infer({ nonce });
  tick = await enclave.tick();
  late = await enclave.infer({ nonce });
  trustAnchors = await anchorsOf(tick);
});

const judge = (file: Uint8Array, more: Partial<AssessInput> = {}): Promise<AttestationResult> =>
  assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });

const outcomeOf = (result: AttestationResult, id: string): string =>
  result.checks.find((check) => check.id === id)?.outcome ?? 'no such row';

const affirming = <K extends Kind>(result: AttestationResult, kind: K): Extract<Affirming, { kind: K }> => {
  expect(result.findings).toEqual([]);
  expect(result.verdict).toBe('affirming');
  expect(result.kind).toBe(kind);
  return result as Extract<Affirming, { kind: K }>;
};

/** Exactly one finding, with its code, made by that row; the verdict is no. */
function refused(result: AttestationResult, row: string, code: Code): void {
  expect({ verdict: result.verdict, codes: result.findings.map((finding) => finding.code) }).toEqual({
    verdict: 'contraindicated',
    codes: [code],
  });
  expect(result.checks.filter((check) => check.outcome === 'fail').map((check) => check.id)).toEqual([row]);
  expect('session' in result).toBe(false);
}

describe('genuine files', () => {
  test('a committed receipt is hardware-committed', async () => {
    const result = affirming(await judge(enclave.receipt(answer, tick)), 'receipt');
    expect(result).toMatchObject({ strength: 'hardware-committed', platform: 'simulated-snp', existedBy: null });
    expect(result.session.key).toEqual(enclave.session.key);
    expect(result.statement.sequence).toBe(answer.sequence);
    expect(result.claims).toMatchObject({ product: 'Milan', reportVersion: 5, vmpl: 0, outcome: 'ok' });
    expect(outcomeOf(result, 'inclusion.path')).toBe('pass');
  });

  test('a receipt ahead of the checkpoint is session-signed and says what that leaves open', async () => {
    const result = affirming(await judge(enclave.receipt(late, tick)), 'receipt');
    expect(result.strength).toBe('session-signed');
    expect(result.notChecked.some((text) => text.startsWith('session-signed'))).toBe(true);
  });

  test('a receipt that names its evidence by REPORT_DATA', async () => {
    const other = await enclave.tick();
    const { report } = tick.evidence;
    const file = enclave.receipt(answer, tick, (good) => ({
      ...good,
      evidence: { reportData: report.slice(0x50, 0x90) as never },
    }));
    affirming(await judge(file, { evidence: [other.file, tick.file] }), 'receipt');
    refused(await judge(file, { evidence: [other.file] }), 'shape.evidence', 'EVIDENCE_MISSING');
    refused(await judge(file), 'shape.evidence', 'EVIDENCE_MISSING');
  });

  test('an evidence file', async () => {
    const result = affirming(await judge(tick.file), 'evidence');
    expect(result.session.checkpoint.size).toBe(tick.size);
  });

  test('a raw report with its certificates, DER or PEM, has no strength and no session', async () => {
    const [vcek, ask] = tick.snp.chain;
    const pem = new TextEncoder().encode(
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(ask).toString('base64')}\n-----END CERTIFICATE-----\n`,
    );
    const result = affirming(await judge(tick.evidence.report, { endorsements: [pem, vcek] }), 'snp-report');
    expect(result.strength).toBeNull();
    expect('session' in result).toBe(false);
    refused(await judge(tick.evidence.report), 'snp.chain.shape', 'ENDORSEMENT_MISSING');
  });

  test('an attestation hands out the sealing keys only for the nonce of the caller', async () => {
    const nonces = [1, 2, 3].map(() => new Uint8Array(randomBytes(32)));
    const { file, configs } = await enclave.attestation(nonces, { answered: 1, keys: 2 });
    const own = affirming(await judge(file, { expected: { nonce: nonces[1]! } }), 'attestation');
    expect(own.sealingKeys.map(({ config }) => config)).toEqual(configs);
    const without = affirming(await judge(file), 'attestation');
    expect(without.sealingKeys).toEqual([]);
    expect(without.notChecked).toContain('without a nonce: this answer may be an old one');
    const foreign = await judge(file, { expected: { nonce: nonces[0]! } });
    refused(foreign, 'expected.nonce', 'NONCE_MISMATCH');
  });

  test('an attestation that answers no nonce offers no key', async () => {
    const { file } = await enclave.attestation([]);
    expect(affirming(await judge(file), 'attestation').sealingKeys).toEqual([]);
    refused(await judge(file, { expected: { nonce } }), 'expected.nonce', 'NONCE_MISMATCH');
  });

  test.each(['Milan', 'Genoa', 'Turin'] as const)('%s, every report version', async (product) => {
    for (const version of [2, 3, 5]) {
      const own = await enclave.tick({ snp: { product, version } });
      const result = await judge(enclave.receipt(answer, own), { trustAnchors: await anchorsOf(own) });
      expect(affirming(result, 'receipt').claims).toMatchObject({ product, reportVersion: version });
    }
  });

  test('a refusal is genuine; what it is not is said, and a caller who needs an answer gets OUTCOME_NOT_OK', async () => {
    const refusal = await enclave.infer({ change: (s) => ({ ...s, model: null, outcome: 'MODEL_UNKNOWN' }) });
    const file = enclave.receipt(refusal, await enclave.tick());
    const result = affirming(await judge(file), 'receipt');
    expect(result.claims.outcome).toBe('MODEL_UNKNOWN');
    expect(result.notChecked.some((text) => text.includes('refused (MODEL_UNKNOWN)'))).toBe(true);
    refused(await judge(file, { expected: { outcome: 'ok' } }), 'expected.outcome', 'OUTCOME_NOT_OK');
    refused(await judge(file, { expected: { model: { name: MODEL.name } } }), 'expected.model', 'MODEL_MISMATCH');
  });

  test('every row of an affirming result says what became of it', async () => {
    const { file } = await enclave.attestation([nonce]);
    const files = [enclave.receipt(answer, tick), tick.file, file, tick.evidence.report];
    for (const one of files) {
      const endorsements = one === tick.evidence.report ? tick.snp.chain : [];
      const result = await judge(one, { endorsements });
      expect(result.verdict).toBe('affirming');
      expect(result.checks.map((check) => check.id)).toEqual(ALL_ROWS.map((row) => row.id));
      expect(result.checks.filter((check) => check.detail.startsWith('not reached'))).toEqual([]);
      expect(result.checks.filter((check) => check.outcome === 'fail')).toEqual([]);
    }
  });

  test('the same input gives the same result', async () => {
    const file = enclave.receipt(answer, tick);
    expect(toJson(await judge(file))).toEqual(toJson(await judge(file)));
  });
});

describe('what the caller expects', () => {
  const known = (): Expected => ({
    nonce,
    request: { ...answer.request, jsonLength: null },
    response: { ...answer.response, jsonLength: null },
    model: { ...MODEL },
    operation: 'infer',
    mediaTypes: { request: 'application/json', response: 'application/json' },
    outcome: 'ok',
  });

  test('all of it holds, and then nothing is left to say but what policy opted out of', async () => {
    const result = affirming(await judge(enclave.receipt(answer, tick), { expected: known() }), 'receipt');
    for (const row of ALL_ROWS.filter(({ id }) => id.startsWith('expected.'))) {
      expect(`${row.id} ${outcomeOf(result, row.id)}`).toBe(`${row.id} pass`);
    }
    expect(result.notChecked.filter((text) => text.startsWith('without'))).toEqual([]);
  });

  const wrong: readonly (readonly [string, Code, (good: Expected) => Expected])[] = [
    ['expected.nonce', 'NONCE_MISMATCH', (e) => ({ ...e, nonce: new Uint8Array(32) })],
    ['expected.nonce', 'NONCE_MISMATCH', (e) => ({ ...e, nonce: nonce.subarray(0, 31) })],
    ['expected.request', 'REQUEST_MISMATCH', (e) => ({ ...e, request: { ...answer.request, salt: salt() } })],
    ['expected.request', 'REQUEST_MISMATCH', (e) => ({ ...e, request: answer.response })],
    [
      'expected.request-json-length',
      'REQUEST_MISMATCH',
      (e) => ({ ...e, request: { ...answer.request, jsonLength: 3 } }),
    ],
    ['expected.response', 'RESPONSE_MISMATCH', (e) => ({ ...e, response: { ...answer.response, salt: salt() } })],
    [
      'expected.response-json-length',
      'RESPONSE_MISMATCH',
      (e) => ({ ...e, response: { ...answer.response, jsonLength: 3 } }),
    ],
    ['expected.request-media-type', 'REQUEST_MISMATCH', (e) => ({ ...e, mediaTypes: { request: null } })],
    ['expected.response-media-type', 'RESPONSE_MISMATCH', (e) => ({ ...e, mediaTypes: { response: 'text/plain' } })],
    ['expected.model', 'MODEL_MISMATCH', (e) => ({ ...e, model: { name: 'other' } })],
    ['expected.model', 'MODEL_MISMATCH', (e) => ({ ...e, model: { name: MODEL.name, version: '2' } })],
    ['expected.model', 'MODEL_MISMATCH', (e) => ({ ...e, model: { name: MODEL.name, digest: new Uint8Array(32) } })],
    ['expected.operation', 'OPERATION_MISMATCH', (e) => ({ ...e, operation: 'train' as never })],
    ['expected.outcome', 'OUTCOME_NOT_OK', (e) => ({ ...e, outcome: 'MODEL_UNKNOWN' })],
  ];
  test.each(wrong)('%s: %s', async (row, code, change) => {
    refused(await judge(enclave.receipt(answer, tick), { expected: change(known()) }), row, code);
  });

  test('a JSON length beyond the body is refused even when the caller does not know the length', async () => {
    const odd = await enclave.infer({ change: (s) => ({ ...s, requestJsonLength: 1000 }) });
    const file = enclave.receipt(odd, await enclave.tick());
    refused(await judge(file, { expected: { request: odd.request } }), 'expected.request', 'REQUEST_MISMATCH');
  });

  test('every failure is reported, not just the first', async () => {
    const expected = { nonce: new Uint8Array(32), model: { name: 'other' }, response: answer.request };
    const result = await judge(enclave.receipt(answer, tick), { expected });
    expect(result.findings.map(({ code }) => code)).toEqual(['NONCE_MISMATCH', 'RESPONSE_MISMATCH', 'MODEL_MISMATCH']);
  });

  test('what a file cannot say fails, it is not passed over', async () => {
    const result = await judge(tick.file, { expected: known() });
    const rows = ALL_ROWS.filter(({ id }) => id.startsWith('expected.')).map(({ id }) => id);
    expect(result.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)).toEqual(rows);
  });

  test('for a raw report the nonce is REPORT_DATA, filled up with zeros', async () => {
    const short = new Uint8Array(randomBytes(20));
    const data = new Uint8Array(64);
    data.set(short);
    const own = await enclave.tick({ snp: { reportData: data as never } });
    const endorsements = own.snp.chain;
    affirming(await judge(own.evidence.report, { endorsements, expected: { nonce: short } }), 'snp-report');
    const other = await judge(own.evidence.report, { endorsements, expected: { nonce: short.subarray(0, 19) } });
    refused(other, 'expected.nonce', 'NONCE_MISMATCH');
  });

  test('mistakes of the caller are TypeErrors', async () => {
    const file = enclave.receipt(answer, tick);
    const body = answer.request.body;
    await expect(judge(file, { expected: { nonce: new Uint8Array(7) } })).rejects.toThrow(TypeError);
    await expect(judge(file, { expected: { request: { body, salt: new Uint8Array(31) } } })).rejects.toThrow(TypeError);
    await expect(judge(file, { expected: { model: { name: 'x', digest: body } } })).rejects.toThrow(TypeError);
    await expect(judge(file, { at: new Date('no') })).rejects.toThrow(TypeError);
    await expect(judge(file, { policy: strictPolicy() as never })).rejects.toThrow(TypeError);
    await expect(judge(file, { policy: 'builtin:nothing' as never })).rejects.toThrow(TypeError);
  });
});

const withClaim = (claims: Uint8Array, key: CborKey, value: Cbor): Uint8Array<ArrayBuffer> =>
  encodeCbor(new Map(decodeCbor(claims, 'claims') as ReadonlyMap<CborKey, Cbor>).set(key, value));

const cnf = (key: Uint8Array): Cbor =>
  new Map([
    [
      1,
      new Map<number, Cbor>([
        [1, 1],
        [-1, 6],
        [-2, key],
      ]),
    ],
  ]);

describe('each check of the list, broken by one change', () => {
  const fromClaims = async (change: (good: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>) => {
    const own = new MiniEnclave({ claims: change });
    const one = await own.infer();
    return own.receipt(one, await own.tick());
  };
  const fromStatement = async (options: Parameters<MiniEnclave['infer']>[0]) => {
    const one = await enclave.infer(options);
    return enclave.receipt(one, await enclave.tick());
  };
  const fromTick = async (changes: Parameters<MiniEnclave['tick']>[0]) => {
    const own = new MiniEnclave();
    const one = await own.infer();
    return own.receipt(one, await own.tick(changes));
  };
  const fromPath = (path: (good: readonly Uint8Array[]) => readonly Uint8Array[] | null, which = answer) =>
    enclave.receipt(which, tick, (good) => ({ ...good, path: path(good.path ?? []) as never }));

  const cases: readonly (readonly [string, string, Code, () => Promise<Uint8Array> | Uint8Array])[] = [
    [
      'an evidence chain with the root',
      'evidence.chain',
      'EVIDENCE_MALFORMED',
      () => fromTick({ evidence: (e) => ({ ...e, chain: [...e.chain, new Uint8Array(tick.snp.ark)] }) }),
    ],
    [
      'an evidence chain in another order',
      'evidence.chain',
      'EVIDENCE_MALFORMED',
      () => fromTick({ evidence: (e) => ({ ...e, chain: [...e.chain].reverse() }) }),
    ],
    [
      'an evidence file without its VCEK',
      'snp.chain.shape',
      'ENDORSEMENT_MISSING',
      () => fromTick({ evidence: (e) => ({ ...e, chain: [] }) }),
    ],
    [
      'a report signed for other bytes',
      'snp.signature',
      'SIGNATURE_INVALID',
      () =>
        fromTick({
          evidence: (e) => {
            const report = new Uint8Array(e.report);
            report[0x90] = report[0x90]! ^ 1;
            return { ...e, report };
          },
        }),
    ],
    [
      'a report with a reserved byte set',
      'shape.report',
      'EVIDENCE_MALFORMED',
      () => fromTick({ snp: { mutate: (f) => ({ ...f, overwrite: [{ offset: 0x4c, value: Uint8Array.of(1) }] }) } }),
    ],
    [
      'a VMPL no guest has',
      'shape.report',
      'EVIDENCE_MALFORMED',
      () => fromTick({ snp: { mutate: (f) => ({ ...f, vmpl: 4 }) } }),
    ],
    [
      'a TCB that is not the certificate’s',
      'snp.tcb-certificate',
      'TCB_MISMATCH',
      () => fromTick({ snp: { mutate: (f) => ({ ...f, reportedTcb: { ...f.reportedTcb, microcode: 1 } }) } }),
    ],
    [
      'a CHIP_ID that is not the certificate’s',
      'snp.chip-id',
      'CHIP_ID_MISMATCH',
      () => fromTick({ snp: { mutate: (f) => ({ ...f, chipId: new Uint8Array(64).fill(7) as never }) } }),
    ],
    [
      'a masked CHIP_ID',
      'policy.masked-chip-id',
      'CHIP_ID_MASKED',
      () => fromTick({ snp: { mutate: (f) => ({ ...f, chipId: new Uint8Array(64) as never }) } }),
    ],
    [
      'session claims with a byte behind them',
      'session.claims',
      'EVIDENCE_MALFORMED',
      () => fromClaims((good) => new Uint8Array([...good, 0])),
    ],
    [
      'session claims with an unknown claim',
      'session.claims',
      'EVIDENCE_MALFORMED',
      () => fromClaims((good) => withClaim(good, 999, 1)),
    ],
    [
      'a session key of small order',
      'session.key',
      'SESSION_INVALID',
      () => fromClaims((good) => withClaim(good, CLAIM.cnf, cnf(new Uint8Array(32)))),
    ],
    [
      'a boot id that is not derived from the key',
      'session.boot-id',
      'SESSION_INVALID',
      () => fromClaims((good) => withClaim(good, CLAIM.bootId, new Uint8Array(16))),
    ],
    [
      'claims that name another session key',
      'checkpoint.signature',
      'CHECKPOINT_INVALID',
      () => {
        const { key } = new SessionKey();
        return fromClaims((good) => withClaim(withClaim(good, CLAIM.cnf, cnf(key)), CLAIM.bootId, bootIdOf(key)));
      },
    ],
    [
      'a checkpoint with a second signature line',
      'shape.evidence',
      'EVIDENCE_MALFORMED',
      () => fromTick({ checkpoint: (note) => note + note.slice(note.indexOf('— ')) }),
    ],
    [
      'a checkpoint with another spelling of its size',
      'checkpoint.shape',
      'EVIDENCE_MALFORMED',
      () => fromTick({ checkpoint: (note) => note.replace('\n2\n', '\n02\n') }),
    ],
    [
      'a checkpoint by another key',
      'checkpoint.signature',
      'CHECKPOINT_INVALID',
      () =>
        fromTick({
          checkpoint: () => {
            const { key, sign } = new SessionKey();
            return encodeCheckpoint(originOf(bootIdOf(key)), 2, sha256(new Uint8Array(1)), key, sign);
          },
        }),
    ],
    [
      'REPORT_DATA over another previous value',
      'binding.report-data',
      'KEY_BINDING_MISMATCH',
      () => fromTick({ evidence: (e) => ({ ...e, previousReportData: new Uint8Array(64).fill(1) as never }) }),
    ],
    [
      'zeros in place of null as the previous REPORT_DATA',
      'shape.evidence',
      'EVIDENCE_MALFORMED',
      () => fromTick({ evidence: (e) => ({ ...e, previousReportData: new Uint8Array(64) as never }) }),
    ],
    [
      'REPORT_DATA that is only a nonce',
      'binding.report-data',
      'KEY_BINDING_MISMATCH',
      () => fromTick({ snp: { reportData: new Uint8Array(64).fill(1) as never } }),
    ],
    [
      'an entry of another kind in the statement’s place',
      'statement.shape',
      'STATEMENT_INVALID',
      async () => {
        const own = await enclave.attestation([nonce]);
        return encodeReceipt({
          statement: enclave.log.entries.at(-1)!,
          path: enclave.log.path(enclave.log.size - 1),
          evidence: { file: own.tick.file },
        });
      },
    ],
    [
      'a statement by another key',
      'statement.signature',
      'STATEMENT_INVALID',
      () => fromStatement({ sign: new SessionKey().sign }),
    ],
    [
      'a statement of another session',
      'statement.session',
      'STATEMENT_INVALID',
      () => fromStatement({ change: (s) => ({ ...s, sessionDigest: new Uint8Array(32) as never }) }),
    ],
    [
      'an answer without a model',
      'statement.model',
      'STATEMENT_INVALID',
      () => fromStatement({ change: (s) => ({ ...s, model: null }) }),
    ],
    [
      'a statement that does not stand at its sequence number',
      'inclusion.path',
      'INCLUSION_MISSING',
      () => fromStatement({ change: (s) => ({ ...s, sequence: s.sequence - 1 }) }),
    ],
    ['no path below the size', 'inclusion.path', 'INCLUSION_MISSING', () => fromPath(() => null)],
    ['a path too short', 'inclusion.path', 'INCLUSION_MISSING', () => fromPath((path) => path.slice(1))],
    ['a path too long', 'inclusion.path', 'INCLUSION_MISSING', () => fromPath((path) => [...path, path[0]!])],
    [
      'another entry’s path',
      'inclusion.path',
      'INCLUSION_MISSING',
      () => fromPath(() => enclave.log.path(early.sequence, tick.size)),
    ],
    ['a path above the size', 'inclusion.path', 'INCLUSION_INVALID', () => fromPath(() => [], late)],
  ];
  test.each(cases)('%s', async (_, row, code, make) => {
    refused(await judge(await make()), row, code);
  });

  test('evidence of another boot', async () => {
    const own = new MiniEnclave();
    const other = await own.tick();
    const file = enclave.receipt(answer, tick, (good) => ({ ...good, evidence: { file: other.file } }));
    refused(await judge(file), 'statement.signature', 'STATEMENT_INVALID');
  });

  test('a simulated root that nobody named', async () => {
    refused(await judge(tick.file, { trustAnchors: [] }), 'snp.chain.root', 'CHAIN_UNTRUSTED');
  });

  test('a time before and after the chain', async () => {
    const file = enclave.receipt(answer, tick);
    const before = await judge(file, { at: new Date('2025-01-01T00:00:00Z') });
    refused(before, 'snp.chain.time', 'CERTIFICATE_NOT_YET_VALID');
    refused(await judge(file, { at: new Date('2040-01-01T00:00:00Z') }), 'snp.chain.time', 'CERTIFICATE_EXPIRED');
  });

  test('a revoked intermediate, by a list inside the file', async () => {
    const crl = makeCrl(await sharedAuthority('Milan'), {
      thisUpdate: new Date('2026-05-01T00:00:00Z'),
      nextUpdate: new Date('2027-05-01T00:00:00Z'),
      revoked: [{ serial: 0x10001n, date: new Date('2026-04-01T00:00:00Z') }],
    });
    const file = encodeEvidence({ ...parseEvidence(tick.file), crls: [crl] });
    refused(await judge(file), 'snp.revocation', 'CERTIFICATE_REVOKED');
  });

  test('an endorsement file that is none', async () => {
    const junk = new TextEncoder().encode('junk');
    refused(await judge(tick.file, { endorsements: [junk] }), 'shape.endorsements', 'ENDORSEMENT_MALFORMED');
    refused(await judge(tick.file, { crls: [junk] }), 'shape.endorsements', 'CRL_INVALID');
  });

  const other = () => new SessionKey().sign;
  const attestations: readonly (readonly [string, string, Code, Parameters<MiniEnclave['attestation']>[1]])[] = [
    ['a challenges entry by another key', 'challenge.signature', 'CHALLENGE_INVALID', { sign: other() }],
    ['a key entry by another key', 'key.signature', 'SIGNATURE_INVALID', { keySign: other() }],
    ['a key that is not in force', 'key.in-force', 'KEY_NOT_COMMITTED', { inForce: () => [] }],
    [
      'a challenges entry elsewhere in the log',
      'challenge.inclusion',
      'INCLUSION_INVALID',
      { change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, path: a.challenge.path.slice(1) } }) },
    ],
    [
      'a key entry elsewhere in the log',
      'key.inclusion',
      'INCLUSION_INVALID',
      { change: (a) => ({ ...a, keys: a.keys.map((key) => ({ ...key, path: [...key.path].reverse() })) }) },
    ],
    [
      'a nonce that is not in the tree',
      'challenge.nonce',
      'CHALLENGE_INVALID',
      { change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, nonce: new Uint8Array(32) } }) },
    ],
    [
      'a nonce at another index',
      'challenge.nonce',
      'CHALLENGE_INVALID',
      { change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, nonceIndex: 1 } }) },
    ],
    [
      'a key entry in the challenge’s place',
      'challenge.shape',
      'CHALLENGE_INVALID',
      { change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, entry: a.keys[0]!.entry } }) },
    ],
    [
      'a challenges entry in a key’s place',
      'key.shape',
      'KEY_NOT_COMMITTED',
      { change: (a) => ({ ...a, keys: [{ entry: a.challenge!.entry, path: a.challenge!.path }] }) },
    ],
  ];
  test.each(attestations)('%s', async (_, row, code, options) => {
    const nonces = [nonce, new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
    const { file } = await enclave.attestation(nonces, options);
    refused(await judge(file, { expected: { nonce } }), row, code);
  });
});

describe('kinds', () => {
  test('are told from the bytes', async () => {
    expect(detectKind(enclave.receipt(answer, tick))).toBe('receipt');
    expect(detectKind(tick.file)).toBe('evidence');
    expect(detectKind((await enclave.attestation([nonce])).file)).toBe('attestation');
    expect(detectKind(tick.evidence.report)).toBe('snp-report');
    expect(detectKind(new Uint8Array(0))).toBeNull();
    expect(detectKind(encodeCbor(new Map([['profile', 'something else']])))).toBeNull();
  });

  test('none is unsupported: neither yes nor no', async () => {
    for (const file of [new Uint8Array(0), new Uint8Array(randomBytes(3000)), new TextEncoder().encode('{}')]) {
      const result = await judge(file);
      expect(result.verdict).toBe('unsupported');
      expect(result.findings.map(({ code }) => code)).toEqual(['EVIDENCE_UNSUPPORTED']);
      expect(result.kind).toBeNull();
    }
  });

  test('a report in a document’s place is malformed', async () => {
    const file = encodeEvidence({ ...tick.evidence, format: 'nitro-attestation-document', chain: [] });
    refused(await judge(file), 'shape.document', 'EVIDENCE_MALFORMED');
  });

  test('a newer report version is unsupported', async () => {
    const newer = await enclave.tick({ snp: { mutate: (f) => ({ ...f, version: 6 }) } });
    for (const file of [newer.evidence.report, newer.file]) {
      const result = await judge(file, { endorsements: tick.snp.chain });
      expect([result.verdict, result.findings[0]?.code]).toEqual(['unsupported', 'EVIDENCE_UNSUPPORTED']);
    }
  });

  test('a kind given by the caller is held to', async () => {
    refused(await judge(tick.file, { kind: 'snp-report' }), 'shape.report', 'EVIDENCE_MALFORMED');
    refused(await judge(new Uint8Array(0), { kind: 'receipt' }), 'shape.file', 'EVIDENCE_MALFORMED');
    const result = await judge(tick.file, { kind: 'receipt' });
    expect(result.verdict).toBe('unsupported'); // the profile of another kind of file
  });

  test('a report cut short is malformed, not unknown', async () => {
    const cut = tick.evidence.report.subarray(0, 1000);
    refused(await judge(cut, { endorsements: tick.snp.chain }), 'shape.report', 'EVIDENCE_MALFORMED');
  });
});

describe('what a refusal still shows', () => {
  test('claims of the report are shown once it is verified, and only then', async () => {
    const forged = parseReceipt(enclave.receipt(answer, tick));
    const unproven = await judge(encodeReceipt({ ...forged, path: null }));
    expect(unproven.claims.measurement).toBeDefined();
    expect(unproven.claims.session).toBeDefined();
    expect(unproven.claims.receiptId).toBeUndefined();
    expect(unproven).toMatchObject({ platform: 'simulated-snp', strength: null });
    const untrusted = await judge(tick.file, { trustAnchors: [] });
    expect(untrusted).toMatchObject({ platform: null, strength: null, claims: {} });
  });

  test('the JSON has the fixed fields, bytes as hex, times as ISO 8601', async () => {
    const json = toJson(await judge(enclave.receipt(answer, tick)));
    const fixed = ['verdict', 'strength', 'platform', 'findings', 'checks', 'notChecked', 'claims', 'policy', 'at'];
    expect(Object.keys(json)).toEqual([...fixed, 'kind', 'policyDigest', 'validAt', 'timeSource', 'existedBy']);
    expect(json).toMatchObject({
      verdict: 'affirming',
      strength: 'hardware-committed',
      platform: 'simulated-snp',
      policy: 'builtin:authenticity',
      at: AT.toISOString(),
      validAt: AT.toISOString(),
      timeSource: 'caller',
      existedBy: null,
      claims: { measurement: '5a'.repeat(48), product: 'Milan', receiptId: hex(answer.statement.receiptId) },
    });
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
    const refusedJson = toJson(await judge(tick.file, { trustAnchors: [] }));
    expect(refusedJson.findings).toEqual([
      expect.objectContaining({ code: 'CHAIN_UNTRUSTED', claim: 'ARK', source: expect.any(String) }),
    ]);
  });

  test('names the policy by id and digest', async () => {
    const policy = parsePolicy(strictPolicy());
    const result = await judge(tick.file, { policy });
    expect(result.policy).toBe(policy.id);
    expect(result.policyDigest.length).toBe(32);
  });
});
