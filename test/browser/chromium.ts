import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const runnable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Null with a loud word when there is none. One that CHROMIUM_PATH names has to be there. */
export function findChromium(): string | null {
  const named = process.env['CHROMIUM_PATH'];
  if (named !== undefined) {
    if (!runnable(named)) throw new Error(`CHROMIUM_PATH: no program at ${named}`);
    return named;
  }
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(path.delimiter)];
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const found = names.flatMap((name) => folders.map((folder) => path.join(folder, name))).find(runnable);
  if (found) return found;
  console.warn(
    '\n!!! no Chromium (set CHROMIUM_PATH, or apt-get install chromium): the browser tests are SKIPPED !!!\n',
  );
  return null;
}

/** An ordinary name, so that `http://` under it is no secure context, as on a page without TLS. */
export const INSECURE_HOST = 'veritee.test';

/** In a profile of its own, which goes with it. */
export const launch = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      // Otherwise Chromium talks to its maker, which is slow where there is no way out.
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
    ],
  });
