/** Step 9 of the list in docs/formats.md: what the caller itself knows. Not given is said aloud; given and absent fails. */
import {
  type Bytes,
  bytes,
  type Code,
  equalBytes,
  hex,
  MAX_NONCE_BYTES,
  MIN_NONCE_BYTES,
  type Statement,
  saltedDigest,
  sha256,
} from '@veritee/protocol';
import type { MeasurementType } from '../air/receipt.ts';
import type { CheckLog, CheckRow } from '../checks.ts';
import { A_FILE, type Kind } from '../kind.ts';
import type { Verified } from '../receipt/verify.ts';

/** A body exactly as it crossed the wire, with the salt that came with the answer. */
export interface ExpectedBody {
  readonly body: Uint8Array;
  /** Exactly 32 bytes; left out for an AIR receipt, whose hashes have none. */
  readonly salt?: Uint8Array;
  /** Bytes of the JSON part when binary tensors follow it, null when all is JSON. */
  readonly jsonLength?: number | null;
}

/** What the caller knows of the work. Leave out what you do not know; the result lists it as not checked. */
export interface Expected {
  /** 8 to 64 bytes. For a raw report: REPORT_DATA itself, zeros after it; for a raw Nitro document: its nonce. */
  readonly nonce?: Uint8Array;
  readonly request?: ExpectedBody;
  readonly response?: ExpectedBody;
  /** Name and version are labels; the digest says which model it is. */
  readonly model?: { readonly name: string; readonly version?: string; readonly digest?: Uint8Array };
  readonly operation?: Statement['operation'];
  readonly mediaTypes?: { readonly request?: string | null; readonly response?: string };
  /** `ok` when only a model's answer will do; a code when that refusal was seen. */
  readonly outcome?: 'ok' | Code;
  /** The raw Ed25519 key that an AIR receipt is signed with: it carries none, so the caller has to know it. */
  readonly airKey?: Uint8Array;
  /** What a caller may ask of an AIR receipt alone. Both are the workload's own word. */
  readonly air?: { readonly measurementType?: MeasurementType; readonly maxAgeSeconds?: number };
}

interface Commitment {
  readonly digest: Bytes<32>;
  readonly bodyLength: number;
  readonly jsonLength: number | null | undefined;
}

/** `Expected` with its bodies hashed, so that appraisal needs no cryptography. */
export interface Expectations extends Omit<Expected, 'request' | 'response'> {
  readonly request?: Commitment;
  readonly response?: Commitment;
}

/** @throws TypeError a nonce, key, salt, digest or length that cannot be right */
export async function prepareExpected(expected: Expected, kind: Kind | null): Promise<Expectations> {
  const { nonce, request, response, model, ...rest } = expected;
  if (rest.airKey && rest.airKey.length !== 32) throw new TypeError('expected.airKey: want 32 bytes');
  const commit = kind === 'air-receipt' ? plainHash : saltedCommitment;
  if (nonce && (nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES)) {
    throw new TypeError(`expected.nonce: want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`);
  }
  if (model?.digest && model.digest.length !== 32) throw new TypeError('expected.model.digest: want 32 bytes');
  return {
    ...rest,
    ...(nonce && { nonce }),
    ...(model && { model }),
    ...(request && { request: await commit(request, 'expected.request') }),
    ...(response && { response: await commit(response, 'expected.response') }),
  };
}

function plainHash({ body, salt, jsonLength }: ExpectedBody, field: string): Commitment {
  if (salt) throw new TypeError(`${field}.salt: an AIR receipt has none`);
  return { digest: sha256(body), bodyLength: body.length, jsonLength };
}

async function saltedCommitment({ body, salt, jsonLength }: ExpectedBody, field: string): Promise<Commitment> {
  if (salt?.length !== 32) throw new TypeError(`${field}.salt: want 32 bytes`);
  const digest = await saltedDigest(bytes(salt, 32, field), body);
  return { digest, bodyLength: body.length, jsonLength };
}

const RECEIPT = ['receipt'] as const;
const ANY_RECEIPT = ['receipt', 'air-receipt'] as const;
const STATEMENT = 'docs/formats.md, statement';

