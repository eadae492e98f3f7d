/** What a verdict means, for people who will not read the table. */
import type { AttestationResult } from '../appraise/result.ts';
import { A_FILE } from '../kind.ts';
import type { Platform } from '../trust/anchor.ts';

const VOUCHES: Readonly<Record<Platform, string>> = {
  snp: 'a genuine AMD SEV-SNP chip',
  nitro: 'a genuine AWS Nitro system',
  'simulated-snp': 'a simulated chip, which proves the mechanism and no machine,',
  'simulated-nitro': 'a simulated Nitro system, which proves the mechanism and no machine,',
};

export function verdictSentence(result: AttestationResult): string {
  const file = result.kind ? A_FILE[result.kind].replace(/^an? /, '') : 'file';
  if (result.verdict === 'unsupported') {
    return 'Neither yes nor no: this release does not read this kind or version of file, so nothing is known about it.';
  }
  if (result.verdict === 'contraindicated') {
    const [first, ...more] = result.findings;
    const others = more.length === 0 ? '' : `, and ${more.length} more`;
    return `Do not rely on this ${file}. What failed: ${first.claim} (${first.code})${others}.`;
  }
  if (result.platform === null) return `The ${file} is signed by the key you named. No hardware was verified.`;
  return `At the time given, ${VOUCHES[result.platform]} vouches for ${vouchedFor(result)}, ${program(result)}.`;
}

type Affirming = Extract<AttestationResult, { readonly verdict: 'affirming' }>;

function vouchedFor(result: Affirming): string {
  switch (result.kind) {
    case 'receipt': {
      const answer = result.statement.outcome === 'ok' ? 'the answer' : 'the refusal';
      if (result.strength === 'hardware-committed') return `${answer} that this receipt records`;
      return `the session key that signed ${answer} in this receipt, though not yet for ${answer} itself`;
    }
    case 'attestation':
    case 'evidence':
      return 'the session key and the log in this file';
    default:
      return 'this report';
  }
}

/** PCR8 tells whose program it is. */
const IDENTIFYING: readonly string[] = ['policy.measurement', 'policy.nitro-pcr0', 'policy.nitro-pcr8'];

function program({ checks }: AttestationResult): string {
  const identified = checks.some(({ id, outcome }) => IDENTIFYING.includes(id) && outcome === 'pass');
  return identified ? 'made by a program the policy accepts' : 'made by an unidentified program';
}
