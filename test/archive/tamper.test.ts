/**
 * Whatever somebody with the archive's disk changes is found, named and placed by the audit: once by what they would do,
 * once column by column through the whole schema.
 */
import { mkdirSync, readdirSync, readFileSync as readFile, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AuditReport, audit } from '../../archive/audit/index.ts';
import { type FindingCode, finding } from '../../archive/findings.ts';
import { Appraiser, ingestFolder, readEvidenceFile } from '../../archive/ingest/index.ts';
import { bootField, EVERYTHING } from '../../archive/log/acts.ts';
import { sha256Of } from '../../archive/log/frontier.ts';
import { CodedError, fromHex, hex, utf8 } from '../../protocol/index.ts';
import { AT, MiniEnclave, SessionKey } from '../support/mini-enclave.ts';
import { SyntheticService } from '../support/synthetic-archive.ts';
import { ingestAll, openFor, Workplace } from './audit-support.ts';

const place = new Workplace();
const folder = place.path('archive');
let service: SyntheticService;
let boot = '';
let lone = '';

const POLICY = utf8('builtin:authenticity');

async function depositReceipts(archive: Awaited<ReturnType<typeof openFor>>): Promise<void> {
  const enclave = new MiniEnclave();
  const answers = [await enclave.infer(), await enclave.infer()];
  const tick = await enclave.tick();
  const files = place.path('receipts');
  mkdirSync(files);
  for (const [i, answer] of answers.entries()) {
    const name = path.join(files, `${i}.veritee`);
    writeFileSync(name, enclave.receipt(answer, tick));
    const { request, response, statement } = answer;
    writeFileSync(
      `${name}.private.json`,
      JSON.stringify({
        receiptId: hex(statement.receiptId),
        requestSalt: hex(request.salt),
        responseSalt: hex(response.salt),
      }),
    );
    writeFileSync(`${name}.request`, request.body);
    if (i === 0) writeFileSync(`${name}.response`, response.body);
  }
  const appraiser = await Appraiser.create(
    { policy: POLICY, anchors: [tick.root], endorsements: [], crls: [] },
    archive.blobs,
  );
  const done = await ingestFolder(archive, files, { appraiser, tenant: null, retentionClass: 'standard' });
  expect(done).toMatchObject({ entries: 2, attachments: 5, findings: [] });
  lone = (await archive.store.boots()).find(({ head }) => head === null)!.boot;
}

beforeAll(async () => {
  service = await place.service({ receipts: 900, checkpoints: 9, boots: 1 });
  boot = service.logs[0]!.boot;
  const archive = await openFor(folder, 'write');
  await ingestAll(archive, service, { tenant: 'acme' });
  await archive.close();
  const again = await openFor(folder, 'write');
  await depositReceipts(again);
  await again.record([], undefined, [
    finding('BOOT_MISSING', 'an enclave that is known of', { boot: '00'.repeat(16) }),
  ]);
  await again.close();
});

afterAll(() => {
  service.close();
  place.remove();
});

/** Opens the database of a copy, does the deed, and audits. */
async function auditAfter(deed: (db: Database.Database, copy: string) => void, from = folder): Promise<AuditReport> {
  const copy = place.copy(from);
  const db = new Database(path.join(copy, 'archive.sqlite'));
  db.pragma('foreign_keys = OFF');
  deed(db, copy);
  db.close();
  const archive = await openFor(copy, 'read');
  try {
    return await audit(archive);
  } finally {
    await archive.close();
    rmSync(copy, { recursive: true });
  }
}

interface Expected {
  readonly code: FindingCode;
  readonly boot?: string;
  readonly index?: number;
  readonly object?: unknown;
}

function expectFound(report: AuditReport, ...expected: readonly Expected[]): void {
  expect(report.verdict).toBe('defects');
  for (const one of expected) expect(report.findings).toContainEqual(expect.objectContaining(one));
}

const bootRow = (db: Database.Database): number =>
  db.prepare('SELECT id FROM boots WHERE boot = ?').pluck().get(fromHex(boot)) as number;

const flip = (value: Uint8Array, at = value.length >> 1): Buffer => {
  const out = Buffer.from(value);
  out[at] = out[at]! ^ 1;
  return out;
};

