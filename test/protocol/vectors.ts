/** Builds docs/vectors/formats.json: one small log from a fixed key, with everything that is derived from it. */
import { type Bytes, bytes, hex, utf8 } from '../../protocol/bytes.ts';
import { encodeCbor } from '../../protocol/cbor.ts';
import {
  bootIdOf,
  encodeCheckpoint,
  noteKeyId,
  noteVerifierKey,
  originOf,
  parseCheckpoint,
} from '../../protocol/checkpoint.ts';
import { CONTENT_TYPE, type EntryKind } from '../../protocol/claims.ts';
import { encodeSign1 } from '../../protocol/cose.ts';
import {
  encodeChallengesEntry,
  encodeEndEntry,
  encodeKeyEntry,
  encodeModelEntry,
  encodeSessionClaims,
  encodeStatement,
  type Statement,
} from '../../protocol/entries.ts';
import { encodeAttestation, encodeEvidence, encodeReceipt } from '../../protocol/files.ts';
import { saltedDigest, sha256 } from '../../protocol/hash.ts';
import {
  consistencyPath,
  type Hash,
  inclusionPath,
  leafHash,
  MerkleFrontier,
  type NodeRef,
  type ReadNode,
  treeRoot,
} from '../../protocol/merkle.ts';
import { modelDigest } from '../../protocol/model-digest.ts';
import { reportData, reportDataPreimage } from '../../protocol/report-data.ts';
import { signerOf } from './support.ts';

/** `n` bytes counting up from `from`. */
const counting = <N extends number>(from: number, n: N): Bytes<N> =>
  Uint8Array.from({ length: n }, (_, i) => from + i) as Bytes<N>;

function treeOver(leaves: readonly Hash[]): ReadNode {
  const tree = new MerkleFrontier();
  const nodes = new Map<string, Hash>();
  for (const leaf of leaves) {
    for (const { level, index, hash } of tree.append(leaf)) nodes.set(`${level}/${index}`, hash);
  }
  return ({ level, index }: NodeRef): Hash => {
    const hash = nodes.get(`${level}/${index}`);
    if (!hash) throw new Error(`${level}/${index} is not complete`);
    return hash;
  };
}

const ISSUED_AT = 1_767_225_600; // 2026-01-01T00:00:00Z
const hexes = (values: readonly Uint8Array[]): string[] => values.map(hex);

