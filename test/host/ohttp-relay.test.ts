import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Code,
  encodeKeyConfig,
  HEADER,
  httpStatus,
  OHTTP_KEY_PROBLEM,
  OHTTP_MEDIA,
  parseAttestation,
  parseEntry,
  parseKeyConfigList,
  sha256,
} from '@veritee/protocol';
import { request } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeEnclave } from '../support/fake-enclave.ts';
import { random } from '../support/fake-log.ts';
import { hostOf, ready, type TestHost, type TestHostOptions, until } from './support.ts';

async function running(options: TestHostOptions = {}): Promise<{ enclave: FakeEnclave; host: TestHost }> {
  const enclave = await FakeEnclave.start();
  onTestFinished(() => enclave.kill());
  enclave.tick();
  const host = await hostOf(enclave, { allowPlaintext: false, ...options });
  await ready(host);
  return { enclave, host };
}

/** What an opened inference looks like on the link. */
const sealedAnswer = (enclave: FakeEnclave, body: Uint8Array = randomBytes(100)) => {
  const { index } = enclave.statement();
  const headers = { 'content-type': OHTTP_MEDIA.response, [HEADER.boot]: enclave.log.boot };
  return { body, entry: index, headers };
};

const post = (host: TestHost, headers: Record<string, string> = {}, body: Uint8Array = randomBytes(200)) =>
  fetch(`${host.url}/ohttp`, {
    method: 'POST',
    body: body as NonNullable<RequestInit['body']>,
    headers: { 'content-type': OHTTP_MEDIA.request, ...headers },
  });

async function expectProblem(response: Response, code: Code, type = 'about:blank'): Promise<void> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const problem = (await response.json()) as Record<string, unknown>;
  const status = httpStatus(code);
  expect([response.status, problem['status'], problem['code'], problem['type']]).toEqual([status, status, code, type]);
}

const metricsOf = async (host: TestHost): Promise<string> => (await fetch(`${host.url}/metrics`)).text();

describe('bytes', () => {
  test.each([0, 1, 262_144, 262_145, 8 << 20])('%i sealed bytes go in and come back unchanged', async (size) => {
    const { enclave, host } = await running();
    enclave.handler = ({ body }) => sealedAnswer(enclave, body);
    const sent = randomBytes(size);
    const response = await post(host, {}, sent);
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer()).equals(sent)).toBe(true);
  });

  test('only length, media type and boot go to the enclave; only length and media type come back', async () => {
    const { enclave, host } = await running();
    let seen: Record<string, unknown> = {};
    enclave.handler = ({ path, headers }) => {
      seen = { path, ...headers };
      const answer = sealedAnswer(enclave);
      return { ...answer, headers: { ...answer.headers, 'veritee-receipt-id': 'ab'.repeat(16), 'x-inner': '404' } };
    };
    const { headers } = await request(`${host.url}/ohttp?who=me`, {
      method: 'POST',
      body: 'xy',
      headers: {
        'content-type': OHTTP_MEDIA.request,
        'veritee-boot': enclave.log.boot,
        'veritee-nonce': 'ab'.repeat(32),
        accept: 'application/json',
        authorization: 'Bearer secret',
        cookie: 'a=b',
        'x-forwarded-for': '1.2.3.4',
      },
    });
    const { host: _name, connection: _connection, ...forwarded } = seen;
    expect(forwarded).toEqual({
      path: '/ohttp',
      'content-type': OHTTP_MEDIA.request,
      'content-length': '2',
      'veritee-boot': enclave.log.boot,
    });
    const { date: _date, connection: _own, 'keep-alive': _keep, ...returned } = headers;
    expect(returned).toEqual({
      'content-type': OHTTP_MEDIA.response,
      'content-length': '100',
      'cache-control': 'no-store, no-transform',
    });
  });

  test('no byte of an answer leaves before its entry is durable', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => sealedAnswer(enclave, Buffer.from('SEALED'));
    enclave.hold();
    const raw = connect(host.address.port, '127.0.0.1');
    onTestFinished(() => void raw.destroy());
    let received = '';
    raw.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    raw.write(`POST /ohttp HTTP/1.1\r\nhost: x\r\ncontent-type: ${OHTTP_MEDIA.request}\r\ncontent-length: 2\r\n\r\nxy`);
    await until(() => enclave.requests === 1);
    await sleep(100);
    expect(received).toBe('');
    enclave.release();
    await until(() => received.endsWith('SEALED'));
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('an answer whose boot ended before its entry was durable is not relayed', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => sealedAnswer(enclave);
    enclave.hold();
    const answer = post(host);
    await until(() => enclave.requests === 1);
    await sleep(50);
    enclave.holding = false; // for the next boot
    await enclave.reboot();
    const response = await answer;
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(['ENCLAVE_CHANGED', 'ENCLAVE_UNREACHABLE']).toContain(((await response.json()) as { code: unknown }).code);
  });
});

