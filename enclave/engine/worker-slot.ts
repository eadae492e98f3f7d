import { Worker } from 'node:worker_threads';
import { type Bytes, ServiceError } from '@veritee/protocol';
import {
  BUSY,
  type FromWorker,
  type Gate,
  type ModelSource,
  type PackedTensor,
  type SessionFacts,
  STOPPING,
  type ToWorker,
  type WorkerStart,
} from './messages.ts';

export interface SlotOptions {
  readonly url: URL;
  /** Names the thread in debuggers and events. */
  readonly name: string;
  readonly intraOpThreads: number;
  /** The models that a worker which takes the place of a dead one must hold. */
  readonly models: () => Iterable<ModelSource>;
  /** A worker is free again after a restart. */
  readonly onFree: () => void;
  readonly onEvent: (event: WorkerEvent) => void;
}

/** For the log: never payload, only what happened to a thread. */
export interface WorkerEvent {
  readonly worker: string;
  readonly event: 'died' | 'restarted' | 'restart-failed';
  readonly reason: string;
}

const FIRST_RESTART_MS = 100;
const LAST_RESTART_MS = 10_000;
const LONGEST_PARK_MS = 30_000;

type Answer<K extends FromWorker['kind']> = FromWorker & { kind: K };
interface Pending {
  readonly resolve: (answer: FromWorker) => void;
  readonly reject: (error: Error) => void;
}

/** A place for one worker thread: runs one request at a time, and gets another thread when its own dies. */
export class WorkerSlot {
  readonly #options: SlotOptions;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #gate: Gate | null = null;
  #ended: Promise<void> = Promise.resolve();
  #state: 'starting' | 'free' | 'running' | 'dead' | 'closing' = 'dead';
  #restart: NodeJS.Timeout | undefined;
  #restartMs = FIRST_RESTART_MS;
  #lastId = 0;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  get free(): boolean {
    return this.#state === 'free';
  }

  /**
   * Starts a thread and loads every model into it.
   *
   * @returns the version of onnxruntime it runs
   */
  async start(): Promise<string> {
    this.#state = 'starting';
    const { url, name, intraOpThreads, models } = this.#options;
    const gate: Gate = new Int32Array(new SharedArrayBuffer(8));
    const workerData: WorkerStart = { intraOpThreads, gate };
    const worker = new Worker(url, { name, workerData, execArgv: [] });
    this.#worker = worker;
    this.#gate = gate;
    try {
      const { onnxruntime } = await this.#listen(worker);
      for (const source of models()) await this.load(source);
      if (this.#state === 'starting') this.#state = 'free';
      return onnxruntime;
    } catch (error) {
      if (this.#state === 'starting') this.#state = 'dead';
      await worker.terminate();
      throw error;
    }
  }

  #listen(worker: Worker): Promise<Answer<'ready'>> {
    return new Promise((ready, failed) => {
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') return ready(message);
        const pending = this.#pending.get(message.id);
        this.#pending.delete(message.id);
        if (message.kind !== 'failed') return pending?.resolve(message);
        pending?.reject(
          new ServiceError(message.code, message.message, { ...(message.field && { field: message.field }) }),
        );
      });
      const died = (reason: string): void => {
        failed(new ServiceError('MODEL_RUN_FAILED', `the engine's worker thread ended: ${reason}`));
        this.#died(worker, reason);
      };
      // The name only: the message could quote payload.
      worker.on('error', (error: unknown) => died(error instanceof Error ? error.name : typeof error));
      worker.on('messageerror', () => {
        died('an unreadable message');
        void worker.terminate();
      });
      this.#ended = new Promise((ended) => {
        worker.on('exit', (code) => {
          died(`exit code ${code}`);
          ended();
        });
      });
    });
  }

  #died(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return; // told before
    this.#worker = null;
    this.#gate = null;
    for (const { reject } of this.#pending.values()) {
      reject(new ServiceError('MODEL_RUN_FAILED', 'the engine lost the worker thread that ran this request'));
    }
    this.#pending.clear();
    const { name, onEvent } = this.#options;
    if (this.#state === 'free' || this.#state === 'running') {
      this.#state = 'dead';
      onEvent({ worker: name, event: 'died', reason });
      this.#restartLater();
    } else if (this.#state === 'starting') this.#state = 'dead'; // whoever waits for the start hears of its failure
  }

  /** Waits longer each time, so that a worker which cannot start does not keep a core busy. */
  #restartLater(): void {
    this.#restart = setTimeout(async () => {
      const { name, onEvent, onFree } = this.#options;
      try {
        await this.start();
      } catch (error) {
        if (this.#state === 'closing') return;
        onEvent({ worker: name, event: 'restart-failed', reason: error instanceof Error ? error.message : 'unknown' });
        this.#restartLater();
        return;
      }
      if (this.#state === 'closing') return;
      this.#restartMs = FIRST_RESTART_MS;
      onEvent({ worker: name, event: 'restarted', reason: 'all models loaded' });
      onFree();
    }, this.#restartMs);
    this.#restartMs = Math.min(2 * this.#restartMs, LAST_RESTART_MS);
  }

  #ask<K extends FromWorker['kind']>(
    message: (id: number) => ToWorker,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Answer<K>> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const worker = this.#worker;
      if (!worker) return reject(new ServiceError('MODEL_RUN_FAILED', 'the engine has no worker thread at the moment'));
      this.#pending.set(id, { resolve: (answer) => resolve(answer as Answer<K>), reject });
      worker.postMessage(message(id), transfer);
    });
  }

  async load(source: ModelSource): Promise<SessionFacts> {
    return (await this.#ask<'loaded'>((id) => ({ kind: 'load', id, source }))).facts;
  }

  unload(digest: Bytes<32>): void {
    this.#worker?.postMessage({ kind: 'unload', digest } satisfies ToWorker);
  }

  /** Only while `free`; free again when it settles, unless the thread died. */
  async run(digest: Bytes<32>, inputs: readonly PackedTensor[], outputs: readonly string[]): Promise<Answer<'done'>> {
    this.#state = 'running';
    try {
      const transfer = [...new Set(inputs.map(({ buffer }) => buffer))];
      return await this.#ask<'done'>((id) => ({ kind: 'run', id, digest, inputs, outputs }), transfer);
    } finally {
      if (this.#state === 'running') this.#state = 'free';
    }
  }

  /** At the end of the process, when nothing asynchronous happens any more: blocks until native code is left. */
  park(): void {
    if (!this.#gate) return;
    Atomics.store(this.#gate, STOPPING, 1);
    Atomics.wait(this.#gate, BUSY, 1, LONGEST_PARK_MS);
  }

  /** Lets the thread finish what it runs, release its sessions and end. */
  async close(): Promise<void> {
    this.#state = 'closing';
    clearTimeout(this.#restart);
    this.#worker?.postMessage({ kind: 'close' } satisfies ToWorker);
    await this.#ended;
  }
}
