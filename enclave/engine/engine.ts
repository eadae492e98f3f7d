/**
 * Runs models with onnxruntime in worker threads: a queue with bounds, a deadline for each request, and the enclave's
 * event loop free for signing and ticks.
 *
 * Every worker holds its own session of every model, loaded before the model counts as ready: memory is models ×
 * workers, known at start and not at the first busy hour.
 */
import { availableParallelism } from 'node:os';
import { type Bytes, hex, ServiceError, type Tensor } from '@veritee/protocol';
import type { ModelSource, SessionFacts } from './messages.ts';
import { checkElementCount, packedLength, packTensors, unpackTensor } from './pack.ts';
import { type WorkerEvent, WorkerSlot } from './worker-slot.ts';

export interface EngineSettings {
  /** Threads, each with a session of every model. Default: 1 on up to three cores, else 2. */
  readonly workers?: number;
  /** Threads that one run may use within a worker. */
  readonly intraOpThreads?: number;
  /** Requests that may wait; one more is refused with QUEUE_FULL. */
  readonly maxQueue?: number;
  /** Input bytes of all requests that wait or run. */
  readonly maxInputBytes?: number;
  /** For a request that sets none: from its arrival to its answer, waiting included. */
  readonly deadlineMs?: number;
  /** The compiled worker.ts. */
  readonly workerUrl?: URL;
  /** A worker died or came back. */
  readonly onEvent?: (event: WorkerEvent) => void;
}

export interface RunOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  /** In the order asked for. */
  readonly outputs: readonly Tensor[];
  /** Of the model alone, without waiting and moving. */
  readonly durationUs: number;
}

export interface EngineUsage {
  readonly waiting: number;
  readonly running: number;
  readonly inputBytes: number;
}

const DEFAULT_MAX_QUEUE = 256;
const DEFAULT_MAX_INPUT_BYTES = 256 << 20;
const DEFAULT_DEADLINE_MS = 30_000;

/** Built: beside this bundle. From sources: what `tools/build.mjs` put into dist. */
const defaultWorkerUrl = (): URL =>
  new URL(import.meta.url.endsWith('.ts') ? '../dist/worker.js' : './worker.js', import.meta.url);

interface Job {
  readonly digest: Bytes<32>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly string[];
  readonly bytes: number;
  readonly resolve: (result: RunResult) => void;
  /** Answers the caller; work already handed to a worker goes on. */
  readonly fail: (error: Error) => void;
}

export class Engine {
  readonly #maxQueue: number;
  readonly #maxInputBytes: number;
  readonly #deadlineMs: number;
  readonly #slots: readonly WorkerSlot[];
  readonly #models = new Map<string, { readonly source: ModelSource; readonly facts: SessionFacts }>();
  readonly #waiting = new Set<Job>(); // insertion order: first come, first served
  #running = 0;
  #inputBytes = 0;
  #closed: Promise<void> | null = null;
  #idle: () => void = () => {};
  readonly #park = (): void => {
    for (const slot of this.#slots) slot.park();
  };
  #onnxruntime = '';

