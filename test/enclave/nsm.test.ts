import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type Bytes,
  bytes,
  FRAME,
  hex,
  parseCheckpoint,
  parseEvidence,
  reportData,
  sha256,
  utf8,
} from '@veritee/protocol';
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
import {
  encodeAttestationRequest,
  encodeExtendPcr,
  readAttestationAnswer,
  readDescription,
  readExtended,
  readLocked,
  readPcr,
  readRandom,
} from '../../enclave/attester/nsm-messages.ts';
import { simulatedNitro } from '../../enclave/attester/simulated.ts';
import { startSession } from '../../enclave/session.ts';
import { Ticker } from '../../enclave/ticker.ts';
import { framesOf, makeLog, runtime, silent, until } from './parts.ts';

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

  test.each<NsmErrorCode>([
    'InvalidArgument',
    'InvalidIndex',
    'InvalidResponse',
    'ReadOnlyIndex',
    'InvalidOperation',
    'BufferTooSmall',
    'InputTooLarge',
    'InternalError',
  ])('%s of the device is PLATFORM_FAILED', async (error) => {
    const nsm = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    nsm.failNext({ error, times: 1 });
    await expect(attester(nsm).attest(data, key)).rejects.toMatchObject({
      code: 'PLATFORM_FAILED',
      message: expect.stringContaining(error),
    });
  });
});

describe('registers', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((text) => sha256(utf8(text))) as [Bytes<32>, Bytes<32>, Bytes<32>];
  const fresh = () => attester(SimulatedNsm.create({ pcrs: SIMULATED_PCRS }));
  const differ = { code: 'PLATFORM_MODELS_DIFFER', field: 'PCR16' };

  test('PCR16 is one extension for each model, in the order of their digests, then locked', async () => {
    const nsm = fresh();
    await nsm.measureModels([c, a, b, a]);
    const ordered = [a, b, c].map((digest) => Buffer.from(digest)).sort(Buffer.compare);
    let value = Buffer.alloc(48);
    for (const digest of ordered) value = createHash('sha384').update(value).update(digest).digest();
    expect(hex((await nsm.pcr(16)).data)).toBe(value.toString('hex'));
    expect((await nsm.describe()).lockedPcrs).toContain(16);
    const pcrs = payloadOf((await nsm.attest(data, key)).report).get('pcrs') as Map<number, Uint8Array>;
    expect(hex(pcrs.get(16)!)).toBe(value.toString('hex'));
  });

  test('no model is a set as well', async () => {
    const nsm = fresh();
    await nsm.measureModels([]);
    expect(await nsm.pcr(16)).toEqual({ lock: true, data: new Uint8Array(48) });
  });

  test('a register that holds anything else stops the start', async () => {
    const locked = fresh();
    await locked.measureModels([a]);
    await locked.measureModels([a]);
    await expect(locked.measureModels([a, b])).rejects.toMatchObject(differ);
    const device = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    await device.request(encodeExtendPcr(16, c)); // somebody was there before
    await expect(attester(device).measureModels([a])).rejects.toMatchObject(differ);
  });

  test('a device that fails half way is no start either', async () => {
    const device = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    let requests = 0;
    const failing: NsmDevice = {
      request: (cbor) => {
        requests += 1;
        if (requests === 3) device.failNext({ error: 'InternalError', times: 1 });
        return device.request(cbor);
      },
    };
    await expect(attester(failing).measureModels([a, b])).rejects.toMatchObject({ code: 'PLATFORM_FAILED' });
    await expect(attester(device).measureModels([a, b])).rejects.toMatchObject(differ);
  });

  test('the own measurement is PCR0, 1, 2 and 8', async () => {
    const pcr = (index: number) => SIMULATED_PCRS.get(index);
    expect(await fresh().measurement()).toEqual({
      ...{ platform: 'nitro', pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2), pcr8: pcr(8) },
    });
  });

  test('errors of the device are named: a locked register, an index that is none', async () => {
    const device = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
    const asked = async (request: Uint8Array) => readExtended(await device.request(request));
    await expect(asked(encodeExtendPcr(0, a))).rejects.toThrow(/ReadOnlyIndex/);
    await expect(asked(encodeExtendPcr(32, a))).rejects.toThrow(/InvalidIndex/);
    await expect(fresh().pcr(32)).rejects.toThrow(/InvalidIndex/);
  });

  test('random bytes make another session key from the same kernel bytes, and none make one as well', async () => {
    const random = await fresh().random();
    expect(random.length).toBe(256);
    const keys = [startSession(runtime, Date.now, random), startSession(runtime, Date.now)].map((one) => one.boot);
    expect(new Set(keys).size).toBe(2);
    const session = startSession(runtime, Date.now, random);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), session.publicKey]);
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(verify(null, data, publicKey, session.sign(data))).toBe(true);
  });
});

