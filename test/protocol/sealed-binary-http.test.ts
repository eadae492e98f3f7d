import { BHttpDecoder, BHttpEncoder } from 'bhttp-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, fromUtf8, utf8 } from '../../protocol/bytes.ts';
import { isCode } from '../../protocol/errors.ts';
import {
  encodeBinaryRequest,
  encodeBinaryResponse,
  parseBinaryResponse,
  readBinaryRequest,
} from '../../protocol/sealed/binary-http.ts';
import {
  MAX_CONTENT_CHUNKS,
  MAX_FIELDS,
  MAX_FIELDS_BYTES,
  MAX_PADDING,
  MAX_PATH_BYTES,
} from '../../protocol/sealed/binary-http-rules.ts';
import { encodeVarint } from '../../protocol/sealed/varint.ts';
import { cutAt, gather, outcome } from './sealed-support.ts';
import { plain, unhex, verdict } from './support.ts';

const NONE = new Uint8Array(0);

/** The whole request, from a stream cut at these offsets. */
async function readRequest(data: Uint8Array, offsets: readonly number[] = []) {
  const { method, path, headers, body } = await readBinaryRequest(cutAt(data, offsets));
  return { method, path, headers: [...headers], body: await gather(body) };
}
const everywhere = (data: Uint8Array) => Array.from(data, (_, i) => i);
const read = (data: Uint8Array) => outcome(() => readRequest(data));

/** A length-prefixed text. */
const part = (text: string | Uint8Array) => {
  const value = typeof text === 'string' ? utf8(text) : text;
  return concat(encodeVarint(value.length), value);
};
const line = (name: string, value: string | Uint8Array) => concat(part(name), part(value));
const control = (method = 'POST', path = '/v2') => concat(...[method, 'https', '', path].map(part));
/** Known-length request. */
const known = (section: Uint8Array, ...rest: Uint8Array[]) =>
  concat(Uint8Array.of(0), control(), part(section), ...rest);
/** Indeterminate-length request. */
const streamed = (...rest: Uint8Array[]) => concat(Uint8Array.of(2), control(), ...rest);
const ZERO = Uint8Array.of(0);

describe('the examples of RFC 9292 §5', () => {
  const HELLO = [
    ['user-agent', 'curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3'],
    ['host', 'www.example.com'],
    ['accept-language', 'en, mi'],
  ] as const;
  const request = { method: 'GET', path: '/hello.txt', headers: HELLO.map((row) => [...row]), body: NONE };
  const fields = HELLO.map(([name, value]) => line(name, value));
  const first =
    unhex(`00034745 54056874 74707300 0a2f6865 6c6c6f2e 74787440 6c0a7573 65722d61 67656e74 34637572 6c2f372e
    31362e33 206c6962 6375726c 2f372e31 362e3320 4f70656e 53534c2f 302e392e 376c207a 6c69622f 312e322e 3304686f 73740f77
    77772e65 78616d70 6c652e63 6f6d0f61 63636570 742d6c61 6e677561 67650665 6e2c206d 690000`);

  test('known-length request, whole and truncated', async () => {
    expect(encodeBinaryRequest({ ...request, headers: new Map(HELLO) })).toEqual(first);
    for (const end of [0, 1, 2]) expect(await readRequest(first.subarray(0, first.length - end))).toEqual(request);
    expect(await read(first.subarray(0, first.length - 3))).toBe('SEALED_REQUEST_TRUNCATED');
  });

  test('indeterminate-length request with padding; 12 bytes may go', async () => {
    const example = concat(unhex('02034745 54056874 74707300 0a2f6865 6c6c6f2e 747874'), ...fields, new Uint8Array(13));
    for (let end = 0; end <= 12; end++) {
      const data = example.subarray(0, example.length - end);
      expect(await readRequest(data, everywhere(data))).toEqual(request);
    }
    expect(await read(example.subarray(0, example.length - 13))).toBe('SEALED_REQUEST_TRUNCATED');
  });

  test('indeterminate-length response with informational ones', () => {
    const example = unhex(`03406607 72756e6e 696e670a 22736c65 65702031 35220040 67046c69 6e6b233c 2f737479 6c652e63
      73733e3b 2072656c 3d707265 6c6f6164 3b206173 3d737479 6c65046c 696e6b24 3c2f7363 72697074 2e6a733e 3b207265
      6c3d7072 656c6f61 643b2061 733d7363 72697074 0040c804 64617465 1d4d6f6e 2c203237 204a756c 20323030 39203132
      3a32383a 35332047 4d540673 65727665 72064170 61636865 0d6c6173 742d6d6f 64696669 65641d57 65642c20 3232204a
      756c2032 30303920 31393a31 353a3536 20474d54 04657461 67142233 34616133 38372d64 2d313536 38656230 30220d61
      63636570 742d7261 6e676573 05627974 65730e63 6f6e7465 6e742d6c 656e6774 68023531 04766172 790f4163 63657074
      2d456e63 6f64696e 670c636f 6e74656e 742d7479 70650a74 6578742f 706c6169 6e003348 656c6c6f 20576f72 6c642120
      4d792063 6f6e7465 6e742069 6e636c75 64657320 61207472 61696c69 6e672043 524c462e 0d0a0000`);
    const { status, headers, body } = parseBinaryResponse(example);
    expect(status).toBe(200);
    expect([headers.size, headers.get('etag'), headers.get('link')]).toEqual([8, '"34aa387-d-1568eb00"', undefined]);
    expect(fromUtf8(body)).toBe('Hello World! My content includes a trailing CRLF.\r\n');
  });

  test('known-length response with a trailer', () => {
    const { status, headers, body } = parseBinaryResponse(
      unhex(
        `0140c800 1d546869 7320636f 6e74656e 7420636f 6e746169 6e732043 524c462e 0d0a0d07 74726169 6c657204 74657874`,
      ),
    );
    expect([status, headers.size, fromUtf8(body)]).toEqual([200, 0, 'This content contains CRLF.\r\n']);
  });

  test('RFC 9458 appendix A: both end before their header section', async () => {
    const example = unhex('00034745540568747470730b6578616d706c652e636f6d012f');
    expect(await readRequest(example)).toEqual({ method: 'GET', path: '/', headers: [], body: NONE });
    expect(parseBinaryResponse(unhex('0140c8'))).toEqual({ status: 200, headers: new Map(), body: NONE });
  });
});

