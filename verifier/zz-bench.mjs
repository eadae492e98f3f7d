var __defProp = Object.defineProperty;
var __export = (target, all2) => {
  for (var name in all2)
    __defProp(target, name, { get: all2[name], enumerable: true });
};

// protocol/errors.ts
var CODES = {
  // Evidence and receipts: shape.
  EVIDENCE_MALFORMED: { stage: "parse", action: "refuse" },
  EVIDENCE_TOO_LARGE: { stage: "parse", action: "refuse" },
  EVIDENCE_UNSUPPORTED: { stage: "parse", action: "upgrade" },
  EVIDENCE_MISSING: { stage: "parse", action: "retry" },
  // Evidence and receipts: signatures and bindings.
  ENDORSEMENT_MISSING: { stage: "verify", action: "retry" },
  ENDORSEMENT_MALFORMED: { stage: "verify", action: "refuse" },
  CHAIN_UNTRUSTED: { stage: "verify", action: "refuse" },
  CERTIFICATE_INVALID: { stage: "verify", action: "refuse" },
  CERTIFICATE_EXPIRED: { stage: "verify", action: "refuse" },
  CERTIFICATE_NOT_YET_VALID: { stage: "verify", action: "refuse" },
  CERTIFICATE_REVOKED: { stage: "verify", action: "refuse" },
  CRL_INVALID: { stage: "verify", action: "refuse" },
  CRL_STALE: { stage: "verify", action: "retry" },
  SIGNATURE_INVALID: { stage: "verify", action: "refuse" },
  SIGNING_KEY_MISMATCH: { stage: "verify", action: "refuse" },
  PRODUCT_MISMATCH: { stage: "verify", action: "refuse" },
  TCB_MISMATCH: { stage: "verify", action: "refuse" },
  CHIP_ID_MISMATCH: { stage: "verify", action: "refuse" },
  KEY_BINDING_MISMATCH: { stage: "verify", action: "refuse" },
  SESSION_INVALID: { stage: "verify", action: "refuse" },
  CHECKPOINT_INVALID: { stage: "verify", action: "refuse" },
  STATEMENT_INVALID: { stage: "verify", action: "refuse" },
  INCLUSION_INVALID: { stage: "verify", action: "refuse" },
  INCLUSION_MISSING: { stage: "verify", action: "refuse" },
  SESSION_FORKED: { stage: "verify", action: "refuse" },
  CHALLENGE_INVALID: { stage: "verify", action: "refuse" },
  KEY_NOT_COMMITTED: { stage: "verify", action: "retry", status: 503 },
  // Evidence and receipts: meaning against what the caller knows and its policy.
  NONCE_MISMATCH: { stage: "appraise", action: "refuse" },
  REQUEST_MISMATCH: { stage: "appraise", action: "refuse" },
  RESPONSE_MISMATCH: { stage: "appraise", action: "refuse" },
  MODEL_MISMATCH: { stage: "appraise", action: "refuse" },
  OPERATION_MISMATCH: { stage: "appraise", action: "refuse" },
  OUTCOME_NOT_OK: { stage: "appraise", action: "refuse" },
  PLATFORM_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  PRODUCT_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  MEASUREMENT_UNKNOWN: { stage: "appraise", action: "refuse" },
  HOST_DATA_MISMATCH: { stage: "appraise", action: "refuse" },
  VMPL_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  ID_KEY_MISMATCH: { stage: "appraise", action: "refuse" },
  AUTHOR_KEY_MISMATCH: { stage: "appraise", action: "refuse" },
  TCB_BELOW_MINIMUM: { stage: "appraise", action: "refuse" },
  TCB_PROVISIONAL: { stage: "appraise", action: "refuse" },
  TCB_INCONSISTENT: { stage: "appraise", action: "refuse" },
  DEBUG_ENABLED: { stage: "appraise", action: "refuse" },
  MIGRATION_ENABLED: { stage: "appraise", action: "refuse" },
  SMT_ENABLED: { stage: "appraise", action: "refuse" },
  GUEST_POLICY_WEAK: { stage: "appraise", action: "refuse" },
  ALIAS_CHECK_MISSING: { stage: "appraise", action: "refuse" },
  CHIP_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  CHIP_ID_MASKED: { stage: "appraise", action: "refuse" },
  CRL_REQUIRED: { stage: "appraise", action: "retry" },
  MODEL_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  STRENGTH_INSUFFICIENT: { stage: "appraise", action: "retry" },
  FRESHNESS_REQUIRED: { stage: "appraise", action: "refuse" },
  TIME_NOT_PROVEN: { stage: "appraise", action: "refuse" },
  SIGNING_KEY_NOT_ALLOWED: { stage: "appraise", action: "refuse" },
  PLATFORM_INFO_UNKNOWN: { stage: "appraise", action: "refuse" },
  MEASUREMENT_DENIED: { stage: "appraise", action: "refuse" },
  // Inference requests.
  REQUEST_TOO_LARGE: { stage: "request", action: "refuse", status: 413 },
  REQUEST_TRUNCATED: { stage: "request", action: "retry", status: 400 },
  REQUEST_ENCODING_UNSUPPORTED: { stage: "request", action: "refuse", status: 415 },
  REQUEST_NOT_FOUND: { stage: "request", action: "refuse", status: 404 },
  REQUEST_METHOD_NOT_ALLOWED: { stage: "request", action: "refuse", status: 405 },
  REQUEST_HEADER_INVALID: { stage: "request", action: "refuse", status: 400 },
  REQUEST_FIELD_INVALID: { stage: "request", action: "refuse", status: 400 },
  REQUEST_PARAMETER_UNSUPPORTED: { stage: "request", action: "refuse", status: 400 },
  PLAINTEXT_NOT_ALLOWED: { stage: "request", action: "refuse", status: 403 },
  NONCE_INVALID: { stage: "request", action: "refuse", status: 400 },
  JSON_MALFORMED: { stage: "request", action: "refuse", status: 400 },
  JSON_NUMBER_NOT_FINITE: { stage: "request", action: "refuse", status: 400 },
  BINARY_TRUNCATED: { stage: "request", action: "refuse", status: 400 },
  BINARY_SIZE_MISMATCH: { stage: "request", action: "refuse", status: 400 },
  TENSOR_NAME_UNKNOWN: { stage: "request", action: "refuse", status: 400 },
  TENSOR_NAME_DUPLICATE: { stage: "request", action: "refuse", status: 400 },
  TENSOR_MISSING: { stage: "request", action: "refuse", status: 400 },
  TENSOR_DATATYPE_UNKNOWN: { stage: "request", action: "refuse", status: 400 },
  TENSOR_DATATYPE_MISMATCH: { stage: "request", action: "refuse", status: 400 },
  TENSOR_DATATYPE_BINARY_ONLY: { stage: "request", action: "refuse", status: 400 },
  TENSOR_SHAPE_MISMATCH: { stage: "request", action: "refuse", status: 400 },
  TENSOR_ELEMENT_COUNT_MISMATCH: { stage: "request", action: "refuse", status: 400 },
  TENSOR_VALUE_INVALID: { stage: "request", action: "refuse", status: 400 },
  TENSOR_VALUE_OUT_OF_RANGE: { stage: "request", action: "refuse", status: 400 },
  INPUT_MEMORY_EXCEEDED: { stage: "request", action: "refuse", status: 413 },
  OUTPUT_NOT_FINITE: { stage: "request", action: "refuse", status: 422 },
  OUTPUT_NOT_TEXT: { stage: "request", action: "refuse", status: 422 },
  OUTPUT_DATATYPE_UNSUPPORTED: { stage: "request", action: "refuse", status: 422 },
  // Models.
  MODEL_UNKNOWN: { stage: "model", action: "refuse", status: 404 },
  MODEL_VERSION_UNKNOWN: { stage: "model", action: "refuse", status: 404 },
  MODEL_NOT_READY: { stage: "model", action: "retry", status: 503 },
  MODEL_REPOSITORY_INVALID: { stage: "model", action: "refuse", status: 503 },
  MODEL_FILE_MISSING: { stage: "model", action: "refuse", status: 503 },
  MODEL_FILE_INVALID: { stage: "model", action: "refuse", status: 503 },
  MODEL_FILE_TOO_LARGE: { stage: "model", action: "refuse", status: 503 },
  MODEL_EXTERNAL_DATA_MISSING: { stage: "model", action: "refuse", status: 503 },
  MODEL_CONFIG_INVALID: { stage: "model", action: "refuse", status: 503 },
  MODEL_TYPE_UNSUPPORTED: { stage: "model", action: "refuse", status: 503 },
  MODEL_RUN_FAILED: { stage: "model", action: "refuse", status: 500 },
  // The service itself.
  QUEUE_FULL: { stage: "relay", action: "retry", status: 503 },
  DEADLINE_EXCEEDED: { stage: "relay", action: "retry", status: 504 },
  REQUEST_CANCELLED: { stage: "relay", action: "retry", status: 499 },
  LOG_BACKLOG_FULL: { stage: "relay", action: "retry", status: 503 },
  CHALLENGES_FULL: { stage: "relay", action: "retry", status: 503 },
  ENCLAVE_UNREACHABLE: { stage: "relay", action: "retry", status: 503 },
  ENCLAVE_STOPPING: { stage: "relay", action: "retry", status: 503 },
  ENCLAVE_CHANGED: { stage: "relay", action: "retry", status: 503 },
  EVIDENCE_NOT_READY: { stage: "relay", action: "retry", status: 503 },
  LOG_FORKED: { stage: "relay", action: "refuse", status: 500 },
  RECEIPT_NEVER_COMMITTED: { stage: "relay", action: "refuse" },
  RECEIPT_PENDING: { stage: "relay", action: "retry" },
  RECEIPT_UNKNOWN: { stage: "relay", action: "refuse", status: 404 },
  BOOT_UNKNOWN: { stage: "relay", action: "refuse", status: 404 },
  TILE_UNKNOWN: { stage: "relay", action: "refuse", status: 404 },
  STORE_FULL: { stage: "relay", action: "retry", status: 503 },
  STORE_FAILED: { stage: "relay", action: "retry", status: 503 },
  STORE_NEWER: { stage: "relay", action: "upgrade" },
  SERVICE_UNREACHABLE: { stage: "relay", action: "retry" },
  SERVICE_REFUSED: { stage: "relay", action: "refuse" },
  SERVICE_ANSWER_INVALID: { stage: "relay", action: "refuse" },
  DATA_FOLDER_IN_USE: { stage: "relay", action: "refuse" },
  DATA_FOLDER_UNUSABLE: { stage: "relay", action: "refuse" },
  PORT_IN_USE: { stage: "relay", action: "refuse" },
  LISTEN_FAILED: { stage: "relay", action: "refuse" },
  PLATFORM_UNAVAILABLE: { stage: "platform", action: "refuse" },
  PLATFORM_BUSY: { stage: "platform", action: "retry" },
  PLATFORM_TIMEOUT: { stage: "platform", action: "retry" },
  PLATFORM_FAILED: { stage: "platform", action: "retry" },
  INTERNAL: { stage: "relay", action: "retry", status: 500 },
  AUDITOR_ONLY: { stage: "relay", action: "refuse", status: 403 },
  // Command line.
  USAGE: { stage: "usage", action: "refuse" },
  FILE_UNREADABLE: { stage: "usage", action: "refuse" },
  FILE_UNWRITABLE: { stage: "usage", action: "refuse" },
  POLICY_INVALID: { stage: "usage", action: "refuse" },
  TRUST_ANCHOR_INVALID: { stage: "usage", action: "refuse" },
  REFERENCE_VALUES_INVALID: { stage: "usage", action: "refuse" }
};
var CodedError = class extends Error {
  name = "CodedError";
  code;
  field;
  constructor(code, message2, options = {}) {
    super(message2, options);
    this.code = code;
    this.field = options.field;
  }
};
var EvidenceError = class extends CodedError {
  name = "EvidenceError";
};
var ServiceError = class extends CodedError {
  name = "ServiceError";
};
var isCode = (text3) => Object.hasOwn(CODES, text3);

// protocol/bytes.ts
function bytes(value, n, field) {
  if (value.length !== n) {
    throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: got ${value.length} bytes, want ${n}`, { field });
  }
  return new Uint8Array(value);
}
var encoder = new TextEncoder();
var decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
var utf8 = (text3) => encoder.encode(text3);
var fromUtf8 = (value) => decoder.decode(value);
var HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
function hex(value) {
  let text3 = "";
  for (const byte of value) text3 += HEX[byte];
  return text3;
}
function fromHex(text3) {
  if (text3.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text3)) return null;
  const out = new Uint8Array(text3.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text3.slice(2 * i, 2 * i + 2), 16);
  return out;
}
var concat = (...parts) => join(parts);
function join(parts) {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
function equalBytes(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}
var isZero = (value) => value.every((byte) => byte === 0);
function base64(value) {
  let text3 = "";
  for (let i = 0; i < value.length; i += 32768) text3 += String.fromCharCode(...value.subarray(i, i + 32768));
  return btoa(text3);
}
function fromBase64(text3) {
  if (text3.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text3)) return null;
  const raw = atob(text3);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return base64(out) === text3 ? out : null;
}
var base64url = (value) => base64(value).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

// protocol/cbor.ts
var MAX_DEPTH = 16;
var MAX_ITEMS = 65536;
function head(major, value) {
  const type = major << 5;
  if (value < 24n) return Uint8Array.of(type | Number(value));
  const width = value < 0x100n ? 1 : value < 0x10000n ? 2 : value < 0x100000000n ? 4 : 8;
  const out = new Uint8Array(1 + width);
  out[0] = type | (width === 1 ? 24 : width === 2 ? 25 : width === 4 ? 26 : 27);
  for (let i = width, rest = value; i > 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}
function integer(value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new TypeError("canonical CBOR holds safe integers and bigints, no floats");
  }
  const big = BigInt(value);
  if (big >= 1n << 64n || big < -(1n << 64n)) throw new TypeError("integer outside the range of CBOR");
  return big >= 0n ? head(0, big) : head(1, -1n - big);
}
var SURROGATE = /\p{Surrogate}/u;
function encodeParts(value, depth, out) {
  if (depth > MAX_DEPTH) throw new TypeError(`nested deeper than ${MAX_DEPTH}`);
  if (value === null) out.push(Uint8Array.of(246));
  else if (typeof value === "boolean") out.push(Uint8Array.of(value ? 245 : 244));
  else if (typeof value === "number" || typeof value === "bigint") out.push(integer(value));
  else if (typeof value === "string") {
    if (SURROGATE.test(value)) throw new TypeError("text with a lone surrogate has no UTF-8 form");
    const text3 = utf8(value);
    out.push(head(3, BigInt(text3.length)), text3);
  } else if (value instanceof Uint8Array) out.push(head(2, BigInt(value.length)), value);
  else if (Array.isArray(value)) {
    out.push(head(4, BigInt(value.length)));
    for (const item of value) encodeParts(item, depth + 1, out);
  } else if (value instanceof Map) {
    const pairs = [...value].map(([key, item]) => ({ key: encodeCbor(key), item }));
    pairs.sort((a, b) => compareBytes(a.key, b.key));
    out.push(head(5, BigInt(pairs.length)));
    for (const [i, { key, item }] of pairs.entries()) {
      const before = pairs[i - 1];
      if (before && equalBytes(before.key, key)) throw new TypeError("duplicate map key");
      out.push(key);
      encodeParts(item, depth + 1, out);
    }
  } else throw new TypeError(`no canonical CBOR form for ${typeof value}`);
}
function encodeCbor(value) {
  const parts = [];
  encodeParts(value, 0, parts);
  return join(parts);
}
function compareBytes(a, b) {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = a[i] - b[i];
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
function decodeCbor(data, what) {
  const reader = new Reader(data, what);
  const value = reader.value(0);
  if (reader.offset !== data.length) reader.fail("bytes after the value");
  return value;
}
var Reader = class {
  data;
  what;
  offset = 0;
  #items = 0;
  constructor(data, what) {
    this.data = data;
    this.what = what;
  }
  fail(reason) {
    throw new EvidenceError(
      "EVIDENCE_MALFORMED",
      `${this.what}: not canonical CBOR at byte ${this.offset}: ${reason}`,
      {
        field: this.what
      }
    );
  }
  take(length) {
    if (length > this.data.length - this.offset) this.fail("truncated");
    const part = this.data.subarray(this.offset, this.offset + length);
    this.offset += length;
    return part;
  }
  /** The argument of an initial byte, which must use the shortest form. */
  argument(info) {
    if (info < 24) return BigInt(info);
    if (info > 27) this.fail(info === 31 ? "indefinite length" : "reserved additional information");
    const width = 1 << info - 24;
    let value = 0n;
    for (const byte of this.take(width)) value = value << 8n | BigInt(byte);
    const least = width === 1 ? 24n : 1n << BigInt(4 * width);
    if (value < least) this.fail("longer than the shortest form");
    return value;
  }
  /** A length or count; each item takes at least one byte, so a count beyond what is left is refused before any work. */
  length(info) {
    const value = this.argument(info);
    if (value > BigInt(this.data.length - this.offset)) this.fail("truncated");
    return Number(value);
  }
  value(depth) {
    if (depth > MAX_DEPTH) this.fail(`nested deeper than ${MAX_DEPTH}`);
    if (++this.#items > MAX_ITEMS) this.fail(`more than ${MAX_ITEMS} values`);
    const initial = this.take(1)[0];
    const info = initial & 31;
    switch (initial >> 5) {
      case 0:
        return narrow(this.argument(info));
      case 1:
        return narrow(-1n - this.argument(info));
      case 2:
        return new Uint8Array(this.take(this.length(info)));
      case 3:
        return this.text(this.length(info));
      case 4:
        return this.array(this.length(info), depth);
      case 5:
        return this.map(this.length(info), depth);
      case 6:
        return this.fail("a tag");
      default:
        if (initial === 244) return false;
        if (initial === 245) return true;
        if (initial === 246) return null;
        return this.fail("a float or simple value");
    }
  }
  text(length) {
    const raw = this.take(length);
    try {
      return fromUtf8(raw);
    } catch {
      return this.fail("text that is not UTF-8");
    }
  }
  array(count, depth) {
    const items = [];
    for (let i = 0; i < count; i++) items.push(this.value(depth + 1));
    return items;
  }
  map(count, depth) {
    const map = /* @__PURE__ */ new Map();
    let before = null;
    for (let i = 0; i < count; i++) {
      const start = this.offset;
      const major = (this.data[start] ?? 0) >> 5;
      if (major > 1 && major !== 3) this.fail("a map key that is neither integer nor text");
      const key = this.value(depth + 1);
      const encoded = this.data.subarray(start, this.offset);
      if (before) {
        const order = compareBytes(before, encoded);
        if (order === 0) this.fail("duplicate map key");
        if (order > 0) this.fail("map keys out of order");
      }
      before = encoded;
      map.set(key, this.value(depth + 1));
    }
    return map;
  }
};
var narrow = (value) => value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;
var MapReader = class _MapReader {
  #map;
  #what;
  #seen = /* @__PURE__ */ new Set();
  constructor(value, what) {
    this.#what = what;
    if (!(value instanceof Map)) this.#fail("", "want a map");
    this.#map = value;
  }
  #fail(label, reason) {
    const field = label === "" ? this.#what : `${this.#what}.${label}`;
    throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: ${reason}`, { field });
  }
  has(key) {
    return this.#map.has(key);
  }
  value(key, label) {
    this.#seen.add(key);
    const value = this.#map.get(key);
    if (value === void 0) this.#fail(label, "missing");
    return value;
  }
  bytes(key, label, n) {
    const value = this.value(key, label);
    if (!(value instanceof Uint8Array)) this.#fail(label, "want a byte string");
    return bytes(value, n, `${this.#what}.${label}`);
  }
  anyBytes(key, label, atMost, atLeast = 0) {
    const value = this.value(key, label);
    if (!(value instanceof Uint8Array)) this.#fail(label, "want a byte string");
    const { length } = value;
    if (length > atMost || length < atLeast) this.#fail(label, `got ${length} bytes, want ${atLeast} to ${atMost}`);
    return value;
  }
  text(key, label, atMost) {
    const value = this.value(key, label);
    if (typeof value !== "string") this.#fail(label, "want text");
    if (utf8(value).length > atMost) this.#fail(label, `longer than ${atMost} bytes`);
    return value;
  }
  exactly(key, label, expected) {
    const value = this.value(key, label);
    if (value !== expected) this.#fail(label, `want ${JSON.stringify(expected)}`);
    return expected;
  }
  /** An unsigned integer up to 2^53−1. */
  uint(key, label) {
    const value = this.value(key, label);
    if (typeof value !== "number" || value < 0) this.#fail(label, "want an unsigned integer up to 2^53\u22121");
    return value;
  }
  array(key, label, atMost) {
    const value = this.value(key, label);
    if (!Array.isArray(value)) this.#fail(label, "want an array");
    if (value.length > atMost) this.#fail(label, `more than ${atMost} items`);
    return value;
  }
  arrayOfBytes(key, label, atMost, n) {
    return this.array(key, label, atMost).map((item, i) => {
      if (!(item instanceof Uint8Array)) this.#fail(`${label}[${i}]`, "want a byte string");
      return bytes(item, n, `${this.#what}.${label}[${i}]`);
    });
  }
  arrayOfAnyBytes(key, label, atMost, itemAtMost) {
    return this.array(key, label, atMost).map((item, i) => {
      if (!(item instanceof Uint8Array)) this.#fail(`${label}[${i}]`, "want a byte string");
      if (item.length > itemAtMost) this.#fail(`${label}[${i}]`, `longer than ${itemAtMost} bytes`);
      return item;
    });
  }
  map(key, label) {
    return new _MapReader(this.value(key, label), `${this.#what}.${label}`);
  }
  isNull(key, label) {
    return this.value(key, label) === null;
  }
  /** The pairs of a map with text keys, for maps whose keys are data. */
  entries() {
    return [...this.#map].map(([key, value]) => {
      this.#seen.add(key);
      if (typeof key !== "string") this.#fail(String(key), "want a text key");
      return [key, value];
    });
  }
  /** Closes the map. An unknown key is named only when it looks like a name: it comes from the sender and goes to logs. */
  end() {
    for (const key of this.#map.keys()) {
      if (!this.#seen.has(key)) this.#fail(/^-?\w{1,64}$/.test(String(key)) ? String(key) : "", "unknown field");
    }
  }
};

// protocol/ed25519.ts
import { ed25519 } from "@noble/curves/ed25519.js";
var MAX_CACHED_KEYS = 1024;
var points = /* @__PURE__ */ new Map();
var imported = /* @__PURE__ */ new Map();
function remember(cache2, name, value) {
  if (cache2.size >= MAX_CACHED_KEYS) cache2.delete(cache2.keys().next().value);
  cache2.set(name, value);
  return value;
}
function ed25519Key(raw, field) {
  const name = hex(raw);
  const known2 = points.get(name);
  if (known2) return known2;
  try {
    const point = ed25519.Point.fromBytes(raw, false);
    if (point.is0() || !point.isTorsionFree()) throw new Error("low or mixed order");
  } catch (cause) {
    throw new EvidenceError("SESSION_INVALID", `${field}: not an Ed25519 public key of prime order`, { field, cause });
  }
  return remember(points, name, bytes(raw, 32, field));
}
var L = (1n << 252n) + 27742317777372353535851937790883648493n;
function hasCanonicalS(signature) {
  let s = 0n;
  for (let i = 63; i >= 32; i--) s = s << 8n | BigInt(signature[i]);
  return s < L;
}
async function importKey(key) {
  try {
    return await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
}
function webCryptoKey(key) {
  const name = hex(key);
  return imported.get(name) ?? remember(imported, name, importKey(key));
}
function verifyEd25519Pure(key, message2, signature) {
  if (!hasCanonicalS(signature)) return false;
  try {
    if (!ed25519.Point.fromBytes(signature.subarray(0, 32), false).isTorsionFree()) return false;
    return ed25519.verify(signature, message2, key, { zip215: false });
  } catch {
    return false;
  }
}
async function verifyEd25519(key, message2, signature) {
  if (!hasCanonicalS(signature)) return false;
  const native = await webCryptoKey(key);
  if (!native) return verifyEd25519Pure(key, message2, signature);
  return crypto.subtle.verify({ name: "Ed25519" }, native, signature, new Uint8Array(message2));
}

// protocol/hash.ts
import { sha256 as nobleSha256, sha512 as nobleSha512 } from "@noble/hashes/sha2.js";
var sha256 = (data) => nobleSha256(data);
var sha512 = (data) => nobleSha512(data);
async function saltedDigest(salt, body) {
  const input = new Uint8Array(32 + body.length);
  input.set(salt);
  input.set(body, 32);
  const subtle = globalThis.crypto?.subtle;
  return subtle ? new Uint8Array(await subtle.digest("SHA-256", input)) : sha256(input);
}

// protocol/checkpoint.ts
var TYPE_ED25519 = 1;
var MAX_CHECKPOINT_BYTES = 320;
var bootIdOf = (sessionKey) => bytes(sha256(sessionKey).subarray(0, 16), 16, "boot id");
var originOf = (bootId) => `veritee/${hex(bootId)}`;
var noteKeyId = (name, key) => bytes(sha256(concat(utf8(`${name}
`), Uint8Array.of(TYPE_ED25519), key)).subarray(0, 4), 4, "key id");
var checkpointBody = (origin, size, root2) => `${origin}
${size}
${base64(root2)}
`;
var NOTE = /^(veritee\/[0-9a-f]{32})\n([1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n\n— (veritee\/[0-9a-f]{32}) ([A-Za-z0-9+/]{90,92}={0,2})\n$/;
function parseCheckpoint(note) {
  const fail3 = (reason) => {
    throw new EvidenceError("EVIDENCE_MALFORMED", `checkpoint: ${reason}`, { field: "checkpoint" });
  };
  const match = NOTE.exec(note);
  if (!match) return fail3("not a three-line body, a blank line and one signature line");
  const [, origin, digits, rootText, name, line] = match;
  const size = Number(digits);
  if (!Number.isSafeInteger(size)) fail3("size above 2^53\u22121");
  if (name !== origin) fail3("the signer name is not the origin");
  const root2 = fromBase64(rootText) ?? fail3("root is not canonical base64");
  const signed = fromBase64(line) ?? fail3("signature is not canonical base64");
  if (signed.length !== 68) fail3(`signature line of ${signed.length} bytes, want 68`);
  return {
    origin,
    size,
    root: bytes(root2, 32, "checkpoint.root"),
    body: checkpointBody(origin, size, bytes(root2, 32, "checkpoint.root")),
    keyId: bytes(signed.subarray(0, 4), 4, "checkpoint.keyId"),
    signature: bytes(signed.subarray(4), 64, "checkpoint.signature")
  };
}
async function verifyCheckpoint(checkpoint, key) {
  const origin = originOf(bootIdOf(key));
  if (checkpoint.origin !== origin || !equalBytes(checkpoint.keyId, noteKeyId(origin, key))) return false;
  return verifyEd25519(key, utf8(checkpoint.body), checkpoint.signature);
}

// protocol/claims.ts
var CLAIM = {
  exp: 4,
  nbf: 5,
  iat: 6,
  cti: 7,
  cnf: 8,
  eatNonce: 10,
  eatProfile: 265,
  bootId: -77001,
  sequence: -77002,
  runtime: -77003,
  sessionDigest: -77004,
  timeMs: -77005,
  operation: -77006,
  model: -77007,
  requestDigest: -77008,
  responseDigest: -77009,
  requestJsonLength: -77010,
  responseJsonLength: -77011,
  requestMediaType: -77012,
  responseMediaType: -77013,
  outcome: -77014,
  durationUs: -77015,
  event: -77016,
  files: -77017,
  keyConfig: -77018,
  nonceRoot: -77019,
  nonceCount: -77020,
  keyConfigDigests: -77021,
  reason: -77022
};
var PROFILE = {
  session: "tag:veritee.dev,2026:session-claims/v1",
  statement: "tag:veritee.dev,2026:statement/v1",
  key: "tag:veritee.dev,2026:key/v1",
  model: "tag:veritee.dev,2026:model/v1",
  challenges: "tag:veritee.dev,2026:challenges/v1",
  end: "tag:veritee.dev,2026:end/v1",
  evidence: "tag:veritee.dev,2026:evidence/v1",
  attestation: "tag:veritee.dev,2026:attestation/v1",
  receipt: "tag:veritee.dev,2026:receipt/v1"
};
var CONTENT_TYPE = {
  session: "application/vnd.veritee.session-claims+cbor",
  statement: "application/vnd.veritee.statement+cbor",
  key: "application/vnd.veritee.key+cbor",
  model: "application/vnd.veritee.model+cbor",
  challenges: "application/vnd.veritee.challenges+cbor",
  end: "application/vnd.veritee.end+cbor"
};

// protocol/cose.ts
var TAG_SIGN1 = 210;
var HEADER_ALG = 1;
var HEADER_CONTENT_TYPE = 3;
var ALG_EDDSA = -8;
var protectedHeader = (contentType) => encodeCbor(
  /* @__PURE__ */ new Map([
    [HEADER_ALG, ALG_EDDSA],
    [HEADER_CONTENT_TYPE, contentType]
  ])
);
var sigStructure = (header, payload) => encodeCbor(["Signature1", header, new Uint8Array(0), payload]);
function parseSign1(message2, what) {
  const fail3 = (reason) => {
    throw new EvidenceError("EVIDENCE_MALFORMED", `${what}: ${reason}`, { field: what });
  };
  if (message2[0] !== TAG_SIGN1) fail3("want a COSE_Sign1 message with tag 18");
  const parts = decodeCbor(message2.subarray(1), what);
  if (!Array.isArray(parts) || parts.length !== 4) return fail3("want the four parts of COSE_Sign1");
  const [header, unprotected, payload, signature] = parts;
  if (!(header instanceof Uint8Array) || !(payload instanceof Uint8Array) || !(signature instanceof Uint8Array)) {
    return fail3("want byte strings for header, payload and signature");
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) fail3("want an empty unprotected header");
  const fields = decodeCbor(header, `${what}.protected`);
  const contentType = fields instanceof Map ? fields.get(HEADER_CONTENT_TYPE) : void 0;
  if (typeof contentType !== "string") return fail3("want a protected header with a text content type");
  if (!equalBytes(header, protectedHeader(contentType)))
    fail3("want a protected header of exactly {1: -8, 3: content type}");
  return {
    contentType,
    payload: new Uint8Array(payload),
    signature: bytes(signature, 64, `${what}.signature`),
    toBeSigned: sigStructure(header, payload)
  };
}
var verifySign1 = (message2, key) => verifyEd25519(key, message2.toBeSigned, message2.signature);

// protocol/entries.ts
var MAX_ENTRY_BYTES = 65535;
var MAX_STATEMENT_BYTES = 4096;
var MIN_NONCE_BYTES = 8;
var MAX_NONCE_BYTES = 64;
var MAX_CHALLENGES = 65536;
var MAX_NAME_BYTES = 256;
var MAX_MEDIA_TYPE_BYTES = 256;
var MAX_FILES = 512;
var MAX_KEY_CONFIGS = 64;
function open(kind, payload) {
  const claims = new MapReader(decodeCbor(payload, kind), kind);
  const profile = claims.text(CLAIM.eatProfile, "profile", 256);
  if (profile !== PROFILE[kind]) {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", `${kind}.profile: this release reads ${PROFILE[kind]}`, {
      field: `${kind}.profile`
    });
  }
  return claims;
}
var malformed = (field, reason) => {
  throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: ${reason}`, { field });
};
var KEY_OKP = /* @__PURE__ */ new Map([
  [1, 1],
  // kty: OKP (RFC 9053 §7.2)
  [-1, 6]
  // crv: Ed25519
]);
function parseSessionClaims(payload) {
  const claims = open("session", payload);
  claims.exactly(CLAIM.sequence, "sequence", 0);
  const issuedAt = claims.uint(CLAIM.iat, "iat");
  const bootId = claims.bytes(CLAIM.bootId, "bootId", 16);
  const cnf = claims.map(CLAIM.cnf, "cnf");
  const coseKey = cnf.map(1, "coseKey");
  for (const [label, value] of KEY_OKP) coseKey.exactly(label, String(label), value);
  const sessionKey = ed25519Key(coseKey.bytes(-2, "x", 32), "session.cnf");
  coseKey.end();
  cnf.end();
  const fields = claims.map(CLAIM.runtime, "runtime");
  const runtime = {
    application: fields.text("application", "application", MAX_NAME_BYTES),
    node: fields.text("node", "node", MAX_NAME_BYTES),
    onnxruntime: fields.text("onnxruntime", "onnxruntime", MAX_NAME_BYTES),
    executionProvider: fields.text("executionProvider", "executionProvider", MAX_NAME_BYTES)
  };
  fields.end();
  claims.end();
  if (!equalBytes(bootId, bootIdOf(sessionKey))) {
    throw new EvidenceError("SESSION_INVALID", "session.bootId: not derived from the session key", {
      field: "session.bootId"
    });
  }
  return { bootId, issuedAt, sessionKey, runtime };
}
function readModel(fields) {
  const model = {
    name: fields.text("name", "name", MAX_NAME_BYTES),
    version: fields.text("version", "version", MAX_NAME_BYTES),
    digest: fields.bytes("digest", "digest", 32)
  };
  fields.end();
  return model;
}
function parseStatement(payload) {
  const claims = open("statement", payload);
  const timeMs = claims.uint(CLAIM.timeMs, "timeMs");
  if (claims.uint(CLAIM.iat, "iat") !== Math.floor(timeMs / 1e3))
    malformed("statement.iat", "not the second of timeMs");
  const outcome = claims.text(CLAIM.outcome, "outcome", 64);
  if (outcome !== "ok" && !isCode(outcome)) {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", "statement.outcome: a code this release does not know", {
      field: "statement.outcome"
    });
  }
  const uintOrNull = (key, label) => claims.isNull(key, label) ? null : claims.uint(key, label);
  const statement = {
    receiptId: claims.bytes(CLAIM.cti, "receiptId", 16),
    timeMs,
    nonce: claims.has(CLAIM.eatNonce) ? claims.anyBytes(CLAIM.eatNonce, "nonce", MAX_NONCE_BYTES, MIN_NONCE_BYTES) : null,
    sessionDigest: claims.bytes(CLAIM.sessionDigest, "sessionDigest", 32),
    sequence: claims.uint(CLAIM.sequence, "sequence"),
    operation: claims.exactly(CLAIM.operation, "operation", "infer"),
    model: claims.isNull(CLAIM.model, "model") ? null : readModel(claims.map(CLAIM.model, "model")),
    requestDigest: claims.bytes(CLAIM.requestDigest, "requestDigest", 32),
    responseDigest: claims.bytes(CLAIM.responseDigest, "responseDigest", 32),
    requestJsonLength: uintOrNull(CLAIM.requestJsonLength, "requestJsonLength"),
    responseJsonLength: uintOrNull(CLAIM.responseJsonLength, "responseJsonLength"),
    requestMediaType: claims.isNull(CLAIM.requestMediaType, "requestMediaType") ? null : claims.text(CLAIM.requestMediaType, "requestMediaType", MAX_MEDIA_TYPE_BYTES),
    responseMediaType: claims.text(CLAIM.responseMediaType, "responseMediaType", MAX_MEDIA_TYPE_BYTES),
    outcome,
    durationUs: claims.uint(CLAIM.durationUs, "durationUs")
  };
  claims.end();
  return statement;
}
function parseKeyEntry(payload) {
  const claims = open("key", payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, "sequence"),
    issuedAt: claims.uint(CLAIM.iat, "iat"),
    config: claims.anyBytes(CLAIM.keyConfig, "config", 4096, 1),
    notBefore: claims.uint(CLAIM.nbf, "notBefore"),
    notAfter: claims.uint(CLAIM.exp, "notAfter")
  };
  claims.end();
  return entry;
}
function parseModelEntry(payload) {
  const claims = open("model", payload);
  const event = claims.text(CLAIM.event, "event", 16);
  if (event !== "loaded" && event !== "unloaded") return malformed("model.event", "want loaded or unloaded");
  const pairs = claims.map(CLAIM.files, "files").entries();
  if (pairs.length === 0 || pairs.length > MAX_FILES) malformed("model.files", `want 1 to ${MAX_FILES} files`);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, "sequence"),
    issuedAt: claims.uint(CLAIM.iat, "iat"),
    event,
    model: readModel(claims.map(CLAIM.model, "model")),
    files: new Map(
      pairs.map(
        ([path, digest2]) => digest2 instanceof Uint8Array && digest2.length === 32 ? [path, digest2] : malformed("model.files", "want a SHA-256 digest for each file")
      )
    )
  };
  claims.end();
  return entry;
}
function parseChallengesEntry(payload) {
  const claims = open("challenges", payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, "sequence"),
    issuedAt: claims.uint(CLAIM.iat, "iat"),
    nonceRoot: claims.bytes(CLAIM.nonceRoot, "nonceRoot", 32),
    nonceCount: claims.uint(CLAIM.nonceCount, "nonceCount"),
    keyConfigDigests: claims.arrayOfBytes(CLAIM.keyConfigDigests, "keyConfigDigests", MAX_KEY_CONFIGS, 32)
  };
  if (entry.nonceCount < 1 || entry.nonceCount > MAX_CHALLENGES) malformed("challenges.nonceCount", "out of range");
  claims.end();
  return entry;
}
function parseEndEntry(payload) {
  const claims = open("end", payload);
  const entry = {
    sequence: claims.uint(CLAIM.sequence, "sequence"),
    issuedAt: claims.uint(CLAIM.iat, "iat"),
    reason: claims.exactly(CLAIM.reason, "reason", "stopped")
  };
  claims.end();
  return entry;
}
var KINDS = new Map(
  Object.entries(CONTENT_TYPE).map(([kind, contentType]) => [contentType, kind])
);
function parsePayload(kind, payload) {
  switch (kind) {
    case "session":
      return { kind, value: parseSessionClaims(payload) };
    case "statement":
      return { kind, value: parseStatement(payload) };
    case "key":
      return { kind, value: parseKeyEntry(payload) };
    case "model":
      return { kind, value: parseModelEntry(payload) };
    case "challenges":
      return { kind, value: parseChallengesEntry(payload) };
    case "end":
      return { kind, value: parseEndEntry(payload) };
  }
}
function parseEntry(raw) {
  if (raw.length > MAX_ENTRY_BYTES) {
    throw new EvidenceError("EVIDENCE_TOO_LARGE", `entry: ${raw.length} bytes, at most ${MAX_ENTRY_BYTES}`, {
      field: "entry"
    });
  }
  const message2 = parseSign1(raw, "entry");
  const kind = KINDS.get(message2.contentType);
  if (!kind) {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", "entry: a content type this release does not know", {
      field: "entry.contentType"
    });
  }
  if (kind === "statement" && raw.length > MAX_STATEMENT_BYTES) {
    throw new EvidenceError("EVIDENCE_TOO_LARGE", `statement: ${raw.length} bytes, at most ${MAX_STATEMENT_BYTES}`, {
      field: "statement"
    });
  }
  const payload = parsePayload(kind, message2.payload);
  return { ...payload, sequence: payload.kind === "session" ? 0 : payload.value.sequence, message: message2 };
}

// protocol/files.ts
var MAX_PATH = 53;
var MAX_CERTIFICATES = 8;
var MAX_CERTIFICATE_BYTES = 16384;
var MAX_CRL_BYTES = 1 << 20;
var MAX_REPORT_BYTES = 65536;
var MAX_KEYS = 64;
var MAX_EVIDENCE_BYTES = 4 << 20;
var MAX_RECEIPT_BYTES = MAX_EVIDENCE_BYTES + MAX_STATEMENT_BYTES + 4096;
var MAX_ATTESTATION_BYTES = 16 << 20;
function open2(file, what, atMost) {
  if (file.length > atMost) {
    throw new EvidenceError("EVIDENCE_TOO_LARGE", `${what}: ${file.length} bytes, at most ${atMost}`, { field: what });
  }
  const fields = new MapReader(decodeCbor(file, what), what);
  const profile = fields.text("profile", "profile", 256);
  if (profile !== PROFILE[what]) {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", `${what}.profile: this release reads ${PROFILE[what]}`, {
      field: `${what}.profile`
    });
  }
  return fields;
}
function parseEvidence(file) {
  const fields = open2(file, "evidence", MAX_EVIDENCE_BYTES);
  const format = fields.text("format", "format", 64);
  if (format !== "sev-snp-report" && format !== "nitro-attestation-document") {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", "evidence.format: a platform this release does not know", {
      field: "evidence.format"
    });
  }
  const evidence = {
    format,
    report: fields.anyBytes("report", "report", MAX_REPORT_BYTES, 1),
    chain: fields.arrayOfAnyBytes("chain", "chain", MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES),
    crls: fields.arrayOfAnyBytes("crls", "crls", MAX_CERTIFICATES, MAX_CRL_BYTES),
    sessionClaims: fields.anyBytes("sessionClaims", "sessionClaims", MAX_ENTRY_BYTES, 1),
    checkpoint: fields.text("checkpoint", "checkpoint", MAX_CHECKPOINT_BYTES),
    previousReportData: fields.isNull("previousReportData", "previousReportData") ? null : fields.bytes("previousReportData", "previousReportData", 64),
    cosignatures: fields.array("cosignatures", "cosignatures", 64).map((line) => {
      if (typeof line === "string") return line;
      throw new EvidenceError("EVIDENCE_MALFORMED", "evidence.cosignatures: want text", {
        field: "evidence.cosignatures"
      });
    })
  };
  fields.end();
  if (evidence.previousReportData && isZero(evidence.previousReportData)) {
    throw new EvidenceError("EVIDENCE_MALFORMED", "evidence.previousReportData: zeros; the first report has null", {
      field: "evidence.previousReportData"
    });
  }
  if (evidence.cosignatures.length > 0) {
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", "evidence.cosignatures: this release does not verify witnesses", {
      field: "evidence.cosignatures"
    });
  }
  return evidence;
}
function readProven(fields) {
  return {
    entry: fields.anyBytes("entry", "entry", MAX_ENTRY_BYTES, 1),
    path: fields.arrayOfBytes("path", "path", MAX_PATH, 32)
  };
}
function parseAttestation(file) {
  const fields = open2(file, "attestation", MAX_ATTESTATION_BYTES);
  const evidence = fields.anyBytes("evidence", "evidence", MAX_EVIDENCE_BYTES, 1);
  const keys = fields.array("keys", "keys", MAX_KEYS).map((item, i) => {
    const key = new MapReader(item, `attestation.keys[${i}]`);
    const proven = readProven(key);
    key.end();
    return proven;
  });
  let challenge = null;
  if (!fields.isNull("challenge", "challenge")) {
    const proof = fields.map("challenge", "challenge");
    challenge = {
      ...readProven(proof),
      nonce: proof.anyBytes("nonce", "nonce", MAX_NONCE_BYTES, MIN_NONCE_BYTES),
      nonceIndex: proof.uint("nonceIndex", "nonceIndex"),
      noncePath: proof.arrayOfBytes("noncePath", "noncePath", MAX_PATH, 32)
    };
    proof.end();
  }
  fields.end();
  return { evidence, keys, challenge };
}
function parseReceipt(file) {
  const fields = open2(file, "receipt", MAX_RECEIPT_BYTES);
  const receipt = {
    statement: fields.anyBytes("statement", "statement", MAX_STATEMENT_BYTES, 1),
    path: fields.isNull("path", "path") ? null : fields.arrayOfBytes("path", "path", MAX_PATH, 32),
    evidence: fields.has("evidence") ? { file: fields.anyBytes("evidence", "evidence", MAX_EVIDENCE_BYTES, 1) } : { reportData: fields.bytes("evidenceReportData", "evidenceReportData", 64) }
  };
  fields.end();
  return receipt;
}
var FILE_KINDS = ["evidence", "attestation", "receipt"];
function detectFile(file) {
  if (file[0] === void 0 || file[0] >> 5 !== 5) return null;
  const text3 = new TextDecoder("latin1").decode(file.subarray(0, MAX_ATTESTATION_BYTES));
  const key = "gprofile";
  for (let at = text3.indexOf(key); at >= 0; at = text3.indexOf(key, at + 1)) {
    const kind = FILE_KINDS.find((name) => text3.startsWith(PROFILE[name], at + key.length + 2));
    if (kind) return kind;
  }
  return null;
}

// protocol/json.ts
var MAX_JSON_DEPTH = 64;
var MAX_JSON_CONTAINERS = 1 << 18;
var MAX_SHOWN = 64;
function shown(name) {
  const escaped2 = name.slice(0, MAX_SHOWN).replace(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);
  return name.length > MAX_SHOWN ? `${escaped2}\u2026` : escaped2;
}
function pathText(path) {
  let text3 = "";
  for (const step of path) {
    if (typeof step === "number") text3 += `[${step}]`;
    else if (!/^\w{1,64}$/.test(step)) text3 += `["${shown(step)}"]`;
    else text3 += text3 === "" ? step : `.${step}`;
  }
  return text3;
}
function parseJson(input, what = "body") {
  const reader = new Reader2(typeof input === "string" ? input : decode(input, what), what);
  if (reader.text.startsWith("\uFEFF")) reader.fail("a byte order mark");
  const lone = typeof input === "string" ? input.search(SURROGATE2) : -1;
  if (lone >= 0) reader.fail("a lone surrogate", lone);
  const value = reader.value();
  reader.next();
  if (reader.at !== reader.text.length) reader.fail("more after the value");
  return value;
}
function malformed2(what, before, byte, reason) {
  let line = 1;
  for (let at = before.indexOf("\n"); at >= 0; at = before.indexOf("\n", at + 1)) line++;
  return new ServiceError("JSON_MALFORMED", `${what}: not JSON at line ${line}, byte ${byte}: ${reason}`, {
    field: what
  });
}
function decode(input, what) {
  try {
    return fromUtf8(input);
  } catch {
    const replaced = new TextDecoder("utf-8", { ignoreBOM: true }).decode(input);
    const again = utf8(replaced);
    let byte = 0;
    while (byte < input.length && input[byte] === again[byte]) byte++;
    throw malformed2(what, new TextDecoder().decode(input.subarray(0, byte)), byte, "not UTF-8");
  }
}
var SURROGATE2 = /\p{Surrogate}/u;
var NOT_FINITE = /-?(?:NaN|Infinity)\b/y;
var QUOTE = 34;
var COMMA = 44;
var MINUS = 45;
var POINT = 46;
var ZERO = 48;
var COLON = 58;
var BACKSLASH = 92;
var ESCAPES = new Map(
  Object.entries({ '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "	" })
);
var Reader2 = class {
  text;
  what;
  at = 0;
  containers = 0;
  /** One step for each open array and object; read only when something is refused. */
  path = [];
  constructor(text3, what) {
    this.text = text3;
    this.what = what;
  }
  fail(reason, at = this.at) {
    const before = this.text.slice(0, at);
    throw malformed2(this.what, before, utf8(before).length, reason);
  }
  failNotFinite() {
    const field = pathText(this.path) || this.what;
    throw new ServiceError("JSON_NUMBER_NOT_FINITE", `${field}: not a finite number`, { field });
  }
  /** Skips white space. @returns the code of the next character */
  next() {
    const { text: text3 } = this;
    let code = text3.charCodeAt(this.at);
    while (code === 32 || code === 10 || code === 13 || code === 9) code = text3.charCodeAt(++this.at);
    return code;
  }
  value() {
    switch (this.next()) {
      case 123:
        return this.object();
      case 91:
        return this.array();
      case QUOTE:
        return this.string();
      case 116:
        return this.word("true", true);
      case 102:
        return this.word("false", false);
      case 110:
        return this.word("null", null);
      default:
        return this.number();
    }
  }
  word(word, value) {
    if (!this.text.startsWith(word, this.at)) this.fail("want a value");
    this.at += word.length;
    return value;
  }
  open() {
    if (this.path.length === MAX_JSON_DEPTH) this.fail(`nested deeper than ${MAX_JSON_DEPTH}`);
    if (++this.containers > MAX_JSON_CONTAINERS) {
      throw new ServiceError(
        "REQUEST_TOO_LARGE",
        `${this.what}: more than ${MAX_JSON_CONTAINERS} JSON arrays and objects; send flat or binary data`,
        { field: this.what }
      );
    }
    this.at++;
  }
  /** After an item: true when another follows, false when the container is closed. */
  more(close) {
    const code = this.next();
    if (code !== COMMA && code !== close) this.fail(`want "," or "${String.fromCharCode(close)}"`);
    this.at++;
    return code === COMMA;
  }
  array() {
    const items = [];
    this.open();
    if (this.next() === 93) {
      this.at++;
      return items;
    }
    const depth = this.path.length;
    do {
      this.path[depth] = items.length;
      items.push(this.value());
    } while (this.more(93));
    this.path.pop();
    return items;
  }
  object() {
    const members2 = /* @__PURE__ */ new Map();
    this.open();
    if (this.next() === 125) {
      this.at++;
      return members2;
    }
    const depth = this.path.length;
    do {
      if (this.next() !== QUOTE) this.fail("want a member name");
      const start = this.at;
      const name = this.string();
      if (members2.has(name)) this.fail("duplicate member", start);
      this.path[depth] = name;
      if (this.next() !== COLON) this.fail('want ":"');
      this.at++;
      members2.set(name, this.value());
    } while (this.more(125));
    this.path.pop();
    return members2;
  }
  string() {
    const { text: text3 } = this;
    const start = this.at;
    let done = "";
    let from = start + 1;
    for (let at = from; ; at++) {
      const code = text3.charCodeAt(at);
      if (code === QUOTE) {
        this.at = at + 1;
        if (done === "") return text3.slice(from, at);
        done += text3.slice(from, at);
        if (SURROGATE2.test(done)) this.fail("a lone surrogate", start);
        return done;
      }
      if (code === BACKSLASH) {
        this.at = at;
        done += text3.slice(from, at) + this.escape();
        from = this.at;
        at = from - 1;
      } else if (!(code >= 32)) {
        this.fail(at < text3.length ? "a control character in a string" : "a string without end", at);
      }
    }
  }
  escape() {
    const letter = this.text.charAt(this.at + 1);
    const plain = ESCAPES.get(letter);
    if (plain !== void 0) {
      this.at += 2;
      return plain;
    }
    const digits = this.text.slice(this.at + 2, this.at + 6);
    if (letter !== "u" || !/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("an unknown escape");
    this.at += 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }
  number() {
    const { text: text3 } = this;
    const start = this.at;
    const whole = text3.charCodeAt(start) === MINUS ? start + 1 : start;
    let at = this.digits(whole);
    if (text3.charCodeAt(whole) === ZERO && at > whole + 1) this.fail("a number with a leading zero");
    let integer3 = true;
    if (text3.charCodeAt(at) === POINT) {
      integer3 = false;
      at = this.digits(at + 1);
    }
    if ((text3.charCodeAt(at) | 32) === 101) {
      integer3 = false;
      const sign = text3.charCodeAt(at + 1);
      at = this.digits(sign === MINUS || sign === 43 ? at + 2 : at + 1);
    }
    this.at = at;
    const lexeme = text3.slice(start, at);
    const value = Number(lexeme);
    if (!Number.isFinite(value)) this.failNotFinite();
    return integer3 && !Number.isSafeInteger(value) ? BigInt(lexeme) : value;
  }
  /** The end of the digits that start here; at least one. */
  digits(start) {
    const { text: text3 } = this;
    let at = start;
    for (let code = text3.charCodeAt(at); code >= ZERO && code <= 57; code = text3.charCodeAt(at)) at++;
    if (at === start) this.failNumber(start);
    return at;
  }
  failNumber(at) {
    NOT_FINITE.lastIndex = this.at;
    if (NOT_FINITE.test(this.text)) this.failNotFinite();
    return this.fail(at === this.at ? "want a value" : "want a digit", at);
  }
};

// protocol/tensor-values.ts
var BIG_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;

// protocol/link.ts
var MAX_FRAME_BODY = 4 << 20;

// protocol/merkle.ts
function leafHash(entry) {
  const input = new Uint8Array(1 + entry.length);
  input.set(entry, 1);
  return sha256(input);
}
function nodeHash(left, right) {
  const input = new Uint8Array(65);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 33);
  return sha256(input);
}
function rootFromInclusion(leaf, index, size, path) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  let fn = index;
  let sn = size - 1;
  let root2 = leaf;
  for (const node of path) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      root2 = nodeHash(node, root2);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      root2 = nodeHash(root2, node);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? root2 : null;
}

// protocol/model-digest.ts
function modelPathProblem(path) {
  if (/\p{Surrogate}/u.test(path)) return "not Unicode text";
  if (path.includes("\0")) return "a NUL character";
  if (path.includes("\\")) return "a backslash";
  if (path.normalize("NFC") !== path) return "not in Unicode normalization form C";
  const segments = path.split("/");
  if (segments.includes("")) return "an empty segment";
  if (segments.includes(".") || segments.includes("..")) return "a dot segment";
  return null;
}
function modelDigest(files) {
  if (files.size === 0) throw new EvidenceError("EVIDENCE_MALFORMED", "files: a model has files", { field: "files" });
  for (const path of files.keys()) {
    const problem = modelPathProblem(path);
    if (problem !== null) {
      const field = `files[${JSON.stringify(path)}]`;
      throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: ${problem}`, { field });
    }
  }
  return sha256(encodeCbor(new Map(files)));
}

