import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FRAME, HEADER } from '@veritee/protocol';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { FakeEnclave } from '../support/fake-enclave.ts';
import { bundle, removeBundles } from './bundle.ts';
import { openStore, tempFolder, until } from './support.ts';

let main: string;

afterAll(removeBundles);
beforeAll(async () => {
  main = join(await bundle('host/main.ts', 'host/store/worker.ts'), 'main.js');
});

interface Started {
  readonly process: ChildProcess;
  readonly message: Promise<Record<string, string>>;
  readonly exited: Promise<unknown[]>;
  readonly stderr: () => string;
}

function start(args: readonly string[]): Started {
  const child = fork(main, [...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const message = once(child, 'message').then(([first]) => first as Record<string, string>);
  return { process: child, message, exited, stderr: () => stderr };
}

const argumentsFor = (data: string, enclave = '/nowhere.sock', listen = '127.0.0.1:0') => [
  ...['--listen', listen, '--data', data, '--enclave', `unix:${enclave}`, '--allow-plaintext'],
];

describe('one host process', () => {
  test('says where it listens, and ends in order at SIGTERM', async () => {
    const data = tempFolder();
    const host = start(argumentsFor(data));
    const { type, address } = await host.message;
    expect(type).toBe('ready');
    expect((await fetch(`${address}/healthz`)).status).toBe(200);
    host.process.kill('SIGTERM');
    expect(await host.exited).toEqual([0, null]);
    openStore(data); // the folder is free again
    for (const line of host.stderr().trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ name: 'host' });
  });

  test('ends when its parent goes away', async () => {
    const host = start(argumentsFor(tempFolder()));
    await host.message;
    host.process.disconnect();
    expect(await host.exited).toEqual([0, null]);
  });

  test('refuses a port in use with its code and exit status 2', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    const host = start(argumentsFor(tempFolder(), undefined, `127.0.0.1:${port}`));
    expect(await host.message).toMatchObject({ type: 'error', code: 'PORT_IN_USE' });
    expect(await host.exited).toEqual([2, null]);
    expect(host.stderr()).toContain('PORT_IN_USE');
  });

  test('refuses a data folder another process holds, and takes it once that one was killed', async () => {
    const data = tempFolder();
    const first = start(argumentsFor(data));
    await first.message;
    const second = start(argumentsFor(data));
    expect(await second.message).toMatchObject({ type: 'error', code: 'DATA_FOLDER_IN_USE' });
    expect(await second.exited).toEqual([2, null]);
    first.process.kill('SIGKILL');
    await first.exited;
    const third = start(argumentsFor(data));
    expect(await third.message).toMatchObject({ type: 'ready' });
  });

  test('stops its link at a fork, with an alarm', async () => {
    const enclave = await FakeEnclave.start();
    onTestFinished(() => enclave.kill());
    enclave.tick();
    const host = start(argumentsFor(tempFolder(), enclave.path));
    const { address } = await host.message;
    await until(async () => (await fetch(`${address}/readyz`)).status === 200);
    enclave.raw(FRAME.entry, enclave.log.foreignStatement(5));
    await until(async () => (await (await fetch(`${address}/readyz`)).text()).includes('LOG_FORKED'));
    await until(() => host.stderr().includes('"alarm":true'));
  });

  test('refuses work at the database quota and stays up', async () => {
    const enclave = await FakeEnclave.start();
    onTestFinished(() => enclave.kill());
    enclave.tick();
    const host = start([...argumentsFor(tempFolder(), enclave.path), '--max-database-bytes', String(192 << 10)]);
    const { address } = await host.message;
    await until(async () => (await fetch(`${address}/readyz`)).status === 200);
    for (let i = 0; i < 500; i++) enclave.statement();
    await until(async () => (await (await fetch(`${address}/readyz`)).text()).includes('STORE_FULL'));
    const refused = await fetch(`${address}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
    expect([refused.status, refused.headers.get(HEADER.errorCode)]).toEqual([503, 'STORE_FULL']);
    expect((await fetch(`${address}/attestation`)).status).toBe(200);
  });

  const good = ['--listen', '127.0.0.1:0', '--data', '/tmp/never-made', '--enclave', 'unix:/x'];
  test.each([
    ['no arguments', [], '--listen'],
    ['an unknown flag', [...good, '--allow-everything'], '--allow-everything'],
    ['a port out of range', [...good, '--listen', '127.0.0.1:65536'], '--listen'],
    ['a listen address without a port', [...good, '--listen', 'localhost'], '--listen'],
    ['an enclave address of another kind', [...good, '--enclave', 'http://x'], '--enclave'],
    ['a limit that is no number', [...good, '--max-in-flight', 'many'], '--max-in-flight'],
    ['a limit of zero', [...good, '--max-request-bytes', '0'], '--max-request-bytes'],
    ['a log level that is none', [...good, '--log-level', 'loud'], '--log-level'],
    ['an endorsement source that is none', [...good, '--endorsements', 'kds'], '--endorsements'],
    ['a mirror with a query', [...good, '--endorsements', 'https://mirror.example/?x'], '--endorsements'],
    ['an empty value', [...good, '--data', ''], '--data'],
  ])('refuses %s with USAGE and exit status 2', async (_name, args, named) => {
    const host = start(args);
    const { type, code, message } = await host.message;
    expect([type, code]).toEqual(['error', 'USAGE']);
    expect(message).toContain(named);
    expect(await host.exited).toEqual([2, null]);
  });
});

test('every answered receipt is there after each of twelve kills under load', { timeout: 120_000 }, async () => {
  const enclave = await FakeEnclave.start();
  onTestFinished(() => enclave.kill());
  enclave.tick();
  const ticking = setInterval(() => enclave.tick(), 40);
  onTestFinished(() => clearInterval(ticking));
  const data = tempFolder();
  const answered = new Set<string>();

  for (let kill = 0; kill <= 12; kill++) {
    const host = start(argumentsFor(data, enclave.path));
    const { type, address } = await host.message;
    expect(type).toBe('ready');
    await until(async () => (await fetch(`${address}/readyz`)).status === 200);
    for (const id of answered) {
      const response = await fetch(`${address}/receipts/${id}`);
      expect([id, response.status === 200 || response.status === 202]).toEqual([id, true]);
      await response.arrayBuffer();
    }
    const working = Array.from({ length: 8 }, async () => {
      for (;;) {
        try {
          const response = await fetch(`${address}/v2/models/fake/infer`, { method: 'POST', body: '{}' });
          const id = response.headers.get(HEADER.receiptId);
          if (response.status === 200 && id) answered.add(id);
        } catch {
          return; // killed
        }
      }
    });
    await sleep(20 + Math.random() * 150);
    host.process.kill('SIGKILL');
    expect(await host.exited).toEqual([null, 'SIGKILL']);
    await Promise.all(working);
  }
  expect(answered.size).toBeGreaterThan(12);

  const host = start(argumentsFor(data, enclave.path));
  const { address } = await host.message;
  await until(async () => (await fetch(`${address}/readyz`)).status === 200);
  const tick = enclave.tick();
  await until(async () => {
    const { boots } = (await (await fetch(`${address}/log`)).json()) as { boots: { committed: number }[] };
    return (boots[0]?.committed ?? 0) >= tick.size;
  });
  for (const id of answered) {
    const response = await fetch(`${address}/receipts/${id}`);
    expect([id, response.headers.get(HEADER.receiptStatus)]).toEqual([id, 'hardware-committed']);
    await response.arrayBuffer();
  }
  const { boots } = (await (await fetch(`${address}/log`)).json()) as { boots: object[] };
  expect(boots.length).toBe(1);
});
