import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Real evidence, models and vectors lie beside the checkout and are read in place. */
const SHARED = path.resolve(ROOT, '../shared');

/** The folder, or null with a loud word about what is therefore not tested. */
export function sharedFolder(...parts: string[]): string | null {
  const folder = path.join(SHARED, ...parts);
  if (existsSync(folder)) return folder;
  console.warn(`\n!!! ../shared/${parts.join('/')} is not here: the tests that read it are SKIPPED !!!\n`);
  return null;
}
