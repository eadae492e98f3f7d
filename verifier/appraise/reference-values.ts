/** Rows over reference values: a report has to match one value in every part. */
import { type Bytes, equalBytes, hex } from '@veritee/protocol';
import type { ReferenceValue, SnpPolicy } from './policy.ts';
import type { SnpFacts, SnpRule } from './snp-rules.ts';

// Parts of a reference value, in the order in which they narrow down what a report can be.
const PARTS = {
  measurement: (value: ReferenceValue, { snp }: SnpFacts) => equalBytes(value.measurement, snp.report.measurement),
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
