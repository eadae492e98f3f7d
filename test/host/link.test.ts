import { CONTENT_TYPE, encodeSign1, FRAME, HEADER } from '@veritee/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { type FakeEnclave as Enclave, FakeEnclave } from '../support/fake-enclave.ts';
import { random } from '../support/fake-log.ts';
import { hostOf, openStore, ready, tempFolder, until } from './support.ts';

async function fakeEnclave(): Promise<Enclave> {
  const enclave = await FakeEnclave.start();
  onTestFinished(() => enclave.kill());
  return enclave;
}

const json = async (url: string): Promise<Record<string, never>> => (await fetch(url)).json() as never;

test('brings every record into the store and acknowledges what is durable', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  for (let i = 0; i < 700; i++) enclave.statement();
  enclave.tick();
  await hostOf(enclave, { store });
  await until(() => enclave.acknowledged === enclave.frames.length);
  const { boot, entries } = enclave.log;
  expect(await store.entries(boot, 0, 1000)).toEqual(entries);
  expect((await store.latestEvidence(boot))?.size).toBe(entries.length);
  expect(enclave.acks.length).toBeLessThan(100); // groups, not single records
  expect(enclave.acks).toEqual([...enclave.acks].sort((a, b) => a - b));

  enclave.statement();
  enclave.tick();
  await until(() => enclave.acknowledged === enclave.frames.length);
  expect((await store.latestEvidence(boot))?.size).toBe(entries.length);
});

test('goes on from the last acknowledgement after the connection broke, and takes a repeated delivery', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  await hostOf(enclave, { store });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 50; i++) enclave.statement();
    enclave.tick();
    await until(() => enclave.acknowledged === enclave.frames.length);
    await enclave.kill();
    enclave.acknowledged -= 20; // as if the last acknowledgements had been lost
    enclave.statement();
    await enclave.listen();
    await until(() => enclave.acknowledged === enclave.frames.length);
  }
  const { boot, entries } = enclave.log;
  expect(await store.entries(boot, 0, 1000)).toEqual(entries);
  expect((await store.boot(boot))?.ended).toBeNull();
});

test('survives its own restart in the middle of a log', async () => {
  const enclave = await fakeEnclave();
  const data = tempFolder();
  const first = await hostOf(enclave, { data });
  for (let i = 0; i < 30; i++) enclave.statement();
  enclave.tick();
  await until(() => enclave.acknowledged === enclave.frames.length);
  await first.close();
  for (let i = 0; i < 30; i++) enclave.statement();
  enclave.tick();
  const second = await hostOf(enclave, { data });
  await until(() => enclave.acknowledged === enclave.frames.length);
  expect((await json(`${second.url}/log`))['boots']).toMatchObject([
    { boot: enclave.log.boot, size: 61, committed: 61 },
  ]);
});

test('marks a boot lost when another one speaks, clean when it said its end', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  await hostOf(enclave, { store });
  enclave.statement();
  await until(() => enclave.acknowledged === enclave.frames.length);
  await enclave.reboot();
  enclave.statement();
  enclave.end();
  enclave.tick();
  await until(() => enclave.acknowledged === enclave.frames.length);
  await enclave.reboot();
  await until(async () => (await store.boots()).length === 3 && (await store.boots())[1]?.ended !== null);
  expect((await store.boots()).map(({ ended }) => ended)).toEqual(['lost', 'clean', null]);
});

test.each([
  [
    'an entry that differs from the stored one',
    (enclave: Enclave) => enclave.raw(FRAME.entry, enclave.log.foreignStatement(1)),
    'LOG_FORKED',
  ],
  ['a gap', (enclave: Enclave) => enclave.raw(FRAME.entry, enclave.log.foreignStatement(9)), 'LOG_FORKED'],
  [
    'a checkpoint over another tree',
    (enclave: Enclave) => enclave.raw(FRAME.evidence, enclave.log.evidenceOver(enclave.log.size, random(32)).file),
    'LOG_FORKED',
  ],
  [
    'an entry of a kind it does not know',
    (enclave: Enclave) =>
      enclave.raw(
        FRAME.entry,
        encodeSign1(`${CONTENT_TYPE.statement}2`, random(40), () => random(64)),
      ),
    'EVIDENCE_UNSUPPORTED',
  ],
])('stops at %s, with an alarm and nothing written', async (_name, send, code) => {
  const enclave = await fakeEnclave();
  const store = openStore();
  const host = await hostOf(enclave, { store });
  enclave.statement();
  enclave.tick();
  await ready(host);
  send(enclave);
  enclave.statement();
  await until(() => host.log.alarms.length > 0);
  expect(host.log.alarms).toMatchObject([{ code, boot: enclave.log.boot }]);
  expect((await store.boot(enclave.log.boot))?.size).toBe(2);

  const refused = await fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
  expect(refused.status).toBe(500);
  expect(refused.headers.get(HEADER.errorCode)).toBe(code);
  expect(enclave.requests).toBe(0);
  const readiness = await fetch(`${host.url}/readyz`);
  expect(readiness.status).toBe(503);
  expect(await readiness.json()).toMatchObject({ ready: false, reasons: [{ code }] });
  // What is stored stays readable, and no further record is taken.
  expect((await fetch(`${host.url}/attestation`)).status).toBe(200);
  const acknowledged = enclave.acks.length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(enclave.acks.length).toBe(acknowledged);
});

test('connects again after bytes that are no frame', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  await hostOf(enclave, { store });
  enclave.statement();
  await until(() => enclave.acknowledged === enclave.frames.length);
  enclave.frames.push(new Uint8Array(64).fill(0xff));
  enclave.statement();
  await new Promise((resolve) => setTimeout(resolve, 100));
  enclave.frames.splice(2, 1);
  await enclave.kill();
  await enclave.listen();
  await until(async () => (await store.boot(enclave.log.boot))?.size === 3);
});

test('refuses work while the store is full, acknowledges nothing, and recovers when there is room', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  const host = await hostOf(enclave, { store });
  enclave.statement();
  enclave.tick();
  await ready(host);
  store.setMaxBytes(1);
  for (let i = 0; i < 300; i++) enclave.statement();
  enclave.tick();
  await until(async () => (await fetch(`${host.url}/readyz`)).status === 503);
  const acknowledged = enclave.acknowledged;
  expect(acknowledged).toBeLessThan(enclave.frames.length);

  const refused = await fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ code: 'STORE_FULL' });
  expect(enclave.requests).toBe(0);
  expect((await fetch(`${host.url}/attestation`)).status).toBe(200);
  expect((await fetch(`${host.url}/healthz`)).status).toBe(200);
  expect(enclave.acknowledged).toBe(acknowledged);

  store.setMaxBytes(null);
  await ready(host);
  await until(() => enclave.acknowledged === enclave.frames.length);
  expect((await store.boot(enclave.log.boot))?.size).toBe(enclave.log.size);
  expect((await fetch(`${host.url}/v2/models/fake/infer`, { method: 'POST', body: '{}' })).status).toBe(200);
});

test('keeps what it already read when the enclave dies while the store is full', async () => {
  const enclave = await fakeEnclave();
  const store = openStore();
  const host = await hostOf(enclave, { store });
  enclave.tick();
  await ready(host);
  store.setMaxBytes(1);
  const { boot } = enclave.log;
  for (let i = 0; i < 200; i++) enclave.statement();
  await until(async () => (await fetch(`${host.url}/readyz`)).status === 503);
  await enclave.kill();
  store.setMaxBytes(null);
  await until(async () => ((await store.boot(boot))?.size ?? 0) > 150);
});
