import { describe, expect, test } from 'vitest';
import { CODES, type Code } from '../../protocol/index.ts';
import { ALL_ROWS, assess } from '../../verifier/index.ts';
import { GOOD, REFUSALS } from './cases.ts';

/** Codes of these stages that no assessment of one file can give, and who gives them. */
const ELSEWHERE: Partial<Record<Code, string>> = {
  SESSION_FORKED: 'the client, which holds two statements of one session against each other (test/cli/infer.test.ts)',
};

/** Rows that no assessment can fail by themselves, and where they are failed instead. */
const ROWS_ELSEWHERE: Readonly<Record<string, string>> = {
  'nitro.timestamp':
    'assess judges the chain at the document’s own time, so nitro.chain.time fails first; verifyNitro also takes a ' +
    'time of its caller (test/verifier/nitro-simulated.test.ts)',
};

const VERIFIER_STAGES: readonly string[] = ['parse', 'verify', 'appraise'];

test.each(GOOD)('%s is affirming', async (_, input) => {
  const result = await assess(await input());
  expect(result.findings).toEqual([]);
  expect(result.verdict).toBe('affirming');
});

describe('one change, one row, one code', () => {
  test.each(REFUSALS)('$row: $name', async ({ row, code, input }) => {
    const result = await assess(await input());
    expect(result.findings.map((finding) => finding.code)).toEqual([code]);
    expect(result.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)).toEqual([row]);
    expect(result.verdict).toBe(code === 'EVIDENCE_UNSUPPORTED' ? 'unsupported' : 'contraindicated');
    expect(result).not.toHaveProperty('session');
    expect(result).not.toHaveProperty('sealingKeys');
  });
});

test('every row has a case that fails it alone', () => {
  const seen = new Set(REFUSALS.map(({ row }) => row));
  const missing = ALL_ROWS.map(({ id }) => id).filter((id) => !seen.has(id));
  expect(missing).toEqual(Object.keys(ROWS_ELSEWHERE));
});

test('every code of the verifier has a case that gives it', () => {
  const seen = new Set<Code>(REFUSALS.map(({ code }) => code));
  const codes = (Object.keys(CODES) as Code[]).filter((code) => VERIFIER_STAGES.includes(CODES[code].stage));
  expect(codes.filter((code) => !seen.has(code) && !ELSEWHERE[code])).toEqual([]);
  expect(Object.keys(ELSEWHERE).filter((code) => seen.has(code as Code))).toEqual([]);
});

test('no case is there twice', () => {
  const names = REFUSALS.map(({ row, name }) => `${row}: ${name}`);
  expect(new Set(names).size).toBe(names.length);
});
