import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';
import { accelerator, boot, guestKernel, havePrograms, script } from './support.ts';

const compiles = havePrograms(['gcc'], "the enclave's first process is");
const FLAGS = ['-std=c17', '-D_GNU_SOURCE', '-Os', '-Wall', '-Wextra', '-Werror', '-static'];
const compile = (source: string, out: string) => execFileSync('gcc', [...FLAGS, '-o', out, path.join(ROOT, source)]);

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('\n!!! not root: dropping of privileges by the first process is NOT TESTED !!!\n');

describe.skipIf(!compiles || !isRoot)('the first process, in a container', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-init-'));
  const tree = path.join(folder, 'tree');
  const PROBE = `
    import { readFileSync } from 'node:fs';
    const attempt = (action) => { try { action(); return 'done'; } catch ({ code }) { return code; } };
    console.log(JSON.stringify({
      ids: [process.getuid(), process.getgid(), process.getgroups()], environment: process.env,
      rootFile: attempt(() => readFileSync('/secret')), becomeRoot: attempt(() => process.setuid(0)),
    }));
    process.exit(7);`;

  beforeAll(async () => {
    await script('image.sh', ['enclave-nitro', tree]);
    writeFileSync(path.join(tree, 'probe.mjs'), PROBE);
    writeFileSync(path.join(tree, 'secret'), 'x', { mode: 0o600 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const run = (...lines: string[]) => {
    writeFileSync(path.join(tree, 'etc/veritee/init.conf'), `# a comment\n\n${lines.join('\n')}\n`);
    return spawnSync('/usr/sbin/chroot', [tree, '/init'], { encoding: 'utf8', timeout: 30_000 });
  };
  const PROBING = 'run /usr/bin/node /probe.mjs';

  test('starts the service as its user, without groups, environment or way back, and ends as it ends', () => {
    const { status, stdout, stderr } = run('user 65532', PROBING);
    expect(JSON.parse(stdout)).toMatchObject({
      ids: [65532, 65532, [65532]],
      environment: {},
      rootFile: 'EACCES',
      becomeRoot: 'EPERM',
    });
    expect(status).toBe(7);
    expect(stderr).toBe('init: the service ended with 7\n');
  });

  test('leaves it the one capability that is named', () => {
    const { stdout } = run('user 65532', 'capability dac_override', PROBING);
    expect(JSON.parse(stdout)).toMatchObject({ rootFile: 'done', becomeRoot: 'EPERM' });
  });

  test('ends all when a helper ends', () => {
    const { status, stderr } = run('user 65532', 'spawn /usr/bin/vsock-bridge', 'run /usr/bin/node -i');
    expect(status).toBe(1);
    expect(stderr).toContain('init: a helper ended with 2');
  });

  test.each([
    ['an unknown word', ['open sesame']],
    ['a word with too much behind it', ['user 65532 0']],
    ['no service', ['user 65532']],
    ['a second service', [PROBING, PROBING]],
    ['a capability nobody needs', ['capability sys_module', PROBING]],
    ['a helper that does not exist', ['module /nowhere.ko', PROBING]],
  ])('refuses %s', (_, lines) => {
    const { status, stderr } = run(...lines);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^init: .*(?:Invalid argument|No such file or directory)$/m);
  });
});

const kernel = compiles ? await guestKernel() : null;

describe.skipIf(kernel === null)('the vsock bridge, on a kernel with vsock', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-vsock-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('carries both directions whole, and their ends', { timeout: 120_000 }, async () => {
    const tree = path.join(folder, 'tree');
    for (const name of ['dev', 'proc', 'run', 'sys', 'etc/veritee', 'bin'])
      mkdirSync(path.join(tree, name), { recursive: true });
    compile('deploy/init/init.c', path.join(tree, 'init'));
    compile('deploy/init/vsock-bridge.c', path.join(tree, 'bin/vsock-bridge'));
    compile('test/deploy/vsock-check.c', path.join(tree, 'bin/vsock-check'));
    const packed = path.join(folder, 'kernel');
    execFileSync('dpkg-deb', ['-x', kernel as string, packed]);
    const modules = await script('snp/modules.sh', [packed, tree, 'vsock_loopback']);
    const lines = ['mounts', 'console /dev/ttyS0', ...modules.trim().split('\n'), 'seal'];
    const settings = [...lines, 'spawn /bin/vsock-bridge 9000 /run/enclave.sock', 'run /bin/vsock-check', ''].join(
      '\n',
    );
    writeFileSync(path.join(tree, 'etc/veritee/init.conf'), settings);
    for (const name of ['etc', 'etc/veritee/init.conf']) chmodSync(path.join(tree, name), 0o755);
    const image = path.join(folder, 'image');
    mkdirSync(image);
    await script('snp/cpio.mjs', [tree, path.join(image, 'initrd')]);
    const [vmlinuz] = execFileSync('find', [packed, '-name', 'vmlinuz-*'], { encoding: 'utf8' }).split('\n');
    copyFileSync(vmlinuz as string, path.join(image, 'vmlinuz'));
    writeFileSync(path.join(image, 'cmdline'), 'rdinit=/init panic=-1 console=ttyS0 loglevel=4');
    const accel = await accelerator(image, path.join(folder, 'probe.log'));
    const guest = boot(
      ['--image', image, '--simulate', '--accel', accel, '--port', '0', '--memory', '256'],
      path.join(folder, 'log'),
    );
    expect(await guest.ended, guest.stderr()).toBe(0);
    expect(guest.log()).toContain('vsock-check: two megabytes there and back');
    expect(guest.log()).toContain('init: the service ended with 0');
  });
});
