import { createHash, type KeyObject, sign } from 'node:crypto';
import { hex } from '@veritee/protocol';
import {
  authorityKeyIdentifier,
  type CertificateSpec,
  caConstraints,
  criticalExtension,
  crlDistributionPoint,
  type Extension,
  encodeTbsCertificate,
  extension,
  signedDer,
  subjectKeyIdentifier,
} from '../certificate.ts';
import { bitString, type Der, oid, printableString, sequence, set, utf8String } from '../der.ts';

// The certificate profile of the AWS Nitro Enclaves PKI as measured on 82 real chains from 2021 to 2026, byte for byte:
// order of name parts and of extensions differs from level to level.

/** From the root down; a document carries the leaf as `certificate` and the others, root first, as `cabundle`. */
export const NITRO_LEVELS = ['root', 'regional', 'zonal', 'instance', 'leaf'] as const;
export type NitroLevel = (typeof NITRO_LEVELS)[number];

/** The names in one chain. */
export interface NitroIdentity {
  /** `us-east-1` */
  readonly region: string;
  /** Up to 16 hex digits before the region in the names of the two upper intermediates. */
  readonly regionalId: string;
  readonly zonalId: string;
  /** UUID in the address of the CRL that lists zonal certificates. */
  readonly zonalCrl: string;
  /** `i-` and 17 hex digits: the EC2 instance on which the enclave runs. */
  readonly instanceId: string;
  /** 16 hex digits: the launch time in ms, 48 bits, then 16 others. */
  readonly enclaveId: string;
}

/** `module_id` of the document. */
export const moduleIdOf = ({ instanceId, enclaveId }: NitroIdentity): string => `${instanceId}-enc${enclaveId}`;

