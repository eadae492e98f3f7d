import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { temporaryFolder, veritee } from '../support/cli.ts';
import { sharedFolder } from '../support/shared.ts';
import { AUTHENTICITY, codesOf, jsonOf, refusalOf, verdictOf } from './support.ts';

const vectors = sharedFolder('vectors', 'air-v1');
const { folder, remove } = temporaryFolder();
afterAll(remove);

const put = (name: string, content: Uint8Array | string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

describe.skipIf(vectors === null)('verify of an AIR receipt', { concurrent: true }, () => {
  const vector = (name: string): { receipt_hex: string; public_key_hex: string; signing_key_seed_hex: string } =>
    JSON.parse(readFileSync(path.join(vectors as string, name), 'utf8'));
  const receipt = (name: string): string =>
    put(`${path.basename(name)}.air`, Buffer.from(vector(name).receipt_hex, 'hex'));
  const TDX = 'valid/v1-tdx-with-nonce.json';

  test('affirming under the key given, with its nonce; it says what that is not', async () => {
    const { public_key_hex: key } = vector(TDX);
    const args = [receipt(TDX), ...AUTHENTICITY, '--air-key', key, '--nonce', 'deadbeefcafebabe'];
    const { status, result } = await verdictOf(args);
    expect(codesOf(result)).toEqual([]);
    expect({ status, verdict: result.verdict, strength: result.strength, platform: result.platform }).toEqual({
      status: 0,
      verdict: 'affirming',
      strength: null,
      platform: null,
    });
    expect(result.notChecked.some((text) => text.startsWith('hardware'))).toBe(true);
    expect(result.claims).toMatchObject({ air: { modelId: 'llama-7b', measurementType: 'tdx-mrtd-rtmr' } });
  });

  test('the key may be a file: raw, hex, PEM or DER', async () => {
    const { public_key_hex: key, signing_key_seed_hex: seed } = vector(TDX);
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'hex')]);
    const publicKey = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    const files = [
      put('key.raw', Buffer.from(key, 'hex')),
      put('key.hex', `${key.toUpperCase()}\n`),
      put('key.pem', publicKey.export({ format: 'pem', type: 'spki' })),
      put('key.der', publicKey.export({ format: 'der', type: 'spki' })),
    ];
    for (const file of files) {
      const { status, result } = await verdictOf([receipt(TDX), ...AUTHENTICITY, '--air-key', file]);
      expect([file, status, codesOf(result)]).toEqual([file, 0, []]);
    }
  });

  test('refused: no key, another nonce, a request it does not speak of, a broken claim', async () => {
    const { public_key_hex: key } = vector(TDX);
    const known = [...AUTHENTICITY, '--air-key', key];
    const cases: readonly (readonly [readonly string[], string])[] = [
      [[receipt(TDX), ...AUTHENTICITY], 'ENDORSEMENT_MISSING'],
      [[receipt(TDX), ...known, '--nonce', '00'.repeat(8)], 'NONCE_MISMATCH'],
      [[receipt(TDX), ...known, '--request', put('request.json', '{}')], 'REQUEST_MISMATCH'],
      [[receipt('invalid/v1-zero-model-hash.json'), ...known], 'EVIDENCE_MALFORMED'],
      [[receipt('invalid/v1-wrong-alg.json'), ...known], 'EVIDENCE_MALFORMED'],
    ];
    for (const [args, code] of cases) {
      const { status, result } = await verdictOf(args);
      expect([status, codesOf(result)]).toEqual([1, [code]]);
    }
  });

  test('a key that is none is the caller’s mistake', async () => {
    const file = receipt(TDX);
    for (const key of [put('junk', 'junk'), put('zeros.hex', '00'.repeat(31)), put('empty', '')]) {
      const args = ['verify', file, ...AUTHENTICITY, '--air-key', key];
      expect(await refusalOf(args)).toEqual({ status: 2, code: 'USAGE' });
    }
    const salted = ['--request', put('r', '{}'), '--request-salt', '00'.repeat(32)];
    const args = ['verify', file, ...AUTHENTICITY, '--air-key', vector(TDX).public_key_hex, ...salted];
    expect(await refusalOf(args)).toEqual({ status: 2, code: 'USAGE' });
  });

  test('inspect shows its claims, unverified', async () => {
    const ran = await veritee(['inspect', receipt(TDX), '--json']);
    expect(ran.status).toBe(0);
    expect(jsonOf(ran)).toMatchObject({ kind: 'air-receipt', unverified: { modelId: 'llama-7b' } });
  });
});
