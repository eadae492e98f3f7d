/**
 * Strict JSON (RFC 8259), reader and writer, for bytes that somebody signs for.
 *
 * `JSON.parse` takes the last of two equal members, rounds integers beyond 2^53 and turns 1e400 into Infinity, so two
 * honest readers of the same bytes may disagree. Here such bytes are refused, and a long integer stays exact.
 */
import { fromUtf8, utf8 } from './bytes.ts';
import { ServiceError } from './errors.ts';

/** An integer written without fraction or exponent is a bigint where it is not a safe integer. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
/** A Map, so that a member called `__proto__` is a member like any other. */
export type JsonObject = ReadonlyMap<string, Json>;

export const MAX_JSON_DEPTH = 64;
/** Arrays and objects in one document: `[1],` is four bytes on the wire and about two hundred in memory. */
export const MAX_JSON_CONTAINERS = 1 << 18;

/** Names the place of a value: `inputs[0].data[3]`. */
type Path = (string | number)[];

const MAX_SHOWN = 64;

/** A name as it may stand in a message or log line: at most 64 characters, nothing that moves a cursor or ends a quote. */
export function shown(name: string): string {
  const escaped = name
    .slice(0, MAX_SHOWN)
    .replace(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);
  return name.length > MAX_SHOWN ? `${escaped}…` : escaped;
}

