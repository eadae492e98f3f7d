import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { NsmAttester } from '../../enclave/attester/nsm.ts';
import { openEnvelopedData, parseEnvelopedData } from '../../enclave/keys/cms.ts';
import { KmsKeys } from '../../enclave/keys/kms.ts';
import { concat, hex } from '../../protocol/bytes.ts';
import { kbsReportData } from '../../protocol/kbs.ts';
import { parseKeyId } from '../../protocol/sealed-model.ts';
import { assess, parseNitroDocument } from '../../verifier/index.ts';
import { type CmsEncoding, envelopedData, FakeKms, hasOpenssl } from '../support/fake-kms.ts';
import { type KeyPlatform, nitroPlatform } from '../support/key-platform.ts';

const ENCODINGS: readonly CmsEncoding[] = hasOpenssl ? ['pkijs', 'openssl-der', 'openssl-streamed-ber'] : ['pkijs'];
if (!hasOpenssl) process.stderr.write('!! no OpenSSL 3 here: its CMS encodings are not tried\n');

const invalid = expect.objectContaining({ code: 'BROKER_ANSWER_INVALID' });
const key = new Uint8Array(randomBytes(32));

describe('CMS EnvelopedData', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const good = envelopedData(key, publicKey, 'pkijs');

  test.each(ENCODINGS)('of %s opens', (encoding) => {
    for (const length of [0, 1, 15, 16, 32, 1000]) {
      const plaintext = new Uint8Array(length).fill(length);
      expect(openEnvelopedData(envelopedData(plaintext, publicKey, encoding), privateKey)).toEqual(plaintext);
      if (encoding !== 'pkijs' && length === 1) break; // each takes a child process or three
    }
  });

  test.runIf(hasOpenssl)('streamed by OpenSSL is BER of indefinite lengths, its content in pieces', () => {
    const ber = envelopedData(key, publicKey, 'openssl-streamed-ber');
    expect(hex(ber.subarray(0, 2))).toBe('3080');
    expect(hex(ber)).toContain('a080'); // [0] constructed, of indefinite length
  });

  test('does not open under another key', () => {
    expect(() => openEnvelopedData(good, other)).toThrow(invalid);
  });

  test('is refused cut short anywhere', () => {
    for (let length = 0; length < good.length; length++) {
      expect(() => openEnvelopedData(good.subarray(0, length), privateKey), String(length)).toThrow(invalid);
    }
  });

  test('gives the key or a refusal for every changed byte, and never another kind of error', () => {
    for (let at = 0; at < good.length; at++) {
      const changed = good.slice();
      changed[at]! ^= 0x41;
      try {
        parseEnvelopedData(changed);
      } catch (error) {
        expect(error).toEqual(invalid);
      }
    }
    for (let at = 0; at < good.length; at += 7) {
      const changed = good.slice();
      changed[at]! ^= 0x01;
      try {
        openEnvelopedData(changed, privateKey);
      } catch (error) {
        expect(error).toEqual(invalid);
      }
    }
  });

  const swap = (from: string, to: string) => Buffer.from(hex(good).replace(from, to), 'hex');
  test.each([
    ['PKCS #1 v1.5', swap('2a864886f70d010107', '2a864886f70d010101')],
    ['AES-128-CBC', swap('60864801650304012a', '608648016503040102')],
    ['AES-256-GCM', swap('60864801650304012a', '60864801650304012e')],
    ['signed data', swap('2a864886f70d010703', '2a864886f70d010702')],
    ['nesting without end', concat(...Array.from({ length: 4000 }, () => Uint8Array.of(0x30, 0x80)))],
    ['nesting of definite lengths', Buffer.alloc(8000, 0x30)],
    ['a length of 2^64', Buffer.from('3088ffffffffffffffff', 'hex')],
    ['too much', new Uint8Array(9000)],
    ['nothing', new Uint8Array(0)],
    ['text', Buffer.from('{"CiphertextForRecipient":1}')],
  ])('of %s is refused', (_what, ber) => {
    expect(() => openEnvelopedData(new Uint8Array(ber), privateKey)).toThrow(invalid);
  });

  test('random bytes', () => {
    for (let i = 0; i < 3000; i++) {
      const random = new Uint8Array(randomBytes(1 + (i % 300)));
      random[0] = 0x30;
      expect(() => parseEnvelopedData(random)).toThrow(invalid);
    }
  });
});

