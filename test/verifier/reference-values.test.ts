import { beforeAll, describe, expect, test } from 'vitest';
import type { Code } from '../../protocol/index.ts';
import { type AttestationResult, assess, parsePolicy, type TrustAnchor, toJson } from '../../verifier/index.ts';
import { AT, anchorsOf, MEASUREMENT, MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';

const OURS = Buffer.from(MEASUREMENT).toString('hex');
const OTHER = 'ab'.repeat(48);
const [base] = strictPolicy().sevSnp.referenceValues;
const { measurement: _, ...rest } = base!;

let tick: Tick;
let trustAnchors: TrustAnchor[];

beforeAll(async () => {
  tick = await new MiniEnclave().tick();
  trustAnchors = await anchorsOf(tick);
});

const judge = (policy: unknown, at = AT): Promise<AttestationResult> =>
  assess({ file: tick.file, policy: parsePolicy(policy), at, trustAnchors });
const builds = (...referenceValues: readonly unknown[]) => strictPolicy({}, { referenceValues });
const codes = ({ findings }: AttestationResult): Code[] => findings.map(({ code }) => code);
const detail = (result: AttestationResult, id: string): string =>
  result.checks.find((check) => check.id === id)?.detail ?? '';

describe('a build of several shapes', () => {
  test('is met by any of its measurements, and named', async () => {
    const shapes = { ...rest, name: 'acme 1.4', measurements: [OTHER, OURS] };
    const result = await judge(builds({ ...base, name: 'old', measurement: OTHER }, shapes));
    expect(codes(result)).toEqual([]);
    expect(detail(result, 'policy.measurement')).toBe(`${OURS} ("acme 1.4")`);
  });

  test('and by no other', async () => {
    const result = await judge(builds({ ...rest, measurements: [OTHER, 'cd'.repeat(48)] }));
    expect(codes(result)).toEqual(['MEASUREMENT_UNKNOWN']);
    expect(result.findings[0]).toMatchObject({ expected: `${OTHER} or ${'cd'.repeat(48)} ("mini")`, actual: OURS });
  });

  test('keeps its parts together', async () => {
    const shapes = { ...rest, measurements: [OTHER, OURS], vmpl: 1 };
    expect(codes(await judge(builds(shapes, { ...base, measurement: OTHER })))).toEqual(['VMPL_NOT_ALLOWED']);
  });
});

describe('a build that expires', () => {
  const until = (notAfter: string) => builds({ ...base, name: 'acme 1.3', notAfter });
  const exactly = AT.toISOString().replace('.000', '');

  test('is known up to its last moment', async () => {
    expect(codes(await judge(until(exactly)))).toEqual([]);
    expect(codes(await judge(until('2027-01-01T00:00:00Z')))).toEqual([]);
  });

  test('and unknown after it, which is said', async () => {
    const result = await judge(until(exactly), new Date(AT.getTime() + 1));
    expect(codes(result)).toEqual(['MEASUREMENT_UNKNOWN']);
    expect(result.findings[0]).toMatchObject({
      expected: `${OURS} ("acme 1.3", until ${AT.toISOString()})`,
      actual: `${OURS} ("acme 1.3", which expired at ${AT.toISOString()})`,
    });
  });

  test('gives way to the same build under a later date', async () => {
    const both = builds(
      { ...base, name: 'old', notAfter: '2026-01-01T00:00:00Z' },
      { ...base, name: 'new', notAfter: '2027-01-01T00:00:00Z' },
    );
    const result = await judge(both);
    expect(codes(result)).toEqual([]);
    expect(detail(result, 'policy.measurement')).toBe(`${OURS} ("new")`);
  });

  test('lends no part to another', async () => {
    const expired = { ...base, name: 'old', notAfter: '2026-01-01T00:00:00Z' };
    const live = { ...base, name: 'new', vmpl: 2 };
    expect(codes(await judge(builds(expired, live)))).toEqual(['VMPL_NOT_ALLOWED']);
  });
});

describe('a denied measurement', () => {
  const denying = (...deniedMeasurements: readonly string[]) => ({ deniedMeasurements });

  test('is refused even if listed', async () => {
    const result = await judge(strictPolicy(denying(OTHER, OURS)));
    expect(codes(result)).toEqual(['MEASUREMENT_DENIED']);
    expect(detail(result, 'policy.measurement')).toContain('"mini"');
    expect(toJson(result).verdict).toBe('contraindicated');
  });

  test('and under a policy that identifies no program', async () => {
    const any = strictPolicy(denying(OURS), { referenceValues: 'any-unidentified-program' });
    expect(codes(await judge(any))).toEqual(['MEASUREMENT_DENIED']);
  });

  test('others pass, and an empty list is said not to have been asked', async () => {
    const outcome = async (policy: unknown) =>
      (await judge(policy)).checks.find(({ id }) => id === 'policy.denied-measurements');
    expect(await outcome(strictPolicy(denying(OTHER)))).toMatchObject({
      outcome: 'pass',
      detail: 'none of the 1 denied',
    });
    expect(await outcome(strictPolicy())).toMatchObject({ outcome: 'skipped', detail: 'the policy denies none' });
  });
});