// protocol/report-data.ts
function reportDataPreimage(sessionClaims, previous, checkpoint) {
  const lines = ["veritee/report-data/v1", hex(sha256(sessionClaims)), previous ? hex(previous) : "0".repeat(128)];
  return `${lines.join("\n")}
${checkpoint}`;
}
var reportData = (sessionClaims, previous, checkpoint) => sha512(utf8(reportDataPreimage(sessionClaims, previous, checkpoint)));

// protocol/snp-certificate-table.ts
var SNP_CERTIFICATE_GUID = {
  vcek: "63da758d-e664-4564-adc5-f4b93be8accd",
  vlek: "a8074bc2-a25a-483e-aae6-39c045a0b8a1",
  ask: "4ab7b379-bbac-4fe4-a02f-05aef327c782",
  ark: "c0b406a4-a803-4952-9743-3fb6014cd0ae",
  crl: "92f81bc3-5811-4d3d-97ff-d19f88dc67ea"
};
var ENTRY_BYTES = 24;
var MAX_ENTRIES = 32;
var guidText = (raw) => hex(raw).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
function parseSnpCertificateTable(table3) {
  const fail3 = (reason) => {
    throw new EvidenceError("ENDORSEMENT_MALFORMED", `certificate table: ${reason}`, { field: "auxblob" });
  };
  if (table3.length === 0) return [];
  const view = new DataView(table3.buffer, table3.byteOffset, table3.length);
  const places = [];
  for (let at = 0; ; at += ENTRY_BYTES) {
    if (at + ENTRY_BYTES > table3.length) return fail3("no terminating entry");
    const entry = table3.subarray(at, at + ENTRY_BYTES);
    if (isZero(entry)) break;
    if (places.length === MAX_ENTRIES) return fail3(`more than ${MAX_ENTRIES} entries`);
    const place = {
      guid: guidText(entry.subarray(0, 16)),
      offset: view.getUint32(at + 16, true),
      length: view.getUint32(at + 20, true)
    };
    if (places.some(({ guid }) => guid === place.guid)) return fail3(`duplicate entry ${place.guid}`);
    places.push(place);
  }
  const header = (places.length + 1) * ENTRY_BYTES;
  return places.map(({ guid, offset, length }) => {
    if (offset < header || offset + length > table3.length) return fail3(`entry ${guid} points outside the table`);
    return { guid, data: new Uint8Array(table3.subarray(offset, offset + length)) };
  });
}

