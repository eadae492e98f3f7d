/** Appraises evidence at ingest and keeps, beside each verdict, all that a replay of it needs. */
import { bytes, fromUtf8, hex, join, utf8 } from '@veritee/protocol';
import {
  type AppraisalPolicy,
  type AttestationResult,
  AUTHENTICITY,
  assess,
  policyDigest,
  readPolicy,
  readTrustAnchors,
  type TrustAnchor,
  toJson,
} from '@veritee/verifier';
import type { Archive } from '../archive.ts';
import type { BlobStore } from '../blobs/port.ts';
import { type Act, parseAct } from '../log/acts.ts';
import { sha256Of } from '../log/frontier.ts';
import packageJson from '../package.json' with { type: 'json' };
import type { Appraisal, Digest, EvidenceFacts } from '../store/port.ts';

/** Files, exactly as they were given. */
export interface AppraisalInputs {
  /** A policy file, or the text `builtin:authenticity`. */
  readonly policy: Uint8Array;
  readonly anchors: readonly Uint8Array[];
  readonly endorsements: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
}

export interface Appraised {
  readonly appraisal: Appraisal;
  readonly facts: EvidenceFacts;
  readonly resultJson: string;
  readonly result: AttestationResult;
}

/** The verifier of the same release: they are published together. */
const VERIFIER = `@veritee/verifier ${packageJson.version}`;

/** @throws CodedError POLICY_INVALID */
export function policyOf(file: Uint8Array): AppraisalPolicy {
  return isBuiltin(file) ? AUTHENTICITY : readPolicy(file);
}

function isBuiltin(file: Uint8Array): boolean {
  const text = utf8(AUTHENTICITY.id);
  return file.length === text.length && fromUtf8(file) === AUTHENTICITY.id;
}

/** The JSON text of a result, whose digest an act commits to. */
export const resultText = (result: AttestationResult): string => JSON.stringify(toJson(result));

export class Appraiser {
  readonly #inputs: AppraisalInputs;
  readonly #policy: AppraisalPolicy;
  readonly #anchors: readonly TrustAnchor[];
  readonly #digests: Pick<Appraisal, 'policy' | 'policyDigest' | 'anchors' | 'endorsements' | 'crls'>;

  private constructor(
    inputs: AppraisalInputs,
    policy: AppraisalPolicy,
    anchors: readonly TrustAnchor[],
    digests: Appraiser['policyAct'],
    rest: Pick<Appraisal, 'endorsements' | 'crls'>,
  ) {
    this.#inputs = inputs;
    this.#policy = policy;
    this.#anchors = anchors;
    this.#digests = { ...digests, ...rest };
  }

  /** Keeps the inputs as blobs. @throws CodedError POLICY_INVALID, TRUST_ANCHOR_INVALID, STORE_FAILED */
  static async create(inputs: AppraisalInputs, blobs: Pick<BlobStore, 'put'>): Promise<Appraiser> {
    const policy = policyOf(inputs.policy);
    const anchors = (await Promise.all(inputs.anchors.map((file) => readTrustAnchors(file, 'root')))).flat();
    const keep = (files: readonly Uint8Array[]): Promise<Digest[]> => Promise.all(files.map((file) => blobs.put(file)));
    return new Appraiser(
      inputs,
      policy,
      anchors,
      {
        policy: await blobs.put(inputs.policy),
        policyDigest: policyDigest(policy),
        anchors: await keep(inputs.anchors),
      },
      { endorsements: await keep(inputs.endorsements), crls: await keep(inputs.crls) },
    );
  }

  get policyAct(): Pick<Extract<Act, { kind: 'policy' }>, 'policy' | 'policyDigest' | 'anchors'> {
    const { policy, policyDigest: digest, anchors } = this.#digests;
    return { policy, policyDigest: digest, anchors };
  }

  async appraise(evidence: Uint8Array, atMs: number): Promise<Appraised> {
    const result = await assess({
      file: evidence,
      kind: 'evidence',
      policy: this.#policy,
      at: new Date(atMs),
      trustAnchors: this.#anchors,
      endorsements: this.#inputs.endorsements,
      crls: this.#inputs.crls,
    });
    const resultJson = resultText(result);
    return {
      result,
      resultJson,
      facts: factsOf(result),
      appraisal: {
        ...this.#digests,
        verifier: VERIFIER,
        atMs,
        verdict: result.verdict,
        codes: result.findings.map(({ code }) => code),
        result: sha256Of(utf8(resultJson)),
      },
    };
  }
}

/** Says so when ingests are judged by another policy, or under other anchors, than before. */
export async function recordPolicy(archive: Archive, appraiser: Appraiser): Promise<void> {
  const { policy, policyDigest: digest, anchors } = appraiser.policyAct;
  const last = (await archive.store.actsOf('policy')).at(-1);
  const before = last && parseAct(last.cose).act;
  const same =
    before?.kind === 'policy' && hex(join([before.policy, ...before.anchors])) === hex(join([policy, ...anchors]));
  if (!same) await archive.record([{ kind: 'policy', policy, policyDigest: digest, anchors }]);
}

/** Only what a check has vouched for is in a result's claims. */
export function factsOf({ platform, claims, existedBy }: AttestationResult): EvidenceFacts {
  const pcr0 = claims.pcrs?.['0'];
  const measurement = claims.measurement ?? (pcr0 && bytes(pcr0, 48, 'PCR0'));
  const { layout: _, ...parts } = claims.tcb?.reported ?? {};
  return {
    platform,
    product: claims.product ?? null,
    measurement: measurement ? hex(measurement) : null,
    chip: claims.chipId ? hex(claims.chipId) : (claims.moduleId ?? null),
    tcb: claims.tcb ? numbersOf(parts) : null,
    existedByMs: existedBy?.getTime() ?? null,
  };
}

const numbersOf = (parts: Readonly<Record<string, unknown>>): Record<string, number> =>
  Object.fromEntries(Object.entries(parts).filter((part): part is [string, number] => typeof part[1] === 'number'));
