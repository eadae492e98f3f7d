import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fromUtf8, type Tensor } from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { tensorFile } from '../enclave/onnx-builder.ts';

const read = (tensor: Record<string, unknown>): Tensor => readTensorProto(tensorFile(tensor), 't.pb');
const bytesOf = (list: ArrayLike<number> | ArrayLike<bigint>, type: new (l: never) => ArrayBufferView<ArrayBuffer>) =>
  new Uint8Array(new type(list as never).buffer);

describe('typed fields hold the same bytes as raw_data', () => {
  const cases: readonly (readonly [string, number, Record<string, unknown>, Uint8Array<ArrayBuffer>])[] = [
    ['FP32', 1, { floatData: [1.5, -0, Number.NaN] }, bytesOf([1.5, -0, Number.NaN], Float32Array)],
    ['UINT8', 2, { int32Data: [0, 7, 255] }, Uint8Array.of(0, 7, 255)],
    ['INT8', 3, { int32Data: [-128, -1, 127] }, bytesOf([-128, -1, 127], Int8Array)],
    ['UINT16', 4, { int32Data: [0, 1, 65535] }, bytesOf([0, 1, 65535], Uint16Array)],
    ['INT16', 5, { int32Data: [-32768, 0, 32767] }, bytesOf([-32768, 0, 32767], Int16Array)],
    ['INT32', 6, { int32Data: [-(2 ** 31), 0, 2 ** 31 - 1] }, bytesOf([-(2 ** 31), 0, 2 ** 31 - 1], Int32Array)],
    ['BOOL', 9, { int32Data: [0, 1, 1] }, Uint8Array.of(0, 1, 1)],
    ['FP16', 10, { int32Data: [0x3c00, 0x7e00, 0xffff] }, bytesOf([0x3c00, 0x7e00, 0xffff], Uint16Array)],
    ['FP64', 11, { doubleData: [0.1, -1e300, 5e-324] }, bytesOf([0.1, -1e300, 5e-324], Float64Array)],
    ['BF16', 16, { int32Data: [0x3f80, 0, 0x7fc0] }, bytesOf([0x3f80, 0, 0x7fc0], Uint16Array)],
  ];
  for (const [datatype, dataType, values, data] of cases) {
    test(datatype, () => {
      const want = { name: 'x', datatype, shape: [3], data };
      expect(read({ name: 'x', dims: [3], dataType, ...values })).toEqual(want);
      expect(read({ name: 'x', dims: [3], dataType, rawData: data })).toEqual(want);
    });
  }

  test('64-bit integers stay exact', () => {
    // Written by hand: the builder's encoder takes numbers, and these are beyond 2^53.
    const varint = (value: bigint): number[] =>
      value < 128n ? [Number(value)] : [Number((value & 127n) | 128n), ...varint(value >> 7n)];
    const file = (dataType: number, field: number, values: readonly bigint[]) => {
      const packed = values.flatMap((value) => varint(BigInt.asUintN(64, value)));
      return Uint8Array.of(0x08, values.length, 0x10, dataType, (field << 3) | 2, packed.length, ...packed);
    };
    const signed = [-(2n ** 63n), -1n, 2n ** 53n + 1n, 2n ** 63n - 1n];
    expect(readTensorProto(file(7, 7, signed), 't').data).toEqual(bytesOf(signed, BigInt64Array));
    const unsigned = [0n, 2n ** 53n + 1n, 2n ** 64n - 1n];
    expect(readTensorProto(file(13, 11, unsigned), 't').data).toEqual(bytesOf(unsigned, BigUint64Array));
    expect(readTensorProto(file(12, 11, [2n ** 32n - 1n]), 't').data).toEqual(bytesOf([2 ** 32 - 1], Uint32Array));
  });

  test('strings', () => {
    const tensor = read({ dims: [2], dataType: 8, stringData: [Buffer.from('é'), Buffer.from('')] });
    expect((tensor.data as Uint8Array[]).map(fromUtf8)).toEqual(['é', '']);
  });

  test('a scalar, and an empty tensor', () => {
    expect(read({ dataType: 1, floatData: [2] })).toMatchObject({ shape: [], datatype: 'FP32' });
    expect(read({ dims: [0, 3], dataType: 1 })).toMatchObject({ shape: [0, 3], data: new Uint8Array(0) });
  });
});

describe('refuses', () => {
  const good = { dims: [2], dataType: 1, floatData: [1, 2] };
  const cases: Record<string, Record<string, unknown>> = {
    'too few values': { ...good, dims: [3] },
    'too much raw data': { ...good, floatData: [], rawData: new Uint8Array(9) },
    'values both typed and raw': { ...good, rawData: new Uint8Array(8) },
    'values in the field of another type': { ...good, dataType: 6 },
    'a negative dimension': { ...good, dims: [-2] },
    'a type without a datatype': { ...good, dataType: 14 },
    'no type': { ...good, dataType: 0 },
    'external data': { ...good, floatData: [], externalData: [{ key: 'location', value: 'w' }], dataLocation: 1 },
    'a uint8 beyond its range': { dims: [1], dataType: 2, int32Data: [256] },
    'a bool of 2': { dims: [1], dataType: 9, rawData: Uint8Array.of(2) },
    'raw strings': { dims: [1], dataType: 8, rawData: Uint8Array.of(65) },
  };
  for (const [name, tensor] of Object.entries(cases)) {
    test(name, () => {
      expect(() => read(tensor)).toThrowError(expect.objectContaining({ code: 'FILE_UNREADABLE', field: 't.pb' }));
    });
  }

  test('every truncation', () => {
    const file = tensorFile({ name: 'x', ...good });
    for (let length = 0; length < file.length; length++) {
      let code = 'read';
      try {
        // What is cut between two fields may still be a whole tensor without its name; it never has other values.
        expect(readTensorProto(file.subarray(0, length), 't').data).toEqual(readTensorProto(file, 't').data);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      expect(['read', 'FILE_UNREADABLE']).toContain(code);
    }
  });
});

const shared = path.resolve(import.meta.dirname, '../../../shared');
if (!existsSync(shared)) console.warn(`SKIPPED: the tensors of real models, ${shared} is missing`);
describe.skipIf(!existsSync(shared))('the tensors of real models', () => {
  const files = ['model-data', 'onnx-node'].flatMap((folder) =>
    existsSync(path.join(shared, folder))
      ? readdirSync(path.join(shared, folder), { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.pb'))
          .map((file) => path.join(shared, folder, file))
      : [],
  );
  test('there are some', () => expect(files.length).toBeGreaterThan(40));
  for (const file of files) {
    test(path.relative(shared, file), () => {
      const { shape, data, datatype } = readTensorProto(readFileSync(file), file);
      expect(shape.every((dimension) => dimension >= 0)).toBe(true);
      expect(data.length === 0).toBe(shape.includes(0));
      expect(datatype).toMatch(/^[A-Z0-9]+$/);
    });
  }
});
