import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { type Bytes, bytes } from '@veritee/protocol';
import { type Cpuid, encodeTcb, type Firmware, PRODUCTS, type Product, type Tcb } from './products.ts';

export type ReportVersion = 2 | 3 | 5;

export const REPORT_SIZE = 1184;
/** The signature covers 0x000 to 0x29f. */
const SIGNED_SIZE = 0x2a0;

/** Every field of ATTESTATION_REPORT, AMD 56860. `null` leaves the bytes zero, as firmware before that version does. */
export interface ReportFields {
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: bigint;
  readonly familyId: Bytes<16>;
  readonly imageId: Bytes<16>;
  readonly vmpl: number;
  /** 1 is ECDSA P-384 with SHA-384. */
  readonly signatureAlgo: number;
  readonly currentTcb: Tcb;
  readonly platformInfo: bigint;
  /** Bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 2-4 SIGNING_KEY: 0 VCEK, 1 VLEK, 7 none. */
  readonly keyInfo: number;
  readonly reportData: Bytes<64>;
  readonly measurement: Bytes<48>;
  readonly hostData: Bytes<32>;
  readonly idKeyDigest: Bytes<48>;
  readonly authorKeyDigest: Bytes<48>;
  readonly reportId: Bytes<32>;
  readonly reportIdMa: Bytes<32>;
  readonly reportedTcb: Tcb;
  /** From version 3. */
  readonly cpuid: Cpuid | null;
  readonly chipId: Bytes<64>;
  readonly committedTcb: Tcb;
  readonly currentFirmware: Firmware;
  readonly committedFirmware: Firmware;
  readonly launchTcb: Tcb;
  /** From version 5. */
  readonly mitigationVectors: { readonly launch: bigint; readonly current: bigint } | null;
  /** Written last and signed with the rest: how a test sets reserved bytes and values the fields above cannot hold. */
  readonly overwrite: readonly { readonly offset: number; readonly value: Uint8Array }[];
}

const zeros = <N extends number>(n: N): Bytes<N> => bytes(new Uint8Array(n), n, 'zeros');

/** Fields of a healthy report of that product; what is given replaces its default. */
export function reportFields(
  product: Product,
  version: number,
  given: Partial<ReportFields> & Pick<ReportFields, 'reportData' | 'measurement'>,
): ReportFields {
  const { cpuid, tcb, firmware, platformInfo, mitigationVector } = PRODUCTS[product];
  return {
    version,
    guestSvn: 0,
    policy: 0x30000n, // SMT allowed, and bit 17, which is always 1
    familyId: zeros(16),
    imageId: zeros(16),
    vmpl: 0,
    signatureAlgo: 1,
    currentTcb: tcb,
    platformInfo: version < 3 ? platformInfo & 0b11n : platformInfo,
    keyInfo: 0,
    hostData: zeros(32),
    idKeyDigest: zeros(48),
    authorKeyDigest: zeros(48),
    reportId: bytes(randomBytes(32), 32, 'REPORT_ID'),
    reportIdMa: bytes(new Uint8Array(32).fill(0xff), 32, 'REPORT_ID_MA'), // no migration agent
    reportedTcb: tcb,
    cpuid: version < 3 ? null : cpuid,
    chipId: zeros(64),
    committedTcb: tcb,
    currentFirmware: firmware,
    committedFirmware: firmware,
    launchTcb: tcb,
    mitigationVectors: version < 5 ? null : { launch: mitigationVector, current: mitigationVector },
    overwrite: [],
    ...given,
  };
}

function unsigned(value: bigint | number, size: 1 | 4 | 8, field: string): Uint8Array {
  const whole = typeof value === 'bigint' || Number.isInteger(value);
  if (!whole || value < 0 || BigInt(value) >> BigInt(8 * size) !== 0n) {
    throw new RangeError(`${field}: ${value} does not fit ${size} bytes`);
  }
  return Uint8Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
}

const u8 = (value: number, field: string): Uint8Array => unsigned(value, 1, field);
const u32 = (value: number, field: string): Uint8Array => unsigned(value, 4, field);
const u64 = (value: bigint, field: string): Uint8Array => unsigned(value, 8, field);

