/**
 * No report, and so no readiness and no inference, unless clients would know this build: the first report of a boot waits
 * for the enclave's own measurement to be found in the reference file. One that differs stays refused; a platform that is
 * busy is asked again at the next tick.
 */
import { CodedError } from '@veritee/protocol';
import type { Attester, MeasuredPlatform } from '../attester/attester.ts';
import type { Builds } from './builds.ts';
import { difference } from './compare.ts';

export interface SelfCheck {
  readonly builds: Builds;
  readonly platform: Pick<MeasuredPlatform, 'measurement'>;
  readonly now: () => number;
}

/** The attester behind the check; it throws PLATFORM_MEASUREMENT_DIFFERS, with the reason, for good. */
export function behindSelfCheck(attester: Attester, { builds, platform, now }: SelfCheck): Attester {
  let result: 'unknown' | 'known' | CodedError = 'unknown';
  const check = async (): Promise<void> => {
    if (result === 'unknown') {
      const found = difference(await platform.measurement(), builds, new Date(now()));
      result =
        found === null ? 'known' : new CodedError('PLATFORM_MEASUREMENT_DIFFERS', found, { field: 'reference-values' });
    }
    if (result !== 'known') throw result;
  };
  return {
    platform: attester.platform,
    warning: attester.warning,
    format: attester.format,
    minIntervalMs: attester.minIntervalMs,
    attest: async (reportData, sessionKey) => {
      await check();
      return attester.attest(reportData, sessionKey);
    },
  };
}
