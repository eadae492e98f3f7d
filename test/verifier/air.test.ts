import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Cbor, type Code, decodeCbor, encodeCbor } from '../../protocol/index.ts';
import {
  ALL_ROWS,
  type AssessInput,
  type AttestationResult,
  assess,
  detectKind,
  type Expected,
  parsePolicy,
  readTrustAnchors,
  renderHtml,
  toEar,
  toJson,
} from '../../verifier/index.ts';
import { chainOf } from '../../verifier/report/chain.ts';
import { AT, MiniEnclave } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { sharedFolder } from '../support/shared.ts';
import {
  air,
  airKey,
  type Claims,
  digest,
  goodClaims,
  measurements,
  nonce,
  REQUEST,
  RESPONSE,
} from './air-receipts.ts';

const hexBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const vectors = sharedFolder('vectors', 'air-v1');

interface Vector {
  readonly name: string;
  readonly public_key_hex?: string;
  readonly wrong_public_key_hex?: string;
  readonly receipt_hex: string;
  readonly claims?: Readonly<Record<string, unknown>> & {
    readonly enclave_measurements: Record<string, string | null>;
  };
  readonly verify_policy?: {
    readonly expected_model_hash_hex?: string;
    readonly expected_nonce_hex?: string;
    readonly expected_platform?: 'nitro-pcr' | 'tdx-mrtd-rtmr';
    readonly max_age_secs?: number;
  };
  readonly expected_failure?: { readonly layer: 1 | 2 | 3 | 4; readonly code: string };
}

const read = (folder: string): readonly Vector[] =>
  vectors === null
    ? []
    : readdirSync(path.join(vectors, folder))
        .filter((name) => name.endsWith('.json'))
        .map((name) => JSON.parse(readFileSync(path.join(vectors, folder, name), 'utf8')));

/** The rows of each layer of the draft's procedure, and our code for each of its codes. */
const ROW_OF_LAYER = { 1: /^air\.envelope$/, 2: /^air\.(signature|key)$/, 3: /^air\.claims$/, 4: /^(expected|air)\./ };
const CODE_OF: Readonly<Record<string, Code>> = {
  BAD_ALG: 'EVIDENCE_MALFORMED',
  SIG_FAILED: 'SIGNATURE_INVALID',
  BAD_MEASUREMENT_LENGTH: 'EVIDENCE_MALFORMED',
  ZERO_MODEL_HASH: 'EVIDENCE_MALFORMED',
  MODEL_HASH_MISMATCH: 'MODEL_MISMATCH',
  NONCE_MISMATCH: 'NONCE_MISMATCH',
  PLATFORM_MISMATCH: 'PLATFORM_NOT_ALLOWED',
  TIMESTAMP_STALE: 'FRESHNESS_REQUIRED',
};

const judge = (file: Uint8Array, more: Partial<AssessInput> = {}): Promise<AttestationResult> =>
  assess({ file, policy: 'builtin:authenticity', at: AT, ...more });
const failed = ({ checks }: AttestationResult): string[] =>
  checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id);
const codes = ({ findings }: AttestationResult): Code[] => findings.map(({ code }) => code);

