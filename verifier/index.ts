export { type AirClaims, airReceiptToJson } from './air/receipt.ts';
export type {
  AirFacts,
  ChallengeFacts,
  Claims,
  HclFacts,
  NitroClaims,
  SessionFacts,
  SnpClaims,
  SnpTcbs,
  StatementFacts,
} from './appraise/claims.ts';
export { draftPolicy, type PolicyDraft } from './appraise/draft.ts';
export type { Expected, ExpectedBody } from './appraise/expected.ts';
export { type JsonObject, type JsonValue, nitroDocumentToJson, snpReportToJson } from './appraise/json.ts';
export { lintPolicy } from './appraise/lint.ts';
export type { PolicyWarning } from './appraise/lint-warning.ts';
export {
  type AppraisalPolicy,
  AUTHENTICITY,
  type ModelBinding,
  type ModelRule,
  type NitroPolicy,
  type NitroReferenceValue,
  POLICY_PROFILE,
  type PolicyAnchor,
  policyDigest,
  type ReferenceValue,
  type SnpPolicy,
  type TcbFloor,
} from './appraise/policy.ts';
export { readPolicy } from './appraise/policy-file.ts';
export { parsePolicy } from './appraise/policy-parse.ts';
export {
  type Affirming,
  type AttestationResult,
  type Contraindicated,
  toJson,
  type Unsupported,
} from './appraise/result.ts';
export { ALL_ROWS, type AssessInput, assess } from './assess.ts';
export type { Check, CheckRow, Finding, Strength } from './checks.ts';
export { EAR_PROFILES, type EarClaims, type EarOptions, type EarProfile, earMediaType, toEar } from './ear.ts';
export { type EarAlgorithm, type JWK, signEar } from './ear-sign.ts';
export { type TrustClaim, type TrustTier, type TrustVector, trustVector } from './ear-vector.ts';
export { detectKind, type Kind } from './kind.ts';
export { decodeNsmCbor } from './nitro/cbor.ts';
export { type NitroDocument, parseNitroDocument } from './nitro/document.ts';
export type { SealingKey } from './receipt/challenge.ts';
export type { VerifiedSession } from './receipt/session.ts';
export {
  REFERENCE_VALUES_PROFILE,
  type ReferenceValues,
  readReferenceFile,
  withReferenceValues,
} from './reference-file.ts';
export { type Content, html, Markup, table } from './report/markup.ts';
export { STYLE as REPORT_STYLE } from './report/style.ts';
export { type ReportOptions, renderHtml } from './report-html.ts';
export { type Endorsements, readEndorsements } from './snp/endorsements.ts';
export { type HclReport, parseHclReport } from './snp/hcl.ts';
export { parseSnpReport, type SnpReport } from './snp/report.ts';
export type { SnpProduct, Tcb } from './snp/tcb.ts';
export { AMD_ANCHORS } from './trust/amd.ts';
export type { Platform, TrustAnchor } from './trust/anchor.ts';
export { AWS_ANCHORS } from './trust/aws.ts';
export { readTrustAnchors } from './trust/read.ts';
export { readCertificates, readCrls } from './x509/pem.ts';
