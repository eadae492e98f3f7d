import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { encode } from 'cbor2';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import {
  NITRO_KEY_FILE as KEY_FILE,
  type NsmErrorCode,
  pcrOf,
  NITRO_ROOT_FILE as ROOT_FILE,
  SIMULATED_NITRO_WARNING,
  SimulatedNsm,
  type SimulatedNsmOptions,
} from '../../attestation-fixtures/index.ts';
import { hex } from '../../protocol/bytes.ts';
import { CodedError } from '../../protocol/errors.ts';
import { chainFault, foreign, readDocument, signatureHolds } from './nitro-oracles.ts';

const zero = '00'.repeat(48);
const pcrs = new Map([0, 1, 2].map((index) => [index, pcrOf(Uint8Array.of(index))] as const));
const NOW = new Date('2026-04-05T06:07:08.910Z');
const launched = (options: Partial<SimulatedNsmOptions> = {}) =>
  SimulatedNsm.create({ pcrs, now: () => NOW, ...options });

/** As cbor2 encodes a plain object: keys in their order here, which is that of nsm-api's structs and not canonical. */
const ask = async (nsm: SimulatedNsm, request: unknown): Promise<unknown> =>
  foreign(await nsm.request(encode(request)));
const error = (code: NsmErrorCode) => new Map([['Error', code]]);

async function attest(nsm: SimulatedNsm, given: { user_data?: unknown; nonce?: unknown; public_key?: unknown } = {}) {
  const request = { Attestation: { user_data: null, nonce: null, public_key: null, ...given } };
  const answer = (await ask(nsm, request)) as Map<string, Map<string, Uint8Array>>;
  return readDocument(answer.get('Attestation')!.get('document')!);
}

describe('as nsm-check of aws-nitro-enclaves-nsm-api goes through it', () => {
  test('description', async () => {
    const nsm = launched();
    expect(await ask(nsm, 'DescribeNSM')).toEqual(
      new Map([
        [
          'DescribeNSM',
          new Map<string, unknown>([
            ['version_major', 1],
            ['version_minor', 0],
            ['version_patch', 0],
            ['module_id', nsm.moduleId],
            ['max_pcrs', 32],
            ['locked_pcrs', [...Array(16).keys()]],
            ['digest', 'SHA384'],
          ]),
        ],
      ]),
    );
  });

  test('registers at the start', async () => {
    const nsm = launched();
    for (let index = 0; index < 32; index++) {
      const answer = (await ask(nsm, { DescribePCR: { index } })) as Map<string, Map<string, unknown>>;
      const { lock, data } = Object.fromEntries(answer.get('DescribePCR')!) as { lock: boolean; data: Uint8Array };
      expect(lock, `PCR${index}`).toBe(index < 16);
      expect(hex(data) === zero, `PCR${index}`).toBe(![0, 1, 2, 4].includes(index));
    }
  });

  test('extending and locking', async () => {
    const nsm = launched();
    for (let index = 0; index < 16; index++) {
      expect(await ask(nsm, { LockPCR: { index } })).toEqual(error('ReadOnlyIndex'));
    }
    const data = Uint8Array.of(1, 2, 3);
    const sha384 = (...parts: readonly Uint8Array[]) => createHash('sha384').update(Buffer.concat(parts)).digest();
    let expected = Buffer.alloc(48);
    for (let round = 0; round < 3; round++) {
      expected = sha384(expected, data);
      for (let index = 16; index < 32; index++) {
        const answer = (await ask(nsm, { ExtendPCR: { index, data } })) as Map<string, Map<string, Uint8Array>>;
        expect(hex(answer.get('ExtendPCR')!.get('data')!)).toBe(hex(expected));
      }
    }
    for (let index = 16; index < 32; index++) expect(await ask(nsm, { LockPCR: { index } })).toBe('LockPCR');
    expect(await ask(nsm, { LockPCRs: { range: 32 } })).toBe('LockPCRs');
    expect(await ask(nsm, { LockPCRs: { range: 33 } })).toEqual(error('InvalidIndex'));
    for (let index = 0; index < 32; index++) {
      expect(await ask(nsm, { ExtendPCR: { index, data } })).toEqual(error('ReadOnlyIndex'));
    }
    const { fields } = await attest(nsm);
    expect([...fields.pcrs.keys()]).toEqual([...Array(32).keys()]);
    expect(hex(fields.pcrs.get(31)!)).toBe(hex(expected));
    expect(hex(fields.pcrs.get(0)!)).toBe(hex(pcrs.get(0)!));
  });

  test('a range locks what lies below it', async () => {
    const nsm = launched();
    expect(await ask(nsm, { LockPCRs: { range: 18 } })).toBe('LockPCRs');
    expect([...(await attest(nsm)).fields.pcrs.keys()]).toEqual([...Array(18).keys()]);
    expect(await ask(nsm, { LockPCRs: { range: 0 } })).toBe('LockPCRs');
  });

  test('documents with 1,024 bytes in each field, and with none', async () => {
    const nsm = launched();
    const data = new Uint8Array(1024).fill(128);
    for (const given of [{}, { user_data: data }, { user_data: data, nonce: data, public_key: data }]) {
      const read = await attest(nsm, given);
      expect(signatureHolds(read)).toBe(true);
      expect(chainFault(read, nsm.root, NOW)).toBeNull();
      const { userData, nonce, publicKey, timestamp, moduleId } = read.fields;
      expect({ user_data: userData, nonce, public_key: publicKey }).toEqual({
        ...{ user_data: null, nonce: null, public_key: null },
        ...given,
      });
      expect([timestamp, moduleId]).toEqual([NOW.getTime(), nsm.moduleId]);
    }
    const { fields } = await attest(nsm, { public_key: new Uint8Array(0) });
    expect(fields.publicKey).toEqual(new Uint8Array(0)); // occurs in the wild
  });

  test('random', async () => {
    const nsm = launched();
    const random = async () =>
      ((await ask(nsm, 'GetRandom')) as Map<string, Map<string, Uint8Array>>).get('GetRandom')!;
    const [one, two] = [(await random()).get('random')!, (await random()).get('random')!];
    expect(one.length).toBe(256);
    expect(hex(one)).not.toBe(hex(two));
  });
});