const name = fc.stringMatching(/^x-[a-z0-9_-]{1,12}$/);
const value = fc.stringMatching(/^([!-~]([ -~]{0,30}[!-~])?)?$/);
const headersArb = fc
  .uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 8 })
  .map((rows) => new Map(rows));
const bodyArb = fc.uint8Array({ maxLength: 300 }).map(plain);
const pathArb = fc
  .stringMatching(/^\/[a-z0-9/._~-]{0,20}(\?[a-z0-9=&]{1,10})?$/)
  .filter((path) => !/\/\.|\/\//.test(path));
const requestArb = fc.record({
  method: fc.constantFrom('POST', 'PUT', 'GET', 'DELETE'),
  path: pathArb,
  headers: headersArb,
  body: bodyArb,
});
const responseArb = fc.record({ status: fc.integer({ min: 200, max: 599 }), headers: headersArb, body: bodyArb });
const paddingArb = fc.constantFrom(1, 2, 16, 256, 4096);

describe('round trips', () => {
  test('requests, cut anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(requestArb, paddingArb, fc.array(fc.nat(500)), async (request, padToMultipleOf, offsets) => {
        const data = encodeBinaryRequest(request, { padToMultipleOf });
        expect(data.length % padToMultipleOf).toBe(0);
        const cut = offsets.map((offset) => offset % (data.length + 1));
        expect(await readRequest(data, cut)).toEqual({ ...request, headers: [...request.headers] });
      }),
      { numRuns: 200 },
    );
  });

  test('responses', () => {
    fc.assert(
      fc.property(responseArb, paddingArb, (response, padToMultipleOf) => {
        const data = encodeBinaryResponse(response, { padToMultipleOf });
        expect(data.length % padToMultipleOf).toBe(0);
        expect(parseBinaryResponse(data)).toEqual(response);
      }),
      { numRuns: 300 },
    );
  });

  test('indeterminate-length requests, in chunks of any size', async () => {
    await fc.assert(
      fc.asyncProperty(requestArb, fc.array(fc.integer({ min: 1, max: 80 })), async (request, sizes) => {
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < request.body.length; i++) {
          const size = sizes[i % Math.max(1, sizes.length)] ?? 7;
          chunks.push(part(request.body.subarray(at, at + size)));
          at += size;
        }
        const head = concat(Uint8Array.of(2), control(request.method, request.path));
        const lines = [...request.headers].map(([key, text]) => line(key, text));
        const data = concat(head, ...lines, ZERO, ...chunks, ZERO, line('x-after', '1'), ZERO, new Uint8Array(5));
        expect(await readRequest(data, everywhere(data))).toEqual({ ...request, headers: [...request.headers] });
      }),
      { numRuns: 100 },
    );
  });
});

