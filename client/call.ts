import { ClientError } from './errors.ts';

export interface CallOptions {
  /** Milliseconds for the whole call, attestation and retry included. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export const DEFAULT_TIMEOUT_MS = 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The patience of one call: a deadline and the caller's own signal, over everything that the call does. */
export class Call {
  /** Aborted when either is over. */
  readonly signal: AbortSignal;
  readonly #endsAt: number;
  readonly #callers: AbortSignal | undefined;

  constructor(signal: AbortSignal, endsAt: number, callers: AbortSignal | undefined) {
    this.signal = signal;
    this.#endsAt = endsAt;
    this.#callers = callers;
  }

  get leftMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  /** Why nobody waits any more. */
  over(): ClientError {
    const cause = this.signal.reason;
    return this.#callers?.aborted
      ? new ClientError('REQUEST_CANCELLED', 'the caller cancelled', { cause })
      : new ClientError('DEADLINE_EXCEEDED', 'the service did not answer in time', { cause });
  }

  /** Waits for work, but no longer than the call may last, whether or not the work heeds the signal. */
  async wait<T>(work: Promise<T>): Promise<T> {
    let stop: (() => void) | undefined;
    const ended = new Promise<never>((_, reject) => {
      stop = () => reject(this.over());
      if (this.signal.aborted) stop();
      else this.signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      if (stop) this.signal.removeEventListener('abort', stop);
    }
  }

  async sleep(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.wait(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, ms);
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Runs a call with its own deadline; nothing of it is left behind on the caller's signal. */
export async function withCall<T>(
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: CallOptions,
  run: (call: Call) => Promise<T>,
): Promise<T> {
  if (!(timeoutMs >= 0)) throw new TypeError('timeoutMs: want a number of milliseconds');
  const controller = new AbortController();
  const cancel = (): void => controller.abort(signal?.reason);
  const timer = setTimeout(() => controller.abort(), Math.min(timeoutMs, LONGEST_TIMER_MS));
  if (signal?.aborted) cancel();
  else signal?.addEventListener('abort', cancel, { once: true });
  const call = new Call(controller.signal, performance.now() + timeoutMs, signal);
  try {
    if (signal?.aborted) throw call.over();
    return await run(call);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}
