import { Counter, Gauge, Histogram, Registry } from 'prom-client';

const LINK_STATES = ['connecting', 'connected', 'halted', 'stopped'] as const;
export type LinkState = (typeof LINK_STATES)[number];

/** `not-wanted`: the enclave has certificates; `missing`: it wants some that cannot be had at the moment. */
const ENDORSEMENT_STATES = ['off', 'not-wanted', 'fetching', 'missing'] as const;
export type EndorsementState = (typeof ENDORSEMENT_STATES)[number];

/** From half a millisecond to ten seconds. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What `/metrics` shows. Labels are route classes, statuses and codes: nothing a caller sent. */
export class HostMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'route' | 'status'>;
  readonly #refused: Counter<'route' | 'code'>;
  readonly #inFlight: Gauge;
  readonly #durableWait: Histogram;
  readonly #queued: Gauge;
  readonly #commit: Histogram;
  readonly #entries: Counter;
  readonly #linkState: Gauge<'state'>;
  readonly #endorsementState: Gauge<'state'>;
  readonly #endorsements: Counter<'kind' | 'source'>;
  readonly #endorsementFailures: Counter<'code'>;
  #evidenceMs: number | null = null;

  constructor() {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: 'veritee_requests_total',
      help: 'Answers by route and HTTP status',
      labelNames: ['route', 'status'],
      registers,
    });
    this.#refused = new Counter({
      name: 'veritee_refused_total',
      help: 'Requests refused or not completed, by route and code',
      labelNames: ['route', 'code'],
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'veritee_in_flight',
      help: 'Requests being relayed to the enclave',
      registers,
    });
    this.#durableWait = new Histogram({
      name: 'veritee_durable_wait_seconds',
      help: 'From the answer of the enclave to its durable log entry',
      buckets: SECONDS,
      registers,
    });
    this.#queued = new Gauge({
      name: 'veritee_link_queued_records',
      help: 'Records received from the enclave and not yet committed',
      registers,
    });
    this.#commit = new Histogram({
      name: 'veritee_commit_seconds',
      help: 'Duration of a group commit',
      buckets: SECONDS,
      registers,
    });
    this.#entries = new Counter({
      name: 'veritee_entries_total',
      help: 'Log entries made durable',
      registers,
    });
    this.#linkState = new Gauge({
      name: 'veritee_link_state',
      help: '1 for the state the enclave link is in',
      labelNames: ['state'],
      registers,
    });
    this.#endorsementState = new Gauge({
      name: 'veritee_endorsements_state',
      help: "1 for the state of the certificates for the enclave's reports",
      labelNames: ['state'],
      registers,
    });
    this.#endorsements = new Counter({
      name: 'veritee_endorsements_total',
      help: 'Certificates that the enclave took, by kind and where they came from: cache or service',
      labelNames: ['kind', 'source'],
      registers,
    });
    this.#endorsementFailures = new Counter({
      name: 'veritee_endorsement_failures_total',
      help: 'Attempts to have certificates that failed, by code',
      labelNames: ['code'],
      registers,
    });
    const evidenceAge: Gauge = new Gauge({
      name: 'veritee_evidence_age_seconds',
      help: 'Since the newest evidence was stored; NaN before the first',
      registers,
      collect: (): void => {
        evidenceAge.set(this.#evidenceMs === null ? Number.NaN : Math.max(0, Date.now() - this.#evidenceMs) / 1000);
      },
    });
    this.linkState('connecting');
    this.endorsementState('off');
  }

  answered(route: string, status: number): void {
    this.#requests.inc({ route, status: String(status) });
  }

  refused(route: string, code: string): void {
    this.#refused.inc({ route, code });
  }

  inFlight(count: number): void {
    this.#inFlight.set(count);
  }

  durableAfter(seconds: number): void {
    this.#durableWait.observe(seconds);
  }

  queued(records: number): void {
    this.#queued.set(records);
  }

  committed(seconds: number, entries: number): void {
    this.#commit.observe(seconds);
    this.#entries.inc(entries);
  }

  evidenceStored(atMs: number): void {
    this.#evidenceMs = atMs;
  }

  linkState(state: LinkState): void {
    for (const name of LINK_STATES) this.#linkState.set({ state: name }, name === state ? 1 : 0);
  }

  endorsementState(state: EndorsementState): void {
    for (const name of ENDORSEMENT_STATES) this.#endorsementState.set({ state: name }, name === state ? 1 : 0);
  }

  endorsementTaken(kind: string, source: string): void {
    this.#endorsements.inc({ kind, source });
  }

  endorsementFailed(code: string): void {
    this.#endorsementFailures.inc({ code });
  }

  /** Prometheus text format. */
  async text(): Promise<{ readonly type: string; readonly body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}
