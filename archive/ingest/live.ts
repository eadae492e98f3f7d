/**
 * Follows the logs of a live service: head, consistency with the head seen before, the chain of evidence between them,
 * the entries. What is recorded was verified first; what contradicts what was recorded is a finding and changes nothing.
 */
import {
  type Bytes,
  consistencyPath,
  EvidenceError,
  equalBytes,
  hex,
  nodesFromTiles,
  parseEntry,
  parseEntryBundle,
  parseSessionClaims,
  TILE_WIDTH,
  tileWidth,
  verifyConsistency,
} from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { BlobCache, takeApart } from '../evidence-parts.ts';
import { type Finding, finding } from '../findings.ts';
import { type Act, bootField } from '../log/acts.ts';
import { Frontier } from '../log/frontier.ts';
import { readNode } from '../log/proofs.ts';
import type { BootHead, BootRow, BootState, EntryRow, NodeRow, Rows, StatementRow } from '../store/port.ts';
import type { Appraiser } from './appraiser.ts';
import {
  ClockWatch,
  entryFinding,
  type Filing,
  type ReadEntry,
  type ReadEvidence,
  readEvidenceFile,
  SessionVerifier,
  statementRow,
} from './session.ts';
import type { ListedBoot, LogSource } from './source.ts';

/** Entries gathered into one transaction; a tick is never split. */
const BATCH_ENTRIES = 4_096;
/** Ticks of a log that may lie between two ingests. */
const MAX_CHAIN = 1_000_000;
/** One tick's entries are held in memory. */
const MAX_TICK_BYTES = 256 << 20;
const TREE_LEVELS_PER_TILE = 8;

export interface Progress {
  readonly boot: string;
  /** Entries of this boot that are in the archive, of those that are to be. */
  readonly done: number;
  readonly total: number;
}

export interface IngestOptions extends Filing {
  readonly appraiser: Appraiser;
  /** Boots that must be among the service's: what clients or an orchestrator know of. */
  readonly expectBoots?: readonly string[];
  readonly onProgress?: (progress: Progress) => void;
}

export interface Ingested {
  readonly entries: number;
  readonly evidence: number;
  readonly boots: number;
  /** Every one that was met, known or new. */
  readonly findings: readonly Finding[];
}

/** @throws CodedError SERVICE_UNREACHABLE, SERVICE_REFUSED, SERVICE_ANSWER_INVALID, STORE_FAILED, STORE_FULL: run it again, it goes on from there */
export async function ingestService(archive: Archive, source: LogSource, options: IngestOptions): Promise<Ingested> {
  const listed = await source.boots();
  const totals = { entries: 0, evidence: 0, findings: [] as Finding[] };
  for (const boot of listed) {
    const follower = new Follower(archive, source, options, boot);
    const done = await follower.follow();
    totals.entries += done.entries;
    totals.evidence += done.evidence;
    totals.findings.push(...done.findings);
  }
  const missing = await missingBoots(archive, source, listed, options.expectBoots ?? []);
  await archive.record([], undefined, missing);
  return { ...totals, boots: listed.length, findings: [...totals.findings, ...missing] };
}

/** A service that stops showing a log it once showed, or never showed one that somebody knows of. */
async function missingBoots(
  archive: Archive,
  source: LogSource,
  listed: readonly ListedBoot[],
  expected: readonly string[],
): Promise<Finding[]> {
  const shown = new Set(listed.map(({ boot }) => boot));
  const known = await archive.store.boots();
  const gone = known.filter((row) => row.source === source.name && row.head !== null && !shown.has(row.boot));
  const followed = new Set(known.filter(({ head }) => head !== null).map(({ boot }) => boot));
  return [
    ...gone.map(({ boot }) => finding('BOOT_MISSING', 'the service no longer shows this log', { boot })),
    ...expected
      .filter((boot) => !shown.has(boot) && !followed.has(boot))
      .map((boot) => finding('BOOT_MISSING', 'an enclave that is known of has no log here', { boot })),
  ];
}

/** Rows gathered for one transaction. */
interface Pending {
  readonly acts: Act[];
  readonly evidence: NonNullable<Rows['evidence']>[number][];
  readonly entries: EntryRow[];
  readonly statements: StatementRow[];
  readonly nodes: NodeRow[];
  readonly findings: Finding[];
  boot: BootRow | null;
}

const nothing = (): Pending => ({
  acts: [],
  evidence: [],
  entries: [],
  statements: [],
  nodes: [],
  findings: [],
  boot: null,
});

