/**
 * Seals a request to a key configuration and opens the one answer that belongs to it.
 *
 * Trusts: the configuration, which the caller took from a verified attestation. Checks: that the answer came from the
 * holder of that key, to this very request, whole and unchanged. An answer of another media type was not sealed.
 */
import { EncapError, NotSupportedError, type SenderContext, ValidationError } from 'hpke';
import { concat, join } from '../bytes.ts';
import { EvidenceError, ServiceError } from '../errors.ts';
import { ByteReader, onePiece } from './byte-reader.ts';
import { cut, openChunks, sealChunks } from './chunks.ts';
import { answerCipher, CHUNKED, type Form, isMediaType, PLAIN, requestInfo, responseNonceBytes } from './forms.ts';
import { encodeRequestHeader, parseKeyConfig } from './key-config.ts';
import { authentic, refuseAnswer } from './refusal.ts';
import { type Suite, suite, TAG_BYTES } from './suite.ts';

export interface SealedRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly mediaType: string;
  /**
   * Opens the answer to this very request.
   *
   * @param mediaType as the answer bears it; it must be the one that belongs to the request's
   * @throws ServiceError SEALED_ANSWER_CLEAR another media type; SEALED_ANSWER_TRUNCATED; SEALED_ANSWER_INVALID
   */
  openResponse(body: Uint8Array, mediaType: string | null): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * @param config one key configuration of a verified attestation
 * @param content a Binary HTTP request
 * @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_UNSUPPORTED for the configuration; ServiceError SEALING_KEY_MISSING
 *   in a browser without X25519
 */
export function sealRequest(
  config: Uint8Array,
  content: Uint8Array,
  options: { readonly chunked?: boolean } = {},
): Promise<SealedRequest> {
  return sealRequestWith(suite(), config, content, options.chunked ? CHUNKED : PLAIN);
}

/** @param pieces the chunks, where they are not to be cut at their greatest length */
export async function sealRequestWith(
  chosen: Suite,
  config: Uint8Array,
  content: Uint8Array,
  form: Form,
  pieces: readonly Uint8Array[] = cut(content),
): Promise<SealedRequest> {
  const { keyId, publicKey } = parseKeyConfig(config, chosen.aead.id);
  const header = encodeRequestHeader(keyId, chosen.aead.id);
  const { enc, context } = await setup(chosen, publicKey, requestInfo(form, header));
  const body = form.chunked
    ? await sealChunks([header, enc], pieces, (piece, aad) => context.Seal(piece, aad))
    : concat(header, enc, await context.Seal(content));
  return {
    body,
    mediaType: form.requestType,
    async openResponse(answer, mediaType) {
      if (!isMediaType(mediaType, form.responseType)) {
        throw new ServiceError('SEALED_ANSWER_CLEAR', `the answer is not ${form.responseType}`, {
          field: 'content-type',
        });
      }
      return openAnswer(chosen, form, context, enc, answer);
    },
  };
}

async function setup(
  chosen: Suite,
  publicKey: Uint8Array,
  info: Uint8Array,
): Promise<{ readonly enc: Uint8Array; readonly context: SenderContext }> {
  try {
    const key = await chosen.hpke.DeserializePublicKey(publicKey);
    const { encapsulatedSecret, ctx } = await chosen.hpke.SetupSender(key, { info });
    return { enc: encapsulatedSecret, context: ctx };
  } catch (cause) {
    if (cause instanceof NotSupportedError) {
      throw new ServiceError('SEALING_KEY_MISSING', 'this WebCrypto has no X25519 to seal with', { cause });
    }
    if (!(cause instanceof EncapError || cause instanceof ValidationError)) throw cause;
    throw new EvidenceError('EVIDENCE_MALFORMED', 'publicKey: not a key to seal to', { field: 'publicKey', cause });
  }
}

async function openAnswer(
  chosen: Suite,
  form: Form,
  context: SenderContext,
  enc: Uint8Array,
  answer: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const nonceBytes = responseNonceBytes(chosen);
  if (answer.length < nonceBytes + TAG_BYTES) throw refuseAnswer('truncated', 'ends too early', 'answer');
  const cipher = await answerCipher(chosen, form, context, enc, answer.subarray(0, nonceBytes));
  const sealed = answer.subarray(nonceBytes);
  const parts: Uint8Array[] = [];
  if (form.chunked) {
    for await (const part of openChunks(new ByteReader(onePiece(sealed)), cipher.open, refuseAnswer)) parts.push(part);
    return join(parts);
  }
  const content = await authentic(cipher.open(sealed, new Uint8Array(0)), 'answer', refuseAnswer);
  return content as Uint8Array<ArrayBuffer>; // fresh memory of the AEAD's, never shared
}
