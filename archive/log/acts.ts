/**
 * What the archive did, said once and for good: the entries of its own append-only log.
 *
 * Each act is COSE_Sign1 by the archive's key, its payload canonical CBOR with a closed set of text keys and a content
 * type of its own, and it carries its own leaf index. Whatever the database says beyond signed bytes of others, an act
 * commits to, so that an edited row is found.
 */
import {
  type Bytes,
  bytes,
  type Cbor,
  decodeCbor,
  EvidenceError,
  encodeCbor,
  encodeSign1,
  leafHash,
  MapReader,
  parseSign1,
  type Sign,
  type Sign1,
} from '@veritee/protocol';
import { isFindingCode } from '../findings.ts';
import type { ActRow } from '../store/port.ts';

/** One value of an act: how it is written, and how strictly it is read. */
interface Field<T> {
  write(value: T): Cbor;
  read(map: MapReader, key: string): T;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValuesOf<F> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

const MAX_TEXT_BYTES = 1024;
const MAX_ITEMS = 4096;

const fail = (field: string, reason: string): never => {
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
};

const uint: Field<number> = { write: (value) => value, read: (map, key) => map.uint(key, key) };
const text: Field<string> = { write: (value) => value, read: (map, key) => map.text(key, key, MAX_TEXT_BYTES) };
const bool: Field<boolean> = {
  write: (value) => value,
  read: (map, key) => {
    const value = map.value(key, key);
    return typeof value === 'boolean' ? value : fail(`act.${key}`, 'want true or false');
  },
};
const bytesOf = <N extends number>(n: N): Field<Bytes<N>> => ({
  write: (value) => value,
  read: (map, key) => map.bytes(key, key, n),
});
const orNull = <T>(field: Field<T>): Field<T | null> => ({
  write: (value) => (value === null ? null : field.write(value)),
  read: (map, key) => (map.isNull(key, key) ? null : field.read(map, key)),
});
const oneOf = <T extends string>(...words: readonly T[]): Field<T> => ({
  write: (value) => value,
  read: (map, key) => {
    const value = map.text(key, key, MAX_TEXT_BYTES);
    return words.find((word) => word === value) ?? fail(`act.${key}`, `want one of ${words.join(', ')}`);
  },
});
const record = <F extends Fields>(fields: F): Field<ValuesOf<F>> => ({
  write: (value) => new Map(Object.entries(fields).map(([key, field]) => [key, field.write(value[key])])),
  read: (map, key) => readFields(map.map(key, key), fields),
});
const listOf = <T>(item: Field<T>): Field<readonly T[]> => ({
  write: (values) => {
    if (values.length > MAX_ITEMS) throw new TypeError(`at most ${MAX_ITEMS} items in one act`);
    return values.map((value) => item.write(value));
  },
  read: (map, key) =>
    map
      .array(key, key, MAX_ITEMS)
      .map((value, i) => item.read(new MapReader(new Map([['item', value]]), `act.${key}[${i}]`), 'item')),
});

function readFields<F extends Fields>(map: MapReader, fields: F): ValuesOf<F> {
  const values = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.read(map, key)]));
  map.end();
  return values as ValuesOf<F>;
}

const digest = bytesOf(32);
const boot = bytesOf(16);
const reportData = bytesOf(64);

/** A frozen appraisal, as `Appraisal` of the store. */
const appraisal = record({
  policy: digest,
  policyDigest: digest,
  anchors: listOf(digest),
  endorsements: listOf(digest),
  crls: listOf(digest),
  verifier: text,
  atMs: uint,
  verdict: oneOf('affirming', 'contraindicated', 'unsupported'),
  codes: listOf(text),
  result: digest,
});

/** What a hold, an export or a purge applies to: every given field must match, as `StatementFilter` of the store. */
const scope = record({
  boot: orNull(boot),
  receiptIds: listOf(bytesOf(16)),
  fromMs: orNull(uint),
  toMs: orNull(uint),
  tenant: orNull(text),
  model: orNull(text),
  modelDigest: orNull(digest),
  outcome: orNull(text),
  retentionClass: orNull(text),
});

const range = record({ boot, from: uint, to: uint });

