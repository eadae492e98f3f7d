import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pem } from '../../attestation-fixtures/certificate.ts';
import { SimulatedAmdSp } from '../../attestation-fixtures/index.ts';
import { loadChip } from '../../attestation-fixtures/snp/key-file.ts';
import type { ReportVersion } from '../../attestation-fixtures/snp/report.ts';

/** Chips under the root that the global set-up made, so that no test makes RSA keys. */
export async function chipUnderSharedRoot(reportVersion: ReportVersion = 5): Promise<SimulatedAmdSp> {
  const state = await loadChip(process.env['VERITEE_TEST_CHIP'] as string);
  if (!state) throw new Error('the global set-up has made no chip');
  return SimulatedAmdSp.create({ authority: state.authority, reportVersion });
}

export type Handler = (res: ServerResponse, req: IncomingMessage) => void;

export const answer =
  (status: number, body: Uint8Array | string = '', headers: Record<string, string> = {}): Handler =>
  (res) =>
    void res.writeHead(status, headers).end(body);

export const reset: Handler = (_res, req) => void req.socket.destroy();
export const hang: Handler = () => undefined;
/** Says more than it sends, then drops the connection. */
export const truncated =
  (body: Uint8Array): Handler =>
  (res) => {
    res.writeHead(200, { 'content-length': body.length });
    res.write(body.subarray(0, body.length / 2), () => res.socket?.destroy());
  };
export const stall =
  (body: Uint8Array): Handler =>
  (res) =>
    void res.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 10));

/** A key service on loopback that tells the truth about one chip unless it is told to do something else. */
export class FakeKds {
  readonly chip: SimulatedAmdSp;
  /** Path and query, in the order of arrival. */
  readonly requests: string[] = [];
  /** Answers to the next requests, one each. */
  readonly next: Handler[] = [];
  /** PEM of the intermediate of VLEKs and the root; null: no such thing here. */
  vlekChain: string | null = null;
  /** Answers to all others; null for the truth. */
  always: Handler | null = null;
  crl: Uint8Array;
  mostAtOnce = 0;
  #atOnce = 0;
  readonly #server = createServer((req, res) => {
    this.#atOnce++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    res.once('close', () => this.#atOnce--);
    this.requests.push(req.url ?? '');
    (this.next.shift() ?? this.always ?? this.truth)(res, req);
  });

  constructor(chip: SimulatedAmdSp) {
    this.chip = chip;
    this.crl = this.makeCrl(Date.now());
  }

  makeCrl(thisUpdate: number, days = 365): Uint8Array {
    const day = 86_400_000;
    return this.chip.crl({ thisUpdate: new Date(thisUpdate), nextUpdate: new Date(thisUpdate + days * day) });
  }

  get chain(): string {
    const { ask, ark } = this.chip.certificates;
    return pem(ask) + pem(ark);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  readonly truth: Handler = (res, req) => {
    const { vcek } = this.chip.certificates;
    const hwId = Buffer.from(this.chip.chipId).toString('hex');
    const { product } = this.chip;
    if (req.url === `/vlek/v1/${product}/cert_chain` && this.vlekChain) return answer(200, this.vlekChain)(res, req);
    if (req.url?.endsWith(`/${product}/cert_chain`)) return answer(200, this.chain)(res, req);
    if (req.url?.endsWith(`/${product}/crl`)) return answer(200, this.crl)(res, req);
    if (req.url?.startsWith(`/vcek/v1/${product}/${hwId}?`)) return answer(200, vcek)(res, req);
    return answer(404, 'not found')(res, req);
  };
}

/** Time passes only where somebody sleeps. */
export class FakeClock {
  time = Date.parse('2026-06-01T00:00:00Z');
  readonly slept: number[] = [];
  readonly now = (): number => this.time;
  readonly sleep = async (ms: number): Promise<void> => {
    this.slept.push(ms);
    this.time += ms;
  };
}
