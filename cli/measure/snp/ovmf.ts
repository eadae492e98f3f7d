/**
 * What a launch reads from OVMF: the GUIDed table that ends 32 bytes before the image does, and in it the SEV metadata,
 * which lists the pages the hypervisor prepares (edk2, OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and
 * X64/OvmfSevMetadata.asm). The image comes from a stranger: everything is checked before it steers any work.
 */
import { EvidenceError, hex } from '@veritee/protocol';
import { PAGE_BYTES } from './launch-digest.ts';

const FOUR_GIB = 0x1_0000_0000;
const MAX_IMAGE_BYTES = 64 << 20;
/** Of all sections together. Real ones list some 130 KiB; every page costs a hash. */
const MAX_SECTION_BYTES = 64 << 20;
const MAX_SECTIONS = 64;

const TABLE_TO_END = 32;
const ENTRY_HEADER = 18; // u16 size of the whole entry, GUID; the entry's data lies before them
const METADATA_HEADER = 16; // "ASEV", u32 length, u32 version, u32 number of sections
const SECTION = 12; // u32 address, u32 size, u32 type
const METADATA_VERSION = 1;

/** GUIDs as they lie in memory: the first three groups in little-endian order. */
const GUID = {
  footer: 'de82b596b21ff745baeaa366c55a082d', // 96b582de-1fb2-45f7-baea-a366c55a082d
  hashTable: '1f3755723b3a044b927b1da6efa8d454', // 7255371f-3a3b-4b04-927b-1da6efa8d454
  resetBlock: 'de71f7007e1acb4f890e68c77e2fb44e', // 00f771de-1a7e-4fcb-890e-68c77e2fb44e
  metadata: '666588dc4a989847a75e5585a7bf67cc', // dc886566-984a-4798-a75e-5585a7bf67cc
} as const;

const SECTION_TYPES = new Map([
  [1, 'sec-mem'],
  [2, 'secrets'],
  [3, 'cpuid'],
  [4, 'svsm-caa'],
  [0x10, 'kernel-hashes'],
] as const);
export type SectionKind = 'sec-mem' | 'secrets' | 'cpuid' | 'svsm-caa' | 'kernel-hashes';

export interface OvmfSection {
  readonly kind: SectionKind;
  /** Guest physical address and size, both of whole pages. */
  readonly gpa: number;
  readonly size: number;
}

export interface Ovmf {
  readonly image: Uint8Array;
  /** The image ends where the first 4 GiB end. */
  readonly gpa: number;
  /** In the order of the file, which is the order of measurement. */
  readonly sections: readonly OvmfSection[];
  /** Where the vCPUs after the first begin. */
  readonly resetEip: number;
  /** Guest physical address of the table of kernel hashes; null where the firmware has no room for one. */
  readonly hashTableGpa: number | null;
}

const malformed = (reason: string): never => {
  throw new EvidenceError('EVIDENCE_MALFORMED', `ovmf: ${reason}`, { field: 'ovmf' });
};
const unsupported = (reason: string): never => {
  throw new EvidenceError('EVIDENCE_UNSUPPORTED', `ovmf: ${reason}`, { field: 'ovmf' });
};

/**
 * @throws EvidenceError EVIDENCE_UNSUPPORTED not built for SEV-SNP, or with metadata that this release does not read;
 *   EVIDENCE_MALFORMED not an OVMF image, or one whose tables contradict themselves
 */
export function parseOvmf(image: Uint8Array): Ovmf {
  if (image.length === 0 || image.length % PAGE_BYTES !== 0) return malformed('want whole pages of 4096 bytes');
  if (image.length > MAX_IMAGE_BYTES) return malformed(`more than ${MAX_IMAGE_BYTES} bytes`);
  const table = readTable(image);
  const metadata = table.get(GUID.metadata);
  const resetBlock = table.get(GUID.resetBlock);
  if (!metadata || !resetBlock) return unsupported('no SEV-SNP metadata: this build cannot start an SNP guest');
  const hashTable = table.get(GUID.hashTable);
  const hashTableGpa = hashTable ? readU32(hashTable, 'hash table') : 0;
  return {
    image,
    gpa: FOUR_GIB - image.length,
    sections: readSections(image, readU32(metadata, 'metadata')),
    resetEip: readU32(resetBlock, 'reset block'),
    hashTableGpa: hashTableGpa === 0 ? null : hashTableGpa,
  };
}

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

