import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex, utf8 } from '../../protocol/bytes.ts';
import { type Cbor, type CborKey, type CborMap, decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { PROFILE } from '../../protocol/claims.ts';
import { MAX_ENTRY_BYTES, MAX_STATEMENT_BYTES } from '../../protocol/entries.ts';
import {
  detectFile,
  encodeAttestation,
  encodeEvidence,
  encodeReceipt,
  type FileKind,
  MAX_ATTESTATION_BYTES,
  MAX_EVIDENCE_BYTES,
  MAX_PATH,
  MAX_RECEIPT_BYTES,
  parseAttestation,
  parseEvidence,
  parseReceipt,
} from '../../protocol/files.ts';
import { attestationArb, bytesArb, evidenceArb, receiptArb } from './arbitraries.ts';
import { mutate, mutationArb, refusal, unhex, verdict } from './support.ts';

interface Kind<T> {
  readonly arb: fc.Arbitrary<T>;
  readonly encode: (value: T) => Uint8Array<ArrayBuffer>;
  readonly parse: (file: Uint8Array) => T;
}
const kind = <T>(arb: fc.Arbitrary<T>, encode: Kind<T>['encode'], parse: Kind<T>['parse']): Kind<unknown> =>
  ({ arb, encode, parse }) as Kind<unknown>;

const KINDS: Record<FileKind, Kind<unknown>> = {
  evidence: kind(evidenceArb, encodeEvidence, parseEvidence),
  attestation: kind(attestationArb, encodeAttestation, parseAttestation),
  receipt: kind(receiptArb, encodeReceipt, parseReceipt),
};
const NAMES = Object.keys(KINDS) as FileKind[];
const MOST = { evidence: MAX_EVIDENCE_BYTES, attestation: MAX_ATTESTATION_BYTES, receipt: MAX_RECEIPT_BYTES };

const hash = new Uint8Array(32);
const proven = new Map<string, Cbor>([
  ['entry', unhex('01')],
  ['path', [hash]],
]);
/** A file of each kind, field by field as in docs/formats.md. */
const FIELDS: Record<FileKind, Record<string, Cbor>> = {
  evidence: {
    profile: PROFILE.evidence,
    format: 'sev-snp-report',
    report: unhex('01'),
    chain: [unhex('02')],
    crls: [],
    sessionClaims: unhex('a0'),
    checkpoint: 'note',
    previousReportData: null,
    cosignatures: [],
  },
  attestation: {
    profile: PROFILE.attestation,
    evidence: unhex('a0'),
    keys: [proven],
    challenge: new Map<string, Cbor>([...proven, ['nonce', new Uint8Array(8)], ['nonceIndex', 0], ['noncePath', []]]),
  },
  receipt: { profile: PROFILE.receipt, statement: unhex('d2'), path: [hash], evidence: unhex('a0') },
};
const file = (name: FileKind, changes: Record<string, Cbor | undefined> = {}): Uint8Array<ArrayBuffer> =>
  encodeCbor(
    new Map(
      Object.entries({ ...FIELDS[name], ...changes }).filter((pair): pair is [string, Cbor] => pair[1] !== undefined),
    ),
  );
const reads = (name: FileKind, changes: Record<string, Cbor | undefined> = {}): string =>
  verdict(() => KINDS[name].parse(file(name, changes)));

describe.each(NAMES)('%s file', (name) => {
  const { arb, encode, parse } = KINDS[name];

  test('round trip', () => {
    fc.assert(
      fc.property(arb, (value) => {
        const raw = encode(value);
        expect(parse(raw)).toEqual(value);
        expect(hex(encode(parse(raw)))).toBe(hex(raw));
        expect(detectFile(raw)).toBe(name);
      }),
    );
  });

  test('refuses each field left out, and one more', () => {
    expect(reads(name)).toBe('ok');
    for (const field of Object.keys(FIELDS[name])) {
      expect([field, reads(name, { [field]: undefined })]).toEqual([field, 'EVIDENCE_MALFORMED']);
    }
    expect(reads(name, { extra: null })).toBe('EVIDENCE_MALFORMED');
    const numbered = new Map<CborKey, Cbor>([...(decodeCbor(file(name), name) as CborMap), [1, 0]]);
    expect(verdict(() => parse(encodeCbor(numbered)))).toBe('EVIDENCE_MALFORMED');
  });

  test('refuses each field of another type', () => {
    for (const field of Object.keys(FIELDS[name])) {
      for (const value of [true, -1, 1n << 60n, new Map(), [7]]) {
        expect([field, value, reads(name, { [field]: value })]).toEqual([field, value, 'EVIDENCE_MALFORMED']);
      }
    }
  });

  test('another profile is unsupported', () => {
    expect(reads(name, { profile: PROFILE[name].replace('/v1', '/v2') })).toBe('EVIDENCE_UNSUPPORTED');
    for (const other of NAMES)
      if (other !== name) expect(reads(name, { profile: PROFILE[other] })).toBe('EVIDENCE_UNSUPPORTED');
  });

  test('refuses every truncation and every byte added', () => {
    const raw = file(name);
    for (let n = 0; n < raw.length; n++) expect(verdict(() => parse(raw.subarray(0, n)))).toBe('EVIDENCE_MALFORMED');
    expect(verdict(() => parse(concat(raw, unhex('00'))))).toBe('EVIDENCE_MALFORMED');
  });

  test('refuses a file above its limit before reading it', () => {
    expect(verdict(() => parse(new Uint8Array(MOST[name] + 1)))).toBe('EVIDENCE_TOO_LARGE');
    expect(verdict(() => parse(new Uint8Array(MOST[name])))).toBe('EVIDENCE_MALFORMED');
  });

  test('damaged: a code, or a value that is written back the same', () => {
    fc.assert(
      fc.property(arb, fc.array(mutationArb, { minLength: 1, maxLength: 3 }), (value, changes) => {
        let raw = encode(value);
        for (const change of changes) raw = raw.length > 0 ? mutate(raw, change) : raw;
        if (verdict(() => parse(raw)) === 'ok') expect(hex(encode(parse(raw)))).toBe(hex(raw));
      }),
      { numRuns: 1000 },
    );
  });

  test('whatever canonical map it is given: a code, or a value that is written back the same', () => {
    const anyValue = fc.oneof(
      fc.nat(),
      fc.string({ maxLength: 5 }),
      bytesArb(64),
      bytesArb(32),
      fc.constantFrom<Cbor>(null, true, [], new Map(), [hash], ['line'], [proven]),
    );
    const field = fc.constantFrom(...Object.keys(FIELDS[name]), 'evidenceReportData');
    fc.assert(
      fc.property(fc.array(fc.tuple(field, anyValue), { maxLength: 3 }), (changes) => {
        const raw = file(name, Object.fromEntries(changes));
        if (verdict(() => parse(raw)) === 'ok') expect(hex(encode(parse(raw)))).toBe(hex(raw));
      }),
      { numRuns: 500 },
    );
  });

  test('random bytes give a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (data) => {
        expect(verdict(() => parse(data))).toBe('EVIDENCE_MALFORMED');
        expect(detectFile(data)).toBeNull();
      }),
      { numRuns: 1000 },
    );
  });

  test('an error repeats nothing of the file', () => {
    const secret = 'a-secret that must not be logged';
    for (const field of Object.keys(FIELDS[name])) {
      const error = refusal(() =>
        parse(file(name, { [field]: { profile: secret, format: secret }[field] ?? [secret] })),
      );
      expect(error.message).not.toContain(secret);
      expect(error.field).toMatch(new RegExp(`^${name}(\\.|$)`));
    }
    expect(refusal(() => parse(file(name, { [secret]: null }))).message).not.toContain(secret);
  });
});

