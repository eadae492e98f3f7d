import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import {
  base64url,
  bytes,
  ed25519Key,
  equalBytes,
  fromBase64url,
  fromHex,
  type Hash,
  HEADER,
  hex,
  leafHash,
  MEDIA_TYPE,
  nodesFromTiles,
  parseAttestation,
  parseCheckpoint,
  parseEntry,
  parseEntryBundle,
  parseEvidence,
  parseReceipt,
  rootFromInclusion,
  rootOf,
  TILE_WIDTH,
  tilePath,
  tilesOf,
  treeRoot,
  verifyCheckpoint,
} from '@veritee/protocol';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startHost } from '../../host/host.ts';
import { FakeEnclave } from '../support/fake-enclave.ts';
import { random } from '../support/fake-log.ts';
import {
  hostOf,
  LogLines,
  openStore,
  ready,
  type TestHost,
  type TestHostOptions,
  tempFolder,
  until,
} from './support.ts';

async function running(options: TestHostOptions = {}): Promise<{ enclave: FakeEnclave; host: TestHost }> {
  const enclave = await FakeEnclave.start();
  onTestFinished(() => enclave.kill());
  const host = await hostOf(enclave, options);
  return { enclave, host };
}

const stored = (enclave: FakeEnclave) => until(() => enclave.acknowledged === enclave.frames.length);
const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());
const asJson = { headers: { accept: 'application/json' } };

async function expectProblem(response: Response, status: number, code: string, field?: string) {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const problem = (await response.json()) as Record<string, unknown>;
  expect([response.status, problem['status'], problem['code'], problem['field']]).toEqual([
    status,
    status,
    code,
    field,
  ]);
  expect(problem['title']).toEqual(expect.any(String));
  expect(problem['detail']).toEqual(expect.any(String));
}

/** The root a proven entry leads to, at the index it claims itself. */
function rootOfProven(entry: Uint8Array, path: readonly Hash[], size: number): Hash | null {
  return rootFromInclusion(leafHash(entry), parseEntry(entry).sequence, size, path);
}

