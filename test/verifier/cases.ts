/**
 * One table of refusals: each differs from good evidence by one change, which is otherwise signed and hashed as if it were
 * good, and says which codes and rows it must give. `complete.test.ts` runs them and holds the table complete: a new row or
 * code wants a case here.
 */
import { randomBytes } from 'node:crypto';
import {
  amdName,
  type CertificateSpec,
  makeCrl,
  type ReportFields,
  type SimulatedEvidenceRequest,
  sharedAuthority,
} from '../../attestation-fixtures/index.ts';
import {
  type Bytes,
  bytes,
  type Cbor,
  type CborKey,
  CLAIM,
  type Code,
  decodeCbor,
  encodeCbor,
  encodeEvidence,
  encodeReceipt,
  hex,
  MAX_RECEIPT_BYTES,
  modelSetHostData,
  type Statement,
  sha256,
} from '../../protocol/index.ts';
import { type AssessInput, type Expected, parsePolicy } from '../../verifier/index.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';
import {
  type Answer,
  AT,
  anchorsOf,
  MEASUREMENT,
  MiniEnclave,
  MODEL,
  SessionKey,
  salt,
  type TickChanges,
} from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { AIR, AIR_GOOD } from './cases-air.ts';
import { NITRO, NITRO_GOOD } from './cases-nitro.ts';
import { flipped } from './snp-support.ts';

export interface RefusalCase {
  readonly name: string;
  readonly code: Code;
  /** The one row that fails. */
  readonly row: string;
  readonly input: () => Promise<AssessInput>;
}

type Input = Partial<AssessInput> & Pick<AssessInput, 'file'>;
type Policy = { readonly policy?: Record<string, unknown>; readonly snp?: Record<string, unknown> };

const nonce = new Uint8Array(randomBytes(32));
const set =
  <T>(change: Partial<T>) =>
  (good: T): T => ({ ...good, ...change });
const report = (change: (good: ReportFields) => Partial<ReportFields>): TickChanges => ({
  snp: { mutate: (good) => ({ ...good, ...change(good) }) },
});
const bits =
  (mask: bigint) =>
  (good: ReportFields): Partial<ReportFields> => ({ policy: good.policy | mask });
const flipAt = (offset: number) => (good: Uint8Array) => flipped(good, offset, 1);

async function trusted(tick: Parameters<typeof anchorsOf>[0], input: Input): Promise<AssessInput> {
  return { policy: 'builtin:authenticity', at: AT, trustAnchors: await anchorsOf(tick), ...input };
}

