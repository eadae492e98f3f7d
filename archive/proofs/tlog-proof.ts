/**
 * A C2SP tlog-proof: the path of one entry to a signed checkpoint, as text that other people's tools read.
 *
 * ```
 * c2sp.org/tlog-proof@v1
 * index 73894
 * gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
 *
 * veritee/0123456789abcdef0123456789abcdef
 * …
 * ```
 * @see https://c2sp.org/tlog-proof
 */
import {
  base64,
  bytes,
  type Ed25519Key,
  EvidenceError,
  equalBytes,
  fromBase64,
  type Hash,
  MAX_PATH,
  rootFromInclusion,
} from '@veritee/protocol';
import { type CheckpointNote, parseCheckpointNote, verifyLogSignature } from './note.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_PROOF_BYTES = 65_536;

export interface TlogProof {
  readonly index: number;
  readonly path: readonly Hash[];
  readonly checkpoint: CheckpointNote;
}

/** @param checkpoint the signed note, verbatim; witnesses' lines behind the log's own */
export const encodeTlogProof = (index: number, path: readonly Hash[], checkpoint: string): string =>
  `${[HEADER, `index ${index}`, ...path.map(base64)].join('\n')}\n\n${checkpoint}`;

/** Shape only; `extra` data, which nothing authenticates, is refused. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseTlogProof(text: string): TlogProof {
  const fail = (reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `tlog-proof: ${reason}`, { field: 'proof' });
  };
  if (text.length > MAX_PROOF_BYTES) fail(`longer than ${MAX_PROOF_BYTES} characters`);
  const end = text.indexOf('\n\n');
  if (end < 0) fail('no blank line');
  const [header, indexLine = '', ...lines] = text.slice(0, end).split('\n');
  if (header !== HEADER) fail(`the first line is not ${HEADER}`);
  const index = Number(/^index (0|[1-9]\d{0,15})$/.exec(indexLine)?.[1] ?? fail('no index line'));
  if (!Number.isSafeInteger(index)) fail('index above 2^53−1');
  if (lines.length > MAX_PATH) fail(`more than ${MAX_PATH} hashes`);
  return {
    index,
    path: lines.map((line) => bytes(fromBase64(line) ?? fail('a hash that is not canonical base64'), 32, 'proof.path')),
    checkpoint: parseCheckpointNote(text.slice(end + 2)),
  };
}

/** One answer: the leaf lies at its index under a checkpoint that this log signed. */
export async function verifyTlogProof(
  { index, path, checkpoint }: TlogProof,
  leaf: Hash,
  log: { readonly origin: string; readonly key: Ed25519Key },
): Promise<boolean> {
  const root = rootFromInclusion(leaf, index, checkpoint.size, path);
  if (!root || !equalBytes(root, checkpoint.root)) return false;
  return verifyLogSignature(checkpoint, log.origin, log.key);
}
