/**
 * Everything again from raw bytes: the archive's own log, the evidence, the trees, the signatures, the rows, the blobs.
 * What is found is named and placed; nothing is written.
 */
import { type CodedError, EvidenceError, equalBytes, hex, parseSessionClaims } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { checkCompleteness } from '../completeness/check.ts';
import { type Finding, finding, findingKey } from '../findings.ts';
import type { Digest, EvidenceRow } from '../store/port.ts';
import type { WantedBlob } from './blob-pass.ts';
import { BootTree, type KnownRoot } from './boot-tree.ts';
import { type Crew, thisThread } from './crew.ts';
import { Defects } from './defects.ts';
import type { EntryTask } from './entry-pass.ts';
import type { EvidenceTask, ProvenHead } from './evidence-pass.ts';
import { filedIn } from './filed.ts';
import type { HashTask } from './hash-pass.ts';
import { type ExpectedBoot, extentOf, headRow, type Ledger, readLedger } from './ledger.ts';
import { type AuditProgress, measured, type Pass, type PassFigures, runAll } from './passes.ts';
import {
  checkAttachments,
  checkBeyond,
  checkBoots,
  checkFindings,
  checkGaps,
  checkProofs,
  checkPurges,
} from './rows.ts';
import { isUnreadable } from './unreadable.ts';

/** Multiples of 256: a task reads whole blocks. */
const HASH_ENTRIES = 4_096;
const SIGNED_ENTRIES = 1_024;
const EVIDENCE_FILES = 64;
const BLOBS_AT_ONCE = 64;
const ROWS_AT_ONCE = 256;

export interface AuditOptions {
  /** Worker threads; without, this thread does it all. */
  readonly crew?: Crew;
  /** Notes of heads that the archive signed, kept elsewhere. */
  readonly heads?: readonly string[];
  readonly onProgress?: (progress: AuditProgress) => void;
}

export interface AuditFinding extends Finding {
  /** The act that recorded it before this audit; null for what is new. */
  readonly act: number | null;
}

export interface AuditFigures {
  readonly acts: number;
  readonly boots: number;
  readonly evidence: number;
  readonly entries: number;
  readonly statements: number;
  readonly purged: number;
  readonly entryBytes: number;
  readonly blobs: number;
  readonly threads: number;
  readonly passes: Readonly<Record<Pass, PassFigures>>;
}

export interface AuditReport {
  readonly archive: string;
  /** The signed head that was audited. */
  readonly head: { readonly size: number; readonly root: Digest; readonly note: string } | null;
  /** By the archive's clock. */
  readonly atMs: number;
  /** `intact`: nothing critical, neither found now nor recorded before. */
  readonly verdict: 'intact' | 'defects';
  readonly findings: readonly AuditFinding[];
  /** Further findings of a code that are not listed. */
  readonly unlisted: Readonly<Record<string, number>>;
  readonly figures: AuditFigures;
}

/** @throws CodedError ARCHIVE_INVALID a given head is not this archive's; STORE_FAILED the database cannot be used at all */
export async function audit(archive: Archive, options: AuditOptions = {}): Promise<AuditReport> {
  return new Auditor(archive, options).run();
}

class Auditor {
  readonly #archive: Archive;
  readonly #crew: Crew;
  readonly #options: AuditOptions;
  readonly #defects = new Defects();
  readonly #heads = new Map<string, ProvenHead>();
  readonly #wanted = new Map<string, WantedBlob>();
  readonly #totals = { entries: 0, statements: 0, purged: 0, entryBytes: 0, evidence: 0 };

  constructor(archive: Archive, options: AuditOptions) {
    this.#archive = archive;
    this.#crew = options.crew ?? thisThread(archive);
    this.#options = options;
  }

