import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { bytes, CodedError, fromHex, HEADER, ServiceError } from '@veritee/protocol';
import type { Logger } from 'pino';
import { type Dispatcher, errors, type Pool } from 'undici';
import type { EnclaveLink } from './enclave-link.ts';
import type { HostMetrics } from './metrics.ts';
import { asCoded } from './problem.ts';
import { type RelayedRoute, relayedRoutes } from './relayed-routes.ts';
import type { HostLimits } from './settings.ts';
import type { Store } from './store/store.ts';

/** Bodies up to this size go to the enclave in one piece. */
const SMALL_BODY_BYTES = 256 << 10;
/** How long an already refused request may go on sending before its connection is cut. */
const LINGER_MS = 5000;

export interface RelayParts {
  readonly pool: Pool;
  readonly link: EnclaveLink;
  readonly store: Store;
  readonly limits: HostLimits;
  readonly allowPlaintext: boolean;
  readonly metrics: HostMetrics;
  readonly logger: Logger;
}

/**
 * Carries requests, sealed or in the clear, to the enclave and its answers back, byte for byte. Bodies pass through
 * unread. An answer that has a log entry waits until that entry is durable, so that whoever gets an answer can fetch its
 * receipt.
 */
export class Relay {
  readonly #parts: RelayParts;
  readonly #routeOf: (url: string) => RelayedRoute | null;
  #inFlight = 0;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#routeOf = relayedRoutes(parts.allowPlaintext);
  }

  /** @returns false for a request that is not relayed: nothing was done with it */
  take(req: IncomingMessage, res: ServerResponse): boolean {
    const route = this.#routeOf(req.url ?? '/');
    if (!route) return false;
    const refusal = this.#refusal(route, req);
    if (refusal) this.#refuse(route, req, res, refusal);
    else this.#relay(route, req, res);
    return true;
  }

  #relay(route: RelayedRoute, req: IncomingMessage, res: ServerResponse): void {
    const { metrics } = this.#parts;
    metrics.inFlight(++this.#inFlight);
    const exchange = new Exchange(route, req, res, this.#parts);
    res.once('close', () => {
      metrics.inFlight(--this.#inFlight);
      metrics.answered(route.name, res.statusCode);
    });
    exchange.start();
  }

  #refusal(route: RelayedRoute, req: IncomingMessage): CodedError | null {
    const { limits, link } = this.#parts;
    const unfit = route.refusal(req, link.boot);
    if (unfit) return unfit;
    const most = route.maxBodyBytes(limits.maxRequestBytes);
    if (Number(req.headers['content-length'] ?? 0) > most) return tooLarge(most);
    if (this.#inFlight >= limits.maxInFlight) {
      return new ServiceError('QUEUE_FULL', `${limits.maxInFlight} requests are in flight; try again shortly`);
    }
    return route.describes(req) ? null : link.refusal();
  }

  #refuse({ name, sendError }: RelayedRoute, req: IncomingMessage, res: ServerResponse, error: CodedError): void {
    const { metrics, logger } = this.#parts;
    metrics.refused(name, error.code);
    logger.info({ code: error.code, field: error.field, route: name }, 'refused');
    sendError(res, error);
    metrics.answered(name, res.statusCode);
    linger(req);
  }
}

const tooLarge = (most: number): ServiceError =>
  new ServiceError('REQUEST_TOO_LARGE', `body: larger than the ${most} bytes this service takes`, { field: 'body' });

/** Lets a refused sender read its answer: the rest of the body is discarded, for a while. */
function linger(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  req.resume();
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  req.once('close', () => clearTimeout(timer));
}

const entryUnknown = (): ServiceError =>
  new ServiceError('ENCLAVE_CHANGED', 'the enclave restarted before its log entry was durable; send the request again');

/** Made once: an answered request needs no stack trace. */
const ANSWERED = new ServiceError('REQUEST_CANCELLED', 'the request was answered');

const cancelled = (): ServiceError => new ServiceError('REQUEST_CANCELLED', 'the caller went away');

