/**
 * The messages of the CoCo key broker's attestation protocol ("RCAR": request, challenge, attestation, response), as
 * both sides of it write and read them: POST /kbs/v0/auth, POST /kbs/v0/attest, GET /kbs/v0/resource/….
 *
 * @see confidential-containers/trustee kbs/docs/kbs_attestation_protocol.md; for what that text leaves open its code:
 *   kbs/src/attestation/backend.rs (version, nonce) and guest-components
 *   attestation-agent/kbs_protocol/src/client/rcar_client.rs (what is hashed, and how)
 */
import { sha384 } from '@noble/hashes/sha2.js';
import { type Bytes, base64url, bytes, fromBase64, fromBase64url, utf8 } from './bytes.ts';
import { type Code, ServiceError } from './errors.ts';
import { type Json, parseJson } from './json.ts';

/** Trustee answers this version and no other. */
export const KBS_VERSION = '0.4.0';
export const KBS_PREFIX = '/kbs/v0';
export const KBS_COOKIE = 'kbs-session-id';
/** The default of guest-components; Trustee names a hash only where a platform needs another. */
export const KBS_HASH = 'sha384';

/** `snp` is Trustee's name; Nitro enclaves have none there, and `nitro` is ours. */
export type KbsTee = 'snp' | 'nitro';

/** An ephemeral P-256 key made inside the enclave for one exchange, as a JWK with exactly these members. */
export interface TeeKey {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly alg: 'ECDH-ES+A256KW';
  readonly x: string;
  readonly y: string;
}

export type KbsEvidence =
  | {
      readonly tee: 'snp';
      /** The raw report, 1,184 bytes. */
      readonly report: Uint8Array<ArrayBuffer>;
      /** DER, leaf first, never the root. */
      readonly chain: readonly Uint8Array<ArrayBuffer>[];
    }
  | { readonly tee: 'nitro'; readonly document: Uint8Array<ArrayBuffer> };

export interface KbsAttestation {
  readonly nonce: string;
  readonly teeKey: TeeKey;
  readonly evidence: KbsEvidence;
}

/**
 * REPORT_DATA of an exchange (on Nitro the document's nonce): SHA-384 over the RFC 8785 form of the runtime data, then
 * 16 zero bytes. The log's own construction is a SHA-512 over other text (report-data.ts): neither can stand for the
 * other.
 */
export function kbsReportData(nonce: string, teeKey: TeeKey): Bytes<64> {
  const digest = sha384(utf8(canonicalJson({ 'additional-evidence': '', nonce, 'tee-pubkey': { ...teeKey } })));
  const data = new Uint8Array(64);
  data.set(digest);
  return bytes(data, 64, 'REPORT_DATA');
}

interface Texts {
  readonly [member: string]: string | Texts;
}

/** RFC 8785 for texts and objects of them: members in the order of their UTF-16 units, texts as JSON.stringify has them. */
function canonicalJson(value: string | Texts): string {
  if (typeof value === 'string') return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name] as string | Texts)}`);
  return `{${members.join(',')}}`;
}

// ── The Attester writes ─────────────────────────────────────────────────────────────────────────────────────────────

export const encodeKbsRequest = (tee: KbsTee): string =>
  JSON.stringify({ version: KBS_VERSION, tee, 'extra-params': { 'supported-hash-algorithms': [KBS_HASH] } });

export const encodeKbsAttestation = ({ nonce, teeKey, evidence }: KbsAttestation): string =>
  JSON.stringify({
    'runtime-data': { nonce, 'tee-pubkey': teeKey },
    'tee-evidence': { primary_evidence: evidenceJson(evidence), additional_evidence: '' },
  });

function evidenceJson(evidence: KbsEvidence) {
  if (evidence.tee === 'nitro') return { document: base64url(evidence.document) };
  const { report, chain } = evidence;
  const cert_chain = chain.map((data, i) => ({ cert_type: CERTIFICATES[i], data: base64url(data) }));
  return { attestation_report: base64url(report), cert_chain };
}

/** Names of virtee's `sev` library, which Trustee uses. VCEK stands for either leaf: a verifier reads which it is. */
const CERTIFICATES = ['VCEK', 'ASK'] as const;

// ── The broker writes ───────────────────────────────────────────────────────────────────────────────────────────────

export const encodeKbsChallenge = (nonce: string): string =>
  JSON.stringify({ nonce, 'extra-params': { 'selected-hash-algorithm': KBS_HASH } });

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Members of a JSON object, each checked as it is taken. Unknown ones are passed over, as the protocol's own readers do. */
class Fields {
  readonly #json: ReadonlyMap<string, Json>;
  readonly #code: Code;
  readonly #where: string;

  constructor(json: Json | undefined, code: Code, where: string) {
    this.#code = code;
    this.#where = where;
    if (!(json instanceof Map)) this.fail('', 'want an object');
    this.#json = json as ReadonlyMap<string, Json>;
  }

  fail(member: string, reason: string): never {
    const field = [this.#where, member].filter((part) => part !== '').join('.');
    throw new ServiceError(this.#code, `${field === '' ? 'body' : field}: ${reason}`, { field });
  }

  value(member: string): Json | undefined {
    return this.#json.get(member);
  }

  text(member: string, atMost: number): string {
    const value = this.#json.get(member);
    if (typeof value !== 'string' || value.length === 0 || value.length > atMost)
      return this.fail(member, `want text of 1 to ${atMost} characters`);
    return value;
  }

  oneOf<T extends string>(member: string, choices: readonly T[]): T {
    const value = this.#json.get(member);
    return choices.find((one) => one === value) ?? this.fail(member, `want ${choices.join(' or ')}`);
  }

  base64url(member: string, atMost: number): Uint8Array<ArrayBuffer> {
    const value = fromBase64url(this.text(member, Math.ceil((atMost * 4) / 3)));
    return value && value.length > 0 ? value : this.fail(member, 'want base64url without padding');
  }

  object(member: string): Fields {
    return new Fields(this.#json.get(member), this.#code, [this.#where, member].filter(Boolean).join('.'));
  }

  objects(member: string, atMost: number): Fields[] {
    const value = this.#json.get(member);
    if (!Array.isArray(value) || value.length > atMost) return this.fail(member, `want at most ${atMost} objects`);
    return value.map((item: Json, i) => new Fields(item, this.#code, `${this.#where}.${member}[${i}]`));
  }

  only(members: readonly string[]): void {
    for (const member of this.#json.keys()) if (!members.includes(member)) this.fail('', 'a member too many');
  }
}

