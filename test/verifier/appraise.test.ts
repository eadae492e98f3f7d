import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeCrl, type ReportFields, sharedAuthority, sharedChipId } from '../../attestation-fixtures/index.ts';
import { base64, type Code, encodeEvidence, hex, parseEvidence } from '../../protocol/index.ts';
import { SNP_RULES } from '../../verifier/appraise/snp-rules.ts';
import {
  type Affirming,
  type AssessInput,
  type AttestationResult,
  assess,
  draftPolicy,
  type Kind,
  parsePolicy,
  type TrustAnchor,
} from '../../verifier/index.ts';
import { type Answer, AT, anchorsOf, MiniEnclave, MODEL, type Tick } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';

let enclave: MiniEnclave;
let answer: Answer;
let tick: Tick;
let trustAnchors: TrustAnchor[];
const nonce = new Uint8Array(randomBytes(32));

beforeAll(async () => {
  enclave = new MiniEnclave();
  answer = await enclave.infer({ nonce });
  tick = await enclave.tick();
  trustAnchors = await anchorsOf(tick);
});

type Change = (fields: ReportFields) => Partial<ReportFields>;
interface Case {
  readonly policy?: Record<string, unknown>;
  readonly snp?: Record<string, unknown>;
  readonly report?: Change;
  readonly measurement?: Uint8Array;
  readonly input?: Partial<AssessInput>;
  readonly file?: () => Promise<Uint8Array> | Uint8Array;
}

async function judge({ policy, snp, report, measurement, input, file }: Case): Promise<AttestationResult> {
  const make = async (): Promise<Uint8Array> => {
    if (!report && !measurement) return enclave.receipt(answer, tick);
    const own = await enclave.tick({
      snp: {
        ...(report ? { mutate: (fields) => ({ ...fields, ...report(fields) }) } : {}),
        ...(measurement ? { measurement: measurement as never } : {}),
      },
    });
    return enclave.receipt(answer, own);
  };
  return assess({
    file: await (file ?? make)(),
    policy: parsePolicy(strictPolicy(policy, snp)),
    at: AT,
    trustAnchors,
    ...input,
  });
}

function refused(result: AttestationResult, row: string, code: Code): void {
  expect(result.findings.map((finding) => finding.code)).toEqual([code]);
  expect(result.checks.filter((check) => check.outcome === 'fail').map((check) => check.id)).toEqual([row]);
  expect(result.verdict).toBe('contraindicated');
}

function passed(result: AttestationResult, row: string): void {
  expect(result.findings).toEqual([]);
  expect(result.checks.find((check) => check.id === row)?.outcome).toBe('pass');
}

const policyBits =
  (bits: bigint): Change =>
  (fields) => ({ policy: fields.policy | bits });
const noSmt: Change = (fields) => ({ policy: fields.policy & ~0x10000n, platformInfo: fields.platformInfo & ~1n });
const referenceValue = (changes: Record<string, unknown>) => ({
  referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], ...changes }],
});
const floor = (microcode: number, cpuidModels: unknown = 'any') => ({
  product: 'Milan',
  cpuidModels,
  bootloader: 4,
  tee: 0,
  snp: 27,
  microcode,
});
const microcode = (tcb: ReportFields['launchTcb'], value: number) => ({ ...tcb, microcode: value });
const crl = async (daysOld: number, daysLeft: number, revoked: bigint[] = []) =>
  makeCrl(await sharedAuthority('Milan'), {
    thisUpdate: new Date(AT.getTime() - daysOld * 86_400_000),
    nextUpdate: new Date(AT.getTime() + daysLeft * 86_400_000),
    revoked: revoked.map((serial) => ({ serial, date: AT })),
  });

test('the strict policy accepts the good receipt', async () => {
  const result = await judge({ input: { expected: { nonce } } });
  expect(result.findings).toEqual([]);
  expect(result.verdict).toBe('affirming');
});

