/**
 * Takes in a folder of files that people kept: receipts with their private parts, attestations, evidence. Each file is
 * verified by itself; a log around it may never be seen, so its path is kept with the entry.
 */
import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type Bytes,
  bytes,
  CodedError,
  detectFile,
  EvidenceError,
  equalBytes,
  fromHex,
  type Hash,
  hex,
  MAX_ATTESTATION_BYTES,
  parseAttestation,
  parseEntry,
  parseReceipt,
  rootFromInclusion,
} from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { BlobCache, putTogether, takeApart } from '../evidence-parts.ts';
import { type Finding, finding } from '../findings.ts';
import { type Act, bootField } from '../log/acts.ts';
import { Frontier, sha256Of } from '../log/frontier.ts';
import { readNode } from '../log/proofs.ts';
import type { AttachmentRole, AttachmentRow, BootRow, EntryRow, ProofRow, Rows, StatementRow } from '../store/port.ts';
import type { Appraised, Appraiser } from './appraiser.ts';
import {
  type Filing,
  type ReadEntry,
  type ReadEvidence,
  readEvidenceFile,
  SessionVerifier,
  statementRow,
} from './session.ts';

/** Private parts: bodies are whatever a model takes and gives. */
const MAX_BODY_BYTES = 256 << 20;
const MAX_SALTS_BYTES = 4096;

export interface FilesOptions extends Filing {
  readonly appraiser: Appraiser;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface FilesIngested {
  readonly files: number;
  readonly entries: number;
  readonly evidence: number;
  readonly attachments: number;
  readonly findings: readonly Finding[];
}

/** @throws CodedError FILE_UNREADABLE the folder; STORE_FAILED, STORE_FULL: run it again, what is there is passed over */
export async function ingestFolder(archive: Archive, folder: string, options: FilesOptions): Promise<FilesIngested> {
  const files = await filesOf(folder);
  const taker = new FileTaker(archive, options);
  for (const [i, file] of files.entries()) {
    await taker.take(file, path.relative(folder, file));
    options.onProgress?.({ done: i + 1, total: files.length });
  }
  return { files: files.length, ...taker.counts };
}

/** Every file that is not a private part, in order of name; links are not followed. */
async function filesOf(folder: string): Promise<string[]> {
  let found: Dirent[];
  try {
    found = await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (cause) {
    throw unreadable(folder, cause);
  }
  return found
    .filter((item) => item.isFile() && !/\.(request|response|private\.json)$/.test(item.name))
    .map((item) => path.join(item.parentPath, item.name))
    .sort();
}

const unreadable = (file: string, cause: unknown): CodedError =>
  new CodedError('FILE_UNREADABLE', `${file}: ${(cause as NodeJS.ErrnoException).code}`, { field: file, cause });

async function readAtMost(file: string, atMost: number): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    if ((await stat(file)).size > atMost) return null;
    return new Uint8Array(await readFile(file));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unreadable(file, cause);
  }
}

/** An entry from a file, with its path when it lies under the evidence beside it. */
interface Deposited {
  readonly read: ReadEntry;
  readonly path: readonly Hash[] | null;
}

class FileTaker {
  readonly #archive: Archive;
  readonly #options: FilesOptions;
  readonly #blobs: BlobCache;
  readonly #findings: Finding[] = [];
  #entries = 0;
  #evidence = 0;
  #attachments = 0;

  constructor(archive: Archive, options: FilesOptions) {
    this.#archive = archive;
    this.#options = options;
    this.#blobs = new BlobCache(archive.blobs);
  }

  get counts(): Omit<FilesIngested, 'files'> {
    return {
      entries: this.#entries,
      evidence: this.#evidence,
      attachments: this.#attachments,
      findings: this.#findings,
    };
  }

  /** @param name as the acts and findings say it */
  async take(file: string, name: string): Promise<void> {
    const content = await readAtMost(file, MAX_ATTESTATION_BYTES);
    try {
      await this.#takeContent(content, file, name);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      await this.#found(finding('FILE_REFUSED', `${error.code}: ${error.message}`, { object: name.slice(0, 256) }));
    }
  }

