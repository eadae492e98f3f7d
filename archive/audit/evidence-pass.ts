/**
 * Evidence: each file is put together again, held against the act that recorded it, and appraised once more under what was
 * frozen with it. One hardware signature for every checkpoint.
 */
import { CodedError, equalBytes, hex, utf8 } from '@veritee/protocol';
import type { BlobStore } from '../blobs/port.ts';
import { putTogether } from '../evidence-parts.ts';
import { type FindingCode, finding } from '../findings.ts';
import type { Appraised } from '../ingest/appraiser.ts';
import { type ReadEvidence, readEvidenceFile } from '../ingest/session.ts';
import { sha256Of } from '../log/frontier.ts';
import { RememberedBlobs, Replayer, sameVerdict } from '../replay/frozen.ts';
import type { Appraisal, ArchiveStore, EvidenceFacts, EvidenceRow } from '../store/port.ts';
import { Defects, type Found } from './defects.ts';
import type { ExpectedEvidence } from './ledger.ts';
import { isUnreadable } from './unreadable.ts';

export interface EvidenceTask {
  readonly pass: 'evidence';
  readonly expected: readonly ExpectedEvidence[];
}

/** A head that the session key signed and, as the archive's log says, this very file carried. */
export interface ProvenHead {
  readonly reportData: string;
  readonly previous: string | null;
  readonly size: number;
  readonly root: Uint8Array<ArrayBuffer>;
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  readonly platform: string | null;
  readonly existedByMs: number | null;
}

export interface EvidenceAnswer {
  readonly pass: 'evidence';
  readonly files: number;
  readonly heads: readonly ProvenHead[];
  /** Certificates and CRLs that the files are made of, in hex. */
  readonly blobs: readonly string[];
  readonly found: Found;
}

export class EvidencePass {
  readonly #store: ArchiveStore;
  readonly #blobs: RememberedBlobs;
  readonly #replayer: Replayer;

  constructor(store: ArchiveStore, blobs: Pick<BlobStore, 'get'>) {
    this.#store = store;
    this.#blobs = new RememberedBlobs(blobs);
    this.#replayer = new Replayer(this.#blobs);
  }

  async run({ expected }: EvidenceTask): Promise<EvidenceAnswer> {
    const defects = new Defects();
    const heads: ProvenHead[] = [];
    const blobs = new Set<string>();
    for (const due of expected) {
      const row = await this.#row(due, defects);
      if (!row) continue;
      for (const digest of [...row.certificates, ...row.crls]) blobs.add(hex(digest));
      const head = await this.#check(row, due, defects);
      if (head) heads.push(head);
    }
    return { pass: 'evidence', files: expected.length, heads, blobs: [...blobs], found: defects.found() };
  }

