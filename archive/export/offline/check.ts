/**
 * Verifies an export, in Node and in a page: no network, no clock, nothing but the bundle's bytes and what the caller
 * trusts. Every verdict is made again at the instant that was frozen when the evidence was archived.
 */
import {
  type Bytes,
  bytes,
  CodedError,
  EvidenceError,
  equalBytes,
  fromUtf8,
  hex,
  leafHash,
  parseEntryBundle,
  parseReceipt,
  parseSign1,
  parseStatement,
  sha256,
  utf8,
  verifySign1,
} from '@veritee/protocol';
import {
  type AppraisalPolicy,
  type AttestationResult,
  AUTHENTICITY,
  assess,
  readPolicy,
  readTrustAnchors,
  type TrustAnchor,
  toJson,
} from '@veritee/verifier';
import { parseAct, type RecordedAct } from '../../log/acts.ts';
import { archiveOrigin } from '../../log/checkpoint.ts';
import { parseTlogProof, verifyTlogProof } from '../../proofs/tlog-proof.ts';
import { type Manifest, PATHS, parseManifest, RECEIPTS_PATH } from '../manifest.ts';

/** A bundle's files; a name that is not there reads as null. */
export interface BundleFiles {
  readonly names: readonly string[];
  read(name: string): Promise<Uint8Array<ArrayBuffer> | null>;
}

export interface Trust {
  /** In place of the policies in the bundle. */
  readonly policy?: AppraisalPolicy;
  readonly anchors: readonly TrustAnchor[];
  /** The archive that the export must be of. */
  readonly archive?: string;
}

export interface Problem {
  /** A file of the bundle, or `receipt <id>`. */
  readonly place: string;
  readonly code: string;
  readonly text: string;
}

export interface Report {
  /** Everything that was exported is whole and gives the verdicts that it gave when it was archived. */
  readonly holds: boolean;
  readonly archive: string | null;
  readonly createdAt: string | null;
  readonly scope: Readonly<Record<string, unknown>>;
  readonly files: number;
  readonly evidence: number;
  readonly receipts: { readonly total: number; readonly affirming: number; readonly hardwareCommitted: number };
  readonly platforms: readonly string[];
  /** Roots that the bundle brought and no vendor or caller vouches for. */
  readonly ownAnchors: number;
  readonly purges: readonly { readonly act: number; readonly entries: number; readonly reason: string }[];
  readonly problems: readonly Problem[];
  /** Problems beyond those listed. */
  readonly more: number;
}

const MAX_PROBLEMS = 1000;

export interface CheckOptions extends Trust {
  readonly onProgress?: (receipts: number, of: number) => void;
}

export async function checkBundle(files: BundleFiles, options: CheckOptions): Promise<Report> {
  const check = new Check(files, options);
  try {
    await check.run();
  } catch (error) {
    check.problem(PATHS.manifest, error);
  }
  return check.report();
}

type AppraisalAct = Extract<RecordedAct, { kind: 'ingest' | 'deposit' }>;
type Frozen = NonNullable<Extract<RecordedAct, { kind: 'deposit' }>['evidence']>['appraisal'];

interface Appraised {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly inputs: Inputs;
}

interface Inputs {
  readonly policy: AppraisalPolicy;
  readonly trustAnchors: readonly TrustAnchor[];
  readonly endorsements: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
  readonly at: Date;
}

class Check {
  readonly #files: BundleFiles;
  readonly #options: CheckOptions;
  readonly #problems: Problem[] = [];
  #count = 0;
  #manifest: Manifest | null = null;
  readonly #acts = new Map<number, RecordedAct>();
  readonly #evidence = new Map<string, Appraised>();
  readonly #platforms = new Set<string>();
  readonly #ownAnchors = new Set<string>();
  #total = 0;
  #affirming = 0;
  #committed = 0;

  constructor(files: BundleFiles, options: CheckOptions) {
    this.#files = files;
    this.#options = options;
  }

