import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';

// The few files of the base system that a target runs on: Node, the loader, the libraries they name.

const LOADER = '/lib64/ld-linux-x86-64.so.2';
const LIBRARIES = '/usr/lib/x86_64-linux-gnu';
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const USER = 'veritee:x:65532:65532::/nonexistent:/nonexistent\n';

const inside = (root, file) => realpathSync(path.join(root, file));

/**
 * What the loader would map for these programs, by name; libraries beside the program itself are not listed.
 * @throws Error a library that the base does not have
 */
function librariesOf(root, files) {
  const search = ['/lib/x86_64-linux-gnu', LIBRARIES].map((folder) => path.join(root, folder)).join(':');
  const found = new Map();
  for (const file of files) {
    const list = execFileSync(inside(root, LOADER), ['--inhibit-cache', '--library-path', search, '--list', file], {
      encoding: 'utf8',
      env: {},
    });
    for (const [, name, where] of list.matchAll(/^\s*([^\s/]+) => (.+?)(?: \(0x[0-9a-f]+\))?$/gm)) {
      if (where === 'not found') throw new Error(`${file} needs ${name}, which ${root} does not have`);
      if (path.dirname(where) !== path.dirname(file)) found.set(name, realpathSync(where));
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Paths are relative to the tree. @yields {{ path: string, source?: string, text?: string, mode: number }} */
export function* baseFiles({ root, node, target, native }) {
  yield { path: 'usr/bin/node', source: node, mode: 0o755 };
  yield { path: LOADER.slice(1), source: inside(root, LOADER), mode: 0o755 };
  for (const [name, source] of librariesOf(root, [node, ...native]))
    yield { path: `${LIBRARIES.slice(1)}/${name}`, source, mode: 0o644 };
  yield { path: 'etc/passwd', text: USER, mode: 0o644 };
  yield { path: 'etc/group', text: 'veritee:x:65532:\n', mode: 0o644 };
  if (!target.certificates) return;
  if (!existsSync(path.join(root, CERTIFICATES))) throw new Error(`${root} lacks ${CERTIFICATES} (ca-certificates)`);
  yield { path: CERTIFICATES.slice(1), source: inside(root, CERTIFICATES), mode: 0o644 };
  // Names come from files and DNS; glibc has both built in.
  yield { path: 'etc/nsswitch.conf', text: 'hosts: files dns\n', mode: 0o644 };
}
