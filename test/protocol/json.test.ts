import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../protocol/bytes.ts';
import { ServiceError } from '../../protocol/errors.ts';
import {
  type Json,
  type JsonInput,
  MAX_JSON_CONTAINERS,
  MAX_JSON_DEPTH,
  parseJson,
  shown,
  writeJson,
} from '../../protocol/json.ts';

function refusal(input: string | Uint8Array): ServiceError {
  try {
    parseJson(input);
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

/** As JSON.parse would give it. */
function plain(value: Json): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  const object = {};
  for (const [name, item] of value as ReadonlyMap<string, Json>) {
    Object.defineProperty(object, name, { value: plain(item), enumerable: true, configurable: true, writable: true });
  }
  return object;
}

describe('the reader', () => {
  test.each<[string, Json]>([
    ['null', null],
    [' \t\r\n true ', true],
    ['false', false],
    ['0', 0],
    ['-0', -0],
    ['-0.0', -0],
    ['-0e5', -0],
    ['12.5e-1', 1.25],
    ['1E+2', 100],
    ['5e-324', 5e-324],
    ['1e-400', 0],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['""', ''],
    ['"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00"', '"\\/\b\f\n\r\té😀'],
    ['"é😀\u2028\u007f"', 'é😀\u2028\u007f'],
    ['[]', []],
    ['[1,[],"a",{}]', [1, [], 'a', new Map()]],
    [
      '{"a":{"b":[null]},"":1}',
      new Map<string, Json>([
        ['a', new Map([['b', [null]]])],
        ['', 1],
      ]),
    ],
  ])('reads %s', (text, value) => {
    expect(parseJson(text)).toEqual(value);
    expect(parseJson(utf8(text))).toEqual(value);
  });

  test.each<[string, number | bigint]>([
    ['9007199254740991', 9007199254740991],
    ['-9007199254740991', -9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['9007199254740993', 9007199254740993n],
    ['-9007199254740993', -9007199254740993n],
    ['9223372036854775807', 9223372036854775807n],
    ['-9223372036854775808', -9223372036854775808n],
    ['18446744073709551615', 18446744073709551615n],
    ['18446744073709551615.0', 2 ** 64],
  ])('keeps %s exact', (text, value) => {
    expect(parseJson(text)).toBe(value);
  });

  test.each([
    ['', 0],
    ['  ', 2],
    ['tru', 0],
    ['nulL', 0],
    ['True', 0],
    ['undefined', 0],
    ['1 2', 2],
    ['1,', 1],
    ['{}}', 2],
    ['[1', 2],
    ['[1,]', 3],
    ['[,1]', 1],
    ['[1 2]', 3],
    ['[1}', 2],
    ['{"a"}', 4],
    ['{"a":}', 5],
    ['{"a":1,}', 7],
    ['{a:1}', 1],
    ["{'a':1}", 1],
    ['{1:1}', 1],
    ['{"a":1 "b":2}', 7],
    ['01', 0],
    ['-01', 0],
    ['-', 1],
    ['+1', 0],
    ['.5', 0],
    ['1.', 2],
    ['1.e3', 2],
    ['1e', 2],
    ['1e+', 3],
    ['0x10', 1],
    ['1_000', 1],
    ['Inf', 0],
    ['nan', 0],
    ['"a', 2],
    ['"a\nb"', 2],
    ['"a\u0000b"', 2],
    ['"a\tb"', 2],
    ['"\\x41"', 1],
    ['"\\u12G4"', 1],
    ['"\\u123', 1],
    ['"\\', 1],
    ['"\\ud800"', 0],
    ['"\\ude00\\ud83d"', 0],
    ['/* a */1', 0],
    ['1 // a', 2],
    ['\u00a01', 0],
    ['\ufeff1', 0],
    ['"\ud800"', 1],
    ['{"a":1,"a":1}', 7],
    ['{"a":1,"\\u0061":2}', 7],
    ['[{"x":1,"y":2,"x":3}]', 14],
  ])('refuses %j at byte %i', (text, byte) => {
    const error = refusal(text);
    expect([error.code, error.field]).toEqual(['JSON_MALFORMED', 'body']);
    expect(error.message).toContain(`at line ${text.slice(0, byte).split('\n').length}, byte ${byte}:`);
  });

  test('refuses every control character in a string', () => {
    for (let code = 0; code < 0x20; code++) {
      expect(refusal(`"${String.fromCharCode(code)}"`).code).toBe('JSON_MALFORMED');
    }
  });

  test('counts lines, and bytes rather than characters', () => {
    expect(refusal(utf8('{\n"é😀":\n  !')).message).toContain('at line 3, byte 14:');
  });

  test.each<[readonly number[], number]>([
    [[0xef, 0xbb, 0xbf, 0x31], 0],
    [[0x22, 0xff, 0x22], 1],
    [[0x22, 0xc3, 0x22], 1],
    [[0x22, 0xc0, 0x80, 0x22], 1],
    [[0x22, 0xf5, 0x80, 0x80, 0x80, 0x22], 1],
    [[0x0a, 0x22, 0xc3, 0xa9, 0x80, 0x22], 4],
  ])('refuses the bytes %j', (bytes, at) => {
    const error = refusal(Uint8Array.from(bytes));
    expect(error.code).toBe('JSON_MALFORMED');
    expect(error.message).toContain(`byte ${at}:`);
  });

  test('refuses a surrogate written as UTF-8', () => {
    expect(refusal(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)).code).toBe('JSON_MALFORMED');
  });

  test.each([
    ['NaN', 'body'],
    ['-Infinity', 'body'],
    ['{"a":Infinity}', 'a'],
    ['{"inputs":[{"data":[1,2,3,NaN]}]}', 'inputs[0].data[3]'],
    ['{"inputs":[{"data":[1]},{"data":[[1],[2,1e400]]}]}', 'inputs[1].data[1][1]'],
    ['[-1e309]', '[0]'],
    [`[0,${'9'.repeat(400)}]`, '[1]'],
    ['{"a b":{"\\n":NaN}}', '["a b"]["\\u{a}"]'],
  ])('names the place of the number in %s', (text, field) => {
    const error = refusal(text);
    expect([error.code, error.field]).toEqual(['JSON_NUMBER_NOT_FINITE', field]);
  });

  test('never quotes content', () => {
    const inputs = [
      '"hunter2',
      '{"x":"hunter2" !',
      '["hunter2",]',
      'hunter2',
      '{"hunter2":1,"hunter2":2}',
      '"hunter2"1',
    ];
    for (const input of inputs) expect(refusal(input).message).not.toContain('hunter');
  });

  test('a member called __proto__ is a member', () => {
    const value = parseJson('{"__proto__":{"polluted":1}}') as ReadonlyMap<string, Json>;
    expect([...value.keys()]).toEqual(['__proto__']);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test('limits nesting', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(plain(parseJson(nested(MAX_JSON_DEPTH)))).toEqual(JSON.parse(nested(MAX_JSON_DEPTH)));
    expect(refusal(nested(MAX_JSON_DEPTH + 1)).code).toBe('JSON_MALFORMED');
    expect(refusal('{"a":'.repeat(100_000)).code).toBe('JSON_MALFORMED');
  });

  test('limits the number of arrays and objects, not of numbers', () => {
    const list = (item: string, count: number) => `[${`${item},`.repeat(count - 1)}${item}]`;
    expect(parseJson(list('[1]', MAX_JSON_CONTAINERS - 1))).toHaveLength(MAX_JSON_CONTAINERS - 1);
    expect(refusal(list('{}', MAX_JSON_CONTAINERS)).code).toBe('REQUEST_TOO_LARGE');
    expect(parseJson(list('1', 2 * MAX_JSON_CONTAINERS))).toHaveLength(2 * MAX_JSON_CONTAINERS);
  });

  test('reads numbers and strings of any length', () => {
    expect(parseJson(`0.${'3'.repeat(2_000_000)}`)).toBe(1 / 3);
    expect(parseJson(`"${'\\n'.repeat(1_000_000)}"`)).toHaveLength(1_000_000);
  });
});

/** Whether JSON.parse hides something in this text that the strict reader refuses. */
function hidesSomething(text: string, parsed: unknown): boolean {
  let members = 0;
  let bad = false;
  const walk = (value: unknown, depth: number): void => {
    if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) bad = true;
    if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) bad = true;
    if (typeof value !== 'object' || value === null) return;
    if (depth > MAX_JSON_DEPTH) bad = true;
    for (const [name, item] of Object.entries(value)) {
      if (!Array.isArray(value)) {
        members++;
        walk(name, depth);
      }
      walk(item, depth + 1);
    }
  };
  walk(parsed, 1);
  const colons = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1;
  return bad || colons !== members;
}

