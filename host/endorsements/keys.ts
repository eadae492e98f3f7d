/**
 * What AMD's key distribution service (KDS) can be asked for, and by what address.
 *
 * ```
 * /vcek/v1/Milan/<CHIP_ID, 128 hex digits>?blSPL=4&teeSPL=0&snpSPL=27&ucodeSPL=222        DER
 * /vcek/v1/Turin/<first 8 bytes, 16 hex digits>?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81
 * /vcek/v1/Milan/cert_chain   /vlek/v1/Milan/cert_chain                                   PEM: ASK or ASVK, then ARK
 * /vcek/v1/Milan/crl          /vlek/v1/Milan/crl                                          DER
 * ```
 * @see AMD 57230, chapter 4
 */
import { type Bytes, EvidenceError, hex, isZero } from '@veritee/protocol';

export const KDS_PRODUCTS = ['Milan', 'Genoa', 'Turin'] as const;
export type KdsProduct = (typeof KDS_PRODUCTS)[number];

/** Which key signs reports: it decides the intermediate (ASK or ASVK). The ARK is the same. */
export type KdsSigner = 'vcek' | 'vlek';

export interface VcekKey {
  readonly kind: 'vcek';
  readonly product: KdsProduct;
  /** CHIP_ID as in the report; on Turin all but the first eight bytes are zero. */
  readonly chipId: Bytes<64>;
  /** REPORTED_TCB as in the report. The product decides which byte means what, so the two cannot be mismatched here. */
  readonly tcb: Bytes<8>;
}
export interface ListKey {
  /** `chain`: the intermediate and the root. `crl`: the root's revocation list. */
  readonly kind: 'chain' | 'crl';
  readonly product: KdsProduct;
  readonly signer: KdsSigner;
}
/** A VLEK has no key here: only the cloud provider may ask for it, so the guest brings it along. */
export type EndorsementKey = VcekKey | ListKey;

type SplPlaces = readonly (readonly [name: string, at: number])[];

const MILAN_GENOA: SplPlaces = [
  ['blSPL', 0],
  ['teeSPL', 1],
  ['snpSPL', 6],
  ['ucodeSPL', 7],
];
const TURIN: SplPlaces = [
  ['fmcSPL', 0],
  ['blSPL', 1],
  ['teeSPL', 2],
  ['snpSPL', 3],
  ['ucodeSPL', 7],
];
const SPL_PLACES: Readonly<Record<KdsProduct, SplPlaces>> = { Milan: MILAN_GENOA, Genoa: MILAN_GENOA, Turin: TURIN };
const HW_ID_BYTES: Readonly<Record<KdsProduct, number>> = { Milan: 64, Genoa: 64, Turin: 8 };

function fail(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
}

/** @throws EvidenceError CHIP_ID_MASKED; EVIDENCE_MALFORMED a chip of another product */
function hwIdOf({ product, chipId }: VcekKey): string {
  if (isZero(chipId)) {
    const message = 'CHIP_ID: zero, the platform hides its chip, so its VCEK cannot be asked for';
    throw new EvidenceError('CHIP_ID_MASKED', message, { field: 'CHIP_ID' });
  }
  const size = HW_ID_BYTES[product];
  if (!isZero(chipId.subarray(size))) fail('CHIP_ID', `not zero after byte ${size}, so not of a ${product}`);
  return hex(chipId.subarray(0, size));
}

/** @throws EvidenceError EVIDENCE_MALFORMED a byte that the product reserves is not zero */
function splsOf({ product, tcb }: VcekKey): (readonly [name: string, value: number])[] {
  const places = SPL_PLACES[product];
  for (const [at, value] of tcb.entries()) {
    if (value !== 0 && !places.some(([, place]) => place === at)) {
      fail('REPORTED_TCB', `reserved byte ${at} is not zero, so not of a ${product}`);
    }
  }
  return places.map(([name, at]) => [name, tcb[at] ?? 0]);
}

/**
 * Path and query below the service's base address; also the name by which a cached answer knows what it answers.
 * @throws EvidenceError CHIP_ID_MASKED, EVIDENCE_MALFORMED
 */
export function resourceOf(key: EndorsementKey): string {
  if (key.kind !== 'vcek') {
    return `/${key.signer}/v1/${key.product}/${key.kind === 'chain' ? 'cert_chain' : 'crl'}`;
  }
  const query = splsOf(key).map(([name, value]) => `${name}=${value}`);
  return `/vcek/v1/${key.product}/${hwIdOf(key)}?${query.join('&')}`;
}

/** Relative path of the cache entry: by chip and TCB, because KDS signs the same VCEK anew at each request. */
export function cachePathOf(key: EndorsementKey): string {
  if (key.kind !== 'vcek') return `${key.signer}/${key.product}/${key.kind}.json`;
  const spls = splsOf(key).map(([, value]) => value);
  return `vcek/${key.product}/${hwIdOf(key)}/${spls.join('-')}.json`;
}

/** For messages. */
export function nameOf(key: EndorsementKey): string {
  if (key.kind === 'vcek') return `the VCEK of a ${key.product}`;
  const what = key.kind === 'chain' ? 'certificate chain' : 'CRL';
  return `the ${key.product} ${what} for ${key.signer.toUpperCase()}s`;
}
