/**
 * One zip for an auditor: receipts with their proofs, the evidence and everything it was appraised with, the acts that say
 * so, and a verifier that needs no network and no installation (`offline/`).
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import {
  type Bytes,
  bytes,
  CodedError,
  EvidenceError,
  encodeEntryBundle,
  encodeReceipt,
  hex,
  parseEvidence,
  utf8,
} from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { putTogether } from '../evidence-parts.ts';
import type { RecordedAct, Scope } from '../log/acts.ts';
import { actsOfKinds } from '../log/read.ts';
import { Covers } from '../proofs/covers.ts';
import { Paths } from '../proofs/paths.ts';
import { actTlogProof, checkPath, proveActs } from '../proofs/prove.ts';
import { scopeToJson, statementsIn } from '../retention/scope.ts';
import type { Appraisal, EvidenceRow, ProofRow, StatementRow } from '../store/port.ts';
import { stampedBody } from '../timestamp/stamp.ts';
import { csvLine } from './csv.ts';
import { encodeManifest, PATHS } from './manifest.ts';
import { readmeOf } from './readme.ts';
import { ZipWriter } from './zip.ts';

/** Receipts in one file of the bundle. */
const RECEIPTS_PER_FILE = 1000;

const CSV_HEAD = [
  'receipt_id',
  'claimed_time',
  'boot',
  'index',
  'model',
  'model_version',
  'model_digest',
  'outcome',
  'tenant',
  'retention_class',
  'strength',
  'report_data',
  'file',
  'offset',
  'bytes',
];

export interface ExportOptions {
  readonly scope: Scope;
  /** Salts and exact bodies too, where the archive has them. */
  readonly withContent: boolean;
  /** The files of `tools/offline-verifier.mjs`. */
  readonly verifier: { readonly page: string; readonly script: string };
  readonly onProgress?: (receipts: number) => void;
}

export interface Exported {
  readonly receipts: number;
  readonly withoutEvidence: number;
  readonly evidence: number;
  /** SHA-256 of the manifest, which the recorded act holds. */
  readonly manifest: Bytes<32>;
  readonly act: number;
}

/**
 * Writes the zip and records that it was made.
 * @throws CodedError FILE_UNWRITABLE; USAGE more than one zip holds; STORE_FAILED
 * @throws EvidenceError INCLUSION_INVALID, EVIDENCE_MISSING, EVIDENCE_MALFORMED the archive is not whole: audit it
 */
export async function exportBundle(archive: Archive, file: string, options: ExportOptions): Promise<Exported> {
  const createdMs = archive.now();
  const zip = new ZipWriter(file, createdMs);
  const csv = `${file}.index`;
  try {
    const bundle = new Bundle(archive, zip, csv, options);
    await bundle.addReceipts();
    await bundle.addEvidence();
    await bundle.addActs();
    zip.addParts(PATHS.index, partsOf(csv));
    zip.add(PATHS.page, utf8(options.verifier.page));
    zip.add(PATHS.script, utf8(options.verifier.script));
    const scope = scopeToJson(options.scope);
    const createdAt = new Date(createdMs).toISOString();
    const { receipts, withoutEvidence, evidence, acts } = bundle;
    zip.add(PATHS.readme, utf8(readmeOf({ id: archive.id, createdAt, scope, receipts, withoutEvidence })));
    const manifest = utf8(
      encodeManifest({
        archive: { id: archive.id, publicKey: archive.publicKey },
        createdAt,
        scope,
        receipts,
        withoutEvidence,
        evidence: [...evidence.values()].map(({ row, act }) => ({ reportData: row.reportData, act })),
        acts: [...acts].sort((a, b) => a - b),
        files: zip.files,
      }),
    );
    zip.add(PATHS.manifest, manifest);
    const digest = bytes(createHash('sha256').update(manifest).digest(), 32, 'manifest');
    const recorded = await archive.record([
      { kind: 'export', scope: options.scope, format: 'zip', receipts, manifest: digest },
    ]);
    const index = recorded?.acts[0]?.index;
    if (index === undefined) throw new TypeError('an export that was not recorded');
    const [proof] = await proveActs(archive, [index]);
    if (!proof) throw new TypeError('an export without its proof');
    zip.add(PATHS.exportAct, proof.cose);
    zip.add(PATHS.exportProof, utf8(actTlogProof(proof)));
    zip.end();
    return { receipts, withoutEvidence, evidence: evidence.size, manifest: digest, act: index };
  } catch (error) {
    zip.abandon();
    throw error;
  } finally {
    rmSync(csv, { force: true });
  }
}

interface Used {
  readonly row: EvidenceRow;
  readonly act: number;
}

type AppraisalAct = Extract<RecordedAct, { kind: 'ingest' | 'deposit' }>;

