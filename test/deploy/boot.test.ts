import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { draftPolicyFor, type Served, veritee } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';
import { accelerator, boot, freePort, guestKernel, havePrograms, script } from './support.ts';

const READY_MS = 150_000; // software emulation on a busy machine
const kernel = await guestKernel();

/** The enclave that runs in the guest, in the log's own words. */
const STARTED = /"msg":"enclave started"/;

describe.skipIf(kernel === null)('the bootable guest', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-boot-'));
  const chip = process.env['VERITEE_TEST_CHIP'] as string;
  const image = path.join(folder, 'image');
  let accel: 'kvm' | 'tcg';

  beforeAll(async () => {
    await script('snp/build-image.sh', [
      ...['--out', image, '--flavour', 'simulated', '--platform', chip, '--kernel', kernel as string],
    ]);
    accel = await accelerator(image, path.join(folder, 'probe.log'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('boots, answers an inference whose receipt verifies outside, and stops in order', {
    timeout: 300_000,
  }, async () => {
    const port = await freePort();
    const monitor = path.join(folder, 'monitor.sock');
    const start = performance.now();
    const guest = boot(
      ['--image', image, '--simulate', '--accel', accel, '--port', String(port), '--monitor', monitor],
      path.join(folder, 'boot.log'),
    );
    onTestFinished(() => guest.kill());
    await guest.until(STARTED, READY_MS);
    const startedMs = performance.now() - start;

    const data = path.join(folder, 'host');
    mkdirSync(data);
    const host = fork(
      path.join(ROOT, 'host/dist/main.js'),
      ['--listen', '127.0.0.1:0', '--data', data, '--enclave', `tcp:127.0.0.1:${port}`],
      { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    );
    const hostEnded = once(host, 'exit');
    onTestFinished(async () => {
      host.kill('SIGKILL');
      await hostEnded;
    });
    const ready = once(host, 'message') as Promise<[{ address: string }]>;
    const [{ address: url }] = await Promise.race([
      ready,
      hostEnded.then(([status]) => Promise.reject(new Error(`the host ended with ${status}`))),
    ]);
    const deadline = Date.now() + READY_MS;
    while ((await fetch(`${url}/readyz`)).status !== 200) {
      if (Date.now() > deadline) throw new Error(await (await fetch(`${url}/readyz`)).text());
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const readyMs = performance.now() - start;

    // The root lies outside as well: the platform was made before the image.
    const root = readdirSync(chip).find((name) => name.endsWith('.pem')) as string;
    writeFileSync(path.join(data, root), readFileSync(path.join(chip, root)));
    const policy = await draftPolicyFor({ url, data } as Served);
    const input = path.join(folder, 'input.json');
    const readings = { name: 'readings', datatype: 'FP32', shape: [1, 7], data: [30, 60, 2, 750, 415, 1, 0] };
    writeFileSync(input, JSON.stringify({ inputs: [readings] }));
    const receipt = path.join(folder, 'answer.veritee');
    const asked = performance.now();
    const inferred = await veritee(
      [
        ...['infer', '--url', url, '--model', 'heat-stress', '--input', input, '--policy', policy],
        ...['--wait-for', 'hardware', '--receipt-out', receipt, '--json'],
      ],
      { timeoutMs: READY_MS },
    );
    expect(inferred.status, inferred.stderr).toBe(0);
    const inferredMs = performance.now() - asked;
    const verified = await veritee(['verify', receipt, '--policy', policy, '--json']);
    expect(verified.status, verified.stdout).toBe(0);
    expect(JSON.parse(verified.stdout)).toMatchObject({
      verdict: 'affirming',
      strength: 'hardware-committed',
      platform: 'simulated-snp',
    });
    expect(guest.log()).toContain('SIMULATED PLATFORM');

    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${guest.pid}/status`, 'utf8'))?.[1];
    console.log(
      `boot (${accel}): enclave started after ${Math.round(startedMs)} ms, /readyz after ${Math.round(readyMs)} ms, ` +
        `verified inference in ${Math.round(inferredMs)} ms; QEMU peak ${Math.round(Number(peak) / 1024)} MiB, ` +
        `initrd ${Math.round(statSync(path.join(image, 'initrd')).size / 2 ** 20)} MiB`,
    );

    const control = connect(monitor);
    await once(control, 'connect');
    control.write('sendkey ctrl-alt-delete\n');
    expect(await guest.ended).toBe(0);
    control.destroy();
    expect(guest.log()).toContain('init: the service ended with 0');
  });

  test('a release guest refuses to run where there is no SEV-SNP', { timeout: 200_000 }, async () => {
    const release = path.join(folder, 'release');
    await script('snp/build-image.sh', ['--out', release, '--kernel', kernel as string]);
    expect(readFileSync(path.join(release, 'cmdline'), 'utf8')).not.toContain('console=');
    const port = String(await freePort());
    const guest = boot(
      ['--image', release, '--simulate', '--accel', accel, '--port', port],
      path.join(folder, 'release.log'),
    );
    onTestFinished(() => guest.kill());
    expect(await guest.ended).toBe(0); // powered off
    expect(guest.log().trim()).toBe('init: module /lib/modules/sev_guest.ko: No such device');
  });

  describe.skipIf(!havePrograms(['veritysetup', 'mksquashfs'], 'the guest with models on dm-verity is'))(
    'models on dm-verity',
    () => {
      const verity = path.join(folder, 'verity');
      beforeAll(async () => {
        await script('snp/build-image.sh', [
          ...['--out', verity, '--flavour', 'simulated', '--platform', chip, '--kernel', kernel as string, '--verity'],
        ]);
      });
      const bootVerity = async (log: string) => {
        const port = String(await freePort());
        const guest = boot(['--image', verity, '--simulate', '--accel', accel, '--port', port], path.join(folder, log));
        onTestFinished(() => guest.kill());
        return { guest, port };
      };

      test('are served when the disk is the one on the command line', { timeout: 200_000 }, async () => {
        const { guest, port } = await bootVerity('verity.log');
        await guest.until(STARTED, READY_MS);
        expect(guest.log()).not.toContain('model not ready');
        const status = await (await fetch(`http://127.0.0.1:${port}/link/status`)).json();
        expect(status).toMatchObject({ models: [{ name: 'heat-stress', version: '1', code: null }] });
      });

      test('are not when one bit of it differs', { timeout: 200_000 }, async () => {
        const file = path.join(verity, 'models.img');
        const bytes = readFileSync(file);
        const disk = openSync(file, 'r+');
        // Within the first block: the file system's own head.
        writeSync(disk, Buffer.from([(bytes[40] as number) ^ 1]), 0, 1, 40);
        const { guest } = await bootVerity('tampered.log');
        expect(await guest.ended).toBe(0);
        expect(guest.log()).toMatch(/init: mount \/models: /);
        expect(guest.log()).not.toMatch(STARTED);
      });
    },
  );
});
