/**
 * The payloads of the log's entries (design §3; CDDL in docs/formats.md). Each is canonical CBOR with a closed set of
 * claims and carries its own leaf index as sequence number. Encoding and parsing stand side by side, and a parser
 * accepts exactly what its encoder can write.
 */
import type { Bytes } from './bytes.ts';
import { equalBytes } from './bytes.ts';
import { type Cbor, type CborKey, decodeCbor, encodeCbor, MapReader } from './cbor.ts';
import { bootIdOf } from './checkpoint.ts';
import { CLAIM, CONTENT_TYPE, type EntryKind, PROFILE } from './claims.ts';
import { parseSign1, type Sign1 } from './cose.ts';
import { type Ed25519Key, ed25519Key } from './ed25519.ts';
import { type Code, EvidenceError, isCode } from './errors.ts';

/** An entry has to fit a C2SP entry bundle. */
export const MAX_ENTRY_BYTES = 65_535;
export const MAX_STATEMENT_BYTES = 4096;
export const MIN_NONCE_BYTES = 8; // EAT's bounds for eat_nonce, RFC 9711 §4.1
export const MAX_NONCE_BYTES = 64;
export const MAX_CHALLENGES = 65_536;
const MAX_NAME_BYTES = 256;
const MAX_MEDIA_TYPE_BYTES = 256;
const MAX_FILES = 512;
const MAX_KEY_CONFIGS = 64;

export interface Runtime {
  readonly application: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly executionProvider: string;
}

/** Log entry 0: what is fixed for one boot. `bytes` is the COSE payload that REPORT_DATA and statements refer to. */
export interface SessionClaims {
  readonly bootId: Bytes<16>;
  /** Seconds since 1970 by the enclave's own clock: a claim, never used for validity. */
  readonly issuedAt: number;
  readonly sessionKey: Ed25519Key;
  readonly runtime: Runtime;
}

export interface ModelIdentity {
  readonly name: string;
  readonly version: string;
  readonly digest: Bytes<32>;
}

/** The inference entry. */
export interface Statement {
  readonly receiptId: Bytes<16>;
  /** Milliseconds since 1970 by the enclave's own clock: a claim, never used for validity. */
  readonly timeMs: number;
  /** 8 to 64 bytes, when the caller sent one. */
  readonly nonce: Uint8Array<ArrayBuffer> | null;
  readonly sessionDigest: Bytes<32>;
  readonly sequence: number;
  readonly operation: 'infer';
  /** Null when the request named no loaded model. */
  readonly model: ModelIdentity | null;
  readonly requestDigest: Bytes<32>;
  readonly responseDigest: Bytes<32>;
  /** Bytes of the JSON part when binary tensors follow it; null when all is JSON. */
  readonly requestJsonLength: number | null;
  readonly responseJsonLength: number | null;
  readonly requestMediaType: string | null;
  readonly responseMediaType: string;
  readonly outcome: 'ok' | Code;
  /** Microseconds from the request's last byte to its answer. */
  readonly durationUs: number;
}

export interface KeyEntry {
  readonly sequence: number;
  readonly issuedAt: number;
  /** One OHTTP key configuration (RFC 9458 §3.1), exact bytes, without the media type's length prefix. */
  readonly config: Uint8Array<ArrayBuffer>;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface ModelEntry {
  readonly sequence: number;
  readonly issuedAt: number;
  readonly event: 'loaded' | 'unloaded';
  readonly model: ModelIdentity;
  /** Relative path → SHA-256 of the file. */
  readonly files: ReadonlyMap<string, Bytes<32>>;
}

export interface ChallengesEntry {
  readonly sequence: number;
  readonly issuedAt: number;
  /** Root of the tree over this tick's nonces. */
  readonly nonceRoot: Bytes<32>;
  readonly nonceCount: number;
  /** SHA-256 of every sealing-key configuration in force. */
  readonly keyConfigDigests: readonly Bytes<32>[];
}

export interface EndEntry {
  readonly sequence: number;
  readonly issuedAt: number;
  readonly reason: 'stopped';
}

type Claims = [CborKey, Cbor][];
const encode = (claims: Claims): Uint8Array<ArrayBuffer> => encodeCbor(new Map(claims));

const common = (kind: EntryKind, sequence: number, issuedAt: number): Claims => [
  [CLAIM.eatProfile, PROFILE[kind]],
  [CLAIM.sequence, sequence],
  [CLAIM.iat, issuedAt],
];

/** Opens a payload's closed map and checks its profile. */
function open(kind: EntryKind, payload: Uint8Array): MapReader {
  const claims = new MapReader(decodeCbor(payload, kind), kind);
  const profile = claims.text(CLAIM.eatProfile, 'profile', 256);
  if (profile !== PROFILE[kind]) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `${kind}.profile: this release reads ${PROFILE[kind]}`, {
      field: `${kind}.profile`,
    });
  }
  return claims;
}

