/**
 * Certificates signed with ECDSA on P-384 and SHA-384: `SEQUENCE { to-be-signed, ecdsa-with-SHA384, signature }` (RFC 5280
 * §4.1.1, RFC 5758 §3.2). The sibling of `signed.ts`, which reads AMD's RSASSA-PSS.
 */
import { type Bytes, bytes, type Code, EvidenceError, equalBytes, fromHex } from '@veritee/protocol';
import { DerReader, TAG, tlv } from './der.ts';
import type { SignedFrame } from './signed.ts';

const OID_ECDSA_SHA384 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03);
/** Parameters are absent, not NULL (RFC 5758 §3.2). */
const ECDSA_SHA384 = tlv(TAG.sequence, tlv(TAG.oid, OID_ECDSA_SHA384));

const COORDINATE_BYTES = 48;
const COORDINATE_LIMIT = 1n << BigInt(8 * COORDINATE_BYTES);

export interface EcdsaFrame extends SignedFrame {
  /** r ‖ s, big-endian, as WebCrypto takes it. */
  readonly signature: Bytes<96>;
}

export function readEcdsaFrame(der: Uint8Array, code: Code, field: string, maximum: number): EcdsaFrame {
  const file = new DerReader(der, code, field);
  if (der.length > maximum) file.fail(`got ${der.length} bytes, want at most ${maximum}`);
  const outer = file.open(TAG.sequence, 'outer sequence');
  file.end('outer sequence');
  const tbs = outer.readWhole(TAG.sequence, 'to-be-signed part');
  const algorithm = outer.readWhole(TAG.sequence, 'signature algorithm');
  if (!equalBytes(algorithm, ECDSA_SHA384)) outer.fail('signature algorithm: want ecdsa-with-SHA384');
  const signature = readSignature(outer.inside(outer.bitString('signature')));
  outer.end('signature');
  return { tbs: new Uint8Array(tbs), algorithm, signature };
}

/** Which reader a certificate is for; whether it is well formed, that reader says. */
export function isEcdsaSigned(der: Uint8Array): boolean {
  try {
    const outer = new DerReader(der, 'ENDORSEMENT_MALFORMED', 'certificate').open(TAG.sequence, 'outer sequence');
    outer.readWhole(TAG.sequence, 'to-be-signed part');
    return equalBytes(outer.readWhole(TAG.sequence, 'signature algorithm'), ECDSA_SHA384);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return false;
  }
}

/** ECDSA-Sig-Value (RFC 3279 §2.2.3). Both forms of s are valid: AWS signs with either. */
function readSignature(value: DerReader): Bytes<96> {
  const pair = value.open(TAG.sequence, 'signature');
  value.end('signature');
  const raw = `${coordinate(pair, 'signature r')}${coordinate(pair, 'signature s')}`;
  pair.end('signature');
  return bytes(fromHex(raw) ?? value.fail('signature: not two integers'), 96, 'signature');
}

function coordinate(pair: DerReader, what: string): string {
  const value = pair.integer(what);
  if (value === 0n || value >= COORDINATE_LIMIT) pair.fail(`${what}: out of range`);
  return value.toString(16).padStart(2 * COORDINATE_BYTES, '0');
}
