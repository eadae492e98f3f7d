/**
 * Reference values as their publisher signs them: a JSON file, and beside it a detached JWS over its exact bytes
 * (RFC 7515 appendix F), such as `header..signature`.
 *
 *     {"profile": "veritee/reference-values/v1", "id": "acme-inference 2026-11",
 *      "sevSnp": [<a policy's reference values>], "nitro": [<likewise>], "deniedMeasurements": [<hex>]}
 */
import { type Bytes, base64url, CodedError, fromUtf8 } from '@veritee/protocol';
import { type CryptoKey, errors, flattenedVerify, type JWK } from 'jose';
import { type AppraisalPolicy, mintPolicy, type NitroReferenceValue, type ReferenceValue } from './appraise/policy.ts';
import { readPolicyJson } from './appraise/policy-file.ts';
import { readMeasurements, readNitroReferenceValue, readReferenceValue } from './appraise/policy-parse.ts';

export const REFERENCE_VALUES_PROFILE = 'veritee/reference-values/v1';

export interface ReferenceValues {
  /** Joined to the id of the policy they are added to. */
  readonly id: string;
  readonly sevSnp: readonly ReferenceValue[];
  readonly nitro: readonly NitroReferenceValue[];
  readonly deniedMeasurements: readonly Bytes<48>[];
}

const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519'];
const DETACHED = /^([\w-]+)\.\.([\w-]+)\s*$/;

/**
 * @param key the publisher's public key, as the caller knows it; the file's own words about keys are not heard
 * @throws CodedError REFERENCE_VALUES_INVALID not signed by that key, or not such a file; `field` says which part
 */
export async function readReferenceFile(
  file: Uint8Array,
  signature: Uint8Array,
  key: JWK | CryptoKey,
): Promise<ReferenceValues> {
  await verifyDetached(file, signature, key);
  try {
    return readValues(file);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    return refuse(cause.field ?? 'referenceValues', cause.message, cause);
  }
}

function refuse(field: string, reason: string, cause?: unknown): never {
  throw new CodedError('REFERENCE_VALUES_INVALID', reason, { field, cause });
}

async function verifyDetached(file: Uint8Array, signature: Uint8Array, key: JWK | CryptoKey): Promise<void> {
  const [, header, value] = DETACHED.exec(text(signature)) ?? [];
  if (header === undefined || value === undefined) refuse('signature', 'want a detached JWS: header..signature');
  try {
    const jws = { protected: header, payload: base64url(file), signature: value };
    await flattenedVerify(jws, key, { algorithms: ALGORITHMS });
  } catch (cause) {
    // jose answers a bad token with an error of its own, and a key that does not fit with a TypeError or a DOMException.
    const reason =
      cause instanceof errors.JWSSignatureVerificationFailed
        ? 'not over these bytes by this key'
        : 'not one that this key can have made';
    refuse('signature', `signature: ${reason}`, cause);
  }
}

function text(signature: Uint8Array): string {
  try {
    return fromUtf8(signature);
  } catch {
    return '';
  }
}

function readValues(file: Uint8Array): ReferenceValues {
  const values = readPolicyJson(file, 'referenceValues').object();
  values.item('profile').word(REFERENCE_VALUES_PROFILE);
  const read = {
    id: values.item('id').text(),
    sevSnp: values.item('sevSnp').list(0).map(readReferenceValue),
    nitro: values.item('nitro').list(0).map(readNitroReferenceValue),
    deniedMeasurements: readMeasurements(values.item('deniedMeasurements'), 0),
  };
  values.end();
  return read;
}

/**
 * The policy with these builds known and denied beside its own. A policy that asked for no build now asks for one of
 * these; one that refuses the platform goes on refusing it.
 */
export const withReferenceValues = (policy: AppraisalPolicy, values: ReferenceValues): AppraisalPolicy =>
  mintPolicy({
    ...policy,
    id: `${policy.id} + ${values.id}`,
    deniedMeasurements: [...policy.deniedMeasurements, ...values.deniedMeasurements],
    sevSnp: policy.sevSnp === 'refuse' ? 'refuse' : withBuilds(policy.sevSnp, values.sevSnp),
    nitro: policy.nitro === 'refuse' ? 'refuse' : withBuilds(policy.nitro, values.nitro),
  });

function withBuilds<Value, Policy extends { readonly referenceValues: readonly Value[] | 'any-unidentified-program' }>(
  policy: Policy,
  builds: readonly Value[],
): Policy {
  if (builds.length === 0) return policy;
  const { referenceValues } = policy;
  const own = referenceValues === 'any-unidentified-program' ? [] : referenceValues;
  return { ...policy, referenceValues: [...own, ...builds] };
}
