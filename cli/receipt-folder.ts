import type { Receipt } from '@veritee/client';
import { CodedError } from '@veritee/protocol';

/** How many receipts are brought under hardware at a time. */
const LANES = 4;

/** What may wait: a receipt holds the bodies it is about, and a host that brings no reports must not fill the memory. */
export interface WaitingLimits {
  readonly waiting: number;
  readonly bytes: number;
}

const WAITING_LIMITS: WaitingLimits = { waiting: 10_000, bytes: 256 << 20 };

const bytesOf = ({ file, private: { request, response } }: Receipt): number =>
  file.length + request.length + response.length;

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
  readonly #limits: WaitingLimits;
  readonly #waiting: Receipt[] = [];
  /** Of those that wait or are asked about. */
  #bytes = 0;
  readonly #lanes = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #kept = 0;
  #hardwareCommitted = 0;
  #sessionSigned = 0;

  constructor(
    folder: string,
    onFailure: (receipt: Receipt, error: CodedError) => void,
    limits: WaitingLimits = WAITING_LIMITS,
  ) {
    this.#folder = folder;
    this.#onFailure = onFailure;
    this.#limits = limits;
  }

  get counts(): Kept {
    return { kept: this.#kept, hardwareCommitted: this.#hardwareCommitted, sessionSigned: this.#sessionSigned };
  }

  /** @throws ClientError FILE_UNWRITABLE */
  async keep(receipt: Receipt): Promise<void> {
    await receipt.save(this.#folder);
    this.#kept += 1;
    if (receipt.result.strength === 'hardware-committed') this.#hardwareCommitted += 1;
    else if (!this.#hasRoomFor(receipt)) this.#sessionSigned += 1;
    else {
      this.#waiting.push(receipt);
      this.#bytes += bytesOf(receipt);
      if (this.#lanes.size < LANES) this.#openLane();
    }
  }

  /** Lets what waits come under hardware, for so long. */
  async close(withinMs: number): Promise<void> {
    const enough = setTimeout(() => this.#stop.abort(), withinMs);
    while (this.#lanes.size > 0) await Promise.all(this.#lanes);
    clearTimeout(enough);
  }

  #hasRoomFor(receipt: Receipt): boolean {
    const { waiting, bytes } = this.#limits;
    return this.#waiting.length < waiting && this.#bytes + bytesOf(receipt) <= bytes;
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
        // The message of a defect may quote content.
        const coded = error instanceof CodedError ? error : new CodedError('INTERNAL', 'an internal error');
        if (!this.#stop.signal.aborted) this.#onFailure(receipt, coded);
      } finally {
        this.#bytes -= bytesOf(receipt);
      }
    }
  }
}
