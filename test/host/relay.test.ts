import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADER } from '@veritee/protocol';
import { Agent, request } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeEnclave } from '../support/fake-enclave.ts';
import { random } from '../support/fake-log.ts';
import { hostOf, openStore, ready, type TestHost, type TestHostOptions, until } from './support.ts';

const INFER = '/v2/models/fake/infer';

async function running(options: TestHostOptions = {}): Promise<{ enclave: FakeEnclave; host: TestHost }> {
  const enclave = await FakeEnclave.start();
  onTestFinished(() => enclave.kill());
  enclave.tick();
  const host = await hostOf(enclave, options);
  await ready(host);
  return { enclave, host };
}

const post = (host: TestHost, body: NonNullable<RequestInit['body']> = '{}', init: RequestInit = {}) =>
  fetch(`${host.url}${INFER}`, { method: 'POST', body, headers: { 'content-type': 'application/json' }, ...init });

const codeOf = async (response: Response): Promise<[number, unknown]> => [
  response.status,
  ((await response.json()) as { code?: unknown }).code,
];

describe('bytes', () => {
  const sizes = [0, 1, 2, 1023, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1 << 20, (8 << 20) - 1, 8 << 20];
  test.each(sizes)('a body of %i bytes arrives and returns unchanged', async (size) => {
    const { enclave, host } = await running();
    enclave.handler = ({ body }) => enclave.inferred(body);
    const sent = randomBytes(size);
    const response = await post(host, sent, { headers: { 'content-type': 'application/octet-stream' } });
    expect(response.status).toBe(200);
    const got = Buffer.from(await response.arrayBuffer());
    expect(got.length).toBe(size);
    expect(got.equals(sent)).toBe(true);
    expect(response.headers.get('content-length')).toBe(String(size));
  });

  test.each([0, 10, 300_000, 3_000_000])('a chunked body of %i bytes arrives unchanged', async (size) => {
    const { enclave, host } = await running();
    enclave.handler = ({ body }) => enclave.inferred(createHash('sha256').update(body).digest());
    const sent = randomBytes(size);
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < size; at += 70_001) controller.enqueue(new Uint8Array(sent.subarray(at, at + 70_001)));
        controller.close();
      },
    });
    const response = await post(host, stream, { duplex: 'half' } as RequestInit);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(createHash('sha256').update(sent).digest());
  });

  test('passes a content encoding on with its bytes as they are', async () => {
    const { enclave, host } = await running();
    let seen: unknown;
    enclave.handler = ({ headers, body }) => {
      seen = [headers['content-encoding'], body.length];
      return { status: 415, headers: { [HEADER.errorCode]: 'REQUEST_ENCODING_UNSUPPORTED' } };
    };
    const response = await post(host, randomBytes(77), { headers: { 'content-encoding': 'gzip' } });
    expect([response.status, seen]).toEqual([415, ['gzip', 77]]);
  });

  test('forwards what the enclave needs and nothing else', async () => {
    const { enclave, host } = await running();
    let seen: Record<string, unknown> = {};
    let path = '';
    enclave.handler = (incoming) => {
      seen = { ...incoming.headers };
      path = incoming.path;
      return enclave.inferred();
    };
    await request(`${host.url}${INFER}?a=%2F..%2f&b=%zz`, {
      method: 'POST',
      body: 'xy',
      headers: {
        'content-type': 'application/octet-stream',
        'inference-header-content-length': '1',
        accept: 'application/octet-stream',
        'accept-encoding': 'gzip',
        'veritee-nonce': 'ab'.repeat(8),
        'veritee-entry': '0',
        authorization: 'Bearer secret',
        cookie: 'a=b',
        'x-forwarded-for': '1.2.3.4',
        te: 'trailers',
      },
    });
    expect(path).toBe(`${INFER}?a=%2F..%2f&b=%zz`);
    const { host: _name, connection: _connection, ...forwarded } = seen;
    expect(forwarded).toEqual({
      'content-type': 'application/octet-stream',
      'content-length': '2',
      'inference-header-content-length': '1',
      accept: 'application/octet-stream',
      'veritee-nonce': 'ab'.repeat(8),
    });
  });

  test('relays status and headers, keeps the link to itself', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => {
      const answer = enclave.inferred();
      const headers = {
        ...answer.headers,
        'inference-header-content-length': '7',
        [HEADER.requestSalt]: 'cd'.repeat(32),
        connection: 'keep-alive, x-hop',
        'x-hop': '1',
        'keep-alive': 'timeout=9',
        'proxy-authenticate': 'Basic',
      };
      return { ...answer, status: 404, headers };
    };
    const response = await post(host);
    expect(response.status).toBe(404);
    expect(response.headers.get('inference-header-content-length')).toBe('7');
    expect(response.headers.get(HEADER.requestSalt)).toBe('cd'.repeat(32));
    expect(response.headers.get(HEADER.receiptId)).toMatch(/^[0-9a-f]{32}$/);
    expect(response.headers.get('cache-control')).toBe('no-store, no-transform');
    for (const name of [HEADER.entry, 'x-hop', 'proxy-authenticate', 'x-powered-by', 'etag']) {
      expect([name, response.headers.get(name)]).toEqual([name, null]);
    }
  });

  test('answers HEAD and GET', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => ({ body: Buffer.from('{"live":true}'), headers: { 'content-type': 'application/json' } });
    const got = await fetch(`${host.url}/v2/health/live`);
    expect(await got.json()).toEqual({ live: true });
    const head = await fetch(`${host.url}/v2`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });
});

