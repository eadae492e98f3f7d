import type { Bytes, EvidenceFormat } from '@veritee/protocol';
import type { GivenEndorsements } from './snp-certificates.ts';

/** What a platform returns for one report. */
export interface PlatformEvidence {
  /** Raw report or document. */
  readonly report: Uint8Array<ArrayBuffer>;
  /** DER, leaf first, never the root; empty when the document carries its own. */
  readonly chain: readonly Uint8Array<ArrayBuffer>[];
  readonly crls: readonly Uint8Array<ArrayBuffer>[];
}

/** One confidential-computing platform. Makes one request of its device at a time, whoever asks. */
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

/**
 * Evidence for the protocols that release model keys. None of it can pass for the log's: REPORT_DATA here is that
 * protocol's own hash, and a Nitro document of the log has exactly 64 bytes of `user_data`, the session key as
 * `public_key` and no nonce.
 */
export interface KeyRequester {
  readonly format: EvidenceFormat;
  /**
   * For a key broker. SNP: REPORT_DATA. Nitro: the document's nonce, with neither `user_data` nor `public_key`.
   * @throws CodedError PLATFORM_UNAVAILABLE, PLATFORM_BUSY, PLATFORM_TIMEOUT, PLATFORM_FAILED
   */
  attestToBroker(reportData: Bytes<64>): Promise<PlatformEvidence>;
}

/** What this program was launched as, by its own report; of every field only what the platform has. */
export type OwnMeasurement = SnpMeasurement | NitroMeasurement;

export interface SnpMeasurement {
  readonly platform: 'sev-snp';
  readonly measurement: Bytes<48>;
  readonly hostData: Bytes<32>;
  readonly vmpl: number;
  readonly idKeyDigest: Bytes<48>;
  readonly authorKeyDigest: Bytes<48>;
}

export interface NitroMeasurement {
  readonly platform: 'nitro';
  readonly pcr0: Bytes<48>;
  readonly pcr1: Bytes<48>;
  readonly pcr2: Bytes<48>;
  readonly pcr8: Bytes<48>;
}

/** A platform that can say what it measured. */
export interface MeasuredPlatform {
  /** Takes certificates for reports from outside; null where evidence brings its own. */
  readonly endorsements: GivenEndorsements | null;
  /** @throws CodedError PLATFORM_UNAVAILABLE, PLATFORM_BUSY, PLATFORM_TIMEOUT, PLATFORM_FAILED */
  measurement(): Promise<OwnMeasurement>;
  /**
   * Puts the models under the platform's measurement, or holds them against what it measured at launch.
   * @throws CodedError PLATFORM_MODELS_DIFFER it measured others
   */
  measureModels(digests: readonly Bytes<32>[]): Promise<void>;
  /** Random bytes of the platform's own, for key generation beside the kernel's; empty where it has none. */
  random(): Promise<Uint8Array<ArrayBuffer>>;
}
