import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bytes, bytes, concat, fromBase64, hex, utf8 } from '../../protocol/bytes.ts';
import {
  bootIdOf,
  checkpointBody,
  encodeCheckpoint,
  MAX_CHECKPOINT_BYTES,
  noteKeyId,
  noteVerifierKey,
  originOf,
  parseCheckpoint,
  verifyCheckpoint,
} from '../../protocol/checkpoint.ts';
import { type Ed25519Key, ed25519Key, verifyEd25519 } from '../../protocol/ed25519.ts';
import { type Hash, leafHash } from '../../protocol/merkle.ts';
import { sharedVectors, signerOf, testSigner, verdict } from './support.ts';

const { raw, key, sign } = testSigner;
const origin = originOf(bootIdOf(raw));
const root = leafHash(utf8('an entry'));
const note = encodeCheckpoint(origin, 42, root, raw, sign);

/** A verifier key of any name, `name+hex key id+base64(type ‖ key)`. */
function parseVerifierKey(text: string): { name: string; id: string; key: Ed25519Key } {
  const [, name, id, packed] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text)!;
  const data = fromBase64(packed!)!;
  expect(data[0]).toBe(1);
  return { name: name!, id: id!, key: ed25519Key(data.subarray(1), 'key') };
}

/** Any signed note with one signature line: our own parser reads only ours. */
function parseNote(text: string): { body: string; name: string; id: string; signature: Bytes<64> } {
  const [, body, name, line] = /^((?:[^\n]*\n)+)\n— ([^ \n]+) ([A-Za-z0-9+/=]+)\n$/.exec(text)!;
  const data = fromBase64(line!)!;
  return { body: body!, name: name!, id: hex(data.subarray(0, 4)), signature: bytes(data.subarray(4), 64, 'note') };
}

describe('published keys and notes', () => {
  // C2SP signed-note.md, and the package comment of golang.org/x/mod/sumdb/note.
  const EXAMPLE = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
  const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
  const PETER_NOTE =
    'If you think cryptography is the answer to your problem,\n' +
    "then you don't know what your problem is.\n" +
    '\n' +
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

  test.each([EXAMPLE, PETER])('%s', (text) => {
    const { name, id, key } = parseVerifierKey(text);
    expect(hex(noteKeyId(name, key))).toBe(id);
    expect(noteVerifierKey(name, key)).toBe(text);
  });

  test('the note of PeterNeumann verifies', async () => {
    const { name, id, key } = parseVerifierKey(PETER);
    const signed = parseNote(PETER_NOTE);
    expect([signed.name, signed.id]).toEqual([name, id]);
    expect(await verifyEd25519(key, utf8(signed.body), signed.signature)).toBe(true);
  });
});

const foreign = sharedVectors('tlog-tiles/log');
describe.skipIf(foreign.absent)("another implementation's checkpoints (Tessera)", () => {
  const VERIFIER_KEY = 'example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx';
  const { name, id, key } = parseVerifierKey(VERIFIER_KEY);

  test('key id and verifier key', () => {
    expect(hex(noteKeyId(name, key))).toBe(id);
    expect(noteVerifierKey(name, key)).toBe(VERIFIER_KEY);
  });

  test.each(Array.from({ length: 16 }, (_, size) => size))('size %d', async (size) => {
    const text = readFileSync(`${foreign.path}/checkpoint.${size}`, 'utf8');
    const signed = parseNote(text);
    const root = bytes(fromBase64(signed.body.split('\n')[2]!)!, 32, 'root');
    expect(checkpointBody(name, size, root)).toBe(signed.body);
    expect([signed.name, signed.id]).toEqual([name, id]);
    expect(await verifyEd25519(key, utf8(signed.body), signed.signature)).toBe(true);
    // With its signature, our writer gives the file back byte for byte; our reader takes boots only.
    expect(encodeCheckpoint(name, size, root, key, () => signed.signature)).toBe(text);
    expect(verdict(() => parseCheckpoint(text))).toBe('EVIDENCE_MALFORMED');
  });
});

