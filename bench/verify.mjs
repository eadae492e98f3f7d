// Verifications of the public `assess` beside the bare signature checks that they contain, alternated in one run. Figures
// are CPU time of this process, all its threads included: other people's load moves the clock, and the ratios far less.
import { constants, createPublicKey, verify as nodeVerify, randomBytes, X509Certificate } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const CHIPS = Number(process.env.CHIPS ?? 300);
const REPORTS = Number(process.env.REPORTS ?? 10_000);
const THREADS = Number(process.env.THREADS ?? availableParallelism());
const AT = new Date('2026-06-01T12:00:00Z');
/** Other chips' evidence before each measurement, the first time cold, so that what is measured is not compilation. */
const WARM_UP = 800;
const WARM_UP_PASSES = 4;

let instances = 0;
/** The verifier with nothing remembered: caches live in the module. */
const freshVerifier = () =>
  import(`${new URL('../verifier/dist/index.js', import.meta.url).href}?instance=${instances++}`);

const check = (good, what) => {
  if (!good) throw new Error(`${what} does not verify`);
};

async function cpuMs(run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Where the contents of the DER element at `at` begin and end. */
function element(der, at) {
  const first = der[at + 1];
  const bytes = first < 0x80 ? 0 : first - 0x80;
  let length = bytes === 0 ? first : 0;
  for (let i = 0; i < bytes; i++) length = length * 256 + der[at + 2 + i];
  return { start: at + 2 + bytes, end: at + 2 + bytes + length };
}

/** The raw parts of a certificate: what is signed, the signature, the public key. */
function bareCertificate(der) {
  const { start } = element(der, 0);
  const { end } = element(der, start);
  const bits = element(der, element(der, end).end);
  const spki = new X509Certificate(der).publicKey.export({ format: 'der', type: 'spki' });
  return { tbs: der.subarray(start, end), signature: der.subarray(bits.start + 1, bits.end), spki };
}

const bareEcdsa = (data, signature, key, dsaEncoding = 'ieee-p1363') =>
  check(nodeVerify('sha384', data, { key, dsaEncoding }, signature), 'ECDSA');
const importKey = (spki) => createPublicKey({ key: spki, format: 'der', type: 'spki' });

async function snpCases() {
  const { generateVcekKey, simulatedEvidence } = await import('../attestation-fixtures/dist/index.js');
  const cases = [];
  const warmUpKey = await generateVcekKey();
  for (let i = 0; i < CHIPS + WARM_UP; i++) {
    const { report, chain, ark } = await simulatedEvidence({
      product: 'Milan',
      version: 5,
      reportData: randomBytes(64),
      measurement: new Uint8Array(48).fill(0x5a),
      chipId: new Uint8Array(randomBytes(64)),
      vcekKey: i < WARM_UP ? warmUpKey : await generateVcekKey(),
    });
    cases.push({ file: new Uint8Array(report), endorsements: chain.map((der) => new Uint8Array(der)), root: ark });
  }
  return cases;
}

/** RSA-PSS of the VCEK under a ready key, import of its key, P-384 over the report. The ASK is known, as AMD's is. */
function snpFloor(cases) {
  const ask = new X509Certificate(cases[0].endorsements[1]).publicKey;
  const pss = { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 };
  const bare = cases.map(({ file, endorsements: [vcek] }) => {
    const signature = new Uint8Array(96);
    signature.set(file.slice(0x2a0, 0x2d0).reverse());
    signature.set(file.slice(0x2e8, 0x318).reverse(), 48);
    return { certificate: bareCertificate(vcek), signed: file.subarray(0, 0x2a0), signature };
  });
  const ready = bare.map(({ certificate }) => importKey(certificate.spki));
  return {
    cold: () => {
      for (const { certificate, signed, signature } of bare) {
        check(nodeVerify('sha384', certificate.tbs, pss, certificate.signature), 'RSA-PSS');
        bareEcdsa(signed, signature, importKey(certificate.spki));
      }
    },
    cached: () => {
      for (const [i, { signed, signature }] of bare.entries()) bareEcdsa(signed, signature, ready[i]);
    },
  };
}

async function nitroCases() {
  const { generateNitroKey, simulatedNitroEvidence } = await import('../attestation-fixtures/dist/index.js');
  const request = { userData: randomBytes(64), publicKey: randomBytes(32), at: AT };
  // Four certificates each: more would not fit into the verifier's memory of certificates.
  const warmUpKeys = { instance: generateNitroKey(), leaf: generateNitroKey() };
  return Array.from({ length: Math.min(CHIPS, 140) + WARM_UP }, (_, i) => {
    const keys = i < WARM_UP ? warmUpKeys : { instance: generateNitroKey(), leaf: generateNitroKey() };
    const { document, root, parts, fields } = simulatedNitroEvidence({ ...request, keys });
    return { file: new Uint8Array(document), endorsements: [], root, parts, fields };
  });
}

const byteString = (bytes) =>
  bytes.length < 24
    ? Buffer.concat([Buffer.of(0x40 + bytes.length), bytes])
    : Buffer.concat([Buffer.of(0x59, bytes.length >> 8, bytes.length & 0xff), bytes]);

/** P-384 over four certificates and the document, the first under a ready key; import of the four others. */
function nitroFloor(cases) {
  const root = new X509Certificate(cases[0].root).publicKey;
  const bare = cases.map(({ parts, fields }) => ({
    chain: [...fields.cabundle.slice(1), fields.certificate].map(bareCertificate),
    signature: parts.signature,
    signed: Buffer.concat([
      Buffer.from('846a5369676e617475726531', 'hex'), // RFC 9052 §4.4: ["Signature1", …
      byteString(parts.protectedHeader),
      Buffer.of(0x40),
      byteString(parts.payload),
    ]),
  }));
  const ready = bare.map(({ chain }) => importKey(chain.at(-1).spki));
  return {
    cold: () => {
      for (const { chain, signature, signed } of bare) {
        let key = root;
        for (const { tbs, signature: issued, spki } of chain) {
          bareEcdsa(tbs, issued, key, 'der');
          key = importKey(spki);
        }
        bareEcdsa(signed, signature, key);
      }
    },
    cached: () => {
      for (const [i, { signature, signed }] of bare.entries()) bareEcdsa(signed, signature, ready[i]);
    },
  };
}

async function assessAll(verifier, cases, trustAnchors) {
  for (const { file, endorsements } of cases) {
    const result = await verifier.assess({
      file,
      policy: 'builtin:authenticity',
      at: AT,
      trustAnchors,
      endorsements,
    });
    if (result.verdict !== 'affirming') throw new Error(JSON.stringify(result.findings));
  }
}

/** An instance that has seen other chips' reports, and the authorities, but nothing of these. */
async function warmVerifier(warmUp) {
  const verifier = await freshVerifier();
  const anchors = await verifier.readTrustAnchors(warmUp[0].root, 'root');
  for (let i = 0; i < WARM_UP_PASSES; i++) await assessAll(verifier, warmUp, anchors);
  return { verifier, anchors };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

async function compare(name, cases, floor) {
  const measured = cases.slice(WARM_UP);
  const spent = { floorCold: [], cold: [], floorCached: [], cached: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const { verifier, anchors } = await warmVerifier(cases.slice(0, WARM_UP));
    spent.floorCold.push(await cpuMs(floor.cold));
    spent.cold.push(await cpuMs(() => assessAll(verifier, measured, anchors)));
    spent.floorCached.push(await cpuMs(floor.cached));
    spent.cached.push(await cpuMs(() => assessAll(verifier, measured, anchors)));
  }
  const each = (kind) => (median(spent[kind]) / measured.length) * 1000;
  const ratio = (a, b) => median(spent[a].map((value, i) => value / spent[b][i]));
  const line = (what, kind, bare, aim) => {
    const us = each(kind);
    console.log(
      `  ${name} ${what.padEnd(6)} ${(1e6 / us).toFixed(0).padStart(5)}/s a core (${us.toFixed(0)} µs), ` +
        `bare ${(1e6 / each(bare)).toFixed(0)}/s (${each(bare).toFixed(0)} µs), ratio ${ratio(kind, bare).toFixed(2)} (aim ${aim})`,
    );
  };
  line('cold', 'cold', 'floorCold', '1.30');
  line('cached', 'cached', 'floorCached', '1.20');
}

/** Every report cold: a thread takes a new instance for each pass over its chips. */
async function manyThreads(cases) {
  const started = performance.now();
  const share = Math.ceil(REPORTS / THREADS);
  const cpu = await cpuMs(() =>
    Promise.all(
      Array.from({ length: THREADS }, () => {
        const worker = new Worker(new URL(import.meta.url), { workerData: { cases, share } });
        return new Promise((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        });
      }),
    ),
  );
  const seconds = (performance.now() - started) / 1000;
  const total = share * THREADS;
  console.log(
    `  SNP cold, ${total} reports on ${THREADS} threads: ${(total / seconds).toFixed(0)}/s in ${seconds.toFixed(1)} s, ` +
      `${(cpu / 1000 / seconds).toFixed(2)} cores busy, ${((cpu / total) * 1000).toFixed(0)} µs of CPU each (start-up and compilation included)`,
  );
}

async function workerShare({ cases, share }) {
  for (let done = 0; done < share; ) {
    const some = cases.slice(0, share - done);
    const verifier = await freshVerifier();
    await assessAll(verifier, some, await verifier.readTrustAnchors(cases[0].root, 'root'));
    done += some.length;
  }
}

if (isMainThread) {
  console.log(
    `bench: ${ROUNDS} rounds of ${CHIPS} chips, alternated, medians of CPU time; the aims are for a quiet machine`,
  );
  const cases = await snpCases();
  await compare('SNP  ', cases, snpFloor(cases.slice(WARM_UP)));
  const documents = await nitroCases();
  await compare('Nitro', documents, nitroFloor(documents.slice(WARM_UP)));
  await manyThreads(cases.slice(WARM_UP));
} else {
  await workerShare(workerData);
  parentPort.postMessage('done');
}
