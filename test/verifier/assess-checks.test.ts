import { expect, test } from 'vitest';
import { EvidenceError } from '../../protocol/index.ts';
import { CheckFailure, CheckLog } from '../../verifier/checks.ts';

const row = (id: string) => ({ id, claim: `claim of ${id}`, source: `source of ${id}` });
const outcomes = (log: CheckLog): string[] => log.checks().map(({ id, outcome }) => `${id} ${outcome}`);

test('every row is in the record, in order, also those that nothing reached', () => {
  const log = new CheckLog([row('a'), row('b'), row('c')]);
  log.pass('c', 'good');
  log.skip('a', 'not asked', 'whether a');
  expect(outcomes(log)).toEqual(['a skipped', 'b skipped', 'c pass']);
  expect(log.notChecked).toEqual(['whether a']);
});

test('a row that failed stays failed', () => {
  const log = new CheckLog([row('a')]);
  log.fail('a', 'NONCE_MISMATCH', 'one', 'another');
  log.pass('a', 'good');
  log.skip('a', 'not asked');
  expect(outcomes(log)).toEqual(['a fail']);
  expect(log.findings).toEqual([
    { code: 'NONCE_MISMATCH', claim: 'claim of a', source: 'source of a', expected: 'one', actual: 'another' },
  ]);
});

test('a step records a refusal and throws it on', async () => {
  const log = new CheckLog([row('a'), row('b')]);
  const failure = new CheckFailure('CHAIN_UNTRUSTED', 'one', 'another');
  await expect(log.step('a', () => Promise.reject(failure), String)).rejects.toBe(failure);
  const plain = new EvidenceError('EVIDENCE_MALFORMED', 'report: short');
  await expect(log.step('b', () => Promise.reject(plain), String)).rejects.toBe(plain);
  expect(log.findings.map(({ code, actual }) => [code, actual])).toEqual([
    ['CHAIN_UNTRUSTED', 'another'],
    ['EVIDENCE_MALFORMED', 'report: short'],
  ]);
});

test('a defect is no refusal: it is thrown on and not recorded', async () => {
  const log = new CheckLog([row('a')]);
  const defect = () => Promise.reject(new RangeError('ours'));
  await expect(log.step('a', defect, String)).rejects.toThrow(RangeError);
  expect(log.findings).toEqual([]);
  expect(() => log.pass('no such row', '')).toThrow(TypeError);
  expect(() => new CheckLog([row('a'), row('a')])).toThrow(TypeError);
});

test('what was established stays when a later check fails', () => {
  const log = new CheckLog([row('a')]);
  log.establish({ platform: 'snp', claims: { vmpl: 0 } });
  log.establish({ claims: { guestSvn: 1 } });
  log.fail('a', 'DEBUG_ENABLED', '0', '1');
  expect(log.established).toEqual({
    platform: 'snp',
    strength: null,
    claims: { vmpl: 0, guestSvn: 1 },
    evidenceTime: null,
    existedBy: null,
  });
});