function open(body: Uint8Array, code: Code): Fields {
  let json: Json;
  try {
    json = parseJson(body);
  } catch (error) {
    if (error instanceof ServiceError) throw new ServiceError(code, error.message, { field: 'body', cause: error });
    throw error;
  }
  return new Fields(json, code, '');
}

const MAX_TEXT = 256;
const MAX_REPORT_BYTES = 1184;
const MAX_CERTIFICATE_BYTES = 16_384;
const MAX_DOCUMENT_BYTES = 65_536;

/** @throws ServiceError BROKER_REQUEST_INVALID also for another version of the protocol or a platform not known here */
export function parseKbsRequest(body: Uint8Array): { readonly tee: KbsTee } {
  const fields = open(body, 'BROKER_REQUEST_INVALID');
  fields.oneOf('version', [KBS_VERSION]);
  return { tee: fields.oneOf('tee', ['snp', 'nitro']) };
}

/** @throws ServiceError BROKER_ANSWER_INVALID */
export function parseKbsChallenge(body: Uint8Array): { readonly nonce: string } {
  const fields = open(body, 'BROKER_ANSWER_INVALID');
  const nonce = fields.text('nonce', MAX_TEXT);
  if (fromBase64(nonce) === null) fields.fail('nonce', 'want base64'); // nothing else goes into what the platform signs
  const extra = fields.value('extra-params');
  const hash = extra instanceof Map ? extra.get('selected-hash-algorithm') : undefined;
  if (hash !== undefined && String(hash).toLowerCase() !== KBS_HASH)
    fields.fail('extra-params.selected-hash-algorithm', `want ${KBS_HASH}`);
  return { nonce };
}

/**
 * Shape only: the nonce, the key and the evidence are still to be held against one another.
 * @throws ServiceError BROKER_REQUEST_INVALID
 */
export function parseKbsAttestation(body: Uint8Array, tee: KbsTee): KbsAttestation {
  const fields = open(body, 'BROKER_REQUEST_INVALID');
  const runtime = fields.object('runtime-data');
  const nonce = runtime.text('nonce', MAX_TEXT);
  const teeKey = readTeeKey(runtime.object('tee-pubkey'));
  const composite = fields.object('tee-evidence');
  const additional = composite.value('additional_evidence');
  if (additional !== undefined && additional !== '') composite.fail('additional_evidence', 'want none');
  const primary = composite.object('primary_evidence');
  return { nonce, teeKey, evidence: readEvidence(primary, tee) };
}

function readTeeKey(fields: Fields): TeeKey {
  fields.only(['kty', 'crv', 'alg', 'x', 'y']);
  const coordinate = (member: 'x' | 'y'): string => {
    if (fields.base64url(member, 32).length !== 32) fields.fail(member, 'want 32 bytes');
    return fields.text(member, MAX_TEXT);
  };
  return {
    kty: fields.oneOf('kty', ['EC']),
    crv: fields.oneOf('crv', ['P-256']),
    alg: fields.oneOf('alg', ['ECDH-ES+A256KW']),
    x: coordinate('x'),
    y: coordinate('y'),
  };
}

function readEvidence(fields: Fields, tee: KbsTee): KbsEvidence {
  if (tee === 'nitro') return { tee, document: fields.base64url('document', MAX_DOCUMENT_BYTES) };
  return {
    tee,
    report: fields.base64url('attestation_report', MAX_REPORT_BYTES),
    chain: fields
      .objects('cert_chain', CERTIFICATES.length)
      .map((entry) => entry.base64url('data', MAX_CERTIFICATE_BYTES)),
  };
}

/** The token of a successful attestation. @throws ServiceError BROKER_ANSWER_INVALID */
export const parseKbsToken = (body: Uint8Array): string => open(body, 'BROKER_ANSWER_INVALID').text('token', 65_536);

/** A key, encrypted to the TEE key: a JWE in flattened JSON (RFC 7516 §7.2.2). */
export interface KbsResource {
  readonly protected: string;
  readonly encrypted_key: string;
  readonly iv: string;
  readonly ciphertext: string;
  readonly tag: string;
  readonly aad?: string;
}

/** Shape only. @throws ServiceError BROKER_ANSWER_INVALID */
export function parseKbsResource(body: Uint8Array): KbsResource {
  const fields = open(body, 'BROKER_ANSWER_INVALID');
  const part = (member: string): string => base64url(fields.base64url(member, 8192));
  return {
    protected: part('protected'),
    encrypted_key: part('encrypted_key'),
    iv: part('iv'),
    ciphertext: part('ciphertext'),
    tag: part('tag'),
    ...(typeof fields.value('aad') === 'string' && { aad: part('aad') }),
  };
}
