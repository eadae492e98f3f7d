/**
 * Opens a sealed request with a key pair of this enclave and seals the answer to it.
 *
 * Trusts: nothing in the request until it authenticates. Checks, in order: media type, length, key and suite, that the
 * bytes were sealed to that very key by whoever made `enc`, and with the caller's `firstUse` that they are no replay.
 * Does not prove who sent it: base mode does not authenticate the sender.
 */
import type { RecipientContext } from 'hpke';
import { concat, equalBytes } from '../bytes.ts';
import { ServiceError } from '../errors.ts';
import { ByteReader, onePiece } from './byte-reader.ts';
import { cut, openChunks, sealChunks } from './chunks.ts';
import { answerCipher, CHUNKED, type Form, isMediaType, PLAIN, requestInfo, responseNonceBytes } from './forms.ts';
import { encodeRequestHeader, REQUEST_HEADER_BYTES } from './key-config.ts';
import { authentic, refuseRequest } from './refusal.ts';
import type { SealingKeyPair } from './sealing-key.ts';
import { ENC_BYTES, TAG_BYTES } from './suite.ts';

export interface OpenedRequest {
  /**
   * Plaintext Binary HTTP, authenticated piece by piece; to be read once. It ends only when the final chunk was seen:
   * whoever stops earlier has not seen the whole request.
   *
   * @throws ServiceError SEALED_REQUEST_TRUNCATED, SEALED_REQUEST_UNREADABLE, SEALED_REQUEST_MALFORMED
   */
  readonly content: AsyncIterable<Uint8Array>;
  /** May come before `content` was read to its end: a refusal needs no more. */
  sealResponse(content: Uint8Array): Promise<{ readonly body: Uint8Array<ArrayBuffer>; readonly mediaType: string }>;
}

export interface OpenOptions {
  /** Throws for a key that is unknown (SEALING_KEY_UNKNOWN) or not committed (KEY_NOT_COMMITTED). */
  readonly keyOf: (keyId: number) => SealingKeyPair;
  /** Called once, when the first bytes have authenticated and before any is handed on; throws SEALED_REQUEST_REPLAYED. */
  readonly firstUse: (enc: Uint8Array) => void;
  /** Of the whole sealed message in plain form, which is held in memory until it authenticates. */
  readonly maxBytes: number;
}

/**
 * @param source the request's bytes; read, never closed
 * @param mediaType chooses the plain or the chunked form
 * @throws ServiceError SEALED_REQUEST_MALFORMED, SEALED_REQUEST_TRUNCATED, SEALED_REQUEST_UNREADABLE;
 *   REQUEST_TOO_LARGE a plain message of more than `maxBytes`; REQUEST_MEDIA_TYPE_UNSUPPORTED; what the options throw
 */
export async function openRequest(
  source: AsyncIterable<Uint8Array>,
  mediaType: string | undefined,
  options: OpenOptions,
): Promise<OpenedRequest> {
  const form = [PLAIN, CHUNKED].find(({ requestType }) => isMediaType(mediaType, requestType));
  if (!form) {
    throw new ServiceError(
      'REQUEST_MEDIA_TYPE_UNSUPPORTED',
      `content-type: want ${PLAIN.requestType} or ${CHUNKED.requestType}`,
      { field: 'content-type' },
    );
  }
  const reader = new ByteReader(source);
  const header = await reader.take(REQUEST_HEADER_BYTES);
  if (header.length < REQUEST_HEADER_BYTES) throw refuseRequest('truncated', 'ends too early', 'header');
  const keyId = header[0] as number;
  const pair = options.keyOf(keyId);
  if (!equalBytes(header, encodeRequestHeader(keyId, pair.suite.aead.id))) {
    throw refuseRequest('malformed', 'another suite than the key is for', 'header');
  }
  const enc = concat(await reader.take(ENC_BYTES));
  if (enc.length < ENC_BYTES) throw refuseRequest('truncated', 'ends too early', 'enc');

  const context = await authentic(pair.setup(enc, requestInfo(form, header)), 'enc', refuseRequest);
  const content = form.chunked
    ? await openFirstChunk(reader, context)
    : await openWhole(reader, context, options.maxBytes - REQUEST_HEADER_BYTES - ENC_BYTES);
  options.firstUse(enc);
  return {
    content,
    sealResponse: async (answer) => ({
      body: await sealAnswer(pair, form, context, enc, answer),
      mediaType: form.responseType,
    }),
  };
}

async function openWhole(
  reader: ByteReader,
  context: RecipientContext,
  maxBytes: number,
): Promise<AsyncIterable<Uint8Array>> {
  const sealed = await reader.rest(Math.max(0, maxBytes));
  if (sealed === null) throw new ServiceError('REQUEST_TOO_LARGE', 'body: too long', { field: 'body' });
  if (sealed.length < TAG_BYTES) throw refuseRequest('truncated', 'ends too early', 'body');
  return onePiece(await authentic(context.Open(sealed), 'body', refuseRequest));
}

/** Nothing is handed on until `firstUse` has agreed, so the first chunk is opened here and the others as they are asked for. */
async function openFirstChunk(reader: ByteReader, context: RecipientContext): Promise<AsyncIterable<Uint8Array>> {
  const chunks = openChunks(reader, (sealed, aad) => context.Open(sealed, aad), refuseRequest);
  const first = await chunks.next();
  return (async function* () {
    if (first.done) return;
    yield first.value;
    yield* chunks;
  })();
}

async function sealAnswer(
  pair: SealingKeyPair,
  form: Form,
  context: RecipientContext,
  enc: Uint8Array,
  content: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  // Fresh for every answer: with it go the AEAD's key and nonce.
  const nonce = crypto.getRandomValues(new Uint8Array(responseNonceBytes(pair.suite)));
  const cipher = await answerCipher(pair.suite, form, context, enc, nonce);
  return form.chunked
    ? sealChunks([nonce], cut(content), cipher.seal)
    : concat(nonce, await cipher.seal(content, new Uint8Array(0)));
}