  async run(): Promise<AuditReport> {
    const atMs = this.#archive.now();
    const head = await headRow(this.#archive);
    let ledger: Ledger | null = null;
    const log = await measured(async () => {
      ledger = await readLedger(this.#archive, this.#options.heads ?? [], this.#defects);
      return ledger.size;
    });
    if (!ledger) throw new TypeError('no ledger was read');
    const known: Ledger = ledger;
    const evidence = await measured(() => this.#evidence(known));
    const hash = await measured(() => this.#hash(known));
    const entries = await measured(() => this.#entries(known));
    const rows = await measured(() => this.#rows(known));
    const blobs = await measured(() => this.#blobs(known));
    const findings = this.#findings(known);
    return {
      archive: this.#archive.id,
      head,
      atMs,
      verdict: findings.some(({ severity }) => severity === 'critical') ? 'defects' : 'intact',
      findings,
      unlisted: Object.fromEntries(this.#defects.unlisted),
      figures: {
        acts: known.size,
        boots: known.boots.size,
        ...this.#totals,
        blobs: blobs.items,
        threads: this.#crew.threads,
        passes: { log, evidence, hash, entries, rows, blobs },
      },
    };
  }

  #progress(pass: Pass, done: number, total: number): void {
    this.#options.onProgress?.({ pass, done, total });
  }

  /** What this audit found, then what was recorded before and is not found again by reading the archive. */
  #findings(ledger: Ledger): AuditFinding[] {
    const recorded = new Map<string, AuditFinding>();
    for (const { finding: one, act } of ledger.findings) recorded.set(findingKey(one), { ...one, act });
    const found = this.#defects.findings.map((one) => ({ ...one, act: recorded.get(findingKey(one))?.act ?? null }));
    for (const one of found) recorded.delete(findingKey(one));
    return [...found, ...recorded.values()];
  }

  /** Runs what reads rows; rows that cannot be read back are a finding. */
  async #reading(what: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#defects.add(finding('ROW_ALTERED', `${what} cannot be read: ${error.message}`, { object: what }));
    }
  }

  async #evidence({ boots }: Ledger): Promise<number> {
    const due = [...boots.values()].flatMap(({ evidence }) => [...evidence.values()]);
    const tasks = function* (): Iterable<EvidenceTask> {
      for (let i = 0; i < due.length; i += EVIDENCE_FILES) {
        yield { pass: 'evidence', expected: due.slice(i, i + EVIDENCE_FILES) };
      }
    };
    await runAll(
      this.#crew,
      tasks(),
      (_task, { files, heads, blobs, found }) => {
        this.#defects.merge(found);
        for (const head of heads) this.#heads.set(head.reportData, head);
        for (const digest of blobs) this.#want(digest, 'a certificate or CRL of evidence');
        this.#totals.evidence += files;
        this.#progress('evidence', this.#totals.evidence, due.length);
      },
      ({ expected }, error) => {
        const [first] = expected;
        const object = first ? hex(first.reportData) : '';
        this.#defects.add(finding('ROW_ALTERED', `evidence from here on cannot be read: ${error.message}`, { object }));
      },
    );
    for (const { appraisal } of due) {
      this.#want(hex(appraisal.policy), 'a policy of frozen verdicts', true);
      for (const digest of appraisal.anchors) this.#want(hex(digest), 'a trust anchor of frozen verdicts');
      for (const digest of appraisal.endorsements) this.#want(hex(digest), 'an endorsement of frozen verdicts');
      for (const digest of appraisal.crls) this.#want(hex(digest), 'a CRL of frozen verdicts');
    }
    for (const boot of boots.values()) await this.#strayEvidence(boot);
    return due.length;
  }

  /** Evidence rows that no act recorded. */
  async #strayEvidence({ boot, evidence }: ExpectedBoot): Promise<void> {
    for (let skip = 0; ; skip += ROWS_AT_ONCE) {
      let page: readonly EvidenceRow[];
      try {
        page = await this.#archive.store.evidenceOf(boot, skip, ROWS_AT_ONCE);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        const text = `a row of evidence cannot be read: ${error.message}`;
        this.#defects.add(finding('ROW_ALTERED', text, { boot, object: `evidence from row ${skip} on` }));
        continue;
      }
      for (const row of page) {
        const name = hex(row.reportData);
        if (evidence.has(name)) continue;
        this.#defects.add(finding('EVIDENCE_ALTERED', 'evidence that no act recorded', { boot, object: name }));
      }
      if (page.length < ROWS_AT_ONCE) return;
    }
  }

  #rootsOf({ spans, evidence }: ExpectedBoot): KnownRoot[] {
    const recorded = spans.map(({ to, root, act }): KnownRoot => ({ size: to, root, by: { act } }));
    const covered = new Set(spans.map(({ reportData }) => reportData));
    const apart = [...evidence.keys()].flatMap((reportData): KnownRoot[] => {
      const head = covered.has(reportData) ? null : this.#heads.get(reportData);
      return head ? [{ size: head.size, root: head.root, by: { reportData } }] : [];
    });
    return [...recorded, ...apart];
  }

  async #hash(ledger: Ledger): Promise<number> {
    let done = 0;
    const total = [...ledger.boots.values()].reduce((sum, { spans }) => sum + extentOf(spans), 0);
    const trees = new Map<string, BootTree>();
    for (const boot of ledger.boots.values()) {
      this.#compareRoots(boot);
      trees.set(boot.boot, new BootTree(boot.boot, this.#rootsOf(boot)));
    }
    await runAll(
      this.#crew,
      hashTasks(ledger, trees),
      (task, answer) => {
        this.#defects.merge(answer.found);
        trees.get(task.boot)?.add(task, answer);
        this.#totals.entries += answer.entries;
        this.#totals.purged += answer.purged;
        this.#totals.entryBytes += answer.bytes;
        done += task.to - task.from;
        this.#progress('hash', done, total);
      },
      (task, error) => this.#unreadableEntries(task, error),
    );
    for (const due of ledger.boots.values()) {
      await this.#reading(`the tree of boot ${due.boot}`, async () => {
        await trees.get(due.boot)?.check(this.#archive.store, due.head?.size ?? 0, this.#defects);
        await checkGaps(this.#archive.store, due, this.#defects);
        this.#totals.entries += await checkBeyond(this.#archive.store, due, this.#defects);
      });
    }
    return this.#totals.entries;
  }

  /** What an act recorded as the root is what the report it names vouches for. */
  #compareRoots({ boot, spans }: ExpectedBoot): void {
    for (const { reportData, to, root, act } of spans) {
      const head = reportData === null ? null : this.#heads.get(reportData);
      if (!head || (head.size === to && equalBytes(head.root, root))) continue;
      const text = `act ${act} recorded another size or root than the report that it names`;
      this.#defects.add(finding('EVIDENCE_ALTERED', text, { boot, index: to, object: head.reportData }));
    }
  }

  #unreadableEntries({ boot, from, to }: HashTask | EntryTask, error: CodedError): void {
    const text = `entries ${from} to ${to - 1} cannot be read: ${error.message}`;
    this.#defects.add(finding('ROW_ALTERED', text, { boot, index: from }));
  }

