import { Broker, type BrokerEvent } from '@veritee/client';
import { readBrokerConfig } from '../broker-config.ts';
import { EXIT } from '../exit.ts';
import { say } from '../io.ts';
import { isLoopback, readListen, serveWeb } from '../web-server.ts';
import { untilAsked } from './serve.ts';

/** The longest is a few hundred kilobytes; who sends it in drops holds memory meanwhile. */
const REQUEST_TIMEOUT_MS = 15_000;

export interface BrokerCommandOptions {
  readonly config: string;
  readonly listen: string;
  readonly issuer?: string;
}

/** Runs until SIGTERM, SIGINT or SIGHUP, or until the process that started it ends. */
export async function broker(options: BrokerCommandOptions): Promise<number> {
  const listen = readListen(options.listen);
  const config = await readBrokerConfig(options.config);
  const keyBroker = new Broker({ ...config, issuer: options.issuer ?? 'veritee-broker', onEvent: tell });
  const server = await serveWeb((request) => keyBroker.handle(request), listen, REQUEST_TIMEOUT_MS);
  if (!isLoopback(listen)) {
    say(
      `!! ${server.url} is reached by other machines without TLS. Keys are encrypted to attested enclaves only, but\n` +
        '!! nobody can tell this broker from a false one, and evidence is readable: put it behind TLS.',
    );
  }
  say(`veritee: key broker ready at ${server.url}, ${config.resources.size} resources`);
  const reason = await untilAsked(false);
  say(`veritee: ${reason}; stopping …`);
  await server.close();
  for (const { key } of config.resources.values()) key.fill(0);
  return EXIT.done;
}

/** Codes and the broker's own names only: the rest of a request is the caller's. */
function tell({ event, code, findings, resource, defect }: BrokerEvent): void {
  const why = findings.map((finding) => `${finding.code} (${finding.claim}, policy ${finding.policy})`);
  say(['veritee: broker:', event, code, defect, resource, why.join(', ')].filter(Boolean).join(' '));
}
