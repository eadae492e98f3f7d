import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { get, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Attester } from '../../enclave/attester/attester.ts';
import {
  type BinaryRequest,
  type BinaryResponse,
  type Bytes,
  bytes,
  type Code,
  encodeBinaryRequest,
  fromBase64url,
  fromHex,
  HEADER,
  hex,
  httpStatus,
  OHTTP_KEY_PROBLEM,
  OHTTP_MEDIA,
  parseAttestation,
  parseEntry,
  parseEntryBundle,
  parseKeyConfigList,
  saltedDigest,
  sealRequest,
  sha256,
} from '../../protocol/index.ts';
import { assess, readTrustAnchors, type TrustAnchor } from '../../verifier/index.ts';
import { boots, readLog, settledReceipt } from '../support/load.ts';
import { ask, configsOf, EXAMPLE, INFER, inferRequest, problemOf, Service } from './ohttp-service.ts';
import { ready, until } from './support.ts';

const text = (body: Uint8Array): string => Buffer.from(body).toString();
const codeOf = ({ headers }: BinaryResponse): string | undefined => headers.get(HEADER.errorCode);

async function expectProblem(response: Response, code: Code, type = 'about:blank'): Promise<void> {
  expect(await problemOf(response)).toEqual({ status: httpStatus(code), code, type });
}

async function anchorsOf(service: Service): Promise<TrustAnchor[]> {
  const root = readdirSync(service.data).find((name) => name.endsWith('.pem')) as string;
  return readTrustAnchors(readFileSync(join(service.data, root)), 'root');
}

const entriesOf = async (service: Service) => {
  const { boot, size } = (await boots(service.url)).find((one) => one.boot === service.boot) as {
    boot: string;
    size: number;
  };
  return (await readLog(service.url, boot, size, parseEntryBundle)).map((raw) => parseEntry(raw));
};

const statements = async (service: Service): Promise<number> =>
  (await entriesOf(service)).filter(({ kind }) => kind === 'statement').length;

