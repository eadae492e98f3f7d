/**
 * Phase 2: signatures, chain and bindings, in the order of docs/formats.md: on SNP at the caller's time, on Nitro at the
 * document's, which the caller's bounds. Throws at the first check that fails; what was shown before stays in the log.
 */
import type { Statement } from '@veritee/protocol';
import { nitroClaims, readTcbs, type SnpTcbs, snpClaims } from '../appraise/claims.ts';
import { CheckFailure, type CheckLog, type CheckRow, type Strength } from '../checks.ts';
import type { NitroDocument } from '../nitro/document.ts';
import { refuseFromFuture } from '../nitro/time.ts';
import type { VerifiedNitro } from '../nitro/verify.ts';
import { roleOfName } from '../snp/profile.ts';
import type { SnpReport } from '../snp/report.ts';
import { type VerifiedSnp, verifySnp } from '../snp/verify.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { type VerifiedChallenge, verifyChallenge } from './challenge.ts';
import type { Parsed, ParsedEvidence, ParsedPlatform } from './parse.ts';
import { type VerifiedSession, verifySession } from './session.ts';
import { verifyStatement } from './statement.ts';

export const CHAIN_ROWS: readonly CheckRow[] = [
  {
    id: 'evidence.chain',
    claim: 'certificate chain of the evidence file: leaf first, then its issuer, never the root',
    source: 'docs/formats.md, evidence',
    kinds: ['evidence', 'attestation', 'receipt'],
  },
];

/** What the caller trusts and supplies. */
export interface Trust {
  readonly anchors: readonly TrustAnchor[];
  /** DER. */
  readonly certificates: readonly Uint8Array[];
  /** DER. */
  readonly crls: readonly Uint8Array[];
  /** DER, from a certificate table: can only add a revocation. */
  readonly crlsOfHost: readonly Uint8Array[];
}

declare const verified: unique symbol; // not exported: only `verify` mints it

export type VerifiedPlatform =
  | { readonly name: 'sev-snp'; readonly snp: VerifiedSnp; readonly tcb: SnpTcbs }
  | { readonly name: 'nitro'; readonly nitro: VerifiedNitro };

type Facts = { readonly platform: VerifiedPlatform } & (
  | { readonly kind: 'snp-report' }
  | { readonly kind: 'snp-hcl' }
  | { readonly kind: 'nitro-document' }
  | { readonly kind: 'evidence'; readonly session: VerifiedSession }
  | { readonly kind: 'attestation'; readonly session: VerifiedSession; readonly challenge: VerifiedChallenge | null }
  | {
      readonly kind: 'receipt';
      readonly session: VerifiedSession;
      readonly statement: Statement;
      readonly strength: Strength;
    }
);
/** Genuine and intact; whether it is acceptable is for a policy to say. */
export type Verified<F extends Facts = Facts> = F & { readonly [verified]: true };

/** @throws EvidenceError the code of the first check that failed */
export async function verify(parsed: Parsed, trust: Trust, at: Date, log: CheckLog): Promise<Verified> {
  const facts = await verifyFacts(parsed, trust, at, log);
  log.establish({ existedBy: existedBy(facts) });
  return facts as Verified;
}

/** AWS signs the time with the document. It covers what the document commits to, so no statement that came after it. */
export function existedBy(facts: Facts): Date | null {
  if (facts.platform.name !== 'nitro') return null;
  if (facts.kind === 'receipt' && facts.strength === 'session-signed') return null;
  return facts.platform.nitro.document.timestamp;
}