describe.skipIf(vectors === null)('golden vectors', () => {
  const keyOf = ({ public_key_hex, wrong_public_key_hex }: Vector) =>
    hexBytes((public_key_hex ?? wrong_public_key_hex) as string);

  test.each(read('valid').map((vector) => [vector.name, vector] as const))('%s is valid', async (_, vector) => {
    const file = hexBytes(vector.receipt_hex);
    expect(detectKind(file)).toBe('air-receipt');
    const claims = vector.claims!;
    const nonce = claims['eat_nonce_hex'];
    const expected: Expected = {
      airKey: keyOf(vector),
      ...(typeof nonce === 'string' ? { nonce: hexBytes(nonce) } : {}),
    };
    const result = await judge(file, { expected });
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({ verdict: 'affirming', kind: 'air-receipt', platform: null, strength: null });
    const { measurement_type, ...registers } = claims.enclave_measurements;
    expect(toJson(result).claims).toEqual({
      air: {
        issuer: claims['iss'],
        claimedIssuedAt: new Date((claims['iat'] as number) * 1000).toISOString(),
        receiptId: claims['cti_hex'],
        nonce: nonce ?? null,
        modelId: claims['model_id'],
        modelVersion: claims['model_version'],
        modelHash: claims['model_hash_hex'],
        modelHashScheme: null,
        requestHash: claims['request_hash_hex'],
        responseHash: claims['response_hash_hex'],
        attestationDocHash: claims['attestation_doc_hash_hex'],
        measurementType: measurement_type,
        measurements: Object.fromEntries(
          Object.entries(registers).flatMap(([name, value]) => (value ? [[name.replace('_hex', ''), value]] : [])),
        ),
        policyVersion: claims['policy_version'],
        sequenceNumber: claims['sequence_number'],
        executionTimeMs: claims['execution_time_ms'],
        memoryPeakMb: claims['memory_peak_mb'],
        securityMode: claims['security_mode'],
        key: vector.public_key_hex,
      },
    });
  });

  test.each(read('invalid').map((vector) => [vector.name, vector] as const))('%s is refused', async (_, vector) => {
    const { expected_failure: failure, verify_policy: policy = {} } = vector;
    const file = hexBytes(vector.receipt_hex);
    expect(detectKind(file)).toBe('air-receipt');
    const { air } = (await judge(file, { expected: { airKey: keyOf(vector) } })).claims;
    const result = await judge(file, {
      expected: {
        airKey: keyOf(vector),
        ...(policy.expected_nonce_hex ? { nonce: hexBytes(policy.expected_nonce_hex) } : {}),
        ...(policy.expected_model_hash_hex
          ? { model: { name: air!.modelId, digest: hexBytes(policy.expected_model_hash_hex) } }
          : {}),
        air: {
          ...(policy.expected_platform ? { measurementType: policy.expected_platform } : {}),
          ...(policy.max_age_secs === undefined ? {} : { maxAgeSeconds: policy.max_age_secs }),
        },
      },
    });
    expect(result.verdict).toBe('contraindicated');
    expect(codes(result)).toEqual([CODE_OF[failure!.code]]);
    expect(failed(result)).toEqual([expect.stringMatching(ROW_OF_LAYER[failure!.layer])]);
    // Nothing of a receipt is shown before its signature and claims are good.
    expect(Object.keys(result.claims)).toEqual(failure!.layer === 4 ? ['air'] : []);
  });

  test('there are as many as the origin says, and every code is known', () => {
    expect([read('valid').length, read('invalid').length]).toEqual([2, 8]);
    expect(read('invalid').filter(({ expected_failure: failure }) => !CODE_OF[failure!.code])).toEqual([]);
  });
});

const body = (content: Uint8Array) => ({ body: content });
const everything = (): Expected => ({
  airKey,
  nonce,
  request: body(REQUEST),
  response: body(RESPONSE),
  model: { name: 'model', version: '1', digest: digest(2) },
  air: { measurementType: 'nitro-pcr', maxAgeSeconds: 3600 },
});

describe('a good receipt', () => {
  test('with everything its owner knows', async () => {
    const result = await judge(air(), { expected: everything() });
    expect(result.findings).toEqual([]);
    expect(result.verdict).toBe('affirming');
    const passed = result.checks.filter(({ outcome }) => outcome === 'pass').map(({ id }) => id);
    expect(passed).toEqual([
      ...['shape.kind', 'expected.nonce', 'expected.request', 'expected.response', 'expected.model'],
      ...['policy.freshness', 'air.envelope', 'air.key', 'air.signature', 'air.claims'],
      ...['air.measurement-type', 'air.age'],
    ]);
    expect(result.checks.map(({ id }) => id)).toEqual(ALL_ROWS.map(({ id }) => id));
    expect(result.checks.filter(({ detail }) => detail.startsWith('not reached'))).toEqual([]);
  });

  test('says what such a receipt does not prove, however much its owner knows', async () => {
    const { notChecked } = await judge(air(), { expected: everything() });
    for (const word of ['hardware', 'the key', 'measurements', 'salt', 'no log', 'the time', 'no outside clock']) {
      expect(
        notChecked.some((text) => text.includes(word)),
        word,
      ).toBe(true);
    }
    const evaluation = await judge(
      air((claims) => claims.set(-65548, 'evaluation')),
      { expected: { airKey } },
    );
    expect(evaluation.verdict).toBe('affirming');
    expect(evaluation.notChecked.some((text) => text.includes('for evaluation'))).toBe(true);
    expect(evaluation.notChecked).toContain('without a nonce: this answer may be an old one');
  });

  test('is nowhere more than a signature', async () => {
    const result = await judge(air(), { expected: everything() });
    expect(result).toMatchObject({ platform: null, strength: null, existedBy: null });
    expect('session' in result || 'statement' in result).toBe(false);
    const claims = toEar(result, { profile: 'veraison-2023', verifierId: { developer: 'x', build: 'y' } });
    expect(claims['submods']).toMatchObject({
      'air-receipt': { 'ear.status': 'none', 'ear.trustworthiness-vector': { hardware: 0 } },
    });
    expect(renderHtml(result)).toContain('No hardware was verified.');
    expect(chainOf(result).map(({ title, state }) => `${title}: ${state}`)).toEqual([
      'Signing key you named: pass',
      'AIR receipt: pass',
      'Request you hold: pass',
      'Response you hold: pass',
      'Hardware: skipped',
    ]);
  });

  test('meets no policy that asks for a platform', async () => {
    const policies = [
      strictPolicy(),
      strictPolicy({}, { referenceValues: 'any-unidentified-program', minimumTcb: 'any', aliasCheck: 'not-required' }),
    ];
    for (const policy of policies) {
      const result = await judge(air(), { expected: everything(), policy: parsePolicy(policy) });
      expect(codes(result)).toEqual(['PLATFORM_NOT_ALLOWED']);
      expect(failed(result)).toEqual(['policy.platform']);
    }
  });

  test.each<[string, (claims: Claims) => unknown]>([
    ['of TDX', (claims) => claims.set(-65543, measurements('tdx-mrtd-rtmr', 'pcr0', 'pcr1', 'pcr2', 'pcr3', 'pcr4'))],
    ['without the optional claims', (claims) => [claims.delete(10), claims.delete(-65549)]],
    ['at the end of time', (claims) => claims.set(6, Number.MAX_SAFE_INTEGER)],
  ])('%s', async (_, change) => {
    expect(codes(await judge(air(change), { expected: { airKey } }))).toEqual([]);
  });
});

