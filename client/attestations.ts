/** When a service is attested anew, and what of it may still be used. */
import type { AttestationResult, SealingKey } from '@veritee/verifier';
import { type Call, withCall } from './call.ts';

/** On this machine's monotonic clock, from the moment the nonce was sent. The enclave's keys live ten minutes. */
const REFRESH_AFTER_MS = 4 * 60_000;
const USABLE_FOR_MS = 10 * 60_000;
/** After a refresh that failed, while what is held is still good. */
const REFRESH_PAUSE_MS = 5_000;

export interface Attested {
  /** The attestation file as received. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly result: Extract<AttestationResult, { verdict: 'affirming'; kind: 'attestation' }>;
  /** What requests are sealed to: the newest key that this attestation vouches for; null when sending in the clear. */
  readonly sealingKey: SealingKey | null;
}

interface Held {
  readonly attested: Attested;
  readonly askedAt: number;
}

/** One attestation under way, for everyone who waits for it. It ends when the last of them has given up. */
interface Flight {
  readonly result: Promise<Held>;
  readonly abandon: AbortController;
  waiting: number;
}

export class Attestations {
  readonly #attest: (call: Call) => Promise<Attested>;
  #held: Held | null = null;
  #flight: Flight | null = null;
  #refreshNotBefore = 0;

  constructor(attest: (call: Call) => Promise<Attested>) {
    this.#attest = attest;
  }

  /** A verified attestation that is young enough, asked for anew when there is none. */
  async current(call: Call): Promise<Attested> {
    const held = this.#held;
    const age = held ? performance.now() - held.askedAt : Number.POSITIVE_INFINITY;
    if (!held || age >= USABLE_FOR_MS) return (await this.#join(call)).attested;
    if (age >= REFRESH_AFTER_MS) this.#refresh();
    return held.attested;
  }

  /** It turned out to be of no more use. What was asked for while it was held may be as old, and is not waited for. */
  drop(attested: Attested): void {
    if (this.#held?.attested !== attested) return;
    this.#held = null;
    this.#flight = null;
  }

  #refresh(): void {
    if (this.#flight || performance.now() < this.#refreshNotBefore) return;
    withCall({}, (call) => this.#join(call)).catch(() => {
      // What is held stays good until it is too old; then the same failure reaches a caller.
      this.#refreshNotBefore = performance.now() + REFRESH_PAUSE_MS;
    });
  }

  async #join(call: Call): Promise<Held> {
    this.#flight ??= this.#start();
    const flight = this.#flight;
    flight.waiting += 1;
    try {
      return await call.wait(flight.result);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        if (this.#flight === flight) this.#flight = null;
        flight.abandon.abort();
      }
    }
  }

  #start(): Flight {
    const abandon = new AbortController();
    const askedAt = performance.now();
    const result = withCall({ timeoutMs: REFRESH_AFTER_MS, signal: abandon.signal }, (call) => this.#attest(call)).then(
      (attested): Held => {
        const held = { attested, askedAt };
        if (this.#flight === flight) this.#held = held;
        return held;
      },
    );
    const flight: Flight = { result, abandon, waiting: 0 };
    return flight;
  }
}
