/**
 * Blobs in S3-compatible object storage, one object each, named by its SHA-256 in hex behind a prefix.
 *
 * Objects are put with `If-None-Match: *`, so that none is ever overwritten, and with a SHA-256 checksum that the
 * storage verifies. A write-once archive adds object-lock headers, in compliance mode: then nobody erases early.
 * Credentials come from the environment, as the AWS SDK reads them.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { base64, bytes, CodedError, equalBytes, fromHex, hex } from '@veritee/protocol';
import { sha256Of } from '../log/frontier.ts';
import type { Digest } from '../store/port.ts';
import type { OnStep } from '../store/sql.ts';
import { alteredBlob, writeOnceRefusal } from './folder.ts';
import type { BlobStore } from './port.ts';

export interface S3Settings {
  readonly bucket: string;
  /** Ends in `/`, or is empty. */
  readonly prefix: string;
  readonly region: string;
  /** For storage that is not AWS: addressed as `endpoint/bucket/key`. Null for AWS. */
  readonly endpoint: string | null;
  /** How long object lock keeps each blob of a write-once archive. */
  readonly lockDays: number;
}

const DAY_MS = 86_400_000;
const MAX_BLOB_BYTES = 1 << 30;

function failure(cause: unknown): CodedError {
  if (cause instanceof CodedError) return cause;
  const name = (cause as Error).name;
  return new CodedError('STORE_FAILED', `the archive's object storage: ${name}`, { field: 'blobs', cause });
}

const isStatus = (error: unknown, status: number): boolean =>
  (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode === status;

export interface S3Options {
  readonly writeOnce: boolean;
  readonly now: () => number;
  readonly onStep?: OnStep;
}

/** The SDK is large: loaded only when an archive uses it. */
export async function openS3(settings: S3Settings, options: S3Options): Promise<BlobStore> {
  const sdk = await import('@aws-sdk/client-s3');
  const client = new sdk.S3Client({
    region: settings.region,
    ...(settings.endpoint === null ? {} : { endpoint: settings.endpoint, forcePathStyle: true }),
  });
  return new S3Blobs(sdk, client, settings, options);
}

class S3Blobs implements BlobStore {
  readonly #sdk: typeof import('@aws-sdk/client-s3');
  readonly #client: S3Client;
  readonly #settings: S3Settings;
  readonly #options: S3Options;

  constructor(sdk: typeof import('@aws-sdk/client-s3'), client: S3Client, settings: S3Settings, options: S3Options) {
    this.#sdk = sdk;
    this.#client = client;
    this.#settings = settings;
    this.#options = options;
  }

  #object(digest: Digest): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#settings.bucket, Key: `${this.#settings.prefix}${hex(digest)}` };
  }

  async put(content: Uint8Array): Promise<Digest> {
    const digest = sha256Of(content);
    const lock = this.#options.writeOnce
      ? {
          ObjectLockMode: 'COMPLIANCE' as const,
          ObjectLockRetainUntilDate: new Date(this.#options.now() + this.#settings.lockDays * DAY_MS),
        }
      : {};
    try {
      this.#options.onStep?.('PUT');
      await this.#client.send(
        new this.#sdk.PutObjectCommand({
          ...this.#object(digest),
          Body: content,
          ContentLength: content.length,
          IfNoneMatch: '*',
          ChecksumSHA256: base64(digest),
          ...lock,
        }),
      );
    } catch (cause) {
      // 412: it is there already; the name is the digest, so it can only be the same bytes, and `get` looks again.
      if (!isStatus(cause, 412)) throw failure(cause);
    }
    return digest;
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    try {
      const { Body, ContentLength } = await this.#client.send(new this.#sdk.GetObjectCommand(this.#object(digest)));
      if ((ContentLength ?? 0) > MAX_BLOB_BYTES) throw alteredBlob(digest);
      const content = new Uint8Array((await Body?.transformToByteArray()) ?? []);
      if (!equalBytes(sha256Of(content), digest)) throw alteredBlob(digest);
      return content;
    } catch (cause) {
      if (isStatus(cause, 404)) return null;
      throw failure(cause);
    }
  }

  async has(digest: Digest): Promise<boolean> {
    try {
      await this.#client.send(new this.#sdk.HeadObjectCommand(this.#object(digest)));
      return true;
    } catch (cause) {
      if (isStatus(cause, 404)) return false;
      throw failure(cause);
    }
  }

  async delete(digest: Digest): Promise<void> {
    if (this.#options.writeOnce) throw writeOnceRefusal();
    try {
      this.#options.onStep?.('DELETE');
      await this.#client.send(new this.#sdk.DeleteObjectCommand(this.#object(digest)));
    } catch (cause) {
      if (!isStatus(cause, 404)) throw failure(cause);
    }
  }

  async *list(): AsyncIterable<Digest> {
    const { bucket, prefix } = this.#settings;
    let next: string | undefined;
    do {
      const page = await this.#page(bucket, prefix, next);
      for (const { Key = '' } of page.Contents ?? []) {
        const digest = fromHex(Key.slice(prefix.length));
        if (digest?.length === 32) yield bytes(digest, 32, 'blob');
      }
      next = page.NextContinuationToken;
    } while (next !== undefined);
  }

  async #page(bucket: string, prefix: string, next: string | undefined) {
    try {
      return await this.#client.send(
        new this.#sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          ...(next === undefined ? {} : { ContinuationToken: next }),
        }),
      );
    } catch (cause) {
      throw failure(cause);
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }
}
