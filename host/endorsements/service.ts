/**
 * AMD's key distribution service, asked politely: one request at a time, spaced, with back-off, and for a bounded time.
 * It is reached over a network and trusted for nothing.
 */
import { EvidenceError, ServiceError } from '@veritee/protocol';
import { type EndorsementKey, nameOf, resourceOf } from './keys.ts';
import type { Pace } from './pace.ts';
import { type Answer, type Fetch, request, SLOW_MS } from './request.ts';
import { checkMediaType, checkShape, MAX_BYTES, refuseMalformed } from './shape.ts';

export type ServiceProgress =
  /** Told before a wait of more than two seconds. */
  | { readonly kind: 'waiting'; readonly what: string; readonly waitMs: number; readonly reason: string }
  /** Told once when an answer takes longer than that. */
  | { readonly kind: 'slow'; readonly what: string };

export interface ServiceLimits {
  readonly maxAttempts: number;
  /** All attempts and the waits between them; a request that has begun may run on to its own timeout. */
  readonly totalMs: number;
  readonly requestTimeoutMs: number;
  readonly minBackOffMs: number;
  readonly maxBackOffMs: number;
}

export interface ServiceParts {
  readonly fetch: Fetch;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** From 0 up to 1, spreads the retries of many machines. */
  readonly random: () => number;
  readonly onProgress: (event: ServiceProgress) => void;
}

/** A pause without a word from the service: KDS gives out one VCEK in about ten seconds. */
const THROTTLED_BACK_OFF_MS = 10_000;

export class KeyService {
  readonly #baseUrl: string;
  readonly #pace: Pace;
  readonly #limits: ServiceLimits;
  readonly #parts: ServiceParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(baseUrl: string, pace: Pace, limits: ServiceLimits, parts: ServiceParts) {
    this.#baseUrl = baseUrl;
    this.#pace = pace;
    this.#limits = limits;
    this.#parts = parts;
  }

  /**
   * The bytes, of the right shape but unverified.
   *
   * @throws CodedError ENDORSEMENT_MISSING KDS knows no such thing; ENDORSEMENT_MALFORMED the answer cannot be it;
   *   SERVICE_UNREACHABLE tried long enough; SERVICE_REFUSED; FILE_UNWRITABLE the pace cannot be kept
   */
  async get(key: EndorsementKey, maxAttempts = this.#limits.maxAttempts): Promise<Uint8Array<ArrayBuffer>> {
    const resource = resourceOf(key); // refuses a key that has no address before its turn
    // Retries keep their turn: while the service throttles one request, it would throttle the next one too.
    const turn = this.#last.then(() => this.#attempts(key, resource, maxAttempts));
    this.#last = turn.catch(() => undefined); // its own caller is told; the next in line starts afresh
    return turn;
  }

  async #attempts(key: EndorsementKey, resource: string, maxAttempts: number): Promise<Uint8Array<ArrayBuffer>> {
    const { now, random } = this.#parts;
    const { totalMs, minBackOffMs, maxBackOffMs } = this.#limits;
    const deadline = now() + totalMs;
    let backOffMs = 0;
    let reason = 'requests to the key service are spaced';
    let cause: unknown;
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      await this.#wait(key, backOffMs, deadline, reason, cause);
      await this.#pace.noteRequest(key.kind);
      const answer = await this.#request(key, resource);
      if (answer.outcome !== 'try-again') return settle(key, answer);
      ({ reason, cause } = answer);
      if (answer.retryAfterMs !== null) await this.#pace.notePause(answer.retryAfterMs);
      const firstMs = answer.throttled ? THROTTLED_BACK_OFF_MS : minBackOffMs;
      backOffMs = Math.min(maxBackOffMs, firstMs * 2 ** (attempt - 1)) * (1 + random() / 4);
    }
    return giveUp(key, `${reason}, after ${maxAttempts} attempts`, cause);
  }

  async #wait(key: EndorsementKey, backOffMs: number, deadline: number, reason: string, cause: unknown): Promise<void> {
    const { now, sleep, onProgress } = this.#parts;
    const waitMs = Math.max(backOffMs, await this.#pace.waitMs(key.kind));
    if (now() + waitMs > deadline) {
      giveUp(key, `${reason}; it may be asked again in ${Math.ceil(waitMs / 1000)} s`, cause);
    }
    if (waitMs > SLOW_MS) onProgress({ kind: 'waiting', what: nameOf(key), waitMs, reason });
    if (waitMs > 0) await sleep(waitMs);
  }

  #request(key: EndorsementKey, resource: string): Promise<Answer> {
    const { fetch, now, onProgress } = this.#parts;
    const limits = { maxBytes: MAX_BYTES[key.kind], timeoutMs: this.#limits.requestTimeoutMs };
    const onSlow = (): void => onProgress({ kind: 'slow', what: nameOf(key) });
    return request(`${this.#baseUrl}${resource}`, limits, { fetch, now, onSlow });
  }
}

function settle(key: EndorsementKey, answer: Exclude<Answer, { outcome: 'try-again' }>): Uint8Array<ArrayBuffer> {
  switch (answer.outcome) {
    case 'ok':
      checkMediaType(key, answer.mediaType);
      checkShape(key, answer.bytes);
      return answer.bytes;
    case 'too-large':
      return refuseMalformed(key, `more than ${MAX_BYTES[key.kind]} bytes`);
    case 'missing':
      throw new EvidenceError('ENDORSEMENT_MISSING', `${nameOf(key)}: the key service has none`, { field: key.kind });
    case 'refused': {
      const message = `${nameOf(key)}: the key service answered ${answer.status}`;
      throw new ServiceError('SERVICE_REFUSED', message, { field: key.kind });
    }
  }
}

function giveUp(key: EndorsementKey, reason: string, cause: unknown): never {
  const message = `${nameOf(key)} cannot be had from the key service: ${reason}`;
  throw new ServiceError('SERVICE_UNREACHABLE', message, { field: key.kind, cause });
}
