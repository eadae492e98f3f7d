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
  readonly #onRestart: (reason: string) => void;
  #child: ChildProcess | null = null;
  #stopping = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(name: string, args: () => readonly string[], onRestart: (reason: string) => void) {
    this.name = name;
    this.#entry = processEntry(name);
    this.#args = args;
    this.#onRestart = onRestart;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves at the first readiness. @throws CodedError what the child refused to start for */
  start(): Promise<Ready> {
    if (this.#stopping) return Promise.reject(new CodedError('ENCLAVE_STOPPING', `${this.name}: asked to stop`));
    return new Promise((resolve, reject) => this.#spawn({ resolve, reject }));
  }

  #spawn(first?: { readonly resolve: (message: Ready) => void; readonly reject: (error: Error) => void }): void {
    const child = fork(this.#entry, [...this.#args()], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    let ready = false;
    let refused: CodedError | null = null;
    child.on('message', (raw) => {
      const message = raw as Ready | { type: 'error'; code: string; message: string };
      if (message.type === 'ready') {
        ready = true;
        this.#failures = 0;
        first?.resolve(message);
      } else if (message.type === 'error') {
        refused = new CodedError(isCode(message.code) ? message.code : 'INTERNAL', message.message);
      }
    });
    let over = false;
    const ended = (why: string): void => {
      if (over) return;
      over = true;
      this.#child = null;
      if (first && !ready) {
        first.reject(refused ?? new CodedError('INTERNAL', `${this.name} ended before it was ready (${why})`));
      } else if (!this.#stopping) this.#restart(ready, refused?.code ?? why);
    };
    child.on('error', (error) => {
      if (child.pid === undefined) ended(error.message); // no process came of it
    });
    child.once('exit', (code, signal) => {
      const why = signal ?? `status ${code}`;
      // Its last words may still be in the channel.
      if (child.connected) child.once('disconnect', () => ended(why));
      else ended(why);
    });
  }

  #restart(wasReady: boolean, why: string): void {
    if (!wasReady) this.#failures += 1;
    const delay = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    this.#onRestart(`${this.name} ended (${why}); starting it again in ${delay} ms`);
    this.#timer = setTimeout(() => this.#spawn(), delay);
  }

  /** Asks it to finish, then insists. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), withinMs);
    await ended;
    clearTimeout(insist);
  }
}
