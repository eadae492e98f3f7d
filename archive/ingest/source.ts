/** A live service's log routes, read as from a stranger: every body is bounded, and nothing in it is believed here. */
import { CodedError, hex, tilePath } from '@veritee/protocol';

export interface ListedBoot {
  readonly boot: string;
  readonly ended: 'clean' | 'lost' | null;
  /** Entries it says it has, and how many of them lie under evidence. */
  readonly size: number;
  readonly committed: number;
}

export interface LogSource {
  /** How the acts name it. */
  readonly name: string;
  boots(): Promise<readonly ListedBoot[]>;
  /** The newest evidence file, or the one of a REPORT_DATA; null when the service has none. */
  evidence(boot: string, reportData: Uint8Array | null): Promise<Uint8Array<ArrayBuffer> | null>;
  /** A hash tile, or with level null an entry bundle. */
  tile(boot: string, level: number | null, index: number, width: number): Promise<Uint8Array<ArrayBuffer>>;
}

const TIMEOUT_MS = 30_000;
const MAX_LISTING_BYTES = 16 << 20;
const MAX_EVIDENCE_BYTES = 4 << 20;
const MAX_TILE_BYTES = 256 * 32;
const MAX_BUNDLE_BYTES = 256 * (2 + 65_535);

export interface HttpSourceOptions {
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal;
}

/** @throws CodedError USAGE not an http(s) URL */
export function httpSource(url: string, { fetch: get = fetch, signal }: HttpSourceOptions = {}): LogSource {
  const base = URL.canParse(url) ? new URL(url) : null;
  if (base?.protocol !== 'http:' && base?.protocol !== 'https:')
    throw new CodedError('USAGE', '--url: want an http or https URL', { field: 'url' });
  const root = base.href.replace(/\/*$/, '');

  async function body(path: string, atMost: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const response = await get(`${root}${path}`, {
        redirect: 'error',
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
      if (response.status === 404 || response.status === 503) {
        await response.body?.cancel();
        return null;
      }
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new CodedError('SERVICE_REFUSED', `${path}: status ${response.status}`, { field: 'url' });
      }
      return await readAtMost(response, atMost, path);
    } catch (cause) {
      if (cause instanceof CodedError) throw cause;
      throw new CodedError('SERVICE_UNREACHABLE', `${root}: ${(cause as Error).name}`, { field: 'url', cause });
    }
  }

  async function must(path: string, atMost: number): Promise<Uint8Array<ArrayBuffer>> {
    const found = await body(path, atMost);
    if (found) return found;
    throw new CodedError('SERVICE_REFUSED', `${path}: the service does not have it`, { field: 'url' });
  }

  return {
    name: root,
    boots: async () => readListing(await must('/log', MAX_LISTING_BYTES)),
    evidence: (boot, reportData) =>
      body(`/log/${boot}/evidence${reportData ? `/${hex(reportData)}` : ''}`, MAX_EVIDENCE_BYTES),
    tile: (boot, level, index, width) =>
      must(`/log/${boot}/${tilePath({ level, index, width })}`, level === null ? MAX_BUNDLE_BYTES : MAX_TILE_BYTES),
  };
}

async function readAtMost(response: Response, atMost: number, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += (part as Uint8Array).length;
    if (length > atMost) throw invalid(`${path}: more than ${atMost} bytes`);
    parts.push(part as Uint8Array);
  }
  return new Uint8Array(Buffer.concat(parts));
}

const invalid = (reason: string): CodedError => new CodedError('SERVICE_ANSWER_INVALID', reason, { field: 'url' });

function readListing(json: Uint8Array): ListedBoot[] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(json).toString());
  } catch {
    throw invalid('/log: not JSON');
  }
  const boots = (value as { readonly boots?: unknown } | null)?.boots;
  if (!Array.isArray(boots)) throw invalid('/log: want a list of boots');
  return boots.map((item: unknown): ListedBoot => {
    const { boot, ended, size, committed } = (item ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof boot !== 'string' || !/^[0-9a-f]{32}$/.test(boot)) throw invalid('/log: boot: want 32 hex digits');
    if (ended !== null && ended !== 'clean' && ended !== 'lost') throw invalid('/log: ended: want clean, lost or null');
    if (!isSize(size) || !isSize(committed)) throw invalid('/log: want sizes');
    return { boot, ended, size, committed };
  });
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
