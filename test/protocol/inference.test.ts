import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, fromUtf8, hex, utf8 } from '../../protocol/bytes.ts';
import { CodedError, ServiceError } from '../../protocol/errors.ts';
import {
  checkInputs,
  checkOutputs,
  type EncodedBody,
  encodeInferRequest,
  encodeInferResponse,
  parseInferRequest,
  parseInferResponse,
  parseJsonLength,
} from '../../protocol/inference.ts';
import { DATATYPES, type Datatype, elementCount, type Tensor, type TensorSpec } from '../../protocol/tensor.ts';
import { tensor, tensorTexts, tensorValues } from '../../protocol/tensor-values.ts';

function refusal(run: () => unknown): ServiceError {
  try {
    run();
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

const codeAndField = (run: () => unknown) => {
  const { code, field } = refusal(run);
  return [code, field];
};

/** A request of one input given as JSON text of its members. */
const oneInput = (members: string) => utf8(`{"inputs":[{"name":"x",${members}}]}`);
const parseText = (members: string) => parseInferRequest(oneInput(members), null).inputs[0] as Tensor;
const parseData = (datatype: string, data: string, shape = '[1]') =>
  parseText(`"shape":${shape},"datatype":"${datatype}","data":${data}`);

const parseBinary = (datatype: string, shape: string, data: Uint8Array, size = data.length) => {
  const json = oneInput(`"shape":${shape},"datatype":"${datatype}","parameters":{"binary_data_size":${size}}`);
  return parseInferRequest(concat(json, data), json.length).inputs[0] as Tensor;
};

const element: { readonly [D in Datatype]: fc.Arbitrary<number | bigint | boolean | Uint8Array> } = {
  BOOL: fc.boolean(),
  UINT8: fc.integer({ min: 0, max: 2 ** 8 - 1 }),
  UINT16: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
  UINT32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  UINT64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  INT8: fc.integer({ min: -(2 ** 7), max: 2 ** 7 - 1 }),
  INT16: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
  INT32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  INT64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  FP16: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
  BF16: fc.integer({ min: 0, max: 2 ** 16 - 1 }),
  FP32: fc.float({ noNaN: true, noDefaultInfinity: true }),
  FP64: fc.double({ noNaN: true, noDefaultInfinity: true }),
  BYTES: fc.string({ unit: 'binary' }).map(utf8),
};
const datatypes = Object.keys(DATATYPES) as Datatype[];
const isBits = (datatype: Datatype) => datatype === 'FP16' || datatype === 'BF16';
const jsonDatatypes = datatypes.filter((datatype) => !isBits(datatype));

const tensorOf = (datatype: Datatype, name: string): fc.Arbitrary<Tensor> =>
  fc.array(fc.nat({ max: 3 }), { maxLength: 4 }).chain((shape) => {
    const length = elementCount(shape);
    return fc
      .array(element[datatype], { minLength: length, maxLength: length })
      .map((values) => tensor(name, datatype, shape, isBits(datatype) ? Uint16Array.from(values as number[]) : values));
  });

const tensorsOf = (allowed: readonly Datatype[]) =>
  fc
    .uniqueArray(fc.string({ unit: 'binary' }), { maxLength: 4 })
    .chain((names) =>
      fc.tuple(...names.map((name) => fc.constantFrom(...allowed).chain((datatype) => tensorOf(datatype, name)))),
    );

const parseEncoded = (encoded: EncodedBody) => parseInferRequest(encoded.body, encoded.jsonLength);

describe('values', () => {
  test.each(jsonDatatypes)('%s has the same bytes from JSON and from binary data', (datatype) => {
    fc.assert(
      fc.property(tensorOf(datatype, 'x'), (input) => {
        const [asJson] = parseEncoded(encodeInferRequest({ inputs: [input], binary: false })).inputs;
        const [asBinary] = parseEncoded(encodeInferRequest({ inputs: [input], binary: true })).inputs;
        expect(asJson).toEqual(input);
        expect(asBinary).toEqual(input);
      }),
    );
  });

  test.each<[string, string, string]>([
    ['BOOL', 'true', '01'],
    ['BOOL', 'false', '00'],
    ['UINT8', '0', '00'],
    ['UINT8', '255', 'ff'],
    ['UINT16', '65535', 'ffff'],
    ['UINT16', '258', '0201'],
    ['UINT32', '4294967295', 'ffffffff'],
    ['UINT64', '9007199254740993', '0100000000002000'],
    ['UINT64', '18446744073709551615', 'ffffffffffffffff'],
    ['INT8', '-128', '80'],
    ['INT8', '127', '7f'],
    ['INT8', '-0', '00'],
    ['INT8', '1.0', '01'],
    ['INT8', '1e2', '64'],
    ['INT16', '-32768', '0080'],
    ['INT16', '32767', 'ff7f'],
    ['INT32', '-2147483648', '00000080'],
    ['INT32', '2147483647', 'ffffff7f'],
    ['INT64', '9223372036854775807', 'ffffffffffffff7f'],
    ['INT64', '-9223372036854775808', '0000000000000080'],
    ['INT64', '-9007199254740993', 'ffffffffffffdfff'],
    ['FP32', '1', '0000803f'],
    ['FP32', '-0', '00000080'],
    ['FP32', '-0.0', '00000080'],
    ['FP32', '0.1', 'cdcccc3d'],
    ['FP32', '3.4028234663852886e38', 'ffff7f7f'],
    ['FP32', '3.4028235e38', 'ffff7f7f'],
    ['FP32', '1e-60', '00000000'],
    ['FP32', '9007199254740993', '0000005a'],
    ['FP64', '0.1', '9a9999999999b93f'],
    ['FP64', '-0', '0000000000000080'],
    ['FP64', '1.7976931348623157e308', 'ffffffffffffef7f'],
    ['FP64', '18446744073709551615', '000000000000f043'],
  ])('%s %s is the bytes %s', (datatype, json, expected) => {
    expect(hex(parseData(datatype, `[${json}]`).data as Uint8Array)).toBe(expected);
    expect(hex(parseData(datatype, `[[${json}]]`, '[1,1]').data as Uint8Array)).toBe(expected);
  });

  test('BYTES takes strings as UTF-8', () => {
    const { data } = parseData('BYTES', '["é\\u0000","","\\ufeff"]', '[3]');
    expect((data as Uint8Array[]).map(hex)).toEqual(['c3a900', '', 'efbbbf']);
  });

  test.each<[string, string, string]>([
    ['BOOL', '1', 'TENSOR_VALUE_INVALID'],
    ['BOOL', '"true"', 'TENSOR_VALUE_INVALID'],
    ['BOOL', 'null', 'TENSOR_VALUE_INVALID'],
    ['UINT8', '-1', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT8', '256', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT8', '18446744073709551616', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT8', '1e300', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT16', '65536', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT32', '4294967296', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT64', '-1', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT64', '18446744073709551616', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['UINT64', '1e18', 'TENSOR_VALUE_INVALID'],
    ['UINT64', '1e20', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT8', '128', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT8', '-129', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT8', '0.5', 'TENSOR_VALUE_INVALID'],
    ['INT8', 'true', 'TENSOR_VALUE_INVALID'],
    ['INT8', '"1"', 'TENSOR_VALUE_INVALID'],
    ['INT8', '[1]', 'TENSOR_VALUE_INVALID'],
    ['INT16', '32768', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT32', '-2147483649', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT64', '9223372036854775808', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT64', '-9223372036854775809', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT64', '9007199254740993.0', 'TENSOR_VALUE_INVALID'],
    ['INT64', '1.5', 'TENSOR_VALUE_INVALID'],
    ['INT64', 'null', 'TENSOR_VALUE_INVALID'],
    ['FP32', '3.4028236e38', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['FP32', '-1e39', 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['FP32', '"1"', 'TENSOR_VALUE_INVALID'],
    ['FP32', '{}', 'TENSOR_VALUE_INVALID'],
    ['FP64', 'true', 'TENSOR_VALUE_INVALID'],
    ['FP64', 'NaN', 'JSON_NUMBER_NOT_FINITE'],
    ['BYTES', '1', 'TENSOR_VALUE_INVALID'],
    ['BYTES', 'null', 'TENSOR_VALUE_INVALID'],
  ])('refuses %s %s', (datatype, json, code) => {
    const good = datatype === 'BOOL' ? 'true' : datatype === 'BYTES' ? '""' : '1';
    const run = () => parseData(datatype, `[${good},${good},${json}]`, '[3]');
    expect(codeAndField(run)).toEqual([code, 'inputs[0].data[2]']);
  });

  test('a refusal names the tensor and the datatype, not the value', () => {
    const { message } = refusal(() => parseData('INT8', '[4711]'));
    expect(message).toContain('inputs[0].data[0] ("x", INT8)');
    expect(message).not.toContain('4711');
    const long = utf8(`{"inputs":[{"name":"\\n${'y'.repeat(99)}","shape":[1],"datatype":"INT8","data":[]}]}`);
    expect(refusal(() => parseInferRequest(long, null)).message).toContain(`("\\u{a}${'y'.repeat(63)}…", INT8)`);
  });

  test.each(['FP16', 'BF16'])('%s only comes as binary data', (datatype) => {
    expect(codeAndField(() => parseData(datatype, '[1.5]'))).toEqual([
      'TENSOR_DATATYPE_BINARY_ONLY',
      'inputs[0].datatype',
    ]);
    expect(parseBinary(datatype, '[2]', Uint8Array.of(1, 2, 3, 4)).data).toEqual(Uint8Array.of(1, 2, 3, 4));
  });

  test('binary data carries NaN, infinities and bytes that are not text', () => {
    const floats = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, -0);
    const input = parseBinary('FP32', '[3]', new Uint8Array(floats.buffer));
    expect(tensorValues(input)).toEqual(floats);
    const { data } = parseBinary('BYTES', '[2]', Uint8Array.of(1, 0, 0, 0, 0xff, 0, 0, 0, 0));
    expect(data).toEqual([Uint8Array.of(0xff), new Uint8Array(0)]);
  });
});

describe('shape', () => {
  test.each([
    ['[]', '[7]', '07'],
    ['[0]', '[]', ''],
    ['[2,0]', '[]', ''],
    ['[2,0]', '[[],[]]', ''],
    ['[0,9007199254740991]', '[]', ''],
    ['[1,1,1]', '[[[7]]]', '07'],
    ['[2,3]', '[1,2,3,4,5,6]', '010203040506'],
    ['[2,3]', '[[1,2,3],[4,5,6]]', '010203040506'],
    ['[2,1,2]', '[[[1,2]],[[3,4]]]', '01020304'],
    [`[${Array(32).fill(1)}]`, `${'['.repeat(32)}7${']'.repeat(32)}`, '07'],
  ])('shape %s takes %s', (shape, data, expected) => {
    expect(hex(parseData('UINT8', data, shape).data as Uint8Array)).toBe(expected);
  });

  test.each([
    ['[]', '[]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[]', '[1,2]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[]', '[[1]]', 'TENSOR_VALUE_INVALID', '.data[0]'],
    ['[0]', '[1]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[3]', '[1,2]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[4]', '[[1,2],[3,4]]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[2,2]', '[1,2,3]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[2,2]', '[1,2,[3],4]', 'TENSOR_VALUE_INVALID', '.data[2]'],
    ['[2,2]', '[[1,2],[3]]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data[1]'],
    ['[2,2]', '[[1],[2,3,4]]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data[0]'],
    ['[2,2]', '[[1,2],[3,4],[5,6]]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
    ['[2,2]', '[[1,2],3]', 'TENSOR_SHAPE_MISMATCH', '.data[1]'],
    ['[2,2]', '[[1,2],[3,[4]]]', 'TENSOR_VALUE_INVALID', '.data[1][1]'],
    ['[2,2,1]', '[[[1],[2]],[[3],4]]', 'TENSOR_SHAPE_MISMATCH', '.data[1][1]'],
    ['[2,3]', '[[1,2,3],[4,5,300]]', 'TENSOR_VALUE_OUT_OF_RANGE', '.data[1][2]'],
    ['[1]', '7', 'REQUEST_FIELD_INVALID', '.data'],
    ['[1]', 'null', 'REQUEST_FIELD_INVALID', '.data'],
    ['[1]', '{}', 'REQUEST_FIELD_INVALID', '.data'],
    ['7', '[1]', 'REQUEST_FIELD_INVALID', '.shape'],
    ['[-1]', '[1]', 'REQUEST_FIELD_INVALID', '.shape[0]'],
    ['[1,1.5]', '[1]', 'REQUEST_FIELD_INVALID', '.shape[1]'],
    ['["1"]', '[1]', 'REQUEST_FIELD_INVALID', '.shape[0]'],
    ['[9007199254740992]', '[1]', 'REQUEST_FIELD_INVALID', '.shape[0]'],
    ['[4294967296,4294967296]', '[1]', 'REQUEST_FIELD_INVALID', '.shape'],
    ['[0,4294967296,4294967296]', '[]', 'REQUEST_FIELD_INVALID', '.shape'],
    [`[${Array(33).fill(1)}]`, '[1]', 'REQUEST_FIELD_INVALID', '.shape'],
    ['[9007199254740991]', '[1]', 'TENSOR_ELEMENT_COUNT_MISMATCH', '.data'],
  ])('shape %s refuses %s', (shape, data, code, at) => {
    expect(codeAndField(() => parseData('UINT8', data, shape))).toEqual([code, `inputs[0]${at}`]);
  });
});

describe('the request object', () => {
  const good = { name: 'x', shape: [1], datatype: 'INT8', data: [1] };
  const parse = (request: unknown) => parseInferRequest(utf8(JSON.stringify(request)), null);

  test('gives what was asked for', () => {
    const request = parse({
      id: 'é-1',
      model_name: 'mnist',
      parameters: { binary_data_output: true, priority: 1, timeout: 5, note: 'hi' },
      inputs: [{ ...good, parameters: { content_type: 'np' } }],
      outputs: [{ name: 'a' }, { name: 'b', parameters: { binary_data: false } }],
    });
    expect(request).toEqual({
      id: 'é-1',
      modelName: 'mnist',
      parameters: new Map<string, unknown>([
        ['binary_data_output', true],
        ['priority', 1],
        ['timeout', 5],
        ['note', 'hi'],
      ]),
      inputs: [{ name: 'x', shape: [1], datatype: 'INT8', data: Uint8Array.of(1) }],
      outputs: [
        { name: 'a', binary: true },
        { name: 'b', binary: false },
      ],
      binaryOutput: true,
    });
    expect(parse({ inputs: [] })).toEqual({ parameters: new Map(), inputs: [], outputs: null, binaryOutput: false });
    expect(parse({ inputs: [], outputs: [] }).outputs).toBeNull();
  });

  test.each<[unknown, string, string]>([
    [[], 'REQUEST_FIELD_INVALID', 'body'],
    [1, 'REQUEST_FIELD_INVALID', 'body'],
    [{}, 'REQUEST_FIELD_INVALID', 'inputs'],
    [{ inputs: {} }, 'REQUEST_FIELD_INVALID', 'inputs'],
    [{ inputs: [1] }, 'REQUEST_FIELD_INVALID', 'inputs[0]'],
    [{ inputs: [good], id: 1 }, 'REQUEST_FIELD_INVALID', 'id'],
    [{ inputs: [good], id: null }, 'REQUEST_FIELD_INVALID', 'id'],
    [{ inputs: [good], model_name: 1 }, 'REQUEST_FIELD_INVALID', 'model_name'],
    [{ inputs: [good], input: [] }, 'REQUEST_FIELD_INVALID', 'input'],
    [{ inputs: [good], 'a\nb': [] }, 'REQUEST_FIELD_INVALID', 'a\\u{a}b'],
    [{ inputs: [good], parameters: [] }, 'REQUEST_FIELD_INVALID', 'parameters'],
    [{ inputs: [good], parameters: { a: [] } }, 'REQUEST_FIELD_INVALID', 'parameters.a'],
    [{ inputs: [good], parameters: { a: null } }, 'REQUEST_FIELD_INVALID', 'parameters.a'],
    [
      { inputs: [good], parameters: { binary_data_output: 1 } },
      'REQUEST_FIELD_INVALID',
      'parameters.binary_data_output',
    ],
    [{ inputs: [good], parameters: { sequence_id: 1 } }, 'REQUEST_PARAMETER_UNSUPPORTED', 'parameters.sequence_id'],
    [
      { inputs: [good], parameters: { sequence_start: true } },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'parameters.sequence_start',
    ],
    [
      { inputs: [good], parameters: { sequence_end: true } },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'parameters.sequence_end',
    ],
    [{ inputs: [good], outputs: {} }, 'REQUEST_FIELD_INVALID', 'outputs'],
    [{ inputs: [good], outputs: ['a'] }, 'REQUEST_FIELD_INVALID', 'outputs[0]'],
    [{ inputs: [good], outputs: [{}] }, 'REQUEST_FIELD_INVALID', 'outputs[0].name'],
    [{ inputs: [good], outputs: [{ name: 'a', shape: [] }] }, 'REQUEST_FIELD_INVALID', 'outputs[0].shape'],
    [
      { inputs: [good], outputs: [{ name: 'a', parameters: { binary_data: 'yes' } }] },
      'REQUEST_FIELD_INVALID',
      'outputs[0].parameters.binary_data',
    ],
    [
      { inputs: [good], outputs: [{ name: 'a', parameters: { classification: 3 } }] },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'outputs[0].parameters.classification',
    ],
    [
      { inputs: [{ ...good, parameters: { shared_memory_region: 'r' } }] },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'inputs[0].parameters.shared_memory_region',
    ],
    [
      { inputs: [{ ...good, parameters: { shared_memory_offset: 0 } }] },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'inputs[0].parameters.shared_memory_offset',
    ],
    [
      { inputs: [{ ...good, parameters: { shared_memory_byte_size: 1 } }] },
      'REQUEST_PARAMETER_UNSUPPORTED',
      'inputs[0].parameters.shared_memory_byte_size',
    ],
    [{ inputs: [{ ...good, name: undefined }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].name'],
    [{ inputs: [{ ...good, name: 5 }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].name'],
    [{ inputs: [good, { ...good, datatype: 'FLOAT' }] }, 'TENSOR_DATATYPE_UNKNOWN', 'inputs[1].datatype'],
    [{ inputs: [{ ...good, datatype: 'int8' }] }, 'TENSOR_DATATYPE_UNKNOWN', 'inputs[0].datatype'],
    [{ inputs: [{ ...good, datatype: 'toString' }] }, 'TENSOR_DATATYPE_UNKNOWN', 'inputs[0].datatype'],
    [{ inputs: [{ ...good, datatype: 8 }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].datatype'],
    [{ inputs: [{ ...good, shape: undefined }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].shape'],
    [{ inputs: [{ ...good, data: undefined }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].data'],
    [{ inputs: [{ ...good, dtype: 'x' }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].dtype'],
    [{ inputs: [{ ...good, parameters: { binary_data_size: 1 } }] }, 'REQUEST_FIELD_INVALID', 'inputs[0].data'],
    [
      { inputs: [{ ...good, data: undefined, parameters: { binary_data_size: -1 } }] },
      'REQUEST_FIELD_INVALID',
      'inputs[0].parameters.binary_data_size',
    ],
    [
      { inputs: [{ ...good, data: undefined, parameters: { binary_data_size: '1' } }] },
      'REQUEST_FIELD_INVALID',
      'inputs[0].parameters.binary_data_size',
    ],
    [
      { inputs: [{ ...good, data: undefined, parameters: { binary_data_size: 1.5 } }] },
      'REQUEST_FIELD_INVALID',
      'inputs[0].parameters.binary_data_size',
    ],
    [
      { inputs: [{ ...good, data: undefined, parameters: { binary_data_size: 1 } }] },
      'REQUEST_HEADER_INVALID',
      'Inference-Header-Content-Length',
    ],
  ])('refuses %j', (request, code, field) => {
    expect(codeAndField(() => parse(request))).toEqual([code, field]);
  });

  test('refuses JSON that two readers would read differently', () => {
    const body = utf8('{"inputs":[],"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]}');
    expect(refusal(() => parseInferRequest(body, null)).code).toBe('JSON_MALFORMED');
  });

  test('holds tensors to a memory limit before it makes them', () => {
    const body = utf8(
      JSON.stringify({ inputs: [good, { ...good, name: 'y', datatype: 'FP64', shape: [4], data: [1, 2, 3, 4] }] }),
    );
    expect(parseInferRequest(body, null, { maxTensorBytes: 33 }).inputs).toHaveLength(2);
    expect(codeAndField(() => parseInferRequest(body, null, { maxTensorBytes: 32 }))).toEqual([
      'INPUT_MEMORY_EXCEEDED',
      'inputs[1]',
    ]);
    const json = oneInput('"shape":[1000],"datatype":"BYTES","parameters":{"binary_data_size":4000}');
    const parseBytes = (maxTensorBytes: number) =>
      parseInferRequest(concat(json, new Uint8Array(4000)), json.length, { maxTensorBytes });
    expect(parseBytes(200_000).inputs[0]?.data).toHaveLength(1000);
    expect(refusal(() => parseBytes(199_999)).code).toBe('INPUT_MEMORY_EXCEEDED');
  });
});

describe('the binary part', () => {
  const inputs = [
    tensor('a', 'UINT32', [2, 2], [1, 2, 3, 4]),
    tensor('b', 'BYTES', [2], ['é', '']),
    tensor('c', 'BOOL', [3], [true, false, true]),
    tensor('d', 'FP16', [], Uint16Array.of(0x3c00)),
  ];
  const encoded = encodeInferRequest({ inputs, binary: true, id: '7' });

  test('is JSON ‖ tensors in input order', () => {
    expect(encoded.contentType).toBe('application/octet-stream');
    const jsonLength = encoded.jsonLength as number;
    expect(fromUtf8(encoded.body.subarray(0, jsonLength))).toBe(
      '{"id":"7","parameters":{"binary_data_output":true},"inputs":[' +
        '{"name":"a","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},' +
        '{"name":"b","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}},' +
        '{"name":"c","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}},' +
        '{"name":"d","shape":[],"datatype":"FP16","parameters":{"binary_data_size":2}}]}',
    );
    expect(hex(encoded.body.subarray(jsonLength))).toBe(
      '01000000020000000300000004000000' + '02000000c3a900000000' + '010001' + '003c',
    );
    expect(parseEncoded(encoded).inputs).toEqual(inputs);
  });

  test('may stand beside inputs in JSON', () => {
    const json = utf8(
      '{"inputs":[{"name":"a","shape":[1],"datatype":"INT8","data":[1]},' +
        '{"name":"b","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}},' +
        '{"name":"c","shape":[1],"datatype":"INT8","data":[4]}]} \n',
    );
    const { inputs } = parseInferRequest(concat(json, Uint8Array.of(2, 3)), json.length);
    expect(inputs.map(({ data }) => [...(data as Uint8Array)])).toEqual([[1], [2, 3], [4]]);
  });

  test('does not share memory with the body', () => {
    const body = new Uint8Array(encoded.body);
    const request = parseInferRequest(body, encoded.jsonLength);
    body.fill(0xaa);
    expect(request.inputs).toEqual(inputs);
  });

  test('is read from a Node Buffer, too', () => {
    const request = parseInferRequest(Buffer.from(encoded.body), encoded.jsonLength);
    expect(request.inputs).toEqual(inputs);
  });

  test('a body cut at any length is refused as truncated', () => {
    for (let length = 0; length < encoded.body.length; length++) {
      const run = () => parseInferRequest(encoded.body.subarray(0, length), encoded.jsonLength);
      expect(refusal(run).code).toBe('BINARY_TRUNCATED');
    }
  });

  test('a body with bytes left over is refused', () => {
    const run = () => parseInferRequest(concat(encoded.body, Uint8Array.of(0)), encoded.jsonLength);
    expect(codeAndField(run)).toEqual(['BINARY_SIZE_MISMATCH', 'body']);
    const json = oneInput('"shape":[1],"datatype":"INT8","data":[1]');
    expect(parseInferRequest(json, json.length).inputs).toHaveLength(1);
    const extra = () => parseInferRequest(concat(json, Uint8Array.of(0)), json.length);
    expect(refusal(extra).code).toBe('BINARY_SIZE_MISMATCH');
  });

  test('a JSON length that is too short or too long is refused', () => {
    const run = (shift: number) => () => parseInferRequest(encoded.body, (encoded.jsonLength as number) + shift);
    expect(refusal(run(-1)).code).toBe('JSON_MALFORMED');
    expect(refusal(run(1)).code).toBe('JSON_MALFORMED');
    expect(codeAndField(run(1000))).toEqual(['BINARY_TRUNCATED', 'Inference-Header-Content-Length']);
    expect(refusal(() => parseInferRequest(encoded.body, null)).code).toBe('JSON_MALFORMED');
    expect(() => parseInferRequest(encoded.body, -1)).toThrow(TypeError);
    expect(() => parseInferRequest(encoded.body, 0.5)).toThrow(TypeError);
  });

  const SIZE = 'inputs[0].parameters.binary_data_size';
  test.each<[string, string, readonly number[], string, string]>([
    ['INT16', '[2]', [1, 2], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['INT16', '[2]', [1, 2, 3], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['INT16', '[2]', [1, 2, 3, 4, 5, 6], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['INT16', '[0]', [1, 2], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['FP64', '[9007199254740991]', [1, 2], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BOOL', '[2]', [1, 2], 'TENSOR_VALUE_INVALID', 'inputs[0]'],
    ['BYTES', '[1]', [], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[1]', [0, 0, 0], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[9007199254740991]', [0, 0, 0, 0], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[0]', [0, 0, 0, 0], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[1]', [0, 0, 0, 0, 0, 0, 0, 0], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[1]', [0, 0, 0, 0, 9, 0, 0, 0], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[2]', [4, 0, 0, 0, 1, 2, 3, 4], 'TENSOR_ELEMENT_COUNT_MISMATCH', SIZE],
    ['BYTES', '[1]', [2, 0, 0, 0, 1], 'BINARY_SIZE_MISMATCH', SIZE],
    ['BYTES', '[1]', [255, 255, 255, 255, 1], 'BINARY_SIZE_MISMATCH', SIZE],
    ['BYTES', '[2]', [1, 0, 0, 0, 1, 0, 0, 0], 'BINARY_SIZE_MISMATCH', SIZE],
  ])('%s %s refuses the bytes %j', (datatype, shape, data, code, field) => {
    expect(codeAndField(() => parseBinary(datatype, shape, Uint8Array.from(data)))).toEqual([code, field]);
  });

  test('the header holds a plain length', () => {
    expect(parseJsonLength(undefined)).toBeNull();
    expect(parseJsonLength(null)).toBeNull();
    expect(parseJsonLength('0')).toBe(0);
    expect(parseJsonLength('123')).toBe(123);
    for (const bad of ['', ' 1', '1 ', '-1', '+1', '1.0', '1e3', '0x10', '1,1', '9999999999999999']) {
      expect(codeAndField(() => parseJsonLength(bad))).toEqual([
        'REQUEST_HEADER_INVALID',
        'Inference-Header-Content-Length',
      ]);
    }
  });
});

describe('against the model', () => {
  const specs: readonly TensorSpec[] = [
    { name: 'image', datatype: 'FP32', shape: [-1, 2] },
    { name: 'scale', datatype: 'INT64', shape: [] },
  ];
  const image = tensor('image', 'FP32', [1, 2], [1, 2]);
  const scale = tensor('scale', 'INT64', [], [1n]);

  test('takes the declared inputs in any order, and any size where the model leaves it open', () => {
    checkInputs([image, scale], specs);
    checkInputs([scale, tensor('image', 'FP32', [0, 2], [])], specs);
    checkOutputs(null, specs);
    checkOutputs([{ name: 'scale', binary: false }], specs);
  });

  test.each<[string, readonly Tensor[], string, string]>([
    ['an unknown name', [image, scale, tensor('imag', 'FP32', [1], [1])], 'TENSOR_NAME_UNKNOWN', 'inputs[2].name'],
    ['a name twice', [image, scale, image], 'TENSOR_NAME_DUPLICATE', 'inputs[2].name'],
    ['a missing input', [image], 'TENSOR_MISSING', 'inputs'],
    ['no inputs', [], 'TENSOR_MISSING', 'inputs'],
    [
      'another datatype',
      [scale, tensor('image', 'FP64', [1, 2], [1, 2])],
      'TENSOR_DATATYPE_MISMATCH',
      'inputs[1].datatype',
    ],
    ['another rank', [tensor('image', 'FP32', [2], [1, 2]), scale], 'TENSOR_SHAPE_MISMATCH', 'inputs[0].shape'],
    ['another dimension', [tensor('image', 'FP32', [2, 1], [1, 2]), scale], 'TENSOR_SHAPE_MISMATCH', 'inputs[0].shape'],
    ['a vector for a scalar', [image, tensor('scale', 'INT64', [1], [1])], 'TENSOR_SHAPE_MISMATCH', 'inputs[1].shape'],
  ])('refuses %s', (_, inputs, code, field) => {
    expect(codeAndField(() => checkInputs(inputs, specs))).toEqual([code, field]);
  });

  test('refuses outputs that do not exist or are asked for twice', () => {
    const ask =
      (...names: string[]) =>
      () =>
        checkOutputs(
          names.map((name) => ({ name, binary: false })),
          specs,
        );
    expect(codeAndField(ask('image', 'label'))).toEqual(['TENSOR_NAME_UNKNOWN', 'outputs[1].name']);
    expect(codeAndField(ask('image', 'image'))).toEqual(['TENSOR_NAME_DUPLICATE', 'outputs[1].name']);
  });

  test('a mismatch names both datatypes or shapes', () => {
    const wrong = refusal(() => checkInputs([tensor('image', 'FP64', [1, 2], [1, 2])], specs));
    expect(wrong.message).toMatch(/"image", FP64.*FP32/);
    const shape = refusal(() => checkInputs([tensor('image', 'FP32', [3], [1, 2, 3])], specs));
    expect(shape.message).toContain('[3] does not fit [-1,2]');
  });
});

describe('the response', () => {
  const outputs = [tensor('y', 'FP32', [2], [1.5, -0]), tensor('l', 'INT64', [1], [2n ** 63n - 1n])];
  const answer = { modelName: 'm', modelVersion: '1', outputs };

  test('is JSON unless an output is wanted as binary data', () => {
    const encoded = encodeInferResponse({ ...answer, binary: () => false });
    expect([encoded.jsonLength, encoded.contentType]).toEqual([null, 'application/json']);
    expect(fromUtf8(encoded.body)).toBe(
      '{"model_name":"m","model_version":"1","outputs":[{"name":"y","shape":[2],"datatype":"FP32","data":[1.5,-0.0]},' +
        '{"name":"l","shape":[1],"datatype":"INT64","data":[9223372036854775807]}]}',
    );
  });

  test('mixes both forms, output by output', () => {
    const encoded = encodeInferResponse({ ...answer, id: '', binary: (name) => name === 'l' });
    expect(encoded.contentType).toBe('application/octet-stream');
    expect(hex(encoded.body.subarray(encoded.jsonLength as number))).toBe('ffffffffffffff7f');
    expect(parseInferResponse(encoded.body, encoded.jsonLength)).toEqual({ ...answer, id: '' });
  });

  test.each<[string, Tensor, string, string]>([
    ['NaN', tensor('y', 'FP32', [2], [1, Number.NaN]), 'OUTPUT_NOT_FINITE', 'outputs[0].data[1]'],
    ['−∞', tensor('y', 'FP64', [1], [Number.NEGATIVE_INFINITY]), 'OUTPUT_NOT_FINITE', 'outputs[0].data[0]'],
    ['FP16', tensor('y', 'FP16', [1], Uint16Array.of(0)), 'TENSOR_DATATYPE_BINARY_ONLY', 'outputs[0].datatype'],
    ['BF16', tensor('y', 'BF16', [1], Uint16Array.of(0)), 'TENSOR_DATATYPE_BINARY_ONLY', 'outputs[0].datatype'],
    ['bytes', tensor('y', 'BYTES', [1], [Uint8Array.of(0xff)]), 'OUTPUT_NOT_TEXT', 'outputs[0].data[0]'],
  ])('%s as JSON is refused with advice, as binary data it goes', (_, output, code, field) => {
    const encode = (binary: boolean) => encodeInferResponse({ ...answer, outputs: [output], binary: () => binary });
    const error = refusal(() => encode(false));
    expect([error.code, error.field]).toEqual([code, field]);
    expect(error.message).toContain('ask for this output as binary data');
    const { body, jsonLength } = encode(true);
    expect(parseInferResponse(body, jsonLength).outputs).toEqual([output]);
  });

  test('the same inputs are refused when a client would send them as JSON', () => {
    const code = (input: Tensor) => refusal(() => encodeInferRequest({ inputs: [input], binary: false })).code;
    expect(code(tensor('x', 'FP32', [1], [Number.NaN]))).toBe('JSON_NUMBER_NOT_FINITE');
    expect(code(tensor('x', 'BYTES', [1], [Uint8Array.of(0xff)]))).toBe('TENSOR_VALUE_INVALID');
    expect(code(tensor('x', 'FP16', [1], Uint16Array.of(0)))).toBe('TENSOR_DATATYPE_BINARY_ONLY');
  });

  test('ignores what other servers add', () => {
    const body = utf8(
      '{"model_name":"m","parameters":{"sequence":null},"x":1,"outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[1],"z":[]}]}',
    );
    expect(parseInferResponse(body, null)).toEqual({ modelName: 'm', outputs: [tensor('y', 'INT8', [1], [1])] });
  });

  test.each<[string, string, string]>([
    ['{"outputs":[]}', 'REQUEST_FIELD_INVALID', 'model_name'],
    ['{"model_name":"m"}', 'REQUEST_FIELD_INVALID', 'outputs'],
    ['{"error":"no"}', 'REQUEST_FIELD_INVALID', 'model_name'],
    [
      '{"model_name":"m","outputs":[{"name":"y","shape":[2],"datatype":"INT8","data":[1]}]}',
      'TENSOR_ELEMENT_COUNT_MISMATCH',
      'outputs[0].data',
    ],
    [
      '{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[1]},{"name":"y","shape":[1],"datatype":"INT8","data":[1]}]}',
      'TENSOR_NAME_DUPLICATE',
      'outputs[1].name',
    ],
    ['<html>', 'JSON_MALFORMED', 'body'],
  ])('refuses %s as an invalid answer', (text, code, field) => {
    const error = refusal(() => parseInferResponse(utf8(text), null));
    expect([error.code, error.field]).toEqual(['SERVICE_ANSWER_INVALID', field]);
    expect((error.cause as CodedError).code).toBe(code);
  });

  test('data that does not fit its shape is a mistake of the caller', () => {
    const broken = { ...tensor('y', 'FP32', [1], [1]), shape: [2] };
    expect(() => encodeInferResponse({ ...answer, outputs: [broken], binary: () => true })).toThrow(TypeError);
  });
});

describe('properties', () => {
  test('a request comes back as it was sent', () => {
    const outputs = fc.uniqueArray(fc.record({ name: fc.string(), binary: fc.boolean() }), {
      minLength: 1,
      maxLength: 3,
      selector: ({ name }) => name,
    });
    const request = fc.boolean().chain((binary) =>
      fc.record(
        {
          binary: fc.constant(binary),
          inputs: tensorsOf(binary ? datatypes : jsonDatatypes),
          id: fc.string({ unit: 'binary' }),
          outputs,
        },
        { requiredKeys: ['binary', 'inputs'] },
      ),
    );
    fc.assert(
      fc.property(request, (sent) => {
        const { parameters, ...got } = parseEncoded(encodeInferRequest(sent));
        const { binary, ...rest } = sent;
        expect(got).toEqual({ outputs: null, ...rest, binaryOutput: binary });
        expect(parameters.size).toBe(binary ? 1 : 0);
      }),
    );
  });

  test('a response comes back as it was sent', () => {
    const response = fc.record(
      {
        modelName: fc.string(),
        modelVersion: fc.string(),
        id: fc.string(),
        outputs: tensorsOf(datatypes),
        mask: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      },
      { requiredKeys: ['modelName', 'modelVersion', 'outputs', 'mask'] },
    );
    fc.assert(
      fc.property(response, ({ mask, ...sent }) => {
        const binary = (name: string) => {
          const i = sent.outputs.findIndex((output) => output.name === name);
          return mask[i] === true || isBits(sent.outputs[i]?.datatype as Datatype);
        };
        const { body, jsonLength, contentType } = encodeInferResponse({ ...sent, binary });
        expect(contentType).toBe(jsonLength === null ? 'application/json' : 'application/octet-stream');
        expect(parseInferResponse(body, jsonLength)).toEqual(sent);
      }),
    );
  });

  /** Runs a reader over damaged input: only coded refusals may come out. */
  const coded = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  };

  test('random bytes are read or refused with a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.option(fc.nat({ max: 70 })), (body, jsonLength) => {
        coded(() => parseInferRequest(body, jsonLength));
        coded(() => parseInferResponse(body, jsonLength));
      }),
      { numRuns: 2000 },
    );
  });

  test('a changed byte or JSON of another form is read or refused with a code', () => {
    const { body, jsonLength } = encodeInferRequest({
      inputs: [tensor('a', 'BYTES', [2], ['é', 'b']), tensor('b', 'BOOL', [2], [true, false])],
      outputs: [{ name: 'y', binary: true }],
      binary: true,
    });
    for (let i = 0; i < body.length; i++) {
      for (const mask of [1, 4, 16, 128]) {
        const changed = new Uint8Array(body);
        changed[i] = (changed[i] as number) ^ mask;
        coded(() => parseInferRequest(changed, jsonLength));
      }
    }
    const member = fc.constantFrom('name', 'shape', 'datatype', 'data', 'parameters', 'binary_data_size', '__proto__');
    const leaf = fc.oneof(fc.constantFrom('INT8', 'BYTES', 0, 1, -1, 2 ** 53), fc.boolean(), fc.constant(null));
    const { any } = fc.letrec((tie) => ({
      any: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('any')), fc.dictionary(member, tie('any'))),
    }));
    const request = fc.record(
      { inputs: fc.oneof(fc.array(any), any), outputs: any, parameters: any },
      { requiredKeys: ['inputs'] },
    );
    fc.assert(
      fc.property(request, (json) => coded(() => parseInferRequest(utf8(JSON.stringify(json)), null))),
      { numRuns: 1000 },
    );
  });
});

describe('typed arrays', () => {
  test('each datatype has its own', () => {
    expect(tensorValues(tensor('x', 'BOOL', [2], [true, false]))).toEqual(Uint8Array.of(1, 0));
    expect(tensorValues(tensor('x', 'INT8', [1], [-1]))).toEqual(Int8Array.of(-1));
    expect(tensorValues(tensor('x', 'UINT16', [1], [65535]))).toEqual(Uint16Array.of(65535));
    expect(tensorValues(tensor('x', 'INT64', [2], [-1, 2n ** 62n]))).toEqual(BigInt64Array.of(-1n, 2n ** 62n));
    expect(tensorValues(tensor('x', 'UINT64', [1], [2n ** 64n - 1n]))).toEqual(BigUint64Array.of(2n ** 64n - 1n));
    expect(tensorValues(tensor('x', 'FP16', [1], Uint16Array.of(0x3c00)))).toEqual(Uint16Array.of(0x3c00));
    expect(tensorValues(tensor('x', 'FP32', [1], [Number.NaN]))).toEqual(Float32Array.of(Number.NaN));
    expect(tensorValues(tensor('x', 'FP64', [], [0.1]))).toEqual(Float64Array.of(0.1));
    const text = tensor('x', 'BYTES', [2], ['é', Uint8Array.of(0xff)]);
    expect(tensorValues(text)).toEqual([utf8('é'), Uint8Array.of(0xff)]);
    expect(refusal(() => tensorTexts(text)).code).toBe('OUTPUT_NOT_TEXT');
    expect(tensorTexts(tensor('x', 'BYTES', [1], ['é']))).toEqual(['é']);
  });

  test('data that does not lie on its boundary is read all the same', () => {
    const memory = Uint8Array.of(9, 0, 0, 0x80, 0x3f);
    const values = tensorValues({ name: 'x', datatype: 'FP32', shape: [1], data: memory.subarray(1) });
    expect(values).toEqual(Float32Array.of(1));
  });

  test('a tensor keeps a copy', () => {
    const values = Float32Array.of(9, 1, 2).subarray(1);
    const made = tensor('x', 'FP32', [2], values);
    values.fill(0);
    expect(tensorValues(made)).toEqual(Float32Array.of(1, 2));
    const buffer = Buffer.of(1, 2); // its slice() is a view
    const bytes = tensor('x', 'UINT8', [2], buffer);
    buffer.fill(0);
    expect(tensorValues(bytes)).toEqual(Uint8Array.of(1, 2));
  });

  test.each<[Datatype, readonly number[], ArrayLike<number | bigint | boolean | string>, string]>([
    ['INT8', [2], [1], 'TENSOR_ELEMENT_COUNT_MISMATCH'],
    ['INT8', [1], [128], 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT8', [1], [Number.NaN], 'TENSOR_VALUE_INVALID'],
    ['INT8', [1], Float32Array.of(1.5), 'TENSOR_VALUE_INVALID'],
    ['INT64', [1], [2n ** 63n], 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['INT64', [1], [2 ** 53], 'TENSOR_VALUE_INVALID'],
    ['BOOL', [1], Uint8Array.of(2), 'TENSOR_VALUE_INVALID'],
    ['BOOL', [1], [1], 'TENSOR_VALUE_INVALID'],
    ['FP32', [1], [1e39], 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['FP64', [1], [10n ** 400n], 'TENSOR_VALUE_OUT_OF_RANGE'],
    ['FP16', [1], [1], 'TENSOR_DATATYPE_BINARY_ONLY'],
    ['BYTES', [1], [1], 'TENSOR_VALUE_INVALID'],
    ['FP32', [-1, -1], [1], 'REQUEST_FIELD_INVALID'],
  ])('%s %j refuses %s', (datatype, shape, values, code) => {
    expect(refusal(() => tensor('x', datatype, shape, values)).code).toBe(code);
  });

  test('text with a lone surrogate is refused', () => {
    expect(refusal(() => tensor('x', 'BYTES', [1], ['\ud800'])).code).toBe('TENSOR_VALUE_INVALID');
  });
});