describe('durability', () => {
  test('no byte of an answer leaves before its entry is durable', async () => {
    const { enclave, host } = await running();
    enclave.hold();
    const raw = connect(host.address.port, '127.0.0.1');
    onTestFinished(() => void raw.destroy());
    const received: Buffer[] = [];
    raw.on('data', (chunk) => received.push(chunk));
    raw.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}`);
    await until(() => enclave.requests === 1);
    await sleep(200);
    expect(Buffer.concat(received).toString()).toBe('');
    enclave.release();
    await until(() => Buffer.concat(received).includes('{"outputs":[]}'));
    expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('whoever was answered can fetch the receipt', async () => {
    const { enclave, host } = await running();
    const fetched = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const response = await post(host);
        const id = response.headers.get(HEADER.receiptId);
        return [response.status, (await fetch(`${host.url}/receipts/${id}`)).status];
      }),
    );
    expect(fetched).toEqual(Array.from({ length: 60 }, () => [200, 202]));
    enclave.tick();
  });

  test('an answer whose boot ended before its entry was durable is not relayed', async () => {
    const { enclave, host } = await running();
    enclave.hold();
    const answer = post(host);
    await until(() => enclave.requests === 1);
    await sleep(50);
    enclave.holding = false; // for the next boot
    await enclave.reboot();
    const [status, code] = await codeOf(await answer);
    expect(status).toBe(503);
    expect(['ENCLAVE_CHANGED', 'ENCLAVE_UNREACHABLE']).toContain(code);
  });

  test('an answer of a boot the link has not met is not taken for one of the boot before', async () => {
    const { enclave, host } = await running();
    for (let i = 0; i < 5; i++) enclave.statement();
    await until(() => enclave.acknowledged === enclave.frames.length);
    // Index 1 of the stored boot is durable; the receipt id belongs to no stored entry.
    enclave.handler = () => ({
      entry: 1,
      body: Buffer.from('{}'),
      headers: { [HEADER.receiptId]: Buffer.from(random(16)).toString('hex') },
    });
    expect(await codeOf(await post(host))).toEqual([503, 'ENCLAVE_CHANGED']);
  });

  test('an answer that names a boot waits until the link has met it', async () => {
    const { enclave, host } = await running();
    const { boot } = enclave.log;
    enclave.handler = () => ({ ...enclave.inferred(), headers: { [HEADER.boot]: boot } });
    expect((await post(host)).status).toBe(200);
    enclave.handler = () => ({ ...enclave.inferred(), headers: { [HEADER.boot]: 'ab'.repeat(16) } });
    const answer = post(host);
    await until(() => enclave.requests === 2);
    await enclave.reboot(); // a boot, but not the one the answer named
    const [status, code] = await codeOf(await answer);
    expect(status).toBe(503);
    expect(['ENCLAVE_CHANGED', 'ENCLAVE_UNREACHABLE']).toContain(code);
  });

  test('an answer whose entry cannot be stored is not relayed', async () => {
    const store = openStore();
    const { enclave, host } = await running({ store });
    store.setMaxBytes(1);
    enclave.handler = () => {
      for (let i = 0; i < 200; i++) enclave.statement();
      return enclave.inferred();
    };
    const refused = await post(host);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get(HEADER.receiptId)).toBeNull();
    expect(await codeOf(refused)).toEqual([503, 'STORE_FULL']);
    store.setMaxBytes(null);
    await ready(host);
    enclave.handler = () => enclave.inferred();
    expect((await post(host)).status).toBe(200);
  });

  test('takes no work before the boot has evidence to give a receipt with', async () => {
    const enclave = await FakeEnclave.start();
    onTestFinished(() => enclave.kill());
    const host = await hostOf(enclave);
    await until(() => enclave.acknowledged === 1);
    const refused = await post(host);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await codeOf(refused)).toEqual([503, 'EVIDENCE_NOT_READY']);
    expect(enclave.requests).toBe(0);
    enclave.tick();
    await ready(host);
    expect((await post(host)).status).toBe(200);
  });
});

describe('limits', () => {
  test('refuses plaintext unless it was allowed', async () => {
    const { enclave, host } = await running({ allowPlaintext: false });
    for (const [method, path] of [
      ['POST', INFER],
      ['GET', '/v2'],
      ['GET', '/v2/health/live'],
    ]) {
      const response = await fetch(`${host.url}${path}`, { method: method as string });
      expect(response.headers.get(HEADER.errorCode)).toBe('PLAINTEXT_NOT_ALLOWED');
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(response.status).toBe(403);
      expect(await response.json()).toEqual({
        error: expect.stringContaining('--allow-plaintext'),
        code: 'PLAINTEXT_NOT_ALLOWED',
      });
    }
    expect(enclave.requests).toBe(0);
  });

  test('refuses a body that announces itself as too large, without reading it', async () => {
    const { enclave, host } = await running({ limits: { maxRequestBytes: 1000 } });
    const raw = connect(host.address.port, '127.0.0.1');
    onTestFinished(() => void raw.destroy());
    let received = '';
    raw.on('data', (chunk) => {
      received += chunk.toString();
    });
    raw.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n`);
    await until(() => received.includes('REQUEST_TOO_LARGE'));
    expect(received).toMatch(/^HTTP\/1\.1 413 /);
    expect(enclave.requests).toBe(0);
    expect((await post(host, randomBytes(1000))).status).toBe(200);
    expect(await codeOf(await post(host, randomBytes(1001)))).toEqual([413, 'REQUEST_TOO_LARGE']);
  });

  test('cuts a stream off that grows too large', async () => {
    const { host } = await running({ limits: { maxRequestBytes: 100_000 } });
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(20_000));
      },
    });
    const response = await post(host, stream, { duplex: 'half' } as RequestInit).catch((error: Error) => error);
    // The sender may meet the closed connection before it reads the answer.
    if (response instanceof Response) expect(await codeOf(response)).toEqual([413, 'REQUEST_TOO_LARGE']);
    await until(async () =>
      (await (await fetch(`${host.url}/metrics`)).text()).includes('code="REQUEST_TOO_LARGE"} 1'),
    );
    expect((await post(host)).status).toBe(200);
  });

  test('answers 503 with Retry-After beyond the requests it takes at once, and takes more afterwards', async () => {
    const { enclave, host } = await running({ limits: { maxInFlight: 3 } });
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    enclave.handler = async () => {
      await gate;
      return enclave.inferred();
    };
    const held = Array.from({ length: 3 }, () => post(host));
    await until(() => enclave.requests === 3);
    const refused = await post(host);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await codeOf(refused)).toEqual([503, 'QUEUE_FULL']);
    open();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await post(host)).status).toBe(200);
    expect(enclave.requests).toBe(4);
  });

  test('ends a request at its deadline and tells the enclave', async () => {
    const { enclave, host } = await running({ limits: { requestTimeoutMs: 150 } });
    let aborted = false;
    enclave.handler = ({ gone }) =>
      new Promise((resolve) => {
        gone.addEventListener('abort', () => {
          aborted = true;
          resolve({});
        });
      });
    expect(await codeOf(await post(host))).toEqual([504, 'DEADLINE_EXCEEDED']);
    await until(() => aborted);
  });
});

