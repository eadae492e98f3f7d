import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { ServiceError } from '@veritee/protocol';

/** Where Linux 6.7 and later mount it, once configfs is mounted. */
export const TSM_REPORT_FOLDER = '/sys/kernel/config/tsm/report';

/** The part of a file system that configfs-tsm needs; failures carry Node's errno codes. */
export interface TsmFilesystem {
  mkdir(name: string): Promise<void>;
  rmdir(name: string): Promise<void>;
  /** Names of the folders that are there. */
  list(): Promise<readonly string[]>;
  write(path: string, data: Uint8Array): Promise<void>;
  read(path: string): Promise<Uint8Array>;
}

/** TSM_REPORT_OUTBLOB_MAX and its siblings are 32 KiB in Linux 6.12; whatever a later kernel allows, this is too much. */
const MAX_BLOB_BYTES = 256 << 10;
const CHUNK_BYTES = 64 << 10;

/**
 * The kernel's folder of reports. Calls go through libuv's threads, so a read that the host throttles for a minute holds
 * one of those four, never the event loop; the attester makes one request at a time, so it is never more than one.
 */
export class TsmFolder implements TsmFilesystem {
  readonly #root: string;

  constructor(root: string = TSM_REPORT_FOLDER) {
    this.#root = root;
  }

  async mkdir(name: string): Promise<void> {
    await mkdir(path.join(this.#root, name));
  }

  async rmdir(name: string): Promise<void> {
    await rmdir(path.join(this.#root, name));
  }

  list(): Promise<readonly string[]> {
    return readdir(this.#root);
  }

  /** Opened for writing alone: the attribute has no read bit, and configfs insists on it even for root. */
  write(file: string, data: Uint8Array): Promise<void> {
    return this.#with(file, constants.O_WRONLY, async (handle) => {
      const { bytesWritten } = await handle.write(data, 0, data.length);
      if (bytesWritten !== data.length) {
        throw new ServiceError('PLATFORM_FAILED', `configfs-tsm: ${bytesWritten} of ${data.length} bytes were taken`, {
          field: path.basename(file),
        });
      }
    });
  }

  /** To the end of the file, whatever size it claims to have: configfs states none for its blobs. */
  read(file: string): Promise<Uint8Array> {
    return this.#with(file, constants.O_RDONLY, async (handle) => {
      const chunks: Uint8Array[] = [];
      for (let length = 0; ; ) {
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES);
        if (bytesRead === 0) return Buffer.concat(chunks);
        chunks.push(buffer.subarray(0, bytesRead));
        length += bytesRead;
        if (length > MAX_BLOB_BYTES) {
          throw new ServiceError('PLATFORM_FAILED', `configfs-tsm: more than ${MAX_BLOB_BYTES} bytes`, {
            field: path.basename(file),
          });
        }
      }
    });
  }

  async #with<T>(file: string, flags: number, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await open(path.join(this.#root, file), flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }
}
