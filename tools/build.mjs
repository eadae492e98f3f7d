// Bundles each room into its own dist/: a file per door or process, other packages left as imports. Types are checked by tsc
// alone. Where parts are loaded only when used (`import()`), they are files of their own beside it.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { writeOfflineVerifier } from './offline-verifier.mjs';

const rooms = {
  protocol: ['index.ts'],
  verifier: ['index.ts'],
  client: ['index.ts'],
  'attestation-fixtures': ['index.ts'],
  enclave: ['index.ts', 'main.ts', 'engine/worker.ts'],
  host: ['index.ts', 'main.ts', 'store/worker.ts'],
  archive: ['index.ts', 'audit/audit-worker.ts'],
  cli: ['index.ts', 'main.ts'],
};
/** What a process is measured by (the simulated platform) or shipped as stays one file. */
const inParts = new Set(['verifier', 'cli']);

const root = fileURLToPath(new URL('..', import.meta.url));
await Promise.all(
  Object.entries(rooms).map(async ([room, entries]) => {
    const present = entries.filter((entry) => existsSync(`${root}${room}/${entry}`));
    const { metafile } = await build({
      absWorkingDir: `${root}${room}`,
      entryPoints: Object.fromEntries(present.map((entry) => [entry.replace(/^.*\//, '').replace(/\.ts$/, ''), entry])),
      outdir: 'dist',
      bundle: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: 'es2022',
      sourcemap: true,
      sourcesContent: false,
      splitting: inParts.has(room),
      chunkNames: 'part-[hash]',
      metafile: true,
      logLevel: 'warning',
    });
    // Parts of an earlier build have other names.
    const made = new Set(Object.keys(metafile.outputs).map((file) => file.replace(/^dist\//, '')));
    const dist = `${root}${room}/dist`;
    for (const name of readdirSync(dist)) {
      if (name.startsWith('part-') && !made.has(name)) rmSync(`${dist}/${name}`);
    }
  }),
);
await writeOfflineVerifier();
