/**
 * Every code Veritee can answer with. Codes are API: added freely, never renamed or reused.
 *
 * `stage` says where the code arises, `action` what the caller should do, `status` the HTTP status when it answers a request.
 */
export const CODES = {
  // Evidence and receipts: shape.
  EVIDENCE_MALFORMED: { stage: 'parse', action: 'refuse' },
  EVIDENCE_TOO_LARGE: { stage: 'parse', action: 'refuse' },
  EVIDENCE_UNSUPPORTED: { stage: 'parse', action: 'upgrade' },
  EVIDENCE_MISSING: { stage: 'parse', action: 'retry' },

  // Evidence and receipts: signatures and bindings.
  ENDORSEMENT_MISSING: { stage: 'verify', action: 'retry' },
  ENDORSEMENT_MALFORMED: { stage: 'verify', action: 'refuse', status: 400 },
  CHAIN_UNTRUSTED: { stage: 'verify', action: 'refuse' },
  CERTIFICATE_INVALID: { stage: 'verify', action: 'refuse' },
  CERTIFICATE_EXPIRED: { stage: 'verify', action: 'refuse' },
  CERTIFICATE_NOT_YET_VALID: { stage: 'verify', action: 'refuse' },
  CERTIFICATE_REVOKED: { stage: 'verify', action: 'refuse' },
  CRL_INVALID: { stage: 'verify', action: 'refuse' },
  CRL_STALE: { stage: 'verify', action: 'retry' },
  SIGNATURE_INVALID: { stage: 'verify', action: 'refuse' },
  SIGNING_KEY_MISMATCH: { stage: 'verify', action: 'refuse' },
  PRODUCT_MISMATCH: { stage: 'verify', action: 'refuse' },
  TCB_MISMATCH: { stage: 'verify', action: 'refuse' },
  CHIP_ID_MISMATCH: { stage: 'verify', action: 'refuse' },
  KEY_BINDING_MISMATCH: { stage: 'verify', action: 'refuse' },
  SESSION_INVALID: { stage: 'verify', action: 'refuse' },
  CHECKPOINT_INVALID: { stage: 'verify', action: 'refuse' },
  STATEMENT_INVALID: { stage: 'verify', action: 'refuse' },
  INCLUSION_INVALID: { stage: 'verify', action: 'refuse' },
  INCLUSION_MISSING: { stage: 'verify', action: 'refuse' },
  SESSION_FORKED: { stage: 'verify', action: 'refuse' },
  CHALLENGE_INVALID: { stage: 'verify', action: 'refuse' },
  KEY_NOT_COMMITTED: { stage: 'verify', action: 'retry', status: 503 },
  DOCUMENT_FROM_FUTURE: { stage: 'verify', action: 'refuse' },

  // Evidence and receipts: meaning against what the caller knows and its policy.
  NONCE_MISMATCH: { stage: 'appraise', action: 'refuse' },
  REQUEST_MISMATCH: { stage: 'appraise', action: 'refuse' },
  RESPONSE_MISMATCH: { stage: 'appraise', action: 'refuse' },
  MODEL_MISMATCH: { stage: 'appraise', action: 'refuse' },
  OPERATION_MISMATCH: { stage: 'appraise', action: 'refuse' },
  OUTCOME_NOT_OK: { stage: 'appraise', action: 'refuse' },
  PLATFORM_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  PRODUCT_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  MEASUREMENT_UNKNOWN: { stage: 'appraise', action: 'refuse' },
  HOST_DATA_MISMATCH: { stage: 'appraise', action: 'refuse' },
  VMPL_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  ID_KEY_MISMATCH: { stage: 'appraise', action: 'refuse' },
  AUTHOR_KEY_MISMATCH: { stage: 'appraise', action: 'refuse' },
  TCB_BELOW_MINIMUM: { stage: 'appraise', action: 'refuse' },
  TCB_PROVISIONAL: { stage: 'appraise', action: 'refuse' },
  TCB_INCONSISTENT: { stage: 'appraise', action: 'refuse' },
  DEBUG_ENABLED: { stage: 'appraise', action: 'refuse' },
  MIGRATION_ENABLED: { stage: 'appraise', action: 'refuse' },
  SMT_ENABLED: { stage: 'appraise', action: 'refuse' },
  GUEST_POLICY_WEAK: { stage: 'appraise', action: 'refuse' },
  ALIAS_CHECK_MISSING: { stage: 'appraise', action: 'refuse' },
  CHIP_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  CHIP_ID_MASKED: { stage: 'appraise', action: 'refuse' },
  CRL_REQUIRED: { stage: 'appraise', action: 'retry' },
  MODEL_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  STRENGTH_INSUFFICIENT: { stage: 'appraise', action: 'retry' },
  FRESHNESS_REQUIRED: { stage: 'appraise', action: 'refuse' },
  TIME_NOT_PROVEN: { stage: 'appraise', action: 'refuse' },
  SIGNING_KEY_NOT_ALLOWED: { stage: 'appraise', action: 'refuse' },
  PLATFORM_INFO_UNKNOWN: { stage: 'appraise', action: 'refuse' },
  MEASUREMENT_DENIED: { stage: 'appraise', action: 'refuse' },
  DOCUMENT_TOO_OLD: { stage: 'appraise', action: 'refuse' },
  MODEL_SET_UNKNOWN: { stage: 'appraise', action: 'refuse' },
  MODEL_NOT_MEASURED: { stage: 'appraise', action: 'refuse' },

  // Inference requests.
  REQUEST_TOO_LARGE: { stage: 'request', action: 'refuse', status: 413 },
  REQUEST_TRUNCATED: { stage: 'request', action: 'retry', status: 400 },
  REQUEST_ENCODING_UNSUPPORTED: { stage: 'request', action: 'refuse', status: 415 },
  REQUEST_NOT_FOUND: { stage: 'request', action: 'refuse', status: 404 },
  REQUEST_METHOD_NOT_ALLOWED: { stage: 'request', action: 'refuse', status: 405 },
  REQUEST_HEADER_INVALID: { stage: 'request', action: 'refuse', status: 400 },
  REQUEST_FIELD_INVALID: { stage: 'request', action: 'refuse', status: 400 },
  REQUEST_PARAMETER_UNSUPPORTED: { stage: 'request', action: 'refuse', status: 400 },
  PLAINTEXT_NOT_ALLOWED: { stage: 'request', action: 'refuse', status: 403 },
  NONCE_INVALID: { stage: 'request', action: 'refuse', status: 400 },
  JSON_MALFORMED: { stage: 'request', action: 'refuse', status: 400 },
  JSON_NUMBER_NOT_FINITE: { stage: 'request', action: 'refuse', status: 400 },
  BINARY_TRUNCATED: { stage: 'request', action: 'refuse', status: 400 },
  BINARY_SIZE_MISMATCH: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_NAME_UNKNOWN: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_NAME_DUPLICATE: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_MISSING: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_DATATYPE_UNKNOWN: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_DATATYPE_MISMATCH: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_DATATYPE_BINARY_ONLY: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_SHAPE_MISMATCH: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_ELEMENT_COUNT_MISMATCH: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_VALUE_INVALID: { stage: 'request', action: 'refuse', status: 400 },
  TENSOR_VALUE_OUT_OF_RANGE: { stage: 'request', action: 'refuse', status: 400 },
  INPUT_MEMORY_EXCEEDED: { stage: 'request', action: 'refuse', status: 413 },
  OUTPUT_NOT_FINITE: { stage: 'request', action: 'refuse', status: 422 },
  OUTPUT_NOT_TEXT: { stage: 'request', action: 'refuse', status: 422 },
  OUTPUT_DATATYPE_UNSUPPORTED: { stage: 'request', action: 'refuse', status: 422 },
  REQUEST_MEDIA_TYPE_UNSUPPORTED: { stage: 'request', action: 'refuse', status: 415 },

  // Sealed requests and answers.
  SEALED_REQUEST_MALFORMED: { stage: 'seal', action: 'refuse', status: 400 },
  SEALED_REQUEST_TRUNCATED: { stage: 'seal', action: 'retry', status: 400 },
  SEALED_REQUEST_UNREADABLE: { stage: 'seal', action: 'retry', status: 400 },
  SEALED_REQUEST_REPLAYED: { stage: 'seal', action: 'refuse', status: 409 },
  SEALING_KEY_UNKNOWN: { stage: 'seal', action: 'retry', status: 400 },
  SEALING_KEY_MISSING: { stage: 'seal', action: 'retry' },
  SEALED_ANSWER_CLEAR: { stage: 'seal', action: 'refuse' },
  SEALED_ANSWER_INVALID: { stage: 'seal', action: 'refuse' },
  SEALED_ANSWER_TRUNCATED: { stage: 'seal', action: 'retry' },

  // Models.
  MODEL_UNKNOWN: { stage: 'model', action: 'refuse', status: 404 },
  MODEL_VERSION_UNKNOWN: { stage: 'model', action: 'refuse', status: 404 },
  MODEL_NOT_READY: { stage: 'model', action: 'retry', status: 503 },
  MODEL_REPOSITORY_INVALID: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_FILE_MISSING: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_FILE_INVALID: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_FILE_TOO_LARGE: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_EXTERNAL_DATA_MISSING: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_CONFIG_INVALID: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_TYPE_UNSUPPORTED: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_RUN_FAILED: { stage: 'model', action: 'refuse', status: 500 },
  MODEL_SEAL_INVALID: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_KEY_UNAVAILABLE: { stage: 'model', action: 'retry', status: 503 },
  MODEL_KEY_REFUSED: { stage: 'model', action: 'refuse', status: 503 },
  MODEL_KEY_WRONG: { stage: 'model', action: 'refuse', status: 503 },

  // The service itself.
  QUEUE_FULL: { stage: 'relay', action: 'retry', status: 503 },
  DEADLINE_EXCEEDED: { stage: 'relay', action: 'retry', status: 504 },
  REQUEST_CANCELLED: { stage: 'relay', action: 'retry', status: 499 },
  LOG_BACKLOG_FULL: { stage: 'relay', action: 'retry', status: 503 },
  CHALLENGES_FULL: { stage: 'relay', action: 'retry', status: 503 },
  ENCLAVE_UNREACHABLE: { stage: 'relay', action: 'retry', status: 503 },
  ENCLAVE_STOPPING: { stage: 'relay', action: 'retry', status: 503 },
  ENCLAVE_CHANGED: { stage: 'relay', action: 'retry', status: 503 },
  EVIDENCE_NOT_READY: { stage: 'relay', action: 'retry', status: 503 },
  LOG_FORKED: { stage: 'relay', action: 'refuse', status: 500 },
  RECEIPT_NEVER_COMMITTED: { stage: 'relay', action: 'refuse' },
  RECEIPT_PENDING: { stage: 'relay', action: 'retry' },
  RECEIPT_UNKNOWN: { stage: 'relay', action: 'refuse', status: 404 },
  BOOT_UNKNOWN: { stage: 'relay', action: 'refuse', status: 404 },
  TILE_UNKNOWN: { stage: 'relay', action: 'refuse', status: 404 },
  STORE_FULL: { stage: 'relay', action: 'retry', status: 503 },
  STORE_FAILED: { stage: 'relay', action: 'retry', status: 503 },
  STORE_NEWER: { stage: 'relay', action: 'upgrade' },
  SERVICE_UNREACHABLE: { stage: 'relay', action: 'retry' },
  SERVICE_REFUSED: { stage: 'relay', action: 'refuse' },
  SERVICE_ANSWER_INVALID: { stage: 'relay', action: 'refuse' },
  DATA_FOLDER_IN_USE: { stage: 'relay', action: 'refuse' },
  DATA_FOLDER_UNUSABLE: { stage: 'relay', action: 'refuse' },
  PORT_IN_USE: { stage: 'relay', action: 'refuse' },
  LISTEN_FAILED: { stage: 'relay', action: 'refuse' },
  PLATFORM_UNAVAILABLE: { stage: 'platform', action: 'refuse' },
  PLATFORM_BUSY: { stage: 'platform', action: 'retry' },
  PLATFORM_TIMEOUT: { stage: 'platform', action: 'retry' },
  PLATFORM_FAILED: { stage: 'platform', action: 'retry' },
  PLATFORM_MEASUREMENT_DIFFERS: { stage: 'platform', action: 'refuse' },
  PLATFORM_MODELS_DIFFER: { stage: 'platform', action: 'refuse' },
  INTERNAL: { stage: 'relay', action: 'retry', status: 500 },
  AUDITOR_ONLY: { stage: 'relay', action: 'refuse', status: 403 },
  ARCHIVE_WRITE_ONCE: { stage: 'relay', action: 'refuse' },
  ARCHIVE_HELD: { stage: 'relay', action: 'refuse' },
  ARCHIVE_INVALID: { stage: 'relay', action: 'refuse' },

  // Key broker.
  BROKER_REQUEST_INVALID: { stage: 'broker', action: 'refuse', status: 400 },
  BROKER_SESSION_UNKNOWN: { stage: 'broker', action: 'retry', status: 401 },
  BROKER_EVIDENCE_REFUSED: { stage: 'broker', action: 'refuse', status: 401 },
  BROKER_RESOURCE_REFUSED: { stage: 'broker', action: 'refuse', status: 403 },
  BROKER_RESOURCE_UNKNOWN: { stage: 'broker', action: 'refuse', status: 404 },
  BROKER_UNREACHABLE: { stage: 'broker', action: 'retry' },
  BROKER_ANSWER_INVALID: { stage: 'broker', action: 'refuse' },

  // Command line.
  USAGE: { stage: 'usage', action: 'refuse' },
  FILE_UNREADABLE: { stage: 'usage', action: 'refuse' },
  FILE_UNWRITABLE: { stage: 'usage', action: 'refuse' },
  POLICY_INVALID: { stage: 'usage', action: 'refuse' },
  TRUST_ANCHOR_INVALID: { stage: 'usage', action: 'refuse' },
  REFERENCE_VALUES_INVALID: { stage: 'usage', action: 'refuse' },
} as const satisfies Record<string, CodeFacts>;

