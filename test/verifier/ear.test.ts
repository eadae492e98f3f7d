import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { compactVerify, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeCrl, SIMULATED_PCRS, sharedAuthority, sharedChipId } from '../../attestation-fixtures/index.ts';
import { hex } from '../../protocol/index.ts';
import { TRUST_CLAIMS, tierOf } from '../../verifier/ear-vector.ts';
import {
  type AssessInput,
  type AttestationResult,
  assess,
  type EarClaims,
  type EarProfile,
  earMediaType,
  parsePolicy,
  signEar,
  type TrustAnchor,
  toEar,
  trustVector,
} from '../../verifier/index.ts';
import { type Answer, AT, anchorsOf, MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { strictNitroPolicy, strictPolicy } from '../support/policies.ts';
import { anchors, make, AT as NITRO_AT } from './nitro-simulation.ts';

/** What a reader of each dialect holds a token to: JSON claim names, and which may be absent. */
const RULES = {
  'veraison-2023': {
    eatProfile: 'tag:github.com,2023:veraison/ear',
    verifierId: 'ear.verifier-id',
    status: 'ear.status',
    vector: 'ear.trustworthiness-vector',
    policyName: 'ear.appraisal-policy-id',
    isPolicy: (value: unknown) => typeof value === 'string' && value !== '',
    keyAttestation: 'ear.veraison.key-attestation',
    foreign: /^ear_/,
  },
  'ietf-2026': {
    eatProfile: 'tag:ietf.org,2026:rats/ear#03',
    verifierId: 'ear_verifier_id',
    status: 'ear_status',
    vector: 'ear_trustworthiness_vector',
    policyName: 'ear_appraisal_policy_ids',
    isPolicy: (value: unknown) =>
      Array.isArray(value) && value.length > 0 && value.every((id) => typeof id === 'string'),
    keyAttestation: 'ear_veraison_key_attestation',
    foreign: /^ear\./,
  },
} as const;
const PROFILES = Object.keys(RULES) as EarProfile[];

type Json = Record<string, unknown>;
const TIERS = ['none', 'affirming', 'warning', 'contraindicated'];
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** Every rule both dialects and their readers have; returns the one appraisal. */
function conform(claims: EarClaims, profile: EarProfile): { readonly label: string; readonly submod: Json } {
  const rules = RULES[profile];
  const ear = JSON.parse(JSON.stringify(claims)) as Json;
  expect(ear['eat_profile']).toBe(rules.eatProfile);
  expect(Number.isSafeInteger(ear['iat'])).toBe(true);
  expect(ear[rules.verifierId]).toEqual({ developer: expect.stringMatching(/./), build: expect.stringMatching(/./) });
  if ('eat_nonce' in ear) {
    expect(ear['eat_nonce']).toMatch(BASE64URL);
    expect((ear['eat_nonce'] as string).length).toBeGreaterThanOrEqual(8);
    expect((ear['eat_nonce'] as string).length).toBeLessThanOrEqual(88);
  }
  const known = ['eat_profile', 'iat', 'eat_nonce', 'submods', rules.verifierId];
  expect(Object.keys(ear).filter((name) => !known.includes(name))).toEqual([]);
  const submods = Object.entries(ear['submods'] as Json);
  expect(submods.length).toBe(1);
  const [label, submod] = submods[0] as [string, Json];
  expect(Object.keys(submod).filter((name) => rules.foreign.test(name))).toEqual([]);
  const vector = submod[rules.vector] as Record<string, number>;
  const values = Object.entries(vector);
  expect(values.length).toBeGreaterThan(0);
  for (const [name, value] of values) {
    expect(TRUST_CLAIMS).toContain(name);
    expect(Number.isInteger(value) && value >= -128 && value <= 127).toBe(true);
  }
  const status = submod[rules.status] as string;
  expect(TIERS).toContain(status);
  const worst = Math.max(...values.map(([, value]) => TIERS.indexOf(tierOf(value))));
  if (status !== 'none') expect(TIERS.indexOf(status)).toBeGreaterThanOrEqual(worst);
  expect(rules.isPolicy(submod[rules.policyName])).toBe(true);
  const attested = submod[rules.keyAttestation] as { akpub: string } | undefined;
  if (attested) {
    expect(Object.keys(attested)).toEqual(['akpub']);
    expect(attested.akpub).toMatch(BASE64URL);
    createPublicKey({ key: Buffer.from(attested.akpub, 'base64url'), format: 'der', type: 'spki' });
  }
  return { label, submod };
}

const verifierId = { developer: 'https://example.org', build: 'veritee 0.1.0' };
const nonce = new Uint8Array(randomBytes(32));
let enclave: MiniEnclave;
let answer: Answer;
let tick: Tick;
let trustAnchors: TrustAnchor[];
let good: AttestationResult;

const judge = async (file: Uint8Array, more: Partial<AssessInput> = {}): Promise<AttestationResult> =>
  assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });
