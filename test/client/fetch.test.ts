import { beforeEach, describe, expect, test } from 'vitest';
import type { Receipt } from '../../client/index.ts';
import { encodeInferRequest, HEADER, tensor } from '../../protocol/index.ts';
import { codeOf, FakeService, problem } from './fake-service.ts';

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const INFER = 'http://service/v2/models/sample/infer';
const { body: REQUEST } = encodeInferRequest({ inputs: [tensor('x', 'INT32', [1], [21])], binary: false });
const JSON_TYPE = { 'content-type': 'application/json' };
const POST = { method: 'POST', headers: JSON_TYPE, body: REQUEST };

describe('an inference through fetch', () => {
  test.each<[string, () => [string | URL | Request, RequestInit?]]>([
    ['a string and bytes', () => [INFER, POST]],
    ['a path', () => ['/v2/models/sample/infer', POST]],
    ['a URL and text', () => [new URL(INFER), { ...POST, body: new TextDecoder().decode(REQUEST) }]],
    ['a Request', () => [new Request(INFER, POST)]],
    ['a Request changed by an init', () => [new Request(INFER), POST]],
    ['a Blob', () => [INFER, { ...POST, body: new Blob([REQUEST]) }]],
    ['a stream', () => [INFER, { ...POST, body: new Blob([REQUEST]).stream() }]],
    ['Headers', () => [INFER, { ...POST, headers: new Headers({ ...JSON_TYPE, 'X-Own': 'kept' }) }]],
  ])('takes %s, and answers with the Response of the enclave', async (_what, call) => {
    const receipts: Receipt[] = [];
    const client = await service.client({ onReceipt: (receipt) => void receipts.push(receipt) });
    const { fetch } = client; // as existing software takes it
    const response = await fetch(...call());
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get(HEADER.receiptId)).toBe(receipts[0]?.id);
    expect(await response.json()).toMatchObject({ outputs: [{ name: 'x-out', datatype: 'INT32', data: [42] }] });
    expect(service.opened[0]?.body).toEqual(REQUEST);
    expect(service.opened[0]?.method).toBe('POST');
    expect(receipts[0]?.private.response).toBeDefined();
    expect(service.count('/v2')).toBe(0);
  });

  test('seals the fields, but those about a connection', async () => {
    const client = await service.client();
    const headers = {
      ...JSON_TYPE,
      Authorization: 'Bearer t',
      'X-Own': 'a, b',
      Connection: 'x-hop',
      'X-Hop': '1',
      TE: 'trailers',
      'Content-Length': String(REQUEST.length),
    };
    await client.fetch(INFER, { ...POST, headers });
    const kept = service.opened[0]?.headers ?? new Map();
    expect([...kept.keys()].sort()).toEqual(['authorization', 'content-type', HEADER.nonce, 'x-own']);
    expect([...(service.asked[1]?.headers ?? [])].map(([name]) => name).sort()).toEqual(['content-type', HEADER.boot]);
    expect(await codeOf(client.fetch(INFER, { ...POST, headers: { ...JSON_TYPE, 'x-own': 'grüße' } }))).toBe(
      'REQUEST_HEADER_INVALID',
    );
  });

  test('takes the caller’s own nonce, and refuses one that is none', async () => {
    const client = await service.client();
    const nonce = '5a'.repeat(16);
    await client.fetch(INFER, { ...POST, headers: { ...JSON_TYPE, [HEADER.nonce]: nonce } });
    expect(service.opened[0]?.headers.get(HEADER.nonce)).toBe(nonce);
    const refused = client.fetch(INFER, { ...POST, headers: { ...JSON_TYPE, [HEADER.nonce]: 'zz' } });
    expect(await codeOf(refused)).toBe('NONCE_INVALID');
  });

  test('a refusal that was stated is a Response too, and has a receipt', async () => {
    const receipts: Receipt[] = [];
    const client = await service.client({ onReceipt: (receipt) => void receipts.push(receipt) });
    const response = await client.fetch('/v2/models/nosuch/infer', POST);
    expect(response.status).toBe(404);
    expect(response.headers.get(HEADER.errorCode)).toBe('MODEL_UNKNOWN');
    expect(await response.json()).toEqual({ error: 'no such model', code: 'MODEL_UNKNOWN' });
    expect(receipts[0]?.result.statement.outcome).toBe('MODEL_UNKNOWN');
  });

  test('with hardware, when asked', async () => {
    const receipts: Receipt[] = [];
    const client = await service.client();
    await client.fetch(INFER, { ...POST, waitFor: 'hardware', onReceipt: (one) => void receipts.push(one) });
    expect(receipts.map(({ result }) => result.strength)).toEqual(['hardware-committed']);
  });

  test('no Response whose statement says otherwise', async () => {
    service.answer = (good) => ({ ...good, body: new TextEncoder().encode('{"outputs":[]}') });
    expect(await codeOf((await service.client()).fetch(INFER, POST))).toBe('RESPONSE_MISMATCH');
    service.answer = (good) => ({ ...good, status: 500 });
    expect(await codeOf((await service.client()).fetch(INFER, POST))).toBe('SERVICE_ANSWER_INVALID');
  });
});

