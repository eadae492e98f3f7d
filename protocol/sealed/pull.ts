/**
 * Parsers that ask for bytes instead of holding them: a generator yields how many it wants and receives so many, fewer
 * only at the end of the message. One parser then reads a message in memory as well as one that is still arriving.
 */
import type { ByteReader } from './byte-reader.ts';

export type Pull<T> = Generator<number, T, Uint8Array>;

/** Over bytes in memory: pieces are views, so even a large one costs nothing. */
export function pullFrom<T>(parser: Pull<T>, data: Uint8Array): T {
  let at = 0;
  let step = parser.next();
  while (!step.done) {
    const piece = data.subarray(at, Math.min(data.length, at + step.value));
    at += piece.length;
    step = parser.next(piece);
  }
  return step.value;
}

/** Over a stream: a parser must bound what it asks for. */
export async function pullThrough<T>(parser: Pull<T>, reader: ByteReader): Promise<T> {
  let step = parser.next();
  while (!step.done) step = parser.next(await reader.take(step.value));
  return step.value;
}
