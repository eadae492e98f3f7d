// The archive with as many receipts as RECEIPTS says (several sizes, one after the other): ingest, audit, search and
// export, each in a process of its own, with time, rate, size and peak memory. Rates are of CPU time where it says CPU, so
// that other people's load hardly moves them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const SIZES = (process.env.RECEIPTS ?? '10000,100000').split(',').map(Number);
const CHECKPOINTS = Number(process.env.CHECKPOINTS ?? 2000);
const BOOTS = Number(process.env.BOOTS ?? 5);
const THREADS = Number(process.env.THREADS ?? availableParallelism());
const EXPORTED = Number(process.env.EXPORTED ?? 10_000);
const ALONE = Number(process.env.ALONE ?? 300);
const AT = Date.parse('2026-06-01T12:00:00Z');

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = path.join(root, 'node_modules/.cache/veritee-bench');

/** From the sources, as the tests do: the generator is one of theirs. */
function compile() {
  mkdirSync(cache, { recursive: true });
  buildSync({
    absWorkingDir: root,
    entryPoints: {
      archive: 'archive/index.ts',
      bundle: 'archive/export/bundle.ts',
      'audit-worker': 'archive/audit/audit-worker.ts',
      synthetic: 'test/support/synthetic-archive.ts',
      protocol: 'protocol/index.ts',
      verifier: 'verifier/index.ts',
    },
    outdir: cache,
    bundle: true,
    splitting: true,
    packages: 'external',
    alias: {
      '@veritee/protocol': './protocol/index.ts',
      '@veritee/verifier': './verifier/index.ts',
    },
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'error',
  });
}

const load = (name) => import(path.join(cache, `${name}.js`));
const seconds = (from) => (performance.now() - from) / 1000;
const rate = (count, time) => `${Math.round(count / time).toLocaleString('en')}/s`;
const line = (what, ...facts) => console.log(`  ${what.padEnd(34)} ${facts.join(', ')}`);

async function timed(work) {
  const [from, cpu] = [performance.now(), process.cpuUsage()];
  const value = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { value, time: seconds(from), cpu: (user + system) / 1e6 };
}

function bytesIn(folder) {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .reduce((sum, item) => sum + statSync(path.join(item.parentPath, item.name)).size, 0);
}

