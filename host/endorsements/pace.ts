/**
 * When KDS may be asked next. It answers about one VCEK in ten seconds to an address and 429 beyond that; several processes
 * on a machine share the address, so the times lie in a file beside the cache.
 */
import path from 'node:path';
import { readSmallFile, replaceFile } from './files.ts';
import type { EndorsementKey } from './keys.ts';

const PACE_FILE = 'pace.json';
/** A time further ahead than this is a damaged file or a clock that was wrong, not a wish of the service. */
const MAX_PAUSE_MS = 86_400_000;

interface Times {
  readonly nextVcek: number;
  readonly nextAny: number;
}

export class Pace {
  readonly #file: string;
  readonly #now: () => number;
  readonly #vcekIntervalMs: number;

  constructor(folder: string, now: () => number, vcekIntervalMs: number) {
    this.#file = path.join(folder, PACE_FILE);
    this.#now = now;
    this.#vcekIntervalMs = vcekIntervalMs;
  }

  /** How long to wait before asking. @throws CodedError FILE_UNREADABLE */
  async waitMs(kind: EndorsementKey['kind']): Promise<number> {
    const { nextAny, nextVcek } = await this.#read();
    return Math.max(0, (kind === 'vcek' ? Math.max(nextAny, nextVcek) : nextAny) - this.#now());
  }

  /** Before each request. @throws CodedError FILE_UNWRITABLE */
  async noteRequest(kind: EndorsementKey['kind']): Promise<void> {
    if (kind === 'vcek') await this.#write({ ...(await this.#read()), nextVcek: this.#now() + this.#vcekIntervalMs });
  }

  /** The service said when to come back. @throws CodedError FILE_UNWRITABLE */
  async notePause(pauseMs: number): Promise<void> {
    const times = await this.#read();
    const nextAny = Math.max(times.nextAny, this.#now() + Math.min(pauseMs, MAX_PAUSE_MS));
    await this.#write({ ...times, nextAny });
  }

  async #read(): Promise<Times> {
    const { nextVcek, nextAny } = parseObject(await readSmallFile(this.#file, 1024));
    const latest = this.#now() + MAX_PAUSE_MS;
    const read = (text: unknown): number => {
      const time = typeof text === 'string' ? Date.parse(text) : Number.NaN;
      return Number.isNaN(time) || time > latest ? 0 : time;
    };
    return { nextVcek: read(nextVcek), nextAny: read(nextAny) };
  }

  #write({ nextVcek, nextAny }: Times): Promise<void> {
    const iso = (time: number): string => new Date(time).toISOString();
    return replaceFile(this.#file, `${JSON.stringify({ nextVcek: iso(nextVcek), nextAny: iso(nextAny) })}\n`);
  }
}

/** A damaged file says nothing: the worst is one request too early, which is answered 429. */
function parseObject(text: string | null): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
