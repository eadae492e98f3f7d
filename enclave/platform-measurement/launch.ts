import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bytes, CODES, CodedError } from '@veritee/protocol';
import type { MeasuredPlatform } from '../attester/attester.ts';
import { type Builds, MAX_REFERENCE_BYTES, readBuilds } from './builds.ts';

/** How the boot is tied to what the platform measured. */
export interface Launch {
  readonly platform: MeasuredPlatform;
  readonly measureModels: boolean;
  /** null checks nothing. */
  readonly builds: Builds | null;
}

/** @throws CodedError FILE_UNREADABLE, REFERENCE_VALUES_INVALID */
export async function readLaunch(
  settings: { readonly measureModels: boolean; readonly referenceValues: string | null },
  platform: MeasuredPlatform,
): Promise<Launch> {
  const { measureModels, referenceValues } = settings;
  return { platform, measureModels, builds: referenceValues === null ? null : await readFileOfBuilds(referenceValues) };
}

const ATTEMPTS = 5;
const PAUSE_MS = 2000;

/**
 * Before the first report of a boot, and before anything is served.
 *
 * @throws CodedError PLATFORM_MODELS_DIFFER; another PLATFORM code when the platform stays busy
 */
export async function measureModels(launch: Launch, digests: readonly Bytes<32>[], pauseMs = PAUSE_MS): Promise<void> {
  if (!launch.measureModels) return;
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch.platform.measureModels(digests);
    } catch (error) {
      const retry = error instanceof CodedError && CODES[error.code].action === 'retry';
      if (!retry || attempt === ATTEMPTS) throw error;
      await sleep(pauseMs);
    }
  }
}

async function readFileOfBuilds(file: string): Promise<Builds> {
  const field = 'reference-values';
  let content: Uint8Array;
  try {
    content = await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodedError('FILE_UNREADABLE', `reference values: ${code}`, { field, cause });
  }
  if (content.length > MAX_REFERENCE_BYTES) {
    throw new CodedError('REFERENCE_VALUES_INVALID', `reference values: over ${MAX_REFERENCE_BYTES} bytes`, { field });
  }
  return readBuilds(content);
}
