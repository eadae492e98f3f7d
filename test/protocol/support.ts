import { createPrivateKey, createPublicKey, sign as nodeSign } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { Bytes } from '../../protocol/bytes.ts';
import { bytes, concat, fromHex } from '../../protocol/bytes.ts';
import { type Ed25519Key, ed25519Key, type Sign } from '../../protocol/ed25519.ts';
import { CodedError } from '../../protocol/errors.ts';

/** Foreign test vectors lie beside the repository and are read in place. */
export function sharedVectors(path: string): { readonly path: string; readonly absent: boolean } {
  const full = fileURLToPath(new URL(`../../../shared/vectors/${path}`, import.meta.url));
  const absent = !existsSync(full);
  if (absent) console.warn(`SKIPPED: no ${full}; its vectors were not run`);
  return { path: full, absent };
}

export const unhex = (text: string): Uint8Array<ArrayBuffer> => {
  const value = fromHex(text.replaceAll(/\s/g, ''));
  if (!value) throw new Error(`not hex: ${text}`);
  return value;
};

/** A plain Uint8Array of its own, so that Node's Buffers compare equal to it. */
export const plain = (value: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(value);

/** `ok`, or the code it was refused with. Any other exception is a defect and fails the test. */
export function verdict(read: () => unknown): string {
  try {
    read();
    return 'ok';
  } catch (error) {
    if (error instanceof CodedError) return error.code;
    throw error;
  }
}

/** The coded error that `read` throws. */
export function refusal(read: () => unknown): CodedError {
  try {
    read();
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

export interface Signer {
  readonly seed: Uint8Array<ArrayBuffer>;
  readonly raw: Bytes<32>;
  readonly key: Ed25519Key;
  readonly sign: Sign;
}

const PKCS8_ED25519 = unhex('302e020100300506032b657004220420'); // RFC 8410 §7, in front of the 32-byte seed

/** A session key made of a fixed seed by node:crypto. */
export function signerOf(seed: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.from(concat(PKCS8_ED25519, seed)), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const raw = bytes(spki.subarray(12), 32, 'key');
  return {
    seed: plain(seed),
    raw,
    key: ed25519Key(raw, 'key'),
    sign: (message) => plain(nodeSign(null, message, key)) as Bytes<64>,
  };
}

export const testSigner = signerOf(Uint8Array.from({ length: 32 }, (_, i) => i));

/** Any Unicode character but half a surrogate pair; fast-check's own `binary` unit takes seconds to set up. */
export const characterArb = fc.oneof(
  fc.constantFrom(...'aZ0 "/\\\n\0é水𐅑\ufeff\u0301\u{10ffff}'),
  fc.integer({ min: 0, max: 0x10ffff - 0x800 }).map((n) => String.fromCodePoint(n < 0xd800 ? n : n + 0x800)),
);

/** One change to a byte string: a bit flipped, a byte replaced, removed, added or doubled, or the end cut off. */
export const mutationArb = fc.record({
  kind: fc.constantFrom('flip', 'replace', 'remove', 'insert', 'truncate', 'swap'),
  at: fc.nat(),
  byte: fc.integer({ min: 0, max: 255 }),
});

export function mutate(
  input: Uint8Array,
  { kind, at, byte }: { kind: string; at: number; byte: number },
): Uint8Array<ArrayBuffer> {
  const i = at % input.length;
  const here = input[i]!;
  switch (kind) {
    case 'flip':
      return concat(input.subarray(0, i), Uint8Array.of(here ^ (1 << (byte % 8))), input.subarray(i + 1));
    case 'replace':
      return concat(input.subarray(0, i), Uint8Array.of(byte), input.subarray(i + 1));
    case 'remove':
      return concat(input.subarray(0, i), input.subarray(i + 1));
    case 'insert':
      return concat(input.subarray(0, i), Uint8Array.of(byte), input.subarray(i));
    case 'truncate':
      return plain(input.subarray(0, i));
    default: {
      const j = (i + 1 + (byte % input.length)) % input.length;
      const out = plain(input);
      out[i] = input[j]!;
      out[j] = here;
      return out;
    }
  }
}
