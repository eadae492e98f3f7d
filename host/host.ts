import { createServer, type Server } from 'node:http';
import { CodedError } from '@veritee/protocol';
import type { Logger } from 'pino';
import { createApp } from './app.ts';
import { EnclaveLink, type LinkTimings } from './enclave-link.ts';
import { enclavePool } from './enclave-pool.ts';
import { EndorsementFeed, type FeedOptions } from './endorsements/feed.ts';
import { HostMetrics } from './metrics.ts';
import { Relay } from './relay.ts';
import { DEFAULT_LIMITS, type HostSettings, type Listen } from './settings.ts';
import { SqliteStore } from './store/sqlite.ts';
import type { Store } from './store/store.ts';

/** Hello, records, acknowledgements, challenges and status must never wait behind relayed requests. */
const LINK_CONNECTIONS = 64;
const IDLE_POLL_MS = 50;
const DEFAULT_LINK_NAME = 'enclave';

export interface Host {
  /** Where it listens: the port that was free, when 0 was asked for. */
  readonly address: Listen;
  /** `http://HOST:PORT` */
  readonly url: string;
  /** Takes no new connection, finishes what is in hand within the drain limit, then closes link and store. */
  close(): Promise<void>;
}

/** For tests: a store opened by the caller, quicker retries, another way to the key service. */
export interface HostParts {
  readonly logger: Logger;
  readonly store?: Store;
  readonly linkTimings?: LinkTimings;
  readonly endorsements?: FeedOptions;
}

/**
 * Opens the data folder, listens, and keeps the enclave link up. The enclave need not be there yet: `/readyz` says so.
 * @throws CodedError DATA_FOLDER_IN_USE, DATA_FOLDER_UNUSABLE, STORE_NEWER, PORT_IN_USE, LISTEN_FAILED
 */
export async function startHost(settings: HostSettings, parts: HostParts): Promise<Host> {
  const { logger } = parts;
  const limits = { ...DEFAULT_LIMITS, ...settings.limits };
  const store = parts.store ?? SqliteStore.open(settings.data, limits.maxDatabaseBytes);
  const metrics = new HostMetrics();
  const linkPool = enclavePool(settings.enclave, LINK_CONNECTIONS);
  const relayPool = enclavePool(settings.enclave, limits.maxInFlight);
  const link = new EnclaveLink({
    pool: linkPool,
    store,
    name: settings.linkName ?? DEFAULT_LINK_NAME,
    logger,
    metrics,
    ...(parts.linkTimings ? { timings: parts.linkTimings } : {}),
  });
  const source = settings.endorsements ?? { kind: 'amd' };
  const feed =
    source.kind === 'off'
      ? null
      : new EndorsementFeed({ ...parts.endorsements, source, data: settings.data, link, logger, metrics });
  const { allowPlaintext } = settings;
  const relay = new Relay({ pool: relayPool, link, store, limits, allowPlaintext, metrics, logger });
  const app = createApp({ link, store, limits, metrics, logger });
  const server = createServer({ noDelay: true, keepAliveTimeout: 65_000, requestTimeout: 0 }, (req, res) => {
    if (!relay.take(req, res)) app(req, res); // the relay stands beside Express, which would cost it as much again
  });
  let address: Listen;
  try {
    address = await listen(server, settings.listen);
  } catch (error) {
    await Promise.all([linkPool.destroy(), relayPool.destroy()]);
    await store.close();
    throw error;
  }
  server.on('error', (error) => logger.error({ err: error }, 'server error'));
  link.start();
  feed?.start();
  const url = `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  logger.info({ url, allowPlaintext }, 'host listening');
  if (allowPlaintext) logger.warn('requests in the clear are relayed: this host can read them');

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await drain(server, limits.drainTimeoutMs);
    await Promise.all([feed?.stop(), link.stop()]);
    await Promise.all([linkPool.destroy(), relayPool.destroy()]);
    await store.close();
    logger.info('host stopped');
  };
  return { address, url, close: () => (closing ??= close()) };
}

function listen(server: Server, wanted: Listen): Promise<Listen> {
  return new Promise((resolve, reject) => {
    const refused = (cause: NodeJS.ErrnoException) => {
      const place = `${wanted.host}:${wanted.port}`;
      const error =
        cause.code === 'EADDRINUSE'
          ? new CodedError('PORT_IN_USE', `${place} is in use by another process`, { field: 'listen', cause })
          : new CodedError('LISTEN_FAILED', `cannot listen on ${place}: ${cause.code}`, { field: 'listen', cause });
      reject(error);
    };
    server.once('error', refused);
    server.listen(wanted.port, wanted.host, () => {
      server.off('error', refused);
      const bound = server.address();
      if (bound === null || typeof bound === 'string') reject(new CodedError('LISTEN_FAILED', 'no address'));
      else resolve({ host: bound.address, port: bound.port });
    });
  });
}

/** Resolves when every connection has ended; those still busy at the limit are cut. */
function drain(server: Server, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const insist = setTimeout(() => server.closeAllConnections(), withinMs);
    const closeIdle = setInterval(() => server.closeIdleConnections(), IDLE_POLL_MS); // keep-alive, once answered
    server.close(() => {
      clearTimeout(insist);
      clearInterval(closeIdle);
      resolve();
    });
  });
}
