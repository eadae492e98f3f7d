import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './shared.ts';

export const EXAMPLE_REQUEST = readFileSync(path.join(ROOT, 'docs/examples/heat-stress-request.json'));

export interface Answered {
  readonly receiptId: string;
  readonly statement: string;
  readonly requestSalt: string;
  readonly responseSalt: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** One inference on the sample model; null when it was not answered with 200 in full. */
export async function ask(url: string, body: Uint8Array = EXAMPLE_REQUEST): Promise<Answered | null> {
  try {
    const response = await fetch(`${url}/v2/models/heat-stress/infer`, {
      method: 'POST',
      body: body as NonNullable<RequestInit['body']>,
    });
    const content = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200) return null;
    const header = (name: string) => response.headers.get(name) ?? '';
    return {
      receiptId: header('veritee-receipt-id'),
      statement: header('veritee-statement'),
      requestSalt: header('veritee-request-salt'),
      responseSalt: header('veritee-response-salt'),
      body: content,
    };
  } catch {
    return null; // the connection broke: nothing was acknowledged
  }
}

/** Runs `task` until it says stop, on so many lanes at once. */
export async function lanes(count: number, task: () => Promise<boolean>): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (await task());
    }),
  );
}

/** Every entry of a boot, read from its entry bundles. */
export async function readLog(
  url: string,
  boot: string,
  size: number,
  parse: (bundle: Uint8Array) => Uint8Array[],
): Promise<Uint8Array[]> {
  const entries: Uint8Array[] = [];
  for (let start = 0; start < size; start += 256) {
    const width = Math.min(256, size - start);
    const index = String(start / 256).padStart(3, '0');
    const response = await fetch(`${url}/log/${boot}/tile/entries/${index}${width === 256 ? '' : `.p/${width}`}`);
    if (response.status !== 200) throw new Error(`entry bundle ${index}: HTTP ${response.status}`);
    entries.push(...parse(new Uint8Array(await response.arrayBuffer())));
  }
  return entries;
}

export interface BootInfo {
  readonly boot: string;
  readonly size: number;
}

export async function boots(url: string): Promise<BootInfo[]> {
  return ((await (await fetch(`${url}/log`)).json()) as { boots: BootInfo[] }).boots;
}

/** The final word on a receipt: waits while it is pending. */
export async function settledReceipt(
  url: string,
  id: string,
): Promise<{ status: string; file: Uint8Array<ArrayBuffer> }> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const response = await fetch(`${url}/receipts/${id}`);
    const file = new Uint8Array(await response.arrayBuffer());
    if (response.status === 200) return { status: response.headers.get('veritee-receipt-status') ?? '', file };
    if (response.status !== 202 || Date.now() > deadline) throw new Error(`receipt ${id}: HTTP ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Resolves with the first value that is neither null nor false. */
export async function until<T>(what: string, look: () => Promise<T | null | false> | T | null | false): Promise<T> {
  const deadline = Date.now() + 45_000;
  for (;;) {
    const value = await look();
    if (value !== null && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