// verifier/checks.ts
var CheckFailure = class extends EvidenceError {
  expected;
  actual;
  constructor(code, expected, actual, options = {}) {
    super(code, `expected ${expected}; got ${actual}`, options);
    this.expected = expected;
    this.actual = actual;
  }
};
var CheckLog = class {
  #rows;
  #checks = /* @__PURE__ */ new Map();
  #findings = [];
  #notChecked = [];
  #established = { platform: null, strength: null, claims: {} };
  constructor(rows) {
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    if (this.#rows.size !== rows.length) throw new TypeError("two check rows with one id");
  }
  #row(id) {
    const row = this.#rows.get(id);
    if (!row) throw new TypeError(`no check row '${id}'`);
    return row;
  }
  pass(id, detail, expected = null) {
    this.#row(id);
    if (this.#checks.get(id)?.outcome === "fail") return;
    this.#checks.set(id, { id, outcome: "pass", detail, expected, actual: detail });
  }
  fail(id, code, expected, actual) {
    const { claim, source } = this.#row(id);
    this.#checks.set(id, { id, outcome: "fail", detail: `expected ${expected}; got ${actual}`, expected, actual });
    this.#findings.push({ code, claim, expected, actual, source });
  }
  /** A check that does not apply or was opted out of. `notChecked` says in plain words what is therefore unknown. */
  skip(id, detail, notChecked) {
    this.#row(id);
    if (!this.#checks.has(id)) this.#checks.set(id, skipped(id, detail));
    if (notChecked !== void 0) this.note(notChecked);
  }
  /** Says in plain words something that the verdict does not cover. */
  note(notChecked) {
    if (!this.#notChecked.includes(notChecked)) this.#notChecked.push(notChecked);
  }
  /** Records what the checks passed so far have shown. Never call it with anything still unverified. */
  establish(facts3) {
    this.#established = {
      ...this.#established,
      ...facts3,
      claims: { ...this.#established.claims, ...facts3.claims }
    };
  }
  /** Records a refusal under a row. Anything but a coded refusal of evidence is a defect and is thrown on. */
  refuse(id, error) {
    if (!(error instanceof CodedError)) throw error;
    if (error instanceof CheckFailure) this.fail(id, error.code, error.expected, error.actual);
    else this.fail(id, error.code, "as the source says", error.message);
  }
  /** Run one check of the parse or verify phase: a refusal is recorded, then thrown on, so that nothing behind it runs. */
  async step(id, run, detail) {
    try {
      const value = await run();
      this.pass(id, detail(value));
      return value;
    } catch (error) {
      this.refuse(id, error);
      throw error;
    }
  }
  get findings() {
    return this.#findings;
  }
  get notChecked() {
    return this.#notChecked;
  }
  get established() {
    return this.#established;
  }
  /** All rows in their order; `unreached` says why nothing was recorded for a row. */
  checks(unreached = () => "not reached") {
    return [...this.#rows.values()].map((row) => this.#checks.get(row.id) ?? skipped(row.id, unreached(row)));
  }
};
var skipped = (id, detail) => ({
  id,
  outcome: "skipped",
  detail,
  expected: null,
  actual: null
});

// verifier/snp/report.ts
var SNP_REPORT_BYTES = 1184;
var HIGHEST_PLAUSIBLE_VERSION = 15;
var SIGNED_BYTES = 672;
var SIGNATURE_ALGO_ECDSA_P384_SHA384 = 1;
var HOST_REQUESTED = 4294967295;
function fail(field, reason) {
  throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: ${reason}`, { field });
}
function unsupported(field, reason) {
  throw new EvidenceError("EVIDENCE_UNSUPPORTED", `${field}: ${reason}`, { field });
}
function unsigned(field, reason) {
  throw new EvidenceError("SIGNATURE_INVALID", `${field}: ${reason}`, { field });
}
var bit = (value, n) => (value >> BigInt(n) & 1n) === 1n;
function parsePolicy(raw) {
  if (!bit(raw, 17)) fail("POLICY", "reserved bit 17 is not one");
  if (raw >> 26n !== 0n) fail("POLICY", "a reserved bit of 26-63 is not zero");
  return {
    raw,
    abiMinor: Number(raw & 0xffn),
    abiMajor: Number(raw >> 8n & 0xffn),
    smt: bit(raw, 16),
    migrateMa: bit(raw, 18),
    debug: bit(raw, 19),
    singleSocket: bit(raw, 20),
    cxlAllow: bit(raw, 21),
    memAes256Xts: bit(raw, 22),
    raplDis: bit(raw, 23),
    ciphertextHidingDram: bit(raw, 24),
    pageSwapDisable: bit(raw, 25)
  };
}
function parsePlatformInfo(raw, version) {
  const known2 = version >= 3 ? 0b10111111n : 0b10011111n;
  return {
    raw,
    smtEn: bit(raw, 0),
    tsmeEn: bit(raw, 1),
    eccEn: bit(raw, 2),
    raplDis: bit(raw, 3),
    ciphertextHidingDramEn: bit(raw, 4),
    aliasCheckComplete: version >= 3 && bit(raw, 5),
    tioEn: bit(raw, 7),
    unknownBits: raw & ~known2
  };
}
function readVersion(raw) {
  const length = `got ${raw.length} bytes, want ${SNP_REPORT_BYTES}`;
  if (raw.length < 4) return fail("report", length);
  const version = new DataView(raw.buffer, raw.byteOffset, raw.length).getUint32(0, true);
  if (version === 2 || version === 3 || version === 4 || version === 5) return version;
  const plausible = version >= 1 && version <= HIGHEST_PLAUSIBLE_VERSION;
  if (!plausible && raw.length !== SNP_REPORT_BYTES) return fail("report", length);
  const known2 = version === 6 ? " (ABI 1.59)" : "";
  return unsupported("VERSION", `got ${version}${known2}, this release reads 2 to 5`);
}
function isVenice({ family, model }) {
  const within = (from, to) => model >= from && model <= to;
  return family === 26 && (within(80, 87) || within(144, 175) || within(192, 199));
}
function parseSnpReport(raw) {
  const version = readVersion(raw);
  const report = bytes(raw, SNP_REPORT_BYTES, "report");
  const view = new DataView(report.buffer);
  const u32 = (at) => view.getUint32(at, true);
  const u64 = (at) => view.getBigUint64(at, true);
  const take = (at, n, field) => bytes(report.subarray(at, at + n), n, field);
  const reserved = (from, to) => {
    if (!isZero(report.subarray(from, to))) {
      fail("reserved", `a byte of 0x${from.toString(16)}-0x${(to - 1).toString(16)} is not zero`);
    }
  };
  const firmware = (at) => ({
    build: view.getUint8(at),
    minor: view.getUint8(at + 1),
    major: view.getUint8(at + 2)
  });
  const algorithm2 = u32(52);
  if (algorithm2 !== SIGNATURE_ALGO_ECDSA_P384_SHA384) {
    unsupported("SIGNATURE_ALGO", `got ${algorithm2}, this release reads 1 (ECDSA P-384 with SHA-384)`);
  }
  const vmpl = u32(48);
  if (vmpl === HOST_REQUESTED) fail("VMPL", "the report was asked for by the host, not by a guest");
  if (vmpl !== 0 && vmpl !== 1 && vmpl !== 2 && vmpl !== 3) return fail("VMPL", `got ${vmpl}, want 0 to 3`);
  const keyInfo = u32(72);
  if (keyInfo >>> 5 !== 0) fail("KEY_INFO", "a reserved bit of 5-31 is not zero");
  const kind = keyInfo >>> 2 & 7;
  if ((keyInfo & 2) !== 0) unsigned("KEY_INFO", "MASK_CHIP_KEY is set, the firmware wrote zeros for a signature");
  if (kind === 7) unsigned("KEY_INFO", "SIGNING_KEY is none");
  if (kind > 1) fail("KEY_INFO", `SIGNING_KEY ${kind} is reserved`);
  reserved(76, 80);
  reserved(version === 2 ? 392 : 395, 416);
  reserved(491, 492);
  reserved(495, 496);
  reserved(version === 5 ? 520 : 504, SIGNED_BYTES);
  reserved(720, 744);
  reserved(792, SNP_REPORT_BYTES);
  const r = report.slice(672, 720).reverse();
  const s = report.slice(744, 792).reverse();
  if (isZero(r) || isZero(s)) unsigned("SIGNATURE", "R or S is zero");
  const signature = new Uint8Array(96);
  signature.set(r);
  signature.set(s, 48);
  const cpuid = version === 2 ? null : { family: view.getUint8(392), model: view.getUint8(393), stepping: view.getUint8(394) };
  if (cpuid && isVenice(cpuid)) unsupported("CPUID", "a Venice processor, this release reads Milan, Genoa and Turin");
  return {
    version,
    guestSvn: u32(4),
    policy: parsePolicy(u64(8)),
    familyId: take(16, 16, "FAMILY_ID"),
    imageId: take(32, 16, "IMAGE_ID"),
    vmpl,
    currentTcb: take(56, 8, "CURRENT_TCB"),
    platformInfo: parsePlatformInfo(u64(64), version),
    authorKeyEn: (keyInfo & 1) === 1,
    signingKey: kind === 0 ? "VCEK" : "VLEK",
    reportData: take(80, 64, "REPORT_DATA"),
    measurement: take(144, 48, "MEASUREMENT"),
    hostData: take(192, 32, "HOST_DATA"),
    idKeyDigest: take(224, 48, "ID_KEY_DIGEST"),
    authorKeyDigest: take(272, 48, "AUTHOR_KEY_DIGEST"),
    reportId: take(320, 32, "REPORT_ID"),
    reportIdMa: take(352, 32, "REPORT_ID_MA"),
    reportedTcb: take(384, 8, "REPORTED_TCB"),
    cpuid,
    chipId: take(416, 64, "CHIP_ID"),
    committedTcb: take(480, 8, "COMMITTED_TCB"),
    currentFirmware: firmware(488),
    committedFirmware: firmware(492),
    launchTcb: take(496, 8, "LAUNCH_TCB"),
    launchMitVector: version === 5 ? u64(504) : null,
    currentMitVector: version === 5 ? u64(512) : null,
    signedBytes: take(0, SIGNED_BYTES, "signed bytes"),
    signature: bytes(signature, 96, "SIGNATURE")
  };
}
function productOfCpuid(report) {
  if (!report.cpuid) return null;
  const { family, model } = report.cpuid;
  if (family === 25) {
    if (model <= 15) return "Milan";
    if (model <= 31 || model >= 160 && model <= 175) return "Genoa";
  }
  if (family === 26 && model <= 17) return "Turin";
  return null;
}

// verifier/snp/hcl.ts
var FILE_BYTES = 2600;
var REPORT_AT = 32;
var DATA_AT = REPORT_AT + SNP_REPORT_BYTES;
var DATA_HEADER_BYTES = 20;
var CLAIMS_AT = DATA_AT + DATA_HEADER_BYTES;
var REQUEST_TYPE_ATTESTATION = 2;
var REPORT_TYPE_SNP = 2;
var HASH_TYPE_SHA256 = 1;
var HASH_BYTES = 32;
var SOURCE = "Microsoft, guest attestation for confidential VMs, attestation report format";
var HCL_SHAPE_ROW = {
  id: "shape.hcl",
  claim: "Azure HCL report",
  source: SOURCE,
  kinds: ["snp-hcl"]
};
var HCL_ROWS = [
  { id: "hcl.claims", claim: "REPORT_DATA", source: `${SOURCE}: SHA-256 of the runtime claims`, kinds: ["snp-hcl"] }
];
var opensLikeHclReport = (file) => file[0] === 72 && file[1] === 67 && file[2] === 76 && file[3] === 65;
function parseHclReport(file) {
  const fail3 = (field, reason) => {
    throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: ${reason}`, { field });
  };
  if (!opensLikeHclReport(file)) fail3("HCL header", "want 'HCLA'");
  if (file.length !== FILE_BYTES) fail3("HCL report", `got ${file.length} bytes, want ${FILE_BYTES}`);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const u32 = (at) => view.getUint32(at, true);
  const want = (field, at, known2, name) => {
    if (known2.includes(u32(at))) return;
    const message2 = `${field}: got ${u32(at)}, this release reads ${known2.join(" and ")}${name}`;
    throw new EvidenceError("EVIDENCE_UNSUPPORTED", message2, { field });
  };
  want("HCL version", 4, [1, 2], "");
  want("request type", 12, [REQUEST_TYPE_ATTESTATION], " (attestation)");
  want("runtime data version", DATA_AT + 4, [1], "");
  want("report type", DATA_AT + 8, [REPORT_TYPE_SNP], " (SEV-SNP)");
  want("hash type", DATA_AT + 12, [HASH_TYPE_SHA256], " (SHA-256)");
  const size = u32(DATA_AT + 16);
  const end = CLAIMS_AT + size;
  if (end > FILE_BYTES) fail3("runtime claims", `${size} bytes go beyond the file`);
  if (u32(8) !== end) fail3("HCL size", `got ${u32(8)}, want ${end}`);
  if (u32(DATA_AT) !== DATA_HEADER_BYTES + size)
    fail3("runtime data size", `got ${u32(DATA_AT)}, want ${DATA_HEADER_BYTES + size}`);
  if (!isZero(file.subarray(16, REPORT_AT))) fail3("HCL header", "status or a reserved byte is not zero");
  if (!isZero(file.subarray(end))) fail3("HCL report", "a byte behind the claims is not zero");
  const claimsBytes = new Uint8Array(file.subarray(CLAIMS_AT, end));
  return {
    report: new Uint8Array(file.subarray(REPORT_AT, DATA_AT)),
    claimsBytes,
    claims: readClaims(claimsBytes)
  };
}
function readClaims(claimsBytes) {
  const field = "runtime claims";
  try {
    const claims = parseJson(claimsBytes, field);
    if (claims instanceof Map) return toObject(claims);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new EvidenceError("EVIDENCE_MALFORMED", cause.message, { field, cause });
  }
  throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: not a JSON object`, { field });
}
var toObject = (members2) => Object.fromEntries([...members2].map(([name, value]) => [name, toValue(value)]));
function toValue(json) {
  if (json === null || typeof json === "boolean" || typeof json === "number" || typeof json === "string") return json;
  if (typeof json === "bigint") return String(json);
  return json instanceof Map ? toObject(json) : json.map(toValue);
}
async function verifyHclClaims({ reportData: reportData2 }, hcl, log) {
  await log.step(
    "hcl.claims",
    () => {
      const bound = equalBytes(reportData2.subarray(0, HASH_BYTES), sha256(hcl.claimsBytes));
      if (bound && isZero(reportData2.subarray(HASH_BYTES))) return;
      const actual = bound ? "more than that" : "another value";
      const expected = "SHA-256 of the runtime claims, then 32 zeros";
      throw new CheckFailure("KEY_BINDING_MISMATCH", expected, actual, { field: "REPORT_DATA" });
    },
    () => `SHA-256 of the ${hcl.claimsBytes.length} bytes of runtime claims`
  );
  log.establish({ claims: { runtimeClaims: hcl.claims } });
  log.note(
    "the vTPM: a nonce of yours would be in a TPM quote by the key HCLAkPub of the runtime claims, and no quote is verified here"
  );
}

// verifier/kind.ts
var A_FILE = {
  receipt: "a receipt",
  attestation: "an attestation",
  evidence: "an evidence file",
  "snp-report": "a raw report",
  "snp-hcl": "an Azure HCL report"
};
var SIGNATURE_ALGO_OFFSET = 52;
var SIGNATURE_ALGO_ECDSA_P384_SHA3842 = 1;
function opensLikeSnpReport(file) {
  if (file.length < SIGNATURE_ALGO_OFFSET + 4) return false;
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const version = view.getUint32(0, true);
  return version >= 1 && version <= HIGHEST_PLAUSIBLE_VERSION && view.getUint32(SIGNATURE_ALGO_OFFSET, true) === SIGNATURE_ALGO_ECDSA_P384_SHA3842;
}
function detectKind(file) {
  const ours = detectFile(file);
  if (ours) return ours;
  if (opensLikeHclReport(file)) return "snp-hcl";
  return file.length === SNP_REPORT_BYTES || opensLikeSnpReport(file) ? "snp-report" : null;
}

// verifier/snp/tcb.ts
var tcbLayoutOf = (product) => product === "Turin" ? "turin" : "milan-genoa";
var RESERVED = { "milan-genoa": [2, 3, 4, 5], turin: [4, 5, 6] };
function parseTcb(raw, layout, field = "TCB_VERSION") {
  for (const at of RESERVED[layout]) {
    if (raw[at] !== 0) {
      throw new EvidenceError("EVIDENCE_MALFORMED", `${field}: reserved byte ${at} is not zero`, { field });
    }
  }
  const [b0, b1, b2, b3, , , b6, b7] = raw;
  return layout === "turin" ? { layout, fmc: b0, bootloader: b1, tee: b2, snp: b3, microcode: b7 } : { layout, bootloader: b0, tee: b1, snp: b6, microcode: b7 };
}
function meetsTcb(actual, minimum) {
  if (actual.layout === "turin") {
    if (minimum.layout !== "turin" || actual.fmc < minimum.fmc) return false;
  } else if (minimum.layout === "turin") {
    return false;
  }
  return actual.bootloader >= minimum.bootloader && actual.tee >= minimum.tee && actual.snp >= minimum.snp && actual.microcode >= minimum.microcode;
}
var equalTcb = (a, b) => meetsTcb(a, b) && meetsTcb(b, a);
function tcbText(tcb) {
  const fmc = tcb.layout === "turin" ? `fmc ${tcb.fmc}, ` : "";
  return `${fmc}bootloader ${tcb.bootloader}, tee ${tcb.tee}, snp ${tcb.snp}, microcode ${tcb.microcode}`;
}

// verifier/trust/amd.ts
function facts(notBefore, notAfter, fingerprint, publicKey) {
  const digest2 = fromHex(fingerprint);
  const key = fromBase64(publicKey);
  if (!digest2 || !key) throw new TypeError("a pinned AMD certificate is mistyped");
  return {
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    fingerprint: bytes(digest2, 32, "fingerprint"),
    publicKey: key
  };
}
var root = (name, ...rest) => ({
  name,
  platform: "snp",
  ...facts(...rest)
});
var intermediate = (name, serial, ...rest) => ({
  name,
  serial,
  ...facts(...rest)
});
var AMD_ANCHORS = [
  root(
    "ARK-Milan",
    "2020-10-22T17:23:05Z",
    "2045-10-22T17:23:05Z",
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA0Ld52RJOdeiJlqK2JdsVmD7FktuotWwX1fNgW41XY9Xz1HEhSUmhLz9Cu9DHRlvgJSNxbeYYsnJfvyjx1MfU0V5tkKiU1EesNFta1kTA0szNisdYc9isqk7mXT5+KfGRbfc4V/9zRIcE8jlHN61S1ju8X93+6dxDUrG2SzxqJ4BhqyYmUDruPXJSX4vUc01P7j98MpqOS95rORdGHeI52Naz5m2B+O+vjsC060d37jY9LFeuOP4Meri8qgfi2S5kKqg/aF6aPtuAZQVR7u3KFYXP59XmJgtcog05gmI0T/OitLhuzVvpZcLph0odh/1IPXqx3+MnjD97A7fXpqGd/y8KxX7jksTEzAOgbKAeam3lm+3yKIcTYMlsRMXPcjNbIvmsBykD//xSniusuHBkgnlENEWx1UcbQQrs+gVDkuVPhsnzIRNgYvM48Y+7LGiJYnrmE8xcrexekBxrva2V9TJQqnN3Q53kt5viQi3+gCfmkwC0F0tirIZbLkXPrPwzZ0M9eNxhIySb2npJfgnqz55I0u33wh4r0ZNQeTGfw03MBUtyuzGesGkcw+loqMaq1qR4tjGbPYxCvpCq7+OgpCCoMNit2uLo9M18fHz10lOMT8nWAUvRZFzteXCm+7PHdYPlmQwUw3LvenJ/ILXoQPHfbkH0CyPfhl1jWhJFZasCAwEAAQ=="
  ),
  root(
    "ARK-Genoa",
    "2022-01-26T15:34:37Z",
    "2047-01-26T15:34:37Z",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA3Cd95S/uFOuRIskW9vz9VDBF69NDQF79oRhL/L2PVQGhK3YdfEBgpF/JiwWFBsT/fXDhzA01p3LkcT/7LdjcRfKXjHl+0Qq/M4dZkh6QDoUeKzNBLDcBKDDGWo3v35NyrxbA1DnkYwUKU5AAk4P94tKXLp80oxt84ahyHoLmc/LqsGsp+oq1Bz4PPsYLwTG4iMKVaaT90/oZ4I8oibSru92vJhlqWO27d/Rxc3iUMyhNeGToOvgx/iUo4gGpG61NDpkEUvIzuKcaMx8IdTpWg2DF6SwF0IgVMffnvtJmA68BwJNWo1E4PLJdaPfBifcJpuBFwNVQIPQEVX3aP89HJSp8YbY9lySS6PlVEqTBBtaQmi4ATGmMR+n2K/e+JAhU2Gj7jIpJhOkdH9firQDnmlA2SFfJ/Cc0mGNzW9RmIhyOUnNFoclmkRhl3/AQU5Ys9Qsan1jT/EiyT+pCpmnA+y9edvhDCbOG8F2oxHGRdTBkylungrkXJGYiwGrR8kaiqv7NN8QhOBMqYjcbrkEr0f8QMKklIS5ruOfqlLMCBw8JLB3LkjpWgtD7OpxkzSsohN47Uom86RY6lp72g8eXHP1qYrnvhzaG1S70vw6OkbaaC9EjiH/uHgAJQGxon7u0Q7xgoREWA/e7JcBQwLg80Hq/sbRuqesxz7wBWSY254cCAwEAAQ=="
  ),
  root(
    "ARK-Turin",
    "2023-05-15T20:03:12Z",
    "2048-05-15T20:03:12Z",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAwaAriB7EIuVc4ZB1wD3YfDxL+9eyS7+izm0Jj3W772NINCWl8Bj3w/JD2ZjmbRxWdIq/4d9iarCKorXloJUB1jRdgxqccTx1aOoig4+2w1XhVVJT7K457wT5ZLNJgQaxqa9Etkwjd6+9sOhlCDE9l43kQ0R2BikVJa/uyyVOSwEk5w5tXKOuG9jvq6QtAMJasW38wlqRDaKEGtZ9VUgGon27ZuL4sTJuC/azz9/iQBw8kEilzOl95AiTkeY5jSEBDWbAqnZk5qlM7kISKG20kgQm14mhNKDI2p2oua+zuAG7i52epoRF2GfU0TYk/yf+vCNB2tnechFQuP2e8bLk95ZdqPi9/UWw4JXjtdEA4u2JYplSSUPQVAXKt6LVqujtJcM59JKr2u0XQ75KwxcMp15gSXhBfInvPAwuAY4dEwwGqT8oIg4esPHwEsmChhYeDIxPG9R4fx9O0q6p8Gb+HXlTiS47P9YNeOpidOUKzDl/S1OvyhDtSL8LJc24QATFydo/iD/KUdvFTRlD0crkAMkZLoWQ8hLDGc6BZJXsdd7Zf2e4UW3tI/1oh/2t23Ot3zyhTcv5gDbABu0LjVe98uRnS15SMwK//lJt9e5BqKvgABkSoABf+B4VFtPVEX0ygrYaFaI9i5ABrxnVBmzXpRb21iI1NlNCfOGUPIhVpWECAwEAAQ=="
  )
];
var AMD_INTERMEDIATES = [
  intermediate(
    "SEV-Milan",
    0x10001n,
    "2020-10-22T18:24:20Z",
    "2045-10-22T18:24:20Z",
    "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnU2drrNTfbhNQIllf+W2y+ROCbSzId1aKZft2T9zjZQOzjGccl17i1mIKWl7NTcB0VYXt3JxZSzOZjsjLNVAEN2MGj9TiedL+QewKZX0JmQEuYjm+WKksLtxgdLp9E7EZNwNDqV1r0qRP5tB8OWkyQbIdLeu4aCz7j/Sl1FkBytev9sbFGzt7cwnjzi9m7noqsk+uRVBp3+In35QPdcj8YflEmnHBNvuUDJhLCJMW8KOjP6++Phbs3iCitJcANEtW4qTNFoKW3CHlbcSCjTM8KsNbUx3A8ek5EVLjZWH1pt9E3TfpR6XyfQKnY6kl5aEIPwdW3eFYaqCFPrIo9pQT6WuDSP4JCYJbZneKKIbZjzXkJt3NQG32EukYImBb9SCkm9+fS5LZFg9ojzubMX3+NkBoSXI7OPvnHMxjup9mw5se6QUV7GqpCA2TNypolmuQ+cAaxV7JqHE8dl9pWf+Y3arb+9iiFCwFt4lAlJw5D0CTRTC1Y5YWFDBCrA/vGnmTnqG8C+jjUAS7cjjR8q4OPhyDmJRPnaC/ZG5uP0K0z6GoO/3uen9wqshCuHegLTpOeHEJRKrQFr4PVIwVOB0+ebO5FgoyOw43nyFD5UKBDxEB4BKo/0uAiKHLRvvgLbORbU8KARIs1EoqEjmF8UtrmQWV2hUjwzqwvHFei8rPxMCAwEAAQ=="
  ),
  intermediate(
    "SEV-VLEK-Milan",
    0x10101n,
    "2022-11-16T22:45:24Z",
    "2047-11-16T22:45:24Z",
    "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA1EUWkz5FTPz+uWT2hCEyisam8FRuXZAmS3l+rXgSCeS1Q0+1olcnFSJpiwfssfhoutJqePyicu+OhkX131PMeO/VOtH3upK4YNJmq36IJp7ZWIm5nK2fJNkYEHW0m/NXcIA9U2iHl5bAQ5cbGp97/FaOJ4VmGoTMV658Yox/plFmZRFfRcsw2hyNhqUl1gzdpnIIgPkygUovFEgaa0IVSgGLHQhZQiebNLLSVWRVReve0t94zlRIRRdrz84cckP9H9DTAUMyQaxSZbPINKbV6TPmtrwAV9UP1Qq418xn9I+C0SsWutP/5S1OiL8OTzQ4CvgbHOfd2F3yVv4xDBza4SelF2igoDf+BF4XI/IIHJL2N5uKy3+gkSB2Xl6prohgVmqRFvBW9OTCEa32WhXu0t1Z1abEKDZ3LpZt9/Crg6zyPpXDLR/tLHHpSaPRj7CTzHieKMTz+Q6RrCCQcHGfaAD/ETNY56aHvNJRZgbzXDUJvnLr3dYyOvvn/DtKhCSimJynn7Len4ArDVQVwXRPe3hR/asCE2CajT7kGC1AOtUzQuIKZS2D0Qk74g297JhLHpEBlQiyjRJ+LCWZNx9uJcixGyzav6fiOWx4U8uWhRzHs8nvDAdcS4LW31tPlA9BeOK/BGimQTu7hM5MDFZL0C9dWK5puCUJex6I2vSqvycCAwEAAQ=="
  ),
  intermediate(
    "SEV-Genoa",
    0x20002n,
    "2022-10-31T13:33:48Z",
    "2047-10-31T13:33:48Z",
    "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAoHJhvk4Fwwkwb03AMfLySXJSXmEaCZMTRbLgPaj4oEzaD9tGfxCSw/nsCAiXHQaWUt++bnbjJO05TKT5d+Cdrz4/fiRBpbhf0xzvh11O+wJTBPj3uCzDm48vEZ8l5SXMO4wd/QqwsrejFERPD/Hdfv1mGCMW7ac0ug8trDzqGe+l+p8NMjp/EqBDY2vd8hLaVLmS+XjAqlYVNRksh9aTzSYL19/cTrBDmqQ2y8k23zNl2lW6q/BtQOpWGVs3EWvBHb/Qnf3f3S9+lC4H2jdDy9yn7kqyTWq4WCBnE4qhYJRokulYtzMZM1Ilk4Z6RPkOTR1MJ4gdFtj7lKmrkSuOoJYmqhJIsQJ854lAbJybgU7zyzWAwu3uaslkYKUEAQf2ja5Hyl3IBqOzpqY31SpKzbl8NXveZybRMklwfe4iDLI25T9ku9CVetDYifCbdGeuHdTwZBBemW4NE57L7iEV8+zz8nxng8OMX//4pXntWqmQbEAnBLv2ToTgd1H2zYRthyDLc3V119/+FnTW17LK6bKzTCgEnCHQEcAt0hDQLLF799+2lZTxxfBEoduAZax6IjgAMCi6e1ZfKPJSkdvb2m3BwfP8bniG7+AEJv1WOEmnBJc1pVQCttbJUodbi07Vfen5JRUqAvSM3ObWQOzSAGzsGnpIigwFpW6m9F7uYVUCAwEAAQ=="
  ),
  intermediate(
    "SEV-VLEK-Genoa",
    0x20101n,
    "2022-11-18T20:48:34Z",
    "2047-11-18T20:48:34Z",
    "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAzL2/xihHscEpxS3+OsQZpAuNIJGSEQZrkoWPtqKMjjZOyXMMRHAheTm56Ei0Mb8TJZlbGDS5x/AdbowstGmpHqh2zvSvjZO7V4v6Ft84p71P6GXfOVEQgCuatiszfIwFrRQk/cmU7HuJadBq6XtYE+qBJMjus8C0WwW/IWY9j6pNbEA1SnUvVg6t89zfE+AcB5UDCKq09x7qw+rPt9pTpEch0f1bHdRFJlpgWGTq02ohH9bT+6au8kPpvMa3m2p8zdIIqtuuSG6srIimrpt24lsr4tLhQG65R/RbVJT9MsK4ULpbAUO5NwdlLwbnpLWHiUwoYrySMD8l3xRDvhPmInlXEFEo8lahcYllxiJJR8oqqA6x3jPFKmkfhEgaQefcn4P8nA4SScqAoLihn75iiDtU2+ZlkPnKgcNs5U1Le441ypen2n7BOnRyhmwyAUBGk3OcMXHsJ6KGpDJyTVCaC3fWX3ex4Iv4LkuKRA6O9yu3zHP23N/ubE8/YykffIjMbtBoOAzdWCn9lE4amo4VZ+8ewIutZAYmC5TIQO+wWUqKYr0iAobccMnZdJjUORjVoqVQ+dLr+/1otk36gfPc0LpmhWZKfAXF9sgvYtQjcaR9wlGr8ySRtZ2YJWofuR7zgYFJPEXRwAnbAR/05hBmog7CMt1F9YKSmku6JfRecY8CAwEAAQ=="
  ),
  intermediate(
    "SEV-Turin",
    0x30001n,
    "2023-05-15T20:25:21Z",
    "2048-05-15T20:25:21Z",
    "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnvg5Grv2Emd9lAhKdO64RXU3UESb6JTm0Hhzevx1PyxinxYqJL329qTJM0XmdozLYb7rsHxgM5I2pU18M8gect2pN/YB2LQ1/bIq37TPDbg7ym0MN6KkZ6aERxAX0voYtdDyNxjDAUjpRpCe1FccAev/Es2n/Fz1G1TmC2XepTQqaKpmt6mnDWSCHCVsQoY0gSibeaG6doM6OiNUCbKXaC7KHH5b/96BD1DJ84M+JHqPClFhHqUJwzKF5Qxj4wgWAZzK8UPhiNGjrF6+TBdlFGdSzEqw1jOrCTHduYyLK+5OQ3OIw4S+vZeOVoxJajTIWdsqYP2DLc0HkL0qWOumEOrrc2/4DeETShB0MyIpH05kSalyQN2eN5P6ptOB84hddCdbJPEepnD+FqQap1ukw3K8uBcgeBSAF23r6UtT8Uc5h7MsWX3MoZiEHcSkDQQ8IedTk7CLjsK6S7b/lfKqfYiRhKgGkRvsEd/MDNcumHZKIgzasJwgagzSggiUo9jXp3EWm84fqyxNXzSutPB7qD5P/ULAB+q9QgvrzC8XneaLP0MNrHhM80UejmsBTIktMvFoWVIelYDLdcoi0eMD5DRccfsgrYaY6h/+/qf9tgg+mX09UJpuSPRF38oyqnNNFMl5v/tWLgUsChPU6NCQC17Qaqr8mu2ynyyuHEs5JVUCAwEAAQ=="
  ),
  intermediate(
    "SEV-VLEK-Turin",
    0x30101n,
    "2023-05-15T21:09:41Z",
    "2048-05-15T21:09:41Z",
    "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEApjrui4l0ZogEh0fDdVfJ4unowGGolk2wXyzjbjC/fnqlhFqiFj1JSKdkYSvzPVfgDR0MU2WLlytrAGqOHYBdk4Moz3xHTXJus75Nef0EBZpGk9M4PQGF+nTqYi+hDguq14wQUEltN9wGunnUeaMz0e6hfCasDevkypILMponvTvaM49RAipCvTgmPRTkQA8hjl3tA6R7S/HKTn6/Q3T74A0BfygK49LLkdHF05Wo0pZ9qmPyhi0Rh9epY0L+/T2e17fohWcCavgE+KF5GO5XINzunwKolCCyH3930iAmb1vv5v4PimnGsfH4ic4kIApR1hZApU3YG3qUE84qkb5SEASQsTZCT0Jv/AxC9So5h2wraVzWz6GvpPHEtRKvue5vehkwPjFipJMT5Z7CmNuXc+0lcVSZMHSbswFSHKKtp4F0UDoPnuIWw/djGDjkGXS9W5M2N3zVSbn94cJxCMzOTzILhcX/lJatooslfxvqucFH8PpS9xBMhuN4fTPlNk/oVbQ6w8pxEMibo0K8Q+gOqqzdVm6i7jotobsuYxH1Httjsc61vSskSDT4JkPjqTWiyOmsFI+6Ob/hya/fqpe0EPy68TPk85COC7uqNMzu58xb0uAtt0beejDx29mRRbiPNL5tnwK9KFmZDpeZWSZgzvn2K+SQTK80ZKn8Yq2SKfUCAwEAAQ=="
  )
];
var AMD_REVOKED = [
  { root: "ARK-Genoa", serial: 0x20001n }
];

// verifier/appraise/policy.ts
var POLICY_PROFILE = "veritee/policy/v1";
var complete = /* @__PURE__ */ Symbol("complete policy");
var mintPolicy = (fields) => ({
  ...fields,
  [complete]: true
});
var isCompletePolicy = (value) => typeof value === "object" && value !== null && Object.hasOwn(value, complete);
var AUTHENTICITY = mintPolicy({
  profile: POLICY_PROFILE,
  id: "builtin:authenticity",
  anchors: [{ builtin: "amd" }],
  sevSnp: {
    referenceValues: "any-unidentified-program",
    products: ["Milan", "Genoa", "Turin"],
    minimumTcb: "any",
    minimumLaunchTcb: "any",
    debug: "allow-debug-no-confidentiality",
    migration: "allow",
    smt: "allow",
    cxl: "allow",
    singleSocket: "not-required",
    ciphertextHiding: "not-required",
    memAes256Xts: "not-required",
    raplDisabled: "not-required",
    pageSwapDisabled: "not-required",
    provisionalFirmware: "allow",
    aliasCheck: "not-required",
    unknownPlatformInfo: "allow",
    chips: "any",
    maskedChipId: "forbid",
    vlek: "allow",
    crl: "not-required"
  },
  nitro: "refuse",
  deniedMeasurements: [],
  models: "any",
  freshness: "not-required",
  existedBy: "not-required",
  strength: "session-signed",
  maxWaitSeconds: 0
});
var anchorsOf = (policy) => policy.anchors.flatMap((anchor) => "builtin" in anchor ? AMD_ANCHORS : [anchor]);
function policyDigest(policy) {
  const known2 = digests.get(policy);
  if (known2) return known2;
  const digest2 = sha256(encodeCbor(canonical(policy)));
  digests.set(policy, digest2);
  return digest2;
}
var digests = /* @__PURE__ */ new WeakMap();
function canonical(value) {
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (value instanceof Uint8Array) return value;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value === "object") return new Map(Object.entries(value).map(([name, item]) => [name, canonical(item)]));
  throw new TypeError(`a policy holds no ${typeof value}`);
}

// verifier/appraise/draft.ts
var MAX_WAIT_SECONDS = 60;
function draftPolicy(result, anchors) {
  const claims = snpClaimsOf(result);
  const real = claims.anchor.platform === "snp";
  return {
    $comment: [
      `Drafted from ${A_FILE[result.kind]}, verified at ${result.at.toISOString()}. It accepts the program that made this`,
      "file: compare its measurement with that of a build you trust before you rely on it.",
      "anchors: roots that may vouch. nitro: this release verifies no Nitro evidence.",
      "deniedMeasurements: builds withdrawn, refused whatever else lists them.",
      'models: "any", or a list; the digests decide.',
      'freshness: "nonce-required" refuses whatever does not bear your own nonce, so also every file from an archive.',
      'existedBy: "required" asks for a time proven by an outside clock, which no file of this release carries.',
      'strength: "hardware-committed" refuses answers until a hardware report covers them;',
      "maxWaitSeconds is how long a client waits for that."
    ].join(" "),
    profile: POLICY_PROFILE,
    id: `draft-${hex(claims.measurement).slice(0, 16)}`,
    anchors: [...real ? [{ $comment: "AMD\u2019s own roots.", builtin: "amd" }] : [], ...anchors.map(draftAnchor)],
    sevSnp: draftSnp(claims),
    nitro: "refuse",
    deniedMeasurements: [],
    models: draftModels(result),
    freshness: "not-required",
    existedBy: "not-required",
    strength: "session-signed",
    maxWaitSeconds: MAX_WAIT_SECONDS
  };
}
function snpClaimsOf({ claims }) {
  if (!claims.measurement) throw new TypeError("draftPolicy: want an affirming result of SEV-SNP evidence");
  return claims;
}
var seconds = (date) => date.toISOString().replace(/\.\d+Z$/, "Z");
var draftAnchor = ({ name, platform, publicKey, fingerprint, notBefore, notAfter }) => ({
  ...platform === "snp" ? {} : { $comment: "A SIMULATED platform\u2019s root: software that signs whatever it is told." },
  name,
  platform,
  publicKey: base64(publicKey),
  fingerprint: hex(fingerprint),
  notBefore: seconds(notBefore),
  notAfter: seconds(notAfter)
});
var hexOrUnused = (digest2) => isZero(digest2) ? "unused" : hex(digest2);
var requireIf = (bit2) => bit2 === true ? "require" : "not-required";
var forbidUnless = (bit2) => bit2 === true ? "allow" : "forbid";
function draftSnp(claims) {
  const { guestPolicy, platformInfo, tcb, product, firmware } = claims;
  const debug = guestPolicy["debug"] === true;
  const provisional = !(meetsTcb(tcb.committed, tcb.current) && meetsTcb(tcb.current, tcb.committed)) || firmware.committed !== firmware.current;
  const launchMeets = meetsTcb(tcb.launch, tcb.reported);
  return {
    $comment: [
      ...debug ? ["THIS GUEST ALLOWS DEBUG: the host can read its memory."] : [],
      "referenceValues: the builds you accept. products: the processors.",
      "minimumTcb: what the chip reports today; raise it as AMD publishes fixes, and add a floor for each further die.",
      "minimumLaunchTcb: the same for the firmware under which the guest was launched.",
      "debug, migration, smt, cxl: powers of the host, forbidden where this guest does without them.",
      "singleSocket to pageSwapDisabled: defences the guest\u2019s owner can demand, required where this guest demands them.",
      'provisionalFirmware: "forbid" refuses hosts that load firmware or microcode without committing it, as clouds do at times.',
      "aliasCheck: whether the firmware has ruled out lying memory modules (BadRAM).",
      "unknownPlatformInfo: PLATFORM_INFO bits that this release has no name for.",
      'chips: "any", or the CHIP_IDs of machines you know. maskedChipId: reports that hide their chip.',
      'vlek: keys that a cloud provider holds. crl: {"maxAgeDays": 30} asks for a current revocation list at each check.'
    ].join(" "),
    referenceValues: [draftReferenceValue(claims)],
    products: [product],
    minimumTcb: [draftFloor(claims, tcb.reported)],
    minimumLaunchTcb: launchMeets ? "same-as-reported" : [draftFloor(claims, tcb.launch)],
    debug: debug ? "allow-debug-no-confidentiality" : "forbid",
    migration: forbidUnless(guestPolicy["migrateMa"]),
    smt: forbidUnless(guestPolicy["smt"] === true || platformInfo["smtEn"] === true),
    cxl: forbidUnless(guestPolicy["cxlAllow"]),
    singleSocket: requireIf(guestPolicy["singleSocket"]),
    ciphertextHiding: requireIf(guestPolicy["ciphertextHidingDram"]),
    memAes256Xts: requireIf(guestPolicy["memAes256Xts"]),
    raplDisabled: requireIf(guestPolicy["raplDis"]),
    pageSwapDisabled: requireIf(guestPolicy["pageSwapDisable"]),
    provisionalFirmware: provisional ? "allow" : "forbid",
    aliasCheck: requireIf(platformInfo["aliasCheckComplete"]),
    unknownPlatformInfo: platformInfo["unknownBits"] === "0x0" ? "forbid" : "allow",
    chips: "any",
    maskedChipId: "forbid",
    vlek: claims.cspId === null ? "forbid" : { cspIds: [claims.cspId] },
    crl: "not-required"
  };
}
var draftReferenceValue = (claims) => ({
  $comment: 'One build as launched; a report must match every part of one value. hostData "unused" leaves HOST_DATA uncompared: right only where the measurement covers the whole program. Name the build; "measurements": [\u2026] in place of "measurement" takes one for each shape it is launched in, and "notAfter": "2027-01-31T00:00:00Z" lets it expire.',
  name: `as seen: ${hex(claims.measurement).slice(0, 16)}`,
  measurement: hex(claims.measurement),
  hostData: hex(claims.hostData),
  vmpl: claims.vmpl,
  idKeyDigest: hexOrUnused(claims.idKeyDigest),
  authorKeyDigest: hexOrUnused(claims.authorKeyDigest)
});
function draftFloor({ product, cpuid }, tcb) {
  const { layout: _, ...parts } = tcb;
  return {
    $comment: 'Microcode numbers are per die: a floor goes for the CPUID models it names, or for "any".',
    product,
    cpuidModels: cpuid ? [cpuid.model] : "any",
    ...parts
  };
}
function draftModels(result) {
  const model = result.kind === "receipt" ? result.statement.model : null;
  if (!model) return "any";
  return [
    {
      $comment: 'The digest decides; name and version are labels. Instead of "digest" you may list "files": {path: SHA-256} and the digest is computed. Write "any" to allow every model this program serves.',
      name: model.name,
      version: model.version,
      digest: hex(model.digest)
    }
  ];
}

// verifier/appraise/claims.ts
var firmwareText = ({ major, minor, build }) => `${major}.${minor}.${build}`;
var hexNumber = (value) => `0x${value.toString(16)}`;
function readTcbs(report, product) {
  const layout = tcbLayoutOf(product);
  return {
    reported: parseTcb(report.reportedTcb, layout, "REPORTED_TCB"),
    committed: parseTcb(report.committedTcb, layout, "COMMITTED_TCB"),
    current: parseTcb(report.currentTcb, layout, "CURRENT_TCB"),
    launch: parseTcb(report.launchTcb, layout, "LAUNCH_TCB")
  };
}
function reportFacts(report) {
  const { raw: policyRaw, abiMajor, abiMinor, ...policyBits } = report.policy;
  const { raw: infoRaw, unknownBits, ...infoBits } = report.platformInfo;
  const { launchMitVector, currentMitVector } = report;
  return {
    reportVersion: report.version,
    measurement: report.measurement,
    reportData: report.reportData,
    hostData: report.hostData,
    vmpl: report.vmpl,
    guestSvn: report.guestSvn,
    familyId: report.familyId,
    imageId: report.imageId,
    idKeyDigest: report.idKeyDigest,
    authorKeyDigest: report.authorKeyDigest,
    reportId: report.reportId,
    reportIdMa: report.reportIdMa,
    chipId: report.chipId,
    guestPolicy: { raw: hexNumber(policyRaw), minimumAbi: `${abiMajor}.${abiMinor}`, ...policyBits },
    platformInfo: { raw: hexNumber(infoRaw), unknownBits: hexNumber(unknownBits), ...infoBits },
    cpuid: report.cpuid,
    firmware: {
      current: firmwareText(report.currentFirmware),
      committed: firmwareText(report.committedFirmware)
    },
    mitigationVectors: launchMitVector !== null && currentMitVector !== null ? { launch: hexNumber(launchMitVector), current: hexNumber(currentMitVector) } : null
  };
}
var snpClaims = ({ report, ...snp }, tcb) => ({
  ...reportFacts(report),
  product: snp.product,
  signer: snp.signer,
  cspId: snp.certificate.cspId,
  tcb,
  anchor: { name: snp.anchor.name, platform: snp.anchor.platform, fingerprint: snp.anchor.fingerprint },
  crl: snp.crl
});
var sessionFacts = (claims, { origin, size, root: root2 }) => ({
  session: {
    bootId: claims.bootId,
    key: claims.sessionKey,
    claimedIssuedAt: claimedDate(claims.issuedAt * 1e3),
    runtime: claims.runtime
  },
  checkpoint: { origin, size, root: root2 }
});
var statementFacts = ({ timeMs, sessionDigest: _, ...statement }) => ({
  ...statement,
  claimedTime: claimedDate(timeMs)
});
var MAX_DATE_MS = 864e13;
var claimedDate = (ms) => new Date(Math.min(ms, MAX_DATE_MS));

// verifier/appraise/json.ts
function jsonOf(value) {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return value;
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, jsonOf(item)]));
  }
  throw new TypeError(`no JSON form for ${typeof value}`);
}
function snpReportToJson(report) {
  const { reportedTcb, committedTcb, currentTcb, launchTcb, signingKey, signature } = report;
  const tcb = { reported: reportedTcb, committed: committedTcb, current: currentTcb, launch: launchTcb };
  const facts3 = { ...reportFacts(report), claimedProduct: productOfCpuid(report), signingKey, tcb, signature };
  return Object.fromEntries(Object.entries(facts3).map(([name, value]) => [name, jsonOf(value)]));
}

// verifier/appraise/reference-values.ts
var hasExpired = ({ notAfter }, at) => notAfter !== null && at > notAfter;
var isMeasured = ({ measurements }, { snp }) => measurements.some((measurement) => equalBytes(measurement, snp.report.measurement));
var PARTS = {
  measurement: (value, facts3) => isMeasured(value, facts3) && !hasExpired(value, facts3.at),
  hostData: (value, { snp }) => isOrUnused(value.hostData, snp.report.hostData),
  vmpl: (value, { snp }) => value.vmpl === snp.report.vmpl,
  idKeyDigest: (value, { snp }) => isOrUnused(value.idKeyDigest, snp.report.idKeyDigest),
  authorKeyDigest: (value, { snp }) => isOrUnused(value.authorKeyDigest, snp.report.authorKeyDigest)
};
var ORDER = Object.keys(PARTS);
function isOrUnused(want, actual) {
  return want === "unused" || equalBytes(want, actual);
}
var valuesOf = (policy) => policy.referenceValues === "any-unidentified-program" ? [] : policy.referenceValues;
function candidates(policy, facts3, part) {
  const before = ORDER.slice(0, ORDER.indexOf(part));
  const left = valuesOf(policy).filter((value) => before.every((name) => PARTS[name](value, facts3)));
  return left.length > 0 ? left : valuesOf(policy);
}
function referenceRule(part, row, show) {
  return {
    ...row,
    optedOut: ({ referenceValues }) => referenceValues === "any-unidentified-program",
    expected: (policy, facts3) => [...new Set(candidates(policy, facts3, part).map(show))].join(" or "),
    holds: (facts3, policy) => candidates(policy, facts3, part).some((value) => PARTS[part](value, facts3))
  };
}
var hexOrWord = (value) => typeof value === "string" ? value : hex(value);
function buildText({ name, measurements, notAfter }) {
  const until = notAfter ? `, until ${notAfter.toISOString()}` : "";
  return `${measurements.map(hex).join(" or ")} (${JSON.stringify(name)}${until})`;
}
function measuredText(facts3, policy) {
  const measurement = hex(facts3.snp.report.measurement);
  const measured = valuesOf(policy).filter((value) => isMeasured(value, facts3));
  const build = measured.find((value) => !hasExpired(value, facts3.at)) ?? measured[0];
  if (!build) return measurement;
  const expired = hasExpired(build, facts3.at) ? `, which expired at ${build.notAfter?.toISOString()}` : "";
  return `${measurement} (${JSON.stringify(build.name)}${expired})`;
}
var DENIED_ROW = {
  id: "policy.denied-measurements",
  claim: "MEASUREMENT",
  source: "verifier/policy.schema.json, deniedMeasurements"
};
function checkDenied(measurement, { deniedMeasurements }, log) {
  const { id } = DENIED_ROW;
  if (deniedMeasurements.length === 0) log.skip(id, "the policy denies none");
  else if (deniedMeasurements.some((denied) => equalBytes(denied, measurement))) {
    log.fail(id, "MEASUREMENT_DENIED", "a measurement that the policy does not deny", hex(measurement));
  } else log.pass(id, `none of the ${deniedMeasurements.length} denied`);
}

// verifier/appraise/lint.ts
function lintPolicy(policy, at) {
  const { sevSnp } = policy;
  return [
    ...lintAnchors(policy, at),
    ...sevSnp === "refuse" ? lintNothing() : lintSnp(sevSnp, policy, at),
    ...lintWork(policy)
  ];
}
var warn = (code, path, words) => ({ code, path: `policy.${path}`, words });
var when = (holds, ...warning) => holds ? [warn(...warning)] : [];
var lintNothing = () => [
  warn("accepts-nothing", "sevSnp", "no platform is accepted: every file is refused")
];
var lintAnchors = ({ anchors }, at) => anchors.flatMap((anchor, i) => {
  if ("builtin" in anchor) return [];
  const path = `anchors[${i}]`;
  const simulated = anchor.platform.startsWith("simulated-");
  return [
    ...when(
      simulated,
      "simulated-anchor",
      path,
      "a simulated platform is accepted: it proves the mechanism, no machine"
    ),
    ...when(anchor.notAfter < at, "anchor-expired", `${path}.notAfter`, "the anchor has ended: it vouches no more"),
    ...when(
      anchor.notBefore > at,
      "anchor-not-yet-valid",
      `${path}.notBefore`,
      "the anchor vouches only from then on"
    )
  ];
});
var SNP_OPT_OUTS = [
  [
    "referenceValues",
    "any-unidentified-program",
    "any program is accepted, and every result says \u201Cby an unidentified program\u201D"
  ],
  ["minimumTcb", "any", "firmware and microcode with published flaws are accepted"],
  ["minimumLaunchTcb", "any", "a guest launched under flawed firmware is accepted"],
  [
    "debug",
    "allow-debug-no-confidentiality",
    "the host may read and write the guest\u2019s memory: nothing is confidential"
  ],
  ["migration", "allow", "a migration agent may take the guest, with its secrets, elsewhere"],
  ["smt", "allow", "other threads may share the guest\u2019s cores, and watch them from the side"],
  ["cxl", "allow", "the guest\u2019s memory may lie on CXL devices"],
  ["singleSocket", "not-required", "the guest\u2019s memory may cross the link between sockets"],
  ["ciphertextHiding", "not-required", "the host may watch the guest\u2019s encrypted memory change"],
  ["memAes256Xts", "not-required", "AES-256-XTS is not enforced for memory"],
  ["raplDisabled", "not-required", "the host may read the power meter as a side channel"],
  ["pageSwapDisabled", "not-required", "the host may move and swap the guest\u2019s pages"],
  ["provisionalFirmware", "allow", "the host may roll the firmware back to what it was before"],
  ["aliasCheck", "not-required", "memory modules that lie about their size (BadRAM) are not ruled out"],
  ["unknownPlatformInfo", "allow", "platform flags are accepted that this release cannot name"],
  ["chips", "any", "any chip of the accepted products will do, in whoever\u2019s hands"],
  ["maskedChipId", "allow", "nothing but the key ties a report to the chip its certificate is for"],
  ["vlek", "allow", "keys that cloud providers hold for all their chips will do"],
  ["crl", "not-required", "a revoked certificate is found only where somebody happens to give a revocation list"]
];
function lintSnp(snp, policy, at) {
  return [
    ...SNP_OPT_OUTS.flatMap(([field, word, words]) => when(snp[field] === word, "opt-out", `sevSnp.${field}`, words)),
    ...lintReferenceValues(snp, policy, at),
    ...lintProducts(snp),
    ...lintFloors(snp, "minimumTcb"),
    ...lintFloors(snp, "minimumLaunchTcb"),
    ...lintChips(snp)
  ];
}
function lintReferenceValues({ referenceValues }, { deniedMeasurements }, at) {
  if (referenceValues === "any-unidentified-program") return [];
  const left = referenceValues.filter((value) => !hasExpired(value, at));
  return [
    ...when(
      left.length === 0,
      "reference-values-expired",
      "sevSnp.referenceValues",
      "every build has expired: every report is refused"
    ),
    ...referenceValues.flatMap((value, i) => lintReferenceValue(value, i, referenceValues, deniedMeasurements, at))
  ];
}
function lintReferenceValue(value, index, values, denied, at) {
  const path = `sevSnp.referenceValues[${index}]`;
  const { notAfter } = value;
  const isListed = (measurement) => (one) => equalBytes(one, measurement);
  const named = values.findIndex(({ name }) => name === value.name);
  return [
    ...when(
      notAfter !== null && hasExpired(value, at),
      "reference-value-expired",
      `${path}.notAfter`,
      `the build has been unknown since ${notAfter?.toISOString()}: reports of it are refused`
    ),
    ...when(named < index, "name-repeated", `${path}.name`, `results cannot tell it from referenceValues[${named}]`),
    ...when(
      value.hostData === "unused",
      "opt-out",
      `${path}.hostData`,
      "HOST_DATA is not compared: right only where the measurement covers the whole program, not for containers"
    ),
    ...when(value.idKeyDigest === "unused", "opt-out", `${path}.idKeyDigest`, "whoever signed the ID block will do"),
    ...when(
      value.authorKeyDigest === "unused",
      "opt-out",
      `${path}.authorKeyDigest`,
      "whoever vouched for that key will do"
    ),
    ...value.measurements.flatMap((measurement, i) => [
      ...when(
        value.measurements.findIndex(isListed(measurement)) < i,
        "measurement-repeated",
        path,
        `measurement ${hex(measurement).slice(0, 16)}\u2026 is listed twice in this build`
      ),
      ...when(
        denied.some(isListed(measurement)),
        "measurement-denied",
        path,
        `deniedMeasurements names ${hex(measurement).slice(0, 16)}\u2026 too: reports of it are refused`
      )
    ])
  ];
}
var lintProducts = ({ products }) => products.flatMap(
  (product, i) => when(products.indexOf(product) < i, "product-repeated", `sevSnp.products[${i}]`, `${product} is listed before`)
);
var DIES = {
  Milan: null,
  Genoa: "Genoa, Bergamo and Siena",
  Turin: "Turin and Turin Dense"
};
function lintFloors(snp, field) {
  const floors = snp[field];
  if (typeof floors === "string") return [];
  return [
    ...snp.products.flatMap((product) => lintProductFloors(product, floors, `sevSnp.${field}`)),
    ...floors.flatMap(({ product, cpuidModels }, i) => {
      const path = `sevSnp.${field}[${i}]`;
      const dies = DIES[product];
      return [
        ...when(
          !snp.products.includes(product),
          "floor-unused",
          path,
          `${product} is not among the products: no effect`
        ),
        ...when(
          cpuidModels === "any" && dies !== null,
          "floor-for-all-dies",
          `${path}.cpuidModels`,
          `one microcode number for ${dies}, whose numbers differ: too low for one or too high for another`
        )
      ];
    })
  ];
}
function lintProductFloors(product, floors, path) {
  const own = floors.filter((floor) => floor.product === product);
  if (own.length === 0) {
    return [warn("floor-missing", path, `${product} is accepted but has no floor: every ${product} report is refused`)];
  }
  if (own.some(({ cpuidModels }) => cpuidModels === "any")) return [];
  const models = own.flatMap(({ cpuidModels }) => cpuidModels === "any" ? [] : cpuidModels).join(", ");
  const words = `reports of ${product} models other than ${models}, and version 2 reports, which name none, are refused`;
  return [warn("floor-for-named-models", path, words)];
}
function lintChips({ chips, maskedChipId, vlek }) {
  if (chips === "any") return [];
  const masked = chips.findIndex(isZero);
  return [
    ...when(
      masked >= 0,
      "chip-masked",
      `sevSnp.chips[${masked}]`,
      "this is no chip but the id of every report that hides its chip: all of those are on the list"
    ),
    ...chips.flatMap((chip, i) => {
      const earlier = chips.findIndex((other) => equalBytes(other, chip));
      return when(earlier < i, "chip-repeated", `sevSnp.chips[${i}]`, `${hex(chip).slice(0, 16)}\u2026 is listed before`);
    }),
    ...when(
      masked < 0 && maskedChipId === "allow",
      "masked-never-listed",
      "sevSnp.maskedChipId",
      "a report that hides its chip is on no list of chips: it is refused all the same"
    ),
    ...when(
      masked < 0 && vlek !== "forbid",
      "vlek-may-hide-chip",
      "sevSnp.vlek",
      "where a provider hides CHIP_ID, reports under its VLEK are on no list of chips and refused"
    )
  ];
}
function lintWork(policy) {
  const { models, freshness, existedBy, strength, maxWaitSeconds } = policy;
  return [
    ...when(models === "any", "opt-out", "models", "any model that the program serves may have given the answer"),
    ...models === "any" ? [] : models.flatMap((model, i) => {
      const earlier = models.findIndex(({ digest: digest2 }) => equalBytes(digest2, model.digest));
      return when(earlier < i, "model-repeated", `models[${i}]`, `the digest is that of models[${earlier}]`);
    }),
    ...when(freshness === "not-required", "opt-out", "freshness", "an old answer or attestation may be replayed"),
    ...when(existedBy === "not-required", "opt-out", "existedBy", "nothing shows when a receipt was made"),
    ...when(
      existedBy === "required",
      "refuses-everything",
      "existedBy",
      "no file of this release carries an outside clock\u2019s word: every file is refused"
    ),
    ...when(
      strength === "session-signed",
      "opt-out",
      "strength",
      "an answer that no hardware report covers yet is accepted: whoever steals the session key can forge one"
    ),
    ...when(
      strength === "hardware-committed" && maxWaitSeconds === 0,
      "no-wait",
      "maxWaitSeconds",
      "a client does not wait for the hardware report that this policy asks for"
    )
  ];
}

// verifier/appraise/policy-fields.ts
var COMMENT = "$comment";
var MAX_TEXT = 256;
function refusePolicy(path, want) {
  throw new CodedError("POLICY_INVALID", `${path}: want ${want}`, { field: path });
}
var Item = class _Item {
  value;
  path;
  constructor(value, path) {
    this.value = value;
    this.path = path;
  }
  refuse(want) {
    return refusePolicy(this.path, want);
  }
  is(word) {
    return this.value === word;
  }
  word(...words) {
    const found = words.find((word) => word === this.value);
    return found ?? this.refuse(words.map((word) => JSON.stringify(word)).join(" or "));
  }
  text() {
    const { value } = this;
    if (typeof value !== "string" || value === "" || [...value].length > MAX_TEXT) {
      return this.refuse(`text of 1 to ${MAX_TEXT} characters`);
    }
    return value;
  }
  integer(least, most) {
    const { value } = this;
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      return this.refuse(`an integer from ${least} to ${most}`);
    }
    return value;
  }
  hex(n) {
    const raw = typeof this.value === "string" ? fromHex(this.value) : null;
    if (raw?.length !== n) return this.refuse(`${n} bytes in hexadecimal`);
    return raw;
  }
  base64() {
    const raw = typeof this.value === "string" ? fromBase64(this.value) : null;
    if (!raw || raw.length === 0) return this.refuse("base64 with padding");
    return raw;
  }
  /** RFC 3339 in UTC, whole seconds. */
  date() {
    const { value } = this;
    const date = new Date(
      typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) ? value : Number.NaN
    );
    if (Number.isNaN(date.getTime()) || date.toISOString().replace(".000Z", "Z") !== value) {
      return this.refuse("a time such as 2026-01-31T00:00:00Z");
    }
    return date;
  }
  object() {
    return new Fields(this);
  }
  list(least) {
    const { value } = this;
    if (!Array.isArray(value) || value.length < least) return this.refuse(`a list of at least ${least}`);
    return value.map((item, i) => new _Item(item, `${this.path}[${i}]`));
  }
};
var Fields = class {
  path;
  #members;
  #seen = /* @__PURE__ */ new Set([COMMENT]);
  constructor({ value, path }) {
    this.path = path;
    this.#members = members(value) ?? refusePolicy(path, "an object");
    const comment = this.#members.get(COMMENT);
    if (comment !== void 0 && typeof comment !== "string") refusePolicy(`${path}.${COMMENT}`, "text");
  }
  has(name) {
    return this.#members.has(name);
  }
  item(name) {
    this.#seen.add(name);
    const path = `${this.path}.${name}`;
    if (!this.#members.has(name))
      refusePolicy(path, "the field to be there: a policy is complete, opting out is a word");
    return new Item(this.#members.get(name), path);
  }
  /** For objects whose member names are data. */
  items() {
    const names = [...this.#members.keys()].filter((name) => name !== COMMENT);
    return names.map((name) => [name, this.item(name)]);
  }
  end() {
    for (const name of this.#members.keys()) {
      if (!this.#seen.has(name)) refusePolicy(`${this.path}.${name}`, "no such field: this release does not know it");
    }
  }
};
function members(value) {
  if (value instanceof Map) return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return new Map(Object.entries(value));
}

// verifier/appraise/policy-parse.ts
var MAX_DAYS = 36500;
var MAX_WAIT_SECONDS2 = 86400;
var BYTE = 255;
var RESERVED_ID = "builtin:";
function parsePolicy2(json) {
  const policy = new Item(json, "policy").object();
  const fields = {
    profile: policy.item("profile").word(POLICY_PROFILE),
    id: readId(policy.item("id")),
    anchors: policy.item("anchors").list(1).map(readAnchor),
    sevSnp: refused(policy.item("sevSnp")) ?? readSnp(policy.item("sevSnp").object()),
    nitro: policy.item("nitro").word("refuse"),
    deniedMeasurements: readMeasurements(policy.item("deniedMeasurements"), 0),
    models: anything(policy.item("models")) ?? policy.item("models").list(1).map(readModel2),
    freshness: policy.item("freshness").word("nonce-required", "not-required"),
    existedBy: policy.item("existedBy").word("required", "not-required"),
    strength: policy.item("strength").word("hardware-committed", "session-signed"),
    maxWaitSeconds: policy.item("maxWaitSeconds").integer(0, MAX_WAIT_SECONDS2)
  };
  policy.end();
  return mintPolicy(fields);
}
var readPolicy = (file) => parsePolicy2(readPolicyJson(file, "policy").value);
function readPolicyJson(file, what) {
  try {
    return new Item(parseJson(file, what), what);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new CodedError("POLICY_INVALID", cause.message, { field: cause.field ?? what, cause });
  }
}
var refused = (item) => item.is("refuse") ? "refuse" : null;
var anything = (item) => item.is("any") ? "any" : null;
function readId(item) {
  const id = item.text();
  if (id.startsWith(RESERVED_ID)) item.refuse(`an id that does not begin with ${RESERVED_ID}`);
  return id;
}
function readAnchor(item) {
  const anchor = item.object();
  if (anchor.has("builtin")) {
    const builtin = anchor.item("builtin").word("amd");
    anchor.end();
    return { builtin };
  }
  const facts3 = {
    name: anchor.item("name").text(),
    platform: anchor.item("platform").word("snp", "simulated-snp"),
    publicKey: anchor.item("publicKey").base64(),
    fingerprint: anchor.item("fingerprint").hex(32),
    notBefore: anchor.item("notBefore").date(),
    notAfter: anchor.item("notAfter").date()
  };
  anchor.end();
  if (facts3.notAfter < facts3.notBefore) refusePolicy(`${anchor.path}.notAfter`, "a time after notBefore");
  return facts3;
}
function readSnp(snp) {
  const required = (name) => snp.item(name).word("require", "not-required");
  const allowed = (name) => snp.item(name).word("forbid", "allow");
  const policy = {
    referenceValues: readReferenceValues(snp.item("referenceValues")),
    products: snp.item("products").list(1).map(readProduct),
    minimumTcb: anything(snp.item("minimumTcb")) ?? readFloors(snp.item("minimumTcb")),
    minimumLaunchTcb: readLaunchFloors(snp.item("minimumLaunchTcb")),
    debug: snp.item("debug").word("forbid", "allow-debug-no-confidentiality"),
    migration: allowed("migration"),
    smt: allowed("smt"),
    cxl: allowed("cxl"),
    singleSocket: required("singleSocket"),
    ciphertextHiding: required("ciphertextHiding"),
    memAes256Xts: required("memAes256Xts"),
    raplDisabled: required("raplDisabled"),
    pageSwapDisabled: required("pageSwapDisabled"),
    provisionalFirmware: allowed("provisionalFirmware"),
    aliasCheck: required("aliasCheck"),
    unknownPlatformInfo: allowed("unknownPlatformInfo"),
    chips: anything(snp.item("chips")) ?? snp.item("chips").list(1).map((chip) => chip.hex(64)),
    maskedChipId: allowed("maskedChipId"),
    vlek: readVlek(snp.item("vlek")),
    crl: readCrl(snp.item("crl"))
  };
  snp.end();
  return policy;
}
function readReferenceValues(item) {
  if (item.is("any-unidentified-program")) return "any-unidentified-program";
  return item.list(1).map(readReferenceValue);
}
var readMeasurements = (item, least) => item.list(least).map((one) => one.hex(48));
function readReferenceValue(item) {
  const value = item.object();
  const unusedOr = (name, n) => {
    const part = value.item(name);
    return part.is("unused") ? "unused" : part.hex(n);
  };
  const reference = {
    name: value.item("name").text(),
    measurements: value.has("measurements") ? readMeasurements(value.item("measurements"), 1) : [value.item("measurement").hex(48)],
    hostData: unusedOr("hostData", 32),
    vmpl: value.item("vmpl").integer(0, 3),
    idKeyDigest: unusedOr("idKeyDigest", 48),
    authorKeyDigest: unusedOr("authorKeyDigest", 48),
    notAfter: value.has("notAfter") ? value.item("notAfter").date() : null
  };
  value.end();
  return reference;
}
var readProduct = (item) => item.word("Milan", "Genoa", "Turin");
function readFloors(item) {
  const floors = item.list(1).map(readFloor);
  for (const [i, floor] of floors.entries()) {
    if (floors.slice(0, i).some((earlier) => overlap(earlier, floor))) {
      refusePolicy(`${item.path}[${i}]`, "one floor for each product and CPUID model");
    }
  }
  return floors;
}
function overlap({ product, cpuidModels: a }, { product: other, cpuidModels: b }) {
  if (product !== other) return false;
  return a === "any" || b === "any" ? a === b : a.some((model) => b.includes(model));
}
function readFloor(item) {
  const floor = item.object();
  const part = (name) => floor.item(name).integer(0, BYTE);
  const product = readProduct(floor.item("product"));
  const models = floor.item("cpuidModels");
  const cpuidModels = anything(models) ?? models.list(1).map((model) => model.integer(0, BYTE));
  const parts = {
    bootloader: part("bootloader"),
    tee: part("tee"),
    snp: part("snp"),
    microcode: part("microcode")
  };
  const layout = tcbLayoutOf(product);
  const tcb = layout === "turin" ? { layout, fmc: part("fmc"), ...parts } : { layout, ...parts };
  floor.end();
  return { product, cpuidModels, tcb };
}
function readLaunchFloors(item) {
  if (item.is("same-as-reported")) return "same-as-reported";
  return anything(item) ?? readFloors(item);
}
function readVlek(item) {
  if (item.is("forbid")) return "forbid";
  if (item.is("allow")) return "allow";
  const vlek = item.object();
  const cspIds = vlek.item("cspIds").list(1).map((id) => id.text());
  vlek.end();
  return { cspIds };
}
function readCrl(item) {
  if (item.is("not-required")) return "not-required";
  const crl = item.object();
  const maxAgeDays = crl.item("maxAgeDays").integer(1, MAX_DAYS);
  crl.end();
  return { maxAgeDays };
}
function readModel2(item) {
  const model = item.object();
  const label = (name) => model.has(name) ? model.item(name).text() : null;
  const rule = {
    name: label("name"),
    version: label("version"),
    digest: model.has("files") ? filesDigest(model.item("files")) : model.item("digest").hex(32)
  };
  model.end();
  return rule;
}
function filesDigest(item) {
  const files = item.object().items();
  if (files.length === 0) item.refuse("at least one file");
  for (const [path, { path: place }] of files) {
    const problem = modelPathProblem(path);
    if (problem !== null) refusePolicy(place, `a relative path; this one has ${problem}`);
  }
  return modelDigest(new Map(files.map(([path, digest2]) => [path, digest2.hex(32)])));
}

// verifier/appraise/result.ts
var toJson = (result) => ({
  verdict: result.verdict,
  strength: result.strength,
  platform: result.platform,
  findings: result.findings.map(jsonOf),
  checks: result.checks.map(({ id, outcome, detail }) => ({ id, outcome, detail })),
  notChecked: result.notChecked,
  claims: jsonOf(result.claims),
  policy: result.policy,
  at: result.at.toISOString(),
  kind: result.kind,
  policyDigest: hex(result.policyDigest),
  validAt: result.validAt.toISOString(),
  timeSource: result.timeSource,
  existedBy: result.existedBy
});

// verifier/appraise/expected.ts
async function prepareExpected(expected) {
  const { nonce, request, response, model, ...rest } = expected;
  if (nonce && (nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES)) {
    throw new TypeError(`expected.nonce: want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`);
  }
  if (model?.digest && model.digest.length !== 32) throw new TypeError("expected.model.digest: want 32 bytes");
  return {
    ...rest,
    ...nonce && { nonce },
    ...model && { model },
    ...request && { request: await commit(request, "expected.request") },
    ...response && { response: await commit(response, "expected.response") }
  };
}
async function commit({ body, salt, jsonLength }, field) {
  if (salt.length !== 32) throw new TypeError(`${field}.salt: want 32 bytes`);
  const digest2 = await saltedDigest(bytes(salt, 32, field), body);
  return { digest: digest2, bodyLength: body.length, jsonLength };
}
var RECEIPT = ["receipt"];
var STATEMENT = "docs/formats.md, statement";
var EXPECTED_ROWS = [
  { id: "expected.nonce", claim: "eat_nonce", source: "RFC 9711 \xA74.1; docs/formats.md" },
  { id: "expected.request", claim: "request digest", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.request-json-length", claim: "request JSON length", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.request-media-type", claim: "request media type", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.response", claim: "response digest", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.response-json-length", claim: "response JSON length", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.response-media-type", claim: "response media type", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.model", claim: "model name, version and digest", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.operation", claim: "operation", source: STATEMENT, kinds: RECEIPT },
  { id: "expected.outcome", claim: "outcome", source: STATEMENT, kinds: RECEIPT }
];
var quoted = (value) => JSON.stringify(value);
var wanted = (value) => value === void 0 ? void 0 : quoted(value);
var SIDES = {
  request: {
    code: "REQUEST_MISMATCH",
    digest: (statement) => statement.requestDigest,
    jsonLength: (statement) => statement.requestJsonLength,
    mediaType: (statement) => statement.requestMediaType
  },
  response: {
    code: "RESPONSE_MISMATCH",
    digest: (statement) => statement.responseDigest,
    jsonLength: (statement) => statement.responseJsonLength,
    mediaType: (statement) => statement.responseMediaType
  }
};
function bodyComparisons(side, expected) {
  const { code, digest: digest2, jsonLength, mediaType } = SIDES[side];
  const body = expected[side];
  const type = expected.mediaTypes?.[side];
  return [
    {
      id: `expected.${side}`,
      code,
      want: body && hex(body.digest),
      holds: (statement) => body !== void 0 && equalBytes(body.digest, digest2(statement)) && (jsonLength(statement) ?? 0) <= body.bodyLength,
      actual: (statement) => hex(digest2(statement)),
      absent: `without the ${side} and its salt: whether this ${side} is the one you hold`
    },
    {
      id: `expected.${side}-json-length`,
      code,
      want: wanted(body?.jsonLength),
      holds: (statement) => body?.jsonLength === jsonLength(statement),
      actual: (statement) => quoted(jsonLength(statement))
    },
    {
      id: `expected.${side}-media-type`,
      code,
      want: wanted(type),
      holds: (statement) => type === mediaType(statement),
      actual: (statement) => quoted(mediaType(statement))
    }
  ];
}
var modelText = (name, version, digest2) => `${quoted(name)}, version ${version === void 0 ? "any" : quoted(version)}, digest ${digest2 ? hex(digest2) : "any"}`;
var comparisons = (expected) => [
  ...bodyComparisons("request", expected),
  ...bodyComparisons("response", expected),
  {
    id: "expected.model",
    code: "MODEL_MISMATCH",
    want: expected.model && modelText(expected.model.name, expected.model.version, expected.model.digest),
    holds: ({ model: actual }) => {
      const want = expected.model;
      return want !== void 0 && actual !== null && want.name === actual.name && (want.version === void 0 || want.version === actual.version) && (want.digest === void 0 || equalBytes(want.digest, actual.digest));
    },
    actual: ({ model }) => model ? modelText(model.name, model.version, model.digest) : "no model",
    absent: "without the model asked for: whether this model is the one you meant"
  },
  {
    id: "expected.operation",
    code: "OPERATION_MISMATCH",
    want: wanted(expected.operation),
    holds: ({ operation }) => expected.operation === operation,
    actual: ({ operation }) => quoted(operation)
  },
  {
    id: "expected.outcome",
    code: "OUTCOME_NOT_OK",
    want: wanted(expected.outcome),
    holds: ({ outcome }) => expected.outcome === outcome,
    actual: ({ outcome }) => quoted(outcome)
  }
];
function checkExpected(verified, expected, log) {
  const nonce = checkNonce(verified, expected.nonce, log);
  for (const { id, code, want, holds, actual, absent } of comparisons(expected)) {
    if (verified.kind !== "receipt") {
      if (want !== void 0) log.fail(id, code, want, `${A_FILE[verified.kind]}, which says nothing of it`);
    } else if (want === void 0) log.skip(id, "not given", absent);
    else if (holds(verified.statement)) log.pass(id, actual(verified.statement), want);
    else log.fail(id, code, want, actual(verified.statement));
  }
  if (verified.kind === "receipt" && verified.statement.outcome !== "ok") {
    log.note(`no model's answer: the statement records that the request was refused (${verified.statement.outcome})`);
  }
  return { nonce };
}
function checkNonce(verified, nonce, log) {
  const id = "expected.nonce";
  if (nonce === void 0) {
    log.skip(id, "not given", "without a nonce: this answer may be an old one");
    return false;
  }
  const found = nonceOf(verified);
  if (found && equalBytes(verified.kind === "snp-report" ? padded(nonce) : nonce, found)) {
    log.pass(id, hex(nonce), hex(nonce));
    return true;
  }
  log.fail(id, "NONCE_MISMATCH", hex(nonce), found ? hex(found) : `${A_FILE[verified.kind]} without a nonce`);
  return false;
}
function nonceOf(verified) {
  switch (verified.kind) {
    case "snp-report":
      return verified.snp.report.reportData;
    case "snp-hcl":
    case "evidence":
      return null;
    case "attestation":
      return verified.challenge?.nonce ?? null;
    case "receipt":
      return verified.statement.nonce;
  }
}
function padded(nonce) {
  const data = new Uint8Array(MAX_NONCE_BYTES);
  data.set(nonce);
  return data;
}

// verifier/appraise/receipt-rules.ts
var POLICY = "verifier/policy.schema.json";
var RECEIPT_RULE_ROWS = [
  { id: "policy.models", claim: "model digest", source: POLICY, kinds: ["receipt"] },
  { id: "policy.strength", claim: "strength", source: POLICY, kinds: ["receipt"] },
  { id: "policy.freshness", claim: "eat_nonce", source: POLICY },
  { id: "policy.existed-by", claim: "time", source: POLICY }
];
function runReceiptRules(verified, nonce, policy, log) {
  if (verified.kind === "receipt") {
    checkModels(verified, policy.models, log);
    checkStrength(verified, policy, log);
  }
  checkFreshness(nonce, policy, log);
  if (policy.existedBy === "not-required") {
    log.skip("policy.existed-by", "the policy does not ask", "when this was made: no outside clock proves it");
  } else {
    log.fail("policy.existed-by", "TIME_NOT_PROVEN", "a time proven by an outside clock", "none");
  }
}
function checkModels({ statement: { model, outcome } }, models, log) {
  const id = "policy.models";
  if (models === "any") {
    log.skip(id, "the policy does not ask", "models: whether you allow the model that ran");
  } else if (!model) {
    log.skip(id, `no model ran: the request was refused (${outcome})`);
  } else if (models.some((rule) => isModel(rule, model))) {
    log.pass(id, modelText2(model), models.map(modelText2).join(" or "));
  } else {
    log.fail(id, "MODEL_NOT_ALLOWED", models.map(modelText2).join(" or "), modelText2(model));
  }
}
var isModel = (rule, model) => equalBytes(rule.digest, model.digest) && (rule.name === null || rule.name === model.name) && (rule.version === null || rule.version === model.version);
var modelText2 = ({ name, version, digest: digest2 }) => `${name ?? "any name"} version ${version ?? "any"}, digest ${hex(digest2)}`;
function checkStrength({ strength }, policy, log) {
  if (strength === "hardware-committed" || policy.strength === "session-signed") {
    log.pass("policy.strength", strength, policy.strength);
  } else {
    log.fail("policy.strength", "STRENGTH_INSUFFICIENT", policy.strength, strength);
  }
  if (strength === "session-signed") {
    log.note("session-signed: hardware vouches for the session key, not yet for this statement");
  }
}
function checkFreshness(nonce, { freshness }, log) {
  const id = "policy.freshness";
  if (nonce) log.pass(id, "the answer bears the nonce of the caller");
  else if (freshness === "not-required") log.skip(id, "the policy does not ask");
  else log.fail(id, "FRESHNESS_REQUIRED", "the nonce of the caller", "none, or another");
}

// verifier/appraise/tcb-floors.ts
function floorFor(floors, { snp }) {
  const ofProduct = floors.filter(({ product }) => product === snp.product);
  const model = snp.report.cpuid?.model;
  return ofProduct.find(({ cpuidModels }) => cpuidModels !== "any" && model !== void 0 && cpuidModels.includes(model)) ?? ofProduct.find(({ cpuidModels }) => cpuidModels === "any");
}
var reportedFloors = (policy) => policy.minimumTcb === "any" ? [] : policy.minimumTcb;
var launchFloors = (policy) => {
  if (policy.minimumLaunchTcb === "same-as-reported") return reportedFloors(policy);
  return policy.minimumLaunchTcb === "any" ? [] : policy.minimumLaunchTcb;
};
var floorText = (floors, facts3) => {
  const floor = floorFor(floors, facts3);
  if (floor) return `at least ${tcbText(floor.tcb)}`;
  const { cpuid } = facts3.snp.report;
  return `a processor the policy has a floor for, unlike ${facts3.snp.product}${cpuid ? ` model ${cpuid.model}` : ""}`;
};
var meetsFloor = (tcb, floors, facts3) => {
  const floor = floorFor(floors, facts3);
  return floor !== void 0 && meetsTcb(tcb, floor.tcb);
};

// verifier/appraise/snp-rules.ts
var MS_PER_DAY = 864e5;
var onOff = (bit2) => bit2 ? "1" : "0";
function policyBit(row, bit2, field) {
  return {
    ...row,
    code: "GUEST_POLICY_WEAK",
    optedOut: (policy) => policy[field] === "not-required",
    expected: () => "1",
    holds: ({ snp }) => snp.report.policy[bit2],
    actual: ({ snp }) => onOff(snp.report.policy[bit2])
  };
}
var SNP_RULES = [
  {
    id: "policy.product",
    code: "PRODUCT_NOT_ALLOWED",
    claim: "product",
    source: "AMD 57230, productName",
    optedOut: () => false,
    expected: ({ products }) => products.join(" or "),
    holds: ({ snp }, { products }) => products.includes(snp.product),
    actual: ({ snp }) => snp.product
  },
  referenceRule(
    "measurement",
    {
      id: "policy.measurement",
      code: "MEASUREMENT_UNKNOWN",
      claim: "MEASUREMENT",
      source: "AMD 56860, launch digest",
      unknown: "by an unidentified program: the launch measurement was compared with no reference value",
      actual: measuredText
    },
    buildText
  ),
  referenceRule(
    "hostData",
    {
      id: "policy.host-data",
      code: "HOST_DATA_MISMATCH",
      claim: "HOST_DATA",
      source: "AMD 56860, HOST_DATA",
      unknown: "HOST_DATA: which container or configuration the host launched",
      actual: ({ snp }) => hex(snp.report.hostData)
    },
    ({ hostData }) => hexOrWord(hostData)
  ),
  referenceRule(
    "vmpl",
    {
      id: "policy.vmpl",
      code: "VMPL_NOT_ALLOWED",
      claim: "VMPL",
      source: "AMD 56860, VMPL",
      unknown: "VMPL: at which privilege level of the guest the report was asked for",
      actual: ({ snp }) => String(snp.report.vmpl)
    },
    ({ vmpl }) => String(vmpl)
  ),
  referenceRule(
    "idKeyDigest",
    {
      id: "policy.id-key",
      code: "ID_KEY_MISMATCH",
      claim: "ID_KEY_DIGEST",
      source: "AMD 56860, ID_BLOCK",
      unknown: "ID_KEY_DIGEST: whose key signed the ID block",
      actual: ({ snp }) => hex(snp.report.idKeyDigest)
    },
    ({ idKeyDigest }) => hexOrWord(idKeyDigest)
  ),
  referenceRule(
    "authorKeyDigest",
    {
      id: "policy.author-key",
      code: "AUTHOR_KEY_MISMATCH",
      claim: "AUTHOR_KEY_DIGEST",
      source: "AMD 56860, ID_AUTH_INFO",
      unknown: "AUTHOR_KEY_DIGEST: whose key vouched for the ID key",
      actual: ({ snp }) => hex(snp.report.authorKeyDigest)
    },
    ({ authorKeyDigest }) => hexOrWord(authorKeyDigest)
  ),
  {
    id: "policy.minimum-tcb",
    code: "TCB_BELOW_MINIMUM",
    claim: "REPORTED_TCB",
    source: "AMD 56860, TCB_VERSION",
    optedOut: ({ minimumTcb }) => minimumTcb === "any",
    unknown: "minimum TCB: whether the firmware has the fixes you want",
    expected: (policy, facts3) => floorText(reportedFloors(policy), facts3),
    holds: (facts3, policy) => meetsFloor(facts3.tcb.reported, reportedFloors(policy), facts3),
    actual: ({ tcb }) => tcbText(tcb.reported)
  },
  {
    id: "policy.minimum-launch-tcb",
    code: "TCB_BELOW_MINIMUM",
    claim: "LAUNCH_TCB",
    source: "AMD 56860, TCB_VERSION",
    optedOut: ({ minimumTcb, minimumLaunchTcb }) => minimumLaunchTcb === "any" || minimumLaunchTcb === "same-as-reported" && minimumTcb === "any",
    unknown: "minimum launch TCB: whether the firmware had those fixes when the guest was launched",
    expected: (policy, facts3) => floorText(launchFloors(policy), facts3),
    holds: (facts3, policy) => meetsFloor(facts3.tcb.launch, launchFloors(policy), facts3),
    actual: ({ tcb }) => tcbText(tcb.launch)
  },
  {
    // What makes a floor on REPORTED_TCB a floor on the platform.
    id: "policy.tcb-order",
    code: "TCB_INCONSISTENT",
    claim: "REPORTED_TCB, COMMITTED_TCB, CURRENT_TCB",
    source: "AMD 56860, TCB_VERSION",
    optedOut: ({ minimumTcb }) => minimumTcb === "any",
    unknown: "order of TCBs: whether reported \u2264 committed \u2264 current",
    expected: () => "reported \u2264 committed \u2264 current, in every part",
    holds: ({ tcb }) => meetsTcb(tcb.committed, tcb.reported) && meetsTcb(tcb.current, tcb.committed),
    actual: ({ tcb }) => `reported ${tcbText(tcb.reported)}; committed ${tcbText(tcb.committed)}; current ${tcbText(tcb.current)}`
  },
  {
    id: "policy.provisional-firmware",
    code: "TCB_PROVISIONAL",
    claim: "COMMITTED_TCB, COMMITTED_VERSION",
    source: "AMD 56860, SNP_COMMIT",
    optedOut: ({ provisionalFirmware }) => provisionalFirmware === "allow",
    unknown: "provisional firmware: whether the host can still roll the firmware back",
    expected: () => "the committed TCB and version equal to the current ones",
    holds: ({ snp: { report } }) => equalBytes(report.committedTcb, report.currentTcb) && report.committedFirmware.major === report.currentFirmware.major && report.committedFirmware.minor === report.currentFirmware.minor && report.committedFirmware.build === report.currentFirmware.build,
    actual: ({ snp: { report }, tcb }) => {
      const { committedFirmware: a, currentFirmware: b } = report;
      return `committed ${a.major}.${a.minor}.${a.build} (${tcbText(tcb.committed)}), current ${b.major}.${b.minor}.${b.build} (${tcbText(tcb.current)})`;
    }
  },
  {
    id: "policy.debug",
    code: "DEBUG_ENABLED",
    claim: "POLICY.DEBUG",
    source: "AMD 56860, guest policy bit 19",
    optedOut: ({ debug }) => debug === "allow-debug-no-confidentiality",
    unknown: "debug: whether the host may read and write the guest\u2019s memory",
    expected: () => "0",
    holds: ({ snp }) => !snp.report.policy.debug,
    actual: ({ snp }) => onOff(snp.report.policy.debug)
  },
  {
    id: "policy.migration",
    code: "MIGRATION_ENABLED",
    claim: "POLICY.MIGRATE_MA",
    source: "AMD 56860, guest policy bit 18",
    optedOut: ({ migration }) => migration === "allow",
    unknown: "migration: whether a migration agent may take the guest elsewhere",
    expected: () => "0",
    holds: ({ snp }) => !snp.report.policy.migrateMa,
    actual: ({ snp }) => onOff(snp.report.policy.migrateMa)
  },
  {
    id: "policy.smt",
    code: "SMT_ENABLED",
    claim: "POLICY.SMT, PLATFORM_INFO.SMT_EN",
    source: "AMD 56860, guest policy bit 16, PLATFORM_INFO bit 0",
    optedOut: ({ smt }) => smt === "allow",
    unknown: "SMT: whether other threads share the guest\u2019s cores",
    expected: () => "0 and 0",
    holds: ({ snp }) => !snp.report.policy.smt && !snp.report.platformInfo.smtEn,
    actual: ({ snp }) => `${onOff(snp.report.policy.smt)} and ${onOff(snp.report.platformInfo.smtEn)}`
  },
  {
    id: "policy.cxl",
    code: "GUEST_POLICY_WEAK",
    claim: "POLICY.CXL_ALLOW",
    source: "AMD 56860, guest policy bit 21",
    optedOut: ({ cxl }) => cxl === "allow",
    unknown: "CXL: whether the guest\u2019s memory may lie on CXL devices",
    expected: () => "0",
    holds: ({ snp }) => !snp.report.policy.cxlAllow,
    actual: ({ snp }) => onOff(snp.report.policy.cxlAllow)
  },
  policyBit(
    {
      id: "policy.single-socket",
      claim: "POLICY.SINGLE_SOCKET",
      source: "AMD 56860, guest policy bit 20",
      unknown: "single socket: whether the guest\u2019s memory crosses a link between sockets"
    },
    "singleSocket",
    "singleSocket"
  ),
  policyBit(
    {
      id: "policy.mem-aes-256-xts",
      claim: "POLICY.MEM_AES_256_XTS",
      source: "AMD 56860, guest policy bit 22",
      unknown: "memory cipher: whether AES-256-XTS is enforced"
    },
    "memAes256Xts",
    "memAes256Xts"
  ),
  policyBit(
    {
      id: "policy.rapl-disabled",
      claim: "POLICY.RAPL_DIS",
      source: "AMD 56860, guest policy bit 23",
      unknown: "RAPL: whether the host can read the power meter as a side channel"
    },
    "raplDis",
    "raplDisabled"
  ),
  policyBit(
    {
      id: "policy.ciphertext-hiding",
      claim: "POLICY.CIPHERTEXT_HIDING_DRAM",
      source: "AMD 56860, guest policy bit 24",
      unknown: "ciphertext hiding: whether the host can watch the guest\u2019s encrypted memory change"
    },
    "ciphertextHidingDram",
    "ciphertextHiding"
  ),
  policyBit(
    {
      id: "policy.page-swap-disabled",
      claim: "POLICY.PAGE_SWAP_DISABLE",
      source: "AMD 56860, guest policy bit 25",
      unknown: "page swap: whether the host may move and swap the guest\u2019s pages"
    },
    "pageSwapDisable",
    "pageSwapDisabled"
  ),
  {
    id: "policy.alias-check",
    code: "ALIAS_CHECK_MISSING",
    claim: "PLATFORM_INFO.ALIAS_CHECK_COMPLETE",
    source: "AMD 56860, PLATFORM_INFO bit 5; AMD-SB-3015",
    optedOut: ({ aliasCheck }) => aliasCheck === "not-required",
    unknown: "alias check: whether the firmware ruled out memory modules that lie about their size (BadRAM)",
    expected: () => "1",
    holds: ({ snp }) => snp.report.platformInfo.aliasCheckComplete,
    actual: ({ snp }) => onOff(snp.report.platformInfo.aliasCheckComplete)
  },
  {
    id: "policy.platform-info",
    code: "PLATFORM_INFO_UNKNOWN",
    claim: "PLATFORM_INFO",
    source: "AMD 56860, PLATFORM_INFO, reserved bits",
    optedOut: ({ unknownPlatformInfo }) => unknownPlatformInfo === "allow",
    unknown: "platform info: what bits mean that this release has no name for",
    expected: () => "no unknown bit",
    holds: ({ snp }) => snp.report.platformInfo.unknownBits === 0n,
    actual: ({ snp }) => `0x${snp.report.platformInfo.unknownBits.toString(16)}`
  },
  {
    id: "policy.masked-chip-id",
    code: "CHIP_ID_MASKED",
    claim: "CHIP_ID",
    source: "AMD 56860, MASK_CHIP_ID",
    applies: ({ snp }) => snp.signer === "VCEK",
    // a VLEK belongs to no chip
    optedOut: ({ maskedChipId }) => maskedChipId === "allow",
    unknown: "masked CHIP_ID: whether the report comes from the chip its certificate is for",
    expected: () => "the id of the chip",
    holds: ({ snp }) => !snp.chipIdMasked,
    actual: ({ snp }) => hex(snp.report.chipId)
  },
  {
    id: "policy.chips",
    code: "CHIP_NOT_ALLOWED",
    claim: "CHIP_ID",
    source: "AMD 56860, CHIP_ID",
    optedOut: ({ chips }) => chips === "any",
    unknown: "chips: whether this is a machine you know",
    expected: ({ chips }) => chips === "any" ? "any" : chips.map(hex).join(" or "),
    holds: ({ snp }, { chips }) => chips !== "any" && chips.some((chip) => equalBytes(chip, snp.report.chipId)),
    actual: ({ snp }) => hex(snp.report.chipId)
  },
  {
    id: "policy.vlek",
    code: "SIGNING_KEY_NOT_ALLOWED",
    claim: "SIGNING_KEY, cspID",
    source: "AMD 56860, KEY_INFO; AMD 57230, cspID",
    applies: ({ snp }) => snp.signer === "VLEK",
    optedOut: ({ vlek }) => vlek === "allow",
    unknown: "VLEK: whether a key that a cloud provider holds for all its chips will do",
    expected: ({ vlek }) => {
      if (typeof vlek === "object") return `a VLEK of ${vlek.cspIds.map((id) => JSON.stringify(id)).join(" or ")}`;
      return "a VCEK";
    },
    holds: ({ snp: { certificate } }, { vlek }) => typeof vlek === "object" && certificate.cspId !== null && vlek.cspIds.includes(certificate.cspId),
    actual: ({ snp: { certificate } }) => `a VLEK of ${JSON.stringify(certificate.cspId)}`
  },
  {
    id: "policy.crl",
    code: "CRL_REQUIRED",
    claim: "certificate revocation list",
    source: "RFC 5280 \xA75; AMD 57230",
    // A list that was given is shown, asked for or not; `snp.crl` says what its absence leaves open.
    optedOut: ({ crl }, { snp }) => crl === "not-required" && snp.crl === null,
    expected: ({ crl }) => crl === "not-required" ? "any" : `a current list given by the caller, at most ${crl.maxAgeDays} days old`,
    holds: ({ snp, at }, { crl }) => snp.crl !== null && (crl === "not-required" || at.getTime() - snp.crl.thisUpdate.getTime() <= crl.maxAgeDays * MS_PER_DAY),
    actual: ({ snp }) => snp.crl ? `one of ${snp.crl.thisUpdate.toISOString()}` : "none"
  }
];
function runSnpRules(facts3, policy, log) {
  for (const rule of SNP_RULES) {
    if (!policy) log.skip(rule.id, "the policy refuses this platform");
    else if (rule.applies && !rule.applies(facts3)) log.skip(rule.id, `does not apply to a ${facts3.snp.signer}`);
    else if (rule.optedOut(policy, facts3)) log.skip(rule.id, "the policy does not ask", rule.unknown);
    else if (rule.holds(facts3, policy)) log.pass(rule.id, rule.actual(facts3, policy), rule.expected(policy, facts3));
    else log.fail(rule.id, rule.code, rule.expected(policy, facts3), rule.actual(facts3, policy));
  }
}

// verifier/appraise/appraise.ts
var PLATFORM_ROWS = [
  { id: "policy.platform", claim: "platform", source: "verifier/policy.schema.json" },
  DENIED_ROW
];
function appraise(verified, expected, policy, at, log) {
  const { nonce } = checkExpected(verified, expected, log);
  const { platform } = verified.snp.anchor;
  if (policy.sevSnp === "refuse") log.fail("policy.platform", "PLATFORM_NOT_ALLOWED", "not SEV-SNP", platform);
  else log.pass("policy.platform", platform);
  checkDenied(verified.snp.report.measurement, policy, log);
  runSnpRules({ snp: verified.snp, tcb: verified.tcb, at }, policy.sevSnp === "refuse" ? null : policy.sevSnp, log);
  runReceiptRules(verified, nonce, policy, log);
  return { nonce };
}

// verifier/receipt/challenge.ts
var ATTESTATION = ["attestation"];
var SIGN1 = "RFC 9052 \xA74.4, under cnf";
var INCLUSION = "RFC 9162 \xA72.1.3.2";
var CHALLENGE_ROWS = [
  { id: "challenge.signature", claim: "challenges entry", source: SIGN1, kinds: ATTESTATION },
  { id: "challenge.inclusion", claim: "challenges entry under the checkpoint", source: INCLUSION, kinds: ATTESTATION },
  { id: "challenge.nonce", claim: "nonce in the tree of nonces", source: INCLUSION, kinds: ATTESTATION },
  { id: "key.signature", claim: "key entries", source: SIGN1, kinds: ATTESTATION },
  { id: "key.inclusion", claim: "key entries under the checkpoint", source: INCLUSION, kinds: ATTESTATION },
  {
    id: "key.in-force",
    claim: "sealing-key configuration named by the challenges entry",
    source: "docs/formats.md, challenges",
    kinds: ATTESTATION
  }
];
async function verifyChallenge(challenge, keys, session, log) {
  if (challenge) {
    await verifyEntry("challenge", "CHALLENGE_INVALID", challenge, session, log);
    await log.step(
      "challenge.nonce",
      () => verifyNonce(challenge),
      () => hex(challenge.nonce)
    );
  } else {
    for (const { id } of CHALLENGE_ROWS) {
      if (id.startsWith("challenge.")) log.skip(id, "the attestation answers no nonce");
    }
  }
  const verified = [];
  for (const key of keys) {
    await verifyEntry("key", "SIGNATURE_INVALID", key, session, log);
    verified.push({
      config: key.value.config,
      digest: sha256(key.value.config),
      sequence: key.value.sequence,
      claimedNotBefore: key.value.notBefore,
      claimedNotAfter: key.value.notAfter
    });
  }
  if (keys.length === 0) {
    for (const { id } of CHALLENGE_ROWS) {
      if (id.startsWith("key.")) log.skip(id, "the attestation offers no sealing key");
    }
  } else if (challenge) {
    await log.step(
      "key.in-force",
      () => verifyInForce(verified, challenge.value),
      () => `${verified.length} named by the challenges entry`
    );
  } else {
    log.skip("key.in-force", "only a challenges entry names the keys in force");
  }
  log.establish({
    claims: {
      challenge: challenge && { nonce: challenge.nonce, sequence: challenge.value.sequence },
      keyConfigs: verified.map(({ digest: digest2, sequence }) => ({ digest: digest2, sequence }))
    }
  });
  return challenge && { nonce: challenge.nonce, sequence: challenge.value.sequence, keys: verified };
}
async function verifyEntry(what, signatureCode, entry, session, log) {
  const { size, root: root2 } = session.checkpoint;
  const { sequence } = entry.value;
  await log.step(
    `${what}.signature`,
    async () => {
      if (await verifySign1(entry.message, session.key)) return;
      throw new CheckFailure(signatureCode, "a signature by the session key", "another", { field: what });
    },
    () => "signed by the session key"
  );
  await log.step(
    `${what}.inclusion`,
    () => {
      const reached = rootFromInclusion(leafHash(entry.raw), sequence, size, entry.path);
      if (reached && equalBytes(reached, root2)) return;
      const expected = `a path from entry ${sequence} to the root over ${size} entries`;
      throw new CheckFailure("INCLUSION_INVALID", expected, "one that leads elsewhere", { field: `${what}.path` });
    },
    () => `entry ${sequence} of ${size}`
  );
}
function verifyNonce({ value, nonce, nonceIndex, noncePath }) {
  const reached = rootFromInclusion(leafHash(nonce), nonceIndex, value.nonceCount, noncePath);
  if (reached && equalBytes(reached, value.nonceRoot)) return;
  const expected = `a path from nonce ${nonceIndex} to the root over ${value.nonceCount} nonces`;
  throw new CheckFailure("CHALLENGE_INVALID", expected, "one that leads elsewhere", { field: "challenge.noncePath" });
}
function verifyInForce(keys, { keyConfigDigests }) {
  for (const { digest: digest2, sequence } of keys) {
    if (keyConfigDigests.some((named) => equalBytes(named, digest2))) continue;
    const expected = "every sealing key named by the challenges entry";
    throw new CheckFailure("KEY_NOT_COMMITTED", expected, `key entry ${sequence} is not`, {
      field: "attestation.keys"
    });
  }
}

// verifier/receipt/parse.ts
var OURS = ["evidence", "attestation", "receipt"];
var SHAPE_ROWS = [
  { id: "shape.kind", claim: "kind of file", source: "docs/formats.md" },
  { id: "shape.file", claim: "size, canonical CBOR, closed maps, profile", source: "docs/formats.md", kinds: OURS },
  { id: "shape.evidence", claim: "evidence file", source: "docs/formats.md, evidence", kinds: OURS },
  HCL_SHAPE_ROW,
  { id: "shape.report", claim: "ATTESTATION_REPORT", source: "AMD 56860, ATTESTATION_REPORT" },
  { id: "session.claims", claim: "session claims", source: "docs/formats.md, session claims", kinds: OURS },
  { id: "session.key", claim: "cnf", source: "RFC 8747 \xA73.2; RFC 8032 \xA75.1.3", kinds: OURS },
  { id: "session.boot-id", claim: "boot id", source: "design \xA73: SHA-256 of the session key, 16 bytes", kinds: OURS },
  { id: "checkpoint.shape", claim: "checkpoint", source: "C2SP tlog-checkpoint, signed-note", kinds: OURS },
  { id: "challenge.shape", claim: "challenges entry", source: "docs/formats.md, challenges", kinds: ["attestation"] },
  { id: "key.shape", claim: "key entries", source: "docs/formats.md, key", kinds: ["attestation"] },
  { id: "statement.shape", claim: "statement", source: "docs/formats.md, statement", kinds: ["receipt"] },
  { id: "shape.endorsements", claim: "endorsement and CRL files of the caller", source: "RFC 7468; ITU-T X.690 \xA710" }
];
async function parse(file, kind, evidence, log) {
  switch (kind) {
    case "snp-report":
      return { kind, report: await readReport(file, log) };
    case "snp-hcl": {
      const hcl = await log.step("shape.hcl", () => parseHclReport(file), sizeOf(file));
      return { kind, report: await readReport(hcl.report, log), hcl };
    }
    case "evidence":
      log.skip("shape.file", "the file is an evidence file, see shape.evidence");
      return { kind, evidence: await readEvidence(file, log) };
    case "attestation":
      return readAttestation(await log.step("shape.file", () => parseAttestation(file), sizeOf(file)), log);
    case "receipt":
      return readReceipt(await log.step("shape.file", () => parseReceipt(file), sizeOf(file)), evidence, log);
  }
}
var sizeOf = (file) => () => `${file.length} bytes`;
var readReport = (raw, log) => log.step(
  "shape.report",
  () => parseSnpReport(raw),
  (report) => `version ${report.version}, ${raw.length} bytes`
);
async function readEvidence(file, log) {
  const evidence = await log.step(
    "shape.evidence",
    () => {
      const parsed3 = parseEvidence(file);
      if (parsed3.format !== "sev-snp-report") {
        throw new CheckFailure(
          "EVIDENCE_UNSUPPORTED",
          "a format this release verifies: sev-snp-report",
          parsed3.format,
          {
            field: "evidence.format"
          }
        );
      }
      return parsed3;
    },
    sizeOf(file)
  );
  const report = await readReport(evidence.report, log);
  const claims = readSession(evidence.sessionClaims, log);
  const checkpoint = await log.step(
    "checkpoint.shape",
    () => parseCheckpoint(evidence.checkpoint),
    ({ origin, size }) => `${origin}, ${size} entries`
  );
  return { ...evidence, report, claims, checkpoint };
}
function readSession(sessionClaims, log) {
  const rowOf = { "session.cnf": "session.key", "session.bootId": "session.boot-id" };
  try {
    const claims = parseSessionClaims(sessionClaims);
    log.pass("session.claims", `${sessionClaims.length} bytes`);
    log.pass("session.key", `Ed25519 ${hex(claims.sessionKey)}`);
    log.pass("session.boot-id", hex(claims.bootId));
    return claims;
  } catch (error) {
    const field = error instanceof EvidenceError ? error.field : void 0;
    log.refuse(rowOf[field ?? ""] ?? "session.claims", error);
    throw error;
  }
}
async function readAttestation(file, log) {
  const evidence = await readEvidence(file.evidence, log);
  const { challenge } = file;
  const challenges = challenge && await readEntry("challenge.shape", "challenges", challenge.entry, log);
  if (!challenge) log.skip("challenge.shape", "the attestation answers no nonce");
  const keys = [];
  for (const { entry, path } of file.keys) keys.push({ ...await readEntry("key.shape", "key", entry, log), path });
  if (keys.length === 0) log.skip("key.shape", "the attestation offers no sealing key");
  return { kind: "attestation", evidence, challenge: challenge && challenges && { ...challenge, ...challenges }, keys };
}
async function readReceipt(file, supplied, log) {
  const statement = await readEntry("statement.shape", "statement", file.statement, log);
  const evidence = "file" in file.evidence ? await readEvidence(file.evidence.file, log) : await findEvidence(file.evidence.reportData, supplied, log);
  return { kind: "receipt", evidence, statement, path: file.path };
}
async function findEvidence(reportData2, supplied, log) {
  const isNamed = (file) => {
    const { format, report } = parseEvidence(file);
    return format === "sev-snp-report" && equalBytes(parseSnpReport(report).reportData, reportData2);
  };
  const found = await log.step(
    "shape.evidence",
    () => {
      const file = supplied.find(isNamed);
      if (file) return file;
      const expected = `the evidence whose REPORT_DATA is ${hex(reportData2)}`;
      throw new CheckFailure("EVIDENCE_MISSING", expected, `${supplied.length} other evidence files`, {
        field: "receipt.evidenceReportData"
      });
    },
    () => "found by its REPORT_DATA"
  );
  return readEvidence(found, log);
}
var ENTRY_CODE = {
  challenges: "CHALLENGE_INVALID",
  key: "KEY_NOT_COMMITTED",
  statement: "STATEMENT_INVALID"
};
function readEntry(row, kind, raw, log) {
  return log.step(
    row,
    () => {
      const entry = parseEntry(raw);
      if (entry.kind !== kind) {
        throw new CheckFailure(ENTRY_CODE[kind], CONTENT_TYPE[kind], entry.message.contentType, { field: kind });
      }
      return { raw, message: entry.message, value: entry.value };
    },
    () => `${raw.length} bytes, ${CONTENT_TYPE[kind]}`
  );
}

// verifier/receipt/session.ts
var OURS2 = ["evidence", "attestation", "receipt"];
var SESSION_ROWS = [
  {
    id: "checkpoint.signature",
    claim: "checkpoint origin, key id and signature under cnf",
    source: "C2SP tlog-checkpoint, signed-note",
    kinds: OURS2
  },
  {
    id: "binding.report-data",
    claim: "REPORT_DATA over session claims, previous value and checkpoint",
    source: "docs/formats.md, REPORT_DATA",
    kinds: OURS2
  }
];
async function verifySession(evidence, snp, log) {
  const { claims, checkpoint, sessionClaims } = evidence;
  await log.step(
    "checkpoint.signature",
    async () => {
      if (await verifyCheckpoint(checkpoint, claims.sessionKey)) return;
      const expected = "origin, key id and signature of the session key";
      throw new CheckFailure("CHECKPOINT_INVALID", expected, "another", { field: "evidence.checkpoint" });
    },
    () => `${checkpoint.size} entries, signed by the session key`
  );
  await log.step(
    "binding.report-data",
    () => {
      const expected = reportData(sessionClaims, evidence.previousReportData, checkpoint.body);
      if (equalBytes(expected, snp.report.reportData)) return;
      throw new CheckFailure("KEY_BINDING_MISMATCH", hex(expected), hex(snp.report.reportData), {
        field: "REPORT_DATA"
      });
    },
    () => "the chip signed this session and this checkpoint"
  );
  log.establish({ claims: sessionFacts(claims, checkpoint) });
  return { bootId: claims.bootId, key: claims.sessionKey, claims, digest: sha256(sessionClaims), checkpoint };
}

// verifier/receipt/statement.ts
var RECEIPT2 = ["receipt"];
var STATEMENT_ROWS = [
  { id: "statement.signature", claim: "statement", source: "RFC 9052 \xA74.4, under cnf", kinds: RECEIPT2 },
  { id: "statement.session", claim: "session claims digest", source: "docs/formats.md, statement", kinds: RECEIPT2 },
  { id: "statement.model", claim: "model and outcome", source: "docs/formats.md, statement", kinds: RECEIPT2 },
  { id: "inclusion.path", claim: "inclusion under the checkpoint", source: "RFC 9162 \xA72.1.3.2", kinds: RECEIPT2 }
];
async function verifyStatement(entry, path, session, log) {
  const statement = entry.value;
  await log.step(
    "statement.signature",
    async () => {
      if (await verifySign1(entry.message, session.key)) return;
      throw new CheckFailure("STATEMENT_INVALID", "a signature by the session key", "another", { field: "statement" });
    },
    () => "signed by the session key"
  );
  await log.step(
    "statement.session",
    () => {
      if (equalBytes(statement.sessionDigest, session.digest)) return;
      throw new CheckFailure("STATEMENT_INVALID", hex(session.digest), hex(statement.sessionDigest), {
        field: "statement.sessionDigest"
      });
    },
    () => hex(session.digest)
  );
  await log.step(
    "statement.model",
    () => {
      if (statement.outcome !== "ok" || statement.model) return;
      throw new CheckFailure("STATEMENT_INVALID", "the model that gave the answer", "none", {
        field: "statement.model"
      });
    },
    () => statement.model ? `${statement.model.name}/${statement.model.version}` : "refused before any model ran"
  );
  const strength = await log.step(
    "inclusion.path",
    () => strengthOf(entry.raw, statement.sequence, path, session),
    (found) => found === "hardware-committed" ? `entry ${statement.sequence} of ${session.checkpoint.size}` : `entry ${statement.sequence} comes after the checkpoint of ${session.checkpoint.size}: session-signed`
  );
  log.establish({ strength, claims: statementFacts(statement) });
  return strength;
}
function strengthOf(raw, sequence, path, { checkpoint: { size, root: root2 } }) {
  const field = "receipt.path";
  if (sequence >= size) {
    if (path === null) return "session-signed";
    const expected2 = `no path: entry ${sequence} is not among the ${size} entries of the checkpoint`;
    throw new CheckFailure("INCLUSION_INVALID", expected2, `a path of ${path.length} hashes`, { field });
  }
  const expected = `a path from entry ${sequence} to the root over ${size} entries`;
  if (path === null) throw new CheckFailure("INCLUSION_MISSING", expected, "none", { field });
  const reached = rootFromInclusion(leafHash(raw), sequence, size, path);
  if (!reached || !equalBytes(reached, root2)) {
    const actual = reached ? `one that leads to ${hex(reached)}` : `${path.length} hashes, not the right number`;
    throw new CheckFailure("INCLUSION_MISSING", expected, actual, { field });
  }
  return "hardware-committed";
}

// verifier/x509/der.ts
var TAG = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8String: 12,
  printableString: 19,
  ia5String: 22,
  utcTime: 23,
  generalizedTime: 24,
  sequence: 48,
  set: 49,
  context0: 160,
  context1: 161,
  context2: 162,
  context3: 163
};
var MAX_LENGTH_BYTES = 3;
var DerReader = class _DerReader {
  #bytes;
  #code;
  #field;
  #at = 0;
  constructor(bytes2, code, field) {
    this.#bytes = bytes2;
    this.#code = code;
    this.#field = field;
  }
  fail(reason) {
    throw new EvidenceError(this.#code, `${this.#field}: ${reason}`, { field: this.#field });
  }
  get done() {
    return this.#at === this.#bytes.length;
  }
  /** Nothing may follow. */
  end(what) {
    if (!this.done) this.fail(`${what}: bytes left over`);
  }
  peek() {
    return this.#bytes[this.#at] ?? null;
  }
  #byte(what) {
    const byte = this.#bytes[this.#at];
    if (byte === void 0) return this.fail(`${what}: truncated`);
    this.#at += 1;
    return byte;
  }
  #length(what) {
    const first = this.#byte(what);
    if (first < 128) return first;
    const count = first & 127;
    if (count === 0) this.fail(`${what}: indefinite length`);
    if (count > MAX_LENGTH_BYTES) this.fail(`${what}: length of ${count} bytes`);
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte(what);
    if (length < 128 || count > 1 && length < 256 ** (count - 1)) this.fail(`${what}: length is not minimal`);
    return length;
  }
  /** The contents of the next element, which must have this tag. A view, not a copy. */
  read(tag2, what) {
    const got = this.#byte(what);
    if (got !== tag2) this.fail(`${what}: got tag 0x${got.toString(16)}, want 0x${tag2.toString(16)}`);
    const length = this.#length(what);
    if (length > this.#bytes.length - this.#at) this.fail(`${what}: truncated`);
    const contents = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return contents;
  }
  /** The next element whole, header included. A view, not a copy. */
  readWhole(tag2, what) {
    const start = this.#at;
    this.read(tag2, what);
    return this.#bytes.subarray(start, this.#at);
  }
  open(tag2, what) {
    return this.inside(this.read(tag2, what));
  }
  /** A reader of the same field over bytes that were read from it. */
  inside(contents) {
    return new _DerReader(contents, this.#code, this.#field);
  }
  integer(what) {
    const contents = this.read(TAG.integer, what);
    const [first, second] = contents;
    if (first === void 0) return this.fail(`${what}: empty integer`);
    if (second !== void 0 && (first === 0 && second < 128 || first === 255 && second >= 128)) {
      this.fail(`${what}: integer is not minimal`);
    }
    if (first >= 128) this.fail(`${what}: negative integer`);
    return BigInt(`0x${hex(contents)}`);
  }
  /** An integer that fits its purpose as a number. */
  small(what, maximum) {
    const value = this.integer(what);
    if (value > BigInt(maximum)) this.fail(`${what}: above ${maximum}`);
    return Number(value);
  }
  boolean(what) {
    const contents = this.read(TAG.boolean, what);
    if (contents.length !== 1 || contents[0] !== 0 && contents[0] !== 255)
      this.fail(`${what}: not a DER boolean`);
    return contents[0] === 255;
  }
  /** A bit string of whole bytes. */
  bitString(what) {
    const contents = this.read(TAG.bitString, what);
    if (contents[0] !== 0) this.fail(`${what}: want a bit string without unused bits`);
    return contents.subarray(1);
  }
  /** Dotted decimal, as in `1.2.840.113549.1.1.10`. */
  oid(what) {
    const contents = this.read(TAG.oid, what);
    const arcs = [];
    let arc = 0;
    let started = false;
    for (const byte of contents) {
      if (!started && byte === 128) this.fail(`${what}: object identifier is not minimal`);
      started = true;
      arc = arc * 128 + (byte & 127);
      if (arc > 4294967295) this.fail(`${what}: object identifier arc is too large`);
      if (byte < 128) {
        arcs.push(arc);
        arc = 0;
        started = false;
      }
    }
    const [head2, ...rest] = arcs;
    if (head2 === void 0 || started) return this.fail(`${what}: object identifier is cut off`);
    const root2 = Math.min(Math.floor(head2 / 40), 2);
    return [root2, head2 - 40 * root2, ...rest].join(".");
  }
  /** UTCTime through 2049 and GeneralizedTime from 2050 on, whole seconds, `Z` (RFC 5280 §4.1.2.5). */
  time(what) {
    const tag2 = this.peek();
    if (tag2 !== TAG.utcTime && tag2 !== TAG.generalizedTime)
      return this.fail(`${what}: want a UTCTime or GeneralizedTime`);
    const contents = this.read(tag2, what);
    if (contents.length > "YYYYMMDDHHMMSSZ".length) this.fail(`${what}: too long`);
    const text3 = String.fromCharCode(...contents);
    const match = tag2 === TAG.utcTime ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text3) : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text3);
    if (!match) return this.fail(`${what}: not in the form RFC 5280 asks for`);
    const [digits, month, day, hour, minute, second] = match.slice(1);
    let year = Number(digits);
    if (tag2 === TAG.utcTime) year += year < 50 ? 2e3 : 1900;
    else if (year < 2050) this.fail(`${what}: a time before 2050 must be a UTCTime`);
    const iso = `${String(year).padStart(4, "0")}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
    const date = new Date(iso);
    if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) this.fail(`${what}: no such time`);
    return date;
  }
};
function tlv(tag2, ...contents) {
  const value = concat(...contents);
  const { length } = value;
  if (length > 65535) throw new RangeError(`a fixed encoding of ${length} bytes`);
  if (length < 128) return concat(Uint8Array.of(tag2, length), value);
  if (length <= 255) return concat(Uint8Array.of(tag2, 129, length), value);
  return concat(Uint8Array.of(tag2, 130, length >> 8, length & 255), value);
}

// verifier/snp/profile.ts
var OID_KEY_USAGE = "2.5.29.15";
var OID_BASIC_CONSTRAINTS = "2.5.29.19";
var NAMES = new Map([
  ["SEV-VCEK", { role: "leaf", signer: "VCEK" }],
  ["SEV-VLEK", { role: "leaf", signer: "VLEK" }],
  ...["Milan", "Genoa", "Turin"].flatMap((product) => [
    [`SEV-${product}`, { role: "intermediate", signer: "VCEK", product }],
    [`SEV-VLEK-${product}`, { role: "intermediate", signer: "VLEK", product }],
    [`ARK-${product}`, { role: "root", product }]
  ])
]);
var roleOfName = (commonName) => NAMES.get(commonName) ?? null;
var attribute = (type, tag2, text3) => tlv(TAG.set, tlv(TAG.sequence, tlv(TAG.oid, Uint8Array.of(85, 4, type)), tlv(tag2, utf8(text3))));
var NAME_PREFIX = concat(
  attribute(11, TAG.utf8String, "Engineering"),
  // OU
  attribute(6, TAG.printableString, "US"),
  // C
  attribute(7, TAG.utf8String, "Santa Clara"),
  // L
  attribute(8, TAG.utf8String, "CA"),
  // ST
  attribute(10, TAG.utf8String, "Advanced Micro Devices")
  // O
);
var amdName = (commonName) => tlv(TAG.sequence, NAME_PREFIX, attribute(3, TAG.utf8String, commonName));
function refuse(certificate, expected, actual) {
  const field = certificate.subjectCN;
  throw new CheckFailure("CERTIFICATE_INVALID", `${field} with ${expected}`, actual, { field });
}
function refuseUnlessNamed(certificate, issuerCN) {
  if (!equalBytes(certificate.subjectDer, amdName(certificate.subjectCN))) {
    refuse(certificate, "AMD's name as its subject", "another name");
  }
  if (!equalBytes(certificate.issuerDer, amdName(issuerCN))) {
    refuse(certificate, `the issuer ${issuerCN} under AMD's name`, certificate.issuerCN);
  }
}
function refuseUnknownCritical(certificate, known2) {
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !known2.includes(oid)) refuse(certificate, "known critical extensions only", oid);
  }
}
var CA_NO_PATH_LENGTH = Uint8Array.of(48, 3, 1, 1, 255);
var CA_PATH_LENGTH_0 = Uint8Array.of(48, 6, 1, 1, 255, 2, 1, 0);
var KEY_CERT_SIGN = 4;
var CRL_SIGN = 2;
function refuseUnlessAuthority(certificate, constraints, usage) {
  const { key, serial, extensions } = certificate;
  if (key.kind !== "rsa" || key.bits !== 4096 || key.exponent !== 65537) {
    refuse(certificate, "an RSA-4096 key with exponent 65537", key.kind === "rsa" ? `RSA-${key.bits}` : key.curve);
  }
  if (serial === 0n) refuse(certificate, "a serial number above 0", "0");
  const basic = extensions.get(OID_BASIC_CONSTRAINTS);
  if (!basic?.critical || !equalBytes(basic.value, constraints)) {
    refuse(certificate, "the basic constraints of its place in the chain", basic ? "others" : "none");
  }
  const keyUsage = extensions.get(OID_KEY_USAGE);
  const [tag2, length, unused, bits] = keyUsage?.value ?? [];
  const wellFormed = tag2 === 3 && length === 2 && keyUsage?.value.length === 4 && unused !== void 0 && unused < 8;
  if (!keyUsage?.critical || !wellFormed || bits !== usage || (usage & (1 << unused) - 1) !== 0) {
    refuse(certificate, "the key usage of its place in the chain", keyUsage ? "another" : "none");
  }
  refuseUnknownCritical(certificate, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]);
}
function refuseUnlessArk(certificate) {
  if (roleOfName(certificate.subjectCN)?.role !== "root") {
    refuse(certificate, "the name of an ARK", certificate.subjectCN);
  }
  refuseUnlessNamed(certificate, certificate.subjectCN);
  refuseUnlessAuthority(certificate, CA_NO_PATH_LENGTH, KEY_CERT_SIGN | CRL_SIGN);
}
function refuseUnlessIntermediate(certificate) {
  const role = roleOfName(certificate.subjectCN);
  const arkCN = role?.role === "intermediate" ? `ARK-${role.product}` : refuse(certificate, "the name of an ASK or ASVK", certificate.subjectCN);
  refuseUnlessNamed(certificate, arkCN);
  refuseUnlessAuthority(certificate, CA_PATH_LENGTH_0, KEY_CERT_SIGN);
}
function refuseUnlessLeaf(certificate, issuerCN, amdExtensions) {
  refuseUnlessNamed(certificate, issuerCN);
  const { key, extensions } = certificate;
  if (key.kind !== "ec") refuse(certificate, "a P-384 key", `RSA-${key.bits}`);
  for (const oid of [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]) {
    if (extensions.has(oid)) refuse(certificate, "no extension of a certificate authority", oid);
  }
  refuseUnknownCritical(certificate, amdExtensions);
}

