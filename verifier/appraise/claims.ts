/**
 * The facts a result shows: decoded, and only what a check has already vouched for. Times that the enclave's own clock
 * gave are named `claimed…`; nothing is decided by them.
 */
import { type Bytes, isZero, type Runtime, type SessionClaims, type Statement } from '@veritee/protocol';
import type { AirClaims } from '../air/receipt.ts';
import type { VerifiedNitro } from '../nitro/verify.ts';
import type { FirmwareVersion, SnpReport } from '../snp/report.ts';
import type { SnpProduct, Tcb } from '../snp/tcb.ts';
import { parseTcb, tcbLayoutOf } from '../snp/tcb.ts';
import type { VerifiedSnp } from '../snp/verify.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import type { JsonObject } from './json.ts';

export interface SnpTcbs {
  readonly reported: Tcb;
  readonly committed: Tcb;
  readonly current: Tcb;
  readonly launch: Tcb;
}

/** The report's own fields, apart from its TCBs, whose layout only the product tells. */
export interface ReportFacts {
  readonly reportVersion: number;
  readonly measurement: Bytes<48>;
  readonly reportData: Bytes<64>;
  readonly hostData: Bytes<32>;
  readonly vmpl: number;
  readonly guestSvn: number;
  readonly familyId: Bytes<16>;
  readonly imageId: Bytes<16>;
  readonly idKeyDigest: Bytes<48>;
  readonly authorKeyDigest: Bytes<48>;
  readonly reportId: Bytes<32>;
  readonly reportIdMa: Bytes<32>;
  readonly chipId: Bytes<64>;
  readonly guestPolicy: Readonly<Record<string, string | boolean>>;
  readonly platformInfo: Readonly<Record<string, string | boolean>>;
  /** Null in version 2, which does not carry it. */
  readonly cpuid: { readonly family: number; readonly model: number; readonly stepping: number } | null;
  readonly firmware: { readonly current: string; readonly committed: string };
  readonly mitigationVectors: { readonly launch: string; readonly current: string } | null;
}

type AnchorFacts = Pick<TrustAnchor, 'name' | 'platform' | 'fingerprint'>;

export interface SnpClaims extends ReportFacts {
  readonly product: SnpProduct;
  readonly signer: 'VCEK' | 'VLEK';
  /** The cloud provider a VLEK is bound to. */
  readonly cspId: string | null;
  readonly tcb: SnpTcbs;
  readonly anchor: AnchorFacts;
  readonly crl: { readonly thisUpdate: Date; readonly nextUpdate: Date } | null;
}

export interface NitroClaims {
  readonly moduleId: string;
  readonly instanceId: string;
  readonly region: string;
  /** By AWS's clock. */
  readonly timestamp: Date;
  readonly digest: 'SHA384';
  /** 0 to 4 and 8, and every other that is not zero. */
  readonly pcrs: Readonly<Record<string, Bytes<48>>>;
  readonly debug: boolean;
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  /** A raw document's own. One that vouches for a session has none, and a receipt shows its statement's. */
  readonly nonce: Uint8Array | null;
  readonly leaf: { readonly subjectCN: string; readonly notBefore: Date; readonly notAfter: Date };
  readonly anchor: AnchorFacts;
}

export interface SessionFacts {
  readonly session: {
    readonly bootId: Bytes<16>;
    readonly key: Uint8Array;
    readonly claimedIssuedAt: Date;
    readonly runtime: Runtime;
  };
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: Bytes<32> };
}

export interface StatementFacts {
  readonly receiptId: Bytes<16>;
  readonly sequence: number;
  readonly claimedTime: Date;
  readonly nonce: Uint8Array | null;
  readonly operation: Statement['operation'];
  readonly model: Statement['model'];
  readonly requestDigest: Bytes<32>;
  readonly responseDigest: Bytes<32>;
  readonly requestJsonLength: number | null;
  readonly responseJsonLength: number | null;
  readonly requestMediaType: string | null;
  readonly responseMediaType: string;
  /** `ok`, or the code with which the enclave refused the request. */
  readonly outcome: Statement['outcome'];
  readonly durationUs: number;
}

export interface ChallengeFacts {
  readonly challenge: { readonly nonce: Uint8Array; readonly sequence: number } | null;
  /** SHA-256 of each sealing-key configuration that lies in the log; sealing to one takes the result's `sealingKeys`. */
  readonly keyConfigs: readonly { readonly digest: Bytes<32>; readonly sequence: number }[];
}

export interface HclFacts {
  /** What Azure's paravisor says of the machine and its vTPM; the verified report commits to it. */
  readonly runtimeClaims: JsonObject;
}

export interface AirFacts {
  /** The workload's own word, under the key that the caller gave. */
  readonly air: Omit<AirClaims, 'issuedAt'> & { readonly claimedIssuedAt: Date; readonly key: Uint8Array };
}

export type Claims = Partial<
  SnpClaims & NitroClaims & HclFacts & SessionFacts & StatementFacts & ChallengeFacts & AirFacts
>;

const firmwareText = ({ major, minor, build }: FirmwareVersion): string => `${major}.${minor}.${build}`;
const hexNumber = (value: bigint): string => `0x${value.toString(16)}`;