/** A link of the chain of evidence, as seen on the way back. */
interface Link {
  readonly reportData: Bytes<64>;
  readonly size: number;
}

class Follower {
  readonly #archive: Archive;
  readonly #source: LogSource;
  readonly #options: IngestOptions;
  readonly #listed: ListedBoot;
  readonly #blobs: BlobCache;
  readonly #findings: Finding[] = [];
  readonly #clock = new ClockWatch();
  #pending = nothing();
  #entries = 0;
  #evidence = 0;

  constructor(archive: Archive, source: LogSource, options: IngestOptions, listed: ListedBoot) {
    this.#archive = archive;
    this.#source = source;
    this.#options = options;
    this.#listed = listed;
    this.#blobs = new BlobCache(archive.blobs);
  }

  async follow(): Promise<Omit<Ingested, 'boots'>> {
    const known = await this.#archive.store.boot(this.#listed.boot);
    const whole = await this.#followHead(known);
    await this.#flush();
    if (whole && this.#listed.ended !== null) await this.#finish(this.#listed.ended);
    return { entries: this.#entries, evidence: this.#evidence, findings: this.#findings };
  }

  #found(...args: Parameters<typeof finding>): false {
    const [code, text, place] = args;
    this.#findFiled(finding(code, text, { boot: this.#listed.boot, ...place }));
    return false;
  }

  #findFiled(one: Finding): void {
    this.#findings.push(one);
    this.#pending.findings.push(one);
  }

