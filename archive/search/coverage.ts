/** Which evidence vouches for which entries: the first over an entry is what a receipt of it names. */
import type { ArchiveStore, EvidenceRow, Range } from '../store/port.ts';

export interface Covered extends Range {
  readonly evidence: EvidenceRow;
  /** False for what came after the last report of a boot: signed by its session, under no report. */
  readonly committed: boolean;
}

const EVIDENCE_AT_ONCE = 256;

/** Of one boot, in order of place. */
export async function* coverageOf(store: ArchiveStore, boot: string): AsyncIterable<Covered> {
  let last: EvidenceRow | null = null;
  let from = 0;
  for (let skip = 0; ; skip += EVIDENCE_AT_ONCE) {
    const page = await store.evidenceOf(boot, skip, EVIDENCE_AT_ONCE);
    for (const evidence of page) {
      last = evidence;
      if (evidence.size <= from) continue;
      yield { boot, from, to: evidence.size, evidence, committed: true };
      from = evidence.size;
    }
    if (page.length < EVIDENCE_AT_ONCE) break;
  }
  const { end } = await store.extent(boot);
  if (last && end > from) yield { boot, from, to: end, evidence: last, committed: false };
}
