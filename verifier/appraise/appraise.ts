/** Phase 3: what is genuine, against what the caller knows and its policy. Pure: no cryptography, no clock, no throwing. */
import type { CheckLog, CheckRow } from '../checks.ts';
import type { Verified } from '../receipt/verify.ts';
import { checkExpected, type Expectations } from './expected.ts';
import type { AppraisalPolicy } from './policy.ts';
import { runReceiptRules } from './receipt-rules.ts';
import { checkDenied, DENIED_ROW } from './reference-values.ts';
import { runSnpRules } from './snp-rules.ts';

export const PLATFORM_ROWS: readonly CheckRow[] = [
  { id: 'policy.platform', claim: 'platform', source: 'verifier/policy.schema.json' },
  DENIED_ROW,
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
  const { platform } = verified.snp.anchor;
  if (policy.sevSnp === 'refuse') log.fail('policy.platform', 'PLATFORM_NOT_ALLOWED', 'not SEV-SNP', platform);
  else log.pass('policy.platform', platform);
  checkDenied(verified.snp.report.measurement, policy, log);
  runSnpRules({ snp: verified.snp, tcb: verified.tcb, at }, policy.sevSnp === 'refuse' ? null : policy.sevSnp, log);
  runReceiptRules(verified, nonce, policy, log);
  return { nonce };
}