const malformed = (field: string, reason: string): never => {
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
};

// ── Session claims ──────────────────────────────────────────────────────────────────────────────────────────────────

const KEY_OKP = new Map<number, Cbor>([
  [1, 1], // kty: OKP (RFC 9053 §7.2)
  [-1, 6], // crv: Ed25519
]);

export const encodeSessionClaims = (claims: SessionClaims): Uint8Array<ArrayBuffer> =>
  encode([
    ...common('session', 0, claims.issuedAt),
    [CLAIM.bootId, claims.bootId],
    [CLAIM.cnf, new Map([[1, new Map([...KEY_OKP, [-2, claims.sessionKey as Uint8Array]])]])],
    [CLAIM.runtime, new Map(Object.entries(claims.runtime))],
  ]);

/** @throws EvidenceError EVIDENCE_MALFORMED; SESSION_INVALID when `cnf` is no key or the boot id is not derived from it */
export function parseSessionClaims(payload: Uint8Array): SessionClaims {
  const claims = open('session', payload);
  claims.exactly(CLAIM.sequence, 'sequence', 0);
  const issuedAt = claims.uint(CLAIM.iat, 'iat');
  const bootId = claims.bytes(CLAIM.bootId, 'bootId', 16);
  const cnf = claims.map(CLAIM.cnf, 'cnf');
  const coseKey = cnf.map(1, 'coseKey');
  for (const [label, value] of KEY_OKP) coseKey.exactly(label, String(label), value as number);
  const sessionKey = ed25519Key(coseKey.bytes(-2, 'x', 32), 'session.cnf');
  coseKey.end();
  cnf.end();
  const fields = claims.map(CLAIM.runtime, 'runtime');
  const runtime = {
    application: fields.text('application', 'application', MAX_NAME_BYTES),
    node: fields.text('node', 'node', MAX_NAME_BYTES),
    onnxruntime: fields.text('onnxruntime', 'onnxruntime', MAX_NAME_BYTES),
    executionProvider: fields.text('executionProvider', 'executionProvider', MAX_NAME_BYTES),
  };
  fields.end();
  claims.end();
  if (!equalBytes(bootId, bootIdOf(sessionKey))) {
    throw new EvidenceError('SESSION_INVALID', 'session.bootId: not derived from the session key', {
      field: 'session.bootId',
    });
  }
  return { bootId, issuedAt, sessionKey, runtime };
}

// ── Statement ───────────────────────────────────────────────────────────────────────────────────────────────────────

const modelMap = (model: ModelIdentity): Cbor => new Map<string, Cbor>(Object.entries({ ...model }));

function readModel(fields: MapReader): ModelIdentity {
  const model = {
    name: fields.text('name', 'name', MAX_NAME_BYTES),
    version: fields.text('version', 'version', MAX_NAME_BYTES),
    digest: fields.bytes('digest', 'digest', 32),
  };
  fields.end();
  return model;
}

export const encodeStatement = (statement: Statement): Uint8Array<ArrayBuffer> =>
  encode([
    ...common('statement', statement.sequence, Math.floor(statement.timeMs / 1000)),
    [CLAIM.timeMs, statement.timeMs],
    [CLAIM.cti, statement.receiptId],
    ...(statement.nonce ? ([[CLAIM.eatNonce, statement.nonce]] as Claims) : []),
    [CLAIM.sessionDigest, statement.sessionDigest],
    [CLAIM.operation, statement.operation],
    [CLAIM.model, statement.model && modelMap(statement.model)],
    [CLAIM.requestDigest, statement.requestDigest],
    [CLAIM.responseDigest, statement.responseDigest],
    [CLAIM.requestJsonLength, statement.requestJsonLength],
    [CLAIM.responseJsonLength, statement.responseJsonLength],
    [CLAIM.requestMediaType, statement.requestMediaType],
    [CLAIM.responseMediaType, statement.responseMediaType],
    [CLAIM.outcome, statement.outcome],
    [CLAIM.durationUs, statement.durationUs],
  ]);

