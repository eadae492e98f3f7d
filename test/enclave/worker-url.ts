import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The engine's worker, compiled from the sources under test and not taken from a dist that may be older.
 *
 * @param before statements that run in the thread ahead of it
 */
export function buildWorker(before = ''): URL {
  const name = `worker-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const folder = path.join(root, 'node_modules/.cache/veritee-test'); // from here `onnxruntime-node` resolves
  mkdirSync(folder, { recursive: true });
  const entry = path.join(folder, `${name}.ts`);
  const outfile = path.join(folder, `${name}.mjs`);
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