// verifier/byte-cache.ts
var TAIL_BYTES = 16;
var ByteCache = class {
  #entries = /* @__PURE__ */ new Map();
  #capacity;
  constructor(capacity) {
    this.#capacity = capacity;
  }
  get(key) {
    const entry = this.#entries.get(hex(key.subarray(-TAIL_BYTES)));
    return entry && equalBytes(entry.key, key) ? entry.value : void 0;
  }
  set(key, value) {
    const name = hex(key.subarray(-TAIL_BYTES));
    this.#entries.delete(name);
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(name, { key: new Uint8Array(key), value });
  }
};

// verifier/crypto-fallback.ts
import { sha384 } from "@noble/hashes/sha2.js";
var HASH_BYTES2 = 48;
var SALT_BYTES = 48;
var RSA_4096 = {
  head: known("30820222300d06092a864886f70d01010105000382020f003082020a0282020100"),
  tail: known("0203010001")
};
var MODULUS_BYTES = 512;
var MODULUS_BITS = 8 * MODULUS_BYTES;
var P384_HEAD = known("3076301006072a8648ce3d020106052b81040022036200");
var P384_POINT_BYTES = 97;
var P384_SIGNATURE_BYTES = 96;
function known(text3) {
  return fromHex(text3) ?? new Uint8Array(0);
}
function between(spki, head2, size, tail = new Uint8Array(0)) {
  if (spki.length !== head2.length + size + tail.length) return null;
  const end = head2.length + size;
  if (!equalBytes(spki.subarray(0, head2.length), head2) || !equalBytes(spki.subarray(end), tail)) return null;
  return new Uint8Array(spki.subarray(head2.length, end));
}
var integer2 = (bytes2) => BigInt(`0x${hex(bytes2)}`);
function verifyRsaPssSha384Pure(spki, signature, data) {
  const modulus = between(spki, RSA_4096.head, MODULUS_BYTES, RSA_4096.tail);
  if (!modulus || (modulus[0] ?? 0) < 128 || signature.length !== MODULUS_BYTES) return false;
  const n = integer2(modulus);
  const s = integer2(signature);
  if (s >= n) return false;
  let power = s;
  for (let i = 0; i < 16; i++) power = power * power % n;
  const message2 = (power * s % n).toString(16).padStart(2 * MODULUS_BYTES, "0");
  const encoded = fromHex(message2);
  return encoded !== null && isPssEncoding(encoded, data);
}
function isPssEncoding(encoded, data) {
  const seedAt = MODULUS_BYTES - HASH_BYTES2 - 1;
  const maskedDb = encoded.subarray(0, seedAt);
  const hash = encoded.subarray(seedAt, seedAt + HASH_BYTES2);
  const unused = 255 << 8 - (8 * MODULUS_BYTES - (MODULUS_BITS - 1));
  if (encoded[MODULUS_BYTES - 1] !== 188 || ((encoded[0] ?? 0) & unused & 255) !== 0) return false;
  const db = maskGeneration(hash, seedAt);
  for (const [i, byte] of maskedDb.entries()) db[i] = (db[i] ?? 0) ^ byte;
  db[0] = (db[0] ?? 0) & ~unused;
  const saltAt = seedAt - SALT_BYTES;
  if (!isZero(db.subarray(0, saltAt - 1)) || db[saltAt - 1] !== 1) return false;
  return equalBytes(hash, sha384(concat(new Uint8Array(8), sha384(data), db.subarray(saltAt))));
}
function maskGeneration(seed, length) {
  const blocks = Array.from(
    { length: Math.ceil(length / HASH_BYTES2) },
    (_, i) => sha384(concat(seed, Uint8Array.of(0, 0, 0, i)))
  );
  return concat(...blocks).slice(0, length);
}
var P384 = {
  p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn,
  n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  h: 1n,
  a: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000fffffffcn,
  b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  Gx: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
  Gy: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn
};
var curve = null;
async function loadCurve() {
  const { ecdsa: ecdsa2, weierstrass } = await import("@noble/curves/abstract/weierstrass.js");
  return ecdsa2(weierstrass(P384), sha384);
}
var p384Point = (spki) => between(spki, P384_HEAD, P384_POINT_BYTES);
async function verifyEcdsaP384Sha384Pure(spki, signature, data) {
  const point = p384Point(spki);
  if (!point || signature.length !== P384_SIGNATURE_BYTES) return false;
  curve ??= loadCurve();
  const p384 = await curve;
  try {
    return p384.verify(signature, sha384(data), point, { prehash: false, lowS: false, format: "compact" });
  } catch {
    return false;
  }
}

