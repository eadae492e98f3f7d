/**
 * What the archive's own signed log says should be there. The audit believes this log, once its tree, its head and every
 * signature hold, and holds the rest of the archive against it.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { type Bytes, CodedError, type Ed25519Key, equalBytes, type Hash, hex } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { type Finding, finding, isFindingCode } from '../findings.ts';
import { type ActOf, parseAct, type RecordedAct } from '../log/acts.ts';
import { type ArchiveCheckpoint, parseArchiveCheckpoint, verifyArchiveCheckpoint } from '../log/checkpoint.ts';
import { Frontier, leafHashOf } from '../log/frontier.ts';
import type { ActHead, ActRow, BootState, Digest } from '../store/port.ts';
import type { Defects } from './defects.ts';
import { isUnreadable } from './unreadable.ts';

type Recorded<K extends RecordedAct['kind']> = Extract<RecordedAct, { readonly kind: K }>;

/** How entries were filed when they first came. */
interface Filing {
  readonly act: number;
  readonly timeMs: number;
  readonly tenant: string | null;
  readonly retentionClass: string;
}

/** Entries that one act brought, `from` to `to`, less those that an earlier one had; `root` is that of the first `to`. */
export interface Span extends Filing {
  readonly from: number;
  readonly to: number;
  readonly root: Hash;
  /** Null for a tail, which no report covers. */
  readonly reportData: string | null;
}

/** An entry that came alone, in a receipt file. */
export interface Single extends Filing {
  readonly index: number;
  readonly leaf: Hash;
  /** Its path to evidence came with it. */
  readonly proven: boolean;
}

export interface ExpectedEvidence {
  readonly boot: string;
  readonly reportData: Bytes<64>;
  readonly file: Digest;
  readonly appraisal: ActOf<'ingest'>['appraisal'];
  readonly act: number;
  readonly timeMs: number;
}

export interface ExpectedBoot {
  readonly boot: string;
  readonly source: string;
  /** It was first seen between the act before the first that names it, and that one. */
  readonly firstSeen: { readonly fromMs: number; readonly toMs: number };
  /** One behind the other from entry 0 on. */
  readonly spans: Span[];
  readonly singles: Map<number, Single>;
  /** By REPORT_DATA in hex, as first recorded. */
  readonly evidence: Map<string, ExpectedEvidence>;
  /** The newest head under a report. */
  head: { readonly size: number; readonly root: Hash; readonly reportData: string } | null;
  /** The evidence whose anchor names the boot's platform. */
  platformBy: string | null;
  state: BootState;
}

/** Times by outside clocks, by REPORT_DATA in hex. */
export type ProvenTimes = ReadonlyMap<string, number | null>;

export interface ExpectedAttachment {
  readonly boot: string;
  readonly index: number;
  readonly role: string;
  readonly blob: Digest;
  readonly act: number;
}

export interface Erased {
  readonly boot: string;
  readonly from: number;
  readonly to: number;
  readonly act: number;
}

export interface RecordedFinding {
  readonly finding: Finding;
  readonly act: number;
  readonly timeMs: number;
}

export interface Ledger {
  readonly size: number;
  readonly head: ArchiveCheckpoint | null;
  readonly boots: ReadonlyMap<string, ExpectedBoot>;
  readonly attachments: readonly ExpectedAttachment[];
  readonly purges: readonly Recorded<'purge'>[];
  readonly erased: readonly Erased[];
  readonly findings: readonly RecordedFinding[];
  readonly timestamps: readonly Recorded<'timestamp'>[];
  readonly policies: readonly Recorded<'policy'>[];
  readonly retention: readonly Recorded<'retention'>[];
}

const ACTS_AT_ONCE = 4096;
/** RFC 8410 §4: what stands before the 32 bytes of a raw key. */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
/** The archive's clock and that of a timestamp authority may differ by this much. */
const CLOCK_SKEW_MS = 60_000;

/** Of a key that `ed25519Key` has accepted: OpenSSL, unlike the strict check, takes points of small order. */
export const nodeKey = (key: Ed25519Key): KeyObject =>
  createPublicKey({ key: Buffer.concat([SPKI_ED25519, key]), format: 'der', type: 'spki' });

