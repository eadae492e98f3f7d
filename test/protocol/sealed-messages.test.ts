import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { concat, hex } from '../../protocol/bytes.ts';
import { isCode, ServiceError } from '../../protocol/errors.ts';
import { ByteReader } from '../../protocol/sealed/byte-reader.ts';
import { MAX_CHUNK_BYTES, MAX_CHUNKS, openChunks } from '../../protocol/sealed/chunks.ts';
import { CHUNKED, type Form, OHTTP_MEDIA, PLAIN } from '../../protocol/sealed/forms.ts';
import { openRequest } from '../../protocol/sealed/recipient.ts';
import { refuseRequest } from '../../protocol/sealed/refusal.ts';
import { generateSealingKey, SealingKeyPair } from '../../protocol/sealed/sealing-key.ts';
import { sealRequest, sealRequestWith } from '../../protocol/sealed/sender.ts';
import { suite, webSuite } from '../../protocol/sealed/suite.ts';
import { cutAt, gather, openWhole, optionsFor, outcome, PRIMITIVES, pairOf, withEphemeral } from './sealed-support.ts';
import { plain, unhex } from './support.ts';

const KEY = await generateSealingKey(7);
const HEAD = 7 + 32;
const TAG = 16;
const FORMS = [PLAIN, CHUNKED];
const random = (length: number) => {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(out.subarray(at, at + 65_536));
  return out;
};
const seal = (content: Uint8Array, form: Form = PLAIN, pieces?: Uint8Array[]) =>
  sealRequestWith(suite(), KEY.config, content, form, pieces);
const open = (body: Uint8Array, mediaType: string) => openWhole(KEY, body, mediaType);
const openedBy = (body: Uint8Array, { requestType }: Form) =>
  openRequest(cutAt(body, []), requestType, optionsFor(KEY));

afterEach(() => vi.restoreAllMocks());

/** The published messages use AES-128-GCM; everything but that parameter is the code that runs. */
describe.each(PRIMITIVES)('published examples on $name', (primitives) => {
  const publish = async (example: { config: string; skR: string; skE: string }) => {
    const keyId = unhex(example.config)[0]!;
    const pair = await SealingKeyPair.of(
      primitives.of(128),
      keyId,
      await pairOf(primitives.of(128), unhex(example.skR)),
    );
    expect(example.config.startsWith(hex(pair.config.subarray(0, 35)))).toBe(true);
    return { pair, sender: await withEphemeral(primitives, 128, unhex(example.skE)) };
  };
  const fixedNonce = (nonce: string) =>
    vi.spyOn(crypto, 'getRandomValues').mockImplementation((out) => {
      (out as Uint8Array).set(unhex(nonce));
      return out;
    });

  test('RFC 9458 appendix A', async () => {
    const config = '01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003';
    const { pair, sender } = await publish({
      config,
      skR: '3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a',
      skE: 'bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73',
    });
    const request = unhex('00034745540568747470730b6578616d706c652e636f6d012f');
    const sealed = await sealRequestWith(sender, unhex(config), request, PLAIN);
    expect(hex(sealed.body)).toBe(
      '010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472' +
        '6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525',
    );
    const opened = await openRequest(cutAt(sealed.body, []), 'message/ohttp-req', optionsFor(pair));
    expect(await gather(opened.content)).toEqual(request);
    fixedNonce('c789e7151fcba46158ca84b04464910d');
    const answer = await opened.sealResponse(unhex('0140c8'));
    expect(answer.mediaType).toBe('message/ohttp-res');
    expect(hex(answer.body)).toBe('c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd');
    expect(hex(await sealed.openResponse(answer.body, 'message/ohttp-res'))).toBe('0140c8');
  });

  test('draft-ietf-ohai-chunked-ohttp-08 appendix A', async () => {
    const config = '010020668eb21aace159803974a4c67f08b4152d29bed10735fd08f98ccdd6fe09570800080001000100010003';
    const { pair, sender } = await publish({
      config,
      skR: '1c190d72acdbe4dbc69e680503bb781a932c70a12c8f3754434c67d8640d8698',
      skE: 'b26d565f3f875ed480d1abced3d665159650c99174fd0b124ac4bda0c64ae324',
    });
    const request = unhex('00034745540568747470730b6578616d706c652e636f6d012f');
    const pieces = [request.subarray(0, 12), request.subarray(12), new Uint8Array(0)];
    const sealed = await sealRequestWith(sender, unhex(config), request, CHUNKED, pieces);
    expect(hex(sealed.body)).toBe(
      '01002000010001' +
        '8811eb457e100811c40a0aa71340a1b81d804bb986f736f2f566a7199761a032' +
        '1c2ad24942d4d692563012f2980c8fef437a336b9b2fc938ef77a5834f' +
        '1d2e33d8fd25577afe31bd1c79d094f76b6250ae6549b473ecd950501311' +
        '001c6c1395d0ef7c1022297966307b8a7f',
    );
    const opened = await openRequest(cutAt(sealed.body, []), 'message/ohttp-chunked-req', optionsFor(pair));
    expect(await gather(opened.content)).toEqual(request);
    const answer = unhex(
      'bcce7f4cb921309ba5d62edf1769ef09' +
        '1179bf1cc87fa0e2c02de4546945aa3d1e48' +
        '12b348b5bd4c594c16b6170b07b475845d1f32' +
        '00ed9d8a796617a5b27265f4d73247f639',
    );
    expect(hex(await sealed.openResponse(answer, 'message/ohttp-chunked-res'))).toBe('0140c8');
  });
});

