/**
 * Opens an encrypted model file (protocol/sealed-model.ts) into the memory it is served from: a chunk of ciphertext is
 * all there is beside the model itself, and the clear bytes are written nowhere else.
 */
import { createDecipheriv, createHash } from 'node:crypto';
import {
  bytes,
  type KeyId,
  keyIdText,
  MAX_SEALED_HEAD_BYTES,
  parseSealedModelHead,
  SEALED_TAG_BYTES,
  ServiceError,
} from '@veritee/protocol';
import { allocate, type HashedFile, type OpenFile, shownPath, withFile } from './files.ts';

/** Opened, hashed and copied in one go: a few ms of the event loop, since a key may come while others are served. */
const CHUNK_BYTES = 1 << 20;

export interface SealedSource {
  readonly file: string;
  readonly size: number;
  /** The encrypted file as messages name it, `<name>/<version>/<file>.cose`. */
  readonly where: string;
  /** The same without the suffix: what it has to have been sealed for. */
  readonly path: string;
}

/** Gives the 32 bytes of a key, and keeps them: whoever made this function wipes them. */
export type KeyOf = (id: KeyId) => Promise<Uint8Array>;

/**
 * @throws ServiceError MODEL_SEAL_INVALID not such a file, cut short, or sealed for another place in the repository;
 *   MODEL_KEY_WRONG it does not open under its key; MODEL_REPOSITORY_INVALID, MODEL_FILE_TOO_LARGE as for clear files;
 *   what `keyOf` throws
 */
export function readSealed(source: SealedSource, keyOf: KeyOf, onBytes: (count: number) => void): Promise<HashedFile> {
  const { file, size, where, path } = source;
  return withFile(file, size, where, async (opened) => {
    const start = new Uint8Array(Math.min(size, MAX_SEALED_HEAD_BYTES));
    await opened.read(start, start.length, 0);
    const head = parseSealedModelHead(start, size, where);
    if (head.path !== path) {
      throw new ServiceError('MODEL_SEAL_INVALID', `${shownPath(where)}: sealed for another place in the repository`, {
        field: where,
      });
    }
    const key = await keyOf(head.keyId);
    const target = allocate(head.plaintextBytes, where);
    const hash = createHash('sha256');
    const decipher = createDecipheriv('aes-256-gcm', key, head.iv, { authTagLength: SEALED_TAG_BYTES });
    decipher.setAAD(head.aad, { plaintextLength: head.plaintextBytes });
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, head.plaintextBytes));
    for (let done = 0; done < head.plaintextBytes; ) {
      const length = Math.min(chunk.length, head.plaintextBytes - done);
      await opened.read(chunk, length, head.offset + done);
      const clear = decipher.update(chunk.subarray(0, length));
      target.set(clear, done);
      hash.update(clear);
      clear.fill(0);
      done += length;
      onBytes(length);
    }
    decipher.setAuthTag(await readTag(opened, head.offset + head.plaintextBytes));
    try {
      decipher.final();
    } catch (cause) {
      target.fill(0); // bytes that nobody vouches for
      const message = `${shownPath(where)}: does not open under ${keyIdText(head.keyId)}: another key, or an altered file`;
      throw new ServiceError('MODEL_KEY_WRONG', message, { field: where, cause });
    }
    return { bytes: target, sha256: bytes(hash.digest(), 32, where) };
  });
}

async function readTag(opened: OpenFile, offset: number): Promise<Uint8Array> {
  const tag = new Uint8Array(SEALED_TAG_BYTES);
  await opened.read(tag, tag.length, offset);
  return tag;
}