describe('beside JSON.parse', () => {
  const agree = (text: string) => {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      const { code } = refusal(text);
      expect(['JSON_MALFORMED', 'JSON_NUMBER_NOT_FINITE']).toContain(code);
      return;
    }
    if (hidesSomething(text, parsed)) expect(() => refusal(text)).not.toThrow();
    else expect(isDeepStrictEqual(plain(parseJson(text)), parsed)).toBe(true);
  };

  const json = fc.oneof(
    fc.json({ stringUnit: 'binary' }),
    fc.json({ maxDepth: 6 }),
    fc.jsonValue().map((value) => JSON.stringify(value, null, 2)),
  );

  test('the same value for the same text', () => {
    fc.assert(fc.property(json, agree), { numRuns: 1000 });
  });

  test('the same verdict for damaged text', () => {
    const piece = fc.constantFrom(
      ...'{}[]:,"\\0123456789.-+eEaut \n\t\u0001\ufeffé',
      '\\u00',
      '"a":',
      'null',
      '\\ud800',
      'NaN',
    );
    const damaged = fc
      .tuple(
        json,
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat({ max: 2 }), piece), { maxLength: 3 }),
      )
      .map(([text, edits]) =>
        edits.reduce((now, [where, cut, insert]) => {
          const at = Math.floor(where * now.length);
          return now.slice(0, at) + insert + now.slice(at + cut);
        }, text),
      )
      // A cut may part a surrogate pair, and half of one has no bytes: this is what would arrive.
      .map((text) => Buffer.from(text).toString());
    fc.assert(fc.property(damaged, agree), { numRuns: 5000 });
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
        agree,
      ),
      { numRuns: 5000 },
    );
  });

  test('random bytes give a value or a coded refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        let value: Json;
        try {
          value = parseJson(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ServiceError);
          return;
        }
        expect(plain(value)).toEqual(JSON.parse(new TextDecoder().decode(bytes)));
      }),
      { numRuns: 2000 },
    );
  });

  test('truncation at every length is refused', () => {
    const bytes = utf8('{"inputs":[{"name":"é","data":[1.5e3,-0,true,null,"\\u0041"]}]}');
    parseJson(bytes);
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(bytes.subarray(0, length)).code).toBe('JSON_MALFORMED');
    }
  });
});

