import { expect, test } from 'vitest';
import { exitOfError, exitOfVerdict, InputError } from '../../cli/exit.ts';
import { ClientError } from '../../client/errors.ts';
import { CODES, type Code, CodedError, EvidenceError, ServiceError } from '../../protocol/errors.ts';
import { assess } from '../../verifier/assess.ts';

test('verdicts', () => {
  expect(exitOfVerdict('affirming')).toBe(0);
  expect(exitOfVerdict('contraindicated')).toBe(1);
  expect(exitOfVerdict('unsupported')).toBe(4);
});

test('a defect of ours is 70, never 1', () => {
  for (const error of [new TypeError('x'), 'thrown text', undefined, new CodedError('INTERNAL', 'x')])
    expect(exitOfError(error)).toBe(70);
});

test('no error ends with 0, and only defects with 70', () => {
  for (const code of Object.keys(CODES) as Code[]) {
    for (const error of [new CodedError(code, 'x'), new EvidenceError(code, 'x'), new ServiceError(code, 'x')])
      expect([1, 2, 4, ...(code === 'INTERNAL' ? [70] : [])], code).toContain(exitOfError(error));
    expect([1, 2, 3], code).toContain(exitOfError(new ClientError(code, 'x')));
    expect(exitOfError(new InputError(code, 'x')), code).toBe(2);
  }
});

test.each<[Code, number, number]>([
  ['PORT_IN_USE', 2, 1],
  ['DATA_FOLDER_IN_USE', 2, 1],
  ['MODEL_REPOSITORY_INVALID', 2, 1],
  ['PLATFORM_UNAVAILABLE', 2, 1],
  ['POLICY_INVALID', 2, 1],
  ['MODEL_UNKNOWN', 2, 1],
  ['EVIDENCE_MALFORMED', 1, 1],
  ['EVIDENCE_UNSUPPORTED', 4, 1],
  ['SERVICE_UNREACHABLE', 2, 3],
  ['STORE_FULL', 2, 3],
  ['RECEIPT_NEVER_COMMITTED', 2, 1],
  ['PLAINTEXT_NOT_ALLOWED', 1, 1],
  ['INTERNAL', 70, 3],
  ['USAGE', 2, 2],
])('%s here is %i, said by a service %i', (code, here, there) => {
  expect(exitOfError(new CodedError(code, 'x'))).toBe(here);
  expect(exitOfError(new ClientError(code, 'x'))).toBe(there);
});

test('a verdict that a client got decides, not its first code', async () => {
  const unsupported = await assess({ file: new Uint8Array(3), policy: 'builtin:authenticity', at: new Date() });
  expect(unsupported.verdict).toBe('unsupported');
  expect(exitOfError(new ClientError('EVIDENCE_UNSUPPORTED', 'x', { result: unsupported }))).toBe(4);
  const file = new Uint8Array(1184);
  const refused = await assess({ file, kind: 'receipt', policy: 'builtin:authenticity', at: new Date() });
  expect(refused.verdict).toBe('contraindicated');
  expect(exitOfError(new ClientError('STORE_FULL', 'x', { result: refused }))).toBe(1);
});
