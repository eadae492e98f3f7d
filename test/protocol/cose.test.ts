import { createPublicKey, verify as nodeVerify } from 'node:crypto';
import { encode as foreignEncode, Tag } from 'cbor2';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex } from '../../protocol/bytes.ts';
import { encodeSign1, parseSign1, verifySign1 } from '../../protocol/cose.ts';
import { characterArb, plain, signerOf, testSigner, unhex, verdict } from './support.ts';

const TYPE = 'application/example+cbor';
const payload = unhex('a10102');
const message = encodeSign1(TYPE, payload, testSigner.sign);

const encode = (value: unknown) => plain(foreignEncode(value, { cde: true }));
const header = encode(
  new Map<number, unknown>([
    [1, -8],
    [3, TYPE],
  ]),
);

/** Signs and packs with cbor2 whatever header and payload it is given. */
function foreignMessage(protectedHeader: Uint8Array, body: Uint8Array, unprotected = new Map<unknown, unknown>()) {
  const signature = testSigner.sign(encode(['Signature1', protectedHeader, new Uint8Array(0), body]));
  return encode(new Tag(18, [protectedHeader, unprotected, body, signature]));
}

describe('COSE_Sign1', () => {
  test('round trip', async () => {
    const parsed = parseSign1(message, 'entry');
    expect(parsed.contentType).toBe(TYPE);
    expect(parsed.payload).toEqual(payload);
    expect(await verifySign1(parsed, testSigner.key)).toBe(true);
    expect(await verifySign1(parsed, signerOf(new Uint8Array(32)).key)).toBe(false);
  });

  test('our message is what cbor2 and node:crypto make and accept', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.string({ unit: characterArb, maxLength: 60 }),
        (raw, contentType) => {
          const body = plain(raw);
          const ours = encodeSign1(contentType, body, testSigner.sign);
          const protectedHeader = encode(
            new Map<number, unknown>([
              [1, -8],
              [3, contentType],
            ]),
          );
          expect(hex(ours)).toBe(hex(foreignMessage(protectedHeader, body)));
          const { toBeSigned, signature } = parseSign1(ours, 'entry');
          expect(hex(toBeSigned)).toBe(hex(encode(['Signature1', protectedHeader, new Uint8Array(0), body])));
          const x = Buffer.from(testSigner.raw).toString('base64url');
          const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
          expect(nodeVerify(null, toBeSigned, key, signature)).toBe(true);
        },
      ),
    );
  });

  test('a message made by cbor2 and node:crypto verifies', async () => {
    const parsed = parseSign1(foreignMessage(header, payload), 'entry');
    expect(await verifySign1(parsed, testSigner.key)).toBe(true);
  });

  const parts = [header, new Map(), payload, testSigner.sign(payload)] as const;
  const tagged = (value: unknown) => encode(new Tag(18, value));
  const withHeader = (raw: Uint8Array) => foreignMessage(raw, payload);
  const headerOf = (...pairs: [unknown, unknown][]) => encode(new Map(pairs));

  test.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array(0)],
    ['the tag alone', unhex('d2')],
    ['no tag', message.subarray(1)],
    ['the tag in two bytes', concat(unhex('d812'), message.subarray(1))],
    ['the tag twice', concat(unhex('d2'), message)],
    ['COSE_Sign, tag 98', concat(unhex('d862'), message.subarray(1))],
    ['COSE_Mac0, tag 17', concat(unhex('d1'), message.subarray(1))],
    ['a CWT tag around it', concat(unhex('d83d'), message)],
    ['three parts', tagged(parts.slice(0, 3))],
    ['five parts', tagged([...parts, null])],
    ['a map of parts', tagged(new Map(parts.entries()))],
    ['a detached payload', tagged([header, new Map(), null, parts[3]])],
    ['a text payload', tagged([header, new Map(), 'payload', parts[3]])],
    ['no signature', tagged([header, new Map(), payload, null])],
    ['a signature of 63 bytes', tagged([header, new Map(), payload, parts[3].subarray(1)])],
    ['a signature of 65 bytes', tagged([header, new Map(), payload, concat(parts[3], unhex('00'))])],
    ['an empty signature', tagged([header, new Map(), payload, new Uint8Array(0)])],
    ['a header that is no byte string', tagged([new Map([[1, -8]]), new Map(), payload, parts[3]])],
    ['an empty protected header', withHeader(new Uint8Array(0))],
    ['an empty map as protected header', withHeader(unhex('a0'))],
    ['no algorithm', withHeader(headerOf([3, TYPE]))],
    ['no content type', withHeader(headerOf([1, -8]))],
    ['ES256', withHeader(headerOf([1, -7], [3, TYPE]))],
    ['the fully specified Ed25519 of RFC 9864', withHeader(headerOf([1, -19], [3, TYPE]))],
    ['an algorithm by name', withHeader(headerOf([1, 'EdDSA'], [3, TYPE]))],
    ['a content type by number', withHeader(headerOf([1, -8], [3, 60]))],
    ['a key id in the protected header', withHeader(headerOf([1, -8], [3, TYPE], [4, unhex('01')]))],
    ['critical headers', withHeader(headerOf([1, -8], [2, [3]], [3, TYPE]))],
    ['a certificate chain', withHeader(headerOf([1, -8], [3, TYPE], [33, unhex('00')]))],
    ['a protected header out of order', withHeader(concat(unhex('a2'), unhex('03'), encode(TYPE), unhex('0127')))],
    ['a long integer in the protected header', withHeader(concat(unhex('a2013807'), header.subarray(3)))],
    ['a duplicate label', withHeader(concat(unhex('a301270127'), header.subarray(3)))],
    ['bytes behind the protected header', withHeader(concat(header, unhex('00')))],
    ['a key id in the unprotected header', foreignMessage(header, payload, new Map([[4, unhex('01')]]))],
    ['a receipt in the unprotected header', foreignMessage(header, payload, new Map([[394, [unhex('01')]]]))],
    ['the algorithm in the unprotected header', foreignMessage(header, payload, new Map([[1, -8]]))],
    ['null for the unprotected header', tagged([header, null, payload, parts[3]])],
    ['an array for the unprotected header', tagged([header, [], payload, parts[3]])],
    ['an indefinite array of parts', concat(unhex('d29f'), message.subarray(2), unhex('ff'))],
    ['a byte behind the message', concat(message, unhex('00'))],
  ])('refuses %s', (_, raw) => {
    expect(verdict(() => parseSign1(raw, 'entry'))).toBe('EVIDENCE_MALFORMED');
  });

  test('every truncation is refused', () => {
    for (let n = 0; n < message.length; n++) {
      expect(verdict(() => parseSign1(message.subarray(0, n), 'entry'))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test('every flipped bit is refused, at the latest by the signature', async () => {
    let byShape = 0;
    let bySignature = 0;
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = plain(message);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      if (verdict(() => parseSign1(changed, 'entry')) === 'ok') {
        bySignature += 1;
        if (await verifySign1(parseSign1(changed, 'entry'), testSigner.key)) expect.fail(`bit ${bit}`);
      } else byShape += 1;
    }
    expect(byShape).toBeGreaterThan(50);
    expect(bySignature).toBeGreaterThan(600);
  });

  test('a message of one content type does not verify as another', async () => {
    const other = encodeSign1('application/other+cbor', payload, testSigner.sign);
    const { signature } = parseSign1(message, 'entry');
    expect(await verifySign1({ ...parseSign1(other, 'entry'), signature }, testSigner.key)).toBe(false);
  });

  test('a signature over the bare payload is not one over the message', async () => {
    expect(await verifySign1(parseSign1(tagged(parts), 'entry'), testSigner.key)).toBe(false);
  });
});
