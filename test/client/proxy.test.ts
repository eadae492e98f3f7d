import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type ProxyOptions, proxyHandler, type Receipt } from '../../client/index.ts';
import { encodeInferRequest, HEADER, tensor } from '../../protocol/index.ts';
import { FakeService, problem } from './fake-service.ts';

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const { body: REQUEST } = encodeInferRequest({ inputs: [tensor('x', 'INT32', [1], [21])], binary: false });
const HERE = 'http://127.0.0.1:8081';
const infer = (headers: Record<string, string> = {}, url = `${HERE}/v2/models/sample/infer`): Request =>
  new Request(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: REQUEST });

const proxy = async (options: ProxyOptions = {}, client = {}) => proxyHandler(await service.client(client), options);

async function refusedWith(answer: Promise<Response>): Promise<unknown> {
  const response = await answer;
  const { error, code } = (await response.json()) as { error: string; code: string };
  expect(response.headers.get(HEADER.errorCode)).toBe(code);
  expect(error.startsWith(`${code}: `)).toBe(true);
  expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  return [response.status, code];
}

describe('software that knows nothing of it', () => {
  test('is answered as by the enclave, and the receipt is kept first', async () => {
    const kept: Receipt[] = [];
    const handle = await proxy({ onReceipt: (receipt) => void kept.push(receipt) });
    const response = await handle(infer());
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ outputs: [{ data: [42] }] });
    expect(kept.map(({ id }) => id)).toEqual([response.headers.get(HEADER.receiptId)]);
    expect(service.asked.map(({ path }) => path.split('?')[0])).toEqual(['/attestation', '/ohttp']);
  });

  test('gets descriptions and refusals of the enclave too', async () => {
    const handle = await proxy();
    const described = await handle(new Request(`${HERE}/v2/models/sample`));
    expect(await described.json()).toMatchObject({ name: 'sample' });
    const refused = await handle(infer({}, `${HERE}/v2/models/nosuch/infer`));
    expect([refused.status, refused.headers.get(HEADER.errorCode)]).toEqual([404, 'MODEL_UNKNOWN']);
    expect((await handle(new Request(`${HERE}/v2/models/sample`, { method: 'HEAD' }))).body).toBeNull();
  });

  test('waits for hardware where that is asked', async () => {
    const kept: Receipt[] = [];
    const handle = await proxy({ waitFor: 'hardware', onReceipt: (receipt) => void kept.push(receipt) });
    expect((await handle(infer())).status).toBe(200);
    expect(kept.map(({ result }) => result.strength)).toEqual(['hardware-committed']);
  });

  test('is not answered when the receipt cannot be kept', async () => {
    const handle = await proxy({ onReceipt: () => Promise.reject(new Error('secret path')) });
    const response = await handle(infer());
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
  });
});

describe('when verification fails', () => {
  test('a service that is another program: 503, and every reason in words', async () => {
    const measurement = new Uint8Array(48).fill(1) as never;
    const DEBUG = 1n << 19n;
    service.attesting = {
      tick: { snp: { measurement, mutate: (good) => ({ ...good, policy: good.policy | DEBUG }) } },
    };
    const handle = await proxy();
    const response = await handle(infer());
    expect(response.status).toBe(503);
    const { error, code } = (await response.json()) as { error: string; code: string };
    expect(code).toBe('MEASUREMENT_UNKNOWN');
    for (const finding of ['MEASUREMENT: expected ', 'DEBUG_ENABLED: ']) expect(error).toContain(finding);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(service.opened).toEqual([]);
    // It recovers with the service.
    service.attesting = {};
    expect((await handle(infer())).status).toBe(200);
  });

  test('an answer that is not what was stated: 503, and none of it', async () => {
    service.answer = (good) => ({ ...good, body: new TextEncoder().encode('{"outputs":["forged"]}') });
    const response = await (await proxy())(infer());
    expect(response.status).toBe(503);
    expect(response.headers.get(HEADER.errorCode)).toBe('RESPONSE_MISMATCH');
    expect(await response.text()).not.toContain('forged');
  });

  test('an answer in the clear: 503', async () => {
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? new Response('{"outputs":[]}') : relay());
    expect(await refusedWith((await proxy())(infer()))).toEqual([503, 'SEALED_ANSWER_CLEAR']);
  });

  test('while it is being attested anew: 503, come back', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    service.host = async (asked, relay) => {
      if (asked.path.startsWith('/attestation')) await held;
      return relay();
    };
    const handle = await proxy({ attestWithinMs: 50 });
    // A service that always takes longer than one request waits is attested all the same.
    for (let i = 0; i < 2; i++) expect(await refusedWith(handle(infer()))).toEqual([503, 'EVIDENCE_NOT_READY']);
    release();
    const patient = await proxy();
    expect((await patient(infer())).status).toBe(200);
    expect((await handle(infer())).status).toBe(200);
    expect(service.count('/attestation')).toBe(2); // one of each proxy
  });

  test('what it waits for without a request ends with the proxy', async () => {
    const stopped = new AbortController();
    service.host = (asked, relay) => (asked.path.startsWith('/attestation') ? new Promise(() => {}) : relay());
    const handle = await proxy({ attestWithinMs: 20, signal: stopped.signal });
    expect(await refusedWith(handle(infer()))).toEqual([503, 'EVIDENCE_NOT_READY']);
    const [attestation] = service.asked;
    expect(attestation?.signal?.aborted).toBe(false);
    stopped.abort();
    await vi.waitUntil(() => attestation?.signal?.aborted);
  });

  test('a service that cannot be had: 503; one that takes too long: 504', async () => {
    const gone = { fetch: () => Promise.reject(new TypeError('fetch failed')) };
    expect(await refusedWith((await proxy({}, gone))(infer()))).toEqual([503, 'SERVICE_UNREACHABLE']);
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? problem('QUEUE_FULL') : relay());
    expect(await refusedWith((await proxy())(infer()))).toEqual([503, 'QUEUE_FULL']);
    service.host = (asked, relay) => (asked.path === '/ohttp' ? new Promise(() => {}) : relay());
    expect(await refusedWith((await proxy({ timeoutMs: 300 }))(infer()))).toEqual([504, 'DEADLINE_EXCEEDED']);
  });
});

