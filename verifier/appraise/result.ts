/** What an assessment comes to. The session and its keys are reachable on the affirming side only. */
import { type Bytes, hex, type Statement } from '@veritee/protocol';
import type { Check, Finding, Strength } from '../checks.ts';
import type { Kind } from '../kind.ts';
import type { SealingKey } from '../receipt/challenge.ts';
import type { VerifiedSession } from '../receipt/session.ts';
import type { Platform } from '../trust/anchor.ts';
import type { Claims } from './claims.ts';
import { type JsonObject, jsonOf } from './json.ts';

export interface Common {
  /** Null when no kind was recognised. */
  readonly kind: Kind | null;
  /** Null for raw reports, and where the checks did not get that far. */
  readonly strength: Strength | null;
  /** From the anchor that verified, never from the file. */
  readonly platform: Platform | null;
  readonly findings: readonly Finding[];
  /** Every row in order: what passed, what failed, what was skipped and why. */
  readonly checks: readonly Check[];
  /** What the verdict does not cover, in plain words. */
  readonly notChecked: readonly string[];
  readonly claims: Claims;
  /** Id of the policy. */
  readonly policy: string;
  readonly policyDigest: Bytes<32>;
  readonly at: Date;
  /** The time at which chain and lists were found valid. */
  readonly validAt: Date;
  /** `evidence`: the time that AWS signed with a Nitro document, no later than `at` but for a minute's skew. */
  readonly timeSource: 'caller' | 'evidence';
  /** By an outside clock: a Nitro document's time, for what the document covers; null elsewhere. */
  readonly existedBy: Date | null;
}

/** What only the affirming side hands out. */
export type Affirmed =
  | { readonly kind: 'snp-report' }
  | { readonly kind: 'snp-hcl' }
  | { readonly kind: 'nitro-document' }
  | { readonly kind: 'air-receipt' }
  | { readonly kind: 'evidence'; readonly session: VerifiedSession }
  | {
      readonly kind: 'attestation';
      readonly session: VerifiedSession;
      /** Empty unless the caller gave a nonce of its own and the attestation answers it. */
      readonly sealingKeys: readonly SealingKey[];
    }
  | {
      readonly kind: 'receipt';
      readonly strength: Strength;
      readonly session: VerifiedSession;
      readonly statement: Statement;
    };

export type Affirming = Common & Affirmed & { readonly verdict: 'affirming' };
export type Contraindicated = Common & {
  readonly verdict: 'contraindicated';
  readonly findings: readonly [Finding, ...Finding[]];
};
/** Neither yes nor no: the kind or version is one this release does not read. */
export type Unsupported = Common & {
  readonly verdict: 'unsupported';
  readonly findings: readonly [Finding, ...Finding[]];
};
export type AttestationResult = Affirming | Contraindicated | Unsupported;

/** The object that `veritee verify --json` prints: bytes as lower-case hex, times as ISO 8601 UTC. */
export const toJson = (result: AttestationResult): JsonObject => ({
  verdict: result.verdict,
  strength: result.strength,
  platform: result.platform,
  findings: result.findings.map(jsonOf),
  checks: result.checks.map(({ id, outcome, detail }) => ({ id, outcome, detail })),
  notChecked: result.notChecked,
  claims: jsonOf(result.claims),
  policy: result.policy,
  at: result.at.toISOString(),
  kind: result.kind,
  policyDigest: hex(result.policyDigest),
  validAt: result.validAt.toISOString(),
  timeSource: result.timeSource,
  existedBy: result.existedBy?.toISOString() ?? null,
});
