/** Tensor data as JSON, Open Inference Protocol v2 "Tensor Data": row-major, flat or nested as the shape says. */
import { utf8 } from './bytes.ts';
import type { Code } from './errors.ts';
import type { Json, JsonInput } from './json.ts';
import { elementCount, type Tensor } from './tensor.ts';
import { fixedData, refuseCount, refuseTensor, type TensorPlace, tensorValues, texts } from './tensor-values.ts';

/** Called with the memory the elements will take, before it is taken; throws when that is too much. */
export type Spend = (place: TensorPlace, count: number) => void;

/** @throws ServiceError a TENSOR_ code; `field` is the element, such as `inputs[0].data[3]` */
export function tensorFromJson(place: TensorPlace, data: readonly Json[], spend: Spend): Tensor {
  const { name, datatype, shape } = place;
  if (datatype === 'FP16' || datatype === 'BF16') refuseBinaryOnly(place, 'send it as binary data');
  const nested = shape.length > 1 && Array.isArray(data[0]);
  const flat = nested ? flatten(place, data) : data;
  if (flat.length !== elementCount(shape)) refuseCount(place, '.data', flat.length);
  spend(place, flat.length);

  const at = (i: number) => `.data${nested ? position(i, shape) : `[${i}]`}`;
  if (datatype !== 'BYTES') return { name, datatype, shape, data: fixedData(place, datatype, flat, at) };
  const elements = flat.map((value, i) =>
    typeof value === 'string' ? utf8(value) : refuseTensor('TENSOR_VALUE_INVALID', place, at(i), 'want a string'),
  );
  return { name, datatype, shape, data: elements };
}

function flatten(place: TensorPlace, data: readonly Json[]): Json[] {
  const { shape } = place;
  const out: Json[] = [];
  const take = (row: Json, dimension: number, at: string): void => {
    if (!Array.isArray(row)) refuseTensor('TENSOR_SHAPE_MISMATCH', place, at, 'want an array, like its neighbours');
    const items = row as readonly Json[];
    if (items.length !== shape[dimension]) refuseCount(place, at, items.length, shape[dimension]);
    for (const [i, item] of items.entries()) {
      if (dimension === shape.length - 1) out.push(item);
      else take(item, dimension + 1, `${at}[${i}]`);
    }
  };
  take(data, 0, '.data');
  return out;
}

/** 5 in shape [2,3] is `[1][2]`. */
function position(index: number, shape: readonly number[]): string {
  let rest = index;
  return shape.reduceRight((text, dimension) => {
    const step = rest % dimension;
    rest = Math.floor(rest / dimension);
    return `[${step}]${text}`;
  }, '');
}

const refuseBinaryOnly = (place: TensorPlace, advice: string): never =>
  refuseTensor('TENSOR_DATATYPE_BINARY_ONLY', place, '.datatype', `no JSON form; ${advice}`);

/** What to answer when a value has no JSON form. */
export interface JsonFaults {
  readonly notFinite: Code;
  readonly notText: Code;
  readonly advice: string;
}

/** @throws ServiceError TENSOR_DATATYPE_BINARY_ONLY, or the given codes */
export function tensorToJson(tensor: Tensor, field: string, faults: JsonFaults): readonly JsonInput[] {
  const place: TensorPlace = { ...tensor, field };
  switch (tensor.datatype) {
    case 'FP16':
    case 'BF16':
      return refuseBinaryOnly(place, faults.advice);
    case 'BYTES':
      return texts(place, tensor.data, faults.notText, faults.advice);
    case 'BOOL':
      return Array.from(tensor.data, (byte) => byte === 1);
    case 'FP32':
    case 'FP64': {
      const values = Array.from(tensorValues(tensor) as Float32Array | Float64Array);
      const at = values.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) refuseTensor(faults.notFinite, place, `.data[${at}]`, `NaN or infinite; ${faults.advice}`);
      return values;
    }
    default:
      return Array.from<number | bigint>(tensorValues(tensor) as ArrayLike<number | bigint>);
  }
}