/** The first word of an entry's data. */
function readU32(data: Uint8Array, what: string): number {
  return data.length < 4 ? malformed(`${what}: want at least 4 bytes`) : viewOf(data).getUint32(0, true);
}

/** Entries by GUID in hexadecimal. The table is read backwards: each entry's header comes after its data. */
function readTable(image: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const view = viewOf(image);
  const entryBefore = (end: number, least: number): { guid: string; start: number; data: Uint8Array } => {
    if (end - ENTRY_HEADER < least) return malformed('table entry: no room for its header');
    const size = view.getUint16(end - ENTRY_HEADER, true);
    const start = end - size;
    if (size < ENTRY_HEADER || start < least) return malformed('table entry: its size leaves the table');
    return { guid: hex(image.subarray(end - 16, end)), start, data: image.subarray(start, end - ENTRY_HEADER) };
  };
  const footerEnd = image.length - TABLE_TO_END;
  if (hex(image.subarray(footerEnd - 16, footerEnd)) !== GUID.footer)
    return malformed('not an OVMF image: no GUIDed table 32 bytes before its end');
  const footer = entryBefore(footerEnd, 0); // its size is that of the whole table
  const entries = new Map<string, Uint8Array>();
  for (let end = footerEnd - ENTRY_HEADER; end > footer.start; ) {
    const { guid, start, data } = entryBefore(end, footer.start);
    if (entries.has(guid)) malformed('a table entry appears twice');
    entries.set(guid, data);
    end = start;
  }
  return entries;
}

/** @param fromEnd where the metadata begins, counted back from the end of the image */
function readSections(image: Uint8Array, fromEnd: number): readonly OvmfSection[] {
  const start = image.length - fromEnd;
  if (start < 0 || fromEnd < METADATA_HEADER) return malformed('metadata: outside the image');
  const view = viewOf(image);
  if (view.getUint32(start, false) !== 0x41534556) return malformed('metadata: want the signature ASEV');
  const length = view.getUint32(start + 4, true);
  const version = view.getUint32(start + 8, true);
  const count = view.getUint32(start + 12, true);
  if (version !== METADATA_VERSION) return unsupported(`metadata: version ${version}`);
  if (count === 0 || count > MAX_SECTIONS) return malformed(`metadata: ${count} sections`);
  if (length !== METADATA_HEADER + count * SECTION || length > fromEnd)
    return malformed('metadata: its length is not that of its sections');
  const sections = Array.from({ length: count }, (_, i) =>
    readSection(view, start + METADATA_HEADER + i * SECTION, `section ${i}`),
  );
  const total = sections.reduce((sum, { size }) => sum + size, 0);
  if (total > MAX_SECTION_BYTES) return malformed(`metadata: sections of ${total} bytes`);
  return sections;
}

function readSection(view: DataView, at: number, what: string): OvmfSection {
  const gpa = view.getUint32(at, true);
  const size = view.getUint32(at + 4, true);
  const type = view.getUint32(at + 8, true);
  const kind = SECTION_TYPES.get(type as 1);
  if (!kind) return unsupported(`${what}: type ${type}`);
  if (gpa % PAGE_BYTES !== 0 || size % PAGE_BYTES !== 0 || size === 0 || gpa + size > FOUR_GIB)
    return malformed(`${what}: want whole pages below 4 GiB`);
  // These pages are filled by firmware, one each; a second page has no agreed meaning.
  if ((kind === 'secrets' || kind === 'cpuid') && size !== PAGE_BYTES) return malformed(`${what}: want one page`);
  return { kind, gpa, size };
}
