/**
 * Reads an ONNX TensorProto file (`input_0.pb` of a model's test data) into the tensor that requests are made of.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3, message TensorProto
 */
import { CodedError, DATATYPES, type Datatype, elementCount, type FixedDatatype, type Tensor } from '@veritee/protocol';
import protobuf from 'protobufjs/minimal.js';

/** TensorProto.DataType → Open Inference datatype, and the typed field for values that are not in raw_data. */
const TYPES: Readonly<Record<number, readonly [Datatype, FieldName]>> = {
  1: ['FP32', 'float_data'],
  2: ['UINT8', 'int32_data'],
  3: ['INT8', 'int32_data'],
  4: ['UINT16', 'int32_data'],
  5: ['INT16', 'int32_data'],
  6: ['INT32', 'int32_data'],
  7: ['INT64', 'int64_data'],
  8: ['BYTES', 'string_data'],
  9: ['BOOL', 'int32_data'],
  10: ['FP16', 'int32_data'], // the bits, as an unsigned integer
  11: ['FP64', 'double_data'],
  12: ['UINT32', 'uint64_data'],
  13: ['UINT64', 'uint64_data'],
  16: ['BF16', 'int32_data'],
};

type FieldName = 'float_data' | 'int32_data' | 'int64_data' | 'double_data' | 'uint64_data' | 'string_data';

interface TensorProto {
  readonly dims: number[];
  dataType: number;
  name: string;
  raw: Uint8Array | null;
  readonly values: Record<Exclude<FieldName, 'string_data'>, (number | bigint)[]>;
  readonly texts: Uint8Array<ArrayBuffer>[];
  /** A field that says the values are elsewhere. */
  elsewhere: string | null;
}

/**
 * @param what names the file in errors
 * @throws CodedError FILE_UNREADABLE not a TensorProto, of a type without a datatype, or its values do not fill its shape
 */
export function readTensorProto(file: Uint8Array, what: string): Tensor {
  const fail = (reason: string, cause?: unknown): never => {
    throw new CodedError('FILE_UNREADABLE', `${what}: not an ONNX tensor that can be sent: ${reason}`, {
      field: what,
      cause,
    });
  };
  let proto: TensorProto;
  try {
    proto = parse(file);
  } catch (error) {
    return fail(error instanceof Error ? error.message : 'unreadable', error);
  }
  const { dims: shape, name } = proto;
  if (proto.elsewhere) fail(`its values are elsewhere (${proto.elsewhere})`);
  const [datatype, field] = TYPES[proto.dataType] ?? fail(`data type ${proto.dataType} has no datatype`);
  if (!shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)) fail('a negative dimension');
  const count = elementCount(shape);

  if (datatype === 'BYTES') {
    if (proto.raw !== null || proto.texts.length !== count) fail(`want ${count} strings in string_data`);
    return { name, datatype, shape, data: proto.texts };
  }
  const values = field === 'string_data' ? [] : proto.values[field];
  const stored = Object.values(proto.values).reduce((sum, list) => sum + list.length, proto.texts.length);
  if (stored > values.length || (proto.raw !== null && stored > 0)) fail('values in a field that is not its type’s');
  const want = count * DATATYPES[datatype];
  const data = proto.raw === null ? pack(datatype, values, fail) : new Uint8Array(proto.raw);
  if (data.length !== want) fail(`${data.length} bytes of values, its shape says ${want}`);
  if (datatype === 'BOOL' && data.some((value) => value > 1)) fail('a bool that is neither 0 nor 1');
  return { name, datatype, shape, data };
}

type Write = (view: DataView, at: number, value: number | bigint) => void;

const WRITE: Readonly<Record<FixedDatatype, Write>> = {
  BOOL: (view, at, value) => view.setUint8(at, Number(value)),
  UINT8: (view, at, value) => view.setUint8(at, Number(value)),
  UINT16: (view, at, value) => view.setUint16(at, Number(value), true),
  UINT32: (view, at, value) => view.setUint32(at, Number(value), true),
  UINT64: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  INT8: (view, at, value) => view.setInt8(at, Number(value)),
  INT16: (view, at, value) => view.setInt16(at, Number(value), true),
  INT32: (view, at, value) => view.setInt32(at, Number(value), true),
  INT64: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  FP16: (view, at, value) => view.setUint16(at, Number(value), true),
  BF16: (view, at, value) => view.setUint16(at, Number(value), true),
  FP32: (view, at, value) => view.setFloat32(at, Number(value), true),
  FP64: (view, at, value) => view.setFloat64(at, Number(value), true),
};

