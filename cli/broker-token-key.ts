import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject, webcrypto } from 'node:crypto';
import type { TokenKey } from '@veritee/client';
import { fromUtf8 } from '@veritee/protocol';
import { InputError } from './exit.ts';
import { readInput } from './io.ts';

const ES256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

export const generateTokenKey = (): Promise<TokenKey> => webcrypto.subtle.generateKey(ES256, false, ['sign', 'verify']);

/** A private JWK on P-256. @throws InputError USAGE, FILE_UNREADABLE */
export async function readTokenKey(file: string): Promise<TokenKey> {
  const privateKey = keyOf(await readInput(file));
  if (privateKey?.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new InputError('USAGE', `${file}: want a private JWK on the curve P-256`, { field: file });
  const imported = (key: KeyObject, use: 'sign' | 'verify') =>
    webcrypto.subtle.importKey('jwk', key.export({ format: 'jwk' }) as webcrypto.JsonWebKey, ES256, false, [use]);
  return {
    privateKey: await imported(privateKey, 'sign'),
    publicKey: await imported(createPublicKey(privateKey), 'verify'),
  };
}

/** What is wrong with it is not said in detail: it is a key. */
function keyOf(content: Uint8Array): KeyObject | null {
  try {
    return createPrivateKey({ key: JSON.parse(fromUtf8(content)) as JsonWebKey, format: 'jwk' });
  } catch {
    return null;
  }
}