  /** @throws ServiceError MODEL_RUN_FAILED no worker thread starts */
  static async start(settings: EngineSettings = {}): Promise<Engine> {
    const engine = new Engine(settings);
    process.on('exit', engine.#park);
    const started = await Promise.allSettled(engine.#slots.map((slot) => slot.start()));
    for (const result of started) {
      if (result.status === 'fulfilled') engine.#onnxruntime = result.value;
      else {
        await engine.close();
        throw result.reason;
      }
    }
    return engine;
  }

  private constructor(settings: EngineSettings) {
    this.#maxQueue = settings.maxQueue ?? DEFAULT_MAX_QUEUE;
    this.#maxInputBytes = settings.maxInputBytes ?? DEFAULT_MAX_INPUT_BYTES;
    this.#deadlineMs = settings.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const count = settings.workers ?? (availableParallelism() < 4 ? 1 : 2);
    if (count < 1) throw new TypeError('an engine has at least one worker');
    const names = Array.from({ length: count }, (_, i) => `engine-${i + 1}`);
    this.#slots = names.map(
      (name) =>
        new WorkerSlot({
          url: settings.workerUrl ?? defaultWorkerUrl(),
          name,
          intraOpThreads: settings.intraOpThreads ?? 1,
          models: () => [...this.#models.values()].map(({ source }) => source),
          onFree: () => this.#dispatch(),
          onEvent: settings.onEvent ?? (() => {}),
        }),
    );
  }

  /** What computes, for the session claims. */
  get runtime(): { readonly onnxruntime: string; readonly executionProvider: string } {
    return { onnxruntime: this.#onnxruntime, executionProvider: 'cpu' };
  }

  get usage(): EngineUsage {
    return { waiting: this.#waiting.size, running: this.#running, inputBytes: this.#inputBytes };
  }

  /**
   * Makes a session of the model in every worker; a digest already loaded is not loaded again.
   *
   * @throws ServiceError MODEL_FILE_INVALID or MODEL_TYPE_UNSUPPORTED onnxruntime refuses the model;
   *   MODEL_RUN_FAILED a worker died of it
   */
  async load(source: ModelSource): Promise<SessionFacts> {
    if (this.#closed) throw stopping();
    const known = this.#models.get(hex(source.digest));
    if (known) return known.facts;
    const loaded = await Promise.allSettled(this.#slots.map((slot) => slot.load(source)));
    const facts = loaded.map((result) => {
      if (result.status === 'fulfilled') return result.value;
      for (const slot of this.#slots) slot.unload(source.digest);
      throw result.reason;
    })[0] as SessionFacts; // one session is like another
    this.#models.set(hex(source.digest), { source, facts });
    return facts;
  }

  /**
   * Runs a loaded model. Names, datatypes and shapes are the caller's to check against the model's own.
   *
   * A native run cannot be interrupted: past its deadline, or cancelled, the caller is answered at once, while worker
   * and input memory stay taken until the run really ends.
   *
   * @param outputs the outputs to compute, each once
   * @throws ServiceError MODEL_NOT_READY, TENSOR_SHAPE_MISMATCH, TENSOR_ELEMENT_COUNT_MISMATCH, TENSOR_VALUE_INVALID,
   *   INPUT_MEMORY_EXCEEDED more input than may ever be held, QUEUE_FULL more requests or input than fit at the moment,
   *   DEADLINE_EXCEEDED, REQUEST_CANCELLED, MODEL_RUN_FAILED, ENCLAVE_STOPPING
   */
  async run(
    model: { readonly digest: Bytes<32> },
    inputs: readonly Tensor[],
    outputs: readonly string[],
    { deadlineMs = this.#deadlineMs, signal }: RunOptions = {},
  ): Promise<RunResult> {
    if (outputs.length === 0 || new Set(outputs).size !== outputs.length) throw new TypeError('want each output once');
    if (this.#closed) throw stopping();
    if (signal?.aborted) throw cancelled();
    if (!this.#models.has(hex(model.digest))) throw new ServiceError('MODEL_NOT_READY', 'the engine has no such model');
    for (const input of inputs) checkElementCount(input);
    const bytes = this.#admit(inputs);

    return new Promise((resolve, reject) => {
      const onAbort = () => job.fail(cancelled());
      const job: Job = {
        digest: model.digest,
        inputs,
        outputs,
        bytes,
        resolve: (result) => {
          settled();
          resolve(result);
        },
        fail: (error) => {
          settled();
          if (this.#waiting.delete(job)) this.#inputBytes -= bytes;
          reject(error);
        },
      };
      const timer = setTimeout(() => job.fail(deadlineExceeded(deadlineMs)), Math.min(deadlineMs, MAX_TIMER_MS));
      const settled = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(job);
      this.#inputBytes += bytes;
      this.#dispatch();
    });
  }

  /** Refuses what the bounds leave no room for; gives the bytes the inputs will take. */
  #admit(inputs: readonly Tensor[]): number {
    const bytes = inputs.reduce((sum, input) => sum + packedLength(input), 0);
    if (bytes > this.#maxInputBytes) {
      const message = `inputs of ${bytes} bytes; at most ${this.#maxInputBytes} are held at a time`;
      throw new ServiceError('INPUT_MEMORY_EXCEEDED', message, { field: 'inputs' });
    }
    if (this.#inputBytes + bytes > this.#maxInputBytes) {
      throw new ServiceError('QUEUE_FULL', 'no room for the inputs beside those of other requests; try again');
    }
    if (this.#waiting.size >= this.#maxQueue && !this.#slots.some((slot) => slot.free)) {
      throw new ServiceError('QUEUE_FULL', `${this.#waiting.size} requests are waiting; try again`);
    }
    return bytes;
  }

  #dispatch(): void {
    for (const slot of this.#slots) {
      if (!slot.free) continue;
      const [job] = this.#waiting;
      if (!job) return;
      this.#waiting.delete(job);
      void this.#runOn(slot, job);
    }
  }

  async #runOn(slot: WorkerSlot, job: Job): Promise<void> {
    this.#running++;
    try {
      const { outputs, durationUs } = await slot.run(job.digest, packTensors(job.inputs), job.outputs);
      job.resolve({ outputs: outputs.map(unpackTensor), durationUs });
    } catch (error) {
      job.fail(error instanceof Error ? error : new ServiceError('INTERNAL', 'the engine failed'));
    } finally {
      this.#running--;
      this.#inputBytes -= job.bytes;
      this.#dispatch();
      if (this.#running === 0) this.#idle();
    }
  }

  /**
   * Refuses what waits, lets finish what runs, and resolves when every worker thread is gone. A run that never ends
   * keeps it waiting: whoever cannot wait ends the process.
   */
  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  async #shutDown(): Promise<void> {
    for (const job of [...this.#waiting]) job.fail(stopping());
    if (this.#running > 0) await new Promise<void>((idle) => (this.#idle = idle));
    await Promise.all(this.#slots.map((slot) => slot.close()));
    process.off('exit', this.#park);
  }
}

const MAX_TIMER_MS = 2 ** 31 - 1; // setTimeout takes no more, and fires at once instead

const stopping = () => new ServiceError('ENCLAVE_STOPPING', 'the engine is stopping');
const cancelled = () => new ServiceError('REQUEST_CANCELLED', 'cancelled by the caller');
const deadlineExceeded = (deadlineMs: number) =>
  new ServiceError('DEADLINE_EXCEEDED', `no answer within ${deadlineMs} ms`);
