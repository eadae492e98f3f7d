/**
 * COSE_Sign1 (RFC 9052 §4.2) in the one shape Veritee uses: tag 18, protected header exactly
 * `{1: -8 (EdDSA), 3: content type}`, empty unprotected header, attached payload, empty external_aad, Ed25519.
 */
import { type Bytes, bytes, concat, equalBytes } from './bytes.ts';
import { decodeCbor, encodeCbor } from './cbor.ts';
import { type Ed25519Key, type Sign, verifyEd25519 } from './ed25519.ts';
import { EvidenceError } from './errors.ts';

const TAG_SIGN1 = 0xd2; // tag 18 in its one-byte form
const HEADER_ALG = 1;
const HEADER_CONTENT_TYPE = 3;
const ALG_EDDSA = -8;

/** A parsed message. Nothing in it is trusted until `verifySign1`. */
export interface Sign1 {
  readonly contentType: string;
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly signature: Bytes<64>;
  /** The Sig_structure bytes that the signature covers. */
  readonly toBeSigned: Uint8Array<ArrayBuffer>;
}

const protectedHeader = (contentType: string): Uint8Array<ArrayBuffer> =>
  encodeCbor(
    new Map<number, number | string>([
      [HEADER_ALG, ALG_EDDSA],
      [HEADER_CONTENT_TYPE, contentType],
    ]),
  );

const sigStructure = (header: Uint8Array, payload: Uint8Array): Uint8Array<ArrayBuffer> =>
  encodeCbor(['Signature1', header, new Uint8Array(0), payload]);

export function encodeSign1(contentType: string, payload: Uint8Array, sign: Sign): Uint8Array<ArrayBuffer> {
  const header = protectedHeader(contentType);
  const signature = sign(sigStructure(header, payload));
  return concat(Uint8Array.of(TAG_SIGN1), encodeCbor([header, new Map(), payload, signature]));
}

/** @throws EvidenceError EVIDENCE_MALFORMED any other shape, header or encoding */
export function parseSign1(message: Uint8Array, what: string): Sign1 {
  const fail = (reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `${what}: ${reason}`, { field: what });
  };
  if (message[0] !== TAG_SIGN1) fail('want a COSE_Sign1 message with tag 18');
  const parts = decodeCbor(message.subarray(1), what);
  if (!Array.isArray(parts) || parts.length !== 4) return fail('want the four parts of COSE_Sign1');
  const [header, unprotected, payload, signature] = parts;
  if (!(header instanceof Uint8Array) || !(payload instanceof Uint8Array) || !(signature instanceof Uint8Array)) {
    return fail('want byte strings for header, payload and signature');
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) fail('want an empty unprotected header');
  const fields = decodeCbor(header, `${what}.protected`);
  const contentType = fields instanceof Map ? fields.get(HEADER_CONTENT_TYPE) : undefined;
  if (typeof contentType !== 'string') return fail('want a protected header with a text content type');
  if (!equalBytes(header, protectedHeader(contentType)))
    fail('want a protected header of exactly {1: -8, 3: content type}');
  return {
    contentType,
    payload: new Uint8Array(payload),
    signature: bytes(signature, 64, `${what}.signature`),
    toBeSigned: sigStructure(header, payload),
  };
}

export const verifySign1 = (message: Sign1, key: Ed25519Key): Promise<boolean> =>
  verifyEd25519(key, message.toBeSigned, message.signature);
