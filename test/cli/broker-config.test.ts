import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readBrokerConfig } from '../../cli/broker-config.ts';
import { InputError } from '../../cli/exit.ts';
import { temporaryFolder } from '../support/cli.ts';
import { strictPolicy } from '../support/policies.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);
const put = (name: string, content: unknown): string => {
  const file = path.join(folder, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};
const k = randomBytes(32).toString('base64url');
put('key.jwk', { kty: 'oct', k });
put('policy.json', strictPolicy());
put('strict.json', strictPolicy({ id: 'stricter' }));
const PATH = 'acme/model-key/fraud';
const good = { policy: 'policy.json', resources: { [PATH]: { keyFile: 'key.jwk' } } };

describe('the configuration of the broker', () => {
  test('names keys and what each asks for, by files beside it', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    put('token.jwk', privateKey.export({ format: 'jwk' }));
    const second = 'acme/model-key/triage';
    const file = put('good.json', {
      ...good,
      tokenKey: 'token.jwk',
      resources: { ...good.resources, [second]: { keyFile: 'key.jwk', policy: 'strict.json' } },
    });
    const { resources, tokenKey } = await readBrokerConfig(file);
    expect([...resources].map(([name, { key, policy }]) => [name, key.length, policy.id])).toEqual([
      [PATH, 32, 'strict'],
      [second, 32, 'stricter'],
    ]);
    expect(tokenKey.privateKey).toMatchObject({ type: 'private', extractable: false });
  });

  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' });
  test.each<[string, string, unknown]>([
    ['no JSON', 'USAGE', '{'],
    ['a member twice', 'USAGE', '{"policy":"a","policy":"b","resources":{}}'],
    ['an array', 'USAGE', []],
    ['no resources', 'USAGE', { policy: 'policy.json' }],
    ['an empty list of resources', 'USAGE', { ...good, resources: {} }],
    ['an unknown member', 'USAGE', { ...good, polices: [] }],
    ['an unknown member of a resource', 'USAGE', { ...good, resources: { [PATH]: { keyFile: 'key.jwk', key: k } } }],
    ['a resource without a policy', 'USAGE', { resources: good.resources }],
    ['a resource without a key', 'USAGE', { ...good, resources: { [PATH]: {} } }],
    ['a name of two parts', 'USAGE', { ...good, resources: { 'a/b': { keyFile: 'key.jwk' } } }],
    ['a name with dots', 'USAGE', { ...good, resources: { 'a/../b': { keyFile: 'key.jwk' } } }],
    ['a built-in policy', 'POLICY_INVALID', { ...good, policy: 'key.jwk' }],
    ['a key that is a policy', 'USAGE', { ...good, resources: { [PATH]: { keyFile: 'policy.json' } } }],
    ['a key that is not there', 'FILE_UNREADABLE', { ...good, resources: { [PATH]: { keyFile: 'none' } } }],
    ['a token key on another curve', 'USAGE', { ...good, tokenKey: 'p384.jwk' }],
    ['an anchor that is none', 'TRUST_ANCHOR_INVALID', { ...good, trustAnchors: ['policy.json'] }],
  ])('%s', async (_what, code, config) => {
    put('p384.jwk', p384);
    const error: unknown = await readBrokerConfig(put('bad.json', config)).catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code });
    expect((error as Error).message).not.toContain(k);
  });
});
