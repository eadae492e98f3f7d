import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  bytes,
  CodedError,
  EvidenceError,
  FrameReader,
  fromHex,
  HEADER,
  type LinkChallenge,
  type LinkHello,
  type LinkStatus,
  ServiceError,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import type { Dispatcher, Pool } from 'undici';
import { Durability } from './durability.ts';
import { linkRefusal, readChallenge, readHello, readStatus } from './link-messages.ts';
import type { HostMetrics } from './metrics.ts';
import { RecordQueue } from './record-queue.ts';
import type { LogRecord, Store, StoredEvidence } from './store/store.ts';

const MAX_QUEUED_BYTES = 8 << 20;
/** One transaction: about 20 ms, in which the store answers nobody else. */
const MAX_GROUP = 256;
const ANSWER_TIMEOUT_MS = 5000;
const STATUS_TIMEOUT_MS = 2000;

export interface LinkTimings {
  /** The enclave sends a heartbeat when nothing happens; a stream silent for longer is dead. */
  readonly idleMs: number;
  readonly minBackOffMs: number;
  readonly maxBackOffMs: number;
}

export const DEFAULT_LINK_TIMINGS: LinkTimings = { idleMs: 30_000, minBackOffMs: 50, maxBackOffMs: 5000 };

export interface LinkParts {
  readonly pool: Pool;
  readonly store: Store;
  /** Name of the link in the store. */
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: HostMetrics;
  readonly timings?: LinkTimings;
}

const isStoreError = (error: unknown): error is ServiceError =>
  error instanceof ServiceError && (error.code === 'STORE_FULL' || error.code === 'STORE_FAILED');

const unreachable = (cause?: unknown): ServiceError =>
  new ServiceError('ENCLAVE_UNREACHABLE', 'the enclave cannot be reached; try again shortly', { cause });

/**
 * The host's end of the enclave link (protocol's link.ts): brings every log record into the store in group commits,
 * acknowledges what is durable, and says which entries are.
 *
 * Records that contradict the stored log stop the link for good (LOG_FORKED): going on would bury the contradiction.
 */
