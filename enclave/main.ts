import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { CodedError } from '@veritee/protocol';
import pino from 'pino';
import { attesterFor } from './attester/choose.ts';
import { isNsmThread, serveNsm } from './attester/nsm-thread.ts';
import { startEnclave } from './enclave.ts';
import { keyProvider } from './keys/choose.ts';
import packageJson from './package.json' with { type: 'json' };
import { readLaunch } from './platform-measurement/launch.ts';
import { HELP, parseSettings } from './settings.ts';

const EXIT_REFUSED = 2;
const EXIT_DEFECT = 70;

/** @throws CodedError DATA_FOLDER_UNUSABLE */
async function makeDataFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${folder}: ${code}`, { field: 'data', cause });
  }
}

/** One enclave process. With an IPC channel it reports to its parent and ends when the parent does. */
async function main(): Promise<void> {
  const { version } = packageJson;
  const require = createRequire(import.meta.url);
  const { version: onnxruntime } = require('onnxruntime-node/package.json') as { version: string };
  if (process.argv.includes('--help')) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const settings = parseSettings(
    process.argv.slice(2),
    { application: `veritee/${version}`, node: process.version, onnxruntime, executionProvider: 'cpu' },
    version,
  );
  const logger = pino({ name: 'enclave', level: settings.logLevel }, pino.destination({ fd: 2, sync: false }));
  if (settings.data !== '') await makeDataFolder(settings.data);
  const program = new URL('./main.js', import.meta.url);
  const attester = await attesterFor({
    platform: settings.platform,
    settings: settings.attester,
    simulated: settings.simulated,
    dataDir: settings.data,
    program,
    programFiles: [program, new URL('./worker.js', import.meta.url)],
    onEvent: (facts, text) => logger.info(facts, text),
  });
  if (attester.warning) logger.warn(attester.warning);
  const modelKeys = await keyProvider(settings.modelKeys, attester, settings.models, process.env);
  const enclave = await startEnclave(
    settings,
    attester,
    logger,
    modelKeys,
    await readLaunch(settings.attester, attester),
  );
  process.send?.({ type: 'ready', boot: enclave.boot, address: enclave.address, warning: attester.warning });

  let stopping = false;
  const stop = (reason: string) => {
    if (stopping) return;
    stopping = true;
    logger.info({ reason }, 'enclave stopping');
    enclave.stop().then(
      () => process.exit(0),
      (error: Error) => {
        logger.error({ name: error.name }, 'stop failed');
        process.exit(EXIT_DEFECT);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  // The terminal sends these to the whole group: the parent decides.
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => undefined);
  process.on('message', (message) => {
    if ((message as { type?: unknown } | null)?.type === 'stop') stop('asked');
  });
  if (process.connected) process.once('disconnect', () => process.exit(0));
}

// The thread of /dev/nsm loads this same file, so that there is one program to measure.
const run = isNsmThread() ? serveNsm : main;

run().catch((error: unknown) => {
  const coded = error instanceof CodedError;
  const report = { type: 'error', code: coded ? error.code : 'INTERNAL', message: (error as Error).message };
  process.stderr.write(`enclave: ${report.code}: ${report.message}\n`);
  process.exitCode = coded ? EXIT_REFUSED : EXIT_DEFECT;
  if (process.send) process.send(report, undefined, undefined, () => process.exit());
  else process.exit();
});
