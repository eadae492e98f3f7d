/** The two forms of a sealed message, plain (RFC 9458 §4) and chunked (draft-ietf-ohai-chunked-ohttp-08), and what they share. */
import { OpenError } from 'hpke';
import { concat, utf8 } from '../bytes.ts';
import type { Suite } from './suite.ts';

export const OHTTP_MEDIA = {
  keys: 'application/ohttp-keys',
  request: 'message/ohttp-req',
  response: 'message/ohttp-res',
  chunkedRequest: 'message/ohttp-chunked-req',
  chunkedResponse: 'message/ohttp-chunked-res',
} as const;

/** Problem type of a request to a key that is not, or no longer, there (RFC 9458 §5.3). */
export const OHTTP_KEY_PROBLEM = 'https://iana.org/assignments/http-problem-types#ohttp-key';

export interface Form {
  readonly chunked: boolean;
  readonly requestType: string;
  readonly responseType: string;
  /** The labels differ, so that no message can be taken for one of the other form. */
  readonly requestLabel: Uint8Array<ArrayBuffer>;
  readonly responseLabel: Uint8Array<ArrayBuffer>;
}

export const PLAIN: Form = {
  chunked: false,
  requestType: OHTTP_MEDIA.request,
  responseType: OHTTP_MEDIA.response,
  requestLabel: utf8('message/bhttp request'),
  responseLabel: utf8('message/bhttp response'),
};

export const CHUNKED: Form = {
  chunked: true,
  requestType: OHTTP_MEDIA.chunkedRequest,
  responseType: OHTTP_MEDIA.chunkedResponse,
  requestLabel: utf8('message/bhttp chunked request'),
  responseLabel: utf8('message/bhttp chunked response'),
};

/** Type and subtype, lower-case; none of these media types has parameters. */
export const isMediaType = (value: string | null | undefined, type: string): boolean =>
  value?.split(';')[0]?.trim().toLowerCase() === type;

/** HPKE `info` (RFC 9458 §4.3): it binds key id, suite and form. */
export const requestInfo = (form: Form, header: Uint8Array): Uint8Array<ArrayBuffer> =>
  concat(form.requestLabel, Uint8Array.of(0), header);

/** max(Nn, Nk): length of the response nonce and of the exported secret. */
export const responseNonceBytes = (suite: Suite): number => Math.max(suite.aead.Nn, suite.aead.Nk);

/** An AEAD whose nonce counts up from its first: message number n uses nonce XOR n. */
export interface AnswerCipher {
  seal(plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
  /** Throws OpenError, as an HPKE context does. */
  open(ciphertext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
}

/** Key and nonce of one answer (RFC 9458 §4.4): of this request's context, this request's `enc` and a random nonce. */
export async function answerCipher(
  suite: Suite,
  form: Form,
  context: { Export(label: Uint8Array, length: number): Promise<Uint8Array> },
  enc: Uint8Array,
  responseNonce: Uint8Array,
): Promise<AnswerCipher> {
  const { kdf, aead } = suite;
  const secret = await context.Export(form.responseLabel, responseNonceBytes(suite));
  const prk = await kdf.Extract(concat(enc, responseNonce), secret);
  const key = await kdf.Expand(prk, utf8('key'), aead.Nk);
  const first = await kdf.Expand(prk, utf8('nonce'), aead.Nn);
  let counter = 0;
  const next = (): Uint8Array => {
    const nonce = new Uint8Array(first);
    for (let i = nonce.length - 1, rest = counter++; rest > 0; i--, rest = Math.floor(rest / 256)) {
      nonce[i] = (nonce[i] as number) ^ (rest % 256);
    }
    return nonce;
  };
  return {
    seal: (plaintext, aad) => aead.Seal(key, next(), aad, plaintext),
    open: (ciphertext, aad) =>
      aead.Open(key, next(), aad, ciphertext).catch((cause: unknown) => {
        throw new OpenError('AEAD decryption failed', { cause });
      }),
  };
}
