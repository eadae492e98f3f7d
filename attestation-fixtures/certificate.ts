import { createPublicKey, type KeyObject } from 'node:crypto';
import { utf8 } from '@veritee/protocol';
import { bitString, type Der, derTrue, explicit, integer, octetString, oid, sequence, time, tlv } from './der.ts';

// X.509 version 3 as far as the profiles of AMD and AWS share it; what each makes of it is in snp/ and nitro/.

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** What stands inside the extension's OCTET STRING. */
  readonly value: Uint8Array;
}

/** A certificate as plain data, so that a test can change one thing and have the result signed again. */
export interface CertificateSpec {
  readonly serial: bigint;
  /** Names as DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly extensions: readonly Extension[];
  /** AlgorithmIdentifier as DER; stands in both places. */
  readonly signatureAlgorithm: Uint8Array;
}

/** A certificate with the key it certifies. */
export interface Issuer {
  readonly privateKey: KeyObject;
  readonly certificate: Der;
}

export const extension = (id: string, value: Uint8Array): Extension => ({ oid: id, critical: false, value });
export const criticalExtension = (id: string, value: Uint8Array): Extension => ({ oid: id, critical: true, value });

/** `cA` TRUE; no path length is no limit. */
export const caConstraints = (pathLength?: number): Extension =>
  criticalExtension('2.5.29.19', sequence(derTrue(), ...(pathLength === undefined ? [] : [integer(pathLength)])));

export const subjectKeyIdentifier = (keyIdentifier: Uint8Array): Extension =>
  extension('2.5.29.14', octetString(keyIdentifier));

export const authorityKeyIdentifier = (keyIdentifier: Uint8Array): Extension =>
  extension('2.5.29.35', sequence(tlv(0x80, keyIdentifier)));

/** One URI, as a GeneralName [6] IMPLICIT IA5String. */
export const crlDistributionPoint = (uri: string): Extension =>
  extension('2.5.29.31', sequence(sequence(explicit(0, explicit(0, tlv(0x86, utf8(uri)))))));

export function encodeTbsCertificate(spec: CertificateSpec): Der {
  const extensions = spec.extensions.map(({ oid: id, critical, value }) =>
    sequence(oid(id), ...(critical ? [derTrue()] : []), octetString(value)),
  );
  return sequence(
    explicit(0, integer(2)), // X.509 version 3
    integer(spec.serial),
    spec.signatureAlgorithm,
    spec.issuer,
    sequence(time(spec.notBefore), time(spec.notAfter)),
    spec.subject,
    spec.publicKey,
    ...(extensions.length > 0 ? [explicit(3, sequence(...extensions))] : []),
  );
}

/** The outer SEQUENCE of a certificate or CRL. */
export const signedDer = (tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Der =>
  sequence(tbs, signatureAlgorithm, bitString(signature));

/** SubjectPublicKeyInfo of a private or public key. */
export function publicKeyOf(key: KeyObject): Der {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
}

/** PEM with lines of 64 characters (RFC 7468), each ended by one line feed. */
export function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
