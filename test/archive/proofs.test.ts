import { createPublicKey, verify } from 'node:crypto';
import { RFC9162 } from '@transmute/rfc9162';
import { decode, type Tag } from 'cbor2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Archive } from '../../archive/archive.ts';
import { archiveOrigin } from '../../archive/log/checkpoint.ts';
import { parseCoseReceipt, verifyCoseReceipt } from '../../archive/proofs/cose-receipt.ts';
import { Paths } from '../../archive/proofs/paths.ts';
import {
  actCoseReceipt,
  actTlogProof,
  entryCoseReceipt,
  entryTlogProof,
  logOf,
  openArchiveKey,
  placeOfReceipt,
  portableReceipt,
  proveActs,
  proveEntry,
} from '../../archive/proofs/prove.ts';
import { parseTlogProof, verifyTlogProof } from '../../archive/proofs/tlog-proof.ts';
import { leafHash, noteVerifierKey, rootFromInclusion } from '../../protocol/index.ts';
import { assess } from '../../verifier/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { AT, anchorsOf, type Tick } from '../support/mini-enclave.ts';
import { Filler, open } from './filled.ts';
import { foreign } from './foreign.ts';

const { folder, remove } = temporaryFolder();
let archive: Archive;
let filler: Filler;
let last: Tick;

beforeAll(async () => {
  archive = await open(folder);
  filler = await Filler.start(archive);
  const filed = { tenant: 'acme', retentionClass: 'default' };
  await filler.add(3, filed);
  await filler.add(255, filed); // past one full tile
  last = (await filler.add(6, filed)).tick;
});
afterAll(async () => {
  await archive?.close();
  remove();
});

const answer = (i: number) => filler.answers[i]!;
const proofOf = async (i: number) => proveEntry(archive, await placeOfReceipt(archive, answer(i).statement.receiptId));

describe('portable receipts', () => {
  test.each([0, 2, 3, 200, 257, 263])('answer %i is affirmed as hardware-committed', async (i) => {
    const file = await portableReceipt(archive, await proofOf(i));
    const trustAnchors = await anchorsOf(last);
    const result = await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors });
    expect([result.verdict, result.strength]).toEqual(['affirming', 'hardware-committed']);
  });

  test('an unknown receipt is refused by its code', async () => {
    await expect(proveEntry(archive, { boot: filler.boot, index: 9999 })).rejects.toMatchObject({
      code: 'RECEIPT_UNKNOWN',
    });
  });
});

