import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as nodeRequest } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Inference } from '../../enclave/inference.ts';
import type { InnerRequest, InnerResponse } from '../../enclave/request.ts';
import { monotonicClock } from '../../enclave/sealing/clock.ts';
import { SealingKeys } from '../../enclave/sealing/keys.ts';
import { createEnclaveServer } from '../../enclave/server.ts';
import {
  type BinaryRequest,
  encodeBinaryRequest,
  FRAME,
  HEADER,
  OHTTP_MEDIA,
  parseBinaryResponse,
  parseEntry,
  ServiceError,
  sealRequest,
} from '../../protocol/index.ts';
import { framesOf, makeLog, silent, until } from './parts.ts';

const BOOT = 'ab'.repeat(16);
const GOOD: BinaryRequest = {
  method: 'POST',
  path: '/v2/x?y=z',
  headers: new Map([['a', 'b']]),
  body: Buffer.from('hi'),
};
const ok = (entry: number | null): InnerResponse => ({
  status: 200,
  headers: { 'X-Y': 'z' },
  body: Buffer.from('yes'),
  entry,
});

/** The enclave's door over an inference of the test's own. */
async function make(handle: (request: InnerRequest) => Promise<InnerResponse>, places = 1) {
  const parts = makeLog();
  const keys = new SealingKeys({
    ...parts,
    clock: monotonicClock,
    now: Date.now,
    onEntered: () => undefined,
    logger: silent,
  });
  await keys.start();
  keys.covered(parts.log.size);
  const inference = {
    inHand: 0,
    bytes: 0,
    most: Number.POSITIVE_INFINITY,
    admit: () => {
      if (inference.inHand >= places) throw new ServiceError('QUEUE_FULL', 'full');
      inference.inHand += 1;
      return {
        took: (bytes: number) => {
          inference.bytes += bytes;
          if (inference.bytes > inference.most) throw new ServiceError('QUEUE_FULL', 'no room');
        },
        leave: () => void inference.inHand--,
      };
    },
    handle,
  };
  const server = createEnclaveServer({
    ...parts,
    keys,
    inference: inference as unknown as Inference,
    maxBodyBytes: 1000,
    allowPlaintext: false,
    endorsements: null,
    onChallenge: () => undefined,
    onEndorsed: () => undefined,
    hello: () => ({ boot: BOOT, acknowledged: 0, warning: null }),
    status: () => {
      throw new Error('not asked');
    },
    logger: silent,
  });
  const socketPath = join(tmpdir(), `veritee-door-${randomBytes(8).toString('hex')}.sock`);
  server.listen(socketPath);
  await once(server, 'listening');
  onTestFinished(() => {
    keys.stop();
    server.closeAllConnections();
    server.close();
  });
  const entry = (await framesOf(parts.outbox))
    .filter(({ type }) => type === FRAME.entry)
    .map(({ body }) => parseEntry(body))
    .find(({ kind }) => kind === 'key');
  if (entry?.kind !== 'key') throw new Error('no key entry');
  const { config } = entry.value;
  const post = (body: Uint8Array, headers: Record<string, string> = {}, method = 'POST') =>
    exchange(socketPath, method, { 'content-type': OHTTP_MEDIA.request, ...headers }, body);
  const ask = async (request: BinaryRequest = GOOD) => {
    const sealed = await sealRequest(config, encodeBinaryRequest(request));
    const outer = await post(sealed.body);
    expect(outer.status).toBe(200);
    const opened = await sealed.openResponse(outer.body, outer.headers['content-type'] as string);
    return { outer, inner: parseBinaryResponse(opened) };
  };
  return { inference, config, socketPath, post, ask, keys, outbox: parts.outbox };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
}

function exchange(
  socketPath: string,
  method: string,
  headers: Record<string, string>,
  body: Uint8Array,
  path = '/ohttp',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = nodeRequest({
      socketPath,
      path,
      method,
      headers: { ...headers, 'content-length': body.length },
    });
    req.once('error', reject);
    req.once('response', async (res) => {
      const chunks: Buffer[] = [];
      for await (const chunk of res) chunks.push(chunk as Buffer);
      if (!req.writableFinished) await once(req, 'finish');
      resolve({ status: res.statusCode ?? 0, headers: res.headers, body: new Uint8Array(Buffer.concat(chunks)) });
    });
    req.end(body);
  });
}

const codeOf = ({ headers }: Answer): unknown => headers[HEADER.errorCode];