describe('keys from KMS', () => {
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a+secret/key', sessionToken: 'IQoJb3==' };
  const region = 'eu-central-1';
  const CMK = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd';
  const kid = 'kbs:///acme/model-key/fraud';
  const keyId = parseKeyId(kid)!;
  const models = mkdtempSync(path.join(tmpdir(), 'veritee-kms-'));
  let platform: KeyPlatform<NsmAttester>;
  let pcr0: string;
  beforeAll(async () => {
    platform = await nitroPlatform();
    const { report } = await platform.attester.attestToBroker(kbsReportData('', {} as never));
    pcr0 = hex(parseNitroDocument(report).pcrs.get(0)!);
    mkdirSync(path.join(models, '.kms/acme/model-key'), { recursive: true });
  });
  afterAll(() => rmSync(models, { recursive: true }));

  let kms: FakeKms | undefined;
  afterEach(() => kms?.stop());
  const put = (blob: Uint8Array, tag = 'fraud') => writeFileSync(path.join(models, '.kms/acme/model-key', tag), blob);

  async function start(
    options: Partial<ConstructorParameters<typeof FakeKms>[0]> = {},
    settings: { readonly keyId?: string; readonly secretAccessKey?: string } = {},
  ) {
    const fake = new FakeKms({ credentials, region, documents: platform.policy, pcr0, ...options });
    kms = fake;
    const endpoint = new URL(await fake.start());
    const { keyId: pinned = null, secretAccessKey = credentials.secretAccessKey } = settings;
    const provider = new KmsKeys(
      { region, endpoint, keyId: pinned },
      { ...credentials, secretAccessKey },
      platform.attester,
      models,
    );
    put(fake.wrap(key, CMK, { kid }));
    return { fake, provider, ask: (id = keyId) => provider.key(id, AbortSignal.timeout(20_000)) };
  }

  test.each(ENCODINGS)('come in an envelope that only this enclave opens (%s)', async (encoding) => {
    const { ask, fake } = await start({ encoding }, { keyId: CMK });
    expect(await ask()).toEqual(key);
    expect(fake.refusals).toEqual([]);
  });

  test('are refused to another image, and the refusal is named', async () => {
    const { ask } = await start({ pcr0: '11'.repeat(48) });
    await expect(ask()).rejects.toMatchObject({
      code: 'MODEL_KEY_REFUSED',
      message: 'KMS refused: AccessDeniedException',
    });
  });

  test('are refused to who cannot sign', async () => {
    const { ask } = await start({}, { secretAccessKey: 'another' });
    await expect(ask()).rejects.toMatchObject({ message: 'KMS refused: IncompleteSignatureException' });
  });

  test('are refused under another name, and by another KMS key than the one named', async () => {
    const one = await start();
    put(one.fake.wrap(key, CMK, { kid: 'kbs:///acme/model-key/other' }));
    await expect(one.ask()).rejects.toMatchObject({ message: 'KMS refused: InvalidCiphertextException' });
    await one.fake.stop();
    const two = await start({}, { keyId: 'arn:aws:kms:eu-central-1:111122223333:key/other' });
    await expect(two.ask()).rejects.toMatchObject({ message: 'KMS refused: IncorrectKeyException' });
  });

  test('that are not there are not asked for', async () => {
    const { ask, fake } = await start();
    await expect(ask(parseKeyId('kbs:///acme/model-key/none')!)).rejects.toMatchObject({
      code: 'MODEL_KEY_UNAVAILABLE',
      field: '.kms/acme/model-key/none',
    });
    for (const [tag, blob] of [
      ['empty', new Uint8Array(0)],
      ['long', new Uint8Array(6145)],
    ] as const) {
      put(blob, tag);
      await expect(ask({ ...keyId, tag })).rejects.toMatchObject({ code: 'MODEL_KEY_UNAVAILABLE' });
    }
    expect(fake.decrypted + fake.refusals.length).toBe(0);
  });

  test('are read from plain files in that folder alone: no link is followed, no pipe waited for', async () => {
    const { ask, fake } = await start();
    const kmsFolder = path.join(models, '.kms');
    const elsewhere = mkdtempSync(path.join(tmpdir(), 'veritee-elsewhere-'));
    writeFileSync(path.join(elsewhere, 'environ'), 'what no key service is to be sent');
    symlinkSync(path.join(elsewhere, 'environ'), path.join(kmsFolder, 'acme/model-key/link'));
    symlinkSync(elsewhere, path.join(kmsFolder, 'acme/linked'));
    execFileSync('mkfifo', [path.join(kmsFolder, 'acme/model-key/pipe')]);
    for (const name of ['model-key/link', 'linked/environ', 'model-key/pipe']) {
      await expect(ask(parseKeyId(`kbs:///acme/${name}`)!), name).rejects.toMatchObject({
        code: 'MODEL_KEY_UNAVAILABLE',
        field: `.kms/acme/${name}`,
      });
    }
    const plain = path.join(models, 'kms');
    renameSync(kmsFolder, plain);
    symlinkSync(plain, kmsFolder);
    await expect(ask(), 'the folder itself').rejects.toMatchObject({ code: 'MODEL_KEY_UNAVAILABLE' });
    rmSync(kmsFolder);
    renameSync(plain, kmsFolder);
    expect(fake.decrypted + fake.refusals.length).toBe(0);
    rmSync(elsewhere, { recursive: true });
  });

  test('may come later when KMS is not to be had', async () => {
    const { ask, fake } = await start();
    fake.status = 500;
    await expect(ask()).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
    await fake.stop();
    await expect(ask()).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
  });

  test.each<[string, (answer: Record<string, unknown>) => Record<string, unknown>]>([
    ['in the clear', (answer) => ({ ...answer, Plaintext: Buffer.from(key).toString('base64') })],
    ['in the clear alone', () => ({ Plaintext: Buffer.from(key).toString('base64') })],
    ['not at all', () => ({})],
    ['as something else', () => ({ CiphertextForRecipient: 'AAAA' })],
    ['as a number', () => ({ CiphertextForRecipient: 5 })],
    ['with 300 KB beside it', (answer) => ({ ...answer, x: 'x'.repeat(300_000) })],
  ])('are not taken %s', async (_what, override) => {
    const { ask, fake } = await start();
    fake.override = override;
    await expect(ask()).rejects.toEqual(invalid);
  });

  test('no message repeats what KMS or the credentials say', async () => {
    const { ask } = await start({ pcr0: '11'.repeat(48) });
    const error = (await ask().catch((refused: unknown) => refused)) as Error;
    expect(error.message).not.toMatch(/secret|AKID|IQoJ/);
  });

  test('the document for KMS can pass for none of the log’s, nor for a broker’s', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const document = parseNitroDocument(await platform.attester.attestToKms(spki));
    expect(Buffer.from(document.userData!).toString()).toBe('veritee/kms-recipient/v1'); // the log's are 64 bytes
    expect(new Uint8Array(document.publicKey!)).toEqual(new Uint8Array(spki)); // the log's are 32 bytes
    expect(document.nonce).toBeNull();
    const { report } = await platform.attester.attestToBroker(kbsReportData('', {} as never));
    const broker = parseNitroDocument(report);
    expect([broker.userData, broker.publicKey]).toEqual([null, null]); // the log's have both
    expect(broker.nonce?.length).toBe(64); // the log's have none
    const file = await platform.attester.attestToKms(spki);
    const nonce = kbsReportData('', {} as never);
    const result = await assess({
      file,
      kind: 'nitro-document',
      policy: platform.policy,
      at: new Date(Date.now() + 1000),
      expected: { nonce },
    });
    expect(result.verdict).toBe('contraindicated');
  });
});

test.runIf(hasOpenssl)('an envelope to an issuer and serial number opens too', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-cms-'));
  try {
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'k', '-out', 'c', '-subj', '/CN=x');
    writeFileSync(path.join(folder, 'p'), key);
    const oaep = ['-keyopt', 'rsa_padding_mode:oaep', '-keyopt', 'rsa_oaep_md:sha256', '-keyopt', 'rsa_mgf1_md:sha256'];
    const ber = openssl('cms', '-encrypt', '-binary', '-aes256', '-in', 'p', '-outform', 'DER', '-recip', 'c', ...oaep);
    const privateKey: KeyObject = createPrivateKey(execFileSync('cat', [path.join(folder, 'k')]));
    expect(createPublicKey(privateKey).asymmetricKeyType).toBe('rsa');
    expect(openEnvelopedData(ber, privateKey)).toEqual(key);
    // Without OAEP it is PKCS #1 v1.5, which is open to guessing games.
    const old = openssl('cms', '-encrypt', '-binary', '-aes256', '-in', 'p', '-outform', 'DER', '-recip', 'c');
    expect(() => openEnvelopedData(old, privateKey)).toThrow(invalid);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
