import { equalBytes } from '@veritee/protocol';
import { type PolicyWarning, when } from './lint-warning.ts';
import type { AppraisalPolicy, ModelBinding } from './policy.ts';

export const MODEL_BINDING_OPT_OUT = [
  'modelBinding',
  'not-required',
  'no hardware measured the models: the measured program’s word stands for which one ran',
] as const;

/** A model that is allowed and in no set can never have been measured. */
export function lintModelBinding(
  platform: 'sevSnp' | 'nitro',
  binding: ModelBinding,
  { models }: AppraisalPolicy,
): readonly PolicyWarning[] {
  if (binding === 'not-required' || models === 'any') return [];
  return models.flatMap(({ digest }, i) =>
    when(
      !binding.modelSets.some((set) => set.some((one) => equalBytes(one, digest))),
      'model-in-no-set',
      `models[${i}]`,
      `it is in no set of ${platform}.modelBinding: its answers are refused there`,
    ),
  );
}
