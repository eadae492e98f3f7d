/**
 * The files people keep, as JSON for reading: byte fields base64url, nested evidence as an object, the checkpoint as its
 * note text. One-way: what is verified is always the CBOR file.
 */
import { base64url } from './bytes.ts';
import { PROFILE } from './claims.ts';
import { type Attestation, type Evidence, type ProvenEntry, parseEvidence, type Receipt } from './files.ts';

type ReadableJson = null | number | string | readonly ReadableJson[] | { readonly [name: string]: ReadableJson };
export type FileJson = { readonly [name: string]: ReadableJson };

const provenToJson = ({ entry, path }: ProvenEntry) => ({ entry: base64url(entry), path: path.map(base64url) });

export const evidenceToJson = (evidence: Evidence): FileJson => ({
  profile: PROFILE.evidence,
  format: evidence.format,
  report: base64url(evidence.report),
  chain: evidence.chain.map(base64url),
  crls: evidence.crls.map(base64url),
  sessionClaims: base64url(evidence.sessionClaims),
  checkpoint: evidence.checkpoint,
  previousReportData: evidence.previousReportData && base64url(evidence.previousReportData),
  cosignatures: evidence.cosignatures,
});

/** @throws EvidenceError the evidence inside is malformed */
export const attestationToJson = ({ evidence, keys, challenge }: Attestation): FileJson => ({
  profile: PROFILE.attestation,
  evidence: evidenceToJson(parseEvidence(evidence)),
  keys: keys.map(provenToJson),
  challenge: challenge && {
    ...provenToJson(challenge),
    nonce: base64url(challenge.nonce),
    nonceIndex: challenge.nonceIndex,
    noncePath: challenge.noncePath.map(base64url),
  },
});

/** @throws EvidenceError the evidence inside is malformed */
export const receiptToJson = ({ statement, path, evidence }: Receipt): FileJson => ({
  profile: PROFILE.receipt,
  statement: base64url(statement),
  path: path === null ? null : path.map(base64url),
  ...('file' in evidence
    ? { evidence: evidenceToJson(parseEvidence(evidence.file)) }
    : { evidenceReportData: base64url(evidence.reportData) }),
});
