import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Bytes, bytes, ServiceError, utf8 } from '@veritee/protocol';
import { ConfigfsTsmAttester } from './configfs-tsm.ts';
import { NsmAttester } from './nsm.ts';
import { GivenEndorsements } from './snp-certificates.ts';

// The simulated platforms stand behind the same interfaces as the real ones. They are imported only when asked for, so
// that a release image can leave them out.

export interface SimulatedOptions {
  /** Holds the throw-away keys; the root is written there as the platform's *.pem. */
  readonly dataDir: string;
  /** The program whose digest stands in for the launch measurement. */
  readonly programFiles: readonly (string | URL)[];
  readonly minIntervalMs: number;
}

export interface SimulatedSnpOptions extends SimulatedOptions {
  readonly throttle: 'none' | 'cloud';
  readonly product: 'Milan' | 'Genoa' | 'Turin';
  readonly reportVersion: 2 | 3 | 5;
  /** What the guest was launched with; zeros when null. */
  readonly hostData: Bytes<32> | null;
  readonly onProgress: (text: string) => void;
}

const contents = (files: SimulatedOptions['programFiles']): Promise<Uint8Array[]> =>
  Promise.all(files.map((file) => readFile(file)));

/** @throws ServiceError PLATFORM_UNAVAILABLE a release image: it has none */
async function simulatedPlatforms() {
  try {
    return await import('@veritee/attestation-fixtures');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    const message = 'this build has no simulated platform; it runs on --platform snp or nitro';
    throw new ServiceError('PLATFORM_UNAVAILABLE', message, { field: 'platform', cause });
  }
}

/** A software AMD-SP behind configfs-tsm. */
export async function simulatedSnp(options: SimulatedSnpOptions): Promise<ConfigfsTsmAttester> {
  const { SimulatedAmdSp, SimulatedTsm, SIMULATED_WARNING } = await simulatedPlatforms();
  const sp = await SimulatedAmdSp.loadOrCreate(options.dataDir, {
    product: options.product,
    reportVersion: options.reportVersion,
    onProgress: ({ made, elapsedMs }) =>
      options.onProgress(`simulated platform: ${made} key made after ${elapsedMs} ms`),
  });
  const digest = createHash('sha384');
  for (const content of await contents(options.programFiles)) digest.update(content);
  const tsm = new SimulatedTsm(sp, {
    guest: {
      measurement: bytes(digest.digest(), 48, 'MEASUREMENT'),
      ...(options.hostData ? { hostData: options.hostData } : {}),
    },
    throttle: options.throttle,
  });
  return new ConfigfsTsmAttester(tsm, {
    platform: 'simulated-snp',
    warning: SIMULATED_WARNING,
    minIntervalMs: options.minIntervalMs,
    privlevel: null,
    endorsements: new GivenEndorsements(),
  });
}

/** Stands in for kernel, command line and boot ramdisk, which are the same in all images of one builder release. */
const SIMULATED_BOOT = utf8('veritee simulated kernel and boot ramdisk\n');

/** A software NSM behind the interface of /dev/nsm; its registers measure as those of an image file do. */
export async function simulatedNitro(options: SimulatedOptions): Promise<NsmAttester> {
  const { pcrOf, SIMULATED_NITRO_WARNING, SimulatedNsm } = await simulatedPlatforms();
  const program = await contents(options.programFiles);
  const nsm = await SimulatedNsm.loadOrCreate(options.dataDir, {
    pcrs: new Map([
      [0, pcrOf(SIMULATED_BOOT, ...program)],
      [1, pcrOf(SIMULATED_BOOT)],
      [2, pcrOf(...program)],
    ]),
  });
  return new NsmAttester(nsm, {
    platform: 'simulated-nitro',
    warning: SIMULATED_NITRO_WARNING,
    minIntervalMs: options.minIntervalMs,
  });
}
