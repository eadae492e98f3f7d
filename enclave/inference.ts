import { randomBytes } from 'node:crypto';
import {
  type Bytes,
  type Code,
  CodedError,
  checkInputs,
  checkOutputs,
  encodeInferResponse,
  encodeStatement,
  fromHex,
  HEADER,
  hex,
  httpStatus,
  JSON_LENGTH_HEADER,
  MAX_NONCE_BYTES,
  MEDIA_TYPE_JSON,
  MIN_NONCE_BYTES,
  type ModelIdentity,
  parseInferRequest,
  ServiceError,
  sha256,
} from '@veritee/protocol';
import type { Logger } from 'pino';
import type { Engine } from './engine/engine.ts';
import type { EnclaveLog } from './log.ts';
import type { LoadedModel, Repository } from './models/repository.ts';
import type { Outbox } from './outbox.ts';
import {
  type InnerRequest,
  type InnerResponse,
  newSalt,
  type ReceivedBody,
  receiveBody,
  saltedSha256,
} from './request.ts';
import type { Session } from './session.ts';
import type { Ticker } from './ticker.ts';

/** Longest body that is hashed so that its refusal can be an entry, in multiples of the longest that is accepted. */
export const HASHED_BODY_FACTOR = 4;
/** Room beside a body: request line, headers, padding, the seal itself. */
export const BESIDE_BODY_BYTES = 256 << 10;
const MAX_MEDIA_TYPE_LENGTH = 256;
const BASE_HEADERS = { 'cache-control': 'no-store, no-transform' } as const;

export interface InferenceSettings {
  readonly maxBodyBytes: number;
  /** Requests between their first byte and their answer. */
  readonly maxInFlight: number;
  readonly deadlineMs: number;
  /** Memory for the inputs of one request, and of all in hand; as much again for their bodies as they come in. */
  readonly maxInputBytes: number;
  readonly serverName: string;
  readonly serverVersion: string;
}

export interface InferenceParts {
  readonly session: Session;
  readonly log: EnclaveLog;
  readonly outbox: Outbox;
  readonly ticker: Pick<Ticker, 'poke' | 'committed'>;
  readonly repository: Repository;
  readonly engine: Engine;
  readonly logger: Logger;
  readonly now: () => number;
}

/** A place among the requests in hand. */
export interface Place {
  /** Counts what came of the body, before it is kept. @throws ServiceError QUEUE_FULL no room for it beside the others */
  took(bytes: number): void;
  leave(): void;
}

/** What came of one inference, before it is stated. */
interface Outcome {
  readonly outcome: 'ok' | Code;
  readonly model: ModelIdentity | null;
  readonly requestJsonLength: number | null;
  readonly body: Uint8Array;
  readonly jsonLength: number | null;
  readonly mediaType: string;
}

/** The Open Inference Protocol v2, inside the enclave: what happens to a request, and the entry that says so. */
export class Inference {
  readonly #parts: InferenceParts;
  readonly #settings: InferenceSettings;
  #inFlight = 0;
  #bytesInHand = 0;
  readonly #maxBytesInHand: number;
  #stopping = false;

