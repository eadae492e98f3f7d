import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64url, hex } from '../../protocol/bytes.ts';
import { parseCheckpoint } from '../../protocol/checkpoint.ts';
import { parseEntry } from '../../protocol/entries.ts';
import { parseEvidence, parseReceipt } from '../../protocol/files.ts';
import { sha256 } from '../../protocol/hash.ts';
import { leafHash, rootFromInclusion } from '../../protocol/merkle.ts';
import { parseEntryBundle } from '../../protocol/tiles.ts';
import { type AppraisalPolicy, assess, parsePolicy } from '../../verifier/index.ts';
import { draftPolicyFor, type Served, serve, temporaryFolder } from '../support/cli.ts';
import { type Answered, ask, boots, lanes, readLog } from '../support/load.ts';

const REQUESTS = 10_000;
const CONCURRENCY = 16;
/** Far above what the queues can hold, far below what 10,000 kept answers and their garbage would need. */
const MAX_GROWTH_MIB = 300;

describe.skipIf(process.platform !== 'linux')(`${REQUESTS} inferences at concurrency ${CONCURRENCY}`, () => {
  const { folder, remove } = temporaryFolder();
  let served: Served;
  let policy: AppraisalPolicy;

  beforeAll(async () => {
    served = await serve(path.join(folder, 'data'), ['--allow-plaintext', '--log-level', 'error']);
    policy = parsePolicy(JSON.parse(readFileSync(await draftPolicyFor(served), 'utf8')));
  });
  afterAll(async () => {
    expect(await served?.stop()).toBe(0);
    remove();
  });

  const residentMiB = (pid: number | undefined) =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  test('end in as many statements, a gapless log and proofs under hardware reports', { timeout: 300_000 }, async () => {
    for (let i = 0; i < 200; i++) await ask(served.url);
    const { enclave, host } = served.children();
    const before = { enclave: residentMiB(enclave), host: residentMiB(host) };
    const highest = { ...before };
    const sampler = setInterval(() => {
      highest.enclave = Math.max(highest.enclave, residentMiB(enclave));
      highest.host = Math.max(highest.host, residentMiB(host));
    }, 100);
    const answers: Answered[] = [];
    let sent = 0;
    const started = performance.now();
    await lanes(CONCURRENCY, async () => {
      if (sent >= REQUESTS) return false;
      sent += 1;
      const answer = await ask(served.url);
      if (!answer) throw new Error('an inference was not answered');
      answers.push(answer);
      return true;
    });
    const perSecond = REQUESTS / ((performance.now() - started) / 1000);
    clearInterval(sampler);
    console.log(
      `${perSecond.toFixed(0)} requests/s with the load generator in the same two cores; resident MiB ` +
        `enclave ${before.enclave.toFixed(0)} → ${highest.enclave.toFixed(0)}, host ${before.host.toFixed(0)} → ${highest.host.toFixed(0)}`,
    );
    expect(answers).toHaveLength(REQUESTS);
    expect(highest.enclave - before.enclave).toBeLessThan(MAX_GROWTH_MIB);
    expect(highest.host - before.host).toBeLessThan(MAX_GROWTH_MIB);

    const [current] = await boots(served.url);
    if (!current) throw new Error('no boot');
    const entries = await readLog(served.url, current.boot, current.size, parseEntryBundle);
    const statements = new Map<string, number>();
    for (const [i, raw] of entries.entries()) {
      const entry = parseEntry(raw);
      expect(entry.sequence).toBe(i);
      if (entry.kind === 'statement') statements.set(hex(entry.value.receiptId), i);
    }
    expect(statements.size).toBe(REQUESTS + 200);

    // Each distinct checkpoint is verified down to the chip once; each receipt's own path leads to its root.
    const judged = new Map<string, ReturnType<typeof parseCheckpoint>>();
    await lanes(4, async () => {
      const answer = answers.pop();
      if (!answer) return false;
      const file = await committed(served.url, answer.receiptId);
      const receipt = parseReceipt(file);
      if (!('file' in receipt.evidence) || !receipt.path) throw new Error('not a hardware-committed receipt');
      const name = hex(sha256(receipt.evidence.file));
      let checkpoint = judged.get(name);
      if (!checkpoint) {
        const result = await assess({ file, kind: 'receipt', policy, at: new Date() });
        expect(result).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed' });
        checkpoint = parseCheckpoint(parseEvidence(receipt.evidence.file).checkpoint);
        judged.set(name, checkpoint);
      }
      expect(hex(receipt.statement)).toBe(hex(fromBase64url(answer.statement) as Uint8Array));
      const index = statements.get(answer.receiptId);
      if (index === undefined) throw new Error('a receipt that is not in the log');
      const root = rootFromInclusion(leafHash(receipt.statement), index, checkpoint.size, receipt.path);
      expect(root && hex(root)).toBe(hex(checkpoint.root));
      return true;
    });
    console.log(
      `${REQUESTS} inclusion proofs lead to ${judged.size} hardware-committed checkpoints; ${entries.length} entries, no gap`,
    );
  });
});

async function committed(url: string, id: string): Promise<Uint8Array> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const response = await fetch(`${url}/receipts/${id}`);
    const file = new Uint8Array(await response.arrayBuffer());
    if (response.status === 200) return file;
    if (response.status !== 202) throw new Error(`receipt ${id}: HTTP ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`receipt ${id} stayed pending`);
}