describe('requests', () => {
  const answers = async (request: Uint8Array) => foreign(await launched().request(request));
  const bytes = (text: string) => new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));

  test('in other encodings of the same', async () => {
    const describe0 = await answers(bytes('a1 6b 4465736372696265504352 a1 65 696e646578 00'));
    expect(describe0).toMatchObject(new Map([['DescribePCR', expect.anything()]]));
    expect(await answers(bytes('bf 6b 4465736372696265504352 bf 65 696e646578 190000 ff ff'))).toEqual(describe0);
    expect(await answers(bytes('a1 6b 4465736372696265504352 a2 61 78 f5 65 696e646578 1b0000000000000000'))).toEqual(
      describe0,
    );
  });

  test('fields may be left out or be text', async () => {
    const nsm = launched();
    const request = { Attestation: { nonce: 'abc' } };
    const answer = (await ask(nsm, request)) as Map<string, Map<string, Uint8Array>>;
    const { fields } = readDocument(answer.get('Attestation')!.get('document')!);
    expect([fields.nonce, fields.userData]).toEqual([new Uint8Array(Buffer.from('abc')), null]);
  });

  test.each<[string, unknown, NsmErrorCode]>([
    ['an unknown name', 'Attest', 'InvalidOperation'],
    ['an unknown name with fields', { Attest: {} }, 'InvalidOperation'],
    ['fields where there are none', { GetRandom: {} }, 'InvalidOperation'],
    ['no fields where there are some', 'Attestation', 'InvalidOperation'],
    ['fields that are no map', { Attestation: [] }, 'InvalidOperation'],
    ['two requests in one', { DescribePCR: { index: 0 }, LockPCR: { index: 16 } }, 'InvalidOperation'],
    ['a number', 7, 'InvalidOperation'],
    ['an index that is no number', { DescribePCR: { index: '0' } }, 'InvalidOperation'],
    ['an index left out', { LockPCR: {} }, 'InvalidOperation'],
    ['data left out', { ExtendPCR: { index: 16 } }, 'InvalidOperation'],
    ['a nonce that is a number', { Attestation: { nonce: 5 } }, 'InvalidOperation'],
    ['an index beyond the last', { DescribePCR: { index: 32 } }, 'InvalidIndex'],
    ['an index beyond all bounds', { ExtendPCR: { index: 2 ** 40, data: Uint8Array.of(1) } }, 'InvalidIndex'],
    ['a locked register', { ExtendPCR: { index: 0, data: Uint8Array.of(1) } }, 'ReadOnlyIndex'],
    ['user data too long', { Attestation: { user_data: new Uint8Array(1025) } }, 'InputTooLarge'],
    ['a nonce too long', { Attestation: { nonce: new Uint8Array(1025) } }, 'InputTooLarge'],
    ['a key too long', { Attestation: { public_key: new Uint8Array(1025) } }, 'InputTooLarge'],
  ])('%s is refused', async (_what, request, code) => {
    expect(await ask(launched(), request)).toEqual(error(code));
  });

  test('the driver takes 4,096 bytes and no more', async () => {
    const nsm = launched();
    const sized = (n: number) => encode({ ExtendPCR: { index: 16, data: new Uint8Array(n) } });
    const room = 4096 - (sized(4000).length - 4000);
    expect(sized(room).length).toBe(4096);
    expect(foreign(await nsm.request(sized(room)))).toMatchObject(new Map([['ExtendPCR', expect.anything()]]));
    await expect(nsm.request(sized(room + 1))).rejects.toMatchObject({
      code: 'EMSGSIZE',
      errno: -90,
      syscall: 'ioctl',
    });
  });

  test('cut short anywhere, with bytes behind it, or random: an error and nothing else', async () => {
    const nsm = launched();
    const whole = encode({ Attestation: { user_data: new Uint8Array(64), nonce: null, public_key: 'key' } });
    for (let length = 0; length < whole.length; length++) {
      expect(foreign(await nsm.request(whole.subarray(0, length))), `${length}`).toEqual(error('InvalidOperation'));
    }
    expect(foreign(await nsm.request(Buffer.concat([whole, Buffer.of(0)])))).toEqual(error('InvalidOperation'));
    const deep = new Uint8Array(4096).fill(0x81);
    expect(foreign(await nsm.request(deep))).toEqual(error('InvalidOperation'));
    expect(foreign(await nsm.request(bytes('9b ffffffffffffffff 00')))).toEqual(error('InvalidOperation'));
    for (let i = 0; i < 2000; i++) {
      const answer = foreign(await nsm.request(randomBytes(1 + (i % 40))));
      expect(answer).toEqual(error('InvalidOperation'));
    }
  });
});

