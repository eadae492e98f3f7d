import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { InputError } from './exit.ts';

const errno = (cause: unknown): string => (cause as NodeJS.ErrnoException).code ?? 'failed';

/** @throws InputError FILE_UNREADABLE */
export async function readInput(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(file));
  } catch (cause) {
    throw new InputError('FILE_UNREADABLE', `${file}: ${errno(cause)}`, { cause, field: file });
  }
}

export interface Output {
  readonly path: string;
  readonly content: Uint8Array | string;
}

const unwritable = (file: string, cause: unknown): InputError =>
  new InputError('FILE_UNWRITABLE', `${file}: ${errno(cause)}`, { cause, field: file });

/**
 * Writes files that belong together, readable by their owner only: each whole or not at all, and none before all are on
 * the disk. The last one appears last.
 * @throws InputError FILE_UNWRITABLE
 */
export async function writeOutputs(outputs: readonly Output[]): Promise<void> {
  const written: { readonly temporary: string; readonly path: string }[] = [];
  try {
    for (const { path: file, content } of outputs) {
      const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
      await orUnwritable(file, async () => {
        const handle = await open(temporary, 'wx', 0o600);
        written.push({ temporary, path: file });
        await writeAndClose(handle, content);
      });
    }
    for (const { temporary, path: file } of written) await orUnwritable(file, () => rename(temporary, file));
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    throw error;
  }
}

async function writeAndClose(handle: FileHandle, content: Uint8Array | string): Promise<void> {
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function orUnwritable<T>(file: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw unwritable(file, cause);
  }
}

/**
 * Finds out before the work is done whether its results can be kept.
 * @throws InputError FILE_UNWRITABLE
 */
export async function checkOutputs(paths: readonly string[]): Promise<void> {
  for (const file of paths) {
    const taken = await stat(file).catch(() => null);
    if (taken && !taken.isFile()) throw unwritable(file, { code: taken.isDirectory() ? 'EISDIR' : 'EEXIST' });
  }
  const [first] = paths;
  if (first === undefined) return;
  const probe = path.join(path.dirname(first), `.veritee-${randomBytes(6).toString('hex')}.tmp`);
  await orUnwritable(first, async () => {
    await (await open(probe, 'wx', 0o600)).close();
    await rm(probe);
  });
}

export const say = (text = ''): void => void process.stderr.write(`${text}\n`);
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

export interface Progress {
  readonly done: number;
  /** Null when it is not known beforehand. */
  readonly total: number | null;
}

function bar(done: number, total: number): string {
  const filled = Math.round((24 * done) / Math.max(1, total));
  return `[${'#'.repeat(filled).padEnd(24, '.')}] ${done}/${total}`;
}

/** One line for each name that is written over, where somebody watches. */
export function progressBar() {
  const watched = process.stderr.isTTY;
  let shown: { readonly name: string; readonly from: number } | null = null;
  return {
    show: (name: string, { done, total }: Progress): void => {
      if (!watched) return;
      if (shown?.name !== name) {
        if (shown) say();
        shown = { name, from: performance.now() };
      }
      const rate = Math.round((1000 * done) / Math.max(1, performance.now() - shown.from));
      process.stderr.write(`\r${name} ${total === null ? done : bar(done, total)}, ${rate}/s  `);
    },
    end: (): void => {
      if (shown) say();
    },
  };
}
