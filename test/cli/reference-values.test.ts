import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { FlattenedSign } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cli.ts';
import { AT, MEASUREMENT, MiniEnclave } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { codesOf, pem, refusalOf, verdictOf } from './support.ts';

const { folder, remove } = temporaryFolder();
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
let evidence: readonly string[];
let key: string;

const put = (name: string, content: Uint8Array | string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

async function signed(name: string, measurement: string): Promise<string> {
  const [build] = strictPolicy().sevSnp.referenceValues;
  const content = JSON.stringify({
    ...{ profile: 'veritee/reference-values/v1', id: name, nitro: [], deniedMeasurements: [] },
    sevSnp: [{ ...build, name, measurement }],
  });
  const jws = await new FlattenedSign(Buffer.from(content)).setProtectedHeader({ alg: 'ES384' }).sign(privateKey);
  put(`${name}.jws`, `${jws.protected}..${jws.signature}`);
  return put(name, content);
}

beforeAll(async () => {
  const tick = await new MiniEnclave().tick();
  const root = put('root.pem', pem(tick.snp.ark));
  evidence = [put('evidence.cbor', tick.file), '--at', AT.toISOString(), '--trust-anchor', root];
  key = put('publisher.json', JSON.stringify(publicKey.export({ format: 'jwk' })));
});
afterAll(remove);

describe.concurrent('verify --reference-values', () => {
  test('knows the builds of the signed file', async () => {
    const ours = await signed('acme-1.4.json', Buffer.from(MEASUREMENT).toString('hex'));
    const args = [...evidence, '--policy', 'builtin:authenticity', '--reference-values', ours, '--reference-key', key];
    const { status, result } = await verdictOf(args);
    expect(codesOf(result)).toEqual([]);
    expect([status, result.policy]).toEqual([0, 'builtin:authenticity + acme-1.4.json']);
    expect(result.checks.find(({ id }) => id === 'policy.measurement')?.detail).toContain('"acme-1.4.json"');
  });

  test('and no others', async () => {
    const other = await signed('acme-1.3.json', 'ab'.repeat(48));
    const args = [...evidence, '--policy', 'builtin:authenticity', '--reference-values', other, '--reference-key', key];
    const { status, result } = await verdictOf(args);
    expect([status, codesOf(result)]).toEqual([1, ['MEASUREMENT_UNKNOWN']]);
  });

  test.each<[string, () => Promise<readonly string[]>, string]>([
    ['only the file', async () => ['--reference-values', await signed('a.json', 'ab'.repeat(48))], 'USAGE'],
    ['only the key', async () => ['--reference-key', key], 'USAGE'],
    [
      'a key that is none',
      async () => [
        '--reference-values',
        await signed('b.json', 'ab'.repeat(48)),
        '--reference-key',
        put('junk.json', '7'),
      ],
      'USAGE',
    ],
    [
      'a file without its signature',
      async () => ['--reference-values', put('unsigned.json', '{}'), '--reference-key', key],
      'FILE_UNREADABLE',
    ],
    [
      'a file with another’s signature',
      async () => {
        const file = await signed('c.json', 'ab'.repeat(48));
        put('c.json', '{}');
        return ['--reference-values', file, '--reference-key', key];
      },
      'REFERENCE_VALUES_INVALID',
    ],
  ])('refuses %s', async (_, args, code) => {
    const all = ['verify', ...evidence, '--policy', 'builtin:authenticity', ...(await args())];
    expect(await refusalOf(all)).toEqual({ status: 2, code });
  });
});
