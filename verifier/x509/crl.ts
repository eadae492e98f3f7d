/**
 * Certificate revocation lists as AMD's key service gives them: version 2, complete, direct, signed by the ARK (RFC 5280
 * §5). Any critical extension is refused, which rules out delta, indirect and partitioned lists.
 */
import { ByteCache } from '../byte-cache.ts';
import { verifyRsaPssSha384 } from '../crypto.ts';
import { DerReader, TAG } from './der.ts';
import { type Extension, readExtensions, readName } from './fields.ts';
import { readInnerAlgorithm, readSignedFrame } from './signed.ts';

const MAX_CRL_BYTES = 1 << 20;
const VERSION_2 = 1;

export interface Crl {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly tbs: Uint8Array<ArrayBuffer>;
  readonly issuerDer: Uint8Array<ArrayBuffer>;
  readonly issuerCN: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Serial number to revocation date. */
  readonly revoked: ReadonlyMap<bigint, Date>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

function refuseCritical(from: DerReader, extensions: ReadonlyMap<string, Extension>): void {
  for (const [oid, { critical }] of extensions) {
    if (critical) from.fail(`extensions: unknown critical extension ${oid}`);
  }
}

function readRevoked(list: DerReader): Map<bigint, Date> {
  const revoked = new Map<bigint, Date>();
  while (!list.done) {
    const entry = list.open(TAG.sequence, 'revoked certificate');
    const serial = entry.integer('revoked serial number');
    const date = entry.time('revocation date');
    if (!entry.done)
      refuseCritical(entry, readExtensions(entry.open(TAG.sequence, 'entry extensions'), 'entry extensions'));
    entry.end('revoked certificate');
    if (revoked.has(serial)) list.fail('revoked certificates: a serial number twice');
    revoked.set(serial, date);
  }
  return revoked;
}

function parse(input: Uint8Array, field: string): Crl {
  const der = new Uint8Array(input);
  const frame = readSignedFrame(der, 'CRL_INVALID', field, MAX_CRL_BYTES);
  const tbs = new DerReader(frame.tbs, 'CRL_INVALID', field).open(TAG.sequence, 'to-be-signed part');
  if (tbs.small('version', VERSION_2) !== VERSION_2) tbs.fail('version: want 2');
  readInnerAlgorithm(tbs, frame);
  const issuer = readName(tbs, 'issuer');
  const thisUpdate = tbs.time('thisUpdate');
  const nextUpdate = tbs.time('nextUpdate');
  if (nextUpdate < thisUpdate) tbs.fail('nextUpdate: before thisUpdate');
  const hasRevoked = tbs.peek() === TAG.sequence;
  const revoked = hasRevoked ? readRevoked(tbs.open(TAG.sequence, 'revoked certificates')) : new Map<bigint, Date>();
  if (hasRevoked && revoked.size === 0) tbs.fail('revoked certificates: empty list');
  const wrapper = tbs.open(TAG.context0, 'extensions');
  tbs.end('extensions');
  refuseCritical(tbs, readExtensions(wrapper.open(TAG.sequence, 'extensions'), 'extensions'));
  wrapper.end('extensions');
  return {
    der,
    tbs: frame.tbs,
    issuerDer: issuer.der,
    issuerCN: issuer.commonName,
    thisUpdate,
    nextUpdate,
    revoked,
    signature: frame.signature,
  };
}

const parsed = new ByteCache<Crl>(16);

/**
 * Decode one list. Shape only: it says nothing until its signature is verified under the anchor.
 *
 * @throws EvidenceError CRL_INVALID anything but the strict DER of this profile
 */
export function parseCrl(der: Uint8Array, field: string): Crl {
  const known = parsed.get(der);
  if (known) return known;
  const crl = parse(der, field);
  parsed.set(der, crl);
  return crl;
}

/** Whether this key signed the list. Not remembered: lists are few, and a look costs as much as a memory of megabytes. */
export const verifyCrlSignature = (crl: Crl, arkSpki: Uint8Array): boolean | Promise<boolean> =>
  verifyRsaPssSha384(arkSpki, crl.signature, crl.tbs);