  constructor(parts: InferenceParts, settings: InferenceSettings) {
    this.#parts = parts;
    this.#settings = settings;
    const { maxInputBytes, maxBodyBytes } = settings;
    // One request always has room for all that is read of it, its seal included.
    this.#maxBytesInHand = Math.max(maxInputBytes, maxBodyBytes * (HASHED_BODY_FACTOR + 1) + BESIDE_BODY_BYTES);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Of bodies, counted when they came, until their requests are answered. */
  get bytesInHand(): number {
    return this.#bytesInHand;
  }

  /** From now on nothing new is admitted. */
  stop(): void {
    this.#stopping = true;
  }

  async handle(request: InnerRequest): Promise<InnerResponse> {
    try {
      const infer = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/infer$/.exec(request.path);
      if (!infer) return this.#describe(request);
      if (request.method !== 'POST') throw new ServiceError('REQUEST_METHOD_NOT_ALLOWED', 'infer takes POST');
      return await this.#infer(request, segment(infer[1]), infer[2] === undefined ? undefined : segment(infer[2]));
    } catch (error) {
      return refusalAnswer(error, this.#parts.logger);
    }
  }

  /** @throws ServiceError ENCLAVE_STOPPING, QUEUE_FULL */
  admit(): Place {
    if (this.#stopping) throw new ServiceError('ENCLAVE_STOPPING', 'the enclave is stopping; try again shortly');
    if (this.#inFlight >= this.#settings.maxInFlight) {
      throw new ServiceError('QUEUE_FULL', `${this.#settings.maxInFlight} requests are in hand; try again shortly`);
    }
    this.#inFlight += 1;
    let held = 0;
    return {
      took: (bytes) => {
        if (this.#bytesInHand + bytes > this.#maxBytesInHand) {
          throw new ServiceError('QUEUE_FULL', 'the bodies of the requests in hand fill the memory; try again shortly');
        }
        this.#bytesInHand += bytes;
        held += bytes;
      },
      leave: () => {
        this.#inFlight -= 1;
        this.#bytesInHand -= held;
      },
    };
  }

  // ── Descriptions: no entry, nothing to prove ──────────────────────────────────────────────────────────────────────

  #describe(request: InnerRequest): InnerResponse {
    const { repository, ticker } = this.#parts;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new ServiceError('REQUEST_METHOD_NOT_ALLOWED', `${request.path}: takes GET`);
    }
    const ready = ticker.committed > 0 && !this.#stopping;
    switch (request.path) {
      case '/v2':
      case '/v2/':
        return answer(200, {
          name: this.#settings.serverName,
          version: this.#settings.serverVersion,
          extensions: ['binary_tensor_data'],
        });
      case '/v2/health/live':
        return answer(200, { live: true });
      case '/v2/health/ready':
        return answer(ready ? 200 : 503, { ready });
    }
    const match = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(\/ready)?$/.exec(request.path);
    if (!match) throw new ServiceError('REQUEST_NOT_FOUND', 'no such route in the Open Inference Protocol v2');
    const model = repository.get(segment(match[1]), match[2] === undefined ? undefined : segment(match[2]));
    if (match[3]) return answer(ready ? 200 : 503, { name: model.name, ready });
    return answer(200, {
      name: model.name,
      versions: model.versions,
      platform: model.platform,
      inputs: model.inputs,
      outputs: model.outputs,
    });
  }

  // ── Inference: every admitted request becomes an entry ────────────────────────────────────────────────────────────

  async #infer(request: InnerRequest, name: string, version: string | undefined): Promise<InnerResponse> {
    if (request.admitted) return this.#inferAdmitted(request, name, version);
    const place = this.admit();
    try {
      return await this.#inferAdmitted({ ...request, body: counted(request.body, place) }, name, version);
    } finally {
      place.leave();
    }
  }

