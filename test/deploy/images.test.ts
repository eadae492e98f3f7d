import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';

// The images themselves take minutes and an image builder: docs/platforms.md says what `deploy/build-images.sh` gave.

const folder = mkdtempSync(path.join(tmpdir(), 'veritee-images-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const deploy = (name: string): string => path.join(ROOT, 'deploy', name);

test('without an image builder it says so loudly, and does not claim success', () => {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  for (const name of ['bash', 'dirname']) {
    const program = ['/usr/bin', '/bin'].map((place) => path.join(place, name)).find((file) => existsSync(file));
    symlinkSync(program as string, path.join(bin, name));
  }
  const { status, stdout, stderr } = spawnSync(deploy('build-images.sh'), [], { encoding: 'utf8', env: { PATH: bin } });
  expect([status, stdout]).toEqual([77, '']);
  expect(stderr).toContain('buildah is not here: the images are NOT BUILT');
});

test('sources are what git knows of, with their modes, and nothing that was built', () => {
  const out = path.join(folder, 'sources');
  execFileSync(deploy('sources.sh'), [out]);
  expect(readFileSync(path.join(out, 'Dockerfile'))).toEqual(readFileSync(path.join(ROOT, 'Dockerfile')));
  expect(statSync(path.join(out, 'deploy/image.sh')).mode & 0o111).not.toBe(0);
  for (const absent of ['node_modules', '.git', 'enclave/dist', 'host/dist'])
    expect(existsSync(path.join(out, absent)), absent).toBe(false);
});
