import { type Tensor, tensorTexts, tensorValues } from '@veritee/protocol';
import type { AttestationResult } from '@veritee/verifier';

const MARK = { pass: '✓', fail: '✗', skipped: '–' } as const;

/** A result as a person reads it: the verdict, what failed, every check, what was not checked. */
export function renderResult(result: AttestationResult): string {
  const lines = [renderHead(result), '', 'Checks'];
  for (const { id, outcome, detail } of result.checks) lines.push(`  ${MARK[outcome]} ${id.padEnd(26)} ${detail}`);
  if (result.notChecked.length > 0) {
    lines.push('', 'Not checked');
    for (const text of result.notChecked) lines.push(`  – ${text}`);
  }
  return lines.join('\n');
}

/** The verdict and what failed. */
export function renderHead(result: AttestationResult): string {
  const lines = [
    `${MARK[result.verdict === 'affirming' ? 'pass' : result.verdict === 'contraindicated' ? 'fail' : 'skipped']} ${result.verdict}` +
      `${result.strength ? `, ${result.strength}` : ''}${result.platform ? `, platform ${result.platform}` : ''}`,
    `  policy ${result.policy}, at ${result.at.toISOString()}`,
    ...(result.timeSource === 'evidence'
      ? [`  chain valid at ${result.validAt.toISOString()}, the time that the evidence bears`]
      : []),
  ];
  if (result.platform?.startsWith('simulated'))
    lines.push('  SIMULATED PLATFORM: this proves the mechanism, not a machine.');
  if (result.findings.length > 0) lines.push(renderFindings(result));
  return lines.join('\n');
}

export const renderFindings = ({ findings }: AttestationResult): string =>
  findings
    .map(
      ({ code, claim, expected, actual, source }) =>
        `  ✗ ${code}: ${claim}: expected ${expected}; got ${actual} (${source})`,
    )
    .join('\n');

/** The elements as text, for people and for JSON that must not round 64-bit integers. */
export function tensorText(tensor: Tensor): string[] {
  if (tensor.datatype === 'BYTES') return tensorTexts(tensor);
  if (tensor.datatype === 'BOOL') return Array.from(tensor.data, (bit) => String(bit === 1));
  return Array.from(tensorValues(tensor), String);
}
