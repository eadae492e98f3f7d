/** Sealed messages: HPKE (RFC 9180), Oblivious HTTP (RFC 9458, draft-ietf-ohai-chunked-ohttp-08), Binary HTTP (RFC 9292). */
export {
  type EncodeOptions,
  encodeBinaryRequest,
  encodeBinaryResponse,
  parseBinaryResponse,
  readBinaryRequest,
} from './binary-http.ts';
export {
  type BinaryRequest,
  type BinaryRequestHead,
  type BinaryResponse,
  MAX_CONTENT_CHUNKS,
  MAX_FIELDS,
  MAX_FIELDS_BYTES,
  MAX_PADDING,
  MAX_PATH_BYTES,
} from './binary-http-rules.ts';
export { MAX_CHUNK_BYTES, MAX_CHUNKS } from './chunks.ts';
export { OHTTP_KEY_PROBLEM, OHTTP_MEDIA } from './forms.ts';
export {
  encodeKeyConfig,
  encodeKeyConfigList,
  type KeyConfig,
  MAX_KEY_CONFIG_BYTES,
  MAX_KEY_CONFIGS,
  parseKeyConfig,
  parseKeyConfigList,
} from './key-config.ts';
export { type OpenedRequest, type OpenOptions, openRequest } from './recipient.ts';
export { generateSealingKey, type SealingKeyPair } from './sealing-key.ts';
export { type SealedRequest, sealRequest } from './sender.ts';