describe('each rule, broken by one change', () => {
  const broken: readonly (readonly [string, Code, Case])[] = [
    ['policy.product', 'PRODUCT_NOT_ALLOWED', { snp: { products: ['Genoa', 'Turin'] } }],
    ['policy.measurement', 'MEASUREMENT_UNKNOWN', { measurement: new Uint8Array(48) }],
    ['policy.host-data', 'HOST_DATA_MISMATCH', { report: () => ({ hostData: new Uint8Array(32).fill(1) as never }) }],
    ['policy.vmpl', 'VMPL_NOT_ALLOWED', { report: () => ({ vmpl: 1 }) }],
    ['policy.id-key', 'ID_KEY_MISMATCH', { snp: referenceValue({ idKeyDigest: 'aa'.repeat(48) }) }],
    ['policy.author-key', 'AUTHOR_KEY_MISMATCH', { snp: referenceValue({ authorKeyDigest: 'aa'.repeat(48) }) }],
    ['policy.minimum-tcb', 'TCB_BELOW_MINIMUM', { snp: { minimumTcb: [floor(223)], minimumLaunchTcb: 'any' } }],
    ['policy.minimum-tcb', 'TCB_BELOW_MINIMUM', { snp: { minimumTcb: [floor(1, [0])], minimumLaunchTcb: 'any' } }],
    ['policy.minimum-launch-tcb', 'TCB_BELOW_MINIMUM', { report: (f) => ({ launchTcb: microcode(f.launchTcb, 221) }) }],
    ['policy.minimum-launch-tcb', 'TCB_BELOW_MINIMUM', { snp: { minimumLaunchTcb: [floor(223)] } }],
    [
      'policy.tcb-order',
      'TCB_INCONSISTENT',
      { report: (f) => ({ currentTcb: microcode(f.currentTcb, 221) }), snp: { provisionalFirmware: 'allow' } },
    ],
    [
      'policy.provisional-firmware',
      'TCB_PROVISIONAL',
      { report: (f) => ({ currentTcb: microcode(f.currentTcb, 223) }) },
    ],
    [
      'policy.provisional-firmware',
      'TCB_PROVISIONAL',
      { report: (f) => ({ currentFirmware: { ...f.currentFirmware, build: 99 } }) },
    ],
    ['policy.debug', 'DEBUG_ENABLED', { report: policyBits(1n << 19n) }],
    ['policy.migration', 'MIGRATION_ENABLED', { report: policyBits(1n << 18n) }],
    ['policy.smt', 'SMT_ENABLED', { snp: { smt: 'forbid' } }],
    ['policy.smt', 'SMT_ENABLED', { snp: { smt: 'forbid' }, report: (f) => ({ policy: f.policy & ~0x10000n }) }],
    ['policy.smt', 'SMT_ENABLED', { snp: { smt: 'forbid' }, report: (f) => ({ platformInfo: f.platformInfo & ~1n }) }],
    ['policy.cxl', 'GUEST_POLICY_WEAK', { report: policyBits(1n << 21n) }],
    ['policy.single-socket', 'GUEST_POLICY_WEAK', { snp: { singleSocket: 'require' } }],
    ['policy.mem-aes-256-xts', 'GUEST_POLICY_WEAK', { snp: { memAes256Xts: 'require' } }],
    ['policy.rapl-disabled', 'GUEST_POLICY_WEAK', { snp: { raplDisabled: 'require' } }],
    ['policy.ciphertext-hiding', 'GUEST_POLICY_WEAK', { snp: { ciphertextHiding: 'require' } }],
    ['policy.page-swap-disabled', 'GUEST_POLICY_WEAK', { snp: { pageSwapDisabled: 'require' } }],
    ['policy.alias-check', 'ALIAS_CHECK_MISSING', { report: (f) => ({ platformInfo: f.platformInfo & ~0x20n }) }],
    ['policy.platform-info', 'PLATFORM_INFO_UNKNOWN', { report: (f) => ({ platformInfo: f.platformInfo | 0x40n }) }],
    ['policy.masked-chip-id', 'CHIP_ID_MASKED', { report: () => ({ chipId: new Uint8Array(64) as never }) }],
    ['policy.chips', 'CHIP_NOT_ALLOWED', { snp: { chips: ['aa'.repeat(64)] } }],
    ['policy.crl', 'CRL_REQUIRED', { snp: { crl: { maxAgeDays: 30 } } }],
    ['policy.platform', 'PLATFORM_NOT_ALLOWED', { policy: { sevSnp: 'refuse' } }],
    ['policy.models', 'MODEL_NOT_ALLOWED', { policy: { models: [{ digest: 'aa'.repeat(32) }] } }],
    ['policy.models', 'MODEL_NOT_ALLOWED', { policy: { models: [{ digest: hex(MODEL.digest), name: 'other' }] } }],
    ['policy.models', 'MODEL_NOT_ALLOWED', { policy: { models: [{ digest: hex(MODEL.digest), version: '2' }] } }],
    ['policy.freshness', 'FRESHNESS_REQUIRED', { policy: { freshness: 'nonce-required' } }],
    ['policy.existed-by', 'TIME_NOT_PROVEN', { policy: { existedBy: 'required' } }],
    [
      'policy.strength',
      'STRENGTH_INSUFFICIENT',
      { file: async () => enclave.receipt(await enclave.infer(), tick), policy: { strength: 'hardware-committed' } },
    ],
  ];
  test.each(broken)('%s: %s', async (row, code, change) => {
    refused(await judge(change), row, code);
  });

  test('no SNP rule is without such a case, but the one for VLEKs, which real reports make', () => {
    const rows = new Set(broken.map(([row]) => row));
    expect(SNP_RULES.map(({ id }) => id).filter((id) => !rows.has(id))).toEqual(['policy.vlek']);
    for (const [row, code] of broken) {
      const rule = SNP_RULES.find(({ id }) => id === row);
      if (rule) expect(rule.code).toBe(code);
    }
  });

  test('all failures are reported at once', async () => {
    const result = await judge({ report: policyBits(0b1100n << 16n), snp: { singleSocket: 'require', smt: 'forbid' } });
    const codes = result.findings.map(({ code }) => code);
    expect(codes).toEqual(['DEBUG_ENABLED', 'MIGRATION_ENABLED', 'SMT_ENABLED', 'GUEST_POLICY_WEAK']);
  });
});

