// Writes test/fuzz/seeds.json: one good input of each kind, made by the simulated platforms and the published vectors.
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const out = fileURLToPath(new URL('../../node_modules/.cache/veritee-fuzz/seeds.mjs', import.meta.url));
await build({
  stdin: {
    contents: `
      export * from './attestation-fixtures/index.ts';
      export * from './protocol/index.ts';
      export { buildEif, METADATA, signatureSection } from './test/cli/eif.ts';
      export { buildOvmf } from './test/cli/ovmf.ts';
      export { air } from './test/verifier/air-receipts.ts';
      export { envelopedData } from './test/support/fake-kms.ts';
      export { seal } from './test/support/seal.ts';
      export { MiniEnclave } from './test/support/mini-enclave.ts';
      export { nitroImage, strictNitroPolicy, strictPolicy } from './test/support/policies.ts';`,
    resolveDir: fileURLToPath(new URL('../..', import.meta.url)),
    loader: 'ts',
  },
  bundle: true,
  format: 'esm',
  platform: 'node',
  conditions: ['veritee-source'],
  packages: 'bundle',
  external: ['@noble/*', 'pkijs', 'asn1js'],
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
const isCbor = (value) => {
  try {
    return v.decodeCbor(value, 'seed') !== undefined;
  } catch {
    return false;
  }
};
const payloads = hexes.filter((value) => value[0] >> 5 === 5 && isCbor(value));
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

const enclave = new v.MiniEnclave();
const answer = await enclave.infer({ nonce: fill(32, 3) });
const tick = await enclave.tick();
const attested = await enclave.attestation([fill(32, 4), fill(32, 5)]);
const onNitro = new v.MiniEnclave();
const nitroAnswer = await onNitro.infer();
const nitroTick = await onNitro.nitroTick();
const response = text(
  JSON.stringify({
    model_name: 'a',
    model_version: '1',
    id: 'b',
    outputs: [{ name: 'y', shape: [1, 2], datatype: 'FP32', data: [0.5, -1e-3] }],
  }),
);
/** {dims: [2, 2], data_type: FLOAT, name: "x", raw_data: 16 bytes}, and the same with float_data. */
const tensors = [`0802080210014201784a10${'00'.repeat(16)}`, `0802080210012210${'00'.repeat(16)}420178`];
const nsmDevice = v.SimulatedNsm.create({ pcrs: v.SIMULATED_PCRS });
const nsmAnswer = v.encodeCbor(new Map([['Attestation', new Map([['document', nitro.document]])]]));

const nsmDescription = await nsmDevice.request(v.encodeCbor('DescribeNSM'));
const nsmPcr = await nsmDevice.request(v.encodeCbor(new Map([['DescribePCR', new Map([['index', 0]])]])));
const referenceBuilds = text(
  JSON.stringify({
    ...{ profile: 'veritee/reference-values/v1', id: 'acme' },
    sevSnp: v.strictPolicy().sevSnp.referenceValues,
    nitro: [v.nitroImage()],
    deniedMeasurements: ['ab'.repeat(48)],
  }),
);

const teeKey = { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x: 'A'.repeat(43), y: 'A'.repeat(43) };
const exchange = (evidence) => v.encodeKbsAttestation({ nonce: 'AAAA', teeKey, evidence });
const { publicKey: recipient } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const keyConfig = v.encodeKeyConfig({ keyId: 7, publicKey: fill(32, 9) });
const message = { method: 'POST', path: '/v2/models/a/infer', headers: new Map([['x-a', 'b']]), body: request };
/** One header, two chunks of content, one trailer, padding. */
const indeterminate = (framing, control) =>
  Buffer.concat([Buffer.of(framing, ...control), text('\x03x-a\x01b\0\x02ab\x03cde\0\x03x-c\x01d\0'), Buffer.alloc(5)]);

/** ID_BLOCK of version 1 and ID_AUTH_INFO: signed by an ID key, which no author vouches for; numbers little-endian. */
const idKey = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const idBlock = Buffer.alloc(96 + 4096);
idBlock.writeUInt32LE(1, 0x50);
idBlock.writeUInt32LE(1, 96);
const idSignature = sign('sha384', idBlock.subarray(0, 96), { key: idKey.privateKey, dsaEncoding: 'ieee-p1363' });
const { x, y } = idKey.publicKey.export({ format: 'jwk' });
idBlock.writeUInt32LE(2, 96 + 0x240);
for (const [at, value] of [
  [0x40, idSignature.subarray(0, 48)],
  [0x88, idSignature.subarray(48)],
  [0x244, Buffer.from(x, 'base64url')],
  [0x28c, Buffer.from(y, 'base64url')],
])
  idBlock.set(Buffer.from(value).reverse(), 96 + at);

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
  keyConfig: [keyConfig],
  keyConfigList: [v.encodeKeyConfigList([keyConfig, keyConfig])],
  binaryRequest: [
    v.encodeBinaryRequest(message, { padToMultipleOf: 64 }),
    indeterminate(2, [...text('\x03GET\x05https\0\x02/a')]),
  ],
  binaryResponse: [
    v.encodeBinaryResponse({ ...message, status: 200 }, { padToMultipleOf: 64 }),
    indeterminate(3, [0x40, 0xc8]),
  ],
  sealedChunks: [
    Buffer.concat([Buffer.of(20), fill(20, 1), Buffer.of(0x40, 17), fill(17, 2), Buffer.of(0), fill(19, 3)]),
  ],
  certificateTable: [table],
  json: [request],
  inferRequest: [Buffer.concat([Buffer.of(0), request])],
  inferResponse: [Buffer.concat([Buffer.of(0), response])],
  modelConfig: [text('{"description": "a", "labels": {"owner": "vision"}}')],
  tensorProto: tensors.map((tensor) => Buffer.from(tensor, 'hex')),
  nsmAnswer: [nsmAnswer],
  nsmDescription: [nsmDescription],
  nsmPcr: [nsmPcr],
  givenEndorsements: [table, pem, snp.Milan.chain[0]],
  referenceBuilds: [referenceBuilds],
  sealedModelHead: [v.seal(text('weights'), 'a/1/model.onnx', 'kbs:///a/b/c', fill(32, 1), fill(12, 2))],
  kbsRequest: [text(v.encodeKbsRequest('snp'))],
  kbsChallenge: [text(v.encodeKbsChallenge('AAAA'))],
  kbsAttestation: [
    Buffer.concat([
      Buffer.of(0),
      text(exchange({ tee: 'snp', report: snp.Milan.report, chain: [fill(20, 1), fill(20, 2)] })),
    ]),
    Buffer.concat([Buffer.of(1), text(exchange({ tee: 'nitro', document: fill(40, 3) }))]),
  ],
  kbsResource: [
    text(JSON.stringify({ protected: 'e30', encrypted_key: 'AA', iv: 'AA', ciphertext: 'AA', tag: 'AA', aad: 'AA' })),
  ],
  envelopedData: [v.envelopedData(fill(32, 1), recipient, 'pkijs')],
  snpReport: Object.values(snp).map(({ report }) => report),
  hclReport: [hclOf(snp.Milan.report)],
  airReceipt: [v.air()],
  certificate: Object.values(snp).flatMap(({ chain, ark }) => [...chain, ark]),
  nitroCertificate: [nitro.root],
  crl: [crl],
  endorsements: [table, pem, snp.Milan.chain[0]],
  crls: [crl],
  pem: [pem],
  nitroDocument: [nitro.document],
  policy: [
    v.strictPolicy({
      models: [{ name: 'sample', files: { 'model.onnx': '11'.repeat(32) } }],
      freshness: 'nonce-required',
    }),
    v.strictNitroPolicy(),
  ].map((policy) => text(JSON.stringify(policy))),
  assess: [
    [tick.root, enclave.receipt(answer, tick)],
    [tick.root, attested.file],
    [nitroTick.root, onNitro.receipt(nitroAnswer, nitroTick)],
    [nitro.root, nitro.document],
    [snp.Milan.ark, snp.Milan.report, ...snp.Milan.chain],
    [snp.Milan.ark, hclOf(snp.Milan.report), ...snp.Milan.chain],
    [nitro.root, v.air()],
  ].map((parts) => v.encodeCbor(parts.map((part) => new Uint8Array(part)))),
  eif: [
    v.buildEif([
      [1, text('kernel')],
      [2, text('console=ttyS0')],
      [5, v.METADATA],
      [3, text('boot')],
      [3, text('application')],
    ]),
  ],
  eifSignature: [v.signatureSection({ pcr: fill(48, 0) })],
  ovmf: [v.buildOvmf({ pages: 1 })],
  idBlock: [idBlock],
  detect: [snp.Milan.report, nitro.document, ...fileOf('receipt')],
};
const json = Object.fromEntries(
  Object.entries(seeds).map(([name, list]) => [name, list.map((seed) => Buffer.from(seed).toString('base64'))]),
);
writeFileSync(new URL('seeds.json', import.meta.url), `${JSON.stringify(json, null, 2)}\n`);
for (const [name, list] of Object.entries(seeds)) console.log(name, list.length);
