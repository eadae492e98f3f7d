/** Certificates, keys and signatures end in bytes that hardly repeat, so their tails serve as names without hashing. */
const TAIL_BYTES = 6; // what a number holds exactly

function nameOf(key: Uint8Array): number {
  let name = 0;
  for (let i = Math.max(0, key.length - TAIL_BYTES); i < key.length; i++) name = name * 256 + (key[i] ?? 0);
  return name;
}

/** Nothing here is secret, so the first difference ends it; word by word, since certificates are long. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const words = (a.byteOffset | b.byteOffset) & 3 ? 0 : a.length >> 2;
  const aWords = new Uint32Array(a.buffer, a.byteOffset, words);
  const bWords = new Uint32Array(b.buffer, b.byteOffset, words);
  for (let i = 0; i < words; i++) if (aWords[i] !== bWords[i]) return false;
  for (let i = 4 * words; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * A bounded memory of what exact byte strings led to. The tail only finds the place; a hit needs every byte equal, so
 * nothing can be read under a key it was not stored under. The oldest entry goes first.
 */
export class ByteCache<V> {
  readonly #entries = new Map<number, { readonly key: Uint8Array; readonly value: V }>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: Uint8Array): V | undefined {
    const entry = this.#entries.get(nameOf(key));
    return entry && isSame(entry.key, key) ? entry.value : undefined;
  }

  set(key: Uint8Array, value: V): void {
    const name = nameOf(key);
    this.#entries.delete(name);
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(name, { key: new Uint8Array(key), value });
  }
}
