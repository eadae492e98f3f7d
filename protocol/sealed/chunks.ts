/**
 * The chunks of a chunked message, draft-ietf-ohai-chunked-ohttp-08 §6, the same in both directions:
 *
 *     { length (varint, not 0) ‖ sealed chunk }*  ‖  0 ‖ sealed final chunk
 *
 * Order is in the nonce, the end is in the final chunk's additional data; the lengths are not authenticated. The draft
 * asks every receiver to take chunks of 16,384 bytes and senders to send none longer: a longer one is refused here, so
 * that what is held before it authenticates stays small. An empty chunk that is not the final one is a forgery.
 */
import { join, utf8 } from '../bytes.ts';
import type { ByteReader } from './byte-reader.ts';
import { type Pull, pullThrough } from './pull.ts';
import { authentic, type Refuse } from './refusal.ts';
import { TAG_BYTES } from './suite.ts';
import { encodeVarint, integer } from './varint.ts';

/** Plaintext of one chunk. */
export const MAX_CHUNK_BYTES = 16_384;
/** Of one message, which so has at most a gibibyte: crumbs cost the receiver more than the sender. */
export const MAX_CHUNKS = 65_536;
const MAX_SEALED_CHUNK = MAX_CHUNK_BYTES + TAG_BYTES;

const FINAL = utf8('final');
const NOT_FINAL = new Uint8Array(0);
const FINAL_LENGTH = Uint8Array.of(0);

/** Throws OpenError for what does not authenticate. */
export type OpenChunk = (ciphertext: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>;

export function cut(content: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += MAX_CHUNK_BYTES) pieces.push(content.subarray(at, at + MAX_CHUNK_BYTES));
  return pieces.length > 0 ? pieces : [content];
}

/** @param pieces in order; the last one becomes the final chunk and alone may be empty */
export async function sealChunks(
  head: readonly Uint8Array[],
  pieces: readonly Uint8Array[],
  seal: (plaintext: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (pieces.length > MAX_CHUNKS) throw new TypeError('too long for a chunked message');
  const parts = [...head];
  for (const [i, piece] of pieces.entries()) {
    const isFinal = i === pieces.length - 1;
    const sealed = await seal(piece, isFinal ? FINAL : NOT_FINAL);
    parts.push(isFinal ? FINAL_LENGTH : encodeVarint(sealed.length), sealed);
  }
  return join(parts);
}

/** Hands on each chunk once it is authentic, and ends only behind an authentic final one. */
export async function* openChunks(
  reader: ByteReader,
  open: OpenChunk,
  refuse: Refuse,
): AsyncGenerator<Uint8Array, void, void> {
  for (let count = 0; ; count++) {
    const { sealed, isFinal } = await pullThrough(sealedChunk(refuse), reader);
    if (count === MAX_CHUNKS) throw refuse('malformed', 'too many', 'chunk');
    const plaintext = await authentic(open(sealed, isFinal ? FINAL : NOT_FINAL), 'chunk', refuse);
    if (plaintext.length > 0) yield plaintext;
    if (isFinal) return;
  }
}

export function* sealedChunk(refuse: Refuse): Pull<{ readonly sealed: Uint8Array; readonly isFinal: boolean }> {
  const length = yield* integer('chunk', refuse);
  if (length === null) throw refuse('truncated', 'no final chunk', 'chunk');
  if (length > MAX_SEALED_CHUNK) throw refuse('malformed', `longer than ${MAX_CHUNK_BYTES} bytes`, 'chunk');
  const isFinal = length === 0;
  // The final chunk reaches to the end of the message; one byte more than allowed shows that it is too long.
  const sealed = yield isFinal ? MAX_SEALED_CHUNK + 1 : length;
  if (sealed.length > MAX_SEALED_CHUNK) throw refuse('malformed', `longer than ${MAX_CHUNK_BYTES} bytes`, 'chunk');
  if (sealed.length < (isFinal ? TAG_BYTES : length)) throw refuse('truncated', 'ends too early', 'chunk');
  if (!isFinal && length <= TAG_BYTES) throw refuse('unreadable', 'empty, and not the final one', 'chunk');
  return { sealed, isFinal };
}
