/** A page with the SDK, and the service behind the same origin, as a reverse proxy of its owner puts it there. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { build } from 'esbuild';

/** No eval, nothing inline, nothing from or to anywhere else. */
const POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; report-uri /violation";

const HTML =
  '<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><body><script type="module" src="/client-page.js"></script></body></html>';

async function bundle(): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    absWorkingDir: import.meta.dirname,
    entryPoints: ['client-page.ts'],
    outdir: 'bundle',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['veritee-source'],
    write: false,
    logLevel: 'error',
  });
  return new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.text]));
}

export interface ClientSite {
  readonly url: string;
  readonly violations: readonly unknown[];
  /** What the page sent to the service: paths and bodies. */
  readonly sent: readonly { readonly path: string; readonly type: string | null; readonly body: Buffer }[];
  /** Answers `/ohttp` in the service's place. */
  lie: ((sealed: Response) => Promise<Response>) | null;
  job: unknown;
  answer(): Promise<unknown>;
  close(): void;
}

const SERVICE = /^\/(attestation|ohttp|receipts\/[0-9a-f]{32})(\?|$)/;
const FORWARDED = ['content-type', 'veritee-boot'];

export async function serveClientSite(service: string): Promise<ClientSite> {
  const scripts = await bundle();
  const violations: unknown[] = [];
  const sent: { path: string; type: string | null; body: Buffer }[] = [];
  let receive: (answer: unknown) => void = () => {};

  const server = createServer(async (request, response) => {
    const { method = 'GET', url = '/' } = request;
    const body = await buffer(request);
    if (SERVICE.test(url)) {
      const headers = new Headers();
      for (const name of FORWARDED) {
        const value = request.headers[name];
        if (typeof value === 'string') headers.set(name, value);
      }
      sent.push({ path: url, type: headers.get('content-type'), body });
      const relayed = await fetch(service + url, { method, headers, ...(method === 'POST' ? { body } : {}) });
      const answer = site.lie && url === '/ohttp' ? await site.lie(relayed) : relayed;
      const content = Buffer.from(await answer.arrayBuffer());
      const kept = [...answer.headers].filter(([name]) => !/^(connection|keep-alive|transfer-encoding)$/.test(name));
      response.writeHead(answer.status, Object.fromEntries(kept)).end(content);
      return;
    }
    if (method === 'POST') {
      if (url === '/violation') violations.push(JSON.parse(body.toString('utf8')));
      else receive(JSON.parse(body.toString('utf8')));
      response.writeHead(204).end();
      return;
    }
    const script = scripts.get(url);
    const [type, content] =
      script !== undefined
        ? ['text/javascript', script]
        : url === '/job.json'
          ? ['application/json', JSON.stringify(site.job)]
          : ['text/html', HTML];
    response.writeHead(url === '/favicon.ico' ? 404 : 200, {
      'content-security-policy': POLICY,
      'content-type': `${type}; charset=utf-8`,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const site: ClientSite = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    violations,
    sent,
    lie: null,
    job: null,
    answer: () =>
      new Promise((resolve) => {
        receive = resolve;
      }),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return site;
}
