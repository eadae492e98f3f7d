/**
 * What a complete policy still leaves open, or gets wrong: each opt-out with its consequence in words, and rules that
 * refuse or admit something their author can hardly have meant. A policy with warnings is a policy; its author decides.
 */
import { equalBytes } from '@veritee/protocol';
import { lintNitro } from './lint-nitro.ts';
import { lintSnp } from './lint-snp.ts';
import { type PolicyWarning, warn, when } from './lint-warning.ts';
import type { AppraisalPolicy } from './policy.ts';

/** @param at the time at which the policy is to be used: what has expired by then is said */
export function lintPolicy(policy: AppraisalPolicy, at: Date): readonly PolicyWarning[] {
  const { sevSnp, nitro } = policy;
  return [
    ...lintAnchors(policy, at),
    ...(sevSnp === 'refuse' && nitro === 'refuse' ? lintNothing() : []),
    ...(sevSnp === 'refuse' ? [] : lintSnp(sevSnp, policy, at)),
    ...(nitro === 'refuse' ? [] : lintNitro(nitro, policy, at)),
    ...lintWork(policy),
  ];
}

const lintNothing = (): readonly PolicyWarning[] => [
  warn('accepts-nothing', 'sevSnp', 'no platform is accepted: every file is refused'),
];

const lintAnchors = ({ anchors }: AppraisalPolicy, at: Date): readonly PolicyWarning[] =>
  anchors.flatMap((anchor, i) => {
    if ('builtin' in anchor) return [];
    const path = `anchors[${i}]`;
    const simulated = anchor.platform.startsWith('simulated-');
    return [
      ...when(
        simulated,
        'simulated-anchor',
        path,
        'a simulated platform is accepted: it proves the mechanism, no machine',
      ),
      ...when(anchor.notAfter < at, 'anchor-expired', `${path}.notAfter`, 'the anchor has ended: it vouches no more'),
      ...when(
        anchor.notBefore > at,
        'anchor-not-yet-valid',
        `${path}.notBefore`,
        'the anchor vouches only from then on',
      ),
    ];
  });

function lintWork(policy: AppraisalPolicy): readonly PolicyWarning[] {
  const { sevSnp, nitro, models, freshness, existedBy, strength, maxWaitSeconds } = policy;
  return [
    ...when(models === 'any', 'opt-out', 'models', 'any model that the program serves may have given the answer'),
    ...(models === 'any'
      ? []
      : models.flatMap((model, i) => {
          const earlier = models.findIndex(({ digest }) => equalBytes(digest, model.digest));
          return when(earlier < i, 'model-repeated', `models[${i}]`, `the digest is that of models[${earlier}]`);
        })),
    ...when(freshness === 'not-required', 'opt-out', 'freshness', 'an old answer or attestation may be replayed'),
    ...when(existedBy === 'not-required', 'opt-out', 'existedBy', 'nothing shows when a receipt was made'),
    ...when(
      existedBy === 'required' && nitro === 'refuse',
      'refuses-everything',
      'existedBy',
      'no SEV-SNP file of this release carries an outside clock’s word: every file is refused',
    ),
    ...when(
      existedBy === 'required' && nitro !== 'refuse' && sevSnp !== 'refuse',
      'refuses-sev-snp',
      'existedBy',
      'only Nitro documents carry an outside clock’s word: every SEV-SNP file is refused',
    ),
    ...when(
      strength === 'session-signed',
      'opt-out',
      'strength',
      'an answer that no hardware report covers yet is accepted: whoever steals the session key can forge one',
    ),
    ...when(
      strength === 'hardware-committed' && maxWaitSeconds === 0,
      'no-wait',
      'maxWaitSeconds',
      'a client does not wait for the hardware report that this policy asks for',
    ),
  ];
}
