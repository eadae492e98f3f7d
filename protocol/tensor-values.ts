/**
 * Tensors as the typed arrays JavaScript works with. Values are checked on the way in, so that an Int8Array never wraps
 * and a 64-bit integer is never rounded.
 */
import { fromUtf8, utf8 } from './bytes.ts';
import { type Code, ServiceError } from './errors.ts';
import { type Json, shown } from './json.ts';
import { DATATYPES, type Datatype, elementCount, type FixedDatatype, type Tensor } from './tensor.ts';

const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array, // the bits: the language has no 16-bit floats everywhere
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<FixedDatatype, unknown>;

type ArrayOf<D extends FixedDatatype> = InstanceType<(typeof ARRAYS)[D]> & { readonly buffer: ArrayBuffer };
export type TensorArray = ArrayOf<FixedDatatype>;
export type TensorValues<D extends Datatype> = D extends FixedDatatype
  ? ArrayOf<D>
  : readonly Uint8Array<ArrayBuffer>[];

/** A tensor before its data is read, and where it stands: `inputs[0]`. */
export interface TensorPlace {
  readonly field: string;
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** @param at the part of the tensor that is at fault, such as `.datatype` */
export function refuseTensor(code: Code, place: TensorPlace, at: string, reason: string): never {
  const field = place.field + at;
  throw new ServiceError(code, `${field} ("${shown(place.name)}", ${place.datatype}): ${reason}`, { field });
}

export function refuseCount(place: TensorPlace, at: string, got: number | string, want?: number): never {
  const total = `${elementCount(place.shape)} for shape [${place.shape}]`;
  refuseTensor('TENSOR_ELEMENT_COUNT_MISMATCH', place, at, `got ${got} elements, want ${want ?? total}`);
}

const MAX_DIMENSIONS = 32;

/**
 * Check a shape, and that its element count cannot overflow: the dimensions other than 0 have a safe product.
 *
 * @throws ServiceError REQUEST_FIELD_INVALID
 */
export function readShape(value: Json | undefined, field: string): readonly number[] {
  const refuse = (reason: string, at = ''): never => {
    throw new ServiceError('REQUEST_FIELD_INVALID', `${field}${at}: ${reason}`, { field: field + at });
  };
  if (!Array.isArray(value)) return refuse('want an array of dimensions');
  if (value.length > MAX_DIMENSIONS) refuse(`more than ${MAX_DIMENSIONS} dimensions`);
  let count = 1;
  for (const [i, dimension] of value.entries()) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) refuse('want an integer from 0 to 2^53−1', `[${i}]`);
    if (dimension !== 0) count *= dimension;
    if (!Number.isSafeInteger(count)) refuse('more than 2^53−1 elements');
  }
  return value;
}

const BIG_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;

/** Between the wire's little-endian order and the machine's, in place. */
function reorder(data: Uint8Array<ArrayBuffer>, width: number): Uint8Array<ArrayBuffer> {
  if (BIG_ENDIAN) for (let i = 0; i < data.length; i += width) data.subarray(i, i + width).reverse();
  return data;
}

/** Takes over the array: it is not to be used afterwards. */
const toWire = (values: TensorArray): Uint8Array<ArrayBuffer> =>
  reorder(new Uint8Array(values.buffer), values.BYTES_PER_ELEMENT);

/**
 * The elements in row-major order: a typed array, for BYTES the byte strings. FP16 and BF16 come as their 16 bits,
 * BOOL as 0 and 1. The result may share the tensor's memory.
 */
export function tensorValues<D extends Datatype>(tensor: Tensor & { readonly datatype: D }): TensorValues<D>;
export function tensorValues(tensor: Tensor): TensorArray | readonly Uint8Array<ArrayBuffer>[] {
  if (tensor.datatype === 'BYTES') return tensor.data;
  const width = DATATYPES[tensor.datatype];
  const aligned = tensor.data.byteOffset % width === 0 && !BIG_ENDIAN;
  const data = aligned ? tensor.data : reorder(new Uint8Array(tensor.data), width);
  return new ARRAYS[tensor.datatype](data.buffer, data.byteOffset, data.length / width);
}

/**
 * The elements of a BYTES tensor as text.
 *
 * @throws ServiceError OUTPUT_NOT_TEXT an element is not UTF-8
 */
export function tensorTexts(tensor: Tensor & { readonly datatype: 'BYTES' }): string[] {
  return texts({ ...tensor, field: 'tensor' }, tensor.data, 'OUTPUT_NOT_TEXT', 'take its values as bytes');
}

export function texts(place: TensorPlace, data: readonly Uint8Array[], code: Code, advice: string): string[] {
  return data.map((element, i) => {
    try {
      return fromUtf8(element);
    } catch {
      return refuseTensor(code, place, `.data[${i}]`, `not UTF-8 text; ${advice}`);
    }
  });
}

