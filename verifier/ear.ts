/**
 * Results as EAT Attestation Results, for Relying Parties that read those: two dialects, incompatible with one another.
 *
 * | dialect | written down in | read by |
 * | --- | --- | --- |
 * | `veraison-2023` | draft-fv-rats-ear, tag:github.com,2023:veraison/ear | Veraison's Go, Rust and C tools, Trustee |
 * | `ietf-2026` | draft-ietf-rats-ear | the working group's text |
 *
 * The token says less than the result it comes from: keep both.
 */
import { base64url, concat, fromHex, hex } from '@veritee/protocol';
import type { JsonObject } from './appraise/json.ts';
import type { AttestationResult } from './appraise/result.ts';
import { trustStatus, trustVector } from './ear-vector.ts';

interface Dialect {
  readonly eatProfile: string;
  readonly verifierId: string;
  readonly status: string;
  readonly vector: string;
  readonly policy: (id: string) => JsonObject;
  readonly keyAttestation: string;
  /** Our own extension; readers ignore names they do not know. */
  readonly extension: string;
}

const DIALECTS = {
  'veraison-2023': {
    eatProfile: 'tag:github.com,2023:veraison/ear',
    verifierId: 'ear.verifier-id',
    status: 'ear.status',
    vector: 'ear.trustworthiness-vector',
    policy: (id) => ({ 'ear.appraisal-policy-id': id }),
    keyAttestation: 'ear.veraison.key-attestation',
    extension: 'ear.veritee.result',
  },
  'ietf-2026': {
    eatProfile: 'tag:ietf.org,2026:rats/ear#03',
    verifierId: 'ear_verifier_id',
    status: 'ear_status',
    vector: 'ear_trustworthiness_vector',
    policy: (id) => ({ ear_appraisal_policy_ids: [id] }),
    keyAttestation: 'ear_veraison_key_attestation',
    extension: 'ear_veritee_result',
  },
} as const satisfies Record<string, Dialect>;

export type EarProfile = keyof typeof DIALECTS;
export const EAR_PROFILES = Object.keys(DIALECTS) as readonly EarProfile[];

/** For HTTP (RFC 9782): `application/eat+jwt; eat_profile="…"`. */
export const earMediaType = (profile: EarProfile): string =>
  `application/eat+jwt; eat_profile="${DIALECTS[profile].eatProfile}"`;

export interface EarOptions {
  readonly profile: EarProfile;
  /** Who runs this verifier, and which build of it. */
  readonly verifierId: { readonly developer: string; readonly build: string };
  /** When the token is issued; default: the time of the verification. */
  readonly iat?: Date;
  /** Echoed for the one who asked, 8 to 64 bytes. */
  readonly nonce?: Uint8Array;
}

/** A claims set, ready for `signEar`. */
export type EarClaims = JsonObject;

const MIN_NONCE = 8;
const MAX_NONCE = 64;

/** @throws TypeError a nonce of another length, an empty verifier id, no valid date */
export function toEar(
  result: AttestationResult,
  { profile, verifierId, iat = result.at, nonce }: EarOptions,
): EarClaims {
  const { developer, build } = verifierId;
  if (developer === '' || build === '') throw new TypeError('verifierId: want a developer and a build');
  if (Number.isNaN(iat.getTime())) throw new TypeError('iat: want a valid Date');
  if (nonce && (nonce.length < MIN_NONCE || nonce.length > MAX_NONCE)) {
    throw new TypeError(`nonce: want ${MIN_NONCE} to ${MAX_NONCE} bytes`);
  }
  const names: Dialect = DIALECTS[profile];
  return {
    eat_profile: names.eatProfile,
    iat: Math.floor(iat.getTime() / 1000),
    [names.verifierId]: { developer, build },
    ...(nonce && { eat_nonce: base64url(nonce) }),
    submods: { [result.platform ?? result.kind ?? 'unidentified']: submodule(result, names) },
  };
}

function submodule(result: AttestationResult, names: Dialect): JsonObject {
  const vector = trustVector(result);
  return {
    [names.status]: trustStatus(result, vector),
    [names.vector]: { ...vector },
    ...names.policy(result.policy),
    ...(result.verdict === 'affirming' &&
      'session' in result && { [names.keyAttestation]: { akpub: base64url(ed25519Spki(result.session.key)) } }),
    [names.extension]: {
      verdict: result.verdict,
      kind: result.kind,
      strength: result.strength,
      validAt: result.validAt.toISOString(),
      policyDigest: hex(result.policyDigest),
      findings: result.findings.map(({ code }) => code),
      notChecked: result.notChecked,
    },
  };
}

/** RFC 8410 §4: SubjectPublicKeyInfo of an Ed25519 key is this prefix and the key. */
const ED25519_SPKI = fromHex('302a300506032b6570032100') as Uint8Array;

const ed25519Spki = (key: Uint8Array): Uint8Array => concat(ED25519_SPKI, key);
