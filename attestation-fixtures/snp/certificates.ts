import { constants, createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
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
import {
  bitString,
  type Der,
  derNull,
  explicit,
  ia5String,
  integer,
  octetString,
  oid,
  printableString,
  sequence,
  set,
  time,
  utf8String,
} from '../der.ts';
import { PRODUCTS, type Product, requireLayout, type Tcb } from './products.ts';

export { type CertificateSpec, type Extension, encodeTbsCertificate, pem, publicKeyOf } from '../certificate.ts';

// The certificate and CRL profile of AMD's key distribution service (AMD 57230), byte for byte: order of names and
// extensions, string types, and the parts a strict RFC 5280 reader trips over (serial 0, a leaf without key usage, hwID
// without a DER tag).

export interface CrlSpec {
  readonly product: Product;
  readonly issuerPublicKey: Uint8Array;
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly { readonly serial: bigint; readonly date: Date }[];
  readonly signatureAlgorithm: Uint8Array;
}

const SHA384 = sequence(oid('2.16.840.1.101.3.4.2.2'), derNull());
const MGF1_SHA384 = sequence(oid('1.2.840.113549.1.1.8'), SHA384);

/**
 * RSASSA-PSS with SHA-384, MGF1-SHA-384 and a 48-byte salt (RFC 4055). Trailer field 1 is the default: AMD writes it out
 * in ARK and ASK and in VCEKs up to 2024, and leaves it out of CRLs and newer VCEKs.
 */
export const pssAlgorithm = (trailerField: 'written' | 'default'): Der =>
  sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(
      explicit(0, SHA384),
      explicit(1, MGF1_SHA384),
      explicit(2, integer(48)),
      ...(trailerField === 'written' ? [explicit(3, integer(1))] : []),
    ),
  );

/** AMD's distinguished name with the given common name: OU, C, L, ST, O, CN. */
export function amdName(commonName: string): Der {
  const attribute = (type: string, value: Der) => set(sequence(oid(type), value));
  return sequence(
    attribute('2.5.4.11', utf8String('Engineering')),
    attribute('2.5.4.6', printableString('US')),
    attribute('2.5.4.7', utf8String('Santa Clara')),
    attribute('2.5.4.8', utf8String('CA')),
    attribute('2.5.4.10', utf8String('Advanced Micro Devices')),
    attribute('2.5.4.3', utf8String(commonName)),
  );
}

/** SHA-1 of the RSAPublicKey, RFC 5280 §4.2.1.2 method 1; an identifier, not a security measure. */
function rsaKeyIdentifier(publicKey: Uint8Array): Der {
  const key = createPublicKey({ key: Buffer.from(publicKey), type: 'spki', format: 'der' });
  return new Uint8Array(
    createHash('sha1')
      .update(key.export({ type: 'pkcs1', format: 'der' }))
      .digest(),
  );
}

/** One unused bit also where DER would name two, as AMD writes it. */
const keyUsage = (bits: number) => criticalExtension('2.5.29.15', bitString(Uint8Array.of(bits), 1));
const crlOf = (product: Product) => crlDistributionPoint(`https://kdsintf.amd.com/vcek/v1/${product}/crl`);

function yearsAfter(date: Date, years: number): Date {
  const later = new Date(date);
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
}

export const arkSpec = (product: Product, arkPublicKey: Uint8Array): CertificateSpec => ({
  serial: PRODUCTS[product].arkSerial,
  issuer: amdName(`ARK-${product}`),
  subject: amdName(`ARK-${product}`),
  notBefore: PRODUCTS[product].arkNotBefore,
  notAfter: yearsAfter(PRODUCTS[product].arkNotBefore, 25),
  publicKey: arkPublicKey,
  extensions: [
    keyUsage(0b0000_0110), // keyCertSign, cRLSign
    subjectKeyIdentifier(rsaKeyIdentifier(arkPublicKey)),
    caConstraints(),
    crlOf(product),
  ],
  signatureAlgorithm: pssAlgorithm('written'),
});

