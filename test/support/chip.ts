import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SimulatedAmdSp } from '../../attestation-fixtures/index.ts';

/** Makes the simulated chip that `serve` in the tests starts with, and removes it at the end. */
export default async function setup(): Promise<() => void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-chip-'));
  await (await SimulatedAmdSp.create({ product: 'Genoa', reportVersion: 5 })).save(folder);
  process.env['VERITEE_TEST_CHIP'] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
