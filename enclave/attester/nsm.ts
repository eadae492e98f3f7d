/**
 * Nitro Enclaves through the Nitro Security Module, /dev/nsm: one CBOR request, one CBOR answer.
 *
 * @see aws-nitro-enclaves-nsm-api docs/attestation_process.md; Linux drivers/misc/nsm.c
 */
import {
  type Bytes,
  equalBytes,
  hex,
  MODEL_SET_PCR,
  modelSet,
  modelSetPcr,
  ServiceError,
  utf8,
} from '@veritee/protocol';
import type { Attester, KeyRequester, MeasuredPlatform, OwnMeasurement, PlatformEvidence } from './attester.ts';
import {
  type AttestationRequest,
  encodeAttestationRequest,
  encodeDescribeNsm,
  encodeDescribePcr,
  encodeExtendPcr,
  encodeGetRandom,
  encodeLockPcr,
  type NsmDescription,
  type Pcr,
  readAttestationAnswer,
  readDescription,
  readExtended,
  readLocked,
  readPcr,
  readRandom,
} from './nsm-messages.ts';
import { OneAtATime } from './one-at-a-time.ts';
import { platformError } from './platform-error.ts';

/** One ioctl on /dev/nsm; failures carry Node's errno codes. */
export interface NsmDevice {
  request(cbor: Uint8Array): Promise<Uint8Array>;
}

/** `user_data` of a document for AWS KMS: 24 bytes, where the log's have 64. */
const KMS_RECIPIENT = utf8('veritee/kms-recipient/v1');

export class NsmAttester implements Attester, KeyRequester, MeasuredPlatform {
  readonly platform: string;
  readonly warning: string | null;
  readonly minIntervalMs: number;
  readonly format = 'nitro-attestation-document';
  readonly endorsements = null;
  readonly #device: NsmDevice;
  readonly #queue = new OneAtATime();

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
    return this.#evidence({ userData: reportData, publicKey: sessionKey, nonce: null });
  }

  async attestToBroker(reportData: Bytes<64>): Promise<PlatformEvidence> {
    return this.#evidence({ userData: null, publicKey: null, nonce: reportData });
  }

  /** A document that tells AWS KMS to encrypt its answer to this RSA key (SubjectPublicKeyInfo, DER). */
  attestToKms(recipientKey: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return this.#document({ userData: KMS_RECIPIENT, publicKey: recipientKey, nonce: null });
  }

  describe(): Promise<NsmDescription> {
    return this.#request(encodeDescribeNsm(), readDescription);
  }

  pcr(index: number): Promise<Pcr> {
    return this.#request(encodeDescribePcr(index), readPcr);
  }

  /** The hypervisor's random bytes, for key generation beside the kernel's own. */
  random(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#request(encodeGetRandom(), readRandom);
  }

  async measurement(): Promise<OwnMeasurement> {
    const data = async (index: number): Promise<Bytes<48>> => (await this.pcr(index)).data;
    return { platform: 'nitro', pcr0: await data(0), pcr1: await data(1), pcr2: await data(2), pcr8: await data(8) };
  }

  /**
   * One extension of PCR16 for each model, in the set's order, then the lock: from then on every document carries it and
   * nobody can extend it. A process that started anew in the same enclave finds it locked over the set of before.
   *
   * @throws ServiceError PLATFORM_MODELS_DIFFER the register holds something else
   */
  async measureModels(digests: readonly Bytes<32>[]): Promise<void> {
    const wanted = modelSetPcr(digests);
    const before = await this.pcr(MODEL_SET_PCR);
    if (before.lock) return requireRegister(before.data, wanted);
    for (const digest of modelSet(digests)) {
      await this.#request(encodeExtendPcr(MODEL_SET_PCR, digest), readExtended);
    }
    await this.#request(encodeLockPcr(MODEL_SET_PCR), readLocked);
    requireRegister((await this.pcr(MODEL_SET_PCR)).data, wanted);
  }

  async #evidence(request: AttestationRequest): Promise<PlatformEvidence> {
    return { report: await this.#document(request), chain: [], crls: [] };
  }

  #document(request: AttestationRequest): Promise<Uint8Array<ArrayBuffer>> {
    return this.#request(encodeAttestationRequest(request), readAttestationAnswer);
  }

  #request<T>(request: Uint8Array, read: (answer: Uint8Array) => T): Promise<T> {
    return this.#queue.run(async () => {
      let answer: Uint8Array;
      try {
        answer = await this.#device.request(request);
      } catch (error) {
        throw platformError(error, 'nsm', 'nsm');
      }
      return read(answer);
    });
  }
}

function requireRegister(actual: Bytes<48>, wanted: Bytes<48>): void {
  if (equalBytes(actual, wanted)) return;
  const message = `PCR${MODEL_SET_PCR} is ${hex(actual)}; the models that are loaded make it ${hex(wanted)}`;
  throw new ServiceError('PLATFORM_MODELS_DIFFER', message, { field: `PCR${MODEL_SET_PCR}` });
}
