/** Other people's tools, run on what the archive writes. One that is not installed is said loudly, and its tests are skipped. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const HERE = path.join(import.meta.dirname, 'foreign');

interface Said {
  readonly status: number | null;
  readonly said: string;
}

function runs(command: string, args: readonly string[], env: NodeJS.ProcessEnv, advice: string): boolean {
  if (spawnSync(command, args, { env, stdio: 'ignore' }).status === 0) return true;
  console.warn(`\n!!! ${advice}: the tests that run it are SKIPPED !!!\n`);
  return false;
}

/** Where Debian puts Go libraries that are imported by their path, unless they are unpacked elsewhere. */
const GOPATH = process.env['VERITEE_TEST_GOPATH'] ?? '/usr/share/gocode';
const GO = process.env['VERITEE_TEST_GO'] ?? 'go';
const PYTHON = process.env['VERITEE_TEST_PYTHON'] ?? '/usr/bin/python3';
const goEnv = {
  ...process.env,
  GO111MODULE: 'off',
  GOPATH,
  GOFLAGS: '',
  GOCACHE: path.join(tmpdir(), 'veritee-go-cache'),
};

const hasGo = (): boolean =>
  runs(GO, ['version'], goEnv, 'no Go (apt-get install golang-go golang-golang-x-mod-dev)') &&
  (existsSync(path.join(GOPATH, 'src/golang.org/x/mod/sumdb/tlog')) ||
    runs('false', [], goEnv, 'no Go packages (apt-get install golang-golang-x-mod-dev)'));

function inFolder<T>(files: Readonly<Record<string, Uint8Array | string>>, work: (folder: string) => T): T {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-foreign-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(path.join(folder, name), content);
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Said => {
  const { status, stdout, stderr } = spawnSync(command, args, { env, encoding: 'utf8' });
  return { status, said: (status === 0 ? stdout : stdout + stderr).trim() };
};

/** Built once: `go run` would compile it for every call. */
let built: string | null = null;
function goProgram(): string {
  if (built) return built;
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'veritee-go-')), 'tlog');
  const { status, said } = run(GO, ['build', '-o', file, path.join(HERE, 'tlog/main.go')], goEnv);
  if (status !== 0) throw new Error(`go build: ${said}`);
  process.once('exit', () => rmSync(path.dirname(file), { recursive: true, force: true }));
  built = file;
  return file;
}

export const foreign = {
  go: hasGo(),
  python: runs(
    PYTHON,
    ['-c', 'import cbor2, cryptography'],
    process.env,
    'no Python with cbor2 and cryptography (apt-get install python3-cbor2 python3-cryptography)',
  ),
  openssl: runs('openssl', ['version'], process.env, 'no OpenSSL (apt-get install openssl)'),

  goTlogProof: (proof: string, entry: Uint8Array, ...keys: readonly string[]): Said =>
    inFolder({ proof, entry }, (folder) =>
      run(goProgram(), [path.join(folder, 'proof'), path.join(folder, 'entry'), ...keys]),
    ),
  pythonCoseReceipt: (receipt: Uint8Array, entry: Uint8Array, key: Uint8Array): Said =>
    inFolder({ receipt, entry, key }, (folder) =>
      run(PYTHON, [
        path.join(HERE, 'cose_receipt.py'),
        ...['receipt', 'entry', 'key'].map((n) => path.join(folder, n)),
      ]),
    ),
};
