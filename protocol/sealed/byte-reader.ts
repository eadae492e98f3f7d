/**
 * Takes pieces of wanted lengths from a stream of pieces of any length. Holds one piece of the stream and, while a wanted
 * piece is spread over several, one copy of it: never more, however small the stream is cut.
 *
 * The source is read and never closed: what becomes of it after a refusal is for its owner to say.
 */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** False at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (!this.#ended && this.#piece.length === 0) {
      const next = await this.#source.next();
      if (next.done) this.#ended = true;
      else this.#piece = next.value;
    }
    return !this.#ended;
  }

  /** What is at hand, at most `max` bytes; empty only at the end. */
  async some(max: number): Promise<Uint8Array> {
    await this.#fill();
    const out = this.#piece.subarray(0, max);
    this.#piece = this.#piece.subarray(out.length);
    return out;
  }

  /** Exactly `n` bytes, fewer only at the end. */
  async take(n: number): Promise<Uint8Array> {
    const first = await this.some(n);
    if (first.length === n || this.#ended) return first;
    const out = new Uint8Array(n);
    out.set(first);
    let length = first.length;
    while (length < n) {
      const next = await this.some(n - length);
      if (next.length === 0) break;
      out.set(next, length);
      length += next.length;
    }
    return out.subarray(0, length);
  }

  /** Everything up to the end, or null when that is more than `max` bytes. */
  async rest(max: number): Promise<Uint8Array | null> {
    let out = new Uint8Array(Math.min(max, 1 << 16));
    let length = 0;
    for (;;) {
      const next = await this.some(max - length + 1);
      if (next.length === 0) return out.subarray(0, length);
      if (length + next.length > max) return null;
      if (length + next.length > out.length) {
        const wider = new Uint8Array(Math.min(max, Math.max(2 * out.length, length + next.length)));
        wider.set(out.subarray(0, length));
        out = wider;
      }
      out.set(next, length);
      length += next.length;
    }
  }
}

/** A stream of one piece. */
export async function* onePiece<T extends Uint8Array>(piece: T): AsyncGenerator<T, void, void> {
  yield piece;
}