export function parseStatement(payload: Uint8Array): Statement {
  const claims = open('statement', payload);
  const timeMs = claims.uint(CLAIM.timeMs, 'timeMs');
  if (claims.uint(CLAIM.iat, 'iat') !== Math.floor(timeMs / 1000))
    malformed('statement.iat', 'not the second of timeMs');
  const outcome = claims.text(CLAIM.outcome, 'outcome', 64);
  if (outcome !== 'ok' && !isCode(outcome)) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'statement.outcome: a code this release does not know', {
      field: 'statement.outcome',
    });
  }
  const uintOrNull = (key: CborKey, label: string) => (claims.isNull(key, label) ? null : claims.uint(key, label));
  const statement: Statement = {
    receiptId: claims.bytes(CLAIM.cti, 'receiptId', 16),
    timeMs,
    nonce: claims.has(CLAIM.eatNonce)
      ? claims.anyBytes(CLAIM.eatNonce, 'nonce', MAX_NONCE_BYTES, MIN_NONCE_BYTES)
      : null,
    sessionDigest: claims.bytes(CLAIM.sessionDigest, 'sessionDigest', 32),
    sequence: claims.uint(CLAIM.sequence, 'sequence'),
    operation: claims.exactly(CLAIM.operation, 'operation', 'infer'),
    model: claims.isNull(CLAIM.model, 'model') ? null : readModel(claims.map(CLAIM.model, 'model')),
    requestDigest: claims.bytes(CLAIM.requestDigest, 'requestDigest', 32),
    responseDigest: claims.bytes(CLAIM.responseDigest, 'responseDigest', 32),
    requestJsonLength: uintOrNull(CLAIM.requestJsonLength, 'requestJsonLength'),
    responseJsonLength: uintOrNull(CLAIM.responseJsonLength, 'responseJsonLength'),
    requestMediaType: claims.isNull(CLAIM.requestMediaType, 'requestMediaType')
      ? null
      : claims.text(CLAIM.requestMediaType, 'requestMediaType', MAX_MEDIA_TYPE_BYTES),
    responseMediaType: claims.text(CLAIM.responseMediaType, 'responseMediaType', MAX_MEDIA_TYPE_BYTES),
    outcome,
    durationUs: claims.uint(CLAIM.durationUs, 'durationUs'),
  };
  claims.end();
  return statement;
}

// ── The other kinds ─────────────────────────────────────────────────────────────────────────────────────────────────

export const encodeKeyEntry = (entry: KeyEntry): Uint8Array<ArrayBuffer> =>
  encode([
    ...common('key', entry.sequence, entry.issuedAt),
    [CLAIM.keyConfig, entry.config],
    [CLAIM.nbf, entry.notBefore],
    [CLAIM.exp, entry.notAfter],
  ]);

export function parseKeyEntry(payload: Uint8Array): KeyEntry {
  const claims = open('key', payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, 'sequence'),
    issuedAt: claims.uint(CLAIM.iat, 'iat'),
    config: claims.anyBytes(CLAIM.keyConfig, 'config', 4096, 1),
    notBefore: claims.uint(CLAIM.nbf, 'notBefore'),
    notAfter: claims.uint(CLAIM.exp, 'notAfter'),
  };
  claims.end();
  return entry;
}

export const encodeModelEntry = (entry: ModelEntry): Uint8Array<ArrayBuffer> =>
  encode([
    ...common('model', entry.sequence, entry.issuedAt),
    [CLAIM.event, entry.event],
    [CLAIM.model, modelMap(entry.model)],
    [CLAIM.files, new Map<string, Cbor>(entry.files)],
  ]);

export function parseModelEntry(payload: Uint8Array): ModelEntry {
  const claims = open('model', payload);
  const event = claims.text(CLAIM.event, 'event', 16);
  if (event !== 'loaded' && event !== 'unloaded') return malformed('model.event', 'want loaded or unloaded');
  const pairs = claims.map(CLAIM.files, 'files').entries();
  if (pairs.length === 0 || pairs.length > MAX_FILES) malformed('model.files', `want 1 to ${MAX_FILES} files`);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, 'sequence'),
    issuedAt: claims.uint(CLAIM.iat, 'iat'),
    event,
    model: readModel(claims.map(CLAIM.model, 'model')),
    files: new Map(
      pairs.map(([path, digest]): [string, Bytes<32>] =>
        digest instanceof Uint8Array && digest.length === 32
          ? [path, digest as Bytes<32>]
          : malformed('model.files', 'want a SHA-256 digest for each file'),
      ),
    ),
  } as const;
  claims.end();
  return entry;
}

