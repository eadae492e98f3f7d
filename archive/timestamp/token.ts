/**
 * RFC 3161 timestamps by pkijs: requests, and tokens verified at the time they state, against roots that the caller trusts.
 *
 * @see RFC 3161 §2.4, RFC 5816 (ESSCertIDv2)
 */
import { createHash, randomBytes } from 'node:crypto';
import { CodedError, equalBytes } from '@veritee/protocol';
import * as asn1 from 'asn1js';
import {
  AlgorithmIdentifier,
  Certificate,
  ContentInfo,
  CryptoEngine,
  ExtKeyUsage,
  MessageImprint,
  SignedData,
  setEngine,
  TimeStampReq,
  TimeStampResp,
  TSTInfo,
} from 'pkijs';

const SHA256 = '2.16.840.1.101.3.4.2.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const EXT_KEY_USAGE = '2.5.29.37';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const MAX_TOKEN_BYTES = 65_536;
const NONCE_BYTES = 16;

setEngine('veritee', new CryptoEngine({ name: 'veritee', crypto: globalThis.crypto as never }));

const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest());
/** A copy that begins its own buffer, which is what pkijs and asn1js read. */
const bufferOf = (data: Uint8Array): ArrayBuffer => new Uint8Array(data).buffer;

export const invalidToken = (reason: string, cause?: unknown): CodedError =>
  new CodedError('EVIDENCE_MALFORMED', `timestamp: ${reason}`, { field: 'timestamp', cause });

export interface TimestampRequest {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly nonce: Uint8Array;
}

export function timestampRequest(
  data: Uint8Array,
  nonce: Uint8Array = positive(randomBytes(NONCE_BYTES)),
): TimestampRequest {
  const request = new TimeStampReq({
    version: 1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({ algorithmId: SHA256, algorithmParams: new asn1.Null() }),
      hashedMessage: new asn1.OctetString({ valueHex: bufferOf(sha256(data)) }),
    }),
    nonce: new asn1.Integer({ valueHex: bufferOf(nonce) }),
    certReq: true,
  });
  return { der: new Uint8Array(request.toSchema().toBER()), nonce };
}

/** So that its DER form is these very bytes. */
function positive(random: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(random);
  nonce[0] = ((nonce[0] ?? 0) & 0x7f) | 0x40;
  return nonce;
}

/**
 * The token of a granted answer to our own request.
 * @throws CodedError SERVICE_REFUSED the authority said no; EVIDENCE_MALFORMED
 */
export function tokenOfResponse(response: Uint8Array, { nonce }: TimestampRequest): Uint8Array<ArrayBuffer> {
  if (response.length > MAX_TOKEN_BYTES) throw invalidToken(`longer than ${MAX_TOKEN_BYTES} bytes`);
  const parsed = read('an answer', () => TimeStampResp.fromBER(bufferOf(response)));
  const { status } = parsed.status;
  if (status !== 0 && status !== 1) {
    throw new CodedError('SERVICE_REFUSED', `the timestamp authority answered with status ${status}`, { field: 'tsa' });
  }
  if (!parsed.timeStampToken) throw invalidToken('a granted answer without a token');
  const token = new Uint8Array(parsed.timeStampToken.toSchema().toBER());
  const given = parseToken(token).info.nonce?.valueBlock.valueHexView;
  if (!given || !equalBytes(given, nonce)) throw invalidToken('an answer to another request');
  return token;
}

interface Parsed {
  readonly signed: SignedData;
  readonly info: TSTInfo;
  readonly infoDer: Uint8Array;
}

function parseToken(token: Uint8Array): Parsed {
  if (token.length > MAX_TOKEN_BYTES) throw invalidToken(`longer than ${MAX_TOKEN_BYTES} bytes`);
  return read('a token', () => {
    const parsed = asn1.fromBER(bufferOf(token));
    if (parsed.offset !== token.length) throw new TypeError('bytes behind it');
    const content = new ContentInfo({ schema: parsed.result });
    if (content.contentType !== SIGNED_DATA) throw new TypeError('not signed data');
    const signed = new SignedData({ schema: content.content });
    const { eContentType, eContent } = signed.encapContentInfo;
    if (eContentType !== TST_INFO || !eContent) throw new TypeError('no TSTInfo');
    const infoDer = eContent.valueBlock.valueHexView.length > 0 ? eContent.valueBlock.valueHexView : partsOf(eContent);
    return { signed, info: TSTInfo.fromBER(bufferOf(infoDer)), infoDer };
  });
}

/** An octet string in parts, which BER allows and some authorities send. */
const partsOf = (value: asn1.OctetString): Uint8Array => new Uint8Array(value.getValue());

function read<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw invalidToken(`not ${what}`, cause);
  }
}

/** Roots of timestamp authorities, PEM or DER. @throws CodedError TRUST_ANCHOR_INVALID */
export function readAuthorities(file: Uint8Array): readonly Certificate[] {
  const text = Buffer.from(file).toString('latin1');
  const blocks = [...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)];
  const ders = blocks.length > 0 ? blocks.map(([, body = '']) => new Uint8Array(Buffer.from(body, 'base64'))) : [file];
  try {
    return ders.map((der) => Certificate.fromBER(bufferOf(der)));
  } catch (cause) {
    throw new CodedError('TRUST_ANCHOR_INVALID', 'timestamp authority: not a certificate', {
      field: 'tsa-root',
      cause,
    });
  }
}

