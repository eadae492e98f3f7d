/** `veritee archive prove`, `export`, `hold`, `purge`, `retention`, `timestamp` and `witness`, as the command line runs them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { decode } from 'cbor2';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openArchive } from '../../archive/archive.ts';
import { checkBundle } from '../../archive/export/offline/check.ts';
import { archiveOrigin } from '../../archive/log/checkpoint.ts';
import { parseCoseReceipt, verifyCoseReceipt } from '../../archive/proofs/cose-receipt.ts';
import { parseTlogProof } from '../../archive/proofs/tlog-proof.ts';
import { exitOfError } from '../../cli/exit.ts';
import { run } from '../../cli/program.ts';
import { type Ed25519Key, equalBytes, hex, leafHash, parseReceipt } from '../../protocol/index.ts';
import { assess, detectKind } from '../../verifier/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { AT, anchorsOf, type Tick } from '../support/mini-enclave.ts';
import { ROOT } from '../support/shared.ts';
import { FakeWitness } from './fake-witness.ts';
import { Filler, open } from './filled.ts';
import { foreign } from './foreign.ts';
import { LocalAuthority } from './tsa.ts';

const { folder, remove } = temporaryFolder();
const where = path.join(folder, 'archive');
const file = (name: string): string => path.join(folder, name);
let filler: Filler;
let tick: Tick;
let id: string;
let key: Ed25519Key;

beforeAll(async () => {
  const built = (await import(String('../../tools/offline-verifier.mjs'))) as {
    offlineVerifier(): Promise<{ page: string; script: string }>;
  };
  const dist = path.join(ROOT, 'archive/dist');
  if (!existsSync(path.join(dist, 'verify.html'))) {
    const { page, script } = await built.offlineVerifier();
    mkdirSync(dist, { recursive: true });
    writeFileSync(path.join(dist, 'verify.html'), page);
    writeFileSync(path.join(dist, 'verify.mjs'), script);
  }
  const archive = await open(where);
  ({ id, publicKey: key } = archive);
  filler = await Filler.start(archive);
  await filler.add(3, { tenant: 'acme', retentionClass: 'default' }, { private: true });
  ({ tick } = await filler.add(2, { tenant: 'other', retentionClass: 'short' }));
  await archive.close();
});
afterAll(remove);

/** Exit status and what was said, of a command run in this process. */
async function veritee(...args: readonly string[]): Promise<{ status: number; stdout: string }> {
  let stdout = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  const mute = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const [verb = '', ...rest] = args;
    const status = await run(['archive', verb, '--archive', where, ...rest]).catch(exitOfError);
    return { status, stdout };
  } finally {
    write.mockRestore();
    mute.mockRestore();
  }
}
const json = async (...args: readonly string[]) => {
  const { status, stdout } = await veritee(...args, '--json');
  expect(status).toBe(0);
  return JSON.parse(stdout);
};
const idOf = (i: number): string => hex(filler.answers[i]!.statement.receiptId);

