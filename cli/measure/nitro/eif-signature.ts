/**
 * The signature section of an enclave image: CBOR `[{signing_certificate, signature}]`, the certificate in PEM, the
 * signature a COSE_Sign1 (RFC 9052 §4.2) over CBOR `{register_index: 0, register_value: PCR0}`. AWS's tools write byte
 * strings as arrays of integers. PCR8 is what a policy can hold on to: anyone can sign an image with some certificate.
 */
import { type KeyObject, verify, X509Certificate } from 'node:crypto';
import { type Bytes, type Cbor, type CborKey, EvidenceError, encodeCbor, equalBytes } from '@veritee/protocol';
import { decodeNsmCbor } from '@veritee/verifier';

/** COSE algorithm and hash for each curve (RFC 9053 §2.1). */
const ALGORITHMS = new Map<string | undefined, { readonly cose: number; readonly hash: string }>([
  ['prime256v1', { cose: -7, hash: 'sha256' }],
  ['secp384r1', { cose: -35, hash: 'sha384' }],
  ['secp521r1', { cose: -36, hash: 'sha512' }],
]);
const HEADER_ALG = 1;
const TAG_SIGN1 = 0xd2; // tag 18, which AWS's tools leave out

function refuse(code: 'EVIDENCE_MALFORMED' | 'SIGNATURE_INVALID', reason: string): never {
  throw new EvidenceError(code, `eif: signature: ${reason}`, { field: 'eif.signature' });
}

/**
 * @param section contents of the signature section
 * @returns the certificate whose key signed this image. Nothing says that it is anyone's in particular.
 * @throws EvidenceError EVIDENCE_MALFORMED not such a section; SIGNATURE_INVALID not over this image, or not by this key
 */
export function verifyEifSignature(section: Uint8Array, pcr0: Bytes<48>): X509Certificate {
  const entries = decodeNsmCbor(section, 'eif.signature');
  if (!Array.isArray(entries) || entries.length !== 1) return refuse('EVIDENCE_MALFORMED', 'want one signed register');
  const pem = byteString(member(entries[0], 'signing_certificate'));
  const certificate = readPemCertificate(Buffer.from(pem).toString('latin1'));
  if (!certificate) return refuse('EVIDENCE_MALFORMED', 'want a certificate in PEM');
  const payload = openSign1(byteString(member(entries[0], 'signature')), keyOf(certificate));
  const register = decodeNsmCbor(payload, 'eif.signature.payload');
  if (member(register, 'register_index') !== 0) return refuse('EVIDENCE_MALFORMED', 'want register 0');
  if (!equalBytes(byteString(member(register, 'register_value')), pcr0))
    return refuse('SIGNATURE_INVALID', 'over the PCR0 of another image');
  return certificate;
}

/** The first certificate of a PEM file, as AWS's tools read it; null where there is none. */
export function readPemCertificate(text: string): X509Certificate | null {
  const [block] = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(text) ?? [];
  if (block === undefined) return null;
  try {
    return new X509Certificate(block);
  } catch {
    return null;
  }
}

function member(value: Cbor | undefined, key: CborKey): Cbor {
  const found = value instanceof Map ? value.get(key) : undefined;
  return found === undefined ? refuse('EVIDENCE_MALFORMED', `want ${key}`) : found;
}

function byteString(value: Cbor): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const isByte = (one: Cbor): one is number => typeof one === 'number' && one >= 0 && one <= 0xff;
  if (!Array.isArray(value) || !value.every(isByte)) return refuse('EVIDENCE_MALFORMED', 'want bytes');
  return Uint8Array.from(value);
}

/** Null where the certificate's key cannot be read: node:crypto decodes it only when it is asked for. */
function keyOf(certificate: X509Certificate): KeyObject | null {
  try {
    return certificate.publicKey;
  } catch {
    return null;
  }
}

/** @returns the payload */
function openSign1(message: Uint8Array, key: KeyObject | null): Uint8Array {
  const parts = decodeNsmCbor(message[0] === TAG_SIGN1 ? message.subarray(1) : message, 'eif.signature.cose');
  if (!Array.isArray(parts) || parts.length !== 4) return refuse('EVIDENCE_MALFORMED', 'want COSE_Sign1');
  const [header, unprotected, payload, signature] = parts;
  if (!(header instanceof Uint8Array) || !(payload instanceof Uint8Array) || !(signature instanceof Uint8Array))
    return refuse('EVIDENCE_MALFORMED', 'want COSE_Sign1 with an attached payload');
  if (!(unprotected instanceof Map) || unprotected.size > 0)
    return refuse('EVIDENCE_MALFORMED', 'want an empty unprotected header');
  const algorithm = ALGORITHMS.get(key?.asymmetricKeyDetails?.namedCurve);
  if (!key || !algorithm || member(decodeNsmCbor(header, 'eif.signature.protected'), HEADER_ALG) !== algorithm.cose)
    return refuse('EVIDENCE_MALFORMED', 'want ECDSA with the hash that belongs to the curve');
  const signed = encodeCbor(['Signature1', header, new Uint8Array(), payload]);
  if (!verify(algorithm.hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature))
    return refuse('SIGNATURE_INVALID', 'not by the key of its certificate');
  return payload;
}
