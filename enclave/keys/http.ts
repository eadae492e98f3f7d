import { CodedError } from '@veritee/protocol';
import { invalidAnswer, unreachable } from './provider.ts';

const CALL_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 << 10;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/**
 * One request to a key service, its answer held to a size and a time. Nothing of the answer goes into a message.
 * @throws ServiceError BROKER_UNREACHABLE, BROKER_ANSWER_INVALID
 */
export async function call(request: Request, signal: AbortSignal): Promise<HttpAnswer> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
  try {
    const response = await fetch(request, { redirect: 'error', signal: bounded });
    return { status: response.status, headers: response.headers, body: await readBounded(response) };
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw unreachable(`${new URL(request.url).host}: ${bounded.aborted ? 'no answer in time' : 'not reached'}`, cause);
  }
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw invalidAnswer(`an answer longer than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
