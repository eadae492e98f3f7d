/**
 * A service in this process, as `fetch` sees it: a mini enclave that opens sealed requests and doubles what it is sent,
 * behind a host that the test may have lie. Nothing is listened on, and nothing but the clients' calls moves it.
 */
import { randomBytes } from 'node:crypto';
import { type ClientOptions, type Fetch, type InferInput, VeriteeClient } from '../../client/index.ts';
import {
  base64url,
  bytes,
  type Code,
  CodedError,
  encodeBinaryResponse,
  encodeInferResponse,
  encodeStatement,
  fromHex,
  generateSealingKey,
  HEADER,
  hex,
  httpStatus,
  JSON_LENGTH_HEADER,
  openRequest,
  parseInferRequest,
  parseJsonLength,
  readBinaryRequest,
  type SealingKeyPair,
  ServiceError,
  type Statement,
  saltedDigest,
  sha256,
  tensor,
  tensorValues,
} from '../../protocol/index.ts';
import { type AppraisalPolicy, parsePolicy, type TrustAnchor } from '../../verifier/index.ts';
import { type Answer, AT, anchorsOf, MiniEnclave, MODEL, salt } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';

export const INPUT: InferInput = { name: 'x', shape: [2], data: Float32Array.of(1, 2) };

/** The code that a call is refused with. */
export const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'answered',
    (error: unknown) => (error instanceof CodedError ? error.code : error),
  );

export const policy = (changes: Record<string, unknown> = {}): AppraisalPolicy =>
  parsePolicy(strictPolicy({ strength: 'session-signed', ...changes }));

export interface Inner {
  readonly method: string;
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface InnerAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal | null;
}

type Attesting = NonNullable<Parameters<MiniEnclave['attestation']>[1]>;

export class FakeService {
  enclave = new MiniEnclave();
  /** Oldest first. */
  keys: SealingKeyPair[] = [];
  readonly asked: Asked[] = [];
  /** Requests as the enclave read them. */
  readonly opened: Inner[] = [];
  /** What the host does in place of relaying. */
  host: (asked: Asked, relay: (asked?: Asked) => Promise<Response>) => Promise<Response> = (_, relay) => relay();
  /** What an enclave does that is not the one it should be. */
  statement: (good: Statement) => Statement = (good) => good;
  answer: (good: InnerAnswer) => InnerAnswer | Promise<InnerAnswer> = (good) => good;
  attesting: Attesting = {};
  /** How often a receipt is said to be pending. */
  pending = 0;
  readonly #answers = new Map<string, Answer>();
  readonly #seen = new Set<string>();
  #nextKey = 7;

  static async start(): Promise<FakeService> {
    const service = new FakeService();
    await service.newKey();
    return service;
  }

