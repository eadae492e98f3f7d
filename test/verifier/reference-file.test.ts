import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { FlattenedSign, type JWK } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { SIMULATED_PCRS } from '../../attestation-fixtures/index.ts';
import {
  type AppraisalPolicy,
  type AttestationResult,
  AUTHENTICITY,
  assess,
  parsePolicy,
  policyDigest,
  type ReferenceValues,
  readReferenceFile,
  type TrustAnchor,
  withReferenceValues,
} from '../../verifier/index.ts';
import { AT, anchorsOf, MEASUREMENT, MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { anchors, make, AT as NITRO_AT } from './nitro-simulation.ts';

const OURS = Buffer.from(MEASUREMENT).toString('hex');
const OTHER = 'ab'.repeat(48);
const [build] = strictPolicy().sevSnp.referenceValues;
const own = { ...build!, name: 'acme 1.4', measurement: OURS };

const values = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  $comment: 'published by acme',
  profile: 'veritee/reference-values/v1',
  id: 'acme 2026-11',
  sevSnp: [own],
  nitro: [],
  deniedMeasurements: [],
  ...changes,
});
const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

const ALGS = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
} as const;
type Keys = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
const jwk = (key: KeyObject): JWK => key.export({ format: 'jwk' }) as JWK;

async function sign(file: Uint8Array, { privateKey }: Keys, alg = 'ES256', more: object = {}): Promise<Uint8Array> {
  const { protected: header, signature } = await new FlattenedSign(file)
    .setProtectedHeader({ alg, ...more })
    .sign(privateKey);
  return bytes(`${header}..${signature}\n`);
}

const keys = ALGS.ES256();
const refused = async (file: Uint8Array, signature: Uint8Array, key: JWK = jwk(keys.publicKey)): Promise<string> => {
  try {
    await readReferenceFile(file, signature, key);
  } catch (error) {
    expect(error).toMatchObject({ code: 'REFERENCE_VALUES_INVALID', field: expect.any(String) });
    return (error as { field: string }).field;
  }
  return 'accepted';
};

describe('a signed file', () => {
  test.each(Object.keys(ALGS) as (keyof typeof ALGS)[])('%s', async (alg) => {
    const pair: Keys = ALGS[alg]();
    const file = bytes(values({ sevSnp: [own, { ...own, notAfter: '2027-01-01T00:00:00Z' }] }));
    const read = await readReferenceFile(file, await sign(file, pair, alg), jwk(pair.publicKey));
    expect(read).toMatchObject({ id: 'acme 2026-11', deniedMeasurements: [] });
    expect(read.sevSnp.map(({ name, notAfter }) => [name, notAfter?.toISOString()])).toEqual([
      ['acme 1.4', undefined],
      ['acme 1.4', '2027-01-01T00:00:00.000Z'],
    ]);
  });

  test('is refused with any byte changed, in the file or in the signature', async () => {
    const file = bytes(values());
    const signature = await sign(file, keys);
    expect(await refused(file, signature)).toBe('accepted');
    for (let at = 0; at < file.length; at += 7) {
      const changed = new Uint8Array(file);
      changed[at]! ^= 1;
      expect(await refused(changed, signature)).toBe('signature');
    }
    // The last character of base64url has spare bits, and a line feed may stand behind it.
    for (let at = 0; at < signature.length - 2; at++) {
      const changed = new Uint8Array(signature);
      changed[at]! ^= 1;
      expect(await refused(file, changed), `byte ${at}`).toBe('signature');
    }
    expect(await refused(bytes(` ${JSON.stringify(values())}`), signature)).toBe('signature');
  });

  test('is refused under another key, another kind of key, or none', async () => {
    const file = bytes(values());
    const signature = await sign(file, keys);
    const others: readonly JWK[] = [
      jwk(ALGS.ES256().publicKey),
      jwk(ALGS.ES384().publicKey),
      jwk(ALGS.EdDSA().publicKey),
      { kty: 'oct', k: Buffer.from(randomBytes(32)).toString('base64url') },
      { kty: 'EC' },
      {} as JWK,
    ];
    for (const key of others) expect(await refused(file, signature, key)).toBe('signature');
  });

  test('is refused without a signature, with a secret’s, or with one that carries what it signs', async () => {
    const file = bytes(values());
    const attached = Buffer.from(await sign(file, keys))
      .toString()
      .replace('..', `.${Buffer.from(file).toString('base64url')}.`);
    for (const signature of ['', '..', 'eyJhbGciOiJub25lIn0..', attached]) {
      expect(await refused(file, bytes(signature))).toBe('signature');
    }
    const secret = randomBytes(32);
    const { protected: header, signature } = await new FlattenedSign(file)
      .setProtectedHeader({ alg: 'HS256' })
      .sign(secret);
    const key = { kty: 'oct', k: secret.toString('base64url') };
    expect(await refused(file, bytes(`${header}..${signature}`), key)).toBe('signature');
    expect(await refused(file, new Uint8Array([0xff, 0xfe]))).toBe('signature');
  });

  test('does not hear what its header says about keys', async () => {
    const stranger = ALGS.ES256();
    const file = bytes(values());
    const signature = await sign(file, stranger, 'ES256', { jwk: jwk(stranger.publicKey), kid: 'own' });
    expect(await refused(file, signature)).toBe('signature');
  });

  test.each<[string, unknown]>([
    ['referenceValues', 'junk'],
    ['referenceValues', []],
    ['referenceValues.profile', values({ profile: 'veritee/policy/v1' })],
    ['referenceValues.id', values({ id: '' })],
    ['referenceValues.sevSnp', values({ sevSnp: 'any-unidentified-program' })],
    ['referenceValues.sevSnp[0].measurement', values({ sevSnp: [{ ...own, measurement: 'ab' }] })],
    ['referenceValues.deniedMeasurements[0]', values({ deniedMeasurements: ['ab'] })],
    ['referenceValues.more', values({ more: 1 })],
  ])('that is none is refused at %s', async (field, value) => {
    const file = bytes(value);
    expect(await refused(file, await sign(file, keys))).toBe(field);
  });
});

