import { readFileSync } from 'node:fs';
import { decode as foreignDecode, encode as foreignEncode, Tag } from 'cbor2';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex } from '../../protocol/bytes.ts';
import {
  type Cbor,
  type CborKey,
  decodeCbor,
  encodeCbor,
  MAX_DEPTH,
  MAX_ITEMS,
  MapReader,
} from '../../protocol/cbor.ts';
import { characterArb, mutate, mutationArb, plain, refusal, sharedVectors, unhex, verdict } from './support.ts';

/** The strictest reading cbor2 offers; what it still lets through is looked for in the value. */
function foreignStrict(data: Uint8Array): unknown {
  const value = foreignDecode(data, {
    cde: true,
    rejectFloats: true,
    rejectSimple: true,
    rejectUndefined: true,
    ignoreGlobalTags: true,
    maxDepth: MAX_DEPTH + 1,
    preferMap: true,
  });
  return inProfile(value);
}

function inProfile(value: unknown): unknown {
  if (value instanceof Tag) throw new Error('a tag');
  if (Array.isArray(value)) value.forEach(inProfile);
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (!['number', 'bigint', 'string'].includes(typeof key))
        throw new Error('a key that is neither integer nor text');
      inProfile(item);
    }
  }
  return value;
}

const foreignAccepts = (data: Uint8Array): boolean => {
  try {
    foreignStrict(data);
    return true;
  } catch {
    return false;
  }
};

const LIMIT = 1n << 64n;
const integerArb = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -LIMIT, max: LIMIT - 1n }),
  // Where the width of an argument changes.
  fc.constantFrom(
    23,
    24,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    -24,
    -25,
    -256,
    -257,
    -(2 ** 32) - 1,
  ),
  fc.constantFrom(LIMIT - 1n, -LIMIT, 1n << 53n, -(1n << 53n), (1n << 53n) - 1n, 0n),
);
const textArb = fc.string({ unit: characterArb, maxLength: 40 });
const bytesArb = fc.uint8Array({ maxLength: 300 }).map(plain);

const { value: valueArb } = fc.letrec<{ value: Cbor }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    integerArb,
    textArb,
    bytesArb,
    fc.constantFrom<Cbor>(true, false, null),
    fc.array(tie('value'), { maxLength: 30 }),
    fc
      .uniqueArray(fc.tuple(fc.oneof(integerArb, textArb), tie('value')), {
        maxLength: 30,
        selector: ([key]) => (typeof key === 'string' ? key : BigInt(key)),
      })
      .map((pairs) => new Map<CborKey, Cbor>(pairs)),
  ),
}));

/** Integers as the reader gives them: numbers where they are exact. */
function narrowed(value: Cbor): Cbor {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return BigInt(value); // as cbor2 reads −2^53
  if (typeof value === 'bigint') {
    return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;
  }
  if (Array.isArray(value)) return value.map(narrowed);
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [narrowed(k) as CborKey, narrowed(v)]));
  return value === 0 ? 0 : value; // −0 is written as 0
}