describe('what is inside', () => {
  test('reaches the handlers as it was sealed, without the query, and takes one place', async () => {
    const seen: unknown[] = [];
    const { ask, inference } = await make(async (request) => {
      const body: Buffer[] = [];
      for await (const chunk of request.body) body.push(Buffer.from(chunk));
      seen.push(request.method, request.path, request.header('a'), Buffer.concat(body).toString());
      seen.push(request.admitted, inference.inHand);
      return ok(7);
    });
    const { outer, inner } = await ask();
    expect(seen).toEqual(['POST', '/v2/x', 'b', 'hi', true, 1]);
    expect([inner.status, inner.headers.get('x-y'), Buffer.from(inner.body).toString()]).toEqual([200, 'z', 'yes']);
    expect([outer.headers[HEADER.entry], outer.headers[HEADER.boot]]).toEqual(['7', BOOT]);
    expect(inference.inHand).toBe(0);
  });

  test('an answer without an entry names none', async () => {
    const { ask } = await make(async () => ok(null));
    const { outer } = await ask();
    expect([outer.headers[HEADER.entry], outer.headers[HEADER.boot]]).toEqual([undefined, undefined]);
  });

  test('a failure of ours is INTERNAL inside the seal, without its words', async () => {
    const { ask, inference } = await make(async () => {
      throw new Error('the prompt was: secret');
    });
    const { inner } = await ask();
    expect([inner.status, inner.headers.get(HEADER.errorCode)]).toEqual([500, 'INTERNAL']);
    expect(Buffer.from(inner.body).toString()).not.toContain('secret');
    expect(inference.inHand).toBe(0);
  });

  test('what is no Binary HTTP is a refusal inside the seal', async () => {
    const { config, post } = await make(async () => ok(null));
    const sealed = await sealRequest(config, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    const outer = await post(sealed.body);
    expect([outer.status, codeOf(outer)]).toEqual([200, undefined]);
    const inner = parseBinaryResponse(await sealed.openResponse(outer.body, OHTTP_MEDIA.response));
    expect([inner.status, inner.headers.get(HEADER.errorCode)]).toEqual([400, 'SEALED_REQUEST_MALFORMED']);
  });
});

test('a caller who goes away cancels the work and frees the place', async () => {
  let signal: AbortSignal | undefined;
  const { config, socketPath, inference } = await make(
    (request) =>
      new Promise((resolve) => {
        signal = request.signal;
        request.signal.addEventListener('abort', () => resolve(ok(null)));
      }),
  );
  const { body, mediaType } = await sealRequest(config, encodeBinaryRequest(GOOD));
  const socket = createConnection(socketPath);
  const head = `POST /ohttp HTTP/1.1\r\nhost: x\r\ncontent-type: ${mediaType}\r\ncontent-length: ${body.length}\r\n\r\n`;
  socket.write(head);
  socket.write(body);
  await until(() => signal !== undefined, 'the work has begun');
  expect([signal?.aborted, inference.inHand]).toEqual([false, 1]);
  socket.destroy();
  await until(() => signal?.aborted === true && inference.inHand === 0, 'the work is cancelled');
});

describe('refused by the enclave itself, whatever its host lets through', () => {
  test.each([
    ['another method', 'PUT', {}, 405, 'REQUEST_METHOD_NOT_ALLOWED'],
    ['a content encoding', 'POST', { 'content-encoding': 'gzip' }, 415, 'REQUEST_ENCODING_UNSUPPORTED'],
    ['another media type', 'POST', { 'content-type': 'text/plain' }, 415, 'REQUEST_MEDIA_TYPE_UNSUPPORTED'],
    ['another boot', 'POST', { [HEADER.boot]: 'cd'.repeat(16) }, 400, 'SEALING_KEY_UNKNOWN'],
  ])('%s', async (_what, method, headers: Record<string, string>, status, code) => {
    const { config, post, inference } = await make(async () => ok(null));
    const { body } = await sealRequest(config, encodeBinaryRequest(GOOD));
    const refused = await post(body, headers, method);
    expect([refused.status, codeOf(refused)]).toEqual([status, code]);
    expect(inference.inHand).toBe(0);
    expect((await post(body)).status).toBe(200); // it was not used up
  });

  test('more than it has places for', async () => {
    const { config, post } = await make(async () => ok(null), 0);
    const { body } = await sealRequest(config, encodeBinaryRequest(GOOD));
    const refused = await post(body);
    expect([refused.status, codeOf(refused)]).toEqual([503, 'QUEUE_FULL']);
  });

  test.each([false, true])('more bytes than it has room for, before they are held (chunked: %s)', async (chunked) => {
    const { config, post, inference } = await make(async (request) => {
      for await (const _chunk of request.body);
      return ok(null);
    });
    inference.most = 400;
    const content = encodeBinaryRequest({ ...GOOD, body: new Uint8Array(800) });
    const sealed = await sealRequest(config, content, { chunked });
    const refused = await post(sealed.body, { 'content-type': sealed.mediaType });
    expect([refused.status, codeOf(refused)]).toEqual([503, 'QUEUE_FULL']);
    expect([inference.inHand, inference.bytes]).toEqual([0, sealed.body.length]);
    inference.most = 1e6;
    expect((await post(sealed.body, { 'content-type': sealed.mediaType })).status).toBe(200); // it was not used up
  });

  test('a refusal of a long upload is read by who sent it, and the connection goes on', async () => {
    const { post } = await make(async () => ok(null));
    for (let i = 0; i < 3; i++) {
      const refused = await post(randomBytes(8 << 20), { [HEADER.boot]: 'cd'.repeat(16) });
      expect([refused.status, codeOf(refused)]).toEqual([400, 'SEALING_KEY_UNKNOWN']);
    }
  });
});

describe('the target is taken as it stands', () => {
  // A host passes on what lies under /v2, and nobody's detour may lead from there to what is the host's alone.
  test.each([
    ['GET', '/v2/../link/hello'],
    ['POST', '/v2/x/../../link/ack?position=1'],
    ['GET', '/v2/%2e%2e/link/records?from=0'],
    ['GET', '/v2\\..\\link\\hello'],
    ['POST', '/v2/../ohttp'],
    ['GET', '//link/link/hello'],
  ])('%s %s', async (method, path) => {
    const { socketPath, outbox } = await make(async () => ok(null));
    const before = outbox.acknowledged;
    const answer = await exchange(socketPath, method, {}, new Uint8Array(0), path);
    expect([answer.status, codeOf(answer)]).toEqual([403, 'PLAINTEXT_NOT_ALLOWED']);
    expect(outbox.acknowledged).toBe(before);
  });
});