/** A receipt, with one change anywhere on its way and one to what is asked of it. */
interface Change extends Policy {
  readonly claims?: (good: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  readonly infer?: Parameters<MiniEnclave['infer']>[0];
  readonly tick?: TickChanges;
  readonly receipt?: Parameters<MiniEnclave['receipt']>[2];
  readonly file?: (good: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  readonly expected?: (answer: Answer) => Expected;
  readonly input?: Partial<AssessInput>;
}

const receipt = (change: Change) => async (): Promise<AssessInput> => {
  const enclave = new MiniEnclave(change.claims ? { claims: change.claims } : {});
  await enclave.infer();
  const answer = await enclave.infer({ nonce, ...change.infer });
  await enclave.infer();
  const tick = await enclave.tick(change.tick);
  const file = enclave.receipt(answer, tick, change.receipt);
  const asked = change.policy || change.snp;
  return trusted(tick, {
    file: change.file?.(file) ?? file,
    ...(asked ? { policy: parsePolicy(strictPolicy(change.policy, change.snp)) } : {}),
    ...(change.expected ? { expected: change.expected(answer) } : {}),
    ...change.input,
  });
};

/** A receipt of the strict policy's own evidence, refused for one thing that the policy asks. */
const strict = (change: Change) => receipt({ policy: {}, ...change });

const attestation = (options: Parameters<MiniEnclave['attestation']>[1]) => async (): Promise<AssessInput> => {
  const enclave = new MiniEnclave();
  const nonces = [nonce, new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
  const { file, tick } = await enclave.attestation(nonces, options);
  return trusted(tick, { file });
};

interface RawChange {
  readonly snp?: Partial<SimulatedEvidenceRequest>;
  readonly endorsements?: (vcek: Uint8Array, ask: Uint8Array, ark: Uint8Array) => readonly Uint8Array[];
  readonly input?: Partial<AssessInput>;
  readonly crl?: { readonly days: number; readonly revoked?: boolean };
  readonly hcl?: boolean;
}

const DAY = 86_400_000;
const OTHER_MODEL = bytes(new Uint8Array(32).fill(0xee), 32, 'model digest');

const raw = (change: RawChange) => async (): Promise<AssessInput> => {
  const tick = await new MiniEnclave().tick({ snp: { version: 3, ...change.snp } });
  const [vcek, ask] = tick.snp.chain;
  const endorsements = change.endorsements?.(vcek, ask, tick.snp.ark) ?? [vcek, ask];
  const crls: Uint8Array[] = [];
  if (change.crl) {
    const { serial } = parseCertificate(ask, 'ASK');
    const nextUpdate = new Date(AT.getTime() + change.crl.days * DAY);
    const thisUpdate = new Date(nextUpdate.getTime() - 365 * DAY);
    const revoked = change.crl.revoked ? [{ serial, date: thisUpdate }] : [];
    crls.push(makeCrl(await sharedAuthority('Milan'), { thisUpdate, nextUpdate, revoked }));
  }
  return trusted(tick, { file: tick.evidence.report, endorsements, crls, ...change.input });
};

const extension =
  (oid: string, value: Uint8Array) =>
  (good: CertificateSpec): CertificateSpec => ({
    ...good,
    extensions: good.extensions.map((one) => (one.oid === oid ? { ...one, value } : one)),
  });
const AMD = '1.3.6.1.4.1.3704.1';

/** The same chip under a key of its cloud provider: ASVK in the ASK's place, cspID in hwID's. */
const VLEK: Partial<SimulatedEvidenceRequest> = {
  mutate: set<ReportFields>({ keyInfo: 0b100, chipId: new Uint8Array(64) as never }),
  mutateAsk: set<CertificateSpec>({ subject: amdName('SEV-VLEK-Milan') }),
  mutateVcek: (good) => ({
    ...good,
    subject: amdName('SEV-VLEK'),
    issuer: amdName('SEV-VLEK-Milan'),
    extensions: good.extensions.map((one) =>
      one.oid === `${AMD}.4` ? { ...one, oid: `${AMD}.5`, value: Uint8Array.of(0x16, 3, 0x63, 0x73, 0x70) } : one,
    ),
  }),
};

const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** Azure's wrapping: as `hcl.test.ts` takes it apart, but for the hash that REPORT_DATA should be. */
const hcl = (claims: string, bound: string) => async (): Promise<AssessInput> => {
  const data = new Uint8Array(64);
  data.set(sha256(utf8(bound)));
  const input = await raw({ snp: { reportData: data as never } })();
  const file = new Uint8Array(2600);
  const view = new DataView(file.buffer);
  const length = utf8(claims).length;
  const numbers = [
    [4, 1],
    [8, 1236 + length],
    [12, 2],
    [1216, 20 + length],
    [1220, 1],
    [1224, 2],
    [1228, 1],
    [1232, length],
  ];
  for (const [at, value] of numbers) view.setUint32(at as number, value as number, true);
  file.set(utf8('HCLA'));
  file.set(input.file, 32);
  file.set(utf8(claims), 1236);
  return { ...input, file };
};

const withClaim =
  (key: CborKey, value: Cbor) =>
  (claims: Uint8Array): Uint8Array<ArrayBuffer> =>
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
const statement = (change: (good: Statement) => Partial<Statement>) => ({
  infer: { change: (good: Statement): Statement => ({ ...good, ...change(good) }) },
});
const tcb = (part: 'currentTcb' | 'launchTcb' | 'reportedTcb', microcode: number) => (good: ReportFields) => ({
  [part]: { ...good[part], microcode },
});
const reference = (change: Record<string, unknown>): Policy => ({
  snp: { referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], ...change }] },
});
const at = (time: string): { input: Partial<AssessInput> } => ({ input: { at: new Date(time) } });

