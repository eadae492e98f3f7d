/**
 * Verify a Nitro attestation document: from the caller's anchors down to the key that signed it, then the document itself,
 * then that document and certificates speak of the same time and enclave. No network, no clock: everything comes from the
 * caller. AWS asks not to use the revocation lists its certificates name, so there is no revocation here.
 */
import { hex } from '@veritee/protocol';
import { CheckFailure, type CheckLog } from '../checks.ts';
import { verifyEcdsaP384Sha384 } from '../crypto.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import type { Certificate } from '../x509/certificate.ts';
import { checkValidity } from '../x509/validity.ts';
import { certificatesOf, checkProfile, findAnchor, parseChain, verifyIntermediates, verifyLeaf } from './chain.ts';
import type { NitroDocument } from './document.ts';
import { checkModule, isDebug } from './match.ts';

declare const verified: unique symbol; // not exported: minted by one cast, the last line of verifyNitro
export interface VerifiedNitro {
  readonly [verified]: true;
  readonly document: NitroDocument;
  readonly anchor: TrustAnchor;
  readonly leaf: Pick<Certificate, 'subjectCN' | 'serial' | 'notBefore' | 'notAfter' | 'fingerprint'>;
  /** `us-east-1`, as the leaf and every authority below the root name it. */
  readonly region: string;
  /** The parent instance can read a debug enclave's console; its PCRs measure nothing. Policy decides. */
  readonly debug: boolean;
  /** The time at which the chain was valid. */
  readonly validAt: Date;
  /** Who said so: the hypervisor that signed the document, or the caller. */
  readonly timeSource: 'evidence' | 'caller';
}

/**
 * Every check is a row of `NITRO_VERIFY_ROWS`, recorded in `log`; the first that fails ends it.
 *
 * The leaf lives three hours. A Date asks whether the chain is valid then, as a live check does with the present time.
 * `document-time` asks whether it was valid when the document was signed, as one of archived evidence does; whoever holds a
 * leaf's key, even one that has expired, can sign any time of its life, so this proves no date: `existedBy` does.
 *
 * How old a document may be, and that it is not newer than the caller's time, is for a policy to say.
 *
 * @throws EvidenceError the code of the failing row
 */
export async function verifyNitro(
  document: NitroDocument,
  anchors: readonly TrustAnchor[],
  at: Date | 'document-time',
  log: CheckLog,
): Promise<VerifiedNitro> {
  const validAt = new Date(at === 'document-time' ? document.timestamp : at);
  if (Number.isNaN(validAt.getTime())) throw new TypeError('at: not a time');

  const chain = log.step(
    'nitro.chain.shape',
    () => parseChain(document),
    (parsed) =>
      certificatesOf(parsed)
        .map(({ subjectCN }) => subjectCN)
        .join(', '),
  );
  const { leaf } = chain;
  const anchor = log.step(
    'nitro.chain.root',
    () => findAnchor(chain, anchors),
    ({ name, platform, fingerprint }) => `${name} (${platform}), SHA-256 ${hex(fingerprint)}`,
  );
  log.step(
    'nitro.chain.profile',
    () => checkProfile(chain),
    () => `${chain.intermediates.length} authorities below the root, and a leaf that is none`,
  );
  await log.step(
    'nitro.chain.intermediates',
    () => verifyIntermediates(chain),
    () => `each signed by the one above it, the first by ${anchor.name}`,
  );
  await log.step(
    'nitro.chain.leaf',
    () => verifyLeaf(chain),
    () => `${leaf.subjectCN} signed by ${leaf.issuerCN}`,
  );
  const validities = [
    anchor,
    ...certificatesOf(chain).map(({ subjectCN: name, notBefore, notAfter }) => ({ name, notBefore, notAfter })),
  ];
  log.step(
    'nitro.chain.time',
    () => checkValidity(validities, validAt),
    () => `all valid at ${validAt.toISOString()}; ${leaf.subjectCN} until ${leaf.notAfter.toISOString()}`,
  );

  await log.step(
    'nitro.signature',
    async () => {
      if (await verifyEcdsaP384Sha384(leaf.spki, document.signature, document.toBeSigned)) return;
      throw new CheckFailure('SIGNATURE_INVALID', `a signature by ${leaf.subjectCN}`, 'another', {
        field: 'document.signature',
      });
    },
    () => `verifies over the ${document.payload.length} bytes of the payload as received`,
  );
  log.step(
    'nitro.timestamp',
    () => checkValidity(validities, document.timestamp),
    () => `${document.timestamp.toISOString()}, within the life of every certificate`,
  );
  const region = log.step(
    'nitro.module',
    () => checkModule(document, chain),
    (name) => `${document.moduleId} in ${name}, as the certificates say`,
  );
  if (document.unknownFields > 0) {
    log.note(`what ${document.unknownFields} fields of the document say: this release does not know them`);
  }

  const { subjectCN, serial, notBefore, notAfter, fingerprint } = leaf;
  return {
    document,
    anchor,
    leaf: { subjectCN, serial, notBefore, notAfter, fingerprint },
    region,
    debug: isDebug(document),
    validAt,
    timeSource: at === 'document-time' ? 'evidence' : 'caller',
  } as VerifiedNitro;
}
