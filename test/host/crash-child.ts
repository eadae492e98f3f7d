import { writeSync } from 'node:fs';
import { SqliteStore } from '../../host/store/sqlite.ts';
import type { LogRecord } from '../../host/store/store.ts';
import { CrashLog } from './crash-log.ts';

/** Appends groups of random size until it is killed, and says after each commit what it acknowledged. */
const [folder = '', seed = '0'] = process.argv.slice(2);
const store = SqliteStore.open(folder);
const log = new CrashLog();
await store.startBoot(log.boot, 'crash');
let { size } = (await store.boot(log.boot)) ?? { size: 0 };
log.extendTo(size);
let noise = Number(seed);
const next = (below: number): number => {
  noise = (noise * 1103515245 + 12345) % 2 ** 31; // any generator will do
  return Math.floor((noise / 2 ** 31) * below);
};
writeSync(1, `ready ${size}\n`);
for (;;) {
  log.extendTo(size + 1 + next(60));
  const records: LogRecord[] = log.entries.slice(size).map((bytes) => ({ type: 'entry', bytes }));
  if (next(4) === 0) records.push({ type: 'evidence', bytes: log.evidence().file });
  const done = await store.append(log.boot, records);
  size = done.size;
  writeSync(1, `${size} ${(await store.latestEvidence(log.boot))?.size ?? 0}\n`);
}
