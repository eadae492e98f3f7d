/**
 * The models of a boot as one value that hardware can measure. Both forms depend on which models there are, never on
 * their order or their names.
 */
import { sha384 } from '@noble/hashes/sha2.js';
import { type Bytes, concat, hex, utf8 } from './bytes.ts';
import { sha256 } from './hash.ts';

/** First of the Nitro registers that the enclave's own program may extend; AWS nsm-api, PCR16 to PCR31. */
export const MODEL_SET_PCR = 16;

/** Each digest once, in ascending order of its hexadecimal form. */
export function modelSet(digests: readonly Bytes<32>[]): readonly Bytes<32>[] {
  const byName = new Map(digests.map((digest) => [hex(digest), digest]));
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, digest]) => digest);
}

/**
 * HOST_DATA of an SEV-SNP guest that serves exactly these models: SHA-256 of
 *
 *     veritee/model-set/v1
 *     <lower-case hex model digest, ascending, one a line>
 *
 * each line ended by one line feed, so that whoever launches the guest can compute it with `sha256sum`.
 */
export const modelSetHostData = (digests: readonly Bytes<32>[]): Bytes<32> =>
  sha256(utf8(['veritee/model-set/v1', ...modelSet(digests).map(hex), ''].join('\n')));

/** PCR16 of a Nitro enclave that serves exactly these models: one extension of a zero register for each. */
export function modelSetPcr(digests: readonly Bytes<32>[]): Bytes<48> {
  const zero = new Uint8Array(48) as Bytes<48>;
  return modelSet(digests).reduce((value, digest) => sha384(concat(value, digest)) as Bytes<48>, zero);
}
