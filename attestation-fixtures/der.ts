import { concat, utf8 } from '@veritee/protocol';

// DER (ITU-T X.690) writing, as much as the certificate profiles of AMD and AWS need. @peculiar/x509 cannot write AMD's:
// it replaces serial number 0 by a random one, and its RSASSA-PSS parameters leave out the hash NULLs and the trailer field.

export type Der = Uint8Array<ArrayBuffer>;

/** One tag, length and value; the value may be given in pieces. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Der {
  const value = concat(...content);
  const length: number[] = [];
  for (let rest = value.length; rest > 0; rest >>>= 8) length.unshift(rest & 0xff);
  const header = value.length < 0x80 ? [tag, value.length] : [tag, 0x80 | length.length, ...length];
  return concat(Uint8Array.from(header), value);
}

export const sequence = (...items: readonly Uint8Array[]): Der => tlv(0x30, ...items);
export const set = (...items: readonly Uint8Array[]): Der => tlv(0x31, ...items);
export const octetString = (value: Uint8Array): Der => tlv(0x04, value);
export const derNull = (): Der => tlv(0x05);
export const derTrue = (): Der => tlv(0x01, Uint8Array.of(0xff));
export const utf8String = (text: string): Der => tlv(0x0c, utf8(text));
export const printableString = (text: string): Der => tlv(0x13, utf8(text));
export const ia5String = (text: string): Der => tlv(0x16, utf8(text));

/** `[n] EXPLICIT`, constructed. */
export const explicit = (n: number, ...content: readonly Uint8Array[]): Der => tlv(0xa0 | n, ...content);

/** A non-negative INTEGER: 219 is 02 02 00 db, because a leading one bit would mean a negative number. */
export function integer(value: bigint | number): Der {
  let digits = BigInt(value).toString(16);
  if (digits.length % 2 !== 0) digits = `0${digits}`;
  const octets = Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return (octets[0] ?? 0) & 0x80 ? tlv(0x02, Uint8Array.of(0), octets) : tlv(0x02, octets);
}

/** BIT STRING of whole octets, or with the given number of unused bits in the last one. */
export const bitString = (value: Uint8Array, unusedBits = 0): Der => tlv(0x03, Uint8Array.of(unusedBits), value);

export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) groups.unshift(0x80 | (high % 128));
    octets.push(...groups);
  }
  return tlv(0x06, Uint8Array.from(octets));
}

/** Whole seconds; UTCTime up to 2049 and GeneralizedTime from 2050 on, RFC 5280 §4.1.2.5. */
export function time(date: Date): Der {
  const digits = `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return date.getUTCFullYear() < 2050 ? tlv(0x17, utf8(digits.slice(2))) : tlv(0x18, utf8(digits));
}
