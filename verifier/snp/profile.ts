/**
 * AMD's certificate profile: who may be which certificate of a chain. Signatures are `chain.ts`'s affair.
 *
 * ```
 * ARK-<product>        serial > 0   RSA-4096   CA, keyCertSign and cRLSign   signs itself, ASK, ASVK, the CRL
 * SEV-<product>        serial > 0   RSA-4096   CA, pathLen 0, keyCertSign    ASK, signs VCEKs
 * SEV-VLEK-<product>   serial > 0   RSA-4096   CA, pathLen 0, keyCertSign    ASVK, signs VLEKs
 * SEV-VCEK, SEV-VLEK   serial any   P-384      AMD's own extensions          sign reports
 * ```
 * @see AMD 57230, VCEK and VLEK certificates
 */
import { concat, equalBytes, utf8 } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { Certificate } from '../x509/certificate.ts';
import { TAG, tlv } from '../x509/der.ts';
import type { SnpProduct } from './tcb.ts';

const OID_KEY_USAGE = '2.5.29.15';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';

export type SignerKind = 'VCEK' | 'VLEK';

export type Role =
  | { readonly role: 'leaf'; readonly signer: SignerKind }
  | { readonly role: 'intermediate'; readonly signer: SignerKind; readonly product: SnpProduct }
  | { readonly role: 'root'; readonly product: SnpProduct };

export type IntermediateRole = Extract<Role, { readonly role: 'intermediate' }>;

const NAMES: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['SEV-VCEK', { role: 'leaf', signer: 'VCEK' }],
  ['SEV-VLEK', { role: 'leaf', signer: 'VLEK' }],
  ...(['Milan', 'Genoa', 'Turin'] as const).flatMap((product): [string, Role][] => [
    [`SEV-${product}`, { role: 'intermediate', signer: 'VCEK', product }],
    [`SEV-VLEK-${product}`, { role: 'intermediate', signer: 'VLEK', product }],
    [`ARK-${product}`, { role: 'root', product }],
  ]),
]);

/** What a common name claims to be; null for a name that is not AMD's. Whole names only: `SEV-VCEK` contains `SEV-`. */
export const roleOfName = (commonName: string): Role | null => NAMES.get(commonName) ?? null;

const attribute = (type: number, tag: number, text: string): Uint8Array<ArrayBuffer> =>
  tlv(TAG.set, tlv(TAG.sequence, tlv(TAG.oid, Uint8Array.of(0x55, 0x04, type)), tlv(tag, utf8(text))));

// AMD's order and string types; only the common name differs from certificate to certificate.
const NAME_PREFIX = concat(
  attribute(11, TAG.utf8String, 'Engineering'), // OU
  attribute(6, TAG.printableString, 'US'), // C
  attribute(7, TAG.utf8String, 'Santa Clara'), // L
  attribute(8, TAG.utf8String, 'CA'), // ST
  attribute(10, TAG.utf8String, 'Advanced Micro Devices'), // O
);

/** The one DER encoding of AMD's name with this common name. */
export const amdName = (commonName: string): Uint8Array<ArrayBuffer> =>
  tlv(TAG.sequence, NAME_PREFIX, attribute(3, TAG.utf8String, commonName));

function refuse(certificate: Certificate, expected: string, actual: string): never {
  const field = certificate.subjectCN;
  throw new CheckFailure('CERTIFICATE_INVALID', `${field} with ${expected}`, actual, { field });
}

/** Exact bytes on both sides: what the child calls its issuer is what the parent calls itself. */
function refuseUnlessNamed(certificate: Certificate, issuerCN: string): void {
  if (!equalBytes(certificate.subjectDer, amdName(certificate.subjectCN))) {
    refuse(certificate, "AMD's name as its subject", 'another name');
  }
  if (!equalBytes(certificate.issuerDer, amdName(issuerCN))) {
    refuse(certificate, `the issuer ${issuerCN} under AMD's name`, certificate.issuerCN);
  }
}

