// Coverage-guided fuzzing of every parser: npm run fuzz [-- --runs N | --seconds S] [--target NAME]
//
// A loop of our own over V8's precise block coverage, because the ready-made fuzzer for JavaScript ships a native part
// that needs a newer C library than Debian 12 has. An input that reaches a new block joins the corpus; an exception
// that is not a CodedError, or an input that takes over a second, ends the run with the input written down.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seconds: { type: 'string' },
    target: { type: 'string' },
    seed: { type: 'string' },
  },
});
const RUNS = Number(values.runs ?? 1_000_000);
const SECONDS = Number(values.seconds ?? 180);
const BATCH = 2000;
const MAX_BYTES = 8192;
const SLOW_MS = 1000;

const root = fileURLToPath(new URL('..', import.meta.url));
const bundle = `${root}node_modules/.cache/veritee-fuzz/targets.mjs`;
const findings = `${root}test/fuzz/findings`;
await build({
  absWorkingDir: root,
  entryPoints: ['test/fuzz/targets.ts'],
  bundle: true,
  format: 'esm',
  platform: 'node',
  conditions: ['veritee-source'],
  outfile: bundle,
  logLevel: 'error',
});
const { TARGETS, CodedError } = await import(bundle);
const seeds = JSON.parse(readFileSync(`${root}test/fuzz/seeds.json`, 'utf8'));

let state = Number(values.seed ?? Date.now() % 2 ** 31) | 1;
console.log(`seed ${state}`);
function random(below) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const INTERESTING = [
  0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x20, 0x40, 0x5f, 0x9f, 0xa0, 0xbf, 0xd2, 0xf6, 0x30, 0x82, 0x22, 0x7b,
];

function mutate(corpus) {
  let data = Buffer.from(corpus[random(corpus.length)]);
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(data.length + 1);
    switch (random(8)) {
      case 0:
        if (at < data.length) data[at] ^= 1 << random(8);
        break;
      case 1:
        if (at < data.length) data[at] = INTERESTING[random(INTERESTING.length)];
        break;
      case 2:
        if (at < data.length) data[at] = random(256);
        break;
      case 3:
        data = Buffer.concat([data.subarray(0, at), Buffer.from([random(256)]), data.subarray(at)]);
        break;
      case 4:
        data = Buffer.concat([data.subarray(0, at), data.subarray(at + 1 + random(8))]);
        break;
      case 5: {
        const end = at + random(64);
        data = Buffer.concat([data.subarray(0, end), data.subarray(at)]);
        break;
      }
      case 6: {
        const other = corpus[random(corpus.length)];
        data = Buffer.concat([data.subarray(0, at), Buffer.from(other.subarray(random(other.length + 1)))]);
        break;
      }
      default:
        data = data.subarray(0, at);
    }
  }
  return new Uint8Array(data.subarray(0, MAX_BYTES));
}

const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** The blocks that ran since the last call. */
async function takeBlocks() {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const blocks = [];
  for (const script of result) {
    if (!script.url.endsWith('veritee-fuzz/targets.mjs')) continue;
    for (const fn of script.functions) {
      for (const range of fn.ranges) if (range.count > 0) blocks.push(`${range.startOffset}-${range.endOffset}`);
    }
  }
  return blocks;
}

function run(name, data) {
  const started = performance.now();
  try {
    TARGETS[name](data);
  } catch (error) {
    if (!(error instanceof CodedError)) return `${error?.name}: ${error?.message}`;
  }
  const took = performance.now() - started;
  return took > SLOW_MS ? `took ${took.toFixed(0)} ms` : null;
}

/** Finds which inputs of a batch reached blocks that nothing reached before, by halving. */
async function keepNew(name, inputs, seen, corpus) {
  for (const data of inputs) run(name, data);
  const fresh = (await takeBlocks()).filter((block) => !seen.has(block));
  if (fresh.length === 0) return;
  if (inputs.length === 1) {
    for (const block of fresh) seen.add(block);
    corpus.push(inputs[0]);
    return;
  }
  const middle = inputs.length >> 1;
  await keepNew(name, inputs.slice(0, middle), seen, corpus);
  await keepNew(name, inputs.slice(middle), seen, corpus);
}

async function fuzz(name) {
  const corpus = [new Uint8Array(0), ...(seeds[name] ?? []).map((text) => new Uint8Array(Buffer.from(text, 'base64')))];
  const seen = new Set();
  await takeBlocks();
  await keepNew(name, corpus.slice(), seen, []);
  const started = performance.now();
  let runs = 0;
  let told = started;
  while (runs < RUNS && performance.now() - started < SECONDS * 1000) {
    const inputs = Array.from({ length: Math.min(BATCH, RUNS - runs) }, () => mutate(corpus));
    for (const data of inputs) {
      const fault = run(name, data);
      if (fault === null) continue;
      mkdirSync(findings, { recursive: true });
      const file = `${findings}/${name}-${readdirSync(findings).length}.bin`;
      writeFileSync(file, data);
      throw new Error(`${name}: ${fault}; the input is in ${file}`);
    }
    runs += inputs.length;
    const blocks = await takeBlocks();
    if (blocks.some((block) => !seen.has(block))) await keepNew(name, inputs, seen, corpus);
    if (performance.now() - told > 10_000) {
      told = performance.now();
      console.log(`  ${name}: ${runs} runs, ${corpus.length} inputs kept, ${seen.size} blocks`);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${name.padEnd(18)} ${runs} runs in ${seconds.toFixed(0)} s, ${corpus.length} inputs kept, ${seen.size} blocks reached`,
  );
}

let failed = false;
for (const name of values.target ? [values.target] : Object.keys(TARGETS)) {
  if (!TARGETS[name]) throw new Error(`no target '${name}'; there are ${Object.keys(TARGETS).join(', ')}`);
  try {
    await fuzz(name);
  } catch (error) {
    failed = true;
    console.error(error.message);
  }
}
process.exitCode = failed ? 1 : 0;