describe('the writer', () => {
  const finite = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.maxSafeInteger());
  const { value } = fc.letrec<{ value: JsonInput }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      finite,
      fc.string({ unit: 'binary' }).filter((text) => !/\p{Surrogate}/u.test(text)),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value')),
      fc.dictionary(fc.string(), tie('value')) as fc.Arbitrary<JsonInput>,
    ),
  }));

  test('JSON.parse and the reader read back what it wrote', () => {
    fc.assert(
      fc.property(value, (input) => {
        const text = writeJson(input);
        expect(isDeepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(input, keepZero), reviveZero))).toBe(true);
        expect(isDeepStrictEqual(plain(parseJson(text)), JSON.parse(text))).toBe(true);
        expect(writeJson(parseJson(text))).toBe(text);
      }),
    );
  });
  // JSON.stringify drops the sign of −0
  const keepZero = (_: string, item: unknown) => (Object.is(item, -0) ? '\u0000-0' : item);
  const reviveZero = (_: string, item: unknown) => (item === '\u0000-0' ? -0 : item);

  test('keeps −0, long integers and Maps, leaves out undefined members', () => {
    expect(writeJson([-0, 2n ** 64n - 1n, -(2n ** 63n), new Map([['a', 1]]), { b: undefined, c: null }])).toBe(
      '[-0.0,18446744073709551615,-9223372036854775808,{"a":1},{"c":null}]',
    );
  });

  test('refuses what JSON has no form for', () => {
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const write = () => writeJson({ a: [{ c: 1 }, { b: number }] });
      expect(write).toThrowError(expect.objectContaining({ code: 'JSON_NUMBER_NOT_FINITE', field: 'a[1].b' }));
    }
    expect(() => writeJson('\ud800')).toThrow(TypeError);
    expect(() => writeJson({ '\ud800': 1 })).toThrow(TypeError);
  });
});

test('names are shown short and without control characters', () => {
  expect(shown('a"b\\c\n\u202e\u2028\ud800é')).toBe('a\\u{22}b\\u{5c}c\\u{a}\\u{202e}\\u{2028}\\u{d800}é');
  expect(shown('x'.repeat(64))).toBe('x'.repeat(64));
  expect(shown('x'.repeat(65))).toBe(`${'x'.repeat(64)}…`);
});
