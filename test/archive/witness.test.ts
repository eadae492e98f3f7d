import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Archive } from '../../archive/archive.ts';
import { archiveOrigin } from '../../archive/log/checkpoint.ts';
import { parseWitnessKey, type Witness } from '../../archive/proofs/note.ts';
import { actTlogProof, proveActs } from '../../archive/proofs/prove.ts';
import { parseTlogProof, verifyTlogProof } from '../../archive/proofs/tlog-proof.ts';
import { setRetention } from '../../archive/retention/rules.ts';
import { cosignaturesOf, cosignHead } from '../../archive/witness/index.ts';
import { bytes, ed25519Key, leafHash, utf8 } from '../../protocol/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { FakeWitness } from './fake-witness.ts';
import { open } from './filled.ts';

let remove: () => void;
let archive: Archive;
let fake: FakeWitness;
let witness: Witness;
let url: string;

beforeEach(async () => {
  const temporary = temporaryFolder();
  remove = temporary.remove;
  archive = await open(path.join(temporary.folder, 'archive'));
  fake = new FakeWitness({ origin: archiveOrigin(archive.id), key: archive.publicKey });
  url = await fake.start();
  witness = parseWitnessKey(fake.vkey, (raw) => ed25519Key(raw, 'key'));
});
afterEach(async () => {
  fake.close();
  await archive.close();
  remove();
});

const grow = () => setRetention(archive, utf8('{"profile":"veritee/retention/v1","rules":[]}'));
const findings = async () => (await archive.store.findings()).map(({ code }) => code);

test('a witness follows the archive’s log, and its line rides in a proof', async () => {
  for (let round = 0; round < 5; round++) {
    const size = (await archive.store.actHead())!.size;
    const [proof] = await proveActs(archive, [0]);
    const cosigned = await cosignHead(archive, url, witness);
    expect(cosigned).toMatchObject({ size, timeMs: fake.timeSeconds * 1000 });
    const text = actTlogProof(proof!, await cosignaturesOf(archive, size));
    const parsed = parseTlogProof(text);
    expect(parsed.checkpoint.signatures.map(({ name }) => name)).toEqual([archiveOrigin(archive.id), fake.name]);
    const log = { origin: archiveOrigin(archive.id), key: archive.publicKey };
    expect(await verifyTlogProof(parsed, leafHash(proof!.cose), log)).toBe(true);
    await grow();
  }
  expect(fake.asked).toBe(5);
});

test('one that knows an earlier head than our log says is asked again from there', async () => {
  await cosignHead(archive, url, witness);
  fake.latest = { size: 0, root: bytes(new Uint8Array(32), 32, 'root') };
  await grow();
  expect(await cosignHead(archive, url, witness)).toMatchObject({ size: 3 });
  expect(fake.asked).toBe(3);
});

test('one that has cosigned more than there is, or another log, is a finding', async () => {
  fake.latest = { size: 99, root: fake.latest.root };
  await expect(cosignHead(archive, url, witness)).rejects.toMatchObject({ code: 'LOG_FORKED' });
  expect(await findings()).toEqual(['STORE_ROLLED_BACK']);
  fake.latest = { size: 1, root: fake.latest.root };
  await expect(cosignHead(archive, url, witness)).rejects.toMatchObject({ code: 'LOG_FORKED' });
});

test.each([
  ['no line', () => ''],
  ['an altered one', (line: string) => line.replace(/.{6}\n$/, 'AAAA==\n')],
  ['another’s', () => `— other.test/w AAAAAAAA${'A'.repeat(96)}\n`],
])('%s is not kept', async (_, lie) => {
  fake.lie = lie;
  await expect(cosignHead(archive, url, witness)).rejects.toMatchObject({
    code: expect.stringMatching(/^(SERVICE_ANSWER_INVALID|EVIDENCE_MALFORMED)$/),
  });
  expect(await archive.store.actsOf('cosignature')).toEqual([]);
});

test('a witness that is not there, or does not know this log', async () => {
  await expect(cosignHead(archive, `${url}x`, witness)).rejects.toMatchObject({ code: 'SERVICE_REFUSED' });
  fake.close();
  await expect(cosignHead(archive, url, witness)).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' });
});

test.each([['x'], ['name+00000000+AAAA'], ['witness.test/w1+00000000+BAAA']])('the key %s is refused', (text) => {
  expect(() => parseWitnessKey(text, (raw) => ed25519Key(raw, 'key'))).toThrow(
    expect.objectContaining({ code: 'EVIDENCE_MALFORMED' }),
  );
});

test('a key under another name is refused', () => {
  const other = fake.vkey.replace('w1', 'w2');
  expect(() => parseWitnessKey(other, (raw) => ed25519Key(raw, 'key'))).toThrow(/id/);
});
