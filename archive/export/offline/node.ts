/** `verify.mjs`: the offline verifier as one script for Node.js, bundled by tools/offline-verifier.mjs. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError } from '@veritee/protocol';
import { readPolicy, readTrustAnchors } from '@veritee/verifier';
import { isSafe } from '../manifest.ts';
import { type BundleFiles, type CheckOptions, checkBundle } from './check.ts';
import { linesOf } from './words.ts';
import { zipFiles } from './zip.ts';

const EXIT = { holds: 0, fails: 1, usage: 2 } as const;

const USAGE = 'node verify.mjs [FOLDER or FILE.zip] [--archive ID] [--policy FILE] [--trust-anchor FILE]... [--json]';

function folderFiles(folder: string): BundleFiles {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'));
  const known = new Set(names);
  return {
    names,
    read: async (name) =>
      known.has(name) && isSafe(name) ? new Uint8Array(readFileSync(path.join(folder, name))) : null,
  };
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      archive: { type: 'string' },
      policy: { type: 'string' },
      'trust-anchor': { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  });
  const [where = import.meta.dirname, ...more] = positionals;
  if (more.length > 0) throw new TypeError('one folder or zip file');
  const files = statSync(where).isDirectory() ? folderFiles(where) : zipFiles(readFileSync(where));
  const anchors = await Promise.all(values['trust-anchor'].map((file) => readTrustAnchors(readFileSync(file), file)));
  const options: CheckOptions = {
    anchors: anchors.flat(),
    ...(values.policy === undefined ? {} : { policy: readPolicy(readFileSync(values.policy)) }),
    ...(values.archive === undefined ? {} : { archive: values.archive }),
    ...(process.stderr.isTTY
      ? { onProgress: (done, of) => void process.stderr.write(`\r${done} of ${of} receipts `) }
      : {}),
  };
  const report = await checkBundle(files, options);
  if (process.stderr.isTTY) process.stderr.write('\n');
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${linesOf(report).join('\n')}\n`);
  return report.holds ? EXIT.holds : EXIT.fails;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    if (!(error instanceof CodedError)) process.stderr.write(`${USAGE}\n`);
    process.exitCode = EXIT.usage;
  },
);
