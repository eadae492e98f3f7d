import { DATATYPES, elementCount, ServiceError, shown, type Tensor } from '@veritee/protocol';
import type { PackedTensor } from './messages.ts';

const ALIGNMENT = 8; // a Float64Array or BigInt64Array can be laid over every tensor
const align = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

/** Bytes of a tensor as packed. */
export function packedLength(tensor: Tensor): number {
  if (tensor.datatype !== 'BYTES') return tensor.data.length;
  return tensor.data.reduce((sum, element) => sum + 4 + element.length, 0);
}

/**
 * The tensors in one new buffer. A copy, once: an input is usually a piece of the request body, whose digest is still
 * to be taken, and a handed-over buffer is gone for its owner.
 */
export function packTensors(tensors: readonly Tensor[]): readonly PackedTensor[] {
  const lengths = tensors.map(packedLength);
  const buffer = new ArrayBuffer(lengths.reduce((sum, length) => sum + align(length), 0));
  const target = new Uint8Array(buffer);
  const view = new DataView(buffer);
  let next = 0;
  return tensors.map((tensor, i) => {
    const offset = next;
    const length = lengths[i] as number;
    next += align(length);
    if (tensor.datatype !== 'BYTES') target.set(tensor.data, offset);
    else {
      let at = offset;
      for (const element of tensor.data) {
        view.setUint32(at, element.length, true);
        target.set(element, at + 4);
        at += 4 + element.length;
      }
    }
    return { name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, buffer, offset, length };
  });
}

export function unpackTensor({ name, datatype, shape, buffer, offset, length }: PackedTensor): Tensor {
  if (datatype !== 'BYTES') return { name, datatype, shape, data: new Uint8Array(buffer, offset, length) };
  return { name, datatype, shape, data: [...elements(buffer, offset, length)] };
}

/** The elements of a packed BYTES tensor, as views. */
export function* elements(buffer: ArrayBuffer, offset: number, length: number): Generator<Uint8Array<ArrayBuffer>> {
  const view = new DataView(buffer);
  for (let at = offset; at < offset + length; ) {
    const size = view.getUint32(at, true);
    yield new Uint8Array(buffer, at + 4, size);
    at += 4 + size;
  }
}

/**
 * Native code reads as many elements as the shape says: that many there must be.
 *
 * @throws ServiceError TENSOR_SHAPE_MISMATCH, TENSOR_ELEMENT_COUNT_MISMATCH
 */
export function checkElementCount({ name, shape, datatype, data }: Tensor): void {
  const field = `inputs[${shown(name)}]`;
  if (!shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)) {
    const message = `${field}.shape: want whole numbers from 0`;
    throw new ServiceError('TENSOR_SHAPE_MISMATCH', message, { field: `${field}.shape` });
  }
  const size = DATATYPES[datatype] ?? 1;
  const count = elementCount(shape);
  if (data.length !== count * size) {
    const message = `${field}.data: got ${data.length / size} elements, the shape says ${count}`;
    throw new ServiceError('TENSOR_ELEMENT_COUNT_MISMATCH', message, { field: `${field}.data` });
  }
}
