/** The two routes whose bytes pass through to the enclave, and what differs between them. */
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { type CodedError, HEADER, HOP_BY_HOP, OHTTP_MEDIA, ServiceError } from '@veritee/protocol';
import { linkRefusal } from './link-messages.ts';
import { sendInferenceError, sendProblem } from './problem.ts';

export interface RelayedRoute {
  readonly name: '/v2' | '/ohttp';
  /** Request headers that the enclave needs. */
  readonly forwarded: readonly string[];
  /** What is asked of the enclave. */
  target(req: IncomingMessage): string;
  /** The longest body, where `most` bytes may be the content. */
  maxBodyBytes(most: number): number;
  /** Asks nothing that would need a log entry, so that it is passed on whatever state log and store are in. */
  describes(req: IncomingMessage): boolean;
  /** Why a request is refused before anything else is looked at. */
  refusal(req: IncomingMessage, boot: string | null): CodedError | null;
  /** An answer of the enclave that this host answers in its own words instead. */
  refused(status: number, headers: IncomingHttpHeaders): CodedError | null;
  answerHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders;
  sendError(res: ServerResponse, error: CodedError): void;
}

/** What belongs to one connection, and what is between enclave and host alone. */
const NOT_RELAYED = new Set([...HOP_BY_HOP, 'date', HEADER.entry]);

/** The Open Inference Protocol in the clear: only where it was allowed, and only if the enclave allows it too. */
const clear = (allowed: boolean): RelayedRoute => ({
  name: '/v2',
  // `content-encoding` is among them because the enclave refuses any.
  forwarded: [
    'content-type',
    'content-length',
    'content-encoding',
    'inference-header-content-length',
    'accept',
    HEADER.nonce,
  ],
  target: (req) => req.url ?? '/',
  maxBodyBytes: (most) => most,
  describes: ({ method }) => method === 'GET' || method === 'HEAD',
  refusal: () =>
    allowed
      ? null
      : new ServiceError(
          'PLAINTEXT_NOT_ALLOWED',
          'this service takes no inference in the clear; it was started without --allow-plaintext',
        ),
  refused: () => null,
  answerHeaders: (headers) => {
    const named = new Set(headers.connection?.toLowerCase().split(/\s*,\s*/));
    const relayed: OutgoingHttpHeaders = {};
    for (const [name, value] of Object.entries(headers)) {
      if (!NOT_RELAYED.has(name) && !named.has(name)) relayed[name] = value;
    }
    const caching = headers['cache-control'] ?? 'no-store';
    relayed['cache-control'] = caching.includes('no-transform') ? caching : `${caching}, no-transform`;
    return relayed;
  },
  sendError: sendInferenceError,
});

const SEALED_TYPES: readonly string[] = [OHTTP_MEDIA.request, OHTTP_MEDIA.chunkedRequest];
/** Beside a sealed body: its own head, padding and framing. */
const BESIDE_SEALED_BYTES = 256 << 10;

/** Sealed requests (RFC 9458): this host learns their length, their boot and when they came. */
const sealed: RelayedRoute = {
  name: '/ohttp',
  forwarded: ['content-type', 'content-length', HEADER.boot],
  target: () => '/ohttp',
  maxBodyBytes: (most) => most + (most >> 4) + BESIDE_SEALED_BYTES,
  describes: () => false,
  refusal: ({ method, headers }, boot) => {
    if (method !== 'POST') {
      return new ServiceError('REQUEST_METHOD_NOT_ALLOWED', 'method: want POST', { field: 'method' });
    }
    if (headers['content-encoding'] !== undefined) {
      return new ServiceError('REQUEST_ENCODING_UNSUPPORTED', 'content-encoding: send the sealed bytes as they are', {
        field: 'content-encoding',
      });
    }
    const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
    if (type === undefined || !SEALED_TYPES.includes(type)) {
      return new ServiceError('REQUEST_MEDIA_TYPE_UNSUPPORTED', `content-type: want ${SEALED_TYPES.join(' or ')}`, {
        field: 'content-type',
      });
    }
    const meant = headers[HEADER.boot];
    if (meant === undefined || boot === null || meant === boot) return null;
    return new ServiceError('SEALING_KEY_UNKNOWN', 'sealed to another boot: ask for an attestation again', {
      field: HEADER.boot,
    });
  },
  // Whatever came out of a seal is answered with 200, in a seal.
  refused: (status, headers) =>
    status === 200 ? null : linkRefusal(status, headers[HEADER.errorCode]?.toString(), 'the sealed request'),
  answerHeaders: (headers) => ({
    'content-type': headers['content-type'],
    ...(headers['content-length'] === undefined ? {} : { 'content-length': headers['content-length'] }),
    'cache-control': 'no-store, no-transform',
  }),
  sendError: (res, error) => {
    if (error.code === 'REQUEST_METHOD_NOT_ALLOWED') res.setHeader('allow', 'POST');
    sendProblem(res, error);
  },
};

/** Finds the route of a request target; null for those that are not relayed. */
export function relayedRoutes(allowPlaintext: boolean): (url: string) => RelayedRoute | null {
  const routes = [
    { path: '/v2', below: true, route: clear(allowPlaintext) },
    { path: '/ohttp', below: false, route: sealed },
  ];
  return (url) => {
    const found = routes.find(({ path, below }) => {
      const next = url.startsWith(path) ? url[path.length] : null;
      return next === undefined || next === '?' || (below && next === '/');
    });
    return found?.route ?? null;
  };
}
