// One target in one process, started by tools/fuzz.mjs: mutate, run, keep what reaches something new, report by message.
// Everything follows from the seed, so a process that hung or died is run again with `trace`, which leaves its last input
// in a file.
import { ftruncateSync, openSync, writeSync } from 'node:fs';
import { COUNTERS } from './bundle.mjs';
import { mutator, randomOf } from './mutate.mjs';

const SLOW_MS = 250;
const SLOW = `took more than ${SLOW_MS} ms four times`;
const MAX_ALLOCATION = 64 << 20;
const MAX_FINDINGS = 5;
const TELL_EVERY = 256;
const TELL_MS = 1000;

/** One bit for each power of two of hits: a loop that turns more often is news, one turn more is not. */
const BUCKET = Uint8Array.from({ length: 256 }, (_, hits) => (hits === 0 ? 0 : 1 << Math.floor(Math.log2(hits))));

/** An input of a few kilobytes that makes a parser ask for this much is a fault of the parser. */
function boundAllocations() {
  for (const name of ['ArrayBuffer', 'Uint8Array', 'Uint16Array', 'Uint32Array', 'Float32Array', 'BigInt64Array']) {
    const native = globalThis[name];
    globalThis[name] = new Proxy(native, {
      construct(target, args, type) {
        const bytes = typeof args[0] === 'number' ? args[0] * (native.BYTES_PER_ELEMENT ?? 1) : 0;
        if (bytes > MAX_ALLOCATION) throw new Error(`asked for ${bytes} bytes`);
        return Reflect.construct(target, args, type === globalThis[name] ? target : type);
      },
    });
  }
}

async function start({ bundle, target, counters: size, words, seeds, runs: maxRuns, seconds, seed, trace }) {
  const counters = new Uint8ClampedArray(Math.ceil(size / 4) * 4);
  const fours = new Uint32Array(counters.buffer);
  const seen = new Uint8Array(counters.length);
  globalThis[COUNTERS] = counters;
  boundAllocations();
  const { TARGETS, CodedError } = await import(bundle);
  const parse = TARGETS[target];
  // A refusal needs no stack, and taking one costs more than most refusals.
  Error.stackTraceLimit = 0;
  const mutate = mutator(
    randomOf(seed),
    words.map((word) => Buffer.from(word, 'hex')),
  );
  const traced = trace ? openSync(trace, 'w') : null;

  /** What is wrong with how the target took this input; null when nothing is. */
  async function fault(data) {
    const began = performance.now();
    try {
      const pending = parse(data);
      if (pending !== undefined) await pending;
    } catch (error) {
      if (!(error instanceof CodedError)) {
        const place = /targets\.mjs:\d+/.exec(error?.stack ?? '')?.[0] ?? '';
        return `${error?.name}: ${String(error?.message).slice(0, 120)} ${place}`;
      }
    }
    return performance.now() - began > SLOW_MS ? 'slow' : null;
  }

  /** Other work on the machine may take a moment away; it does not do so three times at the same input. */
  async function confirmed(data) {
    Error.stackTraceLimit = 10;
    let found = await fault(data);
    Error.stackTraceLimit = 0;
    for (let again = 0; again < 3 && found === 'slow'; again++) found = await fault(data);
    return found === 'slow' ? SLOW : found;
  }

  /** The place alone: messages often quote the input. */
  const kindOf = (found) => found.replace(/^(\w+): .* (\S*)$/, '$1 $2');

  async function minimise(data, found) {
    let small = data;
    for (let size = small.length >> 1; size > 0; size >>= 1) {
      for (let at = 0; at < small.length; ) {
        const tried = new Uint8Array(Buffer.concat([small.subarray(0, at), small.subarray(at + size)]));
        const still = await confirmed(tried);
        if (still !== null && kindOf(still) === kindOf(found)) small = tried;
        else at += size;
      }
    }
    return small;
  }

  /** Whether the last run reached a counter, or a number of hits, that none before it reached. */
  function isNews() {
    let news = false;
    for (let four = 0; four < fours.length; four++) {
      if (fours[four] === 0) continue;
      for (let i = 4 * four; i < 4 * four + 4; i++) {
        const bucket = BUCKET[counters[i]];
        if ((seen[i] & bucket) === bucket) continue;
        seen[i] |= bucket;
        news = true;
      }
    }
    return news;
  }

  const corpus = [];
  const found = new Set();
  let runs = 0;
  async function run(data) {
    runs++;
    if (traced !== null) {
      ftruncateSync(traced);
      writeSync(traced, data, 0, data.length, 0);
    }
    counters.fill(0);
    const first = await fault(data);
    if (isNews()) corpus.push({ data, tree: undefined });
    if (first === null || (first === 'slow' && found.has(SLOW))) return;
    const again = await confirmed(data);
    if (again === null && first === 'slow') return;
    const wrong = again ?? `${first} (not when run again)`;
    if (found.has(kindOf(wrong))) return;
    found.add(kindOf(wrong));
    process.send({ type: 'finding', fault: wrong, data: Buffer.from(await minimise(data, wrong)).toString('base64') });
  }

  const began = performance.now();
  let told = began;
  const state = (type) => ({
    type,
    runs,
    seconds: (performance.now() - began) / 1000,
    kept: corpus.length,
    reached: seen.reduce((count, bits) => count + (bits === 0 ? 0 : 1), 0),
    findings: found.size,
  });
  corpus.push({ data: new Uint8Array(0), tree: null });
  for (const text of seeds) await run(new Uint8Array(Buffer.from(text, 'base64')));
  while (runs < maxRuns && found.size < MAX_FINDINGS) {
    await run(mutate(corpus));
    if (runs % TELL_EVERY !== 0) continue;
    const now = performance.now();
    if (now - began > seconds * 1000) break;
    if (now - told < TELL_MS) continue;
    told = now;
    process.send(state('progress'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const kept = corpus.map(({ data }) => Buffer.from(data).toString('base64'));
  process.send({ ...state('end'), corpus: kept }, () => process.disconnect());
}

process.once('message', start);
