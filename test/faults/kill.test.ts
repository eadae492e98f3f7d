import { createPublicKey, verify as nodeVerify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytes, fromBase64url, fromHex, hex } from '../../protocol/bytes.ts';
import { parseEntry } from '../../protocol/entries.ts';
import { parseReceipt } from '../../protocol/files.ts';
import { parseEntryBundle } from '../../protocol/tiles.ts';
import { type AppraisalPolicy, assess, parsePolicy } from '../../verifier/index.ts';
import { draftPolicyFor, type Served, serve, temporaryFolder } from '../support/cli.ts';
import { type Answered, ask, boots, EXAMPLE_REQUEST, lanes, readLog } from '../support/load.ts';

const KILLS = 50;
const LANES = 4;

/** A small generator of random numbers with a seed that a failure prints. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.skipIf(process.platform !== 'linux')(`kill -9 of enclave and host, ${KILLS} times under load`, () => {
  const { folder, remove } = temporaryFolder();
  const seed = Number(process.env['VERITEE_SEED'] ?? Date.now() % 2 ** 31);
  const acknowledged: Answered[] = [];
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

  test('nothing acknowledged is lost, no log forks', { timeout: 420_000 }, async () => {
    const next = random(seed);
    const killed = { enclave: 0, host: 0 };
    let running = true;
    const load = lanes(LANES, async () => {
      const answer = await ask(served.url);
      if (answer) acknowledged.push(answer);
      else await new Promise((resolve) => setTimeout(resolve, 20));
      return running;
    });
    try {
      while (killed.enclave + killed.host < KILLS) {
        // Half of the kills wait for work to flow again, so that both start-up and full load are hit.
        const before = acknowledged.length;
        const patience = Date.now() + (next() < 0.5 ? 10_000 : 0);
        while (acknowledged.length === before && Date.now() < patience)
          await new Promise((resolve) => setTimeout(resolve, 10));
        await new Promise((resolve) => setTimeout(resolve, next() * 500));
        const which = next() < 0.5 ? 'enclave' : 'host';
        const pid = served.children()[which];
        if (pid === undefined) continue;
        try {
          process.kill(pid, 'SIGKILL');
          killed[which] += 1;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
        }
      }
    } finally {
      running = false;
      await load;
    }
    await untilReady(served.url);
    console.log(
      `seed ${seed}: killed enclave ${killed.enclave} and host ${killed.host} times; ${acknowledged.length} answers acknowledged`,
    );
    expect(acknowledged.length).toBeGreaterThan(KILLS);

    const statuses = { 'hardware-committed': 0, neverCommitted: 0 };
    const sequences = new Set<string>();
    for (const answer of acknowledged) {
      const { status, file } = await fetchReceipt(served.url, answer.receiptId);
      expect(status === 'hardware-committed' || status === 'neverCommitted', `${answer.receiptId}: ${status}`).toBe(
        true,
      );
      statuses[status as keyof typeof statuses] += 1;
      const receipt = parseReceipt(file);
      expect(hex(receipt.statement)).toBe(hex(fromBase64url(answer.statement) as Uint8Array));
      const salt = (text: string) => bytes(fromHex(text) as Uint8Array, 32, 'salt');
      const result = await assess({
        file,
        kind: 'receipt',
        policy: status === 'neverCommitted' ? { ...policy, strength: 'session-signed' } : policy,
        at: new Date(),
        expected: {
          request: { body: new Uint8Array(EXAMPLE_REQUEST), salt: salt(answer.requestSalt) },
          response: { body: answer.body, salt: salt(answer.responseSalt) },
        },
      });
      expect(result.verdict, JSON.stringify('findings' in result ? result.findings : [])).toBe('affirming');
      if (result.verdict !== 'affirming' || result.kind !== 'receipt') return;
      expect(result.strength).toBe(status === 'neverCommitted' ? 'session-signed' : status);
      const entry = parseEntry(receipt.statement);
      const place = `${hex(result.session.bootId)}/${entry.sequence}`;
      expect(sequences.has(place), `two receipts at ${place}`).toBe(false);
      sequences.add(place);
    }
    console.log(`every one is retrievable and verifies: ${JSON.stringify(statuses)}`);
    expect(statuses['hardware-committed']).toBeGreaterThan(0);

    // The logs themselves: gapless, every entry signed by its own boot's key, every answer where its receipt says.
    const inLog = new Set<string>();
    for (const { boot, size } of await boots(served.url)) {
      const entries = await readLog(served.url, boot, size, parseEntryBundle);
      const session = parseEntry(entries[0] as Uint8Array);
      if (session.kind !== 'session') throw new Error('entry 0 is not the session claims');
      const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), session.value.sessionKey]);
      const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      for (const [i, raw] of entries.entries()) {
        const entry = parseEntry(raw);
        expect(entry.sequence).toBe(i);
        expect(nodeVerify(null, entry.message.toBeSigned, key, entry.message.signature)).toBe(true);
        inLog.add(hex(raw));
      }
    }
    for (const { statement } of acknowledged) {
      expect(inLog.has(hex(fromBase64url(statement) as Uint8Array))).toBe(true);
    }
  });
});

async function untilReady(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const response = await fetch(`${url}/readyz`).catch(() => null);
    if (response?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the service did not come back');
}

/** The final word on a receipt: waits while it is pending. */
async function fetchReceipt(url: string, id: string): Promise<{ status: string; file: Uint8Array }> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const response = await fetch(`${url}/receipts/${id}`);
    const file = new Uint8Array(await response.arrayBuffer());
    if (response.status === 200) return { status: response.headers.get('veritee-receipt-status') ?? '', file };
    if (response.status !== 202 || Date.now() > deadline) throw new Error(`receipt ${id}: HTTP ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