const actPlace = (index: number): { readonly object: string } => ({ object: `act ${index}` });

const missingActs = (from: number, to: number): Finding =>
  finding('ACT_MISSING', `acts ${from} to ${to - 1} of the archive's own log are not stored`, actPlace(from));

/**
 * Reads and verifies the whole log.
 * @param heads notes that the archive's key signed earlier, kept elsewhere: the log must contain them
 */
export async function readLedger(archive: Archive, heads: readonly string[], defects: Defects): Promise<Ledger> {
  const builder = new LedgerBuilder(defects);
  const head = await readHead(archive, defects);
  const kept = await keptHeads(archive, heads, defects);
  const roots = new Map<number, Hash>();
  const wanted = new Set([head?.size, ...kept.map(({ size }) => size)]);
  const tree = Frontier.empty();
  const key = nodeKey(archive.publicKey);
  let size = 0;
  for (let rows = await readActs(archive, 0, defects); rows.length > 0; ) {
    for (const row of rows) {
      if (row.index > size) defects.add(missingActs(size, row.index));
      const leaf = leafHashOf(row.cose);
      const act = readAct(row, leaf, key, defects);
      if (act) builder.take(act);
      tree.append(leaf);
      size = row.index + 1;
      if (wanted.has(size)) roots.set(size, tree.root());
    }
    rows = await readActs(archive, size, defects);
  }
  checkHead(head, size, roots, defects);
  for (const { size: until, root } of kept) {
    const now = roots.get(until);
    if (now && equalBytes(now, root)) continue;
    const text = `the archive signed a head over ${until} acts that its log of ${size} does not continue`;
    defects.add(finding('STORE_ROLLED_BACK', text, { object: hex(root) }));
  }
  return builder.finish(size, head);
}

/** Empty at the end, and where they cannot be read. */
async function readActs(archive: Archive, from: number, defects: Defects): Promise<readonly ActRow[]> {
  try {
    return await archive.store.acts(from, from + ACTS_AT_ONCE);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    defects.add(finding('ACT_ALTERED', `acts from ${from} on cannot be read: ${error.message}`, actPlace(from)));
    return [];
  }
}

/** The row of the signed head; null where there is none that can be read. */
export async function headRow(archive: Archive): Promise<ActHead | null> {
  try {
    return await archive.store.actHead();
  } catch (error) {
    if (isUnreadable(error)) return null;
    throw error;
  }
}

async function readHead(archive: Archive, defects: Defects): Promise<ArchiveCheckpoint | null> {
  const row = await headRow(archive);
  if (!row) return null;
  const note = await verifiedNote(row.note, archive.publicKey);
  if (!note) {
    defects.add(
      finding('ACT_ALTERED', "the head of the archive's own log is not signed by its key", { object: 'head' }),
    );
    return null;
  }
  if (note.size !== row.size || !equalBytes(note.root, row.root)) {
    defects.add(finding('ROW_ALTERED', 'size and root beside the signed head are not those in it', { object: 'head' }));
  }
  return note;
}

async function verifiedNote(text: string, key: Ed25519Key): Promise<ArchiveCheckpoint | null> {
  try {
    const note = parseArchiveCheckpoint(text);
    return (await verifyArchiveCheckpoint(note, key)) ? note : null;
  } catch (error) {
    if (error instanceof CodedError) return null;
    throw error;
  }
}

/** @throws CodedError ARCHIVE_INVALID a head that somebody gave is none of this archive's */
async function keptHeads(
  archive: Archive,
  heads: readonly string[],
  defects: Defects,
): Promise<readonly ArchiveCheckpoint[]> {
  const kept: ArchiveCheckpoint[] = [];
  for (const text of heads) {
    const note = await verifiedNote(text, archive.publicKey);
    if (!note) throw new CodedError('ARCHIVE_INVALID', 'a head that this archive did not sign', { field: 'head' });
    kept.push(note);
  }
  const last = await archive.lastHead();
  if (last === null) return kept;
  const note = await verifiedNote(last, archive.publicKey);
  if (note) return [...kept, note];
  const text = "the head kept beside the archive's key is not signed by it";
  defects.add(finding('ACT_ALTERED', text, { object: 'archive.head' }));
  return kept;
}

