/** How a request travels: sealed to the attested enclave, or in the clear for those who ask for that by name. */
import { encodeBinaryRequest, HEADER, hex, parseBinaryResponse, sealRequest } from '@veritee/protocol';
import { unsealedError } from './answer-error.ts';
import type { Attested } from './attestations.ts';
import type { Call } from './call.ts';
import { ClientError } from './errors.ts';
import type { Answer, Service } from './service.ts';

export interface InnerRequest {
  readonly method: string;
  /** `/v2/…`, with its query. */
  readonly path: string;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

export type Channel = (request: InnerRequest, attested: Attested, call: Call) => Promise<Answer>;

/** Longer contents go in chunks, which the enclave opens as they arrive. */
const CHUNKED_ABOVE_BYTES = 64 * 1024;
/** Binary HTTP and AEAD framing around an answer's own bytes; chunks add less than one part in five hundred. */
const SEAL_OVERHEAD_BYTES = 64 * 1024;

/** RFC 9458 straight to the enclave. What comes back is the answer of the key's holder to this very request, or it throws. */
export function sealedChannel(
  service: Service,
  limits: { readonly maxAnswerBytes: number; readonly padding: number | undefined },
): Channel {
  const { maxAnswerBytes, padding } = limits;
  const maxSealedBytes = maxAnswerBytes + Math.ceil(maxAnswerBytes / 256) + SEAL_OVERHEAD_BYTES + (padding ?? 0);
  return async (request, { sealingKey, result }, call) => {
    if (!sealingKey) throw new ClientError('SEALING_KEY_MISSING', 'the attestation offers no sealing key');
    const headers = padding === undefined ? request.headers : withHeader(request, HEADER.padding, String(padding));
    const content = encodeBinaryRequest(
      { ...request, headers },
      padding === undefined ? {} : { padToMultipleOf: padding },
    );
    const sealed = await call.wait(
      sealRequest(sealingKey.config, content, { chunked: content.length > CHUNKED_ABOVE_BYTES }),
    );
    const answer = await service.call(
      '/ohttp',
      {
        method: 'POST',
        body: sealed.body,
        headers: {
          'content-type': sealed.mediaType,
          [HEADER.boot]: hex(result.session.bootId),
        },
      },
      call,
      maxSealedBytes,
    );
    // Whatever the enclave has to say of the request itself it says inside the seal, under status 200.
    if (answer.status !== 200) throw unsealedError(answer);
    const opened = await call.wait(sealed.openResponse(answer.body, answer.headers.get('content-type')));
    const { status, headers: fields, body } = parseBinaryResponse(opened);
    if (body.length > maxAnswerBytes) {
      throw new ClientError('SERVICE_ANSWER_INVALID', `the answer is longer than ${maxAnswerBytes} bytes`, {
        field: 'maxAnswerBytes',
      });
    }
    return { ok: status >= 200 && status < 300, status, headers: new Headers([...fields]), body };
  };
}

/** The host reads it all, and can change what no statement covers. */
export function clearChannel(service: Service, { maxAnswerBytes }: { readonly maxAnswerBytes: number }): Channel {
  return ({ method, path, headers, body }, _attested, call) => {
    const bodied = method !== 'GET' && method !== 'HEAD';
    const init: RequestInit = { method, headers: [...headers], ...(bodied ? { body } : {}) };
    return service.call(path, init, call, maxAnswerBytes);
  };
}

const withHeader = ({ headers }: InnerRequest, name: string, value: string): ReadonlyMap<string, string> =>
  new Map([...headers, [name, value]]);
