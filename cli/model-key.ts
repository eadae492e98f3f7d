/** The key of encrypted models as a file: an `oct` JWK (RFC 7518 §6.4) of 32 bytes. */
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { base64url, fromBase64url, fromUtf8, SEALED_KEY_BYTES } from '@veritee/protocol';
import { InputError } from './exit.ts';
import { readInput } from './io.ts';

export interface ModelKey {
  readonly key: Uint8Array;
  /** Its name at the broker, where the file says it. */
  readonly kid: string | null;
}

/** @throws InputError USAGE, FILE_UNREADABLE */
export const readModelKey = async (file: string): Promise<Uint8Array> => (await readNamedModelKey(file)).key;

/** What is wrong with it is not said in detail: it is a key. @throws InputError USAGE, FILE_UNREADABLE */
export async function readNamedModelKey(file: string): Promise<ModelKey> {
  const content = await readInput(file);
  const named = keyOf(content);
  content.fill(0);
  if (named?.key.length !== SEALED_KEY_BYTES)
    throw new InputError('USAGE', `${file}: want a JWK of kind oct with 32 bytes`, { field: file });
  return named;
}

function keyOf(content: Uint8Array): ModelKey | null {
  try {
    const jwk: unknown = JSON.parse(fromUtf8(content));
    if (typeof jwk !== 'object' || jwk === null) return null;
    const { kty, k, kid } = jwk as Record<string, unknown>;
    const key = kty === 'oct' && typeof k === 'string' ? fromBase64url(k) : null;
    return key && { key, kid: typeof kid === 'string' ? kid : null };
  } catch {
    return null; // not JSON, or not text: the caller says what is wanted
  }
}

/** A new key in a new file that its owner alone can read. @throws InputError FILE_UNWRITABLE also when it exists */
export async function writeNewModelKey(file: string, kid: string): Promise<Uint8Array> {
  const key = new Uint8Array(randomBytes(SEALED_KEY_BYTES));
  try {
    const handle = await open(file, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify({ kty: 'oct', alg: 'A256GCM', kid, k: base64url(key) })}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'failed';
    throw new InputError('FILE_UNWRITABLE', `${file}: ${reason}`, { cause, field: file });
  }
  return key;
}
