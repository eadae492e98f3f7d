/**
 * X.509 certificates of AMD's fixed profile: version 3, RSASSA-PSS signatures, RSA or P-384 keys (RFC 5280 §4.1). Reads
 * shape only; who may sign what is decided in `snp/chain.ts`.
 */
import { type Bytes, equalBytes, sha256 } from '@veritee/protocol';
import { ByteCache } from '../byte-cache.ts';
import { verifyRsaPssSha384 } from '../crypto.ts';
import { DerReader, TAG } from './der.ts';
import { type Extension, readExtensions, readName } from './fields.ts';
import { readInnerAlgorithm, readSignedFrame } from './signed.ts';

const MAX_CERTIFICATE_BYTES = 16_384;
const MAX_SERIAL = 1n << 159n; // 20 octets, positive (RFC 5280 §4.1.2.2)
const VERSION_3 = 2;
const OID_RSA = '1.2.840.113549.1.1.1';
const OID_EC = '1.2.840.10045.2.1';
const OID_P384 = '1.3.132.0.34';

export type PublicKey =
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponent: number }
  | { readonly kind: 'ec'; readonly curve: 'P-384' };

export interface Certificate {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly tbs: Uint8Array<ArrayBuffer>;
  readonly serial: bigint;
  readonly issuerDer: Uint8Array<ArrayBuffer>;
  readonly subjectDer: Uint8Array<ArrayBuffer>;
  readonly issuerCN: string;
  readonly subjectCN: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array<ArrayBuffer>;
  readonly key: PublicKey;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly extensions: ReadonlyMap<string, Extension>;
  /** SHA-256 of the DER. */
  readonly fingerprint: Bytes<32>;
}

function readKey(spki: DerReader): PublicKey {
  const algorithm = spki.open(TAG.sequence, 'key algorithm');
  const oid = algorithm.oid('key algorithm');
  if (oid === OID_RSA) {
    if (algorithm.read(TAG.null, 'key parameters').length !== 0) algorithm.fail('key parameters: want NULL');
    algorithm.end('key parameters');
    const body = spki.inside(spki.bitString('RSA key'));
    const key = body.open(TAG.sequence, 'RSA key');
    body.end('RSA key');
    const bits = key.integer('RSA modulus').toString(2).length;
    const exponent = key.small('RSA exponent', 0xffff_ffff);
    key.end('RSA key');
    return { kind: 'rsa', bits, exponent };
  }
  if (oid !== OID_EC || algorithm.oid('key curve') !== OID_P384) return spki.fail('key: want RSA or P-384');
  algorithm.end('key curve');
  const point = spki.bitString('P-384 key');
  if (point.length !== 97 || point[0] !== 0x04) spki.fail('P-384 key: want an uncompressed point');
  return { kind: 'ec', curve: 'P-384' };
}

function parse(input: Uint8Array, field: string): Certificate {
  const der = new Uint8Array(input);
  const frame = readSignedFrame(der, 'ENDORSEMENT_MALFORMED', field, MAX_CERTIFICATE_BYTES);
  const tbs = new DerReader(frame.tbs, 'ENDORSEMENT_MALFORMED', field).open(TAG.sequence, 'to-be-signed part');

  const version = tbs.open(TAG.context0, 'version');
  if (version.small('version', VERSION_3) !== VERSION_3) tbs.fail('version: want 3');
  version.end('version');
  const serial = tbs.integer('serial number');
  if (serial >= MAX_SERIAL) tbs.fail('serial number: more than 20 octets');
  readInnerAlgorithm(tbs, frame);
  const issuer = readName(tbs, 'issuer');
  const validity = tbs.open(TAG.sequence, 'validity');
  const notBefore = validity.time('notBefore');
  const notAfter = validity.time('notAfter');
  validity.end('validity');
  if (notAfter < notBefore) tbs.fail('validity: ends before it begins');
  const subject = readName(tbs, 'subject');
  const spki = tbs.readWhole(TAG.sequence, 'public key');
  const keyReader = tbs.inside(spki).open(TAG.sequence, 'public key');
  const key = readKey(keyReader);
  keyReader.end('public key');
  // Unique identifiers ([1], [2]) have no place in this profile: the next element must be the extensions.
  const wrapper = tbs.open(TAG.context3, 'extensions');
  tbs.end('extensions');
  const extensions = readExtensions(wrapper.open(TAG.sequence, 'extensions'), 'extensions');
  wrapper.end('extensions');

  let fingerprint: Bytes<32> | null = null;
  return {
    der,
    tbs: frame.tbs,
    serial,
    issuerDer: issuer.der,
    subjectDer: subject.der,
    issuerCN: issuer.commonName,
    subjectCN: subject.commonName,
    notBefore,
    notAfter,
    spki: new Uint8Array(spki),
    key,
    signature: frame.signature,
    extensions,
    // Few need it, and hashing costs as much as reading all the rest.
    get fingerprint() {
      fingerprint ??= sha256(der);
      return fingerprint;
    },
  };
}

const parsed = new ByteCache<Certificate>(1024);

/**
 * Decode one certificate. Shape only: nothing in it is trusted until its signature leads to an anchor.
 *
 * @throws EvidenceError ENDORSEMENT_MALFORMED anything but the strict DER of this profile
 */
export function parseCertificate(der: Uint8Array, field: string): Certificate {
  const known = parsed.get(der);
  if (known) return known;
  const certificate = parse(der, field);
  parsed.set(der, certificate);
  return certificate;
}

/** The key that signed a certificate. Only a yes is remembered: it holds for these bytes for ever. */
const signers = new WeakMap<Certificate, Uint8Array>();

/** Whether this key is already known to have signed the certificate. */
export function isKnownSigner(certificate: Certificate, issuerSpki: Uint8Array): boolean {
  const signer = signers.get(certificate);
  return signer !== undefined && equalBytes(signer, issuerSpki);
}

/**
 * Whether this key signed the certificate.
 * @param verify the signature algorithm of the certificate's profile
 */
export async function verifyCertificateSignature(
  certificate: Certificate,
  issuerSpki: Uint8Array,
  verify = verifyRsaPssSha384,
): Promise<boolean> {
  if (isKnownSigner(certificate, issuerSpki)) return true;
  const good = await verify(issuerSpki, certificate.signature, certificate.tbs);
  if (good) signers.set(certificate, new Uint8Array(issuerSpki));
  return good;
}
