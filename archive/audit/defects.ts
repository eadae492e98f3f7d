import { type Finding, type FindingCode, findingKey } from '../findings.ts';

/** Of one code; a lost disk or a shifted log would otherwise name every entry there is. */
const MAX_LISTED = 100;

/** What a part of the audit found; plain data, so that worker threads can hand it over. */
export interface Found {
  readonly findings: readonly Finding[];
  /** Further ones of a code, found and not listed. */
  readonly unlisted: ReadonlyMap<FindingCode, number>;
}

/** Findings as they come up: each once, in order, and of every code a bounded number. */
export class Defects implements Found {
  readonly #findings = new Map<string, Finding>();
  readonly #listed = new Map<FindingCode, number>();
  readonly #unlisted = new Map<FindingCode, number>();

  add(one: Finding): void {
    const key = findingKey(one);
    if (this.#findings.has(key)) return;
    const listed = this.#listed.get(one.code) ?? 0;
    if (listed >= MAX_LISTED) {
      this.#more(one.code, 1);
      return;
    }
    this.#listed.set(one.code, listed + 1);
    this.#findings.set(key, one);
  }

  merge({ findings, unlisted }: Found): void {
    for (const one of findings) this.add(one);
    for (const [code, count] of unlisted) this.#more(code, count);
  }

  #more(code: FindingCode, count: number): void {
    this.#unlisted.set(code, (this.#unlisted.get(code) ?? 0) + count);
  }

  has(code: FindingCode): boolean {
    return this.#listed.has(code);
  }

  get findings(): readonly Finding[] {
    return [...this.#findings.values()];
  }

  get unlisted(): ReadonlyMap<FindingCode, number> {
    return this.#unlisted;
  }

  /** As plain data. */
  found(): Found {
    return { findings: this.findings, unlisted: this.#unlisted };
  }
}
