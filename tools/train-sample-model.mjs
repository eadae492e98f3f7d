#!/usr/bin/env node
/**
 * Trains the sample model and writes its files; with --check, trains and compares with the committed files instead.
 * Exit 1: they differ. Progress goes to stderr, the report to stdout.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { differences, makeSampleModel, NAME } from './sample-model/index.mjs';

const { values: options } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    models: { type: 'string', default: fileURLToPath(new URL('../enclave/sample-models', import.meta.url)) },
  },
});
const folder = join(options.models, NAME, '1');
const { files, report } = makeSampleModel((line) => console.error(line));
console.log(report);

if (options.check) {
  const found = differences(files, folder);
  for (const difference of found) console.error(difference);
  if (found.length > 0) process.exitCode = 1;
  else console.error(`${folder}: the same, byte for byte`);
} else {
  mkdirSync(folder, { recursive: true });
  for (const { name, bytes } of files) writeFileSync(join(folder, name), bytes);
}
