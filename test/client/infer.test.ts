import { beforeEach, describe, expect, test } from 'vitest';
import { ClientError, type InferInput } from '../../client/index.ts';
import { base64url, HEADER, OHTTP_MEDIA, type Statement } from '../../protocol/index.ts';
import { type Asked, codeOf, FakeService, INPUT, policy, problem } from './fake-service.ts';

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const infer = async (options = {}) => (await service.client(options)).infer('sample', [INPUT]);
const isSealed = ({ path }: Asked): boolean => path === '/ohttp';

describe('tensors', () => {
  test.each<[string, InferInput, unknown]>([
    ['FP32', { name: 'x', shape: [2], data: Float32Array.of(1.5, 2) }, Float32Array.of(3, 4)],
    ['FP64', { name: 'x', shape: [1], data: Float64Array.of(0.1) }, Float64Array.of(0.2)],
    ['INT8', { name: 'x', shape: [1], data: Int8Array.of(-4) }, Int8Array.of(-8)],
    ['INT64', { name: 'x', shape: [1], data: BigInt64Array.of(-(2n ** 60n)) }, BigInt64Array.of(-(2n ** 61n))],
    ['UINT64', { name: 'x', shape: [1], data: BigUint64Array.of(2n ** 60n) }, BigUint64Array.of(2n ** 61n)],
    ['UINT8', { name: 'x', shape: [2], data: Uint8Array.of(1, 2) }, Uint8Array.of(2, 4)],
    ['INT32', { name: 'x', shape: [2], datatype: 'INT32', data: [1, 2] }, Int32Array.of(2, 4)],
    ['BOOL', { name: 'x', shape: [2], data: [true, false] }, Uint8Array.of(1, 0)],
    ['BYTES', { name: 'x', shape: [2], data: ['grüße', 'b'] }, ['grüße', 'b']],
  ])('%s goes in and comes out as JavaScript has it, as JSON and as binary data', async (datatype, input, data) => {
    const client = await service.client();
    for (const binary of [false, true]) {
      const { outputs } = await client.infer('sample', [input], { binary });
      expect(outputs).toEqual([{ name: 'x-out', shape: [...input.shape], datatype, data }]);
    }
  });

  test('bytes that are no text stay bytes', async () => {
    const input = { name: 'x', shape: [2], data: [Uint8Array.of(0xff, 0), 'text'] };
    const { outputs } = await (await service.client()).infer('sample', [input], { binary: true });
    expect(outputs[0]?.data).toEqual([Uint8Array.of(0xff, 0), 'text']);
  });

  test('numbers without a datatype are refused before anything is asked', async () => {
    const client = await service.client();
    await expect(client.infer('sample', [{ name: 'x', shape: [1], data: [1] }])).rejects.toThrow(TypeError);
    expect(service.asked).toEqual([]);
  });
});

describe('on the wire', () => {
  const MARKER = 'a marked secret that nobody else may read';
  const SECRET: InferInput = { name: 'x', shape: [1], data: [MARKER] };

  test('nothing but the attestation and sealed bytes, which tell neither content nor model', async () => {
    const client = await service.client();
    const { outputs, receipt } = await client.infer('sample', [SECRET]);
    expect(outputs[0]?.data).toEqual([MARKER]);
    const [attested, sealed] = service.asked as [Asked, Asked];
    expect(service.asked).toHaveLength(2);
    expect(attested.path).toMatch(/^\/attestation\?nonce=[0-9a-f]{64}$/);
    expect(sealed).toMatchObject({ method: 'POST', path: '/ohttp' });
    const wire = Buffer.from(sealed.body).toString('latin1') + JSON.stringify([...sealed.headers]);
    for (const secret of [MARKER, 'sample', '/v2', 'veritee-nonce']) expect(wire).not.toContain(secret);
    expect(sealed.headers.get('content-type')).toBe(OHTTP_MEDIA.request);
    expect(sealed.headers.get(HEADER.boot)).toMatch(/^[0-9a-f]{32}$/);
    expect(receipt.private.request).toEqual(service.opened[0]?.body);
  });

  test('a fresh nonce with every request, and one encapsulation never twice', async () => {
    const client = await service.client();
    for (let i = 0; i < 3; i++) await client.infer('sample', [INPUT]);
    const nonces = service.opened.map(({ headers }) => headers.get(HEADER.nonce));
    expect(new Set(nonces).size).toBe(3);
    const heads = service.asked.filter(isSealed).map(({ body }) => base64url(body.subarray(7, 39)));
    expect(new Set(heads).size).toBe(3);
  });

  test.each([
    [60_000, OHTTP_MEDIA.request],
    [70_000, OHTTP_MEDIA.chunkedRequest],
  ])('a content of %d bytes goes as %s', async (length, type) => {
    const data = new Uint8Array(length).fill(7);
    const { outputs } = await (await service.client()).infer('sample', [{ name: 'x', shape: [length], data }], {
      binary: true,
    });
    expect(outputs[0]?.data).toEqual(new Uint8Array(length).fill(14));
    expect(service.asked.find(isSealed)?.headers.get('content-type')).toBe(type);
  });

  test('padding makes the lengths of different contents equal', async () => {
    const lengths: (readonly number[])[] = [];
    service.host = async (asked, relay) => {
      const response = await relay();
      if (!isSealed(asked)) return response;
      const answer = await response.arrayBuffer();
      lengths.push([asked.body.length, answer.byteLength]);
      return new Response(answer, response);
    };
    const client = await service.client({ padding: 4096 });
    for (const text of ['a', 'b'.repeat(900)]) await client.infer('sample', [{ ...SECRET, data: [text] }]);
    expect(lengths[0]).toEqual(lengths[1]);
    for (const padding of [0, 65_537, 1.5]) await expect(service.client({ padding })).rejects.toThrow(TypeError);
  });

  test('in the clear only when the caller says so, and then nothing is sealed', async () => {
    const { outputs } = await infer({ allowPlaintext: true });
    expect(outputs[0]?.data).toEqual(Float32Array.of(2, 4));
    expect(service.asked.map(({ path }) => path.split('?')[0])).toEqual(['/attestation', '/v2/models/sample/infer']);
  });

  test('whatever fails, a sealing client never falls back to the clear', async () => {
    service.host = async (asked, relay) => (isSealed(asked) ? problem('PLAINTEXT_NOT_ALLOWED') : relay());
    expect(await codeOf(infer())).toBe('SEALED_ANSWER_CLEAR');
    service.host = async (asked, relay) => (isSealed(asked) ? new Response(null, { status: 404 }) : relay());
    expect(await codeOf(infer())).toBe('SERVICE_REFUSED');
    expect(service.count('/v2')).toBe(0);
  });
});