  async #entries(ledger: Ledger): Promise<number> {
    let done = 0;
    const proven = new Map([...this.#heads].map(([name, { existedByMs }]) => [name, existedByMs]));
    const columns = new Map<string, number>();
    const claims = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const due of ledger.boots.values()) {
      const own = await this.#claims(due);
      if (own) claims.set(due.boot, own);
    }
    await runAll(
      this.#crew,
      entryTasks(ledger, claims, proven),
      (task, answer) => {
        this.#defects.merge(answer.found);
        this.#totals.statements += answer.statements;
        columns.set(task.boot, (columns.get(task.boot) ?? 0) + answer.columns);
        done += answer.entries;
        this.#progress('entries', done, this.#totals.entries);
      },
      (task, error) => this.#unreadableEntries(task, error),
    );
    await this.#reading('search columns', async () => {
      for (const [boot, seen] of columns) {
        const stored = await this.#archive.store.countStatements({ boot });
        if (stored === seen) continue;
        const text = `${stored - seen} rows of search columns lie where no entry is`;
        this.#defects.add(finding('ROW_ALTERED', text, { boot, object: 'statements' }));
      }
    });
    return done;
  }

  /** Session claims that evidence commits to; of a boot without any, those that its id is derived from. */
  async #claims({ boot, evidence }: ExpectedBoot): Promise<Uint8Array<ArrayBuffer> | null> {
    for (const name of evidence.keys()) {
      const head = this.#heads.get(name);
      if (head) return head.sessionClaims;
    }
    try {
      const row = await this.#archive.store.boot(boot);
      if (row && hex(parseSessionClaims(row.sessionClaims).bootId) === boot) return row.sessionClaims;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
    }
    const text = 'there are no session claims of this boot: its signatures cannot be verified';
    this.#defects.add(finding('ROW_ALTERED', text, { boot, object: 'boots' }));
    return null;
  }

  async #rows(ledger: Ledger): Promise<number> {
    const { store } = this.#archive;
    await this.#reading('the database', async () => {
      for (const text of await store.check()) {
        this.#defects.add(
          finding('ROW_ALTERED', `the database finds in its own files: ${text}`, { object: 'database' }),
        );
      }
    });
    await this.#reading('boots', () => checkBoots(store, ledger, this.#heads, this.#defects));
    await this.#reading('findings', () => checkFindings(store, ledger, this.#defects));
    await this.#reading('attachments', async () => {
      for (const digest of await checkAttachments(store, ledger, this.#defects))
        this.#want(digest, 'a part of a receipt');
    });
    await this.#reading('purged entries', () => checkPurges(store, ledger, this.#defects));
    for (const due of ledger.boots.values()) {
      await this.#reading(`proofs of boot ${due.boot}`, () =>
        checkProofs(store, ledger, due, this.#heads, this.#defects),
      );
    }
    await this.#reading('the search columns', async () => {
      for await (const one of checkCompleteness(store)) {
        if (one.code !== 'LOG_GAP') this.#defects.add(one); // ENTRY_MISSING, by now
      }
    });
    return ledger.boots.size + ledger.findings.length + ledger.attachments.length;
  }

  #want(digest: string, role: string, isPolicy = false): void {
    if (!this.#wanted.has(digest)) this.#wanted.set(digest, { digest, role, isPolicy });
  }

  async #blobs({ policies, timestamps, retention, purges }: Ledger): Promise<number> {
    for (const { policy, anchors } of policies) {
      this.#want(hex(policy), 'a policy', true);
      for (const digest of anchors) this.#want(hex(digest), 'a trust anchor');
    }
    for (const { token } of timestamps) this.#want(hex(token), 'a timestamp');
    for (const { rules } of retention) this.#want(hex(rules), 'the retention rules', true);
    const wanted = [...this.#wanted.values()];
    const tasks = Array.from({ length: Math.ceil(wanted.length / BLOBS_AT_ONCE) }, (_, i) => ({
      pass: 'blobs' as const,
      wanted: wanted.slice(i * BLOBS_AT_ONCE, (i + 1) * BLOBS_AT_ONCE),
    }));
    let done = 0;
    await runAll(
      this.#crew,
      tasks,
      (task, { found }) => {
        this.#defects.merge(found);
        done += task.wanted.length;
        this.#progress('blobs', done, wanted.length);
      },
      ({ wanted: [first] }, error) => {
        const text = `blobs from here on cannot be read: ${error.message}`;
        this.#defects.add(finding('BLOB_MISSING', text, first ? { object: first.digest } : {}));
      },
    );
    const erased = new Set(purges.flatMap(({ blobs }) => blobs.map(hex)));
    for await (const digest of this.#archive.blobs.list()) {
      const name = hex(digest);
      if (this.#wanted.has(name)) continue;
      const text = erased.has(name) ? 'a blob that a purge erased is still there' : 'a blob that nothing refers to';
      this.#defects.add(finding('BLOB_UNUSED', text, { object: name }));
    }
    return wanted.length;
  }
}