describe('added to a policy', () => {
  let tick: Tick;
  let trustAnchors: TrustAnchor[];
  const read = async (changes: Record<string, unknown> = {}): Promise<ReferenceValues> => {
    const file = bytes(values(changes));
    return readReferenceFile(file, await sign(file, keys), jwk(keys.publicKey));
  };
  const judge = (policy: Parameters<typeof assess>[0]['policy']): Promise<AttestationResult> =>
    assess({ file: tick.file, policy, at: AT, trustAnchors });
  const codes = ({ findings }: AttestationResult) => findings.map(({ code }) => code);

  beforeAll(async () => {
    tick = await new MiniEnclave().tick();
    trustAnchors = await anchorsOf(tick);
  });

  test('its builds are known beside the policy’s own', async () => {
    const other = parsePolicy(strictPolicy({}, { referenceValues: [{ ...build, measurement: OTHER }] }));
    expect(codes(await judge(other))).toEqual(['MEASUREMENT_UNKNOWN']);
    const merged = withReferenceValues(other, await read());
    const result = await judge(merged);
    expect(codes(result)).toEqual([]);
    expect(result.policy).toBe('strict + acme 2026-11');
    expect(policyDigest(merged)).not.toEqual(policyDigest(other));
    const foreign = await read({ sevSnp: [{ ...own, measurement: OTHER }] });
    expect(codes(await judge(withReferenceValues(parsePolicy(strictPolicy()), foreign)))).toEqual([]);
  });

  test('a policy that asked for no build now asks for one of these', async () => {
    const known = await judge(withReferenceValues(AUTHENTICITY, await read()));
    expect(codes(known)).toEqual([]);
    expect(known.notChecked.filter((text) => text.includes('unidentified'))).toEqual([]);
    const unknown = withReferenceValues(AUTHENTICITY, await read({ sevSnp: [{ ...own, measurement: OTHER }] }));
    expect(codes(await judge(unknown))).toEqual(['MEASUREMENT_UNKNOWN']);
  });

  test('so does one for Nitro', async () => {
    const under = (policy: AppraisalPolicy): Promise<AttestationResult> =>
      assess({ file: make().document, policy, at: NITRO_AT, trustAnchors: anchors });
    const pcr0 = Buffer.from(SIMULATED_PCRS.get(0) as Uint8Array).toString('hex');
    const image = { name: 'acme', pcr0, pcr1: 'unused', pcr2: 'unused', pcr8: 'unused' };
    const known = withReferenceValues(AUTHENTICITY, await read({ nitro: [image] }));
    expect(codes(await under(known))).toEqual([]);
    const unknown = withReferenceValues(AUTHENTICITY, await read({ nitro: [{ ...image, pcr0: OTHER }] }));
    expect(codes(await under(unknown))).toEqual(['MEASUREMENT_UNKNOWN']);
    expect(codes(await judge(unknown))).toEqual([]); // the SNP half is as the file says: its own build
  });

  test('its denials hold, alone too', async () => {
    const denial = await read({ sevSnp: [], deniedMeasurements: [OURS] });
    for (const policy of [AUTHENTICITY, parsePolicy(strictPolicy())]) {
      expect(codes(await judge(withReferenceValues(policy, denial)))).toEqual(['MEASUREMENT_DENIED']);
    }
  });

  test('a platform that the policy refuses stays refused', async () => {
    const policy = parsePolicy(strictPolicy({ sevSnp: 'refuse' }));
    expect(codes(await judge(withReferenceValues(policy, await read())))).toEqual(['PLATFORM_NOT_ALLOWED']);
  });
});