describe('refusals', () => {
  test.each([
    ['GET', {}, 'REQUEST_METHOD_NOT_ALLOWED'],
    ['PUT', {}, 'REQUEST_METHOD_NOT_ALLOWED'],
    ['POST', { 'content-type': '' }, 'REQUEST_MEDIA_TYPE_UNSUPPORTED'],
    ['POST', { 'content-type': 'application/json' }, 'REQUEST_MEDIA_TYPE_UNSUPPORTED'],
    ['POST', { 'content-type': OHTTP_MEDIA.response }, 'REQUEST_MEDIA_TYPE_UNSUPPORTED'],
    ['POST', { 'content-type': OHTTP_MEDIA.request, 'content-encoding': 'gzip' }, 'REQUEST_ENCODING_UNSUPPORTED'],
  ] as const)('%s %j is %s and never reaches the enclave', async (method, headers, code) => {
    const { enclave, host } = await running();
    const body = method === 'GET' ? {} : { body: 'xy' };
    const response = await fetch(`${host.url}/ohttp`, { method, headers, ...body });
    if (code === 'REQUEST_METHOD_NOT_ALLOWED') expect(response.headers.get('allow')).toBe('POST');
    await expectProblem(response, code);
    expect(enclave.requests).toBe(0);
    const metrics = await metricsOf(host);
    expect(metrics).toContain(`veritee_refused_total{route="/ohttp",code="${code}"} 1`);
    expect(metrics).toContain(`veritee_requests_total{route="/ohttp",status="${httpStatus(code)}"} 1`);
  });

  test.each(['/ohttp/', '/ohttpx', '/ohttp-keysx'])('%s is no route', async (path) => {
    const { host } = await running();
    await expectProblem(await fetch(`${host.url}${path}`, { method: 'POST', body: 'x' }), 'REQUEST_NOT_FOUND');
  });

  test('a media type is compared without case or parameters', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => sealedAnswer(enclave);
    for (const type of ['Message/OHTTP-Req', 'message/ohttp-chunked-req; x=y']) {
      expect((await post(host, { 'content-type': type })).status).toBe(200);
    }
  });

  test('a hint at another boot is answered at once, with the problem type of RFC 9458', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => sealedAnswer(enclave);
    for (const hint of ['ab'.repeat(16), 'nonsense']) {
      await expectProblem(await post(host, { [HEADER.boot]: hint }), 'SEALING_KEY_UNKNOWN', OHTTP_KEY_PROBLEM);
    }
    expect(enclave.requests).toBe(0);
    expect((await post(host, { [HEADER.boot]: enclave.log.boot })).status).toBe(200);
  });

  test.each([
    ['SEALING_KEY_UNKNOWN', OHTTP_KEY_PROBLEM],
    ['KEY_NOT_COMMITTED', 'about:blank'],
    ['SEALED_REQUEST_REPLAYED', 'about:blank'],
    ['SEALED_REQUEST_UNREADABLE', 'about:blank'],
    ['QUEUE_FULL', 'about:blank'],
  ] as const)('what the enclave cannot open is a problem with its code: %s', async (code, type) => {
    const { enclave, host } = await running();
    enclave.handler = () => ({
      status: httpStatus(code),
      headers: { [HEADER.errorCode]: code, 'content-type': 'application/json' },
      body: Buffer.from('{"error":"the words of the enclave"}'),
    });
    const response = await post(host);
    expect(response.headers.get('retry-after')).toBe(httpStatus(code) === 503 ? '1' : null);
    await expectProblem(response, code, type);
    expect(await metricsOf(host)).toContain(`veritee_refused_total{route="/ohttp",code="${code}"} 1`);
    enclave.handler = () => sealedAnswer(enclave);
    expect((await post(host)).status).toBe(200);
  });

  test('an answer of the link without a code is not passed on', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => ({ status: 418, body: Buffer.from('something') });
    await expectProblem(await post(host), 'ENCLAVE_UNREACHABLE');
  });

  test('a body that announces itself as too large is not read; the allowance for the seal is', async () => {
    const { enclave, host } = await running({ limits: { maxRequestBytes: 1000 } });
    enclave.handler = () => sealedAnswer(enclave);
    await expectProblem(await post(host, {}, randomBytes(300_000)), 'REQUEST_TOO_LARGE');
    expect(enclave.requests).toBe(0);
    expect((await post(host, {}, randomBytes(1600))).status).toBe(200);
  });

  test('shares the places for requests in hand with the clear route', async () => {
    const { enclave, host } = await running({ limits: { maxInFlight: 2 }, allowPlaintext: true });
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    enclave.handler = async ({ path }) => {
      await gate;
      return path === '/ohttp' ? sealedAnswer(enclave) : enclave.inferred();
    };
    const held = [post(host), fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' })];
    await until(() => enclave.requests === 2);
    await expectProblem(await post(host), 'QUEUE_FULL');
    open();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  });

  test('a stalled upload loses its place at the deadline, and a caller who goes away at once', async () => {
    const { enclave, host } = await running({ limits: { maxInFlight: 1, requestTimeoutMs: 300 } });
    enclave.handler = () => sealedAnswer(enclave);
    const start = () => {
      const raw = connect(host.address.port, '127.0.0.1');
      const head = `POST /ohttp HTTP/1.1\r\nhost: x\r\ncontent-type: ${OHTTP_MEDIA.chunkedRequest}\r\n`;
      raw.write(`${head}content-length: 1000000\r\n\r\nabc`);
      return raw;
    };
    const stalled = start();
    onTestFinished(() => void stalled.destroy());
    let received = '';
    stalled.on('data', (chunk) => {
      received += chunk.toString();
    });
    await until(() => received.includes('DEADLINE_EXCEEDED'));
    expect((await post(host)).status).toBe(200);
    const leaving = start();
    await until(async () => (await metricsOf(host)).includes('veritee_in_flight 1'));
    leaving.destroy();
    await until(async () => (await metricsOf(host)).includes('veritee_in_flight 0'));
    expect((await post(host)).status).toBe(200);
  });
});

