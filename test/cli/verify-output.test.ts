import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { compactVerify, importJWK, type JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder, veritee } from '../support/cli.ts';
import { AT, MiniEnclave } from '../support/mini-enclave.ts';
import { jsonOf, pem, refusalOf } from './support.ts';

const { folder, remove } = temporaryFolder();
const nonce = new Uint8Array(randomBytes(32));
const keys = { 'P-256': 'ES256', 'P-384': 'ES384' } as const;
const publicKeys = new Map<string, JWK>();
let good: readonly string[];
let forged: readonly string[];

const put = (name: string, content: Uint8Array | string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

beforeAll(async () => {
  const enclave = new MiniEnclave();
  const answer = await enclave.infer({ nonce });
  const tick = await enclave.tick();
  const file = enclave.receipt(answer, tick);
  const broken = new Uint8Array(file);
  broken[broken.length - 1]! ^= 1;
  const flags = [
    ...['--policy', 'builtin:authenticity', '--at', AT.toISOString(), '--nonce', Buffer.from(nonce).toString('hex')],
    ...['--trust-anchor', put('root.pem', pem(tick.snp.ark))],
  ];
  good = [put('good.veritee', file), ...flags];
  forged = [put('forged.veritee', broken), ...flags];
  for (const crv of Object.keys(keys)) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: crv });
    put(`${crv}.json`, JSON.stringify(privateKey.export({ format: 'jwk' })));
    publicKeys.set(crv, publicKey.export({ format: 'jwk' }) as JWK);
  }
});
afterAll(remove);

const key = (crv: string): string => path.join(folder, `${crv}.json`);

interface Ear {
  readonly eat_nonce?: string;
  readonly iat: number;
  readonly submods: Record<string, Record<string, unknown>>;
}

async function open(token: string, crv: keyof typeof keys): Promise<Ear> {
  const { payload, protectedHeader } = await compactVerify(token, await importJWK(publicKeys.get(crv)!, keys[crv]));
  expect(protectedHeader).toEqual({ alg: keys[crv], typ: 'JWT', kid: expect.any(String) });
  return JSON.parse(Buffer.from(payload).toString());
}

describe.concurrent('verify --ear', () => {
  test('prints the token alone, and the verdict on stderr', async () => {
    const before = Math.floor(Date.now() / 1000);
    const ran = await veritee(['verify', ...good, '--ear', 'veraison-2023', '--ear-key', key('P-256')]);
    expect(ran.status).toBe(0);
    expect(ran.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(ran.stderr).toMatch(/^✓ affirming/);
    const ear = await open(ran.stdout.trim(), 'P-256');
    expect(ear.iat).toBeGreaterThanOrEqual(before); // now, not the time verified at
    expect(ear.eat_nonce).toBe(Buffer.from(nonce).toString('base64url'));
    expect(ear.submods['simulated-snp']?.['ear.status']).toBe('affirming');
  });

  test('with --json adds a member to the result', async () => {
    const args = ['verify', ...good, '--json'];
    const ran = await veritee([...args, '--ear', 'ietf-2026', '--ear-key', key('P-384')]);
    expect(ran.status).toBe(0);
    const { ear, ...rest } = jsonOf(ran);
    expect(rest).toEqual(jsonOf(await veritee(args)));
    const { submods } = await open(ear as string, 'P-384');
    expect(submods['simulated-snp']?.['ear_status']).toBe('affirming');
  });

  test('a refusal has a token too, and keeps its status', async () => {
    const ran = await veritee(['verify', ...forged, '--ear', 'veraison-2023', '--ear-key', key('P-256')]);
    expect(ran.status).toBe(1);
    const { submods } = await open(ran.stdout.trim(), 'P-256');
    expect(Object.values(submods).map((submod) => submod['ear.status'])).toEqual(['contraindicated']);
  });

  test.each<[string, () => readonly string[]]>([
    ['no key', () => ['--ear', 'veraison-2023']],
    ['no profile', () => ['--ear-key', key('P-256')]],
    ['an unknown profile', () => ['--ear', 'veraison', '--ear-key', key('P-256')]],
    ['a key that is none', () => ['--ear', 'veraison-2023', '--ear-key', put('junk.json', 'junk')]],
    ['a key that is null', () => ['--ear', 'veraison-2023', '--ear-key', put('null.json', 'null')]],
    [
      'a public key',
      () => ['--ear', 'veraison-2023', '--ear-key', put('public.json', JSON.stringify(publicKeys.get('P-256')))],
    ],
    [
      'a key off its curve',
      () => {
        const jwk = { ...JSON.parse(readFileSync(key('P-256'), 'utf8')), crv: 'P-384' };
        return ['--ear', 'veraison-2023', '--ear-key', put('odd.json', JSON.stringify(jwk))];
      },
    ],
  ])('refuses %s', async (_, args) => {
    expect(await refusalOf(['verify', ...good, ...args()])).toEqual({ status: 2, code: 'USAGE' });
  });

  test('a key that cannot be read', async () => {
    const missing = ['--ear', 'veraison-2023', '--ear-key', path.join(folder, 'nowhere')];
    expect(await refusalOf(['verify', ...good, ...missing])).toEqual({ status: 2, code: 'FILE_UNREADABLE' });
  });

  test('what is wrong with a key never shows the key', async () => {
    const secret = 'c2VjcmV0LXNlY3JldA';
    const file = put('half.json', `{"kty":"EC","crv":"P-256","d":"${secret}"`);
    const ran = await veritee(['verify', ...good, '--ear', 'veraison-2023', '--ear-key', file]);
    expect(ran.status).toBe(2);
    expect(ran.stdout + ran.stderr).not.toContain(secret);
  });
});

describe.concurrent('verify --report', () => {
  test('writes one page that says which bytes it speaks of, and prints what it would have printed', async () => {
    const page = path.join(folder, 'report.html');
    const ran = await veritee(['verify', ...good, '--report', page]);
    expect(ran).toEqual({ ...(await veritee(['verify', ...good])), stderr: '' });
    expect(ran.status).toBe(0);
    const text = readFileSync(page, 'utf8');
    expect(text).toMatch(/^<!doctype html>/);
    expect(text).toContain(createHash('sha256').update(readFileSync(good[0]!)).digest('hex'));
    await veritee(['verify', ...good, '--report', `${page}.2`]);
    expect(readFileSync(`${page}.2`, 'utf8')).toBe(text);
  });

  test('of a refusal too', async () => {
    const page = path.join(folder, 'refusal.html');
    expect((await veritee(['verify', ...forged, '--report', page])).status).toBe(1);
    expect(readFileSync(page, 'utf8')).toContain('Do not rely on this receipt.');
  });

  test('where it cannot be written is said before anything is verified', async () => {
    const nowhere = path.join(folder, 'nowhere', 'report.html');
    const refusal = await refusalOf(['verify', ...good, '--report', nowhere]);
    expect(refusal).toEqual({ status: 2, code: 'FILE_UNWRITABLE' });
    expect(await refusalOf(['verify', ...good, '--report', folder])).toEqual(refusal);
  });
});
