/** Writes the trained network as an ONNX file, always the same bytes for the same numbers. */
import protobuf from 'protobufjs';

// The part of onnx.proto that is used, with its numbers: https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto
const SCHEMA = `
syntax = "proto2";
message ModelProto {
  optional int64 ir_version = 1;
  optional string producer_name = 2;
  optional string producer_version = 3;
  optional int64 model_version = 5;
  optional string doc_string = 6;
  optional GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8;
}
message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
message GraphProto {
  repeated NodeProto node = 1;
  optional string name = 2;
  repeated TensorProto initializer = 5;
  optional string doc_string = 10;
  repeated ValueInfoProto input = 11;
  repeated ValueInfoProto output = 12;
}
message NodeProto {
  repeated string input = 1;
  repeated string output = 2;
  optional string name = 3;
  optional string op_type = 4;
  repeated AttributeProto attribute = 5;
}
message AttributeProto {
  optional string name = 1;
  optional int64 i = 3;
  repeated int64 ints = 8;
  optional int32 type = 20;
}
message TensorProto {
  repeated int64 dims = 1;
  optional int32 data_type = 2;
  optional string name = 8;
  optional bytes raw_data = 9;
}
message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; optional string doc_string = 3; }
message TypeProto {
  message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
  optional Tensor tensor_type = 1;
}
message TensorShapeProto {
  message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
  repeated Dimension dim = 1;
}
`;
const ModelProto = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType('ModelProto');

// IR 8 with opset 17: ONNX 1.12 of 2022, which every current runtime reads.
const IR_VERSION = 8;
const OPSET = 17;
const FLOAT = 1;
const INT64 = 7;
const BOOL = 9;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;

function tensor(name, dims, values) {
  const raw = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => {
    raw.setFloat32(4 * i, value, true); // the file is little-endian on every machine
  });
  return { name, dims, data_type: FLOAT, raw_data: new Uint8Array(raw.buffer) };
}

const value = (name, elem_type, dims, doc_string) => ({
  name,
  type: {
    tensor_type: {
      elem_type,
      shape: { dim: dims.map((dim) => (typeof dim === 'string' ? { dim_param: dim } : { dim_value: dim })) },
    },
  },
  doc_string,
});

const node = (op_type, input, output, attributes = {}) => ({
  op_type,
  input,
  output: [output],
  name: output,
  attribute: Object.entries(attributes).map(([name, set]) =>
    Array.isArray(set) ? { name, ints: set, type: ATTRIBUTE_INTS } : { name, i: set, type: ATTRIBUTE_INT },
  ),
});

/**
 * @param {ReturnType<typeof import('./network.mjs').train>} network
 * @param {{ name: string, description: string,
 *   readings: readonly { name: string, meaning: string, low: number, high: number }[],
 *   categories: readonly { label: string }[] }} subject
 * @returns {Uint8Array}
 */
export function writeOnnx({ offset, scale, layers }, { name, description, readings, categories }) {
  const width = readings.length;
  const columns = readings.map(({ name: column, meaning, low, high }) => `${column} (${meaning}; ${low} to ${high})`);
  const labels = categories.map(({ label }, i) => `${i} ${label}`).join('; ');
  const last = layers.length - 1;
  const layerNodes = layers.flatMap((_, i) => {
    const input = i === 0 ? 'scaled' : `hidden_${i}`;
    const gemm = (output) => node('Gemm', [input, `weight_${i + 1}`, `bias_${i + 1}`], output, { transB: 1 });
    if (i === last) return [gemm('logits')];
    return [gemm(`linear_${i + 1}`), node('Relu', [`linear_${i + 1}`], `hidden_${i + 1}`)];
  });
  const model = {
    ir_version: IR_VERSION,
    producer_name: 'veritee tools/train-sample-model.mjs',
    producer_version: '1',
    model_version: 1,
    doc_string: description,
    opset_import: [{ domain: '', version: OPSET }],
    graph: {
      name,
      doc_string: description,
      node: [
        node('Max', ['readings', 'low'], 'at_least_low'),
        node('Min', ['at_least_low', 'high'], 'limited'),
        node('Equal', ['readings', 'limited'], 'within'), // false for NaN
        node('Cast', ['within'], 'within_number', { to: FLOAT }),
        node('ReduceMin', ['within_number'], 'all_within', { axes: [1], keepdims: 0 }),
        node('Cast', ['all_within'], 'in_range', { to: BOOL }),
        node('Sub', ['limited', 'offset'], 'centred'),
        node('Div', ['centred', 'scale'], 'scaled'),
        ...layerNodes,
        node('Softmax', ['logits'], 'probabilities', { axis: 1 }),
        node('ArgMax', ['probabilities'], 'category', { axis: 1, keepdims: 0 }),
      ],
      initializer: [
        tensor(
          'low',
          [width],
          readings.map(({ low }) => low),
        ),
        tensor(
          'high',
          [width],
          readings.map(({ high }) => high),
        ),
        tensor('offset', [width], offset),
        tensor('scale', [width], scale),
        ...layers.flatMap(({ inputs, outputs, weights, biases }, i) => [
          tensor(`weight_${i + 1}`, [outputs, inputs], weights),
          tensor(`bias_${i + 1}`, [outputs], biases),
        ]),
      ],
      input: [value('readings', FLOAT, ['batch', width], `columns: ${columns.join(', ')}`)],
      output: [
        value('probabilities', FLOAT, ['batch', categories.length], `of each category: ${labels}`),
        value('category', INT64, ['batch'], `the most probable: ${labels}`),
        value('in_range', BOOL, ['batch'], 'false: a reading lies outside what was trained and was moved to its edge'),
      ],
    },
  };
  const problem = ModelProto.verify(model);
  if (problem) throw new Error(problem);
  return ModelProto.encode(ModelProto.create(model)).finish();
}
