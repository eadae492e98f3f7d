import {
  type Bytes,
  type Code,
  CodedError,
  encodeEvidence,
  FRAME,
  parseCheckpoint,
  reportData,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import type { Attester } from './attester/attester.ts';
import type { Challenges } from './challenges.ts';
import type { EnclaveLog } from './log.ts';
import type { Outbox } from './outbox.ts';
import type { SealingKeys } from './sealing/keys.ts';
import type { Session } from './session.ts';

/** The longest time between two reports, however quiet the log is. */
const MAX_INTERVAL_MS = 60_000;
const MAX_BACK_OFF_MS = 30_000;

export interface TickerParts {
  readonly session: Session;
  readonly log: EnclaveLog;
  readonly outbox: Outbox;
  readonly challenges: Challenges;
  readonly keys: Pick<SealingKeys, 'inForce' | 'covered'>;
  readonly attester: Attester;
  readonly logger: Logger;
}

/**
 * Puts the log's head under a hardware report: single flight, off the request path. A tick starts when entries are
 * pending and the platform's minimum interval has passed, and at least every 60 s. A stalled platform delays ticks,
 * never inferences.
 */
export class Ticker {
  readonly #parts: TickerParts;
  #timer: NodeJS.Timeout | undefined;
  #armedForWork = false;
  #running: Promise<void> | undefined;
  #stopped = false;
  #previous: Bytes<64> | null = null;
  #lastStart = Number.NEGATIVE_INFINITY;
  #lastSuccess: number | null = null;
  #failures = 0;
  #committed = 0;
  #error: Code | null = null;

  constructor(parts: TickerParts) {
    this.#parts = parts;
  }

  /** Entries under the last report. */
  get committed(): number {
    return this.#committed;
  }

  get error(): Code | null {
    return this.#error;
  }

  get evidenceAgeMs(): number | null {
    return this.#lastSuccess === null ? null : Math.round(performance.now() - this.#lastSuccess);
  }

  /** Something is waiting for a report. */
  poke(): void {
    this.#schedule();
  }

  /** What made the last tick fail was mended: the next one need not wait for the back-off. */
  retry(): void {
    this.#failures = 0;
    this.#armedForWork = false;
    this.#schedule();
  }

  #pending(): boolean {
    return this.#parts.log.size > this.#committed || this.#parts.challenges.pending;
  }

  #schedule(): void {
    const work = this.#pending();
    if (this.#stopped || this.#running || (work && this.#armedForWork)) return;
    clearTimeout(this.#timer);
    this.#armedForWork = work;
    const { minIntervalMs } = this.#parts.attester;
    const backOff =
      this.#failures === 0 ? 0 : Math.min(MAX_BACK_OFF_MS, Math.max(minIntervalMs, 250) * 2 ** this.#failures);
    const wait = work ? Math.max(minIntervalMs, backOff) : Math.max(MAX_INTERVAL_MS, backOff);
    const due = Math.max(0, this.#lastStart + wait - performance.now());
    this.#timer = setTimeout(() => void this.#run(), Number.isFinite(due) ? due : 0);
  }

  async #run(): Promise<void> {
    this.#armedForWork = false;
    this.#running = this.#tick();
    await this.#running;
    this.#running = undefined;
    this.#schedule();
  }

  /** One report over everything appended so far. Failures are kept for readiness and retried; they never throw. */
  async #tick(): Promise<void> {
    const { session, log, outbox, challenges, keys, attester, logger } = this.#parts;
    this.#lastStart = performance.now();
    try {
      if (outbox.full) throw new CodedError('LOG_BACKLOG_FULL', 'the host is behind in storing log entries');
      challenges.commit(keys.inForce);
      const { note, size } = log.checkpoint();
      const binding = reportData(session.claimsBytes, this.#previous, parseCheckpoint(note).body);
      const { report, chain, crls } = await attester.attest(binding, session.publicKey);
      outbox.push(
        FRAME.evidence,
        encodeEvidence({
          format: attester.format,
          report,
          chain,
          crls,
          sessionClaims: session.claimsBytes,
          checkpoint: note,
          previousReportData: this.#previous,
          cosignatures: [],
        }),
      );
      this.#previous = binding;
      this.#committed = size;
      this.#lastSuccess = performance.now();
      this.#failures = 0;
      this.#error = null;
      keys.covered(size); // before whoever asked learns of them
      challenges.covered(size, binding);
    } catch (error) {
      this.#failures += 1;
      this.#error = error instanceof CodedError ? error.code : 'PLATFORM_FAILED';
      logger.warn({ code: this.#error, attempt: this.#failures, reason: (error as Error).message }, 'tick failed');
    }
  }

  /** Stops after one last tick over what is still pending. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopped = true;
    await this.#running;
    if (this.#pending()) await this.#tick();
  }
}
