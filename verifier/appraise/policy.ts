/**
 * An appraisal policy is complete data: every field is required and opting out is a visible word, so a lax policy cannot
 * be written by accident. `parsePolicy` is the only way to make one; policy.schema.json says the same for editors.
 */
import { type Bytes, type Cbor, encodeCbor, sha256 } from '@veritee/protocol';
import type { Strength } from '../checks.ts';
import type { SnpProduct, Tcb } from '../snp/tcb.ts';
import { AMD_ANCHORS } from '../trust/amd.ts';
import type { TrustAnchor } from '../trust/anchor.ts';
import { AWS_ANCHORS } from '../trust/aws.ts';

export const POLICY_PROFILE = 'veritee/policy/v1';

export type PolicyAnchor = { readonly builtin: 'amd' | 'aws' } | TrustAnchor;

/** One build as launched. All parts belong together: a report has to match one value in every part. */
export interface ReferenceValue {
  /** Of the build: `acme-inference 1.4.2`. */
  readonly name: string;
  /** MEASUREMENT, the launch digest; one for each shape the build is launched in, such as a number of vCPUs. */
  readonly measurements: readonly Bytes<48>[];
  /** `unused` only where the measurement covers the whole program; in confidential containers HOST_DATA names it. */
  readonly hostData: Bytes<32> | 'unused';
  readonly vmpl: number;
  readonly idKeyDigest: Bytes<48> | 'unused';
  readonly authorKeyDigest: Bytes<48> | 'unused';
  /** The build is known no more after this time. */
  readonly notAfter: Date | null;
}

/** Compared part by part. Microcode numbers are per die, so a floor may name the CPUID models it is for. */
export interface TcbFloor {
  readonly product: SnpProduct;
  readonly cpuidModels: 'any' | readonly number[];
  readonly tcb: Tcb;
}

export interface SnpPolicy {
  /** One must match. */
  readonly referenceValues: readonly ReferenceValue[] | 'any-unidentified-program';
  readonly products: readonly SnpProduct[];
  /** On REPORTED_TCB, the one that the signing key is bound to. */
  readonly minimumTcb: readonly TcbFloor[] | 'any';
  readonly minimumLaunchTcb: readonly TcbFloor[] | 'same-as-reported' | 'any';
  readonly debug: 'forbid' | 'allow-debug-no-confidentiality';
  readonly migration: 'forbid' | 'allow';
  readonly smt: 'forbid' | 'allow';
  readonly cxl: 'forbid' | 'allow';
  readonly singleSocket: 'require' | 'not-required';
  readonly ciphertextHiding: 'require' | 'not-required';
  readonly memAes256Xts: 'require' | 'not-required';
  readonly raplDisabled: 'require' | 'not-required';
  readonly pageSwapDisabled: 'require' | 'not-required';
  /** Firmware not yet committed can be rolled back by the host. */
  readonly provisionalFirmware: 'forbid' | 'allow';
  readonly aliasCheck: 'require' | 'not-required';
  /** PLATFORM_INFO bits without a name: a newer chip or firmware may set one, and nobody here knows what it means. */
  readonly unknownPlatformInfo: 'forbid' | 'allow';
  readonly chips: 'any' | readonly Bytes<64>[];
  readonly maskedChipId: 'forbid' | 'allow';
  readonly vlek: 'forbid' | 'allow' | { readonly cspIds: readonly string[] };
  readonly crl: 'not-required' | { readonly maxAgeDays: number };
  readonly modelBinding: ModelBinding;
}

/**
 * Sets of models, by digest: what the platform measured must be one of them, in full, and the model that ran be in it.
 * SEV-SNP measures the set in HOST_DATA, Nitro in PCR16 (protocol/model-set.ts).
 */
export type ModelBinding = 'not-required' | { readonly modelSets: readonly (readonly Bytes<32>[])[] };

/** One enclave image. All parts belong together: a document has to match one value in every part. */
export interface NitroReferenceValue {
  readonly name: string;
  /** The whole image. At least one of this and `pcr8` is given: the other two identify no program. */
  readonly pcr0: Bytes<48> | 'unused';
  /** The kernel and its boot code. */
  readonly pcr1: Bytes<48> | 'unused';
  /** The application, without the boot code. */
  readonly pcr2: Bytes<48> | 'unused';
  /** The certificate that signed the image; zeros for an image that nobody signed. */
  readonly pcr8: Bytes<48> | 'unused';
  /** The build is known no more after this time. */
  readonly notAfter: Date | null;
}

