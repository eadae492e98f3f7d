import {
  cosignHead,
  httpAuthority,
  openArchive,
  parseWitnessKey,
  readAuthorities,
  renewTimestamps,
  timestampHead,
  verifyTimestamps,
} from '@veritee/archive';
import { ClientError } from '@veritee/client';
import { CodedError, ed25519Key } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { print, printJson, readInput } from '../io.ts';

const DAY_MS = 86_400_000;

export interface ArchiveTimestampOptions {
  readonly archive: string;
  readonly tsa?: string;
  readonly tsaRoot: readonly string[];
  readonly renewWithin: string;
  readonly check: boolean;
  readonly json: boolean;
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** Stamps the newest head and renews what ends soon; or with `--check` verifies every timestamp there is. */
export async function archiveTimestamp(options: ArchiveTimestampOptions): Promise<number> {
  const { tsa, check, json } = options;
  if (options.tsaRoot.length === 0) throw usage('tsa-root', 'the roots of the authorities that you trust');
  if (check === (tsa !== undefined)) throw usage('tsa', 'either an authority’s URL or --check');
  const days = /^\d{1,5}$/.test(options.renewWithin) ? Number(options.renewWithin) : null;
  if (days === null) throw usage('renew-within', 'a number of days');
  const roots = (await Promise.all(options.tsaRoot.map(readInput))).flatMap((file) => readAuthorities(file));
  const archive = await openArchive({ folder: options.archive, mode: check ? 'read' : 'write' });
  try {
    if (tsa === undefined) {
      const standing = await verifyTimestamps(archive, roots, archive.now());
      if (json) printJson({ timestamps: standing.map((one) => ({ ...one, existedBy: iso(one.existedByMs) })) });
      for (const { act, size, existedByMs, authority, problem } of json ? [] : standing) {
        print(`act ${act}: ${size} acts by ${iso(existedByMs)}, ${authority}: ${problem ?? 'stands'}`);
      }
      return standing.some(({ problem }) => problem !== null) ? EXIT.contraindicated : EXIT.done;
    }
    const ask = httpAuthority(tsa);
    const renewed = await fromService(() => renewTimestamps(archive, ask, roots, archive.now() + days * DAY_MS));
    const stamped = await fromService(() => timestampHead(archive, ask, roots));
    if (json) printJson({ ...stamped, existedBy: iso(stamped.existedByMs), renewed: renewed.map(({ act }) => act) });
    else
      print(
        `${stamped.size} acts existed by ${iso(stamped.existedByMs)}, says ${stamped.authority} (act ${stamped.act}); ${renewed.length} renewed`,
      );
    return EXIT.done;
  } finally {
    await archive.close();
  }
}

export interface ArchiveWitnessOptions {
  readonly archive: string;
  readonly url: string;
  readonly key: string;
  readonly json: boolean;
}

export async function archiveWitness(options: ArchiveWitnessOptions): Promise<number> {
  const witness = readWitness(options.key);
  if (!URL.canParse(options.url)) throw usage('url', 'the witness’s submission prefix');
  const archive = await openArchive({ folder: options.archive, mode: 'write' });
  try {
    const { act, size, timeMs } = await fromService(() => cosignHead(archive, options.url, witness));
    if (options.json) printJson({ act, size, time: iso(timeMs) });
    else print(`${witness.name} has cosigned ${size} acts at ${iso(timeMs)} (act ${act})`);
    return EXIT.done;
  } finally {
    await archive.close();
  }
}

function readWitness(text: string) {
  try {
    return parseWitnessKey(text, (raw) => ed25519Key(raw, 'witness'));
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw usage('key', 'name+id+key of a cosignature/v1 key');
  }
}

/** What another's service did is not its caller's usage. */
async function fromService<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CodedError && error.code.startsWith('SERVICE_')) {
      throw new ClientError(error.code, error.message, {
        cause: error,
        ...(error.field ? { field: error.field } : {}),
      });
    }
    throw error;
  }
}
