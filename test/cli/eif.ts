import { createECDH, createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { encodeCbor } from '../../protocol/cbor.ts';

/** A small enclave image, written by the format's description and not by the parser under test. */
export type Part = readonly [type: number, content: Uint8Array];

export const text = (content: string): Uint8Array => new TextEncoder().encode(content);
/** `length` bytes that do not repeat soon, so that a part cut or swapped shows. */
export function filler(seed: string, length: number): Uint8Array {
  const out = Buffer.alloc(length);
  for (let at = 0, i = 0; at < length; at += 48, i++)
    createHash('sha384').update(`${seed} ${i}`).digest().copy(out, at);
  return new Uint8Array(out);
}

export const KERNEL = filler('kernel', 9001);
export const CMDLINE = text('reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on');
export const BOOT = filler('boot ramdisk', 5003);
export const APPLICATION = filler('application ramdisk', 7001);
export const MODELS = filler('models ramdisk', 333);
export const METADATA = text(
  '{"ImageName":"veritee","ImageVersion":"1.4.2","BuildMetadata":{"BuildTime":"1970-01-01T00:00:00Z"},"DockerInfo":{},"CustomMetadata":{}}',
);
export const PARTS: readonly Part[] = [
  [1, KERNEL],
  [2, CMDLINE],
  [5, METADATA],
  [3, BOOT],
  [3, APPLICATION],
  [3, MODELS],
];

interface Header {
  readonly version: number;
  readonly flags: number;
  readonly count: number;
}

export function buildEif(parts: readonly Part[], header: Partial<Header> = {}): Uint8Array {
  const head = Buffer.alloc(548);
  head.write('.eif', 0, 'latin1');
  head.writeUInt16BE(header.version ?? 4, 4);
  head.writeUInt16BE(header.flags ?? 0, 6);
  head.writeBigUInt64BE(1n << 30n, 8);
  head.writeBigUInt64BE(2n, 16);
  head.writeUInt16BE(header.count ?? parts.length, 26);
  const pieces: Buffer[] = [head];
  let at = head.length;
  for (const [i, [type, content]] of parts.entries()) {
    if (i < 32) {
      head.writeBigUInt64BE(BigInt(at), 28 + 8 * i);
      head.writeBigUInt64BE(BigInt(content.length), 284 + 8 * i);
    }
    const section = Buffer.alloc(12);
    section.writeUInt16BE(type, 0);
    section.writeBigUInt64BE(BigInt(content.length), 4);
    pieces.push(section, Buffer.from(content));
    at += 12 + content.length;
  }
  return withCrc(Buffer.concat(pieces));
}

export function withByte(data: Uint8Array, at: number, value: number): Uint8Array {
  const out = Uint8Array.from(data);
  out[at] = value;
  return out;
}

/** The image with its CRC made right, so that only the intended fault is refused. */
export function withCrc(image: Uint8Array): Uint8Array {
  const out = Buffer.from(image);
  out.writeUInt32BE(crc32(out.subarray(548), crc32(out.subarray(0, 544))), 544);
  return new Uint8Array(out);
}

/** A throw-away key, derived so that it needs no file. */
export function signerKey(): KeyObject {
  const ecdh = createECDH('secp384r1');
  const d = createHash('sha384').update('veritee test: EIF signer').digest();
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const part = (bytes: Buffer): string => bytes.toString('base64url');
  return createPrivateKey({
    key: { kty: 'EC', crv: 'P-384', d: part(d), x: part(point.subarray(1, 49)), y: part(point.subarray(49)) },
    format: 'jwk',
  });
}

/** Its self-signed certificate, made once with openssl. */
export const SIGNER_PEM = `-----BEGIN CERTIFICATE-----
MIIB2TCCAV6gAwIBAgIUAUsnjWKmDr7cZdwNAzkl0B7snqUwCgYIKoZIzj0EAwMw
IjEgMB4GA1UEAwwXdmVyaXRlZSB0ZXN0IEVJRiBzaWduZXIwIBcNMjYxMTIxMTc0
MzQ4WhgPMjEyNjEwMjgxNzQzNDhaMCIxIDAeBgNVBAMMF3Zlcml0ZWUgdGVzdCBF
SUYgc2lnbmVyMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEJz48VqL6+K70gQMZJRkA
cCD6rTdnuxAPi0aIgSMcvMiZU41uwl8UVqkfGQDnCmbRqh9jlI44cn3yA22yeBnx
lWEMnUJZxnDJm7pfyC8yDHfR5ObNFTaqkTealg9xtE7Mo1MwUTAdBgNVHQ4EFgQU
4klvywSfxbrPmVVF8183iIfrzUAwHwYDVR0jBBgwFoAU4klvywSfxbrPmVVF8183
iIfrzUAwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAwNpADBmAjEA3k1kbjiB
3cfFQB8AbBl11dgb30evR1SFfjIVZjdnaxH8EQ3vmaabNhBTRtpOXXnGAjEA5q25
Pk86yC+cqvrnncJRUApOeb73kr3vLo/lUQ2mWrqxiuzLDertvqlTXe4mUIoP
-----END CERTIFICATE-----
`;

const integers = (bytes: Uint8Array): number[] => Array.from(bytes);

export interface Signing {
  readonly pcr: Uint8Array;
  readonly index?: number;
  readonly pem?: string;
  readonly algorithm?: number;
  readonly key?: KeyObject;
}

/** The signature section as AWS's tools write it: byte strings as arrays of integers, members in this order. */
export function signatureSection({ pcr, index = 0, pem = SIGNER_PEM, algorithm = -35, key }: Signing): Uint8Array {
  const header = encodeCbor(new Map([[1, algorithm]]));
  const payload = serde([
    ['register_index', index],
    ['register_value', integers(pcr)],
  ]);
  const signed = encodeCbor(['Signature1', header, new Uint8Array(), payload]);
  const signature = sign('sha384', signed, { key: key ?? signerKey(), dsaEncoding: 'ieee-p1363' });
  const cose = encodeCbor([header, new Map(), payload, new Uint8Array(signature)]);
  const entry = serde([
    ['signing_certificate', integers(text(pem))],
    ['signature', integers(cose)],
  ]);
  return Buffer.concat([Buffer.from([0x81]), entry]);
}

/** A two-member map in the order given, which is not the canonical one. */
const serde = (members: readonly [string, number | number[]][]): Uint8Array =>
  Buffer.concat([
    Buffer.from([0xa0 | members.length]),
    ...members.flatMap(([name, value]) => [encodeCbor(name), encodeCbor(value)]),
  ]);