export type Row = readonly [name: string, row: string, code: Code, input: () => Promise<AssessInput>];

const SHAPE: readonly Row[] = [
  ['bytes of no known kind', 'shape.kind', 'EVIDENCE_UNSUPPORTED', receipt({ file: () => utf8('no evidence') })],
  [
    'a byte behind a receipt',
    'shape.file',
    'EVIDENCE_MALFORMED',
    receipt({ file: (good) => new Uint8Array([...good, 0]) }),
  ],
  [
    'more bytes than a receipt may have',
    'shape.file',
    'EVIDENCE_TOO_LARGE',
    receipt({ file: () => new Uint8Array(MAX_RECEIPT_BYTES + 1), input: { kind: 'receipt' } }),
  ],
  [
    'a receipt without the evidence it names',
    'shape.evidence',
    'EVIDENCE_MISSING',
    receipt({ receipt: (good) => ({ ...good, evidence: { reportData: new Uint8Array(64).fill(1) as never } }) }),
  ],
  ['claims that are no object', 'shape.hcl', 'EVIDENCE_MALFORMED', hcl('[]', '[]')],
  ['other claims than REPORT_DATA commits to', 'hcl.claims', 'KEY_BINDING_MISMATCH', hcl('{"a":1}', '{"a":2}')],
  [
    'a reserved byte of the report set',
    'shape.report',
    'EVIDENCE_MALFORMED',
    receipt({ tick: report(() => ({ overwrite: [{ offset: 0x4c, value: Uint8Array.of(1) }] })) }),
  ],
  ['a report of version 6', 'shape.report', 'EVIDENCE_UNSUPPORTED', receipt({ tick: report(() => ({ version: 6 })) })],
  ['an unknown claim', 'session.claims', 'EVIDENCE_MALFORMED', receipt({ claims: withClaim(999, 1) })],
  [
    'a session key of small order',
    'session.key',
    'SESSION_INVALID',
    receipt({ claims: withClaim(CLAIM.cnf, cnf(new Uint8Array(32))) }),
  ],
  [
    'a boot id that is not the key’s',
    'session.boot-id',
    'SESSION_INVALID',
    receipt({ claims: withClaim(CLAIM.bootId, new Uint8Array(16)) }),
  ],
  [
    'a size with a leading zero',
    'checkpoint.shape',
    'EVIDENCE_MALFORMED',
    receipt({ tick: { checkpoint: (note) => note.replace('\n4\n', '\n04\n') } }),
  ],
  [
    'a key entry in the challenge’s place',
    'challenge.shape',
    'CHALLENGE_INVALID',
    attestation({ change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, entry: a.keys[0]!.entry } }) }),
  ],
  [
    'a challenges entry in a key’s place',
    'key.shape',
    'KEY_NOT_COMMITTED',
    attestation({ change: (a) => ({ ...a, keys: [{ entry: a.challenge!.entry, path: a.challenge!.path }] }) }),
  ],
  [
    'the session entry in the statement’s place',
    'statement.shape',
    'STATEMENT_INVALID',
    async () => {
      const enclave = new MiniEnclave();
      const tick = await enclave.tick();
      const entry = { statement: enclave.log.entries[0]!, path: enclave.log.path(0) };
      return trusted(tick, { file: encodeReceipt({ ...entry, evidence: { file: tick.file } }) });
    },
  ],
  [
    'an endorsement that is no certificate',
    'shape.endorsements',
    'ENDORSEMENT_MALFORMED',
    receipt({ input: { endorsements: [utf8('no certificate')] } }),
  ],
  ['a list that is none', 'shape.endorsements', 'CRL_INVALID', receipt({ input: { crls: [utf8('no list')] } })],
];

