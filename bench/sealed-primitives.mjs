// What the seal costs: CPU time of the whole process for the enclave's side of one request (open 4 KiB, seal 4 KiB) on
// WebCrypto and on node:crypto, and for a body of 50 MB. Alternated in one run, so that other people's load moves both.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const REQUESTS = Number(process.env.REQUESTS ?? 300);
const LARGE = Number(process.env.LARGE ?? 50_000_000);

/** The choice of primitives is no part of the room's door, so its files are bundled here. */
async function load() {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-bench-'));
  const out = path.join(folder, 'sealed.mjs');
  const sealed = fileURLToPath(new URL('../protocol/sealed/', import.meta.url));
  await build({
    stdin: {
      contents: ['suite', 'sender', 'recipient', 'sealing-key', 'forms', 'binary-http']
        .map((name) => `export * from './${name}.ts';`)
        .join('\n'),
      resolveDir: sealed,
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile: out,
    logLevel: 'error',
  });
  const module = await import(pathToFileURL(out).href);
  rmSync(folder, { recursive: true });
  return module;
}

const v = await load();
const suites = { 'hpke on WebCrypto': v.webSuite(), 'hpke on node:crypto': v.nodeSuite() };

/** The network's pieces. */
async function* stream(body) {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536);
}

async function cpuMs(run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function answerOne(pair, sealed, mediaType, answer) {
  const opened = await v.openRequest(stream(sealed), mediaType, {
    keyOf: () => pair,
    firstUse: () => {},
    maxBytes: 1 << 30,
  });
  const { body } = await v.readBinaryRequest(opened.content);
  let length = 0;
  for await (const piece of body) length += piece.length;
  await opened.sealResponse(v.encodeBinaryResponse({ status: 200, headers: new Map(), body: answer }));
  return length;
}

const request = (length) =>
  v.encodeBinaryRequest({
    method: 'POST',
    path: '/v2/models/m/infer',
    headers: new Map(),
    body: new Uint8Array(length),
  });

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const forms = { plain: v.PLAIN, chunked: v.CHUNKED };
const figures = {};
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, suite] of Object.entries(suites)) {
    const pair = await v.SealingKeyPair.of(suite, 1, await suite.hpke.GenerateKeyPair());
    for (const [formName, form] of Object.entries(forms)) {
      const small = request(4096);
      const sealed = [];
      const sealing = await cpuMs(async () => {
        for (let i = 0; i < REQUESTS; i++) sealed.push(await v.sealRequestWith(suite, pair.config, small, form));
      });
      const opening = await cpuMs(async () => {
        for (const { body, mediaType } of sealed) await answerOne(pair, body, mediaType, new Uint8Array(4096));
      });
      const large = request(LARGE);
      let big;
      const largeSealing = await cpuMs(async () => {
        big = await v.sealRequestWith(suite, pair.config, large, form);
      });
      const largeOpening = await cpuMs(async () => {
        const length = await answerOne(pair, big.body, big.mediaType, new Uint8Array(4096));
        if (length !== LARGE) throw new Error('the body came out at another length');
      });
      const row = `${name}, ${formName}`;
      figures[row] ??= { seal: [], answer: [], largeSeal: [], largeOpen: [] };
      figures[row].seal.push(sealing / REQUESTS);
      figures[row].answer.push(opening / REQUESTS);
      figures[row].largeSeal.push(largeSealing);
      figures[row].largeOpen.push(largeOpening);
    }
  }
}

const megabytes = LARGE / 1e6;
console.log(`CPU ms, median of ${ROUNDS} rounds of ${REQUESTS}`);
console.table(
  Object.fromEntries(
    Object.entries(figures).map(([row, { seal, answer, largeSeal, largeOpen }]) => [
      row,
      {
        'sender seals 4 KiB': median(seal).toFixed(3),
        'enclave opens and answers 4 KiB': median(answer).toFixed(3),
        [`sender seals ${megabytes} MB`]: median(largeSeal).toFixed(0),
        [`enclave opens ${megabytes} MB`]: median(largeOpen).toFixed(0),
        'open MB per CPU s': ((1000 * megabytes) / median(largeOpen)).toFixed(0),
      },
    ]),
  ),
);
