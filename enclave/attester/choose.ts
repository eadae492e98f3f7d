import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { CodedError, hex, ServiceError, sha256 } from '@veritee/protocol';
import type { Attester, KeyRequester, MeasuredPlatform } from './attester.ts';
import { ConfigfsTsmAttester } from './configfs-tsm.ts';
import { NsmAttester } from './nsm.ts';
import { ThreadedNsm } from './nsm-thread.ts';
import type { PlatformName, PlatformSettings } from './settings.ts';
import { GivenEndorsements, MAX_ENDORSEMENT_BYTES } from './snp-certificates.ts';
import { TsmFolder } from './tsm-folder.ts';

export type PlatformAttester = Attester & KeyRequester & MeasuredPlatform;

export interface AttesterOptions {
  readonly platform: PlatformName;
  readonly settings: PlatformSettings;
  readonly simulated: {
    readonly product: 'Milan' | 'Genoa' | 'Turin';
    readonly reportVersion: 2 | 3 | 5;
    readonly throttle: 'none' | 'cloud';
  };
  /** Where the simulated platforms keep their keys. */
  readonly dataDir: string;
  /** This program: what the thread of /dev/nsm loads, and what the simulated platforms measure. */
  readonly program: URL;
  readonly programFiles: readonly URL[];
  readonly onEvent: (facts: Readonly<Record<string, unknown>>, text: string) => void;
}

/** The simulated platforms are loaded only when asked for, so that a release image can leave them out. */
export async function attesterFor(options: AttesterOptions): Promise<PlatformAttester> {
  const { platform, settings, dataDir, programFiles, onEvent } = options;
  const { minIntervalMs } = settings;
  switch (platform) {
    case 'snp':
      return snp(settings, onEvent);
    case 'nitro':
      return nitro(options);
    case 'simulated-snp': {
      const { simulatedSnp } = await import('./simulated.ts');
      const hostData = settings.simulatedHostData;
      const onProgress = (text: string): void => onEvent({}, text);
      return simulatedSnp({ dataDir, programFiles, minIntervalMs, hostData, onProgress, ...options.simulated });
    }
    case 'simulated-nitro': {
      const { simulatedNitro } = await import('./simulated.ts');
      return simulatedNitro({ dataDir, programFiles, minIntervalMs });
    }
  }
}

async function snp(settings: PlatformSettings, onEvent: AttesterOptions['onEvent']): Promise<ConfigfsTsmAttester> {
  const endorsements = new GivenEndorsements();
  for (const file of settings.endorsements) endorsements.offer(await readEndorsement(file));
  const attester = new ConfigfsTsmAttester(new TsmFolder(settings.tsmFolder), {
    platform: 'snp',
    warning: null,
    minIntervalMs: settings.minIntervalMs,
    privlevel: settings.privlevel,
    endorsements,
  });
  const removed = await attester.cleanUp();
  if (removed > 0) onEvent({ removed }, 'configfs-tsm: removed requests of an earlier run');
  if (settings.svsm) {
    const { manifest } = await attester.serviceManifest();
    onEvent({ sha256: hex(sha256(manifest)), bytes: manifest.length }, 'SVSM services manifest');
  }
  return attester;
}

async function nitro({ settings, program, onEvent }: AttesterOptions): Promise<NsmAttester> {
  checkNativeCalls();
  const attester = new NsmAttester(new ThreadedNsm(program, settings.nsmDevice), {
    platform: 'nitro',
    warning: null,
    minIntervalMs: settings.minIntervalMs,
  });
  const { version, moduleId, lockedPcrs } = await attester.describe();
  onEvent({ version, moduleId, lockedPcrs }, 'Nitro Security Module');
  return attester;
}

/** @throws ServiceError PLATFORM_UNAVAILABLE the SEV-SNP image: it leaves the library of native calls out */
function checkNativeCalls(): void {
  try {
    createRequire(import.meta.url).resolve('koffi');
  } catch (cause) {
    const message = 'this build makes no native calls, and /dev/nsm needs them: take the Nitro image';
    throw new ServiceError('PLATFORM_UNAVAILABLE', message, { field: 'platform', cause });
  }
}

async function readEndorsement(file: string): Promise<Uint8Array> {
  let data: Uint8Array;
  try {
    data = await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodedError('FILE_UNREADABLE', `endorsement: ${code}`, { field: 'endorsement', cause });
  }
  if (data.length <= MAX_ENDORSEMENT_BYTES) return data;
  throw new CodedError('ENDORSEMENT_MALFORMED', `endorsement: over ${MAX_ENDORSEMENT_BYTES} bytes`, {
    field: 'endorsement',
  });
}