describe('each rule, held', () => {
  const held: readonly (readonly [string, Case])[] = [
    ['policy.smt', { snp: { smt: 'forbid' }, report: noSmt }],
    ['policy.single-socket', { snp: { singleSocket: 'require' }, report: policyBits(1n << 20n) }],
    ['policy.mem-aes-256-xts', { snp: { memAes256Xts: 'require' }, report: policyBits(1n << 22n) }],
    ['policy.rapl-disabled', { snp: { raplDisabled: 'require' }, report: policyBits(1n << 23n) }],
    ['policy.ciphertext-hiding', { snp: { ciphertextHiding: 'require' }, report: policyBits(1n << 24n) }],
    ['policy.page-swap-disabled', { snp: { pageSwapDisabled: 'require' }, report: policyBits(1n << 25n) }],
    ['policy.chips', { snp: { chips: ['aa'.repeat(64), hex(sharedChipId('Milan'))] } }],
    ['policy.minimum-tcb', { snp: { minimumTcb: [floor(255), floor(222, [1])] } }],
    ['policy.minimum-tcb', { snp: { minimumTcb: [floor(255, [0]), floor(222)] } }],
    ['policy.models', { policy: { models: [{ digest: hex(MODEL.digest), name: MODEL.name, version: '1' }] } }],
    ['policy.freshness', { policy: { freshness: 'nonce-required' }, input: { expected: { nonce } } }],
    [
      'policy.measurement',
      {
        snp: {
          referenceValues: [
            { ...strictPolicy().sevSnp.referenceValues[0], measurement: 'aa'.repeat(48) },
            strictPolicy().sevSnp.referenceValues[0],
          ],
        },
      },
    ],
    ['policy.strength', { policy: { strength: 'session-signed' } }],
  ];
  test.each(held)('%s', async (row, change) => {
    passed(await judge(change), row);
  });

  test('parts of different reference values do not add up to one', async () => {
    const [base] = strictPolicy().sevSnp.referenceValues;
    const hostData = 'bb'.repeat(32);
    const referenceValues = [
      { ...base, name: 'A', vmpl: 1 },
      { ...base, name: 'B', hostData },
    ];
    // The measurement is both values', HOST_DATA is A's and VMPL is B's: no value has all three.
    refused(await judge({ snp: { referenceValues } }), 'policy.vmpl', 'VMPL_NOT_ALLOWED');
  });
});