describe('against cbor2 {cde: true}', () => {
  test('writes the same bytes', () => {
    fc.assert(
      fc.property(valueArb, (value) => {
        expect(hex(encodeCbor(value))).toBe(hex(foreignEncode(narrowed(value), { cde: true })));
      }),
      { numRuns: 500 },
    );
  });

  test('each reads what the other wrote', () => {
    fc.assert(
      fc.property(valueArb, (value) => {
        const expected = narrowed(value);
        expect(decodeCbor(foreignEncode(expected, { cde: true }), 'value')).toEqual(expected);
        const foreign = foreignStrict(encodeCbor(value));
        expect(narrowed(foreign as Cbor)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('gives the same yes or no on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 24 }), (data) => {
        expect(verdict(() => decodeCbor(data, 'value')) === 'ok').toBe(foreignAccepts(data));
      }),
      { numRuns: 10_000 },
    );
  });

  test('gives the same yes or no on every initial byte, alone and before others', () => {
    const tails = ['', '00', '17', '18', '20', 'ff', '0000', '0001', '01ff', 'ffff', '00000000', '00010000'];
    for (let initial = 0; initial < 256; initial++) {
      for (const tail of tails) {
        const data = concat(Uint8Array.of(initial), unhex(tail));
        if ((verdict(() => decodeCbor(data, 'value')) === 'ok') !== foreignAccepts(data)) expect.fail(hex(data));
      }
    }
  });

  test('gives the same yes or no on damaged values', () => {
    fc.assert(
      fc.property(valueArb, fc.array(mutationArb, { minLength: 1, maxLength: 3 }), (value, changes) => {
        let data = encodeCbor(value);
        for (const change of changes) if (data.length > 0) data = mutate(data, change);
        expect(verdict(() => decodeCbor(data, 'value')) === 'ok').toBe(foreignAccepts(data));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('one value, one byte string', () => {
  test('whatever is accepted is written back as the same bytes', () => {
    let accepted = 0;
    fc.assert(
      fc.property(valueArb, mutationArb, (value, change) => {
        const data = mutate(encodeCbor(value), change);
        if (verdict(() => decodeCbor(data, 'value')) !== 'ok') return;
        accepted += 1;
        expect(hex(encodeCbor(decodeCbor(data, 'value')))).toBe(hex(data));
      }),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });

  test('every truncation and every added byte is refused', () => {
    fc.assert(
      fc.property(valueArb, fc.integer({ min: 0, max: 255 }), (value, byte) => {
        const data = encodeCbor(value);
        for (let n = 0; n < data.length; n++) {
          expect(verdict(() => decodeCbor(data.subarray(0, n), 'value'))).toBe('EVIDENCE_MALFORMED');
        }
        expect(verdict(() => decodeCbor(concat(data, Uint8Array.of(byte)), 'value'))).toBe('EVIDENCE_MALFORMED');
      }),
      { numRuns: 100 },
    );
  });

  test('what was read shares no memory with the input', () => {
    const data = unhex('a1014401020304');
    const value = decodeCbor(data, 'value') as Map<number, Uint8Array>;
    data.fill(0xff);
    expect(hex(value.get(1)!)).toBe('01020304');
  });
});

const appendixA = sharedVectors('cbor/appendix_a.json');
describe.skipIf(appendixA.absent)('RFC 8949 appendix A', () => {
  const vectors: { hex: string; roundtrip: boolean }[] = appendixA.absent
    ? []
    : JSON.parse(readFileSync(appendixA.path, 'utf8'));

  /** The well-formedness walk of RFC 8949 appendix C, reporting the major type and initial byte of every item. */
  function heads(data: Uint8Array): number[] {
    const seen: number[] = [];
    let at = 0;
    const walk = (): void => {
      const initial = data[at++]!;
      seen.push(initial);
      const info = initial & 31;
      let argument = BigInt(info);
      if (info >= 24 && info <= 27) {
        argument = 0n;
        for (let n = 1 << (info - 24); n > 0; n--) argument = argument * 256n + BigInt(data[at++]!);
      }
      const major = initial >> 5;
      if (info === 31) throw new Error('indefinite length in a vector that keeps its bytes');
      if (major === 2 || major === 3) at += Number(argument);
      for (let n = major === 4 ? argument : major === 5 ? 2n * argument : major === 6 ? 1n : 0n; n > 0n; n--) walk();
    };
    walk();
    return seen;
  }

  // `roundtrip` is the vectors' own word for "these are the preferred bytes"; all their maps happen to be sorted.
  const belongs = (vector: { hex: string; roundtrip: boolean }): boolean =>
    vector.roundtrip &&
    heads(unhex(vector.hex)).every((initial) => initial >> 5 < 6 || [0xf4, 0xf5, 0xf6].includes(initial));

  test.each(vectors)('$hex', (vector) => {
    const data = unhex(vector.hex);
    if (belongs(vector)) {
      const value = decodeCbor(data, 'vector');
      expect(hex(encodeCbor(value))).toBe(vector.hex);
      expect(narrowed(foreignDecode(data, { preferMap: true }) as Cbor)).toEqual(value);
    } else expect(verdict(() => decodeCbor(data, 'vector'))).toBe('EVIDENCE_MALFORMED');
  });

  test('both kinds are there', () => {
    expect(vectors.length).toBe(82);
    expect(vectors.filter(belongs).length).toBe(37);
  });
});

describe('refuses what lenient readers accept', () => {
  test.each([
    ['duplicate keys', 'a201020103'],
    ['duplicate text keys', 'a2616101616102'],
    ['an integer in two bytes that fits one', '1817'],
    ['an integer in three bytes that fits two', '1900ff'],
    ['an integer in three bytes that fits one', '190001'],
    ['an integer in five bytes that fits three', '1a0000ffff'],
    ['an integer in nine bytes that fits five', '1b00000000ffffffff'],
    ['an integer in nine bytes that fits one', '1b0000000000000001'],
    ['a negative integer longer than needed', '3817'],
    ['a byte-string length longer than needed', '580100'],
    ['a text length longer than needed', '780161'],
    ['an array length longer than needed', '980101'],
    ['a map length longer than needed', 'b8010101'],
    ['an indefinite array', '9f01ff'],
    ['an indefinite map', 'bf0101ff'],
    ['an indefinite byte string', '5f4101ff'],
    ['an indefinite text string', '7f6161ff'],
    ['a break outside anything', 'ff'],
    ['keys out of order', 'a202010102'],
    ['keys in the length-first order of RFC 7049', 'a2617a01186401'],
    ['a half float', 'f93c00'],
    ['a single float', 'fa47c35000'],
    ['a double float', 'fb3ff199999999999a'],
    ['a float longer than needed', 'fb3ff0000000000000'],
    ['negative zero', 'f98000'],
    ['NaN', 'f97e00'],
    ['a NaN with a payload', 'fb7ff8000000000001'],
    ['text that is not UTF-8', '61ff'],
    ['text cut inside a character', '61c3'],
    ['an overlong UTF-8 form', '62c080'],
    ['a surrogate in UTF-8', '63eda080'],
    ['a code point above U+10FFFF', '64f4908080'],
    ['tag 0', 'c074323031332d30332d32315432303a30343a30305a'],
    ['tag 1', 'c11a514b67b0'],
    ['tag 2, a bignum', 'c249010000000000000000'],
    ['tag 3', 'c349010000000000000000'],
    ['tag 259', 'd90103a0'],
    ['tag 51, packed', 'd83380'],
    ['tag 6, packed reference', 'c600'],
    ['the record tag of cbor-x', 'd9dfff8319e00081616101'],
    ['tag 55799, self-described', 'd9d9f700'],
    ['undefined', 'f7'],
    ['a simple value', 'f0'],
    ['a two-byte simple value', 'f8ff'],
    ['false in two bytes', 'f814'],
    ['reserved additional information', '1c'],
    ['a byte-string key', 'a1410100'],
    ['a boolean key', 'a1f500'],
    ['a null key', 'a1f600'],
    ['an array key', 'a1800'.padEnd(6, '0')],
    ['a map key', 'a1a000'],
    ['nothing', ''],
    ['a second value behind the first', '0000'],
  ])('%s', (_, text) => {
    expect(verdict(() => decodeCbor(unhex(text), 'value'))).toBe('EVIDENCE_MALFORMED');
  });

  test('a byte order mark is a character of its text, not dropped', () => {
    expect(decodeCbor(unhex('63efbbbf'), 'value')).toBe('\ufeff');
  });
});

describe('limits', () => {
  const nested = (levels: number, initial: string): Uint8Array => unhex(`${initial.repeat(levels)}00`);

  test('sixteen levels are read and written, seventeen refused', () => {
    const deepest = nested(MAX_DEPTH, '81');
    expect(hex(encodeCbor(decodeCbor(deepest, 'value')))).toBe(hex(deepest));
    expect(verdict(() => decodeCbor(nested(MAX_DEPTH + 1, '81'), 'value'))).toBe('EVIDENCE_MALFORMED');
    expect(verdict(() => decodeCbor(nested(MAX_DEPTH, 'a100'), 'value'))).toBe('ok');
    expect(verdict(() => decodeCbor(nested(MAX_DEPTH + 1, 'a100'), 'value'))).toBe('EVIDENCE_MALFORMED');
    let value: Cbor = 0;
    for (let i = 0; i < MAX_DEPTH + 1; i++) value = [value];
    expect(() => encodeCbor(value)).toThrow(TypeError);
  });

  test('a megabyte of opening brackets is refused, not recursed into', () => {
    for (const initial of ['81', 'a100', 'd2', '9f', 'a1a1']) {
      expect(verdict(() => decodeCbor(nested(500_000, initial), 'value'))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test.each(['5b', '7b', '9b', 'bb'])('lengths of 2^63−1, 2^64−1 and one too many are refused (%s)', (head) => {
    for (const length of ['7fffffffffffffff', 'ffffffffffffffff', '0000000100000000', '001fffffffffffff']) {
      expect(verdict(() => decodeCbor(unhex(`${head}${length}00`), 'value'))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test('arrays that each claim all that follows cost no more memory than the input', () => {
    const data = new Uint8Array(16 << 20);
    const view = new DataView(data.buffer);
    for (let level = 0; level < MAX_DEPTH; level++) {
      data[5 * level] = 0x9a;
      view.setUint32(5 * level + 1, data.length - 5 * (level + 1));
    }
    expect(verdict(() => decodeCbor(data, 'value'))).toBe('EVIDENCE_MALFORMED');
  });

  test('the number of values is limited: sixteen million empty maps would fill the memory', () => {
    const maps = new Uint8Array(16 << 20).fill(0xa0);
    maps.set(unhex('9a00fffffb'));
    expect(verdict(() => decodeCbor(maps, 'value'))).toBe('EVIDENCE_MALFORMED');
    const most = Array.from({ length: MAX_ITEMS - 1 }, () => 0);
    expect(decodeCbor(encodeCbor(most), 'value')).toEqual(most);
    expect(verdict(() => decodeCbor(encodeCbor([...most, 0]), 'value'))).toBe('EVIDENCE_MALFORMED');
  });
});

describe('the writer', () => {
  test.each<[string, unknown]>([
    ['a fraction', 1.5],
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['a number that is no exact integer', 2 ** 53],
    ['2^64', LIMIT],
    ['−2^64−1', -LIMIT - 1n],
    ['a lone surrogate', 'a\ud800'],
    ['undefined', undefined],
    ['a plain object', { a: 1 }],
    ['a function', () => 1],
    ['undefined in a map', new Map([[1, undefined]])],
    [
      'one key as number and as bigint',
      new Map<CborKey, Cbor>([
        [1, 0],
        [1n, 0],
      ]),
    ],
  ])('refuses %s', (_, value) => {
    expect(() => encodeCbor(value as Cbor)).toThrow(TypeError);
  });
});

describe('MapReader', () => {
  const reader = (pairs: [CborKey, Cbor][]) => new MapReader(new Map(pairs), 'thing');
  const refused = (read: () => unknown) => {
    const { code, field } = refusal(read);
    return [code, field];
  };

  test('gives each field by type', () => {
    const map = reader([
      [1, 7],
      ['text', 'hello'],
      ['bytes', unhex('0102')],
      ['list', [unhex('01'), unhex('02')]],
      ['inner', new Map([['a', null]])],
    ]);
    expect(map.uint(1, 'count')).toBe(7);
    expect(map.text('text', 'text', 5)).toBe('hello');
    expect(map.bytes('bytes', 'bytes', 2)).toEqual(unhex('0102'));
    expect(map.anyBytes('bytes', 'bytes', 2, 2)).toEqual(unhex('0102'));
    expect(map.arrayOfBytes('list', 'list', 2, 1)).toEqual([unhex('01'), unhex('02')]);
    expect(map.arrayOfAnyBytes('list', 'list', 2, 1)).toEqual([unhex('01'), unhex('02')]);
    expect(map.exactly('text', 'text', 'hello')).toBe('hello');
    const inner = map.map('inner', 'inner');
    expect(inner.isNull('a', 'a')).toBe(true);
    inner.end();
    map.end();
  });

  test.each<[string, (map: MapReader) => unknown, string]>([
    ['a missing field', (map) => map.uint(9, 'count'), 'thing.count'],
    ['null for an integer', (map) => map.uint('null', 'count'), 'thing.count'],
    ['a negative integer', (map) => map.uint('negative', 'count'), 'thing.count'],
    ['an integer above 2^53−1', (map) => map.uint('big', 'count'), 'thing.count'],
    ['text for an integer', (map) => map.uint('text', 'count'), 'thing.count'],
    ['bytes for text', (map) => map.text('bytes', 'name', 9), 'thing.name'],
    ['text that is too long in bytes', (map) => map.text('text', 'name', 4), 'thing.name'],
    ['text for bytes', (map) => map.bytes('text', 'digest', 5), 'thing.digest'],
    ['bytes too short', (map) => map.bytes('bytes', 'digest', 3), 'thing.digest'],
    ['bytes too long', (map) => map.bytes('bytes', 'digest', 1), 'thing.digest'],
    ['bytes above the most', (map) => map.anyBytes('bytes', 'nonce', 1), 'thing.nonce'],
    ['bytes below the least', (map) => map.anyBytes('bytes', 'nonce', 9, 3), 'thing.nonce'],
    ['a list with too many items', (map) => map.array('list', 'path', 1), 'thing.path'],
    ['no list', (map) => map.array('text', 'path', 1), 'thing.path'],
    ['a list item of the wrong size', (map) => map.arrayOfBytes('list', 'path', 2, 2), 'thing.path[0]'],
    ['a list item of the wrong type', (map) => map.arrayOfBytes('mixed', 'path', 2, 1), 'thing.path[1]'],
    ['a list item too long', (map) => map.arrayOfAnyBytes('list', 'path', 2, 0), 'thing.path[0]'],
    ['another text', (map) => map.exactly('text', 'event', 'loaded'), 'thing.event'],
    ['no map', (map) => map.map('text', 'inner'), 'thing.inner'],
    ['an integer key where text keys are data', (map) => map.entries(), 'thing.1'],
  ])('refuses %s and names the field', (_, read, field) => {
    const map = reader([
      [1, 0],
      ['null', null],
      ['negative', -1],
      ['big', 1n << 53n],
      ['text', 'hello'],
      ['bytes', unhex('0102')],
      ['list', [unhex('01'), unhex('02')]],
      ['mixed', [unhex('01'), 2]],
    ]);
    expect(refused(() => read(map))).toEqual(['EVIDENCE_MALFORMED', field]);
  });

  test('refuses anything but a map', () => {
    for (const value of [undefined, null, 1, 'a', unhex('00'), []]) {
      expect(refused(() => new MapReader(value, 'thing'))).toEqual(['EVIDENCE_MALFORMED', 'thing']);
    }
  });

  test('refuses a field nobody asked for', () => {
    const map = reader([
      [1, 0],
      [-77_099, 0],
    ]);
    map.uint(1, 'count');
    expect(refused(() => map.end())).toEqual(['EVIDENCE_MALFORMED', 'thing.-77099']);
    expect(refused(() => reader([['extra', 0]]).end())).toEqual(['EVIDENCE_MALFORMED', 'thing.extra']);
  });

  test('does not repeat an unknown key that is no plain name', () => {
    for (const key of ['a\nforged log line', 'x'.repeat(100_000), '', 'prompt: tell me', '\u202e']) {
      const error = refusal(() => reader([[key, 0]]).end());
      expect([error.code, error.field, error.message]).toEqual(['EVIDENCE_MALFORMED', 'thing', 'thing: unknown field']);
    }
  });
});
