import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Bytes, hex, modelSet, modelSetHostData, modelSetPcr, sha256, utf8 } from '../../protocol/index.ts';

const digests = ['c', 'a', 'b'].map((text) => sha256(utf8(text)));
const ordered = digests.map(hex).sort();

test('a set has no order and no repeats', () => {
  expect(modelSet(digests).map(hex)).toEqual(ordered);
  expect(modelSet([...digests, ...digests]).map(hex)).toEqual(ordered);
  expect(modelSet([])).toEqual([]);
});

test('HOST_DATA is what sha256sum says of the lines', () => {
  const text = `veritee/model-set/v1\n${ordered.map((line) => `${line}\n`).join('')}`;
  expect(hex(modelSetHostData(digests))).toBe(createHash('sha256').update(text).digest('hex'));
  // printf 'veritee/model-set/v1\n' | sha256sum
  expect(hex(modelSetHostData([]))).toBe(createHash('sha256').update('veritee/model-set/v1\n').digest('hex'));
});

test('PCR16 is one extension for each digest', () => {
  const extend = (value: Buffer, line: string) =>
    createHash('sha384').update(value).update(Buffer.from(line, 'hex')).digest();
  expect(hex(modelSetPcr(digests))).toBe(ordered.reduce(extend, Buffer.alloc(48)).toString('hex'));
  expect(hex(modelSetPcr([]))).toBe('00'.repeat(48));
});

test('another model, one fewer or one more is another value', () => {
  const sets = [digests, digests.slice(1), [...digests, sha256(utf8('d'))], [sha256(utf8('d')), ...digests.slice(1)]];
  const values = (of: (set: readonly Bytes<32>[]) => Uint8Array) => new Set(sets.map((set) => hex(of(set)))).size;
  expect([values(modelSetHostData), values(modelSetPcr)]).toEqual([4, 4]);
});
