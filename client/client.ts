/**
 * The Relying Party's side: verify first, then send, check the answer, keep the receipt.
 *
 * Until sealing exists this client sends requests in the clear, which the host can read; it does so only when the
 * caller says `allowPlaintext: true`.
 */
import {
  type Bytes,
  bytes,
  type Code,
  type CodedError,
  encodeInferRequest,
  encodeReceipt,
  equalBytes,
  fromBase64url,
  fromHex,
  HEADER,
  hex,
  JSON_LENGTH_HEADER,
  parseAttestation,
  parseEntry,
  parseInferResponse,
  parseJsonLength,
  parseReceipt,
  type Statement,
  type Tensor,
} from '@veritee/protocol';
import {
  type AppraisalPolicy,
  type AttestationResult,
  assess,
  type Expected,
  type TrustAnchor,
} from '@veritee/verifier';
import { ClientError, refusal } from './errors.ts';
import { type Answer, type CallOptions, type Fetch, printable, Service, serviceError } from './service.ts';

const NONCE_BYTES = 32;
/** An attestation is asked for again after this time of the client's own monotonic clock. */
const ATTESTED_FOR_MS = 10 * 60_000;

type Affirming<K> = Extract<AttestationResult, { verdict: 'affirming'; kind: K }>;

export interface ClientOptions {
  readonly url: string;
  readonly policy: AppraisalPolicy;
  /** Added to the policy's own anchors. */
  readonly trustAnchors?: readonly TrustAnchor[];
  /** Sends what the host can read. Required until sealing exists. */
  readonly allowPlaintext: true;
  /** The instant certificates are judged at; default: this machine's clock. */
  readonly now?: () => Date;
  readonly fetch?: Fetch;
}

export interface Attested {
  /** The attestation file as received. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly result: Affirming<'attestation'>;
}

/** What the caller alone holds: with these an auditor can open the receipt's commitments. */
export interface PrivateParts {
  readonly requestSalt: Bytes<32>;
  readonly responseSalt: Bytes<32>;
  readonly request: Uint8Array<ArrayBuffer>;
  readonly response: Uint8Array<ArrayBuffer>;
}

export interface KeptReceipt {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** The portable file. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly result: Affirming<'receipt'>;
  /** What a later verification of the same receipt has to agree with. */
  readonly expected: Expected;
  readonly private: PrivateParts;
}

export interface InferOptions extends CallOptions {
  readonly id?: string;
  /** Ask for these outputs only. */
  readonly outputs?: readonly string[];
  /** Binary tensors both ways; default false (JSON). */
  readonly binary?: boolean;
}

export interface InferResult {
  readonly outputs: readonly Tensor[];
  readonly receipt: KeptReceipt;
  readonly attested: Attested;
}

/** One answer with everything that checks it. */
interface Exchange {
  /** The whole COSE message. */
  readonly message: Uint8Array<ArrayBuffer>;
  readonly statement: Statement;
  readonly expected: Expected;
  readonly private: PrivateParts;
  /** What the HTTP status said. */
  readonly ok: boolean;
}

export interface ModelName {
  readonly name: string;
  readonly version?: string;
}

export class VeriteeClient {
  readonly #options: ClientOptions;
  readonly #service: Service;
  #attested: { readonly value: Attested; readonly at: number } | null = null;
  #attesting: Promise<Attested> | null = null;

  constructor(options: ClientOptions) {
    if (options.allowPlaintext !== true) {
      throw new ClientError(
        'PLAINTEXT_NOT_ALLOWED',
        'this release sends requests in the clear: say allowPlaintext: true',
        {
          field: 'allowPlaintext',
        },
      );
    }
    this.#options = options;
    this.#service = new Service(options.url, options.fetch ?? ((url, init) => fetch(url, init)));
  }