const read = <T>(db: Database.Database, sql: string, ...params: unknown[]): T => db.prepare(sql).get(...params) as T;

describe('an archive that nobody touched', () => {
  test('is intact', async () => {
    const report = await auditAfter(() => undefined);
    expect(report.findings.map(({ code, act }) => [code, act])).toEqual([
      ['LOG_NOT_FOLLOWED', null],
      ['BOOT_MISSING', report.figures.acts - 1],
    ]);
    expect(report.verdict).toBe('intact');
  });
});

describe('what somebody would do', () => {
  test('a byte of an entry is altered', async () => {
    const report = await auditAfter((db) => {
      const { cose } = read<{ cose: Buffer }>(db, 'SELECT cose FROM entries WHERE boot = ? AND idx = 333', bootRow(db));
      db.prepare('UPDATE entries SET cose = ? WHERE boot = ? AND idx = 333').run(flip(cose), bootRow(db));
    });
    expectFound(report, { code: 'ENTRY_ALTERED', boot, index: 333 });
  });

  test('an entry and its leaf hash are altered together, and all nodes with them', async () => {
    const report = await auditAfter((db) => {
      const id = bootRow(db);
      const { cose } = read<{ cose: Buffer }>(db, 'SELECT cose FROM entries WHERE boot = ? AND idx = 600', id);
      const forged = flip(cose, cose.length - 10);
      const leaf = sha256Of(Buffer.concat([Uint8Array.of(0), forged]));
      db.prepare('UPDATE entries SET cose = ?, leaf = ? WHERE boot = ? AND idx = 600').run(forged, leaf, id);
    });
    expectFound(
      report,
      { code: 'ENTRY_ALTERED', boot, index: 512 }, // its block
      { code: 'SIGNATURE_INVALID', boot, index: 600 },
    );
  });

  test('an entry is dropped', async () => {
    const report = await auditAfter((db) => {
      db.prepare('DELETE FROM statements WHERE boot = ? AND idx = 400').run(bootRow(db));
      db.prepare('DELETE FROM entries WHERE boot = ? AND idx = 400').run(bootRow(db));
    });
    expectFound(report, { code: 'ENTRY_MISSING', boot, index: 400 });
  });

  test('an entry is dropped and the ones behind it move up', async () => {
    const report = await auditAfter((db) => {
      const id = bootRow(db);
      db.prepare('DELETE FROM entries WHERE boot = ? AND idx = 400').run(id);
      for (let i = 401; i < 905; i++)
        db.prepare('UPDATE entries SET idx = idx - 1 WHERE boot = ? AND idx = ?').run(id, i);
    });
    expectFound(report, { code: 'ENTRY_INVALID', boot, index: 400 }, { code: 'ENTRY_MISSING', boot, index: 904 });
  });

  test('two entries are swapped', async () => {
    const report = await auditAfter((db) => {
      const id = bootRow(db);
      const move = db.prepare('UPDATE entries SET idx = ? WHERE boot = ? AND idx = ?');
      move.run(-1, id, 100);
      move.run(100, id, 200);
      move.run(200, id, -1);
    });
    expectFound(
      report,
      { code: 'ENTRY_INVALID', boot, index: 100 },
      { code: 'ENTRY_INVALID', boot, index: 200 },
      { code: 'ENTRY_ALTERED', boot },
    );
  });

  test('the tail is cut off, with its evidence and the head put back', async () => {
    const report = await auditAfter((db) => {
      const id = bootRow(db);
      const before = read<{ size: number; root: Buffer; report_data: Buffer }>(
        db,
        'SELECT size, root, report_data FROM evidence WHERE boot = ? ORDER BY size DESC LIMIT 1 OFFSET 1',
        id,
      );
      for (const table of ['entries', 'statements']) {
        db.prepare(`DELETE FROM ${table} WHERE boot = ? AND idx >= ?`).run(id, before.size);
      }
      db.prepare('DELETE FROM evidence WHERE boot = ? AND size > ?').run(id, before.size);
      db.prepare('UPDATE boots SET head_size = ?, head_root = ?, head_report_data = ? WHERE id = ?').run(
        before.size,
        before.root,
        before.report_data,
        id,
      );
    });
    expectFound(
      report,
      { code: 'ENTRY_MISSING', boot, index: 804 },
      { code: 'EVIDENCE_MISSING', boot },
      { code: 'ROW_ALTERED', boot, object: 'boots' },
    );
  });

  test('the whole database is put back to an earlier state', async () => {
    const old = place.copy(folder);
    const archive = await openFor(folder, 'write');
    await archive.record([{ kind: 'hold', hold: 'case 1', scope: EVERYTHING, reason: 'litigation' }]);
    const head = (await archive.store.actHead())!;
    await archive.close();
    const report = await auditAfter((_db, copy) => {
      for (const name of readdirSync(copy)) {
        if (name.startsWith('archive.sqlite')) rmSync(path.join(copy, name));
      }
      writeFileSync(path.join(copy, 'archive.sqlite'), readFile(path.join(old, 'archive.sqlite')));
    });
    expectFound(report, { code: 'STORE_ROLLED_BACK', object: hex(head.root) });

    // With the head beside the key put back as well, only a head kept elsewhere tells.
    const whole = await openFor(old, 'read');
    expect((await audit(whole)).verdict).toBe('intact');
    expectFound(await audit(whole, { heads: [head.note] }), { code: 'STORE_ROLLED_BACK', object: hex(head.root) });
    await whole.close();
  });

  test('the log of a boot is forked', async () => {
    const { MiniEnclave: Enclave } = await import('../support/mini-enclave.ts');
    const seed = new Uint8Array(32).fill(9);
    const [one, other] = [new Enclave({ seed }), new Enclave({ seed })];
    const files = place.path('forked');
    const copy = place.copy(folder);
    const archive = await openFor(copy, 'write');
    let forked = '';
    for (const [i, enclave] of [one, other].entries()) {
      mkdirSync(`${files}-${i}`, { recursive: true });
      const answer = await enclave.infer();
      const tick = await enclave.tick();
      writeFileSync(path.join(`${files}-${i}`, 'r.veritee'), enclave.receipt(answer, tick));
      const appraiser = await Appraiser.create(
        { policy: POLICY, anchors: [tick.root], endorsements: [], crls: [] },
        archive.blobs,
      );
      await ingestFolder(archive, `${files}-${i}`, { appraiser, tenant: null, retentionClass: 'standard' });
      forked = hex(bootField((await archive.store.boots()).at(-1)!.boot));
    }
    const report = await audit(archive);
    await archive.close();
    expectFound(report, { code: 'SESSION_FORKED', boot: forked, index: 1 });
  });

  test('a report of another branch lies among those of a log', async () => {
    const session = new SessionKey();
    const common = { receipts: 300, checkpoints: 3, boots: 1, session };
    const [one, other] = [
      await SyntheticService.create({ ...common, folder: place.path('one') }),
      await SyntheticService.create({ ...common, folder: place.path('other'), ended: false }),
    ];
    const fork = one.logs[0]!.boot;
    const file = other.logs[0]!.evidence(null)!;
    const files = place.path('branch');
    mkdirSync(files);
    writeFileSync(path.join(files, 'evidence'), file);
    const archive = await openFor(place.path('branched'), 'write');
    const inputs = { policy: POLICY, anchors: [other.root], endorsements: [], crls: [] };
    const appraiser = await Appraiser.create(inputs, archive.blobs);
    await ingestFolder(archive, files, { appraiser, tenant: null, retentionClass: 'standard' });
    await ingestAll(archive, one);
    const report = await audit(archive);
    await archive.close();
    for (const service of [one, other]) service.close();
    const { reportData } = await readEvidenceFile(file);
    expectFound(report, { code: 'LOG_FORKED', boot: fork, index: 304, object: hex(reportData) });
  });

  test('the policy of frozen verdicts is edited', async () => {
    const digest = hex(sha256Of(POLICY));
    const report = await auditAfter((_db, copy) => {
      writeFileSync(path.join(copy, 'blobs', digest.slice(0, 2), digest.slice(2)), 'builtin:everything');
    });
    expectFound(report, { code: 'POLICY_ALTERED', object: digest }, { code: 'VERDICT_CHANGED', boot });
  });

  test('a verdict is edited', async () => {
    const report = await auditAfter((db) => {
      db.prepare("UPDATE evidence SET verdict = 'contraindicated' WHERE boot = ? AND size = 304").run(bootRow(db));
    });
    expectFound(report, { code: 'ROW_ALTERED', boot, object: expect.stringMatching(/^[0-9a-f]{128}$/) });
  });

  test('the clock is wrong', async () => {
    const copy = place.copy(folder);
    const archive = await openFor(copy, 'write', () => AT.getTime() - 3_600_000);
    await archive.record([{ kind: 'hold', hold: 'case 2', scope: EVERYTHING, reason: 'litigation' }]);
    const report = await audit(archive);
    const act = report.figures.acts - 1;
    await archive.close();
    expect(report.findings).toContainEqual(
      expect.objectContaining({ code: 'CLOCK_BACKWARDS', object: `act ${act}`, severity: 'warning' }),
    );
  });

  test('a blob is deleted', async () => {
    const digest = hex(sha256Of(service.root));
    const report = await auditAfter((_db, copy) =>
      rmSync(path.join(copy, 'blobs', digest.slice(0, 2), digest.slice(2))),
    );
    expectFound(report, { code: 'BLOB_MISSING', object: digest });
  });

  test('content is erased without a tombstone', async () => {
    const report = await auditAfter((db) => {
      db.prepare('UPDATE entries SET cose = NULL, purge = 1 WHERE boot = ? AND idx = 250').run(bootRow(db));
      db.prepare('DELETE FROM statements WHERE boot = ? AND idx = 250').run(bootRow(db));
    });
    expectFound(report, { code: 'ENTRY_MISSING', boot, index: 250 });
  });

  test('a tombstone accounts for what it erased, and for nothing else', async () => {
    const copy = place.copy(folder);
    const archive = await openFor(copy, 'write');
    const leaves = (await archive.store.leaves({ boot, from: 20, to: 30 }))!;
    const range = { boot: bootField(boot), from: 20, to: 30 };
    const [reason, rule] = ['expired', 'standard'];
    await archive.record(
      [
        {
          kind: 'purge',
          scope: EVERYTHING,
          ranges: [range],
          entries: 10,
          leaves: sha256Of(leaves),
          blobs: [],
          rule,
          reason,
        },
      ],
      (act) => ({ purge: { places: Array.from({ length: 10 }, (_, i) => ({ boot, index: 20 + i })), act } }),
    );
    const report = await audit(archive);
    await archive.close();
    expect(report.verdict).toBe('intact');
    expect(report.figures.purged).toBe(10);

    const more = await auditAfter((db) => {
      const act = read<{ purge: number }>(db, 'SELECT purge FROM entries WHERE purge IS NOT NULL').purge;
      db.prepare('UPDATE entries SET cose = NULL, purge = ? WHERE boot = ? AND idx = 30').run(act, bootRow(db));
      db.prepare('DELETE FROM statements WHERE boot = ? AND idx = 30').run(bootRow(db));
    }, copy);
    expectFound(more, { code: 'ENTRY_MISSING', boot, index: 30 });
  });

  test('an act is dropped, or forged', async () => {
    const dropped = await auditAfter((db) => void db.prepare('DELETE FROM acts WHERE idx = 3').run());
    expectFound(dropped, { code: 'ACT_MISSING', object: 'act 3' });
    const forged = await auditAfter((db) => {
      const { cose } = read<{ cose: Buffer }>(db, 'SELECT cose FROM acts WHERE idx = 3');
      db.prepare('UPDATE acts SET cose = ? WHERE idx = 3').run(flip(cose));
    });
    expectFound(forged, { code: 'ACT_ALTERED', object: 'act 3' });
  });

  test('a private part is replaced', async () => {
    const report = await auditAfter((db) => {
      db.prepare(
        "UPDATE attachments SET blob = (SELECT blob FROM attachments WHERE role = 'response') WHERE role = 'request'",
      ).run();
    });
    expectFound(report, { code: 'ROW_ALTERED', boot: lone, object: 'attachments' });
  });
});

