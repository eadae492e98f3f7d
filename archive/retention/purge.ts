/**
 * Erases receipts and leaves their leaf hashes, with a signed tombstone: every proof over the log still holds, and that
 * something was erased, when, why and by whom is itself in the archive's log.
 *
 * The tombstone is written first, with the rows, in one transaction; then the blobs go. A purge that was killed between is
 * finished by the next one, from its own tombstone.
 */
import { type Bytes, bytes, CodedError, type Hash, hex } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { writeOnceRefusal } from '../blobs/folder.ts';
import { bootField, EVERYTHING, type Scope } from '../log/acts.ts';
import { sha256Of } from '../log/frontier.ts';
import { actsOfKinds } from '../log/read.ts';
import type { ArchiveStore, Digest, EvidenceRow, StatementRow } from '../store/port.ts';
import { checkReason, type Hold, holdsInForce } from './holds.ts';
import { isExpired, type RetentionRule, retentionInForce, ruleFor } from './rules.ts';
import { isWithin, statementsIn } from './scope.ts';

/** Entries under one tombstone. Three attachments each still fit the lists of one act. */
const ENTRIES_PER_ACT = 1000;

export interface PurgeOptions {
  readonly reason: string;
  /** Counts, and erases nothing. */
  readonly dryRun?: boolean;
  readonly onProgress?: (erased: number) => void;
}

export interface Purged {
  readonly entries: number;
  readonly blobs: number;
  /** Receipts that a hold kept, by its name. */
  readonly held: Readonly<Record<string, number>>;
  /** Tombstones. */
  readonly acts: readonly number[];
}

/**
 * Everything of a scope, at somebody's word.
 * @throws CodedError ARCHIVE_WRITE_ONCE; ARCHIVE_HELD nothing was erased; USAGE a scope of everything, or no reason
 */
export async function purgeScope(archive: Archive, scope: Scope, options: PurgeOptions): Promise<Purged> {
  if (JSON.stringify(scope) === JSON.stringify(EVERYTHING)) {
    throw new CodedError('USAGE', 'a purge of everything: name what is to be erased', { field: 'scope' });
  }
  const run = await begin(archive, options);
  for await (const row of statementsIn(archive.store, scope)) {
    const holding = run.holdOver(row);
    if (holding) {
      throw new CodedError(
        'ARCHIVE_HELD',
        `hold ${holding.name} (act ${holding.act}) covers some of it: nothing was erased`,
        {
          field: 'scope',
        },
      );
    }
  }
  return run.erase(statementsIn(archive.store, scope), scope, 'scope');
}

/**
 * Whatever the rules in force no longer keep; what a hold covers stays, and is counted.
 * @throws CodedError ARCHIVE_WRITE_ONCE
 */
export async function purgeExpired(archive: Archive, options: PurgeOptions): Promise<Purged> {
  const run = await begin(archive, options);
  const rules = await retentionInForce(archive);
  const results: Purged[] = [];
  for (const rule of rules) {
    if (rule.keepDays === 'forever') continue;
    const scope: Scope = { ...EVERYTHING, tenant: rule.tenant, model: rule.model, retentionClass: rule.class };
    results.push(await run.erase(run.withoutHeld(expired(archive, rules, rule, scope)), scope, `rule ${rule.name}`));
  }
  return {
    entries: results.reduce((sum, { entries }) => sum + entries, 0),
    blobs: results.reduce((sum, { blobs }) => sum + blobs, 0),
    held: Object.fromEntries(run.held),
    acts: results.flatMap(({ acts }) => acts),
  };
}

async function* expired(archive: Archive, rules: readonly RetentionRule[], rule: RetentionRule, scope: Scope) {
  const nowMs = archive.now();
  const seen = new FirstSeen(archive.store);
  for await (const row of statementsIn(archive.store, scope)) {
    if (ruleFor(row, rules) !== rule) continue;
    if (isExpired(row, rule, await seen.of(row), nowMs)) yield row;
  }
}

/** When the archive first saw the evidence over an entry; for one without, when it first met the boot. */
class FirstSeen {
  readonly #store: ArchiveStore;
  #cover: EvidenceRow | null = null;
  /** The first entry that `#cover` is known to be the first evidence over. */
  #from = 0;

  constructor(store: ArchiveStore) {
    this.#store = store;
  }

  async of({ boot, index }: StatementRow): Promise<number> {
    const known = this.#cover;
    if (known?.boot !== boot || index < this.#from || index >= known.size) {
      this.#cover = await this.#store.firstEvidenceOver(boot, index);
      this.#from = index;
    }
    return this.#cover?.firstSeenMs ?? (await this.#store.boot(boot))?.firstSeenMs ?? Number.MAX_SAFE_INTEGER;
  }
}

async function begin(archive: Archive, options: PurgeOptions): Promise<Run> {
  if (archive.writeOnce) throw writeOnceRefusal();
  checkReason(options.reason);
  if (!options.dryRun) await finishPurges(archive);
  return new Run(archive, [...(await holdsInForce(archive)).values()], options);
}

class Run {
  readonly held = new Map<string, number>();
  readonly #archive: Archive;
  readonly #holds: readonly Hold[];
  readonly #options: PurgeOptions;
  #needed: ReadonlySet<string> | null = null;

  constructor(archive: Archive, holds: readonly Hold[], options: PurgeOptions) {
    this.#archive = archive;
    this.#holds = holds;
    this.#options = options;
  }

  holdOver(row: StatementRow): Hold | undefined {
    return this.#holds.find(({ scope }) => isWithin(row, scope));
  }

