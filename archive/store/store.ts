/** The store over either engine: what is asked and written, in the words that both understand. */
import { bytes, CodedError, type EntryKind, hex } from '@veritee/protocol';
import type { ActKind } from '../log/acts.ts';
import type {
  ActHead,
  ActRow,
  ArchiveIdentity,
  ArchiveStore,
  AttachmentRow,
  BootRow,
  Commit,
  Digest,
  EntryRow,
  EvidenceRow,
  FindingRow,
  Page,
  Place,
  ProofRow,
  Range,
  StatementFilter,
  StatementRow,
} from './port.ts';
import {
  type BootRecord,
  bootBytes,
  type EntryRecord,
  EVIDENCE_COLUMNS,
  type EvidenceRecord,
  evidenceValues,
  type FindingRecord,
  findingValues,
  hashesOf,
  type ReportData,
  type StatementRecord,
  toAct,
  toAttachment,
  toBoot,
  toEntry,
  toEvidence,
  toFinding,
  toProof,
  toResultJson,
  toStatement,
} from './rows.ts';
import type { Sql, SqlReader, SqlValue, SqlWriter } from './sql.ts';

const EVIDENCE_READ = EVIDENCE_COLUMNS.filter((column) => column !== 'boot' && column !== 'result_json')
  .map((column) => `e.${column}`)
  .join(', ');
const SELECT_EVIDENCE = `SELECT b.boot, ${EVIDENCE_READ} FROM evidence e JOIN boots b ON b.id = e.boot`;
const SELECT_STATEMENT = `
  SELECT b.boot, s.idx, s.receipt_id, s.time_ms, s.outcome, s.request_digest, s.response_digest, s.tenant, s.class,
    m.name AS model_name, m.version AS model_version, m.digest AS model_digest
  FROM statements s JOIN boots b ON b.id = s.boot LEFT JOIN models m ON m.id = s.model`;
const COUNT_STATEMENT = 'SELECT count(*) AS n FROM statements s LEFT JOIN models m ON m.id = s.model';
/** What a purge has erased in. */
const PURGED_TABLES = ['entries', 'statements', 'attachments'] as const;

const refused = (reason: string): CodedError => new CodedError('STORE_FAILED', `store: ${reason}`, { field: 'store' });

export class SqlStore implements ArchiveStore {
  readonly #sql: Sql;
  /** Row numbers never change. */
  readonly #bootIds = new Map<string, number>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async identity(): Promise<ArchiveIdentity | null> {
    const row = await one<{ archive: string; public_key: Uint8Array }>(this.#sql, 'SELECT * FROM identity');
    return row && { id: row.archive, publicKey: bytes(row.public_key, 32, 'public key') };
  }

  async setIdentity({ id, publicKey }: ArchiveIdentity): Promise<void> {
    await this.#sql.transaction((tx) => tx.insert('identity', ['one', 'archive', 'public_key'], [[1, id, publicKey]]));
  }

