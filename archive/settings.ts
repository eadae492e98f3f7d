/** `archive.json`: where the parts of an archive are. It holds no secret but what a database URL may. */
import { CodedError } from '@veritee/protocol';
import type { S3Settings } from './blobs/s3.ts';

export interface ArchiveSettings {
  /** `sqlite`: a file in the folder; else a `postgresql://` URL. */
  readonly database: string;
  /** `folder`: a folder beside it; else object storage. */
  readonly blobs: 'folder' | S3Settings;
  /** Nothing is ever erased. */
  readonly writeOnce: boolean;
}

/** What the file holds beside the settings: which archive they are of. */
export interface SettingsFile extends ArchiveSettings {
  readonly id: string;
}

const PROFILE = 'veritee/archive/v1';
export const DEFAULT_SETTINGS: ArchiveSettings = { database: 'sqlite', blobs: 'folder', writeOnce: false };
const DEFAULT_LOCK_DAYS = 3650;

export const encodeSettings = (settings: SettingsFile): string =>
  `${JSON.stringify({ profile: PROFILE, ...settings }, null, 2)}\n`;

/** @throws CodedError ARCHIVE_INVALID */
export function parseSettings(text: string, name: string): SettingsFile {
  const fail = (reason: string): never => {
    throw new CodedError('ARCHIVE_INVALID', `${name}: ${reason}`, { field: 'archive' });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('not JSON');
  }
  const fields = record(value) ?? fail('want an object');
  const { profile, id, database, blobs, writeOnce, ...rest } = fields;
  if (profile !== PROFILE) fail(`profile: want ${PROFILE}`);
  if (Object.keys(rest).length > 0) fail('a setting this release does not know');
  if (typeof id !== 'string' || !/^[0-9a-f]{32}$/.test(id)) return fail('id: want 32 hex digits');
  if (typeof writeOnce !== 'boolean') return fail('writeOnce: want true or false');
  if (typeof database !== 'string' || !isDatabase(database))
    return fail('database: want sqlite or a postgresql:// URL');
  return { id, database, writeOnce, blobs: blobs === 'folder' ? blobs : readS3(blobs, fail) };
}

const record = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;

const isDatabase = (text: string): boolean => text === 'sqlite' || /^postgres(ql)?:\/\//.test(text);

function readS3(value: unknown, fail: (reason: string) => never): S3Settings {
  const { bucket, prefix, region, endpoint, lockDays, ...rest } =
    record(value) ?? fail('blobs: want folder or object storage');
  if (Object.keys(rest).length > 0) fail('blobs: a setting this release does not know');
  if (typeof bucket !== 'string' || bucket === '') return fail('blobs.bucket: want a name');
  if (typeof prefix !== 'string' || !(prefix === '' || prefix.endsWith('/')))
    return fail('blobs.prefix: want a path that ends in /');
  if (typeof region !== 'string' || region === '') return fail('blobs.region: want a name');
  if (endpoint !== null && (typeof endpoint !== 'string' || !URL.canParse(endpoint)))
    return fail('blobs.endpoint: want a URL or null');
  if (typeof lockDays !== 'number' || !Number.isSafeInteger(lockDays) || lockDays < 1)
    return fail('blobs.lockDays: want a number of days');
  return { bucket, prefix, region, endpoint, lockDays };
}

/**
 * The settings that flags ask for.
 * @param blobs `folder`, or `s3://bucket/prefix?region=…&endpoint=…&lock-days=…`
 * @throws CodedError USAGE
 */
export function settingsOf(database: string, blobs: string, writeOnce: boolean): ArchiveSettings {
  if (!isDatabase(database)) throw usage('database', 'sqlite or a postgresql:// URL');
  if (blobs === 'folder') return { database, blobs, writeOnce };
  const url = URL.canParse(blobs) ? new URL(blobs) : null;
  if (url?.protocol !== 's3:' || url.hostname === '') throw usage('blobs', 'folder or s3://bucket/prefix');
  const lockDays = Number(url.searchParams.get('lock-days') ?? DEFAULT_LOCK_DAYS);
  const endpoint = url.searchParams.get('endpoint');
  if (endpoint !== null && !URL.canParse(endpoint)) throw usage('blobs', 'a URL as endpoint');
  if (!Number.isSafeInteger(lockDays) || lockDays < 1) throw usage('blobs', 'a number of days as lock-days');
  const prefix = url.pathname.replace(/^\//, '').replace(/([^/])$/, '$1/');
  return {
    database,
    blobs: { bucket: url.hostname, prefix, region: url.searchParams.get('region') ?? 'us-east-1', endpoint, lockDays },
    writeOnce,
  };
}

const usage = (flag: string, want: string): CodedError =>
  new CodedError('USAGE', `--${flag}: want ${want}`, { field: flag });
