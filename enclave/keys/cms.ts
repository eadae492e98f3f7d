/**
 * Opens the `CiphertextForRecipient` of AWS KMS: CMS EnvelopedData (RFC 5652 §6) in BER or DER, its content key under
 * RSAES-OAEP with SHA-256 (RFC 4055 §4.1, MGF1 with SHA-256), its content under AES-256-CBC (RFC 3565).
 *
 * CBC authenticates nothing. What makes the key right is TLS to KMS, and in the end that a model file opens under it.
 */
import { constants, createDecipheriv, type KeyObject, privateDecrypt } from 'node:crypto';
import { ContentInfo, EnvelopedData } from '@peculiar/asn1-cms';
import { AsnConvert } from '@peculiar/asn1-schema';
import { concat } from '@veritee/protocol';
import { invalidAnswer } from './provider.ts';

const MAX_BYTES = 8192;
const ENVELOPED_DATA = '1.2.840.113549.1.7.3';
const RSAES_OAEP = '1.2.840.113549.1.1.7';
const AES_256_CBC = '2.16.840.1.101.3.4.1.42';
const IV_BYTES = 16;
const OCTET_STRING_OF_16 = Uint8Array.of(0x04, IV_BYTES);

interface Envelope {
  readonly wrappedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/**
 * Shape only.
 * @throws ServiceError BROKER_ANSWER_INVALID anything but EnvelopedData for one RSAES-OAEP recipient
 */
export function parseEnvelopedData(ber: Uint8Array): Envelope {
  if (ber.length > MAX_BYTES) throw invalidAnswer(`CiphertextForRecipient: longer than ${MAX_BYTES} bytes`);
  let envelope: Envelope | null;
  try {
    envelope = read(ber);
  } catch (cause) {
    throw invalidAnswer('CiphertextForRecipient: not CMS EnvelopedData', cause); // the library throws many kinds
  }
  if (!envelope) throw invalidAnswer('CiphertextForRecipient: want one RSAES-OAEP recipient and AES-256-CBC');
  return envelope;
}

function read(ber: Uint8Array): Envelope | null {
  const { contentType, content } = AsnConvert.parse(ber, ContentInfo);
  if (contentType !== ENVELOPED_DATA) return null;
  const { recipientInfos, encryptedContentInfo } = AsnConvert.parse(content, EnvelopedData);
  const recipient = recipientInfos.length === 1 ? recipientInfos[0]?.ktri : undefined;
  const { algorithm, parameters } = encryptedContentInfo.contentEncryptionAlgorithm;
  const iv = new Uint8Array(parameters ?? new ArrayBuffer(0));
  if (
    recipient?.keyEncryptionAlgorithm.algorithm !== RSAES_OAEP ||
    algorithm !== AES_256_CBC ||
    iv.length !== OCTET_STRING_OF_16.length + IV_BYTES ||
    !OCTET_STRING_OF_16.every((byte, i) => iv[i] === byte)
  )
    return null;
  const { value, constructedValue } = encryptedContentInfo.encryptedContent ?? {};
  const pieces = constructedValue ?? (value ? [value] : []);
  return {
    wrappedKey: new Uint8Array(recipient.encryptedKey.buffer),
    iv: iv.subarray(OCTET_STRING_OF_16.length),
    ciphertext: Buffer.concat(pieces.map(({ buffer }) => new Uint8Array(buffer))),
  };
}

/** The plaintext, for the caller to wipe. @throws ServiceError BROKER_ANSWER_INVALID */
export function openEnvelopedData(ber: Uint8Array, privateKey: KeyObject): Uint8Array {
  const { wrappedKey, iv, ciphertext } = parseEnvelopedData(ber);
  let contentKey: Buffer | undefined;
  try {
    // The parameters of RSAES-OAEP are not read: with another hash than SHA-256 nothing comes out.
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    contentKey = privateDecrypt({ key: privateKey, padding, oaepHash: 'sha256' }, wrappedKey);
    const decipher = createDecipheriv('aes-256-cbc', contentKey, iv);
    const parts = [decipher.update(ciphertext), decipher.final()];
    const plaintext = concat(...parts);
    for (const part of parts) part.fill(0);
    return plaintext;
  } catch (cause) {
    throw invalidAnswer('CiphertextForRecipient: does not open under the key of this exchange', cause);
  } finally {
    contentKey?.fill(0);
  }
}
