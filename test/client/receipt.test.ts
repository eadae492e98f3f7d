import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { DirectoryHandle, InferResult, Receipt } from '../../client/index.ts';
import { encodeStatement, hex, saltedDigest } from '../../protocol/index.ts';
import { assess } from '../../verifier/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { AT, MiniEnclave, MODEL, salt } from '../support/mini-enclave.ts';
import { codeOf, FakeService, INPUT, policy, problem } from './fake-service.ts';

const SEED = new Uint8Array(32).fill(9);
const { folder, remove } = temporaryFolder();
afterAll(remove);

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const infer = async (options = {}): Promise<InferResult> => (await service.client(options)).infer('sample', [INPUT]);
const verdictOf = async ({ file, expected }: Receipt, strength: 'session-signed' | 'hardware-committed') => {
  const trustAnchors = await service.anchors();
  const result = await assess({ file, policy: policy({ strength }), at: AT, trustAnchors, expected });
  return [result.verdict, result.strength];
};

describe('under hardware', () => {
  test('the receipt is session-signed at once and hardware-committed when asked', async () => {
    service.pending = 2;
    const { receipt } = await infer();
    expect(receipt.id).toMatch(/^[0-9a-f]{32}$/);
    expect(await verdictOf(receipt, 'session-signed')).toEqual(['affirming', 'session-signed']);
    const committed = await receipt.hardwareCommitted();
    expect(await verdictOf(committed, 'hardware-committed')).toEqual(['affirming', 'hardware-committed']);
    expect(committed.id).toBe(receipt.id);
    expect(service.count('/receipts')).toBe(3);
    expect(await committed.hardwareCommitted()).toBe(committed);
  });

  test('a policy that asks for it gets no answer without it', async () => {
    const strict = { policy: policy({ strength: 'hardware-committed' }) };
    const { receipt } = await infer(strict);
    expect(receipt.result.strength).toBe('hardware-committed');
    service.pending = Number.POSITIVE_INFINITY;
    const impatient = { policy: policy({ strength: 'hardware-committed', maxWaitSeconds: 1 }) };
    expect(await codeOf(infer(impatient))).toBe('RECEIPT_PENDING');
  });

  test.each<[string, (receipt: Receipt) => void | Promise<void>, string]>([
    [
      'the host says that the boot ended',
      () => {
        service.host = async () => new Response('', { headers: { 'veritee-receipt-status': 'neverCommitted' } });
      },
      'RECEIPT_NEVER_COMMITTED',
    ],
    [
      'the host knows nothing of it',
      () => {
        service.host = async () => problem('RECEIPT_UNKNOWN');
      },
      'RECEIPT_UNKNOWN',
    ],
    [
      'the host sends something else',
      () => {
        service.host = async () => new Response('receipt');
      },
      'EVIDENCE_MALFORMED',
    ],
    [
      'the host calls the session’s word hardware’s',
      (receipt) => {
        service.host = async () => new Response(receipt.file);
      },
      'STRENGTH_INSUFFICIENT',
    ],
    [
      'the host sends the receipt of another answer',
      async () => {
        const { receipt: other } = await infer();
        service.host = (asked, relay) => relay({ ...asked, path: `/receipts/${other.id}` });
      },
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'the host sends the receipt of another answer that does not verify',
      async () => {
        const { receipt: other } = await infer();
        const { file } = await other.hardwareCommitted();
        file[file.length - 1]! ^= 1;
        service.host = async () => new Response(file);
      },
      'STATEMENT_INVALID',
    ],
  ])('not when %s', async (_what, arrange, code) => {
    const { receipt } = await infer();
    await arrange(receipt);
    const refused = await codeOf(receipt.hardwareCommitted({ timeoutMs: 2000 }));
    expect(refused).toBe(code);
  });

  /** One session, two logs: what a stolen session key can do. */
  test('two verified statements for one place prove a fork', async () => {
    service.enclave = new MiniEnclave({ seed: SEED });
    const { receipt } = await infer();
    const { sequence } = receipt.result.statement;
    const twin = new MiniEnclave({ seed: SEED });
    while (twin.log.size < sequence) twin.append('end', twin.log.entries[0]!);
    const requestSalt = salt();
    const digest = await saltedDigest(requestSalt, new Uint8Array(1));
    const other = { ...receipt.result.statement, requestDigest: digest, model: MODEL };
    twin.append('statement', encodeStatement(other));
    const entry = twin.log.entries[sequence]!;
    const file = twin.receipt({ ...service.answerOf(receipt.id), entry, sequence }, await twin.tick());
    service.host = async () => new Response(file);
    expect(await codeOf(receipt.hardwareCommitted())).toBe('SESSION_FORKED');
    // The same without a signature of the session proves nothing but a host that lies.
    const forged = new Uint8Array(file);
    const place = Buffer.from(forged).indexOf(Buffer.from(entry.subarray(-64)));
    forged[place]! ^= 1;
    service.host = async () => new Response(forged);
    expect(await codeOf(receipt.hardwareCommitted())).toBe('STATEMENT_INVALID');
  });
});

