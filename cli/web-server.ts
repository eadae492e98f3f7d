/** A web-standard handler behind node:http. */
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { CodedError } from '@veritee/protocol';
import { usage } from './inputs.ts';
import { say } from './io.ts';

export type Handler = (request: Request) => Promise<Response>;

export interface Listen {
  readonly host: string;
  readonly port: number;
}

const LONGEST_DRAIN_MS = 30_000;
/** The name of a host, an address or an address in brackets, and a port. */
const HOST_FIELD = /^(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;

/** `HOST:PORT`, IPv6 in brackets. @throws InputError USAGE */
export function readListen(text: string): Listen {
  const [, bracketed, plain, port = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) throw usage('listen', 'HOST:PORT');
  return { host, port: Number(port) };
}

export const isLoopback = ({ host }: Listen): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

export interface WebServer {
  readonly url: string;
  /** Takes nothing new, lets what is under way end, and ends it where that takes too long. */
  close(): Promise<void>;
}

/** @throws CodedError PORT_IN_USE, LISTEN_FAILED */
export async function serveWeb(handler: Handler, listen: Listen): Promise<WebServer> {
  const server = createServer((req, res) => {
    answer(handler, req, res).catch((error: unknown) => {
      say(`veritee: INTERNAL: ${error instanceof Error ? error.name : typeof error}`); // its message may quote content
      res.destroy();
    });
  });
  await listening(server, listen);
  const { address, port } = server.address() as AddressInfo;
  return { url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`, close: () => drain(server) };
}

function listening(server: Server, { host, port }: Listen): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'PORT_IN_USE' : 'LISTEN_FAILED';
      reject(new CodedError(code, `${host}:${port}: ${cause.code}`, { cause, field: 'listen' }));
    });
    server.listen(port, host, resolve);
  });
}

async function answer(handler: Handler, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  const request = requestOf(req, gone.signal);
  if (!request) {
    res.writeHead(400, { connection: 'close' }).end();
    return;
  }
  const response = await handler(request);
  const content = response.body && Buffer.from(await response.arrayBuffer());
  if (res.destroyed) return;
  res.writeHead(response.status, {
    ...Object.fromEntries(response.headers),
    ...lengthOf(content, req.method, response.status),
    // What was not read of a body would be taken for the next request.
    ...(req.complete ? {} : { connection: 'close' }),
  });
  res.end(content ?? undefined);
}

/** RFC 9110 §8.6: none where there can be no content. */
function lengthOf(content: Uint8Array | null, method: string | undefined, status: number): OutgoingHttpHeaders {
  if (content) return { 'content-length': content.length };
  return method === 'HEAD' || status === 204 || status === 304 ? {} : { 'content-length': 0 };
}

/** Null when it has no form that fetch knows: no usable Host, a target that is no path, a method like TRACE. */
function requestOf(req: IncomingMessage, signal: AbortSignal): Request | null {
  const { method = '', url = '', headers } = req;
  const host = headers.host ?? '';
  if (!HOST_FIELD.test(host) || !url.startsWith('/')) return null;
  const bodied = method !== 'GET' && method !== 'HEAD';
  try {
    const fields = new Headers();
    for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
      fields.append(req.rawHeaders[i] as string, req.rawHeaders[i + 1] as string);
    }
    return new Request(`http://${host}${url}`, {
      method,
      headers: fields,
      signal,
      ...(bodied ? { body: Readable.toWeb(req) as ReadableStream<Uint8Array>, duplex: 'half' } : {}),
    } as RequestInit);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const insist = setTimeout(() => server.closeAllConnections(), LONGEST_DRAIN_MS);
  await closed;
  clearTimeout(insist);
}