// verifier/crypto.ts
var RSA_PSS_SHA384 = { name: "RSA-PSS", hash: "SHA-384" };
var ECDSA_P384 = { name: "ECDSA", namedCurve: "P-384" };
var SALT_BYTES2 = 48;
var rsaKeys = new ByteCache(256);
var ecKeys = new ByteCache(4096);
var webCrypto = () => globalThis.crypto?.subtle;
async function importKey2(subtle, cache2, format, bytes2, algorithm2) {
  const known2 = cache2.get(bytes2);
  if (known2) return known2;
  try {
    const key = await subtle.importKey(format, bytes2, algorithm2, false, ["verify"]);
    cache2.set(bytes2, key);
    return key;
  } catch (error) {
    if (error instanceof DOMException && error.name === "DataError") return "refused";
    if (error instanceof DOMException && error.name === "NotSupportedError") return "unknown";
    throw error;
  }
}
async function verifyRsaPssSha384(spki, signature, data) {
  const subtle = webCrypto();
  const key = subtle ? await importKey2(subtle, rsaKeys, "spki", new Uint8Array(spki), RSA_PSS_SHA384) : "unknown";
  if (!subtle || key === "unknown") return verifyRsaPssSha384Pure(spki, signature, data);
  if (key === "refused") return false;
  return subtle.verify({ name: "RSA-PSS", saltLength: SALT_BYTES2 }, key, signature, data);
}
async function verifyEcdsaP384Sha384(spki, signature, data) {
  const subtle = webCrypto();
  const point = p384Point(spki);
  if (!point) return false;
  const key = subtle ? await importKey2(subtle, ecKeys, "raw", point, ECDSA_P384) : "unknown";
  if (!subtle || key === "unknown") return verifyEcdsaP384Sha384Pure(spki, signature, data);
  if (key === "refused") return false;
  return subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, signature, data);
}