  async commit(commit: Commit): Promise<void> {
    await this.#sql.transaction(async (tx) => {
      await writeActs(tx, commit);
      for (const row of commit.boots ?? []) await writeBoot(tx, row);
      const ids = await this.#idsOf(tx, commit);
      const id = (boot: string): number => ids.get(boot) as number;
      await tx.insert(
        'evidence',
        EVIDENCE_COLUMNS,
        (commit.evidence ?? []).map((row) => evidenceValues(id(row.boot), row)),
      );
      await tx.insert(
        'entries',
        ['boot', 'idx', 'kind', 'leaf', 'cose', 'purge'],
        (commit.entries ?? []).map((row) => [id(row.boot), row.index, row.kind, row.leaf, row.cose, row.purge]),
      );
      await writeStatements(tx, commit.statements ?? [], id);
      await tx.insert(
        'nodes',
        ['boot', 'level', 'idx', 'hash'],
        (commit.nodes ?? []).map((row) => [id(row.boot), row.level, row.index, row.hash]),
        'DO NOTHING',
      );
      await tx.insert(
        'attachments',
        ['boot', 'idx', 'role', 'blob'],
        (commit.attachments ?? []).map((row) => [id(row.boot), row.index, row.role, row.blob]),
        'DO NOTHING',
      );
      await tx.insert(
        'proofs',
        ['boot', 'idx', 'report_data', 'path'],
        (commit.proofs ?? []).map((row) => [id(row.boot), row.index, row.reportData, Buffer.concat(row.path)]),
        'DO NOTHING',
      );
      await tx.insert(
        'findings',
        ['code', 'severity', 'boot', 'idx', 'object', 'text', 'act', 'first_seen_ms'],
        (commit.findings ?? []).map(findingValues),
        'DO NOTHING',
      );
      for (const { boot, from, to } of rangesOf(commit.purge?.places ?? [])) {
        const range = [id(boot), from, to];
        await tx.run('UPDATE entries SET cose = NULL, purge = ? WHERE boot = ? AND idx >= ? AND idx < ?', [
          commit.purge?.act ?? null,
          ...range,
        ]);
        for (const table of PURGED_TABLES.slice(1)) {
          await tx.run(`DELETE FROM ${table} WHERE boot = ? AND idx >= ? AND idx < ?`, range);
        }
      }
    });
    if (commit.purge) await this.#sql.scrub(PURGED_TABLES);
  }

  /** Rows of `boots` for every boot that the commit names; inside the transaction, where new ones are. */
  async #idsOf(tx: SqlReader, commit: Commit): Promise<ReadonlyMap<string, number>> {
    const named = [
      ...(commit.evidence ?? []),
      ...(commit.entries ?? []),
      ...(commit.statements ?? []),
      ...(commit.nodes ?? []),
      ...(commit.attachments ?? []),
      ...(commit.proofs ?? []),
      ...(commit.purge?.places ?? []),
    ].map(({ boot }) => boot);
    const ids = new Map<string, number>();
    for (const boot of new Set(named)) {
      const row = await one<{ id: number }>(tx, 'SELECT id FROM boots WHERE boot = ?', [bootBytes(boot)]);
      if (!row) throw refused('rows of a boot that is not known');
      ids.set(boot, row.id);
    }
    return ids;
  }

  async boots(): Promise<readonly BootRow[]> {
    return (await this.#sql.all<BootRecord>('SELECT * FROM boots ORDER BY id')).map(toBoot);
  }

  async boot(boot: string): Promise<BootRow | null> {
    const row = await one<BootRecord>(this.#sql, 'SELECT * FROM boots WHERE boot = ?', [bootBytes(boot)]);
    return row && toBoot(row);
  }

  async evidence(reportData: ReportData): Promise<EvidenceRow | null> {
    const row = await one<EvidenceRecord>(this.#sql, `${SELECT_EVIDENCE} WHERE e.report_data = ?`, [reportData]);
    return row && toEvidence(row);
  }

  async resultJson(reportData: ReportData): Promise<string | null> {
    const row = await one<{ result_json: Uint8Array }>(
      this.#sql,
      'SELECT result_json FROM evidence WHERE report_data = ?',
      [reportData],
    );
    return row && toResultJson(row.result_json);
  }

  async evidenceOf(boot: string, skip: number, limit: number): Promise<readonly EvidenceRow[]> {
    const rows = await this.#sql.all<EvidenceRecord>(
      `${SELECT_EVIDENCE} WHERE e.boot = ? ORDER BY e.size, e.id LIMIT ? OFFSET ?`,
      [await this.#id(boot), limit, skip],
    );
    return rows.map(toEvidence);
  }

  async firstEvidenceOver(boot: string, index: number): Promise<EvidenceRow | null> {
    const row = await one<EvidenceRecord>(
      this.#sql,
      `${SELECT_EVIDENCE} WHERE e.boot = ? AND e.size > ? ORDER BY e.size, e.id LIMIT 1`,
      [await this.#id(boot), index],
    );
    return row && toEvidence(row);
  }

  async entries({ boot, from, to }: Range): Promise<readonly EntryRow[]> {
    const rows = await this.#sql.all<EntryRecord>(
      'SELECT idx, kind, leaf, cose, purge FROM entries WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx',
      [await this.#id(boot), from, to],
    );
    return rows.map((row) => toEntry(boot, row));
  }

  async entriesFrom(boot: string, from: number, limit: number): Promise<readonly EntryRow[]> {
    const rows = await this.#sql.all<EntryRecord>(
      'SELECT idx, kind, leaf, cose, purge FROM entries WHERE boot = ? AND idx >= ? ORDER BY idx LIMIT ?',
      [await this.#id(boot), from, limit],
    );
    return rows.map((row) => toEntry(boot, row));
  }

  async leaves({ boot, from, to }: Range): Promise<Uint8Array<ArrayBuffer> | null> {
    const rows = await this.#sql.all<{ hash: Uint8Array }>(
      'SELECT leaf AS hash FROM entries WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx',
      [await this.#id(boot), from, to],
    );
    return hashesOf(rows, to - from);
  }

  async extent(boot: string): Promise<{ readonly count: number; readonly end: number }> {
    const row = await one<{ n: number; last: number | null }>(
      this.#sql,
      'SELECT count(*) AS n, max(idx) AS last FROM entries WHERE boot = ?',
      [await this.#id(boot)],
    );
    return { count: row?.n ?? 0, end: (row?.last ?? -1) + 1 };
  }

  async gaps({ boot, from, to }: Range, limit: number): Promise<readonly Range[]> {
    const range = [await this.#id(boot), from, to];
    const within = await this.#sql.all<{ low: number; high: number }>(
      `SELECT idx + 1 AS low, following AS high FROM (
         SELECT idx, lead(idx) OVER (ORDER BY idx) AS following FROM entries WHERE boot = ? AND idx >= ? AND idx < ?
       ) AS pairs WHERE following > idx + 1 ORDER BY idx LIMIT ?`,
      [...range, limit],
    );
    const ends = await one<{ first: number | null; last: number | null }>(
      this.#sql,
      'SELECT min(idx) AS first, max(idx) AS last FROM entries WHERE boot = ? AND idx >= ? AND idx < ?',
      range,
    );
    const first = ends?.first ?? to;
    const last = ends?.last ?? to - 1;
    return [{ low: from, high: first }, ...within, { low: last + 1, high: to }]
      .filter(({ low, high }) => low < high)
      .slice(0, limit)
      .map(({ low, high }) => ({ boot, from: low, to: high }));
  }

  async indicesOf(boot: string, kind: Exclude<EntryKind, 'statement'>): Promise<readonly number[]> {
    const rows = await this.#sql.all<{ idx: number }>(
      "SELECT idx FROM entries WHERE boot = ? AND kind = ? AND kind <> 'statement' ORDER BY idx",
      [await this.#id(boot), kind],
    );
    return rows.map(({ idx }) => idx);
  }

  async nodes(boot: string, level: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const rows = await this.#sql.all<{ hash: Uint8Array }>(
      'SELECT hash FROM nodes WHERE boot = ? AND level = ? AND idx >= ? AND idx < ? ORDER BY idx',
      [await this.#id(boot), level, from, to],
    );
    return hashesOf(rows, to - from);
  }

  async placeOf(receiptId: StatementRow['receiptId']): Promise<Place | null> {
    const row = await one<{ boot: Uint8Array; idx: number }>(
      this.#sql,
      `SELECT b.boot, s.idx FROM statements s JOIN boots b ON b.id = s.boot
       WHERE s.receipt_id = ? ORDER BY s.boot, s.idx LIMIT 1`,
      [receiptId],
    );
    return row && { boot: hex(row.boot), index: row.idx };
  }

  async statements(filter: StatementFilter, { after, limit }: Page): Promise<readonly StatementRow[]> {
    const found: StatementRow[] = [];
    for (const where of await this.#whereEach(filter, after)) {
      const rows = await this.#sql.all<StatementRecord>(
        `${SELECT_STATEMENT} WHERE ${where.sql} ORDER BY s.boot, s.idx LIMIT ?`,
        [...where.params, limit - found.length],
      );
      found.push(...rows.map(toStatement));
      if (found.length >= limit) break;
    }
    return found;
  }

  async countStatements(filter: StatementFilter): Promise<number> {
    let count = 0;
    for (const where of await this.#whereEach(filter, null)) {
      count += (await one<{ n: number }>(this.#sql, `${COUNT_STATEMENT} WHERE ${where.sql}`, where.params))?.n ?? 0;
    }
    return count;
  }

  /** One condition, or one for each range, in order of place. */
  async #whereEach(filter: StatementFilter, after: Place | null): Promise<{ sql: string; params: SqlValue[] }[]> {
    const conditions: [sql: string, ...params: SqlValue[]][] = [['1 = 1']];
    if (filter.boot !== undefined) conditions.push(['s.boot = ?', await this.#id(filter.boot)]);
    if (after) conditions.push(['(s.boot, s.idx) > (?, ?)', await this.#id(after.boot), after.index]);
    if (filter.receiptId) conditions.push(['s.receipt_id = ?', filter.receiptId]);
    if (filter.fromMs !== undefined) conditions.push(['s.time_ms >= ?', filter.fromMs]);
    if (filter.toMs !== undefined) conditions.push(['s.time_ms < ?', filter.toMs]);
    if (filter.tenant !== undefined) conditions.push(['s.tenant = ?', filter.tenant]);
    if (filter.outcome !== undefined) conditions.push(['s.outcome = ?', filter.outcome]);
    if (filter.retentionClass !== undefined) conditions.push(['s.class = ?', filter.retentionClass]);
    if (filter.requestDigest) conditions.push(['s.request_digest = ?', filter.requestDigest]);
    if (filter.responseDigest) conditions.push(['s.response_digest = ?', filter.responseDigest]);
    if (filter.model !== undefined) conditions.push(['m.name = ?', filter.model]);
    if (filter.modelVersion !== undefined) conditions.push(['m.version = ?', filter.modelVersion]);
    if (filter.modelDigest) conditions.push(['m.digest = ?', filter.modelDigest]);
    const sql = conditions.map(([text]) => text).join(' AND ');
    const params = conditions.flatMap(([, ...values]) => values);
    if (!filter.ranges) return [{ sql, params }];
    const ranges = await Promise.all(
      filter.ranges.map(async (range) => ({ ...range, id: await this.#id(range.boot) })),
    );
    const afterId = after && (await this.#id(after.boot));
    return mergeRanges(ranges)
      .filter(({ id, to }) => afterId === null || id > afterId || (id === afterId && to > (after?.index ?? 0) + 1))
      .map(({ id, from, to }) => ({
        sql: `${sql} AND s.boot = ? AND s.idx >= ? AND s.idx < ?`,
        params: [...params, id, from, to],
      }));
  }

  async reusedReceiptIds(limit: number): Promise<readonly Place[]> {
    const rows = await this.#sql.all<{ boot: Uint8Array; idx: number }>(
      `SELECT b.boot, s.idx FROM statements s JOIN boots b ON b.id = s.boot WHERE s.receipt_id IN (
         SELECT receipt_id FROM statements GROUP BY receipt_id HAVING count(*) > 1
       ) ORDER BY s.boot, s.idx LIMIT ?`,
      [limit],
    );
    return rows.map(({ boot, idx }) => ({ boot: hex(boot), index: idx }));
  }

  async attachments({ boot, from, to }: Range): Promise<readonly AttachmentRow[]> {
    const rows = await this.#sql.all<Parameters<typeof toAttachment>[1]>(
      'SELECT idx, role, blob FROM attachments WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx, role',
      [await this.#id(boot), from, to],
    );
    return rows.map((row) => toAttachment(boot, row));
  }

  async attachedTo(blob: Digest): Promise<number> {
    return (
      (await one<{ n: number }>(this.#sql, 'SELECT count(*) AS n FROM attachments WHERE blob = ?', [blob]))?.n ?? 0
    );
  }

  async proofs({ boot, from, to }: Range): Promise<readonly ProofRow[]> {
    const rows = await this.#sql.all<Parameters<typeof toProof>[1]>(
      'SELECT idx, report_data, path FROM proofs WHERE boot = ? AND idx >= ? AND idx < ? ORDER BY idx',
      [await this.#id(boot), from, to],
    );
    return rows.map((row) => toProof(boot, row));
  }

  async acts(from: number, to: number): Promise<readonly ActRow[]> {
    const rows = await this.#sql.all<Parameters<typeof toAct>[0]>(
      'SELECT * FROM acts WHERE idx >= ? AND idx < ? ORDER BY idx',
      [from, to],
    );
    return rows.map(toAct);
  }

  async actsOf(kind: ActKind): Promise<readonly ActRow[]> {
    const rows = await this.#sql.all<Parameters<typeof toAct>[0]>('SELECT * FROM acts WHERE kind = ? ORDER BY idx', [
      kind,
    ]);
    return rows.map(toAct);
  }

  async actLeaves(): Promise<Uint8Array<ArrayBuffer>> {
    const rows = await this.#sql.all<{ hash: Uint8Array }>('SELECT leaf AS hash FROM acts ORDER BY idx');
    return hashesOf(rows, rows.length) ?? new Uint8Array(0);
  }

  async actHead(): Promise<ActHead | null> {
    return readHead(this.#sql);
  }

  async findings(): Promise<readonly FindingRow[]> {
    return (await this.#sql.all<FindingRecord>('SELECT * FROM findings ORDER BY id')).map(toFinding);
  }

  check(): Promise<readonly string[]> {
    return this.#sql.check();
  }

  backup(file: string): Promise<void> {
    return this.#sql.backup(file);
  }

  close(): Promise<void> {
    return this.#sql.close();
  }

  /** Of a boot that is not known: −1, which no row bears. */
  async #id(boot: string): Promise<number> {
    const known = this.#bootIds.get(boot);
    if (known !== undefined) return known;
    const row = await one<{ id: number }>(this.#sql, 'SELECT id FROM boots WHERE boot = ?', [bootBytes(boot)]);
    if (!row) return -1;
    this.#bootIds.set(boot, row.id);
    return row.id;
  }
}

async function one<T>(sql: SqlReader, text: string, params: readonly SqlValue[] = []): Promise<T | null> {
  return (await sql.all<T>(text, params))[0] ?? null;
}

async function readHead(sql: SqlReader): Promise<ActHead | null> {
  const row = await one<{ size: number; root: Uint8Array; note: string }>(sql, 'SELECT size, root, note FROM act_head');
  return row && { size: row.size, root: bytes(row.root, 32, 'root'), note: row.note };
}

async function writeActs(tx: SqlWriter, { acts, head }: Commit): Promise<void> {
  const size = (await readHead(tx))?.size ?? 0;
  if (acts.length === 0 || acts.some(({ index }, i) => index !== size + i) || head.size !== size + acts.length) {
    throw refused(`the acts do not continue the ${size} that are stored`);
  }
  await tx.insert(
    'acts',
    ['idx', 'kind', 'leaf', 'cose'],
    acts.map((act) => [act.index, act.kind, act.leaf, act.cose]),
  );
  await tx.insert(
    'act_head',
    ['one', 'size', 'root', 'note'],
    [[1, head.size, head.root, head.note]],
    '(one) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note',
  );
}

async function writeBoot(tx: SqlWriter, row: BootRow): Promise<void> {
  await tx.insert(
    'boots',
    [
      'boot',
      'source',
      'session_claims',
      'platform',
      'state',
      'head_size',
      'head_root',
      'head_report_data',
      'first_seen_ms',
    ],
    [
      [
        bootBytes(row.boot),
        row.source,
        row.sessionClaims,
        row.platform,
        row.state,
        row.head?.size ?? null,
        row.head?.root ?? null,
        row.head?.reportData ?? null,
        row.firstSeenMs,
      ],
    ],
    `(boot) DO UPDATE SET platform = excluded.platform, state = excluded.state, head_size = excluded.head_size,
       head_root = excluded.head_root, head_report_data = excluded.head_report_data`,
  );
}

async function writeStatements(
  tx: SqlWriter,
  statements: readonly StatementRow[],
  bootId: (boot: string) => number,
): Promise<void> {
  const nameOf = ({ name, version, digest }: NonNullable<StatementRow['model']>): string =>
    `${name}\n${version}\n${hex(digest)}`;
  const models = new Map(statements.flatMap(({ model }) => (model ? [[nameOf(model), model] as const] : [])));
  const modelIds = new Map<string, number>();
  for (const [key, { name, version, digest }] of models) {
    await tx.insert('models', ['name', 'version', 'digest'], [[name, version, digest]], 'DO NOTHING');
    const row = await one<{ id: number }>(tx, 'SELECT id FROM models WHERE name = ? AND version = ? AND digest = ?', [
      name,
      version,
      digest,
    ]);
    if (!row) throw refused('a model that was just written is not there');
    modelIds.set(key, row.id);
  }
  await tx.insert(
    'statements',
    [
      'boot',
      'idx',
      'receipt_id',
      'time_ms',
      'model',
      'outcome',
      'request_digest',
      'response_digest',
      'tenant',
      'class',
    ],
    statements.map((row) => [
      bootId(row.boot),
      row.index,
      row.receiptId,
      row.timeMs,
      row.model && (modelIds.get(nameOf(row.model)) as number),
      row.outcome,
      row.requestDigest,
      row.responseDigest,
      row.tenant,
      row.retentionClass,
    ]),
  );
}

/** Neighbouring places as ranges. */
function rangesOf(places: readonly Place[]): Range[] {
  const singles = places.map(({ boot, index }) => ({ boot, id: boot, from: index, to: index + 1 }));
  return mergeRanges(singles);
}

/** Sorted by boot and place, with no place in two of them. */
function mergeRanges<T extends { readonly id: string | number; readonly from: number; readonly to: number }>(
  ranges: readonly T[],
): T[] {
  const sorted = [...ranges].sort((a, b) => (a.id === b.id ? a.from - b.from : a.id < b.id ? -1 : 1));
  const merged: T[] = [];
  for (const range of sorted) {
    const last = merged.at(-1);
    if (last && last.id === range.id && range.from <= last.to) {
      merged[merged.length - 1] = { ...last, to: Math.max(last.to, range.to) };
    } else merged.push(range);
  }
  return merged;
}
