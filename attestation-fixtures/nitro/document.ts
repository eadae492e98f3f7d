import { type KeyObject, sign } from 'node:crypto';
import { concat, encodeCbor, hex } from '@veritee/protocol';
import { type Entry, encodeMap, type MapLength } from './cbor.ts';

// Attestation documents as AWS's attestation_process.md defines them (aws-nitro-enclaves-nsm-api), and in the encodings
// in which they really occur: COSE_Sign1 with ES384 over a map with text keys.

export interface DocumentFields {
  readonly moduleId: string;
  readonly digest: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** The locked registers. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** DER of the leaf. */
  readonly certificate: Uint8Array;
  /** DER, root first, issuer of the leaf last. */
  readonly cabundle: readonly Uint8Array[];
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

export interface DocumentEncoding {
  /** `indefinite` since the middle of 2025. */
  readonly payloadMap: MapLength;
  /** Both orders occur. */
  readonly order: 'digest-first' | 'timestamp-first';
  /** Absent public_key, user_data and nonce: every real document writes null, against AWS's own text. */
  readonly absent: 'null' | 'omitted';
  /** COSE tag 18; allowed, and on no document seen. */
  readonly tag: 'none' | 'sign1';
}

export const CURRENT_ENCODING: DocumentEncoding = {
  payloadMap: 'indefinite',
  order: 'digest-first',
  absent: 'null',
  tag: 'none',
};

/** The four parts of COSE_Sign1 (RFC 9052 §4.2). */
export interface DocumentParts {
  /** Content of the byte string: a1 01 38 22 is {1: -35}, ES384. */
  readonly protectedHeader: Uint8Array;
  /** A whole CBOR value, for it is no byte string. */
  readonly unprotectedHeader: Uint8Array;
  readonly payload: Uint8Array;
  /** r and s, 48 bytes each. */
  readonly signature: Uint8Array;
}

export type UnsignedParts = Omit<DocumentParts, 'signature'>;

const ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const EMPTY_MAP = Uint8Array.of(0xa0);
const TAG_SIGN1 = Uint8Array.of(0xd2);

/** The payload's entries in the order of that encoding. */
export function payloadEntries(fields: DocumentFields, encoding: DocumentEncoding): readonly Entry[] {
  const entry = (name: string, value: Parameters<typeof encodeCbor>[0]): Entry => [encodeCbor(name), encodeCbor(value)];
  const optional = (name: string, value: Uint8Array | null): readonly Entry[] =>
    value === null && encoding.absent === 'omitted' ? [] : [entry(name, value)];
  const digest = entry('digest', fields.digest);
  const timestamp = entry('timestamp', fields.timestamp);
  return [
    entry('module_id', fields.moduleId),
    ...(encoding.order === 'digest-first' ? [digest, timestamp] : [timestamp, digest]),
    entry('pcrs', fields.pcrs),
    entry('certificate', fields.certificate),
    entry('cabundle', fields.cabundle),
    ...optional('public_key', fields.publicKey),
    ...optional('user_data', fields.userData),
    ...optional('nonce', fields.nonce),
  ];
}

export const unsignedParts = (payload: Uint8Array): UnsignedParts => ({
  protectedHeader: ES384,
  unprotectedHeader: EMPTY_MAP,
  payload,
});

/** ECDSA with SHA-384 over the Sig_structure of RFC 9052 §4.4. */
export function signParts(parts: UnsignedParts, leafKey: KeyObject): DocumentParts {
  const toBeSigned = encodeCbor(['Signature1', parts.protectedHeader, new Uint8Array(0), parts.payload]);
  const signature = sign('sha384', toBeSigned, { key: leafKey, dsaEncoding: 'ieee-p1363' });
  return { ...parts, signature: new Uint8Array(signature) };
}

const P384_ORDER = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;

/** The other valid form of a signature: (r, n−s) holds whenever (r, s) does, and real documents have either. */
export function mirrorSignature(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  let s = P384_ORDER - BigInt(`0x${hex(signature.subarray(48))}`);
  const mirrored = new Uint8Array(signature);
  for (let i = mirrored.length - 1; i >= 48; i--, s >>= 8n) mirrored[i] = Number(s & 0xffn);
  return mirrored;
}

export function encodeParts(parts: DocumentParts, tag: DocumentEncoding['tag']): Uint8Array<ArrayBuffer> {
  const fourItems = Uint8Array.of(0x84);
  return concat(
    ...(tag === 'sign1' ? [TAG_SIGN1] : []),
    fourItems,
    encodeCbor(parts.protectedHeader),
    parts.unprotectedHeader,
    encodeCbor(parts.payload),
    encodeCbor(parts.signature),
  );
}

/** A signed document. */
export function encodeDocument(
  fields: DocumentFields,
  leafKey: KeyObject,
  encoding: DocumentEncoding = CURRENT_ENCODING,
): Uint8Array<ArrayBuffer> {
  const payload = encodeMap(payloadEntries(fields, encoding), encoding.payloadMap);
  return encodeParts(signParts(unsignedParts(payload), leafKey), encoding.tag);
}
