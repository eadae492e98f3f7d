/**
 * Nitro Enclaves through the Nitro Security Module, /dev/nsm: one CBOR request, one CBOR answer.
 *
 * @see aws-nitro-enclaves-nsm-api docs/attestation_process.md; Linux drivers/misc/nsm.c
 */
import type { Bytes } from '@veritee/protocol';
import type { Attester, PlatformEvidence } from './attester.ts';
import { encodeAttestationRequest, readAttestationAnswer } from './nsm-messages.ts';
import { platformError } from './platform-error.ts';

/** One ioctl on /dev/nsm; failures carry Node's errno codes. */
export interface NsmDevice {
  request(cbor: Uint8Array): Promise<Uint8Array>;
}

export class NsmAttester implements Attester {
  readonly platform: string;
  readonly warning: string | null;
  readonly minIntervalMs: number;
  readonly format = 'nitro-attestation-document';
  readonly #device: NsmDevice;

  constructor(
    device: NsmDevice,
    facts: { readonly platform: string; readonly warning: string | null; readonly minIntervalMs: number },
  ) {
    this.#device = device;
    this.platform = facts.platform;
    this.warning = facts.warning;
    this.minIntervalMs = facts.minIntervalMs;
  }

  /** REPORT_DATA is `user_data`, the session key `public_key`; there is no nonce, for the log's challenges answer them. */
  async attest(reportData: Bytes<64>, sessionKey: Bytes<32>): Promise<PlatformEvidence> {
    const request = encodeAttestationRequest({ userData: reportData, publicKey: sessionKey, nonce: null });
    let answer: Uint8Array;
    try {
      answer = await this.#device.request(request);
    } catch (error) {
      throw platformError(error, 'nsm', 'nsm');
    }
    return { report: readAttestationAnswer(answer), chain: [], crls: [] };
  }
}
