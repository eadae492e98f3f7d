/** The half of a policy that speaks of the work, its freshness and its time, whatever the platform. */
import { equalBytes, hex, type ModelIdentity } from '@veritee/protocol';
import type { CheckLog, CheckRow } from '../checks.ts';
import { existedBy, type Verified } from '../receipt/verify.ts';
import { MEASURED_MODEL_ROW } from './model-binding.ts';
import type { AppraisalPolicy, ModelRule } from './policy.ts';

const POLICY = 'verifier/policy.schema.json';

export const RECEIPT_RULE_ROWS: readonly CheckRow[] = [
  { id: 'policy.models', claim: 'model digest', source: POLICY, kinds: ['receipt'] },
  MEASURED_MODEL_ROW,
  { id: 'policy.strength', claim: 'strength', source: POLICY, kinds: ['receipt'] },
  { id: 'policy.freshness', claim: 'eat_nonce', source: POLICY },
  { id: 'policy.existed-by', claim: 'time', source: POLICY },
];

export function runReceiptRules(verified: Verified, nonce: boolean, policy: AppraisalPolicy, log: CheckLog): void {
  if (verified.kind === 'receipt') {
    checkModels(verified, policy.models, log);
    checkStrength(verified, policy, log);
  }
  checkFreshness(nonce, policy, log);
  checkExistedBy(existedBy(verified), policy, log);
}

/** A time that is proven is shown, asked for or not. */
export function checkExistedBy(time: Date | null, policy: AppraisalPolicy, log: CheckLog): void {
  const id = 'policy.existed-by';
  const wanted = 'a time proven by an outside clock';
  const asks = policy.existedBy === 'required';
  if (time) log.pass(id, `${time.toISOString()}, by the clock that signed the document`, asks ? wanted : null);
  else if (asks) log.fail(id, 'TIME_NOT_PROVEN', wanted, 'none');
  else log.skip(id, 'the policy does not ask', 'when this was made: no outside clock proves it');
}

type Receipt = Extract<Verified, { readonly kind: 'receipt' }>;

function checkModels(
  { statement: { model, outcome } }: Receipt,
  models: AppraisalPolicy['models'],
  log: CheckLog,
): void {
  const id = 'policy.models';
  if (models === 'any') {
    log.skip(id, 'the policy does not ask', 'models: whether you allow the model that ran');
  } else if (!model) {
    log.skip(id, `no model ran: the request was refused (${outcome})`);
  } else if (models.some((rule) => isModel(rule, model))) {
    log.pass(id, modelText(model), models.map(modelText).join(' or '));
  } else {
    log.fail(id, 'MODEL_NOT_ALLOWED', models.map(modelText).join(' or '), modelText(model));
  }
}

const isModel = (rule: ModelRule, model: ModelIdentity): boolean =>
  equalBytes(rule.digest, model.digest) &&
  (rule.name === null || rule.name === model.name) &&
  (rule.version === null || rule.version === model.version);

const modelText = ({ name, version, digest }: ModelRule): string =>
  `${name ?? 'any name'} version ${version ?? 'any'}, digest ${hex(digest)}`;

function checkStrength({ strength }: Receipt, policy: AppraisalPolicy, log: CheckLog): void {
  if (strength === 'hardware-committed' || policy.strength === 'session-signed') {
    log.pass('policy.strength', strength, policy.strength);
  } else {
    log.fail('policy.strength', 'STRENGTH_INSUFFICIENT', policy.strength, strength);
  }
  if (strength === 'session-signed') {
    log.note('session-signed: hardware vouches for the session key, not yet for this statement');
  }
}

export function checkFreshness(nonce: boolean, { freshness }: AppraisalPolicy, log: CheckLog): void {
  const id = 'policy.freshness';
  if (nonce) log.pass(id, 'the answer bears the nonce of the caller');
  else if (freshness === 'not-required') log.skip(id, 'the policy does not ask');
  else log.fail(id, 'FRESHNESS_REQUIRED', 'the nonce of the caller', 'none, or another');
}
