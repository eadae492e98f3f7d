import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type AssessInput, assess, type Kind, type TrustAnchor } from '../../verifier/index.ts';
import { AT, anchorsOf, MiniEnclave } from '../support/mini-enclave.ts';

const nonce = new Uint8Array(randomBytes(32));
const files: Partial<Record<string, Uint8Array<ArrayBuffer>>> = {};
let trustAnchors: TrustAnchor[];

beforeAll(async () => {
  const enclave = new MiniEnclave();
  for (let i = 0; i < 6; i++) await enclave.infer();
  const answer = await enclave.infer({ nonce });
  const tick = await enclave.tick();
  trustAnchors = await anchorsOf(tick);
  files['receipt'] = enclave.receipt(answer, tick);
  files['session-signed receipt'] = enclave.receipt(await enclave.infer({ nonce }), tick);
  files['attestation'] = (await enclave.attestation([nonce, new Uint8Array(8)])).file;
});

const AT_ONCE = 32; // verifications wait for the thread pool, so some overlap

async function each(count: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

const judge = (file: Uint8Array, more: Partial<AssessInput> = {}) =>
  assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });

const accepts = async (changed: Uint8Array, kind?: Kind): Promise<boolean> =>
  (await judge(changed, kind ? { kind } : {})).verdict === 'affirming';

describe.each(['receipt', 'session-signed receipt', 'attestation'] as const)('%s', (name) => {
  const file = (): Uint8Array<ArrayBuffer> => files[name]!;
  const kind: Kind = name === 'attestation' ? 'attestation' : 'receipt';

  test('as it was made is affirming', async () => {
    expect((await judge(file())).verdict).toBe('affirming');
  });

  test('no single changed byte is affirming, nor an uncoded exception', { timeout: 600_000 }, async () => {
    const accepted: string[] = [];
    // Every byte, once or twice, each time another of its bits.
    const rounds = name === 'receipt' ? 2 : 1;
    await each(rounds * file().length, async (i) => {
      const at = Math.floor(i / rounds);
      const mask = 1 << ((at + 3 * (i % rounds)) % 8);
      const changed = new Uint8Array(file());
      changed[at] = changed[at]! ^ mask;
      if (await accepts(changed)) accepted.push(`byte ${at} ^ 0x${mask.toString(16)}`);
    });
    expect(accepted).toEqual([]);
  });

  test('nor one cut short, whatever kind it is said to be', { timeout: 300_000 }, async () => {
    const accepted: number[] = [];
    await each(file().length, async (length) => {
      const cut = file().subarray(0, length);
      if (await accepts(cut, length % 2 === 0 ? kind : undefined)) accepted.push(length);
    });
    expect(accepted).toEqual([]);
  });

  test('nor one with bytes behind it, or with bytes removed', async () => {
    expect(await accepts(new Uint8Array([...file(), 0]))).toBe(false);
    const accepted: number[] = [];
    await each(200, async (i) => {
      const at = Math.floor((i * file().length) / 200);
      const removed = new Uint8Array([...file().subarray(0, at), ...file().subarray(at + 1)]);
      if (await accepts(removed, kind)) accepted.push(at);
    });
    expect(accepted).toEqual([]);
  });
});

test('random bytes under every kind', async () => {
  const kinds: readonly Kind[] = ['receipt', 'attestation', 'evidence', 'snp-report'];
  await each(2000, async (i) => {
    const bytes = new Uint8Array(randomBytes(i % 1500));
    const kind = kinds[i % kinds.length]!;
    expect(['contraindicated', 'unsupported']).toContain((await judge(bytes, { kind })).verdict);
  });
});
