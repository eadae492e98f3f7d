import { createCipheriv } from 'node:crypto';
import { bytes, concat } from '../../protocol/bytes.ts';
import { encodeSealedModelHead, parseKeyId } from '../../protocol/sealed-model.ts';

/** One encrypted model file. */
export function seal(clear: Uint8Array, path: string, kid: string, key: Uint8Array, iv: Uint8Array): Uint8Array {
  const { head, aad } = encodeSealedModelHead({ keyId: parseKeyId(kid)!, path, iv: bytes(iv, 12, 'iv') }, clear.length);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
  return concat(head, cipher.update(clear), cipher.final(), cipher.getAuthTag());
}