describe('round trips', () => {
  const lengths = [0, 1, MAX_CHUNK_BYTES - 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 3 * MAX_CHUNK_BYTES + 5];
  const pairs = PRIMITIVES.flatMap((sender) => PRIMITIVES.map((recipient) => ({ sender, recipient })));

  test.each(pairs)('sealed on $sender.name, opened on $recipient.name', async ({ sender, recipient }) => {
    const keys = recipient.of(256);
    const pair = await SealingKeyPair.of(keys, 255, await keys.hpke.GenerateKeyPair());
    for (const form of FORMS) {
      for (const length of lengths) {
        const content = random(length);
        const sealed = await sealRequestWith(sender.of(256), pair.config, content, form);
        expect(sealed.mediaType).toBe(form.requestType);
        const opened = await openRequest(cutAt(sealed.body, []), sealed.mediaType, optionsFor(pair));
        expect(await gather(opened.content)).toEqual(content);
        const answer = await opened.sealResponse(content);
        expect(answer.mediaType).toBe(form.responseType);
        expect(plain(await sealed.openResponse(answer.body, answer.mediaType))).toEqual(content);
      }
    }
  });

  test('any cut of the stream gives the same reading', async () => {
    for (const form of FORMS) {
      const content = random(2 * MAX_CHUNK_BYTES + 77);
      const { body } = await seal(content, form);
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(body.length), { maxLength: 40 }), async (offsets) => {
          const opened = await openRequest(cutAt(body, offsets), form.requestType, optionsFor(KEY));
          expect(Buffer.compare(await gather(opened.content), content)).toBe(0);
        }),
        { numRuns: 30 },
      );
      const short = (await seal(random(300), form)).body;
      const everywhere = Array.from(short, (_, i) => i);
      const opened = await openRequest(cutAt(short, everywhere), form.requestType, optionsFor(KEY));
      expect((await gather(opened.content)).length).toBe(300);
    }
  });

  test('the answer can come before the request is read, and each has its own nonce', async () => {
    for (const form of FORMS) {
      const sealed = await seal(random(40_000), form);
      const opened = await openedBy(sealed.body, form);
      const [one, two] = [await opened.sealResponse(unhex('0140c8')), await opened.sealResponse(unhex('0140c8'))];
      expect(hex(one.body.subarray(0, 32))).not.toBe(hex(two.body.subarray(0, 32)));
      expect(hex(one.body.subarray(32))).not.toBe(hex(two.body.subarray(32)));
      for (const { body, mediaType } of [one, two]) {
        expect(hex(await sealed.openResponse(body, mediaType))).toBe('0140c8');
      }
    }
  });

  test('a chunked answer counts its chunks', async () => {
    const sealed = await seal(random(1), CHUNKED);
    const opened = await openedBy(sealed.body, CHUNKED);
    const content = random(300 * MAX_CHUNK_BYTES + 1); // past where the counter leaves its first byte
    const { body, mediaType } = await opened.sealResponse(content);
    expect(Buffer.compare(await sealed.openResponse(body, mediaType), content)).toBe(0);
  });
});

