import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Compiled programs of one test file; here they find `onnxruntime-node`. */
export const programs = path.join(root, `node_modules/.cache/veritee-test/${process.pid}`);
mkdirSync(programs, { recursive: true });
afterAll(() => rmSync(programs, { recursive: true }));

let built = 0;

/**
 * The engine's worker, compiled from the sources under test and not taken from a dist that may be older.
 *
 * @param before statements that run in the thread ahead of it
 */
export function buildWorker(before = ''): URL {
  const entry = path.join(programs, `worker-${++built}.ts`);
  const outfile = path.join(programs, `worker-${built}.mjs`);
  writeFileSync(entry, `${before}\nimport ${JSON.stringify(path.join(root, 'enclave/engine/worker.ts'))};\n`);
  buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    conditions: ['veritee-source'],
    external: ['onnxruntime-node'],
    logLevel: 'warning',
  });
  return pathToFileURL(outfile);
}
