import path from 'node:path';
import { hex, keyIdText, parseKeyId } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { printJson, say } from '../io.ts';
import { readModelKey, writeNewModelKey } from '../model-key.ts';
import { sealRepository } from '../seal.ts';

export interface SealOptions {
  readonly keyFile: string;
  readonly newKey: boolean;
  readonly kid: string;
  readonly out: string;
  readonly json: boolean;
}

/** An encrypted copy of a model repository, for a place where others can read it. */
export async function sealModels(dir: string, options: SealOptions): Promise<number> {
  const keyId = parseKeyId(options.kid);
  if (!keyId) throw usage('kid', 'kbs:///<repository>/<type>/<tag>');
  const { keyFile, newKey } = options;
  const key = newKey ? await writeNewModelKey(keyFile, keyIdText(keyId)) : await readModelKey(keyFile);
  try {
    const sealed = await sealRepository(path.resolve(dir), path.resolve(options.out), keyId, key);
    const versions = sealed.map(({ digest, ...rest }) => ({ ...rest, digest: hex(digest) }));
    if (options.json) printJson({ kid: options.kid, out: path.resolve(options.out), versions });
    for (const { name, version, files, digest } of versions) {
      say(`veritee: sealed ${name}/${version}: ${files} files, model digest ${digest}`);
    }
  } finally {
    key.fill(0);
  }
  return EXIT.done;
}