export interface CodeFacts {
  readonly stage:
    | 'parse'
    | 'verify'
    | 'appraise'
    | 'request'
    | 'seal'
    | 'model'
    | 'relay'
    | 'broker'
    | 'platform'
    | 'usage';
  readonly action: 'refuse' | 'upgrade' | 'retry';
  readonly status?: number;
}

export type Code = keyof typeof CODES;

/** An error with a stable code. `field` names the offending part of the input, never its content. */
export class CodedError extends Error {
  override readonly name: string = 'CodedError';
  readonly code: Code;
  readonly field: string | undefined;
  constructor(code: Code, message: string, options: ErrorOptions & { field?: string } = {}) {
    super(message, options);
    this.code = code;
    this.field = options.field;
  }
}

/** Evidence, endorsements or a receipt that is malformed, forged or unreadable. */
export class EvidenceError extends CodedError {
  override readonly name = 'EvidenceError';
}

/** A request, model or service failure that answers a caller. */
export class ServiceError extends CodedError {
  override readonly name = 'ServiceError';
}

export const isCode = (text: string): text is Code => Object.hasOwn(CODES, text);

/** HTTP status for a code; 500 for one that is not meant to answer a request. */
export function httpStatus(code: Code): number {
  const facts: CodeFacts = CODES[code];
  return facts.status ?? 500;
}
