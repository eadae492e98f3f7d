// Writes the file tree of an image: the built rooms, the packages the lock file names, Node and its libraries. Nothing else:
// no shell, no npm, no development dependency, no source map. The same inputs give the same tree, byte for byte.
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { baseFiles } from './tree/base.mjs';
import { closureOf } from './tree/closure.mjs';
import { keepsFile, keepsOwnFile, TARGETS } from './tree/targets.mjs';

const HELP = `node deploy/tree.mjs --target TARGET --out DIR [options]
  --target   ${Object.keys(TARGETS).join(' | ')}
  --out      folder to make; must not exist
  --from     checkout after \`npm ci\` (default: this one)
  --root     base system that Node's libraries are taken from (default: /)
  --node     the Node binary (default: the one that runs this)
  --models   model repository to bake in as /models
  --add      SOURCE=PATH, one more file; may be given several times
  --list     file for the tree's listing: mode, SHA-256, path
Times are SOURCE_DATE_EPOCH (default 0).`;

/** Mount points, and where the model repository and the host's data lie. */
const FOLDERS = ['data', 'dev', 'models', 'proc', 'run', 'sys', 'tmp'];

function filesUnder(folder, prefix = '') {
  return readdirSync(path.join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const file = prefix + entry.name;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(folder, `${file}/`);
    return [file];
  });
}

/** Where a package of the lock file lies in the image. */
const placeOf = (key, target) => {
  if (key.startsWith('node_modules/')) return `app/${key}`;
  const [room, ...nested] = key.split('/');
  const own = room === target.room ? `app/${room}` : `app/node_modules/@veritee/${room}`;
  return [own, ...nested].join('/');
};

function* applicationFiles(from, lock, target) {
  for (const [key, entry] of closureOf(lock, target)) {
    const folder = path.join(from, key);
    const { name, version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
    if (version !== entry.version)
      throw new Error(`${key}: ${version} is installed, the lock file says ${entry.version}`);
    const own = !key.includes('node_modules/');
    const keeps = own ? (file) => keepsOwnFile(target, key, file) : (file) => keepsFile(key, file);
    if (own && name !== `@veritee/${key}`) throw new Error(`${key}: is ${name}`);
    for (const file of filesUnder(folder).filter(keeps))
      yield { path: `${placeOf(key, target)}/${file}`, source: path.join(folder, file), mode: 0o644 };
  }
}

function* modelFiles(models) {
  for (const file of filesUnder(models)) yield { path: `models/${file}`, source: path.join(models, file), mode: 0o644 };
}

/** Programs and settings that were made for this image; one that is executable stays so. */
function* addedFiles(pairs) {
  for (const pair of pairs) {
    const [source, place] = pair.split('=');
    if (!source || !place || place.startsWith('/') || place.includes('..'))
      throw new Error(`--add ${pair}: want SOURCE=PATH`);
    yield { path: place, source, mode: lstatSync(source).mode & 0o100 ? 0o755 : 0o644 };
  }
}

/** Writes the tree and returns its listing: one line a file, by path. */
function write(out, entries, epoch) {
  const folders = new Set(FOLDERS);
  for (const { path: file } of entries)
    for (let up = path.dirname(file); up !== '.'; up = path.dirname(up)) folders.add(up);
  mkdirSync(path.dirname(path.resolve(out)), { recursive: true });
  mkdirSync(out);
  for (const folder of [...folders].sort()) mkdirSync(path.join(out, folder), { recursive: true });
  const listing = entries.map(({ path: file, source, text, mode }) => {
    const place = path.join(out, file);
    const bytes = source === undefined ? Buffer.from(text) : readPlainFile(source);
    writeFileSync(place, bytes, { flag: 'wx' });
    chmodSync(place, mode);
    utimesSync(place, epoch, epoch);
    return `${mode.toString(8)} ${createHash('sha256').update(bytes).digest('hex')} ${file}\n`;
  });
  for (const folder of ['.', ...folders]) {
    chmodSync(path.join(out, folder), 0o755);
    utimesSync(path.join(out, folder), epoch, epoch); // after the files: each of them changed it
  }
  return listing.join('');
}

function readPlainFile(file) {
  if (!lstatSync(file).isFile()) throw new Error(`${file}: not a plain file`);
  return readFileSync(file);
}

function settings() {
  const text = { type: 'string' };
  const { values } = parseArgs({
    options: {
      target: text,
      out: text,
      from: text,
      root: text,
      node: text,
      models: text,
      list: text,
      add: { type: 'string', multiple: true },
      help: { type: 'boolean' },
    },
  });
  if (values.help || !values.out || !TARGETS[values.target]) {
    process.stderr.write(`${HELP}\n`);
    process.exit(values.help ? 0 : 2);
  }
  const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? 0);
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new Error('SOURCE_DATE_EPOCH: want seconds');
  return {
    target: TARGETS[values.target],
    out: values.out,
    from: values.from ?? fileURLToPath(new URL('..', import.meta.url)),
    root: values.root ?? '/',
    node: values.node ?? process.execPath,
    models: values.models,
    list: values.list,
    added: values.add ?? [],
    epoch,
  };
}

const { target, out, from, root, node, models, list, added, epoch } = settings();
const lock = JSON.parse(readFileSync(path.join(from, 'package-lock.json'), 'utf8'));
const application = [...applicationFiles(from, lock, target)];
const native = application.map(({ source }) => source).filter((file) => /\.node$|\.so(\.\d+)*$/.test(file));
const entries = [
  ...application,
  ...baseFiles({ root, node, target, native }),
  ...addedFiles(added),
  ...(models ? modelFiles(models) : []),
];
entries.sort((a, b) => (a.path < b.path ? -1 : 1));
const listing = write(out, entries, epoch);
if (list) writeFileSync(list, listing);
const bytes = entries.reduce((sum, { path: file }) => sum + lstatSync(path.join(out, file)).size, 0);
process.stdout.write(
  `${entries.length} files, ${bytes} bytes, listing ${createHash('sha256').update(listing).digest('hex')}\n`,
);
