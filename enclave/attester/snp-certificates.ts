/**
 * Certificates for a report, from whoever has them: the host's table beside the report (`auxblob`), or what the host or
 * the operator gave. None is trusted here: a chain is taken when its leaf signed this very report, so that one for another
 * chip, or for the TCB of before a firmware update, is not frozen into evidence. The verifier does the rest.
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
const MAX_CHAINS = 8;

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
      return new X509Certificate(part);
    } catch (cause) {
      throw malformed('not an X.509 certificate', cause);
    }
  });
}

const isLeaf = ({ subject }: X509Certificate): boolean => /^CN=SEV-V[CL]EK$/m.test(subject);
const isRoot = (certificate: X509Certificate): boolean => certificate.issuer === certificate.subject;

/** Every leaf with the intermediate that names itself its issuer. */
function chainsOf(certificates: readonly X509Certificate[]): Chain[] {
  const der = ({ raw }: X509Certificate): Uint8Array<ArrayBuffer> => new Uint8Array(raw);
  return certificates.filter(isLeaf).flatMap((leaf) => {
    const intermediate = certificates.find((one) => one.subject === leaf.issuer && !isRoot(one));
    return intermediate ? [[der(leaf), der(intermediate)] as const] : [];
  });
}

/**
 * Leaf and intermediate of the table; null when it holds none. The root, if the host sent one, is not evidence.
 *
 * @throws CodedError ENDORSEMENT_MALFORMED
 */
export function chainOfTable(table: Uint8Array): Chain | null {
  const entries = new Map(parseSnpCertificateTable(table).map(({ guid, data }) => [guid, data]));
  const { vcek, vlek, ask } = SNP_CERTIFICATE_GUID;
  const found = [entries.get(vcek), entries.get(vlek), entries.get(ask)].flatMap((data) =>
    data ? certificatesIn(data) : [],
  );
  return chainsOf(found)[0] ?? null;
}

const SIGNED_BYTES = 0x2a0;
const R_AT = 0x2a0;
const S_AT = 0x2e8;
const SCALAR_BYTES = 48;

/** ECDSA P-384 with SHA-384; R and S are little-endian in the report. */
export function isSignedBy(report: Uint8Array, leaf: Uint8Array): boolean {
  const scalar = (at: number) => Buffer.from(report.subarray(at, at + SCALAR_BYTES)).reverse();
  const key = createPublicKey(new X509Certificate(leaf).publicKey.export({ format: 'pem', type: 'spki' }));
  if (key.asymmetricKeyType !== 'ec') return false;
  const signature = Buffer.concat([scalar(R_AT), scalar(S_AT)]);
  return verify('sha384', report.subarray(0, SIGNED_BYTES), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

/** Chains that did not come with a report; the newest few are kept. */
export class GivenEndorsements {
  #chains: Chain[] = [];
  #certificates: X509Certificate[] = [];
  #wanted: Uint8Array<ArrayBuffer> | null = null;

  /** The last report that nobody's certificates fit; its CHIP_ID and TCB say which to ask AMD for. */
  get wanted(): Uint8Array<ArrayBuffer> | null {
    return this.#wanted;
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
    this.#certificates = [...found, ...this.#certificates].slice(0, MAX_CERTIFICATES);
    this.#chains = chainsOf(this.#certificates).slice(0, MAX_CHAINS);
  }

  /** @throws CodedError ENDORSEMENT_MISSING no certificate that anyone gave signed this report */
  chainFor(report: Uint8Array<ArrayBuffer>, ofTable: Chain | null): Chain {
    const candidates = ofTable ? [ofTable, ...this.#chains] : this.#chains;
    const chain = candidates.find(([leaf]) => isSignedBy(report, leaf));
    this.#wanted = chain ? null : report;
    if (chain) return chain;
    const found = candidates.length === 0 ? 'the host gave none' : 'those given are of another chip or TCB';
    throw new CodedError('ENDORSEMENT_MISSING', `certificates of the signing key: ${found}`, { field: 'auxblob' });
  }
}
