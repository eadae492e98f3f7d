import { type Code, CodedError, isCode, type LinkStatus } from '@veritee/protocol';
import type { RequestHandler } from 'express';
import type { EnclaveLink } from '../enclave-link.ts';
import type { HostMetrics } from '../metrics.ts';
import type { Store } from '../store/store.ts';
import { sendBytes, sendJson } from './request.ts';

interface Reason {
  readonly code: Code;
  readonly words: string;
}

const reasonOf = (error: unknown): Reason =>
  error instanceof CodedError
    ? { code: error.code, words: error.message }
    : { code: 'INTERNAL', words: 'an internal error' };

/** `GET /healthz`: this process is alive. */
export const healthRoute: RequestHandler = (_req, res) => sendJson(res, { status: 'alive' });

/** `GET /readyz`: 200 when work is taken and `/attestation` answers; models that cannot be served are listed, no more. */
export function readyRoute(link: EnclaveLink, store: Store): RequestHandler {
  return async (_req, res) => {
    const reasons: Reason[] = [];
    const refusal = link.refusal();
    if (refusal) reasons.push(reasonOf(refusal));
    let status: LinkStatus | null = null;
    try {
      status = await link.status();
    } catch (error) {
      const reason = reasonOf(error);
      if (reason.code !== refusal?.code) reasons.push(reason);
    }
    if (status?.sealingError && reasons.length === 0) {
      const code = isCode(status.sealingError) ? status.sealingError : 'KEY_NOT_COMMITTED';
      reasons.push({ code, words: 'no sealed request can be opened: no sealing key is under a hardware report' });
    }
    const boot = link.boot === null ? null : await store.boot(link.boot);
    const evidence = boot && (await store.latestEvidence(boot.boot));
    res.statusCode = reasons.length === 0 ? 200 : 503;
    if (reasons.length > 0) res.setHeader('retry-after', '1');
    sendJson(res, {
      ready: reasons.length === 0,
      reasons,
      boot: boot?.boot ?? null,
      platform: status?.platform ?? null,
      warning: status?.warning ?? null,
      evidence: evidence && { size: evidence.size, ageMs: Math.max(0, Date.now() - evidence.storedMs) },
      log: { size: status?.size ?? null, committed: status?.committed ?? null, durable: boot?.size ?? null },
      tickError: status?.tickError ?? null,
      sealingError: status?.sealingError ?? null,
      models: status?.models ?? null,
    });
  };
}

export function metricsRoute(metrics: HostMetrics): RequestHandler {
  return async (_req, res) => {
    const { type, body } = await metrics.text();
    sendBytes(res, type, Buffer.from(body), 'no-store');
  };
}