describe('kept', () => {
  const names = (id: string) => ['', '.private.json', '.request', '.response'].map((end) => `${id}.veritee${end}`);

  test('in a folder: the receipt for anyone, the rest for its owner, and together they verify', async () => {
    const { receipt } = await infer();
    const target = path.join(folder, 'new', 'kept');
    await receipt.save(target);
    expect(readdirSync(target).sort()).toEqual(names(receipt.id));
    for (const name of names(receipt.id)) {
      const mode = statSync(path.join(target, name)).mode & 0o777;
      expect([name, mode & 0o077 & ~0o044]).toEqual([name, 0]);
      if (!name.endsWith('.veritee')) expect([name, mode]).toEqual([name, 0o600]);
    }
    const read = (name: string) => new Uint8Array(readFileSync(path.join(target, `${receipt.id}.veritee${name}`)));
    expect(read('')).toEqual(receipt.file);
    const salts = JSON.parse(new TextDecoder().decode(read('.private.json')));
    expect(salts).toEqual({
      receiptId: receipt.id,
      requestSalt: hex(receipt.private.requestSalt),
      responseSalt: hex(receipt.private.responseSalt),
    });
    const { requestDigest, responseDigest } = receipt.result.statement;
    const { requestSalt, responseSalt } = receipt.private;
    expect(await saltedDigest(requestSalt, read('.request'))).toEqual(requestDigest);
    expect(await saltedDigest(responseSalt, read('.response'))).toEqual(responseDigest);
    await (await receipt.hardwareCommitted()).save(target); // again, in its place
    expect(readdirSync(target).sort()).toEqual(names(receipt.id));
    expect(read('').length).toBeGreaterThan(receipt.file.length);
  });

  test('nowhere when one part cannot be written, and nothing is left lying', async () => {
    const { receipt } = await infer();
    const blocked = path.join(folder, 'blocked');
    mkdirSync(path.join(blocked, `${receipt.id}.veritee.request`), { recursive: true });
    expect(await codeOf(receipt.save(blocked))).toBe('FILE_UNWRITABLE');
    expect(readdirSync(blocked)).toEqual([`${receipt.id}.veritee.request`]);
    const file = path.join(folder, 'a-file');
    writeFileSync(file, '');
    expect(await codeOf(receipt.save(path.join(file, 'below')))).toBe('FILE_UNWRITABLE');
  });

  test('in a folder of a browser', async () => {
    const files = new Map<string, Uint8Array>();
    let full = false;
    const handle: DirectoryHandle = {
      getFileHandle: async (name) => ({
        createWritable: async () => {
          let content = new Uint8Array(0);
          return {
            write: async (bytes) => {
              if (full) throw new DOMException('no room', 'QuotaExceededError');
              content = bytes;
            },
            close: async () => void files.set(name, content),
            abort: async () => void files.set(`${name} aborted`, content),
          };
        },
      }),
    };
    const { receipt } = await infer();
    await receipt.save(handle);
    expect([...files.keys()].sort()).toEqual(names(receipt.id));
    expect(files.get(`${receipt.id}.veritee`)).toEqual(receipt.file);
    full = true;
    await expect(receipt.save(handle)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringContaining('QuotaExceededError'),
    });
    expect(files.has(`${receipt.id}.veritee.request aborted`)).toBe(true);
  });

  test('wherever a function puts it, the receipt last, each part named as private or not', async () => {
    const { receipt } = await infer();
    const parts: [string, boolean][] = [];
    await receipt.save(async (name, _bytes, { private: hidden }) => void parts.push([name, hidden]));
    expect(parts.at(-1)).toEqual([`${receipt.id}.veritee`, false]);
    expect(parts.slice(0, 3).map(([, hidden]) => hidden)).toEqual([true, true, true]);
  });

  test('before the answer is handed out; where it cannot be kept there is no answer', async () => {
    const kept: Receipt[] = [];
    const { receipt } = await infer({ onReceipt: (one: Receipt) => void kept.push(one) });
    expect(kept).toEqual([receipt]);
    const full = new Error('disk full');
    await expect(infer({ onReceipt: () => Promise.reject(full) })).rejects.toBe(full);
    await infer({ onReceipt: () => Promise.reject(full) }).catch(() => undefined);
    const client = await service.client({ onReceipt: () => Promise.reject(full) });
    await client.infer('sample', [INPUT], { onReceipt: (one) => void kept.push(one) });
    expect(kept).toHaveLength(2);
  });
});
