/** Makes the encrypted copy of a model repository: protocol/sealed-model.ts says what a file of it looks like. */
import { type CipherGCM, createCipheriv, createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type Bytes,
  bytes,
  clearName,
  encodeSealedModelHead,
  type KeyId,
  modelDigest,
  modelPathProblem,
  SEALED_SUFFIX,
  SEALED_TAG_BYTES,
} from '@veritee/protocol';
import { InputError } from './exit.ts';

const CHUNK_BYTES = 4 << 20;
const IV_BYTES = 12;

export interface SealedVersion {
  readonly name: string;
  readonly version: string;
  /** Over the clear files: what statements say and policies name. */
  readonly digest: Bytes<32>;
  readonly files: number;
}

const errno = (cause: unknown): string => (cause as NodeJS.ErrnoException).code ?? 'failed';

/**
 * Encrypts every file of every version folder into a new folder, which appears whole or not at all.
 * @throws InputError USAGE, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export async function sealRepository(
  from: string,
  to: string,
  keyId: KeyId,
  key: Uint8Array,
): Promise<SealedVersion[]> {
  if (await stat(to).catch(() => null)) throw unwritable(to, { code: 'EEXIST' });
  const temporary = `${to}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const versions: SealedVersion[] = [];
    for (const [name, version] of await versionFolders(from)) {
      const digests = new Map<string, Bytes<32>>();
      for (const file of await filesBelow(from, `${name}/${version}`)) {
        const digest = await sealFile(from, temporary, file, keyId, key);
        digests.set(file.slice(`${name}/${version}/`.length), digest);
      }
      if (digests.size > 0) versions.push({ name, version, digest: modelDigest(digests), files: digests.size });
    }
    if (versions.length === 0)
      throw new InputError('USAGE', `${from}: holds no <name>/<version>/ folder with files`, { field: from });
    await rename(temporary, to).catch((cause: unknown) => {
      throw unwritable(to, cause);
    });
    return versions;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const unwritable = (file: string, cause: unknown): InputError =>
  new InputError('FILE_UNWRITABLE', `${file}: ${errno(cause)}`, { cause, field: file });

async function list(folder: string) {
  try {
    return (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (cause) {
    throw new InputError('FILE_UNREADABLE', `${folder}: ${errno(cause)}`, { cause, field: folder });
  }
}

async function versionFolders(root: string): Promise<[name: string, version: string][]> {
  const found: [string, string][] = [];
  for (const model of await list(root)) {
    if (!model.isDirectory() || model.name.startsWith('.')) continue;
    for (const version of await list(path.join(root, model.name))) {
      if (version.isDirectory() && /^[1-9]\d*$/.test(version.name)) found.push([model.name, version.name]);
    }
  }
  return found;
}

/** Paths from the root, `/`-separated. A link would be sealed as what it happens to point to, so there must be none. */
async function filesBelow(root: string, folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await list(path.join(root, folder))) {
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await filesBelow(root, file)));
    else if (!entry.isFile()) throw new InputError('USAGE', `${file}: a link or special file`, { field: file });
    else if (clearName(file) !== null) throw new InputError('USAGE', `${file}: is encrypted already`, { field: file });
    else if (modelPathProblem(file) !== null)
      throw new InputError('USAGE', `${file}: ${modelPathProblem(file)}`, { field: file });
    else files.push(file);
  }
  return files;
}

/** @returns SHA-256 of the clear file */
async function sealFile(from: string, to: string, file: string, keyId: KeyId, key: Uint8Array): Promise<Bytes<32>> {
  const target = path.join(to, `${file}${SEALED_SUFFIX}`);
  const source = path.join(from, file);
  const reading = await open(source).catch((cause: unknown) => {
    throw new InputError('FILE_UNREADABLE', `${source}: ${errno(cause)}`, { cause, field: source });
  });
  let writing: FileHandle | undefined;
  try {
    await mkdir(path.dirname(target), { recursive: true });
    writing = await open(target, 'wx', 0o644);
    const { size } = await reading.stat();
    const iv = bytes(randomBytes(IV_BYTES), IV_BYTES, 'iv'); // at most 2^32 files under one key: NIST SP 800-38D §8.3
    const { head, aad } = encodeSealedModelHead({ keyId, path: file, iv }, size);
    const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: SEALED_TAG_BYTES });
    cipher.setAAD(aad, { plaintextLength: size });
    await writing.writeFile(head);
    const digest = await encrypt(reading, writing, cipher, size, file);
    await writing.sync();
    return digest;
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw unwritable(target, cause);
  } finally {
    await reading.close();
    await writing?.close();
  }
}

async function encrypt(
  reading: FileHandle,
  writing: FileHandle,
  cipher: CipherGCM,
  size: number,
  file: string,
): Promise<Bytes<32>> {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(CHUNK_BYTES);
  let done = 0;
  for (let read = await reading.read(chunk); read.bytesRead > 0; read = await reading.read(chunk)) {
    const clear = chunk.subarray(0, read.bytesRead);
    done += clear.length;
    hash.update(clear);
    await writing.writeFile(cipher.update(clear));
  }
  if (done !== size) throw new InputError('FILE_UNREADABLE', `${file}: changed while it was read`, { field: file });
  await writing.writeFile(Buffer.concat([cipher.final(), cipher.getAuthTag()]));
  return bytes(hash.digest(), 32, file);
}
