/**
 * AIR v1, the Attested Inference Receipt of others: COSE_Sign1 over CWT claims, Ed25519, closed maps, canonical CBOR.
 * The envelope is read first; the claims only once the signature over them has verified, as the draft demands.
 *
 * @see draft-tsyrulnikov-rats-attested-inference-receipt-02, "AIR v1 Receipt Format" and "Verification Procedure"
 */
import {
  type Bytes,
  bytes,
  decodeCbor,
  EvidenceError,
  encodeCbor,
  isZero,
  MAX_NONCE_BYTES,
  MapReader,
  MIN_NONCE_BYTES,
} from '@veritee/protocol';
import { type JsonValue, jsonOf } from '../appraise/json.ts';

const WHAT = 'air';
const TAG_SIGN1 = 0xd2; // tag 18 in its one-byte form
const HEADER_ALG = 1;
const HEADER_CONTENT_TYPE = 3;
const ALG_EDDSA = -8;
const CONTENT_TYPE_CWT = 61;
const MAX_AIR_BYTES = 65_536;
const MAX_TEXT_BYTES = 1024;

/** Shape only: nothing here is trusted, and the payload is not even read. */
export interface AirEnvelope {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly signature: Bytes<64>;
  readonly toBeSigned: Uint8Array<ArrayBuffer>;
}

const MODEL_HASH_SCHEMES = ['sha256-single', 'sha256-concat', 'sha256-manifest'] as const;
const SECURITY_MODES = ['production', 'evaluation'] as const;
export type MeasurementType = 'nitro-pcr' | 'tdx-mrtd-rtmr';

/** All of it is the workload's own word. */
export interface AirClaims {
  readonly issuer: string;
  readonly issuedAt: number;
  readonly receiptId: Bytes<16>;
  readonly nonce: Uint8Array | null;
  readonly modelId: string;
  readonly modelVersion: string;
  readonly modelHash: Bytes<32>;
  readonly modelHashScheme: (typeof MODEL_HASH_SCHEMES)[number] | null;
  /** Plain SHA-256 of the bodies: no salt. */
  readonly requestHash: Bytes<32>;
  readonly responseHash: Bytes<32>;
  readonly attestationDocHash: Bytes<32>;
  readonly measurementType: MeasurementType;
  readonly measurements: Readonly<Record<string, Bytes<48>>>;
  readonly policyVersion: string;
  readonly sequenceNumber: number;
  readonly executionTimeMs: number;
  readonly memoryPeakMb: number;
  readonly securityMode: (typeof SECURITY_MODES)[number];
}

function fail(field: string, reason: string): never {
  throw new EvidenceError('EVIDENCE_MALFORMED', `${WHAT}.${field}: ${reason}`, { field: `${WHAT}.${field}` });
}

/** @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE */
export function parseAirEnvelope(file: Uint8Array): AirEnvelope {
  if (file.length > MAX_AIR_BYTES) {
    const reason = `${WHAT}: got ${file.length} bytes, want at most ${MAX_AIR_BYTES}`;
    throw new EvidenceError('EVIDENCE_TOO_LARGE', reason, { field: WHAT });
  }
  if (file[0] !== TAG_SIGN1) fail('envelope', 'want COSE_Sign1 with tag 18');
  const parts = decodeCbor(file.subarray(1), `${WHAT}.envelope`);
  if (!Array.isArray(parts) || parts.length !== 4) return fail('envelope', 'want the four parts of COSE_Sign1');
  const [header, unprotected, payload, signature] = parts;
  if (!(header instanceof Uint8Array)) return fail('protected', 'want a byte string');
  readHeader(header);
  if (!(unprotected instanceof Map) || unprotected.size !== 0) fail('unprotected', 'want an empty map');
  if (!(payload instanceof Uint8Array)) return fail('payload', 'want a byte string');
  if (!(signature instanceof Uint8Array)) return fail('signature', 'want a byte string');
  return {
    payload: new Uint8Array(payload),
    signature: bytes(signature, 64, `${WHAT}.signature`),
    toBeSigned: encodeCbor(['Signature1', header, new Uint8Array(0), payload]),
  };
}

function readHeader(header: Uint8Array): void {
  const fields = new MapReader(decodeCbor(header, `${WHAT}.protected`), `${WHAT}.protected`);
  fields.exactly(HEADER_ALG, 'alg', ALG_EDDSA);
  fields.exactly(HEADER_CONTENT_TYPE, 'content_type', CONTENT_TYPE_CWT);
  fields.end();
}

const PROFILE = 'https://spec.cyntrisec.com/air/v1';

