import { type KeyId, ServiceError } from '@veritee/protocol';

/** Where keys of encrypted models come from: whoever releases them decides by attestation. */
export interface KeyProvider {
  /**
   * The 32 bytes of a key, for the caller to use and to wipe.
   *
   * @throws ServiceError MODEL_KEY_REFUSED the other side will not release it, and its findings say why;
   *   BROKER_UNREACHABLE it may be there later; BROKER_ANSWER_INVALID it is not what it should be;
   *   PLATFORM_… no evidence could be had
   */
  key(id: KeyId, signal: AbortSignal): Promise<Uint8Array>;
}

/** A failure that time may mend. */
export const unreachable = (message: string, cause?: unknown): ServiceError =>
  new ServiceError('BROKER_UNREACHABLE', message, { cause });

export const invalidAnswer = (message: string, cause?: unknown): ServiceError =>
  new ServiceError('BROKER_ANSWER_INVALID', message, { cause });

export const refused = (message: string): ServiceError => new ServiceError('MODEL_KEY_REFUSED', message);
