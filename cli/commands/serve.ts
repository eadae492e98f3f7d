import path from 'node:path';
import { EXIT } from '../exit.ts';
import { say } from '../io.ts';
import { type LocalService, type ServiceOptions, startService, untilReady } from '../service.ts';

const PARENT_POLL_MS = 1000;
const READY_WITHIN_MS = 120_000;

export interface ServeOptions extends Omit<ServiceOptions, 'onRestart'> {
  readonly surviveParent: boolean;
}

/** Runs until SIGTERM, SIGINT or SIGHUP, or until the process that started it ends. */
export async function serve(options: ServeOptions): Promise<number> {
  const asked = new AbortController();
  const ended = untilAsked(options.surviveParent).then((reason) => {
    asked.abort();
    return reason;
  });
  say(`veritee: starting (platform ${options.platform}, data ${path.resolve(options.data)}) …`);
  const onRestart = (reason: string) => say(`veritee: ${reason}`);
  let service: LocalService;
  try {
    service = await startService({ ...options, onRestart }, asked.signal);
  } catch (error) {
    if (!asked.signal.aborted) throw error;
    say(`veritee: ${await ended}; stopped before it was ready`);
    return EXIT.done;
  }
  if (service.warning) say(`\n${service.warning}\n`);
  if (options.allowPlaintext)
    say('veritee: requests in the clear are accepted (--allow-plaintext): this host can read them.');
  const told = tellWhenReady(service, options.data, asked.signal);
  say(`veritee: ${await ended}; stopping …`);
  await Promise.all([service.stop(), told]);
  return EXIT.done;
}

async function tellWhenReady({ url, warning }: LocalService, data: string, cancel: AbortSignal): Promise<void> {
  const ready = await untilReady(url, READY_WITHIN_MS, cancel);
  if (cancel.aborted) return;
  const roots = warning === null ? '' : `\n  roots of the simulated platform: ${path.resolve(data)}/*.pem`;
  if (ready) say(`veritee: ready at ${url}${roots}`);
  else say(`veritee: listening at ${url}, but not ready; see ${url}/readyz`);
}

/** Why this process is asked to stop. */
export function untilAsked(surviveParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
    process.once('SIGHUP', () => resolve('SIGHUP'));
    if (surviveParent) return;
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent) resolve('the process that started this one ended');
    }, PARENT_POLL_MS).unref();
  });
}