const SNP: readonly Row[] = [
  [
    'the root inside the evidence file',
    'evidence.chain',
    'EVIDENCE_MALFORMED',
    async () => {
      const tick = await new MiniEnclave().tick();
      const chain = [...tick.evidence.chain, new Uint8Array(tick.snp.ark)];
      return trusted(tick, { file: encodeEvidence({ ...tick.evidence, chain }) });
    },
  ],
  ['no certificate', 'snp.chain.shape', 'ENDORSEMENT_MISSING', raw({ endorsements: () => [] })],
  [
    'a reserved SPL that is not zero',
    'snp.chain.profile',
    'CERTIFICATE_INVALID',
    raw({ snp: { mutateVcek: extension(`${AMD}.3.4`, Uint8Array.of(2, 1, 1)) } }),
  ],
  [
    'a VCEK for a report signed with a VLEK',
    'snp.signing-key',
    'SIGNING_KEY_MISMATCH',
    raw({ snp: { mutate: set<ReportFields>({ keyInfo: 0b100 }) } }),
  ],
  ['a root that nobody named', 'snp.chain.root', 'CHAIN_UNTRUSTED', raw({ input: { trustAnchors: [] } })],
  [
    'an ASK with another signature, beside its root',
    'snp.chain.intermediate',
    'CHAIN_UNTRUSTED',
    raw({ endorsements: (vcek, ask, ark) => [vcek, flipAt(ask.length - 9)(ask), ark] }),
  ],
  ['a revoked ASK', 'snp.revocation', 'CERTIFICATE_REVOKED', raw({ crl: { days: 30, revoked: true } })],
  ['a list that has run out', 'snp.crl', 'CRL_STALE', raw({ crl: { days: -1 } })],
  [
    'a VCEK with another signature',
    'snp.chain.leaf',
    'CHAIN_UNTRUSTED',
    raw({ endorsements: (vcek, ask) => [flipAt(vcek.length - 9)(vcek), ask] }),
  ],
  ['a time before the chain', 'snp.chain.time', 'CERTIFICATE_NOT_YET_VALID', raw(at('2025-01-01T00:00:00Z'))],
  ['a time after the chain', 'snp.chain.time', 'CERTIFICATE_EXPIRED', raw(at('2040-01-01T00:00:00Z'))],
  [
    'a changed measurement',
    'snp.signature',
    'SIGNATURE_INVALID',
    receipt({ tick: { evidence: (good) => ({ ...good, report: flipAt(0x90)(good.report) }) } }),
  ],
  [
    'a Genoa CPUID',
    'snp.product',
    'PRODUCT_MISMATCH',
    raw({ snp: { mutate: set<ReportFields>({ cpuid: { family: 0x19, model: 0x11, stepping: 1 } }) } }),
  ],
  [
    'a reserved byte of CURRENT_TCB',
    'snp.reserved',
    'EVIDENCE_MALFORMED',
    raw({ snp: { mutate: set<ReportFields>({ overwrite: [{ offset: 0x3a, value: Uint8Array.of(1) }] }) } }),
  ],
  [
    'a REPORTED_TCB that is not the certificate’s',
    'snp.tcb-certificate',
    'TCB_MISMATCH',
    raw({ snp: { mutate: (good) => ({ ...good, ...tcb('reportedTcb', 1)(good) }) } }),
  ],
  [
    'another CHIP_ID',
    'snp.chip-id',
    'CHIP_ID_MISMATCH',
    raw({ snp: { mutate: set<ReportFields>({ chipId: new Uint8Array(64).fill(7) as never }) } }),
  ],
];

const stranger = new SessionKey().sign;

