/** Between the fetch that existing software calls and what is sealed. */
import { HOP_BY_HOP } from '@veritee/protocol';
import type { InnerRequest } from './channel.ts';
import { ClientError } from './errors.ts';
import type { AnswerOptions } from './options.ts';
import type { Answer } from './service.ts';

/** What `fetch` takes, and what only this one knows. */
export interface FetchInit extends RequestInit, Pick<AnswerOptions, 'timeoutMs' | 'waitFor' | 'onReceipt'> {}

/** About one connection, or said by Binary HTTP itself; neither may be in a sealed message. */
const NOT_SEALED: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'content-length', 'expect', 'host']);

/** What a field of a sealed message can hold. */
const SEALABLE_VALUE = /^[\t -~]*$/;

/** Reads the body whole: it is committed to, and may have to be sent again. @throws ClientError USAGE another service's URL */
export async function innerRequestOf(
  base: string,
  input: string | URL | Request,
  init: RequestInit,
): Promise<InnerRequest> {
  const { origin, pathname } = new URL(base);
  const prefix = pathname.replace(/\/+$/, '');
  const streamed = init.body instanceof ReadableStream ? { duplex: 'half' as const } : {};
  // A path alone is one of this service's.
  const target = typeof input === 'string' && input.startsWith('/') ? base + input : input;
  const request = new Request(target, { ...init, ...streamed } as RequestInit);
  const url = new URL(request.url);
  const path = url.pathname.startsWith(prefix) ? url.pathname.slice(prefix.length) : '';
  if (url.origin !== origin || !(path === '/v2' || path.startsWith('/v2/'))) {
    throw new ClientError('USAGE', `url: want ${base}/v2/…`, { field: 'url' });
  }
  const headers = new Map<string, string>();
  const named = (request.headers.get('connection') ?? '').toLowerCase().split(/\s*,\s*/);
  request.headers.forEach((value, name) => {
    if (NOT_SEALED.has(name) || named.includes(name)) return;
    if (!SEALABLE_VALUE.test(value)) {
      throw new ClientError('REQUEST_HEADER_INVALID', `${name}: want printable ASCII`, { field: name });
    }
    headers.set(name, value);
  });
  return {
    method: request.method,
    path: path + url.search,
    headers,
    body: new Uint8Array(await request.arrayBuffer()),
  };
}

const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** @throws ClientError SERVICE_ANSWER_INVALID a status that no answer has */
export function responseOf({ method }: InnerRequest, { status, headers, body }: Answer): Response {
  if (status < 200 || status > 599) {
    throw new ClientError('SERVICE_ANSWER_INVALID', `an answer with status ${status}`, { field: 'status' });
  }
  const kept = new Headers(headers);
  for (const name of NOT_SEALED) kept.delete(name);
  return new Response(method === 'HEAD' || WITHOUT_BODY.has(status) ? null : body, { status, headers: kept });
}