describe('opting out', () => {
  test('a rule that the policy opts out of is skipped, never passed, and said in plain words', async () => {
    const authenticity = await assess({
      file: enclave.receipt(answer, tick),
      policy: 'builtin:authenticity',
      at: AT,
      trustAnchors,
    });
    const asked = new Set(['policy.product', 'policy.masked-chip-id', 'policy.vlek']);
    for (const rule of SNP_RULES.filter(({ id }) => !asked.has(id))) {
      expect(authenticity.checks.find(({ id }) => id === rule.id)?.outcome).toBe('skipped');
      if (rule.unknown) expect(authenticity.notChecked).toContain(rule.unknown);
    }
    expect(authenticity.notChecked.some((text) => text.includes('by an unidentified program'))).toBe(true);
  });

  test('a debug guest, a stranger at VMPL 3 on old, provisional firmware is genuine', async () => {
    const own = await enclave.tick({
      snp: {
        version: 2,
        measurement: new Uint8Array(randomBytes(48)) as never,
        mutate: (f) => ({
          ...f,
          policy: f.policy | (0b1100n << 16n) | (1n << 21n),
          vmpl: 3,
          hostData: new Uint8Array(randomBytes(32)) as never,
          launchTcb: microcode(f.launchTcb, 0),
          currentTcb: microcode(f.currentTcb, 255),
        }),
      },
    });
    const file = enclave.receipt(answer, own);
    const result = await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors });
    expect(result.findings).toEqual([]);
    expect(result.claims.guestPolicy).toMatchObject({ debug: true });
  });

  test('under a policy without reference values too, the program is unidentified', async () => {
    const result = await judge({ snp: { referenceValues: 'any-unidentified-program' } });
    expect(result.verdict).toBe('affirming');
    expect(result.notChecked.some((text) => text.startsWith('by an unidentified program'))).toBe(true);
  });

  test('a masked CHIP_ID is accepted only by name', async () => {
    const report: Change = () => ({ chipId: new Uint8Array(64) as never });
    expect((await judge({ report, snp: { maskedChipId: 'allow' } })).verdict).toBe('affirming');
    refused(
      await judge({ report, snp: { maskedChipId: 'allow', chips: [hex(sharedChipId('Milan'))] } }),
      'policy.chips',
      'CHIP_NOT_ALLOWED',
    );
  });

  test('a refusal before any model ran breaks no model rule', async () => {
    const refusal = await enclave.infer({ change: (s) => ({ ...s, model: null, outcome: 'MODEL_UNKNOWN' }) });
    const file = enclave.receipt(refusal, await enclave.tick());
    const result = await judge({ file: () => file, policy: { models: [{ digest: 'aa'.repeat(32) }] } });
    expect(result.verdict).toBe('affirming');
    expect(result.checks.find(({ id }) => id === 'policy.models')?.outcome).toBe('skipped');
  });

  test('an attestation is judged without the model rules', async () => {
    const { file } = await enclave.attestation([nonce]);
    const result = await judge({
      file: () => file,
      policy: { models: [{ digest: 'aa'.repeat(32) }], freshness: 'nonce-required' },
      input: { expected: { nonce } },
    });
    expect(result.verdict).toBe('affirming');
  });
});

