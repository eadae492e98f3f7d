// The verifier as a browser gets it: one minified file with protocol inside. Holds its size and what must not leak in.
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const CEILING_KIB = 60;
const FORBIDDEN = [
  '"node:',
  "'node:",
  'require(',
  'new Function',
  'eval(',
  'express',
  'better-sqlite3',
  'onnxruntime-node',
  'attestation-fixtures',
  'SIMULATED PLATFORM',
];

const root = new URL('..', import.meta.url).pathname;
const result = await build({
  absWorkingDir: root,
  entryPoints: ['verifier/index.ts'],
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  conditions: ['veritee-source'],
  write: false,
  logLevel: 'error',
});
const code = result.outputFiles[0].text;
const gzip = gzipSync(code, { level: 9 }).length / 1024;
console.log(
  `@veritee/verifier in a browser: ${(code.length / 1024).toFixed(1)} KiB, ${gzip.toFixed(1)} KiB gzip (ceiling ${CEILING_KIB})`,
);
const leaked = FORBIDDEN.filter((text) => code.includes(text));
if (leaked.length > 0) console.error(`must not be in the bundle: ${leaked.join(', ')}`);
if (gzip > CEILING_KIB) console.error(`larger than ${CEILING_KIB} KiB gzip`);
process.exitCode = leaked.length > 0 || gzip > CEILING_KIB ? 1 : 0;
