import { ServiceError } from '@veritee/protocol';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Logger } from 'pino';
import type { EnclaveLink } from './enclave-link.ts';
import type { HostMetrics } from './metrics.ts';
import { asCoded, sendProblem } from './problem.ts';
import { attestationRoute } from './routes/attestation.ts';
import { healthRoute, metricsRoute, readyRoute } from './routes/health.ts';
import { checkpointRoute, evidenceRoute, logsRoute, tileRoute } from './routes/log.ts';
import { ohttpKeysRoute } from './routes/ohttp-keys.ts';
import { receiptRoute } from './routes/receipts.ts';
import type { HostLimits } from './settings.ts';
import type { Store } from './store/store.ts';

export interface AppParts {
  readonly link: EnclaveLink;
  readonly store: Store;
  readonly limits: HostLimits;
  readonly metrics: HostMetrics;
  readonly logger: Logger;
}

/** The routes beside the relay. No body parser: nothing here reads a body. */
export function createApp(parts: AppParts): Express {
  const { link, store, limits, metrics, logger } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');
  app.enable('strict routing');

  const get = (path: string, handler: RequestHandler) =>
    app
      .route(path)
      .all((_req, res, next) => {
        res.setHeader('x-content-type-options', 'nosniff');
        res.locals['route'] = path;
        res.once('finish', () => metrics.answered(path, res.statusCode));
        next();
      })
      .get(handler)
      .all(methodNotAllowed);

  get(
    '/attestation',
    attestationRoute({
      link,
      store,
      challengeTimeoutMs: limits.challengeTimeoutMs,
      maxWaiting: limits.maxInFlight,
    }),
  );
  get('/ohttp-keys', ohttpKeysRoute(link, store));
  get('/receipts/:id', receiptRoute(store));
  get('/log', logsRoute(store));
  get('/log/:boot/checkpoint', checkpointRoute(store));
  get('/log/:boot/evidence', evidenceRoute(store));
  get('/log/:boot/evidence/:reportData', evidenceRoute(store));
  get('/log/:boot/tile/*path', tileRoute(store));
  get('/healthz', healthRoute);
  get('/readyz', readyRoute(link, store));
  get('/metrics', metricsRoute(metrics));
  app.use(() => {
    throw new ServiceError('REQUEST_NOT_FOUND', 'no such route');
  });
  app.use(answerError(metrics, logger));
  return app;
}

const methodNotAllowed: RequestHandler = (_req, res) => {
  res.setHeader('allow', 'GET, HEAD');
  throw new ServiceError('REQUEST_METHOD_NOT_ALLOWED', 'method: want GET', { field: 'method' });
};

function answerError(metrics: HostMetrics, logger: Logger): ErrorRequestHandler {
  return (error: unknown, _req, res, _next) => {
    const coded = isBadPath(error)
      ? new ServiceError('REQUEST_FIELD_INVALID', 'path: not percent-encoded UTF-8', { field: 'path' })
      : asCoded(error);
    metrics.refused(res.locals['route'] ?? 'other', coded.code);
    const facts = { code: coded.code, field: coded.field };
    if (coded.code === 'INTERNAL') logger.error({ ...facts, err: coded.cause ?? coded }, 'internal error');
    else logger.info(facts, 'refused');
    if (res.headersSent) res.destroy();
    else sendProblem(res, coded);
  };
}

/** The router's own complaint about a parameter. */
const isBadPath = (error: unknown): boolean =>
  error instanceof URIError || (error as { status?: unknown } | null)?.status === 400;
