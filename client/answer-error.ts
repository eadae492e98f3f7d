/** What an answer that is none says: the words of whoever sent it, with the code they claim. */
import { CODES, type Code, HEADER, isCode } from '@veritee/protocol';
import { ClientError } from './errors.ts';
import type { Answer } from './service.ts';

const MAX_WORDS = 500;

/** Without control characters, which could rewrite a terminal's lines. */
export const printable = (text: string, maxLength = MAX_WORDS): string =>
  text.replace(/\p{C}/gu, ' ').slice(0, maxLength);

/** An error answer to a request: out of the seal the enclave's word, in the clear the host's. */
export function serviceError(answer: Answer): ClientError {
  const { code, words } = claimOf(answer);
  return new ClientError(code ?? 'SERVICE_REFUSED', words);
}

const OUTSIDE_STAGES: ReadonlySet<string> = new Set(['seal', 'relay', 'platform']);
/** Of the other stages, what can go wrong before anything of a request is read. */
const OUTSIDE_CODES: ReadonlySet<Code> = new Set([
  'REQUEST_TOO_LARGE',
  'REQUEST_TRUNCATED',
  'REQUEST_ENCODING_UNSUPPORTED',
  'REQUEST_MEDIA_TYPE_UNSUPPORTED',
  'REQUEST_METHOD_NOT_ALLOWED',
  'REQUEST_NOT_FOUND',
  'REQUEST_HEADER_INVALID',
  'NONCE_INVALID',
  'KEY_NOT_COMMITTED',
]);

/** The host's own refusal, of an attestation or a receipt. It cannot speak for the verifier: such a code is not taken. */
export function hostError(answer: Answer): ClientError {
  const { code, words } = claimOf(answer);
  return new ClientError(code !== null && isOutside(code) ? code : 'SERVICE_REFUSED', words);
}

/**
 * An answer in the clear to a sealed request. It comes from the host or from anyone on the way, so it is a diagnosis at
 * most, and never what the enclave says of the request.
 */
export function unsealedError(answer: Answer): ClientError {
  const { code, words } = claimOf(answer);
  const said = `the host says, unproven: ${words}`;
  if (code === null) return new ClientError('SERVICE_REFUSED', said);
  if (isOutside(code)) return new ClientError(code, said);
  return new ClientError('SEALED_ANSWER_CLEAR', `an answer in the clear to a sealed request; ${said}`);
}

const isOutside = (code: Code): boolean => OUTSIDE_CODES.has(code) || OUTSIDE_STAGES.has(CODES[code].stage);

/** A refusal that the enclave itself stated and signed. */
export function statedRefusal(outcome: Code, body: Uint8Array): ClientError {
  const words = wordsOf(jsonObject(body));
  return words === null
    ? new ClientError('SERVICE_ANSWER_INVALID', 'a refusal without words')
    : new ClientError(outcome, words);
}

function claimOf({ status, headers, body }: Answer): { readonly code: Code | null; readonly words: string } {
  const fields = jsonObject(body);
  const name = headers.get(HEADER.errorCode) ?? (typeof fields['code'] === 'string' ? fields['code'] : '');
  return { code: isCode(name) ? name : null, words: wordsOf(fields) ?? `HTTP ${status}` };
}

function wordsOf(fields: Readonly<Record<string, unknown>>): string | null {
  const said = [fields['error'], fields['detail'], fields['title']].find((value) => typeof value === 'string');
  return typeof said === 'string' ? printable(said) : null;
}

/** Empty when it is no JSON object: such an answer has no words of its own. */
function jsonObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
