/**
 * The second pass: every entry is parsed, its own signature verified, and the search columns held against what it says.
 */
import { EvidenceError, equalBytes, parseSessionClaims } from '@veritee/protocol';
import { type Finding, finding } from '../findings.ts';
import { ClockWatch, entryFinding, type ReadEntry, SessionVerifier, statementRow } from '../ingest/session.ts';
import type { ArchiveStore, EntryRow, Range, StatementRow } from '../store/port.ts';
import { Defects, type Found } from './defects.ts';

/** What an act says of the entries it brought. */
export interface Filed {
  readonly from: number;
  readonly to: number;
  readonly timeMs: number;
  /** By an outside clock, when a report over them has one. */
  readonly provenMs: number | null;
  readonly tenant: string | null;
  readonly retentionClass: string;
}

export interface EntryTask extends Range {
  readonly pass: 'entries';
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  /** In order, none over another; entries outside them are named by the first pass and not looked at here. */
  readonly filed: readonly Filed[];
}

export interface EntryAnswer {
  readonly pass: 'entries';
  readonly entries: number;
  readonly statements: number;
  /** Rows of search columns in the stretch, whatever they are worth. */
  readonly columns: number;
  readonly found: Found;
}

export async function entryPass(store: ArchiveStore, task: EntryTask): Promise<EntryAnswer> {
  const { boot, from, to, sessionClaims } = task;
  const defects = new Defects();
  const verifier = new SessionVerifier(sessionClaims, parseSessionClaims(sessionClaims));
  const clock = new ClockWatch();
  clock.check(readable(await store.entries({ boot, from: Math.max(0, from - 1), to: from }), verifier), to, null);
  const rows = await store.entries({ boot, from, to });
  const columns = await columnsOf(store, { boot, from, to });
  const { size } = columns;
  const filed = task.filed.map((filing) => ({ filing, read: [] as ReadEntry[] }));
  let statements = 0;
  let span = 0;
  for (const row of rows) {
    while (row.index >= (filed[span]?.filing.to ?? Number.POSITIVE_INFINITY)) span += 1;
    const under = filed[span];
    if (!under || row.index < under.filing.from || !row.cose) continue;
    const stored = columns.get(row.index) ?? null;
    columns.delete(row.index);
    const read = verified(verifier, row, row.cose, defects);
    if (!read) continue;
    under.read.push(read);
    if (read.row.kind !== row.kind) {
      defects.add(finding('ROW_ALTERED', `entry ${row.index} is of kind ${read.row.kind}`, { boot, index: row.index }));
    }
    const due = statementRow(read, under.filing);
    if (due) statements += 1;
    const wrong = differing(due, stored);
    if (wrong !== null) {
      const text = `the search columns of entry ${row.index} are not what it says: ${wrong}`;
      defects.add(finding('ROW_ALTERED', text, { boot, index: row.index, object: 'statements' }));
    }
  }
  for (const left of columns.values()) defects.add(strayColumns(left));
  for (const { filing, read } of filed) {
    for (const one of clock.check(read, filing.timeMs, filing.provenMs)) defects.add(one);
  }
  return { pass: 'entries', entries: rows.length, statements, columns: size, found: defects.found() };
}

/** Those that verify: what is wrong with the others is said where they are due. */
function readable(rows: readonly EntryRow[], verifier: SessionVerifier): ReadEntry[] {
  const unsaid = new Defects();
  return rows.flatMap((row) => (row.cose && verified(verifier, row, row.cose, unsaid)) ?? []);
}

function verified(
  verifier: SessionVerifier,
  { boot, index }: EntryRow,
  cose: Uint8Array<ArrayBuffer>,
  defects: Defects,
): ReadEntry | null {
  try {
    return verifier.verify(cose, index);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    defects.add(entryFinding(boot, index, error));
    return null;
  }
}

const strayColumns = ({ boot, index }: StatementRow): Finding =>
  finding('ROW_ALTERED', `search columns for entry ${index}, where there is no statement`, {
    boot,
    index,
    object: 'statements',
  });

async function columnsOf(store: ArchiveStore, range: Range): Promise<Map<number, StatementRow>> {
  const rows = await store.statements({ ranges: [range] }, { after: null, limit: range.to - range.from });
  return new Map(rows.map((row) => [row.index, row]));
}

/** @returns the first column that differs, or null */
function differing(due: StatementRow | null, stored: StatementRow | null): string | null {
  if (!due || !stored) return due === stored ? null : due ? 'there are none' : 'it is no statement';
  if (!equalBytes(due.receiptId, stored.receiptId)) return 'receipt id';
  if (due.timeMs !== stored.timeMs) return 'time';
  if (due.outcome !== stored.outcome) return 'outcome';
  if (!equalBytes(due.requestDigest, stored.requestDigest)) return 'request digest';
  if (!equalBytes(due.responseDigest, stored.responseDigest)) return 'response digest';
  if (due.tenant !== stored.tenant) return 'tenant';
  if (due.retentionClass !== stored.retentionClass) return 'retention class';
  if (!due.model || !stored.model) return due.model === stored.model ? null : 'model';
  const sameModel =
    due.model.name === stored.model.name &&
    due.model.version === stored.model.version &&
    equalBytes(due.model.digest, stored.model.digest);
  return sameModel ? null : 'model';
}