/**
 * Make a tensor from values in row-major order.
 *
 * @param values a typed array of the datatype's own kind is copied as it is; any other list is checked value by value.
 *   FP16 and BF16 take a Uint16Array of their bits, BYTES takes text and byte strings
 * @throws ServiceError TENSOR_ELEMENT_COUNT_MISMATCH, TENSOR_VALUE_INVALID, TENSOR_VALUE_OUT_OF_RANGE, or
 *   TENSOR_DATATYPE_BINARY_ONLY 16-bit floats given as numbers
 */
export function tensor<D extends Datatype>(
  name: string,
  datatype: D,
  shape: readonly number[],
  values: ArrayLike<number | bigint | boolean | string | Uint8Array>,
): Tensor & { readonly datatype: D };
export function tensor(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  values: ArrayLike<number | bigint | boolean | string | Uint8Array>,
): Tensor {
  const place: TensorPlace = { field: 'tensor', name, datatype, shape: [...readShape(shape, 'tensor.shape')] };
  const head = { name, shape: place.shape };
  if (values.length !== elementCount(shape)) refuseCount(place, '.data', values.length);
  if (datatype === 'BYTES') {
    const data = Array.from(values, (value, i) =>
      value instanceof Uint8Array ? new Uint8Array(value) : textBytes(place, value, i),
    );
    return { ...head, datatype, data };
  }
  if (values instanceof ARRAYS[datatype]) {
    const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const data = reorder(new Uint8Array(raw), DATATYPES[datatype]);
    if (datatype === 'BOOL') checkBooleans(place, data);
    return { ...head, datatype, data };
  }
  return { ...head, datatype, data: fixedData(place, datatype, values as ArrayLike<Json>, (i) => `.data[${i}]`) };
}

function textBytes(place: TensorPlace, value: unknown, i: number): Uint8Array<ArrayBuffer> {
  if (typeof value === 'string' && !/\p{Surrogate}/u.test(value)) return utf8(value);
  return refuseTensor('TENSOR_VALUE_INVALID', place, `.data[${i}]`, 'want text or bytes');
}

/** BOOL on the wire is 0 or 1; any other byte would mean a third truth value to a model. */
export function checkBooleans(place: TensorPlace, data: Uint8Array): void {
  const at = data.findIndex((byte) => byte > 1);
  if (at >= 0) refuseTensor('TENSOR_VALUE_INVALID', place, '', `element ${at} is neither 0 nor 1`);
}

/**
 * Convert values to a tensor's bytes, each checked. An integer may be written 1.0 or 1e2; beyond 2^53 such a number is
 * inexact and refused.
 *
 * @param at where element i stands, for errors
 */
export function fixedData(
  place: TensorPlace,
  datatype: FixedDatatype,
  values: ArrayLike<Json>,
  at: (index: number) => string,
): Uint8Array<ArrayBuffer> {
  const invalid = (i: number, want: string) => refuseTensor('TENSOR_VALUE_INVALID', place, at(i), `want ${want}`);
  const outside = (i: number) =>
    refuseTensor('TENSOR_VALUE_OUT_OF_RANGE', place, at(i), 'outside the range of the datatype');
  const count = values.length;

  switch (datatype) {
    case 'FP16':
    case 'BF16':
      return refuseTensor('TENSOR_DATATYPE_BINARY_ONLY', place, '.datatype', 'takes a Uint16Array of its bits');
    case 'BOOL': {
      const out = new Uint8Array(count);
      for (let i = 0; i < count; i++) {
        const value = values[i];
        if (typeof value !== 'boolean') invalid(i, 'true or false');
        out[i] = value ? 1 : 0;
      }
      return out;
    }
    case 'FP32':
    case 'FP64': {
      const out = new ARRAYS[datatype](count);
      for (let i = 0; i < count; i++) {
        const value = values[i];
        if (typeof value !== 'number' && typeof value !== 'bigint') invalid(i, 'a number');
        out[i] = Number(value);
        const finite = typeof value === 'bigint' || Number.isFinite(value); // a caller's own NaN stays one
        if (finite && !Number.isFinite(out[i])) outside(i);
      }
      return toWire(out);
    }
    case 'INT64':
    case 'UINT64': {
      const out = new ARRAYS[datatype](count);
      for (let i = 0; i < count; i++) {
        const value = values[i];
        if (typeof value !== 'bigint' && !Number.isInteger(value)) invalid(i, 'an integer');
        const exact = BigInt(value as number | bigint);
        out[i] = exact;
        if (out[i] !== exact) outside(i); // a store that does not fit wraps
        if (typeof value === 'number' && !Number.isSafeInteger(value)) invalid(i, 'all digits of so large an integer');
      }
      return toWire(out);
    }
    default: {
      const out = new ARRAYS[datatype](count);
      for (let i = 0; i < count; i++) {
        const value = values[i];
        if (typeof value !== 'bigint' && !Number.isInteger(value)) invalid(i, 'an integer');
        out[i] = Number(value);
        if (out[i] !== Number(value)) outside(i);
      }
      return toWire(out);
    }
  }
}
