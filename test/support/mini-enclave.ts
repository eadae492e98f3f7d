/**
 * The smallest Attester: a session key, a log in memory and a simulated chip. Each part can be replaced before the rest is
 * built over it, so that a negative case differs from a good one by one change and is otherwise consistent.
 */
import { createPrivateKey, generateKeyPairSync, sign as nodeSign, randomBytes } from 'node:crypto';
import {
  type SimulatedEvidence,
  type SimulatedEvidenceRequest,
  type SimulatedNitroEvidence,
  type SimulatedNitroEvidenceRequest,
  simulatedEvidence,
  simulatedNitroEvidence,
} from '../../attestation-fixtures/index.ts';
import {
  type Attestation,
  type Bytes,
  bootIdOf,
  bytes,
  CONTENT_TYPE,
  checkpointBody,
  type Ed25519Key,
  type EntryKind,
  type Evidence,
  ed25519Key,
  encodeAttestation,
  encodeChallengesEntry,
  encodeCheckpoint,
  encodeEvidence,
  encodeKeyEntry,
  encodeReceipt,
  encodeSessionClaims,
  encodeSign1,
  encodeStatement,
  type Hash,
  inclusionPath,
  leafHash,
  MerkleFrontier,
  type NodeRef,
  originOf,
  type Receipt,
  reportData,
  rootOf,
  type Sign,
  type Statement,
  saltedDigest,
  sha256,
} from '../../protocol/index.ts';
import { readTrustAnchors, type TrustAnchor } from '../../verifier/index.ts';

/** A time at which every simulated certificate is valid. */
export const AT = new Date('2026-06-01T12:00:00Z');
export const MEASUREMENT = bytes(new Uint8Array(48).fill(0x5a), 48, 'measurement');

type Change<T> = (good: T) => T;

export class SessionKey {
  readonly key: Ed25519Key;
  readonly sign: Sign;

  constructor(seed?: Uint8Array) {
    const privateKey = seed
      ? createPrivateKey({
          key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
          format: 'der',
          type: 'pkcs8',
        })
      : generateKeyPairSync('ed25519').privateKey;
    const jwk = privateKey.export({ format: 'jwk' });
    this.key = ed25519Key(Buffer.from(jwk.x as string, 'base64url'), 'key');
    this.sign = (message) => bytes(nodeSign(null, message, privateKey), 64, 'signature');
  }
}

/** A log in memory with every complete node, so that paths at any size are at hand. */
export class Log {
  readonly entries: Uint8Array<ArrayBuffer>[] = [];
  readonly #frontier = new MerkleFrontier();
  readonly #nodes = new Map<string, Hash>();

  append(entry: Uint8Array<ArrayBuffer>): number {
    for (const { level, index, hash } of this.#frontier.append(leafHash(entry))) {
      this.#nodes.set(`${level}/${index}`, hash);
    }
    return this.entries.push(entry) - 1;
  }

  get size(): number {
    return this.entries.length;
  }

  root(): Hash {
    return this.#frontier.root();
  }

  path(index: number, size = this.size): Hash[] {
    return inclusionPath(index, size, ({ level, index: at }: NodeRef) => this.#nodes.get(`${level}/${at}`) as Hash);
  }
}

export interface Answer {
  readonly sequence: number;
  readonly entry: Uint8Array<ArrayBuffer>;
  readonly statement: Statement;
  readonly request: { readonly body: Uint8Array; readonly salt: Bytes<32> };
  readonly response: { readonly body: Uint8Array; readonly salt: Bytes<32> };
}

/** What one tick froze, with the log's size at that moment. */
interface Frozen {
  readonly evidence: Evidence;
  readonly file: Uint8Array<ArrayBuffer>;
  readonly size: number;
  /** The root to trust, DER. */
  readonly root: Uint8Array;
}

export interface Tick extends Frozen {
  readonly snp: SimulatedEvidence;
}

export interface NitroTick extends Frozen {
  readonly nitro: SimulatedNitroEvidence;
}

interface FileChanges {
  readonly evidence?: Change<Evidence>;
  /** Replaces the note, over which REPORT_DATA is then computed as if it were good. */
  readonly checkpoint?: Change<string>;
}

export interface TickChanges extends FileChanges {
  readonly snp?: Partial<SimulatedEvidenceRequest>;
}

export interface NitroTickChanges extends FileChanges {
  readonly nitro?: Partial<SimulatedNitroEvidenceRequest>;
}

interface AttestationOptions {
  readonly answered?: number;
  readonly keys?: number;
  /** In place of random ones. */
  readonly configs?: readonly Uint8Array<ArrayBuffer>[];
  readonly inForce?: Change<readonly Bytes<32>[]>;
  readonly sign?: Sign;
  readonly keySign?: Sign;
  readonly change?: Change<Attestation>;
}

interface MadeAttestation<T> {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly tick: T;
  readonly configs: readonly Uint8Array[];
}

export const MODEL = {
  name: 'sample',
  version: '1',
  digest: bytes(sha256(new TextEncoder().encode('model')), 32, 'digest'),
} as const;

export class MiniEnclave {
  readonly session: SessionKey;
  readonly claims: Uint8Array<ArrayBuffer>;
  readonly log = new Log();
  #previous: Bytes<64> | null = null;