export const encodeChallengesEntry = (entry: ChallengesEntry): Uint8Array<ArrayBuffer> =>
  encode([
    ...common('challenges', entry.sequence, entry.issuedAt),
    [CLAIM.nonceRoot, entry.nonceRoot],
    [CLAIM.nonceCount, entry.nonceCount],
    [CLAIM.keyConfigDigests, entry.keyConfigDigests],
  ]);

export function parseChallengesEntry(payload: Uint8Array): ChallengesEntry {
  const claims = open('challenges', payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, 'sequence'),
    issuedAt: claims.uint(CLAIM.iat, 'iat'),
    nonceRoot: claims.bytes(CLAIM.nonceRoot, 'nonceRoot', 32),
    nonceCount: claims.uint(CLAIM.nonceCount, 'nonceCount'),
    keyConfigDigests: claims.arrayOfBytes(CLAIM.keyConfigDigests, 'keyConfigDigests', MAX_KEY_CONFIGS, 32),
  };
  if (entry.nonceCount < 1 || entry.nonceCount > MAX_CHALLENGES) malformed('challenges.nonceCount', 'out of range');
  claims.end();
  return entry;
}

export const encodeEndEntry = (entry: EndEntry): Uint8Array<ArrayBuffer> =>
  encode([...common('end', entry.sequence, entry.issuedAt), [CLAIM.reason, entry.reason]]);

export function parseEndEntry(payload: Uint8Array): EndEntry {
  const claims = open('end', payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, 'sequence'),
    issuedAt: claims.uint(CLAIM.iat, 'iat'),
    reason: claims.exactly(CLAIM.reason, 'reason', 'stopped'),
  };
  claims.end();
  return entry;
}

// ── Entries of any kind ─────────────────────────────────────────────────────────────────────────────────────────────

export type EntryPayload =
  | { readonly kind: 'session'; readonly value: SessionClaims }
  | { readonly kind: 'statement'; readonly value: Statement }
  | { readonly kind: 'key'; readonly value: KeyEntry }
  | { readonly kind: 'model'; readonly value: ModelEntry }
  | { readonly kind: 'challenges'; readonly value: ChallengesEntry }
  | { readonly kind: 'end'; readonly value: EndEntry };

/** A parsed entry; its signature is not yet verified. */
export type Entry = EntryPayload & { readonly sequence: number; readonly message: Sign1 };

const KINDS = new Map(
  Object.entries(CONTENT_TYPE).map(([kind, contentType]) => [contentType as string, kind as EntryKind]),
);

function parsePayload(kind: EntryKind, payload: Uint8Array): EntryPayload {
  switch (kind) {
    case 'session':
      return { kind, value: parseSessionClaims(payload) };
    case 'statement':
      return { kind, value: parseStatement(payload) };
    case 'key':
      return { kind, value: parseKeyEntry(payload) };
    case 'model':
      return { kind, value: parseModelEntry(payload) };
    case 'challenges':
      return { kind, value: parseChallengesEntry(payload) };
    case 'end':
      return { kind, value: parseEndEntry(payload) };
  }
}

/**
 * Parse a log entry of any kind. Shape only: its signature, and that it stands in a log, are still to be verified.
 * @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED
 */
export function parseEntry(raw: Uint8Array): Entry {
  if (raw.length > MAX_ENTRY_BYTES) {
    throw new EvidenceError('EVIDENCE_TOO_LARGE', `entry: ${raw.length} bytes, at most ${MAX_ENTRY_BYTES}`, {
      field: 'entry',
    });
  }
  const message = parseSign1(raw, 'entry');
  const kind = KINDS.get(message.contentType);
  if (!kind) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'entry: a content type this release does not know', {
      field: 'entry.contentType',
    });
  }
  if (kind === 'statement' && raw.length > MAX_STATEMENT_BYTES) {
    throw new EvidenceError('EVIDENCE_TOO_LARGE', `statement: ${raw.length} bytes, at most ${MAX_STATEMENT_BYTES}`, {
      field: 'statement',
    });
  }
  const payload = parsePayload(kind, message.payload);
  return { ...payload, sequence: payload.kind === 'session' ? 0 : payload.value.sequence, message };
}
