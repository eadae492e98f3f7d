import { ServiceError } from '@veritee/protocol';
import type { Request, Response } from 'express';

const JSON_TYPE = 'application/json';

/** Whether the caller asked for JSON by name rather than for our own media type or for anything. */
export function wantsJson(req: Request, res: Response, ownType: string): boolean {
  res.vary('Accept');
  return req.accepts([ownType, JSON_TYPE]) === JSON_TYPE;
}

/** @throws ServiceError REQUEST_FIELD_INVALID not 32 lower-case hex digits, the form of every id */
export function idOf(value: unknown, field: string): string {
  if (typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)) return value;
  throw new ServiceError('REQUEST_FIELD_INVALID', `${field}: want 32 lower-case hex digits`, { field });
}

/** Aborts when the caller goes away, or at the deadline; `done` releases both. */
export function patience(
  res: Response,
  timeoutMs: number,
): { readonly signal: AbortSignal; readonly done: () => void } {
  const controller = new AbortController();
  const late = new ServiceError('DEADLINE_EXCEEDED', `no answer within ${timeoutMs} ms`);
  const timer = setTimeout(() => controller.abort(late), timeoutMs);
  const gone = () => controller.abort(new ServiceError('REQUEST_CANCELLED', 'the caller went away'));
  res.once('close', gone);
  return {
    signal: controller.signal,
    done: () => {
      clearTimeout(timer);
      res.off('close', gone);
      controller.abort();
    },
  };
}

export function sendBytes(res: Response, type: string, body: Uint8Array, caching: string): void {
  res.setHeader('content-type', type); // `res.type` would add a charset
  res.setHeader('cache-control', `${caching}, no-transform`);
  res.end(body);
}

export function sendJson(res: Response, body: object, caching = 'no-store'): void {
  sendBytes(res, JSON_TYPE, Buffer.from(JSON.stringify(body)), caching);
}
