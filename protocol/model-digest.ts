import type { Bytes } from './bytes.ts';
import { type Cbor, encodeCbor } from './cbor.ts';
import { EvidenceError } from './errors.ts';
import { sha256 } from './hash.ts';

/** SHA-256 of every file of a model's version folder, by path: `model.onnx`, `weights/part-0.bin`. */
export type ModelFiles = ReadonlyMap<string, Bytes<32>>;

/**
 * Why a relative path cannot stand in a model's file map; null when it can. One file has one spelling, so that two
 * readers of a folder get one digest: `/` between segments, NFC, no empty, `.` or `..` segment.
 */
export function modelPathProblem(path: string): string | null {
  if (/\p{Surrogate}/u.test(path)) return 'not Unicode text';
  if (path.includes('\0')) return 'a NUL character';
  if (path.includes('\\')) return 'a backslash';
  if (path.normalize('NFC') !== path) return 'not in Unicode normalization form C';
  const segments = path.split('/');
  if (segments.includes('')) return 'an empty segment';
  if (segments.includes('.') || segments.includes('..')) return 'a dot segment';
  return null;
}

/**
 * The model digest of design §3: SHA-256 over the canonical CBOR map {relative path: SHA-256 of the file}.
 *
 * Names and versions are labels; this digest says which model it is.
 *
 * @throws EvidenceError EVIDENCE_MALFORMED no file, or a path that breaks the rules of `modelPathProblem`
 */
export function modelDigest(files: ModelFiles): Bytes<32> {
  if (files.size === 0) throw new EvidenceError('EVIDENCE_MALFORMED', 'files: a model has files', { field: 'files' });
  for (const path of files.keys()) {
    const problem = modelPathProblem(path);
    if (problem !== null) {
      const field = `files[${JSON.stringify(path)}]`;
      throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${problem}`, { field });
    }
  }
  return sha256(encodeCbor(new Map<string, Cbor>(files)));
}