describe('/attestation', () => {
  test('is 503 before the first evidence', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    const response = await fetch(`${host.url}/attestation`);
    expect(response.headers.get('retry-after')).toBe('1');
    await expectProblem(response, 503, 'EVIDENCE_NOT_READY');
  });

  test('gives the latest evidence with the key entries under it', async () => {
    const { enclave, host } = await running();
    for (let i = 0; i < 12; i++) enclave.key();
    enclave.tick();
    enclave.statement();
    const evidence = enclave.tick();
    const late = enclave.key();
    await stored(enclave);
    const response = await fetch(`${host.url}/attestation`);
    expect(response.headers.get('content-type')).toBe(MEDIA_TYPE.attestation);
    expect(response.headers.get('cache-control')).toBe('no-store, no-transform');
    const attestation = parseAttestation(await bytesOf(response));
    expect(attestation.evidence).toEqual(evidence.file);
    expect(attestation.challenge).toBeNull();
    expect(attestation.keys.map(({ entry }) => parseEntry(entry).sequence)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    expect(attestation.keys.some(({ entry }) => equalBytes(entry, late.entry))).toBe(false);
    for (const { entry, path } of attestation.keys) {
      expect(rootOfProven(entry, path, evidence.size)).toEqual(evidence.root);
    }
  });

  test('with a nonce waits for the tick that takes it in', async () => {
    const { enclave, host } = await running();
    enclave.key();
    enclave.tick();
    await ready(host);
    const nonce = random(32);
    const response = await fetch(`${host.url}/attestation?nonce=${hex(nonce)}`);
    expect(response.status).toBe(200);
    const { evidence, challenge, keys } = parseAttestation(await bytesOf(response));
    const checkpoint = parseCheckpoint(parseEvidence(evidence).checkpoint);
    expect(keys.length).toBe(1);
    expect(challenge?.nonce).toEqual(nonce);
    const proof = challenge!;
    expect(rootOfProven(proof.entry, proof.path, checkpoint.size)).toEqual(checkpoint.root);
    const entry = parseEntry(proof.entry);
    if (entry.kind !== 'challenges') throw new Error('want a challenges entry');
    expect(rootFromInclusion(leafHash(nonce), proof.nonceIndex, entry.value.nonceCount, proof.noncePath)).toEqual(
      entry.value.nonceRoot,
    );
    expect(await verifyCheckpoint(checkpoint, ed25519Key(enclave.log.publicKey, 'key'))).toBe(true);
  });

  test('with a nonce brings the first evidence of a boot', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    expect((await fetch(`${host.url}/attestation?nonce=${'ab'.repeat(8)}`)).status).toBe(200);
  });

  test('is JSON when the caller asks for it, with the same content', async () => {
    const { enclave, host } = await running();
    enclave.key();
    enclave.tick();
    await ready(host);
    const cbor = await fetch(`${host.url}/attestation?nonce=${'cd'.repeat(64)}`);
    const file = parseAttestation(await bytesOf(cbor));
    expect(file.challenge?.nonce.length).toBe(64);
    const response = await fetch(`${host.url}/attestation`, asJson);
    expect(response.headers.get('content-type')).toBe('application/json');
    const json = (await response.json()) as Record<string, unknown>;
    const evidence = parseEvidence(parseAttestation(await bytesOf(await fetch(`${host.url}/attestation`))).evidence);
    expect(json).toMatchObject({
      profile: 'tag:veritee.dev,2026:attestation/v1',
      challenge: null,
      evidence: {
        checkpoint: evidence.checkpoint,
        report: base64url(evidence.report),
        chain: evidence.chain.map(base64url),
        previousReportData: base64url(evidence.previousReportData ?? new Uint8Array(0)),
      },
    });
    expect((json['keys'] as { entry: string; path: string[] }[])[0]?.entry).toBe(
      base64url(enclave.log.entries[1] as Uint8Array),
    );
  });

  test.each([
    ['application/json', 'application/json'],
    ['application/json, text/plain, */*', 'application/json'],
    ['*/*', MEDIA_TYPE.attestation],
    ['text/html, */*;q=0.8', MEDIA_TYPE.attestation],
    ['text/html', MEDIA_TYPE.attestation],
    [`${MEDIA_TYPE.attestation}, application/json;q=0.5`, MEDIA_TYPE.attestation],
    ['application/json;q=0, */*', MEDIA_TYPE.attestation],
  ])('answers Accept: %s with %s', async (accept, type) => {
    const { enclave, host } = await running();
    enclave.tick();
    await ready(host);
    const response = await fetch(`${host.url}/attestation`, { headers: { accept } });
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('vary')).toBe('Accept');
  });

  test.each([
    '',
    'ab',
    'ab'.repeat(7),
    'ab'.repeat(65),
    'abc',
    'zz'.repeat(16),
    `${'ab'.repeat(16)}&nonce=${'ab'.repeat(16)}`,
  ])('refuses the nonce "%s"', async (nonce) => {
    const { enclave, host } = await running();
    enclave.tick();
    await ready(host);
    await expectProblem(await fetch(`${host.url}/attestation?nonce=${nonce}`), 400, 'NONCE_INVALID', 'nonce');
    expect(enclave.log.size).toBe(1);
  });

  test('does not wait for ever, nor let everybody wait', async () => {
    const { enclave, host } = await running({ limits: { challengeTimeoutMs: 200, maxInFlight: 2 } });
    enclave.tick();
    await ready(host);
    enclave.ignoresChallenges = true;
    const ask = () => fetch(`${host.url}/attestation?nonce=${'ab'.repeat(16)}`);
    const waiting = [ask(), ask()];
    await until(async () => {
      const third = await ask();
      if (third.status !== 503) return false;
      await expectProblem(third, 503, 'QUEUE_FULL');
      return true;
    });
    for (const response of await Promise.all(waiting)) await expectProblem(response, 504, 'DEADLINE_EXCEEDED');
    enclave.ignoresChallenges = false;
    expect((await ask()).status).toBe(200);
  });

  test('with a nonce is 503 when the enclave is gone, without one it still answers', async () => {
    const { enclave, host } = await running();
    enclave.tick();
    await ready(host);
    await enclave.kill();
    await expectProblem(await fetch(`${host.url}/attestation?nonce=${'ab'.repeat(16)}`), 503, 'ENCLAVE_UNREACHABLE');
    expect((await fetch(`${host.url}/attestation`)).status).toBe(200);
  });
});