// verifier/x509/fields.ts
var OID_COMMON_NAME = "2.5.4.3";
var MAX_EXTENSIONS = 32;
function readName(from, what) {
  const der = from.readWhole(TAG.sequence, what);
  const relativeNames = from.inside(der).open(TAG.sequence, what);
  let commonName = null;
  while (!relativeNames.done) {
    const set = relativeNames.open(TAG.set, what);
    const attribute2 = set.open(TAG.sequence, what);
    set.end(what);
    const type = attribute2.oid(what);
    const tag2 = attribute2.peek() === TAG.printableString ? TAG.printableString : TAG.utf8String;
    const value = attribute2.read(tag2, what);
    attribute2.end(what);
    if (type !== OID_COMMON_NAME) continue;
    if (commonName !== null) return from.fail(`${what}: two common names`);
    commonName = text(from, value, what);
  }
  if (commonName === null) return from.fail(`${what}: no common name`);
  return { der: new Uint8Array(der), commonName };
}
function text(from, value, what) {
  if (value.length === 0 || value.some((byte) => byte < 32 || byte > 126)) from.fail(`${what}: not printable text`);
  return fromUtf8(value);
}
function readExtensions(list2, what) {
  const extensions = /* @__PURE__ */ new Map();
  if (list2.done) list2.fail(`${what}: empty`);
  while (!list2.done) {
    const extension = list2.open(TAG.sequence, what);
    const oid = extension.oid(what);
    const critical = extension.peek() === TAG.boolean ? extension.boolean(what) : null;
    if (critical === false) extension.fail(`${what}: a default value is written out`);
    const value = extension.read(TAG.octetString, what);
    extension.end(what);
    if (extensions.has(oid)) extension.fail(`${what}: ${oid} twice`);
    if (extensions.size === MAX_EXTENSIONS) extension.fail(`${what}: more than ${MAX_EXTENSIONS}`);
    extensions.set(oid, { critical: critical ?? false, value: new Uint8Array(value) });
  }
  return extensions;
}

// verifier/x509/signed.ts
var OID_RSASSA_PSS = Uint8Array.of(42, 134, 72, 134, 247, 13, 1, 1, 10);
var OID_MGF1 = Uint8Array.of(42, 134, 72, 134, 247, 13, 1, 1, 8);
var OID_SHA384 = Uint8Array.of(96, 134, 72, 1, 101, 3, 4, 2, 2);
var number = (n) => tlv(TAG.integer, Uint8Array.of(n));
var SHA384 = tlv(TAG.sequence, tlv(TAG.oid, OID_SHA384), tlv(TAG.null));
var PARAMETERS = [
  tlv(TAG.context0, SHA384),
  tlv(TAG.context1, tlv(TAG.sequence, tlv(TAG.oid, OID_MGF1), SHA384)),
  tlv(TAG.context2, number(48))
];
var algorithm = (...parameters) => tlv(TAG.sequence, tlv(TAG.oid, OID_RSASSA_PSS), tlv(TAG.sequence, ...parameters));
var ALGORITHMS = [algorithm(...PARAMETERS), algorithm(...PARAMETERS, tlv(TAG.context3, number(1)))];
var SIGNATURE_BYTES = 512;
function readSignedFrame(der, code, field, maximum) {
  const file = new DerReader(der, code, field);
  if (der.length > maximum) file.fail(`got ${der.length} bytes, want at most ${maximum}`);
  const outer = file.open(TAG.sequence, "outer sequence");
  file.end("outer sequence");
  const tbs = outer.readWhole(TAG.sequence, "to-be-signed part");
  const named = outer.readWhole(TAG.sequence, "signature algorithm");
  if (!ALGORITHMS.some((known2) => equalBytes(known2, named))) {
    outer.fail("signature algorithm: want RSASSA-PSS with SHA-384, MGF1-SHA-384 and a salt of 48 bytes");
  }
  const signature = outer.bitString("signature");
  outer.end("signature");
  if (signature.length !== SIGNATURE_BYTES)
    outer.fail(`signature: got ${signature.length} bytes, want ${SIGNATURE_BYTES}`);
  return { tbs: new Uint8Array(tbs), algorithm: named, signature: new Uint8Array(signature) };
}
function readInnerAlgorithm(tbs, frame) {
  const inner = tbs.readWhole(TAG.sequence, "signature algorithm");
  if (!equalBytes(inner, frame.algorithm)) tbs.fail("signature algorithm: inside and outside differ");
}

// verifier/x509/certificate.ts
var MAX_CERTIFICATE_BYTES2 = 16384;
var MAX_SERIAL = 1n << 159n;
var VERSION_3 = 2;
var OID_RSA = "1.2.840.113549.1.1.1";
var OID_EC = "1.2.840.10045.2.1";
var OID_P384 = "1.3.132.0.34";
function readKey(spki) {
  const algorithm2 = spki.open(TAG.sequence, "key algorithm");
  const oid = algorithm2.oid("key algorithm");
  if (oid === OID_RSA) {
    if (algorithm2.read(TAG.null, "key parameters").length !== 0) algorithm2.fail("key parameters: want NULL");
    algorithm2.end("key parameters");
    const body = spki.inside(spki.bitString("RSA key"));
    const key = body.open(TAG.sequence, "RSA key");
    body.end("RSA key");
    const bits = key.integer("RSA modulus").toString(2).length;
    const exponent = key.small("RSA exponent", 4294967295);
    key.end("RSA key");
    return { kind: "rsa", bits, exponent };
  }
  if (oid !== OID_EC || algorithm2.oid("key curve") !== OID_P384) return spki.fail("key: want RSA or P-384");
  algorithm2.end("key curve");
  const point = spki.bitString("P-384 key");
  if (point.length !== 97 || point[0] !== 4) spki.fail("P-384 key: want an uncompressed point");
  return { kind: "ec", curve: "P-384" };
}
function parse2(input, field) {
  const der = new Uint8Array(input);
  const frame = readSignedFrame(der, "ENDORSEMENT_MALFORMED", field, MAX_CERTIFICATE_BYTES2);
  const tbs = new DerReader(frame.tbs, "ENDORSEMENT_MALFORMED", field).open(TAG.sequence, "to-be-signed part");
  const version = tbs.open(TAG.context0, "version");
  if (version.small("version", VERSION_3) !== VERSION_3) tbs.fail("version: want 3");
  version.end("version");
  const serial = tbs.integer("serial number");
  if (serial >= MAX_SERIAL) tbs.fail("serial number: more than 20 octets");
  readInnerAlgorithm(tbs, frame);
  const issuer = readName(tbs, "issuer");
  const validity = tbs.open(TAG.sequence, "validity");
  const notBefore = validity.time("notBefore");
  const notAfter = validity.time("notAfter");
  validity.end("validity");
  if (notAfter < notBefore) tbs.fail("validity: ends before it begins");
  const subject = readName(tbs, "subject");
  const spki = tbs.readWhole(TAG.sequence, "public key");
  const keyReader = tbs.inside(spki).open(TAG.sequence, "public key");
  const key = readKey(keyReader);
  keyReader.end("public key");
  const wrapper = tbs.open(TAG.context3, "extensions");
  tbs.end("extensions");
  const extensions = readExtensions(wrapper.open(TAG.sequence, "extensions"), "extensions");
  wrapper.end("extensions");
  let fingerprint = null;
  return {
    der,
    tbs: frame.tbs,
    serial,
    issuerDer: issuer.der,
    subjectDer: subject.der,
    issuerCN: issuer.commonName,
    subjectCN: subject.commonName,
    notBefore,
    notAfter,
    spki: new Uint8Array(spki),
    key,
    signature: frame.signature,
    extensions,
    // Few need it, and hashing costs as much as reading all the rest.
    get fingerprint() {
      fingerprint ??= sha256(der);
      return fingerprint;
    }
  };
}
var parsed = new ByteCache(1024);
function parseCertificate(der, field) {
  const known2 = parsed.get(der);
  if (known2) return known2;
  const certificate = parse2(der, field);
  parsed.set(der, certificate);
  return certificate;
}
var signers = /* @__PURE__ */ new WeakMap();
function isKnownSigner(certificate, issuerSpki) {
  const signer = signers.get(certificate);
  return signer !== void 0 && equalBytes(signer, issuerSpki);
}
async function verifyCertificateSignature(certificate, issuerSpki) {
  if (isKnownSigner(certificate, issuerSpki)) return true;
  const good = await verifyRsaPssSha384(issuerSpki, certificate.signature, certificate.tbs);
  if (good) signers.set(certificate, new Uint8Array(issuerSpki));
  return good;
}

// verifier/x509/pem.ts
var MAX_FILE_BYTES = 4 << 20;
var MAX_ITEMS2 = 64;
var BEGIN = "-----BEGIN ";
var BLOCK = /^([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]+)-----/;
function fail2(code, field, reason) {
  throw new EvidenceError(code, `${field}: ${reason}`, { field });
}
function readPem(text3, label, code, field) {
  const blocks = text3.split(BEGIN).slice(1);
  return blocks.map((block) => {
    const [, begin, body = "", end] = BLOCK.exec(block) ?? fail2(code, field, "a PEM block is cut off or not base64");
    if (begin !== label || end !== label) fail2(code, field, `got a PEM block '${begin}', want only '${label}'`);
    return fromBase64(body.replace(/\s/g, "")) ?? fail2(code, field, "a PEM block is not base64");
  });
}
function readDer(file, code, field) {
  const reader = new DerReader(file, code, field);
  const items = [];
  while (!reader.done) items.push(new Uint8Array(reader.readWhole(TAG.sequence, "file")));
  return items;
}
function readItems(file, label, code, field) {
  if (file.length > MAX_FILE_BYTES) fail2(code, field, `got ${file.length} bytes, want at most ${MAX_FILE_BYTES}`);
  const [tag2, length = 0] = file;
  const isDer = tag2 === TAG.sequence && length >= 128;
  const items = isDer ? readDer(file, code, field) : readPem(new TextDecoder("latin1").decode(file), label, code, field);
  if (items.length === 0) fail2(code, field, "neither DER nor PEM");
  if (items.length > MAX_ITEMS2) fail2(code, field, `more than ${MAX_ITEMS2} items`);
  return items;
}
var readCertificates = (file, field) => readItems(file, "CERTIFICATE", "ENDORSEMENT_MALFORMED", field);
var readCrls = (file, field) => readItems(file, "X509 CRL", "CRL_INVALID", field);

// verifier/trust/read.ts
var amdAnchor = (candidate) => AMD_ANCHORS.find(
  (anchor) => equalBytes(anchor.publicKey, candidate.publicKey) && equalBytes(anchor.fingerprint, candidate.fingerprint)
) ?? null;
async function anchorOf(der, field) {
  const fail3 = (reason, cause) => {
    throw new EvidenceError("TRUST_ANCHOR_INVALID", `${field}: ${reason}`, { field, cause });
  };
  let root2;
  try {
    root2 = parseCertificate(der, field);
    refuseUnlessArk(root2);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail3(error.message, error);
  }
  if (!await verifyCertificateSignature(root2, root2.spki)) fail3("the self-signature does not verify");
  const facts3 = {
    name: root2.subjectCN,
    publicKey: root2.spki,
    notBefore: root2.notBefore,
    notAfter: root2.notAfter,
    fingerprint: root2.fingerprint
  };
  return amdAnchor(facts3) ?? { ...facts3, platform: "simulated-snp" };
}
async function readTrustAnchors(file, field) {
  let items;
  try {
    items = readCertificates(file, field);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new EvidenceError("TRUST_ANCHOR_INVALID", error.message, { field, cause: error });
  }
  return Promise.all(items.map((der) => anchorOf(der, field)));
}

// verifier/snp/amd-certificate.ts
var PREFIX = "1.3.6.1.4.1.3704.1";
var OID = {
  structVersion: `${PREFIX}.1`,
  productName: `${PREFIX}.2`,
  blSpl: `${PREFIX}.3.1`,
  teeSpl: `${PREFIX}.3.2`,
  snpSpl: `${PREFIX}.3.3`,
  ucodeSpl: `${PREFIX}.3.8`,
  fmcSpl: `${PREFIX}.3.9`,
  hwId: `${PREFIX}.4`,
  cspId: `${PREFIX}.5`
};
var OID_RESERVED_SPL = [4, 5, 6, 7].map((n) => `${PREFIX}.3.${n}`);
var AMD_EXTENSIONS = [...Object.values(OID), ...OID_RESERVED_SPL];
var STRUCT_VERSION = { "milan-genoa": 0, turin: 1 };
var HW_ID_BYTES = { "milan-genoa": 64, turin: 8 };
function readAmdExtensions(certificate) {
  const field = certificate.subjectCN;
  const fail3 = (reason) => {
    throw new EvidenceError("CERTIFICATE_INVALID", `${field}: ${reason}`, { field });
  };
  const value = (oid, name2) => certificate.extensions.get(oid)?.value ?? fail3(`no ${name2} extension`);
  const open3 = (contents) => new DerReader(contents, "CERTIFICATE_INVALID", field);
  const number2 = (oid, name2) => {
    const reader = open3(value(oid, name2));
    const result = reader.small(name2, 255);
    reader.end(name2);
    return result;
  };
  const text3 = (oid, name2) => {
    const reader = open3(value(oid, name2));
    const contents = reader.read(TAG.ia5String, name2);
    reader.end(name2);
    if (contents.length === 0 || contents.some((byte) => byte < 32 || byte > 126)) fail3(`${name2} is not printable`);
    return fromUtf8(contents);
  };
  const productName = text3(OID.productName, "productName");
  const [, name] = /^(Milan|Genoa|Turin)(?:-[A-Z][0-9])?$/.exec(productName) ?? fail3("productName is not a known product");
  const product = name;
  const layout = tcbLayoutOf(product);
  const structVersion = number2(OID.structVersion, "structVersion");
  if (structVersion !== STRUCT_VERSION[layout]) fail3(`structVersion ${structVersion} does not go with ${product}`);
  for (const oid of OID_RESERVED_SPL) {
    if (certificate.extensions.has(oid) && number2(oid, "reserved SPL") !== 0) fail3("a reserved SPL is not zero");
  }
  const parts = {
    bootloader: number2(OID.blSpl, "blSPL"),
    tee: number2(OID.teeSpl, "teeSPL"),
    snp: number2(OID.snpSpl, "snpSPL"),
    microcode: number2(OID.ucodeSpl, "ucodeSPL")
  };
  if (layout !== "turin" && certificate.extensions.has(OID.fmcSpl)) fail3(`fmcSPL does not go with ${product}`);
  const tcb = layout === "turin" ? { layout, fmc: number2(OID.fmcSpl, "fmcSPL"), ...parts } : { layout, ...parts };
  const hasHwId = certificate.extensions.has(OID.hwId);
  if (hasHwId === certificate.extensions.has(OID.cspId)) fail3("want either hwID or cspID, not both and not neither");
  return {
    kind: hasHwId ? "VCEK" : "VLEK",
    structVersion: STRUCT_VERSION[layout],
    productName,
    product,
    tcb,
    hwId: hasHwId ? readHwId(value(OID.hwId, "hwID"), HW_ID_BYTES[layout], fail3) : null,
    cspId: hasHwId ? null : text3(OID.cspId, "cspID")
  };
}
function readHwId(value, size, fail3) {
  if (value.length === size) return new Uint8Array(value);
  if (value.length !== size + 2 || value[0] !== TAG.octetString || value[1] !== size) fail3(`hwID is not ${size} bytes`);
  return new Uint8Array(value.subarray(2));
}

// verifier/snp/chain.ts
function parseDistinct(files) {
  const distinct = [];
  for (const [index, der] of files.entries()) {
    if (distinct.some((one) => equalBytes(one.der, der))) continue;
    distinct.push(parseCertificate(der, `certificate ${index + 1}`));
  }
  return distinct;
}
function sortChain(report, files) {
  const places = {};
  for (const certificate of parseDistinct(files)) {
    const role = roleOfName(certificate.subjectCN)?.role;
    const wanted2 = "only the certificates of one AMD chain";
    if (!role) throw new CheckFailure("CERTIFICATE_INVALID", wanted2, `one named ${certificate.subjectCN}`);
    const taken = places[role];
    if (taken) {
      throw new CheckFailure("CERTIFICATE_INVALID", wanted2, `both ${taken.subjectCN} and ${certificate.subjectCN}`);
    }
    places[role] = certificate;
  }
  const { leaf, intermediate: intermediate2 = null, root: root2 = null } = places;
  if (!leaf) {
    const expected = `the ${report.signingKey} certificate that belongs to this report`;
    throw new CheckFailure("ENDORSEMENT_MISSING", expected, files.length === 0 ? "no certificate" : "only others");
  }
  return { leaf, intermediate: intermediate2, root: root2 };
}
function checkProfile({ leaf, intermediate: intermediate2, root: root2 }) {
  const issuer = roleOfName(leaf.issuerCN);
  if (issuer?.role !== "intermediate") {
    throw new CheckFailure("CERTIFICATE_INVALID", `${leaf.subjectCN} issued by an ASK or ASVK`, leaf.issuerCN);
  }
  refuseUnlessLeaf(leaf, leaf.issuerCN, AMD_EXTENSIONS);
  const arkCN = `ARK-${issuer.product}`;
  if (intermediate2) {
    refuseUnlessIntermediate(intermediate2);
    refuseStranger(intermediate2, leaf.issuerCN);
  }
  if (root2) {
    refuseUnlessArk(root2);
    refuseStranger(root2, arkCN);
  }
  return issuer;
}
function refuseStranger(certificate, wanted2) {
  if (certificate.subjectCN !== wanted2) {
    throw new CheckFailure("CERTIFICATE_INVALID", `${wanted2} or nothing in its place`, certificate.subjectCN);
  }
}
async function findAnchor(chain, anchors) {
  const candidates2 = anchors.filter(({ platform }) => platform === "snp" || platform === "simulated-snp");
  const expected = `a chain to one of the ${candidates2.length} trusted SNP roots`;
  const { leaf, intermediate: intermediate2, root: root2 } = chain;
  if (root2) {
    const anchor2 = candidates2.find(
      ({ fingerprint, publicKey }) => equalBytes(fingerprint, root2.fingerprint) && equalBytes(publicKey, root2.spki)
    );
    if (anchor2) return anchor2;
    throw new CheckFailure("CHAIN_UNTRUSTED", expected, `${root2.subjectCN} with SHA-256 ${hex(root2.fingerprint)}`);
  }
  if (intermediate2) {
    const likeliness = ({ name, publicKey }) => isKnownSigner(intermediate2, publicKey) ? 2 : Number(name === intermediate2.issuerCN);
    const likelyFirst = [...candidates2].sort((a, b) => likeliness(b) - likeliness(a));
    for (const anchor2 of likelyFirst) {
      if (await verifyCertificateSignature(intermediate2, anchor2.publicKey)) return anchor2;
    }
    throw new CheckFailure("CHAIN_UNTRUSTED", expected, `${intermediate2.subjectCN}, which none of them signed`);
  }
  const role = roleOfName(leaf.issuerCN);
  const anchor = role?.role === "intermediate" && candidates2.find((candidate) => amdAnchor(candidate)?.name === `ARK-${role.product}`);
  if (anchor) return anchor;
  throw new CheckFailure("ENDORSEMENT_MISSING", `the ${leaf.issuerCN} certificate that signed the leaf`, "none given");
}
async function verifyIntermediate(chain, anchor) {
  const { intermediate: intermediate2, leaf } = chain;
  if (intermediate2) {
    if (!await verifyCertificateSignature(intermediate2, anchor.publicKey)) {
      throw new CheckFailure(
        "CHAIN_UNTRUSTED",
        `${intermediate2.subjectCN} signed by ${anchor.name}`,
        "another signature"
      );
    }
    const { subjectCN: name, serial, notBefore, notAfter, spki: publicKey } = intermediate2;
    return { name, serial, notBefore, notAfter, publicKey, source: "given" };
  }
  const pinned = amdAnchor(anchor) && AMD_INTERMEDIATES.find(({ name }) => name === leaf.issuerCN);
  if (pinned) return { ...pinned, source: "pinned" };
  throw new CheckFailure("ENDORSEMENT_MISSING", `the ${leaf.issuerCN} certificate that signed the leaf`, "none given");
}
async function verifyLeaf(leaf, issuer) {
  if (await verifyCertificateSignature(leaf, issuer.publicKey)) return;
  throw new CheckFailure(
    "CHAIN_UNTRUSTED",
    `${leaf.subjectCN} signed by the ${issuer.source} ${issuer.name}`,
    "another signature"
  );
}
function checkValidity(chain, at) {
  for (const { name, notBefore, notAfter } of chain) {
    if (at < notBefore) {
      const expected = `${name} valid at ${at.toISOString()}`;
      throw new CheckFailure("CERTIFICATE_NOT_YET_VALID", expected, `valid from ${notBefore.toISOString()}`);
    }
    if (at > notAfter) {
      const expected = `${name} valid at ${at.toISOString()}`;
      throw new CheckFailure("CERTIFICATE_EXPIRED", expected, `valid until ${notAfter.toISOString()}`);
    }
  }
}

// verifier/snp/match.ts
function checkSigningKey(report, leafCN, issuer, facts3) {
  const { signingKey } = report;
  const mismatch = (actual) => {
    throw new CheckFailure("SIGNING_KEY_MISMATCH", `a certificate for a ${signingKey}`, actual, { field: "KEY_INFO" });
  };
  if (leafCN !== `SEV-${signingKey}`) mismatch(leafCN);
  if (issuer.signer !== signingKey) mismatch(`one issued by the authority for a ${issuer.signer}`);
  if (facts3.kind !== signingKey) mismatch(facts3.kind === "VCEK" ? "one with hwID" : "one with cspID");
}
function checkProduct(report, issuer, facts3) {
  const { product, productName } = facts3;
  if (product !== issuer.product) {
    const expected = `a product of ARK-${issuer.product}`;
    throw new CheckFailure("PRODUCT_MISMATCH", expected, productName, { field: "productName" });
  }
  if (report.cpuid && productOfCpuid(report) !== product) {
    const { family, model } = report.cpuid;
    const actual = `family 0x${family.toString(16)}, model 0x${model.toString(16)}`;
    throw new CheckFailure("PRODUCT_MISMATCH", `a ${product} processor`, actual, { field: "CPUID" });
  }
  return product;
}
function checkTcbReserved(report, product) {
  const layout = tcbLayoutOf(product);
  parseTcb(report.currentTcb, layout, "CURRENT_TCB");
  parseTcb(report.committedTcb, layout, "COMMITTED_TCB");
  parseTcb(report.launchTcb, layout, "LAUNCH_TCB");
  return parseTcb(report.reportedTcb, layout, "REPORTED_TCB");
}
function checkTcb(reported, facts3) {
  if (equalTcb(reported, facts3.tcb)) return;
  throw new CheckFailure("TCB_MISMATCH", tcbText(facts3.tcb), tcbText(reported), { field: "REPORTED_TCB" });
}
function chipIdOf(hwId) {
  const padded2 = new Uint8Array(64);
  padded2.set(hwId);
  return bytes(padded2, 64, "hwID");
}
function checkChipId(report, hwId) {
  const chipId = chipIdOf(hwId);
  if (equalBytes(report.chipId, chipId)) return;
  throw new CheckFailure("CHIP_ID_MISMATCH", hex(chipId), hex(report.chipId), { field: "CHIP_ID" });
}

// verifier/x509/crl.ts
var MAX_CRL_BYTES2 = 1 << 20;
var VERSION_2 = 1;
function refuseCritical(from, extensions) {
  for (const [oid, { critical }] of extensions) {
    if (critical) from.fail(`extensions: unknown critical extension ${oid}`);
  }
}
function readRevoked(list2) {
  const revoked = /* @__PURE__ */ new Map();
  while (!list2.done) {
    const entry = list2.open(TAG.sequence, "revoked certificate");
    const serial = entry.integer("revoked serial number");
    const date = entry.time("revocation date");
    if (!entry.done)
      refuseCritical(entry, readExtensions(entry.open(TAG.sequence, "entry extensions"), "entry extensions"));
    entry.end("revoked certificate");
    if (revoked.has(serial)) list2.fail("revoked certificates: a serial number twice");
    revoked.set(serial, date);
  }
  return revoked;
}
function parse3(input, field) {
  const der = new Uint8Array(input);
  const frame = readSignedFrame(der, "CRL_INVALID", field, MAX_CRL_BYTES2);
  const tbs = new DerReader(frame.tbs, "CRL_INVALID", field).open(TAG.sequence, "to-be-signed part");
  if (tbs.small("version", VERSION_2) !== VERSION_2) tbs.fail("version: want 2");
  readInnerAlgorithm(tbs, frame);
  const issuer = readName(tbs, "issuer");
  const thisUpdate = tbs.time("thisUpdate");
  const nextUpdate = tbs.time("nextUpdate");
  if (nextUpdate < thisUpdate) tbs.fail("nextUpdate: before thisUpdate");
  const hasRevoked = tbs.peek() === TAG.sequence;
  const revoked = hasRevoked ? readRevoked(tbs.open(TAG.sequence, "revoked certificates")) : /* @__PURE__ */ new Map();
  if (hasRevoked && revoked.size === 0) tbs.fail("revoked certificates: empty list");
  const wrapper = tbs.open(TAG.context0, "extensions");
  tbs.end("extensions");
  refuseCritical(tbs, readExtensions(wrapper.open(TAG.sequence, "extensions"), "extensions"));
  wrapper.end("extensions");
  return {
    der,
    tbs: frame.tbs,
    issuerDer: issuer.der,
    issuerCN: issuer.commonName,
    thisUpdate,
    nextUpdate,
    revoked,
    signature: frame.signature
  };
}
var parsed2 = new ByteCache(16);
function parseCrl(der, field) {
  const known2 = parsed2.get(der);
  if (known2) return known2;
  const crl = parse3(der, field);
  parsed2.set(der, crl);
  return crl;
}
var verifyCrlSignature = (crl, arkSpki) => verifyRsaPssSha384(arkSpki, crl.signature, crl.tbs);

// verifier/snp/revocation.ts
var isSignedBy = (crl, anchor) => verifyCrlSignature(crl, anchor.publicKey);
function refuse2(field, anchor) {
  throw new CheckFailure("CRL_INVALID", `a CRL signed by ${anchor.name}`, `${field} with another signature`, { field });
}
async function verifyCrls(anchor, product, anchors, files) {
  const name = amdName(`ARK-${product}`);
  const given = [];
  const inside = [];
  const ofOtherRoots = [];
  for (const [index, der] of files.inside.entries()) {
    const field = `CRL ${index + 1} inside the file`;
    const crl = parseCrl(der, field);
    if (!equalBytes(crl.issuerDer, name) || !await isSignedBy(crl, anchor)) refuse2(field, anchor);
    inside.push(crl);
  }
  for (const [index, der] of files.given.entries()) {
    const field = `given CRL ${index + 1}`;
    const crl = parseCrl(der, field);
    if (await isSignedBy(crl, anchor)) {
      if (!equalBytes(crl.issuerDer, name)) refuse2(field, anchor);
      given.push(crl);
      continue;
    }
    const other = await signerAmong(crl, [...AMD_ANCHORS, ...anchors]);
    ofOtherRoots.push(other?.name ?? refuse2(field, anchor));
  }
  return { given, inside, ofOtherRoots };
}
async function signerAmong(crl, anchors) {
  for (const anchor of anchors) {
    if (await isSignedBy(crl, anchor)) return anchor;
  }
  return null;
}
function refuseRevoked(intermediate2, anchor, lists) {
  const { name, serial } = intermediate2;
  const embedded = AMD_REVOKED.some((entry) => entry.root === amdAnchor(anchor)?.name && entry.serial === serial);
  const list2 = [...lists.given, ...lists.inside].find(({ revoked }) => revoked.has(serial));
  if (!embedded && !list2) return;
  const date = list2?.revoked.get(serial)?.toISOString();
  const actual = `serial 0x${serial.toString(16)} revoked${date ? ` on ${date}` : ", known to this release"}`;
  throw new CheckFailure("CERTIFICATE_REVOKED", `${name} not revoked by ${anchor.name}`, actual, { field: name });
}
function currentCrl(given, at) {
  const newestFirst = [...given].sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime());
  return newestFirst.find(({ thisUpdate, nextUpdate }) => thisUpdate <= at && at <= nextUpdate) ?? null;
}

// verifier/snp/verify.ts
var ABI = "AMD 56860, ATTESTATION_REPORT";
var KDS = "AMD 57230, certificate profile";
var SNP_VERIFY_ROWS = [
  { id: "snp.chain.shape", claim: "certificates", source: "RFC 5280 \xA74.1, ITU-T X.690 \xA710" },
  { id: "snp.chain.profile", claim: "certificates", source: KDS },
  { id: "snp.signing-key", claim: "KEY_INFO.SIGNING_KEY", source: `${ABI}; ${KDS}` },
  { id: "snp.chain.root", claim: "ARK", source: "trust anchors of the caller" },
  { id: "snp.chain.intermediate", claim: "ASK or ASVK", source: KDS },
  { id: "snp.revocation", claim: "ASK or ASVK", source: "RFC 5280 \xA75, CRL of the ARK" },
  { id: "snp.crl", claim: "CRL", source: "RFC 5280 \xA75.1.2, nextUpdate" },
  { id: "snp.chain.leaf", claim: "VCEK or VLEK", source: KDS },
  { id: "snp.chain.time", claim: "validity", source: "RFC 5280 \xA74.1.2.5" },
  { id: "snp.signature", claim: "SIGNATURE", source: `${ABI}, ECDSA P-384 with SHA-384` },
  { id: "snp.product", claim: "CPUID_FAM_ID, CPUID_MOD_ID", source: `${ABI}; ${KDS}, productName` },
  { id: "snp.reserved", claim: "TCB_VERSION", source: "AMD 56860, TCB_VERSION" },
  { id: "snp.tcb-certificate", claim: "REPORTED_TCB", source: `${KDS}, SPL extensions` },
  { id: "snp.chip-id", claim: "CHIP_ID", source: `${KDS}, hwID` }
];
async function verifySnp(report, endorsements, anchors, at, log) {
  if (Number.isNaN(at.getTime())) throw new TypeError("at: not a time");
  const chain = await log.step(
    "snp.chain.shape",
    () => sortChain(report, endorsements.certificates),
    ({ leaf: leaf2, intermediate: intermediate3, root: root2 }) => [leaf2, intermediate3, root2].flatMap((one) => one?.subjectCN ?? []).join(", ")
  );
  const { leaf } = chain;
  const { issuer, facts: facts3 } = await log.step(
    "snp.chain.profile",
    () => ({ issuer: checkProfile(chain), facts: readAmdExtensions(leaf) }),
    ({ facts: { kind, productName, tcb } }) => `${kind} for ${productName}: ${tcbText(tcb)}`
  );
  await log.step(
    "snp.signing-key",
    () => checkSigningKey(report, leaf.subjectCN, issuer, facts3),
    () => `signed with the ${report.signingKey}`
  );
  const anchor = await log.step(
    "snp.chain.root",
    () => findAnchor(chain, anchors),
    ({ name, platform, fingerprint }) => `${name} (${platform}), SHA-256 ${hex(fingerprint)}`
  );
  const intermediate2 = await log.step(
    "snp.chain.intermediate",
    () => verifyIntermediate(chain, anchor),
    ({ name, source }) => `${name}, ${source === "pinned" ? "pinned in this release" : `signed by ${anchor.name}`}`
  );
  const lists = await checkRevocation(endorsements, anchors, anchor, intermediate2, issuer.product, log);
  const crl = await checkCrlAge(lists.given, at, log);
  await log.step(
    "snp.chain.leaf",
    () => verifyLeaf(leaf, intermediate2),
    () => `${leaf.subjectCN} signed by ${intermediate2.name}`
  );
  await log.step(
    "snp.chain.time",
    () => checkValidity([anchor, intermediate2, { ...leaf, name: leaf.subjectCN }], at),
    () => `all valid at ${at.toISOString()}; ${leaf.subjectCN} until ${leaf.notAfter.toISOString()}`
  );
  await log.step(
    "snp.signature",
    async () => {
      if (await verifyEcdsaP384Sha384(leaf.spki, report.signature, report.signedBytes)) return;
      throw new CheckFailure("SIGNATURE_INVALID", `a signature by the ${facts3.kind} given`, "another", {
        field: "SIGNATURE"
      });
    },
    () => `verifies over the ${report.signedBytes.length} bytes as received`
  );
  const product = await log.step(
    "snp.product",
    () => checkProduct(report, issuer, facts3),
    (name) => report.cpuid ? `${name}, by CPUID and certificate` : `${name}, by certificate; version 2 has no CPUID`
  );
  const reportedTcb = await log.step(
    "snp.reserved",
    () => checkTcbReserved(report, product),
    () => `zero in the report and in all four TCBs, in the layout of ${product}`
  );
  await log.step(
    "snp.tcb-certificate",
    () => checkTcb(reportedTcb, facts3),
    () => tcbText(reportedTcb)
  );
  const { hwId } = facts3;
  const chipIdMasked = hwId !== null && isZero(report.chipId);
  if (hwId === null) {
    log.skip(
      "snp.chip-id",
      "a VLEK is issued to a cloud provider, not to a chip",
      "which chip signed: a VLEK names none"
    );
  } else if (chipIdMasked) {
    log.skip("snp.chip-id", "CHIP_ID is masked", "whether CHIP_ID is the certificate's: the platform masks it");
  } else {
    await log.step(
      "snp.chip-id",
      () => checkChipId(report, hwId),
      () => "the hwID of the VCEK"
    );
  }
  return {
    report,
    product,
    signer: facts3.kind,
    anchor,
    certificate: facts3,
    chipId: report.chipId,
    chipIdMasked,
    crl
  };
}
async function checkRevocation({ crlsGiven, crlsInside }, anchors, anchor, intermediate2, product, log) {
  if (!amdAnchor(anchor) && crlsGiven.length + crlsInside.length === 0) {
    log.skip("snp.revocation", "no CRL, and this release knows no revocation by this root");
    return { given: [], inside: [], ofOtherRoots: [] };
  }
  return log.step(
    "snp.revocation",
    async () => {
      const lists = await verifyCrls(anchor, product, anchors, { given: crlsGiven, inside: crlsInside });
      refuseRevoked(intermediate2, anchor, lists);
      return lists;
    },
    ({ given, inside, ofOtherRoots }) => {
      const ignored = ofOtherRoots.length > 0 ? `; ignored: CRLs of ${ofOtherRoots.join(", ")}` : "";
      return `${intermediate2.name} is not known as revoked; CRLs read: ${given.length + inside.length}${ignored}`;
    }
  );
}
async function checkCrlAge(given, at, log) {
  const crl = currentCrl(given, at);
  if (!crl && (given.length === 0 || given.some(({ thisUpdate }) => thisUpdate > at))) {
    const detail = given.length === 0 ? "no CRL of this root was given" : "the CRL given is newer than the time";
    log.skip("snp.crl", detail, "whether AMD had revoked the certificate authority: no CRL of that time was given");
    return null;
  }
  return log.step(
    "snp.crl",
    () => {
      if (crl) return { thisUpdate: crl.thisUpdate, nextUpdate: crl.nextUpdate };
      const due = given.map(({ nextUpdate }) => nextUpdate.toISOString()).join(", ");
      throw new CheckFailure("CRL_STALE", `a CRL current at ${at.toISOString()}`, `the next was due at ${due}`);
    },
    ({ thisUpdate, nextUpdate }) => `issued ${thisUpdate.toISOString()}, next due ${nextUpdate.toISOString()}`
  );
}