describe('a sealed inference', () => {
  test.each([false, true])('is answered, stated and committed (chunked: %s)', async (chunked) => {
    const service = await Service.start();
    const nonce = new Uint8Array(32).fill(7);
    const request = inferRequest([[HEADER.nonce, hex(nonce)]]);
    const { outer, inner } = await ask(service, await service.newestKey(), request, { chunked, boot: service.boot });
    expect([outer.status, outer.headers.get('content-type')]).toEqual([
      200,
      chunked ? OHTTP_MEDIA.chunkedResponse : OHTTP_MEDIA.response,
    ]);
    expect(inner.status).toBe(200);
    expect(JSON.parse(text(inner.body))).toMatchObject({ model_name: 'heat-stress', outputs: expect.any(Array) });
    const header = (name: string) => inner.headers.get(name) as string;
    const entry = parseEntry(fromBase64url(header(HEADER.statement)) as Uint8Array);
    if (entry.kind !== 'statement') throw new Error('not a statement');
    expect(entry.value).toMatchObject({ outcome: 'ok', nonce, requestMediaType: 'application/json' });
    const salt = (name: string): Bytes<32> => bytes(fromHex(header(name)) as Uint8Array, 32, name);
    expect(entry.value.requestDigest).toEqual(await saltedDigest(salt(HEADER.requestSalt), EXAMPLE));
    expect(entry.value.responseDigest).toEqual(await saltedDigest(salt(HEADER.responseSalt), inner.body));

    const receipt = await settledReceipt(service.url, header(HEADER.receiptId));
    expect(receipt.status).toBe('hardware-committed');
    const result = await assess({
      file: receipt.file,
      policy: 'builtin:authenticity',
      at: new Date(),
      trustAnchors: await anchorsOf(service),
      expected: { nonce },
    });
    expect(result).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed', findings: [] });
  });

  test('its key is a log entry that the verifier finds in force under the caller’s own nonce', async () => {
    const service = await Service.start();
    const nonce = new Uint8Array(32).fill(9);
    const file = await service.attestationBytes(nonce);
    const result = await assess({
      file,
      policy: 'builtin:authenticity',
      at: new Date(),
      trustAnchors: await anchorsOf(service),
      expected: { nonce },
    });
    expect(result).toMatchObject({ verdict: 'affirming', kind: 'attestation', findings: [] });
    for (const row of ['challenge.nonce', 'key.signature', 'key.inclusion', 'key.in-force']) {
      expect([row, result.checks.find(({ id }) => id === row)?.outcome]).toEqual([row, 'pass']);
    }
    const configs = configsOf(parseAttestation(file));
    const entries = await entriesOf(service);
    expect(entries[1]).toMatchObject({ kind: 'key', value: { config: configs[0] } });
    const challenges = entries.find((entry) => entry.kind === 'challenges');
    expect(challenges).toMatchObject({ value: { keyConfigDigests: configs.map((config) => sha256(config)) } });
    const listed = await fetch(`${service.url}/ohttp-keys`);
    expect(parseKeyConfigList(new Uint8Array(await listed.arrayBuffer()))).toEqual(configs);
    const withoutNonce = parseAttestation(await service.attestationBytes(null));
    expect(configsOf(withoutNonce)).toEqual(configs);
  });

  const BAD: readonly [string, BinaryRequest][] = [
    ['an unknown model', { ...inferRequest(), path: '/v2/models/nobody/infer' }],
    ['no JSON', inferRequest([], Buffer.from('{'))],
    ['a bad nonce', inferRequest([[HEADER.nonce, 'xyz']])],
    ['a content encoding', inferRequest([['content-encoding', 'gzip']])],
    ['a wrong method', { ...inferRequest(), method: 'PUT' }],
    ['another route', { ...inferRequest(), path: '/v2/nothing', method: 'GET', body: new Uint8Array(0) }],
    ['a route of the link', { ...inferRequest(), path: '/link/hello', method: 'GET', body: new Uint8Array(0) }],
    ['metadata', { ...inferRequest(), path: '/v2/models/heat-stress', method: 'GET', body: new Uint8Array(0) }],
    ['the server', { ...inferRequest(), path: '/v2?x=y', method: 'GET', body: new Uint8Array(0) }],
    ['HEAD', { ...inferRequest(), path: '/v2/health/ready', method: 'HEAD', body: new Uint8Array(0) }],
    ['too much', inferRequest([], Buffer.alloc(30_000, 0x20))],
  ];

  test('is answered inside the seal as one in the clear is outside, and the outer answer is always 200', async () => {
    const service = await Service.start({
      allowPlaintext: true,
      enclaveArgs: ['--allow-plaintext', '--max-body-bytes', '20000'],
    });
    const config = await service.newestKey();
    const OWN: readonly string[] = [HEADER.receiptId, HEADER.requestSalt, HEADER.responseSalt, HEADER.statement];
    for (const [what, request] of BAD) {
      const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
      const clear = await fetch(`${service.url}${request.path}`, {
        method: request.method,
        headers: Object.fromEntries(request.headers),
        ...(hasBody ? { body: request.body as NonNullable<RequestInit['body']> } : {}),
      });
      const clearBody = await clear.text();
      for (const chunked of [false, true]) {
        const { outer, inner } = await ask(service, config, request, { chunked });
        expect([what, outer.status]).toEqual([what, 200]);
        if (request.path.startsWith('/v2')) expect([what, inner.status]).toEqual([what, clear.status]);
        else expect([inner.status, codeOf(inner)]).toEqual([404, 'REQUEST_NOT_FOUND']);
        if (!request.path.startsWith('/v2')) continue;
        expect([what, text(inner.body)]).toEqual([what, clearBody]);
        for (const name of ['content-type', 'cache-control', HEADER.errorCode]) {
          expect([what, name, inner.headers.get(name) ?? null]).toEqual([what, name, clear.headers.get(name)]);
        }
        for (const name of OWN)
          expect([what, name, inner.headers.has(name)]).toEqual([what, name, clear.headers.has(name)]);
        for (const name of [...OWN, HEADER.entry, HEADER.boot, HEADER.errorCode, 'retry-after']) {
          expect([what, name, outer.headers.get(name)]).toEqual([what, name, null]);
        }
      }
    }
  });

  test('is padded both ways when asked, so that lengths say less', async () => {
    const service = await Service.start();
    const config = await service.newestKey();
    const PLAIN_SEAL = 32 + 16; // response nonce, tag
    const lengths = new Set<number>();
    for (const path of [INFER, '/v2/models/nobody/infer']) {
      const request = { ...inferRequest([[HEADER.padding, '8192']]), path };
      const { sealedBytes } = await ask(service, config, request, { padToMultipleOf: 4096 });
      expect((sealedBytes - PLAIN_SEAL) % 8192).toBe(0);
      lengths.add(sealedBytes);
    }
    expect(lengths.size).toBe(1); // an answer and a refusal look alike
    for (const bad of ['0', '65537', 'x', '-1', '1.5']) {
      const { inner } = await ask(service, config, inferRequest([[HEADER.padding, bad]]));
      expect([bad, inner.status, codeOf(inner)]).toEqual([bad, 400, 'REQUEST_HEADER_INVALID']);
    }
  });

  test('leaves no trace of its content with host or in logs', async () => {
    const service = await Service.start();
    const marker = 'MARKER-nobody-but-the-enclave';
    const config = await service.newestKey();
    const request = inferRequest([['x-tenant', marker]], Buffer.from(`{"id":"${marker}","inputs":[]}`));
    const { inner } = await ask(service, config, request);
    expect(codeOf(inner)).toBe('TENSOR_MISSING');
    await ask(service, config, { ...request, path: `/v2/models/${marker}/infer` });
    for (const hidden of [marker, inner.headers.get(HEADER.requestSalt) as string, 'MARKER']) {
      expect(service.hostLog.text).not.toContain(hidden);
      expect(service.enclaveLog.text).not.toContain(hidden);
    }
    expect(service.enclaveLog.text).toContain('TENSOR_MISSING');
    expect(service.hostLog.text).not.toContain('TENSOR_MISSING');
  });
});

