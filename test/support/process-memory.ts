/** Searching a running process's memory. Linux only; the process has to be this user's own. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK_BYTES = 16 << 20;

/** The forms a text may take in memory or on a wire: bytes, UTF-16, hexadecimal, base64 at each of its three alignments. */
export function formsOf(secret: Uint8Array): ReadonlyMap<string, Buffer> {
  const raw = Buffer.from(secret);
  const forms = new Map<string, Buffer>([
    ['bytes', raw],
    ['UTF-16', Buffer.from(raw.toString('latin1'), 'utf16le')],
    ['hex', Buffer.from(raw.toString('hex'))],
    ['HEX', Buffer.from(raw.toString('hex').toUpperCase())],
  ]);
  for (let shift = 0; shift < 3; shift++) {
    const encoded = Buffer.concat([Buffer.alloc(shift), raw])
      .toString('base64')
      .replace(/=+$/, '');
    // The first and last characters depend on the neighbours.
    const inner = encoded.slice(shift === 0 ? 0 : 4, -3);
    forms.set(`base64+${shift}`, Buffer.from(inner));
    forms.set(`base64url+${shift}`, Buffer.from(inner.replace(/\+/g, '-').replace(/\//g, '_')));
  }
  return forms;
}

/** The names of those forms that occur. */
export const found = (haystack: Uint8Array, forms: ReadonlyMap<string, Buffer>): string[] => {
  const bytes = Buffer.from(haystack.buffer, haystack.byteOffset, haystack.byteLength);
  return [...forms].filter(([, form]) => bytes.includes(form)).map(([name]) => name);
};

export interface MemoryScan {
  readonly bytes: number;
  readonly found: readonly string[];
}

/** Reads every readable region of the process while it runs. */
export function scanMemory(pid: number, forms: ReadonlyMap<string, Buffer>): MemoryScan {
  const longest = Math.max(...[...forms.values()].map((form) => form.length));
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const hits = new Set<string>();
  let bytes = 0;
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line);
      if (!match?.[3]?.startsWith('r') || /\[(vvar|vsyscall)/.test(line)) continue;
      const end = BigInt(`0x${match[2]}`);
      for (let at = BigInt(`0x${match[1]}`); at < end; ) {
        const length = Number(end - at < BigInt(CHUNK_BYTES) ? end - at : BigInt(CHUNK_BYTES));
        let got: number;
        try {
          got = readSync(memory, chunk, 0, length, at);
        } catch (error) {
          // A region may go while it is read; anything else is a defect of this search.
          if (!['EIO', 'EFAULT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
          break;
        }
        if (got === 0) break;
        bytes += got;
        for (const name of found(chunk.subarray(0, got), forms)) hits.add(name);
        // Regions longer than a chunk overlap, so that nothing hides on the seam.
        at += BigInt(got === length && length === CHUNK_BYTES ? got - longest : got);
      }
    }
  } finally {
    closeSync(memory);
  }
  return { bytes, found: [...hits] };
}