describe('an answer is refused', () => {
  type Host = FakeService['host'];
  const answering = (change: (response: Response) => Response | Promise<Response>): Host => {
    return async (asked, relay) => (isSealed(asked) ? change(await relay()) : relay());
  };
  const body = async (response: Response, change: (body: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>) =>
    new Response(change(new Uint8Array(await response.arrayBuffer())), response);
  const chunked = { ...INPUT, data: new Float32Array(20_000), shape: [20_000] };
  const clear = (status: number, value: unknown, headers: Record<string, string> = {}) =>
    new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json', ...headers } });

  test.each<[string, Host, string]>([
    ['in the clear', answering(() => clear(200, { outputs: [] })), 'SEALED_ANSWER_CLEAR'],
    [
      'in the clear, as the model’s own refusal',
      answering(() => clear(400, { error: 'no' }, { [HEADER.errorCode]: 'TENSOR_SHAPE_MISMATCH' })),
      'SEALED_ANSWER_CLEAR',
    ],
    [
      'of the other sealed form',
      answering((good) => new Response(good.body, { headers: { 'content-type': OHTTP_MEDIA.chunkedResponse } })),
      'SEALED_ANSWER_CLEAR',
    ],
    [
      'altered in one bit',
      answering((good) => body(good, (sealed) => sealed.map((byte, i) => (i === 60 ? byte ^ 1 : byte)))),
      'SEALED_ANSWER_INVALID',
    ],
    ['cut', answering((good) => body(good, (sealed) => sealed.slice(0, -1))), 'SEALED_ANSWER_INVALID'],
    ['cut to its head', answering((good) => body(good, (sealed) => sealed.slice(0, 20))), 'SEALED_ANSWER_TRUNCATED'],
    ['empty', answering((good) => body(good, () => new Uint8Array(0))), 'SEALED_ANSWER_TRUNCATED'],
    [
      'sealed, under another status',
      answering((good) => new Response(good.body, { ...good, status: 502 })),
      'SERVICE_REFUSED',
    ],
    ['with a redirect', answering(() => Response.redirect('http://elsewhere/ohttp', 307)), 'SERVICE_ANSWER_INVALID'],
  ])('%s', async (_what, host, code) => {
    service.host = host;
    expect(await codeOf(infer())).toBe(code);
    expect(service.count('/ohttp')).toBe(1);
  });

  test('in chunks, without the last', async () => {
    service.host = answering((good) => body(good, (sealed) => sealed.slice(0, 32 + 2 * (4 + 16_384 + 16))));
    const client = await service.client();
    expect(await codeOf(client.infer('sample', [chunked], { binary: true }))).toBe('SEALED_ANSWER_TRUNCATED');
  });

  test('when two are swapped', async () => {
    const client = await service.client();
    await client.ready();
    const answers: ((response: Response) => void)[] = [];
    service.host = async (asked, relay) => {
      if (!isSealed(asked)) return relay();
      const mine = new Promise<Response>((resolve) => answers.push(resolve));
      const index = answers.length - 1;
      await new Promise<void>((resolve) => setTimeout(resolve));
      const good = await relay();
      answers[1 - index]?.(good);
      return mine;
    };
    const calls = [client.infer('sample', [INPUT]), client.infer('sample', [INPUT])];
    expect(await Promise.all(calls.map(codeOf))).toEqual(['SEALED_ANSWER_INVALID', 'SEALED_ANSWER_INVALID']);
  });

  test('that was given to the same question before', async () => {
    const client = await service.client();
    await client.ready();
    let first: ArrayBuffer | undefined;
    service.host = answering(async (good) => {
      first ??= await good.clone().arrayBuffer();
      return new Response(first, good);
    });
    await client.infer('sample', [INPUT]);
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('SEALED_ANSWER_INVALID');
  });

  test('longer than the caller takes, before it is all read', async () => {
    let sent = 0;
    service.host = answering((good) => {
      const endless = new ReadableStream({
        pull: (controller) => {
          sent += 65_536;
          controller.enqueue(new Uint8Array(65_536));
        },
      });
      return new Response(endless, good);
    });
    expect(await codeOf(infer({ maxAnswerBytes: 1 << 20 }))).toBe('SERVICE_ANSWER_INVALID');
    expect(sent).toBeLessThan(4 << 20);
  });

  const stated = (change: Partial<Statement>) => () => {
    service.statement = (good) => ({ ...good, ...change });
  };
  test.each<[string, () => void, string]>([
    ['another nonce', stated({ nonce: new Uint8Array(32) }), 'NONCE_MISMATCH'],
    ['no nonce', stated({ nonce: null }), 'NONCE_MISMATCH'],
    [
      'another request',
      stated({ requestDigest: new Uint8Array(32) as Statement['requestDigest'] }),
      'REQUEST_MISMATCH',
    ],
    [
      'another response',
      stated({ responseDigest: new Uint8Array(32) as Statement['responseDigest'] }),
      'RESPONSE_MISMATCH',
    ],
    ['another framing', stated({ responseJsonLength: 3 }), 'RESPONSE_MISMATCH'],
    ['another media type', stated({ requestMediaType: 'text/plain' }), 'REQUEST_MISMATCH'],
    [
      'another model',
      stated({ model: { name: 'other', version: '1', digest: new Uint8Array(32) as never } }),
      'MODEL_MISMATCH',
    ],
    ['a refusal, beside an answer', stated({ outcome: 'OUTPUT_NOT_FINITE' }), 'SERVICE_ANSWER_INVALID'],
  ])('whose statement says %s', async (_what, arrange, code) => {
    arrange();
    expect(await codeOf(infer())).toBe(code);
  });

  const headers = (change: (headers: Map<string, string>) => void) => () => {
    service.answer = (good) => {
      const changed = new Map(good.headers);
      change(changed);
      return { ...good, headers: changed };
    };
  };
  test.each<[string, () => void, string]>([
    ['no statement', headers((all) => all.delete(HEADER.statement)), 'SERVICE_ANSWER_INVALID'],
    ['an empty statement', headers((all) => all.set(HEADER.statement, '')), 'SERVICE_ANSWER_INVALID'],
    ['a statement that is none', headers((all) => all.set(HEADER.statement, 'AAAA')), 'EVIDENCE_MALFORMED'],
    ['half a salt', headers((all) => all.set(HEADER.responseSalt, '00'.repeat(16))), 'SERVICE_ANSWER_INVALID'],
    ['no media type', headers((all) => all.delete('content-type')), 'RESPONSE_MISMATCH'],
  ])('with %s', async (_what, arrange, code) => {
    arrange();
    expect(await codeOf(infer())).toBe(code);
  });

  test('with a statement that the session did not sign', async () => {
    service.answer = (good) => {
      const statement = Buffer.from(good.headers.get(HEADER.statement) ?? '', 'base64url');
      statement[statement.length - 1]! ^= 1;
      return { ...good, headers: new Map([...good.headers, [HEADER.statement, base64url(statement)]]) };
    };
    expect(await codeOf(infer())).toBe('STATEMENT_INVALID');
  });

  test('for a model that the policy does not allow', async () => {
    const other = policy({ models: [{ name: 'other', version: '1', files: { 'model.onnx': '00'.repeat(32) } }] });
    expect(await codeOf(infer({ policy: other }))).toBe('MODEL_NOT_ALLOWED');
  });
});

describe('a refusal', () => {
  test('that the enclave stated has its code and words', async () => {
    const client = await service.client();
    const refused = client.infer('nosuch', [INPUT]);
    await expect(refused).rejects.toMatchObject({ code: 'MODEL_UNKNOWN', message: 'no such model' });
    await expect(refused).rejects.toBeInstanceOf(ClientError);
  });

  test('before the enclave admitted the request comes out of the seal too', async () => {
    service.answer = () => ({
      status: 503,
      headers: new Map([[HEADER.errorCode, 'QUEUE_FULL']]),
      body: new TextEncoder().encode('{"error":"wait\\u001b[2J"}'),
    });
    await expect(infer()).rejects.toMatchObject({ code: 'QUEUE_FULL', message: 'wait [2J' });
  });

  test('of the host is told as its own word', async () => {
    service.host = async (asked, relay) => (isSealed(asked) ? problem('QUEUE_FULL', 'too\u001b many') : relay());
    await expect(infer()).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      message: 'the host says, unproven: too  many',
    });
  });
});
