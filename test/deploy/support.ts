import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../support/shared.ts';

const run = promisify(execFile);

/** True when all these programs are here; else a loud word about what is therefore not tested. */
export function havePrograms(names: readonly string[], tested: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin');
  const missing = names.filter((name) => !folders.some((folder) => existsSync(path.join(folder, name))));
  if (missing.length === 0) return true;
  console.warn(`\n!!! ${missing.join(', ')} not here: ${tested} NOT TESTED !!!\n`);
  return false;
}

/** Runs a script of deploy/ to its end; its output is in the error when it fails. */
export async function script(name: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const file = path.join(ROOT, 'deploy', name);
  const [program, first] = name.endsWith('.mjs') ? [process.execPath, [file]] : [file, []];
  const { stdout } = await run(program, [...first, ...args], {
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, ...env },
    maxBuffer: 1 << 26,
  });
  return stdout;
}

/** The guest's kernel package, fetched once; null, with a loud word, where the guest cannot be built or booted. */
export async function guestKernel(): Promise<string | null> {
  const tools = ['qemu-system-x86_64', 'gcc', 'xz', 'zstd', 'dpkg-deb', 'curl'];
  if (!havePrograms(tools, 'the bootable guest is')) return null;
  try {
    const given = process.env['VERITEE_KERNEL_DEB'];
    return given ?? (await script('snp/fetch-kernel.sh', [path.join(tmpdir(), 'veritee-kernel')])).trim();
  } catch (error) {
    console.warn(`\n!!! no guest kernel, so the bootable guest is NOT TESTED: ${(error as Error).message} !!!\n`);
    return null;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Guest {
  readonly pid: number;
  readonly log: () => string;
  readonly ended: Promise<number | null>;
  readonly stderr: () => string;
  /** Resolves when the log has it; rejects when the guest ends first or the time is up. */
  until(pattern: RegExp, withinMs: number): Promise<void>;
  kill(): Promise<void>;
}

/** Boots an image with launch.sh, whose process becomes QEMU. */
export function boot(args: readonly string[], log: string): Guest {
  // Whatever ends this test ends the guest.
  const child: ChildProcess = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', path.join(ROOT, 'deploy/snp/launch.sh'), ...args, '--log', log],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)));
  const read = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  return {
    pid: child.pid as number,
    log: read,
    ended,
    stderr: () => stderr,
    until: async (pattern, withinMs) => {
      const deadline = Date.now() + withinMs;
      while (!pattern.test(read())) {
        const over = child.exitCode !== null || child.signalCode !== null;
        if (over || Date.now() > deadline || stderr.includes('internal error')) {
          child.kill('SIGKILL');
          throw new Error(
            `no ${pattern} from the guest (${over ? 'it ended' : 'time is up'}):\n${stderr.slice(0, 500)}\n${read()}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Some machines offer a /dev/kvm that cannot run a whole kernel: one short boot tells. */
export async function accelerator(image: string, log: string): Promise<'kvm' | 'tcg'> {
  if (!existsSync('/dev/kvm')) return 'tcg';
  const guest = boot(['--image', image, '--simulate', '--accel', 'kvm', '--port', String(await freePort())], log);
  try {
    await guest.until(/Run \/init|"name":"enclave"/, 20_000);
    return 'kvm';
  } catch {
    console.warn('\n!!! /dev/kvm is here but does not run this kernel: software emulation instead, much slower !!!\n');
    return 'tcg';
  } finally {
    await guest.kill();
  }
}
