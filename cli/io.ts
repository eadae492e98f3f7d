import { open, readFile, rename, rm } from 'node:fs/promises';
import { type Bytes, bytes, CodedError, fromHex } from '@veritee/protocol';
import { type AppraisalPolicy, parsePolicy, readTrustAnchors, type TrustAnchor } from '@veritee/verifier';

/** @throws CodedError FILE_UNREADABLE */
export async function readInput(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new CodedError('FILE_UNREADABLE', `${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
      field: path,
    });
  }
}

/** Writes a file whole or not at all, readable by its owner only. @throws CodedError FILE_UNWRITABLE */
export async function writeOutput(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new CodedError('FILE_UNWRITABLE', `${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
      field: path,
    });
  }
}

/** JSON for a person's file, where a mistake is named with the file. */
export async function readJson(path: string, code: 'POLICY_INVALID' | 'FILE_UNREADABLE'): Promise<unknown> {
  const text = new TextDecoder().decode(await readInput(path));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError(code, `${path}: not JSON`, { cause, field: path });
  }
}

export async function readPolicy(path: string | undefined): Promise<AppraisalPolicy> {
  if (path === undefined)
    throw new CodedError('USAGE', '--policy: there is no default policy; draft one with `veritee policy init`', {
      field: 'policy',
    });
  return parsePolicy(await readJson(path, 'POLICY_INVALID'));
}

export async function readAnchors(paths: readonly string[]): Promise<TrustAnchor[]> {
  const anchors: TrustAnchor[] = [];
  for (const path of paths) anchors.push(...(await readTrustAnchors(await readInput(path), path)));
  return anchors;
}

/** RFC 3339, or now. */
export function readTime(text: string | undefined): Date {
  if (text === undefined) return new Date();
  const time = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? new Date(text.replace(' ', 'T').toUpperCase())
    : null;
  if (!time || Number.isNaN(time.getTime()))
    throw new CodedError('USAGE', '--at: want an RFC 3339 time such as 2026-01-15T00:00:00Z', { field: 'at' });
  return time;
}

export function readHex(text: string, field: string): Uint8Array<ArrayBuffer> {
  const value = fromHex(text);
  if (!value) throw new CodedError('USAGE', `--${field}: want hexadecimal`, { field });
  return value;
}

export function readSalt(text: string, field: string): Bytes<32> {
  const value = readHex(text, field);
  if (value.length !== 32) throw new CodedError('USAGE', `--${field}: want 32 bytes in hexadecimal`, { field });
  return bytes(value, 32, field);
}

export const say = (text = ''): void => void process.stderr.write(`${text}\n`);
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));
