import {
  bytes,
  encodeEntryBundle,
  fromHex,
  MEDIA_TYPE,
  parseTilePath,
  ServiceError,
  TILE_WIDTH,
} from '@veritee/protocol';
import type { Request, RequestHandler } from 'express';
import type { Boot, Store } from '../store/store.ts';
import { idOf, sendBytes, sendJson } from './request.ts';

const IMMUTABLE = 'public, max-age=31536000, immutable';
const OCTETS = 'application/octet-stream';

/** `GET /log`: every boot this service keeps a log of, for auditors. */
export function logsRoute(store: Store): RequestHandler {
  return async (_req, res) => {
    const boots = await Promise.all(
      (await store.boots()).map(async ({ boot, firstSeenMs, ended, size }) => ({
        boot,
        firstSeen: new Date(firstSeenMs).toISOString(),
        ended,
        size,
        committed: (await store.latestEvidence(boot))?.size ?? 0,
      })),
    );
    sendJson(res, { boots });
  };
}

/** `GET /log/:boot/checkpoint`: the signed note of the latest evidence (C2SP tlog-checkpoint). */
export function checkpointRoute(store: Store): RequestHandler {
  return async (req, res) => {
    const { boot, ended } = await bootOf(store, req);
    const evidence = await store.latestEvidence(boot);
    if (!evidence) {
      const code = ended === null ? 'EVIDENCE_NOT_READY' : 'TILE_UNKNOWN';
      throw new ServiceError(code, 'checkpoint: this boot has no hardware report', { field: 'checkpoint' });
    }
    sendBytes(res, 'text/plain; charset=utf-8', Buffer.from(evidence.note), 'no-cache');
  };
}

/**
 * `GET /log/:boot/evidence`: the latest evidence file; `GET /log/:boot/evidence/:reportData`: the one of that REPORT_DATA.
 * Each names the one before it, so that an auditor can walk back to a boot's first report.
 */
export function evidenceRoute(store: Store): RequestHandler {
  return async (req, res) => {
    const { boot } = await bootOf(store, req);
    const named = req.params['reportData'];
    const evidence =
      named === undefined
        ? await store.latestEvidence(boot)
        : await store.evidence(bytes(reportDataOf(named), 64, 'id'));
    if (evidence?.boot !== boot)
      throw new ServiceError('TILE_UNKNOWN', 'no such evidence in this log', { field: 'evidence' });
    sendBytes(res, MEDIA_TYPE.evidence, evidence.file, named === undefined ? 'no-cache' : IMMUTABLE);
  };
}

function reportDataOf(text: unknown): Uint8Array {
  const value = typeof text === 'string' && /^[0-9a-f]{128}$/.test(text) ? fromHex(text) : null;
  if (value) return value;
  throw new ServiceError('REQUEST_FIELD_INVALID', 'reportData: want 128 lower-case hex digits', {
    field: 'reportData',
  });
}

/** `GET /log/:boot/tile/…`: hash tiles and entry bundles of every width up to what is durable (C2SP tlog-tiles). */
export function tileRoute(store: Store): RequestHandler {
  return async (req, res) => {
    const tile = parseTilePath(req.path.split('/').slice(3).join('/'));
    if (!tile) throw unknownTile();
    const { boot, size } = await bootOf(store, req);
    const { level, index, width } = tile;
    // A tile of these hashes never changes, but a partial one is soon superseded and not worth keeping.
    const caching = width === TILE_WIDTH ? IMMUTABLE : 'public, max-age=60';
    if (level !== null) {
      const hashes = await store.tile(boot, level, index, width);
      if (!hashes) throw unknownTile();
      sendBytes(res, OCTETS, hashes, caching);
      return;
    }
    if (!isLoopback(req)) {
      throw new ServiceError('AUDITOR_ONLY', 'entry bundles are served to callers on this machine only');
    }
    const start = index * TILE_WIDTH;
    if (start + width > size) throw unknownTile();
    sendBytes(res, OCTETS, encodeEntryBundle(await store.entries(boot, start, start + width)), 'private, no-cache');
  };
}

const unknownTile = (): ServiceError =>
  new ServiceError('TILE_UNKNOWN', 'no such tile in this log: want a C2SP tile path within its size', {
    field: 'tile',
  });

async function bootOf(store: Store, req: Request): Promise<Boot> {
  const boot = await store.boot(idOf(req.params['boot'], 'boot'));
  if (!boot) throw new ServiceError('BOOT_UNKNOWN', 'boot: this service keeps no log of it', { field: 'boot' });
  return boot;
}

/** The peer itself, not somebody behind a proxy on this machine. */
function isLoopback(req: Request): boolean {
  if (req.headers['x-forwarded-for'] !== undefined || req.headers['forwarded'] !== undefined) return false;
  const address = req.socket.remoteAddress ?? '';
  return address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address);
}
