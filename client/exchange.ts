/** One inference: what was sent, what came back, and the statement that has to bear both. */
import {
  type Bytes,
  bytes,
  fromBase64url,
  fromHex,
  HEADER,
  JSON_LENGTH_HEADER,
  MAX_NONCE_BYTES,
  MIN_NONCE_BYTES,
  parseEntry,
  parseJsonLength,
  type Statement,
} from '@veritee/protocol';
import type { Expected } from '@veritee/verifier';
import type { InnerRequest } from './channel.ts';
import { ClientError } from './errors.ts';
import type { Answer } from './service.ts';

export interface ModelName {
  readonly name: string;
  readonly version?: string;
}

/** What the caller alone holds: with these an auditor can open the receipt's commitments. */
export interface PrivateParts {
  readonly requestSalt: Bytes<32>;
  readonly responseSalt: Bytes<32>;
  readonly request: Uint8Array<ArrayBuffer>;
  readonly response: Uint8Array<ArrayBuffer>;
}

/** An answer with everything that checks it. Nothing of it is verified yet. */
export interface Exchange {
  /** The whole COSE message. */
  readonly message: Uint8Array<ArrayBuffer>;
  readonly statement: Statement;
  readonly expected: Expected;
  readonly private: PrivateParts;
}

/** An inference as it is asked for: what its statement will have to bear. */
export interface Question {
  readonly model: ModelName;
  readonly nonce: Uint8Array<ArrayBuffer>;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly jsonLength: number | null;
  readonly mediaType: string | null;
}

const INFER = /^\/v2\/models\/([^/?]+)(?:\/versions\/([^/?]+))?\/infer(?:\?|$)/;

/**
 * Null when the request asks for something else than an inference.
 * @throws CodedError NONCE_INVALID, REQUEST_HEADER_INVALID, REQUEST_NOT_FOUND what could not be stated
 */
export function questionOf({ method, path, headers, body }: InnerRequest): Question | null {
  const [, name, version] = (method === 'POST' && INFER.exec(path)) || [];
  if (name === undefined) return null;
  return {
    model: { name: segment(name), ...(version === undefined ? {} : { version: segment(version) }) },
    nonce: nonceOf(headers.get(HEADER.nonce)),
    body,
    jsonLength: parseJsonLength(headers.get(JSON_LENGTH_HEADER.toLowerCase())),
    mediaType: headers.get('content-type') ?? null,
  };
}

export const inferPath = ({ name, version }: ModelName): string =>
  `/v2/models/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}/infer`;

function segment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new ClientError('REQUEST_NOT_FOUND', 'the path is not valid percent-encoding', { field: 'path', cause });
  }
}

function nonceOf(text: string | undefined): Uint8Array<ArrayBuffer> {
  const nonce = fromHex(text ?? '');
  if (nonce && nonce.length >= MIN_NONCE_BYTES && nonce.length <= MAX_NONCE_BYTES) return nonce;
  throw new ClientError('NONCE_INVALID', `want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes in hexadecimal`, {
    field: HEADER.nonce,
  });
}

/** Null when nothing was stated: only a request that was refused before it was admitted has no entry. */
export function readExchange(question: Question, { status, headers, body }: Answer): Exchange | null {
  if (!headers.has(HEADER.statement)) {
    if (status >= 400) return null;
    throw new ClientError('SERVICE_ANSWER_INVALID', 'an answer without a statement', { field: HEADER.statement });
  }
  const kept: PrivateParts = {
    requestSalt: saltOf(headers, HEADER.requestSalt),
    responseSalt: saltOf(headers, HEADER.responseSalt),
    request: question.body,
    response: body,
  };
  const message = fromBase64url(headers.get(HEADER.statement) ?? '');
  const entry = message && message.length > 0 ? parseEntry(message) : null;
  if (!message || entry?.kind !== 'statement') {
    throw new ClientError('SERVICE_ANSWER_INVALID', 'the answer carries no statement', { field: HEADER.statement });
  }
  const statement = entry.value;
  const { model, nonce, jsonLength, mediaType } = question;
  const sent = { body: kept.request, salt: kept.requestSalt };
  const expected: Expected = {
    nonce,
    operation: 'infer',
    // The statement of a refusal leaves out what was refused: a model, a framing, a media type.
    ...(statement.outcome === 'ok'
      ? {
          model,
          request: { ...sent, jsonLength },
          mediaTypes: { request: mediaType, response: headers.get('content-type') ?? '' },
        }
      : { request: sent }),
    // What the headers say of the framing is checked too: software that is not this client goes by them.
    response: {
      body: kept.response,
      salt: kept.responseSalt,
      jsonLength: parseJsonLength(headers.get(JSON_LENGTH_HEADER)),
    },
  };
  return { message, statement, expected, private: kept };
}

function saltOf(headers: Headers, name: string): Bytes<32> {
  const value = fromHex(headers.get(name) ?? '');
  if (value?.length !== 32) {
    throw new ClientError('SERVICE_ANSWER_INVALID', `${name}: want 32 bytes in hexadecimal`, { field: name });
  }
  return bytes(value, 32, name);
}
