/**
 * Receipts by what they and their evidence say. It reads the search columns; that these are true to the signed bytes is
 * for the audit, and a receipt that is found is proved by `prove`.
 */
import { hex } from '@veritee/protocol';
import type {
  ArchiveStore,
  EvidenceFacts,
  EvidenceRow,
  Page,
  Place,
  Range,
  StatementFilter,
  StatementRow,
  Verdict,
} from '../store/port.ts';
import { coverageOf } from './coverage.ts';
import { type Floor, isBelow } from './tcb.ts';

/** Every given field must match the first evidence over an entry. */
export interface EvidenceFilter {
  readonly platform?: string;
  readonly product?: string;
  /** Lower-case hex. */
  readonly measurement?: string;
  readonly chip?: string;
  readonly verdict?: Verdict;
  /** Canonical digest of the policy it was appraised under, lower-case hex. */
  readonly policy?: string;
  readonly tcbBelow?: Floor;
}

/** `ranges` or `evidence`, not both: what is asked of evidence is resolved to ranges. */
export interface ReceiptFilter extends StatementFilter {
  readonly evidence?: EvidenceFilter;
}

export interface FoundReceipt extends StatementRow {
  /** Null for a receipt that no report covers. */
  readonly evidence: (EvidenceFacts & { readonly reportData: string; readonly verdict: Verdict }) | null;
}

export interface SearchPage {
  readonly receipts: readonly FoundReceipt[];
  /** Where the next page begins; null after the last. */
  readonly next: Place | null;
}

export async function search(store: ArchiveStore, filter: ReceiptFilter, { after, limit }: Page): Promise<SearchPage> {
  const resolved = await resolve(store, filter);
  const rows = await store.statements(resolved, { after, limit: limit + 1 });
  const shown = rows.slice(0, limit);
  const receipts: FoundReceipt[] = [];
  let covering: EvidenceRow | null = null;
  for (const row of shown) {
    // Rows come in order of place, so that neighbours share their evidence.
    if (covering?.boot !== row.boot || row.index >= covering.size) {
      covering = await store.firstEvidenceOver(row.boot, row.index);
    }
    receipts.push({ ...row, evidence: covering && summaryOf(covering) });
  }
  const last = shown.at(-1);
  return { receipts, next: rows.length > limit && last ? { boot: last.boot, index: last.index } : null };
}

export async function count(store: ArchiveStore, filter: ReceiptFilter): Promise<number> {
  return store.countStatements(await resolve(store, filter));
}

const summaryOf = ({ facts, reportData, appraisal }: EvidenceRow): FoundReceipt['evidence'] => ({
  ...facts,
  reportData: hex(reportData),
  verdict: appraisal.verdict,
});

/** What is asked of evidence becomes the ranges that such evidence covers. */
async function resolve(store: ArchiveStore, { evidence, ...filter }: ReceiptFilter): Promise<StatementFilter> {
  if (!evidence || Object.keys(evidence).length === 0) return filter;
  if (filter.ranges) throw new TypeError('ranges and evidence in one filter');
  const ranges: Range[] = [];
  const boots = filter.boot === undefined ? (await store.boots()).map(({ boot }) => boot) : [filter.boot];
  for (const boot of boots) {
    for await (const covered of coverageOf(store, boot)) {
      if (covered.committed && matches(covered.evidence, evidence)) ranges.push(covered);
    }
  }
  return { ...filter, ranges };
}

function matches({ facts, appraisal }: EvidenceRow, wanted: EvidenceFilter): boolean {
  const { platform, product, measurement, chip, verdict, policy, tcbBelow } = wanted;
  return (
    (platform === undefined || facts.platform === platform) &&
    (product === undefined || facts.product === product) &&
    (measurement === undefined || facts.measurement === measurement) &&
    (chip === undefined || facts.chip === chip) &&
    (verdict === undefined || appraisal.verdict === verdict) &&
    (policy === undefined || hex(appraisal.policyDigest) === policy) &&
    (tcbBelow === undefined || isBelow(facts, tcbBelow))
  );
}
