/**
 * The head of the archive's own log as a C2SP tlog-checkpoint under the archive's key, origin `veritee-archive/<id>`.
 *
 * @see https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note
 */
import {
  type Bytes,
  base64,
  bytes,
  type Ed25519Key,
  EvidenceError,
  encodeCheckpoint,
  equalBytes,
  fromBase64,
  type Hash,
  hex,
  noteKeyId,
  type Sign,
  sha256,
  utf8,
  verifyEd25519,
} from '@veritee/protocol';

/** The first 16 bytes of SHA-256 of the public key, in hex. */
export const archiveIdOf = (publicKey: Bytes<32>): string => hex(sha256(publicKey).subarray(0, 16));
export const archiveOrigin = (id: string): string => `veritee-archive/${id}`;

export const signHead = (id: string, size: number, root: Hash, key: Bytes<32>, sign: Sign): string =>
  encodeCheckpoint(archiveOrigin(id), size, root, key, sign);

export interface ArchiveCheckpoint {
  readonly id: string;
  readonly size: number;
  readonly root: Hash;
  /** The three signed lines. */
  readonly body: string;
  readonly keyId: Bytes<4>;
  readonly signature: Bytes<64>;
}

const NOTE =
  /^veritee-archive\/([0-9a-f]{32})\n([1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n\n— veritee-archive\/([0-9a-f]{32}) ([A-Za-z0-9+/]{90,92}={0,2})\n$/;

/** Shape only: one signature line, the archive's own. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseArchiveCheckpoint(note: string): ArchiveCheckpoint {
  const fail = (reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `archive checkpoint: ${reason}`, { field: 'checkpoint' });
  };
  const match = NOTE.exec(note);
  if (!match) return fail('not a three-line body, a blank line and one signature line');
  const [, id = '', digits = '', rootText = '', name = '', line = ''] = match;
  const size = Number(digits);
  if (!Number.isSafeInteger(size)) fail('size above 2^53−1');
  if (name !== id) fail('the signer name is not the origin');
  const root = bytes(fromBase64(rootText) ?? fail('root is not canonical base64'), 32, 'checkpoint.root');
  const signed = fromBase64(line) ?? fail('signature is not canonical base64');
  if (signed.length !== 68) fail(`signature line of ${signed.length} bytes, want 68`);
  return {
    id,
    size,
    root,
    body: `${archiveOrigin(id)}\n${size}\n${base64(root)}\n`,
    keyId: bytes(signed.subarray(0, 4), 4, 'checkpoint.keyId'),
    signature: bytes(signed.subarray(4), 64, 'checkpoint.signature'),
  };
}

/** Origin, key id and signature under the archive's key. */
export async function verifyArchiveCheckpoint(checkpoint: ArchiveCheckpoint, key: Ed25519Key): Promise<boolean> {
  const id = archiveIdOf(key);
  if (checkpoint.id !== id || !equalBytes(checkpoint.keyId, noteKeyId(archiveOrigin(id), key))) return false;
  return verifyEd25519(key, utf8(checkpoint.body), checkpoint.signature);
}
