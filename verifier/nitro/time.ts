import { CheckFailure, type CheckRow } from '../checks.ts';
import type { NitroDocument } from './document.ts';

/** The hypervisor's clock and the caller's need not agree to the second. */
const CLOCK_SKEW_MS = 60_000;

export const NITRO_TIME_ROW: CheckRow = {
  id: 'nitro.not-from-future',
  claim: 'timestamp',
  source: 'docs/formats.md, time',
};

/**
 * The chain is judged at the document's own time, so the caller's time bounds that: a document of tomorrow says that one
 * of the two clocks is wrong.
 *
 * @throws EvidenceError DOCUMENT_FROM_FUTURE
 */
export function refuseFromFuture({ timestamp }: NitroDocument, at: Date): void {
  if (timestamp.getTime() <= at.getTime() + CLOCK_SKEW_MS) return;
  const expected = `signed by ${at.toISOString()}, or within a minute after it`;
  throw new CheckFailure('DOCUMENT_FROM_FUTURE', expected, timestamp.toISOString(), { field: 'document.timestamp' });
}
