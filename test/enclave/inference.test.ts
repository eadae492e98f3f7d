import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Engine, RunOptions } from '../../enclave/engine/engine.ts';
import { Inference, type InferenceSettings } from '../../enclave/inference.ts';
import type { LoadedModel, Repository } from '../../enclave/models/repository.ts';
import type { InnerRequest, InnerResponse } from '../../enclave/request.ts';
import { fromBase64url, fromHex, hex } from '../../protocol/bytes.ts';
import { encodeEndEntry, parseEntry, type Statement } from '../../protocol/entries.ts';
import { type Code, ServiceError } from '../../protocol/errors.ts';
import { HEADER } from '../../protocol/link.ts';
import type { Tensor } from '../../protocol/tensor.ts';
import { makeLog, silent, until } from './parts.ts';

const model = {
  name: 'double',
  version: '3',
  digest: new Uint8Array(32).fill(5),
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
  versions: ['3'],
  platform: 'onnx_onnxv1',
} as unknown as LoadedModel;

const GOOD = '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}';

function make(settings: Partial<InferenceSettings> = {}, backlog = 1000) {
  const parts = makeLog({ maxRecords: backlog, maxBytes: 1 << 24 });
  const ticker = { committed: 1, poked: 0, poke: () => void ticker.poked++ };
  const engine = {
    run: async (_model: unknown, [input]: readonly Tensor[], _outputs: unknown, _options: RunOptions) => ({
      outputs: [{ ...input, name: 'y' }],
      durationUs: 1,
    }),
  };
  const repository = {
    get: (name: string) => {
      if (name !== 'double') throw new ServiceError('MODEL_UNKNOWN', 'no such model', { field: 'model' });
      return model;
    },
  };
  const inference = new Inference(
    {
      ...parts,
      ticker,
      repository: repository as unknown as Repository,
      engine: engine as unknown as Engine,
      logger: silent,
      now: () => 1_700_000_000_500,
    },
    {
      maxBodyBytes: 1000,
      maxInFlight: 2,
      deadlineMs: 1000,
      maxInputBytes: 10_000,
      serverName: 'veritee',
      serverVersion: '0',
      ...settings,
    },
  );
  const send = (
    body: string | AsyncIterable<Uint8Array>,
    headers: Record<string, string> = {},
    path = '/v2/models/double/infer',
  ) => inference.handle(requestOf(body, headers, path));
  return { ...parts, inference, send, ticker, engine };
}

function requestOf(
  body: string | AsyncIterable<Uint8Array>,
  headers: Record<string, string>,
  path: string,
  method = 'POST',
): InnerRequest {
  const bytes = (async function* () {
    if (typeof body === 'string') yield Buffer.from(body);
    else yield* body;
  })();
  return { method, path, header: (name) => headers[name], body: bytes, signal: new AbortController().signal };
}

function statementOf(response: InnerResponse): Statement {
  const entry = parseEntry(fromBase64url(response.headers[HEADER.statement] as string) as Uint8Array);
  if (entry.kind !== 'statement') throw new Error('not a statement');
  expect(entry.sequence).toBe(response.entry);
  return entry.value;
}

const codeOf = (response: InnerResponse): Code => JSON.parse(Buffer.from(response.body).toString()).code;
const commitment = (salt: string | undefined, body: Uint8Array) =>
  createHash('sha256')
    .update(fromHex(salt as string) as Uint8Array)
    .update(body)
    .digest('hex');

