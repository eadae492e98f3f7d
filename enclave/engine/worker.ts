/**
 * A worker thread: holds a session of every model and runs one request at a time. onnxruntime-node computes on the
 * thread that calls it, so sessions live here and the enclave's event loop stays free to sign and to answer.
 *
 * A fault in native code ends the whole process: a thread is a place to wait in, not a wall.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError, type Datatype, elementCount, fromUtf8, hex, ServiceError, shown, utf8 } from '@veritee/protocol';
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import {
  BUSY,
  type FromWorker,
  type ModelSource,
  type PackedTensor,
  type SessionFacts,
  type SessionValue,
  STOPPING,
  type ToWorker,
  type WorkerStart,
} from './messages.ts';
import { elements } from './pack.ts';
import { describeLoadFailure, describeRunFailure } from './run-error.ts';

if (!parentPort) throw new Error('the engine worker runs as a worker thread only');
const port = parentPort;
const { gate, intraOpThreads } = workerData as WorkerStart;

/** onnxruntime's log goes to stderr past ours and can quote payload; its errors reach us as exceptions anyway. */
const SILENT = 4;
env.logLevel = 'fatal';

// Where Node has a Float16Array, onnxruntime-common puts float16 into one, and the 1.30 binding then refuses it.
// Globals are a thread's own; without it both agree on the bits in a Uint16Array.
Reflect.deleteProperty(globalThis, 'Float16Array');

const DATATYPES: Partial<Record<OrtTensor.Type, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
};

const sessions = new Map<string, InferenceSession>();

async function load(source: ModelSource): Promise<SessionFacts> {
  const key = hex(source.digest);
  let session = sessions.get(key);
  if (!session) {
    // The binding takes external data from shared memory, but the model only from an ArrayBuffer: a copy for the call.
    session = await InferenceSession.create(new Uint8Array(source.model), {
      executionProviders: ['cpu'],
      intraOpNumThreads: intraOpThreads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: SILENT,
      ...(source.external.length > 0 && { externalData: source.external }),
    }).catch((error: unknown) => {
      const reason = describeLoadFailure(error instanceof Error ? error.message : String(error));
      const code = reason.startsWith('Unsupported data type') ? 'MODEL_TYPE_UNSUPPORTED' : 'MODEL_FILE_INVALID';
      throw new ServiceError(code, `${source.where}: onnxruntime refused the model: ${reason}`, {
        field: source.where,
        cause: error,
      });
    });
    sessions.set(key, session);
  }
  return { inputs: session.inputMetadata.map(sessionValue), outputs: session.outputMetadata.map(sessionValue) };
}

function sessionValue(value: InferenceSession.ValueMetadata): SessionValue {
  if (!value.isTensor) return { name: value.name, datatype: null, shape: [] };
  const shape = value.shape.map((dimension) => (typeof dimension === 'number' ? dimension : -1));
  return { name: value.name, datatype: DATATYPES[value.type] ?? null, shape };
}

async function run(request: ToWorker & { kind: 'run' }): Promise<void> {
  const session = sessions.get(hex(request.digest));
  if (!session) throw new ServiceError('MODEL_RUN_FAILED', 'the model is not loaded in this worker');
  const feeds: Record<string, OrtTensor> = Object.create(null);
  for (const input of request.inputs) feeds[input.name] = toOrt(input);
  const started = performance.now();
  let results: InferenceSession.OnnxValueMapType;
  try {
    results = await session.run(feeds, request.outputs);
  } catch (error) {
    throw new ServiceError('MODEL_RUN_FAILED', describeRunFailure(error instanceof Error ? error.message : ''));
  }
  const durationUs = Math.round((performance.now() - started) * 1000);
  const outputs = request.outputs.map((name) => fromOrt(name, results[name]));
  send(
    { kind: 'done', id: request.id, outputs, durationUs },
    outputs.map((output) => output.buffer),
  );
}

