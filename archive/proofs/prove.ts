/** What the archive can prove about one entry or one of its own acts, for people who trust neither it nor the vendor. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type Bytes,
  bootIdOf,
  CodedError,
  EvidenceError,
  encodeReceipt,
  equalBytes,
  type Hash,
  hex,
  inclusionPath,
  originOf,
  parseEvidence,
  parseSessionClaims,
  rootFromInclusion,
} from '@veritee/protocol';
import { type Archive, KEY_FILE } from '../archive.ts';
import { putTogether } from '../evidence-parts.ts';
import { archiveOrigin } from '../log/checkpoint.ts';
import { type ArchiveKey, readKeyFile } from '../log/key.ts';
import { proveInclusion } from '../log/proofs.ts';
import type { ArchiveStore, EntryRow, EvidenceRow, Place, ProofRow } from '../store/port.ts';
import { encodeCoseReceipt } from './cose-receipt.ts';
import { pyramidOf } from './paths.ts';
import { encodeTlogProof } from './tlog-proof.ts';

export interface EntryProof {
  readonly entry: EntryRow;
  readonly evidence: EvidenceRow;
  /** To the root of `evidence`. */
  readonly path: readonly Hash[];
}

const unknown = (reason: string): CodedError => new CodedError('RECEIPT_UNKNOWN', reason, { field: 'receipt' });

export async function findEntry(archive: Archive, place: Place): Promise<EntryRow> {
  const [entry] = await archive.store.entries({ boot: place.boot, from: place.index, to: place.index + 1 });
  if (!entry) throw unknown(`boot ${place.boot}: no entry ${place.index} in this archive`);
  return entry;
}

/** @throws CodedError RECEIPT_UNKNOWN not in the archive, or purged with its search columns */
export async function placeOfReceipt(archive: Archive, receiptId: Bytes<16>): Promise<Place> {
  const place = await archive.store.placeOf(receiptId);
  if (!place) throw unknown(`no receipt ${hex(receiptId)} in this archive; a purged one is found by boot and index`);
  return place;
}

/** The evidence that first covered an entry, with the entry's path to it; null while none does. */
async function coverOf(
  store: ArchiveStore,
  place: Place,
  pathIn: (index: number, size: number) => Promise<readonly Hash[]>,
): Promise<{ readonly evidence: EvidenceRow; readonly path: readonly Hash[] } | null> {
  const [given]: readonly ProofRow[] = await store.proofs({ boot: place.boot, from: place.index, to: place.index + 1 });
  const own = given && (await store.evidence(given.reportData));
  if (given && own) return { evidence: own, path: given.path };
  const evidence = await store.firstEvidenceOver(place.boot, place.index);
  return evidence && { evidence, path: await pathIn(place.index, evidence.size) };
}

/**
 * The path is followed to the stored root before it is handed out.
 * @throws CodedError RECEIPT_UNKNOWN, RECEIPT_PENDING no report covers it yet, RECEIPT_NEVER_COMMITTED and none will
 * @throws EvidenceError INCLUSION_INVALID what is stored does not hash to the signed root
 */
export async function proveEntry(archive: Archive, place: Place): Promise<EntryProof> {
  const { store } = archive;
  const entry = await findEntry(archive, place);
  const cover = await coverOf(store, place, (index, size) => proveInclusion(store, place.boot, index, size));
  if (!cover) {
    const state = (await store.boot(place.boot))?.state;
    const code = state === 'open' ? 'RECEIPT_PENDING' : 'RECEIPT_NEVER_COMMITTED';
    throw new CodedError(code, `boot ${place.boot}: no report covers entry ${place.index}`, { field: 'receipt' });
  }
  checkPath(entry, cover);
  return { entry, ...cover };
}

export function checkPath(
  { boot, index, leaf }: Pick<EntryRow, 'boot' | 'index' | 'leaf'>,
  { evidence, path: hashes }: { readonly evidence: EvidenceRow; readonly path: readonly Hash[] },
): void {
  const root = rootFromInclusion(leaf, index, evidence.size, hashes);
  if (root && equalBytes(root, evidence.root)) return;
  throw new EvidenceError('INCLUSION_INVALID', `boot ${boot}: entry ${index} does not hash to its signed root`, {
    field: 'entry',
  });
}