  constructor(
    options: {
      readonly claims?: Change<Uint8Array<ArrayBuffer>>;
      readonly seed?: Uint8Array;
      readonly session?: SessionKey;
    } = {},
  ) {
    this.session = options.session ?? new SessionKey(options.seed);
    const claims = encodeSessionClaims({
      bootId: bootIdOf(this.session.key),
      issuedAt: 1_780_000_000,
      sessionKey: this.session.key,
      runtime: { application: 'mini 1', node: '20', onnxruntime: '1', executionProvider: 'cpu' },
    });
    this.claims = options.claims?.(claims) ?? claims;
    this.append('session', this.claims);
  }

  append(kind: EntryKind, payload: Uint8Array, sign: Sign = this.session.sign): number {
    return this.log.append(encodeSign1(CONTENT_TYPE[kind], payload, sign));
  }

  async infer(
    options: {
      readonly nonce?: Uint8Array;
      readonly change?: Change<Statement>;
      readonly sign?: Sign;
      readonly kind?: EntryKind;
    } = {},
  ): Promise<Answer> {
    const request = { body: new TextEncoder().encode('{"inputs":[1]}'), salt: salt() };
    const response = { body: new TextEncoder().encode('{"outputs":[2]}'), salt: salt() };
    const good: Statement = {
      receiptId: bytes(randomBytes(16), 16, 'id'),
      timeMs: 1_780_000_000_123,
      nonce: options.nonce ? new Uint8Array(options.nonce) : null,
      sessionDigest: sha256(this.claims),
      sequence: this.log.size,
      operation: 'infer',
      model: MODEL,
      requestDigest: await saltedDigest(request.salt, request.body),
      responseDigest: await saltedDigest(response.salt, response.body),
      requestJsonLength: null,
      responseJsonLength: null,
      requestMediaType: 'application/json',
      responseMediaType: 'application/json',
      outcome: 'ok',
      durationUs: 42,
    };
    const statement = options.change?.(good) ?? good;
    const sequence = this.append(options.kind ?? 'statement', encodeStatement(statement), options.sign);
    return { sequence, entry: this.log.entries[sequence]!, statement, request, response };
  }

  /** Freezes the log as it stands, under what `attest` gets from the platform for these 64 bytes. */
  async #freeze<T>(
    changes: FileChanges,
    attest: (data: Bytes<64>) => Promise<T>,
    partsOf: (attested: T) => Pick<Evidence, 'format' | 'report' | 'chain'>,
  ): Promise<readonly [attested: T, frozen: Omit<Frozen, 'root'>]> {
    const origin = originOf(bootIdOf(this.session.key));
    const size = this.log.size;
    const root = this.log.root();
    const note = encodeCheckpoint(origin, size, root, this.session.key, this.session.sign);
    const data = reportData(this.claims, this.#previous, checkpointBody(origin, size, root));
    const attested = await attest(data);
    const good: Evidence = {
      ...partsOf(attested),
      crls: [],
      sessionClaims: this.claims,
      checkpoint: changes.checkpoint?.(note) ?? note,
      previousReportData: this.#previous,
      cosignatures: [],
    };
    const evidence = changes.evidence?.(good) ?? good;
    this.#previous = data;
    return [attested, { evidence, file: encodeEvidence(evidence), size }];
  }

  async tick(changes: TickChanges = {}): Promise<Tick> {
    const [snp, frozen] = await this.#freeze(
      changes,
      (data) =>
        simulatedEvidence({
          product: 'Milan',
          version: 5,
          reportData: data,
          measurement: MEASUREMENT,
          ...changes.snp,
        }),
      ({ report, chain }) => ({ format: 'sev-snp-report', report, chain: chain.map((der) => new Uint8Array(der)) }),
    );
    return { ...frozen, root: snp.ark, snp };
  }

