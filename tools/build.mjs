// Bundles each room into its own dist/: one file per door or process, other packages left as imports. Types are checked by tsc alone.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const rooms = {
  protocol: ['index.ts'],
  verifier: ['index.ts'],
  client: ['index.ts'],
  'attestation-fixtures': ['index.ts'],
  enclave: ['index.ts', 'main.ts', 'engine/worker.ts'],
  host: ['index.ts', 'main.ts', 'store/worker.ts'],
  cli: ['index.ts', 'main.ts'],
};

const root = fileURLToPath(new URL('..', import.meta.url));
await Promise.all(
  Object.entries(rooms).map(async ([room, entries]) => {
    const present = entries.filter((entry) => existsSync(`${root}${room}/${entry}`));
    await build({
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
      logLevel: 'warning',
    });
  }),
);
