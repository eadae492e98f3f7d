// Requests per second of Veritee beside a bare Express + onnxruntime-node server on the same model, alternated in one run.
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { sampleModels, startService, untilReady } from '../cli/dist/index.js';

const CONCURRENCY = Number(process.env.CONCURRENCY ?? 16);
const SECONDS = Number(process.env.SECONDS ?? 4);
const ROUNDS = Number(process.env.ROUNDS ?? 3);

const body = await readFile(new URL('../docs/examples/heat-stress-request.json', import.meta.url));

/** Requests per second and latency quantiles (ms) over `seconds`. */
async function load(url, seconds) {
  const pool = new Pool(url, { connections: CONCURRENCY });
  const latencies = [];
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (performance.now() < end) {
        const started = performance.now();
        const answer = await pool.request({
          method: 'POST',
          path: '/v2/models/heat-stress/infer',
          headers: { 'content-type': 'application/json' },
          body,
        });
        await answer.body.arrayBuffer();
        if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}`);
        latencies.push(performance.now() - started);
      }
    }),
  );
  await pool.close();
  latencies.sort((a, b) => a - b);
  const at = (quantile) => latencies[Math.floor(latencies.length * quantile)];
  return { perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99) };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const data = await mkdtemp(path.join(tmpdir(), 'veritee-bench-'));
const bare = fork(fileURLToPath(new URL('bare-server.mjs', import.meta.url)), [
  path.join(sampleModels(), 'heat-stress/1/model.onnx'),
]);
const { url: bareUrl } = await new Promise((resolve) => bare.once('message', resolve));
const service = await startService({
  platform: 'simulated-snp',
  listen: '127.0.0.1:0',
  data,
  allowPlaintext: true,
  logLevel: 'error',
  enclaveOption: [],
  hostOption: [],
});
try {
  if (!(await untilReady(service.url, 60_000))) throw new Error('the service did not become ready');
  console.log(
    `bench: ${CONCURRENCY} connections, ${ROUNDS} rounds of ${SECONDS} s each, alternated; load generator on the same machine`,
  );
  const sides = { 'express + onnxruntime-node': bareUrl, veritee: service.url };
  for (const url of Object.values(sides)) await load(url, 1);
  const results = { 'express + onnxruntime-node': [], veritee: [] };
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [name, url] of Object.entries(sides)) {
      const result = await load(url, SECONDS);
      results[name].push(result);
      console.log(
        `  round ${round}  ${name.padEnd(28)} ${result.perSecond.toFixed(0).padStart(6)} req/s  p50 ${result.p50.toFixed(1)} ms  p99 ${result.p99.toFixed(1)} ms`,
      );
    }
  }
  const rate = (name) => median(results[name].map((result) => result.perSecond));
  console.log(
    `median: express + onnxruntime-node ${rate('express + onnxruntime-node').toFixed(0)} req/s, veritee ${rate('veritee').toFixed(0)} req/s, ` +
      `ratio ${(rate('veritee') / rate('express + onnxruntime-node')).toFixed(2)} (every answer logged, signed, stored durably and put under a report)`,
  );
} finally {
  bare.disconnect();
  await service.stop();
  await rm(data, { recursive: true, force: true });
}
