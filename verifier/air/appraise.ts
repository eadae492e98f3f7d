/**
 * Layer 4 of the draft's procedure, and what an AIR receipt cannot show. It names its platform's evidence by hash and
 * brings none, so a policy that asks for a platform is never met by one.
 */
import { type Code, equalBytes, hex } from '@veritee/protocol';
import { checkNonce, type Expectations, modelText, refuseUnanswered } from '../appraise/expected.ts';
import { type AppraisalPolicy, AUTHENTICITY } from '../appraise/policy.ts';
import { checkExistedBy, checkFreshness } from '../appraise/receipt-rules.ts';
import type { CheckLog } from '../checks.ts';
import type { VerifiedAir } from './verify.ts';

const KIND = 'air-receipt';

/** Said of every AIR receipt, however good. */
const NOT_SHOWN = [
  'hardware: the receipt names its attestation document by hash only; nothing here shows that its key is held inside a TEE',
  'the key: you gave it; whose it is and where it came from is for you to know',
  'measurements: they are the workload’s own word, compared with no attestation document',
  'secrecy of request and response: their hashes have no salt, so whoever guesses one can confirm the guess',
  'order and completeness: there is no log, so answers may be missing and receipts may be made afterwards',
  'the time: it is the workload’s own word',
] as const;

/** Pure: records what holds and what does not in `log`. */
export function appraiseAir(
  air: VerifiedAir,
  expected: Expectations,
  policy: AppraisalPolicy,
  at: Date,
  log: CheckLog,
): void {
  const nonce = checkNonce(KIND, air.nonce, expected.nonce, log);
  const known = comparisons(air, expected, at);
  for (const { id, code, want, holds, actual, absent } of known) {
    if (want === undefined) log.skip(id, 'not given', absent);
    else if (holds()) log.pass(id, actual, want);
    else log.fail(id, code, want, actual);
  }
  refuseUnanswered(
    KIND,
    expected,
    known.map(({ id }) => id),
    log,
  );
  checkPlatform(policy, log);
  checkFreshness(nonce, policy, log);
  checkExistedBy(null, policy, log);
  for (const id of ['shape.endorsements', 'policy.denied-measurements', 'policy.model-set'])
    log.skip(id, 'no part of an AIR receipt');
  for (const words of NOT_SHOWN) log.note(words);
  if (air.securityMode !== 'production') log.note('production: the receipt itself says that it is for evaluation');
}

/** Authenticity asks whether the receipt is genuine and intact; any other policy asks what it ran on. */
function checkPlatform(policy: AppraisalPolicy, log: CheckLog): void {
  const id = 'policy.platform';
  if (policy === AUTHENTICITY) log.skip(id, 'an AIR receipt brings no evidence of a platform');
  else
    log.fail(id, 'PLATFORM_NOT_ALLOWED', 'evidence of a platform that the policy accepts', 'the hash of some evidence');
}

interface Comparison {
  readonly id: string;
  readonly code: Code;
  /** Undefined when the caller did not give it. */
  readonly want: string | undefined;
  readonly holds: () => boolean;
  readonly actual: string;
  /** Said when it was not given. */
  readonly absent?: string;
}

const MAX_CLOCK_SKEW_SECONDS = 60;

function comparisons(air: VerifiedAir, expected: Expectations, at: Date): readonly Comparison[] {
  const { model, request, response } = expected;
  const { measurementType, maxAgeSeconds } = expected.air ?? {};
  const age = at.getTime() / 1000 - air.issuedAt;
  return [
    {
      id: 'expected.request',
      code: 'REQUEST_MISMATCH',
      want: request && hex(request.digest),
      holds: () => request !== undefined && equalBytes(request.digest, air.requestHash),
      actual: hex(air.requestHash),
      absent: 'without the request: whether this request is the one you hold',
    },
    {
      id: 'expected.response',
      code: 'RESPONSE_MISMATCH',
      want: response && hex(response.digest),
      holds: () => response !== undefined && equalBytes(response.digest, air.responseHash),
      actual: hex(air.responseHash),
      absent: 'without the response: whether this response is the one you hold',
    },
    {
      id: 'expected.model',
      code: 'MODEL_MISMATCH',
      want: model && modelText(model.name, model.version, model.digest),
      holds: () =>
        model !== undefined &&
        model.name === air.modelId &&
        (model.version === undefined || model.version === air.modelVersion) &&
        (model.digest === undefined || equalBytes(model.digest, air.modelHash)),
      actual: modelText(air.modelId, air.modelVersion, air.modelHash),
      absent: 'without the model asked for: whether this model is the one you meant',
    },
    {
      id: 'air.measurement-type',
      code: 'PLATFORM_NOT_ALLOWED',
      want: measurementType,
      holds: () => measurementType === air.measurementType,
      actual: air.measurementType,
    },
    {
      id: 'air.age',
      code: 'FRESHNESS_REQUIRED',
      want: maxAgeSeconds === undefined ? undefined : `at most ${maxAgeSeconds} seconds`,
      holds: () => maxAgeSeconds !== undefined && age <= maxAgeSeconds && age >= -MAX_CLOCK_SKEW_SECONDS,
      actual: `${Math.floor(age)} seconds, by the workload’s clock`,
    },
  ];
}
