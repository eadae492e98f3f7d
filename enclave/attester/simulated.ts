import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { bytes } from '@veritee/protocol';
import { ConfigfsTsmAttester } from './configfs-tsm.ts';

const MIN_INTERVAL_MS = 100;

export interface SimulatedOptions {
  /** Holds the throw-away keys; the root is written there as simulated-snp-ark.pem. */
  readonly dataDir: string;
  /** The program whose digest stands in for the launch measurement. */
  readonly programFiles: readonly (string | URL)[];
  readonly throttle: 'none' | 'cloud';
  readonly product: 'Milan' | 'Genoa' | 'Turin';
  readonly reportVersion: 2 | 3 | 5;
  readonly onProgress: (text: string) => void;
}

/**
 * A software AMD-SP behind the same configfs-tsm interface as the real one. Imported only when asked for, so that a
 * release image can leave the simulated platform out.
 */
export async function simulatedSnp(options: SimulatedOptions): Promise<ConfigfsTsmAttester> {
  const { SimulatedAmdSp, SimulatedTsm, SIMULATED_WARNING } = await import('@veritee/attestation-fixtures');
  const sp = await SimulatedAmdSp.loadOrCreate(options.dataDir, {
    product: options.product,
    reportVersion: options.reportVersion,
    onProgress: ({ made, elapsedMs }) =>
      options.onProgress(`simulated platform: ${made} key made after ${elapsedMs} ms`),
  });
  const digest = createHash('sha384');
  for (const file of options.programFiles) digest.update(await readFile(file));
  const tsm = new SimulatedTsm(sp, {
    guest: { measurement: bytes(digest.digest(), 48, 'MEASUREMENT') },
    throttle: options.throttle,
  });
  return new ConfigfsTsmAttester(tsm, {
    platform: 'simulated-snp',
    warning: SIMULATED_WARNING,
    minIntervalMs: MIN_INTERVAL_MS,
  });
}