  /** @returns whether everything up to the service's head is now in the archive */
  async #followHead(known: BootRow | null): Promise<boolean> {
    const { boot } = this.#listed;
    const head = known?.head ?? null;
    const latest = await this.#readEvidence(null);
    if (latest === 'missing') {
      return head === null || this.#found('LOG_ROLLED_BACK', 'the service shows no evidence for a log that had some');
    }
    if (latest === null) return false;
    if (!(await this.#continues(latest, head))) return false;
    const chain = await this.#chainBack(latest, head);
    if (!chain) return false;
    const reader = new EntryReader(this.#source, boot, latest.checkpoint.size);
    const frontier = await Frontier.from(head?.size ?? 0, (node) => readNode(this.#archive.store, boot, node));
    const session = new SessionVerifier(latest.evidence.sessionClaims, latest.session);
    const base = {
      boot,
      source: known?.source ?? this.#source.name,
      firstSeenMs: known?.firstSeenMs ?? this.#archive.now(),
    };
    for (const link of chain) {
      const tick = link.reportData === latest.reportData ? latest : await this.#readEvidence(link.reportData);
      if (tick === null || tick === 'missing') return false;
      if (!(await this.#takeTick(tick, { session, frontier, reader, base }))) return false;
      this.#options.onProgress?.({ boot, done: frontier.size, total: latest.checkpoint.size });
      if (this.#pending.entries.length >= BATCH_ENTRIES || this.#pending.acts.length >= BATCH_ENTRIES)
        await this.#flush();
    }
    return true;
  }

  /** Null when what came is not evidence of this boot; a finding says so. */
  async #readEvidence(reportData: Bytes<64> | null): Promise<ReadEvidence | null | 'missing'> {
    const { boot } = this.#listed;
    const file = await this.#source.evidence(boot, reportData);
    if (!file) return 'missing';
    const object = reportData ? { object: hex(reportData) } : {};
    try {
      const read = await readEvidenceFile(file);
      if (read.boot !== boot) {
        this.#found('CHECKPOINT_INVALID', 'evidence of another boot', object);
        return null;
      }
      if (reportData && !equalBytes(read.reportData, reportData)) {
        this.#found('CHAIN_BROKEN', 'the service answers a REPORT_DATA with evidence of another', object);
        return null;
      }
      return read;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#found('CHECKPOINT_INVALID', `evidence that cannot be read: ${error.message}`, object);
      return null;
    }
  }

  /** The new head continues the one seen before: RFC 9162 §2.1.4, from the service's own tiles. */
  async #continues({ checkpoint }: ReadEvidence, head: BootHead | null): Promise<boolean> {
    const { size, root } = checkpoint;
    if (!head) return true;
    const object = { index: Math.min(size, head.size), object: hex(root) };
    if (size < head.size)
      return this.#found('LOG_ROLLED_BACK', `a signed head of ${size} entries after one of ${head.size}`, object);
    if (size === head.size)
      return equalBytes(root, head.root) || this.#found('LOG_FORKED', `two signed heads of ${size} entries`, object);
    const path = await provedBy(this.#source, this.#listed.boot, head.size, size);
    return (
      verifyConsistency(head.size, size, head.root, root, path) ||
      this.#found('LOG_FORKED', `the head of ${size} entries does not continue that of ${head.size}`, object)
    );
  }

  /** The evidence after `head`, oldest first; null when the chain does not lead back to it. */
  async #chainBack(latest: ReadEvidence, head: BootHead | null): Promise<Link[] | null> {
    const chain: Link[] = [];
    let at: ReadEvidence = latest;
    for (;;) {
      if (head && equalBytes(at.reportData, head.reportData)) break;
      chain.push({ reportData: at.reportData, size: at.checkpoint.size });
      const previous = at.evidence.previousReportData;
      const object = { object: hex(at.reportData) };
      if (!previous) {
        if (!head) break;
        this.#found('LOG_FORKED', 'the chain of reports begins again after one that was seen', object);
        return null;
      }
      if (head && equalBytes(previous, head.reportData)) break;
      const before = chain.length < MAX_CHAIN ? await this.#readEvidence(previous) : 'missing';
      if (before === null) return null;
      if (before === 'missing') {
        this.#found('CHAIN_BROKEN', 'the service lacks the report before this one', object);
        return null;
      }
      if (before.checkpoint.size > at.checkpoint.size || before.checkpoint.size < (head?.size ?? 0)) {
        this.#found('LOG_FORKED', 'a report over fewer entries than one before it in the chain', object);
        return null;
      }
      if (!equalBytes(before.evidence.sessionClaims, latest.evidence.sessionClaims)) {
        this.#found('LOG_FORKED', 'two session claims under one session key', object);
        return null;
      }
      at = before;
    }
    return chain.reverse();
  }

  async #takeTick(
    tick: ReadEvidence,
    at: {
      readonly session: SessionVerifier;
      readonly frontier: Frontier;
      readonly reader: EntryReader;
      readonly base: Pick<BootRow, 'boot' | 'source' | 'firstSeenMs'>;
    },
  ): Promise<boolean> {
    const { boot } = this.#listed;
    const { checkpoint, reportData, evidence } = tick;
    const from = at.frontier.size;
    const to = checkpoint.size;
    const read = await this.#readEntries(at.session, at.reader, from, to);
    if (!read) return false;
    const nodes = appendAll(at.frontier, boot, read);
    if (!equalBytes(at.frontier.root(), checkpoint.root)) {
      return this.#found(
        'LOG_INCOMPLETE',
        `the entries that the service hands out are not those under its head of ${to}`,
        {
          index: from,
          object: hex(reportData),
        },
      );
    }
    const nowMs = this.#archive.now();
    const kept = await this.#archive.store.evidence(reportData);
    const appraised = kept ? null : await this.#options.appraiser.appraise(tick.file, nowMs);
    const verdict = kept?.appraisal ?? appraised?.appraisal;
    if (!verdict) throw new TypeError('neither kept nor appraised');
    const platform = (kept?.facts ?? appraised?.facts)?.platform ?? null;
    if (verdict.verdict !== 'affirming') {
      // One finding for each reason, not for each report of the same boot.
      this.#found('EVIDENCE_REFUSED', `${verdict.verdict} under the policy: ${verdict.codes.join(', ')}`, {
        object: verdict.codes.join(' '),
      });
    }
    const { existedByMs = null } = kept?.facts ?? appraised?.facts ?? {};
    for (const one of this.#clock.check(read, nowMs, existedByMs)) this.#findFiled(one);
    const fresh = await this.#notStored(read, from, to);
    if (!fresh) return false;
    const { tenant, retentionClass } = this.#options;
    const parts = kept ?? (await takeApart(tick.file, evidence, this.#blobs));
    this.#pending.acts.push({
      kind: 'ingest',
      source: this.#source.name,
      boot: bootField(boot),
      from,
      to,
      root: checkpoint.root,
      reportData,
      evidence: parts.file,
      appraisal: verdict,
      tenant,
      retentionClass,
    });
    if (appraised) {
      const { appraisal, facts, resultJson } = appraised;
      const { root, size } = checkpoint;
      const { previousReportData } = evidence;
      const { file, certificates, crls, parts: lean } = parts;
      this.#pending.evidence.push({
        ...{ boot, reportData, size, root, previousReportData, appraisal, facts, resultJson, firstSeenMs: nowMs },
        ...{ file, certificates, crls, parts: lean },
      });
      this.#evidence += 1;
    }
    this.#pending.entries.push(...fresh.map(({ row }) => row));
    this.#pending.statements.push(...fresh.flatMap((one) => statementRow(one, this.#options) ?? []));
    this.#pending.nodes.push(...nodes);
    this.#pending.boot = {
      ...at.base,
      sessionClaims: evidence.sessionClaims,
      platform,
      state: 'open',
      head: { size: to, root: checkpoint.root, reportData },
    };
    this.#entries += fresh.length;
    return true;
  }

  async #readEntries(
    session: SessionVerifier,
    reader: EntryReader,
    from: number,
    to: number,
  ): Promise<ReadEntry[] | null> {
    const read: ReadEntry[] = [];
    for await (const { index, cose } of reader.range(from, to)) {
      try {
        read.push(session.verify(cose, index));
      } catch (error) {
        if (!(error instanceof EvidenceError)) throw error;
        this.#findFiled(entryFinding(this.#listed.boot, index, error));
        return null;
      }
    }
    if (read.length === to - from) return read;
    this.#found('LOG_INCOMPLETE', `the service hands out ${read.length} of ${to - from} entries`, { index: from });
    return null;
  }

  /** Entries that are not there yet: single receipts, or a lost boot's tail, may have come before. */
  async #notStored(read: readonly ReadEntry[], from: number, to: number): Promise<ReadEntry[] | null> {
    const { boot } = this.#listed;
    const stored = new Map((await this.#archive.store.entries({ boot, from, to })).map((row) => [row.index, row.leaf]));
    const fresh: ReadEntry[] = [];
    for (const one of read) {
      const leaf = stored.get(one.row.index);
      if (!leaf) fresh.push(one);
      else if (!equalBytes(leaf, one.row.leaf)) {
        this.#found('SESSION_FORKED', 'another entry was signed for this place', {
          index: one.row.index,
          object: hex(one.row.leaf),
        });
        return null;
      }
    }
    return fresh;
  }

  async #flush(): Promise<void> {
    const { acts, boot, findings, ...rows } = this.#pending;
    this.#pending = nothing();
    await this.#archive.record(acts, () => ({ ...rows, boots: boot ? [boot] : [] }), findings);
  }

  /** The boot can say no more. Entries that no report covers are kept as what they are: signed by the session alone. */
  async #finish(ended: 'clean' | 'lost'): Promise<void> {
    const { boot, size } = this.#listed;
    const known = await this.#archive.store.boot(boot);
    const head = known?.head?.size ?? 0;
    if (size > head) await this.#takeTail(known, head, size);
    const row = await this.#archive.store.boot(boot);
    if (row?.state !== 'open') return this.#flush();
    const [last] = head > 0 ? await this.#archive.store.entries({ boot, from: head - 1, to: head }) : [];
    const state: BootState = last?.kind === 'end' && size <= head ? 'ended' : 'lost';
    if (state === 'lost') {
      this.#found('BOOT_LOST', 'ended without an end entry under a report', {
        object: ended === 'clean' ? 'the service says it ended cleanly' : 'lost',
      });
    }
    const { acts, findings } = this.#pending;
    const closing: Act = { kind: 'state', boot: bootField(boot), state };
    this.#pending = nothing();
    await this.#archive.record([...acts, closing], () => ({ boots: [{ ...row, state }] }), findings);
  }

  async #takeTail(known: BootRow | null, from: number, to: number): Promise<void> {
    const { boot } = this.#listed;
    const stored = (await this.#archive.store.extent(boot)).end;
    if (stored >= to) return;
    const reader = new EntryReader(this.#source, boot, to);
    const claims = known?.sessionClaims ?? (await this.#claimsOf(reader));
    if (!claims) return;
    const session = new SessionVerifier(claims, parseSessionClaims(claims));
    const read = await this.#readEntries(session, reader, from, to);
    if (!read) return;
    const frontier = await Frontier.from(from, (node) => readNode(this.#archive.store, boot, node));
    appendAll(frontier, boot, read);
    const fresh = await this.#notStored(read, from, to);
    if (!fresh) return;
    const { tenant, retentionClass } = this.#options;
    this.#found('TAIL_UNCOMMITTED', `${to - from} entries that no report covers`, { index: from });
    this.#pending.acts.push({
      ...{ kind: 'tail', source: this.#source.name, boot: bootField(boot), from, to, root: frontier.root() },
      ...{ tenant, retentionClass },
    });
    this.#pending.entries.push(...fresh.map(({ row }) => row));
    this.#pending.statements.push(...fresh.flatMap((one) => statementRow(one, this.#options) ?? []));
    this.#pending.boot = known ?? {
      ...{ boot, source: this.#source.name, sessionClaims: claims, platform: null, state: 'open', head: null },
      firstSeenMs: this.#archive.now(),
    };
    this.#entries += fresh.length;
    await this.#flush();
  }

  /** Of a boot that never had a report: from its entry 0. */
  async #claimsOf(reader: EntryReader): Promise<Uint8Array<ArrayBuffer> | null> {
    for await (const { cose } of reader.range(0, 1)) {
      try {
        const entry = parseEntry(cose);
        if (entry.kind === 'session' && hex(entry.value.bootId) === this.#listed.boot) return entry.message.payload;
      } catch (error) {
        if (!(error instanceof EvidenceError)) throw error;
      }
    }
    this.#found('ENTRY_INVALID', 'entry 0 is not the session claims of this boot', { index: 0 });
    return null;
  }
}

/** @returns the nodes to store: roots of full tiles, and of full tiles of those */
export function appendAll(frontier: Frontier, boot: string, entries: readonly { readonly row: EntryRow }[]): NodeRow[] {
  const nodes: NodeRow[] = [];
  for (const { row } of entries) {
    for (const { level, index, hash } of frontier.append(row.leaf)) {
      if (level % TREE_LEVELS_PER_TILE === 0) nodes.push({ boot, level: level / TREE_LEVELS_PER_TILE, index, hash });
    }
  }
  return nodes;
}

/** A consistency path from the service's hash tiles; one that is too short for the proof proves nothing. */
async function provedBy(source: LogSource, boot: string, first: number, second: number) {
  const tiles = new Map<string, Uint8Array>();
  for (;;) {
    let wanted: { readonly level: number; readonly index: number } | null = null;
    const read = nodesFromTiles((level, index) => {
      const tile = tiles.get(`${level}/${index}`);
      if (tile) return tile;
      wanted = { level, index };
      throw new RangeError('a tile is to be fetched first');
    });
    try {
      return consistencyPath(first, second, read);
    } catch (error) {
      if (error instanceof EvidenceError) return []; // a tile of fewer hashes than it should hold
      if (!wanted) throw error;
    }
    const { level, index } = wanted as { readonly level: number; readonly index: number };
    tiles.set(`${level}/${index}`, await source.tile(boot, level, index, tileWidth(level, index, second)));
  }
}

/** Reads entries bundle by bundle, each once, the next one while this one is verified. */
class EntryReader {
  readonly #source: LogSource;
  readonly #boot: string;
  readonly #size: number;
  #bundle: { readonly index: number; readonly entries: Promise<Uint8Array[]> } | null = null;
  #next: { readonly index: number; readonly entries: Promise<Uint8Array[]> } | null = null;

  /** @param size of the log, to which bundles are as wide as they will be */
  constructor(source: LogSource, boot: string, size: number) {
    this.#source = source;
    this.#boot = boot;
    this.#size = size;
  }

  /** Ends early where the service does. @throws EvidenceError EVIDENCE_TOO_LARGE */
  async *range(
    from: number,
    to: number,
  ): AsyncIterable<{ readonly index: number; readonly cose: Uint8Array<ArrayBuffer> }> {
    let length = 0;
    for (let index = from; index < to; index++) {
      const cose = (await this.#entries(Math.floor(index / TILE_WIDTH)))[index % TILE_WIDTH];
      if (!cose) return;
      length += cose.length;
      if (length > MAX_TICK_BYTES)
        throw new EvidenceError('EVIDENCE_TOO_LARGE', `one report over more than ${MAX_TICK_BYTES} bytes of entries`, {
          field: 'entries',
        });
      yield { index, cose: cose as Uint8Array<ArrayBuffer> };
    }
  }

  #entries(index: number): Promise<Uint8Array[]> {
    if (this.#bundle?.index !== index) {
      this.#bundle = this.#next?.index === index ? this.#next : this.#fetch(index);
      this.#next = (index + 1) * TILE_WIDTH < this.#size ? this.#fetch(index + 1) : null;
    }
    return this.#bundle.entries;
  }

  #fetch(index: number): { readonly index: number; readonly entries: Promise<Uint8Array[]> } {
    const width = Math.min(TILE_WIDTH, this.#size - index * TILE_WIDTH);
    const entries = this.#source.tile(this.#boot, null, index, width).then(readBundle);
    entries.catch(() => undefined); // awaited when its turn comes, and refused then
    return { index, entries };
  }
}

/** What of a bundle can be read: too few entries are found missing by their reader. */
function readBundle(bundle: Uint8Array): Uint8Array[] {
  try {
    return parseEntryBundle(bundle);
  } catch (error) {
    if (error instanceof EvidenceError) return [];
    throw error;
  }
}
