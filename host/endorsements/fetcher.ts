/**
 * Endorsements from AMD, fetched politely and kept. Nothing here is verified: the bytes come over a network from a service
 * that a verifier need not trust, and whoever asks verifies them against a pinned root before `keep`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CodedError } from '@veritee/protocol';
import { type CacheEntry, EndorsementCache } from './cache.ts';
import {
  type EndorsementKey,
  type KdsProduct,
  type KdsSigner,
  type ListKey,
  nameOf,
  resourceOf,
  type VcekKey,
} from './keys.ts';
import { Pace } from './pace.ts';
import type { Fetch } from './request.ts';
import { KeyService, type ServiceLimits, type ServiceProgress } from './service.ts';
import { crlThisUpdate } from './shape.ts';

export const AMD_KDS_URL = 'https://kdsintf.amd.com';

export interface EndorsementLimits extends ServiceLimits {
  readonly vcekIntervalMs: number;
  /** A kept list or chain older than this is asked for again; the old one serves when that fails. */
  readonly maxCrlAgeMs: number;
  readonly maxChainAgeMs: number;
  /** Attempts when an old one would serve, and how long to leave the service alone after they failed. */
  readonly refreshAttempts: number;
  readonly refreshPauseMs: number;
}

const HOUR_MS = 3_600_000;

export const DEFAULT_ENDORSEMENT_LIMITS: EndorsementLimits = {
  maxAttempts: 6,
  totalMs: 300_000, // KDS has been seen to throttle for more than two minutes
  requestTimeoutMs: 30_000,
  minBackOffMs: 1000,
  maxBackOffMs: 60_000,
  vcekIntervalMs: 10_000,
  maxCrlAgeMs: 24 * HOUR_MS,
  maxChainAgeMs: 30 * 24 * HOUR_MS,
  refreshAttempts: 2,
  refreshPauseMs: HOUR_MS / 4,
};

export type EndorsementProgress =
  | ServiceProgress
  /** A cache file that was refused; what it held is asked for again. */
  | { readonly kind: 'damaged'; readonly what: string };

export interface EndorsementFetcherOptions {
  /** Made when absent. */
  readonly cacheDir: string;
  /** AMD's own service, or a mirror that answers like it. */
  readonly baseUrl?: string;
  readonly limits?: Partial<EndorsementLimits>;
  readonly onProgress?: (event: EndorsementProgress) => void;
  readonly fetch?: Fetch;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly random?: () => number;
}

export interface UnverifiedEndorsement {
  readonly key: EndorsementKey;
  /** VCEK and CRL: DER. Chain: PEM, the intermediate and then a root, which is to be compared and never trusted. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly source: 'cache' | 'service';
  readonly fetchedAt: Date;
  /** Why an old one is served although it should have been replaced by now. */
  readonly refreshFailure: CodedError | null;
}

export class EndorsementFetcher {
  readonly #cache: EndorsementCache;
  readonly #service: KeyService;
  readonly #limits: EndorsementLimits;
  readonly #now: () => number;
  readonly #flights = new Map<string, Promise<UnverifiedEndorsement>>();
  readonly #refreshFailures = new Map<string, { readonly at: number; readonly error: CodedError }>();

  /** @throws CodedError USAGE the base URL is none */
  constructor(options: EndorsementFetcherOptions) {
    const { cacheDir, now = Date.now, onProgress = () => undefined } = options;
    this.#now = now;
    this.#limits = { ...DEFAULT_ENDORSEMENT_LIMITS, ...options.limits };
    this.#cache = new EndorsementCache(cacheDir, (key) => onProgress({ kind: 'damaged', what: nameOf(key) }));
    this.#service = new KeyService(
      parseBaseUrl(options.baseUrl ?? AMD_KDS_URL),
      new Pace(cacheDir, now, this.#limits.vcekIntervalMs),
      this.#limits,
      {
        fetch: options.fetch ?? globalThis.fetch,
        now,
        sleep: options.sleep ?? delay,
        random: options.random ?? Math.random,
        onProgress,
      },
    );
  }

  /** The certificate of the key with which this chip signs reports under this TCB. @throws CodedError as `get` */
  vcek(key: Omit<VcekKey, 'kind'>): Promise<UnverifiedEndorsement> {
    return this.get({ kind: 'vcek', ...key });
  }

