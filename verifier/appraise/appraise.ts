/** Phase 3: what is genuine, against what the caller knows and its policy. Pure: no cryptography, no clock, no throwing. */
import type { CheckLog, CheckRow } from '../checks.ts';
import type { Verified, VerifiedPlatform } from '../receipt/verify.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { checkExpected, type Expectations } from './expected.ts';
import { checkModelBinding, MODEL_SET_ROW } from './model-binding.ts';
import { runNitroRules } from './nitro-rules.ts';
import type { AppraisalPolicy } from './policy.ts';
import { runReceiptRules } from './receipt-rules.ts';
import { checkDenied, DENIED_ROW } from './reference-values.ts';
import { runSnpRules } from './snp-rules.ts';

export const PLATFORM_ROWS: readonly CheckRow[] = [
  { id: 'policy.platform', claim: 'platform', source: 'verifier/policy.schema.json' },
  DENIED_ROW,
  MODEL_SET_ROW,
];

/**
 * Runs every row and records every failure in `log`.
 *
 * @returns whether the caller's own nonce was found: only then is a sealing key fresh enough to seal to
 */
export function appraise(
  verified: Verified,
  expected: Expectations,
  policy: AppraisalPolicy,
  at: Date,
  log: CheckLog,
): { readonly nonce: boolean } {
  const { nonce } = checkExpected(verified, expected, log);
  appraisePlatform(verified.platform, policy, at, log);
  checkModelBinding(verified, policy, log);
  runReceiptRules(verified, nonce, policy, log);
  return { nonce };
}

function appraisePlatform(platform: VerifiedPlatform, policy: AppraisalPolicy, at: Date, log: CheckLog): void {
  if (platform.name === 'nitro') {
    const { nitro } = platform;
    const { pcr0, pcr1, pcr2 } = nitro.document;
    const rules = policy.nitro === 'refuse' ? null : policy.nitro;
    checkPlatform(rules !== null, 'not Nitro', nitro.anchor, log);
    checkDenied([pcr0, pcr1, pcr2], policy, log);
    runNitroRules({ nitro, at }, rules, log);
  } else {
    const { snp, tcb } = platform;
    const rules = policy.sevSnp === 'refuse' ? null : policy.sevSnp;
    checkPlatform(rules !== null, 'not SEV-SNP', snp.anchor, log);
    checkDenied([snp.report.measurement], policy, log);
    runSnpRules({ snp, tcb, at }, rules, log);
  }
}

function checkPlatform(allowed: boolean, expected: string, { platform }: TrustAnchor, log: CheckLog): void {
  if (allowed) log.pass('policy.platform', platform);
  else log.fail('policy.platform', 'PLATFORM_NOT_ALLOWED', expected, platform);
}