/**
 * Lay out a report, its signature zero: 1184 bytes, integers little-endian.
 *
 * @throws RangeError a number that does not fit its field, or an `overwrite` beyond the end
 * @see AMD 56860 rev. 1.58, ATTESTATION_REPORT structure
 */
export function encodeReport(fields: ReportFields): Bytes<1184> {
  const { cpuid, mitigationVectors } = fields;
  const placed: readonly (readonly [number, Uint8Array])[] = [
    [0x000, u32(fields.version, 'VERSION')],
    [0x004, u32(fields.guestSvn, 'GUEST_SVN')],
    [0x008, u64(fields.policy, 'POLICY')],
    [0x010, fields.familyId],
    [0x020, fields.imageId],
    [0x030, u32(fields.vmpl, 'VMPL')],
    [0x034, u32(fields.signatureAlgo, 'SIGNATURE_ALGO')],
    [0x038, encodeTcb(fields.currentTcb)],
    [0x040, u64(fields.platformInfo, 'PLATFORM_INFO')],
    [0x048, u32(fields.keyInfo, 'KEY_INFO')],
    [0x050, fields.reportData],
    [0x090, fields.measurement],
    [0x0c0, fields.hostData],
    [0x0e0, fields.idKeyDigest],
    [0x110, fields.authorKeyDigest],
    [0x140, fields.reportId],
    [0x160, fields.reportIdMa],
    [0x180, encodeTcb(fields.reportedTcb)],
    [0x188, u8(cpuid?.family ?? 0, 'CPUID_FAM_ID')],
    [0x189, u8(cpuid?.model ?? 0, 'CPUID_MOD_ID')],
    [0x18a, u8(cpuid?.stepping ?? 0, 'CPUID_STEP')],
    [0x1a0, fields.chipId],
    [0x1e0, encodeTcb(fields.committedTcb)],
    [0x1e8, u8(fields.currentFirmware.build, 'CURRENT_BUILD')],
    [0x1e9, u8(fields.currentFirmware.minor, 'CURRENT_MINOR')],
    [0x1ea, u8(fields.currentFirmware.major, 'CURRENT_MAJOR')],
    [0x1ec, u8(fields.committedFirmware.build, 'COMMITTED_BUILD')],
    [0x1ed, u8(fields.committedFirmware.minor, 'COMMITTED_MINOR')],
    [0x1ee, u8(fields.committedFirmware.major, 'COMMITTED_MAJOR')],
    [0x1f0, encodeTcb(fields.launchTcb)],
    [0x1f8, u64(mitigationVectors?.launch ?? 0n, 'LAUNCH_MIT_VECTOR')],
    [0x200, u64(mitigationVectors?.current ?? 0n, 'CURRENT_MIT_VECTOR')],
  ];
  const report = new Uint8Array(REPORT_SIZE);
  for (const [offset, value] of placed) report.set(value, offset);
  for (const { offset, value } of fields.overwrite) report.set(value, offset);
  return bytes(report, REPORT_SIZE, 'report');
}

/** The SIGNATURE field's R and S: each little-endian in 72 bytes, of which P-384 fills 48. */
export function encodeSignature(ieeeP1363: Uint8Array): Uint8Array<ArrayBuffer> {
  const signature = new Uint8Array(144);
  signature.set(ieeeP1363.slice(0, 48).reverse(), 0);
  signature.set(ieeeP1363.slice(48, 96).reverse(), 72);
  return signature;
}

/** ECDSA P-384 with SHA-384 over 0x000-0x29f, as the firmware signs. */
export function signReport(report: Bytes<1184>, vcek: KeyObject): Bytes<1184> {
  const signature = sign('sha384', report.subarray(0, SIGNED_SIZE), { key: vcek, dsaEncoding: 'ieee-p1363' });
  const signed = bytes(report, REPORT_SIZE, 'report');
  signed.set(encodeSignature(signature), SIGNED_SIZE);
  return signed;
}