describe('revocation lists', () => {
  const policy = { snp: { crl: { maxAgeDays: 30 } } };

  test('a young, current list given by the caller is what the policy asks for', async () => {
    passed(await judge({ ...policy, input: { crls: [await crl(10, 300)] } }), 'policy.crl');
  });

  test('a list that is current but too old is not', async () => {
    refused(await judge({ ...policy, input: { crls: [await crl(31, 300)] } }), 'policy.crl', 'CRL_REQUIRED');
  });

  test('a list that has run out is refused whatever the policy says', async () => {
    refused(await judge({ input: { crls: [await crl(10, -1)] } }), 'snp.crl', 'CRL_STALE');
  });

  test('a list inside the file does not meet the policy', async () => {
    const evidence = encodeEvidence({ ...parseEvidence(tick.file), crls: [await crl(10, 300)] });
    const file = () => enclave.receipt(answer, tick, (good) => ({ ...good, evidence: { file: evidence } }));
    expect((await judge({ file })).verdict).toBe('affirming');
    refused(await judge({ ...policy, file }), 'policy.crl', 'CRL_REQUIRED');
  });

  test('a revocation counts even where the policy asks for no list', async () => {
    refused(
      await judge({ input: { crls: [await crl(10, 300, [0x10001n])] } }),
      'snp.revocation',
      'CERTIFICATE_REVOKED',
    );
  });
});

describe('anchors', () => {
  const anchorJson = ({ name, platform, publicKey, fingerprint, notBefore, notAfter }: TrustAnchor) => ({
    name,
    platform,
    publicKey: base64(publicKey),
    fingerprint: hex(fingerprint),
    notBefore: notBefore.toISOString().replace('.000Z', 'Z'),
    notAfter: notAfter.toISOString().replace('.000Z', 'Z'),
  });

  test('named in the policy need not be given again', async () => {
    const anchors = trustAnchors.map(anchorJson);
    const result = await judge({ policy: { anchors }, input: { trustAnchors: [] } });
    expect(result).toMatchObject({ verdict: 'affirming', platform: 'simulated-snp' });
  });

  test('AMD alone does not vouch for a simulated platform', async () => {
    refused(await judge({ input: { trustAnchors: [] } }), 'snp.chain.root', 'CHAIN_UNTRUSTED');
  });

  test('with another fingerprint or key is another root', async () => {
    const [anchor] = trustAnchors.map(anchorJson);
    const under = (change: object, endorsements: readonly Uint8Array[]) =>
      judge({ policy: { anchors: [{ ...anchor, ...change }] }, input: { trustAnchors: [], endorsements } });
    refused(await under({ publicKey: base64(new Uint8Array(300)) }, []), 'snp.chain.root', 'CHAIN_UNTRUSTED');
    const root = [tick.snp.ark]; // evidence never carries it; where it is given it has to be the anchor itself
    expect((await under({}, root)).verdict).toBe('affirming');
    refused(await under({ fingerprint: 'aa'.repeat(32) }, root), 'snp.chain.root', 'CHAIN_UNTRUSTED');
  });

  test('with its own dates: an anchor that has ended vouches no more', async () => {
    const [anchor] = trustAnchors.map(anchorJson);
    const anchors = [{ ...anchor, notAfter: '2026-05-31T00:00:00Z' }];
    const result = await judge({ policy: { anchors }, input: { trustAnchors: [] } });
    refused(result, 'snp.chain.time', 'CERTIFICATE_EXPIRED');
  });
});