describe('paths by the thousand', () => {
  test('are those of the one-by-one proof, in every tree they may lie in', async () => {
    const paths = new Paths(archive.store, filler.boot, last.size);
    const { log } = filler.enclave;
    for (let size = 1; size <= last.size; size += 37) {
      for (let index = 0; index < size; index += 11) expect(await paths.of(index, size)).toEqual(log.path(index, size));
    }
    await expect(paths.of(0, last.size + 1)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  });
});

describe('tlog-proof', () => {
  test('of an entry verifies under the enclave’s own checkpoint; no changed byte does', async () => {
    const proof = await proofOf(100);
    const text = entryTlogProof(proof);
    const log = logOf(proof.evidence) as Parameters<typeof verifyTlogProof>[2];
    const leaf = leafHash(answer(100).entry);
    expect(await verifyTlogProof(parseTlogProof(text), leaf, log)).toBe(true);
    expect(await verifyTlogProof(parseTlogProof(text), leafHash(answer(101).entry), log)).toBe(false);
    const accepted: number[] = [];
    for (let at = 0; at < text.length; at += 3) {
      const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
      const held = await Promise.resolve()
        .then(() => verifyTlogProof(parseTlogProof(changed), leaf, log))
        .catch(() => false);
      if (held) accepted.push(at);
    }
    expect(accepted).toEqual([]);
  });

  test('of an act verifies under the archive’s checkpoint', async () => {
    const [proof] = await proveActs(archive, [1]);
    const log = { origin: archiveOrigin(archive.id), key: archive.publicKey };
    expect(await verifyTlogProof(parseTlogProof(actTlogProof(proof!)), leafHash(proof!.cose), log)).toBe(true);
    await expect(proveActs(archive, [99])).rejects.toMatchObject({ code: 'RECEIPT_UNKNOWN' });
  });

  test.each([
    ['another header', (text: string) => text.replace('@v1', '@v2')],
    ['extra data', (text: string) => text.replace('\n', '\nextra AAAA\n')],
    ['a padded index', (text: string) => text.replace('index ', 'index 0')],
    ['no blank line', (text: string) => text.replaceAll('\n\n', '\n')],
    ['a long path', (text: string) => text.replace('\n\n', `\n${`${'A'.repeat(43)}=\n`.repeat(60)}\n`)],
    ['a line behind it', (text: string) => `${text}x\n`],
  ])('%s is refused', async (_, change) => {
    const text = entryTlogProof(await proofOf(100));
    expect(() => parseTlogProof(change(text))).toThrow(expect.objectContaining({ code: 'EVIDENCE_MALFORMED' }));
  });

  test.skipIf(!foreign.go)('Go’s sumdb note and tlog packages agree', async () => {
    const proof = await proofOf(100);
    const log = logOf(proof.evidence);
    const vkey = noteVerifierKey(log.origin, log.key);
    const text = entryTlogProof(proof);
    const entry = answer(100).entry;
    expect(foreign.goTlogProof(text, entry, vkey)).toEqual({ status: 0, said: 'included' });
    expect(foreign.goTlogProof(text, answer(101).entry, vkey).status).toBe(1);
    const [act] = await proveActs(archive, [2]);
    const own = noteVerifierKey(archiveOrigin(archive.id), archive.publicKey);
    expect(foreign.goTlogProof(actTlogProof(act!), act!.cose, own)).toEqual({ status: 0, said: 'included' });
    expect(foreign.goTlogProof(actTlogProof(act!), act!.cose, vkey).status).toBe(1);
  });
});

describe('COSE Receipt', () => {
  test('verifies; no changed byte does, but for a size of the same shape', async () => {
    const key = await openArchiveKey(folder);
    const message = entryCoseReceipt(archive, await proofOf(100), key);
    const leaf = leafHash(answer(100).entry);
    const receipt = parseCoseReceipt(message);
    expect(receipt).toMatchObject({ issuer: archiveOrigin(archive.id), log: `veritee/${filler.boot}`, index: 101 });
    expect(await verifyCoseReceipt(receipt, leaf, archive.publicKey)).toBe(true);
    expect(await verifyCoseReceipt(receipt, leafHash(answer(99).entry), archive.publicKey)).toBe(false);
    for (let at = 0; at < message.length; at++) {
      const changed = message.slice();
      changed[at] = (changed[at] as number) ^ 1;
      const held = await Promise.resolve()
        .then(() => verifyCoseReceipt(parseCoseReceipt(changed), leaf, archive.publicKey))
        .catch(() => false);
      // RFC 9942 signs the root alone: a tree size under which the path has the same turns says nothing else.
      if (held) expect({ ...parseCoseReceipt(changed), size: 0 }).toEqual({ ...receipt, size: 0 });
    }
  });

  test('cbor2, @transmute/rfc9162 and OpenSSL’s Ed25519 come to the same root and signature', async () => {
    const key = await openArchiveKey(folder);
    const [act] = await proveActs(archive, [1]);
    for (const [message, entry] of [
      [entryCoseReceipt(archive, await proofOf(100), key), answer(100).entry],
      [entryCoseReceipt(archive, await proofOf(0), key), answer(0).entry],
      [actCoseReceipt(archive, act!, key), act!.cose],
    ] as const) {
      const { tag, contents } = decode(message, { preferMap: true }) as Tag;
      expect(tag).toBe(18);
      const [header, unprotected, payload, signature] = contents as [
        Uint8Array,
        Map<number, unknown>,
        null,
        Uint8Array,
      ];
      expect(payload).toBe(null);
      const proofs = (unprotected.get(396) as Map<number, Uint8Array[]>).get(-1)!;
      const [size, index, path] = decode(proofs[0]!) as [number, number, Uint8Array[]];
      const fields = decode(header, { preferMap: true }) as Map<number, unknown>;
      expect([fields.get(1), fields.get(395)]).toEqual([-8, 1]);
      // Their library wants the root; ours gives the candidate, which theirs confirms and the signature covers.
      const leaf = leafHash(entry);
      const root = rootFromInclusion(leaf, index, size, path as never)!;
      const given = { log_id: '', tree_size: size, leaf_index: index, inclusion_path: path };
      expect(await RFC9162.verifyInclusionProof(root, leaf, given)).toBe(true);
      const head = (major: number, length: number): number[] =>
        length < 24 ? [major + length] : length < 256 ? [major + 24, length] : [major + 25, length >> 8, length & 255];
      const signed = Buffer.concat([
        Buffer.from([0x84, 0x6a]),
        Buffer.from('Signature1'),
        Buffer.from(head(0x40, header.length)),
        header,
        Buffer.from([0x40, 0x58, 32]),
        root,
      ]);
      const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), archive.publicKey]);
      const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      expect(verify(null, signed, publicKey, signature)).toBe(true);
    }
  });

  test.skipIf(!foreign.python)('Python’s cbor2 and cryptography agree', async () => {
    const message = entryCoseReceipt(archive, await proofOf(100), await openArchiveKey(folder));
    const entry = answer(100).entry;
    expect(foreign.pythonCoseReceipt(message, entry, archive.publicKey)).toEqual({ status: 0, said: 'included' });
    expect(foreign.pythonCoseReceipt(message, answer(101).entry, archive.publicKey).status).toBe(1);
    expect(foreign.pythonCoseReceipt(message, entry, filler.enclave.session.key).status).toBe(1);
  });
});
