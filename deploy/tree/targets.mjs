// What each image holds. A target's closure starts at its room and follows package-lock.json; these are the exceptions.

const SIMULATED = '@veritee/attestation-fixtures';
const NSM_FFI = 'koffi'; // native calls are needed for /dev/nsm only

export const TARGETS = {
  'enclave-snp': { room: 'enclave', without: [SIMULATED, NSM_FFI], certificates: false },
  'enclave-nitro': { room: 'enclave', without: [SIMULATED], certificates: false },
  /** Never released: its platform keys are made up. For the boot test. */
  'enclave-simulated': { room: 'enclave', without: [NSM_FFI], certificates: false },
  host: { room: 'host', without: [], certificates: true },
};

/** Used by install scripts alone; nothing loads them at run time. */
const INSTALL_ONLY = {
  'node_modules/onnxruntime-node': ['adm-zip', 'global-agent'],
  'node_modules/better-sqlite3': ['prebuild-install'],
};

export const leftOut = (target, from, name) =>
  target.without.includes(name) || (INSTALL_ONLY[from] ?? []).includes(name);

/** Of our own rooms only built files are shipped: of the target's room its processes, of others their door. */
const DOOR = 'dist/index.js';

export const keepsOwnFile = (target, room, file) =>
  file === 'package.json' || (room === target.room ? /^dist\/(?!index\.)[\w-]+\.js$/.test(file) : file === DOOR);

/** Any other file of a package (types, maps, prose, sources) is left behind. */
const RUN_TIME_FILE = /^(?:licen[cs]e(?:[.-].*)?|.*\.(?:js|cjs|mjs|json|node|wasm)|.*\.so(?:\.\d+)*)$/i;
const NEVER =
  /^(?:test|tests|__tests__|fixtures|docs?|examples?|benchmarks?|bench|\.github)\/|^(?:test|bench|benchmark|example|eslint\.config)\.js$|^tsconfig\.json$|\.map$|\.d\.ts$/;

/** Files that only other platforms, other bundlers or an install script read. */
const UNUSED = {
  'node_modules/onnxruntime-node': /^(?:script|lib)\/|^bin\/(?!napi-v\d+\/linux\/x64\/)/,
  'node_modules/better-sqlite3': /^(?:deps|src)\/|^build\/(?!Release\/better_sqlite3\.node$)/,
  'node_modules/koffi': /^(?:vendor|lib)\//,
  'node_modules/@koromix/koffi-linux-x64': /^musl_x64\//,
  'node_modules/protobufjs': /^(?:cli|scripts|dist)\//,
};

export const keepsFile = (packageKey, file) =>
  RUN_TIME_FILE.test(file.replace(/^.*\//, '')) && !NEVER.test(file) && !UNUSED[packageKey]?.test(file);
