import { join } from '@veritee/protocol';
import type { Call } from './call.ts';
import { ClientError } from './errors.ts';

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** Of an attestation or a receipt: each holds one evidence file, which is at most half of this. */
export const MAX_FILE_BYTES = 8 << 20;

/** An answer, read to its end. Nothing in it is believed before it was opened or verified. */
export interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Tells a service that cannot be reached from one that answers. Redirects are refused: they could leave the attested host. */
export class Service {
  /** Without a slash at its end. */
  readonly base: string;
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
    this.base = base.href.replace(/\/+$/, '');
    this.#fetch = fetch;
  }

  /**
   * @param maxBytes a longer answer is refused before it is read to its end
   * @throws ClientError SERVICE_UNREACHABLE, DEADLINE_EXCEEDED, REQUEST_CANCELLED, SERVICE_ANSWER_INVALID a redirect or too long
   */
  async call(path: string, init: RequestInit, call: Call, maxBytes: number): Promise<Answer> {
    try {
      const asked = this.#fetch(`${this.base}${path}`, { ...init, redirect: 'manual', signal: call.signal });
      const response = await call.wait(asked);
      const { ok, status, headers } = response;
      // Browsers hide a redirect's status.
      if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
        await response.body?.cancel();
        throw new ClientError('SERVICE_ANSWER_INVALID', 'the service answers with a redirect, which is not followed');
      }
      return { ok, status, headers, body: await readBody(response, call, maxBytes) };
    } catch (cause) {
      if (cause instanceof ClientError) throw cause;
      if (call.signal.aborted) throw call.over();
      throw new ClientError('SERVICE_UNREACHABLE', `the service at ${this.base} cannot be reached, or broke off`, {
        cause,
      });
    }
  }
}

async function readBody({ body }: Response, call: Call, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!body) return new Uint8Array(0);
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await call.wait(reader.read());
      if (done) return join(parts);
      length += value.length;
      if (length > maxBytes) {
        throw new ClientError('SERVICE_ANSWER_INVALID', `the answer is longer than ${maxBytes} bytes`, {
          field: 'maxAnswerBytes',
        });
      }
      parts.push(value);
    }
  } catch (error) {
    // What failed may be the connection itself: its own error is the one to report.
    reader.cancel(error).catch(() => undefined);
    throw error;
  }
}
