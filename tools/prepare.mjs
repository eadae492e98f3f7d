// Runs after `npm ci`: compiles the one native dependency from its npm source (no prebuilt download), then builds the rooms.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);

function sqliteLoads() {
  try {
    new (require('better-sqlite3'))(':memory:').close();
    return true;
  } catch {
    return false;
  }
}

/** The folder whose include/node holds this Node's headers, when they are installed beside it (tarballs, nvm, Debian). */
function localHeaders() {
  const prefix = path.dirname(path.dirname(process.execPath));
  return [prefix, '/usr'].find((dir) => existsSync(path.join(dir, 'include/node/node.h')));
}

if (!sqliteLoads()) {
  const folder = path.dirname(require.resolve('better-sqlite3/package.json'));
  const nodeGyp = process.env.npm_config_node_gyp ?? 'node-gyp';
  const headers = localHeaders();
  console.error('veritee: compiling better-sqlite3 from source, once; this takes one to two minutes …');
  const args = ['rebuild', '--release', ...(headers ? [`--nodedir=${headers}`] : [])];
  const run = nodeGyp.endsWith('.js') ? [process.execPath, [nodeGyp, ...args]] : [nodeGyp, args];
  const result = spawnSync(run[0], run[1], { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0 || !sqliteLoads()) {
    console.error(result.stdout, result.stderr, result.error ?? '');
    console.error(
      'veritee: better-sqlite3 did not compile. It needs a C++ compiler, make and python3 (Debian: build-essential python3).',
    );
    process.exit(1);
  }
}
await import('./build.mjs');
