import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LAUNCHER, type Served, serve, temporaryFolder, useReadyMadeChip, veritee } from '../support/cli.ts';
import { ask } from '../support/load.ts';
import { ROOT } from '../support/shared.ts';

const { folder, remove } = temporaryFolder();
let served: Served;

beforeAll(async () => {
  served = await serve(path.join(folder, 'data'), ['--allow-plaintext', '--log-level', 'error']);
});
afterAll(async () => {
  expect(await served?.stop()).toBe(0);
  remove();
});

function dataFolder(name: string): string {
  const data = path.join(folder, name);
  useReadyMadeChip(data);
  return data;
}

/** Processes whose command line names this text. */
function processesNaming(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(text) ? [line] : [];
      } catch {
        return []; // it has just ended
      }
    });
}

const KEY = 'simulated-snp.key';
const ROOT_CERTIFICATE = 'simulated-snp-ark.pem';

describe.concurrent('a service that cannot start says why, exits 2, and leaves nothing running', () => {
  test.each<[string, (data: string) => readonly string[], string]>([
    ['the port is taken', () => ['--listen', new URL(served.url).host], 'PORT_IN_USE'],
    ['an address that is not this machine', () => ['--listen', '203.0.113.7:8080'], 'LISTEN_FAILED'],
    ['no address', () => ['--listen', 'nonsense'], 'USAGE'],
    ['no source of endorsements', () => ['--endorsements', 'nonsense'], 'USAGE'],
    ['the data folder is in use', () => ['--data', served.data], 'DATA_FOLDER_IN_USE'],
    ['the data folder is a file', (data) => ['--data', path.join(data, KEY)], 'DATA_FOLDER_UNUSABLE'],
    [
      'the simulated keys are damaged',
      (data) => {
        const file = path.join(data, KEY);
        writeFileSync(file, readFileSync(file, 'utf8').replace(/[A-Za-z](?=[A-Za-z0-9+/]{40})/, '='));
        return [];
      },
      'DATA_FOLDER_UNUSABLE',
    ],
    [
      'the simulated keys are gone and their root is not',
      (data) => {
        rmSync(path.join(data, KEY));
        return [];
      },
      'DATA_FOLDER_UNUSABLE',
    ],
    [
      'the database is none',
      (data) => {
        writeFileSync(path.join(data, 'host.sqlite'), 'not a database, but long enough to be read as one'.repeat(99));
        return [];
      },
      'DATA_FOLDER_UNUSABLE',
    ],
    ['no model repository', () => ['--models', path.join(folder, 'nothing')], 'MODEL_REPOSITORY_INVALID'],
    ['an unknown platform', () => ['--platform', 'sgx'], 'USAGE'],
    ['an unknown setting', () => ['--host-option', 'speed=high'], 'USAGE'],
    ['a setting out of its range', () => ['--enclave-option', 'workers=0'], 'USAGE'],
    ['a setting without a value', () => ['--enclave-option', 'workers'], 'USAGE'],
  ])('%s', async (what, args, code) => {
    const data = dataFolder(what.replaceAll(' ', '-'));
    const ran = await veritee(['serve', '--listen', '127.0.0.1:0', '--data', data, ...args(data)]);
    expect(ran.stderr).toContain(`veritee: ${code}: `);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
    expect(ran.stderr).not.toMatch(/PRIVATE KEY|"key"/);
    expect(processesNaming(data)).toEqual([]);
  });

  test('a data folder that this user may not write', async ({ skip }) => {
    // root may write anywhere, so it tries as nobody.
    const as = { encoding: 'utf8', ...(process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}) } as const;
    if (spawnSync(process.execPath, [LAUNCHER, '--version'], as).status !== 0) {
      console.warn('\n!!! nobody cannot read this checkout: the unwritable data folder is NOT TESTED !!!\n');
      skip();
    }
    const data = dataFolder('not-ours');
    chmodSync(folder, 0o755);
    chmodSync(data, 0o555);
    const ran = spawnSync(process.execPath, [LAUNCHER, 'serve', '--listen', '127.0.0.1:0', '--data', data], as);
    expect(ran.stderr).toContain('veritee: DATA_FOLDER_UNUSABLE: ');
    expect(ran.status).toBe(2);
  });
});

test('a second enclave on the folder of a running one is refused', () => {
  const socket = `unix:${path.join(served.data, 'enclave.sock')}`;
  const main = path.join(ROOT, 'enclave/dist/main.js');
  const models = path.join(ROOT, 'enclave/sample-models');
  const args = ['--data', served.data, '--models', models, '--listen', socket, '--log-level', 'error'];
  const second = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  expect(second.stderr).toContain('DATA_FOLDER_IN_USE');
  expect(second.status).toBe(2);
});

test('none of this disturbed the service that runs', async () => {
  expect(await ask(served.url)).not.toBeNull();
  expect(readdirSync(served.data).filter((name) => name.endsWith('.pem'))).toEqual([ROOT_CERTIFICATE]);
});

test('its files are for its owner alone, but for the root that others are to trust', () => {
  const modeOf = (name: string) => (statSync(path.join(served.data, name)).mode & 0o777).toString(8);
  expect(modeOf('.')).toBe('700');
  const names = readdirSync(served.data);
  expect(names).toEqual(expect.arrayContaining([KEY, ROOT_CERTIFICATE, 'enclave.sock', 'host.lock', 'host.sqlite']));
  for (const name of names) expect([name, modeOf(name)]).toEqual([name, name === ROOT_CERTIFICATE ? '644' : '600']);
});
