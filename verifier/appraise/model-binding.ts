/**
 * Models in the measurement, whatever the platform: HOST_DATA or PCR16 has to be a set that the policy lists, and the
 * model that a receipt names has to be in it. What was measured cannot be read back, so the policy brings the sets.
 */
import {
  type Bytes,
  equalBytes,
  hex,
  MODEL_SET_PCR,
  type ModelIdentity,
  modelSetHostData,
  modelSetPcr,
} from '@veritee/protocol';
import type { CheckLog, CheckRow } from '../checks.ts';
import type { Verified, VerifiedPlatform } from '../receipt/verify.ts';
import type { AppraisalPolicy, ModelBinding } from './policy.ts';

const SOURCE = 'docs/formats.md, models in the measurement';
const SET = 'policy.model-set';
const MODEL = 'policy.measured-model';

/** Of evidence, so also asked before anything is sealed. */
export const MODEL_SET_ROW: CheckRow = { id: SET, claim: 'HOST_DATA, or PCR16', source: SOURCE };
export const MEASURED_MODEL_ROW: CheckRow = { id: MODEL, claim: 'model digest', source: SOURCE, kinds: ['receipt'] };

const UNKNOWN = 'models: whether hardware measured them; the measured program’s word stands for which model ran';

type ModelSet = readonly Bytes<32>[];

export function checkModelBinding(verified: Verified, policy: AppraisalPolicy, log: CheckLog): void {
  const { platform } = verified;
  const rules = platform.name === 'nitro' ? policy.nitro : policy.sevSnp;
  const set = rules === 'refuse' ? refusedPlatform(log) : checkSet(platform, rules.modelBinding, log);
  if (verified.kind !== 'receipt') return;
  const { model, outcome } = verified.statement;
  if (!set) log.skip(MODEL, 'no set of models to hold it against');
  else if (!model) log.skip(MODEL, `no model ran: the request was refused (${outcome})`);
  else checkModel(model, set, log);
}

function refusedPlatform(log: CheckLog): null {
  log.skip(SET, 'the policy refuses this platform');
  return null;
}

/** @returns the set that was measured; null when the policy asks for none, or the measured one is not on its list */
function checkSet(platform: VerifiedPlatform, binding: ModelBinding, log: CheckLog): ModelSet | null {
  if (binding === 'not-required') {
    log.skip(SET, 'the policy does not ask', UNKNOWN);
    return null;
  }
  const { measured, measure } = measuredSet(platform);
  const wanted = binding.modelSets.map((set) => ({ set, value: measure(set) }));
  const found = wanted.find(({ value }) => measured !== undefined && equalBytes(value, measured));
  const expected = wanted.map(({ value }) => hex(value)).join(' or ');
  const actual = measured ? hex(measured) : 'not in the document';
  if (found) log.pass(SET, actual, expected);
  else log.fail(SET, 'MODEL_SET_UNKNOWN', expected, actual);
  return found?.set ?? null;
}

function measuredSet(platform: VerifiedPlatform): {
  readonly measured: Uint8Array | undefined;
  readonly measure: (set: ModelSet) => Uint8Array;
} {
  if (platform.name !== 'nitro') return { measured: platform.snp.report.hostData, measure: modelSetHostData };
  // A document carries locked registers only, so what is there can no longer be extended.
  return { measured: platform.nitro.document.pcrs.get(MODEL_SET_PCR), measure: modelSetPcr };
}

function checkModel({ digest }: ModelIdentity, set: ModelSet, log: CheckLog): void {
  const expected = set.map(hex).join(' or ');
  if (set.some((one) => equalBytes(one, digest))) log.pass(MODEL, hex(digest), expected);
  else log.fail(MODEL, 'MODEL_NOT_MEASURED', expected, hex(digest));
}
