import { type Bytes, hex, ServiceError } from '@veritee/protocol';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface EntryWaiter extends Waiter {
  readonly boot: string;
  readonly index: number;
}

const changed = (): ServiceError =>
  new ServiceError('ENCLAVE_CHANGED', 'the enclave ended before its log entry was durable; send the request again');

/** Who waits for which entry or evidence to be durable. An answer is relayed only after its wait has resolved. */
export class Durability {
  /** Durable entries of every boot this process has heard; the last one added is the current boot. */
  readonly #sizes = new Map<string, number>();
  #current: string | null = null;
  readonly #entries = new Set<EntryWaiter>();
  readonly #evidence = new Map<string, Set<Waiter>>();

  /**
   * Resolves when the entry is committed. A boot not heard of yet may be one whose link is just being made.
   * @throws ServiceError ENCLAVE_CHANGED the boot ended without delivering it; or what `rejectAll` is given
   */
  entry(boot: string, index: number, signal: AbortSignal): Promise<void> {
    const size = this.#sizes.get(boot);
    if (size !== undefined && index < size) return Promise.resolve();
    if (size !== undefined && boot !== this.#current) return Promise.reject(changed());
    return new Promise((resolve, reject) => {
      const waiter: EntryWaiter = { boot, index, resolve, reject };
      this.#entries.add(waiter);
      onAbort(signal, () => {
        if (this.#entries.delete(waiter)) reject(signal.reason);
      });
    });
  }

  /** Resolves at the next commit of this evidence: ask the store first, then again after registering. */
  evidence(reportData: Bytes<64>, signal: AbortSignal): Promise<void> {
    const key = hex(reportData);
    const waiters = this.#evidence.get(key) ?? new Set();
    this.#evidence.set(key, waiters);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      waiters.add(waiter);
      onAbort(signal, () => {
        if (!waiters.delete(waiter)) return;
        if (waiters.size === 0) this.#evidence.delete(key);
        reject(signal.reason);
      });
    });
  }

  /** Another boot, or the same one again, speaks on the link. */
  bootStarted(boot: string, size: number): void {
    this.#current = boot;
    this.#sizes.set(boot, size);
    for (const waiter of this.#entries) {
      if (waiter.boot === boot) continue;
      this.#entries.delete(waiter);
      waiter.reject(changed());
    }
    this.#settle(boot, size);
  }

  committed(boot: string, size: number, evidence: readonly Bytes<64>[]): void {
    this.#sizes.set(boot, size);
    this.#settle(boot, size);
    for (const reportData of evidence) {
      const key = hex(reportData);
      for (const { resolve } of this.#evidence.get(key) ?? []) resolve();
      this.#evidence.delete(key);
    }
  }

  /** The store or the enclave failed: nobody is kept waiting for what may never come. */
  rejectAll(error: Error): void {
    for (const { reject } of this.#entries) reject(error);
    for (const waiters of this.#evidence.values()) for (const { reject } of waiters) reject(error);
    this.#entries.clear();
    this.#evidence.clear();
  }

  #settle(boot: string, size: number): void {
    for (const waiter of this.#entries) {
      if (waiter.boot !== boot || waiter.index >= size) continue;
      this.#entries.delete(waiter);
      waiter.resolve();
    }
  }
}

function onAbort(signal: AbortSignal, act: () => void): void {
  if (signal.aborted) act();
  else signal.addEventListener('abort', act, { once: true });
}
