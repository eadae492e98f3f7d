import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { draftPolicyFor, LAUNCHER, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { until } from '../support/load.ts';
import { ROOT } from '../support/shared.ts';
import { type LyingHost, lyingHost } from './lying-host.ts';
import { EXAMPLE, readBytes, refusalOf, verdictOf } from './support.ts';

const MODEL = 'heat-stress';
const { folder, remove } = temporaryFolder();
let served: Served;
let policy: string;
const running: Proxy[] = [];

beforeAll(async () => {
  served = await serve(path.join(folder, 'data'), ['--log-level', 'error']);
  policy = await draftPolicyFor(served);
});
afterAll(async () => {
  await Promise.all(running.map((proxy) => proxy.stop()));
  expect(await served?.stop()).toBe(0);
  remove();
});

interface Proxy {
  readonly url: string;
  readonly port: number;
  readonly log: () => string;
  readonly exited: Promise<number | null>;
  signal(): void;
  /** SIGTERM, then its exit status. */
  stop(): Promise<number | null>;
}

async function proxy(...args: readonly string[]): Promise<Proxy> {
  const child: ChildProcess = spawn(
    process.execPath,
    [LAUNCHER, 'proxy', '--url', served.url, '--policy', policy, '--listen', '127.0.0.1:0', ...args],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)));
  const url = await until('the proxy is ready', () => {
    if (child.exitCode !== null) throw new Error(`proxy ended with ${child.exitCode}:\n${log}`);
    return /ready at (http:\/\/\S+),/.exec(log)?.[1] ?? null;
  });
  const signal = () => void child.kill('SIGTERM');
  const started: Proxy = {
    url,
    port: Number(new URL(url).port),
    log: () => log,
    exited,
    signal,
    stop: () => {
      signal();
      return exited;
    },
  };
  running.push(started);
  return started;
}

const infer = (url: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${url}/v2/models/${MODEL}/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: readFileSync(EXAMPLE),
    ...init,
  });

/** Bytes to the port and everything that comes back, as any other client would see it. */
function raw(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.once('error', reject).once('close', () => resolve(answer));
  });
}

describe('software that knows nothing of it', () => {
  test('is answered, and every receipt is kept, comes under hardware and verifies', async () => {
    const receipts = path.join(folder, 'receipts');
    const started = await proxy('--receipts', receipts);
    const answers = await Promise.all(Array.from({ length: 4 }, () => infer(started.url)));
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    }
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    const ids = answers.map((answer) => answer.headers.get('veritee-receipt-id') as string);
    for (const [i, id] of ids.entries()) {
      const file = path.join(receipts, `${id}.veritee`);
      expect(readFileSync(`${file}.response`, 'utf8')).toBe(bodies[i]);
      expect(readBytes(`${file}.request`)).toEqual(readBytes(EXAMPLE));
      for (const part of ['.request', '.response', '.private.json'])
        expect(statSync(file + part).mode & 0o777).toBe(0o600);
    }
    expect(statSync(receipts).mode & 0o777).toBe(0o700);

    expect(await started.stop()).toBe(0);
    expect(started.log()).toContain('4 answered, 0 refused; 4 receipts kept, 4 hardware-committed, 0 session-signed');
    expect(readdirSync(receipts)).toHaveLength(16);
    for (const id of ids) {
      const file = path.join(receipts, `${id}.veritee`);
      const salts = JSON.parse(readFileSync(`${file}.private.json`, 'utf8'));
      const { status, result } = await verdictOf([
        ...[file, '--policy', policy, '--request', EXAMPLE, '--request-salt', salts.requestSalt],
        ...['--response', `${file}.response`, '--response-salt', salts.responseSalt],
      ]);
      expect([status, result.verdict, result.strength]).toEqual([0, 'affirming', 'hardware-committed']);
    }
    // Neither content nor model is in what it logged.
    for (const text of [MODEL, 'probabilities', 'readings', ...ids]) expect(started.log()).not.toContain(text);
    expect(started.log()).toContain('SIMULATED PLATFORM');
  });

  test('gets descriptions, refusals and binary tensors through the same door', async () => {
    const started = await proxy('--wait-for', 'hardware', '--padding', '4096');
    const metadata = (await (await fetch(`${started.url}/v2/models/${MODEL}`)).json()) as { name: string };
    expect(metadata.name).toBe(MODEL);
    expect((await fetch(`${started.url}/v2/health/ready`)).status).toBe(200);
    const head = await fetch(`${started.url}/v2`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const refused = await infer(started.url, { body: '{"inputs":[]}' });
    expect([refused.status, refused.headers.get('veritee-error-code')]).toEqual([400, 'TENSOR_MISSING']);
    const { id, inputs } = JSON.parse(readFileSync(EXAMPLE, 'utf8')) as { id: string; inputs: { data: number[] }[] };
    const { data, ...input } = inputs[0] as { data: number[] };
    const binary = new Uint8Array(Float32Array.from(data.flat()).buffer);
    const json = JSON.stringify({ id, inputs: [{ ...input, parameters: { binary_data_size: binary.length } }] });
    const answer = await infer(started.url, {
      body: Buffer.concat([Buffer.from(json), binary]),
      headers: { 'inference-header-content-length': String(json.length) },
    });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(await (await infer(started.url)).json());
  });
});

