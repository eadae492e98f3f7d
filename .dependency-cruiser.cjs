// The arrows of the architecture: each room may import the rooms named here and nothing else of ours.
const arrows = {
  protocol: [],
  verifier: ['protocol'],
  client: ['protocol', 'verifier'],
  enclave: ['protocol'],
  host: ['protocol', 'archive'],
  archive: ['protocol', 'verifier'],
  web: ['protocol', 'verifier'],
  'attestation-fixtures': ['protocol'],
  cli: ['protocol', 'verifier', 'client', 'enclave', 'host', 'archive', 'attestation-fixtures'],
};
const rooms = Object.keys(arrows);
const anyOf = (names) => `^(${names.join('|')})/`;

module.exports = {
  forbidden: [
    ...rooms.map((room) => ({
      name: `${room}-imports`,
      severity: 'error',
      comment: `${room} may import ${arrows[room].join(', ') || 'no other room'}`,
      from: {
        path: `^${room}/`,
        // The one exception: the enclave loads the simulated platform, dynamically, from this file alone.
        ...(room === 'enclave' ? { pathNot: '^enclave/attester/simulated\\.ts$' } : {}),
      },
      to: { path: anyOf(rooms.filter((other) => other !== room && !arrows[room].includes(other))) },
    })),
    {
      name: 'simulated-platform-is-dynamic',
      severity: 'error',
      comment: 'a release image leaves the simulated platform out, so nothing may import it statically',
      from: { path: '^enclave/' },
      to: { path: '^attestation-fixtures/', dynamic: false },
    },
    {
      name: 'rooms-have-one-door',
      severity: 'error',
      comment: 'a room is imported by its package name, which leads to its index.ts',
      from: { path: `^(${rooms.join('|')})/` },
      to: { path: `^(${rooms.join('|')})/(?!index\\.ts$).+`, pathNot: ['^$1/'] },
    },
    {
      name: 'web-rooms-without-node',
      severity: 'error',
      comment: 'protocol, verifier and client run in a browser',
      from: { path: '^(protocol|verifier|client)/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'only-protocol-has-libraries-below-the-verifier',
      severity: 'error',
      comment: 'the verifier has no runtime dependency beyond protocol and audited primitives',
      from: { path: '^(verifier|client)/' },
      to: { path: 'node_modules', pathNot: ['@noble/(curves|hashes)', '@veritee'] },
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['veritee-source', 'import', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.json'],
    },
  },
};
