/** AIR receipts of our own making, each signed as it is, so that a negative case differs from a good one by one change. */
import { generateKeyPairSync, sign as nodeSign, randomBytes } from 'node:crypto';
import { type Cbor, type CborKey, concat, encodeCbor, sha256 } from '../../protocol/index.ts';
import { AT } from '../support/mini-enclave.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
export const airKey = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url'));
export const digest = (byte: number, n = 32): Uint8Array => new Uint8Array(n).fill(byte);
export const REQUEST = new TextEncoder().encode('{"q":1}');
export const RESPONSE = new TextEncoder().encode('{"a":2}');
export const nonce = new Uint8Array(randomBytes(16));

export type Claims = Map<CborKey, Cbor>;
export const goodClaims = (): Claims =>
  new Map<CborKey, Cbor>([
    [1, 'acme.example'],
    [6, AT.getTime() / 1000 - 60],
    [7, digest(1, 16)],
    [10, nonce],
    [265, 'https://spec.cyntrisec.com/air/v1'],
    [-65537, 'model'],
    [-65538, '1'],
    [-65539, digest(2)],
    [-65540, sha256(REQUEST)],
    [-65541, sha256(RESPONSE)],
    [-65542, digest(3)],
    [-65543, measurements('nitro-pcr', 'pcr0', 'pcr1', 'pcr2', 'pcr8')],
    [-65544, 'policy'],
    [-65545, 7],
    [-65546, 12],
    [-65547, 34],
    [-65548, 'production'],
    [-65549, 'sha256-manifest'],
  ]);

export function measurements(type: string, ...names: readonly string[]): Claims {
  return new Map<CborKey, Cbor>([...names.map((name) => [name, digest(4, 48)] as const), ['measurement_type', type]]);
}

interface Envelope {
  readonly header?: Uint8Array;
  readonly unprotected?: Cbor;
  readonly payload?: Uint8Array;
  readonly tag?: readonly number[];
}
const HEADER = encodeCbor(
  new Map<number, number>([
    [1, -8],
    [3, 61],
  ]),
);

/** Signed as it is, whatever was changed before. */
export function air(
  change: (claims: Claims) => unknown = () => undefined,
  envelope: Envelope = {},
): Uint8Array<ArrayBuffer> {
  const claims = goodClaims();
  change(claims);
  const { header = HEADER, unprotected = new Map(), tag = [0xd2] } = envelope;
  const payload = envelope.payload ?? encodeCbor(claims);
  const signature = nodeSign(null, encodeCbor(['Signature1', header, new Uint8Array(0), payload]), privateKey);
  return concat(Uint8Array.from(tag), encodeCbor([header, unprotected, payload, new Uint8Array(signature)]));
}
