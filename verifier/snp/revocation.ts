/**
 * Revocation of the ASK or ASVK by its ARK. A list can always add a revocation; only one that the caller gives, and that is
 * current at the time of the check, says that there is none.
 */
import { equalBytes } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import { AMD_ANCHORS, AMD_REVOKED } from '../trust/amd.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { amdAnchor } from '../trust/read.ts';
import { type Crl, parseCrl, verifyCrlSignature } from '../x509/crl.ts';
import type { IntermediateFacts } from './chain.ts';
import { amdName } from './profile.ts';
import type { SnpProduct } from './tcb.ts';

export interface RevocationLists {
  /** Lists of this root, verified: the caller's, then the file's. */
  readonly given: readonly Crl[];
  readonly inside: readonly Crl[];
  /** Names of the other trusted roots whose lists the caller gave. */
  readonly ofOtherRoots: readonly string[];
}

const isSignedBy = (crl: Crl, anchor: TrustAnchor): Promise<boolean> => verifyCrlSignature(crl, anchor.publicKey);

function refuse(field: string, anchor: TrustAnchor): never {
  throw new CheckFailure('CRL_INVALID', `a CRL signed by ${anchor.name}`, `${field} with another signature`, { field });
}

/**
 * Every list, whoever brought it, is parsed and verified. The caller may give lists of other roots as well (a folder of all
 * products); a list that no root known here signed is refused, and so is any foreign list inside the file.
 * @throws EvidenceError CRL_INVALID
 */
export async function verifyCrls(
  anchor: TrustAnchor,
  product: SnpProduct,
  anchors: readonly TrustAnchor[],
  files: { readonly given: readonly Uint8Array[]; readonly inside: readonly Uint8Array[] },
): Promise<RevocationLists> {
  const name = amdName(`ARK-${product}`);
  const given: Crl[] = [];
  const inside: Crl[] = [];
  const ofOtherRoots: string[] = [];
  for (const [index, der] of files.inside.entries()) {
    const field = `CRL ${index + 1} inside the file`;
    const crl = parseCrl(der, field);
    if (!equalBytes(crl.issuerDer, name) || !(await isSignedBy(crl, anchor))) refuse(field, anchor);
    inside.push(crl);
  }
  for (const [index, der] of files.given.entries()) {
    const field = `given CRL ${index + 1}`;
    const crl = parseCrl(der, field);
    if (await isSignedBy(crl, anchor)) {
      if (!equalBytes(crl.issuerDer, name)) refuse(field, anchor);
      given.push(crl);
      continue;
    }
    const other = await signerAmong(crl, [...AMD_ANCHORS, ...anchors]);
    ofOtherRoots.push(other?.name ?? refuse(field, anchor));
  }
  return { given, inside, ofOtherRoots };
}

async function signerAmong(crl: Crl, anchors: readonly TrustAnchor[]): Promise<TrustAnchor | null> {
  for (const anchor of anchors) {
    if (await isSignedBy(crl, anchor)) return anchor;
  }
  return null;
}

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
