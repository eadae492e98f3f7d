import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { NitroMeasurement, SnpMeasurement } from '../../enclave/attester/attester.ts';
import { readBuilds } from '../../enclave/platform-measurement/builds.ts';
import { difference } from '../../enclave/platform-measurement/compare.ts';
import { measureModels, readLaunch } from '../../enclave/platform-measurement/launch.ts';
import { behindSelfCheck } from '../../enclave/platform-measurement/self-check.ts';
import { bytes, type Code, hex, ServiceError, sha256, utf8 } from '../../protocol/index.ts';
import { FakeAttester } from './parts.ts';

const AT = new Date('2026-06-01T12:00:00Z');
const filled = <N extends number>(byte: number, n: N) => bytes(new Uint8Array(n).fill(byte), n, 'value');

const snp: SnpMeasurement = {
  platform: 'sev-snp',
  measurement: filled(1, 48),
  hostData: filled(2, 32),
  vmpl: 0,
  idKeyDigest: filled(3, 48),
  authorKeyDigest: filled(4, 48),
};
const nitro: NitroMeasurement = {
  platform: 'nitro',
  pcr0: filled(1, 48),
  pcr1: filled(2, 48),
  pcr2: filled(3, 48),
  pcr8: filled(0, 48),
};

const snpBuild = {
  name: 'acme 1.0',
  measurement: hex(snp.measurement),
  hostData: hex(snp.hostData),
  vmpl: 0,
  idKeyDigest: hex(snp.idKeyDigest),
  authorKeyDigest: hex(snp.authorKeyDigest),
};
const nitroBuild = {
  name: 'acme 1.0',
  ...Object.fromEntries((['pcr0', 'pcr1', 'pcr2', 'pcr8'] as const).map((name) => [name, hex(nitro[name])])),
};
const file = (values: object) =>
  utf8(
    JSON.stringify({
      ...{ profile: 'veritee/reference-values/v1', id: 'acme', sevSnp: [], nitro: [], deniedMeasurements: [] },
      ...values,
    }),
  );
const builds = (values: object) => readBuilds(file(values));

describe('the own measurement', () => {
  test.each([
    ['as the file has it', { sevSnp: [snpBuild] }],
    [
      'one of several shapes',
      { sevSnp: [{ ...snpBuild, measurement: undefined, measurements: ['ff'.repeat(48), hex(snp.measurement)] }] },
    ],
    [
      'with parts unused',
      { sevSnp: [{ ...snpBuild, hostData: 'unused', idKeyDigest: 'unused', authorKeyDigest: 'unused' }] },
    ],
    ['the second build', { sevSnp: [{ ...snpBuild, measurement: 'ff'.repeat(48) }, snpBuild] }],
    ['not expired yet', { sevSnp: [{ ...snpBuild, notAfter: '2026-06-01T12:00:00Z' }] }],
  ])('%s is known', (_, values) => {
    expect(difference(snp, builds(values), AT)).toBeNull();
  });

  test.each([
    ['MEASUREMENT', { measurement: 'ff'.repeat(48) }],
    ['HOST_DATA', { hostData: 'ff'.repeat(32) }],
    ['VMPL', { vmpl: 1 }],
    ['ID_KEY_DIGEST', { idKeyDigest: 'ff'.repeat(48) }],
    ['AUTHOR_KEY_DIGEST', { authorKeyDigest: 'ff'.repeat(48) }],
    ['expired', { notAfter: '2026-06-01T11:59:59Z' }],
  ])('another %s is named, with both values', (field, change) => {
    const found = difference(snp, builds({ sevSnp: [{ ...snpBuild, ...change }] }), AT);
    expect(found).toMatch(new RegExp(`^not "acme 1.0": ${field}[^;]*$`));
  });

  test.each(['pcr0', 'pcr1', 'pcr2', 'pcr8'] as const)('another %s is named', (name) => {
    expect(difference(nitro, builds({ nitro: [nitroBuild] }), AT)).toBeNull();
    const found = difference(nitro, builds({ nitro: [{ ...nitroBuild, [name]: 'ff'.repeat(48) }] }), AT);
    expect(found).toBe(`not "acme 1.0": ${name.toUpperCase()} is ${hex(nitro[name])}, the file has ${'ff'.repeat(48)}`);
    expect(difference(nitro, builds({ nitro: [{ ...nitroBuild, [name]: 'unused' }] }), AT)).toBeNull();
  });

  test('of two builds the closer is named; a denied one and none at all are refused', () => {
    const far = { ...snpBuild, name: 'far', measurement: 'ff'.repeat(48), hostData: 'ff'.repeat(32) };
    const near = { ...snpBuild, name: 'near', vmpl: 3 };
    expect(difference(snp, builds({ sevSnp: [far, near] }), AT)).toMatch(/^not "near": VMPL is 0, the file has 3$/);
    const denied = { sevSnp: [snpBuild], deniedMeasurements: [hex(snp.measurement)] };
    expect(difference(snp, builds(denied), AT)).toContain('deniedMeasurements');
    expect(difference(nitro, builds({ sevSnp: [snpBuild] }), AT)).toContain('no build of this platform');
  });
});