const SESSION: readonly Row[] = [
  [
    'a checkpoint with another signature',
    'checkpoint.signature',
    'CHECKPOINT_INVALID',
    receipt({
      tick: {
        checkpoint: (note) => note.replace(/(— \S+ .{20})(.)/, (_, head, c) => `${head}${c === 'A' ? 'B' : 'A'}`),
      },
    }),
  ],
  [
    'REPORT_DATA that is only a nonce',
    'binding.report-data',
    'KEY_BINDING_MISMATCH',
    receipt({ tick: { snp: { reportData: new Uint8Array(64).fill(1) as never } } }),
  ],
  ['a challenges entry by another key', 'challenge.signature', 'CHALLENGE_INVALID', attestation({ sign: stranger })],
  [
    'a challenges entry elsewhere in the log',
    'challenge.inclusion',
    'INCLUSION_INVALID',
    attestation({
      change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, path: a.challenge.path.slice(1) } }),
    }),
  ],
  [
    'a nonce that is not in the tree',
    'challenge.nonce',
    'CHALLENGE_INVALID',
    attestation({ change: (a) => ({ ...a, challenge: a.challenge && { ...a.challenge, nonce: new Uint8Array(32) } }) }),
  ],
  ['a key entry by another key', 'key.signature', 'SIGNATURE_INVALID', attestation({ keySign: stranger })],
  [
    'a key entry elsewhere in the log',
    'key.inclusion',
    'INCLUSION_INVALID',
    attestation({ change: (a) => ({ ...a, keys: a.keys.map((key) => ({ ...key, path: key.path.slice(1) })) }) }),
  ],
  ['a key that is not in force', 'key.in-force', 'KEY_NOT_COMMITTED', attestation({ inForce: () => [] })],
  ['a statement by another key', 'statement.signature', 'STATEMENT_INVALID', receipt({ infer: { sign: stranger } })],
  [
    'a statement of another session',
    'statement.session',
    'STATEMENT_INVALID',
    receipt(statement(() => ({ sessionDigest: new Uint8Array(32) as never }))),
  ],
  ['an answer without a model', 'statement.model', 'STATEMENT_INVALID', receipt(statement(() => ({ model: null })))],
  [
    'no path below the size',
    'inclusion.path',
    'INCLUSION_MISSING',
    receipt({ receipt: (good) => ({ ...good, path: null }) }),
  ],
  [
    'a path above the size',
    'inclusion.path',
    'INCLUSION_INVALID',
    receipt(statement(({ sequence }) => ({ sequence: sequence + 2 }))),
  ],
];

const EXPECTED: readonly Row[] = [
  ['another nonce', 'expected.nonce', 'NONCE_MISMATCH', receipt({ expected: () => ({ nonce: new Uint8Array(32) }) })],
  [
    'another request',
    'expected.request',
    'REQUEST_MISMATCH',
    receipt({ expected: ({ request }) => ({ request: { ...request, salt: salt() } }) }),
  ],
  [
    'another length of the request’s JSON',
    'expected.request-json-length',
    'REQUEST_MISMATCH',
    receipt({ expected: ({ request }) => ({ request: { ...request, jsonLength: 3 } }) }),
  ],
  [
    'another media type of the request',
    'expected.request-media-type',
    'REQUEST_MISMATCH',
    receipt({ expected: () => ({ mediaTypes: { request: null } }) }),
  ],
  [
    'another response',
    'expected.response',
    'RESPONSE_MISMATCH',
    receipt({ expected: ({ response }) => ({ response: { ...response, salt: salt() } }) }),
  ],
  [
    'another length of the response’s JSON',
    'expected.response-json-length',
    'RESPONSE_MISMATCH',
    receipt({ expected: ({ response }) => ({ response: { ...response, jsonLength: 3 } }) }),
  ],
  [
    'another media type of the response',
    'expected.response-media-type',
    'RESPONSE_MISMATCH',
    receipt({ expected: () => ({ mediaTypes: { response: 'text/plain' } }) }),
  ],
  ['another model', 'expected.model', 'MODEL_MISMATCH', receipt({ expected: () => ({ model: { name: 'other' } }) })],
  [
    'another operation',
    'expected.operation',
    'OPERATION_MISMATCH',
    receipt({ expected: () => ({ operation: 'train' as never }) }),
  ],
  [
    'an answer where a refusal was seen',
    'expected.outcome',
    'OUTCOME_NOT_OK',
    receipt({ expected: () => ({ outcome: 'MODEL_UNKNOWN' }) }),
  ],
];

