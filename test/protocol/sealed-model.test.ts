import { createDecipheriv, randomBytes } from 'node:crypto';
import { decode, type Tag } from 'cbor2';
import { describe, expect, test } from 'vitest';
import { type Bytes, bytes, concat, fromHex, hex, utf8 } from '../../protocol/bytes.ts';
import { encodeCbor } from '../../protocol/cbor.ts';
import {
  clearName,
  encodeSealedModelHead,
  keyIdText,
  parseKeyId,
  parseSealedModelHead,
  SEALED_MODEL_TYPE,
  type SealedModelFacts,
} from '../../protocol/sealed-model.ts';
import { seal } from '../support/seal.ts';

const keyId = { repository: 'acme', type: 'model-key', tag: 'fraud' };
const iv = bytes(fromHex('000102030405060708090a0b')!, 12, 'iv') as Bytes<12>;
const facts: SealedModelFacts = { keyId, path: 'fraud/1/model.onnx', iv };
const key = new Uint8Array(32).fill(9);
const clear = utf8('weights '.repeat(100));
const sealed = seal(clear, facts.path, keyIdText(keyId), key, iv);
const parse = (file: Uint8Array, size = file.length) => parseSealedModelHead(file, size, 'm');
const refusal = expect.objectContaining({ code: 'MODEL_SEAL_INVALID', field: 'm' });

describe('key ids', () => {
  test('are resource URIs of the key broker', () => {
    expect(parseKeyId('kbs:///acme/model-key/fraud')).toEqual(keyId);
    expect(keyIdText(keyId)).toBe('kbs:///acme/model-key/fraud');
  });

  test.each([
    '',
    'kbs://acme/model-key/fraud',
    'kbs:///acme/fraud',
    'kbs:///acme/model-key/fraud/x',
    'kbs:///acme//fraud',
    'kbs:///../model-key/fraud',
    'kbs:///acme/./fraud',
    'kbs:///acme/model-key/fraud?x=1',
    'kbs:///acme/model key/fraud',
    `kbs:///acme/model-key/${'a'.repeat(129)}`,
    'https:///acme/model-key/fraud',
    'kbs:///acme/model-key/fraud\n',
  ])('%j is none', (text) => expect(parseKeyId(text)).toBeNull());
});

test('an encrypted file stands for the clear one of its name', () => {
  expect(clearName('model.onnx.cose')).toBe('model.onnx');
  expect(clearName('model.onnx')).toBeNull();
});

describe('the message', () => {
  test('byte for byte', () => {
    const { head, aad } = encodeSealedModelHead(facts, 3);
    const protectedHeader =
      `a4${'0103'}${'03'}7822${hex(utf8(SEALED_MODEL_TYPE))}` +
      `${'04'}581b${hex(utf8('kbs:///acme/model-key/fraud'))}64${hex(utf8('path'))}72${hex(utf8(facts.path))}`;
    const length = (protectedHeader.length / 2).toString(16);
    expect(hex(head)).toBe(`d08358${length}${protectedHeader}a1054c${hex(iv)}53`); // 3 + 16 bytes follow
    expect(hex(aad)).toBe(`8368${hex(utf8('Encrypt0'))}58${length}${protectedHeader}40`);
  });

  test('says what it is, where its ciphertext begins, and how long the file is', () => {
    const head = parse(sealed);
    expect(head).toMatchObject({ keyId, path: facts.path, iv, plaintextBytes: clear.length });
    expect(head.offset).toBe(sealed.length - clear.length - 16);
  });

  test('opens in another COSE implementation: cbor2 and node:crypto by RFC 9052 alone', () => {
    const message = decode<Tag>(sealed);
    expect(message.tag).toBe(16);
    const [protectedHeader, unprotected, ciphertext] = message.contents as [
      Uint8Array,
      Map<number, Uint8Array>,
      Uint8Array,
    ];
    const header = decode<Map<unknown, unknown>>(protectedHeader, { preferMap: true } as object);
    expect(header.get(1)).toBe(3);
    const nonce = (unprotected instanceof Map ? unprotected.get(5) : (unprotected as Record<string, Uint8Array>)['5'])!;
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(encodeCbor(['Encrypt0', protectedHeader, new Uint8Array(0)]));
    decipher.setAuthTag(ciphertext.subarray(-16));
    const opened = Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
    expect(new Uint8Array(opened)).toEqual(clear);
  });

  test('an empty file, and a length for each width of its head', () => {
    for (const length of [0, 7, 8, 239, 240, 65_519, 65_520, 2 ** 32 - 17, 2 ** 32 - 16, 2 ** 40]) {
      const { head } = encodeSealedModelHead(facts, length);
      expect(parse(head, head.length + length + 16).plaintextBytes).toBe(length);
    }
  });
});