// verifier/receipt/verify.ts
var CHAIN_ROWS = [
  {
    id: "evidence.chain",
    claim: "certificate chain of the evidence file: leaf first, then its issuer, never the root",
    source: "docs/formats.md, evidence",
    kinds: ["evidence", "attestation", "receipt"]
  }
];
async function verify(parsed3, trust, at, log) {
  return await verifyFacts(parsed3, trust, at, log);
}
async function verifyFacts(parsed3, trust, at, log) {
  if (parsed3.kind === "snp-report") {
    return { kind: parsed3.kind, ...await verifyPlatform(parsed3.report, null, trust, at, log) };
  }
  if (parsed3.kind === "snp-hcl") {
    const platform2 = await verifyPlatform(parsed3.report, null, trust, at, log);
    await verifyHclClaims(parsed3.report, parsed3.hcl, log);
    return { kind: parsed3.kind, ...platform2 };
  }
  const { evidence } = parsed3;
  const platform = await verifyPlatform(evidence.report, evidence, trust, at, log);
  const session = await verifySession(evidence, platform.snp, log);
  switch (parsed3.kind) {
    case "evidence":
      log.establish({ strength: "hardware-committed" });
      return { kind: parsed3.kind, ...platform, session };
    case "attestation": {
      const challenge = await verifyChallenge(parsed3.challenge, parsed3.keys, session, log);
      log.establish({ strength: "hardware-committed" });
      return { kind: parsed3.kind, ...platform, session, challenge };
    }
    case "receipt": {
      const { statement, path } = parsed3;
      const strength = await verifyStatement(statement, path, session, log);
      return { kind: parsed3.kind, ...platform, session, statement: statement.value, strength };
    }
  }
}
async function verifyPlatform(report, evidence, trust, at, log) {
  if (evidence)
    await log.step(
      "evidence.chain",
      () => checkOrder(evidence.chain),
      () => `${evidence.chain.length} certificates`
    );
  const endorsements = {
    certificates: [...evidence?.chain ?? [], ...trust.certificates],
    crlsGiven: trust.crls,
    crlsInside: [...evidence?.crls ?? [], ...trust.crlsOfHost]
  };
  const snp = await verifySnp(report, endorsements, trust.anchors, at, log);
  const tcb = readTcbs(report, snp.product);
  log.establish({ platform: snp.anchor.platform, claims: snpClaims(snp, tcb) });
  return { snp, tcb };
}
var ROLES = ["leaf", "intermediate"];
function checkOrder(chain) {
  const roles = chain.map((der, i) => {
    const { subjectCN } = parseCertificate(der, `evidence.chain[${i}]`);
    return roleOfName(subjectCN)?.role ?? subjectCN;
  });
  if (roles.length <= ROLES.length && roles.every((role, i) => role === ROLES[i])) return;
  throw new CheckFailure("EVIDENCE_MALFORMED", ROLES.join(", "), roles.join(", "), { field: "evidence.chain" });
}

// verifier/snp/endorsements.ts
var MAX_TABLE_BYTES = 1 << 18;
var ENTRY_BYTES2 = 24;
var GUID_BYTES = 16;
var MAX_ENTRIES2 = 32;
var guids = (names) => new Set(names.map((name) => SNP_CERTIFICATE_GUID[name]));
var CERTIFICATES = guids(["vcek", "vlek", "ask", "ark"]);
var CRLS = guids(["crl"]);
var RAW = new Set([...CERTIFICATES, ...CRLS].map((guid) => guid.replaceAll("-", "")));
function isTable(file) {
  if (file[0] === TAG.sequence) return false;
  for (let at = 0; at + ENTRY_BYTES2 <= file.length && at < MAX_ENTRIES2 * ENTRY_BYTES2; at += ENTRY_BYTES2) {
    if (isZero(file.subarray(at, at + ENTRY_BYTES2))) return at === 0;
    if (RAW.has(hex(file.subarray(at, at + GUID_BYTES)))) return true;
  }
  return false;
}
function readEndorsements(file, field) {
  if (!isTable(file)) return { certificates: readCertificates(file, field), crls: [] };
  if (file.length > MAX_TABLE_BYTES) {
    const message2 = `${field}: a certificate table of ${file.length} bytes, want at most ${MAX_TABLE_BYTES}`;
    throw new EvidenceError("ENDORSEMENT_MALFORMED", message2, { field });
  }
  const entries = parseSnpCertificateTable(file);
  const of = (known2, read) => entries.filter(({ guid }) => known2.has(guid)).flatMap(({ guid, data }) => read(data, `${field}: entry ${guid}`));
  return { certificates: of(CERTIFICATES, readCertificates), crls: of(CRLS, readCrls) };
}

// verifier/assess.ts
var ALL_ROWS = [
  ...SHAPE_ROWS,
  ...CHAIN_ROWS,
  ...SNP_VERIFY_ROWS,
  ...HCL_ROWS,
  ...SESSION_ROWS,
  ...CHALLENGE_ROWS,
  ...STATEMENT_ROWS,
  ...EXPECTED_ROWS,
  ...PLATFORM_ROWS,
  ...SNP_RULES,
  ...RECEIPT_RULE_ROWS
];
async function assess(input) {
  const policy = input.policy === "builtin:authenticity" ? AUTHENTICITY : input.policy;
  if (!isCompletePolicy(policy)) throw new TypeError("policy: want what parsePolicy returned, or builtin:authenticity");
  if (!(input.at instanceof Date) || Number.isNaN(input.at.getTime())) throw new TypeError("at: want a valid Date");
  const context = {
    kind: input.kind ?? detectKind(input.file),
    policy,
    at: new Date(input.at),
    log: new CheckLog(ALL_ROWS)
  };
  const expected = await prepareExpected(input.expected ?? {});
  try {
    const verified = await parseAndVerify(input, context);
    const { nonce } = appraise(verified, expected, policy, context.at, context.log);
    return affirmUnlessFound(context, affirmed(verified, nonce));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return refused2(context, error.code);
  }
}
async function parseAndVerify(input, { kind, policy, at, log }) {
  const { file, evidence = [], trustAnchors = [], endorsements = [], crls = [] } = input;
  const known2 = await log.step(
    "shape.kind",
    () => kind ?? refuseUnknown(),
    (name) => A_FILE[name]
  );
  const parsed3 = await parse(file, known2, evidence, log);
  const given = await log.step(
    "shape.endorsements",
    () => {
      const files = endorsements.map((item, i) => readEndorsements(item, `endorsements[${i}]`));
      return {
        certificates: files.flatMap(({ certificates }) => certificates),
        crls: crls.flatMap((item, i) => readCrls(item, `crls[${i}]`)),
        crlsOfHost: files.flatMap(({ crls: lists }) => lists)
      };
    },
    ({ certificates, crls: lists, crlsOfHost }) => `${certificates.length} certificates, ${lists.length + crlsOfHost.length} CRLs`
  );
  return verify(parsed3, { ...given, anchors: [...anchorsOf(policy), ...trustAnchors] }, at, log);
}
function refuseUnknown() {
  const expected = "a receipt, an attestation, an evidence file, a raw SNP report or an Azure HCL report";
  throw new CheckFailure("EVIDENCE_UNSUPPORTED", expected, "none of these", { field: "file" });
}
function affirmed(verified, nonce) {
  switch (verified.kind) {
    case "snp-report":
    case "snp-hcl":
      return { kind: verified.kind };
    case "evidence":
      return { kind: verified.kind, session: verified.session };
    case "attestation": {
      const sealingKeys = nonce && verified.challenge ? verified.challenge.keys : [];
      return { kind: verified.kind, session: verified.session, sealingKeys };
    }
    case "receipt": {
      const { kind, session, statement, strength } = verified;
      return { kind, session, statement, strength };
    }
  }
}
function common({ kind, policy, at, log }) {
  return {
    kind,
    ...log.established,
    findings: log.findings,
    checks: log.checks(
      ({ kinds }) => kind && kinds && !kinds.includes(kind) ? `no part of ${A_FILE[kind]}` : "not reached: a check before it failed"
    ),
    notChecked: log.notChecked,
    policy: policy.id,
    policyDigest: policyDigest(policy),
    at,
    validAt: at,
    timeSource: "caller",
    existedBy: null
  };
}
function affirmUnlessFound(context, result) {
  const [first, ...more] = context.log.findings;
  if (first) return { ...common(context), verdict: "contraindicated", findings: [first, ...more] };
  return { ...common(context), ...result, verdict: "affirming" };
}
function refused2(context, code) {
  const [first, ...more] = context.log.findings;
  if (!first) throw new TypeError(`${code} was refused outside a check`);
  const findings = [first, ...more];
  return code === "EVIDENCE_UNSUPPORTED" ? { ...common(context), verdict: "unsupported", findings } : { ...common(context), verdict: "contraindicated", findings };
}

// verifier/ear-vector.ts
var TRUST_CLAIMS = [
  "instance-identity",
  "configuration",
  "executables",
  "file-system",
  "hardware",
  "runtime-opaque",
  "storage-opaque",
  "sourced-data"
];
var NO_CLAIM = 0;
var UNEXPECTED_EVIDENCE = 1;
var AFFIRMED = 2;
var APPROVED_BOOT = 3;
var WARNING = 32;
var ISOLATED_MEMORY = 32;
var UNRECOGNIZED_EXECUTABLES = 33;
var REFUSED = 96;
var VISIBLE_MEMORY = 96;
var UNRECOGNIZED = 97;
var CRYPTOGRAPHY_FAILED = 99;
var REFERENCE_ROWS = ["policy.measurement", "policy.host-data", "policy.id-key", "policy.author-key"];
var LINES = {
  "instance-identity": [
    { value: UNRECOGNIZED, anyFailed: ["policy.chips", "policy.vlek"] },
    { value: AFFIRMED, allPassed: ["policy.chips"] },
    { value: AFFIRMED, allPassed: ["policy.vlek"] }
  ],
  configuration: [
    { value: REFUSED, anyFailed: ["policy.debug", "policy.migration"] },
    {
      value: WARNING,
      anyFailed: [
        "policy.vmpl",
        "policy.smt",
        "policy.cxl",
        "policy.single-socket",
        "policy.mem-aes-256-xts",
        "policy.rapl-disabled",
        "policy.ciphertext-hiding",
        "policy.page-swap-disabled"
      ]
    },
    { value: AFFIRMED, allPassed: ["policy.debug", "policy.migration", "policy.vmpl"] }
  ],
  executables: [
    { value: REFUSED, anyFailed: ["policy.denied-measurements"] },
    { value: UNRECOGNIZED_EXECUTABLES, anyFailed: REFERENCE_ROWS },
    // Launch measurements speak of what was booted, not of what runs now.
    { value: APPROVED_BOOT, allPassed: REFERENCE_ROWS }
  ],
  hardware: [
    { value: UNRECOGNIZED, anyFailed: ["policy.product"] },
    { value: REFUSED, anyFailed: ["snp.revocation"] },
    {
      value: WARNING,
      anyFailed: [
        "policy.minimum-tcb",
        "policy.minimum-launch-tcb",
        "policy.tcb-order",
        "policy.provisional-firmware",
        "policy.alias-check",
        "policy.platform-info"
      ]
    },
    { value: AFFIRMED, allPassed: ["policy.minimum-tcb"] }
  ]
};
var RUNTIME_OPAQUE = { snp: AFFIRMED, nitro: ISOLATED_MEMORY };
function trustVector(result) {
  const stages = new Set(
    result.findings.filter(({ code }) => code !== "CERTIFICATE_REVOKED").map(({ code }) => CODES[code].stage)
  );
  if (stages.has("parse")) return all(UNEXPECTED_EVIDENCE);
  if (stages.has("verify")) return all(CRYPTOGRAPHY_FAILED);
  const vector = {};
  const simulated = result.platform?.startsWith("simulated-") === true;
  const debug = result.claims.guestPolicy?.["debug"] === true;
  for (const claim of TRUST_CLAIMS) {
    const value = LINES[claim]?.find((line) => applies(line, result))?.value;
    if (value === void 0 || claim === "hardware" && simulated && value === AFFIRMED) continue;
    vector[claim] = value;
  }
  const opaque = result.platform && RUNTIME_OPAQUE[result.platform];
  if (opaque) vector["runtime-opaque"] = opaque;
  if (debug) {
    vector.configuration = REFUSED;
    vector["runtime-opaque"] = VISIBLE_MEMORY;
  }
  return Object.keys(vector).length > 0 ? vector : { hardware: NO_CLAIM };
}
function applies({ anyFailed = [], allPassed = [] }, { checks }) {
  const came = (ids, outcome) => checks.filter((c) => ids.includes(c.id) && c.outcome === outcome);
  return anyFailed.length > 0 ? came(anyFailed, "fail").length > 0 : came(allPassed, "pass").length === allPassed.length;
}
var all = (value) => Object.fromEntries(TRUST_CLAIMS.map((claim) => [claim, value]));
function tierOf(value) {
  const size = Math.abs(value);
  if (size < 2) return "none";
  return size < 32 ? "affirming" : size < 96 ? "warning" : "contraindicated";
}
function trustStatus(result, vector) {
  if (result.verdict === "contraindicated") return "contraindicated";
  if (result.verdict === "unsupported" || result.platform === null) return "none";
  const tiers = Object.values(vector).map(tierOf);
  return tiers.includes("contraindicated") ? "contraindicated" : tiers.includes("warning") ? "warning" : "affirming";
}

// verifier/ear.ts
var DIALECTS = {
  "veraison-2023": {
    eatProfile: "tag:github.com,2023:veraison/ear",
    verifierId: "ear.verifier-id",
    status: "ear.status",
    vector: "ear.trustworthiness-vector",
    policy: (id) => ({ "ear.appraisal-policy-id": id }),
    keyAttestation: "ear.veraison.key-attestation",
    extension: "ear.veritee.result"
  },
  "ietf-2026": {
    eatProfile: "tag:ietf.org,2026:rats/ear#03",
    verifierId: "ear_verifier_id",
    status: "ear_status",
    vector: "ear_trustworthiness_vector",
    policy: (id) => ({ ear_appraisal_policy_ids: [id] }),
    keyAttestation: "ear_veraison_key_attestation",
    extension: "ear_veritee_result"
  }
};
var EAR_PROFILES = Object.keys(DIALECTS);
var earMediaType = (profile) => `application/eat+jwt; eat_profile="${DIALECTS[profile].eatProfile}"`;
var MIN_NONCE = 8;
var MAX_NONCE = 64;
function toEar(result, { profile, verifierId, iat = result.at, nonce }) {
  const { developer, build } = verifierId;
  if (developer === "" || build === "") throw new TypeError("verifierId: want a developer and a build");
  if (Number.isNaN(iat.getTime())) throw new TypeError("iat: want a valid Date");
  if (nonce && (nonce.length < MIN_NONCE || nonce.length > MAX_NONCE)) {
    throw new TypeError(`nonce: want ${MIN_NONCE} to ${MAX_NONCE} bytes`);
  }
  const names = DIALECTS[profile];
  return {
    eat_profile: names.eatProfile,
    iat: Math.floor(iat.getTime() / 1e3),
    [names.verifierId]: { developer, build },
    ...nonce && { eat_nonce: base64url(nonce) },
    submods: { [result.platform ?? result.kind ?? "unidentified"]: submodule(result, names) }
  };
}
function submodule(result, names) {
  const vector = trustVector(result);
  return {
    [names.status]: trustStatus(result, vector),
    [names.vector]: { ...vector },
    ...names.policy(result.policy),
    ...result.verdict === "affirming" && "session" in result && { [names.keyAttestation]: { akpub: base64url(ed25519Spki(result.session.key)) } },
    [names.extension]: {
      verdict: result.verdict,
      kind: result.kind,
      strength: result.strength,
      validAt: result.validAt.toISOString(),
      policyDigest: hex(result.policyDigest),
      findings: result.findings.map(({ code }) => code),
      notChecked: result.notChecked
    }
  };
}
var ED25519_SPKI = fromHex("302a300506032b6570032100");
var ed25519Spki = (key) => concat(ED25519_SPKI, key);

// node_modules/jose/dist/webapi/lib/buffer_utils.js
var encoder2 = new TextEncoder();
var decoder2 = new TextDecoder();
var strictDecoder = new TextDecoder("utf-8", { fatal: true });
var UINT32_RANGE = 2 ** 32;
function concat2(...buffers) {
  const size = buffers.reduce((acc, { length }) => acc + length, 0), buf = new Uint8Array(size);
  let i = 0;
  for (const buffer of buffers)
    buf.set(buffer, i), i += buffer.length;
  return buf;
}
var NON_ASCII = /[^\x00-\x7f]/;
function encode(string) {
  if (typeof string == "string" && string.length >= 128) {
    if (NON_ASCII.test(string))
      throw new TypeError("non-ASCII string encountered in encode()");
    return encoder2.encode(string);
  }
  const bytes2 = new Uint8Array(string.length);
  for (let i = 0; i < string.length; i++) {
    const code = string.charCodeAt(i);
    if (code > 127)
      throw new TypeError("non-ASCII string encountered in encode()");
    bytes2[i] = code;
  }
  return bytes2;
}
function encodeBase64(input, url = false) {
  if (Uint8Array.prototype.toBase64)
    return input.toBase64({ alphabet: url ? "base64url" : "base64", omitPadding: url });
  const CHUNK_SIZE = 32768, arr = [];
  for (let i = 0; i < input.length; i += CHUNK_SIZE)
    arr.push(String.fromCharCode.apply(null, input.subarray(i, i + CHUNK_SIZE)));
  const encoded = btoa(arr.join(""));
  return url ? encoded.replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_") : encoded;
}
function decodeBase64(encoded, url = false) {
  if (Uint8Array.fromBase64)
    return Uint8Array.fromBase64(encoded, { alphabet: url ? "base64url" : "base64" });
  if (url) {
    if (encoded.includes("+") || encoded.includes("/"))
      throw new TypeError("Invalid base64url");
    encoded = encoded.replace(/-/g, "+").replace(/_/g, "/");
  }
  const binary = atob(encoded), bytes2 = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++)
    bytes2[i] = binary.charCodeAt(i);
  return bytes2;
}
async function digest(algorithm2, data) {
  const subtleDigest = `SHA-${algorithm2.slice(-3)}`;
  return new Uint8Array(await crypto.subtle.digest(subtleDigest, data));
}

// node_modules/jose/dist/webapi/util/errors.js
var errors_exports = {};
__export(errors_exports, {
  JOSEAlgNotAllowed: () => JOSEAlgNotAllowed,
  JOSEError: () => JOSEError,
  JOSENotSupported: () => JOSENotSupported,
  JWEDecryptionFailed: () => JWEDecryptionFailed,
  JWEInvalid: () => JWEInvalid,
  JWKInvalid: () => JWKInvalid,
  JWKSInvalid: () => JWKSInvalid,
  JWKSMultipleMatchingKeys: () => JWKSMultipleMatchingKeys,
  JWKSNoMatchingKey: () => JWKSNoMatchingKey,
  JWKSTimeout: () => JWKSTimeout,
  JWSInvalid: () => JWSInvalid,
  JWSSignatureVerificationFailed: () => JWSSignatureVerificationFailed,
  JWTClaimValidationFailed: () => JWTClaimValidationFailed,
  JWTExpired: () => JWTExpired,
  JWTInvalid: () => JWTInvalid
});
var JOSEError = class extends Error {
  static code = "ERR_JOSE_GENERIC";
  code = "ERR_JOSE_GENERIC";
  constructor(message2, options) {
    super(message2, options), this.name = this.constructor.name, Error.captureStackTrace?.(this, this.constructor);
  }
};
var JWTClaimValidationFailed = class extends JOSEError {
  static code = "ERR_JWT_CLAIM_VALIDATION_FAILED";
  code = "ERR_JWT_CLAIM_VALIDATION_FAILED";
  claim;
  reason;
  payload;
  constructor(message2, payload, claim = "unspecified", reason = "unspecified") {
    super(message2, { cause: { claim, reason, payload } }), this.claim = claim, this.reason = reason, this.payload = payload;
  }
};
var JWTExpired = class extends JOSEError {
  static code = "ERR_JWT_EXPIRED";
  code = "ERR_JWT_EXPIRED";
  claim;
  reason;
  payload;
  constructor(message2, payload, claim = "unspecified", reason = "unspecified") {
    super(message2, { cause: { claim, reason, payload } }), this.claim = claim, this.reason = reason, this.payload = payload;
  }
};
var JOSEAlgNotAllowed = class extends JOSEError {
  static code = "ERR_JOSE_ALG_NOT_ALLOWED";
  code = "ERR_JOSE_ALG_NOT_ALLOWED";
};
var JOSENotSupported = class extends JOSEError {
  static code = "ERR_JOSE_NOT_SUPPORTED";
  code = "ERR_JOSE_NOT_SUPPORTED";
};
var JWEDecryptionFailed = class extends JOSEError {
  static code = "ERR_JWE_DECRYPTION_FAILED";
  code = "ERR_JWE_DECRYPTION_FAILED";
  constructor(message2 = "decryption operation failed", options) {
    super(message2, options);
  }
};
var JWEInvalid = class extends JOSEError {
  static code = "ERR_JWE_INVALID";
  code = "ERR_JWE_INVALID";
};
var JWSInvalid = class extends JOSEError {
  static code = "ERR_JWS_INVALID";
  code = "ERR_JWS_INVALID";
};
var JWTInvalid = class extends JOSEError {
  static code = "ERR_JWT_INVALID";
  code = "ERR_JWT_INVALID";
};
var JWKInvalid = class extends JOSEError {
  static code = "ERR_JWK_INVALID";
  code = "ERR_JWK_INVALID";
};
var JWKSInvalid = class extends JOSEError {
  static code = "ERR_JWKS_INVALID";
  code = "ERR_JWKS_INVALID";
};
var JWKSNoMatchingKey = class extends JOSEError {
  static code = "ERR_JWKS_NO_MATCHING_KEY";
  code = "ERR_JWKS_NO_MATCHING_KEY";
  constructor(message2 = "no applicable key found in the JSON Web Key Set", options) {
    super(message2, options);
  }
};
var JWKSMultipleMatchingKeys = class extends JOSEError {
  [Symbol.asyncIterator] = async function* () {
  };
  static code = "ERR_JWKS_MULTIPLE_MATCHING_KEYS";
  code = "ERR_JWKS_MULTIPLE_MATCHING_KEYS";
  constructor(message2 = "multiple matching keys found in the JSON Web Key Set", options) {
    super(message2, options);
  }
};
var JWKSTimeout = class extends JOSEError {
  static code = "ERR_JWKS_TIMEOUT";
  code = "ERR_JWKS_TIMEOUT";
  constructor(message2 = "request timed out", options) {
    super(message2, options);
  }
};
var JWSSignatureVerificationFailed = class extends JOSEError {
  static code = "ERR_JWS_SIGNATURE_VERIFICATION_FAILED";
  code = "ERR_JWS_SIGNATURE_VERIFICATION_FAILED";
  constructor(message2 = "signature verification failed", options) {
    super(message2, options);
  }
};

// node_modules/jose/dist/webapi/util/base64url.js
var invalid = "The input to be decoded is not correctly encoded.";
function decode2(input) {
  try {
    return decodeBase64(typeof input == "string" ? input : decoder2.decode(input), true);
  } catch (cause) {
    throw new TypeError(invalid, { cause });
  }
}
function encode2(input) {
  return encodeBase64(typeof input == "string" ? encoder2.encode(input) : input, true);
}