describe('changed on the way', () => {
  const content = random(60);
  const pieces = [content.subarray(0, 20), content.subarray(20, 45), content.subarray(45)];
  const CUT = ['SEALED_REQUEST_TRUNCATED', 'SEALED_REQUEST_UNREADABLE'];

  test('cut at every length: a request never reads as whole', async () => {
    for (const form of FORMS) {
      const { body } = await seal(content, form, pieces);
      for (let length = 0; length < body.length; length++) {
        expect(CUT).toContain(await outcome(() => open(body.subarray(0, length), form.requestType)));
      }
    }
  });

  test('cut between chunks: said to be truncated', async () => {
    const { body } = await seal(content, CHUNKED, pieces);
    for (const length of [HEAD, HEAD + 1 + 20 + TAG, HEAD + 2 + 45 + 2 * TAG, HEAD + 3 + 45 + 2 * TAG]) {
      expect(await outcome(() => open(body.subarray(0, length), CHUNKED.requestType))).toBe('SEALED_REQUEST_TRUNCATED');
    }
  });

  test('cut at every length: an answer never reads as whole', async () => {
    for (const form of FORMS) {
      const sealed = await seal(content, form);
      const { body, mediaType } = await (await openedBy(sealed.body, form)).sealResponse(content);
      const codes = new Set<string>();
      for (let length = 0; length < body.length; length++) {
        codes.add(await outcome(() => sealed.openResponse(body.subarray(0, length), mediaType)));
      }
      expect([...codes].sort()).toEqual(['SEALED_ANSWER_INVALID', 'SEALED_ANSWER_TRUNCATED']);
    }
  });

  test('every single-byte change is refused', async () => {
    for (const form of FORMS) {
      const sealed = await seal(content, form, pieces);
      const { body: answer, mediaType } = await (await openedBy(sealed.body, form)).sealResponse(content);
      for (const change of [0x01, 0x40, 0x80, 0xff]) {
        for (const [i, byte] of sealed.body.entries()) {
          const changed = plain(sealed.body);
          changed[i] = byte ^ change;
          const code = await outcome(() => open(changed, form.requestType));
          expect(code).toMatch(
            i === 0 ? /^SEALING_KEY_UNKNOWN$/ : i < 7 ? /^SEALED_REQUEST_MALFORMED$/ : /^SEALED_REQUEST/,
          );
        }
        for (const [i, byte] of answer.entries()) {
          const changed = plain(answer);
          changed[i] = byte ^ change;
          expect(await outcome(() => sealed.openResponse(changed, mediaType))).toMatch(
            /^SEALED_ANSWER_(INVALID|TRUNCATED)$/,
          );
        }
      }
    }
  });

  test('bytes behind the end are refused', async () => {
    for (const form of FORMS) {
      const sealed = await seal(content, form, pieces);
      const { body, mediaType } = await (await openedBy(sealed.body, form)).sealResponse(content);
      expect(await outcome(() => open(concat(sealed.body, Uint8Array.of(0)), form.requestType))).toBe(
        'SEALED_REQUEST_UNREADABLE',
      );
      expect(await outcome(() => sealed.openResponse(concat(body, Uint8Array.of(0)), mediaType))).toBe(
        'SEALED_ANSWER_INVALID',
      );
    }
  });

  test('an answer opens only for the request it was made for', async () => {
    for (const form of FORMS) {
      const [one, two] = [await seal(content, form), await seal(content, form)];
      const answer = await (await openedBy(one.body, form)).sealResponse(content);
      expect(await outcome(() => one.openResponse(answer.body, answer.mediaType))).toBe('ok');
      expect(await outcome(() => two.openResponse(answer.body, answer.mediaType))).toBe('SEALED_ANSWER_INVALID');
    }
  });

  test('a message of one form is none of the other', async () => {
    for (const [form, other] of [FORMS, [...FORMS].reverse()] as [Form, Form][]) {
      const sealed = await seal(content, form);
      const answer = await (await openedBy(sealed.body, form)).sealResponse(content);
      expect(await outcome(() => open(sealed.body, other.requestType))).toMatch(/^SEALED_REQUEST_/);
      expect(await outcome(() => sealed.openResponse(answer.body, other.responseType))).toBe('SEALED_ANSWER_CLEAR');
    }
    const [one, two] = [await seal(content, PLAIN), await seal(content, CHUNKED)];
    const answer = await (await openedBy(one.body, PLAIN)).sealResponse(content);
    expect(await outcome(() => two.openResponse(answer.body, CHUNKED.responseType))).toMatch(
      /^SEALED_ANSWER_(INVALID|TRUNCATED)$/,
    );
  });

  test('an answer that is not sealed is refused by its media type', async () => {
    const sealed = await seal(content);
    const { body } = await (await openedBy(sealed.body, PLAIN)).sealResponse(content);
    for (const mediaType of [
      null,
      '',
      'application/json',
      OHTTP_MEDIA.request,
      'message/ohttp-res2',
      'x; message/ohttp-res',
    ]) {
      expect(await outcome(() => sealed.openResponse(body, mediaType))).toBe('SEALED_ANSWER_CLEAR');
    }
    expect(await outcome(() => sealed.openResponse(body, 'Message/OHTTP-res '))).toBe('ok');
  });
});

