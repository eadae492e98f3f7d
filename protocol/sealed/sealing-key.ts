/** A key pair that requests are sealed to. The public half is published and logged; the private half never leaves the object. */
import type { KeyPair, RecipientContext } from 'hpke';
import { bytes } from '../bytes.ts';
import { ServiceError } from '../errors.ts';
import { encodeKeyConfig } from './key-config.ts';
import { type Suite, type SuiteKey, suite } from './suite.ts';

export class SealingKeyPair {
  readonly keyId: number;
  /** What the key entry holds. */
  readonly config: Uint8Array<ArrayBuffer>;
  readonly suite: Suite;
  #pair: KeyPair<SuiteKey> | null;

  private constructor(keyId: number, config: Uint8Array<ArrayBuffer>, chosen: Suite, pair: KeyPair<SuiteKey>) {
    this.keyId = keyId;
    this.config = config;
    this.suite = chosen;
    this.#pair = pair;
  }

  static async of(chosen: Suite, keyId: number, pair: KeyPair<SuiteKey>): Promise<SealingKeyPair> {
    const publicKey = bytes(await chosen.hpke.SerializePublicKey(pair.publicKey), 32, 'publicKey');
    return new SealingKeyPair(keyId, encodeKeyConfig({ keyId, publicKey }, chosen.aead.id), chosen, pair);
  }

  /** RFC 9180 SetupBaseR. @throws ServiceError SEALING_KEY_UNKNOWN once erased; what the library throws for a bad `enc` */
  async setup(enc: Uint8Array, info: Uint8Array): Promise<RecipientContext> {
    if (!this.#pair) throw new ServiceError('SEALING_KEY_UNKNOWN', 'keyId: erased', { field: 'keyId' });
    return this.suite.hpke.SetupRecipient(this.#pair, enc, { info });
  }

  /**
   * Gives up the private half; requests that are already open keep their own keys. The key was never exported, so it is
   * in the crypto library's memory alone, which wipes it when the garbage collector lets it go.
   */
  erase(): void {
    this.#pair = null;
  }
}

/** @param keyId 0 to 255 */
export async function generateSealingKey(keyId: number): Promise<SealingKeyPair> {
  const chosen = suite();
  return SealingKeyPair.of(chosen, keyId, await chosen.hpke.GenerateKeyPair());
}
