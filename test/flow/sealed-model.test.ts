import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parsePolicy } from '../../verifier/index.ts';
import { draftPolicyFor, LAUNCHER, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { FakeKms } from '../support/fake-kms.ts';
import { strictPolicy } from '../support/policies.ts';
import { ROOT } from '../support/shared.ts';

const KID = 'kbs:///acme/model-key/heat';
const MODEL = path.join(ROOT, 'enclave/sample-models/heat-stress/1/model.onnx');

interface RunningBroker {
  readonly url: string;
  readonly log: () => string;
  stop(): Promise<number | null>;
}

async function startBroker(config: string, listen = '127.0.0.1:0'): Promise<RunningBroker> {
  const child: ChildProcess = spawn(process.execPath, [LAUNCHER, 'broker', '--config', config, '--listen', listen], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)));
  for (const deadline = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const url = /ready at (http:\/\/[^\s,]+)/.exec(log)?.[1];
    const stop = () => {
      child.kill('SIGTERM');
      return exited;
    };
    if (url) return { url, log: () => log, stop };
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`broker: ${log}`);
  }
}

/** Every file below a folder; sockets and the like left out. */
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(file);
    return entry.isFile() ? [file] : [];
  });

describe.each(['simulated-snp', 'simulated-nitro'] as const)('an encrypted model on %s', (platform) => {
  const { folder, remove } = temporaryFolder();
  const at = (name: string): string => path.join(folder, name);
  const data = at('data');
  const input = at('input.json');
  const running: (() => Promise<unknown>)[] = [];
  let policy: string;
  let digest: string;
  let clearAnswer: unknown;

  const start = async (...args: string[]): Promise<Served> => {
    const served = await serve(data, ['--platform', platform, ...args]);
    running.push(() => served.stop());
    return served;
  };
  const stopAll = async () => {
    while (running.length > 0) await running.pop()?.();
  };
  const infer = async (served: Served) => {
    const args = ['--url', served.url, '--model', 'heat-stress', '--input', input, '--policy', policy, '--json'];
    const ran = await veritee(['infer', ...args, '--wait-for', 'hardware', '--receipt-out', at('answer.veritee')]);
    return { ...ran, answer: ran.status === 0 ? readFileSync(at('answer.veritee.response'), 'utf8') : null };
  };
  const outputsOf = (text: string | null): unknown => JSON.parse(text ?? '{}').outputs;
  const brokerConfig = (name: string, changes: object = {}): string => {
    const root = readdirSync(data).find((one) => one.startsWith(`${platform}-`) && one.endsWith('.pem')) as string;
    const resources = { 'acme/model-key/heat': { keyFile: 'key.jwk' } };
    writeFileSync(
      at(name),
      JSON.stringify({ policy: policy, trustAnchors: [path.join(data, root)], resources, ...changes }),
    );
    return at(name);
  };

  beforeAll(async () => {
    const readings = { name: 'readings', datatype: 'FP32', shape: [1, 7], data: [30, 60, 2, 750, 415, 1, 0] };
    writeFileSync(input, JSON.stringify({ inputs: [readings] }));
    const sealed = await veritee([
      ...['models', 'seal', path.join(ROOT, 'enclave/sample-models'), '--out', at('models'), '--kid', KID],
      ...['--new-key', '--key-file', at('key.jwk'), '--json'],
    ]);
    expect(sealed.status, sealed.stderr).toBe(0);
    digest = JSON.parse(sealed.stdout).versions[0].digest;
    const served = await start();
    policy = await draftPolicyFor(served, platform);
    const clear = await infer(served);
    expect(clear.status, clear.stderr).toBe(0);
    clearAnswer = outputsOf(clear.answer);
    await stopAll();
  });
  afterAll(async () => {
    await stopAll();
    remove();
  });

  test('serves after attestation, with the outputs and the digest of the clear one', async () => {
    const broker = await startBroker(brokerConfig('broker.json'));
    running.push(() => broker.stop());
    const served = await start('--models', at('models'), '--enclave-option', `key-broker=${broker.url}`);
    const { status, stdout, stderr, answer } = await infer(served);
    expect(status, stderr).toBe(0);
    expect(outputsOf(answer)).toEqual(clearAnswer);
    expect(stdout).toContain(digest);
    expect(broker.log()).toContain('released acme/model-key/heat');

    // The weights are nowhere in the clear: not on the disk of the host, not in a log.
    const weights = readFileSync(MODEL);
    const key = JSON.parse(readFileSync(at('key.jwk'), 'utf8')).k as string;
    const rawKey = Buffer.from(key, 'base64url');
    const logs = Buffer.from(served.log() + broker.log());
    const places = [...filesBelow(data), ...filesBelow(at('models'))].map((file) => readFileSync(file));
    expect(places.length).toBeGreaterThan(5);
    for (const content of [...places, logs]) {
      for (let from = 0; from + 32 <= weights.length; from += 256) {
        expect(content.includes(weights.subarray(from, from + 32))).toBe(false);
      }
      expect(content.includes(rawKey) || content.includes(key) || content.includes(rawKey.toString('hex'))).toBe(false);
    }
    await stopAll();
  });

  test('does not when the policy refuses; the refusal names the failing check on both sides', async () => {
    const changed = JSON.parse(readFileSync(policy, 'utf8'));
    changed.id = 'another-build';
    const [build] = (changed.sevSnp.referenceValues ?? changed.nitro.referenceValues) as Record<string, string>[];
    build![platform === 'simulated-snp' ? 'measurement' : 'pcr0'] = 'ab'.repeat(48);
    writeFileSync(at('other.json'), JSON.stringify(changed));
    const broker = await startBroker(brokerConfig('refusing.json', { policy: 'other.json' }));
    running.push(() => broker.stop());
    const served = await start('--models', at('models'), '--enclave-option', `key-broker=${broker.url}`);
    const { status, stdout, stderr } = await infer(served);
    expect(status).not.toBe(0);
    expect(stdout + stderr).toContain('MODEL_NOT_READY');
    expect(served.log()).toMatch(/"code":"MODEL_KEY_REFUSED".*BROKER_EVIDENCE_REFUSED, MEASUREMENT_UNKNOWN/);
    expect(broker.log()).toMatch(/refused BROKER_EVIDENCE_REFUSED MEASUREMENT_UNKNOWN \(\w+, policy another-build\)/);
    expect(broker.log()).not.toContain('released');
    await stopAll();
  });

  test('does not without a provider, and the service is there', async () => {
    const served = await start('--models', at('models'));
    expect((await fetch(`${served.url}/readyz`)).status).toBe(200);
    expect(served.log()).toContain('MODEL_KEY_UNAVAILABLE');
    expect((await infer(served)).status).not.toBe(0);
    await stopAll();
  });

  test('serves once a broker that was not there at the start is', async () => {
    const first = await startBroker(brokerConfig('late.json'));
    const { port } = new URL(first.url);
    await first.stop();
    const served = await start('--models', at('models'), '--enclave-option', `key-broker=http://127.0.0.1:${port}`);
    expect(served.log()).toContain('MODEL_KEY_UNAVAILABLE');
    const late = spawn(
      process.execPath,
      [LAUNCHER, 'broker', '--config', at('late.json'), '--listen', `127.0.0.1:${port}`],
      { cwd: ROOT, stdio: 'ignore' },
    );
    running.push(async () => late.kill('SIGTERM'));
    const deadline = Date.now() + 40_000;
    while (!served.log().includes('model ready') && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 100));
    const { status, stderr, answer } = await infer(served);
    expect(status, stderr).toBe(0);
    expect(outputsOf(answer)).toEqual(clearAnswer);
    await stopAll();
  });
});

