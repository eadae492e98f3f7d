import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Firmware, Product, Tcb } from '../../attestation-fixtures/snp/products.ts';
import type { ReportFields } from '../../attestation-fixtures/snp/report.ts';
import { type Bytes, bytes } from '../../protocol/bytes.ts';
import { sharedFolder } from '../support/shared.ts';

// Second opinions for these tests, written apart from the code under test: a DER walk and a report decoder that keeps
// nothing to itself, so that what it decodes and what is encoded again must be the same bytes.

export const EVIDENCE = sharedFolder('evidence', 'snp') ?? '';
export const ANCHORS = sharedFolder('trust-anchors', 'amd') ?? '';
export const haveReal = existsSync(EVIDENCE) && existsSync(ANCHORS);

export interface RealCase {
  readonly id: string;
  readonly product: Product;
  readonly report: Buffer;
  readonly vcek: Buffer | null;
}

/** Every case folder with a report, VLEK and negative ones included: their bytes came from real firmware too. */
export function realCases(): readonly RealCase[] {
  if (!haveReal) return [];
  return readdirSync(EVIDENCE)
    .filter((id) => existsSync(`${EVIDENCE}/${id}/report.bin`))
    .map((id) => {
      const vcek = `${EVIDENCE}/${id}/vcek.der`;
      return {
        id,
        product: id.includes('genoa') ? 'Genoa' : id.includes('turin') ? 'Turin' : 'Milan',
        report: readFileSync(`${EVIDENCE}/${id}/report.bin`),
        vcek: existsSync(vcek) ? readFileSync(vcek) : null,
      };
    });
}

export interface Node {
  readonly tag: number;
  /** Header and content. */
  readonly whole: Uint8Array;
  readonly content: Uint8Array;
}

/** The DER values that follow one another in `der`. */
export function values(der: Uint8Array): readonly Node[] {
  const nodes: Node[] = [];
  for (let at = 0; at < der.length; ) {
    const first = der[at + 1]!;
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    let length = first < 0x80 ? first : 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + der[at + 2 + i]!;
    const start = at + 2 + lengthBytes;
    if (start + length > der.length) throw new Error('DER: length beyond the end');
    nodes.push({
      tag: der[at]!,
      whole: der.subarray(at, start + length),
      content: der.subarray(start, start + length),
    });
    at = start + length;
  }
  return nodes;
}

export interface CertificateParts {
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly serial: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subject: Uint8Array;
  readonly publicKey: Uint8Array;
  /** OID content in hexadecimal, whether critical, value; in the order of the certificate. */
  readonly extensions: readonly { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }[];
}

export function certificateParts(der: Uint8Array): CertificateParts {
  const [tbs, signatureAlgorithm] = values(values(der)[0]!.content);
  const [, serial, , issuer, validity, subject, publicKey, extensions] = values(tbs!.content);
  const [notBefore, notAfter] = values(validity!.content).map(readTime);
  return {
    tbs: tbs!.whole,
    signatureAlgorithm: signatureAlgorithm!.whole,
    serial: serial!.content,
    issuer: issuer!.whole,
    notBefore: notBefore!,
    notAfter: notAfter!,
    subject: subject!.whole,
    publicKey: publicKey!.whole,
    extensions: values(values(extensions!.content)[0]!.content).map((extension) => {
      const parts = values(extension.content);
      return {
        oid: Buffer.from(parts[0]!.content).toString('hex'),
        critical: parts.length === 3,
        value: parts.at(-1)!.content,
      };
    }),
  };
}

export function readTime(node: Node): Date {
  const text = Buffer.from(node.content).toString('latin1');
  const full = node.tag === 0x17 ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text;
  return new Date(full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

/** Hexadecimal of the content of AMD's OID 1.3.6.1.4.1.3704.1.<suffix>. */
export const amdOid = (suffix: string): string =>
  `2b060104019c7801${suffix
    .split('.')
    .map((arc) => Number(arc).toString(16).padStart(2, '0'))
    .join('')}`;

export function decodeTcb(product: Product, raw: Uint8Array): Tcb {
  const at = (i: number) => raw[i]!;
  if (product === 'Turin') {
    return { layout: 'turin', fmc: at(0), bootloader: at(1), tee: at(2), snp: at(3), microcode: at(7) };
  }
  return { layout: 'milan-genoa', bootloader: at(0), tee: at(1), snp: at(6), microcode: at(7) };
}

export function decodeReport(product: Product, raw: Buffer): ReportFields {
  const cut = <N extends number>(offset: number, n: N): Bytes<N> => bytes(raw.subarray(offset, offset + n), n, 'cut');
  const tcb = (offset: number) => decodeTcb(product, raw.subarray(offset, offset + 8));
  const firmware = (offset: number): Firmware => ({
    build: raw[offset]!,
    minor: raw[offset + 1]!,
    major: raw[offset + 2]!,
  });
  const version = raw.readUInt32LE(0);
  return {
    version,
    guestSvn: raw.readUInt32LE(4),
    policy: raw.readBigUInt64LE(8),
    familyId: cut(0x10, 16),
    imageId: cut(0x20, 16),
    vmpl: raw.readUInt32LE(0x30),
    signatureAlgo: raw.readUInt32LE(0x34),
    currentTcb: tcb(0x38),
    platformInfo: raw.readBigUInt64LE(0x40),
    keyInfo: raw.readUInt32LE(0x48),
    reportData: cut(0x50, 64),
    measurement: cut(0x90, 48),
    hostData: cut(0xc0, 32),
    idKeyDigest: cut(0xe0, 48),
    authorKeyDigest: cut(0x110, 48),
    reportId: cut(0x140, 32),
    reportIdMa: cut(0x160, 32),
    reportedTcb: tcb(0x180),
    cpuid: version < 3 ? null : { family: raw[0x188]!, model: raw[0x189]!, stepping: raw[0x18a]! },
    chipId: cut(0x1a0, 64),
    committedTcb: tcb(0x1e0),
    currentFirmware: firmware(0x1e8),
    committedFirmware: firmware(0x1ec),
    launchTcb: tcb(0x1f0),
    mitigationVectors: version < 5 ? null : { launch: raw.readBigUInt64LE(0x1f8), current: raw.readBigUInt64LE(0x200) },
    overwrite: [],
  };
}
