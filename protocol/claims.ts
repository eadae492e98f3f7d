/**
 * Claim numbers of Veritee's signed payloads: CWT and EAT claims where they exist (RFC 8392, RFC 8747, RFC 9711),
 * and a block of our own in the private-use range below −65536 (RFC 8392 §9.1).
 */
export const CLAIM = {
  exp: 4,
  nbf: 5,
  iat: 6,
  cti: 7,
  cnf: 8,
  eatNonce: 10,
  eatProfile: 265,
  bootId: -77001,
  sequence: -77002,
  runtime: -77003,
  sessionDigest: -77004,
  timeMs: -77005,
  operation: -77006,
  model: -77007,
  requestDigest: -77008,
  responseDigest: -77009,
  requestJsonLength: -77010,
  responseJsonLength: -77011,
  requestMediaType: -77012,
  responseMediaType: -77013,
  outcome: -77014,
  durationUs: -77015,
  event: -77016,
  files: -77017,
  keyConfig: -77018,
  nonceRoot: -77019,
  nonceCount: -77020,
  keyConfigDigests: -77021,
  reason: -77022,
} as const;

/** EAT profiles (claim 265), one per payload and file kind. */
export const PROFILE = {
  session: 'tag:veritee.dev,2026:session-claims/v1',
  statement: 'tag:veritee.dev,2026:statement/v1',
  key: 'tag:veritee.dev,2026:key/v1',
  model: 'tag:veritee.dev,2026:model/v1',
  challenges: 'tag:veritee.dev,2026:challenges/v1',
  end: 'tag:veritee.dev,2026:end/v1',
  evidence: 'tag:veritee.dev,2026:evidence/v1',
  attestation: 'tag:veritee.dev,2026:attestation/v1',
  receipt: 'tag:veritee.dev,2026:receipt/v1',
} as const;

/** COSE content types (header 3), one per entry kind, so that no kind can be read as another. */
export const CONTENT_TYPE = {
  session: 'application/vnd.veritee.session-claims+cbor',
  statement: 'application/vnd.veritee.statement+cbor',
  key: 'application/vnd.veritee.key+cbor',
  model: 'application/vnd.veritee.model+cbor',
  challenges: 'application/vnd.veritee.challenges+cbor',
  end: 'application/vnd.veritee.end+cbor',
} as const;

export type EntryKind = keyof typeof CONTENT_TYPE;

/** Media types of the files people keep. */
export const MEDIA_TYPE = {
  evidence: 'application/vnd.veritee.evidence+cbor',
  attestation: 'application/vnd.veritee.attestation+cbor',
  receipt: 'application/vnd.veritee.receipt+cbor',
} as const;
