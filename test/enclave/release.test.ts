import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';
import { PROGRAMS } from '../support/tsm-mount.ts';

const main = path.join(PROGRAMS, 'release/main.js');

/** As a release image has it: the package of the simulated platforms is not there. */
beforeAll(() => {
  mkdirSync(path.dirname(main), { recursive: true });
  buildSync({
    absWorkingDir: ROOT,
    entryPoints: { main: 'enclave/main.ts' },
    outdir: path.dirname(main),
    bundle: true,
    packages: 'external',
    alias: {
      '@veritee/protocol': './protocol/index.ts',
      '@veritee/attestation-fixtures': '@veritee/not-in-a-release-image',
      koffi: '@veritee/broken-library',
    },
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
});
afterAll(() => rmSync(PROGRAMS, { recursive: true, force: true }));

const start = (...args: string[]) =>
  spawnSync(process.execPath, [main, '--models', '/', '--listen', 'unix:/x', ...args], { encoding: 'utf8' });

test.each(['simulated-snp', 'simulated-nitro'])('a release enclave refuses to be a %s', (platform) => {
  const { status, stderr } = start('--platform', platform, '--data', path.join(PROGRAMS, 'keys'));
  expect([status, stderr]).toEqual([2, expect.stringContaining('enclave: PLATFORM_UNAVAILABLE: ')]);
});

test('the thread of /dev/nsm that dies at the start ends the process with a code', () => {
  const { status, stderr } = start('--platform', 'nitro');
  expect([status, stderr]).toEqual([2, expect.stringContaining('enclave: PLATFORM_FAILED: ')]);
});

test('a data folder that cannot be made is a refusal too', () => {
  const { status, stderr } = start('--platform', 'simulated-snp', '--data', path.join(main, 'below-a-file'));
  expect([status, stderr]).toEqual([2, expect.stringContaining('enclave: DATA_FOLDER_UNUSABLE: ')]);
});