  async #found(one: Finding): Promise<void> {
    this.#findings.push(one);
    await this.#archive.record([], undefined, [one]);
  }

  async #takeContent(content: Uint8Array<ArrayBuffer> | null, file: string, name: string): Promise<void> {
    const kind = content && detectFile(content);
    if (!content || !kind) {
      throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'not a receipt, an attestation or an evidence file', {
        field: 'file',
      });
    }
    if (kind === 'receipt') return this.#takeReceipt(content, file, name);
    if (kind === 'evidence') return this.#deposit(await readEvidenceFile(content), () => [], [], name);
    const { evidence, keys, challenge } = parseAttestation(content);
    const proven = [...keys, ...(challenge ? [challenge] : [])];
    return this.#deposit(
      await readEvidenceFile(evidence),
      (session) => proven.map(({ entry, path: steps }) => ({ read: verifyAnywhere(session, entry), path: steps })),
      [],
      name,
    );
  }

  async #takeReceipt(content: Uint8Array, file: string, name: string): Promise<void> {
    const receipt = parseReceipt(content);
    const evidence = await this.#evidenceOf(receipt.evidence);
    const entry = parseEntry(receipt.statement);
    if (entry.kind !== 'statement')
      throw new EvidenceError('STATEMENT_INVALID', 'statement: another kind of entry', { field: 'statement' });
    const parts = await this.#privateParts(file, entry.value);
    await this.#deposit(
      evidence,
      (session) => [{ read: session.verify(receipt.statement, entry.sequence), path: receipt.path }],
      parts.map((part) => ({ ...part, boot: evidence.boot, index: entry.sequence })),
      name,
    );
  }

  async #evidenceOf(
    named: { readonly file: Uint8Array<ArrayBuffer> } | { readonly reportData: Bytes<64> },
  ): Promise<ReadEvidence> {
    if ('file' in named) return readEvidenceFile(named.file);
    const kept = await this.#archive.store.evidence(named.reportData);
    if (kept) return readEvidenceFile(await putTogether(kept, this.#archive.blobs));
    throw new EvidenceError('EVIDENCE_MISSING', 'evidence: neither in the receipt nor in the archive', {
      field: 'evidence',
    });
  }

  /** Salts and bodies that belong to the statement: what does not hash to its digests is somebody else's. */
  async #privateParts(
    file: string,
    statement: { readonly receiptId: Uint8Array; readonly requestDigest: Hash; readonly responseDigest: Hash },
  ): Promise<{ readonly role: AttachmentRole; readonly blob: Hash; readonly content: Uint8Array }[]> {
    const salts = await readAtMost(`${file}.private.json`, MAX_SALTS_BYTES);
    if (!salts) return [];
    const { receiptId, requestSalt, responseSalt } = readSalts(salts);
    if (!equalBytes(receiptId, statement.receiptId)) throw mismatch('private.json', 'of another receipt');
    const parts = [{ role: 'private' as AttachmentRole, blob: sha256Of(salts), content: salts as Uint8Array }];
    for (const [role, salt, digest] of [
      ['request', requestSalt, statement.requestDigest],
      ['response', responseSalt, statement.responseDigest],
    ] as const) {
      const body = await readAtMost(`${file}.${role}`, MAX_BODY_BYTES);
      if (!body) continue;
      if (!equalBytes(sha256Of(Buffer.concat([salt, body])), digest))
        throw mismatch(role, 'not what the statement commits to');
      parts.push({ role, blob: sha256Of(body), content: body });
    }
    return parts;
  }

  async #deposit(
    evidence: ReadEvidence,
    entriesOf: (session: SessionVerifier) => readonly Deposited[],
    attachments: readonly (AttachmentRow & { readonly content: Uint8Array })[],
    name: string,
  ): Promise<void> {
    const { boot, checkpoint, reportData } = evidence;
    const session = new SessionVerifier(evidence.evidence.sessionClaims, evidence.session);
    const deposited = entriesOf(session);
    for (const { read, path: steps } of deposited) checkInclusion(read, steps, evidence);
    const { store, blobs } = this.#archive;
    const kept = await store.evidence(reportData);
    const appraised = kept ? null : await this.#options.appraiser.appraise(evidence.file, this.#archive.now());
    const fresh: Deposited[] = [];
    const known = await store.boot(boot);
    const findings: Finding[] = (await this.#agrees(known, evidence)) ? [] : [forkOf(evidence)];
    for (const one of deposited) {
      const { row } = one.read;
      const [stored] = await store.entries({ boot, from: row.index, to: row.index + 1 });
      if (!stored) fresh.push(one);
      else if (!equalBytes(stored.leaf, row.leaf)) {
        findings.push(
          finding('SESSION_FORKED', 'another entry was signed for this place', {
            boot,
            index: row.index,
            object: hex(row.leaf),
          }),
        );
      } else if (stored.purge !== null) return; // erased on purpose: it does not come back
    }
    if (findings.length > 0) {
      for (const one of findings) await this.#found(one);
      return;
    }
    const attached = new Set(
      (
        await Promise.all(attachments.map(({ index }) => store.attachments({ boot, from: index, to: index + 1 })))
      ).flatMap((rows) => rows.map(({ index, role }) => `${index} ${role}`)),
    );
    const freshParts = attachments.filter(({ index, role }) => !attached.has(`${index} ${role}`));
    if (!appraised && fresh.length === 0 && freshParts.length === 0) return;
    for (const { content } of freshParts) await blobs.put(content);
    const { tenant, retentionClass } = this.#options;
    const parts = appraised && (await takeApart(evidence.file, evidence.evidence, this.#blobs));
    const act: Act = {
      kind: 'deposit',
      source: `file ${name}`.slice(0, 256),
      boot: bootField(boot),
      evidence: parts && appraised && { reportData, file: parts.file, appraisal: appraised.appraisal },
      entries: fresh.map(({ read: { row }, path: steps }) => ({
        index: row.index,
        leaf: row.leaf,
        proven: steps !== null,
      })),
      attachments: freshParts.map(({ index, role, blob }) => ({ index, role, blob })),
      tenant,
      retentionClass,
    };
    const nowMs = this.#archive.now();
    const rows: Rows = {
      boots: [
        known ?? {
          ...{ boot, source: 'files', sessionClaims: evidence.evidence.sessionClaims, state: 'open', head: null },
          platform: appraised?.facts.platform ?? null,
          firstSeenMs: nowMs,
        },
      ],
      ...(parts && appraised
        ? {
            evidence: [
              {
                ...parts,
                ...evidenceColumns(appraised),
                ...{ boot, reportData, size: checkpoint.size, root: checkpoint.root, firstSeenMs: nowMs },
                previousReportData: evidence.evidence.previousReportData,
              },
            ],
          }
        : {}),
      entries: fresh.map(({ read }): EntryRow => read.row),
      statements: fresh.flatMap(({ read }): StatementRow[] => {
        const row = statementRow(read, this.#options);
        return row ? [row] : [];
      }),
      proofs: fresh.flatMap(({ read, path: steps }): ProofRow[] =>
        steps ? [{ boot, index: read.row.index, reportData, path: steps }] : [],
      ),
      attachments: freshParts.map(({ index, role, blob }): AttachmentRow => ({ boot, index, role, blob })),
    };
    const refused = appraised && appraised.appraisal.verdict !== 'affirming' ? [refusal(boot, appraised)] : [];
    this.#findings.push(...refused);
    await this.#archive.record([act], () => rows, refused);
    this.#entries += fresh.length;
    this.#attachments += freshParts.length;
    if (appraised) this.#evidence += 1;
  }

  /** A head from a file, where the log itself was followed. */
  async #agrees(known: BootRow | null, { checkpoint, boot }: ReadEvidence): Promise<boolean> {
    if (!known?.head || checkpoint.size > known.head.size) return true;
    const tree = await Frontier.from(checkpoint.size, (node) => readNode(this.#archive.store, boot, node));
    return equalBytes(tree.root(), checkpoint.root);
  }
}

const forkOf = ({ boot, checkpoint, reportData }: ReadEvidence): Finding =>
  finding(
    'LOG_FORKED',
    `a file holds a signed head of ${checkpoint.size} entries that is not of the log that was followed`,
    {
      ...{ boot, index: checkpoint.size, object: hex(reportData) },
    },
  );

const evidenceColumns = ({ appraisal, facts, resultJson }: Appraised) => ({ appraisal, facts, resultJson });

const refusal = (boot: string, { appraisal }: Appraised): Finding =>
  finding('EVIDENCE_REFUSED', `${appraisal.verdict} under the policy: ${appraisal.codes.join(', ')}`, {
    boot,
    object: appraisal.codes.join(' '),
  });

const verifyAnywhere = (session: SessionVerifier, entry: Uint8Array<ArrayBuffer>): ReadEntry =>
  session.verify(entry, parseEntry(entry).sequence);

/** @throws EvidenceError INCLUSION_INVALID, INCLUSION_MISSING */
function checkInclusion({ row }: ReadEntry, steps: readonly Hash[] | null, { checkpoint }: ReadEvidence): void {
  const { size, root } = checkpoint;
  if (!steps) {
    if (row.index >= size) return;
    throw new EvidenceError('INCLUSION_MISSING', `entry ${row.index}: no path to a head of ${size}`, { field: 'path' });
  }
  const reached = rootFromInclusion(row.leaf, row.index, size, steps);
  if (!reached || !equalBytes(reached, root))
    throw new EvidenceError('INCLUSION_INVALID', `entry ${row.index}: its path leads to another root`, {
      field: 'path',
    });
}

const mismatch = (field: string, reason: string): EvidenceError =>
  new EvidenceError('REQUEST_MISMATCH', `${field}: ${reason}`, { field });

function readSalts(json: Uint8Array): {
  readonly receiptId: Uint8Array;
  readonly requestSalt: Bytes<32>;
  readonly responseSalt: Bytes<32>;
} {
  let value: Readonly<Record<string, unknown>> | null;
  try {
    value = JSON.parse(Buffer.from(json).toString()) as Readonly<Record<string, unknown>> | null;
  } catch {
    throw mismatch('private.json', 'not JSON');
  }
  const read = <N extends number>(name: string, n: N): Bytes<N> => {
    const text = value?.[name];
    const raw = typeof text === 'string' ? fromHex(text) : null;
    if (raw?.length !== n) throw mismatch(`private.json.${name}`, `want ${n} bytes in hex`);
    return bytes(raw, n, name);
  };
  return {
    receiptId: read('receiptId', 16),
    requestSalt: read('requestSalt', 32),
    responseSalt: read('responseSalt', 32),
  };
}
