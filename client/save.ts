/** Where receipts are kept: a folder in Node, a folder that a browser's user has chosen, or wherever the caller says. */
import { hex } from '@veritee/protocol';
import { ClientError } from './errors.ts';
import type { ReceiptPart } from './receipt.ts';

/** What this needs of a `FileSystemDirectoryHandle`. */
export interface DirectoryHandle {
  getFileHandle(
    name: string,
    options: { readonly create: true },
  ): Promise<{
    createWritable(): Promise<{
      write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
      close(): Promise<void>;
      abort(): Promise<void>;
    }>;
  }>;
}

export type SavePart = (
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  options: { readonly private: boolean },
) => Promise<void>;

export type SaveTarget = string | DirectoryHandle | SavePart;

export async function save(parts: readonly ReceiptPart[], target: SaveTarget): Promise<void> {
  if (typeof target === 'string') return saveToFolder(parts, target);
  for (const { name, bytes, private: hidden } of parts) {
    if (typeof target === 'function') await target(name, bytes, { private: hidden });
    else await orUnwritable(name, () => saveToHandle(target, name, bytes));
  }
}

/** The browser puts the file in place whole, when it is closed. */
async function saveToHandle(folder: DirectoryHandle, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
  try {
    await file.write(bytes);
  } catch (error) {
    await file.abort();
    throw error;
  }
  await file.close();
}

/** What this needs of `node:fs/promises`, which a room that runs in browsers cannot import. */
interface NodeFiles {
  mkdir(path: string, options: { recursive: true; mode: number }): Promise<unknown>;
  open(
    path: string,
    flags: 'wx',
    mode: number,
  ): Promise<{ writeFile(bytes: Uint8Array): Promise<void>; sync(): Promise<void>; close(): Promise<void> }>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
}

interface MaybeNode {
  readonly process?: { getBuiltinModule?(name: string): unknown };
}

function nodeFiles(): NodeFiles {
  const files = (globalThis as MaybeNode).process?.getBuiltinModule?.('node:fs/promises');
  if (!files) throw new TypeError('target: a path needs Node 20.16 or later; give a folder handle or a function');
  return files as NodeFiles;
}

const OWNER_ONLY_FOLDER = 0o700;
const OWNER_ONLY = 0o600;
const ANYONE_MAY_READ = 0o644;

/** Every part is on the disk before the first appears under its name; none appears by halves. */
async function saveToFolder(parts: readonly ReceiptPart[], folder: string): Promise<void> {
  const files = nodeFiles();
  await orUnwritable(folder, () => files.mkdir(folder, { recursive: true, mode: OWNER_ONLY_FOLDER }));
  const written: { readonly temporary: string; readonly path: string }[] = [];
  try {
    for (const { name, bytes, private: hidden } of parts) {
      const path = `${folder}/${name}`;
      const temporary = `${path}.${hex(crypto.getRandomValues(new Uint8Array(6)))}.tmp`;
      await orUnwritable(path, async () => {
        const file = await files.open(temporary, 'wx', hidden ? OWNER_ONLY : ANYONE_MAY_READ);
        written.push({ temporary, path });
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
      });
    }
    for (const { temporary, path } of written) await orUnwritable(path, () => files.rename(temporary, path));
  } catch (error) {
    for (const { temporary } of written) await files.rm(temporary, { force: true });
    throw error;
  }
}

async function orUnwritable<T>(place: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    const { code } = cause as { readonly code?: unknown };
    const reason = typeof code === 'string' ? code : cause instanceof Error ? cause.name : 'failed';
    throw new ClientError('FILE_UNWRITABLE', `${place}: ${reason}`, { cause, field: place });
  }
}