/** Row numbers, which name nothing outside the database; and what the archive is refused for before an audit begins. */
const NOT_AUDITED = ['boots.id', 'evidence.id', 'models.id', 'findings.id', 'act_head.one', 'identity.one'];
const REFUSED = ['identity.archive', 'identity.public_key'];
const WORDS: Readonly<Record<string, string>> = {
  ended: 'lost',
  open: 'lost',
  affirming: 'contraindicated',
  private: 'response',
  request: 'response',
  response: 'request',
};

function changed(value: unknown): unknown {
  if (value === null) return null;
  if (typeof value === 'number') return value + 1_000_003;
  if (value instanceof Uint8Array) return value.length === 0 ? Buffer.from([1]) : flip(value);
  return WORDS[value as string] ?? `${value}x`;
}

/** The first row in which the column holds something, with that changed. */
function alter(db: Database.Database, table: string, column: string): boolean {
  const keys = (db.pragma(`table_info(${table})`) as { name: string; pk: number }[]).filter(({ pk }) => pk > 0);
  const key = keys.length > 0 ? keys.map(({ name }) => name) : ['rowid'];
  const row = read<Record<string, unknown> | undefined>(
    db,
    `SELECT ${key.join(', ')}, ${column} AS value FROM ${table} WHERE ${column} IS NOT NULL ORDER BY ${key.map((name) => `${name} DESC`).join(', ')} LIMIT 1`,
  );
  if (!row) return false;
  const where = key.map((name) => `${name} IS ?`).join(' AND ');
  try {
    db.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where}`).run(
      changed(row['value']),
      ...key.map((name) => row[name]),
    );
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('SQLITE_CONSTRAINT')) return false; // the database itself refuses
    throw error;
  }
  return true;
}

const tables = (db: Database.Database): string[] =>
  db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").pluck().all() as string[];

describe('every column', () => {
  test('is held against what was signed', async () => {
    const db = new Database(path.join(folder, 'archive.sqlite'), { readonly: true });
    const columns = tables(db).flatMap((table) =>
      (db.pragma(`table_info(${table})`) as { name: string }[]).map(({ name }) => `${table}.${name}`),
    );
    db.close();
    const unnoticed: string[] = [];
    const empty: string[] = [];
    for (const name of columns) {
      if (NOT_AUDITED.includes(name) || REFUSED.includes(name)) continue;
      const [table = '', column = ''] = name.split('.');
      let done = false;
      const report = await auditAfter((copy) => {
        done = alter(copy, table, column);
      });
      if (!done) empty.push(name);
      else if (report.verdict !== 'defects') unnoticed.push(name);
    }
    expect(unnoticed).toEqual([]);
    expect(empty).toEqual(['entries.purge', 'evidence.existed_by_ms']);
  }, 600_000);

  test.each(REFUSED)('%s is refused at the door', async (name) => {
    const [table = '', column = ''] = name.split('.');
    await expect(auditAfter((db) => void alter(db, table, column))).rejects.toMatchObject({
      name: expect.stringMatching(/Error$/),
    });
  });
});

/** All rows by reading tables from end to end, past every index; null where that fails. */
function rowsOf(file: string): string | null {
  const db = new Database(file, { readonly: true });
  try {
    return JSON.stringify(
      tables(db).map((table) => [table, db.prepare(`SELECT * FROM ${table} NOT INDEXED`).raw().all()]),
      (_key, value) => (typeof value === 'bigint' ? String(value) : value),
    );
  } catch {
    return null;
  } finally {
    db.close();
  }
}

const FLIPS = 60;

describe('every page of the database', () => {
  test('is read: a flipped bit that changes what it holds is found, or the audit refuses to begin', async () => {
    const file = path.join(folder, 'archive.sqlite');
    const before = rowsOf(file);
    const whole = readFile(file);
    const passed: number[] = [];
    let found = 0;
    for (let i = 0; i < FLIPS; i++) {
      const at = Math.floor(((i + 0.5) * whole.length) / FLIPS);
      let same = false;
      const outcome = await auditAfter((db, copy) => {
        db.close();
        writeFileSync(path.join(copy, 'archive.sqlite'), flip(whole, at));
        same = rowsOf(path.join(copy, 'archive.sqlite')) === before;
      }).then(
        ({ verdict }) => verdict,
        (error) => {
          expect(error).toBeInstanceOf(CodedError);
          return 'refused';
        },
      );
      if (outcome !== 'intact') found += 1;
      else if (!same) passed.push(at);
    }
    expect(passed).toEqual([]);
    expect(found).toBeGreaterThan(FLIPS / 2); // the rest is space that holds nothing
  }, 600_000);
});
