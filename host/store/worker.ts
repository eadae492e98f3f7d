/** The thread that owns the database (threaded.ts). Calls are answered in their order. */
import { parentPort, workerData } from 'node:worker_threads';
import { SqliteStore } from './sqlite.ts';
import { carry, OPENED, type StoreAnswer, type StoreCall, type StoreThreadData } from './threaded.ts';

const answer = (message: StoreAnswer): void => parentPort?.postMessage(message);

function open({ folder, maxBytes }: StoreThreadData): SqliteStore | null {
  try {
    const store = SqliteStore.open(folder, maxBytes);
    answer({ id: OPENED, value: null });
    return store;
  } catch (error) {
    answer({ id: OPENED, error: carry(error) });
    return null;
  }
}

const store = open(workerData as StoreThreadData);

parentPort?.on('message', async ({ id, method, args }: StoreCall) => {
  try {
    if (!store) throw new TypeError('the store is not open');
    const run = store[method] as (...given: unknown[]) => Promise<unknown>;
    answer({ id, value: await run.apply(store, [...args]) });
  } catch (error) {
    answer({ id, error: carry(error) });
  }
});
