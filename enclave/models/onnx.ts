/**
 * Reads from an ONNX file what must be known before the runtime sees it: what goes in and out, and which tensors keep
 * their values in other files. Streams over the protobuf wire format and keeps no tensor data, so that neither a large
 * model nor a hostile one of millions of empty messages costs memory.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 for the field numbers
 */
import protobuf from 'protobufjs/minimal.js';

type Reader = protobuf.Reader;

/** A graph input or output as the file declares it. */
export interface DeclaredValue {
  readonly name: string;
  /** `unknown` where the file declares no type and leaves it to inference. */
  readonly kind: 'tensor' | 'sequence' | 'map' | 'opaque' | 'sparse tensor' | 'optional' | 'unknown';
  /** TensorProto.DataType of a tensor; 0 where unknown. */
  readonly elemType: number;
  /** False where the file leaves even the number of dimensions open. */
  readonly ranked: boolean;
}

/** A tensor whose values lie in another file. */
export interface ExternalTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly elemType: number;
  /** Keys `location`, `offset`, `length`, `checksum`, as written. */
  readonly facts: readonly (readonly [key: string, value: string])[];
  /** In the places where onnxruntime takes the values from memory; elsewhere it reads the disk. */
  readonly injectable: boolean;
}

export interface OnnxFacts {
  /** Graph order, initializers left out. */
  readonly inputs: readonly DeclaredValue[];
  readonly outputs: readonly DeclaredValue[];
  readonly external: readonly ExternalTensor[];
}

/** The file is not an ONNX model. */
export class NotOnnx extends Error {
  override readonly name = 'NotOnnx';
}

const MAX_SUBGRAPH_DEPTH = 64;
const MAX_COLLECTED = 1 << 20; // of each kind of thing kept
const MAX_EXTERNAL_FACTS = 16; // per tensor
const MAX_RANK = 256;

/** @throws NotOnnx */
export function inspectOnnx(file: Uint8Array): OnnxFacts {
  // "ORTM" at byte 4 makes onnxruntime read the file in its own flatbuffer format, which nothing here has looked at.
  if (String.fromCharCode(...file.subarray(4, 8)) === 'ORTM') throw new NotOnnx('ORT format, not ONNX');
  const found: Found = { inputs: [], outputs: [], initializers: new Set(), external: [] };
  let irVersion = 0;
  let graphs = 0;
  try {
    readFields(protobuf.Reader.create(file), file.length, {
      1: number((value) => {
        irVersion = value;
      }),
      7: nested((reader, end) => {
        graphs++;
        readGraph(reader, end, found, 0);
      }),
      25: nested((reader, end) => readFunction(reader, end, found)),
    });
  } catch (error) {
    if (error instanceof NotOnnx) throw error;
    throw new NotOnnx('not a protobuf message, or cut short', { cause: error });
  }
  if (irVersion === 0 || graphs === 0) throw new NotOnnx('ir_version or graph is missing');
  const inputs = found.inputs.filter(({ name }) => !found.initializers.has(name)); // before IR 4 every initializer is an input too
  return { inputs, outputs: found.outputs, external: found.external };
}

interface Found {
  readonly inputs: DeclaredValue[];
  readonly outputs: DeclaredValue[];
  readonly initializers: Set<string>;
  readonly external: ExternalTensor[];
}

function readGraph(reader: Reader, end: number, found: Found, depth: number): void {
  if (depth > MAX_SUBGRAPH_DEPTH) throw new NotOnnx(`subgraphs nested deeper than ${MAX_SUBGRAPH_DEPTH}`);
  const top = depth === 0;
  const initializer = (name: string) => {
    if (top && found.initializers.add(name).size > MAX_COLLECTED) throw new NotOnnx('too many initializers');
  };
  readFields(reader, end, {
    1: nested((r, e) => readNode(r, e, found, depth)),
    5: nested((r, e) => {
      const tensor = readTensor(r, e);
      initializer(tensor.name);
      keepExternal(found, tensor, top);
    }),
    15: nested((r, e) => {
      for (const tensor of readSparseTensor(r, e)) {
        initializer(tensor.name);
        keepExternal(found, tensor, false);
      }
    }),
    ...(top && {
      11: nested((r, e) => keep(found.inputs, readValueInfo(r, e))),
      12: nested((r, e) => keep(found.outputs, readValueInfo(r, e))),
    }),
  });
}

function readNode(reader: Reader, end: number, found: Found, depth: number): void {
  let opType = '';
  let domain = '';
  const values: TensorHead[] = []; // known to be a Constant's only once the whole node is read
  readFields(reader, end, {
    4: text((value) => {
      opType = value;
    }),
    5: nested((r, e) => readAttribute(r, e, found, depth, values)),
    7: text((value) => {
      domain = value;
    }),
  });
  const constant = depth === 0 && opType === 'Constant' && (domain === '' || domain === 'ai.onnx');
  for (const tensor of values) keepExternal(found, tensor, constant);
}

function readAttribute(reader: Reader, end: number, found: Found, depth: number, values: TensorHead[]): void {
  const inner = nested((r, e) => readGraph(r, e, found, depth + 1));
  const sparse = nested((r, e) => {
    for (const tensor of readSparseTensor(r, e)) keepExternal(found, tensor, false);
  });
  readFields(reader, end, {
    5: nested((r, e) => {
      const tensor = readTensor(r, e);
      if (tensor.external) keep(values, tensor);
    }),
    6: inner,
    10: nested((r, e) => keepExternal(found, readTensor(r, e), false)),
    11: inner,
    22: sparse,
    23: sparse,
  });
}

