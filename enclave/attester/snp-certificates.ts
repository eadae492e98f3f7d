/**
 * Certificates for a report, from whoever has them: the host's table beside the report (`auxblob`), or what the host or
 * the operator gave. None is trusted here: a chain is taken when its leaf signed this very report and its intermediate
 * signed the leaf, so that one for another chip, or for the TCB of before a firmware update, or one that was tampered with,
 * is not frozen into evidence. Whether AMD's root stands above them is for the verifier, which pins it.
 *
 * @see AMD 56860, ATTESTATION_REPORT and its signature; AMD 57230, VCEK and VLEK
 */
import { createPublicKey, verify, X509Certificate } from 'node:crypto';
import { CodedError, parseSnpCertificateTable, ServiceError, SNP_CERTIFICATE_GUID } from '@veritee/protocol';

/** DER, leaf first, never the root. */
export type Chain = readonly [leaf: Uint8Array<ArrayBuffer>, intermediate: Uint8Array<ArrayBuffer>];

/** Two of AMD's RSA-4096 certificates, a root and a leaf, as PEM, are under 10 KiB. */
export const MAX_ENDORSEMENT_BYTES = 64 << 10;
const MAX_CERTIFICATES = 16;

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const DER_SEQUENCE = 0x30;

const malformed = (reason: string, cause?: unknown): ServiceError =>
  new ServiceError('ENDORSEMENT_MALFORMED', `endorsement: ${reason}`, { field: 'endorsement', cause });

/** One DER certificate, or PEM with one or several. @throws ServiceError ENDORSEMENT_MALFORMED */
function certificatesIn(data: Uint8Array): readonly X509Certificate[] {
  const texts = Buffer.from(data).toString('latin1').match(PEM) ?? [];
  const parts = data[0] === DER_SEQUENCE ? [Buffer.from(data)] : texts;
  if (parts.length === 0) throw malformed('neither DER nor PEM');
  if (parts.length > MAX_CERTIFICATES) throw malformed(`more than ${MAX_CERTIFICATES} certificates`);
  return parts.map((part) => {
    try {
      const certificate = new X509Certificate(part);
      if (certificate.publicKey.type === 'public') return certificate; // a key of no known kind throws, here and not later
      throw malformed('no public key');
    } catch (cause) {
      throw malformed('not an X.509 certificate', cause);
    }
  });
}

const isLeaf = ({ subject }: X509Certificate): boolean => /^CN=SEV-V[CL]EK$/m.test(subject);
const isRoot = (certificate: X509Certificate): boolean => certificate.issuer === certificate.subject;

/**
 * Leaf and intermediate of the table, which may lack either. The root, if the host sent one, is not evidence.
 *
 * @throws CodedError ENDORSEMENT_MALFORMED
 */
export function certificatesOfTable(table: Uint8Array): readonly X509Certificate[] {
  const entries = new Map(parseSnpCertificateTable(table).map(({ guid, data }) => [guid, data]));
  const { vcek, vlek, ask } = SNP_CERTIFICATE_GUID;
  return [entries.get(vcek), entries.get(vlek), entries.get(ask)].flatMap((data) => (data ? certificatesIn(data) : []));
}

const SIGNED_BYTES = 0x2a0;
const R_AT = 0x2a0;
const S_AT = 0x2e8;
const SCALAR_BYTES = 48;

/** ECDSA P-384 with SHA-384; R and S are little-endian in the report. */
export function isSignedBy(report: Uint8Array, leaf: X509Certificate): boolean {
  const scalar = (at: number) => Buffer.from(report.subarray(at, at + SCALAR_BYTES)).reverse();
  const key = createPublicKey(leaf.publicKey.export({ format: 'pem', type: 'spki' }));
  if (key.asymmetricKeyType !== 'ec') return false;
  const signature = Buffer.concat([scalar(R_AT), scalar(S_AT)]);
  return verify('sha384', report.subarray(0, SIGNED_BYTES), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

/** The chain of the key that signed this report; null when these certificates hold none. */
function findChain(report: Uint8Array, certificates: readonly X509Certificate[]): Chain | null {
  const der = ({ raw }: X509Certificate): Uint8Array<ArrayBuffer> => new Uint8Array(raw);
  for (const leaf of certificates) {
    if (!isLeaf(leaf) || !isSignedBy(report, leaf)) continue;
    const signer = certificates.find(
      (one) => one.subject === leaf.issuer && !isRoot(one) && leaf.verify(one.publicKey),
    );
    if (signer) return [der(leaf), der(signer)];
  }
  return null;
}

/** A report without a chain, and the certificates that came with it. */
interface Wanted {
  readonly report: Uint8Array<ArrayBuffer>;
  readonly ofTable: readonly X509Certificate[];
}

/** Certificates that did not come with a report; the newest few are kept. */
export class GivenEndorsements {
  #certificates: readonly X509Certificate[] = [];
  #wanted: Wanted | null = null;

  /** The last report that nobody's certificates fit; its CHIP_ID and TCB say which to ask AMD for. */
  get wanted(): Uint8Array<ArrayBuffer> | null {
    return this.#wanted?.report ?? null;
  }

  /**
   * DER, PEM or a certificate table; leaf and intermediate may come apart, in any order.
   *
   * @throws CodedError ENDORSEMENT_MALFORMED
   */
  offer(data: Uint8Array): void {
    const isText = data[0] === DER_SEQUENCE || Buffer.from(data.subarray(0, 2)).toString('latin1') === '--';
    const found = isText
      ? certificatesIn(data)
      : parseSnpCertificateTable(data).flatMap((entry) =>
          entry.guid === SNP_CERTIFICATE_GUID.crl ? [] : certificatesIn(entry.data),
        );
    if (found.length === 0) throw malformed('no certificate');
    // Given again, one takes no second place: the operator's stay.
    const all = new Map([...found, ...this.#certificates].map((one) => [one.fingerprint256, one]));
    this.#certificates = [...all.values()].slice(0, MAX_CERTIFICATES);
    if (this.#wanted && this.#chainFor(this.#wanted)) this.#wanted = null;
  }

  /**
   * @param ofTable what came with the report; it may be half a chain, as a VLEK without its ASVK
   * @throws CodedError ENDORSEMENT_MISSING no certificate that anyone gave signed this report
   */
  chainFor(report: Uint8Array<ArrayBuffer>, ofTable: readonly X509Certificate[]): Chain {
    const chain = this.#chainFor({ report, ofTable });
    this.#wanted = chain ? null : { report, ofTable };
    if (chain) return chain;
    const none = ofTable.length === 0 && this.#certificates.length === 0;
    const found = none ? 'the host gave none' : 'those given are of another chip or TCB, or no whole chain';
    throw new CodedError('ENDORSEMENT_MISSING', `certificates of the signing key: ${found}`, { field: 'auxblob' });
  }

  #chainFor({ report, ofTable }: Wanted): Chain | null {
    return findChain(report, [...ofTable, ...this.#certificates]);
  }
}
