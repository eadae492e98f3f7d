import type { Bytes, EvidenceFormat } from '@veritee/protocol';

/** What a platform returns for one report. */
export interface PlatformEvidence {
  /** Raw report or document. */
  readonly report: Uint8Array<ArrayBuffer>;
  /** DER, leaf first, never the root; empty when the document carries its own. */
  readonly chain: readonly Uint8Array<ArrayBuffer>[];
  readonly crls: readonly Uint8Array<ArrayBuffer>[];
}

/** One confidential-computing platform. Calls are never made in parallel: the ticker is single-flight. */
export interface Attester {
  /** For people and readiness; a verifier takes the platform from its trust anchor. */
  readonly platform: string;
  /** Plain words, printed loudly, when the platform proves nothing. */
  readonly warning: string | null;
  readonly format: EvidenceFormat;
  /** The shortest time between two reports, in ms. */
  readonly minIntervalMs: number;
  /**
   * @param sessionKey raw Ed25519 key of this boot, for platforms whose evidence has a field for it
   * @throws CodedError PLATFORM_UNAVAILABLE, PLATFORM_BUSY, PLATFORM_TIMEOUT, PLATFORM_FAILED
   */
  attest(reportData: Bytes<64>, sessionKey: Bytes<32>): Promise<PlatformEvidence>;
}