/** Of a verified report: `verifySnp` has seen that the layout's reserved bytes are zero. */
export function readTcbs(report: SnpReport, product: SnpProduct): SnpTcbs {
  const layout = tcbLayoutOf(product);
  return {
    reported: parseTcb(report.reportedTcb, layout, 'REPORTED_TCB'),
    committed: parseTcb(report.committedTcb, layout, 'COMMITTED_TCB'),
    current: parseTcb(report.currentTcb, layout, 'CURRENT_TCB'),
    launch: parseTcb(report.launchTcb, layout, 'LAUNCH_TCB'),
  };
}

export function reportFacts(report: SnpReport): ReportFacts {
  const { policy, platformInfo, launchMitVector, currentMitVector } = report;
  return {
    reportVersion: report.version,
    measurement: report.measurement,
    reportData: report.reportData,
    hostData: report.hostData,
    vmpl: report.vmpl,
    guestSvn: report.guestSvn,
    familyId: report.familyId,
    imageId: report.imageId,
    idKeyDigest: report.idKeyDigest,
    authorKeyDigest: report.authorKeyDigest,
    reportId: report.reportId,
    reportIdMa: report.reportIdMa,
    chipId: report.chipId,
    // Field by field: leaving some out of a copy costs more than all the rest of this.
    guestPolicy: {
      raw: hexNumber(policy.raw),
      minimumAbi: `${policy.abiMajor}.${policy.abiMinor}`,
      smt: policy.smt,
      migrateMa: policy.migrateMa,
      debug: policy.debug,
      singleSocket: policy.singleSocket,
      cxlAllow: policy.cxlAllow,
      memAes256Xts: policy.memAes256Xts,
      raplDis: policy.raplDis,
      ciphertextHidingDram: policy.ciphertextHidingDram,
      pageSwapDisable: policy.pageSwapDisable,
    },
    platformInfo: {
      raw: hexNumber(platformInfo.raw),
      unknownBits: hexNumber(platformInfo.unknownBits),
      smtEn: platformInfo.smtEn,
      tsmeEn: platformInfo.tsmeEn,
      eccEn: platformInfo.eccEn,
      raplDis: platformInfo.raplDis,
      ciphertextHidingDramEn: platformInfo.ciphertextHidingDramEn,
      aliasCheckComplete: platformInfo.aliasCheckComplete,
      tioEn: platformInfo.tioEn,
    },
    cpuid: report.cpuid,
    firmware: {
      current: firmwareText(report.currentFirmware),
      committed: firmwareText(report.committedFirmware),
    },
    mitigationVectors:
      launchMitVector !== null && currentMitVector !== null
        ? { launch: hexNumber(launchMitVector), current: hexNumber(currentMitVector) }
        : null,
  };
}

const anchorFacts = ({ name, platform, fingerprint }: TrustAnchor): AnchorFacts => ({ name, platform, fingerprint });

/** Those that AWS gives a meaning. */
const ALWAYS_SHOWN: readonly number[] = [0, 1, 2, 3, 4, 8];

export const nitroClaims = ({ document, region, debug, leaf, anchor }: VerifiedNitro): NitroClaims => ({
  moduleId: document.moduleId,
  instanceId: document.instanceId,
  region,
  timestamp: document.timestamp,
  digest: document.digest,
  pcrs: Object.fromEntries([...document.pcrs].filter(([index, pcr]) => ALWAYS_SHOWN.includes(index) || !isZero(pcr))),
  debug,
  publicKey: document.publicKey,
  userData: document.userData,
  nonce: document.nonce,
  leaf: { subjectCN: leaf.subjectCN, notBefore: leaf.notBefore, notAfter: leaf.notAfter },
  anchor: anchorFacts(anchor),
});

export const snpClaims = (snp: VerifiedSnp, tcb: SnpTcbs): SnpClaims =>
  // Not a spread with members behind it, which V8 takes fifty times as long over.
  Object.assign(reportFacts(snp.report), {
    product: snp.product,
    signer: snp.signer,
    cspId: snp.certificate.cspId,
    tcb,
    anchor: anchorFacts(snp.anchor),
    crl: snp.crl,
  });

export const sessionFacts = (
  claims: SessionClaims,
  { origin, size, root }: SessionFacts['checkpoint'],
): SessionFacts => ({
  session: {
    bootId: claims.bootId,
    key: claims.sessionKey,
    claimedIssuedAt: claimedDate(claims.issuedAt * 1000),
    runtime: claims.runtime,
  },
  checkpoint: { origin, size, root },
});

export const statementFacts = ({ timeMs, sessionDigest: _, ...statement }: Statement): StatementFacts => ({
  ...statement,
  claimedTime: claimedDate(timeMs),
});

export const airFacts = ({ issuedAt, ...claims }: AirClaims, key: Uint8Array): AirFacts => ({
  air: { ...claims, claimedIssuedAt: claimedDate(issuedAt * 1000), key },
});

const MAX_DATE_MS = 8.64e15;

/** A Date holds less than the 2^53 that a claim may say; the far end stands for what lies beyond it. */
const claimedDate = (ms: number): Date => new Date(Math.min(ms, MAX_DATE_MS));