describe('an encrypted model on simulated-nitro, its key in KMS', () => {
  const { folder, remove } = temporaryFolder();
  const at = (name: string): string => path.join(folder, name);
  const environment = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' };
  const region = 'eu-central-1';
  let served: Served | undefined;
  let kms: FakeKms | undefined;
  beforeAll(() => Object.assign(process.env, environment));
  afterAll(async () => {
    for (const name of Object.keys(environment)) delete process.env[name];
    await kms?.stop();
    remove();
  });

  test('serves when KMS finds the image that its key policy names, and not otherwise', async () => {
    const sealed = await veritee([
      ...['models', 'seal', path.join(ROOT, 'enclave/sample-models'), '--out', at('models'), '--kid', KID],
      ...['--new-key', '--key-file', at('key.jwk')],
    ]);
    expect(sealed.status, sealed.stderr).toBe(0);
    const start = async (endpoint: string) => {
      const options = [`kms=${region}`, `kms-endpoint=${endpoint}`].flatMap((one) => ['--enclave-option', one]);
      served = await serve(at('data'), ['--platform', 'simulated-nitro', '--models', at('models'), ...options]);
      return served;
    };
    // Once without KMS, to learn what this build measures.
    const unreachable = await start('http://127.0.0.1:9/');
    const draft = JSON.parse(readFileSync(await draftPolicyFor(unreachable, 'simulated-nitro'), 'utf8'));
    expect(unreachable.log()).toContain('MODEL_KEY_UNAVAILABLE');
    await unreachable.stop();

    const key = Buffer.from(JSON.parse(readFileSync(at('key.jwk'), 'utf8')).k, 'base64url');
    const pcr0 = draft.nitro.referenceValues[0].pcr0 as string;
    const credentials = {
      accessKeyId: environment.AWS_ACCESS_KEY_ID,
      secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
      sessionToken: environment.AWS_SESSION_TOKEN,
    };
    for (const [image, code] of [
      [pcr0, null],
      ['00'.repeat(48), 'MODEL_KEY_REFUSED'],
    ] as const) {
      kms = new FakeKms({ credentials, region, documents: parsePolicy(draft), pcr0: image });
      mkdirSync(path.join(at('models'), '.kms/acme/model-key'), { recursive: true });
      writeFileSync(path.join(at('models'), '.kms/acme/model-key/heat'), kms.wrap(key, 'cmk', { kid: KID }));
      const { log, stop } = await start(await kms.start());
      if (code === null) expect(log()).not.toContain('model not ready');
      else expect(log()).toMatch(new RegExp(`"code":"${code}".*AccessDeniedException`));
      expect(log()).not.toMatch(/AKIDEXAMPLE|"secret"|a secret word/);
      await stop();
      await kms.stop();
    }
  });
});

test('a broker that other machines reach says aloud that it has no TLS; on loopback it does not', async () => {
  const { folder, remove } = temporaryFolder();
  const put = (name: string, content: unknown) => writeFileSync(path.join(folder, name), JSON.stringify(content));
  put('policy.json', strictPolicy());
  put('key.jwk', { kty: 'oct', k: 'A'.repeat(43) });
  put('broker.json', { policy: 'policy.json', resources: { 'a/b/c': { keyFile: 'key.jwk' } } });
  for (const [listen, loud] of [
    ['0.0.0.0:0', true],
    ['127.0.0.1:0', false],
  ] as const) {
    const broker = await startBroker(path.join(folder, 'broker.json'), listen);
    expect(broker.log().includes('!! nobody can tell this broker from a false one')).toBe(loud);
    expect(await broker.stop()).toBe(0);
  }
  remove();
});

test('the sample model is where this test looks for it', () => {
  expect(existsSync(MODEL) && statSync(MODEL).size > 1000).toBe(true);
});
