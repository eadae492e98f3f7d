/** An enclave of this process on the simulated platform, a host before it, and a caller who seals. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Attester } from '../../enclave/attester/attester.ts';
import { attesterFor } from '../../enclave/attester/choose.ts';
import { type RunningEnclave, startEnclave } from '../../enclave/enclave.ts';
import { parseSettings } from '../../enclave/settings.ts';
import { type Host, startHost } from '../../host/host.ts';
import type { HostLimits } from '../../host/settings.ts';
import {
  type Attestation,
  type BinaryRequest,
  type BinaryResponse,
  encodeBinaryRequest,
  HEADER,
  hex,
  parseAttestation,
  parseBinaryResponse,
  parseEntry,
  sealRequest,
} from '../../protocol/index.ts';
import { runtime } from '../enclave/parts.ts';
import { buildWorker } from '../enclave/worker-url.ts';
import { useReadyMadeChip } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';
import { LogLines, ready, tempFolder, until } from './support.ts';

export const INFER = '/v2/models/heat-stress/infer';
export const EXAMPLE = readFileSync(join(ROOT, 'docs/examples/heat-stress-request.json'));
const JSON_HEADERS = new Map([['content-type', 'application/json']]);

const workerUrl = buildWorker();

export interface ServiceOptions {
  readonly enclaveArgs?: readonly string[];
  readonly limits?: Partial<HostLimits>;
  readonly allowPlaintext?: boolean;
  /** Stands between the enclave and its platform. */
  readonly attester?: (simulated: Attester) => Attester;
}

export class Service {
  readonly data = join(tempFolder(), 'data');
  readonly enclaveLog = new LogLines();
  readonly hostLog = new LogLines();
  readonly #options: ServiceOptions;
  #enclave: RunningEnclave | null = null;
  #host: Host | null = null;
  #port = 0;

  private constructor(options: ServiceOptions) {
    this.#options = options;
  }

  static async start(options: ServiceOptions = {}): Promise<Service> {
    const service = new Service(options);
    useReadyMadeChip(service.data);
    onTestFinished(async () => {
      await service.stopEnclave();
      await service.stopHost();
    });
    await service.startEnclave();
    await service.startHost();
    await ready(service.host);
    return service;
  }

  get host(): Host {
    return this.#host as Host;
  }

  get url(): string {
    return this.host.url;
  }

  get boot(): string {
    return (this.#enclave as RunningEnclave).boot;
  }

  get #socket(): string {
    return join(this.data, 'enclave.sock');
  }

  async startEnclave(): Promise<void> {
    const args = ['--data', this.data, '--models', join(ROOT, 'enclave/sample-models'), '--workers', '1'];
    const settings = parseSettings(
      [...args, '--listen', `unix:${this.#socket}`, ...(this.#options.enclaveArgs ?? [])],
      runtime,
      'test',
    );
    const simulated = await attesterFor({
      platform: settings.platform,
      settings: settings.attester,
      simulated: settings.simulated,
      dataDir: this.data,
      program: workerUrl,
      programFiles: [workerUrl],
      onEvent: () => undefined,
    });
    this.#enclave = await startEnclave(
      { ...settings, engine: { ...settings.engine, workerUrl } },
      this.#options.attester?.(simulated) ?? simulated,
      this.enclaveLog.logger,
    );
  }

  async startHost(): Promise<void> {
    this.#host = await startHost(
      {
        listen: { host: '127.0.0.1', port: this.#port },
        data: join(this.data, 'host'),
        enclave: { kind: 'unix', path: this.#socket },
        allowPlaintext: this.#options.allowPlaintext ?? false,
        limits: { drainTimeoutMs: 100, ...this.#options.limits },
      },
      { logger: this.hostLog.logger, linkTimings: { idleMs: 10_000, minBackOffMs: 10, maxBackOffMs: 50 } },
    );
    this.#port = this.#host.address.port;
  }

  async stopEnclave(): Promise<void> {
    await this.#enclave?.stop();
    this.#enclave = null;
  }

  async stopHost(): Promise<void> {
    await this.#host?.close();
    this.#host = null;
  }

  async attestationBytes(nonce: Uint8Array | null = randomBytes(32)): Promise<Uint8Array> {
    const response = await fetch(`${this.url}/attestation${nonce ? `?nonce=${hex(nonce)}` : ''}`);
    if (response.status !== 200) throw new Error(`attestation: HTTP ${response.status} ${await response.text()}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  /** The newest key of an attestation that answers a fresh nonce; unverified. */
  async newestKey(): Promise<Uint8Array> {
    return configsOf(parseAttestation(await this.attestationBytes())).at(-1) as Uint8Array;
  }

  post(body: Uint8Array | ReadableStream, mediaType: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/ohttp`, {
      method: 'POST',
      body: body as NonNullable<RequestInit['body']>,
      headers: { 'content-type': mediaType, ...headers },
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    } as RequestInit);
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  async untilMetric(line: string): Promise<void> {
    await until(async () => (await this.metrics()).includes(line));
  }
}

export interface Sealing {
  readonly chunked?: boolean;
  readonly boot?: string;
  readonly padToMultipleOf?: number;
}

export const inferRequest = (headers: readonly [string, string][] = [], body: Uint8Array = EXAMPLE): BinaryRequest => ({
  method: 'POST',
  path: INFER,
  headers: new Map([...JSON_HEADERS, ...headers]),
  body,
});

/** Seals, sends, opens. */
export async function ask(
  service: Service,
  config: Uint8Array,
  request: BinaryRequest = inferRequest(),
  { chunked = false, boot, padToMultipleOf }: Sealing = {},
): Promise<{ readonly outer: Response; readonly sealedBytes: number; readonly inner: BinaryResponse }> {
  const content = encodeBinaryRequest(request, padToMultipleOf === undefined ? {} : { padToMultipleOf });
  const sealed = await sealRequest(config, content, { chunked });
  const outer = await service.post(sealed.body, sealed.mediaType, boot === undefined ? {} : { [HEADER.boot]: boot });
  const answer = new Uint8Array(await outer.arrayBuffer());
  const opened = await sealed.openResponse(answer, outer.headers.get('content-type'));
  return { outer, sealedBytes: answer.length, inner: parseBinaryResponse(opened) };
}

/** A refusal in the clear. */
export async function problemOf(response: Response): Promise<{ status: number; code: unknown; type: unknown }> {
  const problem = (await response.json()) as Record<string, unknown>;
  if (response.headers.get('content-type') !== 'application/problem+json') throw new Error('not a problem');
  return { status: response.status, code: problem['code'], type: problem['type'] };
}

export const configsOf = ({ keys }: Attestation): Uint8Array[] =>
  keys.map(({ entry }) => {
    const parsed = parseEntry(entry);
    if (parsed.kind !== 'key') throw new Error('not a key entry');
    return parsed.value.config;
  });