describe('anything else through fetch', () => {
  test('a description comes out of the seal, without a receipt', async () => {
    const receipts: Receipt[] = [];
    const client = await service.client({ onReceipt: (receipt) => void receipts.push(receipt) });
    const response = await client.fetch('http://service/v2/models/sample?x=1');
    expect(await response.json()).toEqual({ name: 'sample', versions: ['1'], asked: 'GET' });
    expect(service.opened[0]?.path).toBe('/v2/models/sample?x=1');
    expect((await client.fetch('/v2/nothing')).status).toBe(404);
    expect(receipts).toEqual([]);
  });

  test('HEAD has a status and no body; so has 204', async () => {
    const client = await service.client();
    const head = await client.fetch('/v2/models/sample', { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, null]);
    service.answer = (good) => ({ ...good, status: 204, body: new Uint8Array(0) });
    expect((await client.fetch('/v2/models/sample')).status).toBe(204);
  });

  test('a statement where none can be is refused', async () => {
    service.answer = (good) => ({ ...good, headers: new Map([...good.headers, [HEADER.statement, 'AAAA']]) });
    expect(await codeOf((await service.client()).fetch('/v2/models/sample'))).toBe('SERVICE_ANSWER_INVALID');
  });

  test.each([
    'http://elsewhere/v2/models/sample/infer',
    'https://service/v2/models/sample/infer',
    'http://service:81/v2',
    'http://service/attestation',
    'http://service/v2x',
    'http://service/v2/../receipts/x',
    '/ohttp',
  ])('%s is no part of the service', async (url) => {
    const client = await service.client();
    expect(await codeOf(client.fetch(url, POST))).toBe('USAGE');
    expect(service.asked).toEqual([]);
  });

  test('a service under a path of its own', async () => {
    const client = await service.client({ url: 'http://service/a/b/' });
    service.host = (asked, relay) => relay({ ...asked, path: asked.path.replace('/a/b', '') });
    for (const url of ['http://service/a/b/v2/models/sample', '/v2/models/sample']) {
      expect((await client.fetch(url)).status).toBe(200);
    }
    expect(service.asked.every(({ path }) => path.startsWith('/a/b/'))).toBe(true);
    expect(await codeOf(client.fetch('http://service/v2/models/sample'))).toBe('USAGE');
  });

  test('who aborts gets back the reason, as from fetch', async () => {
    const client = await service.client();
    await client.ready();
    service.host = () => new Promise(() => {});
    const caller = new AbortController();
    const call = client.fetch(INFER, { ...POST, signal: caller.signal });
    caller.abort();
    await expect(call).rejects.toBe(caller.signal.reason);
    const request = new Request(INFER, { ...POST, signal: AbortSignal.timeout(50) });
    await expect(client.fetch(request)).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(await codeOf(client.fetch(INFER, { ...POST, timeoutMs: 50 }))).toBe('DEADLINE_EXCEEDED');
  });

  test('what the host refuses is an error, not a Response', async () => {
    const client = await service.client();
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? problem('QUEUE_FULL') : relay());
    expect(await codeOf(client.fetch(INFER, POST))).toBe('QUEUE_FULL');
  });
});