  async *withoutHeld(rows: AsyncIterable<StatementRow>): AsyncGenerator<StatementRow> {
    for await (const row of rows) {
      const holding = this.holdOver(row);
      if (holding) this.held.set(holding.name, (this.held.get(holding.name) ?? 0) + 1);
      else yield row;
    }
  }

  /** Rows are read a page ahead of what is erased behind them: pages continue from a place, not from a count. */
  async erase(rows: AsyncIterable<StatementRow>, scope: Scope, rule: string): Promise<Purged> {
    const acts: number[] = [];
    let [entries, blobs] = [0, 0];
    let batch: StatementRow[] = [];
    const flush = async (): Promise<void> => {
      if (batch.length === 0) return;
      entries += batch.length;
      if (!this.#options.dryRun) {
        const done = await this.#eraseBatch(batch, scope, rule);
        acts.push(done.act);
        blobs += done.blobs;
      }
      batch = [];
      this.#options.onProgress?.(entries);
    };
    for await (const row of rows) {
      batch.push(row);
      if (batch.length === ENTRIES_PER_ACT) await flush();
    }
    await flush();
    return { entries, blobs, held: Object.fromEntries(this.held), acts };
  }

  async #eraseBatch(
    rows: readonly StatementRow[],
    scope: Scope,
    rule: string,
  ): Promise<{ act: number; blobs: number }> {
    const { store } = this.#archive;
    const ranges = rangesOf(rows);
    const leaves: Hash[] = [];
    const attached = new Map<string, { readonly blob: Digest; count: number }>();
    for (const range of ranges) {
      for (const { leaf } of await store.entries(range)) leaves.push(leaf);
      for (const { blob } of await store.attachments(range)) {
        const known = attached.get(hex(blob));
        attached.set(hex(blob), { blob, count: (known?.count ?? 0) + 1 });
      }
    }
    const blobs: Digest[] = [];
    for (const { blob, count } of attached.values()) if ((await store.attachedTo(blob)) === count) blobs.push(blob);
    const places = rows.map(({ boot, index }) => ({ boot, index }));
    const recorded = await this.#archive.record(
      [
        {
          kind: 'purge',
          scope,
          ranges: ranges.map(({ boot, from, to }) => ({ boot: bootField(boot), from, to })),
          entries: rows.length,
          leaves: bytes(sha256Of(Buffer.concat(leaves)), 32, 'leaves'),
          blobs,
          rule,
          reason: this.#options.reason,
        },
      ],
      (act) => ({ purge: { places, act } }),
    );
    const [act] = recorded?.acts ?? [];
    if (!act) throw new TypeError('a purge that was not recorded');
    this.#needed ??= await neededBlobs(store);
    return { act: act.index, blobs: await eraseBlobs(this.#archive, blobs, this.#needed) };
  }
}

/** Neighbouring places, by boot and index. */
function rangesOf(
  rows: readonly StatementRow[],
): { readonly boot: string; readonly from: number; readonly to: number }[] {
  const sorted = [...rows].sort((a, b) => (a.boot === b.boot ? a.index - b.index : a.boot < b.boot ? -1 : 1));
  const ranges: { boot: string; from: number; to: number }[] = [];
  for (const { boot, index } of sorted) {
    const last = ranges.at(-1);
    if (last?.boot === boot && last.to === index) last.to += 1;
    else ranges.push({ boot, from: index, to: index + 1 });
  }
  return ranges;
}

/**
 * Erases the blobs of tombstones whose purge was killed before it had done so.
 * @returns how many there were
 */
export async function finishPurges(archive: Archive): Promise<number> {
  if (archive.writeOnce) return 0;
  let erased = 0;
  let needed: ReadonlySet<string> | null = null;
  for await (const { blobs } of actsOfKinds(archive.store, ['purge'])) {
    const left: Digest[] = [];
    for (const blob of blobs) if (await archive.blobs.has(blob)) left.push(blob);
    if (left.length === 0) continue;
    needed ??= await neededBlobs(archive.store);
    erased += await eraseBlobs(archive, left, needed);
  }
  return erased;
}

/** Not those that something else refers to: a body may be, byte for byte, what a policy or another receipt is. */
async function eraseBlobs(archive: Archive, blobs: readonly Digest[], needed: ReadonlySet<string>): Promise<number> {
  let erased = 0;
  for (const blob of blobs) {
    if (needed.has(hex(blob)) || (await archive.store.attachedTo(blob)) > 0) continue;
    await archive.blobs.delete(blob);
    erased += 1;
  }
  return erased;
}

/** Every blob that is not an attachment. */
async function neededBlobs(store: ArchiveStore): Promise<ReadonlySet<string>> {
  const needed = new Set<string>();
  const add = (digests: readonly Bytes<32>[]): void => {
    for (const digest of digests) needed.add(hex(digest));
  };
  for await (const act of actsOfKinds(store, ['policy', 'retention', 'timestamp'])) {
    if (act.kind === 'policy') add([act.policy, ...act.anchors]);
    else add([act.kind === 'retention' ? act.rules : act.token]);
  }
  for (const { boot } of await store.boots()) {
    for (let skip = 0; ; skip += EVIDENCE_PAGE) {
      const page = await store.evidenceOf(boot, skip, EVIDENCE_PAGE);
      for (const { certificates, crls, appraisal } of page) {
        add([...certificates, ...crls, appraisal.policy]);
        add([...appraisal.anchors, ...appraisal.endorsements, ...appraisal.crls]);
      }
      if (page.length < EVIDENCE_PAGE) break;
    }
  }
  return needed;
}

const EVIDENCE_PAGE = 500;
