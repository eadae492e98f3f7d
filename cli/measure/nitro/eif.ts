/**
 * Enclave image format (AWS, aws-nitro-enclaves-image-format, src/defs): a header of 548 bytes, then sections of a 12-byte
 * header and contents, all integers big-endian. The file may come from a stranger. Loaders find sections by the header's
 * offsets and describers by walking the file, so an image is read only if both ways see the same sections in the same
 * order, and every byte of it belongs to one of them.
 */
import { crc32 } from 'node:zlib';
import { EvidenceError } from '@veritee/protocol';
import type { EnclaveParts } from './pcrs.ts';

const MAGIC = 0x2e65_6966; // ".eif"
const HEADER = 548;
const CRC_AT = HEADER - 4;
const MAX_SECTIONS = 32;
const OFFSETS_AT = 28;
const SIZES_AT = OFFSETS_AT + 8 * MAX_SECTIONS;
const UNUSED_AT = SIZES_AT + 8 * MAX_SECTIONS;
const SECTION_HEADER = 12;
/** 2 has the CRC, 3 the signature, 4 the metadata. */
const VERSIONS: readonly number[] = [2, 3, 4];
const FLAG_ARM64 = 1;
const MAX_METADATA = 1 << 20;
const MAX_SIGNATURE = 1 << 16;

const KINDS = ['invalid', 'kernel', 'cmdline', 'ramdisk', 'signature', 'metadata'] as const;
type Kind = Exclude<(typeof KINDS)[number], 'invalid'>;

interface Section {
  readonly kind: Kind;
  readonly content: Uint8Array;
}

export interface Eif extends EnclaveParts {
  readonly version: number;
  readonly architecture: 'x86_64' | 'aarch64';
  /** JSON about the build, not measured: anyone may change it. */
  readonly metadata: Uint8Array | null;
  readonly signature: Uint8Array | null;
}

function malformed(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_MALFORMED', `eif: ${field}: ${reason}`, { field: `eif.${field}` });
}

function unsupported(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_UNSUPPORTED', `eif: ${field}: ${reason}`, { field: `eif.${field}` });
}

/**
 * Shape and CRC only: who signed is for `verifyEifSignature`. The parts are views into `file`.
 *
 * @throws EvidenceError EVIDENCE_MALFORMED; EVIDENCE_UNSUPPORTED a version, flag or section this release does not know
 */
export function parseEif(file: Uint8Array): Eif {
  if (file.length < HEADER) return malformed('header', `want ${HEADER} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0) !== MAGIC) return malformed('magic', 'not an enclave image');
  const version = view.getUint16(4);
  if (!VERSIONS.includes(version)) return unsupported('version', String(version));
  const flags = view.getUint16(6);
  if ((flags & ~FLAG_ARM64) !== 0) return unsupported('flags', `0x${flags.toString(16)}`);
  // Bytes 8 to 23 are defaults for memory and CPUs, not measured.
  if (view.getUint16(24) !== 0 || view.getUint32(UNUSED_AT) !== 0) return malformed('header', 'reserved bytes are set');
  const sections = readSections(file, view);
  const crc = crc32(file.subarray(HEADER), crc32(file.subarray(0, CRC_AT)));
  if (crc !== view.getUint32(CRC_AT)) return malformed('crc32', 'not that of this file');
  return { version, architecture: flags & FLAG_ARM64 ? 'aarch64' : 'x86_64', ...arrange(sections) };
}

function readSections(file: Uint8Array, view: DataView): readonly Section[] {
  const count = view.getUint16(26);
  if (count === 0 || count > MAX_SECTIONS) return malformed('sections', `${count} of them`);
  const sections: Section[] = [];
  let at = HEADER;
  for (let i = 0; i < MAX_SECTIONS; i++) {
    const offset = view.getBigUint64(OFFSETS_AT + 8 * i);
    const size = view.getBigUint64(SIZES_AT + 8 * i);
    if (i >= count) {
      if (offset !== 0n || size !== 0n) malformed(`section ${i}`, 'beyond the number of sections');
      continue;
    }
    const section = readSection(file, view, i, at);
    if (offset !== BigInt(at) || size !== BigInt(section.content.length))
      malformed(`section ${i}`, 'the header places it elsewhere');
    sections.push(section);
    at += SECTION_HEADER + section.content.length;
  }
  if (at !== file.length) return malformed('file', 'bytes after the last section');
  return sections;
}

function readSection(file: Uint8Array, view: DataView, i: number, at: number): Section {
  if (file.length - at < SECTION_HEADER) return malformed(`section ${i}`, 'truncated');
  const kind = KINDS[view.getUint16(at)];
  if (kind === undefined || kind === 'invalid') return unsupported(`section ${i}`, `type ${view.getUint16(at)}`);
  if (view.getUint16(at + 2) !== 0) return unsupported(`section ${i}`, 'flags');
  const size = view.getBigUint64(at + 4);
  const start = at + SECTION_HEADER;
  if (size > BigInt(file.length - start)) return malformed(`section ${i}`, 'longer than the file');
  return { kind, content: file.subarray(start, start + Number(size)) };
}

/** The order in which sections lie is the order of measurement, so there is one: kernel, command line, ramdisks. */
function arrange(sections: readonly Section[]): EnclaveParts & Pick<Eif, 'metadata' | 'signature'> {
  const [first, second] = sections;
  if (first?.kind !== 'kernel' || second?.kind !== 'cmdline')
    return malformed('sections', 'want kernel and command line first');
  const all = (kind: Kind): readonly Uint8Array[] =>
    sections.filter((section) => section.kind === kind).map(({ content }) => content);
  const optional = (kind: 'metadata' | 'signature', most: number): Uint8Array | null => {
    const [one = null, ...more] = all(kind);
    if (more.length > 0) return malformed('sections', `two of kind ${kind}`);
    return one && one.length > most ? malformed(kind, `more than ${most} bytes`) : one;
  };
  if (all('kernel').length !== 1 || all('cmdline').length !== 1)
    return malformed('sections', 'want one kernel and one command line');
  const [boot, ...application] = all('ramdisk');
  if (!boot) return malformed('sections', 'no ramdisk');
  return {
    kernel: first.content,
    cmdline: second.content,
    ramdisks: [boot, ...application],
    metadata: optional('metadata', MAX_METADATA),
    signature: optional('signature', MAX_SIGNATURE),
  };
}
