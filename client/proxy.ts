/**
 * An Open Inference endpoint for software that knows nothing of any of this: in the clear to the caller's own machine,
 * verified and sealed to the enclave. Every answer passed on is one that the client has checked.
 */
import { CODES, type Code, CodedError, type CodeFacts, HEADER, join } from '@veritee/protocol';
import { printable } from './answer-error.ts';
import type { VeriteeClient } from './client.ts';
import { ClientError } from './errors.ts';
import type { OnReceipt } from './options.ts';

export interface ProxyOptions {
  /** Takes each receipt before its answer is given; where it cannot, there is no answer. */
  readonly onReceipt?: OnReceipt;
  readonly waitFor?: 'hardware';
  /** `any` also answers to names that are not this machine's own. */
  readonly hosts?: 'loopback' | 'any';
  /** Default 256 MiB. */
  readonly maxRequestBytes?: number;
  /** For one request, attestation included; default 60 s, with a wait for hardware on top. */
  readonly timeoutMs?: number;
  /** How long a request waits while the service is attested anew; then it is told to come back. Default 5 s. */
  readonly attestWithinMs?: number;
  /** Ends what goes on without a request. */
  readonly signal?: AbortSignal;
}

const DEFAULT_MAX_REQUEST_BYTES = 256 << 20;
const DEFAULT_ATTEST_WITHIN_MS = 5_000;
const MAX_REASON_LENGTH = 8_000;
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST']);

/** A web-standard handler: `(request) => Promise<Response>`. */
export function proxyHandler(
  client: VeriteeClient,
  options: ProxyOptions = {},
): (request: Request) => Promise<Response> {
  const { maxRequestBytes = DEFAULT_MAX_REQUEST_BYTES, attestWithinMs = DEFAULT_ATTEST_WITHIN_MS } = options;
  const { timeoutMs, waitFor, onReceipt, hosts = 'loopback', signal } = options;
  let attesting = false;
  /** Waits with the requests and beyond them, so that a service that is slower than they are patient is attested too. */
  const attest = (): void => {
    if (attesting) return;
    attesting = true;
    const done = (): void => {
      attesting = false;
    };
    client.ready(signal ? { signal } : {}).then(done, done); // a failure reaches the requests that wait for the same
  };
  return async (request) => {
    try {
      if (hosts === 'loopback') refuseForeign(request);
      const { pathname, search } = new URL(request.url);
      if (pathname !== '/v2' && !pathname.startsWith('/v2/')) {
        throw new ClientError('REQUEST_NOT_FOUND', 'the Open Inference Protocol lies under /v2', { field: 'path' });
      }
      if (!METHODS.has(request.method)) {
        throw new ClientError('REQUEST_METHOD_NOT_ALLOWED', 'takes GET, HEAD and POST', { field: 'method' });
      }
      const body = request.method === 'POST' ? await readLimited(request, maxRequestBytes) : null;
      attest();
      await attested(client, attestWithinMs, request.signal);
      return await client.fetch(pathname + search, {
        method: request.method,
        headers: request.headers,
        body,
        signal: request.signal,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(waitFor && { waitFor }),
        ...(onReceipt && { onReceipt }),
      });
    } catch (error) {
      return errorResponse(error);
    }
  };
}

/**
 * Only this machine's own software may ask. A page of another site can make a browser send requests here, under a name of
 * its own that resolves to this address, or straight to it with `Origin` set.
 */
function refuseForeign({ url, headers }: Request): void {
  const foreign = [url, `http://${headers.get('host') ?? new URL(url).host}`].some((text) => !isLoopback(text));
  if (foreign) {
    throw new ClientError('REQUEST_HEADER_INVALID', 'host: want localhost or a loopback address', { field: 'host' });
  }
  const origin = headers.get('origin');
  if ((origin !== null && !isLoopback(origin)) || headers.get('sec-fetch-site') === 'cross-site') {
    throw new ClientError('REQUEST_HEADER_INVALID', 'origin: pages of other sites are not served', { field: 'origin' });
  }
}

function isLoopback(text: string): boolean {
  try {
    const { hostname } = new URL(text);
    return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
  } catch {
    return false; // `null`, or no name at all
  }
}

async function attested(client: VeriteeClient, timeoutMs: number, signal: AbortSignal): Promise<void> {
  try {
    await client.ready({ timeoutMs, signal });
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'DEADLINE_EXCEEDED') throw error;
    throw new ClientError('EVIDENCE_NOT_READY', 'the service is being attested anew; try again shortly', {
      cause: error,
    });
  }
}

async function readLimited({ body }: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!body) return new Uint8Array(0);
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return join(parts);
    length += value.length;
    if (length > maxBytes) {
      reader.cancel().catch(() => undefined); // the caller may have gone already
      throw new ClientError('REQUEST_TOO_LARGE', `the body is longer than ${maxBytes} bytes`, { field: 'body' });
    }
    parts.push(value);
  }
}

/** The protocol's own error form. What cannot be verified is not answered: 503, with the reason in words. */
function errorResponse(error: unknown): Response {
  const coded =
    error instanceof CodedError ? error : new ClientError('INTERNAL', 'an internal error', { cause: error });
  const { code } = coded;
  const status = statusOf(code);
  return Response.json(
    { error: `${code}: ${wordsOf(coded)}`, code },
    {
      status,
      headers: {
        'cache-control': 'no-store',
        [HEADER.errorCode]: code,
        ...(status === 503 ? { 'retry-after': '1' } : {}),
      },
    },
  );
}

function statusOf(code: Code): number {
  const { stage, status = 503 }: CodeFacts = CODES[code];
  return stage === 'request' || code === 'DEADLINE_EXCEEDED' || code === 'INTERNAL' ? status : 503;
}

/** Every finding of a verdict: the message has the first. */
function wordsOf(error: CodedError): string {
  const [, ...others] = error instanceof ClientError && error.result ? error.result.findings : [];
  const more = others.map(
    ({ code, claim, expected, actual }) => `${code}: ${claim}: expected ${expected}; got ${actual}`,
  );
  return printable([error.message, ...more].join('; '), MAX_REASON_LENGTH);
}