describe('prove', () => {
  test('a portable receipt', async () => {
    expect((await veritee('prove', '--receipt', idOf(0), '--format', 'receipt', '--out', file('r'))).status).toBe(0);
    const content = new Uint8Array(readFileSync(file('r')));
    const trustAnchors = await anchorsOf(tick);
    expect(await assess({ file: content, policy: 'builtin:authenticity', at: AT, trustAnchors })).toMatchObject({
      verdict: 'affirming',
    });
  });

  test('a tlog-proof on stdout, of an entry and of an act', async () => {
    const { status, stdout } = await veritee('prove', '--boot', filler.boot, '--index', '1');
    expect([status, parseTlogProof(stdout).index]).toEqual([0, 1]);
    expect(parseTlogProof((await veritee('prove', '--act', '0')).stdout).checkpoint.origin).toBe(archiveOrigin(id));
  });

  test('a COSE Receipt', async () => {
    await veritee('prove', '--receipt', idOf(1), '--format', 'cose-receipt', '--out', file('c'));
    const receipt = parseCoseReceipt(new Uint8Array(readFileSync(file('c'))));
    expect(await verifyCoseReceipt(receipt, leafHash(filler.answers[1]!.entry), key)).toBe(true);
  });

  test('a CMW collection, as JSON and as CBOR, holds the same records', async () => {
    const { stdout } = await veritee('prove', '--receipt', idOf(0), '--format', 'cmw-json');
    const inJson = JSON.parse(stdout) as Record<string, [string, string, number]>;
    await veritee('prove', '--receipt', idOf(0), '--format', 'cmw', '--out', file('w'));
    const inCbor = decode(readFileSync(file('w'))) as Record<string, [string, Uint8Array, number]>;
    expect(Object.keys(inCbor).sort()).toEqual(['__cmwc_t', 'evidence', 'policy', 'receipt', 'result']);
    for (const [label, record] of Object.entries(inCbor)) {
      if (label === '__cmwc_t') continue;
      const [type, value, indicator] = record;
      expect(inJson[label]).toEqual([type, Buffer.from(value).toString('base64url'), indicator]);
    }
    const evidence = new Uint8Array(inCbor['evidence']![1]);
    expect(detectKind(evidence)).toBe('evidence');
    const receipt = new Uint8Array(inCbor['receipt']![1]);
    expect(equalBytes(parseReceipt(receipt).statement, filler.answers[0]!.entry)).toBe(true);
    const trustAnchors = await anchorsOf(tick);
    const input = {
      file: receipt,
      evidence: [evidence],
      policy: 'builtin:authenticity',
      at: AT,
      trustAnchors,
    } as const;
    expect(await assess(input)).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed' });
    expect([inCbor['evidence']![2], inCbor['result']![2], inCbor['policy']![2]]).toEqual([4, 8, 16]);
  });

  test.each([
    ['nothing to prove', []],
    ['two things', ['--receipt', '00'.repeat(16), '--act', '1']],
    ['a boot without an index', ['--boot', '00'.repeat(16)]],
    ['a format of something else', ['--act', '1', '--format', 'cmw']],
    ['an id that is none', ['--receipt', 'x']],
    ['binary to a terminal', ['--act', '0', '--format', 'act']],
  ])('%s is exit status 2', async (_, args) => {
    expect((await veritee('prove', ...args)).status).toBe(2);
  });
});