describe('refusals', () => {
  const cases: readonly (readonly [string, string, Code, () => Uint8Array])[] = [
    ...(
      [
        ['no issuer', (claims) => claims.delete(1)],
        ['an empty issuer', (claims) => claims.set(1, '')],
        ['an issuer that is too long', (claims) => claims.set(1, 'x'.repeat(1025))],
        ['a time of zero', (claims) => claims.set(6, 0)],
        ['a time before 1970', (claims) => claims.set(6, -1)],
        ['a short id', (claims) => claims.set(7, digest(1, 15))],
        ['a nonce of 7 bytes', (claims) => claims.set(10, digest(1, 7))],
        ['a nonce of 65 bytes', (claims) => claims.set(10, digest(1, 65))],
        ['a nonce that is null', (claims) => claims.set(10, null)],
        ['a model hash of zeros', (claims) => claims.set(-65539, digest(0))],
        ['a short model hash', (claims) => claims.set(-65539, digest(2, 31))],
        ['a long request hash', (claims) => claims.set(-65540, digest(2, 48))],
        ['no response hash', (claims) => claims.delete(-65541)],
        ['no attestation document', (claims) => claims.delete(-65542)],
        ['measurements that are no map', (claims) => claims.set(-65543, digest(4, 48))],
        ['measurements of no type', (claims) => claims.set(-65543, new Map([['pcr0', digest(4, 48)]]))],
        ['measurements of another type', (claims) => claims.set(-65543, measurements('snp', 'pcr0', 'pcr1', 'pcr2'))],
        ['a missing register', (claims) => claims.set(-65543, measurements('nitro-pcr', 'pcr0', 'pcr2'))],
        ['PCR8 of TDX', (claims) => claims.set(-65543, measurements('tdx-mrtd-rtmr', 'pcr0', 'pcr1', 'pcr2', 'pcr8'))],
        [
          'an unknown register',
          (claims) => claims.set(-65543, measurements('nitro-pcr', 'pcr0', 'pcr1', 'pcr2', 'pcr5')),
        ],
        ['a mode nobody defined', (claims) => claims.set(-65548, 'Production')],
        ['a hash scheme nobody defined', (claims) => claims.set(-65549, 'sha512')],
        ['a negative sequence number', (claims) => claims.set(-65545, -1)],
        ['an unknown claim', (claims) => claims.set(-65550, 1)],
        ['an unknown text claim', (claims) => claims.set('note', 'x')],
      ] as readonly (readonly [string, (claims: Claims) => unknown])[]
    ).map(([name, change]) => [name, 'air.claims', 'EVIDENCE_MALFORMED', () => air(change)] as const),
    [
      'a payload with a byte behind it',
      'air.claims',
      'EVIDENCE_MALFORMED',
      () => air(undefined, { payload: new Uint8Array([...encodeCbor(goodClaims()), 0]) }),
    ],
    ['a payload that is no map', 'air.claims', 'EVIDENCE_MALFORMED', () => air(undefined, { payload: encodeCbor([]) })],
    [
      'a claim twice',
      'air.claims',
      'EVIDENCE_MALFORMED',
      () => {
        const once = encodeCbor(goodClaims());
        const [, ...rest] = once;
        return air(undefined, { payload: Uint8Array.from([(once[0] as number) + 1, 0x01, 0x61, 0x78, ...rest]) });
      },
    ],
    ['no tag', 'air.envelope', 'EVIDENCE_MALFORMED', () => air(undefined, { tag: [] })],
    [
      'an unprotected header',
      'air.envelope',
      'EVIDENCE_MALFORMED',
      () => air(undefined, { unprotected: new Map([[4, digest(1)]]) }),
    ],
    [
      'a third protected header',
      'air.envelope',
      'EVIDENCE_MALFORMED',
      () =>
        air(undefined, {
          header: encodeCbor(
            new Map<number, Cbor>([
              [1, -8],
              [2, []],
              [3, 61],
            ]),
          ),
        }),
    ],
    [
      'another algorithm',
      'air.envelope',
      'EVIDENCE_MALFORMED',
      () =>
        air(undefined, {
          header: encodeCbor(
            new Map<number, number>([
              [1, -7],
              [3, 61],
            ]),
          ),
        }),
    ],
    ['a byte behind it', 'air.envelope', 'EVIDENCE_MALFORMED', () => new Uint8Array([...air(), 0])],
    [
      'more than 65,536 bytes',
      'air.envelope',
      'EVIDENCE_TOO_LARGE',
      () => air(undefined, { payload: new Uint8Array(65_536) }),
    ],
  ];
  test.each(cases)('%s', async (_, row, code, make) => {
    const result = await judge(make(), { expected: everything() });
    expect([result.verdict, failed(result), codes(result)]).toEqual(['contraindicated', [row], [code]]);
    expect(result.claims).toEqual({});
  });

  test('another profile is neither yes nor no', async () => {
    const other = air((claims) => claims.set(265, 'https://spec.cyntrisec.com/air/v2'));
    const result = await judge(other, { expected: { airKey } });
    expect([result.verdict, codes(result)]).toEqual(['unsupported', ['EVIDENCE_UNSUPPORTED']]);
  });

  test('the claims are not read before the signature holds', async () => {
    const result = await judge(
      air((claims) => claims.delete(1)),
      { expected: { airKey: new Uint8Array(randomBytes(32)).fill(9, 31) } },
    );
    expect(failed(result)[0]).toMatch(/^air\.(key|signature)$/);
  });

  test('no key, another key, keys under which anyone signs', async () => {
    expect(codes(await judge(air()))).toEqual(['ENDORSEMENT_MISSING']);
    const { publicKey: other } = generateKeyPairSync('ed25519');
    const stranger = new Uint8Array(Buffer.from(other.export({ format: 'jwk' }).x as string, 'base64url'));
    expect(codes(await judge(air(), { expected: { airKey: stranger } }))).toEqual(['SIGNATURE_INVALID']);
    for (const small of [digest(0), Uint8Array.of(1, ...new Uint8Array(31))]) {
      const result = await judge(air(), { expected: { airKey: small } });
      expect([failed(result), codes(result)]).toEqual([['air.key'], ['SIGNATURE_INVALID']]);
    }
    await expect(judge(air(), { expected: { airKey: digest(1, 31) } })).rejects.toThrow(TypeError);
  });

  const wrong: readonly (readonly [string, Code, Partial<Expected>])[] = [
    ['expected.nonce', 'NONCE_MISMATCH', { nonce: digest(9, 16) }],
    ['expected.request', 'REQUEST_MISMATCH', { request: body(RESPONSE) }],
    ['expected.response', 'RESPONSE_MISMATCH', { response: body(REQUEST) }],
    ['expected.model', 'MODEL_MISMATCH', { model: { name: 'other' } }],
    ['expected.model', 'MODEL_MISMATCH', { model: { name: 'model', version: '2' } }],
    ['expected.model', 'MODEL_MISMATCH', { model: { name: 'model', digest: digest(9) } }],
    ['air.measurement-type', 'PLATFORM_NOT_ALLOWED', { air: { measurementType: 'tdx-mrtd-rtmr' } }],
    ['air.age', 'FRESHNESS_REQUIRED', { air: { maxAgeSeconds: 59 } }],
    // What an AIR receipt has no claim for is never answered by silence.
    ['expected.operation', 'OPERATION_MISMATCH', { operation: 'infer' }],
    ['expected.outcome', 'OUTCOME_NOT_OK', { outcome: 'ok' }],
    ['expected.request-media-type', 'REQUEST_MISMATCH', { mediaTypes: { request: 'application/json' } }],
    ['expected.response-json-length', 'RESPONSE_MISMATCH', { response: { ...body(RESPONSE), jsonLength: null } }],
  ];
  test.each(wrong)('%s: %s', async (row, code, expected) => {
    const result = await judge(air(), { expected: { ...everything(), ...expected } });
    expect([failed(result), codes(result)]).toEqual([[row], [code]]);
  });

  test('a receipt from the future, beyond a minute of skew', async () => {
    const at = (seconds: number) => air((claims) => claims.set(6, AT.getTime() / 1000 + seconds));
    expect(codes(await judge(at(60), { expected: everything() }))).toEqual([]);
    expect(codes(await judge(at(61), { expected: everything() }))).toEqual(['FRESHNESS_REQUIRED']);
  });

  test('a policy that asks for a nonce or a proven time', async () => {
    const policy = parsePolicy(strictPolicy({ freshness: 'nonce-required', existedBy: 'required' }));
    const result = await judge(air(), { expected: { airKey }, policy });
    expect(codes(result)).toEqual(['PLATFORM_NOT_ALLOWED', 'FRESHNESS_REQUIRED', 'TIME_NOT_PROVEN']);
  });
});

