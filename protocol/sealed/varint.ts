/** Variable-length integers, RFC 9000 §16: the first two bits say whether there are 1, 2, 4 or 8 bytes. */
import type { Pull } from './pull.ts';
import type { Refuse } from './refusal.ts';

/** The shortest form. */
export function encodeVarint(value: number): Uint8Array<ArrayBuffer> {
  const log = value < 0x40 ? 0 : value < 0x4000 ? 1 : value < 0x4000_0000 ? 2 : 3;
  const out = new Uint8Array(2 ** log);
  for (let i = out.length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) out[i] = rest % 256;
  out[0] = (out[0] as number) | (log << 6);
  return out;
}

/** null when the message ends here. Values above 2^53 come out rounded: they exceed every limit they are held against. */
export function* integer(field: string, refuse: Refuse): Pull<number | null> {
  const [first] = yield 1;
  if (first === undefined) return null;
  const wanted = 2 ** (first >> 6) - 1;
  let value = first & 0x3f;
  if (wanted === 0) return value;
  const rest = yield wanted;
  if (rest.length < wanted) throw refuse('truncated', 'ends within a length', field);
  for (const byte of rest) value = value * 256 + byte;
  return value;
}
