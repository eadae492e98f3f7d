import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { SIMULATED_PCRS, sharedNitroRoot } from '../../attestation-fixtures/index.ts';
import { type Code, encodeReceipt, hex } from '../../protocol/index.ts';
import {
  type AssessInput,
  type AttestationResult,
  assess,
  draftPolicy,
  parsePolicy,
  renderHtml,
  type TrustAnchor,
  toEar,
  trustVector,
} from '../../verifier/index.ts';
import {
  type Answer,
  AT,
  anchorsOf,
  MiniEnclave,
  type NitroTick,
  type NitroTickChanges,
} from '../support/mini-enclave.ts';
import { nitroImage, strictNitroPolicy, strictPolicy } from '../support/policies.ts';

const nonce = new Uint8Array(randomBytes(32));
/** The simulated platform's own time: months before `AT`, as a kept receipt's is. */
const SIGNED = '2026-01-15T12:00:00.250Z';
const image = nitroImage(Object.fromEntries([...SIMULATED_PCRS].map(([index, pcr]) => [index, hex(pcr)])));

let enclave: MiniEnclave;
let answer: Answer;
let later: Answer;
let tick: NitroTick;
let trustAnchors: TrustAnchor[];

beforeAll(async () => {
  enclave = new MiniEnclave();
  for (let i = 0; i < 6; i++) await enclave.infer();
  answer = await enclave.infer({ nonce });
  tick = await enclave.nitroTick();
  later = await enclave.infer({ nonce });
  trustAnchors = await anchorsOf(tick);
});

const judge = (file: Uint8Array, more: Partial<AssessInput> = {}): Promise<AttestationResult> =>
  assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });
const strict = (changes: Record<string, unknown> = {}, nitro: Record<string, unknown> = {}) =>
  parsePolicy(strictNitroPolicy(changes, { referenceValues: [image], maxDocumentAgeSeconds: 'any', ...nitro }));
const refused = (result: AttestationResult, row: string, code: Code): void => {
  expect(result.findings.map((finding) => finding.code)).toEqual([code]);
  expect(result.checks.flatMap(({ id, outcome }) => (outcome === 'fail' ? [id] : []))).toEqual([row]);
  expect(result.verdict).toBe('contraindicated');
  expect(result).not.toHaveProperty('session');
};
const receiptAfter = async (changes: NitroTickChanges): Promise<Uint8Array> => {
  const own = new MiniEnclave();
  const given = await own.infer({ nonce });
  return own.receipt(given, await own.nitroTick(changes));
};

