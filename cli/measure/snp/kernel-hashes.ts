/**
 * The page by which a direct boot brings kernel, initrd and command line under the launch digest: QEMU writes their
 * SHA-256 where OVMF says, the page is measured, and OVMF checks what it is given against it (QEMU, target/i386/sev.c).
 */
import { createHash } from 'node:crypto';
import { type Bytes, EvidenceError, utf8 } from '@veritee/protocol';
import { PAGE_BYTES } from './launch-digest.ts';

/** SHA-256 of each file; of the command line with its final NUL. A launch without initrd hashes no bytes. */
export interface KernelHashes {
  readonly kernel: Bytes<32>;
  readonly initrd: Bytes<32>;
  readonly cmdline: Bytes<32>;
}

const sha256 = (data: Uint8Array): Bytes<32> => new Uint8Array(createHash('sha256').update(data).digest()) as Bytes<32>;

export const hashKernel = (kernel: Uint8Array, initrd: Uint8Array, cmdline: string): KernelHashes => ({
  kernel: sha256(kernel),
  initrd: sha256(initrd),
  cmdline: sha256(utf8(`${cmdline}\0`)),
});

/** GUIDs as they lie in memory, see ovmf.ts. */
const GUID = {
  table: '06d63894224fc94cb479a793d411fd21', // 9438d606-4f22-4cc9-b479-a793d411fd21
  cmdline: 'd82dd09720bd944caa78e7714d36ab2a', // 97d02dd8-bd20-4c94-aa78-e7714d36ab2a
  initrd: '31f7ba442f3ad74b9af141e29169781d', // 44baf731-3a2f-4bd7-9af1-41e29169781d
  kernel: '3794e74dd2ab7f42b835d5b172d2045b', // 4de79437-abd2-427f-b835-d5b172d2045b
} as const;
const ENTRY = 16 + 2 + 32; // GUID, u16 length, SHA-256
const TABLE = 16 + 2 + 3 * ENTRY;
/** In memory the table is padded to 16 bytes. */
const PADDED_TABLE = (TABLE + 15) & ~15;

/**
 * @param offset of the table in its page
 * @throws EvidenceError EVIDENCE_MALFORMED the firmware put it where it does not fit
 */
export function kernelHashesPage(hashes: KernelHashes, offset: number): Uint8Array {
  if (offset + PADDED_TABLE > PAGE_BYTES)
    throw new EvidenceError('EVIDENCE_MALFORMED', 'ovmf: hash table: does not fit its page', { field: 'ovmf' });
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  const put = (at: number, guid: string, length: number, data: Uint8Array): number => {
    page.set(Buffer.from(guid, 'hex'), at);
    view.setUint16(at + 16, length, true);
    page.set(data, at + 18);
    return at + 18 + data.length;
  };
  let at = put(offset, GUID.table, TABLE, new Uint8Array());
  for (const name of ['cmdline', 'initrd', 'kernel'] as const) at = put(at, GUID[name], ENTRY, hashes[name]);
  return page;
}
