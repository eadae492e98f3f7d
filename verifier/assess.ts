/** parse → verify → appraise, and a result that says what each check came to (design §4; docs/formats.md). */
import { type Code, EvidenceError } from '@veritee/protocol';
import { AIR_ROWS } from './air/rows.ts';
import { appraise, PLATFORM_ROWS } from './appraise/appraise.ts';
import { EXPECTED_ROWS, type Expectations, type Expected, prepareExpected } from './appraise/expected.ts';
import { NITRO_RULES } from './appraise/nitro-rules.ts';
import { type AppraisalPolicy, AUTHENTICITY, anchorsOf, isCompletePolicy, policyDigest } from './appraise/policy.ts';
import { RECEIPT_RULE_ROWS } from './appraise/receipt-rules.ts';
import type { Affirmed, AttestationResult, Common, Contraindicated } from './appraise/result.ts';
import { SNP_RULES } from './appraise/snp-rules.ts';
import { CheckFailure, CheckLog, type CheckRow } from './checks.ts';
import { A_FILE, detectKind, type EvidenceKind, type Kind } from './kind.ts';
import { NITRO_VERIFY_ROWS } from './nitro/rows.ts';
import { NITRO_TIME_ROW } from './nitro/time.ts';
import { CHALLENGE_ROWS } from './receipt/challenge.ts';
import { type Parsed, parse, SHAPE_ROWS } from './receipt/parse.ts';
import { SESSION_ROWS } from './receipt/session.ts';
import { STATEMENT_ROWS } from './receipt/statement.ts';
import { CHAIN_ROWS, type Verified, verify } from './receipt/verify.ts';
import { readEndorsements } from './snp/endorsements.ts';
import { HCL_ROWS } from './snp/hcl-rows.ts';
import { SNP_VERIFY_ROWS } from './snp/verify.ts';
import type { TrustAnchor } from './trust/anchor.ts';
import { readCrls } from './x509/pem.ts';

const OURS = ['evidence', 'attestation', 'receipt'] as const;
const ofKinds = (kinds: readonly Kind[], rows: readonly CheckRow[]): readonly CheckRow[] =>
  rows.map((row) => ({ kinds, ...row }));

const SNP_KINDS: readonly Kind[] = [...OURS, 'snp-report', 'snp-hcl'];
const NITRO_KINDS: readonly Kind[] = [...OURS, 'nitro-document'];
const SNP_EVIDENCE_ROWS = ofKinds(SNP_KINDS, [...CHAIN_ROWS, ...SNP_VERIFY_ROWS]);
const NITRO_EVIDENCE_ROWS = ofKinds(NITRO_KINDS, [...NITRO_VERIFY_ROWS, NITRO_TIME_ROW]);
const SNP_POLICY_ROWS = ofKinds(SNP_KINDS, SNP_RULES);
const NITRO_POLICY_ROWS = ofKinds(NITRO_KINDS, NITRO_RULES);

/** Every check there is, in the order in which they are made. */
export const ALL_ROWS: readonly CheckRow[] = [
  ...SHAPE_ROWS,
  ...SNP_EVIDENCE_ROWS,
  ...NITRO_EVIDENCE_ROWS,
  ...HCL_ROWS,
  ...SESSION_ROWS,
  ...CHALLENGE_ROWS,
  ...STATEMENT_ROWS,
  ...EXPECTED_ROWS,
  ...PLATFORM_ROWS,
  ...SNP_POLICY_ROWS,
  ...NITRO_POLICY_ROWS,
  ...RECEIPT_RULE_ROWS,
  ...AIR_ROWS,
];

export interface AssessInput {
  readonly file: Uint8Array;
  /** Overrides detection. */
  readonly kind?: Kind;
  /** There is no default. */
  readonly policy: AppraisalPolicy | 'builtin:authenticity';
  /**
   * The time at which everything must be valid; Nitro evidence, which bears its own signed time, at that, and no later
   * than this one. The verifier reads no clock.
   */
  readonly at: Date;
  /** Beside the policy's own; see `readTrustAnchors`. */
  readonly trustAnchors?: readonly TrustAnchor[];
  /** Certificate files in any order: DER or PEM, one or several certificates each, or an SNP certificate table. */
  readonly endorsements?: readonly Uint8Array[];
  /** CRL files, DER or PEM. */
  readonly crls?: readonly Uint8Array[];
  /** Evidence files for a receipt that names its evidence by REPORT_DATA only. */
  readonly evidence?: readonly Uint8Array[];
  readonly expected?: Expected;
}

/**
 * Decide about one file. Bad files give a result, whatever is in them.
 *
 * @throws TypeError a mistake of the caller: no time, an expectation that cannot be right, a policy that was not parsed
 */
export async function assess(input: AssessInput): Promise<AttestationResult> {
  const policy = input.policy === 'builtin:authenticity' ? AUTHENTICITY : input.policy;
  if (!isCompletePolicy(policy)) throw new TypeError('policy: want what parsePolicy returned, or builtin:authenticity');
  if (!(input.at instanceof Date) || Number.isNaN(input.at.getTime())) throw new TypeError('at: want a valid Date');
  const context: Context = {
    kind: input.kind ?? detectKind(input.file),
    policy,
    at: new Date(input.at),
    log: new CheckLog(ALL_ROWS),
  };
  const expected = await prepareExpected(input.expected ?? {}, context.kind);
  try {
    const { kind } = context;
    if (kind === 'air-receipt') {
      await assessAir(input.file, expected, context);
      return affirmUnlessFound(context, { kind });
    }
    const verified = await parseAndVerify(input, kind, context);
    const { nonce } = appraise(verified, expected, policy, context.at, context.log);
    return affirmUnlessFound(context, affirmed(verified, nonce));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return refused(context, error.code);
  }
}