describe('over plain sockets', () => {
  let port: number;
  beforeAll(async () => {
    ({ port } = await proxy());
  });

  test('one request after the other on one connection is answered', async () => {
    const body = readFileSync(EXAMPLE, 'utf8');
    const post = (more: string) =>
      `POST /v2/models/${MODEL}/infer HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n${more}\r\n`;
    const answer = await raw(
      port,
      `${post(`Content-Length: ${Buffer.byteLength(body)}\r\n`)}${body}` +
        `${post('Transfer-Encoding: chunked\r\nConnection: close\r\n')}${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    );
    expect(answer.match(/HTTP\/1\.1 200 OK\r/g)).toHaveLength(2);
    expect(answer.match(/^content-length: \d+\r$/gim)).toHaveLength(2);
    expect(answer.match(/"probabilities"/g)).toHaveLength(2);
  });

  test.each<[string, (port: number) => string, string]>([
    ['a name that was rebound', () => 'GET /v2 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n', '400'],
    [
      'a target of another host',
      (port) => `GET http://evil.example/v2 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      '400',
    ],
    [
      'two slashes',
      (port) => `GET //evil.example/v2 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      '404',
    ],
    ['a Host that is no name', () => 'GET /v2 HTTP/1.1\r\nHost: 127.0.0.1/@evil\r\nConnection: close\r\n\r\n', '400'],
    ['no Host at all', () => 'GET /v2 HTTP/1.0\r\n\r\n', '400'],
    ['TRACE', (port) => `TRACE /v2 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`, '400'],
    ['no HTTP', () => '\0\0\0\r\n\r\n', '400'],
    [
      'what is not there',
      (port) => `GET /attestation HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
      '404',
    ],
  ])('refuses %s', async (_what, request, status) => {
    expect((await raw(port, request(port))).split(' ')[1]).toBe(status);
  });
});

