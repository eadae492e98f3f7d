import { describe, expect, test } from 'vitest';
import { OneAtATime } from '../../enclave/attester/one-at-a-time.ts';
import { keyProvider } from '../../enclave/keys/choose.ts';
import { parseKeySettings } from '../../enclave/keys/settings.ts';

const parse = (given: Record<string, string>, platform = 'simulated-nitro') =>
  parseKeySettings((option) => given[option], platform);

describe('where keys come from', () => {
  test('nowhere, a broker, or KMS', () => {
    expect(parse({})).toBeNull();
    expect(parse({ 'key-broker': 'https://broker.test:8090' }, 'simulated-snp')).toMatchObject({ kind: 'broker' });
    const settings = parse({ kms: 'eu-central-1', 'kms-key': 'arn:aws:kms:x' });
    expect(settings).toMatchObject({ kind: 'kms', kms: { region: 'eu-central-1', keyId: 'arn:aws:kms:x' } });
    expect(settings?.kind === 'kms' && settings.kms.endpoint.href).toBe('https://kms.eu-central-1.amazonaws.com/');
    expect(parse({ kms: 'eu-central-1', 'kms-endpoint': 'http://127.0.0.1:8000' })).toMatchObject({ kind: 'kms' });
  });

  test.each<[string, Record<string, string>, string?]>([
    ['both', { 'key-broker': 'https://a', kms: 'eu-central-1' }],
    ['a broker that is no URL', { 'key-broker': 'broker:8090x' }],
    ['a broker by another protocol', { 'key-broker': 'ftp://broker' }],
    ['a broker with credentials', { 'key-broker': 'https://a:b@broker' }],
    ['a broker with a query', { 'key-broker': 'https://broker/?a' }],
    ['a region that is none', { kms: 'https://evil' }],
    ['an endpoint without KMS', { 'kms-endpoint': 'https://kms' }],
    ['KMS without TLS', { kms: 'eu-central-1', 'kms-endpoint': 'http://kms.eu-central-1.amazonaws.com' }],
    ['KMS at a name like a loopback one', { kms: 'eu-central-1', 'kms-endpoint': 'http://127.0.0.1.evil.test' }],
    ['a key without KMS', { 'kms-key': 'a' }],
    ['KMS on SEV-SNP', { kms: 'eu-central-1' }, 'simulated-snp'],
  ])('not %s', (_what, given, platform) => {
    expect(() => parse(given, platform)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('KMS needs credentials, and a message about them names none', async () => {
    const settings = parse({ kms: 'eu-central-1' });
    const nitro = { format: 'nitro-attestation-document', attestToKms: () => undefined } as never;
    const environment = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE' };
    await expect(keyProvider(settings, nitro, 'models', environment)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.not.stringContaining('AKIDEXAMPLE'),
    });
    const all = { ...environment, AWS_SECRET_ACCESS_KEY: 's' };
    expect(await keyProvider(settings, nitro, 'models', all)).not.toBeNull();
    const snp = { format: 'sev-snp-report' } as never;
    await expect(keyProvider(settings, snp, 'models', all)).rejects.toMatchObject({ code: 'PLATFORM_UNAVAILABLE' });
    expect(await keyProvider(null, snp, 'models', {})).toBeNull();
  });
});

describe('one device', () => {
  test('serves those who ask in turn, one at a time, whatever becomes of each', async () => {
    const queue = new OneAtATime();
    const events: string[] = [];
    const work = (name: string, fails = false) =>
      queue.run(async () => {
        events.push(`${name} begins`);
        await new Promise((resolve) => setTimeout(resolve, 5));
        events.push(`${name} ends`);
        if (fails) throw new Error(name);
        return name;
      });
    const [a, b, c] = await Promise.allSettled([work('a'), work('b', true), work('c')]);
    expect([a.status, b.status, c.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(events).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  });
});
