/** Rows over reference values: a report has to match one build in every part. */
import { type Bytes, equalBytes, hex } from '@veritee/protocol';
import type { CheckLog, CheckRow } from '../checks.ts';
import type { AppraisalPolicy, ReferenceValue, SnpPolicy } from './policy.ts';
import type { SnpFacts, SnpRule } from './snp-rules.ts';

/** A build expires as certificates do: `notAfter` is its last moment. */
export const hasExpired = ({ notAfter }: Pick<ReferenceValue, 'notAfter'>, at: Date): boolean =>
  notAfter !== null && at > notAfter;

const isMeasured = ({ measurements }: ReferenceValue, { snp }: SnpFacts): boolean =>
  measurements.some((measurement) => equalBytes(measurement, snp.report.measurement));

// Parts of a reference value, in the order in which they narrow down what a report can be.
const PARTS = {
  measurement: (value: ReferenceValue, facts: SnpFacts) => isMeasured(value, facts) && !hasExpired(value, facts.at),
  hostData: (value: ReferenceValue, { snp }: SnpFacts) => isOrUnused(value.hostData, snp.report.hostData),
  vmpl: (value: ReferenceValue, { snp }: SnpFacts) => value.vmpl === snp.report.vmpl,
  idKeyDigest: (value: ReferenceValue, { snp }: SnpFacts) => isOrUnused(value.idKeyDigest, snp.report.idKeyDigest),
  authorKeyDigest: (value: ReferenceValue, { snp }: SnpFacts) =>
    isOrUnused(value.authorKeyDigest, snp.report.authorKeyDigest),
} as const;
type Part = keyof typeof PARTS;
const ORDER = Object.keys(PARTS) as readonly Part[];

function isOrUnused<N extends number>(want: Bytes<N> | 'unused', actual: Bytes<N>): boolean {
  return want === 'unused' || equalBytes(want, actual);
}

const valuesOf = (policy: SnpPolicy): readonly ReferenceValue[] =>
  policy.referenceValues === 'any-unidentified-program' ? [] : policy.referenceValues;

/** The values that match in every part before this one; all of them once none is left, so that each part is reported. */
function candidates(policy: SnpPolicy, facts: SnpFacts, part: Part): readonly ReferenceValue[] {
  const before = ORDER.slice(0, ORDER.indexOf(part));
  const left = valuesOf(policy).filter((value) => before.every((name) => PARTS[name](value, facts)));
  return left.length > 0 ? left : valuesOf(policy);
}

export function referenceRule(
  part: Part,
  row: Pick<SnpRule, 'id' | 'code' | 'claim' | 'source' | 'unknown' | 'actual'>,
  show: (value: ReferenceValue) => string,
): SnpRule {
  return {
    ...row,
    optedOut: ({ referenceValues }) => referenceValues === 'any-unidentified-program',
    expected: (policy, facts) => [...new Set(candidates(policy, facts, part).map(show))].join(' or '),
    holds: (facts, policy) => candidates(policy, facts, part).some((value) => PARTS[part](value, facts)),
  };
}

export const hexOrWord = (value: Uint8Array | string): string => (typeof value === 'string' ? value : hex(value));

/** A build as a policy names it, with all that it can measure to. */
export function buildText({ name, measurements, notAfter }: ReferenceValue): string {
  const until = notAfter ? `, until ${notAfter.toISOString()}` : '';
  return `${measurements.map(hex).join(' or ')} (${JSON.stringify(name)}${until})`;
}

/** The measurement a report has, and which build it is, if any. */
export function measuredText(facts: SnpFacts, policy: SnpPolicy): string {
  const measurement = hex(facts.snp.report.measurement);
  const measured = valuesOf(policy).filter((value) => isMeasured(value, facts));
  const build = measured.find((value) => !hasExpired(value, facts.at)) ?? measured[0];
  if (!build) return measurement;
  const expired = hasExpired(build, facts.at) ? `, which expired at ${build.notAfter?.toISOString()}` : '';
  return `${measurement} (${JSON.stringify(build.name)}${expired})`;
}

export const DENIED_ROW: CheckRow = {
  id: 'policy.denied-measurements',
  claim: 'MEASUREMENT, or PCR0 to PCR2',
  source: 'verifier/policy.schema.json, deniedMeasurements',
};

/** A withdrawn build is refused whatever reference value names it, and under a policy that names none. */
export function checkDenied(
  measured: readonly Bytes<48>[],
  { deniedMeasurements }: AppraisalPolicy,
  log: CheckLog,
): void {
  const { id } = DENIED_ROW;
  const found = measured.find((measurement) => deniedMeasurements.some((denied) => equalBytes(denied, measurement)));
  if (deniedMeasurements.length === 0) log.skip(id, 'the policy denies none');
  else if (found) {
    log.fail(id, 'MEASUREMENT_DENIED', 'a measurement that the policy does not deny', hex(found));
  } else log.pass(id, `none of the ${deniedMeasurements.length} denied`);
}
