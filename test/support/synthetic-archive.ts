/**
 * A service with as many receipts as one asks for, behind the same door as a live one: boots of simulated chips, real
 * entries, signatures, checkpoints and reports. Entries lie in files, so that a million of them take little memory.
 */
import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { ListedBoot, LogSource } from '../../archive/ingest/source.ts';
import { Frontier, leafHashOf } from '../../archive/log/frontier.ts';
import {
  encodeReport,
  generateVcekKey,
  type ReportFields,
  signReport,
  simulatedEvidence,
  type Tcb,
} from '../../attestation-fixtures/index.ts';
import {
  type Bytes,
  bootIdOf,
  bytes,
  CONTENT_TYPE,
  type EntryKind,
  encodeCheckpoint,
  encodeEndEntry,
  encodeEntryBundle,
  encodeEvidence,
  encodeModelEntry,
  encodeSessionClaims,
  encodeSign1,
  encodeStatement,
  type Hash,
  hex,
  type ModelIdentity,
  modelDigest,
  originOf,
  parseCheckpoint,
  parseEntryBundle,
  reportData,
  type Statement,
  sha256,
  TILE_WIDTH,
  utf8,
} from '../../protocol/index.ts';
import { AT, SessionKey } from './mini-enclave.ts';

export interface SyntheticOptions {
  readonly receipts: number;
  readonly checkpoints: number;
  readonly boots: number;
  /** Where the entries lie. */
  readonly folder: string;
  /** The last boot goes on; the others ended with an end entry, unless told otherwise. */
  readonly ended?: boolean;
  /** Of every boot: two services with one key are the two sides of a fork. */
  readonly session?: SessionKey;
}

/** What a boot's reports say, by its number: machines, firmware and builds differ, as in a fleet. */
export interface Machine {
  readonly chipId: Bytes<64>;
  readonly measurement: Bytes<48>;
  readonly tcb: Tcb;
}

const MILAN_TCBS: readonly Tcb[] = [
  { layout: 'milan-genoa', bootloader: 4, tee: 0, snp: 22, microcode: 213 },
  { layout: 'milan-genoa', bootloader: 4, tee: 0, snp: 27, microcode: 222 },
];

export const machineOf = (boot: number): Machine => ({
  chipId: bytes(createHash('sha512').update(`chip ${boot}`).digest(), 64, 'chip'),
  measurement: bytes(new Uint8Array(48).fill(boot % 2 === 0 ? 0x5a : 0x5b), 48, 'measurement'),
  tcb: MILAN_TCBS[boot % 2]!,
});

const files = (name: string) => new Map([['model.onnx', sha256(utf8(name))]]);
const model = (name: string, version: string): ModelIdentity => ({
  name,
  version,
  digest: modelDigest(files(`${name}/${version}`)),
});
export const MODELS: readonly ModelIdentity[] = [model('triage', '1'), model('triage', '2'), model('pricing', '7')];

/** Half an hour before `AT`, one receipt a millisecond. */
export const START_MS = AT.getTime() - 1_800_000;

interface Reporter {
  readonly fields: ReportFields;
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
}

export class SyntheticBoot {
  readonly boot: string;
  readonly session: SessionKey;
  readonly claims: Uint8Array<ArrayBuffer>;
  readonly receiptIds: Bytes<16>[] = [];
  readonly #claimsDigest: Bytes<32>;
  readonly #file: number;
  readonly #machine: Reporter;
  readonly #bundles: { readonly offset: number; readonly length: number }[] = [];
  readonly #nodes: Hash[][] = [];
  readonly #evidence = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #tree = Frontier.empty();
  #open: Uint8Array[] = [];
  #offset = 0;
  #newest: Bytes<64> | null = null;
  #committed = 0;
  ended: 'clean' | 'lost' | null = null;

  constructor(file: string, machine: Reporter, session: SessionKey) {
    this.#file = openSync(file, 'w+', 0o600);
    this.#machine = machine;
    this.session = session;
    this.boot = hex(bootIdOf(this.session.key));
    this.claims = encodeSessionClaims({
      bootId: bootIdOf(this.session.key),
      issuedAt: Math.floor(START_MS / 1000),
      sessionKey: this.session.key,
      runtime: { application: 'synthetic 1', node: '20', onnxruntime: '1', executionProvider: 'cpu' },
    });
    this.#claimsDigest = sha256(this.claims);
    this.append('session', this.claims);
    for (const one of MODELS) {
      this.append(
        'model',
        encodeModelEntry({
          sequence: this.size,
          issuedAt: Math.floor(START_MS / 1000),
          event: 'loaded',
          model: one,
          files: files(`${one.name}/${one.version}`),
        }),
      );
    }
  }

  get size(): number {
    return this.#tree.size;
  }