const other = 'aa'.repeat(48);
const floor = (microcode: number) => [{ ...strictPolicy().sevSnp.minimumTcb[0], microcode }];

const POLICY: readonly Row[] = [
  ['no SEV-SNP wanted', 'policy.platform', 'PLATFORM_NOT_ALLOWED', strict({ policy: { sevSnp: 'refuse' } })],
  ['another product', 'policy.product', 'PRODUCT_NOT_ALLOWED', strict({ snp: { products: ['Genoa', 'Turin'] } })],
  [
    'a withdrawn build',
    'policy.denied-measurements',
    'MEASUREMENT_DENIED',
    strict({ policy: { deniedMeasurements: [hex(MEASUREMENT)] } }),
  ],
  ['another measurement', 'policy.measurement', 'MEASUREMENT_UNKNOWN', strict(reference({ measurement: other }))],
  [
    'another HOST_DATA',
    'policy.host-data',
    'HOST_DATA_MISMATCH',
    strict({ tick: report(() => ({ hostData: new Uint8Array(32).fill(1) as never })) }),
  ],
  ['VMPL 1', 'policy.vmpl', 'VMPL_NOT_ALLOWED', strict({ tick: report(() => ({ vmpl: 1 })) })],
  ['another ID key', 'policy.id-key', 'ID_KEY_MISMATCH', strict(reference({ idKeyDigest: other }))],
  ['another author key', 'policy.author-key', 'AUTHOR_KEY_MISMATCH', strict(reference({ authorKeyDigest: other }))],
  [
    'a TCB below the minimum',
    'policy.minimum-tcb',
    'TCB_BELOW_MINIMUM',
    strict({ snp: { minimumTcb: floor(223), minimumLaunchTcb: 'any' } }),
  ],
  [
    'a launch TCB below the minimum',
    'policy.minimum-launch-tcb',
    'TCB_BELOW_MINIMUM',
    strict({ tick: report(tcb('launchTcb', 221)) }),
  ],
  [
    'a current TCB below the committed one',
    'policy.tcb-order',
    'TCB_INCONSISTENT',
    strict({ tick: report(tcb('currentTcb', 221)), snp: { provisionalFirmware: 'allow' } }),
  ],
  [
    'firmware that is not committed',
    'policy.provisional-firmware',
    'TCB_PROVISIONAL',
    strict({ tick: report(tcb('currentTcb', 223)) }),
  ],
  ['debug', 'policy.debug', 'DEBUG_ENABLED', strict({ tick: report(bits(1n << 19n)) })],
  ['a migration agent', 'policy.migration', 'MIGRATION_ENABLED', strict({ tick: report(bits(1n << 18n)) })],
  ['SMT', 'policy.smt', 'SMT_ENABLED', strict({ snp: { smt: 'forbid' } })],
  ['CXL', 'policy.cxl', 'GUEST_POLICY_WEAK', strict({ tick: report(bits(1n << 21n)) })],
  ['many sockets', 'policy.single-socket', 'GUEST_POLICY_WEAK', strict({ snp: { singleSocket: 'require' } })],
  ['any cipher', 'policy.mem-aes-256-xts', 'GUEST_POLICY_WEAK', strict({ snp: { memAes256Xts: 'require' } })],
  ['a power meter', 'policy.rapl-disabled', 'GUEST_POLICY_WEAK', strict({ snp: { raplDisabled: 'require' } })],
  [
    'visible ciphertext',
    'policy.ciphertext-hiding',
    'GUEST_POLICY_WEAK',
    strict({ snp: { ciphertextHiding: 'require' } }),
  ],
  ['movable pages', 'policy.page-swap-disabled', 'GUEST_POLICY_WEAK', strict({ snp: { pageSwapDisabled: 'require' } })],
  [
    'no alias check',
    'policy.alias-check',
    'ALIAS_CHECK_MISSING',
    strict({ tick: report((good) => ({ platformInfo: good.platformInfo & ~0x20n })) }),
  ],
  [
    'an unknown bit of PLATFORM_INFO',
    'policy.platform-info',
    'PLATFORM_INFO_UNKNOWN',
    strict({ tick: report((good) => ({ platformInfo: good.platformInfo | 0x40n })) }),
  ],
  [
    'a masked CHIP_ID',
    'policy.masked-chip-id',
    'CHIP_ID_MASKED',
    strict({ tick: report(() => ({ chipId: new Uint8Array(64) as never })) }),
  ],
  ['an unknown chip', 'policy.chips', 'CHIP_NOT_ALLOWED', strict({ snp: { chips: ['aa'.repeat(64)] } })],
  ['a VLEK', 'policy.vlek', 'SIGNING_KEY_NOT_ALLOWED', strict({ tick: { snp: VLEK } })],
  ['no list', 'policy.crl', 'CRL_REQUIRED', strict({ snp: { crl: { maxAgeDays: 30 } } })],
  [
    'an unknown model',
    'policy.models',
    'MODEL_NOT_ALLOWED',
    strict({ policy: { models: [{ digest: 'aa'.repeat(32) }] } }),
  ],
  [
    'models that HOST_DATA does not measure',
    'policy.model-set',
    'MODEL_SET_UNKNOWN',
    strict({ snp: { modelBinding: { modelSets: [[hex(MODEL.digest)]] } } }),
  ],
  [
    'a model that was not measured',
    'policy.measured-model',
    'MODEL_NOT_MEASURED',
    strict(modelsMeasured([OTHER_MODEL])),
  ],
  [
    'an answer that no report covers yet',
    'policy.strength',
    'STRENGTH_INSUFFICIENT',
    async () => {
      const enclave = new MiniEnclave();
      const tick = await enclave.tick();
      const file = enclave.receipt(await enclave.infer(), tick);
      return trusted(tick, { file, policy: parsePolicy(strictPolicy({ strength: 'hardware-committed' })) });
    },
  ],
  ['no nonce', 'policy.freshness', 'FRESHNESS_REQUIRED', strict({ policy: { freshness: 'nonce-required' } })],
  ['no proven time', 'policy.existed-by', 'TIME_NOT_PROVEN', strict({ policy: { existedBy: 'required' } })],
];

