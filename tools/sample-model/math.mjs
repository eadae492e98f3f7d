/**
 * Random numbers, exp and ln from + − × ÷ and square roots only. IEEE 754 fixes the result of those to the last bit,
 * while an engine's own Math.exp, log or pow may differ between versions, and one bit would change the trained file.
 */

/** sfc32 (PractRand): 128 bits of state, exact in 32-bit integers. */
export class Random {
  #a;
  #b;
  #c;
  #counter = 1;

  /** @param {number} seed any 32-bit integer */
  constructor(seed) {
    this.#a = seed | 0;
    this.#b = 0x9e3779b9 | 0;
    this.#c = 0x243f6a88 | 0;
    for (let i = 0; i < 20; i++) this.uniform(); // spreads the seed over the whole state
  }

  /** @returns {number} in [low, high), of 2^32 steps */
  uniform(low = 0, high = 1) {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return low + (high - low) * ((out >>> 0) / 4294967296);
  }

  /** Mean 0, standard deviation 1: Marsaglia's polar method. */
  normal() {
    for (;;) {
      const x = this.uniform(-1, 1);
      const y = this.uniform(-1, 1);
      const s = x * x + y * y;
      if (s > 0 && s < 1) return x * Math.sqrt((-2 * ln(s)) / s);
    }
  }

  /** Fisher and Yates, in place. @param {Uint32Array} items */
  shuffle(items) {
    for (let i = items.length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform(0, i + 1));
      [items[i], items[j]] = [items[j], items[i]];
    }
  }
}

const { LN2, LN10, SQRT2 } = Math;

/** Error below 1e-14 of the value. @param {number} x at most 700 in size */
export function exp(x) {
  const halvings = Math.round(x / LN2);
  const r = x - halvings * LN2; // |r| <= ln(2)/2
  let sum = 1;
  for (let i = 14; i > 0; i--) sum = 1 + (sum * r) / i; // Taylor
  const step = halvings < 0 ? 0.5 : 2;
  for (let i = Math.abs(halvings); i > 0; i--) sum *= step; // exact
  return sum;
}

/** Error below 1e-14 of the value, or of 1 near x = 1. @param {number} x positive and normal */
export function ln(x) {
  let m = x;
  let doublings = 0;
  for (; m > SQRT2; doublings++) m /= 2; // exact
  for (; m < SQRT2 / 2; doublings--) m *= 2;
  const s = (m - 1) / (m + 1); // |s| < 0.172; ln(m) = 2 artanh(s)
  const s2 = s * s;
  let sum = 0;
  for (let i = 21; i > 0; i -= 2) sum = sum * s2 + 1 / i;
  return doublings * LN2 + 2 * s * sum;
}

/** @param {number} x @returns {number} */
export const log10 = (x) => ln(x) / LN10;

/** @param {number} x positive @param {number} y */
export const pow = (x, y) => exp(y * ln(x));