  get listed(): ListedBoot {
    return { boot: this.boot, ended: this.ended, size: this.size, committed: this.#committed };
  }

  append(kind: EntryKind, payload: Uint8Array): void {
    this.appendRaw(encodeSign1(CONTENT_TYPE[kind], payload, this.session.sign));
  }

  appendRaw(entry: Uint8Array): void {
    const leaf = leafHashOf(entry);
    this.#node(0, leaf);
    for (const { level, hash } of this.#tree.append(leaf)) if (level % 8 === 0) this.#node(level / 8, hash);
    this.#open.push(entry);
    if (this.#open.length === TILE_WIDTH) this.#writeBundle();
  }

  #node(level: number, hash: Hash): void {
    this.#nodes[level] ??= [];
    this.#nodes[level].push(hash);
  }

  #writeBundle(): void {
    const bundle = encodeEntryBundle(this.#open);
    writeSync(this.#file, bundle, 0, bundle.length, this.#offset);
    this.#bundles.push({ offset: this.#offset, length: bundle.length });
    this.#offset += bundle.length;
    this.#open = [];
  }

  infer(timeMs: number, change: (good: Statement) => Statement = (good) => good): void {
    const random = randomBytes(80);
    const receiptId = bytes(random.subarray(0, 16), 16, 'id');
    this.receiptIds.push(receiptId);
    const n = this.size;
    const good: Statement = {
      receiptId,
      timeMs,
      nonce: null,
      sessionDigest: this.#claimsDigest,
      sequence: n,
      operation: 'infer',
      model: MODELS[n % MODELS.length]!,
      requestDigest: bytes(random.subarray(16, 48), 32, 'digest'),
      responseDigest: bytes(random.subarray(48, 80), 32, 'digest'),
      requestJsonLength: null,
      responseJsonLength: null,
      requestMediaType: 'application/json',
      responseMediaType: 'application/json',
      outcome: n % 50 === 0 ? 'REQUEST_TRUNCATED' : 'ok',
      durationUs: 1_000 + (n % 1_000),
    };
    this.append('statement', encodeStatement(change(good)));
  }

  end(): void {
    this.append(
      'end',
      encodeEndEntry({ sequence: this.size, issuedAt: Math.floor(AT.getTime() / 1000), reason: 'stopped' }),
    );
    this.tick();
    this.ended = 'clean';
  }

  tick(): Bytes<64> {
    const root = this.#tree.root();
    const note = encodeCheckpoint(
      originOf(bootIdOf(this.session.key)),
      this.size,
      root,
      this.session.key,
      this.session.sign,
    );
    const data = bytes(reportData(this.claims, this.#newest, parseCheckpoint(note).body), 64, 'REPORT_DATA');
    const { fields, chain, key } = this.#machine;
    const file = encodeEvidence({
      format: 'sev-snp-report',
      report: new Uint8Array(signReport(encodeReport({ ...fields, reportData: data }), key)),
      chain: chain.map((der) => new Uint8Array(der)),
      crls: [],
      sessionClaims: this.claims,
      checkpoint: note,
      previousReportData: this.#newest,
      cosignatures: [],
    });
    this.#evidence.set(hex(data), file);
    this.#newest = data;
    this.#committed = this.size;
    return data;
  }

  evidence(reportData: Uint8Array | null): Uint8Array<ArrayBuffer> | null {
    const name = reportData ?? this.#newest;
    return (name && this.#evidence.get(hex(name))) ?? null;
  }

  tile(level: number | null, index: number, width: number): Uint8Array<ArrayBuffer> {
    if (level !== null) {
      return new Uint8Array(
        Buffer.concat((this.#nodes[level] ?? []).slice(index * TILE_WIDTH, index * TILE_WIDTH + width)),
      );
    }
    const place = this.#bundles[index];
    if (!place) return encodeEntryBundle(this.#open.slice(0, width));
    const bundle = new Uint8Array(place.length);
    readSync(this.#file, bundle, 0, place.length, place.offset);
    return width === TILE_WIDTH ? bundle : encodeEntryBundle(parseEntryBundle(bundle).slice(0, width));
  }

  close(): void {
    closeSync(this.#file);
  }
}

export class SyntheticService implements LogSource {
  readonly name = 'http://synthetic.test';
  readonly logs: readonly SyntheticBoot[];
  /** The root to trust, DER. */
  readonly root: Uint8Array<ArrayBuffer>;

  private constructor(logs: readonly SyntheticBoot[], root: Uint8Array) {
    this.logs = logs;
    this.root = new Uint8Array(root);
  }

  static async create({
    receipts,
    checkpoints,
    boots,
    folder,
    ended = true,
    session,
  }: SyntheticOptions): Promise<SyntheticService> {
    mkdirSync(folder, { recursive: true });
    const key = await generateVcekKey();
    const logs: SyntheticBoot[] = [];
    let root: Uint8Array = new Uint8Array(0);
    for (let n = 0; n < boots; n++) {
      const made = await simulatedEvidence({
        product: 'Milan',
        version: 5,
        reportData: bytes(new Uint8Array(64), 64, 'none'),
        vcekKey: key,
        ...machineOf(n),
      });
      root = made.ark;
      const reporter = { fields: made.fields, chain: made.chain, key };
      const log = new SyntheticBoot(path.join(folder, `boot-${n}`), reporter, session ?? new SessionKey());
      const [own, ticks] = [share(receipts, boots, n), share(checkpoints, boots, n)];
      for (let tick = 0; tick < ticks; tick++) {
        for (let i = share(own, ticks, tick); i > 0; i--) log.infer(START_MS + log.size);
        if (tick === ticks - 1 && ended) log.end();
        else log.tick();
      }
      logs.push(log);
    }
    return new SyntheticService(logs, root);
  }

  /** Only some of its boots, as if the others were another service. */
  only(...numbers: readonly number[]): SyntheticService {
    return new SyntheticService(
      numbers.map((n) => this.logs[n]!),
      this.root,
    );
  }

  async boots(): Promise<readonly ListedBoot[]> {
    return this.logs.map(({ listed }) => listed);
  }

  #log(boot: string): SyntheticBoot {
    const log = this.logs.find((one) => one.boot === boot);
    if (!log) throw new Error(`no boot ${boot}`);
    return log;
  }

  async evidence(boot: string, reportData: Uint8Array | null): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#log(boot).evidence(reportData);
  }

  async tile(boot: string, level: number | null, index: number, width: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#log(boot).tile(level, index, width);
  }

  close(): void {
    for (const log of this.logs) log.close();
  }
}

/** The n-th of so many parts that are as equal as can be. */
const share = (total: number, parts: number, n: number): number =>
  Math.floor(((n + 1) * total) / parts) - Math.floor((n * total) / parts);