/** Extensions that are understood may be critical; any other critical one means rules we cannot follow. */
function refuseUnknownCritical(certificate: Certificate, known: readonly string[]): void {
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !known.includes(oid)) refuse(certificate, 'known critical extensions only', oid);
  }
}

const CA_NO_PATH_LENGTH = Uint8Array.of(0x30, 0x03, 0x01, 0x01, 0xff);
const CA_PATH_LENGTH_0 = Uint8Array.of(0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00);
const KEY_CERT_SIGN = 0b0000_0100;
const CRL_SIGN = 0b0000_0010;

function refuseUnlessAuthority(certificate: Certificate, constraints: Uint8Array, usage: number): void {
  const { key, serial, extensions } = certificate;
  if (key.kind !== 'rsa' || key.bits !== 4096 || key.exponent !== 65537) {
    refuse(certificate, 'an RSA-4096 key with exponent 65537', key.kind === 'rsa' ? `RSA-${key.bits}` : key.curve);
  }
  if (serial === 0n) refuse(certificate, 'a serial number above 0', '0');
  const basic = extensions.get(OID_BASIC_CONSTRAINTS);
  if (!basic?.critical || !equalBytes(basic.value, constraints)) {
    refuse(certificate, 'the basic constraints of its place in the chain', basic ? 'others' : 'none');
  }
  // AMD leaves one trailing zero bit in the ASK's bit string, so the number of unused bits is not compared.
  const keyUsage = extensions.get(OID_KEY_USAGE);
  const [tag, length, unused, bits] = keyUsage?.value ?? [];
  const wellFormed = tag === 0x03 && length === 2 && keyUsage?.value.length === 4 && unused !== undefined && unused < 8;
  if (!keyUsage?.critical || !wellFormed || bits !== usage || (usage & ((1 << unused) - 1)) !== 0) {
    refuse(certificate, 'the key usage of its place in the chain', keyUsage ? 'another' : 'none');
  }
  refuseUnknownCritical(certificate, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]);
}

/** @throws CheckFailure CERTIFICATE_INVALID */
export function refuseUnlessArk(certificate: Certificate): void {
  if (roleOfName(certificate.subjectCN)?.role !== 'root') {
    refuse(certificate, 'the name of an ARK', certificate.subjectCN);
  }
  refuseUnlessNamed(certificate, certificate.subjectCN);
  refuseUnlessAuthority(certificate, CA_NO_PATH_LENGTH, KEY_CERT_SIGN | CRL_SIGN);
}

/** ASK or ASVK. @throws CheckFailure CERTIFICATE_INVALID */
export function refuseUnlessIntermediate(certificate: Certificate): void {
  const role = roleOfName(certificate.subjectCN);
  const arkCN =
    role?.role === 'intermediate'
      ? `ARK-${role.product}`
      : refuse(certificate, 'the name of an ASK or ASVK', certificate.subjectCN);
  refuseUnlessNamed(certificate, arkCN);
  refuseUnlessAuthority(certificate, CA_PATH_LENGTH_0, KEY_CERT_SIGN);
}

/** VCEK or VLEK, apart from AMD's own extensions. @throws CheckFailure CERTIFICATE_INVALID */
export function refuseUnlessLeaf(certificate: Certificate, issuerCN: string, amdExtensions: readonly string[]): void {
  refuseUnlessNamed(certificate, issuerCN);
  const { key, extensions } = certificate;
  if (key.kind !== 'ec') refuse(certificate, 'a P-384 key', `RSA-${key.bits}`);
  // The serial number is 0 on every leaf AMD signs; it tells nothing apart, so it is not compared.
  for (const oid of [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]) {
    if (extensions.has(oid)) refuse(certificate, 'no extension of a certificate authority', oid);
  }
  refuseUnknownCritical(certificate, amdExtensions);
}