describe('bad bytes', () => {
  const file = air();

  test('no single changed byte is affirming, nor an uncoded exception', async () => {
    const accepted: number[] = [];
    for (let at = 0; at < file.length; at++) {
      for (const mask of [1, 0x80]) {
        const changed = new Uint8Array(file);
        changed[at]! ^= mask;
        const result = await judge(changed, { kind: 'air-receipt', expected: { airKey } });
        if (result.verdict === 'affirming') accepted.push(at);
      }
    }
    expect(accepted).toEqual([]);
  });

  test('nor one cut short, nor random ones', async () => {
    for (let length = 0; length < file.length; length++) {
      const result = await judge(file.subarray(0, length), { kind: 'air-receipt', expected: { airKey } });
      expect(result.verdict).toBe('contraindicated');
    }
    for (let i = 0; i < 500; i++) {
      const result = await judge(new Uint8Array(randomBytes(i)), { kind: 'air-receipt', expected: { airKey } });
      expect(result.verdict).toBe('contraindicated');
    }
  });

  test('signed payloads of every length and of random bytes get a code', async () => {
    const payload = encodeCbor(goodClaims());
    for (let length = 0; length < payload.length; length += 3) {
      const cut = air(undefined, { payload: payload.subarray(0, length) });
      expect(failed(await judge(cut, { expected: { airKey } }))).toEqual(['air.claims']);
    }
    for (let at = 0; at < payload.length; at++) {
      const changed = new Uint8Array(payload);
      changed[at]! ^= 1 << (at % 8);
      const result = await judge(air(undefined, { payload: changed }), { expected: { airKey } });
      expect(['affirming', 'contraindicated', 'unsupported']).toContain(result.verdict);
    }
  });
});

