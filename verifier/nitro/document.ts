import {
  type Bytes,
  bytes,
  type Cbor,
  decodeCbor,
  EvidenceError,
  encodeCbor,
  equalBytes,
  isZero,
  MapReader,
} from '@veritee/protocol';
import { decodeNsmCbor } from './cbor.ts';
import { TAG_SIGN1 } from './detect.ts';

/** `{1: -35}`: ES384 and nothing else (RFC 9053 §2.1). */
const PROTECTED_ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);

const MAX_PAYLOAD_BYTES = 16_384;
const MAX_DOCUMENT_BYTES = MAX_PAYLOAD_BYTES + 128;
const MAX_CERTIFICATE_BYTES = 1024;
const MAX_PCRS = 32;
/** The specification's text says 512 for user_data and nonce, its CDDL 1,024; genuine documents carry 1,024. */
const MAX_OPTIONAL_BYTES = 1024;
const MAX_DATE_MS = 8.64e15;

const KNOWN_FIELDS: readonly string[] = [
  'module_id',
  'digest',
  'timestamp',
  'pcrs',
  'certificate',
  'cabundle',
  'public_key',
  'user_data',
  'nonce',
];

/** `i-03ad7cdb817437eeb-enc0183cc7569b3f6e1`: an EC2 instance and an enclave on it. */
const MODULE_ID = /^(i-[0-9a-f]{1,32})-(enc[0-9a-f]{1,32})$/;

export type Pcr = Bytes<48>;

export interface NitroDocument {
  readonly moduleId: string;
  /** The two parts of `moduleId`. */
  readonly instanceId: string;
  readonly enclaveId: string;
  readonly digest: 'SHA384';
  /** By the hypervisor's clock, in milliseconds. */
  readonly timestamp: Date;
  /** By index; 0, 1 and 2 are always there. */
  readonly pcrs: ReadonlyMap<number, Pcr>;
  readonly pcr0: Pcr;
  readonly pcr1: Pcr;
  readonly pcr2: Pcr;
  /** DER of the leaf, whose key signed the document. */
  readonly certificate: Uint8Array<ArrayBuffer>;
  /** DER, root first, the leaf's issuer last. */
  readonly cabundle: readonly Uint8Array<ArrayBuffer>[];
  /** Null when absent; hypervisors write CBOR null. An empty one is genuine and stays empty. */
  readonly publicKey: Uint8Array<ArrayBuffer> | null;
  readonly userData: Uint8Array<ArrayBuffer> | null;
  readonly nonce: Uint8Array<ArrayBuffer> | null;
  /** How many fields of the payload this release does not know. They are signed, and nothing is decided by them. */
  readonly unknownFields: number;
  readonly protectedHeader: Uint8Array<ArrayBuffer>;
  /** Exactly as received: what the signature covers. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** r ‖ s, big-endian, as WebCrypto takes it. */
  readonly signature: Bytes<96>;
  /** The Sig_structure over header and payload as received (RFC 9052 §4.4). */
  readonly toBeSigned: Uint8Array<ArrayBuffer>;
}

const WHAT = 'document';

function fail(name: string, reason: string): never {
  const field = `${WHAT}.${name}`;
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
}

interface Envelope {
  readonly protectedHeader: Uint8Array<ArrayBuffer>;
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly signature: Bytes<96>;
}

/**
 * The four parts of COSE_Sign1. No signature covers them as a whole, so they have one encoding, with or without the tag:
 * otherwise one signed document could be passed on in many forms.
 */
function parseEnvelope(raw: Uint8Array): Envelope {
  if (raw.length > MAX_DOCUMENT_BYTES) {
    const reason = `got ${raw.length} bytes, want at most ${MAX_DOCUMENT_BYTES}`;
    throw new EvidenceError('EVIDENCE_TOO_LARGE', `${WHAT}: ${reason}`, { field: WHAT });
  }
  const parts = decodeCbor(raw[0] === TAG_SIGN1 ? raw.subarray(1) : raw, WHAT);
  if (!Array.isArray(parts) || parts.length !== 4) return fail('envelope', 'want the four parts of COSE_Sign1');
  const [header, unprotected, payload, signature]: readonly Cbor[] = parts;
  if (!(signature instanceof Uint8Array)) return fail('signature', 'want a byte string');
  if (isZero(signature)) {
    const field = `${WHAT}.signature`;
    const reason = 'all zero: nobody signed this; an emulated NSM (QEMU) writes such documents';
    throw new EvidenceError('SIGNATURE_INVALID', `${field}: ${reason}`, { field });
  }
  if (!(header instanceof Uint8Array) || !equalBytes(header, PROTECTED_ES384)) {
    return fail('protected', 'want exactly {1: -35}, the algorithm ES384');
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) return fail('unprotected', 'want an empty map');
  if (!(payload instanceof Uint8Array)) return fail('payload', 'want a byte string');
  if (payload.length === 0 || payload.length > MAX_PAYLOAD_BYTES) {
    return fail('payload', `got ${payload.length} bytes, want 1 to ${MAX_PAYLOAD_BYTES}`);
  }
  return {
    protectedHeader: new Uint8Array(header),
    payload: new Uint8Array(payload),
    signature: bytes(signature, 96, `${WHAT}.signature`),
  };
}

