/** Who does the tasks: worker threads, or this thread. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { CodedError } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { type AnswerTo, Performer, type Task } from './performer.ts';

export interface Crew {
  readonly threads: number;
  run<T extends Task>(task: T): Promise<AnswerTo<T>>;
  close(): Promise<void>;
}

export const thisThread = (archive: Archive): Crew => {
  const performer = new Performer(archive);
  return { threads: 1, run: (task) => performer.perform(task), close: async () => undefined };
};

/** What a thread is started with. */
export interface AuditorData {
  readonly folder: string;
}

/** An error on its way between threads, which would lose its class. */
export interface CarriedError {
  readonly code: CodedError['code'];
  readonly message: string;
  readonly field: string | undefined;
}

export type CrewAnswer = { readonly value: unknown } | { readonly error: CarriedError };

interface Waiting {
  readonly task: Task;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** Threads that read the archive on their own. Each has one task at a time, so that a thousand waiting ones cost nothing. */
export class ThreadCrew implements Crew {
  readonly threads: number;
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Waiting>();
  readonly #waiting: Waiting[] = [];
  #failed: Error | null = null;

  constructor(
    folder: string,
    threads = availableParallelism(),
    program = new URL('./audit-worker.js', import.meta.url),
  ) {
    this.threads = Math.max(1, threads);
    const workerData: AuditorData = { folder };
    for (let i = 0; i < this.threads; i++) {
      const worker = new Worker(program, { workerData, name: `audit ${i}` });
      worker.on('message', (answer: CrewAnswer) => this.#answered(worker, answer));
      worker.once('error', (error) => this.#fail(error));
      this.#idle.push(worker);
    }
  }

  run<T extends Task>(task: T): Promise<AnswerTo<T>> {
    return new Promise<AnswerTo<T>>((resolve, reject) => {
      this.#waiting.push({ task, resolve: resolve as Waiting['resolve'], reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#failed) {
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failed);
      return;
    }
    for (let worker = this.#idle.pop(); worker; worker = this.#idle.pop()) {
      const waiting = this.#waiting.shift();
      if (!waiting) {
        this.#idle.push(worker);
        return;
      }
      this.#busy.set(worker, waiting);
      worker.postMessage(waiting.task);
    }
  }

  #answered(worker: Worker, answer: CrewAnswer): void {
    const waiting = this.#busy.get(worker);
    this.#busy.delete(worker);
    this.#idle.push(worker);
    if ('error' in answer) {
      const { code, message, field } = answer.error;
      waiting?.reject(new CodedError(code, message, field === undefined ? {} : { field }));
    } else waiting?.resolve(answer.value as never);
    this.#next();
  }

  #fail(error: Error): void {
    this.#failed = new CodedError('INTERNAL', `a thread of the audit ended: ${error.message}`, { cause: error });
    for (const { reject } of this.#busy.values()) reject(this.#failed);
    this.#busy.clear();
    this.#next();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#idle, ...this.#busy.keys()].map((worker) => worker.terminate()));
  }
}
