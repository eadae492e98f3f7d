import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign as nodeSign } from 'node:crypto';
import { bytes, CodedError, type Ed25519Key, ed25519Key, type Sign } from '@veritee/protocol';

export interface ArchiveKey {
  readonly publicKey: Ed25519Key;
  readonly sign: Sign;
}

/** PKCS #8 in PEM, to be kept from everybody else. */
export const newKeyFile = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

/** @throws CodedError ARCHIVE_INVALID not an Ed25519 private key */
export function readKeyFile(pem: string, name: string): ArchiveKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw notAKey(name, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw notAKey(name);
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    publicKey: ed25519Key(spki.subarray(-32), 'archive key'),
    sign: (message) => bytes(nodeSign(null, message, key), 64, 'signature'),
  };
}

const notAKey = (name: string, options: ErrorOptions = {}): CodedError =>
  new CodedError('ARCHIVE_INVALID', `${name}: want an Ed25519 private key, PKCS #8 in PEM`, {
    field: 'archive',
    ...options,
  });