describe('our checkpoints', () => {
  test('names derive from the session key', () => {
    const sha = (...parts: Uint8Array[]) =>
      createHash('sha256')
        .update(concat(...parts))
        .digest('hex');
    expect(origin).toBe(`veritee/${sha(raw).slice(0, 32)}`);
    expect(hex(noteKeyId(origin, raw))).toBe(sha(utf8(origin), Uint8Array.of(0x0a, 0x01), raw).slice(0, 8));
  });

  test('round trip', async () => {
    const anyRoot = fc.uint8Array({ minLength: 32, maxLength: 32 });
    const anySize = fc.oneof(
      fc.integer({ min: 1, max: 2 ** 31 }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    );
    await fc.assert(
      fc.asyncProperty(anySize, anyRoot, async (size, root) => {
        const text = encodeCheckpoint(origin, size, bytes(root, 32, 'root'), raw, sign);
        const parsed = parseCheckpoint(text);
        expect(parsed).toMatchObject({ origin, size });
        expect(hex(parsed.root)).toBe(hex(root));
        expect(text.startsWith(`${parsed.body}\n`)).toBe(true);
        expect(utf8(text).length).toBeLessThanOrEqual(MAX_CHECKPOINT_BYTES);
        expect(await verifyCheckpoint(parsed, key)).toBe(true);
      }),
    );
  });

  const lines = note.split('\n');
  const [, , rootLine, , signatureLine] = lines as [string, string, string, string, string];
  const withLine = (i: number, ...by: string[]) => [...lines.slice(0, i), ...by, ...lines.slice(i + 1)].join('\n');

  test.each<[string, string]>([
    ['nothing', ''],
    ['no final line feed', note.slice(0, -1)],
    ['a line feed more', `${note}\n`],
    ['CRLF', note.replaceAll('\n', '\r\n')],
    ['a space in front', ` ${note}`],
    ['a byte order mark', `\ufeff${note}`],
    ['no signature', note.split('\n\n')[0]!.concat('\n')],
    ['an empty signature block', `${note.split('\n\n')[0]}\n\n`],
    ['no blank line', withLine(3)],
    ['two blank lines', withLine(3, '', '')],
    ['an extension line', withLine(3, 'extension', '')],
    ['the same signature twice', withLine(4, signatureLine, signatureLine)],
    ['a witness line', withLine(4, signatureLine, signatureLine.replace(origin, 'witness.example'))],
    ['a witness line only', withLine(4, signatureLine.replace(origin, 'witness.example'))],
    ['size 0', withLine(1, '0')],
    ['size −1', withLine(1, '-1')],
    ['a leading zero', withLine(1, '042')],
    ['a sign', withLine(1, '+42')],
    ['an exponent', withLine(1, '4e1')],
    ['a fraction', withLine(1, '42.0')],
    ['hexadecimal', withLine(1, '0x2a')],
    ['other digits', withLine(1, '٤٢')],
    ['size 2^53', withLine(1, String(2 ** 53))],
    ['a size of seventeen digits', withLine(1, '1'.repeat(17))],
    ['no size', withLine(1, '')],
    ['a root without padding', withLine(2, rootLine.slice(0, -1))],
    ['a root of 31 bytes', withLine(2, Buffer.alloc(31).toString('base64'))],
    ['a root of 33 bytes', withLine(2, Buffer.alloc(33).toString('base64'))],
    ['a root with spare bits', withLine(2, `${'A'.repeat(42)}B=`)],
    ['a root in base64url', withLine(2, Buffer.alloc(32, 0xff).toString('base64url').concat('='))],
    ['a root in hex', withLine(2, hex(root))],
    ['an upper-case origin', note.replaceAll(origin, origin.toUpperCase())],
    ['a short boot id', note.replaceAll(origin, origin.slice(0, -1))],
    ['a long boot id', note.replaceAll(origin, `${origin}0`)],
    ['another log', note.replaceAll(origin, 'example.com/log')],
    ['another signer', withLine(4, signatureLine.replace(origin, `veritee/${'0'.repeat(32)}`))],
    ['a hyphen for the dash', withLine(4, signatureLine.replace('—', '-'))],
    ['two spaces', withLine(4, signatureLine.replace('— ', '—  '))],
    ['a space at the end', withLine(4, `${signatureLine} `)],
    ['a signature of 67 bytes', withLine(4, `— ${origin} ${Buffer.alloc(67).toString('base64')}`)],
    ['a signature of 69 bytes', withLine(4, `— ${origin} ${Buffer.alloc(69).toString('base64')}`)],
    ['a signature without padding', withLine(4, signatureLine.slice(0, -1))],
    ['a key id alone', withLine(4, `— ${origin} AAAAAA==`)],
  ])('refuses %s', (_, text) => {
    expect(text).not.toBe(note);
    expect(verdict(() => parseCheckpoint(text))).toBe('EVIDENCE_MALFORMED');
  });

  test('every truncation is refused', () => {
    for (let n = 0; n < note.length; n++) {
      expect(verdict(() => parseCheckpoint(note.slice(0, n)))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test('every change of one character is refused, or gives another value that does not verify', async () => {
    const whole = parseCheckpoint(note);
    const others = ['0', '1', '9', 'a', 'f', 'A', 'Z', '+', '/', '=', '-', '—', ' ', '\n', '\r', '\0', '\u00e9', ''];
    let parsed = 0;
    for (let i = 0; i <= note.length; i++) {
      for (const other of others) {
        for (const text of [note.slice(0, i) + other + note.slice(i + 1), note.slice(0, i) + other + note.slice(i)]) {
          if (text === note || verdict(() => parseCheckpoint(text)) !== 'ok') continue;
          parsed += 1;
          const checkpoint = parseCheckpoint(text);
          expect(checkpoint).not.toEqual(whole);
          if (await verifyCheckpoint(checkpoint, key)) expect.fail(`${JSON.stringify(other)} at ${i}`);
        }
      }
    }
    expect(parsed).toBeGreaterThan(500);
  });

  test('verifies under the session key of its boot only', async () => {
    const other = signerOf(new Uint8Array(32).fill(7));
    const otherOrigin = originOf(bootIdOf(other.raw));
    const verifies = (text: string, by = key) => verifyCheckpoint(parseCheckpoint(text), by);
    expect(await verifies(note)).toBe(true);
    expect(await verifies(note, other.key)).toBe(false);
    // Signed by the other key in this boot's name, with either key id.
    expect(await verifies(encodeCheckpoint(origin, 42, root, other.raw, other.sign))).toBe(false);
    expect(await verifies(encodeCheckpoint(origin, 42, root, other.raw, other.sign), other.key)).toBe(false);
    expect(await verifies(encodeCheckpoint(origin, 42, root, raw, other.sign))).toBe(false);
    // Signed by this key in another boot's name.
    const foreignName = parseCheckpoint(encodeCheckpoint(otherOrigin, 42, root, raw, sign));
    expect(await verifyCheckpoint(foreignName, key)).toBe(false);
    expect(await verifyCheckpoint({ ...foreignName, keyId: noteKeyId(origin, raw) }, key)).toBe(false);
    expect(await verifies(encodeCheckpoint(otherOrigin, 42, root, other.raw, other.sign), other.key)).toBe(true);
  });

  test('the value of one checkpoint with the signature of another does not verify', async () => {
    const [a, b] = [parseCheckpoint(note), parseCheckpoint(encodeCheckpoint(origin, 43, root, raw, sign))];
    expect(await verifyCheckpoint({ ...a, signature: b.signature }, key)).toBe(false);
    expect(await verifyCheckpoint({ ...a, keyId: new Uint8Array(4) as Bytes<4> }, key)).toBe(false);
    expect(await verifyCheckpoint({ ...a, body: checkpointBody(origin, 42, new Uint8Array(32) as Hash) }, key)).toBe(
      false,
    );
  });
});
