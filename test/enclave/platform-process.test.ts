import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { SIMULATED_PCRS } from '../../attestation-fixtures/index.ts';
import { encodeReceipt, hex, modelSetHostData, modelSetPcr, parseEntry, parseEvidence } from '../../protocol/index.ts';
import { type AssessInput, assess, parsePolicy, readTrustAnchors } from '../../verifier/index.ts';
import { Log } from '../support/mini-enclave.ts';
import { strictNitroPolicy, strictPolicy } from '../support/policies.ts';
import { RealEnclave } from '../support/real-enclave.ts';
import { ROOT } from '../support/shared.ts';
import { PROGRAMS, TsmMount } from '../support/tsm-mount.ts';

const missing = TsmMount.missing();
if (missing !== null) console.warn(`SKIPPED: the enclave process on its real attesters (FUSE): ${missing}`);

const MODELS = path.join(ROOT, 'enclave/sample-models');
const REQUEST = readFileSync(path.join(ROOT, 'docs/examples/heat-stress-request.json'));
const MEASUREMENT = '5a'.repeat(48);
const pcr = (index: number): string => hex(SIMULATED_PCRS.get(index) as Uint8Array);

const home = mkdtempSync(path.join(tmpdir(), 'veritee-platform-'));
const keys = path.join(home, 'keys');
const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});
afterAll(() => {
  for (const folder of [home, PROGRAMS]) rmSync(folder, { recursive: true, force: true });
});

async function mount(options: Parameters<typeof TsmMount.mount>[0] = {}): Promise<TsmMount> {
  const one = await TsmMount.mount({ keys, ...options });
  running.unshift(one);
  return one;
}

async function start(...args: string[]): Promise<RealEnclave> {
  const enclave = await RealEnclave.start(['--models', MODELS, '--workers', '1', '--allow-plaintext', ...args]);
  running.unshift(enclave);
  return enclave;
}

const snpArgs = ({ folder }: TsmMount) => [
  ...['--platform', 'snp', '--tsm-folder', `${folder}/report`, '--report-interval-ms', '20'],
];
const nitroArgs = ({ folder }: TsmMount) => [
  ...['--platform', 'nitro', '--nsm-device', `${folder}/nsm`, '--report-interval-ms', '20'],
];