describe('it does not begin', () => {
  const args = (...more: readonly string[]) => ['proxy', '--url', served.url, '--policy', policy, ...more];
  /** As `refusalOf`, for a command that has no `--json`. */
  async function endOf(arguments_: readonly string[]) {
    const { status, stderr } = await veritee(arguments_);
    return { status, code: /^veritee: ([A-Z_]+): /m.exec(stderr)?.[1] };
  }

  test.each<[string, () => string[], { status: number; code: string }]>([
    ['beyond loopback', () => args('--listen', '0.0.0.0:0'), { status: 2, code: 'USAGE' }],
    ['on a name that is not this machine', () => args('--listen', 'example.org:80'), { status: 2, code: 'USAGE' }],
    ['on no port', () => args('--listen', '127.0.0.1'), { status: 2, code: 'USAGE' }],
    ['on a port of another', () => args('--listen', new URL(served.url).host), { status: 2, code: 'PORT_IN_USE' }],
    ['with a padding that is none', () => args('--padding', '0'), { status: 2, code: 'USAGE' }],
    ['to wait for something else', () => args('--wait-for', 'godot'), { status: 2, code: 'USAGE' }],
    ['where receipts cannot be kept', () => args('--receipts', EXAMPLE), { status: 2, code: 'FILE_UNWRITABLE' }],
    ['without a policy', () => ['proxy', '--url', served.url], { status: 2, code: 'USAGE' }],
    [
      'for a service that is not there',
      () => ['proxy', '--url', 'http://127.0.0.1:9', '--policy', policy],
      { status: 3, code: 'SERVICE_UNREACHABLE' },
    ],
  ])('%s', async (_what, arguments_, expected) => {
    expect(await endOf(arguments_())).toEqual(expected);
  });

  test('for a service that does not verify, and says why', async () => {
    const other = JSON.parse(readFileSync(policy, 'utf8'));
    other.sevSnp.referenceValues[0].measurement = '5a'.repeat(48);
    const file = path.join(folder, 'other.json');
    writeFileSync(file, JSON.stringify(other));
    const ran = await veritee(['proxy', '--url', served.url, '--policy', file, '--listen', '127.0.0.1:0']);
    expect(ran).toMatchObject({ status: 1, stdout: '' });
    expect(ran.stderr).toContain('✗ MEASUREMENT_UNKNOWN');
    expect(ran.stderr).not.toContain('ready at');
  });

  test('--listen-anywhere is taken at its word, aloud', async () => {
    const started = await proxy('--listen', '0.0.0.0:0', '--listen-anywhere');
    expect(started.log()).toMatch(/^!! anyone who reaches /m);
    const answer = await raw(started.port, 'GET /v2 HTTP/1.1\r\nHost: proxy.internal\r\nConnection: close\r\n\r\n');
    expect(answer).toContain('HTTP/1.1 200 OK');
    expect(await started.stop()).toBe(0);
  });
});

describe('when the service is not what it was', () => {
  let host: LyingHost;
  let down = false;
  let hold: Promise<void> | null = null;
  let started: Proxy;
  beforeAll(async () => {
    host = await lyingHost(served.url, {
      reply: async (reply, { url }) => {
        await hold;
        if (down)
          Object.assign(reply, {
            status: 503,
            headers: { 'veritee-error-code': 'ENCLAVE_UNREACHABLE' },
            body: Buffer.from('{"detail":"gone"}'),
          });
        else if (url === '/ohttp' && reply.status !== 200) throw new Error('unexpected');
      },
    });
    started = await proxy('--url', host.url);
  });
  afterAll(() => host.close());

  test('it says so with 503, a code and words, and serves again when that is over', async () => {
    down = true;
    const refused = await infer(started.url);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await refused.json()).toEqual({ code: 'ENCLAVE_UNREACHABLE', error: expect.stringContaining('gone') });
    down = false;
    expect((await infer(started.url)).status).toBe(200);
  });

  test('SIGTERM lets what is under way end, and takes nothing new', async () => {
    let release = (): void => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const before = host.paths.length;
    const underWay = infer(started.url);
    await until('the request is at the host', () => host.paths.length > before);
    started.signal();
    await until('it stops', () => started.log().includes('stopping'));
    await expect(infer(started.url)).rejects.toThrow();
    release();
    expect((await underWay).status).toBe(200);
    expect(await started.exited).toBe(0);
    expect(started.log()).toContain('2 answered, 1 refused');
  });
});

test('a service that seals takes nothing in the clear, and a caller who wants that is told', async () => {
  const asked = ['infer', '--url', served.url, '--model', MODEL, '--input', EXAMPLE, '--policy', policy];
  expect(await refusalOf([...asked, '--allow-plaintext'])).toEqual({ status: 1, code: 'PLAINTEXT_NOT_ALLOWED' });
  expect((await veritee(asked)).status).toBe(0);
});

test('it restarts nothing and forgets nothing when the enclave restarts', async () => {
  const started = await proxy();
  expect((await infer(started.url)).status).toBe(200);
  const { enclave } = served.children();
  process.kill(enclave as number, 'SIGKILL');
  await until('it answers again', async () => (await infer(started.url)).status === 200);
  expect(await started.stop()).toBe(0);
});