describe('inference', () => {
  test('an answer commits to the exact bytes received and sent, under two salts', async () => {
    const { send, session, ticker } = make();
    const nonce = 'ab'.repeat(32);
    const response = await send(GOOD, { [HEADER.nonce]: nonce, 'content-type': 'application/json' });
    expect(response.status).toBe(200);
    const statement = statementOf(response);
    expect(statement).toMatchObject({
      operation: 'infer',
      outcome: 'ok',
      model: { name: 'double', version: '3' },
      requestJsonLength: null,
      responseJsonLength: null,
      requestMediaType: 'application/json',
      responseMediaType: 'application/json',
      timeMs: 1_700_000_000_500,
    });
    expect(hex(statement.nonce as Uint8Array)).toBe(nonce);
    expect(hex(statement.requestDigest)).toBe(commitment(response.headers[HEADER.requestSalt], Buffer.from(GOOD)));
    expect(hex(statement.responseDigest)).toBe(commitment(response.headers[HEADER.responseSalt], response.body));
    expect(response.headers[HEADER.requestSalt]).not.toBe(response.headers[HEADER.responseSalt]);
    expect(hex(statement.sessionDigest)).toBe(createHash('sha256').update(session.claimsBytes).digest('hex'));
    expect(ticker.poked).toBe(1);
  });

  test('the bodies of all requests in hand share the memory for inputs', async () => {
    const { send, inference } = make({ maxBodyBytes: 1 << 20, maxInFlight: 10, maxInputBytes: 5 << 20 });
    let finish = (): void => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow = async function* () {
      yield Buffer.alloc(1_000_000, ' ');
      await held;
      yield Buffer.from(GOOD);
    };
    // Uploads that stay half-way hold what has come of them.
    const waiting = Array.from({ length: 5 }, () => send(slow()));
    await until(() => inference.bytesInHand === 5_000_000, 'all are half-way');
    const refused = await send(' '.repeat(1_000_000));
    expect([refused.status, codeOf(refused), refused.entry]).toEqual([503, 'QUEUE_FULL', null]);
    expect((await send(GOOD)).status).toBe(200);
    finish();
    for (const answer of await Promise.all(waiting)) expect(answer.status).toBe(200);
    expect(inference.bytesInHand).toBe(0);
  });

  test('one request has room for all that is read of it, however little the inputs have', async () => {
    const { send } = make({ maxInputBytes: 1 });
    expect(codeOf(await send(' '.repeat(4000)))).toBe('REQUEST_TOO_LARGE');
  });

  test('a body above the limit is hashed, refused and stated; far above it is cut off without an entry', async () => {
    const { send, log } = make();
    const long = ' '.repeat(3000);
    const stated = await send(long);
    expect(stated.status).toBe(413);
    const statement = statementOf(stated);
    expect(statement).toMatchObject({ outcome: 'REQUEST_TOO_LARGE', model: null });
    expect(hex(statement.requestDigest)).toBe(commitment(stated.headers[HEADER.requestSalt], Buffer.from(long)));
    const size = log.size;
    const cut = await send(' '.repeat(4001));
    expect(cut).toMatchObject({ status: 413, entry: null });
    expect(log.size).toBe(size);
  });

  test.each<[string, Code]>([
    ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
    ['MODEL_RUN_FAILED', 'MODEL_RUN_FAILED'],
    ['REQUEST_CANCELLED', 'REQUEST_CANCELLED'],
  ])('%s from the engine is an answer and an entry with the model named', async (_name, code) => {
    const { send, engine } = make();
    engine.run = async () => {
      throw new ServiceError(code, 'the engine said so');
    };
    const response = await send(GOOD);
    expect(codeOf(response)).toBe(code);
    expect(statementOf(response)).toMatchObject({ outcome: code, model: { name: 'double' } });
  });

  test('a defect answers INTERNAL and its message, which could quote a payload, goes nowhere', async () => {
    const { send, engine } = make();
    engine.run = async () => {
      throw new Error('secret 42');
    };
    const response = await send(GOOD);
    expect(response.status).toBe(500);
    expect(Buffer.from(response.body).toString()).not.toContain('secret');
    expect(statementOf(response).outcome).toBe('INTERNAL');
  });

  test('refuses before admission, without an entry: no evidence yet, too many in hand, backlog full, stopping', async () => {
    const early = make();
    early.ticker.committed = 0;
    expect(codeOf(await early.send(GOOD))).toBe('EVIDENCE_NOT_READY');

    const busy = make({ maxInFlight: 1 });
    let finish: () => void = () => undefined;
    const slow = (async function* () {
      yield Buffer.from(GOOD);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
    })();
    const first = busy.send(slow);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const second = await busy.send(GOOD);
    expect(second).toMatchObject({ status: 503, entry: null });
    expect(second.headers['retry-after']).toBe('1');
    expect(codeOf(second)).toBe('QUEUE_FULL');
    finish();
    expect((await first).status).toBe(200);
    expect((await busy.send(GOOD)).status).toBe(200); // the place is free again

    const behind = make({}, 3);
    for (let i = 0; i < 2; i++) expect((await behind.send(GOOD)).status).toBe(200);
    expect(codeOf(await behind.send(GOOD))).toBe('LOG_BACKLOG_FULL');
    behind.outbox.acknowledge(3);
    expect((await behind.send(GOOD)).status).toBe(200);

    const stopping = make();
    stopping.inference.stop();
    expect(codeOf(await stopping.send(GOOD))).toBe('ENCLAVE_STOPPING');
    for (const { log, size } of [
      { ...early, size: 1 },
      { ...stopping, size: 1 },
    ])
      expect(log.size).toBe(size);
  });

  test('a request that outlasts the stop gets no entry after the end', async () => {
    const { send, engine, log } = make();
    let finish: () => void = () => undefined;
    const { run } = engine;
    engine.run = async (...args) => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return run(...args);
    };
    const late = send(GOOD);
    await new Promise((resolve) => setTimeout(resolve, 5));
    log.append('end', (sequence) => encodeEndEntry({ sequence, issuedAt: 1, reason: 'stopped' }));
    finish();
    const response = await late;
    expect(response).toMatchObject({ status: 503, entry: null });
    expect(codeOf(response)).toBe('ENCLAVE_STOPPING');
  });

  test('a body that breaks off is nobody’s request: no entry', async () => {
    const { send, log } = make();
    const broken = (async function* () {
      yield Buffer.from('{"inputs"');
      throw new Error('aborted');
    })();
    const response = await send(broken);
    expect(codeOf(response)).toBe('REQUEST_TRUNCATED');
    expect(log.size).toBe(1);
  });

  test('model_name in the body has to agree with the path', async () => {
    const { send } = make();
    const response = await send(GOOD.replace('{', '{"model_name":"other",'));
    expect(codeOf(response)).toBe('REQUEST_FIELD_INVALID');
  });

  test.each([
    ['/v2', 200],
    ['/v2/', 200],
    ['/v2/health/live', 200],
    ['/v2/health/ready', 200],
    ['/v2/models/double', 200],
    ['/v2/models/double/versions/3', 200],
    ['/v2/models/double/ready', 200],
    ['/v2/models/nothing', 404],
    ['/v2/models/%zz', 404],
    ['/v2/elsewhere', 404],
  ])('GET %s is %i and no entry', async (path, status) => {
    const { inference, log } = make();
    const response = await inference.handle(requestOf('', {}, path, 'GET'));
    expect(response).toMatchObject({ status, entry: null });
    expect(log.size).toBe(1);
  });

  test('other methods are refused', async () => {
    const { inference } = make();
    const get = await inference.handle(requestOf('', {}, '/v2/models/double/infer', 'GET'));
    const post = await inference.handle(requestOf('', {}, '/v2/models/double', 'POST'));
    expect([get.status, post.status]).toEqual([405, 405]);
  });
});
