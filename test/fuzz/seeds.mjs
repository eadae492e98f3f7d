// Writes test/fuzz/seeds.json: one good input of each kind, made by the simulated platforms and the published vectors.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const out = fileURLToPath(new URL('../../node_modules/.cache/veritee-fuzz/seeds.mjs', import.meta.url));
await build({
  stdin: {
    contents: `
      export * from './attestation-fixtures/index.ts';
      export * from './protocol/index.ts';
      export { air } from './test/verifier/air-receipts.ts';`,
    resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    loader: 'ts',
  },
  bundle: true,
  format: 'esm',
  platform: 'node',
  conditions: ['veritee-source'],
  packages: 'bundle',
  external: ['@noble/*'],
  outfile: out,
  logLevel: 'error',
});
const v = await import(out);
const { default: vectors } = await import('../../docs/vectors/formats.json', { with: { type: 'json' } });
const fill = (n, value) => new Uint8Array(n).fill(value);
const snp = {};
for (const product of ['Milan', 'Turin'])
  snp[product] = await v.simulatedEvidence({
    product,
    version: product === 'Milan' ? 2 : 5,
    reportData: fill(64, 1),
    measurement: fill(48, 2),
  });
const nitro = await v.simulatedNitroEvidence({ userData: fill(64, 1), publicKey: fill(32, 2) });
const authority = await v.sharedAuthority('Milan');
const crl = await v.makeCrl(authority, {
  thisUpdate: new Date('2026-01-01'),
  nextUpdate: new Date('2026-12-01'),
  revoked: [],
});
const table = v.encodeSnpCertificateTable([
  { guid: v.SNP_CERTIFICATE_GUID.vcek, data: snp.Milan.chain[0] },
  { guid: v.SNP_CERTIFICATE_GUID.ask, data: snp.Milan.chain[1] },
]);
const text = (value) => Buffer.from(value);
const pem = text(
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(snp.Milan.chain[0]).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
);
const strings = [];
(function walk(value) {
  if (typeof value === 'string') strings.push(value);
  else if (value && typeof value === 'object') Object.values(value).forEach(walk);
})(vectors);
const hexes = strings.filter((value) => /^([0-9a-f]{2}){20,}$/.test(value)).map((value) => Buffer.from(value, 'hex'));
const messages = hexes.filter((value) => value[0] === 0xd2);
const payloads = hexes.filter((value) => value[0] >> 5 === 5);
const fileOf = (kind) => payloads.filter((value) => v.detectFile(value) === kind);
const notes = strings.filter((value) => value.includes('\n\n— ')).map(text);
const request = text(
  JSON.stringify({
    id: 'a',
    inputs: [{ name: 'x', shape: [2], datatype: 'INT64', data: [1, -2] }],
    outputs: [{ name: 'y' }],
  }),
);
/** Azure's wrapping: header, report, header of the runtime data, claims; 2600 bytes. */
function hclOf(report) {
  const claims = text('{"keys":[]}');
  const file = Buffer.alloc(2600);
  file.write('HCLA');
  for (const [at, value] of [
    [0x04, 1],
    [0x08, 0x4d4 + claims.length],
    [0x0c, 2],
    [0x4c0, 20 + claims.length],
    [0x4c4, 1],
    [0x4c8, 2],
    [0x4cc, 1],
    [0x4d0, claims.length],
  ])
    file.writeUInt32LE(value, at);
  file.set(report, 0x20);
  file.set(claims, 0x4d4);
  return file;
}

const seeds = {
  cbor: payloads,
  sign1: messages,
  entry: messages,
  evidence: fileOf('evidence'),
  attestation: fileOf('attestation'),
  receipt: fileOf('receipt'),
  checkpoint: notes,
  tilePath: ['tile/0/x001/234.p/17', 'tile/entries/000'].map(text),
  entryBundle: [v.encodeEntryBundle(messages.slice(0, 3))],
  frames: [v.encodeFrame(v.FRAME.entry, messages[0])],
  certificateTable: [table],
  json: [request],
  inferRequest: [Buffer.concat([Buffer.of(0), request])],
  snpReport: Object.values(snp).map(({ report }) => report),
  hclReport: [hclOf(snp.Milan.report)],
  airReceipt: [v.air()],
  certificate: Object.values(snp).flatMap(({ chain, ark }) => [...chain, ark]),
  nitroCertificate: [nitro.root],
  crl: [crl],
  pem: [pem],
  nitroDocument: [nitro.document],
  policy: [
    text(
      JSON.stringify(
        (await import('../support/policies.ts').catch(() => ({}))).example ?? {
          profile: 'veritee/policy/v1',
          id: 'a',
          anchors: [{ builtin: 'amd' }],
        },
      ),
    ),
  ],
  detect: [snp.Milan.report, nitro.document, ...fileOf('receipt')],
};
const json = Object.fromEntries(
  Object.entries(seeds).map(([name, list]) => [name, list.map((seed) => Buffer.from(seed).toString('base64'))]),
);
writeFileSync(new URL('seeds.json', import.meta.url), `${JSON.stringify(json, null, 2)}\n`);
for (const [name, list] of Object.entries(seeds)) console.log(name, list.length);