  async newKey(): Promise<SealingKeyPair> {
    const pair = await generateSealingKey(this.#nextKey++);
    this.keys.push(pair);
    return pair;
  }

  /** The next boot: another session, other keys. */
  async restart(): Promise<void> {
    this.enclave = new MiniEnclave();
    this.keys = [];
    await this.newKey();
  }

  /** The oldest key ends and another takes its place. */
  async rotate(): Promise<void> {
    this.keys.shift()?.erase();
    await this.newKey();
  }

  async anchors(): Promise<TrustAnchor[]> {
    return anchorsOf(await new MiniEnclave().tick());
  }

  async client(options: Partial<ClientOptions> = {}): Promise<VeriteeClient> {
    return new VeriteeClient({
      url: 'http://service',
      policy: policy(),
      trustAnchors: await this.anchors(),
      now: () => AT,
      fetch: this.fetch,
      ...options,
    });
  }

  count(prefix: string): number {
    return this.asked.filter(({ path }) => path.startsWith(prefix)).length;
  }

  readonly fetch: Fetch = async (input, init = {}) => {
    const url = new URL(input);
    const asked: Asked = {
      method: init.method ?? 'GET',
      path: url.pathname + url.search,
      headers: new Headers(init.headers),
      body: new Uint8Array(await new Response(init.body ?? null).arrayBuffer()),
      signal: init.signal ?? null,
    };
    this.asked.push(asked);
    return this.host(asked, (other = asked) => this.#relay(other));
  };

  async #relay(asked: Asked): Promise<Response> {
    const { pathname, searchParams } = new URL(asked.path, 'http://service');
    try {
      if (pathname === '/attestation') return new Response(await this.attestation(searchParams.get('nonce')));
      if (pathname === '/ohttp') return await this.#sealed(asked);
      if (pathname.startsWith('/receipts/')) return await this.#receipt(pathname.slice('/receipts/'.length));
      if (pathname.startsWith('/v2')) {
        const { status, headers, body } = await this.#run({ ...asked, headers: new Map(asked.headers) });
        return new Response(new Uint8Array(body), { status, headers: [...headers] });
      }
      throw new ServiceError('REQUEST_NOT_FOUND', 'no such route');
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return problem(error.code, error.message);
    }
  }

  async attestation(nonce: string | null): Promise<Uint8Array<ArrayBuffer>> {
    const nonces = nonce === null ? [] : [fromHex(nonce) as Uint8Array];
    const configs = this.keys.map(({ config }) => config);
    return (await this.enclave.attestation(nonces, { configs, ...this.attesting })).file;
  }

  async #sealed({ headers, body }: Asked): Promise<Response> {
    const opened = await openRequest(once(body), headers.get('content-type') ?? undefined, {
      keyOf: (keyId) => {
        const pair = this.keys.find((key) => key.keyId === keyId);
        if (pair) return pair;
        throw new ServiceError('SEALING_KEY_UNKNOWN', 'no such key');
      },
      firstUse: (enc) => {
        if (this.#seen.has(hex(enc))) throw new ServiceError('SEALED_REQUEST_REPLAYED', 'seen before');
        this.#seen.add(hex(enc));
      },
      maxBytes: 1 << 24,
    });
    const request = await readBinaryRequest(opened.content);
    const inner = await this.#run({ ...request, body: await whole(request.body) });
    const padToMultipleOf = Number(request.headers.get(HEADER.padding) ?? 1);
    const sealed = await opened.sealResponse(encodeBinaryResponse(inner, { padToMultipleOf }));
    return new Response(sealed.body, { headers: { 'content-type': sealed.mediaType } });
  }

  async #run(request: Inner): Promise<InnerAnswer> {
    this.opened.push(request);
    const infer = /^\/v2\/models\/([^/]+)(?:\/versions\/[^/]+)?\/infer$/.exec(request.path.split('?')[0] as string);
    return this.answer(infer ? await this.#infer(request, infer[1] as string) : describe(request));
  }

  async #infer(request: Inner, name: string): Promise<InnerAnswer> {
    const requestJsonLength = parseJsonLength(request.headers.get(JSON_LENGTH_HEADER.toLowerCase()));
    const ran = doubled(request, requestJsonLength, name);
    const [requestSalt, responseSalt] = [salt(), salt()];
    const requestDigest = await saltedDigest(requestSalt, request.body);
    const responseDigest = await saltedDigest(responseSalt, ran.body);
    // From here to the append in one turn, as in the real one.
    const sequence = this.enclave.log.size;
    const statement = this.statement({
      receiptId: bytes(randomBytes(16), 16, 'id'),
      timeMs: 1_780_000_000_123,
      nonce: fromHex(request.headers.get(HEADER.nonce) ?? ''),
      sessionDigest: sha256(this.enclave.claims),
      sequence,
      operation: 'infer',
      model: ran.outcome === 'ok' ? MODEL : null,
      requestDigest,
      responseDigest,
      requestJsonLength,
      responseJsonLength: ran.jsonLength,
      requestMediaType: request.headers.get('content-type') ?? null,
      responseMediaType: ran.contentType,
      outcome: ran.outcome,
      durationUs: 42,
    });
    this.enclave.append('statement', encodeStatement(statement));
    const entry = this.enclave.log.entries[sequence] as Uint8Array<ArrayBuffer>;
    const answer: Answer = {
      sequence,
      entry,
      statement,
      request: { body: request.body, salt: requestSalt },
      response: { body: ran.body, salt: responseSalt },
    };
    this.#answers.set(hex(statement.receiptId), answer);
    const headers = new Map([
      ['content-type', ran.contentType],
      [HEADER.receiptId, hex(statement.receiptId)],
      [HEADER.requestSalt, hex(requestSalt)],
      [HEADER.responseSalt, hex(responseSalt)],
      [HEADER.statement, base64url(entry)],
    ]);
    if (ran.jsonLength !== null) headers.set(JSON_LENGTH_HEADER.toLowerCase(), String(ran.jsonLength));
    if (ran.outcome !== 'ok') headers.set(HEADER.errorCode, ran.outcome);
    return { status: ran.outcome === 'ok' ? 200 : httpStatus(ran.outcome), headers, body: ran.body };
  }

