/** The pages under test, from this process: bundled in memory, served on the loopback interface under a strict policy. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { build } from 'esbuild';

/** No eval, nothing inline, nothing from or to anywhere else. */
const POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; report-uri /violation";

const html = (script: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><body><script type="module" src="/${script}"></script></body></html>`;

/** Name and text of every script: the pages, and what they load when it is needed. */
async function bundle(): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    absWorkingDir: import.meta.dirname,
    entryPoints: ['page.ts', 'forbidden.ts'],
    outdir: 'bundle',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['veritee-source'],
    write: false,
    logLevel: 'error',
  });
  return new Map(outputFiles.map((file) => [path.basename(file.path), file.text]));
}

async function read(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return JSON.parse(Buffer.concat(parts).toString('utf8'));
}

export interface Violation {
  readonly 'csp-report': { readonly 'effective-directive': string; readonly 'blocked-uri': string };
}

export interface Site {
  readonly port: number;
  /** Of the policy, as the browser has reported them so far. */
  readonly violations: readonly Violation[];
  /** What the next page posts. */
  answer(): Promise<unknown>;
  close(): void;
}

export async function serveSite(jobs: string): Promise<Site> {
  const scripts = await bundle();
  const violations: Violation[] = [];
  let receive: (answer: unknown) => void = () => {};

  const found = (pathname: string): readonly [type: string, body: string] | null => {
    const script = scripts.get(pathname.slice(1));
    if (script !== undefined) return ['text/javascript', script];
    if (pathname === '/jobs.json') return ['application/json', jobs];
    if (pathname === '/') return ['text/html', html('page.js')];
    if (pathname === '/forbidden') return ['text/html', html('forbidden.js')];
    return null;
  };

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'POST') {
      const body = await read(request);
      if (pathname === '/violation') violations.push(body as Violation);
      else receive(body);
      response.writeHead(204).end();
      return;
    }
    const [type, body] = found(pathname) ?? [null, ''];
    response.writeHead(type ? 200 : 404, {
      'content-security-policy': POLICY,
      'cache-control': 'no-store',
      ...(type && { 'content-type': `${type}; charset=utf-8`, 'x-content-type-options': 'nosniff' }),
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    port: (server.address() as AddressInfo).port,
    violations,
    answer: () =>
      new Promise((resolve) => {
        receive = resolve;
      }),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
