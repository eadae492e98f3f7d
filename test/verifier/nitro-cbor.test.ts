import { type Cbor, encodeCbor } from '@veritee/protocol';
import { decode as oracle } from 'cbor2';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeNsmCbor } from '../../verifier/nitro/cbor.ts';
import { codeOf } from './snp-support.ts';

const decode = (...bytes: readonly number[]): Cbor => decodeNsmCbor(Uint8Array.from(bytes), 'test');
const MALFORMED = 'EVIDENCE_MALFORMED';

/** `depth` arrays around a zero, of definite or indefinite length. */
function nested(depth: number, indefinite: boolean): Uint8Array {
  const open = new Array<number>(depth).fill(indefinite ? 0x9f : 0x81);
  return Uint8Array.from([...open, 0x00, ...(indefinite ? new Array<number>(depth).fill(0xff) : [])]);
}

describe("the NSM's CBOR", () => {
  test.each<[string, readonly number[], Cbor]>([
    ['an integer in two widths', [0x82, 0x01, 0x1b, 0, 0, 0, 0, 0, 0, 0, 1], [1, 1]],
    ['a negative integer', [0x38, 0x22], -35],
    ['the largest integer', [0x1b, ...new Array<number>(8).fill(0xff)], 18446744073709551615n],
    ['the smallest integer', [0x3b, ...new Array<number>(8).fill(0xff)], -18446744073709551616n],
    ['a map of indefinite length', [0xbf, 0x61, 0x61, 0x01, 0xff], new Map([['a', 1]])],
    ['an empty map of indefinite length', [0xbf, 0xff], new Map()],
    ['keys out of order', [0xa2, 0x02, 0x00, 0x01, 0x00], new Map([2, 1].map((key) => [key, 0]))],
    ['an array of indefinite length', [0x9f, 0x01, 0x9f, 0xff, 0xff], [1, []]],
    ['a length in four bytes', [0x5a, 0, 0, 0, 1, 0x07], Uint8Array.of(7)],
    ['true, false and null', [0x83, 0xf5, 0xf4, 0xf6], [true, false, null]],
  ])('reads %s', (_, input, value) => {
    expect(decode(...input)).toEqual(value);
  });

  test.each<[string, readonly number[], string]>([
    ['nothing', [], 'truncated'],
    ['a byte after the value', [0x00, 0x00], 'bytes after'],
    ['a text key twice', [0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02], 'duplicate'],
    ['a text key twice, in two widths', [0xa2, 0x61, 0x61, 0x01, 0x78, 0x01, 0x61, 0x02], 'duplicate'],
    ['an integer key twice, in two widths', [0xa2, 0x01, 0x00, 0x18, 0x01, 0x00], 'duplicate'],
    ['a key twice in an indefinite map', [0xbf, 0x01, 0x00, 0x01, 0x00, 0xff], 'duplicate'],
    ['a large key twice', [0xa2, ...[1, 2].flatMap(() => [0x1b, ...new Array(8).fill(0xfe), 0x00])], 'duplicate'],
    ['a key twice inside an unknown field', [0xa1, 0x61, 0x78, 0xa2, 0x01, 0x00, 0x01, 0x00], 'duplicate'],
    ['a byte string as a key', [0xa1, 0x41, 0x00, 0x00], 'neither integer nor text'],
    ['an array as a key', [0xa1, 0x80, 0x00], 'neither integer nor text'],
    ['null as a key', [0xa1, 0xf6, 0x00], 'neither integer nor text'],
    ['a map cut off after a key', [0xbf, 0x01, 0xff], 'break'],
    ['a map without its break', [0xbf, 0x01, 0x00], 'truncated'],
    ['a map without its last value', [0xa1, 0x01], 'truncated'],
    ['an array without its break', [0x9f, 0x01], 'truncated'],
    ['a break alone', [0xff], 'break'],
    ['a break in a definite array', [0x81, 0xff], 'break'],
    ['a byte string in pieces', [0x5f, 0x41, 0x00, 0xff], 'indefinite'],
    ['a text in pieces', [0x7f, 0x61, 0x61, 0xff], 'indefinite'],
    ['an integer of indefinite length', [0x1f], 'indefinite'],
    ['reserved additional information', [0x1c], 'reserved'],
    ['a tag', [0xc1, 0x00], 'tag'],
    ['undefined', [0xf7], 'simple'],
    ['a simple value in two bytes', [0xf8, 0x14], 'simple'],
    ['a half float', [0xf9, 0x3c, 0x00], 'float'],
    ['a double', [0xfb, ...new Array<number>(8).fill(0)], 'float'],
    ['text that is not UTF-8', [0x61, 0xff], 'UTF-8'],
    ['text with an overlong form', [0x62, 0xc0, 0x80], 'UTF-8'],
    ['text with a surrogate', [0x63, 0xed, 0xa0, 0x80], 'UTF-8'],
  ])('refuses %s', (_, input, reason) => {
    expect(() => decode(...input)).toThrowError(reason);
    expect(codeOf(() => decode(...input))).toBe(MALFORMED);
  });

  test.each([
    ['bytes', 0x40],
    ['text', 0x60],
    ['array', 0x80],
    ['map', 0xa0],
  ])('refuses a huge length before any work: %s', (_, major) => {
    for (const argument of [
      [24, 0xff],
      [25, 0xff, 0xff],
      [26, 0xff, 0xff, 0xff, 0xff],
      [27, ...new Array<number>(8).fill(0xff)],
      [27, 0, 0, 0, 0x40, 0, 0, 0, 0],
    ]) {
      const [info, ...width] = argument as [number, ...number[]];
      expect(() => decode(major | info, ...width, 0x00)).toThrowError('truncated');
    }
  });

  test.each([false, true])('nests eight deep and no deeper (indefinite: %s)', (indefinite) => {
    expect(() => decodeNsmCbor(nested(8, indefinite), 'test')).not.toThrow();
    expect(codeOf(() => decodeNsmCbor(nested(9, indefinite), 'test'))).toBe(MALFORMED);
    // As deep as a payload can be: refused by depth, not by the end of the stack.
    expect(codeOf(() => decodeNsmCbor(nested(8000, indefinite), 'test'))).toBe(MALFORMED);
    expect(codeOf(() => decodeNsmCbor(new Uint8Array(16_384).fill(indefinite ? 0xbf : 0xa1), 'test'))).toBe(MALFORMED);
  });

  const key = fc.oneof(fc.integer(), fc.string({ unit: 'grapheme' }));
  const { value } = fc.letrec<{ value: Cbor }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.integer(),
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array(),
      fc.constantFrom(true, false, null),
      fc.array(tie('value'), { maxLength: 5 }),
      fc
        .uniqueArray(fc.tuple(key, tie('value')), { maxLength: 5, selector: ([name]) => name })
        .map((pairs) => new Map(pairs)),
    ),
  }));

  test('reads whatever the canonical encoder writes', () => {
    fc.assert(
      fc.property(value, (made) => {
        const bytes = encodeCbor(made);
        expect(encodeCbor(decodeNsmCbor(bytes, 'test'))).toEqual(bytes);
      }),
    );
  });

  test('what it accepts, another reader accepts with the same value; random bytes give a code', () => {
    let accepted = 0;
    // Mostly heads and small numbers, so that many inputs are well formed.
    const byte = fc.oneof(
      fc.constantFrom(0x00, 0x01, 0x18, 0x20, 0x41, 0x61, 0x80, 0x81, 0x9f, 0xa1, 0xbf, 0xff),
      fc.nat(255),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), (input) => {
        const bytes = Uint8Array.from(input);
        let ours: Cbor;
        try {
          ours = decodeNsmCbor(bytes, 'test');
        } catch (error) {
          expect(error).toMatchObject({ code: MALFORMED, field: 'test' });
          return;
        }
        accepted += 1;
        const theirs = oracle<Cbor>(bytes, { preferMap: true, rejectDuplicateKeys: true });
        expect(encodeCbor(ours)).toEqual(encodeCbor(theirs));
      }),
      { numRuns: 20_000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });
});