const ask = (enclave: RealEnclave) =>
  fetch(`${enclave.url}/v2/models/heat-stress/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: REQUEST,
  });

/** An answer under the next report, as the file a caller keeps. */
async function receiptOf(enclave: RealEnclave): Promise<Uint8Array> {
  await enclave.until(({ committed }) => committed > 0, 'a first report');
  const answer = await ask(enclave);
  expect(answer.status).toBe(200);
  const index = Number(answer.headers.get('veritee-entry'));
  const statement = new Uint8Array(Buffer.from(answer.headers.get('veritee-statement') ?? '', 'base64url'));
  await enclave.until(({ committed }) => committed > index, 'the answer under a report');
  const { entries, evidence } = await enclave.records();
  const parsed = parseEvidence(evidence!);
  const size = Number(parsed.checkpoint.split('\n')[1]);
  const log = new Log();
  for (const entry of entries.slice(0, size)) log.append(new Uint8Array(entry));
  return encodeReceipt({ statement, path: log.path(index, size), evidence: { file: new Uint8Array(evidence!) } });
}

async function modelOf(enclave: RealEnclave) {
  const { entries } = await enclave.records();
  for (const raw of entries) {
    const entry = parseEntry(raw);
    if (entry.kind === 'model') return entry.value.model.digest;
  }
  throw new Error('no model entry');
}

async function judge(file: Uint8Array, roots: readonly string[], policy: unknown) {
  const trustAnchors = (await Promise.all(roots.map((root) => readTrustAnchors(Buffer.from(root), 'root')))).flat();
  const input: AssessInput = { file, at: new Date(), trustAnchors, policy: parsePolicy(policy) };
  return assess(input);
}

const codes = ({ findings }: Awaited<ReturnType<typeof assess>>) => findings.map(({ code }) => code);

const build = {
  name: 'simulated',
  measurement: MEASUREMENT,
  vmpl: 0,
  idKeyDigest: 'unused',
  authorKeyDigest: 'unused',
};
const image = { name: 'simulated', pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2), pcr8: pcr(8) };

function references(name: string, values: object): string {
  const file = path.join(home, `${name}.json`);
  const whole = { profile: 'veritee/reference-values/v1', id: name, sevSnp: [], nitro: [], deniedMeasurements: [] };
  writeFileSync(file, JSON.stringify({ ...whole, ...values }));
  return file;
}

describe.skipIf(missing !== null)('SEV-SNP', () => {
  const launched = (hostData: string, binding: unknown) =>
    strictPolicy(
      {},
      {
        referenceValues: [{ ...build, hostData }],
        minimumTcb: 'any',
        minimumLaunchTcb: 'any',
        products: ['Milan'],
        modelBinding: binding,
      },
    );

  test('from the first report to a verified receipt, with certificates that come over the link', async () => {
    const tsm = await mount({ certificates: 'none' });
    const enclave = await start(...snpArgs(tsm));
    const link = `${enclave.url}/link/endorsements`;
    await enclave.until(({ tickError }) => tickError === 'ENDORSEMENT_MISSING', 'a tick without certificates');
    const wanted = new Uint8Array(await (await fetch(link)).arrayBuffer());
    expect(wanted.length).toBe(1184);
    expect((await fetch(link, { method: 'POST', body: 'no certificate' })).status).toBe(400);
    for (const der of tsm.chain) {
      expect((await fetch(link, { method: 'POST', body: new Uint8Array(der) })).status).toBe(204);
    }
    await enclave.until(({ evidenceAgeMs }) => evidenceAgeMs !== null, 'a report');
    expect((await fetch(link)).status).toBe(204);
    const file = await receiptOf(enclave);
    const result = await judge(file, tsm.roots, launched('unused', 'not-required'));
    expect([codes(result), result.verdict]).toEqual([[], 'affirming']);
  }, 120_000);

  test('a guest launched for its models: the policy can demand it, and the enclave holds it', async () => {
    const first = await start(...snpArgs(await mount()));
    await first.until(({ committed }) => committed > 0, 'a report');
    const digest = await modelOf(first);
    const hostData = hex(modelSetHostData([digest]));
    const tsm = await mount({ hostData });
    const enclave = await start(...snpArgs(tsm), '--measure-models', 'on');
    const file = await receiptOf(enclave);
    const sets = (...modelSets: string[][]) => launched('unused', { modelSets });
    expect(codes(await judge(file, tsm.roots, sets([hex(digest)])))).toEqual([]);
    expect(codes(await judge(file, tsm.roots, sets([hex(digest), '11'.repeat(32)])))).toEqual(['MODEL_SET_UNKNOWN']);
  }, 120_000);

  test('a guest launched for other models does not start where it is demanded', async () => {
    const args = snpArgs(await mount({ hostData: '22'.repeat(32) }));
    await expect(start(...args, '--measure-models', 'on')).rejects.toThrow(/exit 2.*PLATFORM_MODELS_DIFFER/s);
  }, 60_000);

  test('no such platform is a refusal to start, with its code', async () => {
    const args = ['--platform', 'snp', '--tsm-folder', path.join(home, 'nowhere')];
    await expect(start(...args)).rejects.toThrow(/exit 2.*PLATFORM_UNAVAILABLE/s);
    await expect(start('--platform', 'nitro', '--nsm-device', path.join(home, 'nowhere'))).rejects.toThrow(
      /exit 2.*PLATFORM_UNAVAILABLE/s,
    );
  }, 60_000);
});

describe.skipIf(missing !== null)('the self-check', () => {
  let tsm: TsmMount;

  test('a build that the reference file does not name is not ready, says why, and gives no answer', async () => {
    tsm = await mount();
    const file = references('other', { sevSnp: [{ ...build, hostData: 'unused', measurement: 'ab'.repeat(48) }] });
    const enclave = await start(...snpArgs(tsm), '--reference-values', file);
    const status = await enclave.until(({ tickError }) => tickError !== null, 'the check');
    expect(status).toMatchObject({ tickError: 'PLATFORM_MEASUREMENT_DIFFERS', evidenceAgeMs: null, committed: 0 });
    const refused = await ask(enclave);
    expect([refused.status, refused.headers.get('veritee-error-code')]).toEqual([503, 'EVIDENCE_NOT_READY']);
    expect(enclave.log).toContain(`MEASUREMENT is ${MEASUREMENT}, the file has ${'ab'.repeat(48)}`);
  }, 60_000);

  test('one that it names is ready; a busy platform is asked again', async () => {
    tsm = await mount();
    await tsm.fault({ operation: 'read', attribute: 'outblob', errno: 'EBUSY', times: 1 });
    const file = references('own', { sevSnp: [{ ...build, hostData: '00'.repeat(32) }] });
    const enclave = await start(...snpArgs(tsm), '--reference-values', file);
    await enclave.until(({ evidenceAgeMs }) => evidenceAgeMs !== null, 'readiness');
    expect((await ask(enclave)).status).toBe(200);
  }, 60_000);

  test.each([
    ['nitro-own', { nitro: [image] }, null],
    ['nitro-denied', { nitro: [image], deniedMeasurements: [pcr(2)] }, 'PLATFORM_MEASUREMENT_DIFFERS'],
    ['nitro-none', { sevSnp: [{ ...build, hostData: 'unused' }] }, 'PLATFORM_MEASUREMENT_DIFFERS'],
    ['nitro-expired', { nitro: [{ ...image, notAfter: '2020-01-01T00:00:00Z' }] }, 'PLATFORM_MEASUREMENT_DIFFERS'],
  ])(
    '%s',
    async (name, values, code) => {
      tsm = await mount();
      const enclave = await start(...nitroArgs(tsm), '--reference-values', references(name, values));
      const status = await enclave.until((one) => one.tickError !== null || one.evidenceAgeMs !== null, 'the check');
      expect(status.tickError).toBe(code);
    },
    60_000,
  );

  test('a file that is none stops the start', async () => {
    const args = nitroArgs(await mount());
    for (const text of ['{', '{"profile": "veritee/policy/v1"}']) {
      const file = path.join(home, 'bad.json');
      writeFileSync(file, text);
      await expect(start(...args, '--reference-values', file)).rejects.toThrow(/exit 2.*REFERENCE_VALUES_INVALID/s);
    }
    await expect(start(...args, '--reference-values', path.join(home, 'none'))).rejects.toThrow(/FILE_UNREADABLE/);
  }, 60_000);
});

describe.skipIf(missing !== null)('Nitro', () => {
  test('over a real ioctl: a receipt whose model PCR16 measured, and a policy that demands it', async () => {
    const tsm = await mount();
    const enclave = await start(...nitroArgs(tsm));
    const file = await receiptOf(enclave);
    const digest = await modelOf(enclave);
    const policy = (...modelSets: string[][]) =>
      strictNitroPolicy({}, { referenceValues: [image], modelBinding: { modelSets } });
    const good = await judge(file, tsm.roots, policy(['33'.repeat(32)], [hex(digest)]));
    expect([codes(good), good.verdict]).toEqual([[], 'affirming']);
    expect(hex(good.claims.pcrs?.[16] ?? new Uint8Array(0))).toBe(hex(modelSetPcr([digest])));
    expect(codes(await judge(file, tsm.roots, policy(['33'.repeat(32)])))).toEqual(['MODEL_SET_UNKNOWN']);

    // The same enclave, its process started anew: the register is locked over the same models.
    await running.shift()?.stop();
    const again = await start(...nitroArgs(tsm));
    expect(codes(await judge(await receiptOf(again), tsm.roots, policy([hex(digest)])))).toEqual([]);
  }, 120_000);

  test('without models in PCR16, such a policy refuses', async () => {
    const tsm = await mount();
    const file = await receiptOf(await start(...nitroArgs(tsm), '--measure-models', 'off'));
    const modelBinding = { modelSets: [['33'.repeat(32)]] };
    const policy = strictNitroPolicy({}, { referenceValues: [image], modelBinding });
    expect(codes(await judge(file, tsm.roots, policy))).toEqual(['MODEL_SET_UNKNOWN']);
  }, 60_000);
});
