/** Document and certificates must speak of the same time, enclave, instance and region. No crypto here. */
import { isZero } from '@veritee/protocol';
import { CheckFailure } from '../checks.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { NitroChain } from './chain.ts';
import type { NitroDocument } from './document.ts';

function refuseUnlessNamed(certificate: Certificate, good: boolean, expected: string): void {
  if (good) return;
  const { subjectCN: field } = certificate;
  throw new CheckFailure('CERTIFICATE_INVALID', expected, field, { field });
}

/**
 * Each authority of AWS signs for its own part only: an instance's for that instance, a region's for that region. The
 * names say which part it is, so a stolen authority cannot speak for another one.
 *
 * @returns the region
 * @throws EvidenceError CERTIFICATE_INVALID
 */
export function checkModule(document: NitroDocument, { root, intermediates, leaf }: NitroChain): string {
  const { moduleId, instanceId } = document;
  const [module, region = '', partition] = leaf.subjectCN.split('.');
  refuseUnlessNamed(
    leaf,
    module === moduleId && region !== '' && partition !== undefined,
    `a certificate for the module ${moduleId} in a region`,
  );
  const issuer = intermediates.at(-1) ?? root;
  refuseUnlessNamed(issuer, issuer.subjectCN.startsWith(`${instanceId}.`), `the authority of ${instanceId}`);
  for (const authority of intermediates) {
    refuseUnlessNamed(authority, authority.subjectCN.includes(`.${region}.`), `an authority of ${region}`);
  }
  return region;
}

/**
 * A debug enclave has zeros in PCR0, PCR1 and PCR2. No image measures as zero, so any one of them tells; the others do
 * not: PCR3, PCR4 and PCR8 are zero or not in either mode.
 */
export const isDebug = ({ pcr0, pcr1, pcr2 }: NitroDocument): boolean => isZero(pcr0) || isZero(pcr1) || isZero(pcr2);
