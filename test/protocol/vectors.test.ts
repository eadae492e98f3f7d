import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint, verifyCheckpoint } from '../../protocol/checkpoint.ts';
import { verifySign1 } from '../../protocol/cose.ts';
import { parseEntry } from '../../protocol/entries.ts';
import { parseAttestation, parseEvidence, parseReceipt } from '../../protocol/files.ts';
import { signerOf, unhex } from './support.ts';
import { buildVectors } from './vectors.ts';

const path = fileURLToPath(new URL('../../docs/vectors/formats.json', import.meta.url));
const vectors = await buildVectors();

// To rewrite the file: npx vitest run test/protocol/vectors.test.ts -u (`-u` last: it would take a path for its value)
test('docs/vectors/formats.json is what the code makes', async () => {
  expect(existsSync(path)).toBe(true);
  await expect(`${JSON.stringify(vectors, null, 2)}\n`).toMatchFileSnapshot(path);
});

describe('our readers take the vectors', () => {
  const { key } = signerOf(unhex(vectors.session.seed));

  test('entries', async () => {
    for (const { kind, sequence, message } of vectors.entries) {
      const entry = parseEntry(unhex(message));
      expect([entry.kind, entry.sequence]).toEqual([kind, sequence]);
      expect(await verifySign1(entry.message, key)).toBe(true);
    }
  });

  test('checkpoints and files', async () => {
    for (const { checkpoint } of vectors.ticks)
      expect(await verifyCheckpoint(parseCheckpoint(checkpoint), key)).toBe(true);
    expect(parseEvidence(unhex(vectors.files.evidenceThatDoesNotVerify)).checkpoint).toBe(vectors.ticks[0]!.checkpoint);
    expect(parseReceipt(unhex(vectors.files.receiptHardwareCommitted)).path?.length).toBe(2);
    expect(parseReceipt(unhex(vectors.files.receiptSessionSigned)).path).toBeNull();
    expect(parseAttestation(unhex(vectors.files.attestationOfSecondNonce)).challenge?.nonceIndex).toBe(1);
  });
});
