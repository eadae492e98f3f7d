import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  base64,
  base64url,
  bytes,
  concat,
  equalBytes,
  fromBase64,
  fromBase64url,
  fromHex,
  fromUtf8,
  hex,
  isZero,
  join,
  utf8,
} from '../../protocol/bytes.ts';
import { characterArb, plain, refusal } from './support.ts';

const anyBytes = fc.uint8Array({ maxLength: 200 }).map(plain);

describe('text forms', () => {
  test('hex, base64 and base64url are those of node', () => {
    fc.assert(
      fc.property(anyBytes, (value) => {
        const buffer = Buffer.from(value);
        expect([hex(value), base64(value), base64url(value)]).toEqual([
          buffer.toString('hex'),
          buffer.toString('base64'),
          buffer.toString('base64url'),
        ]);
        expect(fromHex(hex(value))).toEqual(value);
        expect(fromHex(hex(value).toUpperCase())).toEqual(value);
        expect(fromBase64(base64(value))).toEqual(value);
        expect(fromBase64url(base64url(value))).toEqual(value);
      }),
    );
  });

  test('base64 of more than one chunk', () => {
    const long = Uint8Array.from({ length: 0x8000 * 2 + 1 }, (_, i) => i);
    expect(base64(long)).toBe(Buffer.from(long).toString('base64'));
  });

  test('each has one form for one value', () => {
    const character = fc.constantFrom(...'AZaz09+/-_= \n'.split(''));
    fc.assert(
      fc.property(fc.array(character, { maxLength: 9 }), (characters) => {
        const text = characters.join('');
        const [plain64, url64, plainHex] = [fromBase64(text), fromBase64url(text), fromHex(text)];
        if (plain64) expect(base64(plain64)).toBe(text);
        if (url64) expect(base64url(url64)).toBe(text);
        if (plainHex) expect(hex(plainHex)).toBe(text.toLowerCase());
      }),
      { numRuns: 5000 },
    );
  });

  test.each(['A', 'AA', 'AAA', 'AB==', 'AA=A', 'AA==\n', ' AA==', 'AAAA=', 'A===', '====', 'AA--', 'AA__'])(
    'base64 refuses %j',
    (text) => expect(fromBase64(text)).toBeNull(),
  );
  test.each(['A', 'AB', 'AA==', 'AA+A', 'AA/A', 'AA\n', 'é'])('base64url refuses %j', (text) =>
    expect(fromBase64url(text)).toBeNull(),
  );
  test.each(['0', '0g', '0x00', ' 00', '00\n', '٠٠', '-1'])('hex refuses %j', (text) =>
    expect(fromHex(text)).toBeNull(),
  );
});

describe('UTF-8', () => {
  test('round trip, a byte order mark included', () => {
    fc.assert(
      fc.property(fc.string({ unit: characterArb }), (text) => {
        expect(fromUtf8(utf8(text))).toBe(text);
      }),
    );
    expect(fromUtf8(utf8('\ufeffa'))).toBe('\ufeffa');
  });

  test('what is read is written back the same; everything else is refused', () => {
    let read = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (value) => {
        let text: string;
        try {
          text = fromUtf8(value);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          return;
        }
        read += 1;
        expect(utf8(text)).toEqual(plain(value));
      }),
      { numRuns: 2000 },
    );
    expect(read).toBeGreaterThan(10);
  });
});

describe('byte strings', () => {
  test('a length is checked once, and the bytes are copied', () => {
    const input = Uint8Array.of(1, 2, 3);
    const three = bytes(input, 3, 'digest');
    input.fill(9);
    expect([...three]).toEqual([1, 2, 3]);
    for (const n of [2, 4]) {
      const error = refusal(() => bytes(input, n, 'digest'));
      expect([error.code, error.field]).toEqual(['EVIDENCE_MALFORMED', 'digest']);
    }
  });

  test('concat, join, equality and zero', () => {
    fc.assert(
      fc.property(fc.array(anyBytes, { maxLength: 5 }), (parts) => {
        expect(hex(concat(...parts))).toBe(Buffer.concat(parts).toString('hex'));
        expect(hex(join(parts))).toBe(Buffer.concat(parts).toString('hex'));
      }),
    );
    fc.assert(
      fc.property(anyBytes, anyBytes, (a, b) => {
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0);
        expect(equalBytes(a, plain(a))).toBe(true);
        expect(isZero(a)).toBe(a.every((byte) => byte === 0));
      }),
    );
    expect(join(Array.from({ length: 300_000 }, () => Uint8Array.of(1))).length).toBe(300_000);
  });
});
