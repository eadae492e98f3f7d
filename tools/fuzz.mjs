// Coverage-guided fuzzing of every parser: npm run fuzz [-- --runs N --seconds S --target NAME… --jobs N --seed N]
//
// A loop of our own (test/fuzz/), because the ready-made fuzzer for JavaScript ships a native part that needs a newer C
// library than Debian 12 has. Each target runs in a process of its own. A fault is an exception that is no CodedError, an
// input that takes over a quarter of a second or asks for over 64 MiB, and a process that stands still or dies; its input
// is made small and written to test/fuzz/findings.
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleTargets, COUNTERS } from '../test/fuzz/bundle.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '180' },
    target: { type: 'string', multiple: true },
    jobs: { type: 'string', default: String(availableParallelism()) },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    seeds: { type: 'string' },
    keep: { type: 'string' },
  },
});
const HEAP_MIB = 512;
/** Long, since a busy machine may stop a process for a while. */
const STILL_MS = 60_000;
const TOLD_MS = 10_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const findings = `${root}test/fuzz/findings`;
const work = `${root}node_modules/.cache/veritee-fuzz/${process.pid}`;
const bundle = `${work}/targets.mjs`;
const { counters, words } = await bundleTargets(bundle);
globalThis[COUNTERS] = new Uint8ClampedArray(counters);
const names = Object.keys((await import(bundle)).TARGETS);
const unknown = (values.target ?? []).filter((name) => !names.includes(name));
if (unknown.length > 0) throw new Error(`no target '${unknown[0]}'; there are ${names.join(', ')}`);
const committed = JSON.parse(readFileSync(`${root}test/fuzz/seeds.json`, 'utf8'));
/** Further seeds, one file each: real evidence, or the corpus of an earlier run (--keep). */
const further = (name) => {
  const folder = values.seeds === undefined ? '' : path.join(values.seeds, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((file) => readFileSync(path.join(folder, file)).toString('base64'));
};

function write(name, what, data) {
  mkdirSync(findings, { recursive: true });
  const file = `${findings}/${name}-${createHash('sha256').update(data).digest('hex').slice(0, 12)}.bin`;
  writeFileSync(file, data);
  console.error(`! ${name}: ${what}; the input is in ${path.relative(root, file)}`);
}

/** @returns the last state the process told; `died` says why it did not reach the end */
function runTarget(name, trace) {
  return new Promise((resolve) => {
    const child = fork(`${root}test/fuzz/loop.mjs`, {
      execArgv: [`--max-old-space-size=${HEAP_MIB}`],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    let state = { runs: 0, seconds: 0, kept: 0, reached: 0, findings: 0 };
    let died = null;
    let ended = false;
    let told = performance.now();
    const standStill = () => {
      died = `stood still for ${STILL_MS / 1000} s`;
      child.kill('SIGKILL');
    };
    let watchdog = setTimeout(standStill, STILL_MS);
    child.on('message', (message) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(standStill, STILL_MS);
      if (message.type === 'finding') {
        write(name, message.fault, Buffer.from(message.data, 'base64'));
        return;
      }
      state = message;
      ended = message.type === 'end';
      if (performance.now() - told < TOLD_MS) return;
      told = performance.now();
      console.log(`  ${name}: ${Math.floor(state.seconds)} s, ${state.runs} runs, ${state.kept} inputs kept`);
    });
    child.on('exit', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ ...state, died: ended ? null : (died ?? `died (${signal ?? code})`) });
    });
    child.send({
      bundle,
      target: name,
      counters,
      words,
      seeds: [...(committed[name] ?? []), ...further(name)],
      runs: Number(values.runs),
      seconds: Number(values.seconds),
      seed: Number(values.seed),
      trace,
    });
  });
}

const rows = [];
async function fuzz(name) {
  let state = await runTarget(name, null);
  if (state.died !== null) {
    const trace = `${work}/${name}.last`;
    const again = await runTarget(name, trace);
    if (!existsSync(trace)) throw new Error(`${name}: ${again.died ?? state.died} before its first input`);
    write(name, again.died ?? `${state.died}, but not when run again`, readFileSync(trace));
    state = { ...state, findings: state.findings + 1 };
  }
  if (values.keep !== undefined && state.corpus) {
    const folder = path.join(values.keep, name);
    mkdirSync(folder, { recursive: true });
    for (const [i, text] of state.corpus.entries())
      writeFileSync(path.join(folder, `${i}.bin`), Buffer.from(text, 'base64'));
  }
  rows.push({ name, ...state });
  console.log(row(rows.at(-1)));
}

const row = ({ name, runs, seconds, kept, reached, findings: faults }) =>
  `${name.padEnd(18)} ${String(runs).padStart(9)} runs ${seconds.toFixed(0).padStart(5)} s ` +
  `${String(Math.round(runs / Math.max(seconds, 0.001))).padStart(7)}/s ${String(kept).padStart(5)} inputs kept ` +
  `${String(reached).padStart(5)} counters ${String(faults).padStart(3)} findings`;

const waiting = values.target ?? names;
console.log(`seed ${values.seed}; ${waiting.length} targets, ${counters} counters, ${words.length} words`);
const queue = [...waiting];
try {
  await Promise.all(
    Array.from({ length: Number(values.jobs) }, async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) await fuzz(name);
    }),
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
const total = rows.reduce((sum, { findings: faults }) => sum + faults, 0);
console.log(`${total} findings, ${rows.reduce((sum, { runs }) => sum + runs, 0)} runs`);
process.exitCode = total > 0 ? 1 : 0;
