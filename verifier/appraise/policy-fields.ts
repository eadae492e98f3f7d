/** Reads policy data strictly: closed objects, exact words; every refusal names the path. */
import { type Bytes, CodedError, fromBase64, fromHex } from '@veritee/protocol';

/** An annotation for people, allowed in every object and read by nobody. */
const COMMENT = '$comment';
const MAX_TEXT = 256;

export function refusePolicy(path: string, want: string): never {
  throw new CodedError('POLICY_INVALID', `${path}: want ${want}`, { field: path });
}

/** A value at a place in the policy. */
export class Item {
  readonly value: unknown;
  readonly path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.path = path;
  }

  refuse(want: string): never {
    return refusePolicy(this.path, want);
  }

  is(word: string): boolean {
    return this.value === word;
  }

  word<const T extends string>(...words: readonly [T, ...T[]]): T {
    const found = words.find((word) => word === this.value);
    return found ?? this.refuse(words.map((word) => JSON.stringify(word)).join(' or '));
  }

  text(): string {
    const { value } = this;
    if (typeof value !== 'string' || value === '' || [...value].length > MAX_TEXT) {
      return this.refuse(`text of 1 to ${MAX_TEXT} characters`);
    }
    return value;
  }

  integer(least: number, most: number): number {
    const { value } = this;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      return this.refuse(`an integer from ${least} to ${most}`);
    }
    return value;
  }

  hex<N extends number>(n: N): Bytes<N> {
    const raw = typeof this.value === 'string' ? fromHex(this.value) : null;
    if (raw?.length !== n) return this.refuse(`${n} bytes in hexadecimal`);
    return raw as Bytes<N>;
  }

  base64(): Uint8Array<ArrayBuffer> {
    const raw = typeof this.value === 'string' ? fromBase64(this.value) : null;
    if (!raw || raw.length === 0) return this.refuse('base64 with padding');
    return raw;
  }

  /** RFC 3339 in UTC, whole seconds. */
  date(): Date {
    const { value } = this;
    const date = new Date(
      typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) ? value : Number.NaN,
    );
    // The second half refuses 30 February, which Date would move to March.
    if (Number.isNaN(date.getTime()) || date.toISOString().replace('.000Z', 'Z') !== value) {
      return this.refuse('a time such as 2026-01-31T00:00:00Z');
    }
    return date;
  }

  object(): Fields {
    return new Fields(this);
  }

  list(least: number): readonly Item[] {
    const { value } = this;
    if (!Array.isArray(value) || value.length < least) return this.refuse(`a list of at least ${least}`);
    return value.map((item, i) => new Item(item, `${this.path}[${i}]`));
  }
}

/** A closed object: `end()` refuses what nobody asked for. */
export class Fields {
  readonly path: string;
  readonly #members: ReadonlyMap<string, unknown>;
  readonly #seen = new Set([COMMENT]);

  constructor({ value, path }: Item) {
    this.path = path;
    this.#members = members(value) ?? refusePolicy(path, 'an object');
    const comment = this.#members.get(COMMENT);
    if (comment !== undefined && typeof comment !== 'string') refusePolicy(`${path}.${COMMENT}`, 'text');
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  item(name: string): Item {
    this.#seen.add(name);
    const path = `${this.path}.${name}`;
    if (!this.#members.has(name))
      refusePolicy(path, 'the field to be there: a policy is complete, opting out is a word');
    return new Item(this.#members.get(name), path);
  }

  /** For objects whose member names are data. */
  items(): readonly (readonly [string, Item])[] {
    const names = [...this.#members.keys()].filter((name) => name !== COMMENT);
    return names.map((name) => [name, this.item(name)]);
  }

  end(): void {
    for (const name of this.#members.keys()) {
      if (!this.#seen.has(name)) refusePolicy(`${this.path}.${name}`, 'no such field: this release does not know it');
    }
  }
}

/** The members of a plain object or of `parseJson`'s Map; null for anything else. */
function members(value: unknown): ReadonlyMap<string, unknown> | null {
  if (value instanceof Map) return value as ReadonlyMap<string, unknown>;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return new Map(Object.entries(value));
}
