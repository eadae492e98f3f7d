import { type Bytes, bytes, EvidenceError, isZero } from '@veritee/protocol';
import type { SnpProduct } from './tcb.ts';

export const SNP_REPORT_BYTES = 1184;
/** A number that AMD may still come to; what says more is no report at all, unless it has a report's length. */
export const HIGHEST_PLAUSIBLE_VERSION = 15;
const SIGNED_BYTES = 0x2a0;
const SIGNATURE_ALGO_ECDSA_P384_SHA384 = 1;
const HOST_REQUESTED = 0xffff_ffff;

/** Guest policy: what the guest's owner demanded at launch. */
export interface GuestPolicy {
  readonly raw: bigint;
  readonly abiMajor: number;
  readonly abiMinor: number;
  /** 1 weakens the guest: SMT, MIGRATE_MA, DEBUG, CXL_ALLOW. */
  readonly smt: boolean;
  readonly migrateMa: boolean;
  readonly debug: boolean;
  readonly cxlAllow: boolean;
  /** 1 hardens the guest: the rest. */
  readonly singleSocket: boolean;
  readonly memAes256Xts: boolean;
  readonly raplDis: boolean;
  readonly ciphertextHidingDram: boolean;
  readonly pageSwapDisable: boolean;
}

/** What the platform runs with. */
export interface PlatformInfo {
  readonly raw: bigint;
  readonly smtEn: boolean;
  readonly tsmeEn: boolean;
  readonly eccEn: boolean;
  readonly raplDis: boolean;
  readonly ciphertextHidingDramEn: boolean;
  /** Defined from report version 3 on; false before. */
  readonly aliasCheckComplete: boolean;
  readonly tioEn: boolean;
  /** Bits this release has no name for. They harm nothing by themselves; policy decides. */
  readonly unknownBits: bigint;
}

export interface FirmwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