/** The range of values that a wider protobuf field must keep to. */
const RANGE: Partial<Record<FixedDatatype, readonly [number, number]>> = {
  BOOL: [0, 1],
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffffffff],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  FP16: [0, 0xffff],
  BF16: [0, 0xffff],
};

function pack(
  datatype: FixedDatatype,
  values: readonly (number | bigint)[],
  fail: (reason: string) => never,
): Uint8Array<ArrayBuffer> {
  const size = DATATYPES[datatype];
  const view = new DataView(new ArrayBuffer(values.length * size));
  const range = RANGE[datatype];
  for (const [i, value] of values.entries()) {
    if (range && (value < range[0] || value > range[1])) fail(`element ${i} is out of range`);
    WRITE[datatype](view, i * size, value);
  }
  return new Uint8Array(view.buffer);
}

// ── Wire format ─────────────────────────────────────────────────────────────────────────────────────────────────────

type Reader = protobuf.Reader;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

function parse(file: Uint8Array): TensorProto {
  const proto: TensorProto = {
    dims: [],
    dataType: 0,
    name: '',
    raw: null,
    values: { float_data: [], int32_data: [], int64_data: [], double_data: [], uint64_data: [] },
    texts: [],
    elsewhere: null,
  };
  const { values } = proto;
  const reader = protobuf.Reader.create(file);
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    const wireType = tag & 7;
    const only = (expected: number): void => {
      if (wireType !== expected) throw new Error(`field ${tag >>> 3} has wire type ${wireType}`);
    };
    switch (tag >>> 3) {
      case 1:
        repeated(reader, wireType, VARINT, () => proto.dims.push(Number(BigInt.asIntN(64, varint64(reader)))));
        break;
      case 2:
        only(VARINT);
        proto.dataType = reader.int32();
        break;
      case 3:
        only(LENGTH_DELIMITED);
        reader.skip(reader.size());
        proto.elsewhere = 'segment';
        break;
      case 4:
        repeated(reader, wireType, FIXED32, () => values.float_data.push(reader.float()));
        break;
      case 5:
        repeated(reader, wireType, VARINT, () => values.int32_data.push(reader.int32()));
        break;
      case 6:
        only(LENGTH_DELIMITED);
        proto.texts.push(new Uint8Array(reader.bytes()));
        break;
      case 7:
        repeated(reader, wireType, VARINT, () => values.int64_data.push(BigInt.asIntN(64, varint64(reader))));
        break;
      case 8:
        only(LENGTH_DELIMITED);
        proto.name = reader.string();
        break;
      case 9:
        only(LENGTH_DELIMITED);
        proto.raw = reader.bytes();
        break;
      case 10:
        repeated(reader, wireType, FIXED64, () => values.double_data.push(reader.double()));
        break;
      case 11:
        repeated(reader, wireType, VARINT, () => values.uint64_data.push(varint64(reader)));
        break;
      case 13:
        only(LENGTH_DELIMITED);
        reader.skip(reader.size());
        proto.elsewhere = 'external_data';
        break;
      case 14:
        only(VARINT);
        if (reader.int32() !== 0) proto.elsewhere = 'data_location';
        break;
      default:
        reader.skipType(wireType, 0, tag >>> 3);
    }
  }
  return proto;
}

/** A repeated number field, packed or not. */
function repeated(reader: Reader, wireType: number, single: number, read: () => void): void {
  if (wireType === single) {
    read();
    return;
  }
  if (wireType !== LENGTH_DELIMITED) throw new Error(`wire type ${wireType} for numbers`);
  const end = reader.size() + reader.pos;
  if (end > reader.len) throw new Error('cut short');
  while (reader.pos < end) read();
  if (reader.pos !== end) throw new Error('numbers run past their end');
}

/** protobufjs itself gives a double here where it finds no `long` package, and rounds beyond 2^53. */
function varint64(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.buf[reader.pos++];
    if (byte === undefined) throw new Error('cut short');
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new Error('a number of more than ten bytes');
}