/** The portable receipt, evidence inside. @throws CodedError RECEIPT_UNKNOWN it was purged */
export async function portableReceipt(
  archive: Archive,
  { entry, evidence, path: hashes }: EntryProof,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!entry.cose) throw unknown(`boot ${entry.boot}: entry ${entry.index} was purged by act ${entry.purge}`);
  if (entry.kind !== 'statement') throw unknown(`boot ${entry.boot}: entry ${entry.index} is no receipt`);
  return encodeReceipt({
    statement: entry.cose,
    path: hashes,
    evidence: { file: await putTogether(evidence, archive.blobs) },
  });
}

/** The enclave's own signed checkpoint over the entry; holds for a purged one too, to whoever kept its bytes. */
export function entryTlogProof({ entry, evidence, path: hashes }: EntryProof): string {
  return encodeTlogProof(entry.index, hashes, parseEvidence(evidence.parts).checkpoint);
}

/** The key and name that `entryTlogProof` verifies under. */
export function logOf(evidence: EvidenceRow): { readonly origin: string; readonly key: Bytes<32> } {
  const { sessionKey } = parseSessionClaims(parseEvidence(evidence.parts).sessionClaims);
  return { origin: originOf(bootIdOf(sessionKey)), key: sessionKey };
}

export function entryCoseReceipt(
  archive: Archive,
  { entry, evidence, path: hashes }: EntryProof,
  key: ArchiveKey,
): Uint8Array<ArrayBuffer> {
  const { size, root } = evidence;
  const request = { issuer: archiveOrigin(archive.id), log: logOf(evidence).origin, size, index: entry.index };
  return encodeCoseReceipt({ ...request, path: hashes, root }, key.publicKey, key.sign);
}

/** @throws CodedError ARCHIVE_INVALID, DATA_FOLDER_UNUSABLE */
export async function openArchiveKey(folder: string): Promise<ArchiveKey> {
  const file = path.join(folder, KEY_FILE);
  const pem = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new CodedError('DATA_FOLDER_UNUSABLE', `${file}: ${cause.code ?? 'failed'}`, { field: 'archive', cause });
  });
  return readKeyFile(pem, file);
}

export interface ActProof {
  readonly index: number;
  readonly cose: Uint8Array<ArrayBuffer>;
  readonly leaf: Hash;
  readonly path: readonly Hash[];
  readonly size: number;
  readonly root: Hash;
  /** The archive's signed checkpoint. */
  readonly checkpoint: string;
}

/** Proofs of acts, all under the newest checkpoint. @throws CodedError RECEIPT_UNKNOWN */
export async function proveActs(archive: Archive, indices: readonly number[]): Promise<ActProof[]> {
  const head = await archive.store.actHead();
  const rows = pyramidOf(await archive.store.actLeaves());
  const proofs: ActProof[] = [];
  for (const index of indices) {
    const [act] = await archive.store.acts(index, index + 1);
    if (!head || !act || index >= head.size) throw unknown(`no act ${index} in this archive`);
    const hashes = inclusionPath(index, head.size, ({ level, index: at }) => rows[level]?.[at] as Hash);
    const { size, root, note } = head;
    if (!equalBytes(rootFromInclusion(act.leaf, index, size, hashes) ?? new Uint8Array(0), root)) {
      throw new EvidenceError('INCLUSION_INVALID', `act ${index} does not hash to the archive's signed root`, {
        field: 'act',
      });
    }
    proofs.push({ index, cose: act.cose, leaf: act.leaf, path: hashes, size, root, checkpoint: note });
  }
  return proofs;
}

/** @param cosignatures witnesses' lines on this checkpoint */
export const actTlogProof = ({ index, path: hashes, checkpoint }: ActProof, cosignatures: readonly string[] = []) =>
  encodeTlogProof(index, hashes, checkpoint + cosignatures.map((line) => `${line}\n`).join(''));

export const actCoseReceipt = (archive: Archive, proof: ActProof, key: ArchiveKey): Uint8Array<ArrayBuffer> => {
  const origin = archiveOrigin(archive.id);
  const { size, index, path: hashes, root } = proof;
  return encodeCoseReceipt({ issuer: origin, log: origin, size, index, path: hashes, root }, key.publicKey, key.sign);
};