const phases = {
  async ingest(receipts, folder) {
    const { SyntheticService } = await load('synthetic');
    const { Appraiser, ingestService, openArchive, recordPolicy } = await load('archive');
    const checkpoints = Math.min(CHECKPOINTS, Math.ceil(receipts / 500));
    const options = { receipts, checkpoints, boots: BOOTS, folder: path.join(folder, 'service') };
    const made = await timed(() => SyntheticService.create(options));
    const service = made.value;
    line('made', `${receipts} receipts, ${checkpoints} checkpoints, ${BOOTS} boots`, `${made.time.toFixed(1)} s`);
    const archive = await openArchive(
      { folder: path.join(folder, 'archive'), mode: 'write' },
      { now: () => AT, by: 'bench' },
    );
    const inputs = {
      policy: Buffer.from('builtin:authenticity'),
      anchors: [service.root],
      endorsements: [],
      crls: [],
    };
    const appraiser = await Appraiser.create(inputs, archive.blobs);
    await recordPolicy(archive, appraiser);
    const filing = { appraiser, tenant: 'acme', retentionClass: 'standard' };
    const { value, time, cpu } = await timed(() => ingestService(archive, service, filing));
    await archive.close();
    service.close();
    rmSync(path.join(folder, 'service'), { recursive: true });
    const size = bytesIn(path.join(folder, 'archive'));
    line('ingest', `${time.toFixed(1)} s`, rate(value.entries, time), `${rate(value.entries, cpu)} of CPU`);
    line('on the disk', `${(size / 2 ** 20).toFixed(1)} MiB`, `${Math.round(size / receipts)} bytes a receipt`);
  },

  async audit(_receipts, folder) {
    const { audit, openArchive, ThreadCrew } = await load('archive');
    const target = path.join(folder, 'archive');
    const archive = await openArchive({ folder: target, mode: 'read' }, { now: () => AT });
    const crew = new ThreadCrew(target, THREADS, new URL(`file://${cache}/audit-worker.js`));
    const { value: report, time } = await timed(() => audit(archive, { crew }));
    await crew.close();
    await archive.close();
    if (report.verdict !== 'intact') throw new Error(JSON.stringify(report.findings.slice(0, 3)));
    line(`audit on ${THREADS} threads`, `${time.toFixed(1)} s`, rate(report.figures.entries, time));
    for (const [pass, { items, seconds: took, cpuSeconds }] of Object.entries(report.figures.passes)) {
      line(
        `  ${pass}`,
        `${items} items`,
        `${took.toFixed(2)} s`,
        rate(items, took),
        `${rate(items, cpuSeconds)} a core (CPU)`,
      );
    }
  },

  async alone(_receipts, folder) {
    const { openArchive, proveInclusion, putTogether, search } = await load('archive');
    const { encodeReceipt } = await load('protocol');
    const { assess, readTrustAnchors } = await load('verifier');
    const archive = await openArchive({ folder: path.join(folder, 'archive'), mode: 'read' }, { now: () => AT });
    const { store, blobs } = archive;
    const { receipts } = await search(store, {}, { after: null, limit: ALONE });
    const files = [];
    for (const { boot, index } of receipts) {
      const [entry] = await store.entries({ boot, from: index, to: index + 1 });
      const evidence = await store.firstEvidenceOver(boot, index);
      const file = await putTogether(evidence, blobs);
      const hashes = await proveInclusion(store, boot, index, evidence.size);
      files.push({ evidence, file: encodeReceipt({ statement: entry.cose, path: hashes, evidence: { file } }) });
    }
    const anchor = await blobs.get(files[0].evidence.appraisal.anchors[0]);
    const trustAnchors = await readTrustAnchors(anchor, 'root');
    const { time, cpu } = await timed(async () => {
      for (const { file } of files) {
        const result = await assess({ file, policy: 'builtin:authenticity', at: new Date(AT), trustAnchors });
        if (result.verdict !== 'affirming') throw new Error(JSON.stringify(result.findings));
      }
    });
    await archive.close();
    line(
      'each receipt alone',
      `${files.length} receipts`,
      rate(files.length, time),
      `${rate(files.length, cpu)} a core (CPU)`,
    );
  },

  async search(_receipts, folder) {
    const { count, impactOf, openArchive, search } = await load('archive');
    const archive = await openArchive({ folder: path.join(folder, 'archive'), mode: 'read' });
    const { store } = archive;
    const [first] = (await search(store, {}, { after: null, limit: 1 })).receipts;
    const queries = {
      'by receipt id': () => search(store, { receiptId: first.receiptId }, { after: null, limit: 10 }),
      'page of a tenant': () => search(store, { tenant: 'acme' }, { after: null, limit: 100 }),
      'page of an outcome and a model': () =>
        search(store, { model: 'triage', outcome: 'REQUEST_TRUNCATED' }, { after: null, limit: 100 }),
      'count by measurement': () => count(store, { evidence: { measurement: '5a'.repeat(48) } }),
      'impact of an advisory': () =>
        impactOf(store, {
          id: 'bench',
          minimumTcb: [{ product: 'Milan', parts: { snp: 27 } }],
          deniedMeasurements: [],
          deniedChips: [],
        }),
    };
    for (const [name, query] of Object.entries(queries)) {
      const { value, time } = await timed(query);
      const found = value.receipts?.affected ?? value.receipts?.length ?? value;
      line(name, `${(1000 * time).toFixed(1)} ms`, `${found} receipts`);
    }
    await archive.close();
  },

  async export(_receipts, folder) {
    const { bootField, EVERYTHING, openArchive, search } = await load('archive');
    const { exportBundle } = await load('bundle');
    const archive = await openArchive(
      { folder: path.join(folder, 'archive'), mode: 'write' },
      { now: () => AT, by: 'bench' },
    );
    const [first] = (await search(archive.store, {}, { after: null, limit: 1 })).receipts;
    const scope = { ...EVERYTHING, boot: bootField(first.boot), toMs: first.timeMs + EXPORTED };
    const file = path.join(folder, 'export.zip');
    const verifier = { page: '', script: '' };
    const { value, time } = await timed(() => exportBundle(archive, file, { scope, withContent: false, verifier }));
    await archive.close();
    const size = statSync(file).size;
    line(
      'export',
      `${value.receipts} receipts`,
      `${time.toFixed(1)} s`,
      rate(value.receipts, time),
      `${(size / 2 ** 20).toFixed(1)} MiB`,
    );
  },
};

const [phase, receipts, folder] = process.argv.slice(2);
if (phase) {
  await phases[phase](Number(receipts), folder);
  line('peak memory', `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
} else {
  compile();
  for (const size of SIZES) {
    const home = mkdtempSync(path.join(tmpdir(), 'veritee-bench-archive-'));
    console.log(`${size.toLocaleString('en')} receipts`);
    try {
      for (const name of Object.keys(phases)) {
        execFileSync(process.execPath, [fileURLToPath(import.meta.url), name, String(size), home], {
          stdio: 'inherit',
        });
      }
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
}
