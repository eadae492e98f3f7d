/** The one form that each profile's public keys have as DER SubjectPublicKeyInfo. Nobody looks at the key itself here. */
import { fromHex } from '@veritee/protocol';

const NOTHING = new Uint8Array(0);
const known = (text: string): Uint8Array => fromHex(text) ?? NOTHING;

/** What stands around the 512 bytes of an RSA-4096 modulus, whose top bit is set, with exponent 65537 (RFC 8017 §A.1). */
const RSA_HEAD = known('30820222300d06092a864886f70d01010105000382020f003082020a0282020100');
const RSA_TAIL = known('0203010001');
const MODULUS_BYTES = 512;

/** What stands before an uncompressed point of P-384 (RFC 5480 §2). */
const P384_HEAD = known('3076301006072a8648ce3d020106052b81040022036200');
const P384_POINT_BYTES = 97;
const UNCOMPRESSED = 0x04;

/** Whether exactly these bytes stand around a key of this size. */
function isBetween(spki: Uint8Array, head: Uint8Array, size: number, tail: Uint8Array): boolean {
  const end = head.length + size;
  if (spki.length !== end + tail.length) return false;
  for (let i = 0; i < head.length; i++) if (spki[i] !== head[i]) return false;
  for (let i = 0; i < tail.length; i++) if (spki[end + i] !== tail[i]) return false;
  return true;
}

/** A key of AMD's authorities: RSA-4096, exponent 65537. */
export const isRsa4096 = (spki: Uint8Array): boolean =>
  isBetween(spki, RSA_HEAD, MODULUS_BYTES, RSA_TAIL) && (spki[RSA_HEAD.length] ?? 0) >= 0x80;

/** The modulus; null for a key of another kind, size, exponent or form. */
export const rsa4096Modulus = (spki: Uint8Array): Uint8Array<ArrayBuffer> | null =>
  isRsa4096(spki) ? new Uint8Array(spki.subarray(RSA_HEAD.length, RSA_HEAD.length + MODULUS_BYTES)) : null;

/** A P-384 key, the point uncompressed. */
export const isP384 = (spki: Uint8Array): boolean =>
  isBetween(spki, P384_HEAD, P384_POINT_BYTES, NOTHING) && spki[P384_HEAD.length] === UNCOMPRESSED;

/** The point alone; null for a key of another kind or form. */
export const p384Point = (spki: Uint8Array): Uint8Array<ArrayBuffer> | null =>
  isP384(spki) ? new Uint8Array(spki.subarray(P384_HEAD.length)) : null;