  async #inferAdmitted(request: InnerRequest, name: string, version: string | undefined): Promise<InnerResponse> {
    const { ticker, outbox } = this.#parts;
    if (ticker.committed === 0)
      throw new ServiceError('EVIDENCE_NOT_READY', 'no hardware report yet; try again shortly');
    const release = outbox.reserve();
    try {
      const { maxBodyBytes } = this.#settings;
      const received = await receiveBody(request.body, maxBodyBytes, maxBodyBytes * HASHED_BODY_FACTOR);
      const started = performance.now();
      const outcome = await this.#run(request, received, name, version);
      release();
      return this.#state(request, received, outcome, Math.round((performance.now() - started) * 1000));
    } finally {
      release();
    }
  }

  async #run(
    request: InnerRequest,
    received: ReceivedBody,
    name: string,
    version: string | undefined,
  ): Promise<Outcome> {
    let model: LoadedModel | null = null;
    let requestJsonLength: number | null = null;
    try {
      nonceOf(request);
      mediaTypeOf(request);
      requestJsonLength = jsonLengthOf(request, received.length);
      if (request.header('content-encoding') !== undefined) {
        throw new ServiceError('REQUEST_ENCODING_UNSUPPORTED', 'content-encoding: send the body as it is', {
          field: 'content-encoding',
        });
      }
      if (!received.content) {
        throw new ServiceError(
          'REQUEST_TOO_LARGE',
          `the body has ${received.length} bytes, at most ${this.#settings.maxBodyBytes}`,
          {
            field: 'body',
          },
        );
      }
      model = this.#parts.repository.get(name, version);
      const parsed = parseInferRequest(received.content, requestJsonLength, {
        maxTensorBytes: this.#settings.maxInputBytes,
      });
      if (parsed.modelName !== undefined && parsed.modelName !== model.name) {
        throw new ServiceError('REQUEST_FIELD_INVALID', 'model_name: not the model that the path names', {
          field: 'model_name',
        });
      }
      checkInputs(parsed.inputs, model.inputs);
      checkOutputs(parsed.outputs, model.outputs);
      const wanted =
        parsed.outputs ?? model.outputs.map((output) => ({ name: output.name, binary: parsed.binaryOutput }));
      const { outputs } = await this.#parts.engine.run(
        model,
        parsed.inputs,
        wanted.map((output) => output.name),
        { deadlineMs: this.#settings.deadlineMs, signal: request.signal },
      );
      const binary = new Map(wanted.map((output) => [output.name, output.binary]));
      const encoded = encodeInferResponse({
        modelName: model.name,
        modelVersion: model.version,
        ...(parsed.id === undefined ? {} : { id: parsed.id }),
        outputs,
        binary: (output) => binary.get(output) ?? false,
      });
      return {
        outcome: 'ok',
        model: identity(model),
        requestJsonLength,
        body: encoded.body,
        jsonLength: encoded.jsonLength,
        mediaType: encoded.contentType,
      };
    } catch (error) {
      const refused = asCoded(error, this.#parts.logger);
      return {
        outcome: refused.code,
        model: model && identity(model),
        requestJsonLength,
        body: errorBody(refused),
        jsonLength: null,
        mediaType: MEDIA_TYPE_JSON,
      };
    }
  }

  /** Enters the statement into the log and puts the receipt's parts beside the answer. */
  #state(request: InnerRequest, received: ReceivedBody, result: Outcome, durationUs: number): InnerResponse {
    const { log, session, ticker, logger, now } = this.#parts;
    const receiptId = new Uint8Array(randomBytes(16)) as Bytes<16>;
    const responseSalt = newSalt();
    const responseDigest = saltedSha256(responseSalt, result.body);
    const { index, entry } = log.append('statement', (sequence) =>
      encodeStatement({
        receiptId,
        timeMs: now(),
        nonce: usable(() => nonceOf(request)),
        sessionDigest: sha256(session.claimsBytes),
        sequence,
        operation: 'infer',
        model: result.model,
        requestDigest: received.digest,
        responseDigest,
        requestJsonLength: result.requestJsonLength,
        responseJsonLength: result.jsonLength,
        requestMediaType: usable(() => mediaTypeOf(request)),
        responseMediaType: result.mediaType,
        outcome: result.outcome,
        durationUs,
      }),
    );
    ticker.poke();
    const level = result.outcome === 'ok' ? 'debug' : 'info';
    logger[level]({ code: result.outcome, entry: index, bytes: received.length, durationUs }, 'inference');
    return {
      status: result.outcome === 'ok' ? 200 : httpStatus(result.outcome),
      headers: {
        ...BASE_HEADERS,
        'content-type': result.mediaType,
        ...(result.jsonLength === null ? {} : { [JSON_LENGTH_HEADER]: String(result.jsonLength) }),
        ...(result.outcome === 'ok' ? {} : { [HEADER.errorCode]: result.outcome }),
        [HEADER.receiptId]: hex(receiptId),
        [HEADER.requestSalt]: hex(received.salt),
        [HEADER.responseSalt]: hex(responseSalt),
        [HEADER.statement]: Buffer.from(entry).toString('base64url'),
      },
      body: result.body,
      entry: index,
    };
  }
}

