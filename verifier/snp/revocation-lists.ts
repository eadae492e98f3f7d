/** The lists that somebody brought, verified. Loaded only where there are any. */
import { equalBytes } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import { AMD_ANCHORS } from '../trust/amd.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { type Crl, parseCrl, verifyCrlSignature } from '../x509/crl.ts';
import { amdName } from './profile.ts';
import type { RevocationLists } from './revocation.ts';
import type { SnpProduct } from './tcb.ts';

const isSignedBy = (crl: Crl, anchor: TrustAnchor): boolean | Promise<boolean> =>
  verifyCrlSignature(crl, anchor.publicKey);

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