export interface NitroPolicy {
  /** One must match. */
  readonly referenceValues: readonly NitroReferenceValue[] | 'any-unidentified-program';
  readonly debug: 'forbid' | 'allow-debug-no-confidentiality';
  /** Between the document's time and that of the check; `any` for receipts that are kept. */
  readonly maxDocumentAgeSeconds: number | 'any';
  readonly modelBinding: ModelBinding;
}

/** Decided by the digest, which the policy computes itself where it lists files; name and version are labels. */
export interface ModelRule {
  readonly name: string | null;
  readonly version: string | null;
  readonly digest: Bytes<32>;
}

// Not exported, and a real symbol: JSON that was never parsed lacks it, a copy with one field changed keeps it.
const complete: unique symbol = Symbol('complete policy');

export interface AppraisalPolicy {
  readonly [complete]: true;
  readonly profile: typeof POLICY_PROFILE;
  /** Recorded in every result. */
  readonly id: string;
  readonly anchors: readonly PolicyAnchor[];
  readonly sevSnp: 'refuse' | SnpPolicy;
  readonly nitro: 'refuse' | NitroPolicy;
  /** Builds withdrawn: refused whatever else lists them. */
  readonly deniedMeasurements: readonly Bytes<48>[];
  readonly models: 'any' | readonly ModelRule[];
  readonly freshness: 'nonce-required' | 'not-required';
  readonly existedBy: 'required' | 'not-required';
  /** The weakest a receipt may have. */
  readonly strength: Strength;
  /** How long a client waits for that strength. */
  readonly maxWaitSeconds: number;
}

/** For `parsePolicy`, which has checked every field. */
export const mintPolicy = (fields: Omit<AppraisalPolicy, typeof complete>): AppraisalPolicy => ({
  ...fields,
  [complete]: true,
});

/** False for look-alikes, such as a policy file's JSON handed over by a caller without types. */
export const isCompletePolicy = (value: unknown): value is AppraisalPolicy =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, complete);

/**
 * `builtin:authenticity` asks only "genuine and intact". It opts out of everything else by the same words as any policy,
 * so that each opted-out row shows up in `notChecked`. A VCEK report that hides its chip is refused: the binding of
 * report to certificate is part of being genuine.
 */
export const AUTHENTICITY: AppraisalPolicy = mintPolicy({
  profile: POLICY_PROFILE,
  id: 'builtin:authenticity',
  anchors: [{ builtin: 'amd' }, { builtin: 'aws' }],
  sevSnp: {
    referenceValues: 'any-unidentified-program',
    products: ['Milan', 'Genoa', 'Turin'],
    minimumTcb: 'any',
    minimumLaunchTcb: 'any',
    debug: 'allow-debug-no-confidentiality',
    migration: 'allow',
    smt: 'allow',
    cxl: 'allow',
    singleSocket: 'not-required',
    ciphertextHiding: 'not-required',
    memAes256Xts: 'not-required',
    raplDisabled: 'not-required',
    pageSwapDisabled: 'not-required',
    provisionalFirmware: 'allow',
    aliasCheck: 'not-required',
    unknownPlatformInfo: 'allow',
    chips: 'any',
    maskedChipId: 'forbid',
    vlek: 'allow',
    crl: 'not-required',
    modelBinding: 'not-required',
  },
  nitro: {
    referenceValues: 'any-unidentified-program',
    debug: 'allow-debug-no-confidentiality',
    maxDocumentAgeSeconds: 'any',
    modelBinding: 'not-required',
  },
  deniedMeasurements: [],
  models: 'any',
  freshness: 'not-required',
  existedBy: 'not-required',
  strength: 'session-signed',
  maxWaitSeconds: 0,
});

const BUILTIN = { amd: AMD_ANCHORS, aws: AWS_ANCHORS } as const;

export const anchorsOf = (policy: AppraisalPolicy): readonly TrustAnchor[] =>
  policy.anchors.flatMap((anchor) => ('builtin' in anchor ? BUILTIN[anchor.builtin] : [anchor]));

/** SHA-256 of the policy as canonical CBOR, comments left out: two files that decide alike have one digest. */
export function policyDigest(policy: AppraisalPolicy): Bytes<32> {
  const known = digests.get(policy);
  if (known) return known;
  const digest = sha256(encodeCbor(canonical(policy)));
  digests.set(policy, digest);
  return digest;
}

/** A policy is read once and decides many times. */
const digests = new WeakMap<AppraisalPolicy, Bytes<32>>();

function canonical(value: unknown): Cbor {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value;
  if (value instanceof Uint8Array) return value;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value === 'object') return new Map(Object.entries(value).map(([name, item]) => [name, canonical(item)]));
  throw new TypeError(`a policy holds no ${typeof value}`);
}
