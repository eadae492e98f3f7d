import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { FeedOptions } from '../../host/endorsements/feed.ts';
import { type Host, startHost } from '../../host/host.ts';
import type { EnclaveAddress, EndorsementSource, HostLimits } from '../../host/settings.ts';
import { SqliteStore } from '../../host/store/sqlite.ts';
import type { LogRecord, Store } from '../../host/store/store.ts';
import type { FakeEvidence, FakeLog } from '../support/fake-log.ts';

export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'veritee-host-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function openStore(folder = tempFolder(), maxBytes: number | null = null): SqliteStore {
  const store = SqliteStore.open(folder, maxBytes);
  onTestFinished(() => store.close());
  return store;
}

export const entryRecord = (bytes: Uint8Array<ArrayBuffer>): LogRecord => ({ type: 'entry', bytes });
export const evidenceRecord = ({ file }: FakeEvidence): LogRecord => ({ type: 'evidence', bytes: file });

/** A log of so many entries, all in the store. */
export async function fill(store: Store, log: FakeLog, size: number): Promise<void> {
  await store.startBoot(log.boot, 'test');
  const from = (await store.boot(log.boot))?.size ?? 0;
  while (log.size < size) log.statement();
  for (let at = from; at < size; at += 1000) {
    await store.append(log.boot, log.entries.slice(at, Math.min(size, at + 1000)).map(entryRecord));
  }
}

/** Log lines of a host under test, for what must and must not be said. */
export class LogLines {
  readonly lines: string[] = [];
  readonly logger = pino({ level: 'debug' }, { write: (line: string) => void this.lines.push(line) });

  get text(): string {
    return this.lines.join('');
  }

  get alarms(): readonly Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line)).filter((line) => line.alarm === true);
  }
}

export interface TestHost extends Host {
  readonly log: LogLines;
}

export interface TestHostOptions {
  readonly data?: string;
  readonly store?: Store;
  readonly allowPlaintext?: boolean;
  readonly limits?: Partial<HostLimits>;
  readonly endorsements?: EndorsementSource;
  readonly feed?: FeedOptions;
}

export async function hostOf(
  enclave: { readonly address: EnclaveAddress },
  options: TestHostOptions = {},
): Promise<TestHost> {
  const log = new LogLines();
  const host = await startHost(
    {
      listen: { host: '127.0.0.1', port: 0 },
      data: options.data ?? tempFolder(),
      enclave: enclave.address,
      allowPlaintext: options.allowPlaintext ?? true,
      limits: { drainTimeoutMs: 500, ...options.limits },
      ...(options.endorsements ? { endorsements: options.endorsements } : {}),
    },
    {
      logger: log.logger,
      linkTimings: { idleMs: 5000, minBackOffMs: 10, maxBackOffMs: 100 },
      ...(options.store ? { store: options.store } : {}),
      ...(options.feed ? { endorsements: options.feed } : {}),
    },
  );
  onTestFinished(() => host.close());
  return { ...host, log };
}

/** Asks again until the condition holds. @throws after half a minute, naming the condition */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`never became true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function ready(host: Host): Promise<void> {
  await until(async () => {
    const response = await fetch(`${host.url}/readyz`);
    await response.arrayBuffer();
    return response.status === 200;
  });
}