export class EnclaveLink {
  readonly #parts: LinkParts;
  readonly #timings: LinkTimings;
  readonly #durability = new Durability();
  readonly #stop = new AbortController();
  #connection = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #boot: string | null = null;
  #connected = false;
  #hasEvidence = false;
  /** Why records cannot be stored at the moment. */
  #storeProblem: ServiceError | null = null;
  /** Why the link was given up. */
  #halted: CodedError | null = null;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#timings = parts.timings ?? DEFAULT_LINK_TIMINGS;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new ServiceError('ENCLAVE_STOPPING', 'the service is stopping'));
    this.#connection.abort(this.#stop.signal.reason);
    this.#durability.rejectAll(this.#stop.signal.reason);
    await this.#running;
  }

  /** The boot that speaks now, or spoke last; null before the first. */
  get boot(): string | null {
    return this.#boot;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Why new work cannot be taken now: its entry could not be made durable, or no receipt could be given for it. */
  refusal(): CodedError | null {
    if (this.#halted) return this.#halted;
    if (this.#storeProblem) return this.#storeProblem;
    if (!this.#connected) return unreachable();
    if (!this.#hasEvidence) {
      return new ServiceError('EVIDENCE_NOT_READY', 'this boot of the enclave has no hardware report yet; try again');
    }
    return null;
  }

  /**
   * Resolves when that entry is committed.
   * @throws ServiceError ENCLAVE_CHANGED, ENCLAVE_UNREACHABLE, STORE_FULL, STORE_FAILED, LOG_FORKED
   */
  async durable(boot: string, index: number, signal: AbortSignal): Promise<void> {
    const problem = this.#halted ?? this.#storeProblem;
    if (problem) throw problem;
    await this.#durability.entry(boot, index, signal);
  }

  /** The evidence the enclave named, as soon as it is stored. The caller aborts the signal when it is done. */
  async evidence(reportDataHex: string, signal: AbortSignal): Promise<StoredEvidence> {
    const { store } = this.#parts;
    const reportData = bytes(fromHex(reportDataHex) ?? new Uint8Array(0), 64, 'reportData');
    const arrival = this.#durability.evidence(reportData, signal);
    arrival.catch(() => undefined); // awaited below, unless the store has it already
    const held = await store.evidence(reportData);
    if (held) return held;
    await arrival;
    const stored = await store.evidence(reportData);
    if (!stored) throw new ServiceError('STORE_FAILED', 'the store lacks evidence it has committed');
    return stored;
  }

  /** Has the enclave enter a nonce; resolves after the tick that commits it. */
  async challenge(nonce: Uint8Array, signal: AbortSignal): Promise<LinkChallenge> {
    const options = { method: 'POST', path: '/link/challenge', body: nonce, headersTimeout: 0, signal } as const;
    return readChallenge(await this.#ask('a challenge', options));
  }

  async status(): Promise<LinkStatus> {
    const options = { method: 'GET', path: '/link/status', headersTimeout: STATUS_TIMEOUT_MS } as const;
    return readStatus(await this.#ask('a status question', options));
  }

  /** The SNP report for which the enclave has no certificates; null when it wants none. */
  async endorsementsWanted(boot: string): Promise<Uint8Array | null> {
    const options = { method: 'GET', path: '/link/endorsements', headers: { [HEADER.boot]: boot } } as const;
    const report = await this.#exchange('a question for endorsements', options);
    return report.length === 0 ? null : report;
  }

  /** @throws ServiceError ENDORSEMENT_MALFORMED; ENCLAVE_CHANGED another boot answers; ENCLAVE_UNREACHABLE */
  async giveEndorsements(boot: string, certificates: Uint8Array): Promise<void> {
    const headers = { [HEADER.boot]: boot, 'content-type': 'application/octet-stream' };
    await this.#ask('endorsements', { method: 'POST', path: '/link/endorsements', headers, body: certificates });
  }

  async #ask(what: string, options: Dispatcher.RequestOptions): Promise<string> {
    return new TextDecoder().decode(await this.#exchange(what, options));
  }

  /** Aborted by `stop` unless another signal is given. */
  async #exchange(what: string, options: Dispatcher.RequestOptions): Promise<Uint8Array> {
    try {
      const { statusCode, headers, body } = await this.#parts.pool.request({
        signal: this.#stop.signal,
        headersTimeout: ANSWER_TIMEOUT_MS,
        bodyTimeout: ANSWER_TIMEOUT_MS,
        ...options,
      });
      const content = new Uint8Array(await body.arrayBuffer());
      if (statusCode < 300) return content;
      throw linkRefusal(statusCode, headers[HEADER.errorCode]?.toString(), what);
    } catch (error) {
      throw error instanceof CodedError ? error : unreachable(error);
    }
  }

  async #run(): Promise<void> {
    const { logger, metrics } = this.#parts;
    const { minBackOffMs, maxBackOffMs } = this.#timings;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      let problem: unknown;
      try {
        await this.#session(() => {
          failures = 0;
        });
      } catch (error) {
        problem = error;
      }
      if (this.#stop.signal.aborted) break;
      this.#connected = false;
      metrics.linkState('connecting');
      if (isFinal(problem)) return this.#halt(problem);
      this.#durability.rejectAll(unreachable(problem));
      const { code, message } = problem instanceof CodedError ? problem : unreachable(problem);
      if (failures === 0) logger.warn({ code, reason: message }, 'enclave link lost; connecting again');
      const wait = Math.min(maxBackOffMs, minBackOffMs * 2 ** Math.min(failures, 16));
      failures += 1;
      await sleep(wait, undefined, { signal: this.#stop.signal }).catch(() => undefined); // stopped: the loop ends
    }
    this.#connected = false;
    metrics.linkState('stopped');
  }

  /** One connection, until it breaks. */
  async #session(established: () => void): Promise<void> {
    const { pool, store, name, logger, metrics } = this.#parts;
    const session = new AbortController();
    this.#connection = session;
    const hello = await this.#hello();
    const boot = await this.#persist(() => store.startBoot(hello.boot, name));
    const evidence = await store.latestEvidence(hello.boot);
    const stream = await pool.request({
      method: 'GET',
      path: `/link/records?from=${hello.acknowledged}`,
      headers: { [HEADER.boot]: hello.boot },
      signal: session.signal,
      headersTimeout: ANSWER_TIMEOUT_MS,
      bodyTimeout: this.#timings.idleMs,
    });
    stream.body.on('error', () => undefined); // seen again by whoever reads
    try {
      if (stream.statusCode !== 200) {
        throw linkRefusal(stream.statusCode, stream.headers[HEADER.errorCode]?.toString(), 'the records');
      }
      // The same boot before and after the stream was opened, so the stream is that boot's.
      const again = await this.#hello();
      if (again.boot !== hello.boot) throw new ServiceError('ENCLAVE_CHANGED', 'the enclave restarted meanwhile');

      if (this.#boot !== hello.boot) {
        logger.info({ boot: hello.boot, entries: boot.size }, 'enclave link up');
        if (hello.warning !== null) logger.warn({ boot: hello.boot }, hello.warning);
      }
      this.#boot = hello.boot;
      this.#hasEvidence = evidence !== null;
      if (evidence) metrics.evidenceStored(evidence.storedMs);
      this.#durability.bootStarted(hello.boot, boot.size);
      this.#connected = true;
      metrics.linkState('connected');
      established();

      const queue = new RecordQueue(MAX_QUEUED_BYTES);
      const reading = this.#read(stream.body, queue);
      reading.catch(() => undefined); // awaited once everything that was read is committed
      const acknowledge = this.#acknowledger(hello.boot, (error) => session.abort(error));
      for (let position = hello.acknowledged; ; ) {
        await nextTurn(); // lets all that has arrived into one group
        const records = await queue.take(MAX_GROUP);
        if (records.length === 0) break;
        metrics.queued(queue.length + records.length);
        await this.#commit(hello.boot, records);
        metrics.queued(queue.length);
        position += records.length;
        acknowledge(position);
      }
      await reading;
    } finally {
      session.abort();
      stream.body.destroy();
    }
  }

  async #hello(): Promise<LinkHello> {
    return readHello(await this.#ask('hello', { method: 'GET', path: '/link/hello' }));
  }

  async #read(body: AsyncIterable<Uint8Array>, queue: RecordQueue): Promise<void> {
    const frames = new FrameReader();
    try {
      for await (const chunk of body) {
        queue.push(frames.push(chunk));
        await queue.room();
      }
    } catch (error) {
      throw error instanceof EvidenceError ? new ServiceError(error.code, error.message, { cause: error }) : error;
    } finally {
      queue.close();
    }
    throw unreachable(); // the stream is endless: its end is a loss
  }

  async #commit(boot: string, records: readonly LogRecord[]): Promise<void> {
    const { store, metrics } = this.#parts;
    const started = performance.now();
    const { size, newEntries, newEvidence } = await this.#persist(() => store.append(boot, records));
    metrics.committed((performance.now() - started) / 1000, newEntries);
    if (newEvidence.length > 0) {
      this.#hasEvidence = true;
      metrics.evidenceStored(Date.now());
    }
    this.#durability.committed(
      boot,
      size,
      newEvidence.map(({ reportData }) => reportData),
    );
  }

  /** Writes until it is written. Meanwhile nothing is acknowledged, nobody is kept waiting, and new work is refused. */
  async #persist<T>(write: () => Promise<T>): Promise<T> {
    const { logger } = this.#parts;
    const { minBackOffMs, maxBackOffMs } = this.#timings;
    for (let failures = 0; ; failures++) {
      try {
        const result = await write();
        if (this.#storeProblem) logger.info('the store takes entries again');
        this.#storeProblem = null;
        return result;
      } catch (error) {
        if (!isStoreError(error)) throw error;
        this.#storeProblem = error;
        this.#durability.rejectAll(error);
        if (failures === 0) logger.error({ code: error.code, reason: error.message }, 'log entries cannot be stored');
        await sleep(Math.min(maxBackOffMs, minBackOffMs * 2 ** Math.min(failures, 16)), undefined, {
          signal: this.#stop.signal,
        });
      }
    }
  }

  /** Sends the newest position, one request at a time. */
  #acknowledger(boot: string, failed: (error: unknown) => void): (position: number) => void {
    let newest = 0;
    let sent = 0;
    let sending = false;
    const send = async (): Promise<void> => {
      sending = true;
      while (sent < newest) {
        const position = newest;
        await this.#ask('an acknowledgement', {
          method: 'POST',
          path: `/link/ack?position=${position}`,
          headers: { [HEADER.boot]: boot }, // another boot must refuse it: it would drop records nobody holds
        });
        sent = position;
      }
      sending = false;
    };
    return (position) => {
      newest = position;
      if (!sending) send().catch(failed);
    };
  }

  #halt(problem: CodedError): void {
    const { logger, metrics } = this.#parts;
    this.#halted = problem;
    this.#durability.rejectAll(problem);
    metrics.linkState('halted');
    logger.error(
      { alarm: true, code: problem.code, field: problem.field, boot: this.#boot, reason: problem.message },
      'the enclave log contradicts what is stored, or cannot be read: link stopped, nothing written',
    );
  }
}

/** Not to be tried again: records that contradict the store, or that this release cannot read. */
const isFinal = (error: unknown): error is CodedError =>
  error instanceof EvidenceError || (error instanceof ServiceError && error.code === 'LOG_FORKED');
