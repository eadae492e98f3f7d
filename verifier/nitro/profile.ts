/**
 * AWS's certificate profile for Nitro: who may be which certificate of a chain. Signatures are `chain.ts`'s affair.
 *
 * ```
 * aws.nitro-enclaves                          CA              30 years   the root, pinned
 * <hex>.<region>.aws.nitro-enclaves           CA, pathLen 2   20 days
 * <hex>.zonal.<region>.aws.nitro-enclaves     CA, pathLen 1    6 days
 * <instance>.<region>.aws.nitro-enclaves      CA, pathLen 0   24 hours
 * <instance>-<enclave>.<region>.aws           no CA            3 hours   signs documents
 * ```
 * The rules are those of RFC 5280 §6.1 that AWS names, not this very table: what AWS may change, such as the number of
 * authorities, is not compared.
 * @see AWS Nitro Enclaves, attestation_process.md §3.2.3
 */
import { equalBytes } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { Certificate } from '../x509/certificate.ts';
import { DerReader, TAG } from '../x509/der.ts';

const OID_KEY_USAGE = '2.5.29.15';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const UNDERSTOOD: readonly string[] = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE];

/** Bits of the first octet, most significant first (RFC 5280 §4.2.1.3). */
const DIGITAL_SIGNATURE = 0b1000_0000;
const KEY_CERT_SIGN = 0b0000_0100;

const MAX_PATH_LENGTH = 255;

function refuse(certificate: Certificate, expected: string, actual: string): never {
  const field = certificate.subjectCN;
  throw new CheckFailure('CERTIFICATE_INVALID', `${field} with ${expected}`, actual, { field });
}

const reader = (certificate: Certificate, value: Uint8Array): DerReader =>
  new DerReader(value, 'CERTIFICATE_INVALID', certificate.subjectCN);

interface BasicConstraints {
  readonly critical: boolean;
  readonly ca: boolean;
  readonly pathLength: number | null;
}

function basicConstraints(certificate: Certificate): BasicConstraints | null {
  const extension = certificate.extensions.get(OID_BASIC_CONSTRAINTS);
  if (!extension) return null;
  const what = 'basic constraints';
  const outer = reader(certificate, extension.value);
  const fields = outer.open(TAG.sequence, what);
  outer.end(what);
  const ca = fields.peek() === TAG.boolean && fields.boolean(what);
  if (!ca && !fields.done) fields.fail(`${what}: a default value or a path length without a CA`);
  const pathLength = fields.done ? null : fields.small(what, MAX_PATH_LENGTH);
  fields.end(what);
  return { critical: extension.critical, ca, pathLength };
}

/** The first octet of the bit string; zero when the extension is absent. Whether it is critical varies and is not compared. */
function keyUsage(certificate: Certificate): number {
  const extension = certificate.extensions.get(OID_KEY_USAGE);
  if (!extension) return 0;
  const what = 'key usage';
  const outer = reader(certificate, extension.value);
  const [unused, first, second, ...more] = outer.read(TAG.bitString, what);
  outer.end(what);
  const last = second ?? first;
  const wellFormed = unused !== undefined && unused < 8 && more.length === 0;
  if (first === undefined || last === undefined || !wellFormed || (last & ((1 << unused) - 1)) !== 0) {
    return outer.fail(`${what}: not a bit string of named bits`);
  }
  return first;
}

/** Extensions that are understood may be critical; any other critical one means rules we cannot follow. */
function refuseUnknownCritical(certificate: Certificate): void {
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !UNDERSTOOD.includes(oid)) refuse(certificate, 'known critical extensions only', oid);
  }
}

/**
 * @param below how many authorities stand between this one and the leaf
 * @throws EvidenceError CERTIFICATE_INVALID
 */
export function refuseUnlessAuthority(certificate: Certificate, below: number): void {
  const constraints = basicConstraints(certificate);
  if (!constraints?.ca) refuse(certificate, 'the basic constraints of an authority', constraints ? 'others' : 'none');
  if (!constraints.critical) refuse(certificate, 'critical basic constraints', 'others');
  const { pathLength } = constraints;
  if (pathLength !== null && pathLength < below) {
    refuse(certificate, `a path length of at least ${below}`, String(pathLength));
  }
  if ((keyUsage(certificate) & KEY_CERT_SIGN) === 0) refuse(certificate, 'the key usage keyCertSign', 'another');
  refuseUnknownCritical(certificate);
}

/** A root that is offered as an anchor. @throws EvidenceError CERTIFICATE_INVALID */
export function refuseUnlessRoot(certificate: Certificate): void {
  if (!equalBytes(certificate.subjectDer, certificate.issuerDer)) {
    refuse(certificate, 'itself as its issuer', certificate.issuerCN);
  }
  refuseUnlessAuthority(certificate, 0);
}

/** @throws EvidenceError CERTIFICATE_INVALID */
export function refuseUnlessLeaf(certificate: Certificate): void {
  if (basicConstraints(certificate)?.ca) refuse(certificate, 'no right to issue certificates', 'those of an authority');
  const usage = keyUsage(certificate);
  if ((usage & DIGITAL_SIGNATURE) === 0) refuse(certificate, 'the key usage digitalSignature', 'another');
  if ((usage & KEY_CERT_SIGN) !== 0) refuse(certificate, 'no key usage keyCertSign', 'it');
  refuseUnknownCritical(certificate);
}
