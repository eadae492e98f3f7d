import type { Receipt } from '@veritee/client';
import { CodedError } from '@veritee/protocol';

/** How many receipts are brought under hardware at a time, and how many may wait for their turn. */
const LANES = 4;
const MAX_WAITING = 10_000;

export interface Kept {
  readonly kept: number;
  readonly hardwareCommitted: number;
  /** Left as the session signed them: their report did not come, or too many waited. */
  readonly sessionSigned: number;
}

/**
 * Keeps receipts in a folder: at once as they are, and again with the hardware report that covers them, once there is one.
 */
export class ReceiptFolder {
  readonly #folder: string;
  readonly #onFailure: (receipt: Receipt, error: CodedError) => void;
  readonly #waiting: Receipt[] = [];
  readonly #lanes = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #kept = 0;
  #hardwareCommitted = 0;
  #sessionSigned = 0;

  constructor(folder: string, onFailure: (receipt: Receipt, error: CodedError) => void) {
    this.#folder = folder;
    this.#onFailure = onFailure;
  }

  get counts(): Kept {
    return { kept: this.#kept, hardwareCommitted: this.#hardwareCommitted, sessionSigned: this.#sessionSigned };
  }

  /** @throws ClientError FILE_UNWRITABLE */
  async keep(receipt: Receipt): Promise<void> {
    await receipt.save(this.#folder);
    this.#kept += 1;
    if (receipt.result.strength === 'hardware-committed') this.#hardwareCommitted += 1;
    else if (this.#waiting.length >= MAX_WAITING) this.#sessionSigned += 1;
    else {
      this.#waiting.push(receipt);
      if (this.#lanes.size < LANES) this.#openLane();
    }
  }

  /** Lets what waits come under hardware, for so long. */
  async close(withinMs: number): Promise<void> {
    const enough = setTimeout(() => this.#stop.abort(), withinMs);
    while (this.#lanes.size > 0) await Promise.all(this.#lanes);
    clearTimeout(enough);
  }

  #openLane(): void {
    const lane = this.#work().finally(() => this.#lanes.delete(lane));
    this.#lanes.add(lane);
  }

  async #work(): Promise<void> {
    for (let receipt = this.#waiting.shift(); receipt; receipt = this.#waiting.shift()) {
      try {
        await (await receipt.hardwareCommitted({ signal: this.#stop.signal })).save(this.#folder);
        this.#hardwareCommitted += 1;
      } catch (error) {
        this.#sessionSigned += 1;
        if (!(error instanceof CodedError)) throw error;
        if (!this.#stop.signal.aborted) this.#onFailure(receipt, error);
      }
    }
  }
}
