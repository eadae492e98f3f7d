// The verifier as a browser gets it, protocol inside, minified. Holds the size of the core path (what one assessment loads;
// parts behind a dynamic import come only when they are needed) and what must not leak in anywhere.

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** By module, as a bundler takes them that drops the re-exports nobody uses (`sideEffects: false`). */
const CORE = `
  export { assess } from './verifier/assess.ts';
  export { parsePolicy } from './verifier/appraise/policy-parse.ts';
  export { toJson } from './verifier/appraise/result.ts';
  export { readTrustAnchors } from './verifier/trust/read.ts';`;
const CORE_KIB = 60;
/** Through the door: esbuild loads at once whatever index.ts exports of the parts that could come later. */
const DOOR = "export { assess, parsePolicy, readTrustAnchors, toJson } from './verifier/index.ts'";
const DOOR_KIB = 65;
const WHOLE = "export * from './verifier/index.ts'";
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

const root = fileURLToPath(new URL('..', import.meta.url));

/** The files of one bundle: those its entry imports statically, and those that come later. */
async function bundle(contents) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    stdin: { contents, resolveDir: root, sourcefile: 'consumer.js' },
    outdir: 'bundle',
    bundle: true,
    splitting: true,
    metafile: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['veritee-source'],
    write: false,
    logLevel: 'error',
  });
  const text = new Map(outputFiles.map((file) => [file.path.slice(root.length), file.text]));
  const atOnce = new Set();
  const follow = (name) => {
    if (atOnce.has(name)) return;
    atOnce.add(name);
    for (const { path, kind } of metafile.outputs[name].imports) if (kind === 'import-statement') follow(path);
  };
  follow(Object.keys(metafile.outputs).find((name) => metafile.outputs[name].entryPoint === 'consumer.js'));
  const later = [...text.keys()].filter((name) => !atOnce.has(name));
  const join = (names) => [...names].map((name) => text.get(name)).join('');
  return { code: [...text.values()].join(''), atOnce: join(atOnce), later: join(later) };
}

const kib = (code) => gzipSync(code, { level: 9 }).length / 1024;
const sizes = ({ atOnce, later }) => `${kib(atOnce).toFixed(1)} KiB gzip, ${kib(later).toFixed(1)} more when needed`;

const [core, door, whole] = await Promise.all([bundle(CORE), bundle(DOOR), bundle(WHOLE)]);
console.log(`@veritee/verifier in a browser, core path: ${sizes(core)} (ceiling ${CORE_KIB})`);
console.log(`@veritee/verifier in a browser, core path through index.ts: ${sizes(door)} (ceiling ${DOOR_KIB})`);
console.log(`@veritee/verifier in a browser, every export: ${sizes(whole)}`);
const leaked = FORBIDDEN.filter((text) => whole.code.includes(text) || core.code.includes(text));
if (leaked.length > 0) console.error(`must not be in the bundle: ${leaked.join(', ')}`);
const tooLarge = kib(core.atOnce) > CORE_KIB || kib(door.atOnce) > DOOR_KIB;
if (tooLarge) console.error('the core path is larger than its ceiling');
process.exitCode = leaked.length > 0 || tooLarge ? 1 : 0;