describe('a launch', () => {
  test('in debug mode has zero image registers and keeps the others', async () => {
    const signer = pcrOf(Uint8Array.of(8));
    const { fields } = await attest(launched({ debug: true, pcrs: new Map([...pcrs, [8, signer]]) }));
    expect([0, 1, 2].map((index) => hex(fields.pcrs.get(index)!))).toEqual([zero, zero, zero]);
    expect(hex(fields.pcrs.get(8)!)).toBe(hex(signer));
    expect(hex(fields.pcrs.get(4)!)).not.toBe(zero);
  });

  test('measures as AWS does: one extension of zero by the digest of the content', async () => {
    const nsm = launched();
    const instance = nsm.moduleId.split('-enc')[0]!;
    const digest = createHash('sha384').update(instance).digest();
    const expected = createHash('sha384')
      .update(Buffer.concat([Buffer.alloc(48), digest]))
      .digest('hex');
    expect(hex((await attest(nsm)).fields.pcrs.get(4)!)).toBe(expected);
    expect(hex(pcrOf(Buffer.from(instance.slice(0, 3)), Buffer.from(instance.slice(3))))).toBe(expected);
  });

  test('refuses registers beyond those of the platform, and a region that is none', () => {
    for (const index of [16, -1, 1.5]) {
      expect(() => launched({ pcrs: new Map([[index, pcrs.get(0)!]]) })).toThrow(RangeError);
    }
    expect(() => launched({ region: 'Frankfurt' })).toThrow(TypeError);
    expect(launched({ region: 'us-gov-west-1' }).region).toBe('us-gov-west-1');
  });

  test('writes older encodings on demand', async () => {
    const nsm = launched({ encoding: { payloadMap: 'definite', order: 'timestamp-first' } });
    const read = await attest(nsm);
    expect([read.indefinite, read.keys[1]]).toEqual([false, 'timestamp']);
    expect(signatureHolds(read)).toBe(true);
  });

  test('shares its leaf among documents until it is renewed', async () => {
    let now = NOW;
    const nsm = launched({ now: () => now });
    const leaf = async () => hex((await attest(nsm)).fields.certificate);
    const first = await leaf();
    expect(await leaf()).toBe(first);
    now = new Date(NOW.getTime() + 3 * 3_600_000);
    expect(await leaf()).not.toBe(first);
    expect(chainFault(await attest(nsm), nsm.root, now)).toBeNull();
  });

  test('tells the real time unless given a clock', async () => {
    const before = Date.now();
    const { fields } = await attest(SimulatedNsm.create({ pcrs }));
    expect(fields.timestamp).toBeGreaterThanOrEqual(before);
    expect(fields.timestamp).toBeLessThanOrEqual(Date.now());
  });

  test('keeps its secrets out of JSON and of printed objects', async () => {
    const nsm = launched();
    await attest(nsm);
    expect(`${JSON.stringify(nsm)}${inspect(nsm, { depth: 9, showHidden: true })}`).not.toMatch(/MII|MIG|privateKey/);
  });
});