describe('kinds do not pass for one another', () => {
  test('our entries are no AIR receipts, and an AIR receipt is no entry', async () => {
    const enclave = new MiniEnclave();
    const { entry } = await enclave.infer();
    expect(detectKind(entry)).toBeNull();
    expect(failed(await judge(entry, { kind: 'air-receipt', expected: { airKey: enclave.session.key } }))).toEqual([
      'air.envelope',
    ]);
    expect((await judge(air(), { kind: 'receipt' })).verdict).toBe('contraindicated');
    expect(decodeCbor(air().subarray(1), 'x')).toHaveLength(4);
  });

  test('what only AIR can answer is not answered by another kind', async () => {
    const tick = await new MiniEnclave().tick();
    const expected: Expected = { airKey, air: { measurementType: 'nitro-pcr', maxAgeSeconds: 1 } };
    const trustAnchors = await readTrustAnchors(tick.snp.ark, 'ark');
    const result = await judge(tick.file, { expected, trustAnchors });
    expect(failed(result)).toEqual(['air.measurement-type', 'air.age']);
  });

  test('a salt is the caller’s mistake: AIR has none', async () => {
    const salted = { ...body(REQUEST), salt: digest(1) };
    await expect(judge(air(), { expected: { airKey, request: salted } })).rejects.toThrow(TypeError);
    const enclave = new MiniEnclave();
    const answer = await enclave.infer();
    const receipt = enclave.receipt(answer, await enclave.tick());
    await expect(judge(receipt, { expected: { request: body(REQUEST) } })).rejects.toThrow(TypeError);
  });
});