  /** Fetches evidence for a fresh nonce and verifies it under the policy. @throws ClientError with the verifier's findings */
  async ready(options: CallOptions = {}): Promise<Attested> {
    const held = this.#attested;
    if (held && performance.now() - held.at < ATTESTED_FOR_MS) return held.value;
    this.#attesting ??= this.#attest(options).finally(() => {
      this.#attesting = null;
    });
    return this.#attesting;
  }

  async #attest(options: CallOptions): Promise<Attested> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const asked = performance.now();
    const response = await this.#service.call(`/attestation?nonce=${hex(nonce)}`, {}, options);
    if (!response.ok) throw serviceError(response);
    const file = response.body;
    const result = await this.#assess(file, 'attestation', this.#options.policy, { nonce });
    if (result.verdict !== 'affirming' || result.kind !== 'attestation') throw refusal('attestation', result);
    const value = { file, result };
    this.#attested = { value, at: asked };
    return value;
  }

  #assess(
    file: Uint8Array,
    kind: 'attestation' | 'receipt',
    policy: AppraisalPolicy,
    expected: Expected,
  ): Promise<AttestationResult> {
    const { trustAnchors = [], now = () => new Date() } = this.#options;
    return assess({ file, kind, policy, at: now(), trustAnchors, expected });
  }

  /** Run a model on tensors. The answer is returned only when its statement is signed by the attested session. */
  async infer(model: ModelName | string, inputs: readonly Tensor[], options: InferOptions = {}): Promise<InferResult> {
    const { binary = false, id, outputs } = options;
    const body = encodeInferRequest({
      inputs,
      binary,
      ...(id === undefined ? {} : { id }),
      ...(outputs ? { outputs: outputs.map((name) => ({ name, binary })) } : {}),
    });
    return this.inferRaw(model, body, options);
  }

  /** The same for a request body made elsewhere; its bytes are sent and committed to exactly as they are. */
  async inferRaw(
    model: ModelName | string,
    request: {
      readonly body: Uint8Array<ArrayBuffer>;
      readonly jsonLength: number | null;
      readonly contentType: string;
    },
    options: CallOptions = {},
  ): Promise<InferResult> {
    const name: ModelName = typeof model === 'string' ? { name: model } : model;
    for (let attempt = 0; ; attempt++) {
      const attested = await this.ready(options);
      const exchange = await this.#send(name, request, options);
      if (!sameSession(exchange, attested) && attempt === 0) {
        this.#attested = null; // the enclave restarted: attest its new session once, then ask once more
        continue;
      }
      const receipt = await this.#sessionSigned(exchange, attested);
      // Outcome and framing come from the signed statement: status and headers are the host's to change.
      const { outcome, responseJsonLength } = exchange.statement;
      if (outcome !== 'ok') throw serviceRefusal(outcome, exchange.private.response);
      if (!exchange.ok) {
        throw new ClientError('SERVICE_ANSWER_INVALID', 'an HTTP error status over an answer that was stated as ok');
      }
      const parsed = parseInferResponse(exchange.private.response, responseJsonLength);
      return { outputs: parsed.outputs, receipt, attested };
    }
  }

  async #send(
    model: ModelName,
    request: {
      readonly body: Uint8Array<ArrayBuffer>;
      readonly jsonLength: number | null;
      readonly contentType: string;
    },
    options: CallOptions,
  ): Promise<Exchange> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const version = model.version === undefined ? '' : `/versions/${encodeURIComponent(model.version)}`;
    const response = await this.#service.call(
      `/v2/models/${encodeURIComponent(model.name)}${version}/infer`,
      {
        method: 'POST',
        body: request.body,
        headers: {
          'content-type': request.contentType,
          [HEADER.nonce]: hex(nonce),
          ...(request.jsonLength === null ? {} : { [JSON_LENGTH_HEADER]: String(request.jsonLength) }),
        },
      },
      options,
    );
    if (!response.headers.has(HEADER.statement)) {
      // Refused before the enclave admitted it: there is no entry to check, only the service's word.
      if (!response.ok) throw serviceError(response);
      throw new ClientError('SERVICE_ANSWER_INVALID', 'an answer without a statement', { field: HEADER.statement });
    }
    const header = (name: string, read: (text: string) => Uint8Array<ArrayBuffer> | null): Uint8Array<ArrayBuffer> => {
      const value = read(response.headers.get(name) ?? '');
      if (!value || value.length === 0)
        throw new ClientError('SERVICE_ANSWER_INVALID', `${name}: malformed`, { field: name });
      return value;
    };
    const kept: PrivateParts = {
      requestSalt: saltOf(header(HEADER.requestSalt, fromHex)),
      responseSalt: saltOf(header(HEADER.responseSalt, fromHex)),
      request: request.body,
      response: response.body,
    };
    const message = header(HEADER.statement, fromBase64url);
    const statement = statementOf(message);
    return {
      message,
      statement,
      expected: {
        nonce,
        request: { body: kept.request, salt: kept.requestSalt, jsonLength: request.jsonLength },
        // What the headers say of the framing is checked too: software that is not this client goes by them.
        response: {
          body: kept.response,
          salt: kept.responseSalt,
          jsonLength: parseJsonLength(response.headers.get(JSON_LENGTH_HEADER)),
        },
        operation: 'infer',
        mediaTypes: { request: request.contentType },
        ...(statement.outcome === 'ok' ? { model } : {}),
      },
      private: kept,
      ok: response.ok,
    };
  }

  /** The receipt as it stands at once: signed by the session that the attestation vouches for. */
  async #sessionSigned(exchange: Exchange, attested: Attested): Promise<KeptReceipt> {
    const { evidence } = parseAttestation(attested.file);
    const file = encodeReceipt({ statement: exchange.message, path: null, evidence: { file: evidence } });
    const policy = { ...this.#options.policy, strength: 'session-signed' } as const;
    const result = await this.#assess(file, 'receipt', policy, exchange.expected);
    if (result.verdict !== 'affirming' || result.kind !== 'receipt') throw refusal('answer', result);
    return {
      id: hex(exchange.statement.receiptId),
      file,
      result,
      expected: exchange.expected,
      private: exchange.private,
    };
  }

  /**
   * Waits until the receipt's statement is under a hardware report.
   * @throws ClientError RECEIPT_NEVER_COMMITTED its boot ended first; RECEIPT_PENDING not in time; SESSION_FORKED the log holds another statement
   */
  async hardwareCommitted(receipt: KeptReceipt, options: CallOptions = {}): Promise<KeptReceipt> {
    const { policy } = this.#options;
    const deadline = performance.now() + (options.timeoutMs ?? policy.maxWaitSeconds * 1000);
    for (;;) {
      const left = Math.max(1, deadline - performance.now());
      const response = await this.#service.call(`/receipts/${receipt.id}`, {}, { ...options, timeoutMs: left + 1000 });
      if (response.status === 200) return this.#committed(receipt, response);
      if (response.status !== 202) throw serviceError(response);
      const retryAfter = response.headers.get('retry-after') ?? '';
      const seconds = /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : 1;
      const pause = Math.min(1000, Math.max(50, seconds * 250));
      if (performance.now() + pause > deadline) {
        throw new ClientError(
          'RECEIPT_PENDING',
          'no hardware report covered the answer in time; fetch the receipt later',
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async #committed(receipt: KeptReceipt, response: Answer): Promise<KeptReceipt> {
    if (response.headers.get(HEADER.receiptStatus) === 'neverCommitted') {
      throw new ClientError('RECEIPT_NEVER_COMMITTED', 'the enclave ended before a hardware report covered the answer');
    }
    const file = response.body;
    if (!equalBytes(parseReceipt(file).statement, parseReceipt(receipt.file).statement)) {
      throw new ClientError('SESSION_FORKED', 'the log holds another statement than the one that was answered', {
        field: 'statement',
      });
    }
    // Asked for by name here, whatever less the policy would take: a 200 is only the host's word.
    const policy = { ...this.#options.policy, strength: 'hardware-committed' } as const;
    const result = await this.#assess(file, 'receipt', policy, receipt.expected);
    if (result.verdict !== 'affirming' || result.kind !== 'receipt') throw refusal('receipt', result);
    return { ...receipt, file, result };
  }
}

function saltOf(value: Uint8Array): Bytes<32> {
  if (value.length !== 32) throw new ClientError('SERVICE_ANSWER_INVALID', 'a salt has 32 bytes', { field: 'salt' });
  return bytes(value, 32, 'salt');
}

function statementOf(raw: Uint8Array): Statement {
  const entry = parseEntry(raw);
  if (entry.kind !== 'statement') {
    throw new ClientError('SERVICE_ANSWER_INVALID', 'the answer carries another kind of entry', {
      field: HEADER.statement,
    });
  }
  return entry.value;
}

const sameSession = (exchange: Exchange, attested: Attested): boolean =>
  equalBytes(exchange.statement.sessionDigest, attested.result.session.digest);

/** A refusal that the enclave itself stated and signed. */
function serviceRefusal(outcome: Code, body: Uint8Array): CodedError {
  try {
    const said: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof said === 'object' && said !== null && 'error' in said && typeof said.error === 'string') {
      return new ClientError(outcome, printable(said.error).slice(0, 500));
    }
  } catch (cause) {
    return new ClientError('SERVICE_ANSWER_INVALID', 'a refusal that is not JSON', { cause });
  }
  return new ClientError('SERVICE_ANSWER_INVALID', 'a refusal without words');
}
