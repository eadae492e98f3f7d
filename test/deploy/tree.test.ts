import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SIMULATED_NITRO_WARNING, SIMULATED_WARNING } from '../../attestation-fixtures/index.ts';
import { ROOT } from '../support/shared.ts';
import { script } from './support.ts';

const TARGETS = ['enclave-snp', 'enclave-nitro', 'host'] as const;
const ENCLAVES = ['enclave-snp', 'enclave-nitro'] as const;

const folder = mkdtempSync(path.join(tmpdir(), 'veritee-tree-'));
const tree = (target: string) => path.join(folder, target);
const listing = (target: string) => readFileSync(path.join(folder, `${target}.list`), 'utf8');
const paths = (target: string) =>
  listing(target)
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ')[2] as string);

/** Node of the tree, with the libraries of the tree and no others. */
const runInTree = (target: string, args: readonly string[]): string =>
  execFileSync(
    path.join(tree(target), 'lib64/ld-linux-x86-64.so.2'),
    [
      ...['--inhibit-cache', '--library-path', path.join(tree(target), 'usr/lib/x86_64-linux-gnu')],
      ...[path.join(tree(target), 'usr/bin/node'), ...args],
    ],
    { encoding: 'utf8', env: {}, cwd: tree(target) },
  );

beforeAll(async () => {
  for (const target of TARGETS)
    await script('tree.mjs', [
      '--target',
      target,
      '--out',
      tree(target),
      '--list',
      path.join(folder, `${target}.list`),
    ]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(TARGETS)('the tree of %s', (target) => {
  test('is plain files with fixed modes and one time', () => {
    for (const name of readdirSync(tree(target), { recursive: true }) as string[]) {
      const stat = statSync(path.join(tree(target), name));
      expect(stat.isFile() || stat.isDirectory(), name).toBe(true);
      expect(stat.mtimeMs, name).toBe(0);
      expect(stat.mode & 0o7777, name).toBe(stat.isDirectory() || /^(usr\/bin\/|lib64\/)/.test(name) ? 0o755 : 0o644);
    }
  });

  test('has no shell, no package manager, no source map, no sources, no tests', () => {
    const programs = paths(target).filter((name) => /(^|\/)s?bin\//.test(name) && !name.startsWith('app/'));
    expect(programs).toEqual(['usr/bin/node']);
    const unwanted = /\.(map|ts|sh|md|cc?|h|py)$|(^|\/)(npm|npx|corepack|test|tests)(\/|$)/;
    expect(paths(target).filter((name) => unwanted.test(name) && !/licen[cs]e/i.test(name))).toEqual([]);
  });

  test('has run-time dependencies only, in the versions of the lock file', () => {
    const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
    const manifests = paths(target).filter((name) =>
      /^app\/(.*\/)?node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(name),
    );
    expect(manifests.length).toBeGreaterThan(10);
    for (const name of manifests) {
      const key = path
        .dirname(name)
        .replace(/^app\//, '')
        .replace(/^node_modules\/@veritee\/([^/]+)/, '$1');
      const { version } = JSON.parse(readFileSync(path.join(tree(target), name), 'utf8'));
      expect(lock.packages[key], key).toMatchObject({ version });
      expect(lock.packages[key].dev, key).toBeUndefined();
    }
    for (const name of Object.keys(lock.packages[''].devDependencies)) {
      const { dev } = lock.packages[`node_modules/${name}`];
      if (dev)
        expect(
          paths(target).some((one) => one.startsWith(`app/node_modules/${name}/`)),
          name,
        ).toBe(false);
    }
  });

  test('holds every package that its code names', () => {
    const room = target === 'host' ? 'host' : 'enclave';
    const main = path.join(tree(target), `app/${room}/dist/main.js`);
    const absent =
      target === 'host' ? [] : ['@veritee/attestation-fixtures', ...(target === 'enclave-snp' ? ['koffi'] : [])];
    const named = ['main.js', 'worker.js'].flatMap((process) => {
      const code = readFileSync(path.join(path.dirname(main), process), 'utf8');
      const names = code.matchAll(/(?:from|import\(|import|require\d*\() ?"((?!node:)[@a-z][^"]*)"/g);
      return [...names].map(([, name]) => name as string);
    });
    expect(named.length).toBeGreaterThan(3);
    const look = `const { resolve } = require('node:module').createRequire(${JSON.stringify(main)});
      const missing = (name) => { try { resolve(name); } catch ({ code }) { return code === 'MODULE_NOT_FOUND'; } };
      console.log(JSON.stringify(${JSON.stringify([...new Set(named)])}.filter(missing)));`;
    const missing = JSON.parse(runInTree(target, ['-e', look])) as string[];
    expect(missing.filter((name) => !absent.includes(name))).toEqual([]);
  });

  test('starts on its own Node and libraries alone', () => {
    const room = target === 'host' ? 'host' : 'enclave';
    const help = runInTree(target, [path.join(tree(target), `app/${room}/dist/main.js`), '--help']);
    expect(help).toContain('--listen');
  });
});

describe.each(ENCLAVES)('an enclave (%s)', (target) => {
  test('contains no simulated platform', () => {
    expect(paths(target).filter((name) => name.includes('attestation-fixtures'))).toEqual([]);
    const markers = [SIMULATED_WARNING, SIMULATED_NITRO_WARNING].map((text) => text.split('\n')[0] as string);
    for (const name of paths(target)) {
      const bytes = readFileSync(path.join(tree(target), name));
      for (const marker of [...markers, 'VERITEE SIMULATED PLATFORM'])
        expect(bytes.includes(marker), `${name}: ${marker}`).toBe(false);
    }
  });

  const others = target === 'enclave-snp' ? ['simulated-snp', 'simulated-nitro', 'nitro'] : ['simulated-snp', 'snp'];
  test.each(others)('refuses to be a %s', (platform) => {
    const main = path.join(tree(target), 'app/enclave/dist/main.js');
    const data = platform.startsWith('simulated') ? ['--data', path.join(folder, 'keys')] : [];
    if (platform === 'snp') data.push('--tsm-folder', path.join(folder, 'nowhere'));
    const args = ['--platform', platform, ...data, '--models', '/', '--listen', 'unix:/x'];
    const refused = (() => {
      try {
        return runInTree(target, [main, ...args]);
      } catch (error) {
        const { status, stderr } = error as { status: number; stderr: string };
        return { status, stderr };
      }
    })();
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('PLATFORM_UNAVAILABLE') });
  });

  test('has one onnxruntime, for the processor only, and it runs', () => {
    const runtimes = paths(target).filter((name) => /onnxruntime.*\.(node|dll|dylib|so[.\d]*)$/.test(name));
    expect(runtimes.map((name) => path.basename(name)).sort()).toEqual([
      'libonnxruntime.so.1',
      'onnxruntime_binding.node',
    ]);
    expect(runtimes.every((name) => name.includes('/linux/x64/'))).toBe(true);
    const code = "console.log(require('onnxruntime-node').listSupportedBackends().map(({name}) => name).join())";
    const file = path.join(tree(target), 'app/enclave/package.json');
    const backends = runInTree(target, [
      '-e',
      `require = require('node:module').createRequire(${JSON.stringify(file)}); ${code}`,
    ]);
    expect(backends).toContain('cpu');
  });

  test('has no web server and no database', () => {
    expect(paths(target).filter((name) => /node_modules\/(express|better-sqlite3|pg)\//.test(name))).toEqual([]);
  });
});

test('only the Nitro enclave can make native calls', () => {
  const foreign = (target: string) => paths(target).filter((name) => /koffi.*\.node$/.test(name));
  expect(foreign('enclave-snp')).toEqual([]);
  expect(foreign('host')).toEqual([]);
  expect(foreign('enclave-nitro')).toHaveLength(1);
});

test('the host has a database library that loads', () => {
  const file = path.join(tree('host'), 'app/host/package.json');
  const code = `const r = require('node:module').createRequire(${JSON.stringify(file)}); new (r('better-sqlite3'))(':memory:').close(); console.log('ok')`;
  expect(runInTree('host', ['-e', code])).toBe('ok\n');
});

test('two runs give one tree', async () => {
  const again = path.join(folder, 'again');
  await script('tree.mjs', ['--target', 'enclave-snp', '--out', again, '--list', `${again}.list`]);
  expect(readFileSync(`${again}.list`, 'utf8')).toBe(listing('enclave-snp'));
});

test('refuses a folder whose packages are not those of the lock file', async () => {
  const refused = script('tree.mjs', [
    '--target',
    'enclave-snp',
    '--out',
    path.join(folder, 'none'),
    '--from',
    path.join(ROOT, 'docs'),
  ]);
  await expect(refused).rejects.toThrow(/ENOENT/);
});
