import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CodedError, isCode } from '@veritee/protocol';

interface Ready {
  readonly type: 'ready';
  readonly address?: unknown;
  readonly boot?: string;
  readonly warning?: string | null;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;
const EXIT_REFUSED = 2;

/** A room's process entry: main.js beside its built door. */
export const processEntry = (room: string): string =>
  fileURLToPath(new URL('./main.js', import.meta.resolve(`@veritee/${room}`)));

/**
 * A child process that is started again when it dies. It ends when this process does: the IPC channel closes, whatever
 * the cause.
 */
export class SupervisedChild {
  readonly name: string;
  readonly #entry: string;
  readonly #args: () => readonly string[];
  readonly #onReady: (message: Ready) => void;
  readonly #onRestart: (reason: string) => void;
  #child: ChildProcess | null = null;
  #stopping = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    name: string,
    args: () => readonly string[],
    hooks: { readonly onReady?: (message: Ready) => void; readonly onRestart?: (reason: string) => void } = {},
  ) {
    this.name = name;
    this.#entry = processEntry(name);
    this.#args = args;
    this.#onReady = hooks.onReady ?? (() => undefined);
    this.#onRestart = hooks.onRestart ?? (() => undefined);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves at the first readiness. @throws CodedError what the child refused to start for */
  start(): Promise<Ready> {
    return new Promise((resolve, reject) => this.#spawn(resolve, reject));
  }

  #spawn(onFirst?: (message: Ready) => void, onRefused?: (error: Error) => void): void {
    const child = fork(this.#entry, [...this.#args()], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    let ready = false;
    let refused: CodedError | null = null;
    child.on('message', (raw) => {
      const message = raw as Ready | { type: 'error'; code: string; message: string };
      if (message.type === 'ready') {
        ready = true;
        this.#failures = 0;
        onFirst?.(message);
        this.#onReady(message);
      } else if (message.type === 'error') {
        refused = new CodedError(isCode(message.code) ? message.code : 'INTERNAL', message.message);
      }
    });
    child.once('error', (error) => onRefused?.(error));
    child.once('exit', (code, signal) => {
      this.#child = null;
      if (this.#stopping) return;
      if (onRefused && !ready) {
        onRefused(refused ?? new CodedError('INTERNAL', `${this.name} ended before it was ready (${signal ?? code})`));
        return;
      }
      if (!ready) this.#failures += 1;
      const delay = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
      const why = code === EXIT_REFUSED && refused ? refused.code : (signal ?? `status ${code}`);
      this.#onRestart(`${this.name} ended (${why}); starting it again in ${delay} ms`);
      this.#timer = setTimeout(() => this.#spawn(), delay);
    });
  }

  /** Asks it to finish, then insists. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), withinMs);
    await ended;
    clearTimeout(insist);
  }
}