async function verifyFacts(parsed: Parsed, trust: Trust, at: Date, log: CheckLog): Promise<Facts> {
  if (parsed.kind === 'snp-report' || parsed.kind === 'nitro-document') {
    const { kind } = parsed;
    return { kind, platform: await verifyPlatform(parsed.platform, null, trust, at, log) };
  }
  if (parsed.kind === 'snp-hcl') {
    const platform = await verifyPlatform(parsed.platform, null, trust, at, log);
    const { verifyHclClaims } = await import('../snp/hcl.ts');
    verifyHclClaims(parsed.report, parsed.hcl, log);
    return { kind: parsed.kind, platform };
  }
  const { evidence } = parsed;
  const platform = await verifyPlatform(evidence.platform, evidence, trust, at, log);
  const session = await verifySession(evidence, evidence.platform, log);
  switch (parsed.kind) {
    case 'evidence':
      log.establish({ strength: 'hardware-committed' });
      return { kind: parsed.kind, platform, session };
    case 'attestation': {
      const challenge = await verifyChallenge(parsed.challenge, parsed.keys, session, log);
      log.establish({ strength: 'hardware-committed' });
      return { kind: parsed.kind, platform, session, challenge };
    }
    case 'receipt': {
      const { statement, path } = parsed;
      const strength = await verifyStatement(statement, path, session, log);
      return { kind: parsed.kind, platform, session, statement: statement.value, strength };
    }
  }
}

const verifyPlatform = (
  platform: ParsedPlatform,
  evidence: ParsedEvidence | null,
  trust: Trust,
  at: Date,
  log: CheckLog,
): Promise<VerifiedPlatform> =>
  platform.name === 'nitro'
    ? verifyDocument(platform.document, trust, at, log)
    : verifyReport(platform.report, evidence, trust, at, log);

/** The leaf lives three hours, so the chain is judged at the document's own time. */
async function verifyDocument(
  document: NitroDocument,
  { anchors, certificates, crls, crlsOfHost }: Trust,
  at: Date,
  log: CheckLog,
): Promise<VerifiedPlatform> {
  const { verifyNitro } = await import('../nitro/verify.ts');
  const nitro = await verifyNitro(document, anchors, 'document-time', log);
  log.step(
    'nitro.not-from-future',
    () => refuseFromFuture(document, at),
    () => `signed ${document.timestamp.toISOString()}, verified as of ${at.toISOString()}`,
  );
  if (certificates.length + crls.length + crlsOfHost.length > 0) {
    log.note('the certificates and CRLs given: a Nitro document brings its own chain, and AWS asks not to use CRLs');
  }
  log.establish({ platform: nitro.anchor.platform, claims: nitroClaims(nitro), evidenceTime: nitro.validAt });
  return { name: 'nitro', nitro };
}

async function verifyReport(
  report: SnpReport,
  evidence: ParsedEvidence | null,
  trust: Trust,
  at: Date,
  log: CheckLog,
): Promise<VerifiedPlatform> {
  if (evidence)
    log.step(
      'evidence.chain',
      () => checkOrder(evidence.chain),
      () => `${evidence.chain.length} certificates`,
    );
  const endorsements = {
    certificates: [...(evidence?.chain ?? []), ...trust.certificates],
    crlsGiven: trust.crls,
    crlsInside: [...(evidence?.crls ?? []), ...trust.crlsOfHost],
  };
  const snp = await verifySnp(report, endorsements, trust.anchors, at, log);
  const tcb = readTcbs(report, snp.product);
  log.establish({ platform: snp.anchor.platform, claims: snpClaims(snp, tcb) });
  return { name: 'sev-snp', snp, tcb };
}

const ROLES = ['leaf', 'intermediate'] as const;

/** An evidence file has one form: [], [leaf] or [leaf, intermediate]. What it leaves out, the caller may endorse. */
function checkOrder(chain: readonly Uint8Array[]): void {
  const roles = chain.map((der, i) => {
    const { subjectCN } = parseCertificate(der, `evidence.chain[${i}]`);
    return roleOfName(subjectCN)?.role ?? subjectCN;
  });
  if (roles.length <= ROLES.length && roles.every((role, i) => role === ROLES[i])) return;
  throw new CheckFailure('EVIDENCE_MALFORMED', ROLES.join(', '), roles.join(', '), { field: 'evidence.chain' });
}
