import path from 'node:path';
import { EXIT } from '../exit.ts';
import { say } from '../io.ts';
import { type ServiceOptions, startService, untilReady } from '../service.ts';

const PARENT_POLL_MS = 1000;
const READY_WITHIN_MS = 120_000;

/** Runs until SIGTERM or SIGINT, or until the process that started it ends. */
export async function serve(options: ServiceOptions & { readonly surviveParent: boolean }): Promise<number> {
  const ended = untilAsked(options.surviveParent);
  say(`veritee: starting (platform ${options.platform}, data ${path.resolve(options.data)}) …`);
  const service = await startService({ ...options, onRestart: (reason) => say(`veritee: ${reason}`) });
  if (service.warning) say(`\n${service.warning}\n`);
  if (options.allowPlaintext)
    say('veritee: requests in the clear are accepted (--allow-plaintext): this host can read them.');
  void untilReady(service.url, READY_WITHIN_MS).then((ready) => {
    if (ready)
      say(`veritee: ready at ${service.url}\n  roots of the simulated platform: ${path.resolve(options.data)}/*.pem`);
    else say(`veritee: listening at ${service.url}, but not ready; see ${service.url}/readyz`);
  });
  say(`veritee: ${await ended}; stopping …`);
  await service.stop();
  return EXIT.done;
}

function untilAsked(surviveParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
    if (surviveParent) return;
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent) resolve('the process that started this one ended');
    }, PARENT_POLL_MS).unref();
  });
}