describe('/receipts/:id', () => {
  const receipt = (host: TestHost, id: Uint8Array, init?: RequestInit) =>
    fetch(`${host.url}/receipts/${hex(id)}`, init);

  test('is 202 with the session-signed receipt until the tick, then 200 with the path', async () => {
    const { enclave, host } = await running();
    const before = enclave.tick();
    const { receiptId, entry } = enclave.statement();
    await stored(enclave);
    const pending = await receipt(host, receiptId);
    expect([pending.status, pending.headers.get('retry-after')]).toEqual([202, '1']);
    expect(pending.headers.get(HEADER.receiptStatus)).toBe('pending');
    expect(pending.headers.get('content-type')).toBe(MEDIA_TYPE.receipt);
    expect(parseReceipt(await bytesOf(pending))).toEqual({
      statement: entry,
      path: null,
      evidence: { file: before.file },
    });

    const covering = enclave.tick();
    enclave.statement();
    enclave.tick();
    await stored(enclave);
    const done = await receipt(host, receiptId);
    expect([done.status, done.headers.get(HEADER.receiptStatus)]).toEqual([200, 'hardware-committed']);
    const { statement, path, evidence } = parseReceipt(await bytesOf(done));
    expect([statement, evidence]).toEqual([entry, { file: covering.file }]); // the first evidence over it
    expect(rootOfProven(statement, path ?? [], covering.size)).toEqual(covering.root);
  });

  test('a receipt of a one-entry range keeps an empty path apart from none', async () => {
    const { enclave, host } = await running();
    const { receiptId } = enclave.statement();
    enclave.tick();
    await stored(enclave);
    const { path } = parseReceipt(await bytesOf(await receipt(host, receiptId)));
    expect(path?.length).toBe(1);
  });

  test('says in words what became of it', async () => {
    const { enclave, host } = await running();
    const latest = enclave.tick();
    const covered = enclave.statement();
    const covering = enclave.tick();
    const { receiptId, entry, index } = enclave.statement();
    const { boot } = enclave.log;
    await stored(enclave);
    const words = async (id: Uint8Array) => (await receipt(host, id, asJson)).json() as Promise<Record<string, string>>;
    expect(await words(receiptId)).toMatchObject({ status: 'pending', boot, index, id: hex(receiptId) });

    await enclave.reboot();
    await stored(enclave);
    const lost = await receipt(host, receiptId);
    expect([lost.status, lost.headers.get(HEADER.receiptStatus)]).toEqual([200, 'neverCommitted']);
    expect(parseReceipt(await bytesOf(lost))).toEqual({
      statement: entry,
      path: null,
      evidence: { file: covering.file },
    });
    const said = await words(receiptId);
    expect(said).toMatchObject({
      status: 'neverCommitted',
      words: expect.stringContaining('ended before a hardware report'),
      statement: base64url(entry),
      evidenceReportData: hex(covering.reportData),
    });
    expect(parseReceipt(fromBase64url(said['receipt'] as string)!).statement).toEqual(entry);
    expect((await receipt(host, covered.receiptId)).headers.get(HEADER.receiptStatus)).toBe('hardware-committed');
    expect(latest.size).toBe(1);
  });

  test('a boot that never had evidence: 503 while it lives, words when it is gone', async () => {
    const { enclave, host } = await running();
    const { receiptId, entry } = enclave.statement();
    await stored(enclave);
    const pending = await receipt(host, receiptId);
    expect(pending.headers.get('retry-after')).toBe('1');
    await expectProblem(pending, 503, 'EVIDENCE_NOT_READY');
    await enclave.reboot();
    await stored(enclave);
    const gone = await receipt(host, receiptId);
    expect([gone.status, gone.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await gone.json()).toMatchObject({ status: 'neverCommitted', receipt: null, statement: base64url(entry) });
  });

  test('every receipt of a log that crosses a tile is proved', async () => {
    const { enclave, host } = await running();
    const statements = [];
    for (let i = 0; i < 300; i++) {
      statements.push(enclave.statement());
      if (i % 97 === 0) enclave.tick();
    }
    const last = enclave.tick();
    await stored(enclave);
    for (const { receiptId, entry } of statements) {
      const { statement, path, evidence } = parseReceipt(await bytesOf(await receipt(host, receiptId)));
      if (!('file' in evidence)) throw new Error('want embedded evidence');
      const { size, root } = parseCheckpoint(parseEvidence(evidence.file).checkpoint);
      expect(statement).toEqual(entry);
      expect(rootOfProven(statement, path ?? [], size)).toEqual(root);
    }
    expect(last.size).toBe(301);
  });

  test('is 404 for an id that is not known and 400 for one that is none', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    await expectProblem(await receipt(host, random(16)), 404, 'RECEIPT_UNKNOWN', 'id');
    for (const id of [
      '0',
      'ab'.repeat(15),
      'ab'.repeat(17),
      'AB'.repeat(16),
      'zz'.repeat(16),
      '%20',
      'ab'.repeat(16).concat('%00'),
    ]) {
      await expectProblem(await fetch(`${host.url}/receipts/${id}`), 400, 'REQUEST_FIELD_INVALID', 'id');
    }
  });
});

