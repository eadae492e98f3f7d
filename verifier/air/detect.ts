import { equalBytes } from '@veritee/protocol';

const TAG_SIGN1 = 0xd2;
const ARRAY_OF_4 = 0x84;
const SHORT_BYTES = 0x40;
/** Header 3, content type, is 61: `application/cwt`. In canonical CBOR it stands behind header 1, alg. */
const CONTENT_TYPE_CWT = Uint8Array.of(0x03, 0x18, 0x3d);

/** Whether it begins as COSE_Sign1 over a CWT does; the tag may be missing, which the reader then refuses. */
export function opensLikeAir(file: Uint8Array): boolean {
  const at = file[0] === TAG_SIGN1 ? 1 : 0;
  const length = (file[at + 1] ?? 0) - SHORT_BYTES;
  if (file[at] !== ARRAY_OF_4 || length < CONTENT_TYPE_CWT.length || length > 23) return false;
  return equalBytes(file.subarray(at + 2 + length - CONTENT_TYPE_CWT.length, at + 2 + length), CONTENT_TYPE_CWT);
}
