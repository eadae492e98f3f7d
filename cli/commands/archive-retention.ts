/** `veritee archive hold`, `purge` and `retention`: what is kept, what must be, and what goes. */
import {
  type Archive,
  countIn,
  hold,
  holdsInForce,
  openArchive,
  type Purged,
  purgeExpired,
  purgeScope,
  release,
  retentionInForce,
  scopeToJson,
  setRetention,
} from '@veritee/archive';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { print, printJson, progressBar, readInput } from '../io.ts';
import { readScope } from './archive-scope.ts';
import type { ScopeFlags } from './archive-scope-flags.ts';

interface Common {
  readonly archive: string;
  readonly json: boolean;
}

export interface ArchiveHoldOptions extends Common, ScopeFlags {
  readonly reason?: string;
  readonly release: boolean;
}

async function within(
  folder: string,
  mode: 'read' | 'write',
  work: (archive: Archive) => Promise<void>,
): Promise<number> {
  const archive = await openArchive({ folder, mode });
  try {
    await work(archive);
    return EXIT.done;
  } finally {
    await archive.close();
  }
}

const say = (json: boolean, value: object, text: string): void => (json ? printJson(value) : print(text));

export async function archiveHold(name: string | undefined, options: ArchiveHoldOptions): Promise<number> {
  const { json, reason } = options;
  if (name === undefined) return within(options.archive, 'read', (archive) => listHolds(archive, json));
  if (reason === undefined) throw usage('reason', 'why, for the archive’s log');
  const scope = readScope(options);
  return within(options.archive, 'write', async (archive) => {
    if (options.release) {
      const act = await release(archive, name, reason);
      return say(json, { released: name, act }, `hold ${name} is released (act ${act})`);
    }
    const act = await hold(archive, name, scope, reason);
    const receipts = await countIn(archive.store, scope);
    say(json, { held: name, act, receipts }, `hold ${name} is in force over ${receipts} receipts now (act ${act})`);
  });
}

async function listHolds(archive: Archive, json: boolean): Promise<void> {
  const holds = [...(await holdsInForce(archive)).values()].map(({ name, scope, reason, act, sinceMs, by }) => ({
    name,
    scope: scopeToJson(scope),
    reason,
    act,
    since: new Date(sinceMs).toISOString(),
    by,
  }));
  if (json) return printJson({ holds });
  for (const one of holds)
    print(`${one.name}  since ${one.since} by ${one.by}: ${one.reason}  ${JSON.stringify(one.scope)}`);
  if (holds.length === 0) print('no hold is in force');
}

export interface ArchivePurgeOptions extends Common, ScopeFlags {
  readonly reason?: string;
  readonly expired: boolean;
  readonly dryRun: boolean;
}

export async function archivePurge(options: ArchivePurgeOptions): Promise<number> {
  const { reason, dryRun, json } = options;
  if (reason === undefined) throw usage('reason', 'why, for the archive’s log');
  const scope = readScope(options);
  const isScoped = Object.keys(scopeToJson(scope)).length > 0;
  if (isScoped === options.expired) throw usage('expired', 'either --expired, or what is to be erased');
  return within(options.archive, 'write', async (archive) => {
    const bar = progressBar();
    const asked = { reason, dryRun, onProgress: (done: number) => bar.show('receipts', { done, total: null }) };
    const done = options.expired ? await purgeExpired(archive, asked) : await purgeScope(archive, scope, asked);
    bar.end();
    say(json, { dryRun, ...done }, purgedText(done, dryRun));
  });
}

function purgedText({ entries, blobs, held, acts }: Purged, dryRun: boolean): string {
  const kept = Object.entries(held).map(([name, count]) => `; hold ${name} keeps ${count}`);
  const what = dryRun
    ? `would erase ${entries} receipts`
    : `erased ${entries} receipts and ${blobs} files of content${acts.length > 0 ? `; tombstones: act ${acts.join(', ')}` : ''}`;
  return what + kept.join('');
}

export async function archiveRetention(file: string | undefined, { archive: folder, json }: Common): Promise<number> {
  if (file === undefined) {
    return within(folder, 'read', async (archive) => {
      const rules = await retentionInForce(archive);
      say(
        json,
        { rules },
        rules.length === 0 ? 'no rule is in force: everything is kept' : JSON.stringify(rules, null, 2),
      );
    });
  }
  const content = await readInput(file);
  return within(folder, 'write', async (archive) => {
    const act = await setRetention(archive, content);
    say(json, { act }, `these rules are in force (act ${act})`);
  });
}