function toOrt({ name, datatype, shape, buffer, offset, length }: PackedTensor): OrtTensor {
  const count = elementCount(shape);
  switch (datatype) {
    case 'BOOL': {
      const data = new Uint8Array(buffer, offset, count);
      if (data.some((value) => value > 1)) throw invalidValue(name, 'a BOOL that is neither 0 nor 1');
      return new OrtTensor('bool', data, shape);
    }
    case 'UINT8':
      return new OrtTensor('uint8', new Uint8Array(buffer, offset, count), shape);
    case 'UINT16':
      return new OrtTensor('uint16', new Uint16Array(buffer, offset, count), shape);
    case 'UINT32':
      return new OrtTensor('uint32', new Uint32Array(buffer, offset, count), shape);
    case 'UINT64':
      return new OrtTensor('uint64', new BigUint64Array(buffer, offset, count), shape);
    case 'INT8':
      return new OrtTensor('int8', new Int8Array(buffer, offset, count), shape);
    case 'INT16':
      return new OrtTensor('int16', new Int16Array(buffer, offset, count), shape);
    case 'INT32':
      return new OrtTensor('int32', new Int32Array(buffer, offset, count), shape);
    case 'INT64':
      return new OrtTensor('int64', new BigInt64Array(buffer, offset, count), shape);
    case 'FP16':
      return new OrtTensor('float16', new Uint16Array(buffer, offset, count), shape);
    case 'FP32':
      return new OrtTensor('float32', new Float32Array(buffer, offset, count), shape);
    case 'FP64':
      return new OrtTensor('float64', new Float64Array(buffer, offset, count), shape);
    case 'BYTES':
      return new OrtTensor('string', texts(name, buffer, offset, length), shape);
    case 'BF16':
      throw new ServiceError('TENSOR_DATATYPE_MISMATCH', `inputs[${shown(name)}]: the runtime cannot take BF16`, {
        field: `inputs[${shown(name)}].datatype`,
      });
  }
}

const invalidValue = (name: string, reason: string): ServiceError =>
  new ServiceError('TENSOR_VALUE_INVALID', `inputs[${shown(name)}].data: ${reason}`, {
    field: `inputs[${shown(name)}].data`,
  });

/** ONNX strings are UTF-8; the binding passes them as C strings and would silently cut one at a NUL. */
function texts(name: string, buffer: ArrayBuffer, offset: number, length: number): string[] {
  return Array.from(elements(buffer, offset, length), (element, i) => {
    if (element.includes(0)) throw invalidValue(name, `element ${i} contains a NUL, which the runtime cannot take`);
    try {
      return fromUtf8(element);
    } catch {
      throw invalidValue(name, `element ${i} is not UTF-8`);
    }
  });
}

function fromOrt(name: string, value: unknown): PackedTensor {
  const tensor = value instanceof OrtTensor ? value : null;
  const datatype = tensor ? DATATYPES[tensor.type as OrtTensor.Type] : undefined;
  if (!tensor || !datatype) throw new ServiceError('MODEL_RUN_FAILED', `output "${shown(name)}" is of no served type`);
  const { data, dims: shape } = tensor;
  if (Array.isArray(data)) return { name, datatype, shape, ...packTexts(data) };
  const { buffer, byteOffset, byteLength } = data as Exclude<typeof data, string[]>;
  // A buffer of its own is handed over as it is; a piece of a larger one is cut out.
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) {
    return { name, datatype, shape, buffer, offset: 0, length: byteLength };
  }
  const copy = new Uint8Array(buffer, byteOffset, byteLength).slice().buffer;
  return { name, datatype, shape, buffer: copy, offset: 0, length: byteLength };
}

function packTexts(values: readonly string[]) {
  const encoded = values.map(utf8);
  const buffer = new ArrayBuffer(encoded.reduce((sum, element) => sum + 4 + element.length, 0));
  const view = new DataView(buffer);
  let at = 0;
  for (const element of encoded) {
    view.setUint32(at, element.length, true);
    new Uint8Array(buffer, at + 4).set(element);
    at += 4 + element.length;
  }
  return { buffer, offset: 0, length: at };
}

const send = (message: FromWorker, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, transfer);

async function handle(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'load':
      return send({ kind: 'loaded', id: message.id, facts: await load(message.source) });
    case 'unload': {
      const key = hex(message.digest);
      await sessions.get(key)?.release();
      sessions.delete(key);
      return;
    }
    case 'run':
      return run(message);
    case 'close':
      for (const session of sessions.values()) await session.release();
      port.close(); // nothing is left to wait for: the thread ends by itself
  }
}

async function answer(message: ToWorker): Promise<void> {
  Atomics.store(gate, BUSY, 1);
  try {
    if (Atomics.load(gate, STOPPING) === 1) return; // the process is at its end: nothing native is begun
    await handle(message);
  } catch (error) {
    if (message.kind !== 'load' && message.kind !== 'run') throw error;
    // Whatever is not coded is a defect of ours; its message could quote payload, its name cannot.
    const {
      code,
      message: text,
      field,
    } = error instanceof CodedError
      ? error
      : new ServiceError('INTERNAL', `engine worker: ${error instanceof Error ? error.name : typeof error}`);
    send({ kind: 'failed', id: message.id, code, message: text, field });
  } finally {
    Atomics.store(gate, BUSY, 0);
    Atomics.notify(gate, BUSY);
  }
}

let last: Promise<void> = Promise.resolve(); // one message at a time, in order
port.on('message', (message: ToWorker) => {
  last = last.then(() => answer(message));
});
send({ kind: 'ready', onnxruntime: env.versions.node ?? env.versions.common });
