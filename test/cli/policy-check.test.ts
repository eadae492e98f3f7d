import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { temporaryFolder, veritee } from '../support/cli.ts';
import { strictPolicy } from '../support/policies.ts';
import { jsonOf, refusalOf } from './support.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);

const put = (name: string, policy: unknown): string => {
  const file = path.join(folder, name);
  writeFileSync(file, typeof policy === 'string' ? policy : JSON.stringify(policy));
  return file;
};

describe.concurrent('policy check', () => {
  test('lists what a complete policy leaves open, and ends 0', async () => {
    const file = put('open.json', strictPolicy({}, { debug: 'allow-debug-no-confidentiality', products: ['Genoa'] }));
    const ran = await veritee(['policy', 'check', file]);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toMatch(/^strict: complete \(digest [0-9a-f]{64}\)\n/);
    expect(ran.stdout).toContain('  ! policy.sevSnp.debug: the host may read and write the guest’s memory');
    expect(ran.stdout).toContain('  ! policy.sevSnp.minimumTcb: Genoa is accepted but has no floor');
  });

  test('--json gives id, digest and warnings', async () => {
    const ran = await veritee(['policy', 'check', put('strict.json', strictPolicy()), '--json']);
    expect(ran.status).toBe(0);
    const json = jsonOf(ran);
    expect(json).toEqual({
      id: 'strict',
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      complete: true,
      warnings: expect.any(Array),
    });
    for (const warning of json['warnings'] as unknown[]) {
      expect(warning).toEqual({
        code: expect.stringMatching(/^[a-z-]+$/),
        path: expect.stringMatching(/^policy\./),
        words: expect.any(String),
      });
    }
  });

  test('an incomplete policy is none: exit 2, with the place', async () => {
    const { deniedMeasurements: _, ...rest } = strictPolicy();
    const file = put('incomplete.json', rest);
    expect(await refusalOf(['policy', 'check', file])).toEqual({ status: 2, code: 'POLICY_INVALID' });
    expect((await veritee(['policy', 'check', file])).stderr).toContain('policy.deniedMeasurements');
    expect(await refusalOf(['policy', 'check', put('empty.json', strictPolicy({}, { referenceValues: [] }))])).toEqual({
      status: 2,
      code: 'POLICY_INVALID',
    });
  });
});
