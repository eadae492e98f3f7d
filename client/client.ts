/**
 * The Relying Party's side: verify first, then seal, check the answer, keep the receipt.
 *
 * Everything goes sealed to a key of the verified attestation. In the clear, where the host reads it all, a request goes
 * only when the caller says `allowPlaintext: true`; nothing falls back to that by itself.
 */
import {
  type Code,
  CodedError,
  type EncodedBody,
  encodeInferRequest,
  equalBytes,
  HEADER,
  hex,
  JSON_LENGTH_HEADER,
  parseInferResponse,
  type Tensor,
} from '@veritee/protocol';
import { hostError, serviceError, statedRefusal } from './answer-error.ts';
import { Attestations, type Attested } from './attestations.ts';
import { type Call, type CallOptions, DEFAULT_TIMEOUT_MS, withCall } from './call.ts';
import { type Channel, clearChannel, type InnerRequest, sealedChannel } from './channel.ts';
import { ClientError, refusal } from './errors.ts';
import { inferPath, type ModelName, questionOf, readExchange } from './exchange.ts';
import { type FetchInit, innerRequestOf, responseOf } from './fetch.ts';
import type { AnswerOptions, ClientOptions, InferOptions } from './options.ts';
import type { Receipt } from './receipt.ts';
import { type Assess, assessWith, Receipts } from './receipts.ts';
import { type Answer, MAX_FILE_BYTES, Service } from './service.ts';
import { type InferInput, type InferOutput, inputTensor, outputOf } from './tensors.ts';

const NONCE_BYTES = 32;
const MAX_PADDING = 65_536;
const DEFAULT_MAX_ANSWER_BYTES = 256 << 20;

export interface InferResult<Output = InferOutput> {
  readonly outputs: readonly Output[];
  readonly receipt: Receipt;
  readonly attestation: Attested;
}

/** An answer that its statement bears out. */
interface Answered {
  readonly answer: Answer;
  /** Null when the request was no inference, or was refused before it was admitted. */
  readonly receipt: Receipt | null;
  readonly attested: Attested;
}

/** What a new attestation may mend: the enclave restarted, or its key was erased. */
const MENDED_BY_ATTESTING: ReadonlySet<Code> = new Set([
  'SEALING_KEY_UNKNOWN',
  'SEALED_REQUEST_UNREADABLE',
  'KEY_NOT_COMMITTED',
  'ENCLAVE_CHANGED',
  'ENCLAVE_UNREACHABLE',
]);

export class VeriteeClient {
  /**
   * `fetch` for everything under `/v2/`: the same arguments, the same Response, sealed and verified in between. An
   * inference is answered only when its statement bears the exact bytes sent and received.
   * @throws ClientError where fetch has its TypeError; the signal's own reason when the caller aborts
   */
  readonly fetch: (input: string | URL | Request, init?: FetchInit) => Promise<Response>;
  readonly #options: ClientOptions;
  readonly #service: Service;
  readonly #assess: Assess;
  readonly #channel: Channel;
  readonly #attestations: Attestations;
  readonly #receipts: Receipts;

