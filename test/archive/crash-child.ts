import { readFileSync } from 'node:fs';
import { openArchive } from '../../archive/archive.ts';
import { Appraiser, ingestService, recordPolicy } from '../../archive/ingest/index.ts';
import { parseShown, ShownSource } from './shown-logs.ts';

/**
 * Ingests, then purges, and ends itself without warning before step N of all that changes the disk.
 * Arguments: the archive's folder, the file of logs, the policy, the anchor, the clock, N (0: never), and whether to purge.
 */
const [folder = '', logs = '', policy = '', anchor = '', now = '', at = '0', purge = ''] = process.argv.slice(2);
let step = 0;
const onStep = (): void => {
  step += 1;
  if (step === Number(at)) process.kill(process.pid, 'SIGKILL');
};
const archive = await openArchive({ folder, mode: 'write' }, { now: () => Number(now), by: 'crash', onStep });
const appraiser = await Appraiser.create(
  { policy: readFileSync(policy), anchors: [readFileSync(anchor)], endorsements: [], crls: [] },
  archive.blobs,
);
await recordPolicy(archive, appraiser);
const source = new ShownSource(parseShown(readFileSync(logs, 'utf8')));
await ingestService(archive, source, { appraiser, tenant: 'acme', retentionClass: 'standard' });
if (purge !== '') {
  const boot = source.shown[0]?.boot ?? '';
  await archive.record([{ kind: 'retention', rules: new Uint8Array(32) as never }], (act) => ({
    purge: { places: [1, 2].map((index) => ({ boot, index })), act },
  }));
}
await archive.close();
process.stdout.write(`${step}\n`);