  problem(place: string, error: unknown): void {
    this.#count += 1;
    if (this.#problems.length >= MAX_PROBLEMS) return;
    if (!(error instanceof CodedError)) throw error;
    this.#problems.push({ place, code: error.code, text: error.message });
  }

  async #within(place: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.problem(place, error);
    }
  }

  async #read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const content = await this.#files.read(name);
    if (content) return content;
    throw refusal('EVIDENCE_MISSING', `${name}: not in the bundle`);
  }

  async run(): Promise<void> {
    const content = await this.#read(PATHS.manifest);
    const manifest = parseManifest(content);
    this.#manifest = manifest;
    const { archive = manifest.archive.id } = this.#options;
    if (archive !== manifest.archive.id) {
      throw refusal('ARCHIVE_INVALID', `the export is of archive ${manifest.archive.id}, not of ${archive}`);
    }
    await this.#checkFiles(manifest);
    await this.#within(PATHS.exportAct, () => this.#checkExportAct(manifest, content));
    for (const index of manifest.acts) {
      await this.#within(PATHS.act(index), async () => {
        this.#acts.set(index, await this.#provenAct(PATHS.act(index), PATHS.actProof(index)));
      });
    }
    for (const { reportData, act } of manifest.evidence) {
      await this.#within(PATHS.evidence(reportData), () => this.#checkEvidence(reportData, act));
    }
    for (const { path } of manifest.files) {
      if (RECEIPTS_PATH.test(path)) await this.#within(path, () => this.#checkReceipts(path));
    }
    if (this.#total !== manifest.receipts) {
      throw refusal('EVIDENCE_MISSING', `${this.#total} receipts, where the manifest says ${manifest.receipts}`);
    }
  }

  /** Every file is listed and every listed one is whole. */
  async #checkFiles({ files }: Manifest): Promise<void> {
    const listed = new Set(files.map(({ path }) => path));
    const beside: readonly string[] = [PATHS.manifest, PATHS.exportAct, PATHS.exportProof];
    for (const name of this.#files.names) {
      if (!listed.has(name) && !beside.includes(name)) {
        this.problem(name, refusal('EVIDENCE_MALFORMED', 'not listed in the manifest'));
      }
    }
    for (const { path, bytes: length, sha256: digest } of files) {
      await this.#within(path, async () => {
        const content = await this.#read(path);
        if (content.length === length && hex(sha256(content)) === digest) return;
        throw refusal('EVIDENCE_MALFORMED', 'not the bytes that the manifest lists');
      });
    }
  }

  async #checkExportAct(manifest: Manifest, content: Uint8Array): Promise<void> {
    const act = await this.#provenAct(PATHS.exportAct, PATHS.exportProof);
    if (act.kind !== 'export' || !equalBytes(act.manifest, sha256(content)) || act.receipts !== manifest.receipts) {
      throw refusal('EVIDENCE_MALFORMED', 'the archive recorded another export');
    }
  }

  /** An act that the archive signed and that lies in its own log. */
  async #provenAct(name: string, proofName: string): Promise<RecordedAct> {
    const { id, publicKey } = (this.#manifest as Manifest).archive;
    const cose = await this.#read(name);
    const { act, message } = parseAct(cose);
    if (!(await verifySign1(message, publicKey))) throw refusal('SIGNATURE_INVALID', 'not signed by the archive');
    const proof = parseTlogProof(fromUtf8(await this.#read(proofName)));
    const log = { origin: archiveOrigin(id), key: publicKey };
    if (proof.index !== act.index || !(await verifyTlogProof(proof, leafHash(cose), log))) {
      throw refusal('INCLUSION_INVALID', 'not at its place in the archive’s own log');
    }
    return act;
  }

  async #checkEvidence(reportData: Bytes<64>, actIndex: number): Promise<void> {
    const frozen = frozenBy(this.#acts.get(actIndex));
    if (!frozen || !equalBytes(frozen.reportData, reportData)) {
      throw refusal('EVIDENCE_MISSING', `act ${actIndex} does not say under what it was appraised`);
    }
    const file = await this.#read(PATHS.evidence(reportData));
    if (!equalBytes(sha256(file), frozen.file)) throw refusal('EVIDENCE_MALFORMED', 'not the file that was archived');
    const inputs = await this.#inputsOf(frozen.appraisal);
    const { verdict, result } = frozen.appraisal;
    const today = await assess({ file, kind: 'evidence', ...inputs });
    if (today.platform) this.#platforms.add(today.platform);
    this.#evidence.set(hex(reportData), { file, inputs });
    if (this.#options.policy) {
      if (today.verdict !== 'affirming') throw refusalOf(today);
    } else if (today.verdict !== verdict || !equalBytes(sha256(utf8(JSON.stringify(toJson(today)))), result)) {
      throw refusal(
        'EVIDENCE_MALFORMED',
        `now ${today.verdict}, and ${verdict} when it was archived, or in other words`,
      );
    }
  }

  /** What the archive froze, or the caller's own policy in its place. */
  async #inputsOf({ policy, anchors, endorsements, crls, atMs }: Frozen): Promise<Inputs> {
    const read = async (digests: readonly Bytes<32>[], pathOf: (digest: Bytes<32>) => string) =>
      Promise.all(digests.map((digest) => this.#blob(pathOf(digest), digest)));
    const given = { endorsements: await read(endorsements, PATHS.endorsement), crls: await read(crls, PATHS.crl) };
    const at = new Date(atMs);
    if (this.#options.policy) {
      return { ...given, policy: this.#options.policy, trustAnchors: this.#options.anchors, at };
    }
    const files = await read(anchors, PATHS.anchor);
    const own = await Promise.all(files.map((file) => readTrustAnchors(file, 'root')));
    for (const digest of anchors) this.#ownAnchors.add(hex(digest));
    const text = await this.#blob(PATHS.policy(policy), policy);
    return {
      ...given,
      policy: isBuiltin(text) ? AUTHENTICITY : readPolicy(text),
      trustAnchors: [...own.flat(), ...this.#options.anchors],
      at,
    };
  }

  async #blob(name: string, digest: Bytes<32>): Promise<Uint8Array<ArrayBuffer>> {
    const content = await this.#read(name);
    if (equalBytes(sha256(content), digest)) return content;
    throw refusal('EVIDENCE_MALFORMED', `${name}: another digest than its name`);
  }

  async #checkReceipts(path: string): Promise<void> {
    for (const file of parseEntryBundle(await this.#read(path))) {
      this.#total += 1;
      await this.#within(`receipt ${idOf(file)} in ${path}`, () => this.#checkReceipt(new Uint8Array(file)));
    }
    this.#options.onProgress?.(this.#total, (this.#manifest as Manifest).receipts);
  }

  async #checkReceipt(file: Uint8Array<ArrayBuffer>): Promise<void> {
    const { evidence } = parseReceipt(file);
    const known = 'reportData' in evidence ? this.#evidence.get(hex(evidence.reportData)) : undefined;
    if (!known) throw refusal('EVIDENCE_MISSING', 'its evidence is not in the bundle, or was refused');
    const result = await assess({ file, kind: 'receipt', evidence: [known.file], ...known.inputs });
    if (result.strength === 'hardware-committed') this.#committed += 1;
    if (result.verdict !== 'affirming') throw refusalOf(result);
    this.#affirming += 1;
  }

  report(): Report {
    const manifest = this.#manifest;
    const purges = [...this.#acts.values()].flatMap((act) =>
      act.kind === 'purge' ? [{ act: act.index, entries: act.entries, reason: act.reason }] : [],
    );
    return {
      holds: this.#count === 0,
      archive: manifest?.archive.id ?? null,
      createdAt: manifest?.createdAt ?? null,
      scope: manifest?.scope ?? {},
      files: manifest?.files.length ?? 0,
      evidence: this.#evidence.size,
      receipts: { total: this.#total, affirming: this.#affirming, hardwareCommitted: this.#committed },
      platforms: [...this.#platforms].sort(),
      ownAnchors: this.#ownAnchors.size,
      purges,
      problems: this.#problems,
      more: this.#count - this.#problems.length,
    };
  }
}

const refusal = (code: ConstructorParameters<typeof EvidenceError>[0], reason: string): EvidenceError =>
  new EvidenceError(code, reason, { field: 'bundle' });

function refusalOf({ verdict, findings }: AttestationResult): EvidenceError {
  const [first] = findings;
  return refusal(first?.code ?? 'EVIDENCE_UNSUPPORTED', `${verdict}: ${first?.claim ?? 'no finding'}`);
}

function frozenBy(act: RecordedAct | undefined) {
  if (act?.kind === 'deposit') return act.evidence;
  if (act?.kind !== 'ingest') return null;
  const { reportData, evidence, appraisal }: Extract<AppraisalAct, { kind: 'ingest' }> = act;
  return { reportData, file: evidence, appraisal };
}

const isBuiltin = (text: Uint8Array): boolean => equalBytes(text, utf8(AUTHENTICITY.id));

/** For the place of a problem: read without any check. */
function idOf(file: Uint8Array): string {
  try {
    return hex(
      bytes(parseStatement(parseSign1(parseReceipt(file).statement, 'statement').payload).receiptId, 16, 'id'),
    );
  } catch {
    return 'without a readable id';
  }
}