describe('/log', () => {
  test('lists the boots', async () => {
    const { enclave, host } = await running();
    enclave.statement();
    enclave.tick();
    enclave.statement();
    await stored(enclave);
    const first = enclave.log.boot;
    await enclave.reboot();
    await stored(enclave);
    const listed = (await (await fetch(`${host.url}/log`)).json()) as { boots: { firstSeen: string }[] };
    expect(listed.boots).toMatchObject([
      { boot: first, ended: 'lost', size: 3, committed: 2 },
      { boot: enclave.log.boot, ended: null, size: 1, committed: 0 },
    ]);
    expect(new Date(listed.boots[0]?.firstSeen ?? '').toISOString()).toBe(listed.boots[0]?.firstSeen);
  });

  test('serves a log that a mirror can rebuild from checkpoint, tiles and bundles', async () => {
    const { enclave, host } = await running();
    for (let i = 0; i < 599; i++) enclave.statement();
    const evidence = enclave.tick();
    enclave.statement();
    await stored(enclave);
    const base = `${host.url}/log/${enclave.log.boot}`;
    const note = await fetch(`${base}/checkpoint`);
    expect(note.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    const { size, root } = parseCheckpoint(await note.text());
    expect([size, root]).toEqual([600, evidence.root]);

    const tiles = new Map<string, Uint8Array>();
    for (const tile of tilesOf(size)) {
      const response = await fetch(`${base}/${tilePath(tile)}`);
      expect(response.headers.get('content-type')).toBe('application/octet-stream');
      const immutable = response.headers.get('cache-control')?.includes('immutable');
      expect(immutable).toBe(tile.width === TILE_WIDTH);
      tiles.set(`${tile.level}/${tile.index}`, await bytesOf(response));
    }
    expect(
      treeRoot(
        size,
        nodesFromTiles((level, index) => tiles.get(`${level}/${index}`)!),
      ),
    ).toEqual(root);

    const entries = [];
    for (const { index, width } of tilesOf(size).filter(({ level }) => level === 0)) {
      const response = await fetch(`${base}/${tilePath({ level: null, index, width })}`);
      entries.push(...parseEntryBundle(await bytesOf(response)));
    }
    expect(rootOf(entries.map((entry) => leafHash(entry)))).toEqual(root);
  });

  test('keeps every partial width readable, up to what is durable', async () => {
    const { enclave, host } = await running();
    for (let i = 0; i < 39; i++) enclave.statement();
    await stored(enclave);
    const base = `${host.url}/log/${enclave.log.boot}/tile`;
    for (let width = 1; width <= 40; width++) {
      expect((await bytesOf(await fetch(`${base}/0/000.p/${width}`))).length).toBe(32 * width);
      expect(parseEntryBundle(await bytesOf(await fetch(`${base}/entries/000.p/${width}`))).length).toBe(width);
    }
    for (const path of ['0/000.p/41', '0/000', '1/000.p/1', 'entries/000.p/41', 'entries/000', '0/001.p/1']) {
      await expectProblem(await fetch(`${base}/${path}`), 404, 'TILE_UNKNOWN', 'tile');
    }
  });

  test('refuses what is no tile path and boots it does not know', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    const base = `${host.url}/log/${enclave.log.boot}/tile`;
    for (const path of [
      '0/0',
      '0/0000',
      '00/000',
      '0/000.p/0',
      '0/000.p/01',
      '0/000.p/257',
      '64/000',
      '-1/000',
      '0/x000/000',
      'entry/000.p/1',
    ]) {
      await expectProblem(await fetch(`${base}/${path}`), 404, 'TILE_UNKNOWN', 'tile');
    }
    const other = '00'.repeat(16);
    await expectProblem(await fetch(`${host.url}/log/${other}/tile/0/000.p/1`), 404, 'BOOT_UNKNOWN', 'boot');
    await expectProblem(await fetch(`${host.url}/log/${other}/checkpoint`), 404, 'BOOT_UNKNOWN', 'boot');
    const upper = enclave.log.boot.toUpperCase();
    for (const boot of ['x', upper === enclave.log.boot ? 'F'.repeat(32) : upper]) {
      await expectProblem(await fetch(`${host.url}/log/${boot}/checkpoint`), 400, 'REQUEST_FIELD_INVALID', 'boot');
    }
    await expectProblem(
      await fetch(`${host.url}/log/${enclave.log.boot}/checkpoint`),
      503,
      'EVIDENCE_NOT_READY',
      'checkpoint',
    );
    await enclave.reboot();
    await stored(enclave);
    const { boots } = (await (await fetch(`${host.url}/log`)).json()) as { boots: { boot: string }[] };
    await expectProblem(await fetch(`${host.url}/log/${boots[0]?.boot}/checkpoint`), 404, 'TILE_UNKNOWN', 'checkpoint');
  });

  test('gives entry bundles to callers on this machine only', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    const path = `/log/${enclave.log.boot}/tile/entries/000.p/1`;
    expect((await fetch(`${host.url}${path}`)).status).toBe(200);
    for (const header of ['x-forwarded-for', 'forwarded']) {
      const proxied = await fetch(`${host.url}${path}`, { headers: { [header]: 'for=192.0.2.1' } });
      await expectProblem(proxied, 403, 'AUDITOR_ONLY');
    }
  });

  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  if (!outside)
    console.warn('skipped: this machine has no address but loopback, so the refusal of others is not tried');
  test.skipIf(!outside)('refuses entry bundles to a caller from elsewhere, and serves it hash tiles', async () => {
    const enclave = await FakeEnclave.start();
    onTestFinished(() => enclave.kill());
    const host = await startHost(
      { listen: { host: '0.0.0.0', port: 0 }, data: tempFolder(), enclave: enclave.address, allowPlaintext: false },
      { logger: new LogLines().logger },
    );
    onTestFinished(() => host.close());
    await stored(enclave);
    const base = `http://${outside}:${host.address.port}/log/${enclave.log.boot}/tile`;
    await expectProblem(await fetch(`${base}/entries/000.p/1`), 403, 'AUDITOR_ONLY');
    expect((await fetch(`${base}/0/000.p/1`)).status).toBe(200);
  });
});

