/** A web-standard handler behind node:http. */
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { CodedError } from '@veritee/protocol';
import { usage } from './inputs.ts';
import { say } from './io.ts';

export type Handler = (request: Request) => Promise<Response>;

type Chunks = AsyncIterator<Uint8Array, unknown>;

export interface Listen {
  readonly host: string;
  readonly port: number;
}

const LONGEST_DRAIN_MS = 30_000;
/** How long an already answered request may go on sending before its connection is cut. */
const LINGER_MS = 5_000;
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

/** Node's own. */
const REQUEST_TIMEOUT_MS = 300_000;

/**
 * @param requestTimeoutMs for a request to arrive whole; its connection is cut within twice that time
 * @throws CodedError PORT_IN_USE, LISTEN_FAILED
 */
export async function serveWeb(
  handler: Handler,
  listen: Listen,
  requestTimeoutMs = REQUEST_TIMEOUT_MS,
): Promise<WebServer> {
  const timing = { requestTimeout: requestTimeoutMs, connectionsCheckingInterval: Math.min(30_000, requestTimeoutMs) };
  const server = createServer(timing, (req, res) => {
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
  const chunks = req.iterator({ destroyOnReturn: false });
  const request = requestOf(req, chunks, gone.signal);
  if (!request) {
    res.writeHead(400, { connection: 'close' }).end();
    return;
  }
  try {
    await send(await handler(request), req, res);
  } finally {
    discardRest(req, chunks);
  }
}

async function send(response: Response, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const content = response.body && Buffer.from(await response.arrayBuffer());
  if (res.destroyed) return;
  res.writeHead(response.status, {
    ...Object.fromEntries(response.headers),
    ...lengthOf(content, req.method, response.status),
  });
  res.end(content ?? undefined);
}

/** Who still sends reads no answer, and would lose it with the connection: the rest is dropped, for a while. */
function discardRest(req: IncomingMessage, chunks: Chunks): void {
  if (req.complete || req.destroyed) return;
  const resume = (): void => void req.resume();
  chunks.return?.().then(resume, resume);
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  timer.unref();
  req.once('close', () => clearTimeout(timer));
}

/** RFC 9110 §8.6: none where there can be no content. */
function lengthOf(content: Uint8Array | null, method: string | undefined, status: number): OutgoingHttpHeaders {
  if (content) return { 'content-length': content.length };
  return method === 'HEAD' || status === 204 || status === 304 ? {} : { 'content-length': 0 };
}

/** Null when it has no form that fetch knows: no usable Host, a target that is no path, a method like TRACE. */
function requestOf(req: IncomingMessage, chunks: Chunks, signal: AbortSignal): Request | null {
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
      ...(bodied ? { body: bodyOf(chunks), duplex: 'half' } : {}),
    } as RequestInit);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

/** Read as it is asked for. Given up by its reader, it leaves the connection to the answer. */
const bodyOf = (chunks: Chunks): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );

async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const insist = setTimeout(() => server.closeAllConnections(), LONGEST_DRAIN_MS);
  await closed;
  clearTimeout(insist);
}
