import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = new URL('../..', import.meta.url).pathname;

/** Bundles a TypeScript entry so that plain Node can run it as a process of its own; libraries stay where they are. */
export async function bundle(entry: string): Promise<string> {
  const outdir = join(root, 'node_modules', '.cache', 'veritee-test', `${process.pid}`);
  mkdirSync(outdir, { recursive: true });
  const outfile = join(outdir, `${entry.replaceAll(/\W+/g, '-')}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    conditions: ['veritee-source'],
    external: ['better-sqlite3', 'express', 'undici', 'pino', 'prom-client', 'vitest'],
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
  return outfile;
}