const under = (snp: Record<string, unknown>, file = tick.file): Promise<AttestationResult> =>
  judge(file, { policy: parsePolicy(strictPolicy({}, snp)) });
const withPolicyBits = async (bits: bigint) =>
  (await enclave.tick({ snp: { mutate: (f) => ({ ...f, policy: f.policy | bits }) } })).file;

beforeAll(async () => {
  enclave = new MiniEnclave();
  answer = await enclave.infer({ nonce });
  tick = await enclave.tick();
  trustAnchors = await anchorsOf(tick);
  good = await judge(enclave.receipt(answer, tick), { policy: parsePolicy(strictPolicy()), expected: { nonce } });
});

describe.each(PROFILES)('%s', (profile) => {
  const rules = RULES[profile];

  test('a good receipt is affirming, under its session key', () => {
    const iat = new Date('2026-06-01T12:00:07.9Z');
    const claims = toEar(good, { profile, verifierId, iat, nonce });
    const { label, submod } = conform(claims, profile);
    expect(label).toBe('simulated-snp');
    expect(claims).toMatchObject({
      iat: 1_780_315_207,
      eat_nonce: Buffer.from(nonce).toString('base64url'),
      [rules.verifierId]: verifierId,
    });
    expect(submod[rules.status]).toBe('affirming');
    expect([submod[rules.policyName]].flat()).toEqual(['strict']);
    const spki = Buffer.from((submod[rules.keyAttestation] as { akpub: string }).akpub, 'base64url');
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(key.export({ format: 'jwk' }).x).toBe(Buffer.from(enclave.session.key).toString('base64url'));
    const message = randomBytes(8);
    expect(verify(null, message, key, enclave.session.sign(message))).toBe(true);
  });

  test('refusals and unknown files hand out no key', async () => {
    const refused = await judge(tick.file, { trustAnchors: [] });
    const unknown = await judge(new Uint8Array(3));
    const malformed = await judge(tick.file.subarray(0, -1));
    for (const [result, label, status, all] of [
      [refused, 'evidence', 'contraindicated', 99],
      [malformed, 'evidence', 'contraindicated', 1],
      [unknown, 'unidentified', 'none', 1],
    ] as const) {
      const { label: actual, submod } = conform(toEar(result, { profile, verifierId }), profile);
      expect([actual, submod[rules.status]]).toEqual([label, status]);
      expect(submod[rules.vector]).toEqual(Object.fromEntries(TRUST_CLAIMS.map((claim) => [claim, all])));
      expect(submod).not.toHaveProperty([rules.keyAttestation]);
    }
  });

  test('says beside the vector what the vector has no words for', () => {
    const { submod } = conform(toEar(good, { profile, verifierId }), profile);
    const extension = submod[profile === 'ietf-2026' ? 'ear_veritee_result' : 'ear.veritee.result'];
    expect(extension).toEqual({
      verdict: 'affirming',
      kind: 'receipt',
      strength: 'hardware-committed',
      validAt: AT.toISOString(),
      policyDigest: hex(good.policyDigest),
      findings: [],
      notChecked: good.notChecked,
    });
  });

  test('has a media type that names it', () => {
    expect(earMediaType(profile)).toBe(`application/eat+jwt; eat_profile="${rules.eatProfile}"`);
  });
});