describe('export', () => {
  test('a zip that verifies', async () => {
    const said = await json('export', '--tenant', 'acme', '--out', file('e.zip'), '--with-content');
    expect(said).toMatchObject({ archive: id, receipts: 3, evidence: 1 });
    const files = unzipSync(readFileSync(file('e.zip')));
    expect(Object.keys(files)).toEqual(
      expect.arrayContaining(['verify.html', 'verify.mjs', 'README.txt', 'index.csv']),
    );
    const bundle = {
      names: Object.keys(files),
      read: async (name: string) => (files[name] ? new Uint8Array(files[name]) : null),
    };
    expect(await checkBundle(bundle, { anchors: [], archive: id })).toMatchObject({
      holds: true,
      receipts: { affirming: 3 },
    });
  });

  test('JSON Lines, each an object, and the export an act', async () => {
    expect(await json('export', '--format', 'json-lines', '--out', file('e.jsonl'))).toEqual({ receipts: 5 });
    const lines = readFileSync(file('e.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(5);
    expect(lines[4]).toMatchObject({
      archive: id,
      type: 'receipt',
      receiptId: idOf(4),
      tenant: 'other',
      strength: 'hardware-committed',
      evidence: { verdict: 'affirming', platform: 'simulated-snp', measurement: '5a'.repeat(48) },
    });
    const archive = await openArchive({ folder: where, mode: 'read' });
    expect(await archive.store.actsOf('export')).toHaveLength(2);
    await archive.close();
  });

  test.each([
    ['a format of something else', ['--format', 'x']],
    ['a time that is none', ['--from', 'yesterday']],
    ['a hold that is not in force', ['--hold', 'x']],
    ['a folder that is not there', ['--out', '/nowhere/x.zip']],
  ])('%s is exit status 2', async (_, args) => {
    expect((await veritee('export', '--out', file('x'), ...args)).status).toBe(2);
  });
});

test.skipIf(!foreign.openssl)('timestamp: stamp, check, and in an export checked by OpenSSL', async () => {
  const tsa = new LocalAuthority(file('tsa'));
  const server: Server = createServer(async (request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/timestamp-reply' })
      .end(await tsa.ask(await buffer(request)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const root = ['--tsa-root', path.join(tsa.folder, 'root.pem')];
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stamped = await json('timestamp', '--tsa', url, ...root);
  expect(stamped).toMatchObject({ authority: 'Test TSA', renewed: [] });
  server.close();
  server.closeAllConnections();
  expect((await json('timestamp', '--check', ...root)).timestamps).toMatchObject([{ act: stamped.act, problem: null }]);
  await json('export', '--tenant', 'acme', '--out', file('t.zip'));
  const files = unzipSync(readFileSync(file('t.zip')));
  const tokens = Object.keys(files).filter((name) => name.endsWith('.tst'));
  expect(tokens).toHaveLength(1);
  for (const name of tokens) {
    expect(tsa.verify(files[name]!, files[name.replace('.tst', '.data')]!)).toMatchObject({ status: 0 });
  }
  expect((await veritee('timestamp', '--tsa', url, ...root)).status).toBe(3);
  expect((await veritee('timestamp', '--tsa', url)).status).toBe(2);
  const other = new LocalAuthority(file('other-tsa'));
  expect((await veritee('timestamp', '--check', '--tsa-root', path.join(other.folder, 'root.pem'))).status).toBe(1);
});

test('witness: its line is kept', async () => {
  const fake = new FakeWitness({ origin: archiveOrigin(id), key });
  const url = await fake.start();
  const { size } = await json('witness', '--url', url, '--key', fake.vkey);
  expect(size).toBe(fake.latest.size);
  fake.close();
  expect((await veritee('witness', '--url', url, '--key', fake.vkey)).status).toBe(3);
  expect((await veritee('witness', '--url', url, '--key', 'x')).status).toBe(2);
});

test('hold, retention and purge', async () => {
  expect(await json('hold', 'case 1', '--tenant', 'acme', '--reason', 'litigation')).toMatchObject({ receipts: 3 });
  expect((await json('hold')).holds).toMatchObject([
    { name: 'case 1', scope: { tenant: 'acme' }, reason: 'litigation' },
  ]);
  expect(await json('export', '--hold', 'case 1', '--out', file('h.zip'))).toMatchObject({ receipts: 3 });
  expect((await veritee('purge', '--tenant', 'acme', '--reason', 'asked')).status).not.toBe(0);
  const rules = { name: 'short', class: 'short', tenant: null, model: null, keepDays: 1 };
  writeFileSync(file('rules.json'), JSON.stringify({ profile: 'veritee/retention/v1', rules: [rules] }));
  await json('retention', file('rules.json'));
  expect(await json('retention')).toEqual({ rules: [rules] });
  expect(await json('purge', '--expired', '--reason', 'retention', '--dry-run')).toMatchObject({
    entries: 2,
    acts: [],
  });
  const { entries, acts } = await json('purge', '--expired', '--reason', 'retention');
  expect([entries, acts.length]).toEqual([2, 1]);
  const tombstone = await veritee('prove', '--act', String(acts[0]));
  expect(parseTlogProof(tombstone.stdout).index).toBe(acts[0]);
  await json('hold', 'case 1', '--release', '--reason', 'settled');
  expect(await json('purge', '--tenant', 'acme', '--reason', 'asked')).toMatchObject({ entries: 3 });
  const place = ['--boot', filler.boot, '--index', String(filler.answers[0]!.sequence)];
  expect((await veritee('prove', ...place)).status).toBe(0);
  expect((await veritee('prove', ...place, '--format', 'receipt', '--out', file('p'))).status).not.toBe(0);
  for (const args of [
    ['purge', '--reason', 'x'],
    ['purge', '--expired'],
    ['hold', 'x'],
    ['purge', '--expired', '--tenant', 'a', '--reason', 'x'],
  ]) {
    expect((await veritee(...args)).status).toBe(2);
  }
});
