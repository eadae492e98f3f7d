import { describe, expect, test } from 'vitest';
import { encodeMap } from '../../attestation-fixtures/nitro/cbor.ts';
import {
  CURRENT_ENCODING,
  type DocumentEncoding,
  encodeDocument,
  encodeParts,
  mirrorSignature,
  payloadEntries,
  unsignedParts,
} from '../../attestation-fixtures/nitro/document.ts';
import { SIMULATED_PCRS, simulatedNitroEvidence } from '../../attestation-fixtures/nitro/evidence.ts';
import { SimulatedNsm } from '../../attestation-fixtures/nitro/nsm.ts';
import { hex } from '../../protocol/bytes.ts';
import { encodeCbor } from '../../protocol/cbor.ts';
import { foreign, type ReadDocument, readDocument, realDocuments, signatureHolds } from './nitro-oracles.ts';

/** The encoding that a document has. */
const encodingOf = ({ indefinite, keys, tagged }: ReadDocument): DocumentEncoding => ({
  payloadMap: indefinite ? 'indefinite' : 'definite',
  order: keys[1] === 'digest' ? 'digest-first' : 'timestamp-first',
  absent: 'null',
  tag: tagged ? 'sign1' : 'none',
});

describe.skipIf(realDocuments.length === 0)('against the documents of real hypervisors', () => {
  test.each(realDocuments.map((real) => [real.id, real] as const))('%s is the same bytes', (_id, { raw }) => {
    const read = readDocument(raw);
    const encoding = encodingOf(read);
    const payload = encodeMap(payloadEntries(read.fields, encoding), encoding.payloadMap);
    expect(hex(payload)).toBe(hex(read.payload));
    expect(hex(encodeParts({ ...unsignedParts(payload), signature: read.signature }, encoding.tag))).toBe(hex(raw));
    expect(signatureHolds(read)).toBe(true);
  });

  test('both map lengths are among them, and the newest has the encoding that is the default here', () => {
    const read = realDocuments.map(({ raw }) => readDocument(raw));
    expect(new Set(read.map(({ indefinite }) => indefinite))).toEqual(new Set([true, false]));
    expect(encodingOf(read.at(-1)!)).toEqual(CURRENT_ENCODING);
  });

  test('a simulated document has the shape of the newest real one', async () => {
    const real = readDocument(realDocuments.at(-1)!.raw);
    const nsm = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    const { publicKey, userData, nonce } = real.fields;
    const request = new Map([
      ['Attestation', new Map(Object.entries({ public_key: publicKey, user_data: userData, nonce }))],
    ]);
    const answer = foreign(await nsm.request(encodeCbor(request))) as Map<string, Map<string, Uint8Array>>;
    const made = readDocument(answer.get('Attestation')!.get('document')!);
    expect(made.keys).toEqual(real.keys);
    expect(encodingOf(made)).toEqual(encodingOf(real));
    expect(hex(made.protectedHeader)).toBe(hex(real.protectedHeader));
    expect(made.unprotectedHeader).toEqual(real.unprotectedHeader);
    expect(made.signature.length).toBe(real.signature.length);
    expect([...made.fields.pcrs.keys()]).toEqual([...real.fields.pcrs.keys()]);
    expect(made.fields.moduleId).toMatch(/^i-0[0-9a-f]{16}-enc[0-9a-f]{16}$/);
    expect(real.fields.moduleId).toMatch(/^i-0[0-9a-f]{16}-enc[0-9a-f]{16}$/);
    expect([made.fields.publicKey, made.fields.userData, made.fields.nonce]).toEqual([publicKey, userData, nonce]);
  });
});

describe('encodings', () => {
  const { fields, issued } = simulatedNitroEvidence({ userData: Uint8Array.of(1), publicKey: null });
  const encoded = (encoding: Partial<DocumentEncoding>) =>
    encodeDocument(fields, issued.leaf.privateKey, { ...CURRENT_ENCODING, ...encoding });

  test('each verifies and says the same', () => {
    for (const encoding of [
      {},
      { payloadMap: 'definite' },
      { order: 'timestamp-first' },
      { absent: 'omitted' },
      { tag: 'sign1' },
      { payloadMap: 'definite', order: 'timestamp-first', absent: 'omitted', tag: 'sign1' },
    ] as const) {
      const read = readDocument(encoded(encoding));
      expect(signatureHolds(read)).toBe(true);
      expect(read.fields).toEqual(fields);
    }
  });

  test('each shows in the bytes', () => {
    expect(hex(encoded({}).subarray(0, 8))).toBe('8444a1013822a059');
    expect(hex(encoded({ tag: 'sign1' }).subarray(0, 2))).toBe('d284');
    expect(readDocument(encoded({ order: 'timestamp-first' })).keys.slice(0, 3)).toEqual([
      'module_id',
      'timestamp',
      'digest',
    ]);
    expect(readDocument(encoded({ absent: 'omitted' })).keys.slice(-2)).toEqual(['cabundle', 'user_data']);
    expect(readDocument(encoded({})).keys.slice(-3)).toEqual(['public_key', 'user_data', 'nonce']);
    const { payload } = readDocument(encoded({ payloadMap: 'definite' }));
    expect(payload[0]).toBe(0xa9);
    const indefinite = readDocument(encoded({})).payload;
    expect([indefinite[0], indefinite.at(-1)]).toEqual([0xbf, 0xff]);
    expect(hex(indefinite.subarray(1, -1))).toBe(hex(payload.subarray(1)));
  });

  test('a map of more than 23 entries has a longer head', () => {
    const entries = Array.from({ length: 32 }, (_, i) => [encodeCbor(i), encodeCbor(i)] as const);
    expect(hex(encodeMap(entries, 'definite').subarray(0, 3))).toBe('b82000');
    expect(foreign(encodeMap(entries, 'definite'))).toEqual(foreign(encodeMap(entries, 'indefinite')));
  });
});

test('both forms of a signature hold', () => {
  const { document } = simulatedNitroEvidence({ userData: null, publicKey: null });
  const read = readDocument(document);
  const mirrored = mirrorSignature(read.signature);
  expect(hex(mirrored)).not.toBe(hex(read.signature));
  expect(signatureHolds({ ...read, signature: mirrored })).toBe(true);
  expect(hex(mirrorSignature(mirrored))).toBe(hex(read.signature));
});
