/** What is run on both sides, in Node and in a page: one job gives one outcome, as JSON. */
import { base64, CodedError, fromBase64, hex } from '../../protocol/index.ts';
import { type JsonValue, jsonOf } from '../../verifier/appraise/json.ts';
import { type AppraisalPolicy, mintPolicy } from '../../verifier/appraise/policy.ts';
import { type AssessInput, assess, policyDigest, readPolicy, toJson } from '../../verifier/index.ts';

export type Job = { readonly name: string } & (
  | { readonly input: AssessInput; readonly policyFile?: never }
  | { readonly input?: never; readonly policyFile: Uint8Array }
);

/** The whole result, what only the affirming side hands out included. Anything uncoded is thrown on. */
export async function outcomeOf({ input, policyFile }: Job): Promise<JsonValue> {
  if (input) {
    const result = await assess(input);
    return { json: toJson(result), whole: jsonOf(result) };
  }
  try {
    const policy = readPolicy(policyFile);
    return { id: policy.id, digest: hex(policyDigest(policy)) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { code: error.code, field: error.field ?? null, message: error.message };
  }
}

export interface Answer {
  readonly secureContext: boolean;
  /** Calls of `subtle.verify` by algorithm; null where the page has no `crypto.subtle`. */
  readonly verifiedByWebCrypto: Readonly<Record<string, number>> | null;
  readonly outcomes: Readonly<Record<string, JsonValue>>;
}

const BYTES = '$bytes';
const DATE = '$date';

/** Jobs as JSON for the wire. Only what a job holds: bytes and times are tagged, `undefined` is left out. */
export function pack(value: unknown): JsonValue {
  if (value instanceof Uint8Array) return { [BYTES]: base64(value) };
  if (value instanceof Date) return { [DATE]: value.toISOString() };
  if (Array.isArray(value)) return value.map(pack);
  if (typeof value !== 'object' || value === null) return value as JsonValue;
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given.map(([name, item]) => [name, pack(item)]));
}

export function unpackJobs(packed: JsonValue): readonly Job[] {
  const jobs = unpack(packed) as readonly Job[];
  return jobs.map((job) => {
    if (!job.input || typeof job.input.policy === 'string') return job;
    // The mark of a policy that was parsed does not cross the wire; `policyDigest` in the result shows that the rest did.
    return { ...job, input: { ...job.input, policy: mintPolicy(job.input.policy as AppraisalPolicy) } };
  });
}

function unpack(value: JsonValue): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(unpack);
  const object = value as Readonly<Record<string, JsonValue>>;
  if (typeof object[BYTES] === 'string') return fromBase64(object[BYTES]);
  if (typeof object[DATE] === 'string') return new Date(object[DATE]);
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [name, unpack(item)]));
}