/** Claim keys: RFC 8392, RFC 9711, and the draft's private ones. */
const KEY = {
  iss: 1,
  iat: 6,
  cti: 7,
  eatNonce: 10,
  eatProfile: 265,
  modelId: -65537,
  modelVersion: -65538,
  modelHash: -65539,
  requestHash: -65540,
  responseHash: -65541,
  attestationDocHash: -65542,
  enclaveMeasurements: -65543,
  policyVersion: -65544,
  sequenceNumber: -65545,
  executionTimeMs: -65546,
  memoryPeakMb: -65547,
  securityMode: -65548,
  modelHashScheme: -65549,
} as const;

/** Registers of each platform under the draft's one set of names; TDX puts MRTD and RTMR0 to 3 into pcr0 to 4. */
const REGISTERS: Readonly<
  Record<MeasurementType, { readonly required: readonly string[]; readonly optional: readonly string[] }>
> = {
  'nitro-pcr': { required: ['pcr0', 'pcr1', 'pcr2'], optional: ['pcr3', 'pcr4', 'pcr8'] },
  'tdx-mrtd-rtmr': { required: ['pcr0', 'pcr1', 'pcr2'], optional: ['pcr3', 'pcr4'] },
};

/**
 * @param payload of an envelope whose signature has verified
 * @throws EvidenceError EVIDENCE_UNSUPPORTED another profile; EVIDENCE_MALFORMED a claim that breaks this one
 */
export function parseAirClaims(payload: Uint8Array): AirClaims {
  const claims = new MapReader(decodeCbor(payload, `${WHAT}.payload`), WHAT);
  const profile = text(claims, KEY.eatProfile, 'eat_profile');
  if (profile !== PROFILE) {
    const field = `${WHAT}.eat_profile`;
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `${field}: a profile other than AIR v1`, { field });
  }
  const issuedAt = claims.uint(KEY.iat, 'iat');
  if (issuedAt === 0) fail('iat', 'want a time');
  const modelHash = claims.bytes(KEY.modelHash, 'model_hash', 32);
  if (isZero(modelHash)) fail('model_hash', 'all zero');
  const read: AirClaims = {
    issuer: text(claims, KEY.iss, 'iss'),
    issuedAt,
    receiptId: claims.bytes(KEY.cti, 'cti', 16),
    nonce: claims.has(KEY.eatNonce)
      ? claims.anyBytes(KEY.eatNonce, 'eat_nonce', MAX_NONCE_BYTES, MIN_NONCE_BYTES)
      : null,
    modelId: text(claims, KEY.modelId, 'model_id'),
    modelVersion: text(claims, KEY.modelVersion, 'model_version'),
    modelHash,
    modelHashScheme: claims.has(KEY.modelHashScheme)
      ? oneOf(MODEL_HASH_SCHEMES, claims, KEY.modelHashScheme, 'model_hash_scheme')
      : null,
    requestHash: claims.bytes(KEY.requestHash, 'request_hash', 32),
    responseHash: claims.bytes(KEY.responseHash, 'response_hash', 32),
    attestationDocHash: claims.bytes(KEY.attestationDocHash, 'attestation_doc_hash', 32),
    ...measurementsOf(claims.map(KEY.enclaveMeasurements, 'enclave_measurements')),
    policyVersion: text(claims, KEY.policyVersion, 'policy_version'),
    sequenceNumber: claims.uint(KEY.sequenceNumber, 'sequence_number'),
    executionTimeMs: claims.uint(KEY.executionTimeMs, 'execution_time_ms'),
    memoryPeakMb: claims.uint(KEY.memoryPeakMb, 'memory_peak_mb'),
    securityMode: oneOf(SECURITY_MODES, claims, KEY.securityMode, 'security_mode'),
  };
  claims.end();
  return read;
}

function text(claims: MapReader, key: number | string, label: string): string {
  const value = claims.text(key, label, MAX_TEXT_BYTES);
  return value === '' ? fail(label, 'empty') : value;
}

function oneOf<T extends string>(words: readonly T[], claims: MapReader, key: number | string, label: string): T {
  const value = text(claims, key, label);
  return words.find((word) => word === value) ?? fail(label, `want ${words.join(' or ')}`);
}

function measurementsOf(map: MapReader): Pick<AirClaims, 'measurementType' | 'measurements'> {
  const types = Object.keys(REGISTERS) as readonly MeasurementType[];
  const measurementType = oneOf(types, map, 'measurement_type', 'enclave_measurements.measurement_type');
  const { required, optional } = REGISTERS[measurementType];
  const present = [...required, ...optional.filter((name) => map.has(name))];
  const measurements = Object.fromEntries(present.map((name) => [name, map.bytes(name, name, 48)]));
  map.end();
  return { measurementType, measurements };
}

/** What a receipt says, for inspection. Nothing here has been verified. */
export const airReceiptToJson = (file: Uint8Array): JsonValue => jsonOf(parseAirClaims(parseAirEnvelope(file).payload));