function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!/^\w{1,64}$/.test(step)) text += `["${shown(step)}"]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/**
 * Read one JSON value that fills the input, white space aside.
 *
 * @param input UTF-8 bytes, or text
 * @param what names the input in errors
 * @throws ServiceError JSON_MALFORMED not JSON, not UTF-8, a byte order mark, a duplicate member, a lone surrogate, or
 *   nested too deep; the message gives line and byte, never content. JSON_NUMBER_NOT_FINITE NaN, Infinity or a number
 *   beyond a double; `field` is its path. REQUEST_TOO_LARGE more arrays and objects than MAX_JSON_CONTAINERS
 */
export function parseJson(input: Uint8Array | string, what = 'body'): Json {
  const reader = new Reader(typeof input === 'string' ? input : decode(input, what), what);
  if (reader.text.startsWith('\ufeff')) reader.fail('a byte order mark');
  const lone = typeof input === 'string' ? input.search(SURROGATE) : -1; // decoded bytes cannot hold one
  if (lone >= 0) reader.fail('a lone surrogate', lone);
  const value = reader.value();
  reader.next();
  if (reader.at !== reader.text.length) reader.fail('more after the value');
  return value;
}

function malformed(what: string, before: string, byte: number, reason: string): ServiceError {
  let line = 1;
  for (let at = before.indexOf('\n'); at >= 0; at = before.indexOf('\n', at + 1)) line++;
  return new ServiceError('JSON_MALFORMED', `${what}: not JSON at line ${line}, byte ${byte}: ${reason}`, {
    field: what,
  });
}

function decode(input: Uint8Array, what: string): string {
  try {
    return fromUtf8(input);
  } catch {
    const replaced = new TextDecoder('utf-8', { ignoreBOM: true }).decode(input);
    const again = utf8(replaced); // the same bytes up to the first that is not UTF-8
    let byte = 0;
    while (byte < input.length && input[byte] === again[byte]) byte++;
    throw malformed(what, new TextDecoder().decode(input.subarray(0, byte)), byte, 'not UTF-8');
  }
}

const SURROGATE = /\p{Surrogate}/u; // under /u a pair is one character, so this finds lone ones only
const NOT_FINITE = /-?(?:NaN|Infinity)\b/y; // what Python's json.dumps writes

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

const ESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries({ '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }),
);

/** Character codes in plain loops: a long array of numbers is most of what passes here. At the end a code is NaN. */
class Reader {
  readonly text: string;
  readonly what: string;
  at = 0;
  containers = 0;
  /** One step for each open array and object; read only when something is refused. */
  readonly path: Path = [];

  constructor(text: string, what: string) {
    this.text = text;
    this.what = what;
  }

  fail(reason: string, at = this.at): never {
    const before = this.text.slice(0, at);
    throw malformed(this.what, before, utf8(before).length, reason);
  }

  failNotFinite(): never {
    const field = pathText(this.path) || this.what;
    throw new ServiceError('JSON_NUMBER_NOT_FINITE', `${field}: not a finite number`, { field });
  }

  /** Skips white space. @returns the code of the next character */
  next(): number {
    const { text } = this;
    let code = text.charCodeAt(this.at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++this.at);
    return code;
  }

  value(): Json {
    switch (this.next()) {
      case 0x7b: // {
        return this.object();
      case 0x5b: // [
        return this.array();
      case QUOTE:
        return this.string();
      case 0x74: // t
        return this.word('true', true);
      case 0x66: // f
        return this.word('false', false);
      case 0x6e: // n
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  word<T extends boolean | null>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('want a value');
    this.at += word.length;
    return value;
  }

  open(): void {
    if (this.path.length === MAX_JSON_DEPTH) this.fail(`nested deeper than ${MAX_JSON_DEPTH}`);
    if (++this.containers > MAX_JSON_CONTAINERS) {
      throw new ServiceError(
        'REQUEST_TOO_LARGE',
        `${this.what}: more than ${MAX_JSON_CONTAINERS} JSON arrays and objects; send flat or binary data`,
        { field: this.what },
      );
    }
    this.at++;
  }

  /** After an item: true when another follows, false when the container is closed. */
  more(close: number): boolean {
    const code = this.next();
    if (code !== COMMA && code !== close) this.fail(`want "," or "${String.fromCharCode(close)}"`);
    this.at++;
    return code === COMMA;
  }

  array(): readonly Json[] {
    const items: Json[] = [];
    this.open();
    if (this.next() === 0x5d) {
      this.at++;
      return items;
    }
    const depth = this.path.length;
    do {
      this.path[depth] = items.length;
      items.push(this.value());
    } while (this.more(0x5d));
    this.path.pop();
    return items;
  }

  object(): JsonObject {
    const members = new Map<string, Json>();
    this.open();
    if (this.next() === 0x7d) {
      this.at++;
      return members;
    }
    const depth = this.path.length;
    do {
      if (this.next() !== QUOTE) this.fail('want a member name');
      const start = this.at;
      const name = this.string();
      if (members.has(name)) this.fail('duplicate member', start);
      this.path[depth] = name;
      if (this.next() !== COLON) this.fail('want ":"');
      this.at++;
      members.set(name, this.value());
    } while (this.more(0x7d));
    this.path.pop();
    return members;
  }

  string(): string {
    const { text } = this;
    const start = this.at;
    let done = '';
    let from = start + 1;
    for (let at = from; ; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) {
        this.at = at + 1;
        if (done === '') return text.slice(from, at);
        done += text.slice(from, at);
        if (SURROGATE.test(done)) this.fail('a lone surrogate', start);
        return done;
      }
      if (code === BACKSLASH) {
        this.at = at;
        done += text.slice(from, at) + this.escape();
        from = this.at;
        at = from - 1;
      } else if (!(code >= 0x20)) {
        this.fail(at < text.length ? 'a control character in a string' : 'a string without end', at);
      }
    }
  }

  escape(): string {
    const letter = this.text.charAt(this.at + 1);
    const plain = ESCAPES.get(letter);
    if (plain !== undefined) {
      this.at += 2;
      return plain;
    }
    const digits = this.text.slice(this.at + 2, this.at + 6);
    if (letter !== 'u' || !/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('an unknown escape');
    this.at += 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  number(): number | bigint {
    const { text } = this;
    const start = this.at;
    const whole = text.charCodeAt(start) === MINUS ? start + 1 : start;
    let at = this.digits(whole);
    if (text.charCodeAt(whole) === ZERO && at > whole + 1) this.fail('a number with a leading zero');
    let integer = true;
    if (text.charCodeAt(at) === POINT) {
      integer = false;
      at = this.digits(at + 1);
    }
    if ((text.charCodeAt(at) | 0x20) === 0x65) {
      integer = false;
      const sign = text.charCodeAt(at + 1);
      at = this.digits(sign === MINUS || sign === 0x2b ? at + 2 : at + 1);
    }
    this.at = at;
    const lexeme = text.slice(start, at);
    const value = Number(lexeme);
    if (!Number.isFinite(value)) this.failNotFinite();
    return integer && !Number.isSafeInteger(value) ? BigInt(lexeme) : value;
  }

  /** The end of the digits that start here; at least one. */
  digits(start: number): number {
    const { text } = this;
    let at = start;
    for (let code = text.charCodeAt(at); code >= ZERO && code <= 0x39; code = text.charCodeAt(at)) at++;
    if (at === start) this.failNumber(start);
    return at;
  }

  failNumber(at: number): never {
    NOT_FINITE.lastIndex = this.at;
    if (NOT_FINITE.test(this.text)) this.failNotFinite();
    return this.fail(at === this.at ? 'want a value' : 'want a digit', at);
  }
}

/** What can be written; members that are undefined are left out. */
export type JsonInput = Json | readonly JsonInput[] | { readonly [name: string]: JsonInput | undefined };

/**
 * Write compact JSON that `parseJson` reads back as the same value.
 *
 * @throws ServiceError JSON_NUMBER_NOT_FINITE NaN and infinities have no JSON form; `field` is the path
 * @throws TypeError text with a lone surrogate: a caller's mistake
 */
export const writeJson = (value: JsonInput): string => write(value, []);

function write(value: JsonInput, path: Path): string {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) {
      const field = pathText(path) || 'value';
      throw new ServiceError('JSON_NUMBER_NOT_FINITE', `${field}: not a finite number`, { field });
    }
    return Object.is(value, -0) ? '-0.0' : String(value); // many readers take -0 for the integer 0
  }
  if (typeof value === 'string') {
    if (SURROGATE.test(value)) throw new TypeError('text with a lone surrogate has no UTF-8 form');
    return JSON.stringify(value);
  }
  if (value === null || typeof value !== 'object') return String(value); // boolean, bigint
  const depth = path.length;
  const inside = (step: string | number, item: JsonInput): string => {
    path[depth] = step;
    return write(item, path);
  };
  let text: string;
  if (Array.isArray(value)) {
    text = `[${(value as readonly JsonInput[]).map((item, i) => inside(i, item)).join(',')}]`;
  } else {
    const members = value instanceof Map ? [...(value as JsonObject)] : Object.entries(value);
    const written = members.flatMap(([name, item]: [string, JsonInput | undefined]) =>
      item === undefined ? [] : [`${write(name, path)}:${inside(name, item)}`],
    );
    text = `{${written.join(',')}}`;
  }
  path.length = depth;
  return text;
}