describe('weaker ways', () => {
  test('a request in the clear is refused by the host, and by the enclave whatever its host allows', async () => {
    for (const allowPlaintext of [false, true]) {
      const service = await Service.start({ allowPlaintext });
      for (const [method, path] of [
        ['POST', INFER],
        ['GET', '/v2'],
        ['GET', '/v2/models/heat-stress'],
      ] as const) {
        const body = method === 'POST' ? { body: EXAMPLE } : {};
        const response = await fetch(`${service.url}${path}`, { method, ...body } as RequestInit);
        expect([response.status, response.headers.get(HEADER.errorCode)]).toEqual([403, 'PLAINTEXT_NOT_ALLOWED']);
        expect(await response.json()).toMatchObject({ code: 'PLAINTEXT_NOT_ALLOWED' });
      }
      expect(await statements(service)).toBe(0);
    }
  });

  test.each(['/v2/../link/hello', '/v2/x/../../link/records?from=0', '/v2/%2e%2e/link/status'])(
    'no detour leads a caller to what is between enclave and host: %s',
    async (target) => {
      const service = await Service.start({ allowPlaintext: true, enclaveArgs: ['--allow-plaintext'] });
      const status = await new Promise((resolve, reject) => {
        get(service.url, { path: target }, (res) => {
          res.destroy();
          resolve([res.statusCode, res.headers[HEADER.errorCode]]);
        }).once('error', reject);
      });
      expect(status).toEqual([404, 'REQUEST_NOT_FOUND']);
    },
  );

  test.each([false, true])('a replay is refused, one after another and all at once (chunked: %s)', async (chunked) => {
    const service = await Service.start();
    const config = await service.newestKey();
    const send = async () => {
      const sealed = await sealRequest(config, encodeBinaryRequest(inferRequest()), { chunked });
      return () => service.post(sealed.body, sealed.mediaType);
    };
    const first = await send();
    expect((await first()).status).toBe(200);
    await expectProblem(await first(), 'SEALED_REQUEST_REPLAYED');
    const second = await send();
    const codes = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const response = await second();
        return response.status === 200 ? 200 : (await problemOf(response)).code;
      }),
    );
    expect(codes.filter((code) => code === 200)).toHaveLength(1);
    expect(new Set(codes)).toEqual(new Set([200, 'SEALED_REQUEST_REPLAYED']));
    await until(async () => (await statements(service)) === 2);
    expect(await service.metrics()).toContain(
      'veritee_refused_total{route="/ohttp",code="SEALED_REQUEST_REPLAYED"} 12',
    );
  });

  test('altered framing, keys and media types', async () => {
    const service = await Service.start();
    const config = await service.newestKey();
    const content = encodeBinaryRequest(inferRequest());
    const sealed = await sealRequest(config, content);
    const change = (at: number, by = 1): Uint8Array => {
      const body = new Uint8Array(sealed.body);
      body[at] = ((body[at] as number) + by) % 256;
      return body;
    };
    const cases: readonly [string, Uint8Array, Code, string?][] = [
      ['another key id', change(0), 'SEALING_KEY_UNKNOWN', OHTTP_KEY_PROBLEM],
      ['another KEM', change(2), 'SEALED_REQUEST_MALFORMED'],
      ['another KDF', change(4), 'SEALED_REQUEST_MALFORMED'],
      ['another AEAD', change(6), 'SEALED_REQUEST_MALFORMED'],
      ['another enc', change(10), 'SEALED_REQUEST_UNREADABLE'],
      ['another body', change(60), 'SEALED_REQUEST_UNREADABLE'],
      ['another tag', change(sealed.body.length - 1), 'SEALED_REQUEST_UNREADABLE'],
      ['one byte less', sealed.body.subarray(0, -1), 'SEALED_REQUEST_UNREADABLE'],
      ['no seal', sealed.body.subarray(0, 39), 'SEALED_REQUEST_TRUNCATED'],
      ['half a header', sealed.body.subarray(0, 3), 'SEALED_REQUEST_TRUNCATED'],
      ['nothing', new Uint8Array(0), 'SEALED_REQUEST_TRUNCATED'],
    ];
    for (const [what, body, code, type = 'about:blank'] of cases) {
      const response = await service.post(body, OHTTP_MEDIA.request);
      expect([what, await problemOf(response)]).toEqual([what, { status: httpStatus(code), code, type }]);
    }
    // The forms have labels of their own: one cannot be sent as the other.
    expect((await problemOf(await service.post(sealed.body, OHTTP_MEDIA.chunkedRequest))).code).toMatch(
      /^SEALED_REQUEST_/,
    );
    await expectProblem(await service.post(sealed.body, 'application/octet-stream'), 'REQUEST_MEDIA_TYPE_UNSUPPORTED');
    expect((await service.post(sealed.body, sealed.mediaType)).status).toBe(200); // none of it used the request up
  });

  test('a chunked request without its final chunk is refused inside the seal, and is no inference', async () => {
    const service = await Service.start();
    const config = await service.newestKey();
    const padded = Buffer.concat([EXAMPLE, Buffer.alloc(50_000, 0x20)]);
    const content = encodeBinaryRequest(inferRequest([], padded));
    const FINAL_FROM = 7 + 32 + 3 * (4 + 16_384 + 16); // header, enc, three whole chunks
    for (const cut of [FINAL_FROM, FINAL_FROM + 1, -1]) {
      const sealed = await sealRequest(config, content, { chunked: true });
      const outer = await service.post(sealed.body.subarray(0, cut), sealed.mediaType);
      expect(outer.status).toBe(200);
      const answer = await sealed.openResponse(
        new Uint8Array(await outer.arrayBuffer()),
        outer.headers.get('content-type'),
      );
      expect(text(answer)).toMatch(/SEALED_REQUEST_(TRUNCATED|UNREADABLE)/);
    }
    // A request without a body fits the final chunk: without it nothing has opened.
    const bodyless = { ...inferRequest(), path: '/v2', method: 'GET', body: new Uint8Array(0) };
    const sealed = await sealRequest(config, encodeBinaryRequest(bodyless), { chunked: true });
    await expectProblem(await service.post(sealed.body.subarray(0, 39), sealed.mediaType), 'SEALED_REQUEST_TRUNCATED');
    expect(await statements(service)).toBe(0);
  });

  test('an answer belongs to its own request', async () => {
    const service = await Service.start();
    const config = await service.newestKey();
    const sealed = await Promise.all([1, 2].map(() => sealRequest(config, encodeBinaryRequest(inferRequest()))));
    const answers = await Promise.all(
      sealed.map(
        async ({ body, mediaType }) => new Uint8Array(await (await service.post(body, mediaType)).arrayBuffer()),
      ),
    );
    for (const [mine, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      await expect(sealed[mine]!.openResponse(answers[other]!, OHTTP_MEDIA.response)).rejects.toMatchObject({
        code: 'SEALED_ANSWER_INVALID',
      });
      await expect(sealed[mine]!.openResponse(answers[mine]!, OHTTP_MEDIA.response)).resolves.toBeDefined();
    }
  });

  test('too large: refused outside the seal in one piece, inside it in chunks, and always answered', async () => {
    const service = await Service.start({ enclaveArgs: ['--max-body-bytes', '100000'] });
    const config = await service.newestKey();
    const whole = await sealRequest(config, encodeBinaryRequest(inferRequest([], Buffer.alloc(20 << 20, 0x20))));
    await expectProblem(await service.post(whole.body, whole.mediaType), 'REQUEST_TOO_LARGE');
    for (const [size, stated] of [
      [150_000, true],
      [20 << 20, false],
    ] as const) {
      const { inner } = await ask(service, config, inferRequest([], Buffer.alloc(size, 0x20)), { chunked: true });
      expect([inner.status, codeOf(inner)]).toEqual([413, 'REQUEST_TOO_LARGE']);
      expect(inner.headers.has(HEADER.statement)).toBe(stated);
    }
    expect((await ask(service, config)).inner.status).toBe(200);
  });
});

