import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CodedError } from '@veritee/protocol';
import { SupervisedChild } from './child.ts';

const MAX_SOCKET_PATH = 100; // sun_path holds 107 bytes
const FOLDER_CLOSED_TO_OTHERS = 0o040000; // S_IFDIR, and no bit of group or others
/** Requests in hand, a report that the platform holds back, the last report, and its storing. */
const ENCLAVE_STOP_MS = 40_000;
const HOST_STOP_MS = 5_000;

export interface ServiceOptions {
  readonly models?: string;
  readonly platform: string;
  readonly listen: string;
  readonly data: string;
  readonly allowPlaintext: boolean;
  /** As the host reads it: amd, off, or a mirror. */
  readonly endorsements?: string;
  readonly logLevel: string;
  /** `name=value` settings handed to the processes. */
  readonly enclaveOption: readonly string[];
  readonly hostOption: readonly string[];
  readonly onRestart: (reason: string) => void;
}

export interface LocalService {
  readonly url: string;
  readonly warning: string | null;
  readonly pids: () => { readonly enclave: number | undefined; readonly host: number | undefined };
  stop(): Promise<void>;
}

/** The bundled sample model's repository. */
export const sampleModels = (): string =>
  fileURLToPath(new URL('../sample-models', import.meta.resolve('@veritee/enclave')));

/** Beside the data; or, where that path is too long for a socket, in a folder that nobody else can enter. */
async function socketPath(data: string): Promise<string> {
  const inside = path.join(data, 'enclave.sock');
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside;
  const folder = path.join(tmpdir(), `veritee-${createHash('sha256').update(data).digest('hex').slice(0, 24)}`);
  await makePrivate(folder);
  const { uid, mode } = await lstat(folder);
  // Anyone can make names in a temporary folder: this one has to be ours.
  if (uid !== process.getuid?.() || (mode & 0o170077) !== FOLDER_CLOSED_TO_OTHERS)
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${folder}: not a folder of this user alone`, { field: 'data' });
  return path.join(folder, 'enclave.sock');
}

async function makePrivate(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${folder}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
      field: 'data',
    });
  }
}

const settings = (pairs: readonly string[], flag: string): string[] =>
  pairs.flatMap((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new CodedError('USAGE', `--${flag}: want name=value`, { field: flag });
    return [`--${pair.slice(0, at)}`, pair.slice(at + 1)];
  });

/**
 * Starts a host and an enclave as two processes over a loopback link, and keeps them running.
 * @param cancel ends a start that is under way
 * @throws CodedError what a process refused to start for, or ENCLAVE_STOPPING when cancelled
 */
export async function startService(options: ServiceOptions, cancel?: AbortSignal): Promise<LocalService> {
  const data = path.resolve(options.data);
  await makePrivate(data);
  const socket = `unix:${await socketPath(data)}`;
  const enclave = new SupervisedChild(
    'enclave',
    () => [
      ...['--platform', options.platform, '--data', data, '--models', path.resolve(options.models ?? sampleModels())],
      ...['--listen', socket, '--log-level', options.logLevel],
      ...(options.allowPlaintext ? ['--allow-plaintext'] : []),
      ...settings(options.enclaveOption, 'enclave-option'),
    ],
    options.onRestart,
  );
  let listen = options.listen;
  const host = new SupervisedChild(
    'host',
    () => [
      ...['--listen', listen, '--data', data, '--enclave', socket, '--log-level', options.logLevel],
      ...(options.allowPlaintext ? ['--allow-plaintext'] : []),
      ...(options.endorsements === undefined ? [] : ['--endorsements', options.endorsements]),
      ...settings(options.hostOption, 'host-option'),
    ],
    options.onRestart,
  );
  const stopNow = () => Promise.all([enclave.stop(1000), host.stop(1000)]);
  const cancelled = () => void stopNow();
  cancel?.addEventListener('abort', cancelled);
  try {
    const hosted = await host.start();
    listen = addressText(hosted.address); // a free port stays the same one when the host is started again
    const attester = await enclave.start();
    return {
      url: `http://${listen}`,
      warning: attester.warning ?? null,
      pids: () => ({ enclave: enclave.pid, host: host.pid }),
      stop: async () => {
        await enclave.stop(ENCLAVE_STOP_MS);
        await host.stop(HOST_STOP_MS);
      },
    };
  } catch (error) {
    await stopNow();
    if (cancel?.aborted) throw new CodedError('ENCLAVE_STOPPING', 'asked to stop while starting', { cause: error });
    throw error;
  } finally {
    cancel?.removeEventListener('abort', cancelled);
  }
}

function addressText(address: unknown): string {
  if (typeof address === 'string') return address.replace(/^https?:\/\//, '');
  const { host, port } = address as { host: string; port: number };
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Resolves true once the service says it is ready, false when the time is up or nobody waits any more. */
export async function untilReady(url: string, withinMs: number, cancel?: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline && !cancel?.aborted) {
    const response = await fetch(`${url}/readyz`).catch(() => null);
    await response?.arrayBuffer();
    if (response?.status === 200) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}
