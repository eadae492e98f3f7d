/** The page and the script that travel in an export: built beside this package's own code. */
import { readFile } from 'node:fs/promises';
import { CodedError } from '@veritee/protocol';

/** This module lies in `dist/` once bundled, and beside its sources' `dist/` before. */
const PLACES = ['./', '../dist/'];

/** @throws CodedError FILE_UNREADABLE the build did not make them */
export async function offlineVerifierFiles(): Promise<{ readonly page: string; readonly script: string }> {
  return { page: await read('verify.html'), script: await read('verify.mjs') };
}

async function read(name: string): Promise<string> {
  for (const place of PLACES) {
    const content = await readFile(new URL(place + name, import.meta.url), 'utf8').catch(
      (cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT') return null;
        throw cause;
      },
    );
    if (content !== null) return content;
  }
  throw new CodedError('FILE_UNREADABLE', `${name}: not built; npm run build makes it`, { field: name });
}
