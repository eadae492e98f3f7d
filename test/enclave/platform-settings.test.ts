import { describe, expect, test } from 'vitest';
import { parseSettings } from '../../enclave/settings.ts';
import { runtime } from './parts.ts';

const settings = (...args: string[]) =>
  parseSettings(['--models', 'm', '--listen', 'unix:/x', ...args], runtime, '0.0.0');

describe('settings of the platform', () => {
  test.each([
    ['snp', 2000, false],
    ['nitro', 250, true],
  ] as const)('%s needs no folder of its own and keeps its pace', (platform, minIntervalMs, measureModels) => {
    const { data, attester } = settings('--platform', platform);
    expect([data, attester]).toMatchObject([
      '',
      { minIntervalMs, measureModels, referenceValues: null, endorsements: [] },
    ]);
  });

  test('a simulated platform needs a data folder', () => {
    expect(() => settings('--platform', 'simulated-snp')).toThrow(expect.objectContaining({ field: 'data' }));
    expect(settings('--data', 'd').attester).toMatchObject({ minIntervalMs: 100, measureModels: false });
    expect(settings('--data', 'd', '--platform', 'simulated-nitro').attester.measureModels).toBe(true);
  });

  test('everything that can be said', () => {
    const given = settings(
      ...['--platform', 'snp', '--tsm-folder', '/t', '--privlevel', '2', '--svsm', '--report-interval-ms', '5'],
      ...['--endorsement', 'a.der', '--endorsement', 'b.pem', '--measure-models', 'on', '--reference-values', 'r.json'],
    );
    expect(given.attester).toEqual({
      tsmFolder: '/t',
      nsmDevice: '/dev/nsm',
      privlevel: 2,
      svsm: true,
      endorsements: ['a.der', 'b.pem'],
      minIntervalMs: 5,
      measureModels: true,
      referenceValues: 'r.json',
      simulatedHostData: null,
    });
    const simulated = settings('--data', 'd', '--simulated-host-data', 'ab'.repeat(32));
    expect(simulated.attester.simulatedHostData).toEqual(new Uint8Array(32).fill(0xab));
  });

  test.each([
    ['platform', 'sgx'],
    ['privlevel', '4'],
    ['privlevel', '-1'],
    ['privlevel', ''],
    ['report-interval-ms', '1.5'],
    ['report-interval-ms', '9999999'],
    ['measure-models', 'yes'],
    ['simulated-host-data', 'ab'],
    ['simulated-host-data', 'zz'.repeat(32)],
  ])('--%s=%s is refused at its place', (option, value) => {
    expect(() => settings('--data', 'd', `--${option}=${value}`)).toThrow(
      expect.objectContaining({ code: 'USAGE', field: option }),
    );
  });
});
