import { type Bytes, bytes, CodedError, fromHex } from '@veritee/protocol';
import { NSM_DEVICE } from './nsm-thread.ts';
import { TSM_REPORT_FOLDER } from './tsm-folder.ts';

export const PLATFORMS = ['simulated-snp', 'simulated-nitro', 'snp', 'nitro'] as const;
export type PlatformName = (typeof PLATFORMS)[number];

export interface PlatformSettings {
  readonly tsmFolder: string;
  readonly nsmDevice: string;
  readonly privlevel: number | null;
  /** Log the digest of the SVSM's manifest at start. */
  readonly svsm: boolean;
  readonly endorsements: readonly string[];
  readonly minIntervalMs: number;
  /** The models that were loaded have to be what the platform measured, or there is no start. */
  readonly measureModels: boolean;
  /** What a client would take as reference values; null checks nothing. */
  readonly referenceValues: string | null;
  /** HOST_DATA of the simulated SEV-SNP guest. */
  readonly simulatedHostData: Bytes<32> | null;
}

/** A cloud host may throttle an SNP guest's reports; an NSM answers in milliseconds. */
const MIN_INTERVAL_MS: Readonly<Record<PlatformName, number>> = {
  'simulated-snp': 100,
  'simulated-nitro': 100,
  snp: 2000,
  nitro: 250,
};

const isNitro = (platform: PlatformName): boolean => platform === 'nitro' || platform === 'simulated-nitro';

export const PLATFORM_HELP = `  --tsm-folder DIR         of snp (default ${TSM_REPORT_FOLDER})
  --privlevel N            of snp: VMPL to ask for, 0 to 3 (default: the kernel's)
  --svsm                   of snp: log the digest of the SVSM's manifest at start
  --endorsement FILE       of snp: certificates where the host gives none: PEM, DER or a table; may be repeated
  --nsm-device FILE        of nitro (default ${NSM_DEVICE})
  --report-interval-ms N   shortest time between two reports (default 2000 for snp, 250 for nitro, 100 simulated)
  --measure-models on|off  nitro: extend PCR16 by the models; snp: HOST_DATA must be theirs (default: on for nitro)
  --reference-values FILE  not ready unless the own measurement is of a build in it
  --simulated-host-data H  of simulated-snp: HOST_DATA, 64 hex digits`;

export const PLATFORM_OPTIONS = {
  'tsm-folder': { type: 'string' },
  privlevel: { type: 'string' },
  svsm: { type: 'boolean' },
  endorsement: { type: 'string', multiple: true },
  'nsm-device': { type: 'string' },
  'report-interval-ms': { type: 'string' },
  'measure-models': { type: 'string' },
  'reference-values': { type: 'string' },
  'simulated-host-data': { type: 'string' },
} as const;

type Value = string | boolean | readonly (string | boolean)[] | undefined;

/** @throws CodedError USAGE */
export function parsePlatformSettings(
  values: Readonly<Record<string, Value>>,
  platform: PlatformName,
): PlatformSettings {
  const text = (option: string): string | null => {
    const value = values[option];
    return typeof value === 'string' ? value : null;
  };
  const number = (option: string, most: number): number | null => {
    const value = text(option);
    if (value === null) return null;
    if (!/^\d{1,7}$/.test(value) || Number(value) > most) throw usage(option, `0 to ${most}`);
    return Number(value);
  };
  const measure = text('measure-models') ?? (isNitro(platform) ? 'on' : 'off');
  if (measure !== 'on' && measure !== 'off') throw usage('measure-models', 'on or off');
  const { endorsement } = values;
  return {
    tsmFolder: text('tsm-folder') ?? TSM_REPORT_FOLDER,
    nsmDevice: text('nsm-device') ?? NSM_DEVICE,
    privlevel: number('privlevel', 3),
    svsm: values['svsm'] === true,
    endorsements: Array.isArray(endorsement) ? endorsement.map(String) : [],
    minIntervalMs: number('report-interval-ms', 3_600_000) ?? MIN_INTERVAL_MS[platform],
    measureModels: measure === 'on',
    referenceValues: text('reference-values'),
    simulatedHostData: hostData(text('simulated-host-data')),
  };
}

function hostData(text: string | null): Bytes<32> | null {
  if (text === null) return null;
  const value = fromHex(text);
  if (value?.length !== 32) throw usage('simulated-host-data', '64 hex digits');
  return bytes(value, 32, 'HOST_DATA');
}

const usage = (field: string, want: string): CodedError =>
  new CodedError('USAGE', `--${field}: want ${want}`, { field });
