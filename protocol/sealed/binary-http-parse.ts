/** The reading half of `binary-http.ts`. Nothing in a message is trusted; every length is held against a limit before it is asked for. */
import { join } from '../bytes.ts';
import {
  type BinaryRequestHead,
  type BinaryResponse,
  FRAMING,
  isField,
  isFinalStatus,
  MAX_AUTHORITY_BYTES,
  MAX_CONTENT_CHUNKS,
  MAX_FIELDS,
  MAX_FIELDS_BYTES,
  MAX_INFORMATIONAL,
  MAX_METHOD_BYTES,
  MAX_PADDING,
  MAX_PATH_BYTES,
  MAX_SCHEME_BYTES,
  METHOD,
  PATH,
} from './binary-http-rules.ts';
import { type Pull, pullFrom } from './pull.ts';
import type { Refuse } from './refusal.ts';
import { integer } from './varint.ts';

/** `length` is null in indeterminate-length form. */
export function* requestHead(
  refuse: Refuse,
): Pull<{ readonly head: BinaryRequestHead; readonly length: number | null }> {
  const framing = yield* integer('framing', refuse);
  if (framing !== FRAMING.request && framing !== FRAMING.indeterminateRequest) {
    throw refuse(framing === null ? 'truncated' : 'malformed', 'want a request', 'framing');
  }
  const method = yield* text(MAX_METHOD_BYTES, 'method', refuse);
  if (!METHOD.test(method)) throw refuse('malformed', 'not a token', 'method');
  yield* text(MAX_SCHEME_BYTES, 'scheme', refuse);
  yield* text(MAX_AUTHORITY_BYTES, 'authority', refuse);
  const path = yield* text(MAX_PATH_BYTES, 'path', refuse);
  if (!PATH.test(path)) throw refuse('malformed', 'want visible ASCII from a slash on', 'path');
  const known = framing === FRAMING.request;
  const headers = yield* fields(known, 'headers', refuse);
  const length = known ? ((yield* integer('content', refuse)) ?? 0) : null;
  if (length !== null) checkContentLength(headers, length, refuse);
  return { head: { method, path, headers }, length };
}

export function* response(refuse: Refuse): Pull<BinaryResponse> {
  const framing = yield* integer('framing', refuse);
  if (framing !== FRAMING.response && framing !== FRAMING.indeterminateResponse) {
    throw refuse('malformed', 'want a response', 'framing');
  }
  const known = framing === FRAMING.response;
  for (let informational = 0; ; informational++) {
    const status = yield* integer('status', refuse);
    const isInformational = status !== null && status >= 100 && status <= 199;
    if (status === null || (!isInformational && !isFinalStatus(status)) || informational > MAX_INFORMATIONAL) {
      throw refuse('malformed', 'not a status', 'status');
    }
    const headers = yield* fields(known, 'headers', refuse);
    if (isInformational) continue;
    const body = known ? yield* knownContent(refuse) : yield* indeterminateContent(refuse);
    // An answer to HEAD names the length of a content that it does not have.
    if (body.length > 0) checkContentLength(headers, body.length, refuse);
    yield* tail(known, refuse);
    return { status, headers, body };
  }
}

export function* knownContent(refuse: Refuse): Pull<Uint8Array<ArrayBuffer>> {
  return yield* exactly((yield* integer('content', refuse)) ?? 0, 'content', refuse);
}

export function* indeterminateContent(refuse: Refuse): Pull<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const length = yield* contentChunk(parts.length, refuse);
    if (length === 0) return join(parts);
    parts.push(yield* exactly(length, 'content', refuse));
  }
}

/** Length of the next chunk of indeterminate-length content; 0 ends it, and so may the message when there was none. */
export function* contentChunk(before: number, refuse: Refuse): Pull<number> {
  const length = yield* integer('content', refuse);
  if (length === null && before > 0) throw refuse('truncated', 'ends too early', 'content');
  if (length !== null && length > 0 && before === MAX_CONTENT_CHUNKS)
    throw refuse('malformed', 'too many chunks', 'content');
  return length ?? 0;
}

/** Trailers and padding, up to the end of the message. */
export function* tail(known: boolean, refuse: Refuse): Pull<void> {
  yield* fields(known, 'trailers', refuse);
  for (let zeros = 0; ; ) {
    const piece = yield 4096;
    if (piece.length === 0) return;
    zeros += piece.length;
    if (zeros >= MAX_PADDING) throw refuse('malformed', 'too long', 'padding');
    if (piece.some((byte) => byte !== 0)) throw refuse('malformed', 'want zeros and nothing after them', 'padding');
  }
}

function* fields(known: boolean, field: string, refuse: Refuse): Pull<ReadonlyMap<string, string>> {
  if (!known) return yield* fieldLines(true, field, refuse);
  const length = (yield* integer(field, refuse)) ?? 0;
  if (length > MAX_FIELDS_BYTES) throw refuse('malformed', 'too long', field);
  const section = yield* exactly(length, field, refuse);
  // The section is whole, so lines that overrun it are no truncation of the message.
  return pullFrom(
    fieldLines(false, field, (_, message) => refuse('malformed', message, field)),
    section,
  );
}

/** `terminated`: by a zero, as in indeterminate-length form; else by the end of the section. */
function* fieldLines(terminated: boolean, field: string, refuse: Refuse): Pull<ReadonlyMap<string, string>> {
  const map = new Map<string, string>();
  let bytes = 0;
  for (let count = 0; ; count++) {
    const nameLength = yield* integer(field, refuse);
    if (nameLength === null) {
      if (terminated && count > 0) throw refuse('truncated', 'ends too early', field);
      return map;
    }
    if (nameLength === 0 && terminated) return map;
    if (count === MAX_FIELDS) throw refuse('malformed', 'too many', field);
    const name = latin1(yield* bounded(nameLength, MAX_FIELDS_BYTES - bytes, field, refuse));
    const valueLength = yield* integer(field, refuse);
    if (valueLength === null) throw refuse('truncated', 'ends too early', field);
    bytes += nameLength;
    const value = latin1(yield* bounded(valueLength, MAX_FIELDS_BYTES - bytes, field, refuse));
    bytes += valueLength;
    if (!isField(name, value)) throw refuse('malformed', 'not a field, or not one of a sealed message', field);
    const before = map.get(name);
    map.set(name, before === undefined ? value : `${before}, ${value}`);
  }
}

export function checkContentLength(headers: ReadonlyMap<string, string>, length: number, refuse: Refuse): void {
  const stated = headers.get('content-length');
  if (stated !== undefined && stated !== String(length)) {
    throw refuse('malformed', 'differs from the content', 'content-length');
  }
}

function* text(max: number, field: string, refuse: Refuse): Pull<string> {
  const length = yield* integer(field, refuse);
  if (length === null) throw refuse('truncated', 'ends too early', field);
  return latin1(yield* bounded(length, max, field, refuse));
}

function* bounded(length: number, max: number, field: string, refuse: Refuse): Pull<Uint8Array> {
  if (length > max) throw refuse('malformed', 'too long', field);
  return yield* exactly(length, field, refuse);
}

function* exactly(length: number, field: string, refuse: Refuse): Pull<Uint8Array<ArrayBuffer>> {
  const piece = length === 0 ? new Uint8Array(0) : yield length;
  if (piece.length < length) throw refuse('truncated', 'ends too early', field);
  return piece as Uint8Array<ArrayBuffer>;
}

const latin1 = (value: Uint8Array): string => String.fromCharCode(...value);
