import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { FRAME, FrameReader, type LinkStatus } from '../../protocol/link.ts';
import { PROGRAMS } from './tsm-mount.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

let built: string | undefined;

/** The enclave process, compiled from the sources under test; without the simulated platforms. */
function program(): string {
  if (built) return built;
  const folder = path.join(PROGRAMS, 'enclave');
  mkdirSync(folder, { recursive: true });
  buildSync({
    absWorkingDir: root,
    entryPoints: { main: 'enclave/main.ts', worker: 'enclave/engine/worker.ts' },
    outdir: folder,
    bundle: true,
    packages: 'external',
    alias: { '@veritee/protocol': './protocol/index.ts' },
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
  built = path.join(folder, 'main.js');
  return built;
}

/** `enclave/main.ts` as a process, over TCP, as on a real platform. */
export class RealEnclave {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #log: { text: string };

  private constructor(child: ChildProcess, url: string, log: { text: string }) {
    this.#child = child;
    this.url = url;
    this.#log = log;
  }

  /** @throws Error with the enclave's own code and words when it refuses to start */
  static start(args: readonly string[]): Promise<RealEnclave> {
    const child = fork(program(), ['--listen', 'tcp:127.0.0.1:0', ...args], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    const log = { text: '' };
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log.text += text;
    });
    return new Promise((resolve, reject) => {
      child.once('exit', (status) => reject(new Error(`exit ${status}: ${log.text}`)));
      child.once('message', (message: { type: string; address?: { port: number } }) => {
        if (message.type === 'ready') {
          resolve(new RealEnclave(child, `http://127.0.0.1:${message.address?.port}`, log));
        }
      });
    });
  }

  get log(): string {
    return this.#log.text;
  }

  async status(): Promise<LinkStatus> {
    return (await fetch(`${this.url}/link/status`)).json() as Promise<LinkStatus>;
  }

  async until(holds: (status: LinkStatus) => boolean, what: string, withinMs = 30_000): Promise<LinkStatus> {
    for (const deadline = Date.now() + withinMs; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const status = await this.status();
      if (holds(status)) return status;
      if (Date.now() > deadline) throw new Error(`never: ${what}: ${JSON.stringify(status)}\n${this.log}`);
    }
  }

  /** Every entry and the last evidence so far. */
  async records(): Promise<{ readonly entries: readonly Uint8Array[]; readonly evidence: Uint8Array | undefined }> {
    const gone = new AbortController();
    const reader = new FrameReader();
    const entries: Uint8Array[] = [];
    let evidence: Uint8Array | undefined;
    const { committed } = await this.status();
    const { body } = await fetch(`${this.url}/link/records?from=0`, { signal: gone.signal });
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      for (const frame of reader.push(chunk)) {
        if (frame.type === FRAME.entry) entries.push(frame.body);
        if (frame.type === FRAME.evidence) evidence = frame.body;
      }
      if (entries.length >= committed && evidence) break;
    }
    gone.abort();
    return { entries, evidence };
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}
