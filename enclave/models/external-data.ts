import { modelPathProblem, ServiceError, shown } from '@veritee/protocol';
import type { ExternalTensor } from './onnx.ts';

/** Bits per element of TensorProto.DataType, for the types whose values may lie in another file (all but STRING). */
const ELEMENT_BITS: Readonly<Record<number, number>> = {
  ...{ 1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16 },
  ...{ 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2 },
};

const KEYS = new Set(['location', 'offset', 'length', 'checksum']);

/**
 * Which files of the version folder the model's tensors refer to. Every reference must be met from the folder, that is
 * from bytes that have been hashed: what onnxruntime is not given in memory it looks for on the disk.
 *
 * @param sizes bytes of each file of the folder, by relative path
 * @throws ServiceError MODEL_EXTERNAL_DATA_MISSING the file is absent, too short or outside the folder;
 *   MODEL_FILE_INVALID a reference that is malformed, or in a place where onnxruntime would read the disk
 */
export function externalFiles(
  tensors: readonly ExternalTensor[],
  sizes: ReadonlyMap<string, number>,
  modelFile: string,
): ReadonlySet<string> {
  const used = new Set<string>();
  for (const tensor of tensors) {
    const { location, offset, length } = readFacts(tensor, modelFile);
    const missing = (reason: string): never => {
      throw new ServiceError(
        'MODEL_EXTERNAL_DATA_MISSING',
        `tensor "${shown(tensor.name)}" of ${modelFile} refers to "${shown(location)}": ${reason}`,
        { field: location.slice(0, 256) },
      );
    };
    const problem = modelPathProblem(location);
    if (problem !== null) missing(`outside the version folder or not a plain relative path (${problem})`);
    const size = sizes.get(location);
    if (size === undefined) return missing('no such file in the version folder');
    const end = offset + (length ?? expectedBytes(tensor));
    if (end > size) missing(`needs ${end} bytes, the file has ${size}`);
    if (!tensor.injectable) {
      throw new ServiceError(
        'MODEL_FILE_INVALID',
        `tensor "${shown(tensor.name)}" of ${modelFile} keeps its values in another file, but lies in a subgraph, a ` +
          'function, a sparse tensor or an attribute: onnxruntime would read them from the disk, past the model ' +
          'digest. Store them in model.onnx itself',
        { field: modelFile },
      );
    }
    used.add(location);
  }
  return used;
}

function readFacts(tensor: ExternalTensor, modelFile: string) {
  const invalid = (reason: string): never => {
    throw new ServiceError(
      'MODEL_FILE_INVALID',
      `external_data of tensor "${shown(tensor.name)}" of ${modelFile}: ${reason}`,
      { field: modelFile },
    );
  };
  const facts = new Map(tensor.facts);
  if (facts.size !== tensor.facts.length) invalid('a key appears twice');
  for (const key of facts.keys()) if (!KEYS.has(key)) invalid(`unknown key "${shown(key)}"`);
  const bytes = (key: string): number | undefined => {
    const value = facts.get(key);
    if (value === undefined) return undefined;
    const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
    return Number.isSafeInteger(parsed) ? parsed : invalid(`${key} is not a number of bytes`);
  };
  const location = facts.get('location') ?? invalid('no location');
  return { location, offset: bytes('offset') ?? 0, length: bytes('length') };
}

function expectedBytes(tensor: ExternalTensor): number {
  const bits = ELEMENT_BITS[tensor.elemType] ?? 0;
  return Math.ceil((tensor.dims.reduce((product, dimension) => product * dimension, 1) * bits) / 8);
}
