/** A service in memory that shows the logs of mini enclaves, and can be made to show them otherwise. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import type { Archive, BlobStore } from '../../archive/index.ts';
import { type AppraisalInputs, Appraiser } from '../../archive/ingest/index.ts';
import { readEvidenceFile } from '../../archive/ingest/session.ts';
import { MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { type ShownBoot, ShownSource } from './shown-logs.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function tempFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-archive-'));
  folders.push(folder);
  return folder;
}

export class MemorySource extends ShownSource {
  async show(enclave: MiniEnclave, ticks: readonly Tick[]): Promise<ShownBoot> {
    const evidence = await Promise.all(
      ticks.map(async ({ file, size }) => ({ file, size, reportData: (await readEvidenceFile(file)).reportData })),
    );
    const { boot } = await readEvidenceFile(ticks[0]!.file);
    const shown = { boot, ended: null, entries: [...enclave.log.entries], evidence };
    this.shown.push(shown);
    return shown;
  }
}

export interface Grown {
  readonly enclave: MiniEnclave;
  readonly ticks: Tick[];
}

/** So many statements before each tick, on one simulated chip. */
export async function grow(
  counts: readonly number[],
  grown: Grown = { enclave: new MiniEnclave(), ticks: [] },
): Promise<Grown> {
  for (const count of counts) {
    for (let i = 0; i < count; i++) await grown.enclave.infer();
    grown.ticks.push(await grown.enclave.tick());
  }
  return grown;
}

/** The strict policy with this tick's root as its anchor file. */
export const inputs = (tick: { readonly root: Uint8Array }, policy: object = strictPolicy()): AppraisalInputs => ({
  policy: new TextEncoder().encode(JSON.stringify(policy)),
  anchors: [tick.root],
  endorsements: [],
  crls: [],
});

export const appraiser = (blobs: BlobStore, tick: { readonly root: Uint8Array }, policy?: object): Promise<Appraiser> =>
  Appraiser.create(inputs(tick, policy), blobs);

export const codesOf = async ({ store }: Archive): Promise<string[]> =>
  (await store.findings()).map(({ code }) => code);