describe('a reference file', () => {
  const broken: readonly (readonly [string, unknown])[] = [
    ['sevSnp[0].measurement', { sevSnp: [{ ...snpBuild, measurement: 'ab' }] }],
    ['sevSnp[0].vmpl', { sevSnp: [{ ...snpBuild, vmpl: 4 }] }],
    ['sevSnp[0].hostData', { sevSnp: [{ ...snpBuild, hostData: undefined }] }],
    ['sevSnp[0].name', { sevSnp: [{ ...snpBuild, name: '' }] }],
    ['sevSnp[0].notAfter', { sevSnp: [{ ...snpBuild, notAfter: 'soon' }] }],
    ['sevSnp', { sevSnp: {} }],
    ['sevSnp[0].name', { sevSnp: [7] }],
    ['nitro[0].pcr8', { nitro: [{ ...nitroBuild, pcr8: 8 }] }],
    ['deniedMeasurements[0]', { deniedMeasurements: ['x'] }],
    ['profile', { profile: 'veritee/reference-values/v2' }],
  ];
  test.each(broken)('with a bad %s is refused at that place', (place, values) => {
    const refusal = { code: 'REFERENCE_VALUES_INVALID' as Code };
    try {
      builds(values as object);
    } catch (error) {
      expect(error).toMatchObject(refusal);
      expect((error as { field: string }).field.startsWith(`referenceValues.${place.split('.')[0]}`)).toBe(true);
      return;
    }
    throw new Error('accepted');
  });

  test('that is no JSON, names a member twice or is cut short is refused', () => {
    const good = file({ sevSnp: [snpBuild], nitro: [nitroBuild] });
    readBuilds(good);
    const refused = (content: Uint8Array) =>
      expect(() => readBuilds(content)).toThrow(expect.objectContaining({ code: 'REFERENCE_VALUES_INVALID' }));
    for (let length = 0; length < good.length; length += 7) refused(good.subarray(0, length));
    refused(utf8('{"profile": "veritee/reference-values/v1", "profile": "veritee/reference-values/v1"}'));
    refused(utf8('null'));
  });

  describe('on disk', () => {
    const home = mkdtempSync(path.join(tmpdir(), 'veritee-launch-'));
    afterAll(() => rmSync(home, { recursive: true }));
    const platform = { measurement: async () => snp } as never;
    const read = (name: string | null) =>
      readLaunch({ measureModels: false, referenceValues: name === null ? null : path.join(home, name) }, platform);

    test('is read once, bounded; none checks nothing', async () => {
      expect((await read(null)).builds).toBeNull();
      writeFileSync(path.join(home, 'good'), file({ sevSnp: [snpBuild] }));
      expect((await read('good')).builds?.sevSnp.length).toBe(1);
      await expect(read('none')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
      writeFileSync(path.join(home, 'large'), ' '.repeat((1 << 20) + 1));
      await expect(read('large')).rejects.toMatchObject({ code: 'REFERENCE_VALUES_INVALID' });
    });
  });
});

describe('the self-check', () => {
  const data = filled(7, 64);
  const now = () => AT.getTime();

  test('asks once, then lets every report through', async () => {
    let asked = 0;
    const platform = {
      measurement: async () => {
        asked += 1;
        return snp;
      },
    };
    const checked = behindSelfCheck(new FakeAttester(), { builds: builds({ sevSnp: [snpBuild] }), platform, now });
    for (let i = 0; i < 3; i++)
      expect((await checked.attest(data, filled(1, 32))).report).toEqual(new Uint8Array(data));
    expect(asked).toBe(1);
  });

  test('a platform that is busy is asked again; a measurement that differs is refused for good, and no report asked for', async () => {
    const attester = new FakeAttester();
    const answers = [new ServiceError('PLATFORM_BUSY', 'busy'), { ...snp, vmpl: 2 }, snp];
    const platform = {
      measurement: async () => {
        const next = answers.shift();
        if (next instanceof Error) throw next;
        return next as SnpMeasurement;
      },
    };
    const checked = behindSelfCheck(attester, { builds: builds({ sevSnp: [snpBuild] }), platform, now });
    const seen: unknown[] = [];
    for (let i = 0; i < 4; i++)
      seen.push(await checked.attest(data, filled(1, 32)).catch(({ code }: ServiceError) => code));
    expect(seen).toEqual(['PLATFORM_BUSY', ...Array(3).fill('PLATFORM_MEASUREMENT_DIFFERS')]);
    expect(attester.asked).toEqual([]);
  });
});

describe('measuring the models', () => {
  const run = async (codes: readonly Code[]) => {
    let asked = 0;
    const left = [...codes];
    const platform = {
      measureModels: async () => {
        asked += 1;
        const code = left.shift();
        if (code) throw new ServiceError(code, 'no');
      },
    } as never;
    const launch = { platform, measureModels: true, builds: null };
    const result = await measureModels(launch, [sha256(utf8('a'))], 1).then(
      () => 'measured',
      ({ code }: ServiceError) => code,
    );
    return [result, asked];
  };

  test('waits for a busy platform, not for ever, and not for one that measured others', async () => {
    expect(await run([])).toEqual(['measured', 1]);
    expect(await run(['PLATFORM_BUSY', 'PLATFORM_TIMEOUT'])).toEqual(['measured', 3]);
    expect(await run(Array(9).fill('PLATFORM_BUSY'))).toEqual(['PLATFORM_BUSY', 5]);
    expect(await run(['PLATFORM_MODELS_DIFFER'])).toEqual(['PLATFORM_MODELS_DIFFER', 1]);
    expect(await run(['PLATFORM_UNAVAILABLE'])).toEqual(['PLATFORM_UNAVAILABLE', 1]);
  });
});
