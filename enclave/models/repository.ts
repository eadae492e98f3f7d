/**
 * The model repository: `<models>/<name>/<version>/model.onnx`, the layout of Triton and KServe, with any
 * external-data files and an optional `config.json` beside the model.
 *
 * A version that cannot be served is listed with its code, and stops neither the others nor the service.
 */
import path from 'node:path';
import { CodedError, ServiceError, shown } from '@veritee/protocol';
import type { KeyProvider } from '../keys/provider.ts';
import { KeyRing } from '../keys/ring.ts';
import { linkRefused, listFolder } from './files.ts';
import { type LoadedVersion, loadVersion, type VersionLoading } from './version.ts';

export interface LoadedModel extends LoadedVersion {
  /** The versions of this model that are served, lowest first. */
  readonly versions: readonly string[];
}

/** One version folder: its model, or why it is not served. */
export type ModelStatus =
  | { readonly name: string; readonly version: string; readonly model: LoadedModel; readonly error: null }
  /** `version` is null for a model folder that has none. */
  | { readonly name: string; readonly version: string | null; readonly model: null; readonly error: CodedError };

/** What an operator should hear about, and what stops nothing. */
export interface RepositoryWarning {
  /** Relative to the repository; empty for the repository itself. */
  readonly path: string;
  readonly message: string;
}

export interface RepositoryOptions {
  /** Ceiling for the files of all models together: they stay in memory, beside the engine's sessions. */
  readonly maxBytes?: number;
  /** Told how far the reading is, for a version that takes longer than `progressAfterMs`, and again at that interval. */
  readonly onProgress?: (text: string) => void;
  readonly progressAfterMs?: number;
  /** Where keys of encrypted models come from; without one such models are not ready. */
  readonly keys?: KeyProvider | null;
  /** How long all encrypted models together wait for a provider that does not answer. */
  readonly keyWaitMs?: number;
}

const DEFAULT_MAX_BYTES = 8 * 2 ** 30;
const DEFAULT_PROGRESS_AFTER_MS = 2000;
const DEFAULT_KEY_WAIT_MS = 10_000;

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const VERSION = /^[1-9][0-9]{0,17}$/; // as Triton: positive, decimal, no leading zero; fits an int64

/** Numeric order of versions: 9 before 10. */
const byNumber = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : Number(a > b));

/** One version, loaded or not; which others of its model are served is said when it is asked for. */
type Outcome =
  | { readonly version: string; readonly loaded: LoadedVersion; readonly error: null }
  | { readonly version: string | null; readonly loaded: null; readonly error: CodedError };

type LoadOne = (name: string, version: string, keys: KeyRing) => Promise<Outcome>;

export class Repository {
  readonly warnings: readonly RepositoryWarning[];
  readonly #models: Map<string, readonly ModelStatus[]>;
  readonly #load: LoadOne;
  readonly #keys: KeyProvider | null;

  constructor(
    outcomes: ReadonlyMap<string, readonly Outcome[]>,
    warnings: readonly RepositoryWarning[],
    load: LoadOne,
    keys: KeyProvider | null,
  ) {
    this.#models = new Map([...outcomes].map(([name, versions]) => [name, statuses(name, versions)]));
    this.warnings = warnings;
    this.#load = load;
    this.#keys = keys;
  }

  /** Whether a model waits for a key that a provider may yet give. */
  get awaitsKeys(): boolean {
    return this.#keys !== null && this.list().some(awaitsKey);
  }