describe('requests that it does not take', () => {
  test.each<[string, Request, number, string]>([
    ['another path', new Request(`${HERE}/attestation`), 404, 'REQUEST_NOT_FOUND'],
    ['the root', new Request(`${HERE}/`), 404, 'REQUEST_NOT_FOUND'],
    [
      'another method',
      new Request(`${HERE}/v2/models/sample`, { method: 'DELETE' }),
      405,
      'REQUEST_METHOD_NOT_ALLOWED',
    ],
    ['a preflight', new Request(`${HERE}/v2`, { method: 'OPTIONS' }), 405, 'REQUEST_METHOD_NOT_ALLOWED'],
    [
      'a name that was rebound',
      infer({}, 'http://evil.example:8081/v2/models/sample/infer'),
      400,
      'REQUEST_HEADER_INVALID',
    ],
    ['a name in the Host field', infer({ host: 'evil.example' }), 400, 'REQUEST_HEADER_INVALID'],
    [
      'an address that only looks like one',
      infer({}, 'http://127.0.0.1.evil.example/v2'),
      400,
      'REQUEST_HEADER_INVALID',
    ],
    ['an address of the network', infer({}, 'http://192.168.0.7/v2'), 400, 'REQUEST_HEADER_INVALID'],
    ['a page of another site', infer({ origin: 'https://evil.example' }), 400, 'REQUEST_HEADER_INVALID'],
    ['a page without an origin', infer({ origin: 'null' }), 400, 'REQUEST_HEADER_INVALID'],
    ['a request across sites', infer({ 'sec-fetch-site': 'cross-site' }), 400, 'REQUEST_HEADER_INVALID'],
    ['a nonce that is none', infer({ [HEADER.nonce]: 'x' }), 400, 'NONCE_INVALID'],
  ])('%s', async (_what, request, status, code) => {
    expect(await refusedWith((await proxy())(request))).toEqual([status, code]);
    expect(service.opened).toEqual([]);
  });

  test.each(['http://localhost:9/v2', 'http://[::1]:9/v2', 'http://127.8.9.1/v2'])(
    '%s is this machine',
    async (url) => {
      expect((await (await proxy())(new Request(`${url}/models/sample`))).status).toBe(200);
    },
  );

  test('any name is answered to where the owner says so', async () => {
    const handle = await proxy({ hosts: 'any' });
    expect((await handle(new Request('http://proxy.internal/v2/models/sample'))).status).toBe(200);
  });

  test('a body beyond the limit, before it is all read', async () => {
    let sent = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        sent += 1024;
        controller.enqueue(new Uint8Array(1024));
      },
    });
    const request = new Request(`${HERE}/v2/models/sample/infer`, {
      method: 'POST',
      body: endless,
      duplex: 'half',
    } as RequestInit);
    expect(await refusedWith((await proxy({ maxRequestBytes: 10_000 }))(request))).toEqual([413, 'REQUEST_TOO_LARGE']);
    expect(sent).toBeLessThan(100_000);
    expect(service.asked).toEqual([]);
  });
});
