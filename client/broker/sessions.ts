import { hex, type KbsTee, ServiceError } from '@veritee/protocol';

/** A challenge that waits for its one answer. */
export interface Challenge {
  readonly tee: KbsTee;
  readonly nonce: string;
}

interface Held<T> {
  readonly value: T;
  readonly expiresAt: number;
}

const ID_BYTES = 32;
const ID = /^[0-9a-f]{64}$/;

const newId = (): string => hex(crypto.getRandomValues(new Uint8Array(ID_BYTES)));

/** Sessions by an unguessable id, each for a fixed time by a monotonic clock, at most so many at once. */
export class Sessions<T> {
  readonly #most: number;
  readonly #lifeMs: number;
  readonly #clock: () => number;
  readonly #held = new Map<string, Held<T>>(); // in the order in which they expire

  constructor(most: number, lifeMs: number, clock: () => number) {
    this.#most = most;
    this.#lifeMs = lifeMs;
    this.#clock = clock;
  }

  /** @throws ServiceError QUEUE_FULL */
  open(value: T, id = newId()): string {
    this.#expire();
    if (this.#held.size >= this.#most)
      throw new ServiceError('QUEUE_FULL', 'too many exchanges are under way; try again shortly');
    this.#held.set(id, { value, expiresAt: this.#clock() + this.#lifeMs });
    return id;
  }

  get(id: string): T | undefined {
    this.#expire();
    return ID.test(id) ? this.#held.get(id)?.value : undefined;
  }

  /** Gives the session and ends it: what is answered once is not there to be answered again. */
  take(id: string): T | undefined {
    const value = this.get(id);
    this.#held.delete(id);
    return value;
  }

  #expire(): void {
    const now = this.#clock();
    for (const [id, { expiresAt }] of this.#held) {
      if (expiresAt > now) return;
      this.#held.delete(id);
    }
  }
}

/** So many calls at once, and so many a second after that. */
export class Pace {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #clock: () => number;
  #left: number;
  #at: number;

  constructor(burst: number, perSecond: number, clock: () => number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#left = burst;
    this.#at = clock();
  }

  /** @throws ServiceError QUEUE_FULL */
  take(): void {
    const now = this.#clock();
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    if (this.#left < 1) throw new ServiceError('QUEUE_FULL', 'too many requests; try again shortly');
    this.#left -= 1;
  }
}