// node_modules/jose/dist/webapi/lib/validate.js
function assertUint8Array(input, label) {
  if (!(input instanceof Uint8Array))
    throw new TypeError(`${label} must be an instance of Uint8Array`);
}
function isObject(input) {
  if (typeof input != "object" || input === null || Object.prototype.toString.call(input) !== "[object Object]")
    return false;
  const prototype = Object.getPrototypeOf(input);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
function isDisjoint(...headers) {
  const parameters = /* @__PURE__ */ new Set();
  for (const header of headers)
    if (header)
      for (const parameter of Object.keys(header)) {
        if (parameters.has(parameter))
          return false;
        parameters.add(parameter);
      }
  return true;
}
function assertNotSet(value, name) {
  if (value !== void 0)
    throw new TypeError(`${name} can only be called once`);
}
function decodeBase64url(value, label, ErrorClass) {
  try {
    return decode2(value);
  } catch (cause) {
    throw new ErrorClass(`Failed to base64url decode the ${label}`, { cause });
  }
}
function encodeAsciiMember(value, label, ErrorClass) {
  try {
    return encode(value);
  } catch (cause) {
    throw new ErrorClass(`The ${label} is not a valid base64url string`, { cause });
  }
}
function parseJoseHeader(encodedProtectedHeader, ErrorClass, message2) {
  let parsed3;
  try {
    parsed3 = JSON.parse(strictDecoder.decode(decode2(encodedProtectedHeader)));
  } catch (cause) {
    throw new ErrorClass(message2, { cause });
  }
  if (!isObject(parsed3))
    throw new ErrorClass(message2);
  return parsed3;
}
var JWS_RECOGNIZED = { __proto__: null, b64: true };
function validateAlgorithms(option, algorithms) {
  if (algorithms !== void 0 && (!Array.isArray(algorithms) || algorithms.some((s) => typeof s != "string")))
    throw new TypeError(`"${option}" option must be an array of strings`);
  return algorithms === void 0 ? void 0 : new Set(algorithms);
}
function validateCritDuplicates(Err, protectedHeader2) {
  const { crit } = protectedHeader2 ?? {};
  if (Array.isArray(crit) && new Set(crit).size !== crit.length)
    throw new Err('"crit" (Critical) Header Parameter MUST NOT contain duplicate values');
}
function validateCrit(Err, recognizedDefault, recognizedOption, protectedHeader2, joseHeader) {
  if (joseHeader.crit !== void 0 && protectedHeader2?.crit === void 0)
    throw new Err('"crit" (Critical) Header Parameter MUST be integrity protected');
  if (!protectedHeader2 || protectedHeader2.crit === void 0)
    return [];
  if (!Array.isArray(protectedHeader2.crit) || protectedHeader2.crit.length === 0 || protectedHeader2.crit.some((input) => typeof input != "string" || input.length === 0))
    throw new Err('"crit" (Critical) Header Parameter MUST be an array of non-empty strings when present');
  const recognized = recognizedOption === void 0 ? recognizedDefault : { __proto__: null, ...recognizedOption, ...recognizedDefault };
  for (const parameter of protectedHeader2.crit) {
    if (!(parameter in recognized))
      throw new JOSENotSupported(`Extension Header Parameter "${parameter}" is not recognized`);
    if (!Object.hasOwn(joseHeader, parameter) || joseHeader[parameter] === void 0)
      throw new Err(`Extension Header Parameter "${parameter}" is missing`);
    if (recognized[parameter] && (!Object.hasOwn(protectedHeader2, parameter) || protectedHeader2[parameter] === void 0))
      throw new Err(`Extension Header Parameter "${parameter}" MUST be integrity protected`);
  }
  return protectedHeader2.crit;
}
function validateB64(protectedHeader2, extensions) {
  if (extensions.includes("b64")) {
    const b64 = protectedHeader2.b64;
    if (typeof b64 != "boolean")
      throw new JWSInvalid('The "b64" (base64url-encode payload) Header Parameter must be a boolean');
    return b64;
  }
  return true;
}
function serializeJoseHeader(Err, header) {
  let serialized, parsed3;
  try {
    serialized = JSON.stringify(header), parsed3 = JSON.parse(serialized);
  } catch (cause) {
    throw new Err("JOSE Header is not valid JSON", { cause });
  }
  if (!isObject(parsed3))
    throw new Err("JOSE Header is not a JSON object");
  return [parsed3, serialized];
}

// node_modules/jose/dist/webapi/lib/key.js
var tag = (key) => key[Symbol.toStringTag];
var jwkMatchesOp = (entry, key, usage) => {
  const { alg } = entry;
  if (key.use !== void 0) {
    const expected = usage === "sign" || usage === "verify" ? "sig" : "enc";
    if (key.use !== expected)
      throw new TypeError(`Invalid key for this operation, its "use" must be "${expected}" when present`);
  }
  if (key.alg !== void 0 && key.alg !== alg)
    throw new TypeError(`Invalid key for this operation, its "alg" must be "${alg}" when present`);
  if (Array.isArray(key.key_ops)) {
    const expectedKeyOp = usage === "encrypt" || usage === "decrypt" ? entry.ops?.[usage === "encrypt" ? 0 : 1] : usage;
    if (expectedKeyOp && !key.key_ops.includes(expectedKeyOp))
      throw new TypeError(`Invalid key for this operation, its "key_ops" must include "${expectedKeyOp}" when present`);
  }
};
async function prepareKey(entry, key, usage) {
  const { alg, secret } = entry, requiresPrivateKey = usage === "decrypt" || usage === "sign";
  if (secret && key instanceof Uint8Array)
    return key;
  let normalized, keyObject;
  if (isObject(key)) {
    if (normalized = normalizeJwk(key), typeof normalized.kty != "string")
      throw invalidKeyType(alg, key, secret);
    if (!(secret ? normalized.kty === "oct" && typeof normalized.k == "string" : normalized.kty !== "oct" && (requiresPrivateKey ? normalized.kty === "AKP" && typeof normalized.priv == "string" || typeof normalized.d == "string" : normalized.d === void 0 && normalized.priv === void 0)))
      throw new TypeError(secret ? 'JSON Web Key for symmetric algorithms must have JWK "kty" (Key Type) equal to "oct" and the JWK "k" (Key Value) present' : `JSON Web Key for this operation must be a ${requiresPrivateKey ? "private" : "public"} JWK`);
    if (jwkMatchesOp(entry, normalized, usage), normalized.kty === "oct")
      return decode2(normalized.k);
    if (!Object.isFrozen(key)) {
      const { key_ops } = key;
      Array.isArray(key_ops) && Object.freeze(key_ops), Object.freeze(key);
    }
  } else {
    if (!isKeyLike(key))
      throw invalidKeyType(alg, key, secret);
    const expectedType = secret ? "secret" : requiresPrivateKey ? "private" : "public";
    if (key.type !== expectedType && (secret || ["secret", "public", "private"].includes(key.type)))
      throw new TypeError(`${tag(key)} instances must be of type "${expectedType}" for the ${alg} algorithm`);
    if (isCryptoKey(key))
      return key;
    if (keyObject = key, keyObject.type === "secret")
      return keyObject.export();
  }
  cache ||= /* @__PURE__ */ new WeakMap();
  const cacheKey = key;
  let cached = cache.get(cacheKey);
  if (cached?.[alg])
    return cached[alg];
  if (cached || cache.set(cacheKey, cached = {}), keyObject && typeof keyObject.toCryptoKey == "function") {
    const isPublic = keyObject.type === "public", crv = nist[keyObject.asymmetricKeyDetails?.namedCurve], params = entry.resolve?.({ crv, asymmetricKeyType: keyObject.asymmetricKeyType }) ?? entry.subtle;
    return cached[alg] = keyObject.toCryptoKey(params, isPublic, entry.usages[isPublic ? 0 : 1]);
  }
  return normalized ??= keyObject.export({ format: "jwk" }), normalized.alg = alg, cached[alg] = await jwkToKey(entry, normalized);
}
var cache;
var nist = {
  __proto__: null,
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521"
};
var isCryptoKey = (key) => {
  if (key?.[Symbol.toStringTag] === "CryptoKey")
    return true;
  try {
    return key instanceof CryptoKey;
  } catch {
    return false;
  }
};
var isKeyObject = (key) => key?.[Symbol.toStringTag] === "KeyObject";
var isKeyLike = (key) => isCryptoKey(key) || isKeyObject(key);
function message(msg, actual, ...types) {
  if (types.length > 2) {
    const last = types.pop();
    msg += `one of type ${types.join(", ")}, or ${last}.`;
  } else types.length === 2 ? msg += `one of type ${types[0]} or ${types[1]}.` : msg += `of type ${types[0]}.`;
  return actual == null ? msg += ` Received ${actual}` : typeof actual == "function" && actual.name ? msg += ` Received function ${actual.name}` : typeof actual == "object" && actual != null && actual.constructor?.name && (msg += ` Received an instance of ${actual.constructor.name}`), msg;
}
var invalidKeyInput = (actual, ...types) => message("Key must be ", actual, ...types);
function invalidKeyType(alg, actual, secret) {
  const types = ["CryptoKey", "KeyObject", "JSON Web Key"];
  return secret && types.push("Uint8Array"), new TypeError(message(`Key for the ${alg} algorithm must be `, actual, ...types));
}
var unusable = (name, prop = "algorithm.name") => new TypeError(`CryptoKey does not support this operation, its ${prop} must be ${name}`);
function checkUsage(key, usage) {
  if (usage && !key.usages.includes(usage))
    throw new TypeError(`CryptoKey does not support this operation, its usages must include ${usage}.`);
}
function checkModulusLength(alg, key) {
  const { modulusLength } = key.algorithm;
  if (typeof modulusLength != "number" || modulusLength < 2048)
    throw new TypeError(`${alg} requires key modulusLength to be 2048 bits or larger`);
}
function checkCryptoKey(key, expected, usage) {
  const algorithm2 = key.algorithm;
  if (algorithm2.name !== expected.name)
    throw unusable(expected.name);
  if (expected.hash && algorithm2.hash?.name !== expected.hash)
    throw unusable(expected.hash, "algorithm.hash");
  if (expected.namedCurve && algorithm2.namedCurve !== expected.namedCurve)
    throw unusable(expected.namedCurve, "algorithm.namedCurve");
  if (expected.length !== void 0 && algorithm2.length !== expected.length)
    throw unusable(expected.length, "algorithm.length");
  checkUsage(key, usage);
}
function snapshotJwk(jwk) {
  return { __proto__: null, ...jwk };
}
function normalizeJwk(jwk) {
  const normalized = snapshotJwk(jwk);
  if (normalized.ext !== void 0 && typeof normalized.ext != "boolean")
    throw new TypeError('"ext" (Extractable) Parameter must be a boolean');
  if (normalized.key_ops !== void 0) {
    const value = normalized.key_ops, keyOps = Array.isArray(value) ? [...value] : void 0;
    if (!keyOps || keyOps.some((operation) => typeof operation != "string") || new Set(keyOps).size !== keyOps.length)
      throw new TypeError('"key_ops" (Key Operations) Parameter must be an array of unique strings');
    normalized.key_ops = keyOps;
  }
  return normalized;
}
function validateExtractableOption(extractable) {
  if (extractable !== void 0 && typeof extractable != "boolean")
    throw new TypeError('"extractable" option must be a boolean');
  return extractable;
}
async function jwkToKey(entry, jwk, extractable) {
  if (!entry.kty.includes(jwk.kty))
    throw new JOSENotSupported('Invalid or unsupported JWK "alg" (Algorithm) Parameter value');
  const algorithm2 = entry.resolve?.({ kty: jwk.kty, crv: jwk.crv }) ?? entry.subtle, isPrivate = !!(jwk.d || jwk.priv), keyData = { ...jwk, ext: extractable ?? jwk.ext };
  return keyData.kty !== "AKP" && delete keyData.alg, delete keyData.use, crypto.subtle.importKey("jwk", keyData, algorithm2, keyData.ext ?? !isPrivate, jwk.key_ops ?? entry.usages[isPrivate ? 1 : 0]);
}
async function rawKey(key, expected, usage, extractable = false) {
  return key instanceof Uint8Array && (key = await crypto.subtle.importKey("raw", key, expected, extractable, [usage])), checkCryptoKey(key, expected, usage), key;
}

// node_modules/jose/dist/webapi/lib/key_descriptor.js
function table(entries) {
  const out = { __proto__: null };
  for (const alg in entries)
    out[alg] = { ...entries[alg], alg };
  return out;
}

// node_modules/jose/dist/webapi/lib/jwe_algorithms.js
var wrap = [
  ["encrypt", "wrapKey"],
  ["decrypt", "unwrapKey"]
];
var derive = [[], ["deriveBits"]];
var none = [[], []];
function rsaes(bits) {
  return {
    kty: ["RSA"],
    mode: "key-encryption",
    subtle: { name: "RSA-OAEP", hash: `SHA-${bits}` },
    usages: wrap,
    ops: ["wrapKey", "unwrapKey"]
  };
}
function ecdh(mode) {
  return {
    kty: ["EC", "OKP"],
    mode,
    subtle: { name: "ECDH" },
    resolve: ({ kty, crv, asymmetricKeyType }) => {
      if (crv === "X25519" || asymmetricKeyType === "x25519")
        return { name: "X25519" };
      if (kty === "OKP")
        throw new JOSENotSupported('Invalid or unsupported JWK "alg" (Algorithm) Parameter value');
      return { name: "ECDH", namedCurve: crv };
    },
    usages: derive,
    ops: [void 0, "deriveBits"]
  };
}
function aeskw(bits, gcm = false) {
  return {
    kty: ["oct"],
    mode: "key-wrapping",
    secret: true,
    subtle: { name: gcm ? "AES-GCM" : "AES-KW", length: bits },
    usages: none,
    ops: gcm ? ["encrypt", "decrypt"] : ["wrapKey", "unwrapKey"]
  };
}
function pbes2() {
  return {
    kty: ["oct"],
    mode: "key-wrapping",
    secret: true,
    subtle: { name: "PBKDF2" },
    usages: none,
    ops: ["deriveBits", "deriveBits"]
  };
}
var JWE = table({
  dir: {
    kty: ["oct"],
    mode: "direct-encryption",
    secret: true,
    subtle: { name: "AES-GCM" },
    usages: none,
    ops: ["encrypt", "decrypt"]
  },
  "RSA-OAEP": rsaes(1),
  "RSA-OAEP-256": rsaes(256),
  "RSA-OAEP-384": rsaes(384),
  "RSA-OAEP-512": rsaes(512),
  "ECDH-ES": ecdh("direct-key-agreement"),
  "ECDH-ES+A128KW": ecdh("key-agreement-with-key-wrapping"),
  "ECDH-ES+A192KW": ecdh("key-agreement-with-key-wrapping"),
  "ECDH-ES+A256KW": ecdh("key-agreement-with-key-wrapping"),
  A128KW: aeskw(128),
  A192KW: aeskw(192),
  A256KW: aeskw(256),
  A128GCMKW: aeskw(128, true),
  A192GCMKW: aeskw(192, true),
  A256GCMKW: aeskw(256, true),
  "PBES2-HS256+A128KW": pbes2(),
  "PBES2-HS384+A192KW": pbes2(),
  "PBES2-HS512+A256KW": pbes2()
});
var contentOps = ["encrypt", "decrypt"];
function contentEncryption(bits, cbc = false) {
  return {
    kty: ["oct"],
    secret: true,
    subtle: { name: cbc ? "AES-CBC" : "AES-GCM", length: bits },
    usages: none,
    ops: contentOps,
    cekBits: bits,
    ivBits: cbc ? 128 : 96,
    cbc
  };
}
var ENC = table({
  A128GCM: contentEncryption(128),
  A192GCM: contentEncryption(192),
  A256GCM: contentEncryption(256),
  "A128CBC-HS256": contentEncryption(256, true),
  "A192CBC-HS384": contentEncryption(384, true),
  "A256CBC-HS512": contentEncryption(512, true)
});

// node_modules/jose/dist/webapi/lib/jws_algorithms.js
var sig = [["verify"], ["sign"]];
function hmac(bits) {
  const subtle = { name: "HMAC", hash: `SHA-${bits}` };
  return { kty: ["oct"], secret: true, subtle, signing: subtle, usages: sig };
}
function rsa(bits, saltLength) {
  const subtle = { name: saltLength ? "RSA-PSS" : "RSASSA-PKCS1-v1_5", hash: `SHA-${bits}` };
  return {
    kty: ["RSA"],
    subtle,
    signing: saltLength ? { ...subtle, saltLength } : subtle,
    usages: sig,
    minRsaBits: 2048
  };
}
function ecdsa(crv, bits) {
  return {
    kty: ["EC"],
    crv,
    subtle: { name: "ECDSA", namedCurve: crv },
    signing: { name: "ECDSA", hash: `SHA-${bits}` },
    usages: sig
  };
}
function eddsa() {
  const subtle = { name: "Ed25519" };
  return {
    kty: ["OKP"],
    crv: "Ed25519",
    subtle,
    signing: subtle,
    usages: sig
  };
}
function mldsa(parameterSet) {
  const subtle = { name: `ML-DSA-${parameterSet}` };
  return {
    kty: ["AKP"],
    subtle,
    signing: subtle,
    usages: sig
  };
}
var JWS = table({
  HS256: hmac(256),
  HS384: hmac(384),
  HS512: hmac(512),
  RS256: rsa(256),
  RS384: rsa(384),
  RS512: rsa(512),
  PS256: rsa(256, 32),
  PS384: rsa(384, 48),
  PS512: rsa(512, 64),
  ES256: ecdsa("P-256", 256),
  ES384: ecdsa("P-384", 384),
  ES512: ecdsa("P-521", 512),
  EdDSA: eddsa(),
  Ed25519: eddsa(),
  "ML-DSA-44": mldsa(44),
  "ML-DSA-65": mldsa(65),
  "ML-DSA-87": mldsa(87)
});
function jwsAlgorithm(alg) {
  const entry = typeof alg == "string" ? JWS[alg] : void 0;
  if (!entry)
    throw new JOSENotSupported(`alg ${alg} is not supported either by JOSE or your javascript runtime`);
  return entry;
}

// node_modules/jose/dist/webapi/lib/jws_verify.js
function snapshotJws(jws, sharedPayload) {
  const encodedProtectedHeader = jws.protected, inputHeader = jws.header, header = isObject(inputHeader) ? { ...inputHeader } : inputHeader;
  let payload = sharedPayload ? sharedPayload[0] : jws.payload;
  !sharedPayload && payload instanceof Uint8Array && (payload = new Uint8Array(payload));
  const signature = jws.signature, snapshot = { payload, signature };
  if (encodedProtectedHeader !== void 0 && (snapshot.protected = encodedProtectedHeader), inputHeader !== void 0 && (snapshot.header = header), encodedProtectedHeader === void 0 && header === void 0)
    throw new JWSInvalid('Flattened JWS must have either of the "protected" or "header" members');
  if (encodedProtectedHeader !== void 0 && typeof encodedProtectedHeader != "string")
    throw new JWSInvalid("JWS Protected Header incorrect type");
  if (payload === void 0)
    throw new JWSInvalid("JWS Payload missing");
  if (typeof signature != "string")
    throw new JWSInvalid("JWS Signature missing or incorrect type");
  if (header !== void 0 && !isObject(header))
    throw new JWSInvalid("JWS Unprotected Header incorrect type");
  return snapshot;
}
function prepareVerify(options) {
  return [options && validateAlgorithms("algorithms", options.algorithms), options?.crit];
}
function parseProtectedHeader(encodedProtectedHeader) {
  return encodedProtectedHeader === void 0 ? {} : parseJoseHeader(encodedProtectedHeader, JWSInvalid, "JWS Protected Header is invalid");
}
function encodeJsonUnencodedPayload(payload) {
  const invalid2 = /[\p{Cs}\p{Cn}]/u.exec(payload)?.[0];
  if (invalid2 !== void 0)
    throw new JWSInvalid(/\p{Cs}/u.test(invalid2) ? "JWS Payload must be a well-formed Unicode string" : "JWS Payload must not contain unassigned Unicode code points");
  return encoder2.encode(payload);
}
async function verifySignature(jws, shared, key, encodeUnencodedPayload, parsedProtected) {
  const { protected: encodedProtectedHeader, header, payload: inputPayload } = jws, protectedHeader2 = parsedProtected ?? parseProtectedHeader(encodedProtectedHeader);
  if (!isDisjoint(protectedHeader2, header))
    throw new JWSInvalid("JWS Protected and JWS Unprotected Header Parameter names must be disjoint");
  const joseHeader = { ...protectedHeader2, ...header }, b64 = validateB64(protectedHeader2, validateCrit(JWSInvalid, JWS_RECOGNIZED, shared[1], protectedHeader2, joseHeader)), { alg } = joseHeader;
  if (typeof alg != "string" || !alg)
    throw new JWSInvalid('JWS "alg" (Algorithm) Header Parameter missing or invalid');
  if (shared[0] && !shared[0].has(alg))
    throw new JOSEAlgNotAllowed('"alg" (Algorithm) Header Parameter value not allowed');
  if (b64) {
    if (typeof inputPayload != "string")
      throw new JWSInvalid("JWS Payload must be a string");
  } else if (typeof inputPayload != "string" && !(inputPayload instanceof Uint8Array))
    throw new JWSInvalid("JWS Payload must be a string or an Uint8Array instance");
  const signingPayload = b64 || typeof inputPayload != "string" ? inputPayload : encodeUnencodedPayload(inputPayload);
  let resolvedKey = false;
  typeof key == "function" && (key = await key(protectedHeader2, jws), resolvedKey = true);
  const entry = jwsAlgorithm(alg), signingInput = concat2(encodedProtectedHeader !== void 0 ? encode(encodedProtectedHeader) : new Uint8Array(), encode("."), typeof signingPayload == "string" ? shared[2] ??= encodeAsciiMember(signingPayload, "payload", JWSInvalid) : signingPayload), signature = decodeBase64url(jws.signature, "signature", JWSInvalid), verificationKey = await prepareKey(entry, key, "verify"), cryptoKey = await rawKey(verificationKey, entry.subtle, "verify");
  entry.minRsaBits && checkModulusLength(entry.alg, cryptoKey);
  let verified = false;
  try {
    verified = await crypto.subtle.verify(entry.signing, cryptoKey, signature, signingInput);
  } catch (cause) {
    throw new JWSSignatureVerificationFailed(void 0, { cause });
  }
  if (!verified)
    throw new JWSSignatureVerificationFailed();
  const result = { payload: typeof signingPayload == "string" ? decodeBase64url(signingPayload, "payload", JWSInvalid) : signingPayload };
  return encodedProtectedHeader !== void 0 && (result.protectedHeader = protectedHeader2), header !== void 0 && (result.unprotectedHeader = header), resolvedKey ? [{ ...result, key: verificationKey }, b64] : [result, b64];
}

// node_modules/jose/dist/webapi/jws/flattened/verify.js
async function flattenedVerify(jws, key, options) {
  if (!isObject(jws))
    throw new JWSInvalid("Flattened JWS must be an object");
  const snapshot = snapshotJws(jws), [result] = await verifySignature(snapshot, prepareVerify(options), key, encodeJsonUnencodedPayload);
  return result;
}

// node_modules/jose/dist/webapi/lib/jws_sign.js
async function createSignature(input, key, rejectUnencoded) {
  let [payload, protectedHeader2, unprotectedHeader, crit] = input, encodedProtectedHeader = "";
  if (protectedHeader2 !== void 0) {
    const normalized = serializeJoseHeader(JWSInvalid, protectedHeader2);
    protectedHeader2 = normalized[0], encodedProtectedHeader = encode2(normalized[1]);
  }
  if (unprotectedHeader !== void 0 && (unprotectedHeader = serializeJoseHeader(JWSInvalid, unprotectedHeader)[0]), !protectedHeader2 && !unprotectedHeader)
    throw new JWSInvalid("either setProtectedHeader or setUnprotectedHeader must be called before #sign()");
  if (!isDisjoint(protectedHeader2, unprotectedHeader))
    throw new JWSInvalid("JWS Protected and JWS Unprotected Header Parameter names must be disjoint");
  const joseHeader = { ...protectedHeader2, ...unprotectedHeader };
  validateCritDuplicates(JWSInvalid, protectedHeader2);
  const b64 = validateB64(protectedHeader2, validateCrit(JWSInvalid, JWS_RECOGNIZED, crit, protectedHeader2, joseHeader));
  b64 || rejectUnencoded?.();
  const { alg } = joseHeader;
  if (typeof alg != "string" || !alg)
    throw new JWSInvalid('JWS "alg" (Algorithm) Header Parameter missing or invalid');
  const entry = jwsAlgorithm(alg);
  let encodedPayload = "", signingPayload = payload, signingInput;
  if (b64) {
    const encodedPayloadCache = input[4];
    encodedPayloadCache ? (encodedPayload = encodedPayloadCache[0] ??= encode2(payload), signingPayload = encodedPayloadCache[1] ??= encode(encodedPayload)) : (encodedPayload = encode2(payload), signingInput = encoder2.encode(`${encodedProtectedHeader}.${encodedPayload}`));
  }
  signingInput ??= concat2(encode(encodedProtectedHeader), encode("."), signingPayload);
  const signingKey = await rawKey(await prepareKey(entry, key, "sign"), entry.subtle, "sign");
  entry.minRsaBits && checkModulusLength(entry.alg, signingKey);
  const jws = {
    signature: encode2(new Uint8Array(await crypto.subtle.sign(entry.signing, signingKey, signingInput))),
    payload: encodedPayload
  };
  return protectedHeader2 && (jws.protected = encodedProtectedHeader), unprotectedHeader && (jws.header = unprotectedHeader), [jws, b64];
}
async function createCompactSignature(payload, protectedHeader2, crit, key, rejectUnencoded) {
  const [jws] = await createSignature([payload, protectedHeader2, void 0, crit], key, rejectUnencoded);
  return `${jws.protected}.${jws.payload}.${jws.signature}`;
}

// node_modules/jose/dist/webapi/jws/compact/sign.js
var CompactSign = class {
  #payload;
  #protectedHeader;
  constructor(payload) {
    assertUint8Array(payload, "payload"), this.#payload = payload;
  }
  setProtectedHeader(protectedHeader2) {
    return assertNotSet(this.#protectedHeader, "setProtectedHeader"), this.#protectedHeader = protectedHeader2, this;
  }
  async sign(key, options) {
    return createCompactSignature(this.#payload, this.#protectedHeader, options?.crit, key, () => {
      throw new TypeError("use the flattened module for creating JWS with b64: false");
    });
  }
};

// node_modules/jose/dist/webapi/lib/key_algorithm.js
function unsupportedAlg(source = 'JWK "alg" (Algorithm) Parameter') {
  throw new JOSENotSupported(`Invalid or unsupported ${source} value`);
}
function keyAlgorithm(alg, source) {
  return (typeof alg == "string" ? JWS[alg] ?? JWE[alg] : void 0) ?? unsupportedAlg(source);
}

// node_modules/jose/dist/webapi/key/export.js
async function exportJWK(key) {
  if (isKeyObject(key))
    if (key.type === "secret")
      key = key.export();
    else
      return key.export({ format: "jwk" });
  if (key instanceof Uint8Array)
    return {
      kty: "oct",
      k: encode2(key)
    };
  if (!isCryptoKey(key))
    throw new TypeError(invalidKeyInput(key, "CryptoKey", "KeyObject", "Uint8Array"));
  if (!key.extractable)
    throw new TypeError("non-extractable CryptoKey cannot be exported as a JWK");
  const jwk = await crypto.subtle.exportKey("jwk", key);
  delete jwk.ext, delete jwk.key_ops, delete jwk.use, jwk.kty !== "AKP" && delete jwk.alg;
  for (const parameter of Object.keys(jwk))
    jwk[parameter] === void 0 && delete jwk[parameter];
  return jwk;
}

// node_modules/jose/dist/webapi/jwk/thumbprint.js
var check = (value, description) => {
  if (typeof value != "string" || !value)
    throw new JWKInvalid(`${description} missing or invalid`);
};
async function calculateJwkThumbprint(key, digestAlgorithm) {
  let jwk;
  if (isObject(key)) {
    if (jwk = snapshotJwk(key), typeof jwk.kty != "string")
      throw new TypeError(invalidKeyInput(key, "CryptoKey", "KeyObject", "JSON Web Key"));
  } else if (isKeyLike(key))
    jwk = snapshotJwk(await exportJWK(key));
  else
    throw new TypeError(invalidKeyInput(key, "CryptoKey", "KeyObject", "JSON Web Key"));
  if (digestAlgorithm ??= "sha256", digestAlgorithm !== "sha256" && digestAlgorithm !== "sha384" && digestAlgorithm !== "sha512")
    throw new TypeError('digestAlgorithm must one of "sha256", "sha384", or "sha512"');
  let requiredMembers;
  switch (jwk.kty) {
    case "AKP":
      check(jwk.alg, '"alg" (Algorithm) Parameter'), check(jwk.pub, '"pub" (Public key) Parameter'), requiredMembers = { alg: jwk.alg, kty: jwk.kty, pub: jwk.pub };
      break;
    case "EC":
      check(jwk.crv, '"crv" (Curve) Parameter'), check(jwk.x, '"x" (X Coordinate) Parameter'), check(jwk.y, '"y" (Y Coordinate) Parameter'), requiredMembers = { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y };
      break;
    case "OKP":
      check(jwk.crv, '"crv" (Subtype of Key Pair) Parameter'), check(jwk.x, '"x" (Public Key) Parameter'), requiredMembers = { crv: jwk.crv, kty: jwk.kty, x: jwk.x };
      break;
    case "RSA":
      check(jwk.e, '"e" (Exponent) Parameter'), check(jwk.n, '"n" (Modulus) Parameter'), requiredMembers = { e: jwk.e, kty: jwk.kty, n: jwk.n };
      break;
    case "oct":
      if (typeof jwk.k != "string")
        throw new JWKInvalid('"k" (Key Value) Parameter missing or invalid');
      requiredMembers = { k: jwk.k, kty: jwk.kty };
      break;
    default:
      throw new JOSENotSupported('"kty" (Key Type) Parameter missing or unsupported');
  }
  const thumbprintInput = encode(JSON.stringify(requiredMembers));
  return encode2(await digest(digestAlgorithm, thumbprintInput));
}

// node_modules/jose/dist/webapi/key/import.js
async function importJWK(jwk, alg, options) {
  if (!isObject(jwk))
    throw new TypeError("JWK must be an object");
  const normalized = normalizeJwk(jwk), extractable = validateExtractableOption(options?.extractable), { alg: jwkAlg } = normalized;
  if (alg ??= jwkAlg, normalized.kty !== "oct" && !alg)
    throw new TypeError('"alg" argument is required when "jwk.alg" is not present');
  switch (normalized.kty) {
    case "oct":
      if (typeof normalized.k != "string")
        throw new TypeError('missing "k" (Key Value) Parameter value');
      return decode2(normalized.k);
    case "AKP": {
      if (typeof jwkAlg != "string" || !jwkAlg)
        throw new TypeError('missing "alg" (Algorithm) Parameter value');
      if (alg !== jwkAlg)
        throw new TypeError("JWK alg and alg option value mismatch");
      return jwkToKey(keyAlgorithm(alg), normalized, extractable);
    }
    case "RSA":
    case "EC":
    case "OKP":
      return jwkToKey(keyAlgorithm(alg), normalized, extractable);
    default:
      throw new JOSENotSupported('Unsupported "kty" (Key Type) Parameter value');
  }
}

// verifier/ear-sign.ts
async function signEar(claims, key, alg, kid) {
  try {
    const isJwk = "kty" in key;
    const name = kid ?? (isJwk ? key.kid ?? await calculateJwkThumbprint(key) : void 0);
    const header = { alg, typ: "JWT", ...name !== void 0 && { kid: name } };
    const signing = isJwk ? await importJWK(key, alg) : key;
    return await new CompactSign(utf8(JSON.stringify(claims))).setProtectedHeader(header).sign(signing);
  } catch (cause) {
    throw new TypeError(`key: want a private key for ${alg}`, { cause });
  }
}

// verifier/reference-file.ts
var REFERENCE_VALUES_PROFILE = "veritee/reference-values/v1";
var ALGORITHMS2 = ["ES256", "ES384", "EdDSA", "Ed25519"];
var DETACHED = /^([\w-]+)\.\.([\w-]+)\s*$/;
async function readReferenceFile(file, signature, key) {
  await verifyDetached(file, signature, key);
  try {
    return readValues(file);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    return refuse3(cause.field ?? "referenceValues", cause.message, cause);
  }
}
function refuse3(field, reason, cause) {
  throw new CodedError("REFERENCE_VALUES_INVALID", reason, { field, cause });
}
async function verifyDetached(file, signature, key) {
  const [, header, value] = DETACHED.exec(text2(signature)) ?? [];
  if (header === void 0 || value === void 0) refuse3("signature", "want a detached JWS: header..signature");
  try {
    const jws = { protected: header, payload: base64url(file), signature: value };
    await flattenedVerify(jws, key, { algorithms: ALGORITHMS2 });
  } catch (cause) {
    const reason = cause instanceof errors_exports.JWSSignatureVerificationFailed ? "not over these bytes by this key" : "not one that this key can have made";
    refuse3("signature", `signature: ${reason}`, cause);
  }
}
function text2(signature) {
  try {
    return fromUtf8(signature);
  } catch {
    return "";
  }
}
function readValues(file) {
  const values = readPolicyJson(file, "referenceValues").object();
  values.item("profile").word(REFERENCE_VALUES_PROFILE);
  const read = {
    id: values.item("id").text(),
    sevSnp: values.item("sevSnp").list(0).map(readReferenceValue),
    deniedMeasurements: readMeasurements(values.item("deniedMeasurements"), 0)
  };
  values.end();
  return read;
}
function withReferenceValues(policy, values) {
  const { sevSnp } = policy;
  return mintPolicy({
    ...policy,
    id: `${policy.id} + ${values.id}`,
    deniedMeasurements: [...policy.deniedMeasurements, ...values.deniedMeasurements],
    sevSnp: sevSnp === "refuse" ? sevSnp : { ...sevSnp, referenceValues: [...ownValues(sevSnp), ...values.sevSnp] }
  });
}
var ownValues = ({ referenceValues }) => referenceValues === "any-unidentified-program" ? [] : referenceValues;

// verifier/report/markup.ts
var INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
var ENTITIES = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
};
var escaped = (text3) => text3.replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`).replace(/[&<>"']/g, (c) => ENTITIES[c] ?? "");
var Markup = class {
  text;
  constructor(text3) {
    this.text = text3;
  }
};
var render = (content) => {
  if (content instanceof Markup) return content.text;
  if (typeof content === "string" || typeof content === "number") return escaped(String(content));
  return content.map(render).join("");
};
var html = (own, ...values) => new Markup(own.map((part, i) => part + (i < values.length ? render(values[i]) : "")).join(""));

// verifier/report/chain.ts
var LOGGED = ["receipt", "attestation", "evidence"];
var SHOWN_HEX = 24;
var short = (value) => value ? `${hex(value).slice(0, SHOWN_HEX)}\u2026` : "";
var LINKS = [
  {
    title: "Trust anchor",
    value: ({ claims }) => claims.anchor?.name ?? "",
    rows: [["snp.chain.root"], ["nitro.chain.root"]]
  },
  {
    title: "Intermediate certificate",
    value: () => "",
    rows: [
      ["snp.chain.intermediate", "snp.chain.profile", "snp.revocation"],
      ["nitro.chain.intermediates", "nitro.chain.profile"]
    ]
  },
  {
    title: "Signing certificate",
    value: ({ claims }) => claims.signer ?? "",
    rows: [
      ["snp.chain.leaf", "snp.chain.time", "snp.signing-key"],
      ["nitro.chain.leaf", "nitro.chain.time"]
    ]
  },
  {
    title: "Hardware report",
    value: ({ claims }) => claims.product ?? "",
    rows: [
      ["snp.signature", "snp.product", "snp.reserved", "snp.tcb-certificate", "snp.chip-id"],
      ["nitro.signature", "nitro.timestamp", "nitro.module"]
    ]
  },
  {
    title: "Program measured at launch",
    value: ({ claims }) => short(claims.measurement),
    rows: [["policy.measurement", "policy.host-data", "policy.debug"]]
  },
  {
    title: "REPORT_DATA",
    value: ({ claims }) => short(claims.reportData),
    rows: [["binding.report-data", "session.claims", "session.key", "session.boot-id"]],
    kinds: LOGGED
  },
  {
    title: "Checkpoint of the log",
    value: ({ claims }) => claims.checkpoint ? `${claims.checkpoint.size} entries` : "",
    rows: [["checkpoint.signature"]],
    kinds: LOGGED
  },
  {
    title: "Nonce in the log",
    value: ({ claims }) => short(claims.challenge?.nonce),
    rows: [["challenge.inclusion", "challenge.signature", "challenge.nonce", "expected.nonce"]],
    kinds: ["attestation"]
  },
  {
    title: "Sealing keys in force",
    value: ({ claims }) => claims.keyConfigs ? String(claims.keyConfigs.length) : "",
    rows: [["key.in-force", "key.inclusion", "key.signature"]],
    kinds: ["attestation"]
  },
  {
    title: "Merkle path",
    value: ({ claims }) => claims.sequence === void 0 ? "" : `to entry ${claims.sequence}`,
    rows: [["inclusion.path", "policy.strength"]],
    kinds: ["receipt"]
  },
  {
    title: "Statement",
    value: ({ claims }) => claims.receiptId ? hex(claims.receiptId) : "",
    rows: [["statement.signature", "statement.session", "statement.model"]],
    kinds: ["receipt"]
  },
  {
    title: "Request you hold",
    value: ({ claims }) => short(claims.requestDigest),
    rows: [["expected.request", "expected.nonce"]],
    kinds: ["receipt"]
  },
  {
    title: "Response you hold",
    value: ({ claims }) => short(claims.responseDigest),
    rows: [["expected.response"]],
    kinds: ["receipt"]
  }
];
function chainOf(result) {
  const byId = new Map(result.checks.map((check2) => [check2.id, check2]));
  const links = LINKS.filter(({ kinds }) => !kinds || result.kind !== null && kinds.includes(result.kind));
  return links.map(({ title, value, rows }) => {
    const sets = rows.map((ids) => ids.flatMap((id) => byId.get(id) ?? []));
    const checks = sets.find((set) => set.some(({ outcome }) => outcome !== "skipped")) ?? sets[0] ?? [];
    return { title, value: value(result), checks, state: stateOf(checks) };
  });
}
function stateOf(checks) {
  if (checks.some(({ outcome }) => outcome === "fail")) return "fail";
  return checks[0]?.outcome ?? "skipped";
}
var MARK = { pass: "\u2713", fail: "\u2717", skipped: "\u2013" };
var SAID = { pass: "holds", fail: "broken", skipped: "not checked" };
var WIDTH = 640;
var BOX = { x: 8, width: 624, height: 34 };
var LINE_X = 40;
var ROW_HEIGHT = 17;
var GAP_PADDING = 14;
function drawChain(result) {
  const links = chainOf(result);
  const parts = [box(0, "You", `policy ${result.policy}, at ${result.at.toISOString()}`, "own")];
  let y = BOX.height;
  for (const link of links) {
    const gap = GAP_PADDING + ROW_HEIGHT * link.checks.length;
    parts.push(arrow(y, gap, link));
    y += gap;
    parts.push(box(y, link.title, link.value, link.state));
    y += BOX.height;
  }
  const summary = links.map(({ title, state }) => `${title} ${SAID[state]}`).join("; ");
  return html`<svg viewBox="0 0 ${WIDTH} ${y + 2}" width="${WIDTH}" role="img" aria-label="${`Chain of trust: ${summary}`}">
${parts}</svg>`;
}
var box = (y, title, value, state) => html`<g class="${state}"><rect x="${BOX.x}" y="${y + 1}" width="${BOX.width}" height="${BOX.height}" rx="6"/>
<text class="title" x="${BOX.x + 12}" y="${y + 22}">${title}</text>
<text class="value" x="${BOX.x + BOX.width - 12}" y="${y + 22}">${value}</text></g>
`;
function arrow(y, gap, { checks, state }) {
  const top = y + 1;
  const tip = y + gap;
  const rows = checks.map(
    ({ id, outcome }, i) => html`<text class="row ${outcome}" x="${LINE_X + 22}" y="${top + 18 + i * ROW_HEIGHT}">${MARK[outcome]} ${id}</text>
`
  );
  return html`<g class="${state}"><line x1="${LINE_X}" y1="${top}" x2="${LINE_X}" y2="${tip - 6}"/>
<path d="M${LINE_X - 6} ${tip - 8}h12l-6 9z"/></g>
${rows}`;
}

// verifier/report/style.ts
var STYLE = `
:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5b636d;--paper:#fff;--line:#d4d9df;--pass:#156f3a;--fail:#b3202a;--skipped:#767e88;--wash:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a0a8b2;--paper:#14171b;--line:#39414a;--pass:#5cc98a;--fail:#ff7b82;--skipped:#8d959f;--wash:#1d2127}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--paper:#fff;--line:#bbb;--pass:#0d5a2c;--fail:#a01019;--skipped:#666;--wash:#fff}
body{font-size:10pt;margin:0;max-width:none}h2{break-after:avoid}tr,svg{break-inside:avoid}thead{display:table-header-group}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:75rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.sentence{font-size:1.15rem;border-left:.4rem solid;padding:.6rem 1rem;background:var(--wash)}
.affirming{border-color:var(--pass)}.contraindicated{border-color:var(--fail)}.unsupported{border-color:var(--skipped)}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600}.facts th{width:14rem}
code,.value,.row{font-family:ui-monospace,SFMono-Regular,Consolas,monospace;font-size:.9em}
span.pass{color:var(--pass)}span.fail{color:var(--fail)}span.skipped{color:var(--skipped)}
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font-size:13px}svg .value{text-anchor:end;font-size:12px;fill:var(--soft)}svg .title{font-weight:600}
svg .row{font-size:12px}svg .row.pass{fill:var(--pass)}svg .row.fail{fill:var(--fail)}svg .row.skipped{fill:var(--skipped)}
svg rect{fill:var(--wash);stroke:var(--line);stroke-width:1.5}
svg .pass rect,svg .pass line{stroke:var(--pass)}svg .fail rect,svg .fail line{stroke:var(--fail)}svg .skipped rect,svg .skipped line{stroke:var(--skipped);stroke-dasharray:5 4}
svg line{stroke-width:2.5}svg .pass path{fill:var(--pass)}svg .fail path{fill:var(--fail)}svg .skipped path{fill:var(--skipped)}
footer{color:var(--soft);margin-top:2rem;font-size:.9em}
`;

// verifier/report/words.ts
var VOUCHES = {
  snp: "a genuine AMD SEV-SNP chip",
  nitro: "a genuine AWS Nitro system",
  "simulated-snp": "a simulated chip, which proves the mechanism and no machine,",
  "simulated-nitro": "a simulated Nitro system, which proves the mechanism and no machine,"
};
function verdictSentence(result) {
  const file = result.kind ? A_FILE[result.kind].replace(/^an? /, "") : "file";
  if (result.verdict === "unsupported") {
    return "Neither yes nor no: this release does not read this kind or version of file, so nothing is known about it.";
  }
  if (result.verdict === "contraindicated") {
    const [first, ...more] = result.findings;
    const others = more.length === 0 ? "" : `, and ${more.length} more`;
    return `Do not rely on this ${file}. What failed: ${first.claim} (${first.code})${others}.`;
  }
  if (result.platform === null) return `The ${file} is signed by the key you named. No hardware was verified.`;
  return `At the time given, ${VOUCHES[result.platform]} vouches for ${vouchedFor(result)}, ${program(result)}.`;
}
function vouchedFor(result) {
  switch (result.kind) {
    case "receipt": {
      const answer = result.statement.outcome === "ok" ? "the answer" : "the refusal";
      if (result.strength === "hardware-committed") return `${answer} that this receipt records`;
      return `the session key that signed ${answer} in this receipt, though not yet for ${answer} itself`;
    }
    case "attestation":
    case "evidence":
      return "the session key and the log in this file";
    default:
      return "this report";
  }
}
function program({ checks }) {
  const measured = checks.find(({ id }) => id === "policy.measurement");
  return measured?.outcome === "pass" ? "made by a program the policy accepts" : "made by an unidentified program";
}

// verifier/report-html.ts
var SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${base64(sha256(utf8(STYLE)))}'`,
  "base-uri 'none'",
  "form-action 'none'"
].join("; ");
function renderHtml(result, options = {}) {
  const { verdict, findings, notChecked } = result;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Attestation result: ${verdict}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<h1>Attestation result: ${verdict}</h1>
<p class="sentence ${verdict}">${verdictSentence(result)}</p>
${section("What was assessed", facts2(assessed(result, options)))}
${findings.length > 0 ? section("What failed", findingsTable(result)) : ""}
${section("Chain of trust", drawChain(result))}
${section("Not checked", notChecked.length > 0 ? list(notChecked) : html`<p>Nothing was left out.</p>`)}
${section("Checks", checksTable(result))}
${section("Decoded claims", facts2(flat(jsonOf(result.claims))))}
<footer>${options.producer ?? "veritee"}. A check that was not made is never counted as passed. Times named “claimed” are by
the enclave’s own clock and decide nothing.</footer>
</body>
</html>
`.text;
}
var section = (title, content) => html`<section><h2>${title}</h2>
${content}</section>`;
var list = (items) => html`<ul>
${items.map(
  (item) => html`<li>${item}</li>
`
)}</ul>
`;
var facts2 = (pairs) => html`<table class="facts"><tbody>
${pairs.map(
  ([name, value]) => html`<tr><th scope="row">${name}</th><td><code>${value}</code></td></tr>
`
)}</tbody></table>
`;
function assessed(result, { file }) {
  const { kind, platform, strength, policy, policyDigest: policyDigest2, at, validAt, timeSource, existedBy } = result;
  return [
    ...file ? [
      ["file", file.name],
      ["size", `${file.content.length} bytes`],
      ["SHA-256", hex(sha256(file.content))]
    ] : [],
    ["kind", kind ?? "not recognised"],
    ["platform", platform ?? "none verified"],
    ["strength", strength ?? "none"],
    ["policy", policy],
    ["policy digest", hex(policyDigest2)],
    ["verified as of", at.toISOString()],
    ["chain valid at", `${validAt.toISOString()}, by ${timeSource === "caller" ? "the caller\u2019s clock" : timeSource}`],
    ["existed by", existedBy ?? "no outside clock says"]
  ];
}
var table2 = (head2, rows) => html`<table>
<thead>
<tr>${head2.map((name) => html`<th scope="col">${name}</th>`)}</tr>
</thead>
<tbody>
${rows.map(
  (cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>
`
)}</tbody>
</table>
`;
var findingsTable = ({ findings }) => table2(
  ["code", "claim", "expected", "found", "source", "what to do"],
  findings.map(({ code, claim, expected, actual, source }) => [
    html`<strong>${code}</strong>`,
    claim,
    expected,
    actual,
    source,
    CODES[code].action
  ])
);
function checksTable({ checks }) {
  const rowOf = new Map(ALL_ROWS.map((row) => [row.id, row]));
  return table2(
    ["outcome", "check", "claim", "expected", "found", "source"],
    checks.map(({ id, outcome, detail, expected, actual }) => [
      html`<span class="${outcome}">${MARK[outcome]} ${outcome}</span>`,
      html`<code>${id}</code>`,
      rowOf.get(id)?.claim ?? "",
      expected ?? "",
      actual ?? detail,
      rowOf.get(id)?.source ?? ""
    ])
  );
}
function flat(value, path = "") {
  if (typeof value !== "object" || value === null) return [[path, value === null ? "none" : String(value)]];
  const entries = Object.entries(value);
  if (entries.length === 0 && path !== "") return [[path, "none"]];
  return entries.flatMap(([name, item]) => flat(item, path === "" ? name : `${path}.${name}`));
}
export {
  ALL_ROWS,
  AMD_ANCHORS,
  AUTHENTICITY,
  EAR_PROFILES,
  POLICY_PROFILE,
  REFERENCE_VALUES_PROFILE,
  assess,
  detectKind,
  draftPolicy,
  earMediaType,
  lintPolicy,
  parseHclReport,
  parsePolicy2 as parsePolicy,
  parseSnpReport,
  policyDigest,
  readCertificates,
  readCrls,
  readEndorsements,
  readPolicy,
  readReferenceFile,
  readTrustAnchors,
  renderHtml,
  signEar,
  snpReportToJson,
  toEar,
  toJson,
  trustVector,
  withReferenceValues
};