describe('injected faults', () => {
  test('of the driver are thrown, of the device answered, then it works again', async () => {
    const nsm = launched();
    nsm.failNext({ errno: 'EBUSY', times: 2 });
    nsm.failNext({ error: 'InternalError', times: 1 });
    for (let i = 0; i < 2; i++) await expect(ask(nsm, 'GetRandom')).rejects.toMatchObject({ code: 'EBUSY' });
    expect(await ask(nsm, 'GetRandom')).toEqual(error('InternalError'));
    expect(await ask(nsm, 'GetRandom')).toBeInstanceOf(Map);
    expect(await ask(nsm, 'DescribeNSM')).not.toEqual(error('InternalError'));
  });
});

describe('persistence', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'veritee-nsm-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  let folder: string;
  let count = 0;
  beforeEach(() => {
    folder = path.join(root, String(count++));
  });
  const keyFile = () => path.join(folder, KEY_FILE);
  const rootFile = () => path.join(folder, ROOT_FILE);
  const start = (options: Partial<SimulatedNsmOptions> = {}) => SimulatedNsm.loadOrCreate(folder, { pcrs, ...options });

  async function unusable(work: Promise<unknown>): Promise<CodedError> {
    const reason = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(reason).toBeInstanceOf(CodedError);
    expect((reason as CodedError).code).toBe('DATA_FOLDER_UNUSABLE');
    return reason as CodedError;
  }

  test('writes the secrets in one file of mode 0600 and the root as the only *.pem', async () => {
    const previous = process.umask(0);
    try {
      await start();
    } finally {
      process.umask(previous);
    }
    expect([KEY_FILE, ROOT_FILE]).toEqual(['simulated-nitro.key', 'simulated-nitro-root.pem']);
    expect(readdirSync(folder).sort()).toEqual([ROOT_FILE, KEY_FILE].sort());
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    const text = readFileSync(rootFile(), 'utf8');
    expect(text).toMatch(/^VERITEE SIMULATED PLATFORM: NOT AWS\. Anyone can sign with this key\.\n/);
    expect(text.match(/-----BEGIN [A-Z ]+-----/g)).toEqual(['-----BEGIN CERTIFICATE-----']);
    expect(JSON.parse(readFileSync(keyFile(), 'utf8')).warning).toEqual(SIMULATED_NITRO_WARNING.split('\n'));
    expect(SIMULATED_NITRO_WARNING).toMatch(/^SIMULATED PLATFORM: this is NOT a Nitro enclave/);
  });

  test('the same root and instance come back, each time as a new launch', async () => {
    const launches = [
      await start({ region: 'eu-central-1' }),
      await start(),
      await SimulatedNsm.load(folder, { pcrs }),
    ];
    expect(new Set(launches.map((nsm) => hex(nsm.root))).size).toBe(1);
    expect(new Set(launches.map((nsm) => nsm.moduleId)).size).toBe(3);
    expect(new Set(launches.map((nsm) => nsm.moduleId.split('-enc')[0])).size).toBe(1);
    for (const nsm of launches) {
      expect(nsm.region).toBe('eu-central-1');
      expect(nsm.rootPem).toBe(readFileSync(rootFile(), 'utf8'));
      const read = await attest(nsm);
      expect(signatureHolds(read)).toBe(true);
      expect(chainFault(read, new X509Certificate(readFileSync(rootFile())).raw, new Date())).toBeNull();
    }
  });

  test('a missing root certificate is written again; a missing key is not replaced', async () => {
    const first = await start();
    rmSync(rootFile());
    await start();
    expect(readFileSync(rootFile(), 'utf8')).toBe(first.rootPem);
    rmSync(keyFile());
    expect((await unusable(start())).field).toBe(KEY_FILE);
    expect(readdirSync(folder)).toEqual([ROOT_FILE]);
  });

  test('an empty folder: load refuses, loadOrCreate creates', async () => {
    await unusable(SimulatedNsm.load(folder, { pcrs }));
    await start();
    expect(readdirSync(folder)).toHaveLength(2);
  });

  test('another region is refused', async () => {
    await start({ region: 'eu-central-1' });
    expect((await unusable(start({ region: 'us-east-1' }))).field).toBe(KEY_FILE);
  });

  test('lies beside a simulated chip and leaves its files alone', async () => {
    mkdirSync(folder);
    for (const name of ['simulated-snp.key', 'simulated-snp-ark.pem']) writeFileSync(path.join(folder, name), name);
    await start();
    await start();
    expect(readdirSync(folder)).toHaveLength(4);
    for (const name of ['simulated-snp.key', 'simulated-snp-ark.pem']) {
      expect(readFileSync(path.join(folder, name), 'utf8')).toBe(name);
    }
  });

  test('a key file cut short anywhere is refused, kept, and not quoted', async () => {
    await start();
    const whole = readFileSync(keyFile());
    const secret = JSON.parse(whole.toString()).nitro.root.key as string;
    for (let size = 0; size < whole.length - 1; size += 13) {
      writeFileSync(keyFile(), whole.subarray(0, size));
      const reason = await unusable(start());
      expect(reason.field).toBe(KEY_FILE);
      expect(reason.cause).toBeUndefined();
      expect(reason.message).not.toContain(secret.slice(0, 8));
      expect(readFileSync(keyFile()).length).toBe(size);
    }
    writeFileSync(keyFile(), whole);
    await start();
  });

  test('a key file with one changed character is refused, outside the free-text warning', async () => {
    await start();
    const whole = readFileSync(keyFile(), 'utf8');
    for (let i = whole.indexOf('"format"'); i < whole.length; i += 11) {
      if (/\s/.test(whole[i]!)) continue; // white space between JSON tokens means nothing
      const other = whole[i] === 'A' ? 'B' : 'A';
      writeFileSync(keyFile(), `${whole.slice(0, i)}${other}${whole.slice(i + 1)}`);
      await unusable(start());
    }
  });

  test('a root certificate that is not the one of the key file is refused', async () => {
    await start();
    for (const text of ['', 'not a certificate\n', SimulatedNsm.create({ pcrs }).rootPem]) {
      writeFileSync(rootFile(), text);
      expect((await unusable(start())).field).toBe(ROOT_FILE);
    }
  });

  test('a folder that cannot be used gives the system error as cause', async () => {
    writeFileSync(folder, 'a file');
    expect((await unusable(start())).cause).toMatchObject({ code: 'ENOTDIR' });
  });
});
