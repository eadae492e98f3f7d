import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bytes, FRAME, hex, parseCheckpoint, parseEvidence, reportData } from '@veritee/protocol';
import { decode } from 'cbor2';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type NsmErrorCode,
  pcrOf,
  SIMULATED_NITRO_WARNING,
  SIMULATED_PCRS,
  SimulatedNsm,
} from '../../attestation-fixtures/index.ts';
import { NsmAttester, type NsmDevice } from '../../enclave/attester/nsm.ts';
import { encodeAttestationRequest, readAttestationAnswer } from '../../enclave/attester/nsm-messages.ts';
import { simulatedNitro } from '../../enclave/attester/simulated.ts';
import { Ticker } from '../../enclave/ticker.ts';
import { framesOf, makeLog, silent, until } from './parts.ts';

const data = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');
const key = bytes(new Uint8Array(32).fill(8), 32, 'session key');

const attester = (device: NsmDevice) => new NsmAttester(device, { platform: 'test', warning: null, minIntervalMs: 1 });
const foreign = (encoded: Uint8Array) => decode(encoded, { preferMap: true });
const fromHex = (text: string) => new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));

/** The payload of an untagged document, as cbor2 reads it. */
const payloadOf = (document: Uint8Array): Map<string, unknown> =>
  foreign((foreign(document) as Uint8Array[])[2]!) as Map<string, unknown>;

describe('messages', () => {
  test('a request is what nsm-api calls Attestation', () => {
    const request = encodeAttestationRequest({ userData: data, publicKey: key, nonce: null });
    expect(foreign(request)).toEqual(
      new Map([
        [
          'Attestation',
          new Map<string, unknown>([
            ['nonce', null],
            ['user_data', new Uint8Array(data)],
            ['public_key', new Uint8Array(key)],
          ]),
        ],
      ]),
    );
  });

  const name = '6b 4174746573746174696f6e';
  const field = '68 646f63756d656e74';
  test.each([
    ['definite maps', `a1 ${name} a1 ${field} 43 010203`],
    ['maps of indefinite length', `bf ${name} bf ${field} 43 010203 ff ff`],
    ['a length that is longer than need be', `b801 ${name} b90001 ${field} 5b0000000000000003 010203`],
  ])('reads an answer with %s', (_what, encoded) => {
    expect(readAttestationAnswer(fromHex(encoded))).toEqual(Uint8Array.of(1, 2, 3));
  });

  const good = fromHex(`a1 ${name} a1 ${field} 43 010203`);
  const refused = (answer: Uint8Array) =>
    expect(() => readAttestationAnswer(answer), hex(answer)).toThrow(
      expect.objectContaining({ code: 'PLATFORM_FAILED', field: 'nsm' }),
    );

  test('refuses one cut short anywhere, with bytes behind it, or random', () => {
    for (let length = 0; length < good.length; length++) refused(good.subarray(0, length));
    refused(Uint8Array.of(...good, 0));
    for (let i = 0; i < 2000; i++) refused(randomBytes(1 + (i % 40)));
  });

  test.each([
    ['two entries', `a2 ${name} a1 ${field} 43 010203 00 00`],
    ['two entries in a map of indefinite length', `bf ${name} a1 ${field} 43 010203 00 00 ff`],
    ['another variant', 'a1 69 47657452616e646f6d a1 66 72616e646f6d 41 00'],
    ['a variant without fields', `${name}`],
    ['another field', `a1 ${name} a1 68 646f63756d656e75 43 010203`],
    ['a document that is text', `a1 ${name} a1 ${field} 63 616263`],
    ['a document in pieces', `a1 ${name} a1 ${field} 5f 43 010203 ff`],
    ['an empty document', `a1 ${name} a1 ${field} 40`],
    ['a document of 2^64 - 1 bytes', `a1 ${name} a1 ${field} 5bffffffffffffffff 00`],
    ['a name that is not UTF-8', `a1 62 c328 a1 ${field} 43 010203`],
    ['an array', `81 ${name}`],
    ['a reserved length', `bc ${name}`],
  ])('refuses %s', (_what, encoded) => refused(fromHex(encoded)));

  test('names the error of a device, if it is one of the known names', () => {
    expect(() => readAttestationAnswer(fromHex('a1 65 4572726f72 6d 496e707574546f6f4c61726765'))).toThrow(
      /InputTooLarge/,
    );
    const invented = 'a1 65 4572726f72 66 736563726574';
    refused(fromHex(invented));
    expect(() => readAttestationAnswer(fromHex(invented))).toThrow(/^(?!.*secret).*an unknown error/);
  });
});

