/**
 * Phase 2: signatures, chain and bindings at the caller's time, in the order of docs/formats.md. Throws at the first
 * check that fails; what was shown before stays in the log.
 */
import type { Statement } from '@veritee/protocol';
import { readTcbs, type SnpTcbs, snpClaims } from '../appraise/claims.ts';
import { CheckFailure, type CheckLog, type CheckRow, type Strength } from '../checks.ts';
import { verifyHclClaims } from '../snp/hcl.ts';
import { roleOfName } from '../snp/profile.ts';
import type { SnpReport } from '../snp/report.ts';
import { type VerifiedSnp, verifySnp } from '../snp/verify.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { type VerifiedChallenge, verifyChallenge } from './challenge.ts';
import type { Parsed, ParsedEvidence } from './parse.ts';
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

type Facts = { readonly snp: VerifiedSnp; readonly tcb: SnpTcbs } & (
  | { readonly kind: 'snp-report' }
  | { readonly kind: 'snp-hcl' }
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
  return (await verifyFacts(parsed, trust, at, log)) as Verified;
}

async function verifyFacts(parsed: Parsed, trust: Trust, at: Date, log: CheckLog): Promise<Facts> {
  if (parsed.kind === 'snp-report') {
    return { kind: parsed.kind, ...(await verifyPlatform(parsed.report, null, trust, at, log)) };
  }
  if (parsed.kind === 'snp-hcl') {
    const platform = await verifyPlatform(parsed.report, null, trust, at, log);
    await verifyHclClaims(parsed.report, parsed.hcl, log);
    return { kind: parsed.kind, ...platform };
  }
  const { evidence } = parsed;
  const platform = await verifyPlatform(evidence.report, evidence, trust, at, log);
  const session = await verifySession(evidence, platform.snp, log);
  switch (parsed.kind) {
    case 'evidence':
      log.establish({ strength: 'hardware-committed' });
      return { kind: parsed.kind, ...platform, session };
    case 'attestation': {
      const challenge = await verifyChallenge(parsed.challenge, parsed.keys, session, log);
      log.establish({ strength: 'hardware-committed' });
      return { kind: parsed.kind, ...platform, session, challenge };
    }
    case 'receipt': {
      const { statement, path } = parsed;
      const strength = await verifyStatement(statement, path, session, log);
      return { kind: parsed.kind, ...platform, session, statement: statement.value, strength };
    }
  }
}

async function verifyPlatform(
  report: SnpReport,
  evidence: ParsedEvidence | null,
  trust: Trust,
  at: Date,
  log: CheckLog,
): Promise<{ readonly snp: VerifiedSnp; readonly tcb: SnpTcbs }> {
  if (evidence)
    await log.step(
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
  return { snp, tcb };
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
