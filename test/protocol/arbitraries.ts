import fc from 'fast-check';
import { type Bytes, isZero } from '../../protocol/bytes.ts';
import { bootIdOf } from '../../protocol/checkpoint.ts';
import {
  type ChallengesEntry,
  type EndEntry,
  type KeyEntry,
  MAX_CHALLENGES,
  MAX_NONCE_BYTES,
  MIN_NONCE_BYTES,
  type ModelEntry,
  type SessionClaims,
  type Statement,
} from '../../protocol/entries.ts';
import { CODES, type Code } from '../../protocol/errors.ts';
import { type Attestation, type Evidence, MAX_PATH, type ProvenEntry, type Receipt } from '../../protocol/files.ts';
import { characterArb, plain, signerOf } from './support.ts';

/** Values of every kind our encoders write, within the limits our parsers set. */

export const bytesArb = <N extends number>(n: N): fc.Arbitrary<Bytes<N>> =>
  fc.uint8Array({ minLength: n, maxLength: n }).map((value) => plain(value) as Bytes<N>);
const someBytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength }).map(plain);

/** Text of at most `atMost` bytes; a character takes up to four. */
const text = (atMost: number) => fc.string({ unit: characterArb, maxLength: Math.floor(atMost / 4) });
const name = fc.oneof(text(256), fc.constantFrom('', 'iris', '1', 'größe', '模型', '__proto__', 'x'.repeat(256)));
const uint = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 23, 24, Number.MAX_SAFE_INTEGER));

const common = { sequence: uint, issuedAt: uint };
const model = fc.record({ name, version: name, digest: bytesArb(32) });

const SIGNERS = Array.from({ length: 8 }, (_, i) => signerOf(new Uint8Array(32).fill(i + 1)));
export const sessionClaimsArb: fc.Arbitrary<SessionClaims> = fc
  .record({
    signer: fc.constantFrom(...SIGNERS),
    issuedAt: uint,
    runtime: fc.record({ application: name, node: name, onnxruntime: name, executionProvider: name }),
  })
  .map(({ signer, ...rest }) => ({ bootId: bootIdOf(signer.raw), sessionKey: signer.key, ...rest }));

export const nonceArb = someBytes(MIN_NONCE_BYTES, MAX_NONCE_BYTES);

export const statementArb: fc.Arbitrary<Statement> = fc.record({
  receiptId: bytesArb(16),
  timeMs: uint,
  nonce: fc.option(nonceArb),
  sessionDigest: bytesArb(32),
  sequence: uint,
  operation: fc.constant('infer' as const),
  model: fc.option(model),
  requestDigest: bytesArb(32),
  responseDigest: bytesArb(32),
  requestJsonLength: fc.option(uint),
  responseJsonLength: fc.option(uint),
  requestMediaType: fc.option(name),
  responseMediaType: name,
  outcome: fc.constantFrom('ok' as const, ...(Object.keys(CODES) as Code[])),
  durationUs: uint,
});

export const keyEntryArb: fc.Arbitrary<KeyEntry> = fc.record({
  ...common,
  config: someBytes(1, 200),
  notBefore: uint,
  notAfter: uint,
});

export const modelEntryArb: fc.Arbitrary<ModelEntry> = fc.record({
  ...common,
  event: fc.constantFrom('loaded' as const, 'unloaded' as const),
  model,
  files: fc
    .uniqueArray(fc.tuple(name, bytesArb(32)), { minLength: 1, maxLength: 20, selector: ([path]) => path })
    .map((pairs) => new Map(pairs)),
});

export const challengesEntryArb: fc.Arbitrary<ChallengesEntry> = fc.record({
  ...common,
  nonceRoot: bytesArb(32),
  nonceCount: fc.integer({ min: 1, max: MAX_CHALLENGES }),
  keyConfigDigests: fc.array(bytesArb(32), { maxLength: 64 }),
});

export const endEntryArb: fc.Arbitrary<EndEntry> = fc.record({ ...common, reason: fc.constant('stopped' as const) });

const path = fc.array(bytesArb(32), { maxLength: MAX_PATH });
const proven: fc.Arbitrary<ProvenEntry> = fc.record({ entry: someBytes(1, 300), path });

export const evidenceArb: fc.Arbitrary<Evidence> = fc.record({
  format: fc.constantFrom('sev-snp-report' as const, 'nitro-attestation-document' as const),
  report: someBytes(1, 300),
  chain: fc.array(someBytes(0, 100), { maxLength: 8 }),
  crls: fc.array(someBytes(0, 100), { maxLength: 8 }),
  sessionClaims: someBytes(1, 300),
  checkpoint: text(320),
  previousReportData: fc.option(bytesArb(64).filter((value) => !isZero(value))),
  cosignatures: fc.constant([]),
});

export const attestationArb: fc.Arbitrary<Attestation> = fc.record({
  evidence: someBytes(1, 300),
  keys: fc.array(proven, { maxLength: 4 }),
  challenge: fc.option(
    fc.record({ entry: someBytes(1, 300), path, nonce: nonceArb, nonceIndex: uint, noncePath: path }),
  ),
});

export const receiptArb: fc.Arbitrary<Receipt> = fc.record({
  statement: someBytes(1, 300),
  path: fc.option(path),
  evidence: fc.oneof(
    someBytes(1, 300).map((file) => ({ file })),
    bytesArb(64).map((reportData) => ({ reportData })),
  ),
});
