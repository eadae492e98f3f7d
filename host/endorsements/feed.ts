/**
 * Brings the enclave the certificates that its platform's host does not hand out: asks what it wants, has that from AMD or
 * from the cache, gives it. Whether they fit is for the enclave to say, and only what fits is kept; whether AMD vouches for
 * them is for every verifier. An enclave that has its own is no reason to ask anybody.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, EvidenceError, type LinkStatus } from '@veritee/protocol';
import type { Logger } from 'pino';
import type { HostMetrics } from '../metrics.ts';
import type { EndorsementSource } from '../settings.ts';
import {
  AMD_KDS_URL,
  EndorsementFetcher,
  type EndorsementLimits,
  type EndorsementProgress,
  type UnverifiedEndorsement,
} from './fetcher.ts';
import type { Fetch } from './request.ts';
import { identityOf, readWanted, type WantedEndorsements } from './wanted.ts';

/** What the feed needs of the enclave link. */
export interface FeedLink {
  readonly connected: boolean;
  readonly boot: string | null;
  status(): Promise<LinkStatus>;
  endorsementsWanted(boot: string): Promise<Uint8Array | null>;
  giveEndorsements(boot: string, certificates: Uint8Array): Promise<void>;
}

export interface FeedTimings {
  /** Between two questions to the enclave. */
  readonly pollMs: number;
  /** After an attempt that failed, doubling. The key service has been asked several times by then. */
  readonly minBackOffMs: number;
  readonly maxBackOffMs: number;
}

export const DEFAULT_FEED_TIMINGS: FeedTimings = { pollMs: 2000, minBackOffMs: 30_000, maxBackOffMs: 900_000 };

export interface FeedOptions {
  readonly timings?: FeedTimings;
  readonly limits?: Partial<EndorsementLimits>;
  readonly fetch?: Fetch;
}

export interface FeedParts extends FeedOptions {
  readonly source: Exclude<EndorsementSource, { readonly kind: 'off' }>;
  /** The host's data folder; the cache is a folder in it. */
  readonly data: string;
  readonly link: FeedLink;
  readonly logger: Logger;
  readonly metrics: HostMetrics;
}

const CACHE_FOLDER = 'endorsements';
const REAL_PLATFORM = 'snp';

/** The link itself says what is wrong with it; the certificates are not to blame. */
const OF_THE_LINK: ReadonlySet<string> = new Set(['ENCLAVE_UNREACHABLE', 'ENCLAVE_CHANGED', 'ENCLAVE_STOPPING']);

interface Failed {
  readonly identity: string;
  readonly times: number;
  /** On the monotonic clock. */
  readonly notBeforeMs: number;
}

