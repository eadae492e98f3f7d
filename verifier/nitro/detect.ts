/** Apart from the reader, which is loaded when such a file is met. */

/** COSE_Sign1's tag 18 in its one-byte form. Hypervisors leave it out; AWS allows it. */
export const TAG_SIGN1 = 0xd2;

/** Detection only: `[tag 18] [h'a1 01 …', …`, an array of four that opens with a header naming an algorithm alone. */
export function opensLikeNitroDocument(file: Uint8Array): boolean {
  const [array, header, map, alg] = file[0] === TAG_SIGN1 ? file.subarray(1) : file;
  return array === 0x84 && (header === 0x43 || header === 0x44) && map === 0xa1 && alg === 0x01;
}
