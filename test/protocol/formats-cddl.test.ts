import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cbor, type CborKey, type CborMap, decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { CLAIM } from '../../protocol/claims.ts';
import {
  encodeChallengesEntry,
  encodeEndEntry,
  encodeKeyEntry,
  encodeModelEntry,
  encodeSessionClaims,
  encodeStatement,
  parseChallengesEntry,
  parseEndEntry,
  parseKeyEntry,
  parseModelEntry,
  parseSessionClaims,
  parseStatement,
} from '../../protocol/entries.ts';
import {
  encodeAttestation,
  encodeEvidence,
  encodeReceipt,
  parseAttestation,
  parseEvidence,
  parseReceipt,
} from '../../protocol/files.ts';
import * as arb from './arbitraries.ts';
import { Cddl } from './cddl.ts';
import { unhex, verdict } from './support.ts';
import { buildVectors } from './vectors.ts';

const doc = readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8');
const cddl = new Cddl([...doc.matchAll(/```cddl\n(.*?)```/gs)].map((match) => match[1]).join('\n'));

const kind = <T>(values: fc.Arbitrary<T>, encode: (value: T) => Uint8Array, parse: (data: Uint8Array) => T) => ({
  files: values.map(encode),
  parse,
});
const KINDS = {
  'session-claims': kind(arb.sessionClaimsArb, encodeSessionClaims, parseSessionClaims),
  statement: kind(arb.statementArb, encodeStatement, parseStatement),
  model: kind(arb.modelEntryArb, encodeModelEntry, parseModelEntry),
  key: kind(arb.keyEntryArb, encodeKeyEntry, parseKeyEntry),
  challenges: kind(arb.challengesEntryArb, encodeChallengesEntry, parseChallengesEntry),
  end: kind(arb.endEntryArb, encodeEndEntry, parseEndEntry),
  evidence: kind(arb.evidenceArb, encodeEvidence, parseEvidence),
  attestation: kind(arb.attestationArb, encodeAttestation, parseAttestation),
  receipt: kind(arb.receiptArb, encodeReceipt, parseReceipt),
} as const;

/** Values near every limit the page names. */
const lengths = fc.constantFrom(
  0,
  1,
  7,
  8,
  16,
  31,
  32,
  33,
  63,
  64,
  65,
  256,
  257,
  320,
  321,
  4096,
  4097,
  16_384,
  16_385,
  65_537,
);
const anyValue: fc.Arbitrary<Cbor> = fc.oneof(
  fc.constantFrom<Cbor>(null, true, 0, 1, -1, -8, 65_536, 65_537, 2 ** 53 - 1, 1n << 53n, 'ok', 'infer', 'loaded', []),
  lengths.map((n) => new Uint8Array(n).fill(1)),
  lengths.map((n) => 'x'.repeat(n)),
  fc
    .tuple(fc.constantFrom(1, 8, 9, 53, 54, 64, 65), fc.constantFrom(0, 32, 33))
    .map(([n, length]) => Array(n).fill(new Uint8Array(length))),
  fc.constantFrom<Cbor>(new Map(), new Map([['extra', 0]]), new Map([['model.onnx', new Uint8Array(32)]])),
);

/** The maps inside a value, itself first. */
function mapsIn(value: Cbor): Map<CborKey, Cbor>[] {
  if (value instanceof Map) return [value as Map<CborKey, Cbor>, ...[...value.values()].flatMap(mapsIn)];
  return Array.isArray(value) ? value.flatMap(mapsIn) : [];
}

const spoiled = fc.record({
  map: fc.nat(),
  field: fc.nat(),
  change: fc.oneof(
    anyValue.map((value) => ({ value })),
    fc.constant('leave out' as const),
    fc.constant('add' as const),
  ),
});

test('the page has a rule for each payload and file', () => {
  expect(cddl.names).toEqual(expect.arrayContaining([...Object.keys(KINDS), 'entry']));
});

describe.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('%s', (name) => {
  const { files, parse } = KINDS[name];

  test('whatever our writer makes fits the rule of the page', () => {
    fc.assert(
      fc.property(files, (file) => {
        expect(cddl.fits(name, decodeCbor(file, name))).toBe(true);
      }),
    );
  });

  test('page and reader say the same of fields left out, added and replaced', () => {
    let [fitting, refused] = [0, 0];
    fc.assert(
      fc.property(files, spoiled, (file, { map, field, change }) => {
        const value = decodeCbor(file, name) as CborMap;
        const maps = mapsIn(value);
        const inside = maps[map % maps.length]!;
        const key = [...inside.keys()][field % Math.max(1, inside.size)];
        if (change === 'add') inside.set('another field', 0);
        else if (key === undefined) return;
        else if (change === 'leave out') inside.delete(key);
        else inside.set(key, change.value);
        const code = verdict(() => parse(encodeCbor(value)));
        if (!cddl.fits(name, value)) {
          refused += 1;
          expect(code).not.toBe('ok');
          return;
        }
        fitting += 1;
        // What CDDL cannot say: a key that is none, a boot id not derived, the second of timeMs, a code not yet known.
        if (code === 'EVIDENCE_MALFORMED') expect([CLAIM.iat, CLAIM.timeMs]).toContain(key);
        else expect(['ok', 'SESSION_INVALID', 'EVIDENCE_UNSUPPORTED']).toContain(code);
      }),
      { numRuns: 1500 },
    );
    expect(fitting).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(500);
  });
});

test('the vectors fit', async () => {
  const { entries, files } = await buildVectors();
  const RULES = { session: 'session-claims' } as Record<string, string>;
  for (const { kind, payload, message } of entries) {
    expect(cddl.fits(RULES[kind] ?? kind, decodeCbor(unhex(payload), kind))).toBe(true);
    const contents = decodeCbor(unhex(message).subarray(1), 'entry');
    expect(cddl.fits('entry', { tag: 18, contents })).toBe(true);
    expect(cddl.fits('entry', { tag: 98, contents })).toBe(false);
  }
  expect(cddl.fits('evidence', decodeCbor(unhex(files.evidenceThatDoesNotVerify), 'evidence'))).toBe(true);
  expect(cddl.fits('receipt', decodeCbor(unhex(files.receiptHardwareCommitted), 'receipt'))).toBe(true);
  expect(cddl.fits('receipt', decodeCbor(unhex(files.receiptSessionSigned), 'receipt'))).toBe(true);
  expect(cddl.fits('attestation', decodeCbor(unhex(files.attestationOfSecondNonce), 'attestation'))).toBe(true);
});