function parsePcrs(value: Cbor): Map<number, Pcr> {
  if (!(value instanceof Map)) return fail('pcrs', 'want a map');
  if (value.size === 0 || value.size > MAX_PCRS) fail('pcrs', `got ${value.size} entries, want 1 to ${MAX_PCRS}`);
  const pcrs = new Map<number, Pcr>();
  for (const [index, pcr] of value) {
    if (typeof index !== 'number' || index < 0 || index >= MAX_PCRS) {
      return fail('pcrs', `an index that is not a number of 0 to ${MAX_PCRS - 1}`);
    }
    if (!(pcr instanceof Uint8Array)) return fail(`pcrs[${index}]`, 'want a byte string');
    // The CDDL also allows the sizes of SHA-256 and SHA-512, but `digest` only SHA384.
    pcrs.set(index, bytes(pcr, 48, `${WHAT}.pcrs[${index}]`));
  }
  return pcrs;
}

function parseBundle(fields: MapReader): readonly Uint8Array<ArrayBuffer>[] {
  const bundle = fields.arrayOfAnyBytes('cabundle', 'cabundle', MAX_PAYLOAD_BYTES, MAX_CERTIFICATE_BYTES);
  if (bundle.length === 0) fail('cabundle', 'no certificate');
  for (const [index, der] of bundle.entries()) if (der.length === 0) fail(`cabundle[${index}]`, 'empty');
  return bundle;
}

function parseModuleId(fields: MapReader): readonly [moduleId: string, instanceId: string, enclaveId: string] {
  const match = MODULE_ID.exec(fields.text('module_id', 'module_id', 80));
  const [moduleId, instanceId, enclaveId] = match ?? [];
  if (moduleId === undefined || instanceId === undefined || enclaveId === undefined) {
    return fail('module_id', 'want i-<instance>-enc<enclave>, in lower-case hexadecimal');
  }
  return [moduleId, instanceId, enclaveId];
}

function parseTimestamp(fields: MapReader): Date {
  const timestamp = fields.uint('timestamp', 'timestamp');
  if (timestamp === 0 || timestamp > MAX_DATE_MS) fail('timestamp', 'not a time in milliseconds');
  return new Date(timestamp);
}

/**
 * Decode a Nitro attestation document. Shape only: no field is trusted until `verifyNitro`.
 *
 * @param raw COSE_Sign1, tagged or not, as the NSM returned it
 * @throws EvidenceError EVIDENCE_MALFORMED another shape, a size out of range, duplicate keys, trailing bytes;
 *   EVIDENCE_TOO_LARGE; EVIDENCE_UNSUPPORTED a NitroTPM document; SIGNATURE_INVALID a document that nobody signed
 * @see AWS Nitro Enclaves, attestation_process.md §3.1 and §3.2.2
 */
export function parseNitroDocument(raw: Uint8Array): NitroDocument {
  const { protectedHeader, payload, signature } = parseEnvelope(raw);
  const map = decodeNsmCbor(payload, `${WHAT}.payload`);
  if (!(map instanceof Map)) return fail('payload', 'want a map');
  if ([...map.keys()].some((key) => typeof key !== 'string')) fail('payload', 'a key that is not text');
  if (map.has('nitrotpm_pcrs')) {
    // The same root signs these, and nothing but this key tells the two apart.
    const field = `${WHAT}.nitrotpm_pcrs`;
    const reason = 'a NitroTPM document speaks for a whole EC2 instance, not for an enclave';
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `${field}: ${reason}`, { field });
  }
  const fields = new MapReader(map, WHAT);
  const optional = (key: string): Uint8Array<ArrayBuffer> | null =>
    !fields.has(key) || fields.isNull(key, key) ? null : fields.anyBytes(key, key, MAX_OPTIONAL_BYTES);
  const [moduleId, instanceId, enclaveId] = parseModuleId(fields);
  const pcrs = parsePcrs(fields.value('pcrs', 'pcrs'));
  // The platform locks PCR0 to PCR15 at boot, so they are in every document; these three tell which image runs.
  const measured = (index: number): Pcr => pcrs.get(index) ?? fail(`pcrs[${index}]`, 'missing');
  return {
    moduleId,
    instanceId,
    enclaveId,
    digest: fields.exactly('digest', 'digest', 'SHA384'),
    timestamp: parseTimestamp(fields),
    pcrs,
    pcr0: measured(0),
    pcr1: measured(1),
    pcr2: measured(2),
    certificate: fields.anyBytes('certificate', 'certificate', MAX_CERTIFICATE_BYTES, 1),
    cabundle: parseBundle(fields),
    publicKey: optional('public_key'),
    userData: optional('user_data'),
    nonce: optional('nonce'),
    unknownFields: [...map.keys()].filter((key) => !KNOWN_FIELDS.includes(String(key))).length,
    protectedHeader,
    payload,
    signature,
    toBeSigned: encodeCbor(['Signature1', protectedHeader, new Uint8Array(0), payload]),
  };
}
