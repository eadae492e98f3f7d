/** A timestamp authority on this machine: `openssl ts`, with keys of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const CONFIG = `
[ tsa ]
default_tsa = config1
[ config1 ]
dir = .
serial = ./serial
crypto_device = builtin
signer_cert = ./tsa.pem
certs = ./root.pem
signer_key = ./tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ ext ]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
`;

export class LocalAuthority {
  readonly folder: string;

  constructor(folder: string, days = 30) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
    writeFileSync(path.join(folder, 'ts.cnf'), CONFIG);
    writeFileSync(path.join(folder, 'serial'), '01\n');
    const key = (name: string) =>
      this.openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', name);
    key('root.key');
    this.openssl(
      'req',
      '-new',
      '-x509',
      '-key',
      'root.key',
      '-subj',
      '/CN=Test TSA root',
      '-days',
      '7300',
      '-out',
      'root.pem',
    );
    this.certify(days);
  }

  /** A new key and certificate of the same authority. */
  certify(days: number): void {
    this.openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'tsa.key');
    this.openssl('req', '-new', '-key', 'tsa.key', '-subj', '/CN=Test TSA', '-out', 'tsa.csr');
    this.openssl(
      ...['x509', '-req', '-in', 'tsa.csr', '-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial'],
      ...['-days', String(days), '-extfile', 'ts.cnf', '-extensions', 'ext', '-out', 'tsa.pem'],
    );
  }

  openssl(...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: this.folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
    return stdout;
  }

  readonly ask = async (request: Uint8Array): Promise<Uint8Array> => {
    writeFileSync(path.join(this.folder, 'q.tsq'), request);
    // Only for what it makes: OpenSSL itself refuses to sign with a certificate of another purpose.
    this.openssl('ts', '-reply', '-config', 'ts.cnf', '-section', 'config1', '-queryfile', 'q.tsq', '-out', 'r.tsr');
    return new Uint8Array(readFileSync(path.join(this.folder, 'r.tsr')));
  };

  root(): Uint8Array {
    return new Uint8Array(readFileSync(path.join(this.folder, 'root.pem')));
  }

  /** What `openssl ts -verify` says. */
  verify(token: Uint8Array, data: Uint8Array): { readonly status: number | null; readonly said: string } {
    writeFileSync(path.join(this.folder, 't.tst'), token);
    writeFileSync(path.join(this.folder, 'data'), data);
    const { status, stdout, stderr } = spawnSync(
      'openssl',
      ['ts', '-verify', '-token_in', '-in', 't.tst', '-data', 'data', '-CAfile', 'root.pem'],
      { cwd: this.folder, encoding: 'utf8' },
    );
    return { status, said: (stdout + stderr).trim() };
  }
}
