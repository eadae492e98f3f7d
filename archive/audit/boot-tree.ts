/** A boot's tree, put together from the stretches that the first pass hashed, and held against every root there is for it. */
import { TILE_WIDTH } from '@veritee/protocol';
import { finding } from '../findings.ts';
import type { ArchiveStore } from '../store/port.ts';
import type { Defects } from './defects.ts';
import { Edge, type HashAnswer, type HashTask, latin1, nodeDigest } from './hash-pass.ts';

/** A root that somebody signed over the first `size` entries of a boot. */
export interface KnownRoot {
  readonly size: number;
  readonly root: Uint8Array;
  /** The act that recorded these entries; or evidence that came apart from them. */
  readonly by: { readonly act: number } | { readonly reportData: string };
}

export class BootTree {
  readonly #boot: string;
  readonly #roots: readonly KnownRoot[];
  readonly #parts: { readonly task: HashTask; readonly answer: HashAnswer }[] = [];

  constructor(boot: string, roots: readonly KnownRoot[]) {
    this.#boot = boot;
    this.#roots = [...roots].sort((a, b) => a.size - b.size);
  }

  /** Sizes in a stretch whose roots are to be compared. */
  headsIn(from: number, to: number): number[] {
    return [...new Set(this.#roots.map(({ size }) => size))].filter((size) => size > from && size <= to);
  }

  add(task: HashTask, answer: HashAnswer): void {
    this.#parts.push({ task, answer });
  }

  /** Once all stretches are there. */
  async check(store: Pick<ArchiveStore, 'nodes'>, reported: number, defects: Defects): Promise<void> {
    this.#parts.sort((a, b) => a.task.from - b.task.from);
    const computed = this.#compute();
    const good = this.#compare(computed, defects);
    this.#compareBlocks(good, defects);
    await this.#compareNodes(store, Math.min(reported, good), defects);
  }

  /** Root by size, as far as there are entries without a gap. */
  #compute(): ReadonlyMap<number, string> {
    const computed = new Map<number, string>();
    const edge = new Edge();
    for (const { task, answer } of this.#parts) {
      let block = 0;
      for (const [i, size] of task.heads.entries()) {
        const rest = answer.edges[i];
        if (!rest) return computed;
        for (; task.from + (block + 1) * TILE_WIDTH <= size; block++) edge.append(answer.blocks[block] as string);
        computed.set(
          size,
          [...edge.subtrees, ...rest].reduceRight((right, left) => nodeDigest(left, right)),
        );
      }
      if (answer.missing !== null) return computed;
      for (; block < answer.blocks.length; block++) edge.append(answer.blocks[block] as string);
    }
    return computed;
  }

  /** @returns the largest size whose root was right, with every smaller one that an act recorded */
  #compare(computed: ReadonlyMap<number, string>, defects: Defects): number {
    const boot = this.#boot;
    let good = 0;
    for (const { size, root, by } of this.#roots) {
      const own = computed.get(size);
      if (own === undefined) return good;
      if (own === latin1(root)) {
        good = Math.max(good, size);
        continue;
      }
      if ('reportData' in by) {
        const text = `a report over ${size} entries that are not those of this log`;
        defects.add(finding('LOG_FORKED', text, { boot, index: size, object: by.reportData }));
        continue;
      }
      const block = this.#differing().find((i) => (i + 1) * TILE_WIDTH > good && i * TILE_WIDTH < size);
      const from = Math.max(good, (block ?? 0) * TILE_WIDTH);
      const to = block === undefined ? size : Math.min(size, (block + 1) * TILE_WIDTH);
      const text = `entries ${from} to ${to - 1}: not those under the root that act ${by.act} recorded over ${size}`;
      defects.add(finding('ENTRY_ALTERED', text, { boot, index: from, object: `act ${by.act}` }));
      return good;
    }
    return good;
  }

  #differing(): number[] {
    return this.#parts.flatMap(({ answer }) => answer.differing);
  }

  #compareBlocks(good: number, defects: Defects): void {
    for (const block of this.#differing()) {
      if ((block + 1) * TILE_WIDTH > good) continue;
      const text = `the stored root of entries ${block * TILE_WIDTH} to ${(block + 1) * TILE_WIDTH - 1} is not theirs`;
      defects.add(
        finding('ROW_ALTERED', text, { boot: this.#boot, index: block * TILE_WIDTH, object: 'nodes level 1' }),
      );
    }
  }

  /** The levels above: each node is over 256 of the level below. */
  async #compareNodes(store: Pick<ArchiveStore, 'nodes'>, whole: number, defects: Defects): Promise<void> {
    let below = this.#parts.flatMap(({ answer }) => answer.blocks).slice(0, Math.floor(whole / TILE_WIDTH));
    for (let level = 2; below.length >= TILE_WIDTH; level++) {
      const nodes: string[] = [];
      for (let i = 0; (i + 1) * TILE_WIDTH <= below.length; i++) {
        const edge = new Edge();
        for (const node of below.slice(i * TILE_WIDTH, (i + 1) * TILE_WIDTH)) edge.append(node);
        const node = edge.take();
        nodes.push(node);
        const stored = await store.nodes(this.#boot, level, i, i + 1);
        if (stored && latin1(stored) === node) continue;
        const text = `the stored node ${i} of level ${level} is not that of its entries`;
        const index = i * TILE_WIDTH ** level;
        defects.add(finding('ROW_ALTERED', text, { boot: this.#boot, index, object: `nodes level ${level}` }));
      }
      below = nodes;
    }
  }
}