  /**
   * Asks once more for the keys that could not be had.
   * @returns the models that are served from now on
   */
  async retryKeys(): Promise<readonly LoadedModel[]> {
    const ring = new KeyRing(this.#keys, 0);
    const added: LoadedModel[] = [];
    try {
      for (const [name, before] of [...this.#models]) {
        if (!before.some(awaitsKey)) continue;
        const after: Outcome[] = [];
        for (const status of before) {
          after.push(awaitsKey(status) ? await this.#load(name, status.version as string, ring) : outcomeOf(status));
        }
        const now = statuses(name, after);
        this.#models.set(name, now);
        const already = new Set(before.filter(({ model }) => model).map(({ version }) => version));
        added.push(...now.flatMap(({ model }) => (model && !already.has(model.version) ? model : [])));
      }
    } finally {
      await ring.wipe();
    }
    return added;
  }

  /** Every version of every model, served or not, by name and number. */
  list(): readonly ModelStatus[] {
    return [...this.#models.values()].flat();
  }

  /** The models that are served. */
  ready(): readonly LoadedModel[] {
    return this.list().flatMap(({ model }) => model ?? []);
  }

  /**
   * The model asked for. Without a version it is the highest there is, even when that one is not ready and a lower one
   * is: nobody is served an older model because a newer one is broken.
   *
   * @throws ServiceError MODEL_UNKNOWN, MODEL_VERSION_UNKNOWN, or MODEL_NOT_READY with the model's own code in the text
   */
  get(name: string, version?: string): LoadedModel {
    const versions = this.#models.get(name);
    if (!versions) throw new ServiceError('MODEL_UNKNOWN', `no model "${shown(name)}"`, { field: 'model' });
    const status = version === undefined ? versions.at(-1) : versions.find((one) => one.version === version);
    if (!status) {
      const message = `model "${shown(name)}" has no version "${shown(version ?? '')}"`;
      throw new ServiceError('MODEL_VERSION_UNKNOWN', message, { field: 'version' });
    }
    if (status.model) return status.model;
    const which = status.version === null ? name : `${name}/${status.version}`;
    const { code, message } = status.error;
    throw new ServiceError('MODEL_NOT_READY', `model ${which} is not ready: ${code}: ${message}`, { field: 'model' });
  }
}

/**
 * Reads the folder and loads what it can; an empty folder is a repository with a warning.
 *
 * @param loader makes sessions: the engine
 * @throws ServiceError MODEL_REPOSITORY_INVALID the folder itself is missing or cannot be listed
 */
export async function loadRepository(
  dir: string,
  loader: VersionLoading['loader'],
  options: RepositoryOptions = {},
): Promise<Repository> {
  const { maxBytes = DEFAULT_MAX_BYTES, progressAfterMs = DEFAULT_PROGRESS_AFTER_MS, onProgress } = options;
  const { keys = null, keyWaitMs = DEFAULT_KEY_WAIT_MS } = options;
  const shared = { loader, progressAfterMs, onProgress: onProgress ?? (() => {}) };
  let bytesLeft = maxBytes;
  const load: LoadOne = async (name, version, ring) => {
    const loading: VersionLoading = { ...shared, bytesLeft, keyOf: (id) => ring.get(id) };
    try {
      const loaded = await loadVersion(path.join(dir, name, version), name, version, loading);
      return { version, loaded, error: null };
    } catch (error) {
      return notServed(version, error);
    } finally {
      bytesLeft = loading.bytesLeft;
    }
  };
  const ring = new KeyRing(keys, keyWaitMs);
  const warnings: RepositoryWarning[] = [];
  const models = new Map<string, readonly Outcome[]>();
  try {
    for (const entry of await listFolder(dir, dir)) {
      const { name } = entry;
      if (entry.isFile() || name.startsWith('.')) continue; // a README, a .git, wrapped keys: nobody's model
      if (!NAME.test(name)) {
        warnings.push({ path: shown(name), message: 'left out: a model name has 1 to 128 of A-Z a-z 0-9 . _ -' });
      } else if (!entry.isDirectory()) models.set(name, [notServed(null, linkRefused(name))]);
      else models.set(name, await loadModel(path.join(dir, name), name, (one) => load(name, one, ring), warnings));
    }
  } finally {
    await ring.wipe();
  }
  if (models.size === 0) warnings.push({ path: '', message: `no model in ${dir}` });
  return new Repository(models, warnings, load, keys);
}

const awaitsKey = ({ error }: ModelStatus): boolean => error?.code === 'MODEL_KEY_UNAVAILABLE';

const notServed = (version: string | null, error: unknown): Outcome => {
  if (!(error instanceof CodedError)) throw error;
  return { version, loaded: null, error };
};

const outcomeOf = ({ version, model, error }: ModelStatus): Outcome =>
  model ? { version, loaded: model, error: null } : { version, loaded: null, error };

/** Lowest version first, each served one knowing which others are. */
function statuses(name: string, outcomes: readonly Outcome[]): readonly ModelStatus[] {
  const sorted = [...outcomes].sort((a, b) => byNumber(a.version ?? '', b.version ?? ''));
  const versions = sorted.flatMap(({ loaded }) => loaded?.version ?? []);
  return sorted.map(
    ({ version, loaded, error }): ModelStatus =>
      loaded ? { name, version, model: { ...loaded, versions }, error: null } : { name, version, model: null, error },
  );
}

/** One model folder: each of its versions. */
async function loadModel(
  folder: string,
  name: string,
  load: (version: string) => Promise<Outcome>,
  warnings: RepositoryWarning[],
): Promise<readonly Outcome[]> {
  let versions: Awaited<ReturnType<typeof listFolder>>;
  try {
    versions = await listVersions(folder, name, warnings);
  } catch (error) {
    return [notServed(null, error)];
  }
  const outcomes: Outcome[] = [];
  for (const entry of versions) {
    outcomes.push(
      entry.isDirectory() ? await load(entry.name) : notServed(entry.name, linkRefused(`${name}/${entry.name}`)),
    );
  }
  return outcomes;
}

async function listVersions(folder: string, name: string, warnings: RepositoryWarning[]) {
  const entries = await listFolder(folder, name);
  const versions = entries.filter((entry) => VERSION.test(entry.name) && !entry.isFile());
  for (const entry of entries) {
    const where = `${name}/${shown(entry.name)}`;
    if (versions.includes(entry) || entry.name.startsWith('.')) continue;
    if (!entry.isFile()) {
      warnings.push({ path: where, message: 'left out: a version is a positive decimal number without leading zero' });
    } else if (/^(config\.(json|pbtxt)|model\.onnx)$/.test(entry.name)) {
      warnings.push({ path: where, message: 'left out: the files of a model lie in its version folder' });
    }
  }
  if (versions.length > 0) return versions.sort((a, b) => byNumber(a.name, b.name));
  const field = `${name}/1/model.onnx`;
  throw new ServiceError('MODEL_FILE_MISSING', `${name}: no version folder, want ${field}`, { field });
}