describe('disconnects', () => {
  test('a caller who goes away aborts the work in the enclave and frees the place', async () => {
    const { enclave, host } = await running({ limits: { maxInFlight: 1 } });
    let aborted = 0;
    enclave.handler = ({ gone }) =>
      new Promise((resolve) => {
        gone.addEventListener('abort', () => {
          aborted += 1;
          resolve({});
        });
      });
    for (let i = 1; i <= 3; i++) {
      const leaving = new AbortController();
      const left = post(host, '{}', { signal: leaving.signal }).catch((error: Error) => error.name);
      await until(() => enclave.requests === i);
      leaving.abort();
      expect(await left).toBe('AbortError');
      await until(() => aborted === i);
      await until(async () => (await (await fetch(`${host.url}/metrics`)).text()).includes('veritee_in_flight 0'));
    }
    enclave.handler = () => enclave.inferred();
    expect((await post(host)).status).toBe(200);
  });

  test('a caller who goes away in the middle of a body leaves nothing behind', async () => {
    const { enclave, host } = await running({ limits: { maxInFlight: 1 } });
    for (const length of [1000, 1_000_000]) {
      const raw = connect(host.address.port, '127.0.0.1');
      raw.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\nabc`);
      await until(async () => (await (await fetch(`${host.url}/metrics`)).text()).includes('veritee_in_flight 1'));
      raw.destroy();
      await until(async () => (await (await fetch(`${host.url}/metrics`)).text()).includes('veritee_in_flight 0'));
    }
    expect(await (await fetch(`${host.url}/metrics`)).text()).toContain(
      'veritee_refused_total{route="/v2",code="REQUEST_CANCELLED"} 2',
    );
    expect((await post(host)).status).toBe(200);
    expect(enclave.log.size).toBe(2);
  });

  test('an enclave that cannot be reached is 503, and is served again when it is back', async () => {
    const { enclave, host } = await running();
    await enclave.kill();
    const refused = await post(host);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await codeOf(refused)).toEqual([503, 'ENCLAVE_UNREACHABLE']);
    const health = await fetch(`${host.url}/v2/health/ready`);
    expect(await codeOf(health)).toEqual([503, 'ENCLAVE_UNREACHABLE']);
    await enclave.reboot();
    enclave.tick();
    await ready(host);
    expect((await post(host)).status).toBe(200);
  });

  test('an enclave that dies in the middle of its answer does not look like a whole answer', async () => {
    const { enclave, host } = await running();
    enclave.handler = () => {
      setTimeout(() => void enclave.kill(), 60);
      return enclave.inferred(randomBytes(64 << 20));
    };
    const agent = new Agent();
    onTestFinished(() => agent.close());
    const whole = await request(`${host.url}${INFER}`, { method: 'POST', body: '{}', dispatcher: agent })
      .then(async ({ statusCode, body }) => (statusCode === 200 ? (await body.arrayBuffer()).byteLength : statusCode))
      .catch((error: { code?: string }) => error.code);
    expect(typeof whole === 'number' && whole >= 64 << 20).toBe(false);
  });

  test('the next request on a connection is served after a refused one', async () => {
    const { host } = await running({ limits: { maxRequestBytes: 10 } });
    const raw = connect(host.address.port, '127.0.0.1');
    onTestFinished(() => void raw.destroy());
    let received = '';
    raw.on('data', (chunk) => {
      received += chunk.toString();
    });
    raw.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n${'a'.repeat(20)}`);
    raw.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}`);
    await until(() => received.includes('{"outputs":[]}'));
    expect(received).toMatch(/^HTTP\/1\.1 413 /);
  });
});

test('logs no payload, salt or statement', async () => {
  const { enclave, host } = await running({ limits: { maxRequestBytes: 4096 } });
  const secret = 'the-prompt-nobody-may-see';
  const salt = '5a17'.repeat(16);
  enclave.handler = ({ path }) => {
    if (path.includes('refuse'))
      return { status: 400, headers: { [HEADER.errorCode]: 'TENSOR_MISSING' }, body: Buffer.from(secret) };
    const answer = enclave.inferred(Buffer.from(secret));
    return { ...answer, headers: { ...answer.headers, [HEADER.requestSalt]: salt, [HEADER.responseSalt]: salt } };
  };
  const ok = await post(host, secret, { headers: { 'veritee-nonce': 'ab'.repeat(16) } });
  await post(host, secret.repeat(1000));
  await fetch(`${host.url}/v2/refuse`, { method: 'POST', body: secret });
  await fetch(`${host.url}/nowhere/${secret}?q=${secret}`);
  await enclave.kill();
  await post(host, secret);
  const statement = ok.headers.get(HEADER.statement) as string;
  expect(statement.length).toBeGreaterThan(100);
  expect(host.log.text).toContain('REQUEST_TOO_LARGE');
  for (const hidden of [secret, salt, statement.slice(0, 40), 'abababab']) expect(host.log.text).not.toContain(hidden);
});