describe('chunks', () => {
  const parts = [random(10), random(20), random(30), random(5)];
  const whole = concat(...parts);

  /** The message cut into its head and its chunks, lengths included. */
  async function chunksOf() {
    const { body } = await seal(whole, CHUNKED, parts);
    const chunks: Uint8Array[] = [];
    let at = HEAD;
    for (const { length } of parts.slice(0, -1)) {
      chunks.push(body.subarray(at, at + 1 + length + TAG));
      at += 1 + length + TAG;
    }
    chunks.push(body.subarray(at));
    return { head: body.subarray(0, HEAD), chunks };
  }

  const cases: [string, string, (c: Uint8Array[]) => Uint8Array[]][] = [
    ['as they were', 'ok', (c) => c],
    ['two changed places', 'SEALED_REQUEST_UNREADABLE', ([a, b, c, d]) => [b!, a!, c!, d!]],
    ['the first is missing', 'SEALED_REQUEST_UNREADABLE', (c) => c.slice(1)],
    ['one in the middle is missing', 'SEALED_REQUEST_UNREADABLE', ([a, , c, d]) => [a!, c!, d!]],
    ['one comes twice', 'SEALED_REQUEST_UNREADABLE', ([a, ...rest]) => [a!, a!, ...rest]],
    ['the final one is missing', 'SEALED_REQUEST_TRUNCATED', (c) => c.slice(0, -1)],
    ['all but the final one are missing', 'SEALED_REQUEST_UNREADABLE', (c) => c.slice(-1)],
    ['the final one is not last', 'SEALED_REQUEST_UNREADABLE', ([a, b, c, d]) => [a!, b!, d!, c!]],
    ['the final one comes twice', 'SEALED_REQUEST_UNREADABLE', (c) => [...c, c.at(-1)!]],
    [
      'another is given out as the final one',
      'SEALED_REQUEST_UNREADABLE',
      ([a, b, c]) => [a!, b!, concat(Uint8Array.of(0), c!.subarray(1))],
    ],
    [
      'the final one is given out as another',
      'SEALED_REQUEST_UNREADABLE',
      ([a, b, c, d]) => [a!, b!, c!, concat(Uint8Array.of(d!.length - 1), d!.subarray(1))],
    ],
    [
      'a length is longer than it need be (RFC 9000 §16)',
      'ok',
      ([a, ...rest]) => [concat(Uint8Array.of(0x80, 0, 0, a![0]!), a!.subarray(1)), ...rest],
    ],
    [
      'the final length is longer than it need be',
      'ok',
      (c) => [...c.slice(0, -1), concat(Uint8Array.of(0x40), c.at(-1)!)],
    ],
    ['a length is cut off', 'SEALED_REQUEST_TRUNCATED', ([a]) => [a!, Uint8Array.of(0xc0, 0, 0)]],
    ['a length of 2^30', 'SEALED_REQUEST_MALFORMED', ([a]) => [a!, unhex('c000000040000000')]],
    ['a length of 2^62 − 1', 'SEALED_REQUEST_MALFORMED', ([a]) => [a!, unhex('ffffffffffffffff')]],
    ['an empty chunk of a tag alone', 'SEALED_REQUEST_UNREADABLE', ([a]) => [a!, Uint8Array.of(TAG), random(TAG)]],
    ['a chunk shorter than a tag', 'SEALED_REQUEST_UNREADABLE', ([a]) => [a!, Uint8Array.of(3), random(3)]],
    ['a final chunk shorter than a tag', 'SEALED_REQUEST_TRUNCATED', ([a]) => [a!, Uint8Array.of(0), random(3)]],
  ];

  test.each(cases)('%s: %s', async (_, code, change) => {
    const { head, chunks } = await chunksOf();
    expect(await outcome(() => open(concat(head, ...change(chunks)), CHUNKED.requestType))).toBe(code);
  });

  test('what authenticated before the refusal is all that was handed on', async () => {
    const { head, chunks } = await chunksOf();
    const opened = await openedBy(concat(head, chunks[0]!, chunks[1]!, chunks[3]!), CHUNKED);
    const seen: Uint8Array[] = [];
    const code = await outcome(async () => {
      for await (const piece of opened.content) seen.push(piece);
    });
    expect(code).toBe('SEALED_REQUEST_UNREADABLE');
    expect(concat(...seen)).toEqual(concat(parts[0]!, parts[1]!));
  });

  test('an empty chunk from the holder of the keys is refused too, and an empty final one is not', async () => {
    const none = new Uint8Array(0);
    const [bad, good] = [await seal(whole, CHUNKED, [none, whole]), await seal(whole, CHUNKED, [whole, none])];
    expect(await outcome(() => open(bad.body, CHUNKED.requestType))).toBe('SEALED_REQUEST_UNREADABLE');
    expect(await open(good.body, CHUNKED.requestType)).toEqual(whole);
  });

  test('a message has at most 65,536 chunks', async () => {
    const [chunk, end] = [concat(Uint8Array.of(TAG + 1), new Uint8Array(TAG + 1)), new Uint8Array(1 + TAG)];
    async function* source(count: number) {
      for (let i = 1; i < count; i++) yield chunk;
      yield end;
    }
    const opened = async (sealed: Uint8Array) => sealed.subarray(TAG);
    const count = async (chunks: number) => {
      for await (const _ of openChunks(new ByteReader(source(chunks)), opened, refuseRequest));
    };
    expect(await outcome(() => count(MAX_CHUNKS))).toBe('ok');
    expect(await outcome(() => count(MAX_CHUNKS + 1))).toBe('SEALED_REQUEST_MALFORMED');
    const pieces = Array.from({ length: MAX_CHUNKS + 1 }, () => new Uint8Array(1));
    await expect(seal(whole, CHUNKED, pieces)).rejects.toThrow(TypeError);
  });

  test('a chunk of 16,384 bytes is taken and a longer one refused, final or not', async () => {
    const [fits, over] = [random(MAX_CHUNK_BYTES), random(MAX_CHUNK_BYTES + 1)];
    for (const pieces of [
      [fits, fits],
      [fits, new Uint8Array(0)],
    ]) {
      const { body } = await seal(fits, CHUNKED, pieces);
      expect(await outcome(() => open(body, CHUNKED.requestType))).toBe('ok');
    }
    for (const pieces of [[over, fits], [over], [fits, over]]) {
      const { body } = await seal(fits, CHUNKED, pieces);
      expect(await outcome(() => open(body, CHUNKED.requestType))).toBe('SEALED_REQUEST_MALFORMED');
    }
  });
});

