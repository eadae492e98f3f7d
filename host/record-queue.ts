import { FRAME, type Frame } from '@veritee/protocol';
import type { LogRecord } from './store/store.ts';

/** Records read from the link and not yet committed: bounded in bytes, so that a slow store slows the reader. */
export class RecordQueue {
  readonly #maxBytes: number;
  #records: LogRecord[] = [];
  #bytes = 0;
  #closed = false;
  #changed: (() => void)[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get length(): number {
    return this.#records.length;
  }

  /** Heartbeats are dropped here; they are no records. */
  push(frames: readonly Frame[]): void {
    for (const { type, body } of frames) {
      if (type === FRAME.heartbeat) continue;
      const bytes = body as Uint8Array<ArrayBuffer>; // a slice of its own, cut by FrameReader
      this.#records.push({ type: type === FRAME.entry ? 'entry' : 'evidence', bytes });
      this.#bytes += bytes.length;
    }
    this.#notify();
  }

  /** What was pushed can still be taken. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  /** Up to `most` records, as soon as there is one; none once closed and empty. */
  async take(most: number): Promise<readonly LogRecord[]> {
    while (this.#records.length === 0 && !this.#closed) await this.#change();
    const taken = this.#records.splice(0, most);
    for (const { bytes } of taken) this.#bytes -= bytes.length;
    this.#notify();
    return taken;
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.#bytes >= this.#maxBytes && !this.#closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #notify(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const resume of changed) resume();
  }
}