describe('keys', () => {
  const config = (keyId: number) => encodeKeyConfig({ keyId, publicKey: random(32) });
  const keyIdsOf = (list: Uint8Array): number[] => parseKeyConfigList(list).map((one) => one[0] as number);
  const PAST = 1_790_000_600;
  const listed = async (host: TestHost): Promise<number[]> => {
    const response = await fetch(`${host.url}/ohttp-keys`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, OHTTP_MEDIA.keys]);
    return keyIdsOf(new Uint8Array(await response.arrayBuffer()));
  };
  const offered = async (host: TestHost, query = ''): Promise<number[]> => {
    const response = await fetch(`${host.url}/attestation${query}`);
    const { keys } = parseAttestation(new Uint8Array(await response.arrayBuffer()));
    return keys.map(({ entry }) => {
      const parsed = parseEntry(entry);
      return parsed.kind === 'key' ? (parsed.value.config[0] as number) : -1;
    });
  };
  const stored = (enclave: FakeEnclave) => until(() => enclave.acknowledged === enclave.frames.length);

  test('none is KEY_NOT_COMMITTED', async () => {
    const { enclave, host } = await running();
    await expectProblem(await fetch(`${host.url}/ohttp-keys`), 'KEY_NOT_COMMITTED');
    enclave.key(config(1)); // not under a report
    await stored(enclave);
    await expectProblem(await fetch(`${host.url}/ohttp-keys`), 'KEY_NOT_COMMITTED');
  });

  test('those past their not-after are left out, the newest comes first', async () => {
    const { enclave, host } = await running();
    for (const [keyId, notAfter] of [
      [254, PAST],
      [255, undefined],
      [0, undefined],
    ] as const) {
      enclave.key(config(keyId), notAfter);
    }
    enclave.tick();
    enclave.key(config(1)); // not under a report
    await stored(enclave);
    expect(await listed(host)).toEqual([0, 255]);
    expect(await offered(host)).toEqual([255, 0]);
  });

  test('an attestation with a nonce offers exactly those its challenges entry names', async () => {
    const { enclave, host } = await running();
    const configs = [7, 8, 9, 10].map(config);
    for (const one of configs) enclave.key(one, PAST); // this host's clock does not decide
    enclave.named = [configs[1], configs[3]].map((one) => sha256(one as Uint8Array));
    expect(await offered(host, `?nonce=${'ab'.repeat(16)}`)).toEqual([8, 10]);
    enclave.named = [];
    expect(await offered(host, `?nonce=${'cd'.repeat(16)}`)).toEqual([]);
  });

  test('without a nonce, a key that the newest challenges entry dropped is left out, a later one is not', async () => {
    const { enclave, host } = await running();
    const configs = [7, 8].map(config);
    for (const one of configs) enclave.key(one);
    enclave.named = [sha256(configs[1] as Uint8Array)];
    await offered(host, `?nonce=${'ab'.repeat(16)}`);
    enclave.key(config(9));
    enclave.tick();
    await stored(enclave);
    expect(await offered(host)).toEqual([8, 9]);
    expect(await listed(host)).toEqual([9, 8]);
  });
});