describe('the recipient', () => {
  const content = random(100);

  test('opens nothing but the two media types', async () => {
    const { body } = await seal(content);
    for (const mediaType of [undefined, '', 'application/octet-stream', OHTTP_MEDIA.response, 'message/bhttp']) {
      expect(await outcome(() => openRequest(cutAt(body, []), mediaType, optionsFor(KEY)))).toBe(
        'REQUEST_MEDIA_TYPE_UNSUPPORTED',
      );
    }
    expect(await outcome(() => open(body, 'Message/OHTTP-req; charset=x'))).toBe('ok');
  });

  test('hands on what `keyOf` and `firstUse` throw, and calls `firstUse` once, after the first bytes have authenticated', async () => {
    for (const form of FORMS) {
      const { body } = await seal(random(40_000), form);
      const calls: string[] = [];
      const seen = (enc: Uint8Array) => void calls.push(hex(enc));
      const opened = await openRequest(cutAt(body, []), form.requestType, optionsFor(KEY, seen));
      await gather(opened.content);
      expect(calls).toEqual([hex(body.subarray(7, HEAD))]);

      const changed = plain(body);
      changed[HEAD + 100]! ^= 1;
      expect(await outcome(() => openRequest(cutAt(changed, []), form.requestType, optionsFor(KEY, seen)))).toBe(
        'SEALED_REQUEST_UNREADABLE',
      );
      expect(calls.length).toBe(1);

      const replayed = () => {
        throw new ServiceError('SEALED_REQUEST_REPLAYED', 'enc: seen');
      };
      expect(await outcome(() => openRequest(cutAt(body, []), form.requestType, optionsFor(KEY, replayed)))).toBe(
        'SEALED_REQUEST_REPLAYED',
      );
      const keyOf = () => {
        throw new ServiceError('KEY_NOT_COMMITTED', 'keyId: not committed');
      };
      expect(await outcome(() => openRequest(cutAt(body, []), form.requestType, { ...optionsFor(KEY), keyOf }))).toBe(
        'KEY_NOT_COMMITTED',
      );
    }
  });

  test('a plain message is read up to its limit and no further', async () => {
    const { body } = await seal(content);
    const exactly = { ...optionsFor(KEY), maxBytes: body.length };
    expect(await outcome(() => openRequest(cutAt(body, []), PLAIN.requestType, exactly))).toBe('ok');
    const less = { ...exactly, maxBytes: body.length - 1 };
    expect(await outcome(() => openRequest(cutAt(body, []), PLAIN.requestType, less))).toBe('REQUEST_TOO_LARGE');

    let given = 0;
    async function* endless() {
      yield body;
      for (;;) {
        given += 1000;
        yield new Uint8Array(1000);
      }
    }
    const limit = { ...exactly, maxBytes: 100_000 };
    expect(await outcome(() => openRequest(endless(), PLAIN.requestType, limit))).toBe('REQUEST_TOO_LARGE');
    expect(given).toBeLessThanOrEqual(100_000);
    given = 0;
    const chunked = await outcome(() => openRequest(endless(), CHUNKED.requestType, limit));
    expect(chunked).toMatch(/^SEALED_REQUEST_/);
    expect(given).toBeLessThanOrEqual(2 * MAX_CHUNK_BYTES);
  });

  test('does not close its source, and hands on what that throws', async () => {
    let closed = false;
    const broken = new Error('connection reset');
    async function* source() {
      try {
        yield new Uint8Array(50);
        throw broken;
      } finally {
        closed = true;
      }
    }
    expect(await outcome(() => openRequest(source(), PLAIN.requestType, optionsFor(KEY)))).toBe('SEALING_KEY_UNKNOWN');
    expect(closed).toBe(false);
    async function* breaks() {
      yield (await seal(content)).body.subarray(0, HEAD + 4);
      throw broken;
    }
    await expect(openRequest(breaks(), PLAIN.requestType, optionsFor(KEY))).rejects.toBe(broken);
  });

  test('an erased key opens nothing more, and what is open already stays so', async () => {
    const pair = await generateSealingKey(0);
    const sealed = await sealRequest(pair.config, content, { chunked: true });
    const opened = await openRequest(cutAt(sealed.body, []), sealed.mediaType, optionsFor(pair));
    pair.erase();
    expect(await gather(opened.content)).toEqual(content);
    const answer = await opened.sealResponse(content);
    expect(plain(await sealed.openResponse(answer.body, answer.mediaType))).toEqual(content);
    expect(await outcome(() => openWhole(pair, sealed.body, sealed.mediaType))).toBe('SEALING_KEY_UNKNOWN');
    expect(JSON.stringify(pair)).not.toContain('private');
  });

  test('a defect of ours is not taken for a forgery', async () => {
    const { body } = await seal(content);
    const defect = new RangeError('out of memory');
    const pair = Object.assign(Object.create(KEY), { suite: suite(), keyId: 7, setup: () => Promise.reject(defect) });
    await expect(openRequest(cutAt(body, []), PLAIN.requestType, optionsFor(pair))).rejects.toBe(defect);
  });

  test('a key id is one byte', async () => {
    for (const keyId of [-1, 256, 0.5]) await expect(generateSealingKey(keyId)).rejects.toThrow(TypeError);
  });

  test('random bytes get a coded refusal', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        fc.constantFrom(...FORMS),
        async (bytes, headed, { requestType }) => {
          const body = headed ? concat(KEY.config.subarray(0, 3), unhex('00010002'), bytes) : bytes;
          expect(isCode(await outcome(() => open(body, requestType)))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

test('a configuration that nobody can seal to is refused', async () => {
  const config = plain(KEY.config);
  config.fill(0, 3, 35);
  expect(await outcome(() => sealRequest(config, new Uint8Array(1)))).toBe('EVIDENCE_MALFORMED');
});

test('a WebCrypto without X25519 is named as what is missing', async () => {
  vi.spyOn(crypto.subtle, 'importKey').mockRejectedValue(new DOMException('no such algorithm', 'NotSupportedError'));
  await expect(sealRequestWith(webSuite(), KEY.config, new Uint8Array(8), PLAIN)).rejects.toMatchObject({
    code: 'SEALING_KEY_MISSING',
  });
});
