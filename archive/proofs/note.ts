/**
 * A signed note with any number of signature lines, as a witnessed checkpoint is one.
 *
 * @see https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint
 */
import {
  type Bytes,
  bytes,
  concat,
  type Ed25519Key,
  EvidenceError,
  equalBytes,
  fromBase64,
  fromUtf8,
  type Hash,
  hex,
  noteKeyId,
  sha256,
  utf8,
  verifyEd25519,
} from '@veritee/protocol';

const MAX_NOTE_BYTES = 16_384;
const MAX_SIGNATURES = 16;
/** signed-note signature types. */
const COSIGNATURE_V1 = 0x04;

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Bytes<4>;
  readonly signature: Uint8Array;
  /** The line without its line feed. */
  readonly line: string;
}

/** Nothing in it is trusted until a signature is verified. */
export interface CheckpointNote {
  /** The signed text, with its last line feed. */
  readonly body: string;
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
  readonly signatures: readonly NoteSignature[];
}

const fail = (reason: string): never => {
  throw new EvidenceError('EVIDENCE_MALFORMED', `checkpoint: ${reason}`, { field: 'checkpoint' });
};

const LINE = /^— ([^\s+]{1,255}) ([A-Za-z0-9+/]{8,8192}={0,2})$/;

/** One signature line, without its line feed. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', text = ''] = LINE.exec(line) ?? fail('a signature line that is none');
  const value = fromBase64(text) ?? fail('a signature that is not canonical base64');
  if (value.length < 5) fail('a signature without a key id and a value');
  return { name, keyId: bytes(value.subarray(0, 4), 4, 'key id'), signature: value.subarray(4), line };
}

/** Shape only; no extension lines. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseCheckpointNote(note: string): CheckpointNote {
  if (utf8(note).length > MAX_NOTE_BYTES) fail(`longer than ${MAX_NOTE_BYTES} bytes`);
  const at = note.indexOf('\n\n');
  const body = note.slice(0, at + 1);
  const match = /^([^\s+]{1,255})\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n$/.exec(body);
  if (at < 0 || !match || !note.endsWith('\n')) return fail('not a three-line body, a blank line and signature lines');
  const [, origin = '', digits = '', rootText = ''] = match;
  const size = Number(digits);
  if (!Number.isSafeInteger(size)) fail('size above 2^53−1');
  const lines = note.slice(at + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) fail(`more than ${MAX_SIGNATURES} signature lines`);
  return {
    body,
    origin,
    size,
    root: bytes(fromBase64(rootText) ?? fail('root is not canonical base64'), 32, 'checkpoint.root'),
    signatures: lines.map(parseSignatureLine),
  };
}

/** The log's own line: Ed25519 (type 01) under its origin. */
export async function verifyLogSignature(note: CheckpointNote, origin: string, key: Ed25519Key): Promise<boolean> {
  if (note.origin !== origin) return false;
  const keyId = noteKeyId(origin, key);
  const own = note.signatures.find((one) => one.name === origin && equalBytes(one.keyId, keyId));
  if (own?.signature.length !== 64) return false;
  return verifyEd25519(key, utf8(note.body), bytes(own.signature, 64, 'signature'));
}

/** A witness by its name and key, which a note's line is matched against. */
export interface Witness {
  readonly name: string;
  readonly key: Ed25519Key;
}

/** Key id of a timestamped Ed25519 cosignature: the first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key). */
export const cosignatureKeyId = ({ name, key }: Witness): Bytes<4> =>
  bytes(sha256(concat(utf8(`${name}\n`), Uint8Array.of(COSIGNATURE_V1), key)).subarray(0, 4), 4, 'key id');

/** What a cosignature signs. @see https://c2sp.org/tlog-cosignature */
export const cosignedMessage = (seconds: number, body: string): Uint8Array<ArrayBuffer> =>
  utf8(`cosignature/v1\ntime ${seconds}\n${body}`);

/** @returns the witness's time in seconds since 1970, or null when the line is not this witness's, or does not verify */
export async function verifyCosignature(body: string, line: NoteSignature, witness: Witness): Promise<number | null> {
  const ours = line.name === witness.name && equalBytes(line.keyId, cosignatureKeyId(witness));
  if (!ours || line.signature.length !== 8 + 64) return null;
  const { buffer, byteOffset } = line.signature;
  const seconds = Number(new DataView(buffer, byteOffset, 8).getBigUint64(0));
  if (!Number.isSafeInteger(seconds)) return null;
  const signature = bytes(line.signature.subarray(8), 64, 'signature');
  return (await verifyEd25519(witness.key, cosignedMessage(seconds, body), signature)) ? seconds : null;
}

/** `name+hex key id+base64(type ‖ key)` of a cosigner. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseWitnessKey(text: string, readKey: (raw: Uint8Array) => Ed25519Key): Witness {
  const match = /^([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{43,44}=?)$/.exec(text.trim());
  const raw = match?.[3] === undefined ? null : fromBase64(match[3]);
  if (!match || raw?.length !== 33 || raw[0] !== COSIGNATURE_V1) {
    throw new EvidenceError('EVIDENCE_MALFORMED', 'witness key: want name+id+key of a cosignature/v1 key', {
      field: 'witness',
    });
  }
  const witness = { name: match[1] as string, key: readKey(raw.subarray(1)) };
  if (hex(cosignatureKeyId(witness)) !== match[2]) {
    throw new EvidenceError('EVIDENCE_MALFORMED', 'witness key: its id is not that of the key', { field: 'witness' });
  }
  return witness;
}

export const noteText = (content: Uint8Array): string => {
  try {
    return fromUtf8(content);
  } catch {
    return fail('not UTF-8');
  }
};