function readFunction(reader: Reader, end: number, found: Found): void {
  readFields(reader, end, {
    7: nested((r, e) => readNode(r, e, found, 1)),
    11: nested((r, e) => {
      const values: TensorHead[] = [];
      readAttribute(r, e, found, 1, values);
      for (const tensor of values) keepExternal(found, tensor, false);
    }),
  });
}

interface TensorHead {
  readonly name: string;
  readonly dims: readonly number[];
  readonly elemType: number;
  readonly facts: readonly (readonly [string, string])[];
  readonly external: boolean;
}

/** All of a TensorProto but its values. Any sign of external data counts, whichever the runtime would go by. */
function readTensor(reader: Reader, end: number): TensorHead {
  const dims: number[] = [];
  const facts: (readonly [string, string])[] = [];
  let name = '';
  let elemType = 0;
  let location = 0;
  const dimension = (r: Reader) => {
    if (dims.push(Number(r.int64())) > MAX_RANK) throw new NotOnnx(`a tensor of more than ${MAX_RANK} dimensions`);
  };
  readFields(reader, end, {
    1: {
      wireTypes: [VARINT, LENGTH_DELIMITED], // packed or not
      read: (r, wireType) => {
        if (wireType === VARINT) return dimension(r);
        const packedEnd = endOf(r);
        while (r.pos < packedEnd) dimension(r);
        if (r.pos !== packedEnd) throw new NotOnnx('dims run past their end');
      },
    },
    2: number((value) => {
      elemType = value;
    }),
    8: text((value) => {
      name = value;
    }),
    13: nested((r, e) => {
      if (facts.push(readStringPair(r, e)) > MAX_EXTERNAL_FACTS) throw new NotOnnx('too many external_data entries');
    }),
    14: number((value) => {
      location = value;
    }),
  });
  return { name, dims, elemType, facts, external: location !== 0 || facts.length > 0 };
}

function readSparseTensor(reader: Reader, end: number): TensorHead[] {
  const tensors: TensorHead[] = [];
  const tensor = nested((r, e) => keep(tensors, readTensor(r, e)));
  readFields(reader, end, { 1: tensor, 2: tensor });
  return tensors;
}

function readStringPair(reader: Reader, end: number): readonly [string, string] {
  let key = '';
  let value = '';
  readFields(reader, end, {
    1: text((t) => {
      key = t;
    }),
    2: text((t) => {
      value = t;
    }),
  });
  return [key, value];
}

function readValueInfo(reader: Reader, end: number): DeclaredValue {
  let name = '';
  let type: Omit<DeclaredValue, 'name'> = { kind: 'unknown', elemType: 0, ranked: false };
  readFields(reader, end, {
    1: text((value) => {
      name = value;
    }),
    2: nested((r, e) => {
      type = readType(r, e);
    }),
  });
  return { name, ...type };
}

const OTHER_TYPES = { 4: 'sequence', 5: 'map', 7: 'opaque', 8: 'sparse tensor', 9: 'optional' } as const;

function readType(reader: Reader, end: number): Omit<DeclaredValue, 'name'> {
  let type: Omit<DeclaredValue, 'name'> = { kind: 'unknown', elemType: 0, ranked: false };
  const others = Object.entries(OTHER_TYPES).map(([field, kind]) => [
    field,
    nested((r, e) => {
      r.skip(e - r.pos);
      type = { kind, elemType: 0, ranked: false };
    }),
  ]);
  readFields(reader, end, {
    ...Object.fromEntries(others),
    1: nested((r, e) => {
      let elemType = 0;
      let ranked = false;
      readFields(r, e, {
        1: number((value) => {
          elemType = value;
        }),
        2: nested((shape, shapeEnd) => {
          shape.skip(shapeEnd - shape.pos);
          ranked = true;
        }),
      });
      type = { kind: 'tensor', elemType, ranked };
    }),
  });
  return type;
}

function keep<T>(list: T[], item: T): void {
  if (list.push(item) > MAX_COLLECTED) throw new NotOnnx('too many inputs, outputs or external tensors');
}

function keepExternal(found: Found, tensor: TensorHead, injectable: boolean): void {
  const { external, ...head } = tensor;
  if (external) keep(found.external, { ...head, injectable });
}

// ── Wire format ─────────────────────────────────────────────────────────────────────────────────────────────────────

const VARINT = 0;
const LENGTH_DELIMITED = 2;

interface Field {
  readonly wireTypes: readonly number[];
  readonly read: (reader: Reader, wireType: number) => void;
}
type Fields = Readonly<Record<number, Field>>;

const number = (use: (value: number) => void): Field => ({
  wireTypes: [VARINT],
  read: (reader) => use(reader.int32()),
});

const text = (use: (value: string) => void): Field => ({
  wireTypes: [LENGTH_DELIMITED],
  read: (reader) => use(reader.string()),
});

const nested = (use: (reader: Reader, end: number) => void): Field => ({
  wireTypes: [LENGTH_DELIMITED],
  read: (reader) => use(reader, endOf(reader)),
});

function endOf(reader: Reader): number {
  const length = reader.size();
  const end = reader.pos + length;
  if (end > reader.len) throw new NotOnnx('cut short');
  return end;
}

/**
 * Hands each known field to its reader and skips the rest by length, unread. A known field in another wire type is
 * refused: other parsers take it for an unknown one, and two readings of one model must not differ.
 */
function readFields(reader: Reader, end: number, known: Fields): void {
  while (reader.pos < end) {
    const tag = reader.tag();
    const wireType = tag & 7;
    const field = known[tag >>> 3];
    if (!field) reader.skipType(wireType, 0, tag >>> 3);
    else if (field.wireTypes.includes(wireType)) field.read(reader, wireType);
    else throw new NotOnnx(`field ${tag >>> 3} has wire type ${wireType}`);
  }
  if (reader.pos !== end) throw new NotOnnx('a field runs past the end of its message');
}
