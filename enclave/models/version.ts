/**
 * One version folder into memory and into the engine. Every file is read once: the bytes that are hashed are the bytes
 * that are loaded, and the runtime is left nothing to look for on the disk. An encrypted file counts as the clear file
 * it stands for: its digest is over what runs.
 */
import path from 'node:path';
import {
  type Bytes,
  clearName,
  encodeCbor,
  keyIdText,
  modelDigest,
  ServiceError,
  shown,
  type TensorSpec,
} from '@veritee/protocol';
import type { ModelSource, SessionFacts, SessionValue } from '../engine/messages.ts';
import { type ModelConfig, parseModelConfig } from './config.ts';
import { externalFiles } from './external-data.ts';
import { type FolderFile, type HashedFile, listVersionFolder, readHashed } from './files.ts';
import { type DeclaredValue, inspectOnnx, NotOnnx, type OnnxFacts } from './onnx.ts';
import { type KeyOf, readSealed } from './sealed.ts';

export interface LoadedVersion {
  readonly name: string;
  readonly version: string;
  readonly digest: Bytes<32>;
  /** SHA-256 of every file of the version folder, by relative path; of the clear bytes where it is encrypted there. */
  readonly files: ReadonlyMap<string, Bytes<32>>;
  /** Graph order, initializers left out; −1 is a dimension the caller chooses. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly platform: 'onnx_onnxv1';
  readonly config: ModelConfig | null;
}

export interface VersionLoading {
  readonly loader: { load(source: ModelSource): Promise<SessionFacts> };
  /** What the ceiling for all models leaves; a loaded version takes its part. */
  bytesLeft: number;
  /** Keys of encrypted files. */
  readonly keyOf: KeyOf;
  readonly onProgress: (text: string) => void;
  readonly progressAfterMs: number;
}

const MAX_PROTOBUF_BYTES = 2 ** 31 - 1; // protobuf's own limit for one message
const MAX_FILE_MAP_BYTES = 60_000; // a log entry holds the map, and is at most 65,535 bytes

/** @throws ServiceError one of the MODEL_… codes, naming the file or tensor */
export async function loadVersion(
  folder: string,
  name: string,
  version: string,
  loading: VersionLoading,
): Promise<LoadedVersion> {
  const where = `${name}/${version}`;
  const modelFile = `${where}/model.onnx`;
  const listed = clearNames(await listVersionFolder(folder, where), where);
  const size = checkSizes(listed, where, loading.bytesLeft);
  const contents = await readAll(folder, listed, where, size, loading);
  const file = (relative: string): HashedFile => contents.get(relative) as HashedFile; // for names taken from `listed`

  const files = new Map([...contents].map(([relative, { sha256 }]) => [relative, sha256]));
  if (encodeCbor(files).length > MAX_FILE_MAP_BYTES) {
    const message = `${where}: too many files with too long names; put the external data into one file`;
    throw new ServiceError('MODEL_REPOSITORY_INVALID', message, { field: where });
  }
  const digest = modelDigest(files);
  const config = files.has('config.json') ? parseModelConfig(file('config.json').bytes, `${where}/config.json`) : null;

  const model = file('model.onnx').bytes;
  const declared = inspect(model, modelFile);
  for (const input of declared.inputs) checkInput(input, modelFile);
  for (const output of declared.outputs) checkType(output, modelFile);
  const sizes = new Map([...contents].map(([relative, { bytes }]) => [relative, bytes.length]));
  const external = [...externalFiles(declared.external, sizes, modelFile)].map((location) => ({
    path: location,
    data: file(location).bytes,
  }));

  const session = await loading.loader.load({ digest, model, external, where: modelFile });
  loading.bytesLeft -= size;
  return {
    name,
    version,
    digest,
    files,
    inputs: session.inputs.map((value) => tensorSpec(value, declared.inputs, modelFile)),
    outputs: session.outputs.map((value) => tensorSpec(value, declared.outputs, modelFile)),
    platform: 'onnx_onnxv1',
    config,
  };
}

/** A file of the version as it is served; `stored` is its name in the folder. */
interface VersionFile extends FolderFile {
  readonly stored: string;
}

/**
 * Who fills the folder may not read what is encrypted in it. A graph of theirs beside encrypted weights would read those
 * out, and weights of theirs would help to ask an encrypted graph for its own: so a version is encrypted whole, under one
 * key, or not at all.
 *
 * @throws ServiceError MODEL_SEAL_INVALID a file is there both clear and encrypted, or only some are encrypted
 */
function clearNames(stored: readonly FolderFile[], where: string): VersionFile[] {
  const files = new Map<string, VersionFile>();
  for (const { path: name, size } of stored) {
    const clear = clearName(name) ?? name;
    if (files.has(clear)) {
      const message = `${where}/${shown(clear)}: both clear and encrypted; which one is meant?`;
      throw new ServiceError('MODEL_SEAL_INVALID', message, { field: `${where}/${clear}`.slice(0, 256) });
    }
    files.set(clear, { path: clear, stored: name, size });
  }
  const all = [...files.values()];
  const sealed = all.filter(({ path: clear, stored: name }) => clear !== name).length;
  if (sealed !== 0 && sealed !== all.length) {
    const message = `${where}: ${sealed} of ${all.length} files are encrypted; a version is encrypted whole or not at all`;
    throw new ServiceError('MODEL_SEAL_INVALID', message, { field: where });
  }
  return all;
}

