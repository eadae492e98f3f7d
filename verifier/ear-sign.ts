import { utf8 } from '@veritee/protocol';
import { CompactSign, type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import type { EarClaims } from './ear.ts';

export type { JWK };

export type EarAlgorithm = 'ES256' | 'ES384';

/**
 * A claims set as a signed JWT (RFC 7515 compact form). The header names the key by `kid` and never carries it: readers
 * exist that believe a key they find there.
 *
 * @param key a private key on P-256 for ES256, on P-384 for ES384
 * @param kid default: the JWK's own, else its RFC 7638 thumbprint; a CryptoKey has none
 * @throws TypeError a key that cannot sign with `alg`
 */
export async function signEar(
  claims: EarClaims,
  key: JWK | CryptoKey,
  alg: EarAlgorithm,
  kid?: string,
): Promise<string> {
  try {
    const isJwk = 'kty' in key;
    const name = kid ?? (isJwk ? (key.kid ?? (await calculateJwkThumbprint(key))) : undefined);
    const header = { alg, typ: 'JWT', ...(name !== undefined && { kid: name }) };
    const signing = isJwk ? await importJWK(key, alg) : key;
    return await new CompactSign(utf8(JSON.stringify(claims))).setProtectedHeader(header).sign(signing);
  } catch (cause) {
    throw new TypeError(`key: want a private key for ${alg}`, { cause });
  }
}
