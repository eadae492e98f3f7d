/** Tensors as JavaScript works with them: typed arrays and text, in and out. */
import {
  type Datatype,
  type FixedDatatype,
  fromUtf8,
  type Tensor,
  type TensorValues,
  tensor,
  tensorValues,
} from '@veritee/protocol';

type Value = number | bigint | boolean | string | Uint8Array;

export interface InferInput {
  readonly name: string;
  /** Row-major; [] is a scalar. */
  readonly shape: readonly number[];
  /** Needed for plain lists of numbers; a typed array, a list of truth values or a list of text tells its own. */
  readonly datatype?: Datatype;
  /** FP16 and BF16 take a Uint16Array of their bits, BYTES takes text and byte strings. */
  readonly data: ArrayLike<Value>;
}

type Output<D extends Datatype> = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: D;
  /** BYTES: text where an element is UTF-8, else its bytes. BOOL: 0 and 1. FP16 and BF16: their bits. */
  readonly data: D extends FixedDatatype ? TensorValues<D> : readonly (string | Uint8Array<ArrayBuffer>)[];
};

export type InferOutput = { readonly [D in Datatype]: Output<D> }[Datatype];

/** `Uint8Array` is UINT8 here; 16-bit floats have no array of their own and are asked for by name. */
const BY_ARRAY: readonly (readonly [array: new (length: number) => unknown, datatype: Datatype])[] = [
  [Float32Array, 'FP32'],
  [Float64Array, 'FP64'],
  [Int8Array, 'INT8'],
  [Int16Array, 'INT16'],
  [Int32Array, 'INT32'],
  [BigInt64Array, 'INT64'],
  [Uint8Array, 'UINT8'],
  [Uint16Array, 'UINT16'],
  [Uint32Array, 'UINT32'],
  [BigUint64Array, 'UINT64'],
];

/** @throws TypeError the datatype can be several and is not given; ServiceError a TENSOR_ code */
export function inputTensor({ name, shape, datatype, data }: InferInput): Tensor {
  return tensor(name, datatype ?? datatypeOf(name, data), shape, data);
}

function datatypeOf(name: string, data: ArrayLike<Value>): Datatype {
  const known = BY_ARRAY.find(([array]) => data instanceof array);
  if (known) return known[1];
  const first = data[0];
  if (typeof first === 'boolean') return 'BOOL';
  if (typeof first === 'string' || first instanceof Uint8Array) return 'BYTES';
  throw new TypeError(`input "${name}": want a datatype, or data in a typed array`);
}

export function outputOf(tensor: Tensor): InferOutput {
  const { name, shape, datatype } = tensor;
  // One cast for all: the array's kind follows from the datatype.
  return {
    name,
    shape,
    datatype,
    data: datatype === 'BYTES' ? tensor.data.map(textOf) : tensorValues(tensor),
  } as InferOutput;
}

function textOf(element: Uint8Array<ArrayBuffer>): string | Uint8Array<ArrayBuffer> {
  try {
    return fromUtf8(element);
  } catch (error) {
    if (error instanceof TypeError) return element;
    throw error;
  }
}
