/**
 * The record of one assessment. A check is a row: adding one is adding a row to its phase's table and recording its
 * outcome where it is made. Every row is in the result, also those that no phase reached.
 */
import { type Code, CodedError, EvidenceError } from '@veritee/protocol';
import type { Claims } from './appraise/claims.ts';
import type { Kind } from './kind.ts';
import type { Platform } from './trust/anchor.ts';

export interface CheckRow {
  readonly id: string;
  /** What the check is about, in the spec's own field name. */
  readonly claim: string;
  readonly source: string;
  /** The kinds of file that carry the claim; all when absent. */
  readonly kinds?: readonly Kind[];
}

export interface Check {
  readonly id: string;
  readonly outcome: 'pass' | 'fail' | 'skipped';
  readonly detail: string;
  /** What was asked for, where a policy or the caller asks for a value, and in every failure; null elsewhere. */
  readonly expected: string | null;
  /** What was found; null where the check was not made. */
  readonly actual: string | null;
}

export interface Finding {
  readonly code: Code;
  readonly claim: string;
  readonly expected: string;
  readonly actual: string;
  readonly source: string;
}

export type Strength = 'hardware-committed' | 'session-signed';

/** What the checks made so far have shown to be true; kept when a later check fails. */
export interface Established {
  readonly platform: Platform | null;
  readonly strength: Strength | null;
  readonly claims: Claims;
  /** The time at which the chain was valid, where the evidence itself says it; otherwise it is the caller's. */
  readonly evidenceTime: Date | null;
  /** By the word of an outside clock. */
  readonly existedBy: Date | null;
}

/** What a failing check knows; thrown inside `step` to fill the finding's columns. */
export class CheckFailure extends EvidenceError {
  readonly expected: string;
  readonly actual: string;
  constructor(code: Code, expected: string, actual: string, options: ErrorOptions & { field?: string } = {}) {
    super(code, `expected ${expected}; got ${actual}`, options);
    this.expected = expected;
    this.actual = actual;
  }
}

const tables = new WeakMap<readonly CheckRow[], ReadonlyMap<string, CheckRow>>();

/** A table is made once and read in every assessment. */
function byId(rows: readonly CheckRow[]): ReadonlyMap<string, CheckRow> {
  const known = tables.get(rows);
  if (known) return known;
  const table = new Map(rows.map((row) => [row.id, row]));
  if (table.size !== rows.length) throw new TypeError('two check rows with one id');
  tables.set(rows, table);
  return table;
}

export class CheckLog {
  readonly #rows: ReadonlyMap<string, CheckRow>;
  readonly #checks = new Map<string, Check>();
  readonly #findings: Finding[] = [];
  readonly #notChecked: string[] = [];
  #established: Established = {
    platform: null,
    strength: null,
    claims: {},
    evidenceTime: null,
    existedBy: null,
  };

  constructor(rows: readonly CheckRow[]) {
    this.#rows = byId(rows);
  }

  #row(id: string): CheckRow {
    const row = this.#rows.get(id);
    if (!row) throw new TypeError(`no check row '${id}'`);
    return row;
  }

  pass(id: string, detail: string, expected: string | null = null): void {
    this.#row(id);
    // A row that failed once stays failed: two entries of one file may share a row.
    if (this.#checks.get(id)?.outcome === 'fail') return;
    this.#checks.set(id, { id, outcome: 'pass', detail, expected, actual: detail });
  }

  fail(id: string, code: Code, expected: string, actual: string): void {
    const { claim, source } = this.#row(id);
    this.#checks.set(id, { id, outcome: 'fail', detail: `expected ${expected}; got ${actual}`, expected, actual });
    this.#findings.push({ code, claim, expected, actual, source });
  }

  /** A check that does not apply or was opted out of. `notChecked` says in plain words what is therefore unknown. */
  skip(id: string, detail: string, notChecked?: string): void {
    this.#row(id);
    if (!this.#checks.has(id)) this.#checks.set(id, skipped(id, detail));
    if (notChecked !== undefined) this.note(notChecked);
  }

  /** Says in plain words something that the verdict does not cover. */
  note(notChecked: string): void {
    if (!this.#notChecked.includes(notChecked)) this.#notChecked.push(notChecked);
  }

  /** Records what the checks passed so far have shown. Never call it with anything still unverified. */
  establish(facts: Partial<Established>): void {
    this.#established = {
      ...this.#established,
      ...facts,
      claims: { ...this.#established.claims, ...facts.claims },
    };
  }

  /** Records a refusal under a row. Anything but a coded refusal of evidence is a defect and is thrown on. */
  refuse(id: string, error: unknown): void {
    if (!(error instanceof CodedError)) throw error;
    if (error instanceof CheckFailure) this.fail(id, error.code, error.expected, error.actual);
    else this.fail(id, error.code, 'as the source says', error.message);
  }

  /**
   * Run one check of the parse or verify phase: a refusal is recorded, then thrown on, so that nothing behind it runs. A
   * check that gives a promise passes once that is kept; the others are over at once.
   */
  step<T>(id: string, run: () => Promise<T>, detail: (value: T) => string): Promise<T>;
  step<T>(id: string, run: () => T, detail: (value: T) => string): T;
  step<T>(id: string, run: () => T | Promise<T>, detail: (value: T) => string): T | Promise<T> {
    const passed = (value: T): T => {
      this.pass(id, detail(value));
      return value;
    };
    const refused = (error: unknown): never => {
      this.refuse(id, error);
      throw error;
    };
    let value: T | Promise<T>;
    try {
      value = run();
    } catch (error) {
      return refused(error);
    }
    return value instanceof Promise ? value.then(passed, refused) : passed(value);
  }

  get findings(): readonly Finding[] {
    return this.#findings;
  }

  get notChecked(): readonly string[] {
    return this.#notChecked;
  }

  get established(): Established {
    return this.#established;
  }

  /** All rows in their order; `unreached` says why nothing was recorded for a row. */
  checks(unreached: (row: CheckRow) => string = () => 'not reached'): Check[] {
    return [...this.#rows.values()].map((row) => this.#checks.get(row.id) ?? skipped(row.id, unreached(row)));
  }
}

const skipped = (id: string, detail: string): Check => ({
  id,
  outcome: 'skipped',
  detail,
  expected: null,
  actual: null,
});