/** What differs between two certificates of one level and identity. */
export interface CertificateFacts {
  readonly serial: bigint;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

const ecdsaWith = (hash: number): Der => sequence(oid(`1.2.840.10045.4.3.${hash}`)); // RFC 5758 §3.2
export const ECDSA_SHA256 = ecdsaWith(2);
export const ECDSA_SHA384 = ecdsaWith(3);
export const ECDSA_SHA512 = ecdsaWith(4);
const HASH = new Map([
  [hex(ECDSA_SHA256), 'sha256'],
  [hex(ECDSA_SHA384), 'sha384'],
  [hex(ECDSA_SHA512), 'sha512'],
]);

const attribute = (type: string, value: Der): Der => set(sequence(oid(type), value));
const commonName = (text: string): Der => attribute('2.5.4.3', utf8String(text));
const country = attribute('2.5.4.6', printableString('US'));
const locality = attribute('2.5.4.7', utf8String('Seattle'));
const state = (text: string): Der => attribute('2.5.4.8', utf8String(text));
const organisation = attribute('2.5.4.10', utf8String('Amazon'));
const unit = attribute('2.5.4.11', utf8String('AWS'));

/** Distinguished names, each level with the order and spelling it really has. */
export const nitroName = {
  root: (): Der => sequence(country, organisation, unit, commonName('aws.nitro-enclaves')),
  regional: ({ regionalId, region }: NitroIdentity): Der =>
    sequence(country, organisation, unit, commonName(`${regionalId}.${region}.aws.nitro-enclaves`)),
  zonal: ({ zonalId, region }: NitroIdentity): Der =>
    sequence(
      commonName(`${zonalId}.zonal.${region}.aws.nitro-enclaves`),
      ...[unit, organisation, country, state('WA'), locality],
    ),
  instance: ({ instanceId, region }: NitroIdentity): Der => hostName(`${instanceId}.${region}.aws.nitro-enclaves`),
  leaf: (identity: NitroIdentity): Der => hostName(`${moduleIdOf(identity)}.${identity.region}.aws`),
} as const;

function hostName(text: string): Der {
  return sequence(country, state('Washington'), locality, organisation, unit, commonName(text));
}

const P384_POINT_BYTES = 97;

/** SHA-1 of the public key's point, RFC 5280 §4.2.1.2 method 1; an identifier, not a security measure. */
const keyIdentifier = (publicKey: Uint8Array): Der =>
  new Uint8Array(createHash('sha1').update(publicKey.subarray(-P384_POINT_BYTES)).digest());

const subjectKey = (publicKey: Uint8Array) => subjectKeyIdentifier(keyIdentifier(publicKey));
const authorityKey = (publicKey: Uint8Array) => authorityKeyIdentifier(keyIdentifier(publicKey));

const KEY_USAGE = '2.5.29.15';
/** digitalSignature, keyCertSign, cRLSign */
const signCertificatesAndCrls = criticalExtension(KEY_USAGE, bitString(Uint8Array.of(0b1000_0110), 1));
const signCertificates = criticalExtension(KEY_USAGE, bitString(Uint8Array.of(0b0000_0100), 2));
/** digitalSignature, nonRepudiation; not critical, against RFC 5280 §4.2.1.3 */
const signDocuments = extension(KEY_USAGE, bitString(Uint8Array.of(0b1100_0000), 6));
const notCa: Extension = criticalExtension('2.5.29.19', sequence());

const rootCrl = 'http://aws-nitro-enclaves-crl.s3.amazonaws.com/crl/ab4960cc-7d63-42bd-9e9f-59338cb67f84.crl';
const zonalCrl = ({ region, zonalCrl: id }: NitroIdentity) =>
  `http://crl-${region}-aws-nitro-enclaves.s3.${region}.amazonaws.com/crl/${id}.crl`;

type Above = Pick<CertificateSpec, 'subject' | 'publicKey'>;

const spec = (
  facts: CertificateFacts,
  issuer: Uint8Array,
  subject: Uint8Array,
  ...extensions: readonly Extension[]
): CertificateSpec => ({ ...facts, issuer, subject, extensions, signatureAlgorithm: ECDSA_SHA384 });

/** Serial number and dates are those of AWS's own root G1. */
export const rootSpec = (publicKey: Uint8Array): CertificateSpec =>
  spec(
    {
      serial: 0xf93175681b90afe11d46ccb4e4e7f856n,
      notBefore: new Date('2019-10-28T13:28:05Z'),
      notAfter: new Date('2049-10-28T14:28:05Z'),
      publicKey,
    },
    nitroName.root(),
    nitroName.root(),
    ...[caConstraints(), subjectKey(publicKey), signCertificatesAndCrls],
  );

export const regionalSpec = (facts: CertificateFacts, identity: NitroIdentity, root: Above): CertificateSpec =>
  spec(
    facts,
    root.subject,
    nitroName.regional(identity),
    ...[caConstraints(2), authorityKey(root.publicKey), subjectKey(facts.publicKey)],
    ...[signCertificatesAndCrls, crlDistributionPoint(rootCrl)],
  );

export const zonalSpec = (facts: CertificateFacts, identity: NitroIdentity, regional: Above): CertificateSpec =>
  spec(
    facts,
    regional.subject,
    nitroName.zonal(identity),
    ...[caConstraints(1), authorityKey(regional.publicKey), subjectKey(facts.publicKey)],
    ...[signCertificatesAndCrls, crlDistributionPoint(zonalCrl(identity))],
  );

/** @param keyIdentifiers `absent` as until the middle of 2024 */
export const instanceSpec = (
  facts: CertificateFacts,
  identity: NitroIdentity,
  zonal: Above,
  keyIdentifiers: 'present' | 'absent' = 'present',
): CertificateSpec =>
  spec(
    facts,
    zonal.subject,
    nitroName.instance(identity),
    ...[caConstraints(0), signCertificates],
    ...(keyIdentifiers === 'present' ? [subjectKey(facts.publicKey), authorityKey(zonal.publicKey)] : []),
  );

export const leafSpec = (facts: CertificateFacts, identity: NitroIdentity, instance: Above): CertificateSpec =>
  spec(facts, instance.subject, nitroName.leaf(identity), notCa, signDocuments);

/** Serial number of a leaf: enclave id, 32 zero bits, time of issue in seconds. */
export const leafSerial = ({ enclaveId }: NitroIdentity, issued: Date): bigint =>
  (BigInt(`0x${enclaveId}`) << 64n) | BigInt(Math.floor(issued.getTime() / 1000));

/** Signs with the hash that the specification names, SHA-384 if it names none of ECDSA's. */
export function issueNitroCertificate(certificate: CertificateSpec, issuerKey: KeyObject): Der {
  const tbs = encodeTbsCertificate(certificate);
  const hash = HASH.get(hex(certificate.signatureAlgorithm)) ?? 'sha384';
  return signedDer(tbs, certificate.signatureAlgorithm, sign(hash, tbs, issuerKey));
}
