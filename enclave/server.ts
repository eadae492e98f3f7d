import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  CodedError,
  HEADER,
  httpStatus,
  type LinkHello,
  type LinkStatus,
  MAX_NONCE_BYTES,
  MIN_NONCE_BYTES,
  ServiceError,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import { type GivenEndorsements, MAX_ENDORSEMENT_BYTES } from './attester/snp-certificates.ts';
import type { Challenges } from './challenges.ts';
import type { Inference } from './inference.ts';
import type { Outbox } from './outbox.ts';
import { receiveBody } from './request.ts';
import type { SealingKeys } from './sealing/keys.ts';
import { answerSealed } from './sealing/ohttp.ts';

const HEARTBEAT_MS = 5_000;
/** How long an already answered request may go on sending before its connection is cut. */
const LINGER_MS = 5_000;

export interface ServerParts {
  readonly inference: Inference;
  readonly keys: SealingKeys;
  readonly maxBodyBytes: number;
  /** Answer `/v2` in the clear. */
  readonly allowPlaintext: boolean;
  readonly outbox: Outbox;
  readonly challenges: Challenges;
  /** null on platforms whose evidence brings its own certificates. */
  readonly endorsements: Pick<GivenEndorsements, 'wanted' | 'offer'> | null;
  readonly onChallenge: () => void;
  /** The certificates that were wanted have come. */
  readonly onEndorsed: () => void;
  readonly hello: () => LinkHello;
  readonly status: () => LinkStatus;
  readonly logger: Logger;
}

/** The enclave's only door: the link to its host (protocol/link.ts), sealed requests, and `/v2` in the clear if allowed. */
export function createEnclaveServer(parts: ServerParts): Server {
  const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0, noDelay: true }, (req, res) => {
    route(parts, req, res)
      .catch((error: unknown) => answerError(parts.logger, res, error))
      .finally(() => discardRest(req));
  });
  return server;
}

async function route(parts: ServerParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  // As it stands: made normal, `/v2/../link/ack` would lead whoever a host lets in at /v2 to what is the host's alone.
  const [, pathname = '', query] = /^([^?]*)\??(.*)$/.exec(req.url ?? '') ?? [];
  const parameters = new URLSearchParams(query);
  if (pathname === '/ohttp') return answerSealed({ ...parts, boot: parts.hello().boot }, req, res);
  if (!pathname.startsWith('/link/')) return relayed(parts, req, res, pathname);
  const meant = req.headers[HEADER.boot];
  if (meant !== undefined && meant !== parts.hello().boot) {
    throw new ServiceError('ENCLAVE_CHANGED', 'the enclave has restarted: this is another boot', {
      field: HEADER.boot,
    });
  }
  switch (`${req.method} ${pathname}`) {
    case 'GET /link/hello':
      return json(res, parts.hello());
    case 'GET /link/status':
      return json(res, parts.status());
    case 'GET /link/records': {
      const frames = parts.outbox.stream(position(parameters, 'from'), HEARTBEAT_MS);
      res.writeHead(200, { 'content-type': 'application/octet-stream' });
      res.flushHeaders();
      return pipeline(Readable.from(frames), res).catch((error: unknown) => {
        parts.logger.info({ reason: (error as Error).message }, 'record stream ended');
      });
    }
    case 'POST /link/ack':
      parts.outbox.acknowledge(position(parameters, 'position'));
      res.writeHead(204).end();
      return;
    case 'POST /link/challenge': {
      const { content } = await receiveBody(req, MAX_NONCE_BYTES, MAX_NONCE_BYTES);
      if (!content || content.length < MIN_NONCE_BYTES) {
        throw new ServiceError('NONCE_INVALID', `nonce: want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`, {
          field: 'nonce',
        });
      }
      const proof = parts.challenges.ask(content);
      parts.onChallenge();
      return json(res, await proof);
    }
    case 'GET /link/endorsements': {
      const wanted = parts.endorsements?.wanted;
      if (wanted) res.writeHead(200, { 'content-type': 'application/octet-stream' }).end(wanted);
      else res.writeHead(204).end();
      return;
    }
    case 'POST /link/endorsements': {
      const { content } = await receiveBody(req, MAX_ENDORSEMENT_BYTES, MAX_ENDORSEMENT_BYTES);
      if (!parts.endorsements) throw new ServiceError('REQUEST_NOT_FOUND', 'this platform brings its own certificates');
      const { wanted } = parts.endorsements;
      parts.endorsements.offer(content ?? new Uint8Array(0));
      if (wanted && !parts.endorsements.wanted) parts.onEndorsed();
      res.writeHead(204).end();
      return;
    }
    default:
      throw new ServiceError('REQUEST_NOT_FOUND', 'no such link route');
  }
}

function position(parameters: URLSearchParams, name: string): number {
  const text = parameters.get(name) ?? '';
  if (!/^\d{1,16}$/.test(text))
    throw new ServiceError('REQUEST_FIELD_INVALID', `${name}: want a record number`, { field: name });
  return Number(text);
}

async function relayed(parts: ServerParts, req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
  if (!parts.allowPlaintext) {
    throw new ServiceError(
      'PLAINTEXT_NOT_ALLOWED',
      'this enclave takes sealed requests only; it was started without --allow-plaintext',
    );
  }
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  const { status, headers, body, entry } = await parts.inference.handle({
    method: req.method ?? 'GET',
    path,
    header: (name) => {
      const value = req.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    body: req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>, // a refusal is still to be answered
    signal: gone.signal,
  });
  if (res.destroyed) return;
  res.writeHead(status, {
    ...headers,
    'content-length': body.length,
    ...(entry === null ? {} : { [HEADER.entry]: String(entry), [HEADER.boot]: parts.hello().boot }),
    // A body that was refused part-way would be read as the next request.
    ...(req.complete ? {} : { connection: 'close' }),
  });
  res.end(body);
}

/** What is still on its way would otherwise be reset together with the answer. */
function discardRest(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  req.resume();
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
}

function json(res: ServerResponse, value: unknown): void {
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** Where an unexpected error came from, without its message, which could quote a payload. */
function unexpected(error: unknown): { name: string; frames: string[] } {
  if (!(error instanceof Error)) return { name: typeof error, frames: [] };
  return { name: error.name, frames: (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at ')) };
}

function answerError(logger: Logger, res: ServerResponse, error: unknown): void {
  const coded = error instanceof CodedError ? error : new ServiceError('INTERNAL', 'internal error', { cause: error });
  if (!(error instanceof CodedError)) logger.error(unexpected(error), 'unexpected error');
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  res
    .writeHead(httpStatus(coded.code), {
      'content-type': 'application/json',
      [HEADER.errorCode]: coded.code,
    })
    .end(JSON.stringify({ error: coded.message, code: coded.code }));
}
