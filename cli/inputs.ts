/** Flags and the files they name, read for what they mean. Every mistake in them is the caller's: exit status 2. */
import { createPublicKey, X509Certificate } from 'node:crypto';
import {
  type Bytes,
  bytes,
  type Code,
  CodedError,
  fromHex,
  fromUtf8,
  MAX_NONCE_BYTES,
  MIN_NONCE_BYTES,
} from '@veritee/protocol';
import {
  type AppraisalPolicy,
  EAR_PROFILES,
  type EarAlgorithm,
  type EarProfile,
  type JWK,
  readPolicy as parsePolicyFile,
  readCrls,
  readEndorsements,
  readReferenceFile,
  readTrustAnchors,
  type TrustAnchor,
  withReferenceValues,
} from '@veritee/verifier';
import { InputError } from './exit.ts';
import { readInput } from './io.ts';

export const usage = (flag: string, want: string): InputError =>
  new InputError('USAGE', `--${flag}: want ${want}`, { field: flag });

/** Runs a reader of somebody's file; its refusal names the file. */
async function named<T>(code: Code, file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new InputError(code, `${file}: ${cause.message}`, { cause, field: file });
  }
}

/** @throws InputError POLICY_INVALID */
export async function readPolicy(file: string | undefined): Promise<AppraisalPolicy> {
  if (file === undefined)
    throw new InputError('USAGE', '--policy: there is no default policy; draft one with `veritee policy init`', {
      field: 'policy',
    });
  if (file.startsWith('builtin:')) throw usage('policy', 'a policy file, or with verify builtin:authenticity');
  const content = await readInput(file);
  return named('POLICY_INVALID', file, () => parsePolicyFile(content));
}

export interface ReferenceFlags {
  readonly referenceValues?: string;
  readonly referenceKey?: string;
}

/**
 * The policy, with the builds of a signed file if one is named; its detached JWS lies beside it as FILE.jws.
 * @throws InputError REFERENCE_VALUES_INVALID
 */
export async function addReferenceValues(
  policy: AppraisalPolicy,
  { referenceValues, referenceKey }: ReferenceFlags,
): Promise<AppraisalPolicy> {
  if (referenceValues === undefined && referenceKey === undefined) return policy;
  if (referenceValues === undefined || referenceKey === undefined)
    throw usage('reference-values', 'both --reference-values and --reference-key, or neither');
  const [file, signature, key] = [
    await readInput(referenceValues),
    await readInput(`${referenceValues}.jws`),
    await readJwk(referenceKey),
  ];
  if (!key) throw usage('reference-key', 'a public JWK');
  const values = await named('REFERENCE_VALUES_INVALID', referenceValues, () =>
    readReferenceFile(file, signature, key),
  );
  return withReferenceValues(policy, values);
}

/** A JSON Web Key, or null where the file holds no JSON object: what else it holds may be a secret and is not said. */
async function readJwk(file: string): Promise<JWK | null> {
  const content = await readInput(file);
  try {
    const key: unknown = JSON.parse(textOf(content));
    return typeof key === 'object' && key !== null ? (key as JWK) : null;
  } catch {
    return null;
  }
}

/** @throws InputError TRUST_ANCHOR_INVALID */
export async function readAnchors(files: readonly string[]): Promise<TrustAnchor[]> {
  const anchors: TrustAnchor[] = [];
  for (const file of files) {
    const content = await readInput(file);
    anchors.push(...(await named('TRUST_ANCHOR_INVALID', file, () => readTrustAnchors(content, 'root'))));
  }
  return anchors;
}

/** Whether this is an X.509 certificate at all; what it is worth, the verifier says. */
function isCertificate(der: Uint8Array): boolean {
  try {
    return new X509Certificate(der).raw.length > 0;
  } catch {
    return false;
  }
}

/** A file of certificates, or a certificate table. @throws InputError ENDORSEMENT_MALFORMED it holds something else */
export async function readEndorsement(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const content = await readInput(file);
  const { certificates } = await named('ENDORSEMENT_MALFORMED', file, () => readEndorsements(content, 'certificates'));
  if (!certificates.every(isCertificate))
    throw new InputError('ENDORSEMENT_MALFORMED', `${file}: not a certificate`, { field: file });
  return content;
}

