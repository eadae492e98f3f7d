/** Names and extensions, as certificates and CRLs carry them (RFC 5280 §4.1.2.4, §4.2). */
import { fromUtf8 } from '@veritee/protocol';
import { type DerReader, TAG } from './der.ts';

const OID_COMMON_NAME = '2.5.4.3';
const MAX_EXTENSIONS = 32;

export interface Name {
  /** Whole, header included: names are compared as bytes. */
  readonly der: Uint8Array<ArrayBuffer>;
  readonly commonName: string;
}

/** One attribute per relative name, each a UTF8String or PrintableString, exactly one common name. */
export function readName(from: DerReader, what: string): Name {
  const der = from.readWhole(TAG.sequence, what);
  const relativeNames = from.inside(der).open(TAG.sequence, what);
  let commonName: string | null = null;
  while (!relativeNames.done) {
    const set = relativeNames.open(TAG.set, what);
    const attribute = set.open(TAG.sequence, what);
    set.end(what);
    const type = attribute.oid(what);
    const tag = attribute.peek() === TAG.printableString ? TAG.printableString : TAG.utf8String;
    const value = attribute.read(tag, what);
    attribute.end(what);
    if (type !== OID_COMMON_NAME) continue;
    if (commonName !== null) return from.fail(`${what}: two common names`);
    commonName = text(from, value, what);
  }
  if (commonName === null) return from.fail(`${what}: no common name`);
  return { der: new Uint8Array(der), commonName };
}

function text(from: DerReader, value: Uint8Array, what: string): string {
  // Printable ASCII only: a name that looks like another one is no use to anybody.
  if (value.length === 0 || value.some((byte) => byte < 0x20 || byte > 0x7e)) from.fail(`${what}: not printable text`);
  return fromUtf8(value);
}

export interface Extension {
  readonly critical: boolean;
  /** The contents of the octet string. */
  readonly value: Uint8Array<ArrayBuffer>;
}

/** The extensions by object identifier; a duplicate is refused. */
export function readExtensions(list: DerReader, what: string): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (list.done) list.fail(`${what}: empty`);
  while (!list.done) {
    const extension = list.open(TAG.sequence, what);
    const oid = extension.oid(what);
    const critical = extension.peek() === TAG.boolean ? extension.boolean(what) : null;
    if (critical === false) extension.fail(`${what}: a default value is written out`);
    const value = extension.read(TAG.octetString, what);
    extension.end(what);
    if (extensions.has(oid)) extension.fail(`${what}: ${oid} twice`);
    if (extensions.size === MAX_EXTENSIONS) extension.fail(`${what}: more than ${MAX_EXTENSIONS}`);
    extensions.set(oid, { critical: critical ?? false, value: new Uint8Array(value) });
  }
  return extensions;
}