describe('refused', () => {
  test('cut short anywhere, and bytes after the end', () => {
    const { offset } = parse(sealed);
    for (let length = 0; length < offset; length++) expect(() => parse(sealed.subarray(0, length))).toThrow(refusal);
    expect(() => parse(sealed, sealed.length - 1)).toThrow(refusal);
    expect(() => parse(sealed, sealed.length + 1)).toThrow(refusal);
  });

  test('every changed bit of the head that does not make another well-formed one', () => {
    const { offset, aad } = parse(sealed);
    for (let at = 0; at < offset; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = sealed.slice();
        changed[at]! ^= 1 << bit;
        let head: ReturnType<typeof parse> | null = null;
        try {
          head = parse(changed);
        } catch (error) {
          expect(error).toEqual(refusal);
        }
        // What still parses says something else, and is authenticated: IV, or the additional data.
        if (head) expect([hex(head.iv), hex(head.aad)]).not.toEqual([hex(iv), hex(aad)]);
      }
    }
  });

  const header = (entries: [number | string, unknown][]) => encodeCbor(encodeCbor(new Map(entries as never)));
  const good: [number | string, unknown][] = [
    [1, 3],
    [3, SEALED_MODEL_TYPE],
    [4, utf8('kbs:///a/b/c')],
    ['path', 'a/1/model.onnx'],
  ];
  const message = (protectedHeader: Uint8Array, unprotected: Uint8Array, first = Uint8Array.of(0xd0, 0x83)) =>
    concat(first, protectedHeader, unprotected, encodeCbor(new Uint8Array(20)));
  const ivOnly = encodeCbor(new Map([[5, new Uint8Array(12)]]));
  const changed = (at: number, entry: [number | string, unknown] | null) =>
    header(good.flatMap((one, i) => (i !== at ? [one] : entry ? [entry] : [])));

  test('this one is not', () => expect(parse(message(header(good), ivOnly)).keyId.tag).toBe('c'));

  test.each([
    ['AES-128-GCM', message(changed(0, [1, 1]), ivOnly)],
    ['no algorithm', message(changed(0, null), ivOnly)],
    ['another content type', message(changed(1, [3, 'application/octet-stream']), ivOnly)],
    ['a kid that is text', message(changed(2, [4, 'kbs:///a/b/c']), ivOnly)],
    ['a kid that is no URI of a resource', message(changed(2, [4, utf8('fraud')]), ivOnly)],
    ['no path', message(changed(3, null), ivOnly)],
    ['a path with a dot segment', message(changed(3, ['path', 'a/../b']), ivOnly)],
    ['an absolute path', message(changed(3, ['path', '/etc/passwd']), ivOnly)],
    ['a critical header', message(header([...good, [2, [1]]]), ivOnly)],
    ['an IV of 16 bytes', message(header(good), encodeCbor(new Map([[5, new Uint8Array(16)]])))],
    ['a partial IV', message(header(good), encodeCbor(new Map([[6, new Uint8Array(12)]])))],
    [
      'two unprotected headers',
      message(
        header(good),
        encodeCbor(
          new Map<number, Uint8Array | number>([
            [5, new Uint8Array(12)],
            [7, 1],
          ]),
        ),
      ),
    ],
    ['no tag', message(header(good), ivOnly, Uint8Array.of(0x83))],
    ['COSE_Sign1', message(header(good), ivOnly, Uint8Array.of(0xd2, 0x83))],
    ['an array of four', message(header(good), ivOnly, Uint8Array.of(0xd0, 0x84))],
    ['an array of indefinite length', message(header(good), ivOnly, Uint8Array.of(0xd0, 0x9f))],
    [
      'a ciphertext without room for a tag',
      concat(Uint8Array.of(0xd0, 0x83), header(good), ivOnly, Uint8Array.of(0x40)),
    ],
    ['a detached ciphertext', concat(Uint8Array.of(0xd0, 0x83), header(good), ivOnly, Uint8Array.of(0xf6))],
    ['a header of 2^64 - 1 bytes', concat(Uint8Array.of(0xd0, 0x83, 0x5b), new Uint8Array(8).fill(0xff))],
  ])('%s', (_what, file) => expect(() => parse(file)).toThrow(refusal));

  test('random bytes', () => {
    for (let i = 0; i < 2000; i++) {
      const random = randomBytes(1 + (i % 200));
      random.set([0xd0, 0x83].slice(0, random.length));
      expect(() => parse(random)).toThrow(refusal);
    }
  });
});
