/** Logs in memory as a service shows them; also in processes that are killed, so without the test runner. */
import { encodeEntryBundle, equalBytes, type Hash, leafHash, nodeHash, TILE_WIDTH } from '@veritee/protocol';
import type { ListedBoot, LogSource } from '../../archive/ingest/source.ts';

/** What one boot shows. */
export interface ShownBoot {
  readonly boot: string;
  ended: ListedBoot['ended'];
  entries: Uint8Array<ArrayBuffer>[];
  evidence: { readonly reportData: Uint8Array; readonly size: number; readonly file: Uint8Array<ArrayBuffer> }[];
}

export class ShownSource implements LogSource {
  readonly name = 'memory';
  readonly shown: ShownBoot[];

  constructor(shown: ShownBoot[] = []) {
    this.shown = shown;
  }

  #of(boot: string): ShownBoot {
    return this.shown.find((one) => one.boot === boot)!;
  }

  async boots(): Promise<ListedBoot[]> {
    return this.shown.map(({ boot, ended, entries, evidence }) => ({
      boot,
      ended,
      size: entries.length,
      committed: evidence.at(-1)?.size ?? 0,
    }));
  }

  async evidence(boot: string, reportData: Uint8Array | null): Promise<Uint8Array<ArrayBuffer> | null> {
    const { evidence } = this.#of(boot);
    const found = reportData ? evidence.find((one) => equalBytes(one.reportData, reportData)) : evidence.at(-1);
    return found?.file ?? null;
  }

  async tile(boot: string, level: number | null, index: number, width: number): Promise<Uint8Array<ArrayBuffer>> {
    const { entries } = this.#of(boot);
    const from = index * TILE_WIDTH;
    if (level === null) return encodeEntryBundle(entries.slice(from, from + width));
    let nodes: Hash[] = entries.map((entry) => leafHash(entry));
    for (let depth = 0; depth < 8 * level; depth++) {
      nodes = Array.from({ length: Math.floor(nodes.length / 2) }, (_, i) =>
        nodeHash(nodes[2 * i]!, nodes[2 * i + 1]!),
      );
    }
    return new Uint8Array(Buffer.concat(nodes.slice(from, from + width)));
  }
}

/** To a file and back, for a process of its own. */
export const encodeShown = (shown: readonly ShownBoot[]): string =>
  JSON.stringify(shown, (_key, value: unknown) =>
    value instanceof Uint8Array ? { bytes: Buffer.from(value).toString('base64') } : value,
  );

export const parseShown = (json: string): ShownBoot[] =>
  JSON.parse(json, (_key, value: { readonly bytes?: string } | null) =>
    typeof value?.bytes === 'string' ? new Uint8Array(Buffer.from(value.bytes, 'base64')) : value,
  ) as ShownBoot[];