describe('Attester', () => {
  test('puts REPORT_DATA into user_data, the session key into public_key, and no nonce', async () => {
    const { report, chain, crls } = await attester(SimulatedNsm.create({ pcrs: SIMULATED_PCRS })).attest(data, key);
    expect([chain, crls]).toEqual([[], []]);
    const payload = payloadOf(report);
    expect([payload.get('user_data'), payload.get('public_key'), payload.get('nonce')]).toEqual([
      ...[new Uint8Array(data), new Uint8Array(key), null],
    ]);
  });

  test.each([
    ['ENOENT', 'PLATFORM_UNAVAILABLE'],
    ['EPERM', 'PLATFORM_UNAVAILABLE'],
    ['EBUSY', 'PLATFORM_BUSY'],
    ['ETIMEDOUT', 'PLATFORM_TIMEOUT'],
    ['EMSGSIZE', 'PLATFORM_FAILED'],
  ] as const)('%s of the driver is %s, and the next request works', async (errno, code) => {
    const nsm = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    nsm.failNext({ errno, times: 1 });
    await expect(attester(nsm).attest(data, key)).rejects.toMatchObject({ code, field: 'nsm' });
    expect((await attester(nsm).attest(data, key)).report.length).toBeGreaterThan(4000);
  });

  test.each<NsmErrorCode>(['InternalError', 'InvalidOperation', 'BufferTooSmall'])(
    '%s of the device is PLATFORM_FAILED',
    async (error) => {
      const nsm = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
      nsm.failNext({ error, times: 1 });
      await expect(attester(nsm).attest(data, key)).rejects.toMatchObject({
        code: 'PLATFORM_FAILED',
        message: expect.stringContaining(error),
      });
    },
  );
});

test('a tick binds the log to the document, with the key of this boot', async () => {
  const { session, outbox, log, challenges } = makeLog();
  const device = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
  const ticker = new Ticker({ session, outbox, log, challenges, attester: attester(device), logger: silent });
  ticker.poke();
  await until(() => ticker.committed > 0, 'a tick');
  await ticker.stop();
  const frame = (await framesOf(outbox)).find(({ type }) => type === FRAME.evidence);
  const evidence = parseEvidence(frame!.body);
  expect(evidence).toMatchObject({
    format: 'nitro-attestation-document',
    chain: [],
    crls: [],
    previousReportData: null,
  });
  const payload = payloadOf(evidence.report);
  const expected = reportData(evidence.sessionClaims, null, parseCheckpoint(evidence.checkpoint).body);
  expect(hex(payload.get('user_data') as Uint8Array)).toBe(hex(expected));
  expect(hex(payload.get('public_key') as Uint8Array)).toBe(hex(session.publicKey));
  expect(payload.get('nonce')).toBeNull();
});

describe('simulated platform', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-simulated-nitro-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const programFiles = ['main.js', 'worker.js'].map((name) => path.join(folder, name));
  for (const file of programFiles) writeFileSync(file, path.basename(file));
  const dataDir = path.join(folder, 'data');
  const root = () => readFileSync(path.join(dataDir, 'simulated-nitro-root.pem'), 'utf8');
  const start = () => simulatedNitro({ dataDir, programFiles });
  const registers = async (from: NsmAttester) =>
    payloadOf((await from.attest(data, key)).report).get('pcrs') as Map<number, Uint8Array>;

  test('is loud, named, and keeps its root', async () => {
    const first = await start();
    expect(first).toMatchObject({
      ...{ platform: 'simulated-nitro', warning: SIMULATED_NITRO_WARNING, minIntervalMs: 100 },
      format: 'nitro-attestation-document',
    });
    const written = root();
    await start();
    expect(root()).toBe(written);
  });

  test('measures the program: the same registers at every start, others for another program', async () => {
    const [one, two] = [await registers(await start()), await registers(await start())];
    const three = (pcrs: Map<number, Uint8Array>) => [0, 1, 2].map((index) => hex(pcrs.get(index)!));
    expect(three(one)).toEqual(three(two));
    expect(three(one)[2]).toBe(hex(pcrOf(...programFiles.map((file) => readFileSync(file)))));
    expect(new Set(three(one)).size).toBe(3);
    writeFileSync(programFiles[1]!, 'another worker');
    const other = three(await registers(await start()));
    expect(other.map((value, i) => value === three(one)[i])).toEqual([false, true, false]);
  });
});
