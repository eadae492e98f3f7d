import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MAX_DEPTH, MAX_ITEMS } from '../../protocol/cbor.ts';
import { MAX_CHECKPOINT_BYTES } from '../../protocol/checkpoint.ts';
import { CLAIM, CONTENT_TYPE, MEDIA_TYPE, PROFILE } from '../../protocol/claims.ts';
import {
  MAX_CHALLENGES,
  MAX_ENTRY_BYTES,
  MAX_NONCE_BYTES,
  MAX_STATEMENT_BYTES,
  MIN_NONCE_BYTES,
} from '../../protocol/entries.ts';
import { CODES, type CodeFacts } from '../../protocol/errors.ts';
import { MAX_ATTESTATION_BYTES, MAX_EVIDENCE_BYTES, MAX_PATH, MAX_RECEIPT_BYTES } from '../../protocol/files.ts';
import { buildVectors } from './vectors.ts';

/** docs/formats.md is what others implement from, so it may not fall behind the code. */
const doc = readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8');
const lines = new Set(doc.split('\n'));
const absent = (wanted: readonly string[]) => wanted.filter((text) => !doc.includes(text));

test('error codes: a row for each, in the order of the source, and no other', () => {
  const expected = Object.entries<CodeFacts>(CODES).map(
    ([code, { stage, action, status }]) => `| \`${code}\` | ${stage} | ${action} | ${status ?? ''} |`,
  );
  const rows = [...doc.matchAll(/^(\| `[A-Z][A-Z0-9_]+` \| \w+ \| \w+ \| \d* \|) (.+) \|$/gm)];
  expect(rows.map((row) => row[1])).toEqual(expected);
  expect(rows.filter((row) => row[2]!.trim() === '')).toEqual([]);
});

test('claim numbers', () => {
  const rows = [...doc.matchAll(/^\| (-?\d+) \| `(\w+)` \|/gm)].map(([, number, name]) => [name, Number(number)]);
  expect(Object.fromEntries(rows)).toEqual(CLAIM);
});

test('content types, profiles and media types', () => {
  for (const [kind, contentType] of Object.entries(CONTENT_TYPE)) {
    expect(lines).toContain(`| ${kind} | \`${contentType}\` | \`${PROFILE[kind as keyof typeof CONTENT_TYPE]}\` |`);
  }
  expect(absent([...Object.values(MEDIA_TYPE), ...Object.values(PROFILE).map((profile) => `=> "${profile}"`)])).toEqual(
    [],
  );
});

test('limits', () => {
  const number = (value: number) => value.toLocaleString('en-US');
  for (const row of [
    `| evidence file | ${number(MAX_EVIDENCE_BYTES)} bytes |`,
    `| receipt file | ${number(MAX_RECEIPT_BYTES)} bytes |`,
    `| attestation file | ${number(MAX_ATTESTATION_BYTES)} bytes |`,
    `| entry | ${number(MAX_ENTRY_BYTES)} bytes |`,
    `| statement, the whole message | ${number(MAX_STATEMENT_BYTES)} bytes |`,
    `| checkpoint | ${MAX_CHECKPOINT_BYTES} bytes |`,
    `| path | ${MAX_PATH} hashes |`,
    `| nonce | ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes |`,
    `| nonces in a challenges entry | ${number(MAX_CHALLENGES)} |`,
    `| CBOR | ${MAX_DEPTH} levels, ${number(MAX_ITEMS)} values |`,
  ]) {
    expect(lines).toContain(row);
  }
});

test('the REPORT_DATA construction, word for word', () => {
  expect(doc).toContain(`SHA-512 of these UTF-8 bytes:
\`\`\`
veritee/report-data/v1\\n
<lower-case hex SHA-256 of the session claims bytes>\\n
<lower-case hex of the REPORT_DATA of the last report obtained in this boot, or 128 zeros>\\n
<the checkpoint's three-line body>
\`\`\`
`);
});

describe('examples', async () => {
  const { session, ticks, entries, model } = await buildVectors();

  test('are those of the vectors', () => {
    expect(
      absent([
        ticks[0]!.checkpoint,
        ticks[1]!.reportDataPreimage,
        ticks[1]!.reportData,
        `public key    ${session.publicKey}`,
        `origin        ${session.origin}`,
        `key id        ${session.noteKeyId}`,
        `verifier key  ${session.noteVerifierKey}`,
        `SHA-256 = ${model.digest}`,
      ]),
    ).toEqual([]);
  });

  test('byte strings written out in full stand in the vectors', () => {
    const all = JSON.stringify({ session, entries });
    const written = [...doc.matchAll(/h'([0-9a-f]{32,})'/g)].map((match) => match[1]!);
    expect(written.length).toBe(10);
    expect(written.filter((text) => !all.includes(text))).toEqual([]);
  });

  test('the end entry taken apart is the one of the vectors', () => {
    const { message } = entries.at(-1)!;
    const parts = ['d284', '5826a20127037820', '6170', '626f72a0', '583aa406', '5840d8c9', 'a200'];
    let at = 0;
    for (const part of parts) {
      expect(message.indexOf(part, at)).toBeGreaterThanOrEqual(at);
      at = message.indexOf(part, at) + part.length;
    }
    expect(at).toBe(message.length);
  });
});