describe('beside bhttp-js', () => {
  const origin = 'https://enclave.example';
  const foreignHeaders = (headers: Headers) => [...headers].filter(([key]) => key.startsWith('x-'));
  const sorted = (headers: ReadonlyMap<string, string>) => [...headers].sort(([a], [b]) => (a < b ? -1 : 1));

  test('it reads our requests', async () => {
    await fc.assert(
      fc.asyncProperty(requestArb, async (request) => {
        // It joins scheme, authority and path to a URL, so for it the authority is put in.
        const ours = encodeBinaryRequest(request);
        const at = 1 + 1 + request.method.length + 1 + 5;
        const named = concat(ours.subarray(0, at), part('enclave.example'), ours.subarray(at + 1));
        const foreign = new BHttpDecoder().decodeRequest(named);
        expect([foreign.method, foreign.url]).toEqual([request.method, `${origin}${request.path}`]);
        expect(foreignHeaders(foreign.headers)).toEqual(sorted(request.headers));
        if (request.method !== 'GET') expect(plain(new Uint8Array(await foreign.arrayBuffer()))).toEqual(request.body);
      }),
      { numRuns: 100 },
    );
  });

  test('we read its requests', async () => {
    await fc.assert(
      fc.asyncProperty(requestArb, async ({ method, path, headers, body }) => {
        const content = method === 'GET' ? {} : { body };
        const foreign = new Request(`${origin}${path}`, { method, headers: [...headers], ...content });
        const ours = await readRequest(await new BHttpEncoder().encodeRequest(foreign));
        expect([ours.method, ours.path]).toEqual([method, path.replace(/\?.*/, '')]); // it leaves the query out
        expect(ours.headers.filter(([key]) => key.startsWith('x-'))).toEqual(sorted(headers));
        expect(ours.body).toEqual(method === 'GET' ? NONE : body);
      }),
      { numRuns: 100 },
    );
  });

  test('responses, both ways', async () => {
    const withBody = responseArb.filter(({ status }) => ![204, 205, 304].includes(status));
    await fc.assert(
      fc.asyncProperty(withBody, async (response) => {
        const foreign = new BHttpDecoder().decodeResponse(encodeBinaryResponse(response));
        expect(foreign.status).toBe(response.status);
        expect(foreignHeaders(foreign.headers)).toEqual(sorted(response.headers));
        expect(plain(new Uint8Array(await foreign.arrayBuffer()))).toEqual(response.body);

        const made = new Response(response.body, { status: response.status, headers: [...response.headers] });
        const ours = parseBinaryResponse(plain(await new BHttpEncoder().encodeResponse(made)));
        expect([ours.status, sorted(ours.headers)]).toEqual([response.status, sorted(response.headers)]);
        expect(ours.body).toEqual(response.body);
      }),
      { numRuns: 100 },
    );
  });
});

