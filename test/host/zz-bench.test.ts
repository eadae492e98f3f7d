import { rootFromInclusion } from '@veritee/protocol';
import { expect, test } from 'vitest';
import { FakeLog } from '../support/fake-log.ts';
import { entryRecord, evidenceRecord, openStore } from './support.ts';

test('throughput', async () => {
  const log = new FakeLog();
  for (let i = 0; i < 20000; i++) log.statement();
  for (const group of [1, 8, 32, 256, 1024]) {
    const store = openStore();
    await store.startBoot(log.boot, 'x');
    const n = Math.min(20000, group * 400);
    const t = performance.now();
    for (let i = 0; i < n; i += group) await store.append(log.boot, log.entries.slice(i, i + group).map(entryRecord));
    const s = (performance.now() - t) / 1000;
    console.log('group', group, 'entries/s', Math.round(n / s), 'ms/commit', ((s * 1000 * group) / n).toFixed(2));
    if (n >= 20000) {
      const e = log.evidence();
      const all = await store.boot(log.boot);
      await store.append(log.boot, [...log.entries.slice(all!.size).map(entryRecord)]);
      const t2 = performance.now();
      await store.append(log.boot, [evidenceRecord(e)]);
      console.log('evidence', (performance.now() - t2).toFixed(2));
      const t3 = performance.now();
      for (let i = 0; i < 1000; i++) {
        const idx = (i * 7919) % e.size;
        const p = await store.inclusionPath(log.boot, idx, e.size);
        if (i % 100 === 0) expect(rootFromInclusion(log.leaves[idx]!, idx, e.size, p)).toEqual(e.root);
      }
      console.log('path us', (performance.now() - t3).toFixed(0));
    }
  }
}, 120000);