/** A guest launched for these models, under a policy that lists them. */
function modelsMeasured(digests: readonly Bytes<32>[]): Change {
  const hostData = modelSetHostData(digests);
  return {
    tick: report(() => ({ hostData })),
    snp: {
      modelBinding: { modelSets: [digests.map(hex)] },
      referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], hostData: 'unused' }],
    },
  };
}

export const REFUSALS: readonly RefusalCase[] = [
  ...SHAPE,
  ...SNP,
  ...NITRO,
  ...SESSION,
  ...EXPECTED,
  ...POLICY,
  ...AIR,
].map(([name, row, code, input]) => ({ name, row, code, input }));

/** What the refusals above were made from, unchanged: affirming, or the table would prove nothing. */
export const GOOD: readonly (readonly [string, () => Promise<AssessInput>])[] = [
  ['a receipt', receipt({})],
  [
    'a receipt, with all its owner knows',
    receipt({
      expected: ({ request, response }) => ({
        nonce,
        request,
        response,
        model: { ...MODEL },
        operation: 'infer',
        outcome: 'ok',
      }),
    }),
  ],
  ['a receipt under the strict policy', strict({})],
  ['a receipt of a measured model', strict(modelsMeasured([OTHER_MODEL, MODEL.digest]))],
  ['an attestation', attestation({})],
  ['a raw report', raw({})],
  ['a raw report with a list', raw({ crl: { days: 30 } })],
  ['a raw report with its root', raw({ endorsements: (...chain) => chain })],
  ['a raw report signed with a VLEK', raw({ snp: VLEK })],
  ['a receipt under a VLEK', strict({ tick: { snp: VLEK }, snp: { vlek: 'allow' } })],
  ['an Azure HCL report', hcl('{"a":1}', '{"a":1}')],
  ...NITRO_GOOD,
  ...AIR_GOOD,
];