describe('refused', () => {
  const MALFORMED = 'SEALED_REQUEST_MALFORMED';
  const TRUNCATED = 'SEALED_REQUEST_TRUNCATED';
  const good = line('x-a', 'b');
  const huge = unhex('ffffffffffffffff');

  const sections: [string, Uint8Array][] = [
    ['an upper-case name', line('X-a', 'b')],
    ['an empty name', line('', '')],
    ['a space in a name', line('x a', 'b')],
    ['a pseudo-field', line(':path', '/')],
    ['a pseudo-field of an extension', line(':protocol', 'x')],
    ['a line break in a value', line('x-a', 'b\r\nc: d')],
    ['a zero in a value', line('x-a', 'b\0')],
    ['a value that is not ASCII', line('x-a', 'é')],
    ['a byte above ASCII', line('x-a', Uint8Array.of(0xff))],
    ['a space before a value', line('x-a', ' b')],
    ['a tab behind a value', line('x-a', 'b\t')],
    ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te', 'expect'].map(
      (forbidden): [string, Uint8Array] => [forbidden, line(forbidden, 'x')],
    ),
    ['too many fields', concat(...Array.from({ length: MAX_FIELDS + 1 }, () => line('a', '')))],
    ['too many bytes', line('x-a', 'b'.repeat(MAX_FIELDS_BYTES))],
    ['a content-length of another length', line('content-length', '4')],
    ['a content-length that is no number', line('content-length', '3.0')],
    ['two content-lengths', concat(line('content-length', '3'), line('content-length', '3'))],
  ];

  test.each(sections)('in a section: %s', async (_, section) => {
    const body = part('abc');
    expect(await read(known(section, body))).toBe(MALFORMED);
    // There an empty name is the section's end.
    if (section.length > 2) expect(await read(streamed(section, ZERO, body, ZERO))).toBe(MALFORMED);
  });

  test('what the sections above would be without their fault', async () => {
    const most = concat(...Array.from({ length: MAX_FIELDS }, (_, i) => line(`x-${i}`, '')));
    for (const section of [good, most, line('content-length', '3'), line('x-a', ''), line('x-a', 'b c\td')]) {
      expect(await read(known(section, part('abc')))).toBe('ok');
      expect(await read(streamed(section, ZERO, part('abc'), ZERO))).toBe('ok');
    }
    const joined = await readRequest(known(concat(line('x-a', '1'), line('x-b', '2'), line('x-a', '3'))));
    expect(joined.headers).toEqual([
      ['x-a', '1, 3'],
      ['x-b', '2'],
    ]);
  });

  const messages: [string, Uint8Array, string][] = [
    ['a response', unhex('0140c8'), MALFORMED],
    ['an unknown framing', concat(Uint8Array.of(4), control()), MALFORMED],
    ['nothing', NONE, TRUNCATED],
    ['no method', concat(ZERO, control('')), MALFORMED],
    ['a method that is no token', concat(ZERO, control('GE T')), MALFORMED],
    ['a method of great length', concat(ZERO, control('G'.repeat(33))), MALFORMED],
    ['a path without its slash', concat(ZERO, control('GET', 'v2')), MALFORMED],
    ['a URL as the path', concat(ZERO, control('GET', 'https://a/')), MALFORMED],
    ['a space in the path', concat(ZERO, control('GET', '/a b')), MALFORMED],
    ['a path that is not ASCII', concat(ZERO, control('GET', '/é')), MALFORMED],
    ['a path of great length', concat(ZERO, control('GET', `/${'a'.repeat(MAX_PATH_BYTES)}`)), MALFORMED],
    ['a huge method', concat(ZERO, huge), MALFORMED],
    ['a huge section', concat(ZERO, control(), huge), MALFORMED],
    ['a huge content', known(good, huge, unhex('00')), TRUNCATED],
    ['a huge name', streamed(huge), MALFORMED],
    ['a huge value', streamed(part('x-a'), huge), MALFORMED],
    ['a huge chunk', streamed(good, ZERO, huge, unhex('00')), TRUNCATED],
    ['huge trailers', known(good, part('abc'), huge), MALFORMED],
    ['a section that a line overruns', concat(ZERO, control(), Uint8Array.of(4), good.subarray(0, 4)), MALFORMED],
    ['a section that ends in a line', known(part('x-a'), part('abc')), MALFORMED],
    ['a message that ends in its section', concat(ZERO, control(), Uint8Array.of(9), good), TRUNCATED],
    ['a message that ends in its content', known(good, Uint8Array.of(4), utf8('abc')), TRUNCATED],
    ['a message that ends in a length', known(good, Uint8Array.of(0x40)), TRUNCATED],
    ['chunks without their end', streamed(good, ZERO, part('abc')), TRUNCATED],
    ['a section without its end', streamed(good), TRUNCATED],
    ['trailers without their end', streamed(good, ZERO, part('abc'), ZERO, good), TRUNCATED],
    ['a forbidden trailer', known(good, part('abc'), part(line('te', 'trailers'))), MALFORMED],
    ['padding that is not zeros', known(good, part('abc'), ZERO, unhex('000001')), MALFORMED],
    ['a message behind the message', known(good, part('abc'), ZERO, known(good)), MALFORMED],
    ['padding without end', known(good, part('abc'), ZERO, new Uint8Array(MAX_PADDING)), MALFORMED],
  ];
  test.each(messages)('%s', async (_, data, code) => {
    expect(await read(data)).toBe(code);
    if (data.length < 20_000) expect(await outcome(() => readRequest(data, everywhere(data)))).toBe(code);
  });

  test('the longest padding is taken', async () => {
    expect(await read(known(good, part('abc'), ZERO, new Uint8Array(MAX_PADDING - 1)))).toBe('ok');
    const padded = encodeBinaryRequest(
      { method: 'GET', path: '/', headers: new Map(), body: NONE },
      { padToMultipleOf: MAX_PADDING },
    );
    expect(padded.length).toBe(MAX_PADDING);
    expect(await read(padded)).toBe('ok');
    for (const padToMultipleOf of [0, -1, 1.5, MAX_PADDING + 1, Number.NaN]) {
      const make = () => encodeBinaryResponse({ status: 200, headers: new Map(), body: NONE }, { padToMultipleOf });
      expect(make).toThrow(TypeError);
    }
  });

  test('a cut answer is invalid at every length but where an empty section may be left out', () => {
    const whole = encodeBinaryResponse({ status: 200, headers: new Map([['x-a', 'b']]), body: utf8('abc') });
    const ends = Array.from(whole, (_, length) => verdict(() => parseBinaryResponse(plain(whole.subarray(0, length)))));
    const headEnd = 1 + 2; // framing and status
    expect(ends.flatMap((end, length) => (end === 'ok' ? [length] : []))).toEqual([
      headEnd,
      headEnd + 7,
      whole.length - 1,
    ]);
    expect(new Set(ends)).toEqual(new Set(['ok', 'SEALED_ANSWER_INVALID']));
  });

  const answers: [string, Uint8Array<ArrayBuffer>][] = [
    ['a request', concat(ZERO, control())],
    ['a status of 99', unhex('014063')],
    ['a status of 600', unhex('014258')],
    ['an informational status and no more', unhex('01406400')],
    [
      'too many informational answers',
      concat(unhex('01'), ...Array.from({ length: 10 }, () => unhex('406400')), unhex('40c8')),
    ],
    ['a content-length of another length', concat(unhex('0140c8'), part(line('content-length', '2')), part('abc'))],
    ['a huge content', concat(unhex('0140c800'), huge)],
    ['a header that is none', concat(unhex('0140c8'), part(line('A', 'b')))],
    ['padding that is not zeros', concat(unhex('0140c8000000'), unhex('01'))],
  ];
  test.each(answers)('an answer: %s', (_, data) => {
    expect(verdict(() => parseBinaryResponse(data))).toBe('SEALED_ANSWER_INVALID');
  });

  test('random bytes get a coded refusal or a reading', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3 }), fc.uint8Array({ maxLength: 100 }), async (framing, bytes) => {
        const data = concat(Uint8Array.of(framing), bytes);
        const codes = [await read(data), verdict(() => parseBinaryResponse(data))];
        for (const code of codes) expect(code === 'ok' || isCode(code)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('what no reader would take is not written', () => {
    const request = { method: 'GET', path: '/', headers: new Map<string, string>(), body: NONE };
    for (const wrong of [
      { method: '' },
      { method: 'G T' },
      { path: '' },
      { path: 'v2' },
      { headers: new Map([['X-A', 'b']]) },
      { headers: new Map([['x-a', 'b\n']]) },
      { headers: new Map([['connection', 'close']]) },
    ]) {
      expect(() => encodeBinaryRequest({ ...request, ...wrong })).toThrow(TypeError);
    }
    for (const status of [0, 100, 199, 600, 200.5]) {
      expect(() => encodeBinaryResponse({ status, headers: new Map(), body: NONE })).toThrow(TypeError);
    }
  });
});