/** What comes of a body, as it comes. */
export async function* counted(body: AsyncIterable<Uint8Array>, place: Place): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of body) {
    place.took(chunk.length);
    yield chunk;
  }
}

const identity = ({ name, version, digest }: LoadedModel): ModelIdentity => ({ name, version, digest });

/** A header that was refused is left out of the statement; the refusal itself is its outcome. */
function usable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof CodedError) return null;
    throw error;
  }
}

function nonceOf(request: InnerRequest): Uint8Array<ArrayBuffer> | null {
  const text = request.header(HEADER.nonce);
  if (text === undefined) return null;
  const nonce = fromHex(text);
  if (!nonce || nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES) {
    throw new ServiceError(
      'NONCE_INVALID',
      `${HEADER.nonce}: want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes in hexadecimal`,
      {
        field: HEADER.nonce,
      },
    );
  }
  return nonce;
}

function mediaTypeOf(request: InnerRequest): string | null {
  const text = request.header('content-type');
  if (text === undefined) return null;
  if (text.length > MAX_MEDIA_TYPE_LENGTH || !/^[\x20-\x7e]*$/.test(text)) {
    throw new ServiceError(
      'REQUEST_HEADER_INVALID',
      `content-type: want at most ${MAX_MEDIA_TYPE_LENGTH} printable characters`,
      {
        field: 'content-type',
      },
    );
  }
  return text;
}

function jsonLengthOf(request: InnerRequest, bodyLength: number): number | null {
  const text = request.header(JSON_LENGTH_HEADER.toLowerCase());
  if (text === undefined) return null;
  if (!/^\d{1,15}$/.test(text) || Number(text) > bodyLength) {
    throw new ServiceError(
      'REQUEST_HEADER_INVALID',
      `${JSON_LENGTH_HEADER}: want the JSON part's length, at most the body's`,
      {
        field: JSON_LENGTH_HEADER,
      },
    );
  }
  return Number(text);
}

function segment(text: string | undefined): string {
  try {
    return decodeURIComponent(text ?? '');
  } catch {
    throw new ServiceError('REQUEST_NOT_FOUND', 'the path is not valid percent-encoding', { field: 'path' });
  }
}

/** Anything unexpected becomes INTERNAL; its message, which could quote a payload, is dropped. */
function asCoded(error: unknown, logger: Logger): CodedError {
  if (error instanceof CodedError) return error;
  logger.error({ name: error instanceof Error ? error.name : typeof error }, 'unexpected error in a request');
  return new ServiceError('INTERNAL', 'internal error');
}

const errorBody = ({ code, message }: Pick<CodedError, 'code' | 'message'>): Uint8Array =>
  Buffer.from(JSON.stringify({ error: message, code }));

/** A refusal that no entry states. */
export function refusalAnswer(error: unknown, logger: Logger): InnerResponse {
  const { code, field, message } = asCoded(error, logger);
  logger.info({ code, field }, 'request refused');
  return {
    status: httpStatus(code),
    headers: {
      ...BASE_HEADERS,
      'content-type': MEDIA_TYPE_JSON,
      [HEADER.errorCode]: code,
      ...(httpStatus(code) === 503 ? { 'retry-after': '1' } : {}),
    },
    body: errorBody({ code, message }),
    entry: null,
  };
}

const answer = (status: number, value: unknown): InnerResponse => ({
  status,
  headers: { ...BASE_HEADERS, 'content-type': MEDIA_TYPE_JSON },
  body: Buffer.from(JSON.stringify(value)),
  entry: null,
});