  /** A tick of the same enclave on Nitro; the document's time is the simulated platform's own. */
  async nitroTick(changes: NitroTickChanges = {}): Promise<NitroTick> {
    const publicKey = this.session.key;
    const [nitro, frozen] = await this.#freeze(
      changes,
      async (userData) => simulatedNitroEvidence({ userData, publicKey, ...changes.nitro }),
      ({ document }) => ({ format: 'nitro-attestation-document', report: document, chain: [] }),
    );
    return { ...frozen, root: nitro.root, nitro };
  }

  receipt(answer: Answer, tick: Frozen, change: Change<Receipt> = (good) => good): Uint8Array<ArrayBuffer> {
    return encodeReceipt(
      change({
        statement: answer.entry,
        path: answer.sequence < tick.size ? this.log.path(answer.sequence, tick.size) : null,
        evidence: { file: tick.file },
      }),
    );
  }

  /** A key entry and a challenges entry over these nonces, committed by a tick of their own. */
  async attestation(
    nonces: readonly Uint8Array[],
    options: AttestationOptions & { readonly tick?: TickChanges } = {},
  ): Promise<MadeAttestation<Tick>> {
    return this.#attestation(nonces, options, () => this.tick(options.tick));
  }

  async nitroAttestation(
    nonces: readonly Uint8Array[],
    options: AttestationOptions & { readonly tick?: NitroTickChanges } = {},
  ): Promise<MadeAttestation<NitroTick>> {
    return this.#attestation(nonces, options, () => this.nitroTick(options.tick));
  }

  async #attestation<T extends Frozen>(
    nonces: readonly Uint8Array[],
    options: AttestationOptions,
    attest: () => Promise<T>,
  ): Promise<MadeAttestation<T>> {
    const configs = options.configs ?? Array.from({ length: options.keys ?? 1 }, () => new Uint8Array(randomBytes(41)));
    const keys = configs.map((config) =>
      this.append(
        'key',
        encodeKeyEntry({ sequence: this.log.size, issuedAt: 1, config, notBefore: 1, notAfter: 601 }),
        options.keySign,
      ),
    );
    const leaves = nonces.map((nonce) => leafHash(nonce));
    const digests = configs.map((config) => sha256(config));
    const challenges =
      nonces.length === 0
        ? null
        : this.append(
            'challenges',
            encodeChallengesEntry({
              sequence: this.log.size,
              issuedAt: 1,
              nonceRoot: rootOf(leaves),
              nonceCount: nonces.length,
              keyConfigDigests: options.inForce?.(digests) ?? digests,
            }),
            options.sign,
          );
    const tick = await attest();
    const proven = (sequence: number) => ({ entry: this.log.entries[sequence]!, path: this.log.path(sequence) });
    const answered = options.answered ?? 0;
    const tree = new Log();
    for (const nonce of nonces) tree.append(new Uint8Array(nonce));
    const good: Attestation = {
      evidence: tick.file,
      keys: keys.map(proven),
      challenge:
        challenges === null
          ? null
          : {
              ...proven(challenges),
              nonce: new Uint8Array(nonces[answered]!),
              nonceIndex: answered,
              noncePath: tree.path(answered),
            },
    };
    return { file: encodeAttestation(options.change?.(good) ?? good), tick, configs };
  }
}

export const salt = (): Bytes<32> => bytes(randomBytes(32), 32, 'salt');

export const anchorsOf = (tick: Frozen): Promise<TrustAnchor[]> => readTrustAnchors(tick.root, 'root');
