/** Any frozen verdict made again, and what a policy of today would say of the same evidence. */
import { CodedError, equalBytes, hex, utf8 } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { putTogether } from '../evidence-parts.ts';
import type { AppraisalInputs, Appraised } from '../ingest/appraiser.ts';
import { sha256Of } from '../log/frontier.ts';
import type { EvidenceRow, Verdict } from '../store/port.ts';
import { Replayer, replayAppraiser, sameVerdict } from './frozen.ts';

export interface VerdictText {
  readonly verdict: Verdict;
  readonly codes: readonly string[];
  /** Canonical digest of the policy, in hex. */
  readonly policy: string;
  readonly verifier: string;
  readonly at: string;
}

/** One check that came out otherwise. */
export interface CheckChange {
  readonly check: string;
  /** `pass`, `fail` or `skipped`, with what was found; null where that release had no such check. */
  readonly frozen: string | null;
  readonly today: string | null;
}

export interface Replay {
  readonly boot: string;
  readonly reportData: string;
  readonly frozen: VerdictText;
  readonly again: VerdictText;
  /** The replay gave what was frozen. */
  readonly same: boolean;
  readonly today: (VerdictText & { readonly changes: readonly CheckChange[] }) | null;
}

export interface Today {
  readonly inputs: AppraisalInputs;
  readonly atMs: number;
}

/**
 * @param today a policy to compare with, at its own time
 * @throws CodedError EVIDENCE_MISSING, EVIDENCE_MALFORMED, STORE_FAILED, POLICY_INVALID: what was frozen is not whole
 */
export async function replay(archive: Archive, row: EvidenceRow, today: Today | null = null): Promise<Replay> {
  const again = await new Replayer(archive.blobs).replay(row);
  const frozenText = await archive.store.resultJson(row.reportData);
  if (frozenText === null || !equalBytes(sha256Of(utf8(frozenText)), row.appraisal.result)) {
    throw new CodedError('EVIDENCE_MALFORMED', 'the frozen result is not the one whose digest is kept', {
      field: 'result',
    });
  }
  const now = today && (await appraiseToday(archive, row, today));
  return {
    boot: row.boot,
    reportData: hex(row.reportData),
    frozen: verdictText(row.appraisal),
    again: verdictText(again.appraisal),
    same: sameVerdict(row.appraisal, again),
    today: now && { ...verdictText(now.appraisal), changes: changesBetween(frozenText, now.resultJson) },
  };
}

async function appraiseToday(archive: Archive, row: EvidenceRow, { inputs, atMs }: Today): Promise<Appraised> {
  const appraiser = await replayAppraiser(inputs);
  return appraiser.appraise(await putTogether(row, archive.blobs), atMs);
}

const verdictText = ({ verdict, codes, policyDigest, verifier, atMs }: EvidenceRow['appraisal']): VerdictText => ({
  verdict,
  codes,
  policy: hex(policyDigest),
  verifier,
  at: new Date(atMs).toISOString(),
});

interface CheckText {
  readonly id: string;
  readonly outcome: string;
  readonly detail: string;
}

/** Both are texts that `resultText` made: one now, one whose digest an act commits to. */
function changesBetween(frozen: string, today: string): CheckChange[] {
  const [before, after] = [checksOf(frozen), checksOf(today)];
  const changes: CheckChange[] = [];
  for (const check of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(check), after.get(check)];
    if (was?.outcome === is?.outcome && (was?.outcome !== 'fail' || was.detail === is?.detail)) continue;
    changes.push({ check, frozen: textOf(was), today: textOf(is) });
  }
  return changes;
}

const checksOf = (result: string): Map<string, CheckText> =>
  new Map((JSON.parse(result) as { readonly checks: readonly CheckText[] }).checks.map((one) => [one.id, one]));

const textOf = (check: CheckText | undefined): string | null => (check ? `${check.outcome}: ${check.detail}` : null);
