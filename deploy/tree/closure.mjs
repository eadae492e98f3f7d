import { leftOut } from './targets.mjs';

// Which packages a target needs, read from package-lock.json (lockfileVersion 3) and from nothing else.

const PLATFORM = { os: 'linux', cpu: 'x64', libc: 'glibc' };

const allows = (list, value) =>
  list === undefined ||
  (!list.includes(`!${value}`) && (list.includes(value) || list.every((one) => one.startsWith('!'))));

const runsHere = (entry) => Object.entries(PLATFORM).every(([field, value]) => allows(entry[field], value));

/** Where Node finds `name` when a module of the package at `from` asks for it. */
function resolve(packages, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const key = `${folder}${folder && '/'}node_modules/${name}`;
    if (packages[key]) return key;
    if (folder === '') return null;
  }
}

/**
 * @returns Map from the key of a package in the lock file (`enclave`, `node_modules/pino`, …) to its entry, sorted
 * @throws Error a dependency that the lock file does not hold, or holds for development only
 */
export function closureOf(lock, target) {
  const found = new Map();
  const visit = (key) => {
    const entry = lock.packages[key];
    if (entry.link) return visit(entry.resolved);
    if (found.has(key)) return;
    if (entry.dev) throw new Error(`${key}: a development dependency`);
    found.set(key, entry);
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      if (leftOut(target, key, name)) continue;
      const next = resolve(lock.packages, key, name);
      if (next === null) throw new Error(`${key} needs ${name}, which the lock file does not hold`);
      if (!lock.packages[next].optional || runsHere(lock.packages[next])) visit(next);
    }
  };
  visit(target.room);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
