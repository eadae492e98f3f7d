/**
 * What an enterprise sends is readable by the enclave alone: a marked secret goes in sealed, is inferred on and comes back,
 * while every byte that passes the host is recorded, its memory is searched as it runs, and its files and logs after.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { untilReady } from '../../cli/service.ts';
import { VeriteeClient } from '../../client/index.ts';
import { AUTHENTICITY, readTrustAnchors } from '../../verifier/index.ts';
import { model, node, STRING, value } from '../enclave/onnx-builder.ts';
import { temporaryFolder, useReadyMadeChip } from '../support/cli.ts';
import { formsOf, found, scanMemory } from '../support/process-memory.ts';
import { ROOT } from '../support/shared.ts';

/** Relays a connection byte for byte and keeps a copy of both directions. */
async function recorder(listen: { path: string } | { port: number }, to: { path: string } | { port: number }) {
  const parts: Buffer[] = [];
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', ...to });
    for (const [from, onto] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => parts.push(bytes));
      from.pipe(onto);
      from.on('error', () => onto.destroy());
      from.on('close', () => onto.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', ...listen }, resolve));
  return { server, recorded: () => Buffer.concat(parts) };
}

interface Started {
  readonly child: ChildProcess;
  readonly ready: { readonly address?: unknown };
  readonly log: () => string;
}

function start(room: 'enclave' | 'host', args: readonly string[]): Promise<Started> {
  const child = fork(path.join(ROOT, room, 'dist/main.js'), [...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [], // the test runner's conditions lead to sources
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('message', (message: { type: string; address?: unknown }) => {
      if (message.type === 'ready') resolve({ child, ready: message, log: () => log });
    });
    child.once('exit', (status) => reject(new Error(`${room} ended with ${status}:\n${log}`)));
  });
}

async function stop(started: Started | undefined): Promise<void> {
  if (!started || started.child.exitCode !== null) return;
  const ended = new Promise((resolve) => started.child.once('exit', resolve));
  started.child.kill('SIGTERM');
  await ended;
}

function* filesIn(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    if (statSync(file).isDirectory()) yield* filesIn(file);
    else if (statSync(file).isFile()) yield file;
  }
}