export interface Cpuid {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

export interface SnpReport {
  readonly version: 2 | 3 | 4 | 5;
  readonly guestSvn: number;
  readonly policy: GuestPolicy;
  readonly familyId: Bytes<16>;
  readonly imageId: Bytes<16>;
  readonly vmpl: 0 | 1 | 2 | 3;
  readonly currentTcb: Bytes<8>;
  readonly platformInfo: PlatformInfo;
  readonly authorKeyEn: boolean;
  readonly signingKey: 'VCEK' | 'VLEK';
  readonly reportData: Bytes<64>;
  readonly measurement: Bytes<48>;
  readonly hostData: Bytes<32>;
  readonly idKeyDigest: Bytes<48>;
  readonly authorKeyDigest: Bytes<48>;
  readonly reportId: Bytes<32>;
  readonly reportIdMa: Bytes<32>;
  /** The TCB of the key that signed: the only one a certificate vouches for. */
  readonly reportedTcb: Bytes<8>;
  /** Null in version 2, which does not carry it. */
  readonly cpuid: Cpuid | null;
  readonly chipId: Bytes<64>;
  readonly committedTcb: Bytes<8>;
  readonly currentFirmware: FirmwareVersion;
  readonly committedFirmware: FirmwareVersion;
  readonly launchTcb: Bytes<8>;
  /** Null before version 5. */
  readonly launchMitVector: bigint | null;
  readonly currentMitVector: bigint | null;
  /** Offsets 0x000-0x29f exactly as received: what the signature covers. */
  readonly signedBytes: Bytes<672>;
  /** r ‖ s, big-endian, as WebCrypto takes it. */
  readonly signature: Bytes<96>;
}

function fail(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
}

function unsupported(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_UNSUPPORTED', `${field}: ${reason}`, { field });
}

function unsigned(field: string, reason: string): never {
  throw new EvidenceError('SIGNATURE_INVALID', `${field}: ${reason}`, { field });
}

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;

function parsePolicy(raw: bigint): GuestPolicy {
  if (!bit(raw, 17)) fail('POLICY', 'reserved bit 17 is not one');
  if (raw >> 26n !== 0n) fail('POLICY', 'a reserved bit of 26-63 is not zero');
  return {
    raw,
    abiMinor: Number(raw & 0xffn),
    abiMajor: Number((raw >> 8n) & 0xffn),
    smt: bit(raw, 16),
    migrateMa: bit(raw, 18),
    debug: bit(raw, 19),
    singleSocket: bit(raw, 20),
    cxlAllow: bit(raw, 21),
    memAes256Xts: bit(raw, 22),
    raplDis: bit(raw, 23),
    ciphertextHidingDram: bit(raw, 24),
    pageSwapDisable: bit(raw, 25),
  };
}

function parsePlatformInfo(raw: bigint, version: number): PlatformInfo {
  const known = version >= 3 ? 0b1011_1111n : 0b1001_1111n;
  return {
    raw,
    smtEn: bit(raw, 0),
    tsmeEn: bit(raw, 1),
    eccEn: bit(raw, 2),
    raplDis: bit(raw, 3),
    ciphertextHidingDramEn: bit(raw, 4),
    aliasCheckComplete: version >= 3 && bit(raw, 5),
    tioEn: bit(raw, 7),
    unknownBits: raw & ~known,
  };
}

/** Before the length, which is for another version's own reader to judge. */
function readVersion(raw: Uint8Array): SnpReport['version'] {
  const length = `got ${raw.length} bytes, want ${SNP_REPORT_BYTES}`;
  if (raw.length < 4) return fail('report', length);
  const version = new DataView(raw.buffer, raw.byteOffset, raw.length).getUint32(0, true);
  if (version === 2 || version === 3 || version === 4 || version === 5) return version;
  const plausible = version >= 1 && version <= HIGHEST_PLAUSIBLE_VERSION;
  if (!plausible && raw.length !== SNP_REPORT_BYTES) return fail('report', length);
  const known = version === 6 ? ' (ABI 1.59)' : '';
  return unsupported('VERSION', `got ${version}${known}, this release reads 2 to 5`);
}

/** Zen 6: its TCB layout is Turin's, but neither its root nor a genuine report of it is known to this release. */
function isVenice({ family, model }: Cpuid): boolean {
  const within = (from: number, to: number): boolean => model >= from && model <= to;
  return family === 0x1a && (within(0x50, 0x57) || within(0x90, 0xaf) || within(0xc0, 0xc7));
}

/**
 * Decode an SEV-SNP attestation report. Shape only: no field is trusted until `verifySnp`.
 *
 * @param raw exactly 1184 bytes, integers little-endian, as the firmware returned them
 * @throws EvidenceError EVIDENCE_MALFORMED wrong length, a reserved byte or bit that is set, a VMPL no guest has;
 *   EVIDENCE_UNSUPPORTED a report version, signature algorithm or product this release does not read;
 *   SIGNATURE_INVALID a report that says it is not signed, or whose signature is zero
 * @see AMD 56860 rev. 1.58, ATTESTATION_REPORT structure
 */
export function parseSnpReport(raw: Uint8Array): SnpReport {
  const version = readVersion(raw);
  const report = bytes(raw, SNP_REPORT_BYTES, 'report');
  const view = new DataView(report.buffer);
  const u32 = (at: number): number => view.getUint32(at, true);
  const u64 = (at: number): bigint => view.getBigUint64(at, true);
  const take = <N extends number>(at: number, n: N, field: string): Bytes<N> =>
    bytes(report.subarray(at, at + n), n, field);
  const reserved = (from: number, to: number): void => {
    if (!isZero(report.subarray(from, to))) {
      fail('reserved', `a byte of 0x${from.toString(16)}-0x${(to - 1).toString(16)} is not zero`);
    }
  };
  const firmware = (at: number): FirmwareVersion => ({
    build: view.getUint8(at),
    minor: view.getUint8(at + 1),
    major: view.getUint8(at + 2),
  });

  const algorithm = u32(0x034);
  if (algorithm !== SIGNATURE_ALGO_ECDSA_P384_SHA384) {
    unsupported('SIGNATURE_ALGO', `got ${algorithm}, this release reads 1 (ECDSA P-384 with SHA-384)`);
  }

  const vmpl = u32(0x030);
  if (vmpl === HOST_REQUESTED) fail('VMPL', 'the report was asked for by the host, not by a guest');
  if (vmpl !== 0 && vmpl !== 1 && vmpl !== 2 && vmpl !== 3) return fail('VMPL', `got ${vmpl}, want 0 to 3`);

  // KEY_INFO: bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 2-4 SIGNING_KEY.
  const keyInfo = u32(0x048);
  if (keyInfo >>> 5 !== 0) fail('KEY_INFO', 'a reserved bit of 5-31 is not zero');
  const kind = (keyInfo >>> 2) & 0b111;
  if ((keyInfo & 0b10) !== 0) unsigned('KEY_INFO', 'MASK_CHIP_KEY is set, the firmware wrote zeros for a signature');
  if (kind === 7) unsigned('KEY_INFO', 'SIGNING_KEY is none');
  if (kind > 1) fail('KEY_INFO', `SIGNING_KEY ${kind} is reserved`);

  reserved(0x04c, 0x050);
  reserved(version === 2 ? 0x188 : 0x18b, 0x1a0);
  reserved(0x1eb, 0x1ec);
  reserved(0x1ef, 0x1f0);
  reserved(version === 5 ? 0x208 : 0x1f8, SIGNED_BYTES);
  // R and S: 72 bytes each, little-endian; P-384 fills the first 48.
  reserved(0x2d0, 0x2e8);
  reserved(0x318, SNP_REPORT_BYTES);
  const r = report.slice(0x2a0, 0x2d0).reverse();
  const s = report.slice(0x2e8, 0x318).reverse();
  if (isZero(r) || isZero(s)) unsigned('SIGNATURE', 'R or S is zero');
  const signature = new Uint8Array(96);
  signature.set(r);
  signature.set(s, 48);

  const cpuid: Cpuid | null =
    version === 2
      ? null
      : { family: view.getUint8(0x188), model: view.getUint8(0x189), stepping: view.getUint8(0x18a) };
  if (cpuid && isVenice(cpuid)) unsupported('CPUID', 'a Venice processor, this release reads Milan, Genoa and Turin');

  return {
    version,
    guestSvn: u32(0x004),
    policy: parsePolicy(u64(0x008)),
    familyId: take(0x010, 16, 'FAMILY_ID'),
    imageId: take(0x020, 16, 'IMAGE_ID'),
    vmpl,
    currentTcb: take(0x038, 8, 'CURRENT_TCB'),
    platformInfo: parsePlatformInfo(u64(0x040), version),
    authorKeyEn: (keyInfo & 1) === 1,
    signingKey: kind === 0 ? 'VCEK' : 'VLEK',
    reportData: take(0x050, 64, 'REPORT_DATA'),
    measurement: take(0x090, 48, 'MEASUREMENT'),
    hostData: take(0x0c0, 32, 'HOST_DATA'),
    idKeyDigest: take(0x0e0, 48, 'ID_KEY_DIGEST'),
    authorKeyDigest: take(0x110, 48, 'AUTHOR_KEY_DIGEST'),
    reportId: take(0x140, 32, 'REPORT_ID'),
    reportIdMa: take(0x160, 32, 'REPORT_ID_MA'),
    reportedTcb: take(0x180, 8, 'REPORTED_TCB'),
    cpuid,
    chipId: take(0x1a0, 64, 'CHIP_ID'),
    committedTcb: take(0x1e0, 8, 'COMMITTED_TCB'),
    currentFirmware: firmware(0x1e8),
    committedFirmware: firmware(0x1ec),
    launchTcb: take(0x1f0, 8, 'LAUNCH_TCB'),
    launchMitVector: version === 5 ? u64(0x1f8) : null,
    currentMitVector: version === 5 ? u64(0x200) : null,
    signedBytes: take(0, SIGNED_BYTES, 'signed bytes'),
    signature: bytes(signature, 96, 'SIGNATURE'),
  };
}

/** The product a CPUID names; null for version 2, which has none, and for a processor this release does not know. */
export function productOfCpuid(report: SnpReport): SnpProduct | null {
  if (!report.cpuid) return null;
  const { family, model } = report.cpuid;
  if (family === 0x19) {
    if (model <= 0x0f) return 'Milan';
    // 0xa0-0xaf: Bergamo and Siena, which AMD's key service serves as Genoa.
    if (model <= 0x1f || (model >= 0xa0 && model <= 0xaf)) return 'Genoa';
  }
  if (family === 0x1a && model <= 0x11) return 'Turin';
  return null;
}
