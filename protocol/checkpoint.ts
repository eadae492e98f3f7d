/**
 * The log's head as a C2SP tlog-checkpoint: a signed note with exactly one signature line by the session key.
 *
 * ```
 * veritee/0123456789abcdef0123456789abcdef
 * 42
 * CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 *
 * — veritee/0123456789abcdef0123456789abcdef Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
 * ```
 * @see https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note
 */
import { type Bytes, base64, bytes, concat, equalBytes, fromBase64, hex, utf8 } from './bytes.ts';
import { type Ed25519Key, type Sign, verifyEd25519 } from './ed25519.ts';
import { EvidenceError } from './errors.ts';
import { sha256 } from './hash.ts';
import type { Hash } from './merkle.ts';

const TYPE_ED25519 = 0x01; // signed-note signature type
/** The longest note: origin and signer name of 40 characters, 16 digits, one root, one signature. */
export const MAX_CHECKPOINT_BYTES = 320;

/** The three lines that are signed, each ended by one line feed. */
declare const body: unique symbol;
export type CheckpointBody = string & { readonly [body]: true };

export interface Checkpoint {
  readonly origin: string;
  /** Number of entries, 1 to 2^53−1. */
  readonly size: number;
  readonly root: Hash;
  readonly body: CheckpointBody;
  readonly keyId: Bytes<4>;
  readonly signature: Bytes<64>;
}

/** Boot id: the first 16 bytes of SHA-256(raw session public key). */
export const bootIdOf = (sessionKey: Bytes<32>): Bytes<16> => bytes(sha256(sessionKey).subarray(0, 16), 16, 'boot id');

export const originOf = (bootId: Bytes<16>): string => `veritee/${hex(bootId)}`;

/** signed-note key id: the first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key). */
export const noteKeyId = (name: string, key: Bytes<32>): Bytes<4> =>
  bytes(sha256(concat(utf8(`${name}\n`), Uint8Array.of(TYPE_ED25519), key)).subarray(0, 4), 4, 'key id');

/** The verifier key line that C2SP tools take: `name+hex key id+base64(type ‖ key)`. */
export const noteVerifierKey = (name: string, key: Bytes<32>): string =>
  `${name}+${hex(noteKeyId(name, key))}+${base64(concat(Uint8Array.of(TYPE_ED25519), key))}`;

export const checkpointBody = (origin: string, size: number, root: Hash): CheckpointBody =>
  `${origin}\n${size}\n${base64(root)}\n` as CheckpointBody;

export function encodeCheckpoint(origin: string, size: number, root: Hash, key: Bytes<32>, sign: Sign): string {
  const text = checkpointBody(origin, size, root);
  const line = base64(concat(noteKeyId(origin, key), sign(utf8(text))));
  return `${text}\n— ${origin} ${line}\n`;
}

const NOTE =
  /^(veritee\/[0-9a-f]{32})\n([1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n\n— (veritee\/[0-9a-f]{32}) ([A-Za-z0-9+/]{90,92}={0,2})\n$/;

/** Shape only. @throws EvidenceError EVIDENCE_MALFORMED anything but three lines, a blank one and one signature line */
export function parseCheckpoint(note: string): Checkpoint {
  const fail = (reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `checkpoint: ${reason}`, { field: 'checkpoint' });
  };
  const match = NOTE.exec(note);
  if (!match) return fail('not a three-line body, a blank line and one signature line');
  const [, origin, digits, rootText, name, line] = match as unknown as [string, string, string, string, string, string];
  const size = Number(digits);
  if (!Number.isSafeInteger(size)) fail('size above 2^53−1');
  if (name !== origin) fail('the signer name is not the origin');
  const root = fromBase64(rootText) ?? fail('root is not canonical base64');
  const signed = fromBase64(line) ?? fail('signature is not canonical base64');
  if (signed.length !== 68) fail(`signature line of ${signed.length} bytes, want 68`);
  return {
    origin,
    size,
    root: bytes(root, 32, 'checkpoint.root'),
    body: checkpointBody(origin, size, bytes(root, 32, 'checkpoint.root')),
    keyId: bytes(signed.subarray(0, 4), 4, 'checkpoint.keyId'),
    signature: bytes(signed.subarray(4), 64, 'checkpoint.signature'),
  };
}

/** Origin, key id and signature under the session key. */
export async function verifyCheckpoint(checkpoint: Checkpoint, key: Ed25519Key): Promise<boolean> {
  const origin = originOf(bootIdOf(key));
  if (checkpoint.origin !== origin || !equalBytes(checkpoint.keyId, noteKeyId(origin, key))) return false;
  return verifyEd25519(key, utf8(checkpoint.body), checkpoint.signature);
}