class Bundle {
  readonly acts = new Set<number>();
  readonly evidence = new Map<string, Used>();
  receipts = 0;
  withoutEvidence = 0;
  readonly #archive: Archive;
  readonly #zip: ZipWriter;
  readonly #csv: string;
  readonly #options: ExportOptions;
  readonly #blobs = new Set<string>();
  readonly #boots = new Set<string>();
  readonly #covers: Covers;

  constructor(archive: Archive, zip: ZipWriter, csv: string, options: ExportOptions) {
    this.#archive = archive;
    this.#zip = zip;
    this.#csv = csv;
    this.#options = options;
    this.#covers = new Covers(archive.store);
  }

  async addReceipts(): Promise<void> {
    const { store } = this.#archive;
    const actOf = await appraisalActs(this.#archive);
    const csv = openSync(this.#csv, 'w', 0o600);
    try {
      writeSync(csv, csvLine(CSV_HEAD));
      for await (const rows of batches(statementsIn(store, this.#options.scope))) {
        const [first] = rows;
        if (!first) continue;
        const lines = await this.#addBatch(first.boot, rows, actOf);
        writeSync(csv, lines.join(''));
        this.#options.onProgress?.(this.receipts);
      }
    } finally {
      closeSync(csv);
    }
  }

  async #addBatch(boot: string, rows: readonly StatementRow[], actOf: ReadonlyMap<string, number>): Promise<string[]> {
    const { store } = this.#archive;
    const paths = new Paths(store, boot, (await store.boot(boot))?.head?.size ?? 0);
    const last = rows.at(-1) as StatementRow;
    const from = (rows[0] as StatementRow).index;
    const span = { boot, from, to: last.index + 1 };
    const wanted = new Set(rows.map(({ index }) => index));
    const entries = new Map(
      (await store.entries(span)).filter(({ index }) => wanted.has(index)).map((entry) => [entry.index, entry]),
    );
    const proofs = new Map((await store.proofs(span)).map((proof) => [proof.index, proof]));
    const file = PATHS.receipts(boot, from);
    const receipts: Uint8Array[] = [];
    const lines: string[] = [];
    let offset = 0;
    for (const row of rows) {
      const entry = entries.get(row.index);
      if (!entry?.cose) throw missing(`boot ${boot}: receipt ${row.index} is in the index and not in the log`);
      const cover = (await this.#coverOf(row, proofs.get(row.index), paths)) ?? (await newestOf(this.#archive, boot));
      if (!cover) {
        this.withoutEvidence += 1;
        continue;
      }
      const { evidence, path } = cover;
      if (path) checkPath(entry, { evidence, path });
      const name = hex(evidence.reportData);
      const act = actOf.get(name);
      if (act === undefined) throw missing(`evidence ${name}: no act says under what it was appraised`);
      this.evidence.set(name, { row: evidence, act });
      this.acts.add(act);
      const receipt = encodeReceipt({ statement: entry.cose, path, evidence: { reportData: evidence.reportData } });
      receipts.push(receipt);
      lines.push(
        csvLine([
          ...columnsOf(row),
          path ? 'hardware-committed' : 'session-signed',
          name,
          file,
          offset + 2,
          receipt.length,
        ]),
      );
      offset += 2 + receipt.length;
      if (this.#options.withContent) await this.#addContent(row);
    }
    if (receipts.length > 0) this.#zip.add(file, encodeEntryBundle(receipts));
    this.receipts += receipts.length;
    this.#boots.add(boot);
    return lines;
  }

  /** The path that came with a receipt, or else the one in the stored log. */
  async #coverOf(row: StatementRow, given: ProofRow | undefined, paths: Paths) {
    const own = given && (await this.#archive.store.evidence(given.reportData));
    if (given && own) return { evidence: own, path: given.path };
    const evidence = await this.#covers.of(row);
    return evidence && { evidence, path: await paths.of(row.index, evidence.size) };
  }

  async #addContent({ boot, index, receiptId }: StatementRow): Promise<void> {
    for (const { role, blob } of await this.#archive.store.attachments({ boot, from: index, to: index + 1 })) {
      this.#zip.add(PATHS.attachment(receiptId, role), await this.#read(blob));
    }
  }

  async addEvidence(): Promise<void> {
    for (const { row } of this.evidence.values()) {
      const file = await putTogether(row, this.#archive.blobs);
      this.#zip.add(PATHS.evidence(row.reportData), file);
      for (const der of parseEvidence(file).chain) {
        this.#addOnce(PATHS.certificate(createHash('sha256').update(der).digest()), der);
      }
      await this.#addAppraisal(row.appraisal);
      const result = await this.#archive.store.resultJson(row.reportData);
      if (result === null) throw missing(`evidence ${hex(row.reportData)}: no result`);
      this.#addOnce(PATHS.result(row.appraisal.result), utf8(result));
    }
  }

  async #addAppraisal({ policy, anchors, endorsements, crls }: Appraisal): Promise<void> {
    const named = [
      [PATHS.policy(policy), policy],
      ...anchors.map((digest) => [PATHS.anchor(digest), digest] as const),
      ...endorsements.map((digest) => [PATHS.endorsement(digest), digest] as const),
      ...crls.map((digest) => [PATHS.crl(digest), digest] as const),
    ] as const;
    for (const [path, digest] of named) if (!this.#blobs.has(path)) this.#addOnce(path, await this.#read(digest));
  }

  /** The acts behind the evidence, tombstones and timestamps, each with its path to the archive's newest head. */
  async addActs(): Promise<void> {
    const { tenant } = this.#options.scope;
    for await (const act of actsOfKinds(this.#archive.store, ['purge', 'timestamp'])) {
      if (act.kind === 'timestamp') {
        this.acts.add(act.index);
        this.#addOnce(PATHS.timestamp(act.index), await this.#read(act.token));
        const data = act.renews ? await this.#read(act.renews) : stampedBody(this.#archive.id, act.size, act.root);
        this.#addOnce(PATHS.timestampData(act.index), data);
      } else if (
        act.ranges.some(({ boot }) => this.#boots.has(hex(boot))) &&
        (tenant === null || act.scope.tenant === null || act.scope.tenant === tenant)
      ) {
        this.acts.add(act.index);
      }
    }
    for (const proof of await proveActs(this.#archive, [...this.acts])) {
      this.#zip.add(PATHS.act(proof.index), proof.cose);
      this.#zip.add(PATHS.actProof(proof.index), utf8(actTlogProof(proof)));
    }
  }

  #addOnce(path: string, content: Uint8Array): void {
    if (this.#blobs.has(path)) return;
    this.#blobs.add(path);
    this.#zip.add(path, content);
  }

  async #read(digest: Bytes<32>): Promise<Uint8Array> {
    const content = await this.#archive.blobs.get(digest);
    if (!content) throw missing(`blob ${hex(digest)}: not in the archive`);
    return content;
  }
}

const missing = (reason: string): EvidenceError => new EvidenceError('EVIDENCE_MISSING', reason, { field: 'archive' });

/** What a receipt that no report covers is session-signed under. */
async function newestOf({ store }: Archive, boot: string): Promise<{ evidence: EvidenceRow; path: null } | null> {
  const head = (await store.boot(boot))?.head;
  const evidence = head && (await store.evidence(head.reportData));
  return evidence ? { evidence, path: null } : null;
}

/** REPORT_DATA to the first act that brought it. */
async function appraisalActs({ store }: Archive): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for await (const act of actsOfKinds(store, ['ingest', 'deposit'])) {
    const reportData = appraisedBy(act)?.reportData;
    if (reportData && !found.has(hex(reportData))) found.set(hex(reportData), act.index);
  }
  return found;
}

/** The evidence that an act brought, with its frozen appraisal. */
export function appraisedBy(act: AppraisalAct) {
  if (act.kind === 'deposit') return act.evidence;
  const { reportData, evidence, appraisal } = act;
  return { reportData, file: evidence, appraisal };
}

/** Neighbours of one boot. */
async function* batches(rows: AsyncIterable<StatementRow>): AsyncGenerator<StatementRow[]> {
  let batch: StatementRow[] = [];
  for await (const row of rows) {
    const last = batch.at(-1);
    if (last && (last.boot !== row.boot || !isNeighbour(batch, row))) {
      yield batch;
      batch = [];
    }
    batch.push(row);
  }
  yield batch;
}

/** Entries are read by the range: a batch of one tenant's few among many others' is cut short. */
function isNeighbour(batch: readonly StatementRow[], row: StatementRow): boolean {
  const first = (batch[0] as StatementRow).index;
  const last = (batch.at(-1) as StatementRow).index;
  return row.index > last && row.index < first + 8 * RECEIPTS_PER_FILE && batch.length < RECEIPTS_PER_FILE;
}

const columnsOf = (row: StatementRow): (string | number | null)[] => [
  hex(row.receiptId),
  new Date(row.timeMs).toISOString(),
  row.boot,
  row.index,
  row.model?.name ?? null,
  row.model?.version ?? null,
  row.model ? hex(row.model.digest) : null,
  row.outcome,
  row.tenant,
  row.retentionClass,
];

const PART_BYTES = 1 << 16;

function* partsOf(file: string): Generator<Uint8Array> {
  const descriptor = openSync(file, 'r');
  try {
    const part = new Uint8Array(PART_BYTES);
    for (;;) {
      const length = readSync(descriptor, part);
      if (length === 0) return;
      yield part.subarray(0, length);
    }
  } catch (cause) {
    const { code = 'failed' } = cause as NodeJS.ErrnoException;
    throw new CodedError('FILE_UNREADABLE', `${file}: ${code}`, { field: file, cause });
  } finally {
    closeSync(descriptor);
  }
}
