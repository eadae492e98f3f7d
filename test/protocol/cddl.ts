/**
 * Reads the CDDL (RFC 8610) of docs/formats.md and says whether a value fits a rule, so that the page is held against
 * the code. Only the part of CDDL that the page uses; anything else is an error.
 */
import { type Cbor, type CborKey, decodeCbor } from '../../protocol/cbor.ts';

type Check = (value: unknown) => boolean;
interface Member {
  readonly key: string | number | Check; // a check: keys that are data
  readonly optional: boolean;
  readonly value: Check;
}

/** A tagged item, which our own reader refuses; decoded for `#6.18(…)`. */
export interface Tagged {
  readonly tag: number;
  readonly contents: Cbor;
}

const TOKEN =
  /;[^\n]*|\s+|"[^"]*"|-?\d+\.\.-?\d+|\d+\*\d+|-?\d+|#6\.\d+|\.\w+|=>|\/\/|[[\]{}()/,:?+=]|[A-Za-z][\w-]*/gy;

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  let at = 0;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (index !== at) break;
    at = index + token.length;
    if (!/^[;\s]/.test(token)) tokens.push(token);
  }
  if (at !== text.length) throw new Error(`CDDL this reader does not know: ${text.slice(at, at + 40)}`);
  return tokens;
}

export class Cddl {
  readonly #rules = new Map<string, Check>();
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
    while (this.#at < this.#tokens.length) {
      const name = this.#next();
      this.#expect('=');
      if (this.#rules.has(name)) throw new Error(`${name} is defined twice`);
      this.#rules.set(name, this.#type());
    }
  }

  get names(): string[] {
    return [...this.#rules.keys()];
  }

  fits(name: string, value: unknown): boolean {
    const rule = this.#rules.get(name);
    if (!rule) throw new Error(`no rule ${name}`);
    return rule(value);
  }

  #peek(ahead = 0): string | undefined {
    return this.#tokens[this.#at + ahead];
  }
  #next(): string {
    const token = this.#peek();
    if (token === undefined) throw new Error('CDDL ends early');
    this.#at += 1;
    return token;
  }
  #take(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at += 1;
    return true;
  }
  #expect(token: string): void {
    const found = this.#next();
    if (found !== token) throw new Error(`CDDL: want ${token}, got ${found}`);
  }

  #type(): Check {
    const choices = [this.#single()];
    while (this.#take('/')) choices.push(this.#single());
    return (value) => choices.some((fits) => fits(value));
  }

  #single(): Check {
    const token = this.#next();
    const range = /^(-?\d+)\.\.(-?\d+)$/.exec(token);
    if (range) return (value) => typeof value === 'number' && value >= Number(range[1]) && value <= Number(range[2]);
    if (/^-?\d+$/.test(token)) return (value) => value === Number(token);
    if (token.startsWith('"')) return (value) => value === token.slice(1, -1);
    if (token === 'null') return (value) => value === null;
    if (token === '{') return this.#map();
    if (token === '[') return this.#array();
    if (token.startsWith('#6.')) {
      this.#expect('(');
      const contents = this.#type();
      this.#expect(')');
      return (value) => (value as Tagged)?.tag === Number(token.slice(3)) && contents((value as Tagged).contents);
    }
    if (token === 'bytes' || token === 'text') return this.#string(token);
    return (value) => this.fits(token, value);
  }

  #string(kind: 'bytes' | 'text'): Check {
    const size = this.#take('.size') ? this.#size() : () => true;
    const inner = this.#take('.cbor') ? this.#single() : null;
    return (value) => {
      if (kind === 'text') return typeof value === 'string' && size(Buffer.byteLength(value));
      if (!(value instanceof Uint8Array) || !size(value.length)) return false;
      return inner === null || inner(decodeCbor(value, 'inner'));
    };
  }

  #size(): (length: number) => boolean {
    const bracket = this.#take('(');
    const [least, most] = this.#next().split('..').map(Number);
    if (bracket) this.#expect(')');
    return (length) => length >= least! && length <= (most ?? least!);
  }

  #array(): Check {
    const occurrence = /^(\d+)\*(\d+)$/.exec(this.#peek() ?? '');
    if (occurrence) {
      this.#next();
      const item = this.#type();
      this.#expect(']');
      const [, least, most] = occurrence.map(Number);
      return (value) => Array.isArray(value) && value.length >= least! && value.length <= most! && value.every(item);
    }
    const items: Check[] = [];
    while (!this.#take(']')) {
      if (this.#peek(1) === ':') this.#at += 2; // a name for the reader of the page
      items.push(this.#type());
      this.#take(',');
    }
    return (value) => Array.isArray(value) && value.length === items.length && items.every((fits, i) => fits(value[i]));
  }

  /** `{ a, b, ( c // d ) }`: every way to choose is a closed map of its own. */
  #map(): Check {
    let ways: Member[][] = [[]];
    while (!this.#take('}')) {
      if (this.#take('(')) {
        const options = [[this.#member()]];
        while (!this.#take(')')) {
          if (this.#take('//')) options.push([]);
          options.at(-1)!.push(this.#member());
        }
        ways = ways.flatMap((way) => options.map((option) => [...way, ...option]));
      } else {
        const member = this.#member();
        ways = ways.map((way) => [...way, member]);
      }
      this.#take(',');
    }
    return (value) => value instanceof Map && ways.some((members) => closed(members, value));
  }

  #member(): Member {
    const optional = this.#take('?');
    const many = this.#take('+');
    const token = this.#peek()!;
    let key: Member['key'];
    if (many) key = this.#single();
    else {
      this.#next();
      key = token.startsWith('"') ? token.slice(1, -1) : Number(token);
      if (Number.isNaN(key)) throw new Error(`CDDL: ${token} is no key`);
    }
    this.#expect('=>');
    return { key, optional, value: this.#type() };
  }
}

function closed(members: readonly Member[], map: ReadonlyMap<CborKey, unknown>): boolean {
  const left = new Map(map);
  for (const { key, optional, value } of members) {
    if (typeof key === 'function') {
      if (left.size === 0 || ![...left].every(([name, item]) => key(name) && value(item))) return false;
      left.clear();
    } else if (left.has(key)) {
      if (!value(left.get(key))) return false;
      left.delete(key);
    } else if (!optional) return false;
  }
  return left.size === 0;
}
