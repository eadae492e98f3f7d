/**
 * The life of the sealing keys (design §5): made in this process, entered into the log, used once a hardware report
 * covers that entry, erased at their end. Times are of the monotonic clock; those in an entry are claims.
 */
import { randomInt } from 'node:crypto';
import {
  type Bytes,
  type CodedError,
  encodeKeyEntry,
  generateSealingKey,
  type SealingKeyPair,
  ServiceError,
  sha256,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import type { EnclaveLog } from '../log.ts';
import type { Outbox } from '../outbox.ts';
import type { Clock } from './clock.ts';

/** RFC 9458 §3.1: a key identifier is one byte. */
const KEY_IDS = 256;
const RETRY_MS = 1000;
/** More than one process can use up within a key's life. */
const MAX_KEYS = 8;

export interface SealingLimits {
  /** A key ends at this age, */
  readonly lifeMs: number;
  /** or when so many requests were opened with it. The memory for replays grows by some 100 bytes with each. */
  readonly maxOpened: number;
}

export const SEALING_LIMITS: SealingLimits = { lifeMs: 600_000, maxOpened: 1_000_000 };

export interface SealingKeysParts {
  readonly log: EnclaveLog;
  readonly outbox: Pick<Outbox, 'full'>;
  readonly clock: Clock;
  /** Wall clock, ms since 1970. */
  readonly now: () => number;
  /** A successor's entry waits for a report. */
  readonly onEntered: () => void;
  readonly logger: Logger;
}

interface SealingKey {
  readonly pair: SealingKeyPair;
  /** SHA-256 of its configuration, by which challenges entries name it. */
  readonly digest: Bytes<32>;
  /** Leaf index of its key entry. */
  readonly entry: number;
  readonly bornMs: number;
  committed: boolean;
  /** Every `enc` that was opened with it, 32 bytes in a one-byte string. */
  readonly seen: Set<string>;
}

/** For one request. */
export interface Opener {
  /** @throws ServiceError SEALING_KEY_UNKNOWN, KEY_NOT_COMMITTED */
  readonly keyOf: (keyId: number) => SealingKeyPair;
  /** @throws ServiceError SEALED_REQUEST_REPLAYED; SEALING_KEY_UNKNOWN when the key ended meanwhile */
  readonly firstUse: (enc: Uint8Array) => void;
}

export class SealingKeys {
  readonly #parts: SealingKeysParts;
  readonly #limits: SealingLimits;
  /** Oldest first; only these have a private half. */
  readonly #keys: SealingKey[] = [];
  #nextId = randomInt(KEY_IDS);
  #entering = false;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(parts: SealingKeysParts, limits: SealingLimits = SEALING_LIMITS) {
    this.#parts = parts;
    this.#limits = limits;
  }

  /** Enters the first key; from then on there is always one to come. */
  async start(): Promise<void> {
    await this.#enter();
    this.#turn();
  }

  /** What a challenges entry names: every configuration that a request can now, or after the next report, be sealed to. */
  get inForce(): readonly Bytes<32>[] {
    return this.#keys.filter((key) => !this.#isOver(key)).map(({ digest }) => digest);
  }

  /** Why no sealed request can be opened now; null when one can. */
  refusal(): CodedError | null {
    if (this.#keys.some((key) => key.committed && !this.#isOver(key))) return null;
    return new ServiceError('KEY_NOT_COMMITTED', 'no sealing key is under a hardware report; try again shortly');
  }

  /** A hardware report covers the entries below `size`. */
  covered(size: number): void {
    for (const key of this.#keys) if (key.entry < size) key.committed = true;
  }

  opener(): Opener {
    let chosen: SealingKey | undefined;
    return {
      keyOf: (keyId) => {
        chosen = this.#usable(keyId);
        return chosen.pair;
      },
      firstUse: (enc) => {
        if (!chosen || this.#stopped || this.#isOver(chosen)) throw unknownKey();
        this.#use(chosen, enc);
      },
    };
  }

  /** Erases every key; no other follows. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
    for (const key of this.#keys.splice(0)) key.pair.erase();
  }

  #usable(keyId: number): SealingKey {
    const key = this.#keys.find(({ pair }) => pair.keyId === keyId);
    const living = key && !this.#isOver(key) ? key : undefined;
    if (living?.committed) return living;
    // While no key can be used, asking for the keys again would not help the caller.
    throw (living && notYet()) ?? this.refusal() ?? unknownKey();
  }

  /** Check and record in one turn of the event loop, so that of two equal requests one is the first. */
  #use(key: SealingKey, enc: Uint8Array): void {
    const mark = Buffer.from(enc.buffer, enc.byteOffset, enc.byteLength).toString('latin1');
    if (key.seen.has(mark)) throw new ServiceError('SEALED_REQUEST_REPLAYED', 'this sealed request was opened before');
    key.seen.add(mark);
    const { maxOpened } = this.#limits;
    if (key.seen.size === Math.ceil(maxOpened / 2) || key.seen.size >= maxOpened) this.#turn();
  }

  #isOver({ bornMs, seen }: SealingKey): boolean {
    return this.#parts.clock.now() - bornMs >= this.#limits.lifeMs || seen.size >= this.#limits.maxOpened;
  }

  /** The newest key is half through, by time or by use. */
  #successorDue(): boolean {
    const newest = this.#keys.at(-1);
    if (!newest) return true;
    const { lifeMs, maxOpened } = this.#limits;
    return this.#parts.clock.now() - newest.bornMs >= lifeMs / 2 || newest.seen.size >= maxOpened / 2;
  }

  /** Ends what is over, enters what is due, and comes back when the next of either is. */
  #turn(): void {
    this.#cancel();
    if (this.#stopped) return;
    const { clock, onEntered, logger } = this.#parts;
    for (const key of this.#keys.filter((one) => this.#isOver(one))) this.#end(key);
    if (!this.#entering && this.#successorDue() && clock.now() >= this.#retryAtMs) {
      this.#enter()
        .then(onEntered)
        .catch((error: Error & { code?: unknown }) => {
          this.#retryAtMs = clock.now() + RETRY_MS;
          logger.warn({ code: error.code ?? 'INTERNAL', name: error.name }, 'no sealing key could be entered');
        })
        .finally(() => this.#turn());
    }
    const next = Math.min(this.#nextEndMs(), this.#nextStartMs());
    if (next === Number.POSITIVE_INFINITY) return; // the key that is being made comes back here
    this.#cancel = clock.after(Math.max(1, Math.ceil(next - clock.now())), () => this.#turn());
  }

  #nextEndMs(): number {
    return Math.min(...this.#keys.map(({ bornMs }) => bornMs + this.#limits.lifeMs));
  }

  #nextStartMs(): number {
    if (this.#entering) return Number.POSITIVE_INFINITY;
    const newest = this.#keys.at(-1);
    return !newest || this.#successorDue() ? this.#retryAtMs : newest.bornMs + this.#limits.lifeMs / 2;
  }

  #end(key: SealingKey): void {
    this.#keys.splice(this.#keys.indexOf(key), 1);
    key.pair.erase();
    this.#parts.logger.info({ keyId: key.pair.keyId, opened: key.seen.size }, 'sealing key erased');
  }

  async #enter(): Promise<void> {
    const { log, outbox, clock, now, logger } = this.#parts;
    this.#entering = true;
    try {
      const bornMs = clock.now();
      const pair = await generateSealingKey(this.#nextId);
      if (this.#stopped || outbox.full) {
        pair.erase();
        if (this.#stopped) return;
        throw new ServiceError('LOG_BACKLOG_FULL', 'the host is behind in storing log entries');
      }
      const notBefore = Math.floor(now() / 1000);
      const { index } = log.append('key', (sequence) =>
        encodeKeyEntry({
          sequence,
          issuedAt: notBefore,
          config: pair.config,
          notBefore,
          notAfter: notBefore + Math.ceil(this.#limits.lifeMs / 1000),
        }),
      );
      this.#nextId = (this.#nextId + 1) % KEY_IDS;
      const [oldest] = this.#keys;
      if (oldest && this.#keys.length >= MAX_KEYS) this.#end(oldest);
      this.#keys.push({ pair, digest: sha256(pair.config), entry: index, bornMs, committed: false, seen: new Set() });
      logger.info({ keyId: pair.keyId, entry: index }, 'sealing key entered');
    } finally {
      this.#entering = false;
    }
  }
}

const notYet = (): ServiceError =>
  new ServiceError('KEY_NOT_COMMITTED', 'this sealing key is not yet under a hardware report; try again shortly');

const unknownKey = (): ServiceError =>
  new ServiceError('SEALING_KEY_UNKNOWN', 'this sealing key is not in use, or no longer: ask for an attestation again');