describe('evidence', () => {
  test('limits', () => {
    expect(reads('evidence', { report: new Uint8Array(0) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { report: new Uint8Array(65_536) })).toBe('ok');
    expect(reads('evidence', { report: new Uint8Array(65_537) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { chain: Array(8).fill(unhex('00')) })).toBe('ok');
    expect(reads('evidence', { chain: Array(9).fill(unhex('00')) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { chain: [new Uint8Array(16_384)] })).toBe('ok');
    expect(reads('evidence', { chain: [new Uint8Array(16_385)] })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { crls: [new Uint8Array(1 << 20)] })).toBe('ok');
    expect(reads('evidence', { crls: [new Uint8Array((1 << 20) + 1)] })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { crls: Array(9).fill(unhex('00')) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { sessionClaims: new Uint8Array(0) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { sessionClaims: new Uint8Array(MAX_ENTRY_BYTES + 1) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('evidence', { checkpoint: 'x'.repeat(320) })).toBe('ok');
    expect(reads('evidence', { checkpoint: 'x'.repeat(321) })).toBe('EVIDENCE_MALFORMED');
    for (const n of [0, 63, 65]) {
      expect(reads('evidence', { previousReportData: new Uint8Array(n) })).toBe('EVIDENCE_MALFORMED');
    }
    expect(reads('evidence', { previousReportData: new Uint8Array(64).fill(1) })).toBe('ok');
    expect(reads('evidence', { previousReportData: new Uint8Array(64) })).toBe('EVIDENCE_MALFORMED'); // null, spelt again
  });

  test('a platform we do not know is unsupported', () => {
    expect(reads('evidence', { format: 'nitro-attestation-document' })).toBe('ok');
    expect(reads('evidence', { format: 'tdx-quote' })).toBe('EVIDENCE_UNSUPPORTED');
  });

  test('witness lines are refused until they are verified', () => {
    expect(reads('evidence', { cosignatures: ['— witness.example AAAA'] })).toBe('EVIDENCE_UNSUPPORTED');
    expect(reads('evidence', { cosignatures: [unhex('00')] })).toBe('EVIDENCE_MALFORMED');
  });
});

describe('attestation', () => {
  const challenge = (changes: Record<string, Cbor>) => {
    const fields = new Map<string, Cbor>(FIELDS.attestation['challenge'] as ReadonlyMap<string, Cbor>);
    for (const [name, value] of Object.entries(changes)) fields.set(name, value);
    return reads('attestation', { challenge: fields });
  };

  test('without a nonce there is no challenge, and there may be no keys', () => {
    expect(reads('attestation', { challenge: null, keys: [] })).toBe('ok');
  });

  test('limits', () => {
    expect(reads('attestation', { keys: Array(64).fill(proven) })).toBe('ok');
    expect(reads('attestation', { keys: Array(65).fill(proven) })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({})).toBe('ok');
    expect(challenge({ extra: null })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ nonce: new Uint8Array(7) })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ nonce: new Uint8Array(64) })).toBe('ok');
    expect(challenge({ nonce: new Uint8Array(65) })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ nonceIndex: -1 })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ noncePath: Array(MAX_PATH).fill(hash) })).toBe('ok');
    expect(challenge({ noncePath: Array(MAX_PATH + 1).fill(hash) })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ noncePath: [unhex('00')] })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ entry: new Uint8Array(0) })).toBe('EVIDENCE_MALFORMED');
    expect(challenge({ entry: new Uint8Array(MAX_ENTRY_BYTES + 1) })).toBe('EVIDENCE_MALFORMED');
  });

  test('a key is an entry and its path, nothing else', () => {
    expect(reads('attestation', { keys: [new Map([...proven, ['index', 1]])] })).toBe('EVIDENCE_MALFORMED');
    expect(reads('attestation', { keys: [new Map([['entry', unhex('01')]])] })).toBe('EVIDENCE_MALFORMED');
    const { field } = refusal(() =>
      parseAttestation(file('attestation', { keys: [proven, new Map([...proven, ['path', [unhex('00')]]])] })),
    );
    expect(field).toBe('attestation.keys[1].path[0]');
  });
});

