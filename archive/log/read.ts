/** The archive's own acts, page by page. */
import type { ArchiveStore } from '../store/port.ts';
import { type ActKind, parseAct, type RecordedAct } from './acts.ts';

const PAGE = 512;

/** Acts of some kinds, in order. Shape only: their signatures are for the audit, or for whoever is given their proofs. */
export async function* actsOfKinds<K extends ActKind>(
  store: ArchiveStore,
  kinds: readonly K[],
): AsyncGenerator<Extract<RecordedAct, { kind: K }>> {
  const wanted: ReadonlySet<string> = new Set(kinds);
  const size = (await store.actHead())?.size ?? 0;
  for (let from = 0; from < size; from += PAGE) {
    for (const row of await store.acts(from, Math.min(size, from + PAGE))) {
      if (wanted.has(row.kind)) yield parseAct(row.cose).act as Extract<RecordedAct, { kind: K }>;
    }
  }
}