describe('the trustworthiness vector', () => {
  test('of a simulated platform claims nothing about hardware or memory', async () => {
    expect(trustVector(good)).toEqual({ configuration: 2, executables: 3 });
    expect(trustVector(await judge(tick.file))).toEqual({ hardware: 0 });
  });

  test('of the same facts on a chip does', async () => {
    expect(trustVector({ ...good, platform: 'snp' })).toEqual({
      configuration: 2,
      executables: 3,
      hardware: 2,
      'runtime-opaque': 2,
    });
    // Nobody asked for a minimum TCB: genuine, but perhaps with known flaws.
    expect(trustVector({ ...(await judge(tick.file)), platform: 'snp' })).toEqual({ 'runtime-opaque': 2 });
  });

  test('of a Nitro enclave: isolated, not encrypted, so never better than a warning', async () => {
    const pcr = (index: number): string => hex(SIMULATED_PCRS.get(index) as Uint8Array);
    const image = { name: 'acme', pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2), pcr8: 'unused' };
    const nitro = async (changes = {}, request = {}): Promise<AttestationResult> => {
      const policy = parsePolicy(strictNitroPolicy({}, { referenceValues: [image], ...changes }));
      return assess({ file: make(request).document, policy, at: NITRO_AT, trustAnchors: anchors });
    };
    const known = await nitro();
    expect(known.findings).toEqual([]);
    expect(trustVector(known)).toEqual({ configuration: 2, executables: 3 });
    const real: AttestationResult = { ...known, platform: 'nitro' };
    expect(trustVector(real)).toEqual({ configuration: 2, executables: 3, hardware: 2, 'runtime-opaque': 32 });
    const { label, submod } = conform(toEar(real, { profile: 'ietf-2026', verifierId }), 'ietf-2026');
    expect([label, submod['ear_status']]).toEqual(['nitro', 'warning']);
    const zeros = new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)]));
    const debug = await nitro({ debug: 'allow-debug-no-confidentiality' }, { pcrs: zeros });
    expect(trustVector(debug)).toMatchObject({ configuration: 96, executables: 33, 'runtime-opaque': 96 });
  });

  const cases: readonly (readonly [string, object, () => Promise<AttestationResult>])[] = [
    ['a chip on the list', { 'instance-identity': 2 }, () => under({ chips: [hex(sharedChipId('Milan'))] })],
    ['a chip not on the list', { 'instance-identity': 97 }, () => under({ chips: ['ab'.repeat(64)] })],
    ['another measurement', { executables: 33 }, () => under(reference({ measurement: 'ab'.repeat(48) }))],
    ['another container', { executables: 33 }, () => under(reference({ hostData: 'ab'.repeat(32) }))],
    ['another VMPL', { configuration: 32, executables: 3 }, () => under(reference({ vmpl: 3 }))],
    ['SMT against the policy', { configuration: 32 }, () => under({ smt: 'forbid' })],
    ['no ciphertext hiding against the policy', { configuration: 32 }, () => under({ ciphertextHiding: 'require' })],
    ['debug', { configuration: 96, 'runtime-opaque': 96 }, async () => under({}, await withPolicyBits(1n << 19n))],
    ['migration', { configuration: 96 }, async () => under({}, await withPolicyBits(1n << 18n))],
    ['another product', { hardware: 97 }, () => under({ products: ['Genoa'], minimumTcb: 'any' })],
    ['a TCB below the minimum', { hardware: 32 }, () => under({ minimumTcb: [floor(255)] })],
    ['a launch TCB below the minimum', { hardware: 32 }, () => under({ minimumLaunchTcb: [floor(255)] })],
  ];
  test.each(cases)('%s', async (_, expected, make) => {
    const result = await make();
    expect(trustVector(result)).toMatchObject(expected);
    for (const profile of PROFILES) {
      const { submod } = conform(toEar(result, { profile, verifierId }), profile);
      expect(submod[RULES[profile].status]).toBe(result.verdict);
    }
  });

  test('a revoked chain', async () => {
    const crl = makeCrl(await sharedAuthority('Milan'), {
      thisUpdate: new Date('2026-05-01T00:00:00Z'),
      nextUpdate: new Date('2027-05-01T00:00:00Z'),
      revoked: [{ serial: 0x10001n, date: new Date('2026-04-01T00:00:00Z') }],
    });
    const revoked = await judge(tick.file, { crls: [crl] });
    expect(revoked.findings.map(({ code }) => code)).toEqual(['CERTIFICATE_REVOKED']);
    expect(trustVector(revoked)).toEqual({ hardware: 96 });
  });

  test('a debug guest is contraindicated in a token also where its policy allows debug', async () => {
    const result = await under({ debug: 'allow-debug-no-confidentiality' }, await withPolicyBits(1n << 19n));
    expect(result.verdict).toBe('affirming');
    const { submod } = conform(toEar(result, { profile: 'veraison-2023', verifierId }), 'veraison-2023');
    expect(submod['ear.status']).toBe('contraindicated');
  });

  test('tiers', () => {
    const tiers = [-128, -97, -33, -2, -1, 0, 1, 2, 31, 32, 95, 96, 127].map(tierOf);
    expect(tiers.join(' ')).toBe(
      'contraindicated contraindicated warning affirming none none none affirming affirming warning warning contraindicated contraindicated',
    );
  });

  const reference = (change: object) => ({
    referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], ...change }],
  });
  const floor = (microcode: number) => ({
    ...{ product: 'Milan', cpuidModels: 'any', bootloader: 4, tee: 0, snp: 27 },
    microcode,
  });
});

