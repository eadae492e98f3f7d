// What sealing costs: a bare Express + onnxruntime-node server, Veritee in the clear, Veritee sealed, and the SDK, which
// also verifies every answer; alternated in one run, for a small model and for one of 50 MB, at concurrency 1 and 16.
import { fork } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { sampleModels, startService, untilReady } from '../cli/dist/index.js';
import { VeriteeClient } from '../client/dist/index.js';
import {
  encodeBinaryRequest,
  parseAttestation,
  parseBinaryResponse,
  parseEntry,
  sealRequest,
} from '../protocol/dist/index.js';
import { AUTHENTICITY, readTrustAnchors } from '../verifier/dist/index.js';
import { bigModel, bigRequest } from './big-model.mjs';

const SECONDS = Number(process.env.SECONDS ?? 3);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const CONCURRENCIES = [1, 16];
const JSON_TYPE = { 'content-type': 'application/json' };

const data = await mkdtemp(path.join(tmpdir(), 'veritee-bench-'));
const models = path.join(data, 'models');
await mkdir(path.join(models, 'dense-50mb', '1'), { recursive: true });
await writeFile(path.join(models, 'dense-50mb', '1', 'model.onnx'), bigModel());
await mkdir(path.join(models, 'heat-stress', '1'), { recursive: true });
for (const file of await readdir(path.join(sampleModels(), 'heat-stress', '1'))) {
  await copyFile(path.join(sampleModels(), 'heat-stress', '1', file), path.join(models, 'heat-stress', '1', file));
}
const WORK = [
  {
    model: 'heat-stress',
    body: await readFile(new URL('../docs/examples/heat-stress-request.json', import.meta.url)),
  },
  { model: 'dense-50mb', body: bigRequest() },
];

async function bareServer(model) {
  const child = fork(fileURLToPath(new URL('bare-server.mjs', import.meta.url)), [
    path.join(models, model, '1', 'model.onnx'),
  ]);
  const { url } = await new Promise((resolve) => child.once('message', resolve));
  return { url, stop: () => child.disconnect() };
}

/** One request on a kept connection; throws unless it was answered with 200. */
async function post(pool, route, headers, body) {
  const answer = await pool.request({ method: 'POST', path: route, headers, body });
  const content = new Uint8Array(await answer.body.arrayBuffer());
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}: ${Buffer.from(content).toString()}`);
  return { content, mediaType: answer.headers['content-type'] };
}

/** Seals, sends and opens, as the SDK does, without the checks. */
async function sealed(pool, config, route, body) {
  const request = await sealRequest(
    config,
    encodeBinaryRequest({ method: 'POST', path: route, headers: new Map(Object.entries(JSON_TYPE)), body }),
  );
  const { content, mediaType } = await post(pool, '/ohttp', { 'content-type': request.mediaType }, request.body);
  const { status } = parseBinaryResponse(await request.openResponse(content, mediaType));
  if (status !== 200) throw new Error(`inner HTTP ${status}`);
}

async function load(call, concurrency, seconds) {
  const latencies = [];
  const started = performance.now();
  const end = started + seconds * 1000;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end) {
        const from = performance.now();
        await call();
        latencies.push(performance.now() - from);
      }
    }),
  );
  const perSecond = latencies.length / ((performance.now() - started) / 1000);
  latencies.sort((a, b) => a - b);
  const at = (quantile) => latencies[Math.floor(latencies.length * quantile)];
  return { perSecond, p50: at(0.5), p99: at(0.99) };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const service = await startService({
  platform: 'simulated-snp',
  listen: '127.0.0.1:0',
  data: path.join(data, 'service'),
  models,
  allowPlaintext: true,
  logLevel: 'error',
  enclaveOption: [],
  hostOption: [],
  onRestart: (reason) => console.error(reason),
});
try {
  if (!(await untilReady(service.url, 120_000))) throw new Error('the service did not become ready');
  const roots = (await readdir(path.join(data, 'service'))).filter((name) => name.endsWith('.pem'));
  const trustAnchors = [];
  for (const name of roots) {
    trustAnchors.push(
      ...(await readTrustAnchors(new Uint8Array(await readFile(path.join(data, 'service', name))), name)),
    );
  }
  const pool = new Pool(service.url, { connections: Math.max(...CONCURRENCIES) });
  const client = new VeriteeClient({ url: service.url, policy: AUTHENTICITY, trustAnchors });
  const { file } = await client.ready();
  const config = parseEntry(parseAttestation(file).keys.at(-1).entry).value.config;
  console.log(
    `bench: ${ROUNDS} rounds of ${SECONDS} s each, alternated; the load generator, which also seals, is on the same machine`,
  );
  for (const { model, body } of WORK) {
    const bare = await bareServer(model);
    const barePool = new Pool(bare.url, { connections: Math.max(...CONCURRENCIES) });
    const route = `/v2/models/${model}/infer`;
    const request = { body: new Uint8Array(body), jsonLength: null, contentType: JSON_TYPE['content-type'] };
    const sides = {
      'express + onnxruntime-node': () => post(barePool, route, JSON_TYPE, body),
      'veritee, clear': () => post(pool, route, JSON_TYPE, body),
      'veritee, sealed': () => sealed(pool, config, route, body),
      'veritee, SDK': () => client.inferRaw(model, request),
    };
    for (const concurrency of CONCURRENCIES) {
      console.log(`\n${model}, concurrency ${concurrency}`);
      const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
      for (const call of Object.values(sides)) await load(call, concurrency, 1);
      for (let round = 0; round < ROUNDS; round++) {
        for (const [name, call] of Object.entries(sides)) results[name].push(await load(call, concurrency, SECONDS));
      }
      const [first] = Object.keys(sides);
      const of = (name, key) => median(results[name].map((result) => result[key]));
      for (const name of Object.keys(sides)) {
        const added = of(name, 'p50') - of(first, 'p50');
        console.log(
          `  ${name.padEnd(28)} ${of(name, 'perSecond').toFixed(0).padStart(6)} req/s  p50 ${of(name, 'p50').toFixed(2).padStart(7)} ms  ` +
            `p99 ${of(name, 'p99').toFixed(2).padStart(7)} ms  throughput ratio ${(of(name, 'perSecond') / of(first, 'perSecond')).toFixed(2)}  ` +
            `p50 ${added >= 0 ? '+' : '−'}${Math.abs(added).toFixed(2)} ms`,
        );
      }
    }
    await barePool.close();
    bare.stop();
  }
  await pool.close();
} finally {
  await service.stop();
  await rm(data, { recursive: true, force: true });
}