describe('receipt', () => {
  test('carries its evidence or names it, never both and never neither', () => {
    const evidenceReportData = new Uint8Array(64);
    expect(reads('receipt', { evidence: undefined, evidenceReportData })).toBe('ok');
    expect(reads('receipt', { evidenceReportData })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { evidence: undefined })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { evidence: null })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { evidence: undefined, evidenceReportData: hash })).toBe('EVIDENCE_MALFORMED');
  });

  test('an empty path (a tree of one entry) is not the same as none', () => {
    expect(parseReceipt(file('receipt', { path: [] })).path).toEqual([]);
    expect(parseReceipt(file('receipt', { path: null })).path).toBeNull();
  });

  test('limits', () => {
    expect(reads('receipt', { path: Array(MAX_PATH).fill(hash) })).toBe('ok');
    expect(reads('receipt', { path: Array(MAX_PATH + 1).fill(hash) })).toBe('EVIDENCE_MALFORMED');
    for (const n of [0, 31, 33]) expect(reads('receipt', { path: [new Uint8Array(n)] })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { statement: new Uint8Array(MAX_STATEMENT_BYTES) })).toBe('ok');
    expect(reads('receipt', { statement: new Uint8Array(MAX_STATEMENT_BYTES + 1) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { statement: new Uint8Array(0) })).toBe('EVIDENCE_MALFORMED');
    expect(reads('receipt', { evidence: new Uint8Array(MAX_EVIDENCE_BYTES) })).toBe('ok');
    expect(reads('receipt', { evidence: new Uint8Array(MAX_EVIDENCE_BYTES + 1) })).toBe('EVIDENCE_MALFORMED');
  });

  test('the largest receipt fits the limit of receipts', () => {
    const largest = {
      statement: new Uint8Array(MAX_STATEMENT_BYTES),
      path: Array(MAX_PATH).fill(hash),
      evidence: new Uint8Array(MAX_EVIDENCE_BYTES),
    };
    expect(file('receipt', largest).length).toBeLessThanOrEqual(MAX_RECEIPT_BYTES);
    expect(reads('receipt', largest)).toBe('ok');
  });
});

describe('detectFile', () => {
  test('knows evidence whose profile stands behind large CRLs', () => {
    const crls = [new Uint8Array(1 << 20), new Uint8Array(1 << 20)];
    expect(detectFile(file('evidence', { crls }))).toBe('evidence');
  });

  test('takes a receipt for a receipt although evidence lies inside', () => {
    expect(detectFile(file('receipt', { evidence: file('evidence') }))).toBe('receipt');
    expect(detectFile(file('attestation', { evidence: file('evidence') }))).toBe('attestation');
  });

  test('knows nothing else', () => {
    for (const other of [
      new Uint8Array(0),
      new Uint8Array(1184),
      utf8('{"profile": "tag:veritee.dev,2026:receipt/v1"}'),
      utf8(PROFILE.receipt),
      encodeCbor(PROFILE.receipt),
      encodeCbor(new Map([['profile', PROFILE.session]])),
      encodeCbor([new Map([['profile', PROFILE.receipt]])]),
    ]) {
      expect(detectFile(other)).toBeNull();
    }
  });
});
