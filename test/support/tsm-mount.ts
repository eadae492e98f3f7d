import { type ChildProcess, fork } from 'node:child_process';
import { accessSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import type { FromFuse, FuseFault, FuseOptions, ToFuse } from './tsm-fuse.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Compiled programs of this process; here they find koffi and other packages. */
export const PROGRAMS = path.join(root, `node_modules/.cache/veritee-test/${process.pid}`);

/** A program of ours as one file. Whoever calls it removes `PROGRAMS` in the end. */
export function bundleProgram(entry: string, name: string): string {
  mkdirSync(PROGRAMS, { recursive: true });
  const outfile = path.join(PROGRAMS, `${name}.mjs`);
  buildSync({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    packages: 'external',
    alias: { '@veritee/protocol': './protocol/index.ts' },
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
  return outfile;
}

/** The file system of `tsm-fuse.ts`, mounted. */
export class TsmMount {
  readonly folder: string;
  readonly #home: string;
  readonly #child: ChildProcess;
  /** VCEK and ASK, DER. */
  readonly chain: readonly Uint8Array[];
  /** Of the AMD-SP and of the NSM, PEM. */
  readonly roots: readonly string[];

  private constructor(home: string, folder: string, child: ChildProcess, ready: FromFuse & { kind: 'ready' }) {
    this.#home = home;
    this.folder = folder;
    this.#child = child;
    this.chain = ready.chain.map((text) => new Uint8Array(Buffer.from(text, 'base64')));
    this.roots = ready.roots;
  }

  /** Why it cannot be mounted here; null when it can be tried. */
  static missing(): string | null {
    if (process.platform !== 'linux') return 'not Linux';
    if (process.getuid?.() !== 0) return 'mounting needs root';
    try {
      accessSync('/dev/fuse');
      return null;
    } catch {
      return 'no /dev/fuse';
    }
  }

  /** @throws Error where the kernel refuses to mount */
  static async mount(options: Partial<FuseOptions> = {}): Promise<TsmMount> {
    const home = mkdtempSync(path.join(tmpdir(), 'veritee-tsm-'));
    const folder = path.join(home, 'mount');
    mkdirSync(folder);
    const keys = options.keys ?? path.join(home, 'keys');
    mkdirSync(keys, { recursive: true });
    const program = bundleProgram('test/support/tsm-fuse.ts', 'tsm-fuse');
    const whole: FuseOptions = { certificates: 'pem', ...options, mountPoint: folder, keys };
    const child = fork(program, [JSON.stringify(whole)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const message = await reply(child);
    if (message.kind === 'ready') return new TsmMount(home, folder, child, message);
    child.disconnect();
    rmSync(home, { recursive: true, force: true });
    throw new Error(message.kind === 'unavailable' ? message.reason : 'an answer out of turn');
  }

  async fault(fault: FuseFault): Promise<void> {
    const armed = reply(this.#child);
    this.#child.send({ kind: 'fault', fault } satisfies ToFuse);
    await armed;
  }

  /** Ends the stalls of `held` faults. */
  release(): void {
    this.#child.send({ kind: 'release' } satisfies ToFuse);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    await ended;
    rmSync(this.#home, { recursive: true, force: true });
  }
}

function reply(child: ChildProcess): Promise<FromFuse> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the file system's process ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message as FromFuse);
    });
  });
}