describe('a signed token', () => {
  const claims = () => toEar(good, { profile: 'veraison-2023', verifierId });
  const header = (token: string) => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString());

  test.each([
    ['ES256', 'P-256', 'sha256'],
    ['ES384', 'P-384', 'sha384'],
  ] as const)('%s verifies with jose and with node alone', async (alg, namedCurve, hash) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
    const token = await signEar(claims(), privateKey.export({ format: 'jwk' }) as JWK, alg);
    const { payload } = await compactVerify(token, await importJWK(publicKey.export({ format: 'jwk' }) as JWK, alg));
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual(JSON.parse(JSON.stringify(claims())));
    const [head, body, signature] = token.split('.') as [string, string, string];
    const signed = Buffer.from(`${head}.${body}`);
    const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
    expect(verify(hash, signed, key, Buffer.from(signature, 'base64url'))).toBe(true);
  });

  test('names its key and never carries it', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(privateKey);
    const thumbprint = header(await signEar(claims(), jwk, 'ES256'));
    expect(thumbprint).toEqual({ alg: 'ES256', typ: 'JWT', kid: expect.stringMatching(/^[\w-]{43}$/) });
    expect(header(await signEar(claims(), { ...jwk, kid: 'own' }, 'ES256'))).toEqual({ ...thumbprint, kid: 'own' });
    expect(header(await signEar(claims(), jwk, 'ES256', 'given'))).toEqual({ ...thumbprint, kid: 'given' });
    expect(header(await signEar(claims(), privateKey, 'ES256'))).toEqual({ alg: 'ES256', typ: 'JWT' });
  });

  test('needs a private key of the algorithm’s curve', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const refused: readonly (readonly [Parameters<typeof signEar>[1], 'ES256' | 'ES384'])[] = [
      [await exportJWK(publicKey), 'ES256'],
      [publicKey, 'ES256'],
      [await exportJWK(privateKey), 'ES384'],
      [privateKey, 'ES384'],
      [{ kty: 'oct', k: 'AAAA' }, 'ES256'],
      [{ kty: 'EC' }, 'ES256'],
    ];
    for (const [key, alg] of refused) await expect(signEar(claims(), key, alg)).rejects.toThrow(TypeError);
  });
});

test('mistakes of the caller', () => {
  const options = { profile: 'veraison-2023', verifierId } as const;
  expect(() => toEar(good, { ...options, nonce: new Uint8Array(7) })).toThrow(TypeError);
  expect(() => toEar(good, { ...options, nonce: new Uint8Array(65) })).toThrow(TypeError);
  expect(() => toEar(good, { ...options, iat: new Date(Number.NaN) })).toThrow(TypeError);
  expect(() => toEar(good, { ...options, verifierId: { developer: '', build: 'x' } })).toThrow(TypeError);
});
