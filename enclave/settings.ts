import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { CodedError, type Runtime } from '@veritee/protocol';
import {
  PLATFORM_HELP,
  PLATFORM_OPTIONS,
  PLATFORMS,
  type PlatformName,
  type PlatformSettings,
  parsePlatformSettings,
} from './attester/settings.ts';
import type { EngineSettings } from './engine/engine.ts';
import type { InferenceSettings } from './inference.ts';
import { KEY_HELP, KEY_OPTIONS, type KeySettings, parseKeySettings } from './keys/settings.ts';
import type { OutboxLimits } from './outbox.ts';
import { SEALING_LIMITS, type SealingLimits } from './sealing/keys.ts';

export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface EnclaveSettings {
  readonly platform: PlatformName;
  readonly attester: PlatformSettings;
  /** Where the simulated platform keeps its throw-away keys; a real enclave writes nothing. */
  readonly data: string;
  readonly models: string;
  /** Where keys of encrypted models come from. */
  readonly modelKeys: KeySettings | null;
  readonly listen: ListenAddress;
  readonly runtime: Runtime;
  readonly inference: InferenceSettings;
  readonly sealing: SealingLimits;
  /** Answer `/v2` outside a seal, which the host can read. */
  readonly allowPlaintext: boolean;
  readonly engine: EngineSettings;
  readonly backlog: OutboxLimits;
  readonly stopWithinMs: number;
  /** Of the simulated SEV-SNP platform. */
  readonly simulated: {
    readonly product: 'Milan' | 'Genoa' | 'Turin';
    readonly reportVersion: 2 | 3 | 5;
    readonly throttle: 'none' | 'cloud';
  };
  readonly logLevel: string;
}

export const HELP = `Options of the enclave process:
  --platform NAME          ${PLATFORMS.join(' | ')} (default simulated-snp)
  --data DIR               folder of a simulated platform's throw-away keys; a real one needs none
  --models DIR             model repository: <name>/<version>/model.onnx
${KEY_HELP}
${PLATFORM_HELP}
  --listen ADDRESS         unix:/path or tcp:HOST:PORT, for the host only
  --max-body-bytes N       longest request body (default 64 MiB)
  --max-in-flight N        requests in hand at once (default 256)
  --allow-plaintext        answer requests in the clear as well
  --sealing-key-life-ms N  longest life of a sealing key (default and most 600000)
  --deadline-ms N          longest time from a request's last byte to its answer (default 30000)
  --max-input-bytes N      memory for inputs of all requests in hand, and for their bodies (default 1 GiB each)
  --workers N              inference threads (default: one less than the cores, 1 to 4)
  --max-backlog N          log entries held for a host that is behind (default 50000)
  --simulated-product P    of simulated-snp: Milan | Genoa | Turin (default Genoa)
  --simulated-report V     of simulated-snp: report version 2 | 3 | 5 (default 5)
  --simulated-throttle T   of simulated-snp: none | cloud, 8 ms a report, every tenth waits 10 s (default none)
  --log-level L            debug | info | warn | error (default info)`;

function usage(field: string, want: string): never {
  throw new CodedError('USAGE', `--${field}: want ${want}`, { field });
}

/** `unix:/path` or `tcp:HOST:PORT`. */
export function parseListen(text: string, field = 'listen'): ListenAddress {
  if (text.startsWith('unix:/')) return { path: text.slice('unix:'.length) };
  const match = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match || Number(match[3]) > 65_535) return usage(field, 'unix:/path or tcp:HOST:PORT');
  return { host: (match[1] ?? match[2]) as string, port: Number(match[3]) };
}

/** @throws CodedError USAGE */
export function parseSettings(args: readonly string[], runtime: Runtime, version: string): EnclaveSettings {
  const text = { type: 'string' } as const;
  let values: Record<string, string | boolean | (string | boolean)[] | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        platform: text,
        data: text,
        models: text,
        ...Object.fromEntries(KEY_OPTIONS.map((option) => [option, text])),
        ...PLATFORM_OPTIONS,
        listen: text,
        'max-body-bytes': text,
        'max-in-flight': text,
        'allow-plaintext': { type: 'boolean' },
        'sealing-key-life-ms': text,
        'deadline-ms': text,
        'max-input-bytes': text,
        workers: text,
        'max-backlog': text,
        'simulated-product': text,
        'simulated-report': text,
        'simulated-throttle': text,
        'log-level': text,
      },
    }));
  } catch (error) {
    throw new CodedError('USAGE', (error as Error).message);
  }
  const textOf = (field: string): string | undefined => {
    const value = values[field];
    return typeof value === 'string' ? value : undefined;
  };
  const given = (field: string): string => textOf(field) ?? usage(field, 'a value');
  const number = (field: string, fallback: number, least: number, most: number): number => {
    const value = Number(values[field] ?? fallback);
    return Number.isSafeInteger(value) && value >= least && value <= most ? value : usage(field, `${least} to ${most}`);
  };
  const choice = <T extends string>(field: string, choices: readonly T[], fallback: T): T => {
    const value = textOf(field) ?? fallback;
    return choices.find((one) => one === value) ?? usage(field, choices.join(' or '));
  };
  const platform = choice('platform', PLATFORMS, 'simulated-snp');
  const maxInFlight = number('max-in-flight', 256, 1, 65_536);
  const maxInputBytes = number('max-input-bytes', 2 ** 30, 1, 2 ** 40);
  return {
    platform,
    attester: parsePlatformSettings(values, platform),
    data: platform.startsWith('simulated-') ? given('data') : '',
    models: given('models'),
    modelKeys: parseKeySettings(textOf, platform),
    listen: parseListen(given('listen')),
    runtime,
    inference: {
      maxBodyBytes: number('max-body-bytes', 64 << 20, 1, 2 ** 31),
      maxInFlight,
      deadlineMs: number('deadline-ms', 30_000, 1, 3_600_000),
      maxInputBytes,
      serverName: 'veritee',
      serverVersion: version,
    },
    sealing: {
      ...SEALING_LIMITS,
      lifeMs: number('sealing-key-life-ms', SEALING_LIMITS.lifeMs, 1000, SEALING_LIMITS.lifeMs),
    },
    allowPlaintext: values['allow-plaintext'] === true,
    engine: {
      workers: number('workers', Math.min(4, Math.max(1, availableParallelism() - 1)), 1, 64),
      intraOpThreads: 1,
      maxQueue: maxInFlight,
      maxInputBytes,
    },
    backlog: { maxRecords: number('max-backlog', 50_000, 16, 10_000_000), maxBytes: 256 << 20 },
    stopWithinMs: 8_000,
    simulated: {
      product: choice('simulated-product', ['Milan', 'Genoa', 'Turin'], 'Genoa'),
      reportVersion: Number(choice('simulated-report', ['2', '3', '5'], '5')) as 2 | 3 | 5,
      throttle: choice('simulated-throttle', ['none', 'cloud'], 'none'),
    },
    logLevel: choice('log-level', ['debug', 'info', 'warn', 'error'], 'info'),
  };
}
