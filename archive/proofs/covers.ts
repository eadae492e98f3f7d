import type { ArchiveStore, EvidenceRow, Place } from '../store/port.ts';

/** The evidence that first covered each of many entries: neighbours lie under one. */
export class Covers {
  readonly #store: ArchiveStore;
  #last: { readonly from: number; readonly evidence: EvidenceRow } | null = null;

  constructor(store: ArchiveStore) {
    this.#store = store;
  }

  async of({ boot, index }: Place): Promise<EvidenceRow | null> {
    const last = this.#last;
    if (last?.evidence.boot === boot && index >= last.from && index < last.evidence.size) return last.evidence;
    const evidence = await this.#store.firstEvidenceOver(boot, index);
    this.#last = evidence && { from: index, evidence };
    return evidence;
  }
}
