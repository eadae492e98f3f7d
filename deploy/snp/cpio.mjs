// Writes a folder as an initrd: cpio "newc", what the kernel's early user space reads. Owner root, sorted paths, one time
// for all and nothing of the machine it was made on, so the launch digest depends on contents, paths and modes alone.
// Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
import { createWriteStream, lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const hex8 = (value) => value.toString(16).padStart(8, '0');
const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4);

function* entry(name, { inode, mode, links, content }) {
  const encoded = Buffer.from(`${name}\0`);
  const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? 0);
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, seconds, content.length, 0, 0, 0, 0, encoded.length, 0];
  const head = Buffer.from(`070701${fields.map(hex8).join('')}`);
  yield Buffer.concat([head, encoded, padding(head.length + encoded.length)]);
  yield content;
  yield padding(content.length);
}

function pathsUnder(root, folder = '') {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((found) => {
    const name = folder + found.name;
    if (found.isDirectory()) return [name, ...pathsUnder(root, `${name}/`)];
    if (found.isFile()) return [name];
    throw new Error(`${name}: neither a file nor a folder`);
  });
}

function* archive(root) {
  let inode = 1;
  for (const name of pathsUnder(root).sort((a, b) => (a < b ? -1 : 1))) {
    const place = path.join(root, name);
    const stat = lstatSync(place);
    const folder = stat.isDirectory();
    const content = folder ? Buffer.alloc(0) : readFileSync(place);
    const mode = (folder ? S_IFDIR : S_IFREG) | (stat.mode & 0o777);
    yield* entry(name, { inode: inode++, mode, links: folder ? 2 : 1, content });
  }
  yield* entry('TRAILER!!!', { inode: 0, mode: 0, links: 1, content: Buffer.alloc(0) });
}

const [root, out] = process.argv.slice(2);
if (root === undefined || out === undefined) throw new Error('node cpio.mjs FOLDER OUT.cpio');
await pipeline(Readable.from(archive(root)), createWriteStream(out, { flags: 'wx' }));