/** Every kind of act, with its own fields beside those that all have. */
export const ACT_FIELDS = {
  /** Act 0. */
  created: { publicKey: bytesOf(32), writeOnce: bool },
  /** Evidence and the whole entries it newly covers: those from `from` to its checkpoint's size. */
  ingest: {
    source: text,
    boot,
    from: uint,
    to: uint,
    /** The root of the first `to` entries. */
    root: digest,
    reportData,
    /** SHA-256 of the evidence file. */
    evidence: digest,
    appraisal,
    tenant: orNull(text),
    retentionClass: text,
  },
  /** Entries of a boot that ended before a report covered them: vouched for by the session key alone. */
  tail: { source: text, boot, from: uint, to: uint, root: digest, tenant: orNull(text), retentionClass: text },
  /** A boot can say no more. */
  state: { boot, state: oneOf('ended', 'lost') },
  /** What came in files: single entries with their proof, and private parts. */
  deposit: {
    source: text,
    boot,
    /** Null when the entries lie under evidence that an earlier act brought, or under none. */
    evidence: orNull(record({ reportData, file: digest, appraisal })),
    /** `proven`: its path to evidence came with it and is kept. */
    entries: listOf(record({ index: uint, leaf: digest, proven: bool })),
    attachments: listOf(record({ index: uint, role: oneOf('private', 'request', 'response'), blob: digest })),
    tenant: orNull(text),
    retentionClass: text,
  },
  finding: {
    code: text,
    severity: oneOf('critical', 'warning', 'info'),
    boot: orNull(boot),
    /** Not `index`, which is the act's own. */
    entry: orNull(uint),
    object: orNull(text),
    text,
  },
  hold: { hold: text, scope, reason: text },
  release: { hold: text, reason: text },
  export: {
    scope,
    format: text,
    receipts: uint,
    /** SHA-256 of the bundle's manifest, or of the file itself. */
    manifest: digest,
  },
  /** The tombstone: what was erased, why, and under which rule. `leaves` is SHA-256 over the erased entries' leaf hashes. */
  purge: {
    scope,
    ranges: listOf(range),
    entries: uint,
    leaves: digest,
    blobs: listOf(digest),
    rule: text,
    reason: text,
  },
  /** An RFC 3161 token over the archive's checkpoint of `size` acts, or over an earlier token. */
  timestamp: { size: uint, root: digest, token: digest, existedBy: uint, authority: text, renews: orNull(digest) },
  /** A witness's line on the archive's checkpoint of `size` acts. */
  cosignature: { size: uint, root: digest, line: text },
  /** The policy of ingests from here on. */
  policy: { policy: digest, policyDigest: digest, anchors: listOf(digest) },
  /** The retention rules from here on: a blob. */
  retention: { rules: digest },
} as const;

export type ActKind = keyof typeof ACT_FIELDS;

/** Who did it and when, by the archive's own clock: claims, like every other time inside a signed entry. */
interface Common {
  readonly index: number;
  readonly timeMs: number;
  /** The person or program that asked for it, as it named itself. */
  readonly by: string;
}

export type ActOf<K extends ActKind> = { readonly kind: K } & ValuesOf<(typeof ACT_FIELDS)[K]>;
/** What is to be recorded; the log gives it its index, time and name. */
export type Act = { readonly [K in ActKind]: ActOf<K> }[ActKind];
/** What was recorded. Its signature is not yet verified. */
export type RecordedAct = { readonly [K in ActKind]: ActOf<K> & Common }[ActKind];
export type Scope = ActOf<'hold'>['scope'];

const COMMON = { profile: text, index: uint, timeMs: uint, by: text };

const profileOf = (kind: ActKind): string => `tag:veritee.dev,2026:archive-${kind}/v1`;
export const actContentType = (kind: ActKind): string => `application/vnd.veritee.archive-${kind}+cbor`;
const KIND_OF = new Map((Object.keys(ACT_FIELDS) as ActKind[]).map((kind) => [actContentType(kind), kind]));

const fieldsOf = (kind: ActKind): Fields => ({ ...COMMON, ...ACT_FIELDS[kind] });

export function encodeAct(act: Act, common: Common, sign: Sign): ActRow {
  const values: Readonly<Record<string, unknown>> = { ...act, ...common, profile: profileOf(act.kind) };
  const fields = Object.entries(fieldsOf(act.kind));
  const payload = encodeCbor(new Map(fields.map(([key, field]) => [key, field.write(values[key])])));
  const cose = encodeSign1(actContentType(act.kind), payload, sign);
  return { index: common.index, kind: act.kind, leaf: leafHash(cose), cose };
}

/**
 * Shape only: signature and place in the log are still to be verified.
 * @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_UNSUPPORTED
 */
export function parseAct(cose: Uint8Array): { readonly act: RecordedAct; readonly message: Sign1 } {
  const message = parseSign1(cose, 'act');
  const kind = KIND_OF.get(message.contentType);
  if (!kind) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'act: a content type this release does not know', {
      field: 'act.contentType',
    });
  }
  const map = new MapReader(decodeCbor(message.payload, 'act'), 'act');
  const { profile, ...values } = readFields(map, fieldsOf(kind)) as Readonly<Record<string, unknown>>;
  if (profile !== profileOf(kind)) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `act.profile: this release reads ${profileOf(kind)}`, {
      field: 'act.profile',
    });
  }
  const act = { kind, ...values } as RecordedAct;
  if (act.kind === 'finding' && !isFindingCode(act.code)) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'act.code: a finding this release does not know', {
      field: 'act.code',
    });
  }
  return { act, message };
}

/** Everything, of every boot. */
export const EVERYTHING: Scope = {
  boot: null,
  receiptIds: [],
  fromMs: null,
  toMs: null,
  tenant: null,
  model: null,
  modelDigest: null,
  outcome: null,
  retentionClass: null,
};

export const bootField = (boot: string): Bytes<16> => bytes(Buffer.from(boot, 'hex'), 16, 'boot');