function checkHead(head: ArchiveCheckpoint | null, size: number, roots: ReadonlyMap<number, Hash>, defects: Defects) {
  if (!head) {
    const text = 'there is no signed head over the log';
    if (size > 0) defects.add(finding('ACT_MISSING', text, { object: 'head' }));
    return;
  }
  if (head.size > size) {
    defects.add(missingActs(size, head.size));
    return;
  }
  if (head.size < size) {
    defects.add(finding('ACT_ALTERED', 'an act beyond the signed head', actPlace(head.size)));
  }
  const root = roots.get(head.size);
  if (root && equalBytes(root, head.root)) return;
  defects.add(finding('ACT_ALTERED', 'the acts do not hash to the root of the signed head', { object: 'head' }));
}

function readAct(row: ActRow, leaf: Hash, key: KeyObject, defects: Defects): RecordedAct | null {
  const fail = (reason: string): null => {
    defects.add(finding('ACT_ALTERED', `act ${row.index}: ${reason}`, actPlace(row.index)));
    return null;
  };
  let parsed: ReturnType<typeof parseAct>;
  try {
    parsed = parseAct(row.cose);
  } catch (error) {
    if (error instanceof CodedError) return fail(`no act (${error.code})`);
    throw error;
  }
  const { act, message } = parsed;
  if (!verify(null, message.toBeSigned, key, message.signature)) return fail('not signed by the archive');
  if (act.index !== row.index) return fail(`it is act ${act.index}`);
  if (!equalBytes(leaf, row.leaf) || act.kind !== row.kind) {
    const text = `act ${row.index}: kind or leaf hash beside it are not its own`;
    defects.add(finding('ROW_ALTERED', text, actPlace(row.index)));
  }
  return act;
}

/** The index behind the last entry of whole stretches. */
export const extentOf = (spans: readonly Span[]): number => spans.at(-1)?.to ?? 0;

class LedgerBuilder {
  readonly #defects: Defects;
  readonly #boots = new Map<string, ExpectedBoot>();
  readonly #attachments = new Map<string, ExpectedAttachment>();
  readonly #purges: Recorded<'purge'>[] = [];
  readonly #findings: RecordedFinding[] = [];
  readonly #timestamps: Recorded<'timestamp'>[] = [];
  readonly #policies: Recorded<'policy'>[] = [];
  readonly #retention: Recorded<'retention'>[] = [];
  #timeMs = 0;
  /** Times of the acts, by index, for what outside clocks say of them. */
  readonly #times: number[] = [];

  constructor(defects: Defects) {
    this.#defects = defects;
  }

  take(act: RecordedAct): void {
    if (act.timeMs < this.#timeMs) {
      const text = `act ${act.index} claims a time before that of the act before it`;
      this.#defects.add(finding('CLOCK_BACKWARDS', text, actPlace(act.index)));
    }
    this.#timeMs = act.timeMs;
    this.#times[act.index] = act.timeMs;
    switch (act.kind) {
      case 'ingest':
        this.#ingest(act);
        break;
      case 'tail':
        this.#span(this.#boot(act), act);
        break;
      case 'deposit':
        this.#deposit(act);
        break;
      case 'state':
        this.#state(act);
        break;
      case 'purge':
        this.#purges.push(act);
        break;
      case 'finding':
        this.#finding(act);
        break;
      case 'timestamp':
        this.#timestamp(act);
        break;
      case 'policy':
        this.#policies.push(act);
        break;
      case 'retention':
        this.#retention.push(act);
        break;
    }
  }

  #boot({ kind, boot: id, source, timeMs, index }: Recorded<'ingest' | 'tail' | 'deposit'>): ExpectedBoot {
    const boot = hex(id);
    const known = this.#boots.get(boot);
    if (known) return known;
    const fresh: ExpectedBoot = {
      boot,
      source: kind === 'deposit' ? 'files' : source,
      firstSeen: { fromMs: this.#times[index - 1] ?? 0, toMs: timeMs },
      spans: [],
      singles: new Map(),
      evidence: new Map(),
      head: null,
      platformBy: null,
      state: 'open',
    };
    this.#boots.set(boot, fresh);
    return fresh;
  }

