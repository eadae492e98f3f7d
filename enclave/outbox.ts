import { encodeFrame, FRAME, type FrameType, ServiceError } from '@veritee/protocol';

export interface OutboxLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * What the host has not yet acknowledged as durable: the enclave's only copy of those entries and evidence files.
 * Bounded: at the bound new work is refused, nothing is dropped.
 */
export class Outbox {
  readonly #limits: OutboxLimits;
  readonly #frames: Uint8Array<ArrayBuffer>[] = [];
  #acknowledged = 0;
  #bytes = 0;
  #reserved = 0;
  #wake: (() => void)[] = [];

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  /** Records are numbered from 0 in each boot; those below this number are durable at the host. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get next(): number {
    return this.#acknowledged + this.#frames.length;
  }

  get full(): boolean {
    return this.#frames.length + this.#reserved >= this.#limits.maxRecords || this.#bytes >= this.#limits.maxBytes;
  }

  /** Room for one entry, taken before the work starts, so that finished work can always be recorded. */
  reserve(): () => void {
    if (this.full) {
      throw new ServiceError('LOG_BACKLOG_FULL', 'the host is behind in storing log entries; try again shortly');
    }
    this.#reserved += 1;
    let held = true;
    return () => {
      if (held) this.#reserved -= 1;
      held = false;
    };
  }

  push(type: FrameType, body: Uint8Array): void {
    const frame = encodeFrame(type, body);
    this.#frames.push(frame);
    this.#bytes += frame.length;
    this.#notify();
  }

  /** @throws ServiceError REQUEST_FIELD_INVALID a position that was never reached, or moves backwards */
  acknowledge(position: number): void {
    if (!Number.isSafeInteger(position) || position < this.#acknowledged || position > this.next) {
      throw new ServiceError('REQUEST_FIELD_INVALID', `position: want ${this.#acknowledged} to ${this.next}`, {
        field: 'position',
      });
    }
    for (const frame of this.#frames.splice(0, position - this.#acknowledged)) this.#bytes -= frame.length;
    this.#acknowledged = position;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resume of wake) resume();
  }

  /** Resolves when a record is added or acknowledged, or the time is up. */
  #changed(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, withinMs);
      function done(): void {
        clearTimeout(timer);
        resolve();
      }
      this.#wake.push(done);
    });
  }

  /**
   * Frames from a position on, endless; a heartbeat when nothing happens, so that a dead link shows.
   * @throws ServiceError REQUEST_FIELD_INVALID a position that is no longer, or not yet, held
   */
  stream(from: number, heartbeatMs: number): AsyncGenerator<Uint8Array> {
    if (from < this.#acknowledged || from > this.next) {
      throw new ServiceError('REQUEST_FIELD_INVALID', `from: want ${this.#acknowledged} to ${this.next}`, {
        field: 'from',
      });
    }
    return this.#frameStream(from, heartbeatMs);
  }

  async *#frameStream(from: number, heartbeatMs: number): AsyncGenerator<Uint8Array> {
    for (let position = from; ; ) {
      const at = Math.max(0, position - this.#acknowledged);
      const waiting = this.#frames.slice(at, at + 512);
      if (waiting.length > 0) {
        position = Math.max(position, this.#acknowledged) + waiting.length;
        yield Buffer.concat(waiting);
      } else {
        await this.#changed(heartbeatMs);
        if (position >= this.next) yield encodeFrame(FRAME.heartbeat, new Uint8Array(0));
      }
    }
  }

  /** Resolves when the host has acknowledged everything, or false when the time is up. */
  async drained(withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    while (this.#frames.length > 0) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.#changed(left);
    }
    return true;
  }
}