const echo = model({
  node: [node('Identity', ['x'], ['y'])],
  input: [value('x', STRING, ['n'])],
  output: [value('y', STRING, ['n'])],
});
const textEncoder = new TextEncoder();
describe('a sealed inference', () => {
  const { folder, remove } = temporaryFolder();
  const enclaveData = path.join(folder, 'enclave');
  const hostData = path.join(folder, 'host');
  const models = path.join(folder, 'models');
  const servers: Server[] = [];
  let enclave: Started;
  let host: Started;
  let front: Awaited<ReturnType<typeof recorder>>;
  let link: Awaited<ReturnType<typeof recorder>>;
  let url: string;
  let hostUrl: string;
  let client: VeriteeClient;

  beforeAll(async () => {
    mkdirSync(path.join(models, 'echo', '1'), { recursive: true });
    writeFileSync(path.join(models, 'echo', '1', 'model.onnx'), echo);
    useReadyMadeChip(enclaveData);
    const socket = path.join(folder, 'enclave.sock');
    const recorded = path.join(folder, 'link.sock');
    enclave = await start('enclave', [
      ...['--platform', 'simulated-snp', '--data', enclaveData, '--models', models],
      ...['--listen', `unix:${socket}`, '--log-level', 'debug'],
    ]);
    link = await recorder({ path: recorded }, { path: socket });
    host = await start('host', [
      ...['--listen', '127.0.0.1:0', '--data', hostData, '--enclave', `unix:${recorded}`, '--log-level', 'debug'],
    ]);
    hostUrl = String(host.ready.address);
    front = await recorder({ port: 0 }, { port: Number(new URL(hostUrl).port) });
    servers.push(link.server, front.server);
    url = `http://127.0.0.1:${(front.server.address() as AddressInfo).port}`;
    const roots = readdirSync(enclaveData).filter((name) => name.endsWith('.pem'));
    const trustAnchors = (
      await Promise.all(
        roots.map((name) => readTrustAnchors(new Uint8Array(readFileSync(path.join(enclaveData, name))), name)),
      )
    ).flat();
    client = new VeriteeClient({ url, policy: AUTHENTICITY, trustAnchors });
    if (!(await untilReady(hostUrl, 60_000))) throw new Error(host.log());
  });
  afterAll(async () => {
    await stop(host);
    await stop(enclave);
    for (const server of servers) server.close();
    remove();
  });

  test('leaves its content nowhere outside client and enclave', async () => {
    const secret = `veritee marked secret ${randomBytes(24).toString('hex')}`;
    const forms = formsOf(textEncoder.encode(secret));
    const salts: Uint8Array[] = [];
    let receiptId = '';
    // By turns in one piece and, above 64 KiB, in chunks.
    const contents = [secret, secret.repeat(2000)];
    let asked = 0;
    const ask = async (): Promise<void> => {
      const data = [contents[asked++ % 2] as string];
      const { outputs, receipt } = await client.infer('echo', [{ name: 'x', shape: [1], data }]);
      expect(outputs[0]?.data).toEqual(data);
      salts.push(receipt.private.requestSalt, receipt.private.responseSalt);
      receiptId = receipt.id;
    };
    await ask();

    // The host's memory, in the midst of the traffic and after it.
    let over = false;
    const traffic = (async () => {
      while (!over) await ask();
    })();
    const pid = host.child.pid as number;
    const scans = [];
    for (let times = 0; times < 3; times++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      scans.push(scanMemory(pid, forms));
    }
    over = true;
    await traffic;
    scans.push(scanMemory(pid, forms));
    for (const { found: hits, bytes } of scans) {
      expect(hits).toEqual([]);
      expect(bytes).toBeGreaterThan(20 << 20);
    }
    // The search does find what the host knows, and what a process that may read the secret holds.
    const [boot] = ((await (await fetch(`${hostUrl}/log`)).json()) as { boots: { boot: string; size: number }[] })
      .boots;
    expect(scanMemory(pid, formsOf(textEncoder.encode(boot?.boot))).found).toContain('bytes');
    expect(scanMemory(process.pid, forms).found).toContain('bytes');
    for (const salt of salts.slice(0, 2)) expect(scanMemory(pid, formsOf(salt)).found).toEqual([]);

    // What the log shows to everyone.
    const receipt = await fetch(`${hostUrl}/receipts/${receiptId}`);
    const published = [new Uint8Array(await receipt.arrayBuffer())];
    const { size } = boot as { size: number };
    for (let start = 0; start < size; start += 256) {
      const index = String(start / 256).padStart(3, '0');
      const width = Math.min(256, size - start);
      const at = `${hostUrl}/log/${boot?.boot}/tile/entries/${index}${width === 256 ? '' : `.p/${width}`}`;
      const bundle = await fetch(at);
      expect(bundle.status).toBe(200);
      published.push(new Uint8Array(await bundle.arrayBuffer()));
    }
    for (const bytes of published) expect(found(bytes, forms)).toEqual([]);

    // Every byte on both sides of the host, its files and what both processes logged.
    const wires = [front.recorded(), link.recorded()];
    for (const wire of wires) {
      for (const form of ['message/ohttp-req', 'message/ohttp-chunked-req']) expect(wire.includes(form)).toBe(true);
      expect(found(wire, forms)).toEqual([]);
      for (const salt of salts) expect(found(wire, formsOf(salt))).toEqual([]);
    }
    await stop(host);
    const files = [...filesIn(hostData)];
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const content = readFileSync(file);
      expect(found(content, forms), file).toEqual([]);
      for (const salt of salts) expect(found(content, formsOf(salt)), file).toEqual([]);
    }
    for (const file of filesIn(enclaveData)) expect(found(readFileSync(file), forms), file).toEqual([]);
    for (const { log } of [host, enclave]) {
      expect(log().length).toBeGreaterThan(0);
      expect(found(Buffer.from(log()), forms)).toEqual([]);
    }
  }, 120_000);
});

test('the search finds a secret in each of its forms, wherever it starts', () => {
  const secret = randomBytes(30);
  const forms = formsOf(secret);
  for (let before = 0; before < 3; before++) {
    const around = Buffer.concat([Buffer.alloc(before, 7), secret, Buffer.from('after')]);
    expect(found(around, forms)).toContain('bytes');
    expect(found(Buffer.from(around.toString('hex')), forms)).toContain('hex');
    expect(found(Buffer.from(around.toString('base64')), forms).length).toBeGreaterThan(0);
    expect(found(Buffer.from(around.toString('base64url')), forms).length).toBeGreaterThan(0);
  }
  expect(found(randomBytes(1000), forms)).toEqual([]);
});
