/**
 * What a repository will be measured as, without serving it: every file is read and checked as `loadRepository` does it for
 * an enclave, but no model is handed to the runtime.
 */
import type { Bytes } from '@veritee/protocol';
import type { KeyProvider } from '../keys/provider.ts';
import { loadRepository, type RepositoryWarning } from './repository.ts';

export interface ModelDigest {
  readonly name: string;
  readonly version: string;
  /** Over the clear files, also of those that are encrypted. */
  readonly digest: Bytes<32>;
  readonly files: number;
}

/** Takes the place of the engine: the digest is known before it is asked. */
const NO_ENGINE = { load: async () => ({ inputs: [], outputs: [] }) };

/**
 * All of them or none: an enclave leaves out what it cannot serve, and a set that silently lacks a model helps nobody.
 *
 * @throws ServiceError the code under which the first version would not be served
 */
export async function digestRepository(
  dir: string,
  keys: KeyProvider,
  onWarning: (warning: RepositoryWarning) => void,
): Promise<readonly ModelDigest[]> {
  const repository = await loadRepository(dir, NO_ENGINE, { keys });
  for (const warning of repository.warnings) onWarning(warning);
  return repository.list().map(({ model, error }) => {
    if (!model) throw error;
    return { name: model.name, version: model.version, digest: model.digest, files: model.files.size };
  });
}
