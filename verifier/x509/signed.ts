/**
 * The frame that certificates and CRLs share: `SEQUENCE { to-be-signed, signatureAlgorithm, signature }` (RFC 5280
 * §4.1.1, §5.1.1), signed with RSASSA-PSS as AMD does it.
 */
import { type Code, equalBytes } from '@veritee/protocol';
import { DerReader, TAG, tlv } from './der.ts';

const OID_RSASSA_PSS = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a);
const OID_MGF1 = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08);
const OID_SHA384 = Uint8Array.of(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02);
const number = (n: number): Uint8Array<ArrayBuffer> => tlv(TAG.integer, Uint8Array.of(n));

// RFC 4055 §3.1: hash SHA-384, mask MGF1 with SHA-384, salt 48. No other parameters are read.
const SHA384 = tlv(TAG.sequence, tlv(TAG.oid, OID_SHA384), tlv(TAG.null));
const PARAMETERS = [
  tlv(TAG.context0, SHA384),
  tlv(TAG.context1, tlv(TAG.sequence, tlv(TAG.oid, OID_MGF1), SHA384)),
  tlv(TAG.context2, number(48)),
];
const algorithm = (...parameters: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  tlv(TAG.sequence, tlv(TAG.oid, OID_RSASSA_PSS), tlv(TAG.sequence, ...parameters));
// AMD writes the default trailer field in ARK, ASK, ASVK and older VCEKs, and leaves it out elsewhere.
const ALGORITHMS = [algorithm(...PARAMETERS), algorithm(...PARAMETERS, tlv(TAG.context3, number(1)))];

/** RSA-4096. */
const SIGNATURE_BYTES = 512;

export interface SignedFrame {
  /** The exact bytes the signature covers. */
  readonly tbs: Uint8Array<ArrayBuffer>;
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array<ArrayBuffer>;
}

export function readSignedFrame(der: Uint8Array, code: Code, field: string, maximum: number): SignedFrame {
  const file = new DerReader(der, code, field);
  if (der.length > maximum) file.fail(`got ${der.length} bytes, want at most ${maximum}`);
  const outer = file.open(TAG.sequence, 'outer sequence');
  file.end('outer sequence');
  const tbs = outer.readWhole(TAG.sequence, 'to-be-signed part');
  const named = outer.readWhole(TAG.sequence, 'signature algorithm');
  if (!ALGORITHMS.some((known) => equalBytes(known, named))) {
    outer.fail('signature algorithm: want RSASSA-PSS with SHA-384, MGF1-SHA-384 and a salt of 48 bytes');
  }
  const signature = outer.bitString('signature');
  outer.end('signature');
  if (signature.length !== SIGNATURE_BYTES)
    outer.fail(`signature: got ${signature.length} bytes, want ${SIGNATURE_BYTES}`);
  return { tbs: new Uint8Array(tbs), algorithm: named, signature: new Uint8Array(signature) };
}

/** The algorithm named inside the signed part must be the one outside (RFC 5280 §4.1.1.2). */
export function readInnerAlgorithm(tbs: DerReader, frame: SignedFrame): void {
  const inner = tbs.readWhole(TAG.sequence, 'signature algorithm');
  if (!equalBytes(inner, frame.algorithm)) tbs.fail('signature algorithm: inside and outside differ');
}
