import { Worker } from 'node:worker_threads';
import { type Code, CodedError, EvidenceError, ServiceError } from '@veritee/protocol';
import type { Store } from './store.ts';

/** What a store thread is started with. */
export interface StoreThreadData {
  readonly folder: string;
  readonly maxBytes: number | null;
}

export type StoreMethod = keyof Store;

export interface StoreCall {
  readonly id: number;
  readonly method: StoreMethod;
  readonly args: readonly unknown[];
}

/** An error on its way between threads, which would lose its class and code. */
export interface CarriedError {
  readonly kind: 'evidence' | 'service' | 'other';
  readonly code: Code;
  readonly message: string;
  readonly field: string | undefined;
}

export type StoreAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: CarriedError };

export const OPENED = -1; // the id of the first answer: the store is open, or why it is not

export function carry(error: unknown): CarriedError {
  const kind = error instanceof EvidenceError ? 'evidence' : error instanceof ServiceError ? 'service' : 'other';
  const coded = error instanceof CodedError ? error : new CodedError('INTERNAL', (error as Error).message);
  return { kind, code: coded.code, message: coded.message, field: coded.field };
}

function land({ kind, code, message, field }: CarriedError): CodedError {
  const options = field === undefined ? {} : { field };
  if (kind === 'evidence') return new EvidenceError(code, message, options);
  return kind === 'service' ? new ServiceError(code, message, options) : new CodedError(code, message, options);
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A store in a thread of its own: a commit waits for the disk there, while this thread goes on relaying and gathers the
 * next group.
 *
 * @param onDied the thread ended unasked: nothing can be stored any more
 * @throws CodedError what the store refused to open for
 */
export async function openThreadedStore(data: StoreThreadData, onDied: (reason: string) => void): Promise<Store> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: data, name: 'store' });
  const pending = new Map<number, Pending>();
  let next = 0;
  let closing = false;

  const answer = <T>(id: number): Promise<T> =>
    new Promise<T>((resolve, reject) => pending.set(id, { resolve: resolve as Pending['resolve'], reject }));
  const call = <M extends StoreMethod>(method: M) =>
    ((...args: unknown[]) => {
      const id = next++;
      const answered = answer(id);
      worker.postMessage({ id, method, args } satisfies StoreCall);
      return answered;
    }) as unknown as Store[M];

  worker.on('message', (message: StoreAnswer) => {
    const waiter = pending.get(message.id);
    pending.delete(message.id);
    if ('error' in message) waiter?.reject(land(message.error));
    else waiter?.resolve(message.value as never);
  });
  const died = (reason: string) => {
    for (const { reject } of pending.values())
      reject(new ServiceError('STORE_FAILED', `the store's thread ended: ${reason}`));
    pending.clear();
    if (!closing) onDied(reason);
  };
  worker.once('error', (error) => died(error.name));
  worker.once('exit', (code) => died(`status ${code}`));

  await answer(OPENED);
  return {
    startBoot: call('startBoot'),
    append: call('append'),
    boots: call('boots'),
    boot: call('boot'),
    entries: call('entries'),
    indicesOf: call('indicesOf'),
    statementOf: call('statementOf'),
    latestEvidence: call('latestEvidence'),
    firstEvidenceOver: call('firstEvidenceOver'),
    evidence: call('evidence'),
    inclusionPath: call('inclusionPath'),
    tile: call('tile'),
    close: async () => {
      closing = true;
      await call('close')();
      await worker.terminate();
    },
  };
}
