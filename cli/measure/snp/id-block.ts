/**
 * The ID block: what the guest's owner says the launch must be, signed by an ID key, which an author key may vouch for
 * (AMD 56860 §8.18, SNP_LAUNCH_FINISH; structures ID_BLOCK, ID_AUTH_INFO). The firmware refuses a launch that differs
 * and reports the SHA-384 of each key.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { type Bytes, bytes, concat, EvidenceError, fromBase64url, isZero } from '@veritee/protocol';
import { sha384 } from '../hash.ts';

const ID_BLOCK_BYTES = 96;
const ID_AUTH_BYTES = 4096;
const KEY_BYTES = 0x404; // u32 curve, X and Y of 72 bytes, little-endian, 880 reserved
const SIGNATURE_BYTES = 0x200; // R and S of 72 bytes, little-endian, 368 reserved
const P384 = 2;
const ECDSA_P384_SHA384 = 1;
const COORDINATE = 48;
const PADDED_COORDINATE = 72;
const BLOCK_VERSION = 1;

export interface IdBlock {
  readonly launchDigest: Bytes<48>;
  readonly guestSvn: number;
  readonly policy: bigint;
  readonly idKeyDigest: Bytes<48>;
  /** Null: no author vouches for the ID key, and the report's AUTHOR_KEY_DIGEST is zero. */
  readonly authorKeyDigest: Bytes<48> | null;
}

function refuse(code: 'EVIDENCE_MALFORMED' | 'SIGNATURE_INVALID', field: string, reason: string): never {
  throw new EvidenceError(code, `${field}: ${reason}`, { field });
}

const reversed = (data: Uint8Array): Uint8Array => Uint8Array.from(data).reverse();

/** The key as AMD writes it, which is what a report's digest covers. @param key on the curve P-384; null: another */
export function amdKey(key: KeyObject): Uint8Array | null {
  if (key.asymmetricKeyDetails?.namedCurve !== 'secp384r1') return null;
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const out = new Uint8Array(KEY_BYTES);
  new DataView(out.buffer).setUint32(0, P384, true);
  for (const [i, part] of [x, y].entries()) {
    const value = fromBase64url(part);
    if (value?.length !== COORDINATE) return null;
    out.set(reversed(value), 4 + i * PADDED_COORDINATE);
  }
  return out;
}

export const keyDigest = (amd: Uint8Array): Bytes<48> => sha384(amd);

/**
 * Reads the two files that a hypervisor is given, and verifies what is signed in them as the firmware will.
 *
 * @param block ID_BLOCK, 96 bytes
 * @param auth ID_AUTH_INFO, 4096 bytes
 * @throws EvidenceError EVIDENCE_MALFORMED not these structures; SIGNATURE_INVALID the firmware would refuse them
 */
export function readIdBlock(block: Uint8Array, auth: Uint8Array): IdBlock {
  if (block.length !== ID_BLOCK_BYTES) refuse('EVIDENCE_MALFORMED', 'id-block', `want ${ID_BLOCK_BYTES} bytes`);
  if (auth.length !== ID_AUTH_BYTES) refuse('EVIDENCE_MALFORMED', 'id-auth', `want ${ID_AUTH_BYTES} bytes`);
  const fields = new DataView(block.buffer, block.byteOffset, block.length);
  const version = fields.getUint32(0x50, true);
  if (version !== BLOCK_VERSION) refuse('EVIDENCE_MALFORMED', 'id-block', `version ${version}`);
  const algorithms = new DataView(auth.buffer, auth.byteOffset, 8);
  const part = (at: number, length: number): Uint8Array => auth.subarray(at, at + length);
  const idKey = part(0x240, KEY_BYTES);
  const authorKey = part(0x880, KEY_BYTES);
  const authored = !isZero(authorKey);
  if (![part(0x8, 0x38), part(0x644, 0x3c), part(0xc84, 0x37c)].every(isZero))
    refuse('EVIDENCE_MALFORMED', 'id-auth', 'reserved bytes are set');
  checkSignature(algorithms.getUint32(0, true), part(0x40, SIGNATURE_BYTES), block, idKey, 'id-auth.idBlockSignature');
  if (authored)
    checkSignature(
      algorithms.getUint32(4, true),
      part(0x680, SIGNATURE_BYTES),
      idKey,
      authorKey,
      'id-auth.idKeySignature',
    );
  return {
    launchDigest: bytes(block.subarray(0, 0x30), 48, 'id-block.launchDigest'),
    guestSvn: fields.getUint32(0x54, true),
    policy: fields.getBigUint64(0x58, true),
    idKeyDigest: keyDigest(idKey),
    authorKeyDigest: authored ? keyDigest(authorKey) : null,
  };
}

function checkSignature(
  algorithm: number,
  signature: Uint8Array,
  signed: Uint8Array,
  key: Uint8Array,
  field: string,
): void {
  if (algorithm !== ECDSA_P384_SHA384) refuse('EVIDENCE_MALFORMED', field, `algorithm ${algorithm}`);
  const [r, s, reserved] = [
    signature.subarray(0, PADDED_COORDINATE),
    signature.subarray(PADDED_COORDINATE, 2 * PADDED_COORDINATE),
    signature.subarray(2 * PADDED_COORDINATE),
  ];
  if (!isZero(r.subarray(COORDINATE)) || !isZero(s.subarray(COORDINATE)) || !isZero(reserved))
    refuse('EVIDENCE_MALFORMED', field, 'want zeros beyond the values');
  const value = concat(reversed(r.subarray(0, COORDINATE)), reversed(s.subarray(0, COORDINATE)));
  if (!verify('sha384', signed, { key: readKey(key, field), dsaEncoding: 'ieee-p1363' }, value))
    refuse('SIGNATURE_INVALID', field, 'not by this key over these bytes');
}

function readKey(amd: Uint8Array, field: string): KeyObject {
  const curve = new DataView(amd.buffer, amd.byteOffset, 4).getUint32(0, true);
  const coordinate = (at: number): string =>
    Buffer.from(reversed(amd.subarray(at, at + COORDINATE))).toString('base64url');
  try {
    const key = createPublicKey({
      key: { kty: 'EC', crv: 'P-384', x: coordinate(4), y: coordinate(4 + PADDED_COORDINATE) },
      format: 'jwk',
    });
    const again = amdKey(key);
    if (curve === P384 && again && Buffer.compare(again, amd) === 0) return key;
  } catch {
    // Not a point of the curve: refused below, like a key that is written in another way.
  }
  return refuse('EVIDENCE_MALFORMED', field, 'want a P-384 key');
}
