import { readFileSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { fromUtf8, hex } from '../../protocol/bytes.ts';
import { HEADER } from '../../protocol/link.ts';
import { encodeBinaryRequest, encodeBinaryResponse } from '../../protocol/sealed/binary-http.ts';
import {
  MAX_CONTENT_CHUNKS,
  MAX_FIELDS,
  MAX_FIELDS_BYTES,
  MAX_PADDING,
  MAX_PATH_BYTES,
} from '../../protocol/sealed/binary-http-rules.ts';
import { MAX_CHUNK_BYTES, MAX_CHUNKS } from '../../protocol/sealed/chunks.ts';
import { CHUNKED, type Form, OHTTP_KEY_PROBLEM, OHTTP_MEDIA, PLAIN } from '../../protocol/sealed/forms.ts';
import { MAX_KEY_CONFIG_BYTES, MAX_KEY_CONFIGS } from '../../protocol/sealed/key-config.ts';
import { openRequest } from '../../protocol/sealed/recipient.ts';
import { SealingKeyPair } from '../../protocol/sealed/sealing-key.ts';
import { sealRequestWith } from '../../protocol/sealed/sender.ts';
import { cutAt, gather, optionsFor, PRIMITIVES, pairOf, withEphemeral } from './sealed-support.ts';

/** docs/formats.md is what others implement from, so it may not fall behind the code. */
const doc = readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8');
const lines = new Set(doc.split('\n'));
const counting = (from: number, length = 32) => Uint8Array.from({ length }, (_, i) => from + i);
const inLines = (text: string) => text.match(/.{1,120}/g)!.join('\n');

afterEach(() => vi.restoreAllMocks());

test('limits', () => {
  expect(MAX_CONTENT_CHUNKS).toBe(MAX_CHUNKS);
  const number = (value: number) => value.toLocaleString('en-US');
  for (const row of [
    `| key configuration | ${number(MAX_KEY_CONFIG_BYTES)} bytes |`,
    `| list of key configurations | ${MAX_KEY_CONFIGS} |`,
    `| chunk of a sealed message | ${number(MAX_CHUNK_BYTES)} bytes before sealing |`,
    `| chunks of a sealed message, of content inside the seal | ${number(MAX_CHUNKS)} |`,
    `| header or trailer section inside the seal | ${MAX_FIELDS} fields, ${number(MAX_FIELDS_BYTES)} bytes |`,
    `| path inside the seal | ${number(MAX_PATH_BYTES)} bytes |`,
    `| padding inside the seal | ${number(MAX_PADDING - 1)} bytes |`,
  ]) {
    expect(lines).toContain(row);
  }
});

test('media types, labels, problem type, padding header', () => {
  const labels = [PLAIN, CHUNKED].flatMap((form) => [fromUtf8(form.requestLabel), fromUtf8(form.responseLabel)]);
  for (const text of [...Object.values(OHTTP_MEDIA), ...labels, OHTTP_KEY_PROBLEM])
    expect(doc).toContain(`\`${text}\``);
  expect(doc.toLowerCase()).toContain(`| \`${HEADER.padding}\` |`);
});

/** Fixed keys and a fixed response nonce: what no real message may have. */
test.each(PRIMITIVES)('the example, on $name', async (primitives) => {
  const suite = primitives.of(256);
  const pair = await SealingKeyPair.of(suite, 0x5a, await pairOf(suite, counting(0)));
  const sender = await withEphemeral(primitives, 256, counting(0x20));
  vi.spyOn(crypto, 'getRandomValues').mockImplementation((out) => {
    (out as Uint8Array).set(counting(0x40));
    return out;
  });
  const none = new Uint8Array(0);
  const request = encodeBinaryRequest({ method: 'GET', path: '/v2', headers: new Map(), body: none });
  const response = encodeBinaryResponse({ status: 404, headers: new Map(), body: none }, { padToMultipleOf: 8 });
  const rows = [
    `configuration     ${hex(pair.config)}`,
    `request           ${hex(request)}`,
    `answer            ${hex(response)}`,
  ];
  const seal = async (name: string, form: Form) => {
    const sealed = await sealRequestWith(sender, pair.config, request, form);
    const opened = await openRequest(cutAt(sealed.body, []), sealed.mediaType, optionsFor(pair));
    expect(await gather(opened.content)).toEqual(request);
    const { body } = await opened.sealResponse(response);
    expect(await sealed.openResponse(body, form.responseType)).toEqual(response);
    rows.push(`${name} request\n${inLines(hex(sealed.body))}`, `${name} answer\n${inLines(hex(body))}`);
  };
  await seal('plain', PLAIN);
  await seal('chunked', CHUNKED);
  for (const row of rows) expect(doc).toContain(`\n${row}\n`);
});