  async #row({ boot, reportData, act }: ExpectedEvidence, defects: Defects): Promise<EvidenceRow | null> {
    const place = { boot, object: hex(reportData) };
    try {
      const row = await this.#store.evidence(reportData);
      if (row) return row;
      defects.add(finding('EVIDENCE_MISSING', `the evidence that act ${act} recorded is not stored`, place));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      defects.add(finding('ROW_ALTERED', `the evidence that act ${act} recorded cannot be read`, place));
    }
    return null;
  }

  async #check(row: EvidenceRow, due: ExpectedEvidence, defects: Defects): Promise<ProvenHead | null> {
    const place = { boot: due.boot, object: hex(due.reportData) };
    const add = (code: FindingCode, text: string): void => defects.add(finding(code, text, place));
    const wrong = differingAppraisal(row.appraisal, due.appraisal);
    if (wrong !== null)
      add('ROW_ALTERED', `the frozen appraisal is not the one that act ${due.act} recorded: ${wrong}`);
    if (row.boot !== due.boot) add('ROW_ALTERED', 'it is filed under another boot');
    if (row.firstSeenMs < due.appraisal.atMs || row.firstSeenMs > due.timeMs)
      add('ROW_ALTERED', `first seen at a time that act ${due.act} contradicts`);
    const read = await this.#file(row, due, add);
    if (!read) return null;
    const head: ProvenHead = {
      reportData: hex(read.reportData),
      previous: read.evidence.previousReportData && hex(read.evidence.previousReportData),
      size: read.checkpoint.size,
      root: read.checkpoint.root,
      sessionClaims: read.evidence.sessionClaims,
      platform: null,
      existedByMs: null,
    };
    if (head.reportData !== place.object || read.boot !== due.boot)
      add('ROW_ALTERED', 'it is evidence of another tick');
    if (
      head.size !== row.size ||
      !equalBytes(head.root, row.root) ||
      head.previous !== hexOrNull(row.previousReportData)
    )
      add('ROW_ALTERED', 'size, root or previous REPORT_DATA beside the file are not those in it');
    const again = await this.#replay(read.file, due.appraisal, add);
    if (!again) return head;
    await this.#result(row, due, again, add);
    const fact = differingFact(row.facts, again.facts);
    if (fact !== null) add('ROW_ALTERED', `the search columns are not what the report says: ${fact}`);
    return { ...head, platform: again.facts.platform, existedByMs: again.facts.existedByMs };
  }

  async #file(
    row: EvidenceRow,
    due: ExpectedEvidence,
    add: (code: FindingCode, text: string) => void,
  ): Promise<ReadEvidence | null> {
    if (!equalBytes(row.file, due.file))
      add('ROW_ALTERED', `the file's digest is not the one that act ${due.act} recorded`);
    try {
      return await readEvidenceFile(await putTogether({ ...row, file: due.file }, this.#blobs));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (error.code === 'EVIDENCE_MISSING')
        add('EVIDENCE_MISSING', `the file cannot be put together: ${error.message}`);
      else add('EVIDENCE_ALTERED', `the stored file is not the one that act ${due.act} recorded: ${error.message}`);
      return null;
    }
  }

  async #replay(
    file: Uint8Array,
    appraisal: Appraisal,
    add: (code: FindingCode, text: string) => void,
  ): Promise<Appraised | null> {
    try {
      return await this.#replayer.replayFile(file, appraisal);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      add('VERDICT_CHANGED', `the verdict cannot be made again: ${error.message}`);
      return null;
    }
  }

  async #result(
    row: EvidenceRow,
    due: ExpectedEvidence,
    again: Appraised,
    add: (code: FindingCode, text: string) => void,
  ): Promise<void> {
    const text = await readResult(this.#store, row);
    if (text === null || !equalBytes(sha256Of(utf8(text)), due.appraisal.result))
      add('EVIDENCE_ALTERED', `the stored result is not the one that act ${due.act} recorded`);
    if (!sameVerdict(due.appraisal, again))
      add('VERDICT_CHANGED', `frozen as ${due.appraisal.verdict}; its own inputs give ${again.appraisal.verdict}`);
  }
}

/** Null where what is stored is no deflated text. */
async function readResult(store: ArchiveStore, row: EvidenceRow): Promise<string | null> {
  try {
    return await store.resultJson(row.reportData);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') || error instanceof RangeError) return null;
    throw error;
  }
}

const hexOrNull = (value: Uint8Array | null): string | null => value && hex(value);
const words = (value: unknown): string =>
  value instanceof Uint8Array ? hex(value) : Array.isArray(value) ? value.map(words).join(' ') : String(value);

function differingAppraisal(row: Appraisal, act: ExpectedEvidence['appraisal']): string | null {
  const names = Object.keys(act) as (keyof Appraisal)[];
  return names.find((name) => words(row[name]) !== words(act[name])) ?? null;
}

function differingFact(row: EvidenceFacts, again: EvidenceFacts): string | null {
  const names = Object.keys(again) as (keyof EvidenceFacts)[];
  const text = (value: EvidenceFacts[keyof EvidenceFacts]): string =>
    value !== null && typeof value === 'object' ? JSON.stringify(Object.entries(value).sort()) : String(value);
  return names.find((name) => text(row[name]) !== text(again[name])) ?? null;
}