describe('a body', () => {
  const head = concat(ZERO, control(), ZERO);
  /** Content of so many chunks of one byte. */
  const crumbs = (count: number) =>
    concat(
      streamed(ZERO),
      Uint8Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? 1 : 7)),
      ZERO,
    );

  test.each([1000, 16_384, 70_000])('passes through, in pieces of %i bytes, without being gathered', async (size) => {
    const piece = new Uint8Array(size);
    const count = 100;
    let given = 0;
    async function* content() {
      yield concat(head, encodeVarint(count * size));
      for (let i = 0; i < count; i++) {
        given++;
        yield piece;
      }
    }
    const { body } = await readBinaryRequest(content());
    let seen = 0;
    for await (const part of body) {
      seen += part.length;
      expect(given * size - seen).toBeLessThanOrEqual(Math.max(size, 16_384));
    }
    expect(seen).toBe(count * size);
  });

  test('that comes in crumbs is handed on in pieces', async () => {
    const data = crumbs(50_000);
    const { body } = await readBinaryRequest(cutAt(data, everywhere(data.subarray(0, 5000))));
    const lengths: number[] = [];
    for await (const part of body) lengths.push(part.length);
    expect(lengths).toEqual([16_384, 16_384, 16_384, 50_000 - 3 * 16_384]);
  });

  test('of pieces that alternate keeps its order', async () => {
    const parts = [1, 16_383, 1, 16_384, 20_000, 5, 16_384, 3].map((length, i) => new Uint8Array(length).fill(i + 1));
    const whole = concat(...parts);
    async function* content() {
      yield concat(head, encodeVarint(whole.length));
      yield* parts;
    }
    const { body } = await readBinaryRequest(content());
    expect(Buffer.compare(await gather(body), whole)).toBe(0);
  });

  test('has at most 65,536 chunks', async () => {
    expect(await read(crumbs(MAX_CONTENT_CHUNKS))).toBe('ok');
    expect(await read(crumbs(MAX_CONTENT_CHUNKS + 1))).toBe('SEALED_REQUEST_MALFORMED');
  });
});
