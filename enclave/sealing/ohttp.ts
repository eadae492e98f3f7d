/**
 * `POST /ohttp` on the link: opens a request (RFC 9458, or its chunked form), has it answered like one in the clear,
 * seals the answer. From the moment a request has opened, everything is answered inside the seal with an outer 200;
 * what does not open is a refusal of the link, in the clear, that names a code and nothing of the content.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CodedError,
  encodeBinaryResponse,
  HEADER,
  MAX_PADDING,
  type OpenedRequest,
  openRequest,
  readBinaryRequest,
  ServiceError,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import { BESIDE_BODY_BYTES, counted, HASHED_BODY_FACTOR, type Inference, refusalAnswer } from '../inference.ts';
import type { InnerResponse } from '../request.ts';
import type { SealingKeys } from './keys.ts';

export interface SealedParts {
  readonly keys: SealingKeys;
  readonly inference: Inference;
  readonly boot: string;
  readonly maxBodyBytes: number;
  readonly logger: Logger;
}

/** @throws CodedError what does not open, with nothing answered yet */
export async function answerSealed(parts: SealedParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  try {
    refuseUnfit(parts, req);
    const place = parts.inference.admit();
    const source = counted(received(req), place);
    try {
      const opened = await open(parts, req, source);
      const { answer, padding } = await answerOpened(parts, opened, gone.signal);
      await send(parts, res, opened, answer, padding);
    } finally {
      place.leave();
      await source.return(); // lets go of the connection, which is read to the end elsewhere
    }
  } catch (error) {
    const code = error instanceof CodedError ? error.code : 'INTERNAL';
    parts.logger.info({ code }, 'sealed request refused');
    throw error;
  }
}

function refuseUnfit({ boot }: SealedParts, req: IncomingMessage): void {
  if (req.method !== 'POST') throw new ServiceError('REQUEST_METHOD_NOT_ALLOWED', '/ohttp takes POST');
  if (req.headers['content-encoding'] !== undefined) {
    throw new ServiceError('REQUEST_ENCODING_UNSUPPORTED', 'content-encoding: send the sealed bytes as they are', {
      field: 'content-encoding',
    });
  }
  const meant = req.headers[HEADER.boot];
  if (meant !== undefined && meant !== boot) {
    throw new ServiceError('SEALING_KEY_UNKNOWN', 'sealed to another boot: ask for an attestation again', {
      field: HEADER.boot,
    });
  }
}

function open(
  { keys, maxBodyBytes }: SealedParts,
  req: IncomingMessage,
  source: AsyncIterable<Uint8Array>,
): Promise<OpenedRequest> {
  return openRequest(source, req.headers['content-type'], {
    ...keys.opener(),
    maxBytes: maxBodyBytes + BESIDE_BODY_BYTES,
  });
}

/** The connection stays when reading stops, so that a refusal can still be answered on it. */
async function* received(req: IncomingMessage): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new ServiceError('REQUEST_TRUNCATED', 'the sealed request ended before its declared length', { cause });
  }
}

/** Never throws: the seal is open, so every refusal goes into it. */
async function answerOpened(
  { inference, maxBodyBytes, logger }: SealedParts,
  opened: OpenedRequest,
  signal: AbortSignal,
): Promise<{ readonly answer: InnerResponse; readonly padding: number }> {
  let padding = 1;
  try {
    const most = maxBodyBytes * HASHED_BODY_FACTOR + BESIDE_BODY_BYTES;
    const { method, path, headers, body } = await readBinaryRequest(limited(opened.content, most));
    padding = paddingOf(headers.get(HEADER.padding));
    // Only its end shows that a request without a body was not cut.
    if (method !== 'POST') for await (const _chunk of body);
    const answer = await inference.handle({
      method,
      path: path.split('?', 1)[0] as string,
      header: (name) => headers.get(name),
      body,
      signal,
      admitted: true,
    });
    return { answer: method === 'HEAD' ? { ...answer, body: new Uint8Array(0) } : answer, padding };
  } catch (error) {
    return { answer: refusalAnswer(error, logger), padding };
  }
}

async function* limited(content: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const piece of content) {
    length += piece.length;
    if (length > most)
      throw new ServiceError('REQUEST_TOO_LARGE', `the request is longer than ${most} bytes`, { field: 'body' });
    yield piece;
  }
}

function paddingOf(text: string | undefined): number {
  if (text === undefined) return 1;
  const padding = Number(text);
  if (/^\d{1,5}$/.test(text) && padding >= 1 && padding <= MAX_PADDING) return padding;
  throw new ServiceError('REQUEST_HEADER_INVALID', `${HEADER.padding}: want 1 to ${MAX_PADDING}`, {
    field: HEADER.padding,
  });
}

/** The outer answer says nothing of the inner one but its length; the entry is for the host alone. */
async function send(
  { boot }: SealedParts,
  res: ServerResponse,
  opened: OpenedRequest,
  { status, headers, body, entry }: InnerResponse,
  padToMultipleOf: number,
): Promise<void> {
  const fields = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const content = encodeBinaryResponse({ status, headers: fields, body }, { padToMultipleOf });
  const sealed = await opened.sealResponse(content);
  if (res.destroyed) return;
  res.writeHead(200, {
    'content-type': sealed.mediaType,
    'content-length': sealed.body.length,
    'cache-control': 'no-store, no-transform',
    ...(entry === null ? {} : { [HEADER.entry]: String(entry), [HEADER.boot]: boot }),
  });
  res.end(sealed.body);
}
