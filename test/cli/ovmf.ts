/** A small OVMF image: filler, the SEV metadata, the GUIDed table, the reset vector's 32 bytes. */
import { filler } from './eif.ts';

export type SectionBytes = readonly [gpa: number, size: number, type: number];

export interface OvmfParts {
  readonly pages: number;
  readonly sections: readonly SectionBytes[];
  readonly resetEip: number;
  /** 0 means that the firmware has no place for one. */
  readonly hashTable: number;
  readonly version: number;
  readonly count: number;
  readonly length: number;
  readonly footerSize: number;
  /** Entries added to the table as they are. */
  readonly extra: readonly Buffer[];
}

const guid = (text: string): Buffer => {
  const [a = '', b = '', c = '', d = '', e = ''] = text.split('-');
  const reversed = (part: string) => Buffer.from(part, 'hex').reverse();
  return Buffer.concat([reversed(a), reversed(b), reversed(c), Buffer.from(d + e, 'hex')]);
};

export function entry(id: string, data: Buffer, size = data.length + 18): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(size);
  return Buffer.concat([data, length, guid(id)]);
}

export const RESET_BLOCK = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';

/** edk2 OvmfPkg/AmdSev of 2022: kernel hashes at the end of the launch secret's page. */
export const AMDSEV_2022: readonly SectionBytes[] = [
  [0x800000, 0x9000, 1],
  [0x80a000, 0x3000, 1],
  [0x80d000, 0x1000, 2],
  [0x80e000, 0x1000, 3],
  [0x80f000, 0x1000, 0x10],
  [0x810000, 0x10000, 1],
];
/** The same since the SVSM calling area came before it. */
export const AMDSEV_2024: readonly SectionBytes[] = [
  [0x800000, 0x9000, 1],
  [0x80a000, 0x3000, 1],
  [0x80d000, 0x1000, 2],
  [0x80e000, 0x1000, 3],
  [0x80f000, 0x1000, 4],
  [0x810000, 0x1000, 0x10],
  [0x811000, 0xf000, 1],
];
/** OvmfPkg/OvmfPkgX64, which measures no kernel; EC2's firmware. */
export const OVMF_X64: readonly SectionBytes[] = [
  [0x800000, 0x9000, 1],
  [0x80a000, 0x3000, 1],
  [0x80d000, 0x1000, 2],
  [0x80e000, 0x1000, 3],
  [0x80f000, 0x11000, 1],
];

export function buildOvmf(parts: Partial<OvmfParts> = {}): Uint8Array {
  const { pages = 3, sections = AMDSEV_2024, resetEip = 0x80b004, hashTable = 0x810c00 } = parts;
  const metadata = Buffer.alloc(16 + 12 * sections.length);
  metadata.write('ASEV', 0, 'latin1');
  metadata.writeUInt32LE(parts.length ?? metadata.length, 4);
  metadata.writeUInt32LE(parts.version ?? 1, 8);
  metadata.writeUInt32LE(parts.count ?? sections.length, 12);
  for (const [i, words] of sections.entries())
    for (const [j, word] of words.entries()) metadata.writeUInt32LE(word, 16 + 12 * i + 4 * j);
  const word = (value: number, length = 4): Buffer => {
    const data = Buffer.alloc(length);
    data.writeUInt32LE(value);
    return data;
  };
  const image = Buffer.from(filler('ovmf', pages * 4096));
  const metadataAt = image.length - 0x500;
  const table = Buffer.concat([
    ...(parts.extra ?? []),
    entry('dc886566-984a-4798-a75e-5585a7bf67cc', word(0x500)),
    entry('7255371f-3a3b-4b04-927b-1da6efa8d454', word(hashTable, 8)),
    entry(RESET_BLOCK, word(resetEip)),
  ]);
  const footer = entry('96b582de-1fb2-45f7-baea-a366c55a082d', Buffer.alloc(0), parts.footerSize ?? table.length + 18);
  metadata.copy(image, metadataAt);
  Buffer.concat([table, footer]).copy(image, image.length - 32 - table.length - footer.length);
  return new Uint8Array(image);
}
