import { CodedError, type KeyId, keyIdText, SEALED_KEY_BYTES, ServiceError } from '@veritee/protocol';
import type { KeyProvider } from './provider.ts';

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 4_000;
const ATTEMPT_MS = 15_000;

/**
 * The keys needed while models are loaded: each asked for once, held until `wipe`. All of them together wait for a
 * provider that does not answer no longer than `waitMs`, so that clear models are not held up by encrypted ones.
 */
export class KeyRing {
  readonly #provider: KeyProvider | null;
  readonly #deadline: number;
  readonly #keys = new Map<string, Promise<Uint8Array>>();
  /** Set once the provider has not been reached in time: the other keys do not wait for it again. */
  #gaveUp = false;

  constructor(provider: KeyProvider | null, waitMs: number) {
    this.#provider = provider;
    this.#deadline = performance.now() + waitMs;
  }

  /**
   * The ring's own copy: it is zeros after `wipe`.
   * @throws ServiceError MODEL_KEY_UNAVAILABLE, MODEL_KEY_REFUSED
   */
  get(id: KeyId): Promise<Uint8Array> {
    const name = keyIdText(id);
    const held = this.#keys.get(name);
    if (held) return held;
    const key = this.#ask(id);
    this.#keys.set(name, key);
    return key;
  }

  async #ask(id: KeyId): Promise<Uint8Array> {
    if (!this.#provider) throw unavailable(id, 'no key broker or KMS is configured');
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(2 * retryMs, LAST_RETRY_MS)) {
      if (this.#gaveUp) throw unavailable(id, 'the key provider was not reached');
      try {
        const key = await this.#provider.key(id, AbortSignal.timeout(ATTEMPT_MS));
        if (key.length === SEALED_KEY_BYTES) return key;
        key.fill(0);
        throw unavailable(id, `the provider gave ${key.length} bytes, want ${SEALED_KEY_BYTES}`);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        if (error.code === 'MODEL_KEY_REFUSED' || error.code === 'MODEL_KEY_UNAVAILABLE') throw error;
        const transient = error.code === 'BROKER_UNREACHABLE';
        if (!transient || performance.now() + retryMs >= this.#deadline) {
          this.#gaveUp ||= transient;
          throw unavailable(id, `${error.code}: ${error.message}`, error);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** Overwrites every key; the ring gives no more of them. */
  async wipe(): Promise<void> {
    for (const result of await Promise.allSettled(this.#keys.values())) {
      if (result.status === 'fulfilled') result.value.fill(0);
    }
    this.#keys.clear();
  }
}

const unavailable = (id: KeyId, reason: string, cause?: unknown): ServiceError =>
  new ServiceError('MODEL_KEY_UNAVAILABLE', `${keyIdText(id)}: ${reason}`, { field: 'kid', cause });