export async function buildVectors() {
  const { seed, raw, key, sign } = signerOf(counting(0x00, 32));
  const bootId = bootIdOf(raw);
  const origin = originOf(bootId);

  const sessionClaims = encodeSessionClaims({
    bootId,
    issuedAt: ISSUED_AT,
    sessionKey: key,
    runtime: { application: 'veritee/0.1.0', node: 'v20.20.2', onnxruntime: '1.27.0', executionProvider: 'cpu' },
  });
  const sessionDigest = sha256(sessionClaims);

  const fileBodies = { 'config.json': '{}', 'model.onnx': 'these bytes are no model' };
  const files = new Map(Object.entries(fileBodies).map(([path, body]) => [path, sha256(utf8(body))]));
  const filesMap = encodeCbor(files);
  const model = { name: 'example', version: '1', digest: modelDigest(files) };

  const requestSalt = counting(0x20, 32);
  const responseSalt = counting(0x40, 32);
  const request = '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}';
  const response = '{"model_name":"example","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[3]}]}';
  const refusal = '{"error":"x: got shape [2], want [1]"}';

  const keyConfig = Uint8Array.of(0x01, 0x00, 0x20, ...counting(0x60, 32), 0x00, 0x04, 0x00, 0x01, 0x00, 0x02);

  const nonces = [counting(0x80, 32), counting(0xa0, 8), counting(0xc0, 64)];
  const nonceTree = treeOver(nonces.map(leafHash));

  const statement: Statement = {
    receiptId: counting(0xe0, 16),
    timeMs: ISSUED_AT * 1000 + 250,
    nonce: counting(0xf0, 16),
    sessionDigest,
    sequence: 3,
    operation: 'infer',
    model,
    requestDigest: await saltedDigest(requestSalt, utf8(request)),
    responseDigest: await saltedDigest(responseSalt, utf8(response)),
    requestJsonLength: null,
    responseJsonLength: null,
    requestMediaType: 'application/json',
    responseMediaType: 'application/json',
    outcome: 'ok',
    durationUs: 1234,
  };
  const failed: Statement = {
    ...statement,
    receiptId: counting(0xe1, 16),
    timeMs: ISSUED_AT * 1000 + 1999,
    nonce: null,
    sequence: 4,
    requestJsonLength: 61,
    requestMediaType: null,
    responseDigest: await saltedDigest(responseSalt, utf8(refusal)),
    outcome: 'TENSOR_SHAPE_MISMATCH',
    durationUs: 56,
  };

  const common = (sequence: number) => ({ sequence, issuedAt: ISSUED_AT + sequence });
  const payloads: readonly (readonly [EntryKind, Uint8Array<ArrayBuffer>])[] = [
    ['session', sessionClaims],
    ['model', encodeModelEntry({ ...common(1), event: 'loaded', model, files })],
    ['key', encodeKeyEntry({ ...common(2), config: keyConfig, notBefore: ISSUED_AT, notAfter: ISSUED_AT + 600 })],
    ['statement', encodeStatement(statement)],
    ['statement', encodeStatement(failed)],
    [
      'challenges',
      encodeChallengesEntry({
        ...common(5),
        nonceRoot: treeRoot(nonces.length, nonceTree),
        nonceCount: nonces.length,
        keyConfigDigests: [sha256(keyConfig)],
      }),
    ],
    ['end', encodeEndEntry({ ...common(6), reason: 'stopped' })],
  ];
  const entries = payloads.map(([kind, payload]) => ({
    kind,
    payload,
    message: encodeSign1(CONTENT_TYPE[kind], payload, sign),
  }));
  const messages = entries.map(({ message }) => message);
  const log = treeOver(messages.map(leafHash));

  let previous: Bytes<64> | null = null;
  const ticks = [4, 7].map((size) => {
    const checkpoint = encodeCheckpoint(origin, size, treeRoot(size, log), raw, sign);
    const { body } = parseCheckpoint(checkpoint);
    const binding = reportData(sessionClaims, previous, body);
    const evidence = encodeEvidence({
      format: 'sev-snp-report',
      report: utf8('This is no report: the file shows the format and does not verify.') as Uint8Array<ArrayBuffer>,
      chain: [utf8('no certificate'), utf8('no certificate either')] as Uint8Array<ArrayBuffer>[],
      crls: [],
      sessionClaims,
      checkpoint,
      previousReportData: previous,
      cosignatures: [],
    });
    const tick = {
      size,
      root: hex(treeRoot(size, log)),
      checkpoint,
      reportDataPreimage: reportDataPreimage(sessionClaims, previous, body),
      reportData: hex(binding),
      evidence,
      binding,
    };
    previous = binding;
    return tick;
  });
  const [first, last] = ticks as [(typeof ticks)[0], (typeof ticks)[0]];

  return {
    $comment:
      'Test vectors of docs/formats.md. Everything follows from the seed; the report and certificates in the evidence are no such things, so no file here verifies.',
    session: {
      seed: hex(seed),
      publicKey: hex(raw),
      bootId: hex(bootId),
      origin,
      noteKeyId: hex(noteKeyId(origin, raw)),
      noteVerifierKey: noteVerifierKey(origin, raw),
      claims: hex(sessionClaims),
      claimsSha256: hex(sessionDigest),
    },
    model: {
      files: fileBodies,
      filesMap: hex(filesMap),
      digest: hex(model.digest),
    },
    saltedDigests: {
      request: { salt: hex(requestSalt), body: request, digest: hex(statement.requestDigest) },
      response: { salt: hex(responseSalt), body: response, digest: hex(statement.responseDigest) },
    },
    nonces: {
      first: hex(nonces[0]!),
      second: hex(nonces[1]!),
      third: hex(nonces[2]!),
      root: hex(treeRoot(nonces.length, nonceTree)),
      pathOfSecond: hexes(inclusionPath(1, nonces.length, nonceTree)),
    },
    entries: entries.map(({ kind, payload, message }, sequence) => ({
      sequence,
      kind,
      contentType: CONTENT_TYPE[kind],
      payload: hex(payload),
      message: hex(message),
      leafHash: hex(leafHash(message)),
    })),
    ticks: ticks.map(({ size, root, checkpoint, reportDataPreimage, reportData }) => ({
      size,
      root,
      checkpoint,
      reportDataPreimage,
      reportData,
    })),
    proofs: {
      inclusionOf3In4: hexes(inclusionPath(3, 4, log)),
      inclusionOf3In7: hexes(inclusionPath(3, 7, log)),
      inclusionOf6In7: hexes(inclusionPath(6, 7, log)),
      consistencyFrom3To7: hexes(consistencyPath(3, 7, log)),
    },
    files: {
      evidenceThatDoesNotVerify: hex(first.evidence),
      receiptHardwareCommitted: hex(
        encodeReceipt({
          statement: bytes(messages[3]!, messages[3]!.length, 'statement'),
          path: inclusionPath(3, 4, log),
          evidence: { file: first.evidence },
        }),
      ),
      receiptSessionSigned: hex(
        encodeReceipt({ statement: messages[4]!, path: null, evidence: { reportData: first.binding } }),
      ),
      attestationOfSecondNonce: hex(
        encodeAttestation({
          evidence: last.evidence,
          keys: [{ entry: messages[2]!, path: inclusionPath(2, 7, log) }],
          challenge: {
            entry: messages[5]!,
            path: inclusionPath(5, 7, log),
            nonce: nonces[1]!,
            nonceIndex: 1,
            noncePath: inclusionPath(1, nonces.length, nonceTree),
          },
        }),
      ),
    },
  };
}
