/**
 * A model file encrypted at rest: one COSE_Encrypt0 message (RFC 9052 §5.2, tag 16) with AES-256-GCM (RFC 9053 §4.1)
 * in the one shape Veritee uses. `model.onnx.cose` stands for `model.onnx`.
 *
 *     16([ << {1: 3, 3: content type, 4: key id, "path": "fraud/1/model.onnx"} >>, {5: iv}, ciphertext ‖ tag ])
 *
 * The path is that of the clear file in the repository. It is under the protected header, so that a host cannot put one
 * model, version or weights file in the place of another that has the same key. The ciphertext comes last and runs to
 * the file's end: everything before it is read first, and the rest is opened piece by piece where it will stay.
 */
import { type Bytes, bytes, concat, equalBytes, utf8 } from './bytes.ts';
import { type Cbor, type CborKey, decodeCbor, encodeCbor, MapReader } from './cbor.ts';
import { EvidenceError, ServiceError } from './errors.ts';
import { modelPathProblem } from './model-digest.ts';

export const SEALED_SUFFIX = '.cose';
export const SEALED_MODEL_TYPE = 'application/vnd.veritee.model-file';
export const SEALED_KEY_BYTES = 32;
export const SEALED_TAG_BYTES = 16;
/** The message up to its ciphertext. */
export const MAX_SEALED_HEAD_BYTES = 8192;
const MAX_KEY_ID_BYTES = 512;
const MAX_PATH_BYTES = 4096;

const TAG_ENCRYPT0 = 0xd0; // tag 16 in its one-byte form
const ARRAY_OF_3 = 0x83;
const ALG_A256GCM = 3;
const HEADER = { alg: 1, contentType: 3, kid: 4, iv: 5, path: 'path' } as const;
const MAJOR_BYTES = 2;

/** `kbs:///<repository>/<type>/<tag>`, the resource URI of the CoCo key broker. */
export interface KeyId {
  readonly repository: string;
  readonly type: string;
  readonly tag: string;
}

const KEY_ID = /^kbs:\/\/\/([\w][\w.-]{0,127})\/([\w][\w.-]{0,127})\/([\w][\w.-]{0,127})$/;

/** Null when it is no key id; the parts can stand in a URL and in a file name as they are. */
export function parseKeyId(uri: string): KeyId | null {
  const [, repository, type, tag] = KEY_ID.exec(uri) ?? [];
  return repository && type && tag ? { repository, type, tag } : null;
}

export const keyIdText = ({ repository, type, tag }: KeyId): string => `kbs:///${repository}/${type}/${tag}`;

export interface SealedModelFacts {
  readonly keyId: KeyId;
  /** `<name>/<version>/<file>`, without the suffix. */
  readonly path: string;
  readonly iv: Bytes<12>;
}

/** The message up to its ciphertext. Nothing in it is authentic until the ciphertext opens with `aad`. */
export interface SealedModelHead extends SealedModelFacts {
  /** The Enc_structure, RFC 9052 §5.3. */
  readonly aad: Uint8Array<ArrayBuffer>;
  /** Where the ciphertext begins in the file; its last 16 bytes are the tag. */
  readonly offset: number;
  readonly plaintextBytes: number;
}

const protectedHeader = ({ keyId, path }: SealedModelFacts): Uint8Array<ArrayBuffer> =>
  encodeCbor(
    new Map<CborKey, Cbor>([
      [HEADER.alg, ALG_A256GCM],
      [HEADER.contentType, SEALED_MODEL_TYPE],
      [HEADER.kid, utf8(keyIdText(keyId))],
      [HEADER.path, path],
    ]),
  );

const encStructure = (header: Uint8Array): Uint8Array<ArrayBuffer> =>
  encodeCbor(['Encrypt0', header, new Uint8Array(0)]);

/** The initial bytes of a byte string whose content is too long to be held: RFC 8949 §3, shortest form. */
function byteStringHead(length: number): Uint8Array {
  const type = MAJOR_BYTES << 5;
  if (length < 24) return Uint8Array.of(type | length);
  const width = length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x100000000 ? 4 : 8;
  const out = new Uint8Array(1 + width);
  out[0] = type | (width === 1 ? 24 : width === 2 ? 25 : width === 4 ? 26 : 27);
  for (let i = width, rest = length; i > 0; i--, rest = Math.floor(rest / 0x100)) out[i] = rest % 0x100;
  return out;
}

