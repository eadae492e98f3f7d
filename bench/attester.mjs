// Whether reports get in the way of inferences: the enclave process on its real SEV-SNP attester, over a configfs-tsm made
// of FUSE and a software AMD-SP (needs root and /dev/fuse), with a host's throttle: 8 ms a report, every tenth stalls.
// Two enclaves in turn, one asking for reports without pause and one that asks for none; the model and load are the same.
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const REPORTS = Number(process.env.REPORTS ?? 1000);
/** A cloud's is 10,000; shortened so that the run ends. */
const STALL_MS = Number(process.env.STALL_MS ?? 250);
const ROUND_MS = Number(process.env.ROUND_MS ?? 3000);

const root = fileURLToPath(new URL('..', import.meta.url));
const outfile = path.join(root, 'node_modules/.cache/veritee-bench/attester-support.mjs');
await build({
  stdin: {
    contents: "export { PROGRAMS, TsmMount } from './tsm-mount.ts'; export { RealEnclave } from './real-enclave.ts';",
    resolveDir: path.join(root, 'test/support'),
    loader: 'ts',
  },
  outfile,
  bundle: true,
  packages: 'external',
  alias: { '@veritee/protocol': path.join(root, 'protocol/index.ts') },
  // The support files find the checkout from where they lie.
  define: { 'import.meta.url': JSON.stringify(pathToFileURL(path.join(root, 'test/support/bench.ts')).href) },
  format: 'esm',
  platform: 'node',
  target: 'es2022',
});
const { PROGRAMS, RealEnclave, TsmMount } = await import(pathToFileURL(outfile).href);

const missing = TsmMount.missing();
if (missing !== null) throw new Error(`bench/attester: ${missing}`);

const body = await readFile(path.join(root, 'docs/examples/heat-stress-request.json'));
const models = path.join(root, 'enclave/sample-models');

async function start(tsm, intervalMs) {
  const args = [
    '--platform',
    'snp',
    '--tsm-folder',
    `${tsm.folder}/report`,
    '--report-interval-ms',
    String(intervalMs),
  ];
  const enclave = await RealEnclave.start([
    ...args,
    ...['--models', models, '--workers', '1', '--allow-plaintext', '--log-level', 'error'],
  ]);
  await enclave.until(({ committed }) => committed > 0, 'a first report');
  return enclave;
}

/** Takes the records as a host does, and counts reports. */
function drain(enclave) {
  const EVIDENCE = 2;
  const gone = new AbortController();
  const counted = { reports: 0, stop: () => gone.abort() };
  void (async () => {
    const { body: stream } = await fetch(`${enclave.url}/link/records?from=0`, { signal: gone.signal });
    let rest = Buffer.alloc(0);
    let position = 0;
    let acknowledged = 0;
    for await (const chunk of stream) {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
        const type = rest[0];
        if (type === EVIDENCE) counted.reports += 1;
        if (type !== 3) position += 1;
        rest = rest.subarray(5 + rest.readUInt32BE(1));
      }
      if (position - acknowledged > 200) {
        acknowledged = position;
        await fetch(`${enclave.url}/link/ack?position=${position}`, { method: 'POST' });
      }
    }
  })().catch((error) => {
    if (error.name !== 'AbortError') throw error;
  });
  return counted;
}

/** One caller, one request after another. */
async function load(enclave, forMs, latencies) {
  for (const until = performance.now() + forMs; performance.now() < until; ) {
    const began = performance.now();
    const answer = await fetch(`${enclave.url}/v2/models/heat-stress/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`inference: ${answer.status}`);
    latencies.push(performance.now() - began);
  }
}

const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)];

const tsm = await TsmMount.mount({ throttleMs: STALL_MS });
const quiet = await start(tsm, 3_600_000);
const reporting = await start(tsm, 1);
const counters = [drain(quiet), drain(reporting)];
try {
  await load(quiet, 500, []);
  await load(reporting, 500, []);
  const without = [];
  const withReports = [];
  for (let rounds = 0; counters[1].reports < REPORTS; rounds++) {
    const turns = [
      [quiet, without],
      [reporting, withReports],
    ];
    for (const [enclave, latencies] of rounds % 2 ? turns.reverse() : turns) await load(enclave, ROUND_MS, latencies);
  }
  const line = (name, values) =>
    console.log(
      `${name}: ${values.length} inferences, p50 ${quantile(values, 0.5).toFixed(2)} ms, p99 ${quantile(values, 0.99).toFixed(2)} ms, longest ${Math.max(...values).toFixed(1)} ms`,
    );
  console.log(`throttle: 8 ms a report, every tenth ${STALL_MS} ms (a cloud's: 10,000 ms)`);
  line(`without reports (${counters[0].reports} in all)`, without);
  line(`with reports (${counters[1].reports})`, withReports);
  for (const [name, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ])
    console.log(`ratio ${name}: ${(quantile(withReports, q) / quantile(without, q)).toFixed(2)}`);
} finally {
  for (const counter of counters) counter.stop();
  await quiet.stop();
  await reporting.stop();
  await tsm.stop();
  await rm(PROGRAMS, { recursive: true });
}