describe('answers that are not what was asked for', () => {
  const answered = (text: string) => fromHex(text);
  const readers: Readonly<Record<string, (answer: Uint8Array) => unknown>> = {
    readDescription,
    readExtended,
    readLocked,
    readPcr,
    readRandom,
  };
  const pcr = `5830${'ab'.repeat(48)}`;
  const good: readonly (readonly [string, string])[] = [
    ['readPcr', `a1 6b 4465736372696265504352 a2 64 6c6f636b f5 64 64617461 ${pcr}`],
    ['readPcr', `bf 6b 4465736372696265504352 bf 64 64617461 ${pcr} 64 6c6f636b f4 ff ff`],
    ['readExtended', `a1 69 457874656e64504352 a1 64 64617461 ${pcr}`],
    ['readLocked', '67 4c6f636b504352'],
    ['readRandom', 'a1 69 47657452616e646f6d a1 66 72616e646f6d 42 0102'],
    [
      'readDescription',
      'a1 6b 44657363726962654e534d a7 6d 76657273696f6e5f6d616a6f72 01 6d 76657273696f6e5f6d696e6f72 00 6d ' +
        '76657273696f6e5f7061746368 00 69 6d6f64756c655f6964 61 78 68 6d61785f70637273 18 20 6b 6c6f636b65645f70637273 ' +
        '83 00 01 02 66 646967657374 66 534841333834',
    ],
  ];

  test.each(good)('%s: cut short anywhere, longer, or another variant', (name, text) => {
    const read = readers[name]!;
    const whole = answered(text);
    expect(() => read(whole)).not.toThrow();
    const refusal = expect.objectContaining({ code: 'PLATFORM_FAILED', field: 'nsm' });
    for (let length = 0; length < whole.length; length++)
      expect(() => read(whole.subarray(0, length)), `${length}`).toThrow(refusal);
    expect(() => read(Uint8Array.of(...whole, 0))).toThrow(refusal);
    for (const [other, text2] of good) if (other !== name) expect(() => read(answered(text2)), other).toThrow(refusal);
    for (let i = 0; i < 500; i++) expect(() => read(randomBytes(1 + (i % 60)))).toThrow(refusal);
  });

  test.each([
    ['a member twice', 'readPcr', `a1 6b 4465736372696265504352 a2 64 64617461 ${pcr} 64 64617461 ${pcr}`],
    ['a member missing', 'readPcr', 'a1 6b 4465736372696265504352 a1 64 6c6f636b f5'],
    ['a member more', 'readExtended', `a1 69 457874656e64504352 a2 64 64617461 ${pcr} 61 78 00`],
    ['a register of 47 bytes', 'readExtended', `a1 69 457874656e64504352 a1 64 64617461 582f${'ab'.repeat(47)}`],
    ['a lock that is a number', 'readPcr', `a1 6b 4465736372696265504352 a2 64 6c6f636b 01 64 64617461 ${pcr}`],
    ['no random bytes', 'readRandom', 'a1 69 47657452616e646f6d a1 66 72616e646f6d 40'],
    ['2^32 members', 'readPcr', 'a1 6b 4465736372696265504352 ba ffffffff'],
    ['a prototype’s member', 'readPcr', 'a1 6b 4465736372696265504352 a1 69 5f5f70726f746f5f5f 00'],
  ])('%s', (_what, name, text) => {
    expect(() => readers[name]!(answered(text))).toThrow(expect.objectContaining({ code: 'PLATFORM_FAILED' }));
  });
});

test('a tick binds the log to the document, with the key of this boot', async () => {
  const parts = makeLog();
  const { outbox } = parts;
  const device = SimulatedNsm.create({ pcrs: SIMULATED_PCRS });
  const ticker = new Ticker({ ...parts, attester: attester(device), logger: silent });
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
  expect(hex(payload.get('public_key') as Uint8Array)).toBe(hex(parts.session.publicKey));
  expect(payload.get('nonce')).toBeNull();
});

describe('simulated platform', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-simulated-nitro-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const programFiles = ['main.js', 'worker.js'].map((name) => path.join(folder, name));
  for (const file of programFiles) writeFileSync(file, path.basename(file));
  const dataDir = path.join(folder, 'data');
  const root = () => readFileSync(path.join(dataDir, 'simulated-nitro-root.pem'), 'utf8');
  const start = () => simulatedNitro({ dataDir, programFiles, minIntervalMs: 100 });
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
