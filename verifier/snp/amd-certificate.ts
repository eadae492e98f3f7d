/**
 * AMD's own certificate extensions, 1.3.6.1.4.1.3704.1.*: what a VCEK or VLEK says about the chip and its firmware.
 *
 * ```
 * 1      structVersion   INTEGER 0 (Milan, Genoa) or 1 (Turin)
 * 2      productName     IA5String, "Milan-B0", "Genoa", "Turin"
 * 3.1-3  blSPL, teeSPL, snpSPL, 3.8 ucodeSPL, 3.9 fmcSPL (Turin only)   INTEGER
 * 3.4-7  reserved        INTEGER 0
 * 4      hwID            VCEK only: 64 or 8 (Turin) bytes without a DER tag
 * 5      cspID           VLEK only: IA5String
 * ```
 * @see AMD 57230, VCEK and VLEK certificate extensions
 */
import { EvidenceError, fromUtf8 } from '@veritee/protocol';
import type { Certificate } from '../x509/certificate.ts';
import { DerReader, TAG } from '../x509/der.ts';
import type { SignerKind } from './profile.ts';
import { type SnpProduct, type Tcb, tcbLayoutOf } from './tcb.ts';

const PREFIX = '1.3.6.1.4.1.3704.1';
const OID = {
  structVersion: `${PREFIX}.1`,
  productName: `${PREFIX}.2`,
  blSpl: `${PREFIX}.3.1`,
  teeSpl: `${PREFIX}.3.2`,
  snpSpl: `${PREFIX}.3.3`,
  ucodeSpl: `${PREFIX}.3.8`,
  fmcSpl: `${PREFIX}.3.9`,
  hwId: `${PREFIX}.4`,
  cspId: `${PREFIX}.5`,
} as const;
const OID_RESERVED_SPL = [4, 5, 6, 7].map((n) => `${PREFIX}.3.${n}`);

export const AMD_EXTENSIONS: readonly string[] = [...Object.values(OID), ...OID_RESERVED_SPL];

const STRUCT_VERSION = { 'milan-genoa': 0, turin: 1 } as const;
const HW_ID_BYTES = { 'milan-genoa': 64, turin: 8 } as const;

export interface AmdCertificateFacts {
  readonly kind: SignerKind;
  readonly structVersion: 0 | 1;
  /** As written, stepping included: `Milan-B0`. Steppings are not compared: AMD writes B0 for all. */
  readonly productName: string;
  readonly product: SnpProduct;
  readonly tcb: Tcb;
  /** VCEK: the chip. 64 bytes, Turin 8. */
  readonly hwId: Uint8Array<ArrayBuffer> | null;
  /** VLEK: the cloud provider. */
  readonly cspId: string | null;
}

/**
 * @throws EvidenceError CERTIFICATE_INVALID an extension that is missing, of another encoding, or not of this product
 */
export function readAmdExtensions(certificate: Certificate): AmdCertificateFacts {
  const known = facts.get(certificate);
  if (known) return known;
  const read = readFacts(certificate);
  facts.set(certificate, read);
  return read;
}

const facts = new WeakMap<Certificate, AmdCertificateFacts>();

function readFacts(certificate: Certificate): AmdCertificateFacts {
  const field = certificate.subjectCN;
  const fail = (reason: string): never => {
    throw new EvidenceError('CERTIFICATE_INVALID', `${field}: ${reason}`, { field });
  };
  const value = (oid: string, name: string): Uint8Array =>
    certificate.extensions.get(oid)?.value ?? fail(`no ${name} extension`);
  const open = (contents: Uint8Array): DerReader => new DerReader(contents, 'CERTIFICATE_INVALID', field);
  const number = (oid: string, name: string): number => {
    const reader = open(value(oid, name));
    const result = reader.small(name, 0xff);
    reader.end(name);
    return result;
  };
  const text = (oid: string, name: string): string => {
    const reader = open(value(oid, name));
    const contents = reader.read(TAG.ia5String, name);
    reader.end(name);
    if (contents.length === 0 || contents.some((byte) => byte < 0x20 || byte > 0x7e)) fail(`${name} is not printable`);
    return fromUtf8(contents);
  };

  const productName = text(OID.productName, 'productName');
  const [, name] =
    /^(Milan|Genoa|Turin)(?:-[A-Z][0-9])?$/.exec(productName) ?? fail('productName is not a known product');
  const product = name as SnpProduct;
  const layout = tcbLayoutOf(product);
  const structVersion = number(OID.structVersion, 'structVersion');
  if (structVersion !== STRUCT_VERSION[layout]) fail(`structVersion ${structVersion} does not go with ${product}`);

  for (const oid of OID_RESERVED_SPL) {
    if (certificate.extensions.has(oid) && number(oid, 'reserved SPL') !== 0) fail('a reserved SPL is not zero');
  }
  const parts = {
    bootloader: number(OID.blSpl, 'blSPL'),
    tee: number(OID.teeSpl, 'teeSPL'),
    snp: number(OID.snpSpl, 'snpSPL'),
    microcode: number(OID.ucodeSpl, 'ucodeSPL'),
  };
  if (layout !== 'turin' && certificate.extensions.has(OID.fmcSpl)) fail(`fmcSPL does not go with ${product}`);
  const tcb: Tcb = layout === 'turin' ? { layout, fmc: number(OID.fmcSpl, 'fmcSPL'), ...parts } : { layout, ...parts };

  const hasHwId = certificate.extensions.has(OID.hwId);
  if (hasHwId === certificate.extensions.has(OID.cspId)) fail('want either hwID or cspID, not both and not neither');
  return {
    kind: hasHwId ? 'VCEK' : 'VLEK',
    structVersion: STRUCT_VERSION[layout],
    productName,
    product,
    tcb,
    hwId: hasHwId ? readHwId(value(OID.hwId, 'hwID'), HW_ID_BYTES[layout], fail) : null,
    cspId: hasHwId ? null : text(OID.cspId, 'cspID'),
  };
}

/** Raw, or as an octet string. Only the length tells: the raw bytes of a chip may begin like a tag. */
function readHwId(value: Uint8Array, size: number, fail: (reason: string) => never): Uint8Array<ArrayBuffer> {
  if (value.length === size) return new Uint8Array(value);
  if (value.length !== size + 2 || value[0] !== TAG.octetString || value[1] !== size) fail(`hwID is not ${size} bytes`);
  return new Uint8Array(value.subarray(2));
}
