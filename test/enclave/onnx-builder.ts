/** Writes small ONNX models for tests. Field numbers: onnx.proto3 of ONNX 1.17. */
import protobuf from 'protobufjs/light.js';

type Field = readonly [id: number, type: string, rule?: 'repeated'];
const message = (fields: Record<string, Field>) => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [id, type, rule]]) => [name, { id, type, ...(rule ? { rule } : {}) }]),
  ),
});

const root = protobuf.Root.fromJSON({
  options: { syntax: 'proto3' },
  nested: {
    OperatorSetId: message({ domain: [1, 'string'], version: [2, 'int64'] }),
    StringStringEntry: message({ key: [1, 'string'], value: [2, 'string'] }),
    Tensor: message({
      dims: [1, 'int64', 'repeated'],
      dataType: [2, 'int32'],
      floatData: [4, 'float', 'repeated'],
      int32Data: [5, 'int32', 'repeated'],
      stringData: [6, 'bytes', 'repeated'],
      int64Data: [7, 'int64', 'repeated'],
      name: [8, 'string'],
      rawData: [9, 'bytes'],
      doubleData: [10, 'double', 'repeated'],
      uint64Data: [11, 'uint64', 'repeated'],
      externalData: [13, 'StringStringEntry', 'repeated'],
      dataLocation: [14, 'int32'],
    }),
    SparseTensor: message({ values: [1, 'Tensor'], indices: [2, 'Tensor'], dims: [3, 'int64', 'repeated'] }),
    Dimension: message({ dimValue: [1, 'int64'], dimParam: [2, 'string'] }),
    Shape: message({ dim: [1, 'Dimension', 'repeated'] }),
    TensorType: message({ elemType: [1, 'int32'], shape: [2, 'Shape'] }),
    ElementType: message({ elemType: [1, 'Type'] }),
    MapType: message({ keyType: [1, 'int32'], valueType: [2, 'Type'] }),
    Type: message({
      tensorType: [1, 'TensorType'],
      sequenceType: [4, 'ElementType'],
      mapType: [5, 'MapType'],
      sparseTensorType: [8, 'TensorType'],
      optionalType: [9, 'ElementType'],
    }),
    ValueInfo: message({ name: [1, 'string'], type: [2, 'Type'] }),
    Attribute: message({
      name: [1, 'string'],
      f: [2, 'float'],
      i: [3, 'int64'],
      s: [4, 'bytes'],
      t: [5, 'Tensor'],
      g: [6, 'Graph'],
      floats: [7, 'float', 'repeated'],
      ints: [8, 'int64', 'repeated'],
      strings: [9, 'bytes', 'repeated'],
      tensors: [10, 'Tensor', 'repeated'],
      graphs: [11, 'Graph', 'repeated'],
      type: [20, 'int32'],
      sparseTensor: [22, 'SparseTensor'],
    }),
    Node: message({
      input: [1, 'string', 'repeated'],
      output: [2, 'string', 'repeated'],
      name: [3, 'string'],
      opType: [4, 'string'],
      attribute: [5, 'Attribute', 'repeated'],
      domain: [7, 'string'],
    }),
    Graph: message({
      node: [1, 'Node', 'repeated'],
      name: [2, 'string'],
      initializer: [5, 'Tensor', 'repeated'],
      input: [11, 'ValueInfo', 'repeated'],
      output: [12, 'ValueInfo', 'repeated'],
      sparseInitializer: [15, 'SparseTensor', 'repeated'],
    }),
    Function: message({
      name: [1, 'string'],
      input: [4, 'string', 'repeated'],
      output: [5, 'string', 'repeated'],
      node: [7, 'Node', 'repeated'],
      opsetImport: [9, 'OperatorSetId', 'repeated'],
      domain: [10, 'string'],
    }),
    Model: message({
      irVersion: [1, 'int64'],
      producerName: [2, 'string'],
      graph: [7, 'Graph'],
      opsetImport: [8, 'OperatorSetId', 'repeated'],
      functions: [25, 'Function', 'repeated'],
    }),
  },
});

export const FLOAT = 1;
export const INT64 = 7;
export const STRING = 8;
export const ATTRIBUTE = { FLOAT: 1, INT: 2, STRING: 3, TENSOR: 4, GRAPH: 5, INTS: 7 } as const;

type Json = Record<string, unknown>;

const encode = (type: string, value: Json): Uint8Array<ArrayBuffer> =>
  new Uint8Array(root.lookupType(type).encode(root.lookupType(type).create(value)).finish());

export const tensorFile = (tensor: Json): Uint8Array<ArrayBuffer> => encode('Tensor', tensor);

/** A text dimension is symbolic; shape null declares no shape at all. */
export const value = (name: string, elemType: number, shape: readonly (number | string)[] | null): Json => ({
  name,
  type: {
    tensorType: {
      elemType,
      ...(shape && {
        shape: { dim: shape.map((d) => (typeof d === 'string' ? { dimParam: d } : { dimValue: d })) },
      }),
    },
  },
});

export const node = (opType: string, input: readonly string[], output: readonly string[], more: Json = {}): Json => ({
  opType,
  input,
  output,
  name: `${opType.toLowerCase()}_${output[0]}`,
  ...more,
});

export const floats = (values: readonly number[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Float32Array.from(values).buffer);

export const initializer = (name: string, dims: readonly number[], values: readonly number[]): Json => ({
  name,
  dims,
  dataType: FLOAT,
  rawData: floats(values),
});

export const external = (name: string, dims: readonly number[], facts: Record<string, string>): Json => ({
  name,
  dims,
  dataType: FLOAT,
  dataLocation: 1,
  externalData: Object.entries(facts).map(([key, value]) => ({ key, value })),
});

export const model = (graph: Json, more: Json = {}): Uint8Array<ArrayBuffer> =>
  encode('Model', {
    irVersion: 8,
    producerName: 'veritee-test',
    opsetImport: [{ domain: '', version: 17 }],
    graph: { name: 'g', ...graph },
    ...more,
  });

/** y = x + w, elementwise over four floats; `w` as given. */
export const addModel = (w: Json): Uint8Array<ArrayBuffer> =>
  model({
    node: [node('Add', ['x', 'w'], ['y'])],
    input: [value('x', FLOAT, ['n', 4])],
    output: [value('y', FLOAT, ['n', 4])],
    initializer: [w],
  });