export const EXPECTED_ROWS: readonly CheckRow[] = [
  { id: 'expected.nonce', claim: 'eat_nonce', source: 'RFC 9711 §4.1; docs/formats.md' },
  { id: 'expected.request', claim: 'request digest', source: STATEMENT, kinds: ANY_RECEIPT },
  { id: 'expected.request-json-length', claim: 'request JSON length', source: STATEMENT, kinds: RECEIPT },
  { id: 'expected.request-media-type', claim: 'request media type', source: STATEMENT, kinds: RECEIPT },
  { id: 'expected.response', claim: 'response digest', source: STATEMENT, kinds: ANY_RECEIPT },
  { id: 'expected.response-json-length', claim: 'response JSON length', source: STATEMENT, kinds: RECEIPT },
  { id: 'expected.response-media-type', claim: 'response media type', source: STATEMENT, kinds: RECEIPT },
  { id: 'expected.model', claim: 'model name, version and digest', source: STATEMENT, kinds: ANY_RECEIPT },
  { id: 'expected.operation', claim: 'operation', source: STATEMENT, kinds: RECEIPT },
  { id: 'expected.outcome', claim: 'outcome', source: STATEMENT, kinds: RECEIPT },
];

/** One thing the caller may know, compared with the statement. */
interface Comparison {
  readonly id: string;
  readonly code: Code;
  /** Undefined when the caller did not give it. */
  readonly want: string | undefined;
  readonly holds: (statement: Statement) => boolean;
  readonly actual: (statement: Statement) => string;
  /** Said when it was not given. */
  readonly absent?: string;
}

const quoted = (value: string | number | null): string => JSON.stringify(value);
const wanted = (value: string | number | null | undefined): string | undefined =>
  value === undefined ? undefined : quoted(value);

const SIDES = {
  request: {
    code: 'REQUEST_MISMATCH',
    digest: (statement: Statement) => statement.requestDigest,
    jsonLength: (statement: Statement) => statement.requestJsonLength,
    mediaType: (statement: Statement) => statement.requestMediaType,
  },
  response: {
    code: 'RESPONSE_MISMATCH',
    digest: (statement: Statement) => statement.responseDigest,
    jsonLength: (statement: Statement) => statement.responseJsonLength,
    mediaType: (statement: Statement) => statement.responseMediaType,
  },
} as const;

function bodyComparisons(side: keyof typeof SIDES, expected: Expectations): readonly Comparison[] {
  const { code, digest, jsonLength, mediaType } = SIDES[side];
  const body = expected[side];
  const type = expected.mediaTypes?.[side];
  return [
    {
      id: `expected.${side}`,
      code,
      want: body && hex(body.digest),
      holds: (statement) =>
        body !== undefined &&
        equalBytes(body.digest, digest(statement)) &&
        (jsonLength(statement) ?? 0) <= body.bodyLength,
      actual: (statement) => hex(digest(statement)),
      absent: `without the ${side} and its salt: whether this ${side} is the one you hold`,
    },
    {
      id: `expected.${side}-json-length`,
      code,
      want: wanted(body?.jsonLength),
      holds: (statement) => body?.jsonLength === jsonLength(statement),
      actual: (statement) => quoted(jsonLength(statement)),
    },
    {
      id: `expected.${side}-media-type`,
      code,
      want: wanted(type),
      holds: (statement) => type === mediaType(statement),
      actual: (statement) => quoted(mediaType(statement)),
    },
  ];
}

export const modelText = (name: string, version?: string, digest?: Uint8Array): string =>
  `${quoted(name)}, version ${version === undefined ? 'any' : quoted(version)}, digest ${digest ? hex(digest) : 'any'}`;

