import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import {
  type Archive,
  countIn,
  exportBundle,
  exportJsonLines,
  holdsInForce,
  offlineVerifierFiles,
  openArchive,
  type Scope,
} from '@veritee/archive';
import { hex } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { checkOutputs, print, printJson, progressBar } from '../io.ts';
import { readScope } from './archive-scope.ts';
import type { ScopeFlags } from './archive-scope-flags.ts';

export interface ArchiveExportOptions extends ScopeFlags {
  readonly archive: string;
  readonly out: string;
  readonly format: string;
  readonly hold?: string;
  readonly withContent: boolean;
  readonly json: boolean;
}

export async function archiveExport(options: ArchiveExportOptions): Promise<number> {
  const { format, out, withContent } = options;
  if (format !== 'zip' && format !== 'json-lines') throw usage('format', 'zip or json-lines');
  if (format !== 'zip' && withContent) throw usage('with-content', 'the format zip');
  const flags = readScope(options);
  const verifier = await offlineVerifierFiles();
  await checkOutputs([out]);
  const archive = await openArchive({ folder: options.archive, mode: 'write' });
  try {
    const scope = await scopeFor(archive, options.hold, flags);
    if (format === 'json-lines') {
      const receipts = await toFile(out, (write) => exportJsonLines(archive, { scope, write }));
      say(options.json, { receipts }, `${receipts} receipts in ${out}`);
      return EXIT.done;
    }
    const total = await countIn(archive.store, scope);
    const bar = progressBar();
    const { receipts, withoutEvidence, evidence, manifest, act } = await exportBundle(archive, out, {
      scope,
      withContent,
      verifier,
      onProgress: (done) => bar.show('receipts', { done, total }),
    });
    bar.end();
    say(
      options.json,
      { archive: archive.id, receipts, withoutEvidence, evidence, manifest: hex(manifest), act },
      `${receipts} receipts under ${evidence} hardware reports in ${out} (act ${act} of archive ${archive.id})`,
    );
    return EXIT.done;
  } finally {
    await archive.close();
  }
}

const say = (json: boolean, value: object, text: string): void => (json ? printJson(value) : print(text));

/** A case is what a hold covers. */
async function scopeFor(archive: Archive, name: string | undefined, flags: Scope): Promise<Scope> {
  if (name === undefined) return flags;
  const found = (await holdsInForce(archive)).get(name);
  if (!found) throw usage('hold', 'the name of a hold that is in force');
  return found.scope;
}

/** Whole or not at all. */
async function toFile(file: string, work: (write: (line: string) => void) => Promise<number>): Promise<number> {
  const temporary = `${file}.unfinished`;
  const descriptor = openSync(temporary, 'w', 0o600);
  try {
    const count = await work((line) => void writeSync(descriptor, line));
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(temporary, file);
    return count;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