export const askSpec = (product: Product, askPublicKey: Uint8Array, arkPublicKey: Uint8Array): CertificateSpec => ({
  serial: PRODUCTS[product].askSerial,
  issuer: amdName(`ARK-${product}`),
  subject: amdName(`SEV-${product}`),
  notBefore: PRODUCTS[product].askNotBefore,
  notAfter: yearsAfter(PRODUCTS[product].askNotBefore, 25),
  publicKey: askPublicKey,
  extensions: [
    subjectKeyIdentifier(rsaKeyIdentifier(askPublicKey)),
    authorityKeyIdentifier(rsaKeyIdentifier(arkPublicKey)),
    caConstraints(0),
    keyUsage(0b0000_0100), // keyCertSign
    crlOf(product),
  ],
  signatureAlgorithm: pssAlgorithm('written'),
});

export interface VcekFacts {
  readonly product: Product;
  readonly tcb: Tcb;
  /** CHIP_ID as in the report, 64 bytes; Turin certificates carry its first eight. */
  readonly chipId: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly notBefore: Date;
}

export const vcekSpec = (vcek: VcekFacts): CertificateSpec => ({
  serial: 0n,
  issuer: amdName(`SEV-${vcek.product}`),
  subject: amdName('SEV-VCEK'),
  notBefore: vcek.notBefore,
  notAfter: yearsAfter(vcek.notBefore, 7),
  publicKey: vcek.publicKey,
  extensions: vcekExtensions(vcek),
  signatureAlgorithm: pssAlgorithm('default'),
});

/** AMD's own extensions, 1.3.6.1.4.1.3704.1.*, in AMD's order, which differs between the two layouts. */
function vcekExtensions({ product, tcb, chipId }: VcekFacts): readonly Extension[] {
  requireLayout(product, tcb);
  const { structVersion, certificateName, chipIdLength } = PRODUCTS[product];
  const amd = (suffix: string, value: Uint8Array) => extension(`1.3.6.1.4.1.3704.1.${suffix}`, value);
  const spl = (n: number, value: number) => amd(`3.${n}`, integer(value));
  const reserved = (...numbers: readonly number[]) => numbers.map((n) => spl(n, 0));
  return [
    amd('1', integer(structVersion)),
    amd('2', ia5String(certificateName)),
    ...(tcb.layout === 'turin' ? [spl(9, tcb.fmc)] : []),
    spl(1, tcb.bootloader),
    spl(2, tcb.tee),
    ...(tcb.layout === 'turin' ? [spl(3, tcb.snp), ...reserved(5, 6, 7)] : [...reserved(4, 5, 6, 7), spl(3, tcb.snp)]),
    spl(8, tcb.microcode),
    amd('4', chipId.slice(0, chipIdLength)), // hwID: raw bytes, no DER tag
  ];
}

export function encodeTbsCrl(spec: CrlSpec): Der {
  const entries = spec.revoked.map(({ serial, date }) => sequence(integer(serial), time(date)));
  const encode = ({ oid: id, value }: Extension) => sequence(oid(id), octetString(value));
  return sequence(
    integer(1), // CRL version 2
    spec.signatureAlgorithm,
    amdName(`ARK-${spec.product}`),
    time(spec.thisUpdate),
    time(spec.nextUpdate),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    explicit(
      0,
      sequence(
        encode(authorityKeyIdentifier(rsaKeyIdentifier(spec.issuerPublicKey))),
        encode(extension('2.5.29.20', integer(spec.number))),
      ),
    ),
  );
}

function signPss(tbs: Uint8Array, signatureAlgorithm: Uint8Array, issuerKey: KeyObject): Der {
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const signature = sign('sha384', tbs, { key: issuerKey, padding, saltLength: 48 });
  return signedDer(tbs, signatureAlgorithm, signature);
}

/** Signs the certificate with RSASSA-PSS, SHA-384, salt 48: the only way AMD's ARK and ASK sign. */
export const issueCertificate = (spec: CertificateSpec, issuerKey: KeyObject): Der =>
  signPss(encodeTbsCertificate(spec), spec.signatureAlgorithm, issuerKey);

/** Signs the CRL likewise; the issuer is the ARK, which lists intermediates only. */
export const issueCrl = (spec: CrlSpec, arkKey: KeyObject): Der =>
  signPss(encodeTbsCrl(spec), spec.signatureAlgorithm, arkKey);