export class EndorsementFeed {
  readonly #parts: FeedParts;
  readonly #timings: FeedTimings;
  readonly #fetcher: EndorsementFetcher;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #failed: Failed | null = null;
  #platform: { readonly boot: string; readonly isReal: boolean } | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#timings = parts.timings ?? DEFAULT_FEED_TIMINGS;
    const { signal } = this.#stop;
    const { source, data, limits, fetch = globalThis.fetch } = parts;
    this.#fetcher = new EndorsementFetcher({
      cacheDir: path.join(data, CACHE_FOLDER),
      baseUrl: source.kind === 'amd' ? AMD_KDS_URL : source.url,
      ...(limits ? { limits } : {}),
      fetch: (url, init) =>
        fetch(url, { ...init, signal: AbortSignal.any([signal, ...(init?.signal ? [init.signal] : [])]) }),
      sleep: (ms) => delay(ms, undefined, { signal }),
      onProgress: (event) => this.#tell(event),
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#poll();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof CodedError)) this.#parts.logger.error({ err: error }, 'endorsements: unexpected error');
      }
      await delay(this.#timings.pollMs, undefined, { signal }).catch(() => undefined); // stopped: the loop ends
    }
  }

  async #poll(): Promise<void> {
    const { link, metrics } = this.#parts;
    const boot = link.connected ? link.boot : null;
    if (boot === null) return;
    if (!(await this.#serves(boot))) return metrics.endorsementState('off');
    const report = await link.endorsementsWanted(boot);
    if (!report) {
      this.#failed = null;
      return metrics.endorsementState('not-wanted');
    }
    const identity = identityOf(report);
    if (this.#failed?.identity === identity && performance.now() < this.#failed.notBeforeMs) return;
    metrics.endorsementState('fetching');
    try {
      await this.#bring(boot, identity, readWanted(report));
      this.#failed = null;
    } catch (error) {
      if (!(error instanceof CodedError) || OF_THE_LINK.has(error.code)) throw error;
      this.#fail(identity, error);
    }
  }

  /** AMD's own service is asked on behalf of real chips alone. */
  async #serves(boot: string): Promise<boolean> {
    if (this.#parts.source.kind === 'mirror') return true;
    if (this.#platform?.boot !== boot) {
      const { platform } = await this.#parts.link.status();
      this.#platform = { boot, isReal: platform === REAL_PLATFORM };
    }
    return this.#platform.isReal;
  }

  /** @throws CodedError what cannot be had, or does not fit */
  async #bring(boot: string, identity: string, wanted: WantedEndorsements): Promise<void> {
    const found = await this.#fetch(wanted);
    if (await this.#fits(boot, identity, found)) return this.#keep(found);
    // What was kept fitted once; AMD may have replaced it since. A VLEK that is missing here is nobody's mistake.
    const kept = wanted.signer === 'vcek' ? found.filter(({ source }) => source === 'cache') : [];
    for (const { key } of kept) await this.#fetcher.forget(key);
    if (kept.length > 0) {
      const fresh = await this.#fetch(wanted);
      if (await this.#fits(boot, identity, fresh)) return this.#keep(fresh);
    }
    throw wanted.signer === 'vlek' ? leafMissing() : doesNotFit();
  }

  /** Leaf and intermediate; of a VLEK guest, the intermediate for the leaf that its cloud provider gave it. */
  async #fetch({ signer, products, chipId, tcb }: WantedEndorsements): Promise<readonly UnverifiedEndorsement[]> {
    if (signer === 'vcek') {
      const vcek = await this.#fetcher.vcekOfAny(products, { chipId, tcb });
      return [vcek, await this.#fetcher.chain(vcek.key.product, signer)];
    }
    const chains: UnverifiedEndorsement[] = [];
    for (const product of products) {
      try {
        chains.push(await this.#fetcher.chain(product, signer));
      } catch (error) {
        if (!isMissing(error) || products.length === 1) throw error; // AMD gives VLEKs for some products only
      }
    }
    return chains;
  }

  /** Gives them to the enclave, which then wants nothing more, or something else. */
  async #fits(boot: string, identity: string, found: readonly UnverifiedEndorsement[]): Promise<boolean> {
    const { link } = this.#parts;
    for (const { bytes } of found) await link.giveEndorsements(boot, bytes);
    const left = await link.endorsementsWanted(boot);
    return left === null || identityOf(left) !== identity;
  }

  async #keep(found: readonly UnverifiedEndorsement[]): Promise<void> {
    const { logger, metrics } = this.#parts;
    for (const { key, source, refreshFailure } of found) {
      metrics.endorsementTaken(key.kind, source);
      if (refreshFailure) logger.warn(wordsOf(refreshFailure), 'an endorsement is served from the cache');
    }
    metrics.endorsementState('not-wanted');
    logger.info(
      { from: found.map(({ key, source }) => `${key.kind}: ${source}`) },
      'the enclave took its certificates',
    );
    for (const one of found) {
      await this.#fetcher.keep(one).catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        logger.warn(wordsOf(error), 'an endorsement cannot be kept: it will be asked for again');
      });
    }
  }

  #fail(identity: string, error: CodedError): void {
    const { logger, metrics } = this.#parts;
    const before = this.#failed?.identity === identity ? this.#failed.times : 0;
    const waitMs = Math.min(this.#timings.maxBackOffMs, this.#timings.minBackOffMs * 2 ** Math.min(before, 16));
    this.#failed = { identity, times: before + 1, notBeforeMs: performance.now() + waitMs };
    metrics.endorsementState('missing');
    metrics.endorsementFailed(error.code);
    logger.warn({ ...wordsOf(error), retryInMs: waitMs }, 'no certificates for the enclave');
  }

  #tell(event: EndorsementProgress): void {
    const { logger } = this.#parts;
    if (event.kind === 'damaged') logger.warn({ what: event.what }, 'a cached endorsement is damaged; asking again');
    else logger.info(event, 'key service');
  }
}

const isMissing = (error: unknown): boolean => error instanceof CodedError && error.code === 'ENDORSEMENT_MISSING';

const wordsOf = ({ code, field, message }: CodedError) => ({ code, field, reason: message });

const doesNotFit = (): EvidenceError =>
  new EvidenceError('CERTIFICATE_INVALID', 'the key service gave certificates of another key than signs the reports', {
    field: 'endorsement',
  });

const leafMissing = (): EvidenceError => {
  const message =
    "a VLEK signs this guest's reports: its certificate comes from the cloud provider, beside the report or as --endorsement";
  return new EvidenceError('ENDORSEMENT_MISSING', message, { field: 'vlek' });
};
