import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT } from './shared.ts';

export const LAUNCHER = path.join(ROOT, 'cli/bin/veritee.js');

export interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `veritee …` to its end. */
export function veritee(args: readonly string[], options: { cwd?: string; timeoutMs?: number } = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      cwd: options.cwd ?? ROOT,
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

export function temporaryFolder(): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-test-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export interface Served {
  readonly url: string;
  readonly data: string;
  readonly pid: number;
  readonly log: () => string;
  /** Pids of the enclave and host processes, by their entry file; Linux only. */
  readonly children: () => { enclave: number | undefined; host: number | undefined };
  /** SIGTERM, then its exit status. */
  stop(): Promise<number | null>;
}

/**
 * A new data folder with the ready-made simulated chip: making RSA-4096 roots takes seconds, so the tests share one,
 * made once by the global set-up. A folder that exists is left as it is.
 */
export function useReadyMadeChip(data: string): void {
  const made = process.env['VERITEE_TEST_CHIP'];
  if (made === undefined || existsSync(data)) return;
  mkdirSync(data, { recursive: true, mode: 0o700 });
  cpSync(made, data, { recursive: true });
}

/** Starts `veritee serve` on a free port and waits until it is ready. */
export async function serve(data: string, args: readonly string[] = [], readyWithinMs = 60_000): Promise<Served> {
  useReadyMadeChip(data);
  const child: ChildProcess = spawn(
    process.execPath,
    [LAUNCHER, 'serve', '--data', data, '--listen', '127.0.0.1:0', ...args],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', (status) => resolve(status)));
  const deadline = Date.now() + readyWithinMs;
  let url: string | undefined;
  while (url === undefined) {
    url = /ready at (http:\/\/\S+)/.exec(log)?.[1];
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}:\n${log}`);
    if (Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`serve was not ready:\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const pid = child.pid as number;
  return {
    url,
    data,
    pid,
    log: () => log,
    children: () => childrenOf(pid),
    stop: async () => {
      child.kill('SIGTERM');
      const insist = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const status = await exited;
      clearTimeout(insist);
      return status;
    },
  };
}

function childrenOf(pid: number): { enclave: number | undefined; host: number | undefined } {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
  const find = (room: string) =>
    pids.find((child) => {
      try {
        return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(`${room}/dist/main.js`);
      } catch {
        return false; // it has just ended
      }
    });
  return { enclave: find('enclave'), host: find('host') };
}

/** The policy that `veritee policy init` drafts for a running service, written beside its data. */
export async function draftPolicyFor(
  served: Served,
  platform: 'simulated-snp' | 'simulated-nitro' = 'simulated-snp',
): Promise<string> {
  const { writeFileSync, readdirSync } = await import('node:fs');
  // A data folder may have been served by both platforms.
  const root = readdirSync(served.data).find(
    (name) => name.startsWith(`${platform}-`) && name.endsWith('.pem'),
  ) as string;
  const attestation = path.join(served.data, 'test-attestation.cbor');
  writeFileSync(attestation, new Uint8Array(await (await fetch(`${served.url}/attestation`)).arrayBuffer()));
  const drafted = await veritee(['policy', 'init', attestation, '--trust-anchor', path.join(served.data, root)]);
  if (drafted.status !== 0) throw new Error(`policy init: ${drafted.stderr}`);
  const policy = path.join(served.data, 'test-policy.json');
  writeFileSync(policy, drafted.stdout);
  return policy;
}
