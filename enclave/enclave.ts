import { chmod, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { CodedError, encodeEndEntry, encodeModelEntry, ServiceError } from '@veritee/protocol';
import type { Logger } from 'pino';
import type { Attester } from './attester/attester.ts';
import { Challenges } from './challenges.ts';
import { Engine } from './engine/engine.ts';
import { Inference } from './inference.ts';
import type { KeyProvider } from './keys/provider.ts';
import { retryKeys } from './keys/retry.ts';
import { EnclaveLog } from './log.ts';
import { type LoadedModel, loadRepository } from './models/repository.ts';
import { Outbox } from './outbox.ts';
import { type Launch, measureModels } from './platform-measurement/launch.ts';
import { behindSelfCheck } from './platform-measurement/self-check.ts';
import { monotonicClock } from './sealing/clock.ts';
import { SealingKeys } from './sealing/keys.ts';
import { createEnclaveServer } from './server.ts';
import { startSession } from './session.ts';
import type { EnclaveSettings, ListenAddress } from './settings.ts';
import { Ticker } from './ticker.ts';

/** How long the host may take to store the last entries and the last report. */
const DRAIN_WITHIN_MS = 5_000;

export interface RunningEnclave {
  readonly boot: string;
  readonly address: ListenAddress;
  /** Finishes what is in hand, states the end, takes a last report and waits for the host to have it all. */
  stop(): Promise<void>;
}

/** Brings one boot to life: session key, models, log, ticks, door. */
export async function startEnclave(
  settings: EnclaveSettings,
  attester: Attester,
  logger: Logger,
  modelKeys: KeyProvider | null = null,
  launch: Launch | null = null,
): Promise<RunningEnclave> {
  const now = Date.now;
  const engine = await Engine.start({ ...settings.engine, onEvent: (event) => logger.warn(event, 'engine') });
  const repository = await loadRepository(settings.models, engine, {
    keys: modelKeys,
    onProgress: (text) => logger.info(text),
  });
  for (const warning of repository.warnings) logger.warn(warning, 'model repository');
  for (const { name, version, error } of repository.list()) {
    if (error)
      logger.error(
        { model: name, version, code: error.code, field: error.field, reason: error.message },
        'model not ready',
      );
  }
  if (launch)
    await measureModels(
      launch,
      repository.ready().map(({ digest }) => digest),
    );
  const session = startSession(settings.runtime, now, await launch?.platform.random());
  const outbox = new Outbox(settings.backlog);
  const log = new EnclaveLog(session, outbox);
  const keys = new SealingKeys(
    { log, outbox, clock: monotonicClock, now, onEntered: () => ticker.poke(), logger },
    settings.sealing,
  );
  const challenges = new Challenges(log, now);
  const checked = launch?.builds
    ? behindSelfCheck(attester, { platform: launch.platform, builds: launch.builds, now })
    : attester;
  const ticker = new Ticker({ session, log, outbox, challenges, keys, attester: checked, logger });
  await keys.start();
  const enter = ({ name, version, digest, files }: LoadedModel): void => {
    const model = { name, version, digest };
    log.append('model', (sequence) =>
      encodeModelEntry({ sequence, issuedAt: Math.floor(now() / 1000), event: 'loaded', model, files }),
    );
  };
  for (const model of repository.ready()) enter(model);
  const inference = new Inference(
    { session, log, outbox, ticker, repository, engine, logger, now },
    settings.inference,
  );
  const server = createEnclaveServer({
    inference,
    outbox,
    challenges,
    endorsements: launch?.platform.endorsements ?? null,
    keys,
    maxBodyBytes: settings.inference.maxBodyBytes,
    allowPlaintext: settings.allowPlaintext,
    onChallenge: () => ticker.poke(),
    onEndorsed: () => ticker.retry(),
    hello: () => ({ boot: session.boot, acknowledged: outbox.acknowledged, warning: attester.warning }),
    status: () => ({
      boot: session.boot,
      platform: attester.platform,
      warning: attester.warning,
      size: log.size,
      committed: ticker.committed,
      evidenceAgeMs: ticker.evidenceAgeMs,
      tickError: ticker.error,
      sealingError: keys.refusal()?.code ?? null,
      models: repository.list().map(({ name, version, error }) => ({ name, version, code: error?.code ?? null })),
    }),
    logger,
  });
  const address = await listen(server, settings.listen);
  ticker.poke();
  const stopAsking = retryKeys(
    repository,
    (model) => {
      enter(model);
      ticker.poke();
      logger.info({ model: model.name, version: model.version }, 'model ready');
    },
    logger,
  );
  logger.info({ boot: session.boot, platform: attester.platform, address }, 'enclave started');
  return { boot: session.boot, address, stop };

  async function stop(): Promise<void> {
    stopAsking();
    inference.stop();
    const deadline = performance.now() + settings.stopWithinMs;
    while (inference.inFlight > 0 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 10));
    challenges.close(keys.inForce);
    keys.stop();
    log.append('end', (sequence) =>
      encodeEndEntry({ sequence, issuedAt: Math.floor(now() / 1000), reason: 'stopped' }),
    );
    await ticker.stop();
    challenges.abandon(new ServiceError('ENCLAVE_STOPPING', 'the enclave is stopping'));
    const drained = await outbox.drained(DRAIN_WITHIN_MS); // counted anew: a slow platform must not cost the last report
    if (!drained)
      logger.warn({ records: outbox.next - outbox.acknowledged }, 'stopped before the host stored everything');
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await engine.close();
  }
}

/** Something else answers on the socket: another enclave of this data folder is alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function listen(server: Server, wanted: ListenAddress): Promise<ListenAddress> {
  if ('path' in wanted) {
    if (await answers(wanted.path)) {
      throw new ServiceError('DATA_FOLDER_IN_USE', 'another enclave runs on this data folder', { field: 'data' });
    }
    // What a killed enclave left behind refuses connections and would block the address.
    await unlink(wanted.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT')
        throw new ServiceError('DATA_FOLDER_UNUSABLE', `socket: ${error.code}`, { field: 'data', cause: error });
    });
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'PORT_IN_USE' : 'LISTEN_FAILED';
      reject(new ServiceError(code, `enclave link: ${error.code}`, { field: 'listen', cause: error }));
    });
    server.listen('path' in wanted ? { path: wanted.path } : wanted, resolve);
  });
  if ('path' in wanted) {
    await chmod(wanted.path, 0o600);
    return wanted;
  }
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new CodedError('LISTEN_FAILED', 'no address');
  return { host: bound.address, port: bound.port };
}