/** The key of the first encrypted file, and no other beside it. */
function oneKey(keyOf: KeyOf, where: string): KeyOf {
  let first: string | undefined;
  return async (id) => {
    first ??= keyIdText(id);
    if (keyIdText(id) === first) return keyOf(id);
    const message = `${where}: encrypted under ${first} and ${keyIdText(id)}; want one key for a version`;
    throw new ServiceError('MODEL_SEAL_INVALID', message, { field: where });
  };
}

/** @returns bytes of all files together */
function checkSizes(files: readonly FolderFile[], where: string, bytesLeft: number): number {
  const modelFile = `${where}/model.onnx`;
  const model = files.find((file) => file.path === 'model.onnx');
  if (!model) throw new ServiceError('MODEL_FILE_MISSING', `${modelFile}: no such file`, { field: modelFile });
  if (model.size > MAX_PROTOBUF_BYTES) {
    const message = `${modelFile}: ${model.size} bytes; protobuf ends at 2 GiB, keep the weights in external-data files`;
    throw new ServiceError('MODEL_FILE_TOO_LARGE', message, { field: modelFile });
  }
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > bytesLeft) {
    const message = `${where}: ${size} bytes, but the ceiling for all models leaves ${bytesLeft}`;
    throw new ServiceError('MODEL_FILE_TOO_LARGE', message, { field: where });
  }
  return size;
}

async function readAll(
  folder: string,
  files: readonly VersionFile[],
  where: string,
  size: number,
  { keyOf, onProgress, progressAfterMs }: VersionLoading,
): Promise<ReadonlyMap<string, HashedFile>> {
  const keyOfAll = oneKey(keyOf, where);
  const contents = new Map<string, HashedFile>();
  let bytesRead = 0;
  let told = performance.now();
  const count = (bytes: number): void => {
    bytesRead += bytes;
    if (performance.now() - told < progressAfterMs) return;
    told = performance.now();
    onProgress(`model ${where}: read ${bytesRead} of ${size} bytes`);
  };
  for (const { path: relative, stored, size: bytes } of files) {
    const file = path.join(folder, stored);
    const source = { file, size: bytes, where: `${where}/${stored}`, path: `${where}/${relative}` };
    contents.set(
      relative,
      relative === stored
        ? await readHashed(file, bytes, source.where, count)
        : await readSealed(source, keyOfAll, count),
    );
  }
  return contents;
}

function inspect(model: Uint8Array, modelFile: string): OnnxFacts {
  try {
    return inspectOnnx(model);
  } catch (error) {
    if (!(error instanceof NotOnnx)) throw error;
    const message = `${modelFile}: not an ONNX model: ${error.message}`;
    throw new ServiceError('MODEL_FILE_INVALID', message, { field: modelFile, cause: error });
  }
}

// ── Types ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const LAST_SERVED_TYPE = 13; // TensorProto.DataType UINT64: up to here Open Inference and the binding have them all
const OTHER_TYPES: Readonly<Record<number, string>> = {
  ...{ 14: 'COMPLEX64', 15: 'COMPLEX128', 16: 'BFLOAT16', 17: 'FLOAT8E4M3FN', 18: 'FLOAT8E4M3FNUZ', 19: 'FLOAT8E5M2' },
  ...{ 20: 'FLOAT8E5M2FNUZ', 21: 'UINT4', 22: 'INT4', 23: 'FLOAT4E2M1', 24: 'FLOAT8E8M0', 25: 'UINT2', 26: 'INT2' },
};

function unsupported(tensor: string, type: string, modelFile: string): ServiceError {
  const message = `${modelFile}: "${shown(tensor)}" is ${type}, which is not served`;
  return new ServiceError('MODEL_TYPE_UNSUPPORTED', message, { field: tensor.slice(0, 256) });
}

function checkType({ name, kind, elemType }: DeclaredValue, modelFile: string): void {
  if (kind === 'unknown') return; // inferred: the session says what it is
  if (kind !== 'tensor') throw unsupported(name, `of type ${kind}`, modelFile);
  if (elemType <= LAST_SERVED_TYPE) return;
  throw unsupported(name, `a tensor of ${OTHER_TYPES[elemType] ?? `type ${elemType}`}`, modelFile);
}

function checkInput(input: DeclaredValue, modelFile: string): void {
  checkType(input, modelFile);
  // Against ONNX's own rules, but onnxruntime loads it. No request could be told right from wrong.
  if (!input.ranked) throw unsupported(input.name, 'an input that declares no shape', modelFile);
}

function tensorSpec(value: SessionValue, declared: readonly DeclaredValue[], modelFile: string): TensorSpec {
  const { name, datatype, shape } = value;
  if (datatype === null) throw unsupported(name, 'no tensor', modelFile);
  // The session gives a scalar and an output of unknown rank the same empty shape; the file tells them apart.
  const scalar = declared.find((one) => one.name === name)?.ranked ?? false;
  return { name, datatype, shape: shape.length > 0 || scalar ? shape : [-1] };
}
