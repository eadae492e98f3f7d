/**
 * Revocation of the ASK or ASVK by its ARK. A list can always add a revocation; only one that the caller gives, and that is
 * current at the time of the check, says that there is none.
 */
import { CheckFailure } from '../checks.ts';
import { AMD_REVOKED } from '../trust/amd.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { amdAnchor } from '../trust/read.ts';
import type { Crl } from '../x509/crl.ts';
import type { IntermediateFacts } from './chain.ts';

export interface RevocationLists {
  /** Lists of this root, verified: the caller's, then the file's. */
  readonly given: readonly Crl[];
  readonly inside: readonly Crl[];
  /** Names of the other trusted roots whose lists the caller gave. */
  readonly ofOtherRoots: readonly string[];
}

export const NO_LISTS: RevocationLists = { given: [], inside: [], ofOtherRoots: [] };

/**
 * A revoked intermediate stays revoked at every time: what it signed before cannot be told from what its thief signed.
 * @throws EvidenceError CERTIFICATE_REVOKED
 */
export function refuseRevoked(intermediate: IntermediateFacts, anchor: TrustAnchor, lists: RevocationLists): void {
  const { name, serial } = intermediate;
  const embedded = AMD_REVOKED.some((entry) => entry.root === amdAnchor(anchor)?.name && entry.serial === serial);
  const list = [...lists.given, ...lists.inside].find(({ revoked }) => revoked.has(serial));
  if (!embedded && !list) return;
  const date = list?.revoked.get(serial)?.toISOString();
  const actual = `serial 0x${serial.toString(16)} revoked${date ? ` on ${date}` : ', known to this release'}`;
  throw new CheckFailure('CERTIFICATE_REVOKED', `${name} not revoked by ${anchor.name}`, actual, { field: name });
}

/** The newest of the lists that is current at the time. */
export function currentCrl(given: readonly Crl[], at: Date): Crl | null {
  const newestFirst = [...given].sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime());
  return newestFirst.find(({ thisUpdate, nextUpdate }) => thisUpdate <= at && at <= nextUpdate) ?? null;
}
