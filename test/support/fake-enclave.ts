import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bytes, encodeFrame, FRAME, type FrameType, HEADER, hex, type LinkStatus } from '@veritee/protocol';
import { type FakeEvidence, FakeLog } from './fake-log.ts';

export interface FakeAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Leaf index for the `Veritee-Entry` header; absent for answers without an entry. */
  readonly entry?: number;
}

export type FakeHandler = (request: {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Uint8Array;
  readonly gone: AbortSignal;
}) => FakeAnswer | Promise<FakeAnswer>;

/** An enclave as its host sees it: the link of protocol/link.ts over a unix socket, over a log made by the test. */
export class FakeEnclave {
  readonly path: string;
  log = new FakeLog();
  /** Frames of records, from record 0 on. */
  frames: Uint8Array<ArrayBuffer>[] = [];
  acknowledged = 0;
  /** Every acknowledgement received, in order. */
  acks: number[] = [];
  /** While true, no record leaves the enclave. */
  holding = false;
  /** Which keys a challenges entry names; every one unless set. */
  named: readonly Bytes<32>[] | undefined;
  /** While true, a challenge gets no answer. */
  ignoresChallenges = false;
  platform = 'fake';
  /** What wants certificates and takes them; null: nothing does. */
  endorsements: { readonly wanted: Uint8Array | null; offer(data: Uint8Array): void } | null = null;
  /** Questions and gifts of the host in this matter, in order. */
  endorsementCalls: string[] = [];
  models: LinkStatus['models'] = [{ name: 'fake', version: '1', code: null }];
  handler: FakeHandler = () => this.inferred();
  requests = 0;
  #server: Server | undefined;
  #wake: (() => void)[] = [];

  constructor() {
    this.path = join(tmpdir(), `veritee-fake-${randomBytes(8).toString('hex')}.sock`);
    this.#record(FRAME.entry, this.log.entries[0] as Uint8Array);
  }

  static async start(): Promise<FakeEnclave> {
    const enclave = new FakeEnclave();
    await enclave.listen();
    return enclave;
  }

  get address() {
    return { kind: 'unix', path: this.path } as const;
  }

  listen(): Promise<void> {
    const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
      this.#route(req, res).catch(() => res.destroy());
    });
    this.#server = server;
    return new Promise((resolve) => server.listen(this.path, resolve));
  }

  /** As `kill -9` looks from outside: every connection breaks, nothing is said. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    this.#notify();
    await closed;
  }

  /** The next boot, at the same address. */
  async reboot(): Promise<void> {
    await this.kill();
    this.log = new FakeLog();
    this.frames = [];
    this.acknowledged = 0;
    this.acks = [];
    this.#record(FRAME.entry, this.log.entries[0] as Uint8Array);
    await this.listen();
  }

  statement() {
    const appended = this.log.statement();
    this.#record(FRAME.entry, appended.entry);
    return appended;
  }

  key(...of: Parameters<FakeLog['key']>) {
    const appended = this.log.key(...of);
    this.#record(FRAME.entry, appended.entry);
    return appended;
  }

  end(): void {
    this.#record(FRAME.entry, this.log.end().entry);
  }

  tick(): FakeEvidence {
    const evidence = this.log.evidence();
    this.#record(FRAME.evidence, evidence.file);
    return evidence;
  }

  /** A record that the log does not hold. */
  raw(type: FrameType, body: Uint8Array): void {
    this.#record(type, body);
  }

  /** What an inference of this enclave looks like. */
  inferred(body: Uint8Array = Buffer.from('{"outputs":[]}')): FakeAnswer {
    const { index, receiptId, entry } = this.statement();
    return {
      body,
      entry: index,
      headers: {
        'content-type': 'application/json',
        [HEADER.receiptId]: hex(receiptId),
        [HEADER.statement]: Buffer.from(entry).toString('base64url'),
      },
    };
  }

  hold(): void {
    this.holding = true;
  }

  release(): void {
    this.holding = false;
    this.#notify();
  }

  #record(type: FrameType, body: Uint8Array): void {
    this.frames.push(encodeFrame(type, body));
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resume of wake) resume();
  }

  async #route(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://enclave');
    const json = (value: unknown) =>
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    switch (url.pathname) {
      case '/link/hello':
        json({ boot: this.log.boot, acknowledged: this.acknowledged, warning: 'FAKE' });
        return;
      case '/link/status':
        json({
          boot: this.log.boot,
          platform: this.platform,
          warning: 'FAKE',
          size: this.log.size,
          committed: 0,
          evidenceAgeMs: null,
          tickError: null,
          sealingError: null,
          models: this.models,
        } satisfies LinkStatus);
        return;
      case '/link/ack': {
        const position = Number(url.searchParams.get('position'));
        this.acks.push(position);
        this.acknowledged = Math.max(this.acknowledged, position);
        res.writeHead(204).end();
        return;
      }
      case '/link/records':
        return this.#stream(Number(url.searchParams.get('from')), res);
      case '/link/challenge': {
        const nonce = await bodyOf(req);
        if (this.ignoresChallenges) return;
        const { index, entry } = this.log.challenges([nonce], this.named);
        this.#record(FRAME.entry, entry);
        const evidence = this.tick();
        json({ entry: index, nonceIndex: 0, noncePath: [], reportData: hex(evidence.reportData) });
        return;
      }
      case '/link/endorsements':
        this.endorsementCalls.push(req.method ?? '');
        if (req.method === 'POST') this.endorsements?.offer(await bodyOf(req));
        if (req.method === 'GET' && this.endorsements?.wanted) res.writeHead(200).end(this.endorsements.wanted);
        else res.writeHead(204).end();
        return;
      default:
        return this.#infer(req, res);
    }
  }

  async #stream(from: number, res: ServerResponse): Promise<void> {
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    res.flushHeaders();
    const { frames } = this;
    res.once('close', () => this.#notify());
    for (let position = from; !res.destroyed && frames === this.frames; ) {
      if (!this.holding && position < frames.length) {
        const ready = frames.slice(position);
        position += ready.length;
        if (!res.write(Buffer.concat(ready))) res.once('drain', () => this.#notify());
      }
      if (this.holding || position >= frames.length || res.writableNeedDrain) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    }
  }

  async #infer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.requests += 1;
    const gone = new AbortController();
    res.once('close', () => {
      if (!res.writableFinished) gone.abort();
    });
    const body = await bodyOf(req);
    const answer = await this.handler({ path: req.url ?? '', headers: req.headers, body, gone: gone.signal });
    const content = answer.body ?? new Uint8Array(0);
    res.writeHead(answer.status ?? 200, {
      ...answer.headers,
      'content-length': content.length,
      ...(answer.entry === undefined ? {} : { [HEADER.entry]: String(answer.entry) }),
    });
    res.end(content);
  }
}

async function bodyOf(req: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
