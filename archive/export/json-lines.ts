/** One JSON object a line, for a SIEM: receipts with the verdict on their evidence, and the archive's findings. */
import { createHash } from 'node:crypto';
import { bytes, hex } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import type { Scope } from '../log/acts.ts';
import { Covers } from '../proofs/covers.ts';
import { statementsIn } from '../retention/scope.ts';
import type { EvidenceRow, StatementRow } from '../store/port.ts';

export interface JsonLinesOptions {
  readonly scope: Scope;
  readonly write: (line: string) => void;
}

/** Writes every receipt of the scope, then every finding; that it did is an act. @returns how many receipts */
export async function exportJsonLines(archive: Archive, { scope, write }: JsonLinesOptions): Promise<number> {
  const { store } = archive;
  const digest = createHash('sha256');
  const put = (value: Readonly<Record<string, unknown>>): void => {
    const line = `${JSON.stringify({ archive: archive.id, ...value })}\n`;
    digest.update(line);
    write(line);
  };
  const covers = new Covers(store);
  let receipts = 0;
  for await (const row of statementsIn(store, scope)) {
    put(receiptLine(row, await covers.of(row)));
    receipts += 1;
  }
  for (const { code, severity, boot, index, object, text, act, firstSeenMs } of await store.findings()) {
    const time = new Date(firstSeenMs).toISOString();
    put({ type: 'finding', time, code, severity, boot, index, object, text, act });
  }
  await archive.record([
    { kind: 'export', scope, format: 'json-lines', receipts, manifest: bytes(digest.digest(), 32, 'manifest') },
  ]);
  return receipts;
}

/** `time` is what the enclave claims; `evidence` null: no report covers it. */
function receiptLine(row: StatementRow, evidence: EvidenceRow | null): Readonly<Record<string, unknown>> {
  const { boot, index, timeMs, model, outcome, tenant, retentionClass } = row;
  return {
    type: 'receipt',
    time: new Date(timeMs).toISOString(),
    receiptId: hex(row.receiptId),
    boot,
    index,
    model: model && { name: model.name, version: model.version, digest: hex(model.digest) },
    outcome,
    tenant,
    retentionClass,
    requestDigest: hex(row.requestDigest),
    responseDigest: hex(row.responseDigest),
    strength: evidence ? 'hardware-committed' : 'session-signed',
    evidence: evidence && {
      reportData: hex(evidence.reportData),
      verdict: evidence.appraisal.verdict,
      codes: evidence.appraisal.codes,
      policyDigest: hex(evidence.appraisal.policyDigest),
      at: new Date(evidence.appraisal.atMs).toISOString(),
      ...evidence.facts,
    },
  };
}
