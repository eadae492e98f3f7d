/** One GET with its limits: time, bytes, no redirect. What the answer means for the next try is said by `outcome`. */
import { ServiceError } from '@veritee/protocol';

export type Fetch = typeof globalThis.fetch;

export type Answer =
  | { readonly outcome: 'ok'; readonly bytes: Uint8Array<ArrayBuffer>; readonly mediaType: string | null }
  | { readonly outcome: 'missing' }
  | { readonly outcome: 'too-large' }
  /** The service does not serve this; asking again changes nothing. */
  | { readonly outcome: 'refused'; readonly status: number }
  | {
      readonly outcome: 'try-again';
      readonly reason: string;
      /** Answered 429: this address is asking too often. */
      readonly throttled: boolean;
      readonly retryAfterMs: number | null;
      readonly cause?: unknown;
    };

export interface RequestLimits {
  readonly maxBytes: number;
  /** From the request to the answer's last byte. */
  readonly timeoutMs: number;
}

export interface RequestParts {
  readonly fetch: Fetch;
  readonly now: () => number;
  /** Called once when the answer takes longer than `SLOW_MS`. */
  readonly onSlow: () => void;
}

export const SLOW_MS = 2000;

const RETRIED_STATUS: ReadonlySet<number> = new Set([408, 425, 429]);

export async function request(
  url: string,
  limits: RequestLimits,
  { fetch, now, onSlow }: RequestParts,
): Promise<Answer> {
  const abort = new AbortController();
  const timeout = setTimeout(
    () => abort.abort(new ServiceError('DEADLINE_EXCEEDED', `no whole answer within ${limits.timeoutMs} ms`)),
    limits.timeoutMs,
  );
  const slow = setTimeout(onSlow, SLOW_MS);
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      signal: abort.signal,
      headers: { 'user-agent': 'veritee', 'accept-encoding': 'identity' },
    });
    return await read(response, limits.maxBytes, now);
  } catch (cause) {
    // Whatever fetch and the body's stream throw is a failure of the way to the service: reset, truncated, no name, no TLS.
    const reason = abort.signal.aborted ? `no whole answer within ${limits.timeoutMs} ms` : 'the connection failed';
    return { outcome: 'try-again', reason, throttled: false, retryAfterMs: null, cause };
  } finally {
    clearTimeout(timeout);
    clearTimeout(slow);
    abort.abort(); // frees the connection of an answer that was not read to its end
  }
}

async function read(response: Response, maxBytes: number, now: () => number): Promise<Answer> {
  const { status } = response;
  if (status === 200) {
    const bytes = await readBody(response, maxBytes);
    return bytes ? { outcome: 'ok', bytes, mediaType: response.headers.get('content-type') } : { outcome: 'too-large' };
  }
  if (status === 404) return { outcome: 'missing' };
  if (status < 500 && !RETRIED_STATUS.has(status)) return { outcome: 'refused', status };
  return {
    outcome: 'try-again',
    reason: status === 429 ? 'throttled (429)' : `status ${status}`,
    throttled: status === 429,
    retryAfterMs: parseRetryAfter(response.headers.get('retry-after'), now()),
  };
}

/** Null when there is more than allowed; the rest is then left unread, whatever Content-Length says. */
async function readBody(response: Response, maxBytes: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const buffer = new Uint8Array(maxBytes);
  let length = 0;
  if (!response.body) return buffer.subarray(0, 0);
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return buffer.slice(0, length);
    if (length + value.length > maxBytes) return null;
    buffer.set(value, length);
    length += value.length;
  }
}

/** RFC 9110 §10.2.3: seconds, or a date; null when it says neither. */
export function parseRetryAfter(text: string | null, now: number): number | null {
  if (text === null) return null;
  if (/^\s*\d{1,9}\s*$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return /^[A-Z][a-z]{2}, /.test(text) && !Number.isNaN(date) ? Math.max(0, date - now) : null;
}
