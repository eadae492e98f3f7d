import { randomBytes } from 'node:crypto';
import { concat, encodeCbor } from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import type { Entry } from '../../attestation-fixtures/nitro/cbor.ts';
import type { SimulatedNitroEvidenceRequest } from '../../attestation-fixtures/nitro/evidence.ts';
import { opensLikeNitroDocument } from '../../verifier/nitro/detect.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { AT, added, anchors, bytesOf, entry, fields, make, trying } from './nitro-simulation.ts';
import { attemptNitro } from './nitro-support.ts';
import { codeOf } from './snp-support.ts';

describe('documents of another shape', () => {
  type Case = [what: string, request: Partial<SimulatedNitroEvidenceRequest>, field: string];
  const cases: readonly Case[] = [
    ['no module id', { mutateEntries: entry('module_id', null) }, 'module_id'],
    ['an empty module id', { mutate: fields({ moduleId: '' }) }, 'module_id'],
    [
      'the module id of a NitroTPM',
      { mutate: fields({ moduleId: 'i-0a1b2c3d4e5f60718-tpm0000000000000000' }) },
      'module_id',
    ],
    ['a module id with a line feed', { mutate: fields({ moduleId: 'i-0a-enc0b\n' }) }, 'module_id'],
    ['another digest', { mutate: fields({ digest: 'SHA512' }) }, 'digest'],
    ['no timestamp', { mutateEntries: entry('timestamp', null) }, 'timestamp'],
    ['a timestamp of zero', { mutate: fields({ timestamp: 0 }) }, 'timestamp'],
    ['a negative timestamp', { mutate: fields({ timestamp: -1 }) }, 'timestamp'],
    ['a timestamp beyond any date', { mutate: fields({ timestamp: 8.64e15 + 1 }) }, 'timestamp'],
    ['a timestamp as text', { mutateEntries: entry('timestamp', encodeCbor('now')) }, 'timestamp'],
    ['no PCRs', { mutateEntries: entry('pcrs', null) }, 'pcrs'],
    ['an empty map of PCRs', { mutate: fields({ pcrs: new Map() }) }, 'pcrs'],
    ['PCRs in an array', { mutateEntries: entry('pcrs', encodeCbor([bytesOf(48)])) }, 'pcrs'],
    ['a PCR index of 32', { pcrs: new Map([[32, bytesOf(48)]]) }, 'pcrs'],
    ['a negative PCR index', { pcrs: new Map([[-1, bytesOf(48)]]) }, 'pcrs'],
    ['a PCR index as text', { mutateEntries: entry('pcrs', encodeCbor(new Map([['0', bytesOf(48)]]))) }, 'pcrs'],
    ['a PCR of 32 bytes', { pcrs: new Map([[9, bytesOf(32)]]) }, 'pcrs[9]'],
    ['a PCR of 64 bytes', { pcrs: new Map([[9, bytesOf(64)]]) }, 'pcrs[9]'],
    ['a PCR as text', { mutateEntries: entry('pcrs', encodeCbor(new Map([[0, 'a'.repeat(48)]]))) }, 'pcrs[0]'],
    ['no PCR2', { mutate: (good) => ({ ...good, pcrs: new Map([...good.pcrs].filter(([i]) => i !== 2)) }) }, 'pcrs[2]'],
    ['no certificate', { mutateEntries: entry('certificate', null) }, 'certificate'],
    ['an empty certificate', { mutate: fields({ certificate: bytesOf(0) }) }, 'certificate'],
    ['a certificate of 1,025 bytes', { mutate: fields({ certificate: bytesOf(1025) }) }, 'certificate'],
    ['no cabundle', { mutateEntries: entry('cabundle', null) }, 'cabundle'],
    ['null for a cabundle', { mutateEntries: entry('cabundle', encodeCbor(null)) }, 'cabundle'],
    ['an empty cabundle', { mutate: fields({ cabundle: [] }) }, 'cabundle'],
    [
      'an empty certificate in the cabundle',
      { mutate: (good) => ({ ...good, cabundle: [...good.cabundle, bytesOf(0)] }) },
      'cabundle[4]',
    ],
    [
      'a certificate of 1,025 bytes in the cabundle',
      { mutate: (good) => ({ ...good, cabundle: [...good.cabundle, bytesOf(1025)] }) },
      'cabundle[4]',
    ],
    ['a public key of 1,025 bytes', { publicKey: bytesOf(1025) }, 'public_key'],
    ['user data of 1,025 bytes', { userData: bytesOf(1025) }, 'user_data'],
    ['a nonce of 1,025 bytes', { nonce: bytesOf(1025) }, 'nonce'],
    ['a nonce as text', { mutateEntries: entry('nonce', encodeCbor('nonce')) }, 'nonce'],
    ['a key that is no text', { mutateEntries: (good) => [...good, [encodeCbor(1), encodeCbor(1)]] }, 'payload'],
    ['a key twice', { mutateEntries: (good) => [...good, ...good.slice(3, 4)] }, 'payload'],
    [
      'an unknown key twice',
      { mutateEntries: (good) => added('x', encodeCbor(2))(added('x', encodeCbor(1))(good)) },
      'payload',
    ],
    [
      'a PCR twice',
      {
        mutateEntries: entry(
          'pcrs',
          concat(
            Uint8Array.of(0xa2),
            ...[1, 2].map((n) => concat(encodeCbor(0), encodeCbor(new Uint8Array(48).fill(n)))),
          ),
        ),
      },
      'payload',
    ],
    ['an unknown field that is a float', { mutateEntries: added('x', Uint8Array.of(0xf9, 0x3c, 0x00)) }, 'payload'],
    ['a payload that is an array', { mutateSigned: (good) => ({ ...good, payload: encodeCbor([]) }) }, 'payload'],
    [
      'bytes after the payload map',
      { mutateSigned: (good) => ({ ...good, payload: concat(good.payload, Uint8Array.of(0)) }) },
      'payload',
    ],
    ['an empty payload', { mutateSigned: (good) => ({ ...good, payload: bytesOf(0) }) }, 'payload'],
    ['a payload of 16,385 bytes', { mutateSigned: (good) => ({ ...good, payload: bytesOf(16_385) }) }, 'payload'],
    ['ES256', { mutateSigned: (good) => ({ ...good, protectedHeader: Uint8Array.of(0xa1, 0x01, 0x26) }) }, 'protected'],
    [
      'ES512',
      { mutateSigned: (good) => ({ ...good, protectedHeader: Uint8Array.of(0xa1, 0x01, 0x38, 0x23) }) },
      'protected',
    ],
    ['no algorithm', { mutateSigned: (good) => ({ ...good, protectedHeader: bytesOf(0) }) }, 'protected'],
    [
      'a second protected header',
      {
        mutateSigned: (good) => ({
          ...good,
          protectedHeader: encodeCbor(
            new Map([
              [1, -35],
              [4, 1],
            ]),
          ),
        }),
      },
      'protected',
    ],
    [
      'a long form of the algorithm',
      { mutateSigned: (good) => ({ ...good, protectedHeader: Uint8Array.of(0xa1, 0x01, 0x39, 0x00, 0x22) }) },
      'protected',
    ],
    [
      'an unprotected header',
      { mutateSigned: (good) => ({ ...good, unprotectedHeader: encodeCbor(new Map([[4, 1]])) }) },
      'unprotected',
    ],
    [
      'null for the unprotected header',
      { mutateSigned: (good) => ({ ...good, unprotectedHeader: encodeCbor(null) }) },
      'unprotected',
    ],
    [
      'a signature of 95 bytes',
      { mutateParts: (good) => ({ ...good, signature: good.signature.subarray(1) }) },
      'signature',
    ],
    [
      'a signature of 97 bytes',
      { mutateParts: (good) => ({ ...good, signature: concat(good.signature, Uint8Array.of(0)) }) },
      'signature',
    ],
  ];
  test.each(cases)('refuses %s', async (_, request, field) => {
    const outcome = await trying(request);
    expect([outcome.code, outcome.field]).toEqual(['EVIDENCE_MALFORMED', `document.${field}`]);
  });

  test('refuses an envelope in another encoding', () => {
    const { parts, document } = make();
    const { protectedHeader, unprotectedHeader, payload, signature } = parts;
    const four = [encodeCbor(protectedHeader), unprotectedHeader, encodeCbor(payload), encodeCbor(signature)] as const;
    const envelopes: readonly (readonly [string, Uint8Array])[] = [
      ['an indefinite array', concat(Uint8Array.of(0x9f), ...four, Uint8Array.of(0xff))],
      ['three parts', concat(Uint8Array.of(0x83), ...four.slice(0, 3))],
      ['five parts', concat(Uint8Array.of(0x85), ...four, encodeCbor(null))],
      ['a long count', concat(Uint8Array.of(0x98, 0x04), ...four)],
      ['a long length', concat(Uint8Array.of(0x84), Uint8Array.of(0x58, 0x04), protectedHeader, ...four.slice(1))],
      ['the tag twice', concat(Uint8Array.of(0xd2, 0xd2), document)],
      ['the tag in two bytes', concat(Uint8Array.of(0xd8, 0x12), document)],
      ['another tag', concat(Uint8Array.of(0xd1), document)],
      ['a detached payload', concat(Uint8Array.of(0x84), four[0], four[1], encodeCbor(null), four[3])],
      ['the signature as an array', concat(Uint8Array.of(0x84), ...four.slice(0, 3), encodeCbor([...signature]))],
      ['a byte after it', concat(document, Uint8Array.of(0))],
      ['text', new TextEncoder().encode('a document')],
      ['nothing', new Uint8Array()],
    ];
    for (const [what, envelope] of envelopes) {
      expect([what, codeOf(() => parseNitroDocument(envelope))]).toEqual([what, 'EVIDENCE_MALFORMED']);
    }
  });

  test('names a document of a NitroTPM, with or without pcrs beside it', async () => {
    const tpm = encodeCbor(new Map(Array.from({ length: 24 }, (_, i) => [i, bytesOf(48)])));
    for (const mutateEntries of [
      added('nitrotpm_pcrs', tpm),
      (good: readonly Entry[]) => added('nitrotpm_pcrs', tpm)(entry('pcrs', null)(good)),
    ]) {
      const outcome = await trying({ mutateEntries });
      expect([outcome.code, outcome.field]).toEqual(['EVIDENCE_UNSUPPORTED', 'document.nitrotpm_pcrs']);
    }
  });

  test("names QEMU's unsigned documents, and any whose signature is zero", async () => {
    // hw/virtio/virtio-nsm.c: {1: -1}, 64 zero bytes each for certificate, bundle and signature.
    const blank = new Uint8Array(64);
    const { document } = make({
      mutate: fields({ moduleId: 'i-234-enc5678', certificate: blank, cabundle: [blank] }),
      mutateSigned: (good) => ({ ...good, protectedHeader: Uint8Array.of(0xa1, 0x01, 0x20) }),
      mutateParts: (good) => ({ ...good, signature: blank }),
      encoding: { payloadMap: 'definite' },
    });
    expect(opensLikeNitroDocument(document)).toBe(true);
    const qemu = await attemptNitro(document, anchors, AT);
    expect([qemu.code, qemu.field]).toEqual(['SIGNATURE_INVALID', 'document.signature']);
    const zero = await trying({ mutateParts: (good) => ({ ...good, signature: new Uint8Array(96) }) });
    expect([zero.code, zero.field]).toEqual(['SIGNATURE_INVALID', 'document.signature']);
  });

  test('refuses a huge file before reading it', () => {
    const huge = new Uint8Array(1 << 26);
    huge.set([0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    expect(codeOf(() => parseNitroDocument(huge))).toBe('EVIDENCE_TOO_LARGE');
    expect(codeOf(() => parseNitroDocument(huge.subarray(0, 16_000)))).toBe('EVIDENCE_MALFORMED');
  });

  test('random bytes, alone and behind a good beginning, give a code', () => {
    const { document } = make();
    for (let i = 0; i < 3000; i++) {
      const noise = new Uint8Array(randomBytes(i % 300));
      const kept = document.subarray(0, i % document.length);
      for (const input of [noise, concat(kept, noise)]) {
        expect(['EVIDENCE_MALFORMED', 'SIGNATURE_INVALID']).toContain(codeOf(() => parseNitroDocument(input)));
      }
    }
  });
});
