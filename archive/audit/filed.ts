import type { Range } from '../store/port.ts';
import type { Filed } from './entry-pass.ts';
import type { ExpectedBoot, ProvenTimes } from './ledger.ts';

/** How each entry of a stretch was filed when it first came: singles that were there before the whole log count first. */
export function filedIn(
  { spans, singles }: ExpectedBoot,
  { from, to }: Omit<Range, 'boot'>,
  proven: ProvenTimes,
): Filed[] {
  const filed: Filed[] = [];
  const alone = [...singles.values()]
    .filter(({ index }) => index >= from && index < to)
    .sort((a, b) => a.index - b.index);
  const file = (
    low: number,
    high: number,
    filing: Pick<Filed, 'timeMs' | 'tenant' | 'retentionClass'>,
    provenMs: number | null,
  ) => {
    const { timeMs, tenant, retentionClass } = filing;
    if (low < high) filed.push({ from: low, to: high, timeMs, provenMs, tenant, retentionClass });
  };
  let at = from;
  for (const span of spans) {
    if (span.to <= at || span.from >= to) continue;
    const provenMs = (span.reportData === null ? null : proven.get(span.reportData)) ?? null;
    at = Math.max(at, span.from);
    for (const single of alone) {
      if (single.act > span.act || single.index < at || single.index >= Math.min(span.to, to)) continue;
      file(at, single.index, span, provenMs);
      file(single.index, single.index + 1, single, provenMs);
      at = single.index + 1;
    }
    file(at, Math.min(span.to, to), span, provenMs);
    at = Math.min(span.to, to);
  }
  for (const single of alone) {
    if (single.index >= at) file(single.index, single.index + 1, single, null);
  }
  return filed;
}