/** A file of revocation lists. @throws InputError CRL_INVALID it holds something else */
export async function readCrl(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const content = await readInput(file);
  const lists = await named('CRL_INVALID', file, () => readCrls(content, 'lists'));
  if (lists.some(isCertificate))
    throw new InputError('CRL_INVALID', `${file}: a certificate, not a revocation list`, { field: file });
  return content;
}

const RFC_3339 =
  /^(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?)([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** RFC 3339, or now. */
export function readTime(text: string | undefined): Date {
  if (text === undefined) return new Date();
  const [, day = '', clock = '', zone = ''] = RFC_3339.exec(text) ?? [];
  const time = new Date(`${day}T${clock}${zone.toUpperCase()}`);
  // Date rolls the 30th of February over into March.
  const isDay = new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day);
  if (day === '' || Number.isNaN(time.getTime()) || !isDay)
    throw usage('at', 'an RFC 3339 time such as 2026-01-15T00:00:00Z');
  return time;
}

function readHex(text: string, flag: string): Uint8Array<ArrayBuffer> {
  const value = fromHex(text);
  if (!value) throw usage(flag, 'hexadecimal');
  return value;
}

export function readNonce(text: string): Uint8Array<ArrayBuffer> {
  const value = readHex(text, 'nonce');
  if (value.length < MIN_NONCE_BYTES || value.length > MAX_NONCE_BYTES)
    throw usage('nonce', `${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes in hexadecimal`);
  return value;
}

/** Bytes that are no UTF-8 read as none. */
function textOf(content: Uint8Array): string {
  try {
    return fromUtf8(content);
  } catch {
    return '';
  }
}

/** An Ed25519 public key: 64 hex digits, or a file with them, with the raw 32 bytes, or with a PEM or DER key. */
export async function readAirKey(text: string): Promise<Uint8Array> {
  const given = keyOfHex(text);
  if (given) return given;
  const content = await readInput(text);
  const key = content.length === KEY_BYTES ? content : (keyOfHex(textOf(content)) ?? keyOfSpki(content));
  if (!key) throw usage('air-key', 'an Ed25519 public key, or a file with one');
  return key;
}

const KEY_BYTES = 32;

function keyOfHex(text: string): Uint8Array | null {
  const key = fromHex(text.trim());
  return key?.length === KEY_BYTES ? key : null;
}

function keyOfSpki(content: Uint8Array): Uint8Array | null {
  for (const format of ['pem', 'der'] as const) {
    try {
      const key = createPublicKey({ key: Buffer.from(content), format, type: 'spki' });
      if (key.asymmetricKeyType === 'ed25519') return key.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
    } catch {
      // Not in this form; the caller of this function says what is wanted.
    }
  }
  return null;
}

export function readSalt(text: string, flag: string): Bytes<32> {
  const value = readHex(text, flag);
  if (value.length !== 32) throw usage(flag, '32 bytes in hexadecimal');
  return bytes(value, 32, flag);
}

export function readEarProfile(text: string): EarProfile {
  const profile = EAR_PROFILES.find((one) => one === text);
  if (!profile) throw usage('ear', EAR_PROFILES.join(' or '));
  return profile;
}

export interface EarKey {
  readonly key: JWK;
  readonly alg: EarAlgorithm;
}

const ALGORITHMS: ReadonlyMap<unknown, EarAlgorithm> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
]);

/** A private JWK; its curve says the algorithm. What is wrong with it is not said in detail: it is a key. */
export async function readEarKey(file: string): Promise<EarKey> {
  const key = await readJwk(file);
  const alg = ALGORITHMS.get(key?.crv);
  if (key && alg && typeof key.d === 'string') return { key, alg };
  throw earKeyRefused();
}

export const earKeyRefused = (): InputError => usage('ear-key', 'a private JWK on the curve P-256 or P-384');
