/**
 * X.509 certificates of AWS's Nitro profile: version 3, P-384 keys, ecdsa-with-SHA384 (RFC 5280 §4.1, RFC 5480). The
 * sibling of `x509/certificate.ts`. Reads shape only; who may sign what is decided in `profile.ts` and `chain.ts`.
 */
import { type Bytes, equalBytes, sha256 } from '@veritee/protocol';
import { ByteCache } from '../byte-cache.ts';
import { verifyEcdsaP384Sha384 } from '../crypto.ts';
import { type Certificate, verifyCertificateSignature } from '../x509/certificate.ts';
import { DerReader, TAG, tlv } from '../x509/der.ts';
import { readEcdsaFrame } from '../x509/ecdsa.ts';
import { readExtensions, readName } from '../x509/fields.ts';
import { readInnerAlgorithm } from '../x509/signed.ts';

/** A document holds none that is longer; a root that stands alone is no longer either. */
const MAX_CERTIFICATE_BYTES = 1024;
/** 20 octets (RFC 5280 §4.1.2.2). AWS fills all 160 bits, which takes a 21st octet for the sign. */
const MAX_SERIAL = 1n << 160n;
const VERSION_3 = 2;

const OID_EC = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01);
const OID_P384 = Uint8Array.of(0x2b, 0x81, 0x04, 0x00, 0x22);
const P384_KEY = tlv(TAG.sequence, tlv(TAG.oid, OID_EC), tlv(TAG.oid, OID_P384));
const POINT_BYTES = 97;
const UNCOMPRESSED = 0x04;

function readKey(tbs: DerReader): Uint8Array<ArrayBuffer> {
  const whole = tbs.readWhole(TAG.sequence, 'public key');
  const spki = tbs.inside(whole).open(TAG.sequence, 'public key');
  if (!equalBytes(spki.readWhole(TAG.sequence, 'key algorithm'), P384_KEY)) tbs.fail('public key: want P-384');
  const point = spki.bitString('P-384 key');
  spki.end('public key');
  if (point.length !== POINT_BYTES || point[0] !== UNCOMPRESSED) tbs.fail('P-384 key: want an uncompressed point');
  return new Uint8Array(whole);
}

function parse(input: Uint8Array, field: string): Certificate {
  const der = new Uint8Array(input);
  const frame = readEcdsaFrame(der, 'ENDORSEMENT_MALFORMED', field, MAX_CERTIFICATE_BYTES);
  const tbs = new DerReader(frame.tbs, 'ENDORSEMENT_MALFORMED', field).open(TAG.sequence, 'to-be-signed part');

  const version = tbs.open(TAG.context0, 'version');
  if (version.small('version', VERSION_3) !== VERSION_3) tbs.fail('version: want 3');
  version.end('version');
  const serial = tbs.integer('serial number');
  if (serial === 0n || serial >= MAX_SERIAL) tbs.fail('serial number: want 1 to 20 octets, above zero');
  readInnerAlgorithm(tbs, frame);
  const issuer = readName(tbs, 'issuer');
  const validity = tbs.open(TAG.sequence, 'validity');
  const notBefore = validity.time('notBefore');
  const notAfter = validity.time('notAfter');
  validity.end('validity');
  if (notAfter < notBefore) tbs.fail('validity: ends before it begins');
  const subject = readName(tbs, 'subject');
  const spki = readKey(tbs);
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
    spki,
    key: { kind: 'ec', curve: 'P-384' },
    signature: frame.signature,
    extensions,
    // Of the root alone somebody wants it, and hashing costs as much as reading all the rest.
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
export function parseNitroCertificate(der: Uint8Array, field: string): Certificate {
  const known = parsed.get(der);
  if (known) return known;
  const certificate = parse(der, field);
  parsed.set(der, certificate);
  return certificate;
}

/** Whether this key signed the certificate. */
export const verifyNitroCertificateSignature = (certificate: Certificate, issuerSpki: Uint8Array): Promise<boolean> =>
  verifyCertificateSignature(certificate, issuerSpki, verifyEcdsaP384Sha384);
