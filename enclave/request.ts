import { createHash, randomBytes } from 'node:crypto';
import type { Bytes } from '@veritee/protocol';
import { CodedError, ServiceError } from '@veritee/protocol';

/** A request as the handlers see it, whichever way it came in: in the clear, or out of a seal. */
export interface InnerRequest {
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  header(name: string): string | undefined;
  /** The content after transfer decoding, before anything else. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** It has its place among the requests in hand already. */
  readonly admitted?: true;
}

export interface InnerResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Leaf index of the entry this answer belongs to; null when it has none. */
  readonly entry: number | null;
}

/** A request body with the salted commitment to it. */
export interface ReceivedBody {
  readonly salt: Bytes<32>;
  readonly digest: Bytes<32>;
  /** Null when it was longer than the limit: hashed as it passed, not kept. */
  readonly content: Uint8Array<ArrayBuffer> | null;
  readonly length: number;
}

export const newSalt = (): Bytes<32> => new Uint8Array(randomBytes(32)) as Bytes<32>;

export const saltedSha256 = (salt: Bytes<32>, body: Uint8Array): Bytes<32> =>
  new Uint8Array(createHash('sha256').update(salt).update(body).digest()) as Bytes<32>;

/**
 * Reads a body and commits to it. A body above `keepAtMost` is hashed and dropped, so that its refusal can be an entry
 * without costing its size in memory; above `readAtMost` reading stops.
 *
 * @throws ServiceError REQUEST_TOO_LARGE above `readAtMost`; REQUEST_TRUNCATED when it ends early
 */
export async function receiveBody(
  body: AsyncIterable<Uint8Array>,
  keepAtMost: number,
  readAtMost: number,
): Promise<ReceivedBody> {
  const salt = newSalt();
  const hash = createHash('sha256').update(salt);
  let chunks: Uint8Array[] | null = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > readAtMost) {
        throw new ServiceError('REQUEST_TOO_LARGE', `the body is longer than ${readAtMost} bytes`, { field: 'body' });
      }
      hash.update(chunk);
      if (length > keepAtMost) chunks = null;
      chunks?.push(chunk);
    }
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new ServiceError('REQUEST_TRUNCATED', 'the body ended before its declared length', {
      field: 'body',
      cause: error,
    });
  }
  return { salt, digest: new Uint8Array(hash.digest()) as Bytes<32>, content: chunks && join(chunks, length), length };
}

/** One aligned buffer of its own, so that tensor views into it can be taken. */
function join(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    content.set(chunk, offset);
    offset += chunk.length;
  }
  return content;
}
