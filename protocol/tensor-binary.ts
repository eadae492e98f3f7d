/** Tensor data as bytes, Triton's "Binary Tensor Data Extension": little-endian, row-major, no padding. */
import { DATATYPES, elementCount, type Tensor } from './tensor.ts';
import type { Spend } from './tensor-json.ts';
import { checkBooleans, refuseCount, refuseTensor, type TensorPlace } from './tensor-values.ts';

const SIZE = '.parameters.binary_data_size';
const PREFIX = 4; // a BYTES element follows its length, u32

/** Copies, so that the tensor neither keeps nor follows the body it came in. */
export function tensorFromBinary(place: TensorPlace, part: Uint8Array, spend: Spend): Tensor {
  const { name, datatype, shape } = place;
  const count = elementCount(shape);
  if (datatype === 'BYTES') return { name, datatype, shape, data: splitElements(place, count, part, spend) };
  const width = DATATYPES[datatype];
  if (part.length !== count * width) refuseCount(place, SIZE, part.length / width);
  spend(place, count);
  const data = new Uint8Array(part);
  if (datatype === 'BOOL') checkBooleans(place, data);
  return { name, datatype, shape, data };
}

function splitElements(place: TensorPlace, count: number, part: Uint8Array, spend: Spend): Uint8Array<ArrayBuffer>[] {
  if (count * PREFIX > part.length) refuseCount(place, SIZE, `at most ${Math.floor(part.length / PREFIX)}`);
  spend(place, count);
  const data = new Uint8Array(part);
  const view = new DataView(data.buffer);
  const elements: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  while (offset < data.length) {
    if (elements.length === count) refuseCount(place, SIZE, `more than ${count}`);
    const start = offset + PREFIX;
    const end = start <= data.length ? start + view.getUint32(offset, true) : start;
    if (end > data.length) {
      refuseTensor('BINARY_SIZE_MISMATCH', place, SIZE, `element ${elements.length} ends outside the tensor`);
    }
    elements.push(data.subarray(start, end));
    offset = end;
  }
  if (elements.length !== count) refuseCount(place, SIZE, elements.length);
  return elements;
}

export function tensorToBinary(tensor: Tensor): Uint8Array {
  if (tensor.datatype !== 'BYTES') return tensor.data;
  const size = tensor.data.reduce((sum, element) => sum + PREFIX + element.length, 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let offset = 0;
  for (const element of tensor.data) {
    view.setUint32(offset, element.length, true);
    out.set(element, offset + PREFIX);
    offset += PREFIX + element.length;
  }
  return out;
}
