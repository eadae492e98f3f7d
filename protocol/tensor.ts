/**
 * Tensors of the Open Inference Protocol v2, in the one form that codec, engine and clients share: row-major,
 * little-endian bytes, so that the same value has the same bytes whether it came as JSON or as binary.
 */

/** Bytes per element; null where elements have a length of their own. */
export const DATATYPES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: null,
} as const satisfies Record<string, number | null>;

export type Datatype = keyof typeof DATATYPES;
export type FixedDatatype = Exclude<Datatype, 'BYTES'>;

export const isDatatype = (text: string): text is Datatype => Object.hasOwn(DATATYPES, text);

interface TensorHead {
  readonly name: string;
  /** Row-major; [] is a scalar, a 0 makes the tensor empty. */
  readonly shape: readonly number[];
}

export type Tensor =
  | (TensorHead & { readonly datatype: FixedDatatype; readonly data: Uint8Array<ArrayBuffer> })
  | (TensorHead & { readonly datatype: 'BYTES'; readonly data: readonly Uint8Array<ArrayBuffer>[] });

/** What a model declares; −1 is a dimension the caller chooses. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** Product of the dimensions; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number =>
  shape.reduce((product, dimension) => product * dimension, 1);
