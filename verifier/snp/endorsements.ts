/**
 * The files in which people keep endorsements: certificates in DER or PEM, or the certificate table that a host hands to an
 * SNP guest (`auxblob`), whose entries are DER or PEM in turn. The host wrote the table, so its labels and its order decide
 * nothing: what a certificate is, its own name and its issuer's signature say.
 */
import { EvidenceError, hex, isZero, parseSnpCertificateTable, SNP_CERTIFICATE_GUID } from '@veritee/protocol';
import { TAG } from '../x509/der.ts';
import { readCertificates, readCrls } from '../x509/pem.ts';

export interface Endorsements {
  /** DER. */
  readonly certificates: readonly Uint8Array[];
  /** DER; delivered by the host, so they can only add a revocation. */
  readonly crls: readonly Uint8Array[];
}

/** Six certificates and lists take a tenth of it; the kernel hands out 16 KiB at most. */
const MAX_TABLE_BYTES = 1 << 18;
const ENTRY_BYTES = 24;
const GUID_BYTES = 16;
/** As far as a table has entries; a file of another kind has none of the identifiers at any of these places. */
const MAX_ENTRIES = 32;

const guids = (names: readonly (keyof typeof SNP_CERTIFICATE_GUID)[]): ReadonlySet<string> =>
  new Set(names.map((name) => SNP_CERTIFICATE_GUID[name]));
const CERTIFICATES = guids(['vcek', 'vlek', 'ask', 'ark']);
const CRLS = guids(['crl']);
const RAW = new Set([...CERTIFICATES, ...CRLS].map((guid) => guid.replaceAll('-', '')));

/** One known identifier in its place, or nothing but the all-zero entry that ends a table. */
function isTable(file: Uint8Array): boolean {
  if (file[0] === TAG.sequence) return false; // DER
  for (let at = 0; at + ENTRY_BYTES <= file.length && at < MAX_ENTRIES * ENTRY_BYTES; at += ENTRY_BYTES) {
    if (isZero(file.subarray(at, at + ENTRY_BYTES))) return at === 0;
    if (RAW.has(hex(file.subarray(at, at + GUID_BYTES)))) return true;
  }
  return false;
}

/**
 * The certificates of a file, and the lists of a table. Entries that are neither are left aside: hosts add their own.
 *
 * @throws EvidenceError ENDORSEMENT_MALFORMED neither DER, PEM nor a well-formed table; CRL_INVALID a table's list that is
 *   none
 */
export function readEndorsements(file: Uint8Array, field: string): Endorsements {
  if (!isTable(file)) return { certificates: readCertificates(file, field), crls: [] };
  if (file.length > MAX_TABLE_BYTES) {
    const message = `${field}: a certificate table of ${file.length} bytes, want at most ${MAX_TABLE_BYTES}`;
    throw new EvidenceError('ENDORSEMENT_MALFORMED', message, { field });
  }
  const entries = parseSnpCertificateTable(file);
  const of = (known: ReadonlySet<string>, read: typeof readCertificates): Uint8Array[] =>
    entries.filter(({ guid }) => known.has(guid)).flatMap(({ guid, data }) => read(data, `${field}: entry ${guid}`));
  return { certificates: of(CERTIFICATES, readCertificates), crls: of(CRLS, readCrls) };
}