describe('receipts', () => {
  test('hardware-committed: by an enclave the policy knows, at a time AWS signed', async () => {
    const result = await judge(enclave.receipt(answer, tick), {
      policy: strict(),
      expected: { nonce, request: answer.request, response: answer.response },
    });
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({
      verdict: 'affirming',
      kind: 'receipt',
      strength: 'hardware-committed',
      platform: 'simulated-nitro',
      at: AT,
      validAt: new Date(SIGNED),
      timeSource: 'evidence',
      existedBy: new Date(SIGNED),
      claims: { region: 'us-east-1', debug: false, nonce, receiptId: answer.statement.receiptId },
    });
    expect(result.claims.publicKey).toEqual(enclave.session.key);
    expect(result.claims).not.toHaveProperty('measurement');
    for (const { id, outcome, detail } of result.checks) {
      if (id.startsWith('nitro.')) expect([id, outcome]).toEqual([id, 'pass']);
      if (id.startsWith('snp.'))
        expect([id, outcome, detail]).toEqual([id, 'skipped', expect.stringContaining('Nitro')]);
    }
  });

  test('session-signed: the document is proven to have existed, the statement after it is not', async () => {
    const file = enclave.receipt(later, tick);
    const result = await judge(file, { policy: strict({ strength: 'session-signed', existedBy: 'not-required' }) });
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({ strength: 'session-signed', validAt: new Date(SIGNED), existedBy: null });
    const asked = await judge(file, { policy: strict({ strength: 'session-signed' }) });
    refused(asked, 'policy.existed-by', 'TIME_NOT_PROVEN');
  });

  test('evidence apart from the receipt is found by its user_data', async () => {
    const reportData = tick.nitro.fields.userData;
    if (reportData?.length !== 64) throw new Error('no user_data');
    const stored = encodeReceipt({
      statement: answer.entry,
      path: enclave.log.path(answer.sequence, tick.size),
      evidence: { reportData: reportData as never },
    });
    expect((await judge(stored, { evidence: [tick.file] })).verdict).toBe('affirming');
    refused(await judge(stored), 'shape.evidence', 'EVIDENCE_MISSING');
  });

  test('an attestation answers a nonce and hands out its sealing keys', async () => {
    const own = new MiniEnclave();
    const { file, tick: its } = await own.nitroAttestation([nonce]);
    const result = await judge(file, { trustAnchors: await anchorsOf(its), expected: { nonce } });
    expect(result.findings).toEqual([]);
    expect(result).toMatchObject({ verdict: 'affirming', kind: 'attestation', existedBy: new Date(SIGNED) });
    expect('sealingKeys' in result && result.sealingKeys.length).toBe(1);
  });

  test('SNP evidence is still SNP’s: no row of Nitro is asked of it', async () => {
    const own = new MiniEnclave();
    const given = await own.infer();
    const snp = await own.tick();
    const result = await judge(own.receipt(given, snp), { trustAnchors: await anchorsOf(snp) });
    expect(result).toMatchObject({ verdict: 'affirming', platform: 'simulated-snp', validAt: AT, existedBy: null });
    expect(result.timeSource).toBe('caller');
    for (const { id, outcome } of result.checks) {
      if (id.includes('nitro')) expect([id, outcome]).toEqual([id, 'skipped']);
    }
  });
});

describe('binding', () => {
  test.each<readonly [string, NitroTickChanges]>([
    ['no user_data', { nitro: { userData: null } }],
    ['another user_data', { nitro: { userData: new Uint8Array(64).fill(1) } }],
    ['no public_key', { nitro: { publicKey: null } }],
    ['another public_key', { nitro: { publicKey: new Uint8Array(32).fill(1) } }],
    ['a nonce', { nitro: { nonce } }],
    ['an empty nonce', { nitro: { nonce: new Uint8Array(0) } }],
  ])('refuses %s', async (_, changes) => {
    refused(await judge(await receiptAfter(changes)), 'binding.report-data', 'KEY_BINDING_MISMATCH');
  });

  test('refuses user_data with a byte behind it', async () => {
    const data = new Uint8Array(65);
    data.set(tick.nitro.fields.userData ?? [], 0);
    const file = await receiptAfter({ nitro: { userData: data } });
    refused(await judge(file), 'binding.report-data', 'KEY_BINDING_MISMATCH');
  });
});

describe('refusals', () => {
  test.each<readonly [string, NonNullable<NitroTickChanges['evidence']>]>([
    ['a certificate', (good) => ({ ...good, chain: [new Uint8Array(sharedNitroRoot().certificate)] })],
    ['a CRL', (good) => ({ ...good, crls: [Uint8Array.of(0x30, 0)] })],
  ])('%s beside a document', async (_, change) => {
    refused(await judge(await receiptAfter({ evidence: change })), 'shape.evidence', 'EVIDENCE_MALFORMED');
  });

  test('an anchor of another platform, though it has the right key', async () => {
    const file = enclave.receipt(answer, tick);
    for (const platform of ['snp', 'simulated-snp'] as const) {
      const anchors = trustAnchors.map((anchor) => ({ ...anchor, platform }));
      refused(await judge(file, { trustAnchors: anchors }), 'nitro.chain.root', 'CHAIN_UNTRUSTED');
    }
  });

  test('each platform needs the policy’s word for it', async () => {
    const onlySnp = parsePolicy(strictPolicy());
    refused(await judge(enclave.receipt(answer, tick), { policy: onlySnp }), 'policy.platform', 'PLATFORM_NOT_ALLOWED');
    const own = new MiniEnclave();
    const given = await own.infer();
    const snp = await own.tick();
    const policy = strict({ existedBy: 'not-required' });
    const result = await judge(own.receipt(given, snp), { policy, trustAnchors: await anchorsOf(snp) });
    refused(result, 'policy.platform', 'PLATFORM_NOT_ALLOWED');
  });

  test.each(['pcr0', 'pcr1', 'pcr2'] as const)('a withdrawn image, by its %s', async (name) => {
    const policy = strict({ deniedMeasurements: [image[name]] });
    const result = await judge(enclave.receipt(answer, tick), { policy });
    refused(result, 'policy.denied-measurements', 'MEASUREMENT_DENIED');
  });

  test('a document of tomorrow', async () => {
    const at = new Date(Date.parse(SIGNED) - 60_001);
    refused(await judge(enclave.receipt(answer, tick), { at }), 'nitro.not-from-future', 'DOCUMENT_FROM_FUTURE');
    const minute = new Date(Date.parse(SIGNED) - 60_000);
    expect((await judge(enclave.receipt(answer, tick), { at: minute })).verdict).toBe('affirming');
  });
});

