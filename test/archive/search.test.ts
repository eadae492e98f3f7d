import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { impactOf, parseAdvisory } from '../../archive/advisory/index.ts';
import type { Archive } from '../../archive/archive.ts';
import { count, parseFloor, type ReceiptFilter, search } from '../../archive/search/index.ts';
import type { Place } from '../../archive/store/port.ts';
import { hex } from '../../protocol/index.ts';
import { MODELS, machineOf, START_MS, type SyntheticService } from '../support/synthetic-archive.ts';
import { ingestAll, openFor, Workplace } from './audit-support.ts';

const place = new Workplace();
let service: SyntheticService;
let archive: Archive;

/** Boots 0 and 2: old firmware, build 5a, of acme; boot 1: newer firmware, build 5b, of globex, under a strict policy. */
beforeAll(async () => {
  service = await place.service({ receipts: 600, checkpoints: 12, boots: 3 });
  archive = await openFor(place.path('archive'), 'write');
  await ingestAll(archive, service.only(0, 2), { tenant: 'acme' });
  await ingestAll(archive, service.only(1), { tenant: 'globex', retentionClass: 'long' });
});

afterAll(async () => {
  await archive.close();
  service.close();
  place.remove();
});

const bootOf = (n: number): string => service.logs[n]!.boot;

async function all(filter: ReceiptFilter, limit = 37) {
  const found = [];
  for (let after: Place | null = null; ; ) {
    const page = await search(archive.store, filter, { after, limit });
    found.push(...page.receipts);
    if (!page.next) return found;
    after = page.next;
  }
}

describe('search', () => {
  test.each<[string, ReceiptFilter, number]>([
    ['everything', {}, 600],
    ['a tenant', { tenant: 'globex' }, 200],
    ['a retention class', { retentionClass: 'standard' }, 400],
    ['a model', { model: 'triage' }, 399],
    ['a model and version', { model: 'triage', modelVersion: '2' }, 201],
    ['a model digest', { modelDigest: MODELS[2]!.digest }, 201],
    ['a time', { fromMs: START_MS + 4, toMs: START_MS + 14 }, 30],
    ['an outcome', { outcome: 'REQUEST_TRUNCATED' }, 12],
    ['a build', { evidence: { measurement: '5a'.repeat(48) } }, 400],
    ['a chip', { evidence: { chip: hex(machineOf(1).chipId) } }, 200],
    ['firmware below a floor', { evidence: { tcbBelow: { product: 'Milan', parts: { snp: 27 } } } }, 400],
    [
      'firmware below a floor of another product',
      { evidence: { tcbBelow: { product: 'Genoa', parts: { snp: 27 } } } },
      0,
    ],
    ['a platform', { evidence: { platform: 'simulated-snp' } }, 600],
    ['a verdict', { evidence: { verdict: 'contraindicated' } }, 0],
    ['a tenant on a build', { tenant: 'globex', evidence: { measurement: '5a'.repeat(48) } }, 0],
  ])('by %s', async (_name, filter, expected) => {
    const found = await all(filter);
    expect(found).toHaveLength(expected);
    expect(await count(archive.store, filter)).toBe(expected);
    expect(new Set(found.map(({ receiptId }) => hex(receiptId))).size).toBe(expected);
  });

  test('by receipt id, with the evidence that covers it', async () => {
    const log = service.logs[1]!;
    const receiptId = log.receiptIds[77]!;
    const [found, ...more] = await all({ receiptId });
    expect(more).toEqual([]);
    expect(found).toMatchObject({ boot: log.boot, index: 4 + 77, tenant: 'globex' });
    expect(found?.evidence).toMatchObject({ verdict: 'affirming', product: 'Milan', chip: hex(machineOf(1).chipId) });
    const row = await archive.store.firstEvidenceOver(log.boot, 81);
    expect(found?.evidence?.reportData).toBe(hex(row!.reportData));
  });

  test('reads a floor, and nothing like one', () => {
    expect(parseFloor('Milan:snp=23,microcode=213')).toEqual({ product: 'Milan', parts: { snp: 23, microcode: 213 } });
    for (const text of [
      'Milan',
      'Milan:',
      'Rome:snp=1',
      'Milan:snp=256',
      'Milan:snp=1,snp=2',
      'Milan:svn=1',
      'Milan:snp',
    ]) {
      expect(parseFloor(text)).toBeNull();
    }
  });
});

const ADVISORY = { profile: 'veritee/advisory/v1', id: 'X-1', minimumTcb: [], deniedMeasurements: [], deniedChips: [] };
const advisory = (change: object) => parseAdvisory(JSON.stringify({ ...ADVISORY, ...change }));

describe('an advisory', () => {
  test('that raises a floor names the receipts made below it', async () => {
    const impact = await impactOf(archive.store, advisory({ minimumTcb: [{ product: 'Milan', snp: 27 }] }));
    expect(impact.receipts).toEqual({ affected: 400, uncommitted: 0, unknown: 0, unaffected: 200 });
    expect(impact.byReason).toEqual({ tcb: 400, measurement: 0, chip: 0 });
    expect(impact.evidence).toEqual({ affected: 8, unknown: 0, unaffected: 4 });
    expect(impact.boots.map(({ boot }) => boot).sort()).toEqual([bootOf(0), bootOf(2)].sort());
    const listed = await all({ ranges: impact.ranges });
    expect(listed).toHaveLength(400);
    expect(new Set(listed.map(({ boot }) => boot))).toEqual(new Set([bootOf(0), bootOf(2)]));
  });

  test('counts each reason, and a receipt once', async () => {
    const impact = await impactOf(
      archive.store,
      advisory({
        minimumTcb: [{ product: 'Milan', microcode: 214 }],
        deniedMeasurements: ['5a'.repeat(48)],
        deniedChips: [hex(machineOf(1).chipId)],
      }),
    );
    expect(impact.receipts).toMatchObject({ affected: 600, unaffected: 0 });
    expect(impact.byReason).toEqual({ tcb: 400, measurement: 400, chip: 200 });
  });

  test('is narrowed to a tenant', async () => {
    const impact = await impactOf(archive.store, advisory({ deniedMeasurements: ['5a'.repeat(48)] }), {
      tenant: 'globex',
    });
    expect(impact.receipts).toMatchObject({ affected: 0, unaffected: 200 });
  });

  test.each([
    ['another profile', { profile: 'x' }],
    ['nothing to deny', {}],
    ['a field nobody knows', { deniedChips: ['00'.repeat(64)], severity: 'high' }],
    ['a floor without a part', { minimumTcb: [{ product: 'Milan' }] }],
    ['a part nobody knows', { minimumTcb: [{ product: 'Milan', svn: 3 }] }],
    ['a product nobody knows', { minimumTcb: [{ product: 'Rome', snp: 3 }] }],
    ['a part out of range', { minimumTcb: [{ product: 'Milan', snp: 256 }] }],
    ['a measurement of another length', { deniedMeasurements: ['5a'] }],
  ])('with %s is refused', (_name, change) => {
    expect(() => advisory(change)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});
