/**
 * Azure's wrapping of a report, as a guest reads it from its vTPM (NV index 0x01400001): integers little-endian.
 *
 * ```
 * 0x000   32   header: 'HCLA', version (1 or 2), size to the end of the claims, request type 2, status 0, zeros
 * 0x020 1184   ATTESTATION_REPORT
 * 0x4c0   20   size to the end of the claims, version 1, report type (2 SNP, 4 TDX), hash type (1 SHA-256), claims' size
 * 0x4d4    n   runtime claims, JSON; then zeros to 2600
 * ```
 * The paravisor asked for the report, not the guest: REPORT_DATA is the hash of the claims, which name the vTPM's keys.
 * @see Microsoft, "Guest attestation for confidential virtual machines", attestation report format
 */
import { CodedError, EvidenceError, equalBytes, isZero, type Json, parseJson, sha256 } from '@veritee/protocol';
import type { JsonObject, JsonValue } from '../appraise/json.ts';
import { CheckFailure, type CheckLog } from '../checks.ts';
import { opensLikeHclReport } from './hcl-rows.ts';
import { SNP_REPORT_BYTES, type SnpReport } from './report.ts';

const FILE_BYTES = 2600;
const REPORT_AT = 0x20;
const DATA_AT = REPORT_AT + SNP_REPORT_BYTES;
const DATA_HEADER_BYTES = 20;
const CLAIMS_AT = DATA_AT + DATA_HEADER_BYTES;
const REQUEST_TYPE_ATTESTATION = 2;
const REPORT_TYPE_SNP = 2;
const HASH_TYPE_SHA256 = 1;
const HASH_BYTES = 32;

export interface HclReport {
  /** The 1184 bytes of the report inside. */
  readonly report: Uint8Array<ArrayBuffer>;
  /** The exact bytes that REPORT_DATA commits to. */
  readonly claimsBytes: Uint8Array<ArrayBuffer>;
  readonly claims: JsonObject;
}

/**
 * Shape only: nothing in it is trusted until the report is verified and its REPORT_DATA is the hash of the claims.
 *
 * @throws EvidenceError EVIDENCE_MALFORMED another length, size or filling, or claims that are not a JSON object;
 *   EVIDENCE_UNSUPPORTED a version, platform or hash this release does not read
 */
export function parseHclReport(file: Uint8Array): HclReport {
  const fail = (field: string, reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: ${reason}`, { field });
  };
  if (!opensLikeHclReport(file)) fail('HCL header', "want 'HCLA'");
  if (file.length !== FILE_BYTES) fail('HCL report', `got ${file.length} bytes, want ${FILE_BYTES}`);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const u32 = (at: number): number => view.getUint32(at, true);
  const want = (field: string, at: number, known: readonly number[], name: string): void => {
    if (known.includes(u32(at))) return;
    const message = `${field}: got ${u32(at)}, this release reads ${known.join(' and ')}${name}`;
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', message, { field });
  };
  want('HCL version', 0x04, [1, 2], '');
  want('request type', 0x0c, [REQUEST_TYPE_ATTESTATION], ' (attestation)');
  want('runtime data version', DATA_AT + 4, [1], '');
  want('report type', DATA_AT + 8, [REPORT_TYPE_SNP], ' (SEV-SNP)');
  want('hash type', DATA_AT + 12, [HASH_TYPE_SHA256], ' (SHA-256)');

  const size = u32(DATA_AT + 16);
  const end = CLAIMS_AT + size;
  if (end > FILE_BYTES) fail('runtime claims', `${size} bytes go beyond the file`);
  if (u32(0x08) !== end) fail('HCL size', `got ${u32(0x08)}, want ${end}`);
  if (u32(DATA_AT) !== DATA_HEADER_BYTES + size)
    fail('runtime data size', `got ${u32(DATA_AT)}, want ${DATA_HEADER_BYTES + size}`);
  if (!isZero(file.subarray(0x10, REPORT_AT))) fail('HCL header', 'status or a reserved byte is not zero');
  if (!isZero(file.subarray(end))) fail('HCL report', 'a byte behind the claims is not zero');

  const claimsBytes = new Uint8Array(file.subarray(CLAIMS_AT, end));
  return {
    report: new Uint8Array(file.subarray(REPORT_AT, DATA_AT)),
    claimsBytes,
    claims: readClaims(claimsBytes),
  };
}

function readClaims(claimsBytes: Uint8Array): JsonObject {
  const field = 'runtime claims';
  try {
    const claims = parseJson(claimsBytes, field);
    if (claims instanceof Map) return toObject(claims);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new EvidenceError('EVIDENCE_MALFORMED', cause.message, { field, cause });
  }
  throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: not a JSON object`, { field });
}

const toObject = (members: ReadonlyMap<string, Json>): JsonObject =>
  Object.fromEntries([...members].map(([name, value]) => [name, toValue(value)]));

function toValue(json: Json): JsonValue {
  if (json === null || typeof json === 'boolean' || typeof json === 'number' || typeof json === 'string') return json;
  if (typeof json === 'bigint') return String(json); // an integer that a JSON number would round
  return json instanceof Map ? toObject(json) : (json as readonly Json[]).map(toValue);
}

/**
 * The verified report commits to the claims, and to nothing else.
 * @throws EvidenceError KEY_BINDING_MISMATCH, recorded under `hcl.claims`
 */
export function verifyHclClaims({ reportData }: SnpReport, hcl: HclReport, log: CheckLog): void {
  log.step(
    'hcl.claims',
    () => {
      const bound = equalBytes(reportData.subarray(0, HASH_BYTES), sha256(hcl.claimsBytes));
      if (bound && isZero(reportData.subarray(HASH_BYTES))) return;
      const actual = bound ? 'more than that' : 'another value';
      const expected = 'SHA-256 of the runtime claims, then 32 zeros';
      throw new CheckFailure('KEY_BINDING_MISMATCH', expected, actual, { field: 'REPORT_DATA' });
    },
    () => `SHA-256 of the ${hcl.claimsBytes.length} bytes of runtime claims`,
  );
  log.establish({ claims: { runtimeClaims: hcl.claims } });
  log.note(
    'the vTPM: a nonce of yours would be in a TPM quote by the key HCLAkPub of the runtime claims, and no quote is verified here',
  );
}