describe('reference values', () => {
  const aa = 'aa'.repeat(48);
  const under = (values: readonly Record<string, unknown>[]) =>
    judge(enclave.receipt(answer, tick), { policy: strict({}, { referenceValues: values }) });

  test.each(['pcr0', 'pcr1', 'pcr2', 'pcr8'])('another %s is another program', async (name) => {
    refused(await under([{ ...image, [name]: aa }]), `policy.nitro-${name}`, 'MEASUREMENT_UNKNOWN');
  });

  test('all registers belong to one build: parts of two do not make a third', async () => {
    const result = await under([
      { ...image, name: 'a', pcr2: aa },
      { ...image, name: 'b', pcr1: aa },
    ]);
    expect(result.findings.map(({ code }) => code)).toEqual(['MEASUREMENT_UNKNOWN']);
  });

  test('one of several will do, and an unused register is not compared but said', async () => {
    const other = { ...image, name: 'other', pcr0: aa };
    expect((await under([other, image])).findings).toEqual([]);
    const loose = await under([{ ...image, pcr1: 'unused', pcr2: 'unused', pcr8: 'unused' }]);
    expect(loose.verdict).toBe('affirming');
    expect(loose.notChecked.join('\n')).toMatch(/PCR1: .*\n.*PCR2: .*\n.*PCR8: /);
  });

  test('the signer alone will do, but never for a debug enclave, whose other registers are zero', async () => {
    const signer = new Uint8Array(48).fill(8);
    const value = { name: 'signed', pcr0: 'unused', pcr1: 'unused', pcr2: 'unused', pcr8: hex(signer) };
    const policy = strict({}, { referenceValues: [value], debug: 'allow-debug-no-confidentiality' });
    const signed = await receiptAfter({ nitro: { pcrs: new Map([[8, signer]]) } });
    expect((await judge(signed, { policy })).findings).toEqual([]);
    const zeros = [0, 1, 2].map((index) => [index, new Uint8Array(48)] as const);
    const debug = await receiptAfter({ nitro: { pcrs: new Map([...zeros, [8, signer]]) } });
    refused(await judge(debug, { policy }), 'policy.nitro-pcr8', 'MEASUREMENT_UNKNOWN');
  });

  test('a build that has expired is known no more', async () => {
    const result = await under([{ ...image, notAfter: '2026-05-01T00:00:00Z' }]);
    expect(new Set(result.findings.map(({ code }) => code))).toEqual(new Set(['MEASUREMENT_UNKNOWN']));
    expect((await under([{ ...image, notAfter: '2026-06-01T12:00:00Z' }])).findings).toEqual([]);
  });

  test.each<readonly [string, Record<string, unknown>, string]>([
    ['zeros for PCR0', { pcr0: '00'.repeat(48) }, 'pcr0'],
    ['zeros for PCR1', { pcr1: '00'.repeat(48) }, 'pcr1'],
    ['neither image nor signer', { pcr0: 'unused', pcr8: 'unused' }, 'pcr0'],
    ['neither image nor a signature', { pcr0: 'unused', pcr8: '00'.repeat(48) }, 'pcr0'],
    ['a register cut short', { pcr2: 'aa' }, 'pcr2'],
    ['a register that is missing', { pcr8: undefined }, 'pcr8'],
    ['an unknown register', { pcr3: aa }, 'pcr3'],
  ])('a policy with %s is none', (_, change, field) => {
    const value = JSON.parse(JSON.stringify({ ...image, ...change }));
    const file = strictNitroPolicy({}, { referenceValues: [value] });
    const path = `policy.nitro.referenceValues[0].${field}`;
    expect(() => parsePolicy(file)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID', field: path }));
  });

  test.each<readonly [string, Record<string, unknown>]>([
    ['no age', { maxDocumentAgeSeconds: undefined }],
    ['an age of zero', { maxDocumentAgeSeconds: 0 }],
    ['an empty list', { referenceValues: [] }],
    ['another word for debug', { debug: 'allow' }],
    ['a field of SNP', { smt: 'forbid' }],
  ])('nor one with %s', (_, change) => {
    const file = JSON.parse(JSON.stringify(strictNitroPolicy({}, change)));
    expect(() => parsePolicy(file)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});

describe('drafts, reports and tokens', () => {
  test('a draft accepts what it was made from, and no other program', async () => {
    const result = await judge(enclave.receipt(answer, tick));
    if (result.verdict !== 'affirming') throw new Error('not affirming');
    const draft = draftPolicy(result, trustAnchors);
    expect(draft).toMatchObject({ sevSnp: 'refuse', nitro: { maxDocumentAgeSeconds: 'any', debug: 'forbid' } });
    expect(draft['anchors']).toMatchObject([{ platform: 'simulated-nitro' }]);
    const policy = parsePolicy(draft);
    expect((await judge(enclave.receipt(answer, tick), { policy, trustAnchors: [] })).findings).toEqual([]);
    const file = await receiptAfter({ nitro: { pcrs: new Map([[0, new Uint8Array(48).fill(1)]]) } });
    refused(await judge(file, { policy, trustAnchors: [] }), 'policy.nitro-pcr0', 'MEASUREMENT_UNKNOWN');
  });

  test('a draft from a debug enclave names no program, since its registers measure none', async () => {
    const zero = new Uint8Array(48);
    const pcrs = new Map([0, 1, 2].map((index) => [index, zero]));
    const result = await judge(await receiptAfter({ nitro: { pcrs } }));
    if (result.verdict !== 'affirming') throw new Error('not affirming');
    const draft = draftPolicy(result, trustAnchors);
    expect(draft).toMatchObject({
      nitro: { referenceValues: 'any-unidentified-program', debug: 'allow-debug-no-confidentiality' },
    });
    parsePolicy(draft);
    expect(trustVector(result)).toMatchObject({ configuration: 96, 'runtime-opaque': 96 });
  });

  test('the page and the token speak of Nitro', async () => {
    const result = await judge(enclave.receipt(answer, tick), { policy: strict() });
    const page = renderHtml(result, { producer: 'test' });
    expect(page).toContain('a simulated Nitro system, which proves the mechanism and no machine,');
    expect(page).toContain('made by a program the policy accepts');
    expect(page).toContain(SIGNED);
    expect(page).toContain('nitro.chain.leaf');
    expect(page).not.toContain('✓ snp.');
    expect(trustVector(result)).toEqual({ configuration: 2, executables: 3 });
    const ear = toEar(result, { profile: 'ietf-2026', verifierId: { developer: 'test', build: 'test' } });
    expect(Object.keys(ear['submods'] as object)).toEqual(['simulated-nitro']);
  });
});

const AT_ONCE = 32;

test.each(['receipt', 'session-signed receipt'] as const)(
  'no single changed byte of a %s is affirming, nor an uncoded exception',
  { timeout: 300_000 },
  async (name) => {
    const file = enclave.receipt(name === 'receipt' ? answer : later, tick);
    expect((await judge(file)).verdict).toBe('affirming');
    const accepted: string[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let at = next++; at < file.length; at = next++) {
        const changed = new Uint8Array(file);
        const mask = 1 << (at % 8);
        changed[at] = (changed[at] ?? 0) ^ mask;
        if ((await judge(changed)).verdict === 'affirming') accepted.push(`byte ${at} ^ ${mask}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    expect(accepted).toEqual([]);
  },
);