  /**
   * The same where the report does not say the product: the likeliest is asked for first, and only that KDS has none leads
   * to the next.
   * @throws CodedError as `get`
   */
  async vcekOfAny(
    [product, ...others]: readonly [KdsProduct, ...KdsProduct[]],
    chip: Pick<VcekKey, 'chipId' | 'tcb'>,
  ): Promise<UnverifiedEndorsement> {
    try {
      return await this.vcek({ product, ...chip });
    } catch (error) {
      const [next, ...more] = others;
      if (!(error instanceof CodedError) || error.code !== 'ENDORSEMENT_MISSING' || !next) throw error;
      return this.vcekOfAny([next, ...more], chip);
    }
  }

  /** @throws CodedError as `get` */
  chain(product: KdsProduct, signer: KdsSigner): Promise<UnverifiedEndorsement> {
    return this.get({ kind: 'chain', product, signer });
  }

  /** @throws CodedError as `get` */
  crl(product: KdsProduct, signer: KdsSigner): Promise<UnverifiedEndorsement> {
    return this.get({ kind: 'crl', product, signer });
  }

  /**
   * From the cache when it is young enough, otherwise from the service; callers who ask at the same time share one request.
   *
   * @throws CodedError ENDORSEMENT_MISSING, ENDORSEMENT_MALFORMED, SERVICE_UNREACHABLE, SERVICE_REFUSED;
   *   CHIP_ID_MASKED, EVIDENCE_MALFORMED the key has no address; FILE_UNREADABLE, FILE_UNWRITABLE the cache folder
   */
  async get(key: EndorsementKey): Promise<UnverifiedEndorsement> {
    const resource = resourceOf(key);
    const flying = this.#flights.get(resource);
    if (flying) return flying;
    const flight = this.#get(key, resource).finally(() => this.#flights.delete(resource));
    this.#flights.set(resource, flight);
    return flight;
  }

  /**
   * Keeps what was verified, for later calls and other processes.
   * @throws CodedError FILE_UNWRITABLE
   */
  async keep({ key, bytes, source, fetchedAt }: UnverifiedEndorsement): Promise<void> {
    if (source === 'service') await this.#cache.write(key, { bytes, fetchedAt: fetchedAt.getTime() });
  }

  /**
   * Drops what was kept and does not verify any more: the next call asks the service.
   * @throws CodedError FILE_UNWRITABLE
   */
  async forget(key: EndorsementKey): Promise<void> {
    this.#refreshFailures.delete(resourceOf(key));
    await this.#cache.remove(key);
  }

  async #get(key: EndorsementKey, resource: string): Promise<UnverifiedEndorsement> {
    const kept = await this.#cache.read(key);
    if (!kept) return this.#fromService(key, await this.#service.get(key));
    if (key.kind === 'vcek' || this.#isYoung(key, kept)) return fromCache(key, kept, null);
    const failed = this.#refreshFailures.get(resource);
    if (failed && this.#now() - failed.at < this.#limits.refreshPauseMs) return fromCache(key, kept, failed.error);
    try {
      const bytes = await this.#service.get(key, this.#limits.refreshAttempts);
      if (key.kind === 'crl') refuseOlder(key, bytes, kept.bytes);
      this.#refreshFailures.delete(resource);
      return this.#fromService(key, bytes);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      this.#refreshFailures.set(resource, { at: this.#now(), error });
      return fromCache(key, kept, error);
    }
  }

  #isYoung({ kind }: ListKey, { fetchedAt }: CacheEntry): boolean {
    const ageMs = this.#now() - fetchedAt;
    return ageMs >= 0 && ageMs < (kind === 'crl' ? this.#limits.maxCrlAgeMs : this.#limits.maxChainAgeMs);
  }

  #fromService(key: EndorsementKey, bytes: Uint8Array<ArrayBuffer>): UnverifiedEndorsement {
    return { key, bytes, source: 'service', fetchedAt: new Date(this.#now()), refreshFailure: null };
  }
}

const fromCache = (
  key: EndorsementKey,
  { bytes, fetchedAt }: CacheEntry,
  refreshFailure: CodedError | null,
): UnverifiedEndorsement => ({ key, bytes, source: 'cache', fetchedAt: new Date(fetchedAt), refreshFailure });

/** An old list still bears AMD's signature: whoever sends it again hides what was revoked since. */
function refuseOlder(key: ListKey, fresh: Uint8Array, kept: Uint8Array): void {
  if (crlThisUpdate(key, fresh) >= crlThisUpdate(key, kept)) return;
  const message = `${nameOf(key)}: the key service sent one older than the one kept`;
  throw new CodedError('CRL_STALE', message, { field: key.kind });
}

function parseBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new CodedError('USAGE', 'key service: want an http or https address', { field: 'baseUrl' });
  }
  return url.href.replace(/\/+$/, '');
}
