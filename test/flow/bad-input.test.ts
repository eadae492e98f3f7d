import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url, hex } from '../../protocol/bytes.ts';
import { parseEntry } from '../../protocol/entries.ts';
import { parseEntryBundle } from '../../protocol/tiles.ts';
import { type Served, serve, temporaryFolder } from '../support/cli.ts';

const MARKER = 'TOPSECRETPAYLOAD';
const MAX_BODY = 200_000;

type Request = { inputs: Record<string, unknown>[]; [other: string]: unknown };

describe('bad requests', () => {
  const { folder, remove } = temporaryFolder();
  const goodInput = { name: 'readings', shape: [1, 7], datatype: 'FP32', data: [30, 60, 2, 750, 415, 1, 0] };
  const good: Request = { inputs: [goodInput] };
  let served: Served;

  beforeAll(async () => {
    served = await serve(path.join(folder, 'data'), [
      '--allow-plaintext',
      ...[
        '--enclave-option',
        `max-body-bytes=${MAX_BODY}`,
        '--enclave-option',
        'max-input-bytes=100000',
        '--log-level',
        'debug',
      ],
    ]);
  });
  afterAll(async () => {
    expect(await served?.stop()).toBe(0);
    remove();
  });

  const post = (body: string | Uint8Array, headers: Record<string, string> = {}, model = 'heat-stress') =>
    fetch(`${served.url}/v2/models/${model}/infer`, {
      method: 'POST',
      body: body as NonNullable<RequestInit['body']>,
      headers,
    });
  const withInput = (change: Record<string, unknown>) =>
    JSON.stringify({ ...good, inputs: [{ ...goodInput, ...change }] });
  const text = (body: string) => body;

  /** what, body, code, status, what the words must name, headers, model */
  const cases: [string, () => string | Uint8Array, string, number, string, Record<string, string>?, string?][] = [
    [
      'a wrong tensor name',
      () => withInput({ name: MARKER.toLowerCase() }),
      'TENSOR_NAME_UNKNOWN',
      400,
      'inputs[0].name',
    ],
    ['a wrong shape', () => withInput({ shape: [1, 2], data: [1, 2] }), 'TENSOR_SHAPE_MISMATCH', 400, 'FP32'],
    [
      'a wrong datatype',
      () => withInput({ datatype: 'INT64', data: goodInput.data.map(() => 1) }),
      'TENSOR_DATATYPE_MISMATCH',
      400,
      'INT64',
    ],
    ['an unknown datatype', () => withInput({ datatype: 'FP8' }), 'TENSOR_DATATYPE_UNKNOWN', 400, 'inputs[0]'],
    [
      'a wrong element count',
      () => withInput({ data: goodInput.data.slice(1) }),
      'TENSOR_ELEMENT_COUNT_MISMATCH',
      400,
      'FP32',
    ],
    [
      'NaN',
      () => text(JSON.stringify(good).replace('"data":[30', '"data":[NaN')),
      'JSON_NUMBER_NOT_FINITE',
      400,
      'data[0]',
    ],
    [
      'a number beyond a double',
      () =>
        withInput({ data: goodInput.data })
          .replace(/"data":\[/, '"data":[1e999,')
          .replace(/,[^,\]]+\]/, ']'),
      'JSON_NUMBER_NOT_FINITE',
      400,
      'data[0]',
    ],
    [
      'a number beyond FP32',
      () => withInput({ data: goodInput.data.map(() => 1e300) }),
      'TENSOR_VALUE_OUT_OF_RANGE',
      400,
      'FP32',
    ],
    [
      'text where a number belongs',
      () => withInput({ data: goodInput.data.map(() => MARKER) }),
      'TENSOR_VALUE_INVALID',
      400,
      'FP32',
    ],
    ['no inputs', () => '{"inputs":[]}', 'TENSOR_MISSING', 400, goodInput.name],
    ['an oversized body', () => ' '.repeat(MAX_BODY) + JSON.stringify(good), 'REQUEST_TOO_LARGE', 413, 'body'],
    [
      'inputs beyond the memory ceiling',
      () => withInput({ shape: [30_000, goodInput.shape[1]], data: [] }),
      'TENSOR_ELEMENT_COUNT_MISMATCH',
      400,
      'FP32',
    ],
    ['malformed JSON', () => `{"inputs": [${MARKER}`, 'JSON_MALFORMED', 400, ''],
    ['an empty body', () => '', 'JSON_MALFORMED', 400, ''],
    ['bytes after the JSON', () => `${JSON.stringify(good)} {}`, 'JSON_MALFORMED', 400, ''],
    ['a byte order mark', () => `\ufeff${JSON.stringify(good)}`, 'JSON_MALFORMED', 400, ''],
    ['invalid UTF-8', () => Uint8Array.of(0x7b, 0xff, 0x7d), 'JSON_MALFORMED', 400, ''],
    ['a member given twice', () => `{"id":"a","id":"b",${JSON.stringify(good).slice(1)}`, 'JSON_MALFORMED', 400, ''],
    ['an unknown member', () => JSON.stringify({ ...good, inptus: MARKER }), 'REQUEST_FIELD_INVALID', 400, 'inptus'],
    [
      'an unknown output',
      () => JSON.stringify({ ...good, outputs: [{ name: 'nothing' }] }),
      'TENSOR_NAME_UNKNOWN',
      400,
      'outputs[0].name',
    ],
    [
      'a content encoding',
      () => JSON.stringify(good),
      'REQUEST_ENCODING_UNSUPPORTED',
      415,
      'content-encoding',
      { 'content-encoding': 'gzip' },
    ],
    [
      'a nonce that is not hexadecimal',
      () => JSON.stringify(good),
      'NONCE_INVALID',
      400,
      'veritee-nonce',
      { 'veritee-nonce': 'xyz' },
    ],
    [
      'a nonce that is too long',
      () => JSON.stringify(good),
      'NONCE_INVALID',
      400,
      'veritee-nonce',
      { 'veritee-nonce': 'ab'.repeat(65) },
    ],
    [
      'a JSON length beyond the body',
      () => JSON.stringify(good),
      'REQUEST_HEADER_INVALID',
      400,
      'nference',
      { 'inference-header-content-length': '99999999' },
    ],
    ['an unknown model', () => JSON.stringify(good), 'MODEL_UNKNOWN', 404, 'nosuch', {}, 'nosuch'],
    [
      'an unknown version',
      () => JSON.stringify(good),
      'MODEL_VERSION_UNKNOWN',
      404,
      '77',
      {},
      'heat-stress/versions/77',
    ],
  ];

  test.each(cases)('%s', async (_what, body, code, status, named, headers = {}, model = 'heat-stress') => {
    const response = await post(body(), headers, model);
    const answer = (await response.json()) as { error: string; code: string };
    expect(answer.code, answer.error).toBe(code);
    expect(response.status).toBe(status);
    expect(response.headers.get('veritee-error-code')).toBe(code);
    expect(answer.error).toContain(named);
    expect(answer.error).not.toContain(MARKER);
    // The refusal is an entry: stated, signed, and in the log.
    const statement = fromBase64url(response.headers.get('veritee-statement') ?? '') as Uint8Array;
    const entry = parseEntry(statement);
    if (entry.kind !== 'statement') throw new Error('not a statement');
    expect(entry.value.outcome).toBe(code);
    expect(hex(entry.value.receiptId)).toBe(response.headers.get('veritee-receipt-id'));
    const { boots } = (await (await fetch(`${served.url}/log`)).json()) as { boots: { boot: string; size: number }[] };
    const { boot, size } = boots[0] as { boot: string; size: number };
    const bundle = Math.floor(entry.sequence / 256);
    const width = Math.min(256, size - bundle * 256);
    const tile = `tile/entries/${String(bundle).padStart(3, '0')}${width === 256 ? '' : `.p/${width}`}`;
    const logged = parseEntryBundle(
      new Uint8Array(await (await fetch(`${served.url}/log/${boot}/${tile}`)).arrayBuffer()),
    );
    expect(logged[entry.sequence % 256]).toEqual(statement);
  });

  test('a truncated binary body', async () => {
    const json = JSON.stringify({
      inputs: [
        {
          name: goodInput.name,
          shape: goodInput.shape,
          datatype: 'FP32',
          parameters: { binary_data_size: goodInput.data.length * 4 },
        },
      ],
    });
    const whole = Buffer.concat([Buffer.from(json), Buffer.from(Float32Array.from(goodInput.data).buffer)]);
    const headers = { 'inference-header-content-length': String(json.length) };
    expect((await post(whole, headers)).status).toBe(200);
    for (const cut of [1, 3, goodInput.data.length * 4]) {
      const response = await post(whole.subarray(0, whole.length - cut), headers);
      expect(response.status).toBe(400);
      expect(((await response.json()) as { code: string }).code).toBe('BINARY_TRUNCATED');
    }
    const longer = await post(Buffer.concat([whole, Buffer.from([0])]), headers);
    expect(((await longer.json()) as { code: string }).code).toBe('BINARY_SIZE_MISMATCH');
  });

  test('the service keeps serving, and no log line held a payload', async () => {
    expect((await post(JSON.stringify(good))).status).toBe(200);
    expect(served.log()).toContain('TENSOR_SHAPE_MISMATCH');
    expect(served.log()).not.toContain(MARKER);
    expect(served.log()).not.toContain(MARKER.toLowerCase());
  });

  test('without --allow-plaintext a request in the clear is refused', async () => {
    const sealed = await serve(path.join(folder, 'sealed'));
    const response = await fetch(`${sealed.url}/v2/models/heat-stress/infer`, {
      method: 'POST',
      body: JSON.stringify(good),
    });
    expect(response.status).toBe(403);
    expect(((await response.json()) as { code: string }).code).toBe('PLAINTEXT_NOT_ALLOWED');
    expect(await sealed.stop()).toBe(0);
  });
});
