import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const root = new URL('../..', import.meta.url).pathname;
const outdir = join(root, 'node_modules', '.cache', 'veritee-test', `${process.pid}`);

export const removeBundles = (): void => rmSync(outdir, { recursive: true, force: true });

/**
 * Bundles TypeScript entries side by side, so that plain Node can run them as processes and threads of their own;
 * libraries stay where they are.
 * @returns the folder that holds one `<name>.js` for each entry
 */
export async function bundle(...entries: readonly string[]): Promise<string> {
  mkdirSync(outdir, { recursive: true });
  writeFileSync(join(outdir, 'package.json'), '{"type":"module"}');
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(entries.map((entry) => [basename(entry, '.ts'), entry])),
    outdir,
    bundle: true,
    conditions: ['veritee-source'],
    external: ['better-sqlite3', 'express', 'undici', 'pino', 'prom-client', 'vitest', 'pg', '@aws-sdk/client-s3'],
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
  return outdir;
}
