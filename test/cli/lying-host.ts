import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface Asked {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer<ArrayBuffer>;
}

export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface Lie {
  /** Changes what goes to the service. */
  readonly request?: (asked: Asked) => void;
  /** Changes what comes back. */
  readonly reply?: (reply: Reply, asked: Asked) => void | Promise<void>;
  /** Sends half of an answer's body, then hangs up. */
  readonly breakOff?: (asked: Asked) => boolean;
}

export interface LyingHost {
  readonly url: string;
  /** Every path that was asked for. */
  readonly paths: readonly string[];
  close(): Promise<void>;
}

/** Stands between a client and a service as its host does, and tells one lie. */
export async function lyingHost(service: string, lie: Lie): Promise<LyingHost> {
  const paths: string[] = [];
  const server: Server = createServer(async (req, res) => {
    const { method = 'GET', url = '/', headers } = req;
    paths.push(url);
    const asked: Asked = { method, url, headers, body: Buffer.from(await buffer(req)) };
    lie.request?.(asked);
    const reply = await forward(service, asked);
    await lie.reply?.(reply, asked);
    res.writeHead(reply.status, { ...reply.headers, 'content-length': reply.body.length });
    if (lie.breakOff?.(asked)) {
      res.write(reply.body.subarray(0, reply.body.length >> 1));
      setTimeout(() => res.destroy(), 50);
    } else res.end(reply.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    paths,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const FORWARDED = ['content-type', 'veritee-boot', 'veritee-nonce', 'inference-header-content-length', 'accept'];

export async function forward(service: string, asked: Asked): Promise<Reply> {
  const headers: Record<string, string> = {};
  for (const name of FORWARDED) {
    const value = asked.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  const response = await fetch(`${service}${asked.url}`, {
    method: asked.method,
    headers,
    redirect: 'manual',
    ...(asked.method === 'POST' ? { body: asked.body } : {}),
  });
  const kept = [...response.headers].filter(([name]) => !/^(connection|keep-alive|transfer-encoding)$/.test(name));
  return {
    status: response.status,
    headers: Object.fromEntries(kept),
    body: Buffer.from(await response.arrayBuffer()),
  };
}

export const isInfer = ({ url }: Asked): boolean => url.endsWith('/infer');
export const isSealed = ({ url }: Asked): boolean => url === '/ohttp';
export const isReceipt = ({ url }: Asked): boolean => url.startsWith('/receipts/');
export const isAttestation = ({ url }: Asked): boolean => url.startsWith('/attestation');
