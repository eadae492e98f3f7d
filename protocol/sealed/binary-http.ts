/**
 * Binary HTTP, RFC 9292: what is inside a sealed message. Written in known-length form:
 *
 *     00  method  scheme  authority  path  |  header bytes, { name value }*  |  content  |  00  |  zeros
 *     01  status                           |  header bytes, { name value }*  |  content  |  00  |  zeros
 *
 * with a varint length in front of every text and section. Read in known- and indeterminate-length form, strictly: names
 * are lower-case, fields that belong to a connection and pseudo-fields are refused, padding is zeros and nothing follows.
 * A message may end before an empty section (§3.8). Trailers are held to the same rules and then left out.
 */
import { join, utf8 } from '../bytes.ts';
import { checkContentLength, contentChunk, requestHead, response, tail } from './binary-http-parse.ts';
import {
  type BinaryRequest,
  type BinaryRequestHead,
  type BinaryResponse,
  FRAMING,
  isField,
  isFinalStatus,
  MAX_PADDING,
  METHOD,
  PATH,
} from './binary-http-rules.ts';
import { ByteReader } from './byte-reader.ts';
import { pullFrom, pullThrough } from './pull.ts';
import { type Refuse, refuseAnswerContent, refuseRequest } from './refusal.ts';
import { encodeVarint } from './varint.ts';

export interface EncodeOptions {
  /** Zeros are added up to a multiple of this, 1 to 65,536. */
  readonly padToMultipleOf?: number;
}

/** @throws TypeError for a method, path or header that no reader would take */
export function encodeBinaryRequest(request: BinaryRequest, options: EncodeOptions = {}): Uint8Array<ArrayBuffer> {
  const { method, path } = request;
  if (!METHOD.test(method) || !PATH.test(path)) throw new TypeError('not a method and a path');
  const control = [Uint8Array.of(FRAMING.request), ...[method, 'https', '', path].flatMap(prefixed)];
  return encodeMessage(control, request.headers, request.body, options);
}

/** @throws TypeError for a status or header that no reader would take */
export function encodeBinaryResponse(
  response: { readonly status: number; readonly headers: ReadonlyMap<string, string>; readonly body: Uint8Array },
  options: EncodeOptions = {},
): Uint8Array<ArrayBuffer> {
  if (!isFinalStatus(response.status)) throw new TypeError('not a final status');
  const control = [Uint8Array.of(FRAMING.response), encodeVarint(response.status)];
  return encodeMessage(control, response.headers, response.body, options);
}

function prefixed(text: string): [Uint8Array, Uint8Array] {
  const value = utf8(text);
  return [encodeVarint(value.length), value];
}

function encodeMessage(
  control: readonly Uint8Array[],
  headers: ReadonlyMap<string, string>,
  body: Uint8Array,
  { padToMultipleOf = 1 }: EncodeOptions,
): Uint8Array<ArrayBuffer> {
  if (!Number.isInteger(padToMultipleOf) || padToMultipleOf < 1 || padToMultipleOf > MAX_PADDING) {
    throw new TypeError(`padding: want a multiple from 1 to ${MAX_PADDING}`);
  }
  const lines: Uint8Array[] = [];
  for (const [name, value] of headers) {
    if (!isField(name, value)) throw new TypeError(`not a header: ${JSON.stringify(name)}`);
    lines.push(...prefixed(name), ...prefixed(value));
  }
  const section = join(lines);
  const head = join([...control, encodeVarint(section.length), section, encodeVarint(body.length)]);
  const length = head.length + body.length + 1; // and the empty trailer section
  const out = new Uint8Array(Math.ceil(length / padToMultipleOf) * padToMultipleOf);
  out.set(head);
  out.set(body, head.length);
  return out;
}

/**
 * Reads the head. The body is what then comes out of `body`, to be read once and to its end: only there are trailers and
 * padding read, and with them the end of `content`.
 *
 * @throws ServiceError SEALED_REQUEST_MALFORMED, SEALED_REQUEST_TRUNCATED, and what `content` throws
 */
export async function readBinaryRequest(
  content: AsyncIterable<Uint8Array>,
): Promise<BinaryRequestHead & { readonly body: AsyncIterable<Uint8Array> }> {
  const reader = new ByteReader(content);
  const { head, length } = await pullThrough(requestHead(refuseRequest), reader);
  return { ...head, body: inPieces(requestBody(reader, length, head.headers, refuseRequest)) };
}

/** @throws ServiceError SEALED_ANSWER_INVALID */
export const parseBinaryResponse = (content: Uint8Array<ArrayBuffer>): BinaryResponse =>
  pullFrom(response(refuseAnswerContent), content);

async function* requestBody(
  reader: ByteReader,
  length: number | null,
  headers: ReadonlyMap<string, string>,
  refuse: Refuse,
): AsyncGenerator<Uint8Array, void, void> {
  let total = 0;
  for (let count = 0; ; count++) {
    let left = length ?? (await pullThrough(contentChunk(count, refuse), reader));
    if (left === 0) break;
    total += left;
    while (left > 0) {
      const piece = await reader.some(left);
      if (piece.length === 0) throw refuse('truncated', 'ends too early', 'content');
      left -= piece.length;
      yield piece;
    }
    if (length !== null) break;
  }
  if (length === null) checkContentLength(headers, total, refuse);
  await pullThrough(tail(length !== null, refuse), reader);
}

const PIECE_BYTES = 16_384;

/** Puts small pieces together, so that a body that comes in crumbs costs its reader no more than another. */
async function* inPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let held = new Uint8Array(PIECE_BYTES);
  let length = 0;
  for await (const piece of source) {
    if (length > 0 && length + piece.length > PIECE_BYTES) {
      yield held.subarray(0, length);
      held = new Uint8Array(PIECE_BYTES);
      length = 0;
    }
    if (piece.length >= PIECE_BYTES) {
      yield piece;
    } else {
      held.set(piece, length);
      length += piece.length;
    }
  }
  if (length > 0) yield held.subarray(0, length);
}
