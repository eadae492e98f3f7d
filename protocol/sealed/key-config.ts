/**
 * Key configurations, RFC 9458 §3. One configuration is what a key entry of the log holds; `application/ohttp-keys` is a
 * list of them. A sender takes a key only from a verified attestation: the published list is for foreign tools.
 *
 *     5a 0020 <32 bytes> 0004 0001 0002      key id, KEM, public key, bytes of suites, KDF, AEAD
 */
import { type Bytes, bytes, concat } from '../bytes.ts';
import { EvidenceError } from '../errors.ts';
import { AEAD_AES256, ENC_BYTES, KDF_SHA256, KEM_X25519 } from './suite.ts';

export interface KeyConfig {
  /** 0 to 255. */
  readonly keyId: number;
  readonly publicKey: Bytes<32>;
}

export const MAX_KEY_CONFIG_BYTES = 4096;
export const MAX_KEY_CONFIGS = 64;

const FIELD = 'keyConfig';
const malformed = (message: string) =>
  new EvidenceError('EVIDENCE_MALFORMED', `${FIELD}: ${message}`, { field: FIELD });
const unsupported = (message: string) =>
  new EvidenceError('EVIDENCE_UNSUPPORTED', `${FIELD}: ${message}`, { field: FIELD });

const uint16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);

/** Key id and suite as they stand at the head of a sealed request and in the HPKE `info`. */
export const encodeRequestHeader = (keyId: number, aead: number = AEAD_AES256): Uint8Array<ArrayBuffer> =>
  concat(Uint8Array.of(keyId), uint16(KEM_X25519), uint16(KDF_SHA256), uint16(aead));

export const REQUEST_HEADER_BYTES = 7;

export function encodeKeyConfig(config: KeyConfig, aead: number = AEAD_AES256): Uint8Array<ArrayBuffer> {
  if (!Number.isInteger(config.keyId) || config.keyId < 0 || config.keyId > 255) {
    throw new TypeError('a key id is one byte');
  }
  return concat(
    Uint8Array.of(config.keyId),
    uint16(KEM_X25519),
    config.publicKey,
    uint16(4),
    uint16(KDF_SHA256),
    uint16(aead),
  );
}

/** @throws EvidenceError EVIDENCE_MALFORMED; EVIDENCE_UNSUPPORTED for another KEM, or when our suite is not offered */
export function parseKeyConfig(raw: Uint8Array, aead: number = AEAD_AES256): KeyConfig {
  if (raw.length > MAX_KEY_CONFIG_BYTES) throw malformed('too long');
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  if (raw.length < 3) throw malformed('ends too early');
  if (view.getUint16(1) !== KEM_X25519) throw unsupported('another KEM');
  const suitesAt = 3 + ENC_BYTES + 2;
  if (raw.length < suitesAt) throw malformed('ends too early');
  const suites = view.getUint16(suitesAt - 2);
  if (suites === 0 || suites % 4 !== 0 || raw.length !== suitesAt + suites)
    throw malformed('wrong length of its suites');
  let offered = false;
  for (let at = suitesAt; at < raw.length; at += 4) {
    offered ||= view.getUint16(at) === KDF_SHA256 && view.getUint16(at + 2) === aead;
  }
  if (!offered) throw unsupported('does not offer our suite');
  return { keyId: view.getUint8(0), publicKey: bytes(raw.subarray(3, suitesAt - 2), 32, 'publicKey') };
}

/** `application/ohttp-keys`: each configuration behind its length in two bytes. */
export const encodeKeyConfigList = (configs: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  concat(...configs.flatMap((config) => [uint16(config.length), config]));

/** Cuts the list; its configurations are yet to be parsed, and those of other suites to be passed over. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseKeyConfigList(raw: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const configs: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < raw.length; ) {
    if (raw.length < at + 2) throw malformed('the list ends within a length');
    const length = ((raw[at] as number) << 8) | (raw[at + 1] as number);
    at += 2;
    if (length > MAX_KEY_CONFIG_BYTES) throw malformed('too long');
    if (raw.length < at + length) throw malformed('the list ends within a configuration');
    if (configs.length === MAX_KEY_CONFIGS) throw malformed('too many in the list');
    configs.push(new Uint8Array(raw.subarray(at, at + length)));
    at += length;
  }
  return configs;
}