function* hashTasks({ boots, erased }: Ledger, trees: ReadonlyMap<string, BootTree>): Iterable<HashTask> {
  for (const { boot, spans, head } of boots.values()) {
    const end = extentOf(spans);
    const own = erased.filter((range) => range.boot === boot);
    for (let from = 0; from < end; from += HASH_ENTRIES) {
      const to = Math.min(end, from + HASH_ENTRIES);
      const within = own.filter((range) => range.from < to && range.to > from);
      const heads = trees.get(boot)?.headsIn(from, to) ?? [];
      yield { pass: 'hash', boot, from, to, heads, reported: head?.size ?? 0, erased: within };
    }
  }
}

function* entryTasks(
  { boots }: Ledger,
  claims: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  proven: ReadonlyMap<string, number | null>,
): Iterable<EntryTask> {
  for (const due of boots.values()) {
    const { boot, spans, singles } = due;
    const sessionClaims = claims.get(boot);
    if (!sessionClaims) continue;
    const end = extentOf(spans);
    const starts = new Set<number>();
    for (let from = 0; from < end; from += SIGNED_ENTRIES) starts.add(from);
    for (const index of singles.keys()) starts.add(index - (index % SIGNED_ENTRIES));
    for (const from of [...starts].sort((a, b) => a - b)) {
      const to = from + SIGNED_ENTRIES;
      const filed = filedIn(due, { from, to }, proven);
      yield { pass: 'entries', boot, from, to, sessionClaims, filed };
    }
  }
}