describe('health', () => {
  test('/readyz says what is missing, and what is served', async () => {
    const { enclave, host } = await running();
    enclave.models = [
      { name: 'good', version: '1', code: null },
      { name: 'bad', version: '2', code: 'MODEL_FILE_INVALID' },
    ];
    await stored(enclave);
    const before = await fetch(`${host.url}/readyz`);
    expect(before.status).toBe(503);
    expect(await before.json()).toMatchObject({
      ready: false,
      reasons: [{ code: 'EVIDENCE_NOT_READY' }],
      boot: enclave.log.boot,
      evidence: null,
    });
    enclave.tick();
    await ready(host);
    expect(await (await fetch(`${host.url}/readyz`)).json()).toMatchObject({
      ready: true,
      reasons: [],
      platform: 'fake',
      warning: 'FAKE',
      evidence: { size: 1, ageMs: expect.any(Number) },
      log: { size: 1, durable: 1 },
      models: enclave.models,
    });
    await enclave.kill();
    await until(async () => (await fetch(`${host.url}/readyz`)).status === 503);
    expect(await (await fetch(`${host.url}/readyz`)).json()).toMatchObject({
      reasons: [{ code: 'ENCLAVE_UNREACHABLE' }],
    });
    expect((await fetch(`${host.url}/healthz`)).status).toBe(200);
  });

  test('/readyz is 503 before any enclave was seen', async () => {
    const enclave = new FakeEnclave(); // not listening
    const host = await hostOf(enclave);
    expect(await (await fetch(`${host.url}/readyz`)).json()).toMatchObject({
      ready: false,
      boot: null,
      reasons: [{ code: 'ENCLAVE_UNREACHABLE' }],
    });
  });

  test('/metrics counts what happened', async () => {
    const { enclave, host } = await running();
    enclave.tick();
    await ready(host);
    await fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
    await fetch(`${host.url}/receipts/${'ab'.repeat(16)}`);
    await stored(enclave);
    const text = await (await fetch(`${host.url}/metrics`)).text();
    for (const line of [
      'veritee_requests_total{route="/v2",status="200"} 1',
      'veritee_requests_total{route="/receipts/:id",status="404"} 1',
      'veritee_refused_total{route="/receipts/:id",code="RECEIPT_UNKNOWN"} 1',
      'veritee_in_flight 0',
      'veritee_entries_total 2',
      'veritee_link_state{state="connected"} 1',
      'veritee_link_state{state="connecting"} 0',
      'veritee_durable_wait_seconds_count 1',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(text).toMatch(/\nveritee_evidence_age_seconds 0?\.?\d/);
    expect(text).toMatch(/\nveritee_commit_seconds_count [1-9]/);
  });
});

describe('anything else', () => {
  test('is 404, and another method 405', async () => {
    const { enclave, host } = await running();
    await stored(enclave);
    for (const path of [
      '/',
      '/v3',
      '/v2x',
      '/V2',
      '/Attestation',
      '/log/',
      '/receipts',
      '/favicon.ico',
      '/link/hello',
      '/link/records',
    ]) {
      await expectProblem(await fetch(`${host.url}${path}`), 404, 'REQUEST_NOT_FOUND');
    }
    for (const path of ['/attestation', '/healthz', `/receipts/${'ab'.repeat(16)}`]) {
      const response = await fetch(`${host.url}${path}`, { method: 'POST', body: 'x' });
      expect(response.headers.get('allow')).toBe('GET, HEAD');
      await expectProblem(response, 405, 'REQUEST_METHOD_NOT_ALLOWED', 'method');
    }
    await expectProblem(await fetch(`${host.url}/receipts/%E0%A4%A`), 400, 'REQUEST_FIELD_INVALID', 'path');
  });

  test('does not name the software and forbids sniffing', async () => {
    const { host } = await running();
    const response = await fetch(`${host.url}/healthz`);
    expect(response.headers.get('x-powered-by')).toBeNull();
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('an absolute request target is not relayed', async () => {
    const { enclave, host } = await running();
    enclave.tick();
    await ready(host);
    const raw = connect(host.address.port, '127.0.0.1');
    onTestFinished(() => void raw.destroy());
    let received = '';
    raw.on('data', (chunk) => {
      received += chunk.toString();
    });
    raw.write('GET http://elsewhere/v2/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await until(() => received.includes('\r\n\r\n'));
    expect(received).toMatch(/^HTTP\/1\.1 404 /);
    expect(enclave.requests).toBe(0);
  });
});

describe('starting and stopping', () => {
  const settings = (port: number, data = tempFolder()) => ({
    listen: { host: '127.0.0.1', port },
    data,
    enclave: { kind: 'unix', path: '/nowhere' } as const,
    allowPlaintext: false,
  });
  const parts = () => ({ logger: new LogLines().logger });

  test('refuses a port in use, and gives the data folder back', async () => {
    const { host } = await running();
    const data = tempFolder();
    await expect(startHost(settings(host.address.port, data), parts())).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await (await startHost(settings(0, data), parts())).close();
  });

  test('refuses an address that is not its own', async () => {
    const elsewhere = { ...settings(0), listen: { host: '192.0.2.1', port: 0 } };
    await expect(startHost(elsewhere, parts())).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  });

  test('refuses a data folder in use', async () => {
    const data = tempFolder();
    openStore(data);
    await expect(startHost(settings(0, data), parts())).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
  });

  test('finishes the requests in hand before it stops', async () => {
    const { enclave, host } = await running({ limits: { drainTimeoutMs: 5000 } });
    enclave.tick();
    await ready(host);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    enclave.handler = async () => {
      await gate;
      return enclave.inferred();
    };
    const answer = fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
    await until(() => enclave.requests === 1);
    const closed = host.close();
    open();
    expect((await answer).status).toBe(200);
    await closed;
    await expect(fetch(`${host.url}/healthz`)).rejects.toThrow();
  });

  test('cuts what does not finish within the drain limit', async () => {
    const { enclave, host } = await running({ limits: { drainTimeoutMs: 100 } });
    enclave.tick();
    await ready(host);
    enclave.handler = () => new Promise(() => undefined);
    const answer = fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' }).catch(
      (error: Error) => error.name,
    );
    await until(() => enclave.requests === 1);
    await host.close();
    expect(await answer).toBe('TypeError');
  });
});

test('an id in a receipt leads back to it', async () => {
  const { enclave, host } = await running();
  const { receiptId } = enclave.statement();
  enclave.tick();
  await stored(enclave);
  const file = parseReceipt(await bytesOf(await fetch(`${host.url}/receipts/${hex(receiptId)}`)));
  const entry = parseEntry(file.statement);
  expect(
    entry.kind === 'statement' && equalBytes(entry.value.receiptId, bytes(fromHex(hex(receiptId))!, 16, 'id')),
  ).toBe(true);
});
