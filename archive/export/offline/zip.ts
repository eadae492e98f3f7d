/** Reads a zip through its central directory (APPNOTE 4.3.12), one file at a time, as it is asked for. */
import { type Code, EvidenceError, fromUtf8 } from '@veritee/protocol';
import { inflateSync } from 'fflate';
import { isSafe } from '../manifest.ts';
import type { BundleFiles } from './check.ts';

const END_OF_DIRECTORY = 0x06054b50;
const END_BYTES = 22;
const DIRECTORY_ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_HEADER = 0x04034b50;
const LOCAL_BYTES = 30;
const DEFLATED = 8;
const MAX_FILE_BYTES = 2 ** 30;

interface Packed {
  readonly method: number;
  readonly packed: number;
  readonly bytes: number;
  readonly offset: number;
}

const refuse = (reason: string, code: Code = 'EVIDENCE_MALFORMED'): never => {
  throw new EvidenceError(code, `zip: ${reason}`, { field: 'zip' });
};

/**
 * Without archive comment and 64-bit extension, as an export is written.
 * @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE
 */
export function zipFiles(zip: Uint8Array): BundleFiles {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.length);
  const within = (at: number, length: number): number =>
    at >= 0 && at + length <= zip.length ? at : refuse('cut short');
  const end = within(zip.length - END_BYTES, END_BYTES);
  if (view.getUint32(end, true) !== END_OF_DIRECTORY) refuse('no end of directory where one must be');
  const count = view.getUint16(end + 10, true);
  const files = new Map<string, Packed>();
  let at = view.getUint32(end + 16, true);
  for (let i = 0; i < count; i++) {
    within(at, ENTRY_BYTES);
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY) refuse('a directory entry that is none');
    const [nameBytes, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true)) as [
      number,
      number,
      number,
    ];
    const name = nameOf(zip.subarray(within(at + ENTRY_BYTES, nameBytes), at + ENTRY_BYTES + nameBytes));
    if (files.has(name)) refuse('two files of one name');
    files.set(name, {
      method: view.getUint16(at + 10, true),
      packed: view.getUint32(at + 20, true),
      bytes: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    });
    at += ENTRY_BYTES + nameBytes + extra + comment;
  }

  function unpack({ method, packed, bytes, offset }: Packed): Uint8Array<ArrayBuffer> {
    if (bytes > MAX_FILE_BYTES) refuse(`a file of more than ${MAX_FILE_BYTES} bytes`, 'EVIDENCE_TOO_LARGE');
    within(offset, LOCAL_BYTES);
    if (view.getUint32(offset, true) !== LOCAL_HEADER) refuse('a file header that is none');
    const start = offset + LOCAL_BYTES + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
    const data = zip.subarray(within(start, packed), start + packed);
    if (method === 0 && packed === bytes) return new Uint8Array(data);
    if (method !== DEFLATED) return refuse('a file that is neither deflated nor stored');
    return inflate(data, bytes);
  }

  return {
    names: [...files.keys()],
    read: async (name) => {
      const file = files.get(name);
      return file ? unpack(file) : null;
    },
  };
}

function nameOf(raw: Uint8Array): string {
  const name = textOf(raw);
  return isSafe(name) ? name : refuse('a name that is no plain relative path');
}

function textOf(raw: Uint8Array): string {
  try {
    return fromUtf8(raw);
  } catch {
    return refuse('a name that is not UTF-8');
  }
}

/** Into a buffer of the stated size, which more would not fit. */
function inflate(data: Uint8Array, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    const content = inflateSync(data, { out: new Uint8Array(bytes) });
    if (content.length === bytes) return new Uint8Array(content);
  } catch (cause) {
    throw new EvidenceError('EVIDENCE_MALFORMED', 'zip: a file that cannot be inflated', { field: 'zip', cause });
  }
  return refuse('a file of another size than stated');
}