  answerOf(id: string): Answer {
    return this.#answers.get(id) as Answer;
  }

  async #receipt(id: string): Promise<Response> {
    const answer = this.answerOf(id);
    const pending = this.pending-- > 0;
    const tick = await this.enclave.tick();
    const file = this.enclave.receipt(answer, pending ? { ...tick, size: 0 } : tick);
    return new Response(file, { status: pending ? 202 : 200, headers: pending ? { 'retry-after': '0' } : {} });
  }
}

export const problem = (code: Code, detail = 'refused', status = httpStatus(code)): Response =>
  new Response(JSON.stringify({ type: 'about:blank', status, code, detail }), {
    status,
    headers: { 'content-type': 'application/problem+json', [HEADER.errorCode]: code },
  });

const json = (status: number, value: unknown, headers: Record<string, string> = {}): InnerAnswer => ({
  status,
  headers: new Map(Object.entries({ 'content-type': 'application/json', ...headers })),
  body: new TextEncoder().encode(JSON.stringify(value)),
});

function describe({ method, path }: Inner): InnerAnswer {
  if (path.split('?')[0] === '/v2/models/sample') return json(200, { name: 'sample', versions: ['1'], asked: method });
  return json(404, { error: 'no such route', code: 'REQUEST_NOT_FOUND' }, { [HEADER.errorCode]: 'REQUEST_NOT_FOUND' });
}

interface Ran {
  readonly outcome: 'ok' | Code;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly jsonLength: number | null;
  readonly contentType: string;
}

/** The model: every number twice itself, every text as it is. */
function doubled({ body }: Inner, jsonLength: number | null, name: string): Ran {
  try {
    if (name !== MODEL.name) throw new ServiceError('MODEL_UNKNOWN', 'no such model');
    const { inputs, binaryOutput, id } = parseInferRequest(body, jsonLength);
    const outputs = inputs.map((input) =>
      input.datatype === 'BYTES' || input.datatype === 'BOOL'
        ? { ...input, name: `${input.name}-out` }
        : tensor(
            `${input.name}-out`,
            input.datatype,
            input.shape,
            (tensorValues(input) as Float32Array).map(
              (value) => (typeof value === 'bigint' ? value * 2n : value * 2) as number,
            ),
          ),
    );
    const encoded = encodeInferResponse({
      modelName: MODEL.name,
      modelVersion: MODEL.version,
      ...(id === undefined ? {} : { id }),
      outputs,
      binary: () => binaryOutput,
    });
    return { outcome: 'ok', ...encoded };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const { body: said } = json(0, { error: error.message, code: error.code });
    return { outcome: error.code, body: new Uint8Array(said), jsonLength: null, contentType: 'application/json' };
  }
}

async function* once(body: Uint8Array): AsyncGenerator<Uint8Array> {
  yield body;
}

async function whole(body: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(new Uint8Array(part));
  return new Uint8Array(Buffer.concat(parts));
}