/** What stands before the ciphertext of a file of that many bytes. */
export function encodeSealedModelHead(
  facts: SealedModelFacts,
  plaintextBytes: number,
): { readonly head: Uint8Array<ArrayBuffer>; readonly aad: Uint8Array<ArrayBuffer> } {
  const header = protectedHeader(facts);
  const head = concat(
    Uint8Array.of(TAG_ENCRYPT0, ARRAY_OF_3),
    encodeCbor(header),
    encodeCbor(new Map([[HEADER.iv, facts.iv as Uint8Array]])),
    byteStringHead(plaintextBytes + SEALED_TAG_BYTES),
  );
  return { head, aad: encStructure(header) };
}

/**
 * @param start the file's first bytes: MAX_SEALED_HEAD_BYTES of them, or all it has
 * @param fileBytes the size of the whole file, which the ciphertext must fill exactly
 * @param where the file as messages name it
 * @throws ServiceError MODEL_SEAL_INVALID any other shape, header or encoding, or a file that is cut short or too long
 */
export function parseSealedModelHead(start: Uint8Array, fileBytes: number, where: string): SealedModelHead {
  const fail = (reason: string): never => {
    throw new ServiceError('MODEL_SEAL_INVALID', `${where}: ${reason}`, { field: where });
  };
  if (start[0] !== TAG_ENCRYPT0 || start[1] !== ARRAY_OF_3) fail('not a tagged COSE_Encrypt0 message');
  const header = readByteStringHead(start, 2);
  if (!header || header.end + header.length > start.length) return fail('protected header cut short');
  const rawHeader = start.subarray(header.end, header.end + header.length);
  const facts = { ...readProtected(rawHeader, fail), iv: readIv(start, header.end + header.length, fail) };
  const content = readByteStringHead(start, header.end + header.length + IV_HEADER_BYTES);
  if (!content || content.length < SEALED_TAG_BYTES) return fail('no ciphertext');
  if (content.end + content.length !== fileBytes) fail('cut short, or bytes after the message');
  const plaintextBytes = content.length - SEALED_TAG_BYTES;
  const { head, aad } = encodeSealedModelHead(facts, plaintextBytes);
  if (!equalBytes(head, start.subarray(0, content.end))) fail('not in canonical form');
  return { ...facts, aad, offset: content.end, plaintextBytes };
}

function readProtected(raw: Uint8Array, fail: (reason: string) => never): Omit<SealedModelFacts, 'iv'> {
  try {
    const fields = new MapReader(decodeCbor(raw, 'protected'), 'protected');
    fields.exactly(HEADER.alg, 'alg', ALG_A256GCM);
    fields.exactly(HEADER.contentType, 'content type', SEALED_MODEL_TYPE);
    const kid = fields.anyBytes(HEADER.kid, 'kid', MAX_KEY_ID_BYTES);
    const path = fields.text(HEADER.path, 'path', MAX_PATH_BYTES);
    fields.end();
    const keyId = parseKeyId(String.fromCharCode(...kid));
    if (!keyId) return fail('kid: want kbs:///<repository>/<type>/<tag>');
    const problem = modelPathProblem(path);
    return problem === null ? { keyId, path } : fail(`path: ${problem}`);
  } catch (error) {
    if (error instanceof EvidenceError) return fail(error.message);
    throw error;
  }
}

const IV_BYTES = 12;
const IV_HEADER = Uint8Array.of(0xa1, HEADER.iv, (MAJOR_BYTES << 5) | IV_BYTES); // {5: h'…'}
const IV_HEADER_BYTES = IV_HEADER.length + IV_BYTES;

function readIv(start: Uint8Array, at: number, fail: (reason: string) => never): Bytes<12> {
  const end = at + IV_HEADER.length;
  if (!equalBytes(start.subarray(at, end), IV_HEADER) || start.length < end + IV_BYTES)
    return fail('unprotected header: want the IV of 12 bytes alone');
  return bytes(start.subarray(end, end + IV_BYTES), IV_BYTES, 'iv');
}

/** Length and end of a byte string's initial bytes; null when it is none. Its form is checked by encoding it again. */
function readByteStringHead(data: Uint8Array, at: number): { readonly length: number; readonly end: number } | null {
  const initial = data[at] ?? 0;
  const info = initial & 0x1f;
  if (initial >> 5 !== MAJOR_BYTES || info > 27) return null;
  if (info < 24) return { length: info, end: at + 1 };
  const end = at + 1 + (1 << (info - 24));
  if (end > data.length) return null;
  const length = data.subarray(at + 1, end).reduce((value, byte) => value * 0x100 + byte, 0);
  return Number.isSafeInteger(length) ? { length, end } : null;
}

/** The name of the clear file that an encrypted one stands for; null when it is not encrypted. */
export const clearName = (path: string): string | null =>
  path.endsWith(SEALED_SUFFIX) ? path.slice(0, -SEALED_SUFFIX.length) : null;
