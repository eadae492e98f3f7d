/** What the engine and its worker threads say to each other. */
import type { Bytes, Code, Datatype } from '@veritee/protocol';

/** A model's bytes as they were hashed, in memory that every worker reads in place. */
export interface ModelSource {
  readonly digest: Bytes<32>;
  /** model.onnx */
  readonly model: Uint8Array<SharedArrayBuffer>;
  /** Every file that a tensor of the model refers to, by the path written there. */
  readonly external: readonly { readonly path: string; readonly data: Uint8Array<SharedArrayBuffer> }[];
  /** Names model.onnx in messages. */
  readonly where: string;
}

/** An input or output as the session reports it. */
export interface SessionValue {
  readonly name: string;
  /** Null where it is no tensor. */
  readonly datatype: Datatype | null;
  /** −1 for a dimension the caller chooses; empty for a scalar and where even the number of dimensions is open. */
  readonly shape: readonly number[];
}

export interface SessionFacts {
  readonly inputs: readonly SessionValue[];
  readonly outputs: readonly SessionValue[];
}

/** A tensor on its way between threads: `length` bytes at `offset` of `buffer`, which is handed over, not copied. */
export interface PackedTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** Elements of BYTES follow one another, each behind its length as a little-endian u32. */
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  readonly length: number;
}

export type ToWorker =
  | { readonly kind: 'load'; readonly id: number; readonly source: ModelSource }
  | { readonly kind: 'unload'; readonly digest: Bytes<32> }
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly digest: Bytes<32>;
      readonly inputs: readonly PackedTensor[];
      readonly outputs: readonly string[];
    }
  | { readonly kind: 'close' };

export type FromWorker =
  | { readonly kind: 'ready'; readonly onnxruntime: string }
  | { readonly kind: 'loaded'; readonly id: number; readonly facts: SessionFacts }
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly outputs: readonly PackedTensor[];
      readonly durationUs: number;
    }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly code: Code;
      readonly message: string;
      readonly field: string | undefined;
    };

/** What a worker starts with. */
export interface WorkerStart {
  readonly intraOpThreads: number;
  readonly gate: Gate;
}

/**
 * Two flags between the main thread and one worker. Native code that comes back to a thread which Node has begun to
 * end aborts the whole process; so at exit the main thread raises STOPPING and waits while BUSY is up.
 */
export type Gate = Int32Array<SharedArrayBuffer>;
export const STOPPING = 0;
export const BUSY = 1;