export interface VerifiedToken {
  /** The authority's own time, in whole milliseconds. */
  readonly genTimeMs: number;
  /** Until when its signing certificate and all above it are valid: by then the token must be renewed. */
  readonly validUntilMs: number;
  /** Subject of the signing certificate. */
  readonly authority: string;
}

/**
 * Imprint, signature, signing certificate (named by the token, for timestamping alone), and its chain at the token's time.
 * @throws CodedError EVIDENCE_MALFORMED, SIGNATURE_INVALID, CHAIN_UNTRUSTED
 */
export async function verifyToken(
  token: Uint8Array,
  data: Uint8Array,
  authorities: readonly Certificate[],
): Promise<VerifiedToken> {
  const { signed, info } = parseToken(token);
  const { hashAlgorithm, hashedMessage } = info.messageImprint;
  if (hashAlgorithm.algorithmId !== SHA256) throw invalidToken('an imprint of another hash than SHA-256');
  if (!equalBytes(hashedMessage.valueBlock.valueHexView, sha256(data))) {
    throw new CodedError('SIGNATURE_INVALID', 'timestamp: over other bytes', { field: 'timestamp' });
  }
  if (signed.signerInfos.length !== 1) throw invalidToken('want one signer');
  const found = await signed
    .verify({ signer: 0, data: bufferOf(data), trustedCerts: [...authorities], checkChain: true, extendedMode: true })
    .catch((cause: unknown) => {
      const { signatureVerified, signerCertificateVerified } = cause as Record<string, unknown>;
      const chain = signerCertificateVerified === false && signatureVerified !== false;
      const reason = chain ? 'no valid path to a trusted authority' : 'the signature does not verify';
      throw new CodedError(chain ? 'CHAIN_UNTRUSTED' : 'SIGNATURE_INVALID', `timestamp: ${reason}`, {
        field: 'timestamp',
        cause,
      });
    });
  const signer = found.signerCertificate;
  if (found.signatureVerified !== true || found.signerCertificateVerified !== true || !signer) {
    throw new CodedError('SIGNATURE_INVALID', 'timestamp: the signature does not verify', { field: 'timestamp' });
  }
  checkPurpose(signer);
  checkNamed(signed, signer);
  const path = found.certificatePath.length > 0 ? found.certificatePath : [signer];
  return {
    genTimeMs: info.genTime.getTime(),
    validUntilMs: Math.min(...path.map(({ notAfter }) => notAfter.value.getTime())),
    authority: nameOf(signer),
  };
}

/** RFC 3161 §2.3: the extended key usage is critical and timestamping alone. */
function checkPurpose(signer: Certificate): void {
  const usage = signer.extensions?.find(({ extnID }) => extnID === EXT_KEY_USAGE);
  const purposes = usage?.parsedValue instanceof ExtKeyUsage ? usage.parsedValue.keyPurposes : [];
  if (usage?.critical && purposes.length === 1 && purposes[0] === TIME_STAMPING) return;
  throw new CodedError('CHAIN_UNTRUSTED', 'timestamp: its certificate is not for timestamping alone', {
    field: 'timestamp',
  });
}

/** The signed attribute that names the signing certificate, so that no other of the same key stands in (RFC 2634 §5.4). */
function checkNamed(signed: SignedData, signer: Certificate): void {
  const attributes = signed.signerInfos[0]?.signedAttrs?.attributes ?? [];
  const der = new Uint8Array(signer.toSchema(false).toBER());
  const named = attributes.flatMap(({ type, values }) => {
    if (type !== SIGNING_CERTIFICATE && type !== SIGNING_CERTIFICATE_V2) return [];
    return [firstCertId(values[0] as asn1.BaseBlock, type === SIGNING_CERTIFICATE ? 'sha1' : 'sha256')];
  });
  const holds = named.some(
    (one) => one !== null && equalBytes(one.digest, new Uint8Array(createHash(one.hash).update(der).digest())),
  );
  if (!holds) throw invalidToken('it does not name its signing certificate');
}

const HASHES: ReadonlyMap<string, string> = new Map([
  [SHA256, 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

/** SigningCertificate[V2] ::= SEQUENCE { certs SEQUENCE OF SEQUENCE { [hash AlgorithmIdentifier,] certHash OCTET STRING, … } … } */
function firstCertId(attribute: asn1.BaseBlock | undefined, hash: string): { hash: string; digest: Uint8Array } | null {
  const inner = (value: unknown): readonly unknown[] => (value instanceof asn1.Sequence ? value.valueBlock.value : []);
  const [certId] = inner(inner(attribute)[0]);
  const [first, second] = inner(certId);
  if (first instanceof asn1.OctetString) return { hash, digest: first.valueBlock.valueHexView };
  const [oid] = inner(first);
  const named = oid instanceof asn1.ObjectIdentifier ? HASHES.get(oid.valueBlock.toString()) : undefined;
  return named !== undefined && second instanceof asn1.OctetString
    ? { hash: named, digest: second.valueBlock.valueHexView }
    : null;
}

const COMMON_NAME = '2.5.4.3';

function nameOf({ subject, serialNumber }: Certificate): string {
  const named = subject.typesAndValues.find(({ type }) => type === COMMON_NAME)?.value.valueBlock.value;
  return typeof named === 'string' && named !== ''
    ? named.slice(0, 200)
    : Buffer.from(serialNumber.valueBlock.valueHexView).toString('hex');
}
