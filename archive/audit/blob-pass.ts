/** Blobs that rows and acts refer to: each is read and hashed. */
import { CodedError, fromHex } from '@veritee/protocol';
import type { BlobStore } from '../blobs/port.ts';
import { finding } from '../findings.ts';
import type { Digest } from '../store/port.ts';
import { Defects, type Found } from './defects.ts';

/** What a blob is to the archive, in words for the report. */
export interface WantedBlob {
  /** In hex. */
  readonly digest: string;
  readonly role: string;
  readonly isPolicy: boolean;
}

export interface BlobTask {
  readonly pass: 'blobs';
  readonly wanted: readonly WantedBlob[];
}

export interface BlobAnswer {
  readonly pass: 'blobs';
  readonly bytes: number;
  readonly found: Found;
}

export async function blobPass(blobs: BlobStore, { wanted }: BlobTask): Promise<BlobAnswer> {
  const defects = new Defects();
  let bytes = 0;
  for (const { digest, role, isPolicy } of wanted) {
    try {
      const content = await blobs.get(fromHex(digest) as Digest);
      if (content) bytes += content.length;
      else defects.add(finding('BLOB_MISSING', `${role} is not in the archive`, { object: digest }));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const code = isPolicy ? 'POLICY_ALTERED' : 'BLOB_ALTERED';
      defects.add(finding(code, `${role}: ${error.message}`, { object: digest }));
    }
  }
  return { pass: 'blobs', bytes, found: defects.found() };
}
