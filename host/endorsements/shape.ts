/**
 * Whether an answer can be what was asked for at all: certificates and lists rather than a proxy's error page or half a
 * file. It says nothing about who signed them: that is the verifier's to find out.
 */
import { X509Certificate } from 'node:crypto';
import { EvidenceError, fromBase64 } from '@veritee/protocol';
import { type EndorsementKey, nameOf } from './keys.ts';

/** Several times what AMD sends: 1.4 KiB, 4 KiB and 0.9 KiB. A CRL grows with what is revoked. */
export const MAX_BYTES: Readonly<Record<EndorsementKey['kind'], number>> = {
  vcek: 16 << 10,
  chain: 64 << 10,
  crl: 1 << 20,
};

const NOT_CERTIFICATES = /^\s*(?:text\/(?:html|xml|css|javascript)|application\/(?:[\w.+-]*json|[\w.+-]*xml))\b/i;

const TAG = { integer: 0x02, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30 } as const;

/** @throws EvidenceError ENDORSEMENT_MALFORMED */
export function refuseMalformed(key: EndorsementKey, reason: string, cause?: unknown): never {
  throw new EvidenceError('ENDORSEMENT_MALFORMED', `${nameOf(key)}: ${reason}`, { field: key.kind, cause });
}

/** @throws EvidenceError ENDORSEMENT_MALFORMED */
export function checkMediaType(key: EndorsementKey, mediaType: string | null): void {
  // AMD documents no types, so only those are refused that never hold a certificate.
  if (mediaType !== null && NOT_CERTIFICATES.test(mediaType)) {
    refuseMalformed(key, 'a web page or data of another type instead of a certificate');
  }
}

/** @throws EvidenceError ENDORSEMENT_MALFORMED */
export function checkShape(key: EndorsementKey, content: Uint8Array): void {
  if (content.length === 0) refuseMalformed(key, 'empty');
  if (content.length > MAX_BYTES[key.kind]) refuseMalformed(key, `more than ${MAX_BYTES[key.kind]} bytes`);
  if (key.kind === 'vcek') checkCertificate(key, content);
  else if (key.kind === 'crl') crlThisUpdate(key, content);
  else checkChain(key, content);
}

function checkCertificate(key: EndorsementKey, der: Uint8Array): void {
  if (readTlv(der, 0)?.end !== der.length) refuseMalformed(key, 'not one whole DER structure');
  try {
    new X509Certificate(der);
  } catch (cause) {
    refuseMalformed(key, 'not an X.509 certificate', cause);
  }
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** RFC 7468, two certificates and white space, nothing else. */
function checkChain(key: EndorsementKey, content: Uint8Array): void {
  const text = Buffer.from(content).toString('latin1');
  const blocks = [...text.matchAll(PEM_BLOCK)];
  if (blocks.length !== 2 || text.replace(PEM_BLOCK, '').trim() !== '') {
    refuseMalformed(key, 'not two PEM certificates');
  }
  for (const [, body = ''] of blocks) {
    checkCertificate(key, fromBase64(body.replace(/\s/g, '')) ?? refuseMalformed(key, 'a PEM block is not base64'));
  }
}

interface Tlv {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/** One DER tag and length that lie within the bytes; null otherwise. Lengths of up to three bytes: the limit is 1 MiB. */
function readTlv(der: Uint8Array, at: number): Tlv | null {
  const [tag, first, ...more] = der.subarray(at, at + 5);
  if (tag === undefined || first === undefined) return null;
  const count = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || count > 3 || more.length < count) return null;
  const length = count === 0 ? first : more.slice(0, count).reduce((sum, byte) => sum * 256 + byte, 0);
  const start = at + 2 + count;
  return start + length <= der.length ? { tag, start, end: start + length } : null;
}

/**
 * When the list was made, unverified: it tells a newer list from an older one, no more (RFC 5280 §5.1).
 * @throws EvidenceError ENDORSEMENT_MALFORMED not a CRL
 */
export function crlThisUpdate(key: EndorsementKey, der: Uint8Array): Date {
  const expect = (found: Tlv | null, ...tags: readonly number[]): Tlv =>
    found && tags.includes(found.tag) ? found : refuseMalformed(key, 'not a DER certificate revocation list');
  const outer = expect(readTlv(der, 0), TAG.sequence);
  if (outer.end !== der.length) refuseMalformed(key, 'not one whole DER structure');
  const tbs = expect(readTlv(der, outer.start), TAG.sequence);
  const version = expect(readTlv(der, tbs.start), TAG.integer);
  const algorithm = expect(readTlv(der, version.end), TAG.sequence);
  const issuer = expect(readTlv(der, algorithm.end), TAG.sequence);
  const time = expect(readTlv(der, issuer.end), TAG.utcTime, TAG.generalizedTime);
  const digits = String.fromCharCode(...der.subarray(time.start, time.end));
  // UTCTime has two digits of the year: 50 to 99 are 19xx.
  const text = time.tag === TAG.generalizedTime ? digits : `${Number(digits.slice(0, 2)) >= 50 ? '19' : '20'}${digits}`;
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  const date = new Date(iso);
  return iso === text || Number.isNaN(date.getTime()) ? refuseMalformed(key, 'thisUpdate is not a time') : date;
}
