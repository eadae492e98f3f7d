import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Archive } from '../../archive/archive.ts';
import { replay } from '../../archive/replay/index.ts';
import type { EvidenceRow } from '../../archive/store/port.ts';
import { utf8 } from '../../protocol/index.ts';
import { AT } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import type { SyntheticService } from '../support/synthetic-archive.ts';
import { ingestAll, openFor, Workplace } from './audit-support.ts';

const place = new Workplace();
let service: SyntheticService;
let archive: Archive;
let row: EvidenceRow;

beforeAll(async () => {
  service = await place.service({ receipts: 20, checkpoints: 2, boots: 1 });
  archive = await openFor(place.path('archive'), 'write');
  await ingestAll(archive, service);
  row = (await archive.store.evidenceOf(service.logs[0]!.boot, 0, 1))[0]!;
});

afterAll(async () => {
  await archive.close();
  service.close();
  place.remove();
});

const inputs = (policy: Uint8Array) => ({ policy, anchors: [service.root], endorsements: [], crls: [] });

describe('a frozen verdict', () => {
  test('is made again, years later', async () => {
    const again = await replay(archive, row);
    expect(again).toMatchObject({ same: true, today: null });
    expect(again.frozen).toEqual(again.again);
    expect(again.frozen).toMatchObject({ verdict: 'affirming', codes: [], at: AT.toISOString() });
  });

  test('is compared with a stricter policy of today, check by check', async () => {
    const strict = utf8(JSON.stringify(strictPolicy())); // its TCB floor is above this machine's
    const { same, today } = await replay(archive, row, { inputs: inputs(strict), atMs: AT.getTime() });
    expect(same).toBe(true);
    expect(today).toMatchObject({ verdict: 'contraindicated', codes: ['TCB_BELOW_MINIMUM', 'TCB_BELOW_MINIMUM'] });
    const failed = today!.changes.filter(({ today: now }) => now?.startsWith('fail'));
    expect(failed.map(({ check }) => check)).toEqual(['policy.minimum-tcb', 'policy.minimum-launch-tcb']);
    for (const { frozen } of failed) expect(frozen).toMatch(/^skipped/);
  });

  test('has no difference under the policy it was made under', async () => {
    const { today } = await replay(archive, row, { inputs: inputs(utf8('builtin:authenticity')), atMs: AT.getTime() });
    expect(today).toMatchObject({ verdict: 'affirming', changes: [] });
  });

  test('is contraindicated today when its certificates have expired, and was not then', async () => {
    const atMs = Date.parse('2060-01-01T00:00:00Z');
    const { same, today } = await replay(archive, row, { inputs: inputs(utf8('builtin:authenticity')), atMs });
    expect(same).toBe(true);
    expect(today?.verdict).toBe('contraindicated');
  });

  test('whose inputs are not those kept is refused', async () => {
    const appraisal = { ...row.appraisal, policy: row.file };
    await expect(replay(archive, { ...row, appraisal })).rejects.toMatchObject({ code: 'EVIDENCE_MISSING' });
  });

  test('that is not what its inputs give is said so', async () => {
    const appraisal = { ...row.appraisal, atMs: row.appraisal.atMs + 1_000 };
    expect(await replay(archive, { ...row, appraisal })).toMatchObject({ same: false });
  });
});