const comparisons = (expected: Expectations): readonly Comparison[] => [
  ...bodyComparisons('request', expected),
  ...bodyComparisons('response', expected),
  {
    id: 'expected.model',
    code: 'MODEL_MISMATCH',
    want: expected.model && modelText(expected.model.name, expected.model.version, expected.model.digest),
    holds: ({ model: actual }) => {
      const want = expected.model;
      return (
        want !== undefined &&
        actual !== null &&
        want.name === actual.name &&
        (want.version === undefined || want.version === actual.version) &&
        (want.digest === undefined || equalBytes(want.digest, actual.digest))
      );
    },
    actual: ({ model }) => (model ? modelText(model.name, model.version, model.digest) : 'no model'),
    absent: 'without the model asked for: whether this model is the one you meant',
  },
  {
    id: 'expected.operation',
    code: 'OPERATION_MISMATCH',
    want: wanted(expected.operation),
    holds: ({ operation }) => expected.operation === operation,
    actual: ({ operation }) => quoted(operation),
  },
  {
    id: 'expected.outcome',
    code: 'OUTCOME_NOT_OK',
    want: wanted(expected.outcome),
    holds: ({ outcome }) => expected.outcome === outcome,
    actual: ({ outcome }) => quoted(outcome),
  },
];

/** @returns whether the caller's own nonce was found */
export function checkExpected(verified: Verified, expected: Expectations, log: CheckLog): { readonly nonce: boolean } {
  const nonce = checkNonce(verified.kind, nonceOf(verified), expected.nonce, log);
  refuseAirExpectations(verified.kind, expected, log);
  if (verified.kind !== 'receipt') {
    refuseUnanswered(verified.kind, expected, [], log);
    return { nonce };
  }
  const { statement } = verified;
  for (const { id, code, want, holds, actual, absent } of comparisons(expected)) {
    if (want === undefined) log.skip(id, 'not given', absent);
    else if (holds(statement)) log.pass(id, actual(statement), want);
    else log.fail(id, code, want, actual(statement));
  }
  if (statement.outcome !== 'ok') {
    log.note(`no model's answer: the statement records that the request was refused (${statement.outcome})`);
  }
  return { nonce };
}

/** What is asked and this kind of file cannot say fails: a caller who asks is never answered by silence. */
export function refuseUnanswered(kind: Kind, expected: Expectations, answered: readonly string[], log: CheckLog): void {
  for (const { id, code, want } of comparisons(expected)) {
    if (want === undefined || answered.includes(id)) continue;
    log.fail(id, code, want, `${A_FILE[kind]}, which says nothing of it`);
  }
}

function refuseAirExpectations(kind: Kind, { air }: Expectations, log: CheckLog): void {
  const actual = `${A_FILE[kind]}, which is no AIR receipt`;
  if (air?.measurementType) log.fail('air.measurement-type', 'PLATFORM_NOT_ALLOWED', air.measurementType, actual);
  if (air?.maxAgeSeconds !== undefined) {
    log.fail('air.age', 'FRESHNESS_REQUIRED', `at most ${air.maxAgeSeconds} seconds`, actual);
  }
}

/** @returns whether the caller gave a nonce and the file bears it */
export function checkNonce(
  kind: Kind,
  found: Uint8Array | null,
  nonce: Uint8Array | undefined,
  log: CheckLog,
): boolean {
  const id = 'expected.nonce';
  if (nonce === undefined) {
    log.skip(id, 'not given', 'without a nonce: this answer may be an old one');
    return false;
  }
  if (found && equalBytes(kind === 'snp-report' ? padded(nonce) : nonce, found)) {
    log.pass(id, hex(nonce), hex(nonce));
    return true;
  }
  log.fail(id, 'NONCE_MISMATCH', hex(nonce), found ? hex(found) : `${A_FILE[kind]} without a nonce`);
  return false;
}

/** An evidence file answers every caller of its tick and names none; an HCL report was asked for by the paravisor. */
function nonceOf(verified: Verified): Uint8Array | null {
  switch (verified.kind) {
    case 'snp-report':
    case 'nitro-document':
      return verified.platform.name === 'nitro'
        ? verified.platform.nitro.document.nonce
        : verified.platform.snp.report.reportData;
    case 'snp-hcl':
    case 'evidence':
      return null;
    case 'attestation':
      return verified.challenge?.nonce ?? null;
    case 'receipt':
      return verified.statement.nonce;
  }
}

/** How guests put a short nonce into REPORT_DATA's 64 bytes. */
function padded(nonce: Uint8Array): Uint8Array {
  const data = new Uint8Array(MAX_NONCE_BYTES);
  data.set(nonce);
  return data;
}