test('who sends all of a long upload before listening still reads why it was refused', async () => {
  const service = await Service.start();
  for (let i = 0; i < 2; i++) {
    const req = request(`${service.url}/ohttp`, { method: 'POST', headers: { 'content-type': OHTTP_MEDIA.request } });
    const answered = once(req, 'response');
    const sent = once(req, 'finish');
    req.end(Buffer.alloc(40 << 20, 0xff));
    await sent;
    const [response] = (await answered) as [IncomingMessage];
    expect([response.statusCode, response.headers[HEADER.errorCode]]).toEqual([400, expect.stringMatching(/^SEAL/)]);
    response.resume();
  }
});

describe('time passes', () => {
  test('keys follow one another; the last is usable, one that ended is unknown', async () => {
    const service = await Service.start({ enclaveArgs: ['--sealing-key-life-ms', '1500'] });
    const first = await service.newestKey();
    const seen = new Set<string>();
    await until(async () => {
      const config = await service.newestKey();
      seen.add(hex(config));
      const { inner } = await ask(service, config);
      expect(inner.status).toBe(200);
      return seen.size >= 5;
    });
    const sealed = await sealRequest(first, encodeBinaryRequest(inferRequest()));
    await expectProblem(await service.post(sealed.body, sealed.mediaType), 'SEALING_KEY_UNKNOWN', OHTTP_KEY_PROBLEM);
  });

  test('when reports stall beyond the last key, sealed work stops, readiness says why, and both recover', async () => {
    let open = (): void => undefined;
    let gate: Promise<void> = Promise.resolve();
    const stallable = (simulated: Attester): Attester => ({
      platform: simulated.platform,
      warning: simulated.warning,
      format: simulated.format,
      minIntervalMs: simulated.minIntervalMs,
      attest: async (...args) => {
        await gate;
        return simulated.attest(...args);
      },
    });
    const service = await Service.start({
      enclaveArgs: ['--sealing-key-life-ms', '1000'],
      attester: stallable,
    });
    onTestFinished(() => open()); // before the service is stopped
    const config = await service.newestKey();
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const readiness = async () => (await fetch(`${service.url}/readyz`)).json() as Promise<Record<string, unknown>>;
    await until(async () => (await readiness())['ready'] === false);
    expect(await readiness()).toMatchObject({
      sealingError: 'KEY_NOT_COMMITTED',
      reasons: [{ code: 'KEY_NOT_COMMITTED' }],
    });
    const sealed = await sealRequest(config, encodeBinaryRequest(inferRequest()));
    const refused = await service.post(sealed.body, sealed.mediaType);
    expect(refused.headers.get('retry-after')).toBe('1');
    await expectProblem(refused, 'KEY_NOT_COMMITTED');
    open();
    await ready(service.host);
    expect((await ask(service, await service.newestKey())).inner.status).toBe(200);
  });

  test('after a restart of the enclave the old key is unknown and the new one answers', async () => {
    const service = await Service.start();
    const old = { config: await service.newestKey(), boot: service.boot };
    await service.stopEnclave();
    await service.startEnclave();
    expect(service.boot).not.toBe(old.boot);
    await ready(service.host);
    await until(
      async () => ((await (await fetch(`${service.url}/readyz`)).json()) as { boot: string }).boot === service.boot,
    );
    const sealed = await sealRequest(old.config, encodeBinaryRequest(inferRequest()));
    const hinted = await service.post(sealed.body, sealed.mediaType, { [HEADER.boot]: old.boot });
    await expectProblem(hinted, 'SEALING_KEY_UNKNOWN', OHTTP_KEY_PROBLEM);
    const { code } = await problemOf(await service.post(sealed.body, sealed.mediaType));
    expect(['SEALING_KEY_UNKNOWN', 'SEALED_REQUEST_UNREADABLE']).toContain(code);
    expect((await ask(service, await service.newestKey(), undefined, { boot: service.boot })).inner.status).toBe(200);
  });

  test('a host that restarts in the middle of a request leaves nothing behind; the same bytes are then a replay', async () => {
    const service = await Service.start({ enclaveArgs: ['--max-in-flight', '1'] });
    const config = await service.newestKey();
    const padded = Buffer.concat([EXAMPLE, Buffer.alloc(400_000, 0x20)]);
    const sealed = await sealRequest(config, encodeBinaryRequest(inferRequest([], padded)), { chunked: true });
    const raw = connect(service.host.address.port, '127.0.0.1');
    const broken = new Promise((resolve) => raw.once('close', resolve));
    raw.on('error', () => undefined);
    raw.write(
      `POST /ohttp HTTP/1.1\r\nhost: x\r\ncontent-type: ${sealed.mediaType}\r\ncontent-length: ${sealed.body.length}\r\n\r\n`,
    );
    raw.write(sealed.body.subarray(0, 100_000));
    await service.untilMetric('veritee_in_flight 1');
    // It has its place, the only one, and its first chunk is open.
    await until(async () => {
      const other = await sealRequest(config, encodeBinaryRequest(inferRequest()));
      const response = await service.post(other.body, other.mediaType);
      return (response.status === 200 ? null : (await problemOf(response)).code) === 'QUEUE_FULL';
    });
    await service.stopHost();
    await broken;
    await service.startHost();
    await ready(service.host);
    const before = await statements(service);
    await until(async () => {
      const code = (await problemOf(await service.post(sealed.body, sealed.mediaType))).code;
      return code === 'SEALED_REQUEST_REPLAYED'; // and no longer QUEUE_FULL
    });
    expect((await ask(service, config)).inner.status).toBe(200);
    await until(async () => (await statements(service)) === before + 1);
  });

  test('a caller who goes away in the middle of an upload frees its place', async () => {
    const service = await Service.start({ enclaveArgs: ['--max-in-flight', '1'] });
    const config = await service.newestKey();
    for (const chunked of [false, true]) {
      const content = encodeBinaryRequest(inferRequest([], Buffer.alloc(400_000, 0x20)));
      const sealed = await sealRequest(config, content, { chunked });
      const raw = connect(service.host.address.port, '127.0.0.1');
      const head = `POST /ohttp HTTP/1.1\r\nhost: x\r\ncontent-type: ${sealed.mediaType}\r\n`;
      raw.write(`${head}content-length: ${sealed.body.length}\r\n\r\n`);
      raw.write(sealed.body.subarray(0, 100_000));
      await service.untilMetric('veritee_in_flight 1');
      raw.destroy();
      await until(async () => {
        const other = await sealRequest(config, encodeBinaryRequest(inferRequest()));
        return (await service.post(other.body, other.mediaType)).status === 200;
      });
    }
  });
});
