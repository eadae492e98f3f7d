import { parseArgs } from 'node:util';
import { CodedError } from '@veritee/protocol';
import pino from 'pino';
import { type Host, startHost } from './host.ts';
import {
  type HostLimits,
  type HostSettings,
  parseEnclaveAddress,
  parseEndorsementSource,
  parseLimit,
  parseListen,
} from './settings.ts';
import { openThreadedStore } from './store/threaded.ts';

const EXIT_REFUSED = 2;
const EXIT_DEFECT = 70;

const HELP = `Options of the host process:
  --listen HOST:PORT       port 0 takes a free one
  --data DIR               data folder, held by one process at a time
  --enclave ADDRESS        unix:/path or tcp:HOST:PORT
  --allow-plaintext        relay /v2 in the clear, if the enclave takes it
  --endorsements SOURCE    certificates that an SEV-SNP enclave lacks: amd (default, for real chips), a mirror's URL, off
  --max-request-bytes N    longest request body (default 64 MiB)
  --max-in-flight N        requests in hand at once (default 256)
  --request-timeout-ms N   longest time for one request (default 60000)
  --challenge-timeout-ms N longest wait for an attestation with a nonce (default 70000)
  --max-database-bytes N   the database never grows beyond this (default: no limit)
  --drain-timeout-ms N     longest time to finish requests when stopping (default 4000)
  --log-level L            debug | info | warn | error (default info)`;

const LIMITS: Readonly<Record<string, keyof HostLimits>> = {
  'max-request-bytes': 'maxRequestBytes',
  'max-in-flight': 'maxInFlight',
  'request-timeout-ms': 'requestTimeoutMs',
  'challenge-timeout-ms': 'challengeTimeoutMs',
  'max-database-bytes': 'maxDatabaseBytes',
  'drain-timeout-ms': 'drainTimeoutMs',
};
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'];

interface Arguments {
  readonly settings: HostSettings;
  readonly logLevel: string;
}

/** @throws CodedError USAGE */
function parseArguments(args: readonly string[]): Arguments {
  const text = { type: 'string' } as const;
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        listen: text,
        data: text,
        enclave: text,
        'allow-plaintext': { type: 'boolean' },
        endorsements: text,
        'log-level': text,
        ...Object.fromEntries(Object.keys(LIMITS).map((name) => [name, text])),
      },
    }));
  } catch (cause) {
    throw new CodedError('USAGE', (cause as Error).message, { cause });
  }
  const given = (name: string): string => {
    const value = values[name];
    if (typeof value === 'string' && value !== '') return value;
    throw new CodedError('USAGE', `--${name}: want a value`, { field: `--${name}` });
  };
  const limits: Partial<Record<keyof HostLimits, number>> = {};
  for (const [name, limit] of Object.entries(LIMITS)) {
    if (values[name] !== undefined) limits[limit] = parseLimit(given(name), `--${name}`);
  }
  const logLevel = values['log-level'] === undefined ? 'info' : given('log-level');
  if (!LOG_LEVELS.includes(logLevel)) {
    throw new CodedError('USAGE', `--log-level: want ${LOG_LEVELS.join(', ')}`, { field: '--log-level' });
  }
  return {
    settings: {
      listen: parseListen(given('listen')),
      data: given('data'),
      enclave: parseEnclaveAddress(given('enclave')),
      allowPlaintext: values['allow-plaintext'] === true,
      ...(values['endorsements'] === undefined ? {} : { endorsements: parseEndorsementSource(given('endorsements')) }),
      limits,
    },
    logLevel,
  };
}

/** One host process. With an IPC channel it reports to its parent and ends when the parent does. */
async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const { settings, logLevel } = parseArguments(process.argv.slice(2));
  const logger = pino({ name: 'host', level: logLevel }, pino.destination({ fd: 2, sync: false }));
  const maxBytes = settings.limits?.maxDatabaseBytes ?? null;
  const store = await openThreadedStore({ folder: settings.data, maxBytes }, (reason) => {
    logger.fatal({ reason }, "the store's thread ended");
    process.exit(EXIT_DEFECT); // whoever started this process starts it again, with a store that works
  });
  const host = await startHost(settings, { logger, store });
  process.send?.({ type: 'ready', address: host.url });

  const stop = (): void => void end(host, logger);
  process.once('SIGTERM', stop);
  if (process.send) {
    // The terminal sends these to the whole group: the parent decides.
    for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => undefined);
    process.once('disconnect', stop);
  } else {
    process.once('SIGINT', stop);
  }
}

async function end(host: Host, logger: pino.Logger): Promise<void> {
  try {
    await host.close();
    process.exit(0);
  } catch (error) {
    logger.error({ err: error }, 'stop failed');
    process.exit(EXIT_DEFECT);
  }
}

main().catch((error: unknown) => {
  const coded = error instanceof CodedError;
  const report = { type: 'error', code: coded ? error.code : 'INTERNAL', message: (error as Error).message };
  process.stderr.write(`host: ${report.code}: ${report.message}\n`);
  process.exitCode = coded ? EXIT_REFUSED : EXIT_DEFECT;
  if (process.send) process.send(report, undefined, undefined, () => process.exit());
  else process.exit();
});