  constructor(options: ClientOptions) {
    const { policy, padding, maxAnswerBytes = DEFAULT_MAX_ANSWER_BYTES } = options;
    if (padding !== undefined && !(Number.isInteger(padding) && padding >= 1 && padding <= MAX_PADDING)) {
      throw new TypeError(`padding: want an integer from 1 to ${MAX_PADDING}`);
    }
    this.#options = options;
    this.#service = new Service(options.url, options.fetch ?? ((url, init) => fetch(url, init)));
    this.#assess = assessWith(options);
    this.#channel =
      options.allowPlaintext === true
        ? clearChannel(this.#service, { maxAnswerBytes })
        : sealedChannel(this.#service, { maxAnswerBytes, padding });
    this.#attestations = new Attestations((call) => this.#attest(call));
    this.#receipts = new Receipts(this.#service, policy, this.#assess);
    this.fetch = (input, init = {}) => this.#fetch(input, init);
  }

  /**
   * Fetches evidence for a fresh nonce and verifies it under the policy, unless that was done a moment ago.
   * @throws ClientError with the verifier's findings; SEALING_KEY_MISSING
   */
  async ready(options: CallOptions = {}): Promise<Attested> {
    return withCall(options, (call) => this.#attestations.current(call));
  }

  async #attest(call: Call): Promise<Attested> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const answer = await this.#service.call(`/attestation?nonce=${hex(nonce)}`, {}, call, MAX_FILE_BYTES);
    if (!answer.ok) throw hostError(answer);
    const file = answer.body;
    const result = await call.wait(this.#assess(file, 'attestation', this.#options.policy, { nonce }));
    if (result.verdict !== 'affirming' || result.kind !== 'attestation') throw refusal('attestation', result);
    if (this.#options.allowPlaintext === true) return { file, result, sealingKey: null };
    const [newest] = [...result.sealingKeys].sort((a, b) => b.sequence - a.sequence);
    if (!newest) {
      throw new ClientError('SEALING_KEY_MISSING', 'the service is attested, but offers no key to seal a request to');
    }
    return { file, result, sealingKey: newest };
  }

  /** Runs a model. The answer is returned only when its statement is signed by the attested session. */
  async infer(
    model: ModelName | string,
    inputs: readonly InferInput[],
    options: InferOptions = {},
  ): Promise<InferResult> {
    const { binary = false, id, outputs } = options;
    const body = encodeInferRequest({
      inputs: inputs.map(inputTensor),
      binary,
      ...(id === undefined ? {} : { id }),
      ...(outputs ? { outputs: outputs.map((name) => ({ name, binary })) } : {}),
    });
    const result = await this.inferRaw(model, body, options);
    return { ...result, outputs: result.outputs.map(outputOf) };
  }

  /** The same for a request body made elsewhere; its bytes are sent and committed to exactly as they are. */
  async inferRaw(
    model: ModelName | string,
    { body, jsonLength, contentType }: Omit<EncodedBody, 'contentType'> & { readonly contentType: string },
    options: AnswerOptions = {},
  ): Promise<InferResult<Tensor>> {
    const headers = new Map([['content-type', contentType]]);
    if (jsonLength !== null) headers.set(JSON_LENGTH_HEADER.toLowerCase(), String(jsonLength));
    const path = inferPath(typeof model === 'string' ? { name: model } : model);
    return this.#call(options, async (call) => {
      const { answer, receipt, attested } = await this.#ask({ method: 'POST', path, headers, body }, options, call);
      if (!receipt) throw serviceError(answer);
      // Outcome and framing come from the signed statement: status and headers may be the host's to change.
      const { outcome, responseJsonLength } = receipt.result.statement;
      if (outcome !== 'ok') throw statedRefusal(outcome, answer.body);
      if (!answer.ok) throw contradicted();
      return { outputs: parseInferResponse(answer.body, responseJsonLength).outputs, receipt, attestation: attested };
    });
  }

  async #fetch(input: string | URL | Request, init: FetchInit): Promise<Response> {
    const { timeoutMs, waitFor, onReceipt, ...standard } = init;
    const signal = standard.signal ?? (input instanceof Request ? input.signal : undefined);
    const options: AnswerOptions = {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(waitFor && { waitFor }),
      ...(onReceipt && { onReceipt }),
      ...(signal && { signal }),
    };
    try {
      return await this.#call(options, async (call) => {
        const request = await call.wait(innerRequestOf(this.#service.base, input, standard));
        const { answer, receipt } = await this.#ask(request, options, call);
        if (receipt && answer.ok !== (receipt.result.statement.outcome === 'ok')) throw contradicted();
        return responseOf(request, answer);
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error;
    }
  }

  /** Where the caller sets no limit of its own, a wait for hardware has time of its own. */
  #call<T>(options: AnswerOptions, run: (call: Call) => Promise<T>): Promise<T> {
    const waitMs = this.#waitsForHardware(options) ? this.#options.policy.maxWaitSeconds * 1000 : 0;
    return withCall({ timeoutMs: DEFAULT_TIMEOUT_MS + waitMs, ...options }, run);
  }

  #waitsForHardware({ waitFor }: AnswerOptions): boolean {
    return waitFor === 'hardware' || this.#options.policy.strength === 'hardware-committed';
  }

  async #ask(request: InnerRequest, options: AnswerOptions, call: Call): Promise<Answered> {
    const answered = await this.#askAttested(request, call);
    const signed = answered.receipt;
    if (!signed) return answered;
    const withinMs = Math.min(call.leftMs, this.#options.policy.maxWaitSeconds * 1000);
    const receipt = this.#waitsForHardware(options)
      ? await this.#receipts.hardwareCommitted(signed, call, withinMs)
      : signed;
    const { onReceipt = this.#options.onReceipt } = options;
    if (onReceipt) await call.wait(Promise.resolve(onReceipt(receipt)));
    return { ...answered, receipt };
  }

  /** Attests anew and asks again where that may help, once. */
  async #askAttested(request: InnerRequest, call: Call): Promise<Answered> {
    for (let attempt = 0; ; attempt++) {
      const attested = await this.#attestations.current(call);
      try {
        return await this.#send(withNonce(request), attested, call);
      } catch (error) {
        if (attempt > 0 || !(error instanceof CodedError) || !MENDED_BY_ATTESTING.has(error.code)) throw error;
        this.#attestations.drop(attested);
      }
    }
  }

  async #send(request: InnerRequest, attested: Attested, call: Call): Promise<Answered> {
    const question = questionOf(request);
    const answer = await this.#channel(request, attested, call);
    if (!question && answer.headers.has(HEADER.statement)) {
      throw new ClientError('SERVICE_ANSWER_INVALID', 'a statement about what was no inference', {
        field: HEADER.statement,
      });
    }
    const exchange = question && readExchange(question, answer);
    if (!exchange) return { answer, receipt: null, attested };
    if (!equalBytes(exchange.statement.sessionDigest, attested.result.session.digest)) {
      throw new ClientError('ENCLAVE_CHANGED', 'the answer comes from another session than the attested one');
    }
    return { answer, receipt: await call.wait(this.#receipts.sessionSigned(exchange, attested)), attested };
  }
}

const contradicted = (): ClientError =>
  new ClientError('SERVICE_ANSWER_INVALID', 'the HTTP status contradicts the signed outcome', { field: 'status' });

/** With a fresh nonce for every sending, unless the caller brings one. */
function withNonce(request: InnerRequest): InnerRequest {
  if (request.headers.has(HEADER.nonce)) return request;
  const nonce = hex(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)));
  return { ...request, headers: new Map([...request.headers, [HEADER.nonce, nonce]]) };
}
