/** Checked by the compiler, never run: each line that must not compile says so, and fails the build if it does. */
import { encodeStatement } from '../../protocol/index.ts';
import { appraise } from '../../verifier/appraise/appraise.ts';
import type { AppraisalPolicy } from '../../verifier/appraise/policy.ts';
import type { CheckLog } from '../../verifier/checks.ts';
import { type AttestationResult, assess, parseSnpReport } from '../../verifier/index.ts';
import type { Parsed } from '../../verifier/receipt/parse.ts';
import { strictPolicy } from '../support/policies.ts';

export async function misuse(
  result: AttestationResult,
  parsed: Parsed,
  policy: AppraisalPolicy,
  log: CheckLog,
): Promise<void> {
  const at = new Date(0);
  const file = new Uint8Array(0);

  // @ts-expect-error parsed is not verified
  appraise(parsed, {}, policy, at, log);
  // @ts-expect-error a report alone is not verified either
  appraise({ kind: 'snp-report', snp: { report: parseSnpReport(file) } }, {}, policy, at, log);
  // @ts-expect-error the JSON of a policy is not a policy
  await assess({ file, policy: strictPolicy(), at });
  // @ts-expect-error there is no default policy
  await assess({ file, at });
  // @ts-expect-error there is no default time
  await assess({ file, policy });

  // @ts-expect-error no session before the verdict is read
  result.session.key;
  // @ts-expect-error no statement before the verdict is read
  encodeStatement(result.statement);
  if (result.verdict === 'contraindicated') {
    // @ts-expect-error no session after a no
    result.session;
  }
  if (result.verdict === 'affirming' && result.kind === 'receipt') {
    // @ts-expect-error a receipt offers no sealing key
    result.sealingKeys;
    encodeStatement(result.statement);
  }
}