/** A format of others, with rules of its own; loaded when one is met. */
async function assessAir(file: Uint8Array, expected: Expectations, { policy, at, log }: Context): Promise<void> {
  log.pass('shape.kind', A_FILE['air-receipt']);
  const [{ verifyAir }, { appraiseAir }] = await Promise.all([import('./air/verify.ts'), import('./air/appraise.ts')]);
  appraiseAir(await verifyAir(file, expected.airKey, log), expected, policy, at, log);
}

interface Context {
  readonly kind: Kind | null;
  readonly policy: AppraisalPolicy;
  readonly at: Date;
  readonly log: CheckLog;
}

async function parseAndVerify(
  input: AssessInput,
  kind: EvidenceKind | null,
  { policy, at, log }: Context,
): Promise<Verified> {
  const { file, evidence = [], trustAnchors = [], endorsements = [], crls = [] } = input;
  const known = log.step(
    'shape.kind',
    () => kind ?? refuseUnknown(),
    (name) => A_FILE[name],
  );
  const parsed = await parse(file, known, evidence, log);
  skipOtherPlatform(parsed, log);
  const given = log.step(
    'shape.endorsements',
    () => {
      const files = endorsements.map((item, i) => readEndorsements(item, `endorsements[${i}]`));
      return {
        certificates: files.flatMap(({ certificates }) => certificates),
        crls: crls.flatMap((item, i) => readCrls(item, `crls[${i}]`)),
        crlsOfHost: files.flatMap(({ crls: lists }) => lists),
      };
    },
    ({ certificates, crls: lists, crlsOfHost }) =>
      `${certificates.length} certificates, ${lists.length + crlsOfHost.length} CRLs`,
  );
  return verify(parsed, { ...given, anchors: [...anchorsOf(policy), ...trustAnchors] }, at, log);
}

/** The checks of the platform that this evidence is not of. */
function skipOtherPlatform(parsed: Parsed, log: CheckLog): void {
  const { name } = 'evidence' in parsed ? parsed.evidence.platform : parsed.platform;
  const other =
    name === 'nitro' ? [...SNP_EVIDENCE_ROWS, ...SNP_POLICY_ROWS] : [...NITRO_EVIDENCE_ROWS, ...NITRO_POLICY_ROWS];
  const detail =
    name === 'nitro' ? 'of SEV-SNP; the evidence is a Nitro document' : 'of Nitro; the evidence is SEV-SNP';
  for (const { id } of other) log.skip(id, detail);
}

function refuseUnknown(): never {
  const expected =
    'a receipt, an attestation, an evidence file, a raw SNP report, an Azure HCL report, a raw Nitro document or an AIR receipt';
  throw new CheckFailure('EVIDENCE_UNSUPPORTED', expected, 'none of these', { field: 'file' });
}

/** What only the affirming side hands out. */
function affirmed(verified: Verified, nonce: boolean): Affirmed {
  switch (verified.kind) {
    case 'snp-report':
    case 'snp-hcl':
      return { kind: verified.kind };
    case 'nitro-document':
      return { kind: verified.kind };
    case 'evidence':
      return { kind: verified.kind, session: verified.session };
    case 'attestation': {
      // Without the caller's own nonce a key may be one that has long been erased, or leaked, since.
      const sealingKeys = nonce && verified.challenge ? verified.challenge.keys : [];
      return { kind: verified.kind, session: verified.session, sealingKeys };
    }
    case 'receipt': {
      const { kind, session, statement, strength } = verified;
      return { kind, session, statement, strength };
    }
  }
}

function common({ kind, policy, at, log }: Context): Common {
  const { evidenceTime, ...established } = log.established;
  return {
    kind,
    ...established,
    findings: log.findings,
    checks: log.checks(({ kinds }) =>
      kind && kinds && !kinds.includes(kind) ? `no part of ${A_FILE[kind]}` : 'not reached: a check before it failed',
    ),
    notChecked: log.notChecked,
    policy: policy.id,
    policyDigest: policyDigest(policy),
    at,
    validAt: evidenceTime ?? at,
    timeSource: evidenceTime ? 'evidence' : 'caller',
  };
}

function affirmUnlessFound(context: Context, result: Affirmed): AttestationResult {
  const [first, ...more] = context.log.findings;
  if (first) return { ...common(context), verdict: 'contraindicated', findings: [first, ...more] };
  return { ...common(context), ...result, verdict: 'affirming' };
}

function refused(context: Context, code: Code): AttestationResult {
  const [first, ...more] = context.log.findings;
  // Every refusal is thrown inside a step, which records it first.
  if (!first) throw new TypeError(`${code} was refused outside a check`);
  const findings: Contraindicated['findings'] = [first, ...more];
  return code === 'EVIDENCE_UNSUPPORTED'
    ? { ...common(context), verdict: 'unsupported', findings }
    : { ...common(context), verdict: 'contraindicated', findings };
}
