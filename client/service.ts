import { type CodedError, HEADER, isCode } from '@veritee/protocol';
import { ClientError } from './errors.ts';

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface CallOptions {
  /** Milliseconds for the whole call. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 60_000;

/** An answer, read to its end. */
export interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Tells a service that cannot be reached from one that answers. Redirects are refused: they could leave the attested host. */
export class Service {
  readonly #base: string;
  readonly #fetch: Fetch;

  constructor(url: string, fetch: Fetch) {
    let base: URL;
    try {
      base = new URL(url);
    } catch (cause) {
      throw new ClientError('USAGE', 'url: want http://HOST:PORT or https://HOST', { field: 'url', cause });
    }
    if (base.protocol !== 'http:' && base.protocol !== 'https:') {
      throw new ClientError('USAGE', 'url: want http or https', { field: 'url' });
    }
    // A password would end up in messages and logs; a query or fragment would swallow the paths put behind it.
    if (base.username || base.password || base.search || base.hash) {
      throw new ClientError('USAGE', 'url: want no user, password, query or fragment', { field: 'url' });
    }
    this.#base = base.href.replace(/\/$/, '');
    this.#fetch = fetch;
  }

  /** @throws ClientError SERVICE_UNREACHABLE, DEADLINE_EXCEEDED, REQUEST_CANCELLED, SERVICE_ANSWER_INVALID a redirect */
  async call(path: string, init: RequestInit, options: CallOptions): Promise<Answer> {
    const deadline = AbortSignal.timeout(Math.ceil(options.timeoutMs ?? DEFAULT_TIMEOUT_MS));
    const signal = options.signal ? anySignal(options.signal, deadline) : deadline;
    try {
      const response = await this.#fetch(`${this.#base}${path}`, { ...init, redirect: 'manual', signal });
      const { ok, status, headers } = response;
      const body = new Uint8Array(await response.arrayBuffer());
      // Browsers hide a redirect's status.
      if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
        throw new ClientError('SERVICE_ANSWER_INVALID', 'the service answers with a redirect, which is not followed');
      }
      return { ok, status, headers, body };
    } catch (cause) {
      if (cause instanceof ClientError) throw cause;
      if (options.signal?.aborted) throw new ClientError('REQUEST_CANCELLED', 'the caller cancelled', { cause });
      if (deadline.aborted) throw new ClientError('DEADLINE_EXCEEDED', 'the service did not answer in time', { cause });
      throw new ClientError('SERVICE_UNREACHABLE', `the service at ${this.#base} cannot be reached, or broke off`, {
        cause,
      });
    }
  }
}

function anySignal(a: AbortSignal, b: AbortSignal): AbortSignal {
  const either = new AbortController();
  for (const signal of [a, b]) {
    if (signal.aborted) either.abort(signal.reason);
    else signal.addEventListener('abort', () => either.abort(signal.reason), { once: true });
  }
  return either.signal;
}

/** The coded error an answer carries: problem+json, or the Open Inference Protocol's own form. */
export function serviceError({ status, headers, body }: Answer): CodedError {
  const fields = jsonObject(new TextDecoder().decode(body));
  const name = headers.get(HEADER.errorCode) ?? (typeof fields['code'] === 'string' ? fields['code'] : '');
  const said = [fields['error'], fields['detail'], fields['title']].find((value) => typeof value === 'string');
  // The host's words are untrusted: bounded, and never more than a diagnosis.
  const words = printable(String(said ?? `HTTP ${status}`)).slice(0, 500);
  return new ClientError(isCode(name) ? name : 'SERVICE_REFUSED', words);
}

/** Without control characters, which could rewrite a terminal's lines. */
export const printable = (text: string): string => text.replace(/\p{C}/gu, ' ');

function jsonObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
