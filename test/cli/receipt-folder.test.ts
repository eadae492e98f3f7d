import { describe, expect, test, vi } from 'vitest';
import { ReceiptFolder } from '../../cli/receipt-folder.ts';
import type { Receipt } from '../../client/index.ts';
import { CodedError } from '../../protocol/index.ts';

/** As much of a receipt as the folder asks for. */
function receipt(id: string, bytes: number, commit: () => Promise<Receipt>): Receipt {
  const made = {
    id,
    file: new Uint8Array(1),
    result: { strength: 'session-signed' },
    private: { request: new Uint8Array(bytes), response: new Uint8Array(bytes) },
    save: async () => undefined,
    hardwareCommitted: commit,
  };
  return made as unknown as Receipt;
}

describe('receipts that wait for their report', () => {
  test('are held up to a number of bytes; the others stay as the session signed them', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const folder = new ReceiptFolder('/nowhere', () => undefined, { waiting: 100, bytes: 2000 });
    // A host that never brings reports, while large answers go on.
    for (let i = 0; i < 20; i++) {
      const one: Receipt = receipt(String(i), 100, async () => {
        await held;
        return one;
      });
      await folder.keep(one);
    }
    const { kept, sessionSigned } = folder.counts;
    expect([kept, sessionSigned]).toEqual([20, 11]); // nine of 201 bytes fit
    release();
    await vi.waitUntil(() => folder.counts.hardwareCommitted === 9);
    const late: Receipt = receipt('late', 900, async () => late);
    await folder.keep(late); // what has been dealt with takes no more room
    await folder.close(10_000);
    expect(folder.counts).toEqual({ kept: 21, hardwareCommitted: 10, sessionSigned: 11 });
  });

  test('and fail by a defect are told of like the others: the proxy goes on', async () => {
    const failures: unknown[] = [];
    const folder = new ReceiptFolder('/nowhere', ({ id }, { code }) => failures.push([id, code]));
    await folder.keep(receipt('a', 1, () => Promise.reject(new CodedError('RECEIPT_PENDING', 'not in time'))));
    await folder.keep(receipt('b', 1, () => Promise.reject(new TypeError('a word of the content'))));
    await folder.close(10_000);
    expect(failures).toEqual([
      ['a', 'RECEIPT_PENDING'],
      ['b', 'INTERNAL'],
    ]);
    expect(folder.counts).toEqual({ kept: 2, hardwareCommitted: 0, sessionSigned: 2 });
  });
});
