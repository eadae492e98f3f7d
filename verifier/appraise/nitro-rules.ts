/**
 * The Nitro half of a policy, as a table: the sibling of `snp-rules.ts`, under the same terms. Every row is run and every
 * failure reported; a row that the policy opts out of is skipped, never passed, and its `unknown` is said in `notChecked`.
 */
import { type Bytes, type Code, equalBytes, hex } from '@veritee/protocol';
import type { CheckLog, CheckRow } from '../checks.ts';
import type { VerifiedNitro } from '../nitro/verify.ts';
import type { NitroPolicy, NitroReferenceValue } from './policy.ts';
import { hasExpired, hexOrWord } from './reference-values.ts';

export interface NitroFacts {
  readonly nitro: VerifiedNitro;
  readonly at: Date;
}

interface NitroRule extends CheckRow {
  readonly code: Code;
  /** True only for the policy's own opting-out word: a value that is missing or misspelt does not switch a row off. */
  readonly optedOut: (policy: NitroPolicy) => boolean;
  /** What nobody knows when the row is opted out, in plain words. */
  readonly unknown: string;
  readonly expected: (policy: NitroPolicy, facts: NitroFacts) => string;
  readonly holds: (facts: NitroFacts, policy: NitroPolicy) => boolean;
  readonly actual: (facts: NitroFacts, policy: NitroPolicy) => string;
}

/** In the order in which they narrow down what an enclave can be, and with what each of them measures. */
const MEASURED = [
  ['pcr0', 0, 'the whole image'],
  ['pcr1', 1, 'the kernel'],
  ['pcr2', 2, 'the application'],
  ['pcr8', 8, 'the certificate that signed the image'],
] as const;
type Measured = (typeof MEASURED)[number];

const valuesOf = ({ referenceValues }: NitroPolicy): readonly NitroReferenceValue[] =>
  referenceValues === 'any-unidentified-program' ? [] : referenceValues;

const pcrOf = ({ nitro }: NitroFacts, index: number): Bytes<48> | undefined => nitro.document.pcrs.get(index);

function matches(value: NitroReferenceValue, [name, index]: Measured, facts: NitroFacts): boolean {
  const want = value[name];
  // Debug mode zeroes PCR0 to PCR2 only: on the strength of PCR8 alone a debug enclave would pass as a signed program.
  const actual = facts.nitro.debug ? undefined : pcrOf(facts, index);
  return want === 'unused' || (actual !== undefined && equalBytes(want, actual));
}

/** The values that match in every register before this one; all that count once none is left, so that each is reported. */
function candidates(policy: NitroPolicy, register: Measured, facts: NitroFacts): readonly NitroReferenceValue[] {
  const known = valuesOf(policy).filter((value) => !hasExpired(value, facts.at));
  const before = MEASURED.slice(0, MEASURED.indexOf(register));
  const left = known.filter((value) => before.every((one) => matches(value, one, facts)));
  return left.length > 0 ? left : known;
}

/** A register that no build names says nothing, so its row counts as opted out. */
const isUnused = (policy: NitroPolicy, [name]: Measured): boolean =>
  valuesOf(policy).every((value) => value[name] === 'unused');

function wantedText(policy: NitroPolicy, register: Measured, facts: NitroFacts): string {
  const left = candidates(policy, register, facts);
  if (left.length === 0) return 'a build that has not expired';
  const [name] = register;
  return [...new Set(left.map((value) => `${hexOrWord(value[name])} (${JSON.stringify(value.name)})`))].join(' or ');
}

const measuredRule = (register: Measured): NitroRule => ({
  id: `policy.nitro-${register[0]}`,
  code: 'MEASUREMENT_UNKNOWN',
  claim: register[0].toUpperCase(),
  source: 'AWS Nitro Enclaves, attestation_process.md §3.2.2; user guide, PCRs',
  optedOut: (policy) => isUnused(policy, register),
  unknown:
    register[0] === 'pcr0'
      ? 'by an unidentified program: PCR0, the whole image, was compared with no reference value'
      : `${register[0].toUpperCase()}: whether ${register[2]} is one you know`,
  expected: (policy, facts) => wantedText(policy, register, facts),
  holds: (facts, policy) => candidates(policy, register, facts).some((value) => matches(value, register, facts)),
  actual: (facts) => {
    const pcr = pcrOf(facts, register[1]);
    return pcr ? hex(pcr) : 'not in the document';
  },
});

const MS_PER_SECOND = 1000;
const ageSeconds = ({ nitro, at }: NitroFacts): number =>
  (at.getTime() - nitro.document.timestamp.getTime()) / MS_PER_SECOND;

export const NITRO_RULES: readonly NitroRule[] = [
  ...MEASURED.map(measuredRule),
  {
    id: 'policy.nitro-debug',
    code: 'DEBUG_ENABLED',
    claim: 'PCR0, PCR1, PCR2',
    source: 'AWS Nitro Enclaves user guide, debug mode',
    optedOut: ({ debug }) => debug === 'allow-debug-no-confidentiality',
    unknown: 'debug: whether the parent instance may read the enclave’s console',
    expected: () => 'none of them zero',
    holds: ({ nitro }) => !nitro.debug,
    actual: ({ nitro }) => (nitro.debug ? 'zero: an enclave in debug mode' : 'none is zero'),
  },
  {
    id: 'policy.nitro-document-age',
    code: 'DOCUMENT_TOO_OLD',
    claim: 'timestamp',
    source: 'AWS Nitro Enclaves, attestation_process.md §3.2.2',
    optedOut: ({ maxDocumentAgeSeconds }) => maxDocumentAgeSeconds === 'any',
    unknown: 'age: whether the document is recent enough for you',
    expected: ({ maxDocumentAgeSeconds }) => `signed at most ${maxDocumentAgeSeconds} seconds before`,
    holds: (facts, { maxDocumentAgeSeconds }) =>
      typeof maxDocumentAgeSeconds === 'number' && ageSeconds(facts) <= maxDocumentAgeSeconds,
    actual: (facts) => `${facts.nitro.document.timestamp.toISOString()}, ${ageSeconds(facts)} seconds before`,
  },
];

/** @param policy null when the platform itself is refused: then no row is asked */
export function runNitroRules(facts: NitroFacts, policy: NitroPolicy | null, log: CheckLog): void {
  for (const rule of NITRO_RULES) {
    if (!policy) log.skip(rule.id, 'the policy refuses this platform');
    else if (rule.optedOut(policy)) log.skip(rule.id, 'the policy does not ask', rule.unknown);
    else if (rule.holds(facts, policy)) log.pass(rule.id, rule.actual(facts, policy), rule.expected(policy, facts));
    else log.fail(rule.id, rule.code, rule.expected(policy, facts), rule.actual(facts, policy));
  }
}
