import { createHash } from 'node:crypto';
import type { Bytes } from '@veritee/protocol';

/** SHA-384 over the parts in order, without joining them: an initrd may be large. */
export function sha384(...parts: readonly Uint8Array[]): Bytes<48> {
  const hash = createHash('sha384');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest()) as Bytes<48>;
}
