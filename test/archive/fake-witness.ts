/** A C2SP witness in memory: everything that the specification has it check, it checks. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  cosignatureKeyId,
  cosignedMessage,
  parseCheckpointNote,
  verifyLogSignature,
} from '../../archive/proofs/note.ts';
import {
  base64,
  bytes,
  concat,
  type Ed25519Key,
  equalBytes,
  fromBase64,
  type Hash,
  hex,
  verifyConsistency,
} from '../../protocol/index.ts';
import { SessionKey } from '../support/mini-enclave.ts';

export class FakeWitness {
  readonly name = 'witness.test/w1';
  readonly #key = new SessionKey();
  readonly #log: { readonly origin: string; readonly key: Ed25519Key };
  readonly #server: Server;
  latest: { readonly size: number; readonly root: Hash } = { size: 0, root: bytes(new Uint8Array(32), 32, 'root') };
  asked = 0;
  /** What it answers in place of the truth. */
  lie: ((answer: string) => string) | null = null;
  timeSeconds = 1_800_000_000;

  constructor(log: { readonly origin: string; readonly key: Ed25519Key }) {
    this.#log = log;
    this.#server = createServer(async (request, response) => {
      this.asked += 1;
      const [status, body, type] =
        request.url === '/w/add-checkpoint' && request.method === 'POST'
          ? await this.#add(await text(request))
          : ([404, '', 'text/plain'] as const);
      response.writeHead(status, { 'content-type': type }).end(body);
    });
  }

  async #add(body: string): Promise<readonly [status: number, body: string, type: string]> {
    const plain = 'text/plain';
    const at = body.indexOf('\n\n');
    const [first = '', ...lines] = body.slice(0, at).split('\n');
    const old = Number(/^old (0|[1-9]\d*)$/.exec(first)?.[1] ?? Number.NaN);
    const note = parseCheckpointNote(body.slice(at + 2));
    if (note.origin !== this.#log.origin) return [404, '', plain];
    if (!(await verifyLogSignature(note, this.#log.origin, this.#log.key))) return [403, '', plain];
    if (!Number.isSafeInteger(old) || old > note.size) return [400, '', plain];
    if (old !== this.latest.size) return [409, `${this.latest.size}\n`, 'text/x.tlog.size'];
    const path = lines.map((line) => bytes(fromBase64(line)!, 32, 'proof'));
    if (old === note.size && !equalBytes(note.root, this.latest.root)) return [409, '', plain];
    const isFirst = old === 0 && path.length === 0;
    if (!isFirst && !verifyConsistency(old, note.size, this.latest.root, note.root, path)) return [422, '', plain];
    this.latest = { size: note.size, root: note.root };
    const time = new Uint8Array(8);
    new DataView(time.buffer).setBigUint64(0, BigInt(this.timeSeconds));
    const signature = this.#key.sign(cosignedMessage(this.timeSeconds, note.body));
    const line = `— ${this.name} ${base64(concat(this.#keyId(), time, signature))}\n`;
    return [200, this.lie?.(line) ?? line, plain];
  }

  #keyId = () => cosignatureKeyId({ name: this.name, key: this.#key.key });

  get vkey(): string {
    return `${this.name}+${hex(this.#keyId())}+${base64(concat(Uint8Array.of(4), this.#key.key))}`;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/w`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