  #ingest(act: Recorded<'ingest'>): void {
    const boot = this.#boot(act);
    const { reportData, evidence: file, appraisal, to, root } = act;
    this.#evidence(boot, { reportData, file, appraisal }, act);
    this.#span(boot, act);
    boot.head = { size: to, root, reportData: hex(reportData) };
    boot.platformBy = boot.head.reportData;
  }

  #evidence(
    { boot, evidence }: ExpectedBoot,
    given: Pick<ExpectedEvidence, 'reportData' | 'file' | 'appraisal'>,
    { index: act, timeMs }: RecordedAct,
  ): void {
    const name = hex(given.reportData);
    if (!evidence.has(name)) evidence.set(name, { boot, ...given, act, timeMs });
  }

  #span({ boot, spans, head }: ExpectedBoot, act: Recorded<'ingest' | 'tail'>): void {
    const { from, to, root, index, timeMs, tenant, retentionClass } = act;
    const size = head?.size ?? 0;
    if (from !== size) {
      const text = `act ${index} brought entries from ${from} on, where ${size} were under a report`;
      this.#defects.add(finding('LOG_GAP', text, { boot, index: Math.min(from, size), ...actPlace(index) }));
    }
    const reportData = act.kind === 'ingest' ? hex(act.reportData) : null;
    const fresh = Math.max(from, extentOf(spans)); // a tail may have brought some of them before
    spans.push({ from: fresh, to, root, reportData, act: index, timeMs, tenant, retentionClass });
  }

  #deposit(act: Recorded<'deposit'>): void {
    const isNew = !this.#boots.has(hex(act.boot));
    const boot = this.#boot(act);
    if (isNew) boot.platformBy = act.evidence && hex(act.evidence.reportData);
    const { index: at, timeMs, tenant, retentionClass } = act;
    if (act.evidence) this.#evidence(boot, act.evidence, act);
    for (const { index, leaf, proven } of act.entries) {
      if (index < extentOf(boot.spans) || boot.singles.has(index)) continue;
      boot.singles.set(index, { index, leaf, proven, act: at, timeMs, tenant, retentionClass });
    }
    for (const { index, role, blob } of act.attachments) {
      const key = `${boot.boot} ${index} ${role}`;
      if (!this.#attachments.has(key)) this.#attachments.set(key, { boot: boot.boot, index, role, blob, act: at });
    }
  }

  #finding({ code, severity, boot, entry, object, text, index: act, timeMs }: Recorded<'finding'>): void {
    if (!isFindingCode(code)) return; // `parseAct` has refused it
    const one: Finding = { code, severity, boot: boot && hex(boot), index: entry, object, text };
    this.#findings.push({ finding: one, act, timeMs });
  }

  #state({ boot: id, state }: Recorded<'state'>): void {
    const boot = this.#boots.get(hex(id));
    if (boot) boot.state = state;
  }

  /** A token is made over acts that were there: none of them can be later than it. */
  #timestamp(act: Recorded<'timestamp'>): void {
    this.#timestamps.push(act);
    const late = this.#times.findIndex((timeMs, i) => i < act.size && timeMs > act.existedBy + CLOCK_SKEW_MS);
    if (late < 0) return;
    const text = `act ${late} claims a time after the timestamp of act ${act.index} says it was there`;
    this.#defects.add(finding('CLOCK_CONTRADICTED', text, actPlace(late)));
  }

  finish(size: number, head: ArchiveCheckpoint | null): Ledger {
    return {
      size,
      head,
      boots: this.#boots,
      attachments: [...this.#attachments.values()],
      purges: this.#purges,
      erased: this.#purges.flatMap(({ ranges, index }) =>
        ranges.map(({ boot, from, to }) => ({ boot: hex(boot), from, to, act: index })),
      ),
      findings: this.#findings,
      timestamps: this.#timestamps,
      policies: this.#policies,
      retention: this.#retention,
    };
  }
}
