import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LAUNCHER, temporaryFolder, veritee } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);

test('the demo shows the whole path and says aloud what it does not prove', async () => {
  const kept = path.join(folder, 'kept');
  mkdirSync(kept);
  const ran = await veritee(['demo', '--keep', kept]);
  expect(ran.status, ran.stdout + ran.stderr).toBe(0);
  const lines = ran.stdout.trimEnd().split('\n');
  expect(lines.at(-1)).toBe('demo: ok');
  expect(lines.filter((line) => /^\d\. /.test(line)).map((line) => line[0])).toEqual(['1', '2', '3', '4', '5', '6']);
  expect(ran.stdout).toContain('The platform is SIMULATED');
  expect(ran.stdout).toContain('the host cannot read it');
  expect(ran.stdout).not.toContain('✗');
  expect(ran.stdout).toMatch(/byte \d+ changed: (contraindicated|unsupported), [A-Z_]+/);

  // What it kept is what anyone can check again.
  const policy = ['--policy', path.join(kept, 'policy.json')];
  expect((await veritee(['verify', path.join(kept, 'answer.veritee'), ...policy])).status).toBe(0);
  expect((await veritee(['verify', path.join(kept, 'forged.veritee'), ...policy])).status).not.toBe(0);
  for (const name of readdirSync(kept).filter((one) => one !== 'data'))
    expect([name, statSync(path.join(kept, name)).mode & 0o777]).toEqual([name, 0o600]);
});

describe('the launcher', () => {
  const version = JSON.parse(readFileSync(path.join(ROOT, 'cli/package.json'), 'utf8')).version;
  const run = (command: string, args: readonly string[], cwd = ROOT) =>
    spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 60_000 });

  test('npx veritee works from the root of the repository', () => {
    expect(run('npx', ['--no-install', 'veritee', '--version'])).toMatchObject({ status: 0, stdout: `${version}\n` });
  });

  test('it can be run by itself', () => {
    expect(statSync(LAUNCHER).mode & 0o111).toBe(0o111);
    expect(run(LAUNCHER, ['--version'])).toMatchObject({ status: 0, stdout: `${version}\n` });
  });

  test('without the build it says what to do', () => {
    const bin = path.join(folder, 'unbuilt', 'bin');
    cpSync(path.dirname(LAUNCHER), bin, { recursive: true });
    const ran = run(process.execPath, [path.join(bin, 'veritee.js'), 'verify', 'x']);
    expect(ran).toMatchObject({ status: 70, stdout: '' });
    expect(ran.stderr).toContain('npm ci');
  });

  test('a build that cannot be loaded is a defect, not a verdict', () => {
    const room = path.join(folder, 'broken');
    cpSync(path.dirname(LAUNCHER), path.join(room, 'bin'), { recursive: true });
    mkdirSync(path.join(room, 'dist'));
    writeFileSync(path.join(room, 'package.json'), '{"type":"module"}');
    writeFileSync(path.join(room, 'dist/main.js'), "import 'no-such-package';\n");
    const ran = run(process.execPath, [path.join(room, 'bin/veritee.js'), 'verify', 'x']);
    expect(ran).toMatchObject({ status: 70, stdout: '' });
    expect(ran.stderr).toContain('no-such-package');
  });
});