describe('a drafted policy', () => {
  const affirmed = async (file: Uint8Array, more: Partial<AssessInput> = {}): Promise<Affirming> => {
    const result = await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });
    if (result.verdict !== 'affirming') throw new Error(result.findings.map(({ code }) => code).join());
    return result;
  };
  const under = (draft: unknown, file: Uint8Array, more: Partial<AssessInput> = {}) =>
    assess({ file, policy: parsePolicy(JSON.parse(JSON.stringify(draft))), at: AT, ...more });

  test('accepts every file of its service, whichever it was drafted from, and needs no further anchor', async () => {
    const receipt = enclave.receipt(answer, tick);
    const late = enclave.receipt(await enclave.infer(), tick);
    const { file: attestation } = await enclave.attestation([nonce]);
    const endorsements = tick.snp.chain;
    const files: readonly (readonly [Kind, Uint8Array])[] = [
      ['receipt', receipt],
      ['receipt', late],
      ['attestation', attestation],
      ['evidence', tick.file],
      ['snp-report', tick.evidence.report],
    ];
    for (const [kind, from] of files) {
      const more = kind === 'snp-report' ? { endorsements } : {};
      const draft = draftPolicy(await affirmed(from, more), trustAnchors);
      for (const [other, file] of files) {
        const result = await under(draft, file, other === 'snp-report' ? { endorsements } : {});
        expect(result.findings).toEqual([]);
      }
    }
  });

  test('refuses another measurement, another HOST_DATA, debug, an older TCB, AMD’s own roots', async () => {
    const draft = draftPolicy(await affirmed(tick.file), trustAnchors);
    const others: readonly (readonly [Code, Parameters<MiniEnclave['tick']>[0]])[] = [
      ['MEASUREMENT_UNKNOWN', { snp: { measurement: new Uint8Array(48) as never } }],
      ['HOST_DATA_MISMATCH', { snp: { mutate: (f) => ({ ...f, hostData: new Uint8Array(32).fill(1) as never }) } }],
      ['DEBUG_ENABLED', { snp: { mutate: (f) => ({ ...f, policy: f.policy | (1n << 19n) }) } }],
      ['ALIAS_CHECK_MISSING', { snp: { mutate: (f) => ({ ...f, platformInfo: 5n }) } }],
    ];
    for (const [code, changes] of others) {
      const result = await under(draft, (await enclave.tick(changes)).file);
      expect(result.findings.map((finding) => finding.code)).toEqual([code]);
    }
    const older = await enclave.tick({
      snp: { tcb: { layout: 'milan-genoa', bootloader: 4, tee: 0, snp: 27, microcode: 1 } },
    });
    const codes = (await under(draft, older.file)).findings.map(({ code }) => code);
    expect(codes).toEqual(['TCB_BELOW_MINIMUM', 'TCB_BELOW_MINIMUM']);
    expect(draft['anchors']).toHaveLength(1);
  });

  test('from a receipt allows the model that ran, and no other', async () => {
    const draft = draftPolicy(await affirmed(enclave.receipt(answer, tick)), trustAnchors);
    const model = { ...MODEL, digest: new Uint8Array(32).fill(3) as never };
    const other = await enclave.infer({ change: (s) => ({ ...s, model }) });
    const result = await under(draft, enclave.receipt(other, await enclave.tick()));
    expect(result.findings.map(({ code }) => code)).toEqual(['MODEL_NOT_ALLOWED']);
  });

  test('says aloud what it allows because the guest has it', async () => {
    const debug = await enclave.tick({ snp: { mutate: (f) => ({ ...f, policy: f.policy | (1n << 19n) }) } });
    const draft = draftPolicy(await affirmed(debug.file), trustAnchors);
    expect(JSON.stringify(draft)).toContain('THIS GUEST ALLOWS DEBUG');
    expect((await under(draft, debug.file)).verdict).toBe('affirming');
  });

  test.each(['Genoa', 'Turin'] as const)('for %s has floors in its layout', async (product) => {
    const own = await enclave.tick({ snp: { product } });
    const anchors = await anchorsOf(own);
    const draft = draftPolicy(await affirmed(own.file, { trustAnchors: anchors }), anchors);
    expect((await under(draft, own.file)).findings).toEqual([]);
  });

  test('explains every object that holds a choice', async () => {
    const draft = draftPolicy(await affirmed(enclave.receipt(answer, tick)), trustAnchors);
    const objects = (value: unknown): Record<string, unknown>[] => {
      if (Array.isArray(value)) return value.flatMap(objects);
      if (typeof value !== 'object' || value === null) return [];
      return [value as Record<string, unknown>, ...Object.values(value).flatMap(objects)];
    };
    for (const object of objects(draft)) expect(object['$comment']).toEqual(expect.any(String));
    const { $comment } = draft as { readonly $comment: string };
    const { $comment: snp } = draft['sevSnp'] as { readonly $comment: string };
    const fields = [...Object.keys(draft), ...Object.keys(draft['sevSnp'] as object)];
    const unexplained = fields.filter((name) => !['$comment', 'profile', 'id', 'sevSnp'].includes(name));
    const between = ['ciphertextHiding', 'memAes256Xts', 'raplDisabled']; // "singleSocket to pageSwapDisabled"
    expect(unexplained.filter((name) => !`${$comment} ${snp}`.includes(name))).toEqual(between);
  });
});