/** One request and its answer. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #route: RelayedRoute;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #parts: RelayParts;
  /** The boot that spoke when the request came. */
  readonly #boot: string | null;
  readonly #ended = new AbortController();
  readonly #deadline: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #answering = false;
  /** What arrived of the answer before it may be relayed: pausing leaves little. */
  readonly #held: Buffer[] = [];
  #complete = false;

  constructor(route: RelayedRoute, req: IncomingMessage, res: ServerResponse, parts: RelayParts) {
    this.#route = route;
    this.#req = req;
    this.#res = res;
    this.#parts = parts;
    this.#boot = parts.link.boot;
    const { requestTimeoutMs } = parts.limits;
    this.#deadline = setTimeout(
      () => this.#fail(new ServiceError('DEADLINE_EXCEEDED', `no answer within ${requestTimeoutMs} ms`)),
      requestTimeoutMs,
    );
    res.once('close', () => {
      clearTimeout(this.#deadline);
      if (!res.writableFinished) this.#fail(cancelled());
      else this.#ended.abort(ANSWERED);
    });
  }

  start(): void {
    this.#send().catch((error: unknown) => this.#fail(upstreamError(error)));
  }

  async #send(): Promise<void> {
    const { method = 'GET', headers } = this.#req;
    const body = await this.#body(headers);
    if (this.#ended.signal.aborted) return;
    this.#parts.pool.dispatch(
      {
        path: this.#route.target(this.#req),
        method: method as Dispatcher.HttpMethod,
        headers: forwardedHeaders(headers, this.#route.forwarded),
        body,
        headersTimeout: 0, // the deadline above covers both
        bodyTimeout: 0,
      },
      this,
    );
  }

  /** The exact body bytes: nothing is decompressed or re-encoded. */
  async #body(headers: IncomingHttpHeaders): Promise<Uint8Array | Readable | null> {
    const length = headers['content-length'];
    if (length === undefined && headers['transfer-encoding'] === undefined) return null;
    if (length === undefined || Number(length) > SMALL_BODY_BYTES) {
      return Readable.from(this.#chunks(), { objectMode: false });
    }
    return this.#whole();
  }

  #whole(): Promise<Uint8Array> {
    const req = this.#req;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
      req.once('error', () => reject(cancelled()));
    });
  }

  /** Leaves the request itself open when the enclave stops reading, so that the caller can still be answered. */
  async *#chunks(): AsyncGenerator<Uint8Array> {
    const most = this.#route.maxBodyBytes(this.#parts.limits.maxRequestBytes);
    let size = 0;
    try {
      for await (const chunk of this.#req.iterator({ destroyOnReturn: false })) {
        size += (chunk as Buffer).length;
        if (size > most) throw tooLarge(most);
        yield chunk as Buffer;
      }
    } catch (error) {
      throw this.#req.errored ? cancelled() : error;
    } finally {
      linger(this.#req); // only now does nobody read it any more
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended.signal.aborted) controller.abort(this.#ended.signal.reason as Error);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return; // interim answers are for this hop
    const refused = this.#route.refused(status, headers);
    if (refused) {
      this.#fail(refused);
      return;
    }
    if (headers[HEADER.entry] === undefined) {
      this.#answer(status, headers);
      return;
    }
    controller.pause();
    this.#durable(headers)
      .then(() => {
        this.#answer(status, headers);
        controller.resume();
      })
      .catch((error: unknown) => this.#fail(asCoded(error)));
  }

  /**
   * Resolves when the answer's entry is committed. The same index of another boot is another entry, so an answer that
   * does not name its boot must lead to that entry by its receipt id.
   */
  async #durable(headers: IncomingHttpHeaders): Promise<void> {
    const { link, store, metrics } = this.#parts;
    const index = Number(headers[HEADER.entry]);
    const named = headers[HEADER.boot]?.toString();
    const boot = named ?? this.#boot;
    if (boot === null || !Number.isSafeInteger(index)) throw entryUnknown();
    const started = performance.now();
    await link.durable(boot, index, this.#ended.signal);
    metrics.durableAfter((performance.now() - started) / 1000);
    if (named !== undefined) return;
    const receiptId = fromHex(headers[HEADER.receiptId]?.toString() ?? '');
    const place = receiptId?.length === 16 ? await store.statementOf(bytes(receiptId, 16, HEADER.receiptId)) : null;
    if (place?.boot !== boot || place.index !== index) throw entryUnknown();
  }

  #answer(status: number, headers: IncomingHttpHeaders): void {
    if (this.#ended.signal.aborted) return;
    this.#answering = true;
    this.#res.writeHead(status, this.#route.answerHeaders(headers));
    for (const chunk of this.#held) this.#res.write(chunk);
    if (this.#complete) this.#res.end();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#answering) {
      this.#held.push(chunk);
    } else if (!this.#res.write(chunk)) {
      controller.pause();
      this.#res.once('drain', () => controller.resume());
    }
  }

  onResponseEnd(): void {
    this.#complete = true;
    if (this.#answering) this.#res.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(upstreamError(error));
  }

  /** Ends the exchange without the enclave's answer. Only the first reason counts. */
  #fail(error: CodedError): void {
    if (this.#ended.signal.aborted || this.#res.writableFinished) return;
    const { metrics, logger } = this.#parts;
    this.#ended.abort(error);
    clearTimeout(this.#deadline);
    if (this.#controller && !this.#controller.aborted) this.#controller.abort(error);
    metrics.refused(this.#route.name, error.code);
    const reason = error.code === 'INTERNAL' ? (error.cause as Error | undefined)?.message : error.message;
    logger.info({ code: error.code, field: error.field, route: this.#route.name, reason }, 'not relayed');
    if (this.#res.destroyed) return;
    if (this.#res.headersSent) {
      this.#res.destroy(); // a cut-off answer must not look whole
      return;
    }
    this.#route.sendError(this.#res, error);
    linger(this.#req);
  }
}

function forwardedHeaders(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) forwarded[name] = value.toString();
  }
  return forwarded;
}

function upstreamError(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  if (error instanceof errors.InvalidArgumentError) {
    return new ServiceError('REQUEST_HEADER_INVALID', 'the request line or a header cannot be relayed', {
      cause: error,
    });
  }
  const fromSocket = error instanceof errors.UndiciError || typeof (error as NodeJS.ErrnoException).code === 'string';
  if (!fromSocket) return asCoded(error);
  return new ServiceError('ENCLAVE_UNREACHABLE', 'the enclave cannot be reached or went away; try again shortly', {
    cause: error,
  });
}
