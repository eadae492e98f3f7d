import { createPrivateKey, createPublicKey, sign as nodeSign, randomBytes } from 'node:crypto';
import {
  type Bytes,
  bootIdOf,
  bytes,
  CONTENT_TYPE,
  type EntryKind,
  ed25519Key,
  encodeChallengesEntry,
  encodeCheckpoint,
  encodeEndEntry,
  encodeEvidence,
  encodeKeyEntry,
  encodeSessionClaims,
  encodeSign1,
  encodeStatement,
  type Hash,
  hex,
  leafHash,
  MAX_KEY_CONFIGS,
  MerkleFrontier,
  originOf,
  parseCheckpoint,
  reportData,
  rootOf,
  type Sign,
  sha256,
} from '@veritee/protocol';

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex'); // RFC 8410 §7, up to the 32-byte seed
export const random = <N extends number>(n: N): Bytes<N> => bytes(randomBytes(n), n, 'random');

export interface FakeEvidence {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly reportData: Bytes<64>;
  readonly size: number;
  readonly root: Hash;
  readonly note: string;
}

export interface FakeLogOptions {
  /** Makes the whole log reproducible. */
  readonly seed?: Uint8Array;
  /** Leaves the signatures zero: the host does not verify them, and long logs are made faster. */
  readonly unsigned?: boolean;
}

/** A log as an enclave keeps it: real entries and checkpoints under a real session key, over a report of dummy bytes. */
export class FakeLog {
  readonly boot: string;
  readonly entries: Uint8Array<ArrayBuffer>[] = [];
  readonly leaves: Hash[] = [];
  readonly sessionClaims: Uint8Array<ArrayBuffer>;
  readonly publicKey: Bytes<32>;
  readonly #bootId: Bytes<16>;
  readonly #sign: Sign;
  readonly #checkpointSign: Sign;
  readonly #tree = new MerkleFrontier();
  readonly #keyDigests: Bytes<32>[] = [];
  #previous: Bytes<64> | null = null;

  constructor({ seed = random(32), unsigned = false }: FakeLogOptions = {}) {
    const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
    this.publicKey = bytes(spki.subarray(-32), 32, 'session key');
    this.#bootId = bootIdOf(this.publicKey);
    this.boot = hex(this.#bootId);
    this.#checkpointSign = (message) => bytes(nodeSign(null, message, key), 64, 'signature');
    this.#sign = unsigned ? () => new Uint8Array(64) as Bytes<64> : this.#checkpointSign;
    this.sessionClaims = encodeSessionClaims({
      bootId: this.#bootId,
      issuedAt: 1_790_000_000,
      sessionKey: ed25519Key(this.publicKey, 'session key'),
      runtime: { application: 'fake/0', node: 'v0', onnxruntime: '0', executionProvider: 'cpu' },
    });
    this.append('session', () => this.sessionClaims);
  }

  get size(): number {
    return this.entries.length;
  }

  append(
    kind: EntryKind,
    payload: (sequence: number) => Uint8Array,
  ): { index: number; entry: Uint8Array<ArrayBuffer> } {
    const index = this.size;
    const entry = encodeSign1(CONTENT_TYPE[kind], payload(index), this.#sign);
    const leaf = leafHash(entry);
    this.entries.push(entry);
    this.leaves.push(leaf);
    this.#tree.append(leaf);
    return { index, entry };
  }

  statement(receiptId: Bytes<16> = random(16), digest: Bytes<32> = random(32)) {
    const appended = this.append('statement', (sequence) => this.statementPayload(sequence, receiptId, digest));
    return { ...appended, receiptId };
  }

  statementPayload(sequence: number, receiptId: Bytes<16>, digest: Bytes<32>): Uint8Array {
    return encodeStatement({
      receiptId,
      timeMs: 1_790_000_000_000 + sequence,
      nonce: null,
      sessionDigest: digest,
      sequence,
      operation: 'infer',
      model: { name: 'fake', version: '1', digest },
      requestDigest: digest,
      responseDigest: digest,
      requestJsonLength: null,
      responseJsonLength: null,
      requestMediaType: 'application/json',
      responseMediaType: 'application/json',
      outcome: 'ok',
      durationUs: 1,
    });
  }

  /** An entry that is not this log's next one. */
  foreignStatement(sequence: number): Uint8Array<ArrayBuffer> {
    return encodeSign1(CONTENT_TYPE.statement, this.statementPayload(sequence, random(16), random(32)), this.#sign);
  }

  key(config: Uint8Array = random(41), notAfter = 4_000_000_000) {
    this.#keyDigests.push(sha256(config));
    return this.append('key', (sequence) =>
      encodeKeyEntry({
        sequence,
        issuedAt: 1_790_000_000,
        config: new Uint8Array(config),
        notBefore: 1_790_000_000,
        notAfter,
      }),
    );
  }

  /** Names every key entered so far, unless told otherwise. */
  challenges(nonces: readonly Uint8Array[], named: readonly Bytes<32>[] = this.#keyDigests.slice(-MAX_KEY_CONFIGS)) {
    return this.append('challenges', (sequence) =>
      encodeChallengesEntry({
        sequence,
        issuedAt: 1_790_000_000,
        nonceRoot: rootOf(nonces.map((nonce) => leafHash(nonce))),
        nonceCount: nonces.length,
        keyConfigDigests: named,
      }),
    );
  }

  end() {
    return this.append('end', (sequence) => encodeEndEntry({ sequence, issuedAt: 1_790_000_000, reason: 'stopped' }));
  }

  evidence(): FakeEvidence {
    return this.evidenceOver(this.size, this.#tree.root());
  }

  /** For evidence that lies about the tree. */
  evidenceOver(size: number, root: Hash, origin = originOf(this.#bootId)): FakeEvidence {
    const note = encodeCheckpoint(origin, size, root, this.publicKey, this.#checkpointSign);
    const binding = reportData(this.sessionClaims, this.#previous, parseCheckpoint(note).body);
    const file = encodeEvidence({
      format: 'sev-snp-report',
      report: random(1184),
      chain: [random(900), random(1100)],
      crls: [],
      sessionClaims: this.sessionClaims,
      checkpoint: note,
      previousReportData: this.#previous,
      cosignatures: [],
    });
    this.#previous = binding;
    return { file, reportData: binding, size, root, note };
  }
}
