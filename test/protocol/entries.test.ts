import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex, utf8 } from '../../protocol/bytes.ts';
import { type Cbor, type CborKey, type CborMap, decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { CLAIM, CONTENT_TYPE, type EntryKind, PROFILE } from '../../protocol/claims.ts';
import { encodeSign1, verifySign1 } from '../../protocol/cose.ts';
import {
  encodeChallengesEntry,
  encodeEndEntry,
  encodeKeyEntry,
  encodeModelEntry,
  encodeSessionClaims,
  encodeStatement,
  MAX_CHALLENGES,
  MAX_ENTRY_BYTES,
  MAX_STATEMENT_BYTES,
  parseChallengesEntry,
  parseEndEntry,
  parseEntry,
  parseKeyEntry,
  parseModelEntry,
  parseSessionClaims,
  parseStatement,
} from '../../protocol/entries.ts';
import {
  bytesArb,
  challengesEntryArb,
  endEntryArb,
  keyEntryArb,
  modelEntryArb,
  sessionClaimsArb,
  statementArb,
} from './arbitraries.ts';
import { mutate, mutationArb, refusal, signerOf, testSigner, unhex, verdict } from './support.ts';

interface Kind<T> {
  readonly arb: fc.Arbitrary<T>;
  readonly encode: (value: T) => Uint8Array<ArrayBuffer>;
  readonly parse: (payload: Uint8Array) => T;
}
const kind = <T>(arb: fc.Arbitrary<T>, encode: Kind<T>['encode'], parse: Kind<T>['parse']): Kind<unknown> =>
  ({ arb, encode, parse }) as Kind<unknown>;

const KINDS: Record<EntryKind, Kind<unknown>> = {
  session: kind(sessionClaimsArb, encodeSessionClaims, parseSessionClaims),
  statement: kind(statementArb, encodeStatement, parseStatement),
  key: kind(keyEntryArb, encodeKeyEntry, parseKeyEntry),
  model: kind(modelEntryArb, encodeModelEntry, parseModelEntry),
  challenges: kind(challengesEntryArb, encodeChallengesEntry, parseChallengesEntry),
  end: kind(endEntryArb, encodeEndEntry, parseEndEntry),
};
const NAMES = Object.keys(KINDS) as EntryKind[];

/** One payload of each kind, the same in every run. */
const SAMPLES = new Map(
  NAMES.map((name) => [name, KINDS[name].encode(fc.sample(KINDS[name].arb, { seed: 9162, numRuns: 5 })[4])]),
);
const sample = (name: EntryKind): Uint8Array<ArrayBuffer> => SAMPLES.get(name)!;
const claimsOf = (payload: Uint8Array): Map<CborKey, Cbor> => new Map(decodeCbor(payload, 'payload') as CborMap);
/** What the reader says to the payload with one claim set, or left out. */
function withClaim(name: EntryKind, key: CborKey, value?: Cbor): string {
  const claims = claimsOf(sample(name));
  if (value === undefined) claims.delete(key);
  else claims.set(key, value);
  return verdict(() => KINDS[name].parse(encodeCbor(claims)));
}

describe.each(NAMES)('%s payload', (name) => {
  const { arb, encode, parse } = KINDS[name];

  test('round trip', () => {
    fc.assert(
      fc.property(arb, (value) => {
        const payload = encode(value);
        expect(parse(payload)).toEqual(value);
        expect(hex(encode(parse(payload)))).toBe(hex(payload));
      }),
    );
  });

  test('carries its profile, sequence number and time', () => {
    const claims = claimsOf(sample(name));
    expect(claims.get(CLAIM.eatProfile)).toBe(PROFILE[name]);
    expect(typeof claims.get(CLAIM.sequence)).toBe('number');
    expect(typeof claims.get(CLAIM.iat)).toBe('number');
  });

  test('refuses each claim left out', () => {
    for (const key of claimsOf(sample(name)).keys()) {
      if (key === CLAIM.eatNonce) continue; // the one optional claim
      expect([key, withClaim(name, key)]).toEqual([key, 'EVIDENCE_MALFORMED']);
    }
  });

  test('refuses each claim of another type', () => {
    for (const key of claimsOf(sample(name)).keys()) {
      for (const value of [false, [1], new Map([[1, 1]]), -1, 'no', new Uint8Array(3)]) {
        if (key === CLAIM.eatProfile && value === 'no') continue;
        if (typeof value === 'string' && typeof claimsOf(sample(name)).get(key) === 'string') continue;
        if (key === CLAIM.keyConfig && value instanceof Uint8Array) continue; // any bytes are a configuration
        if ([CLAIM.requestMediaType, CLAIM.responseMediaType].includes(key as never) && value === 'no') continue;
        expect([key, value, withClaim(name, key, value)]).toEqual([key, value, 'EVIDENCE_MALFORMED']);
      }
    }
  });

  test('refuses a claim it does not know, by number and by name', () => {
    for (const key of [-77_099, 1, 2 ** 40, 'note']) expect(withClaim(name, key, 0)).toBe('EVIDENCE_MALFORMED');
  });

  test('another profile is another version, not a malformation', () => {
    expect(withClaim(name, CLAIM.eatProfile, PROFILE[name].replace('/v1', '/v2'))).toBe('EVIDENCE_UNSUPPORTED');
    for (const other of NAMES) {
      if (other !== name) expect(withClaim(name, CLAIM.eatProfile, PROFILE[other])).toBe('EVIDENCE_UNSUPPORTED');
    }
    expect(withClaim(name, CLAIM.eatProfile, 265)).toBe('EVIDENCE_MALFORMED');
  });

  test('refuses every truncation and every byte added', () => {
    const payload = sample(name);
    for (let n = 0; n < payload.length; n++) {
      expect(verdict(() => parse(payload.subarray(0, n)))).toBe('EVIDENCE_MALFORMED');
    }
    expect(verdict(() => parse(concat(payload, unhex('00'))))).toBe('EVIDENCE_MALFORMED');
  });

  test('no payload of another kind is read as this one', () => {
    for (const other of NAMES) {
      if (other !== name) expect(verdict(() => parse(sample(other)))).toBe('EVIDENCE_UNSUPPORTED');
    }
  });

  test('damaged: a code, or a value that is written back the same', () => {
    fc.assert(
      fc.property(arb, fc.array(mutationArb, { minLength: 1, maxLength: 3 }), (value, changes) => {
        let payload = encode(value);
        for (const change of changes) payload = payload.length > 0 ? mutate(payload, change) : payload;
        if (verdict(() => parse(payload)) === 'ok') expect(hex(encode(parse(payload)))).toBe(hex(payload));
      }),
      { numRuns: 1000 },
    );
  });

  test('whatever canonical map it is given: a code, or a value that is written back the same', () => {
    // Claims of the right numbers with values of any type come past the CBOR layer and test the fields.
    const anyValue = fc.oneof(
      fc.nat(),
      fc.string({ maxLength: 5 }),
      bytesArb(32),
      bytesArb(16),
      fc.constantFrom(null, true),
    );
    const keys = [...claimsOf(sample(name)).keys()];
    fc.assert(
      fc.property(arb, fc.array(fc.tuple(fc.constantFrom(...keys), anyValue), { maxLength: 3 }), (value, changes) => {
        const claims = claimsOf(encode(value));
        for (const [key, other] of changes) claims.set(key, other);
        const payload = encodeCbor(claims);
        if (verdict(() => parse(payload)) === 'ok') expect(hex(encode(parse(payload)))).toBe(hex(payload));
      }),
      { numRuns: 300 },
    );
  });
});

test('random bytes give a code', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (data) => {
      for (const name of NAMES) expect(verdict(() => KINDS[name].parse(data))).toBe('EVIDENCE_MALFORMED');
      expect(verdict(() => parseEntry(data))).toBe('EVIDENCE_MALFORMED');
    }),
    { numRuns: 1000 },
  );
});

describe('session claims', () => {
  const [claims] = fc.sample(sessionClaimsArb, { seed: 1, numRuns: 1 });
  const payload = encodeSessionClaims(claims!);
  const withKey = (x: Cbor, ...more: [number, Cbor][]) =>
    verdict(() =>
      parseSessionClaims(
        encodeCbor(
          new Map(claimsOf(payload)).set(
            CLAIM.cnf,
            new Map([[1, new Map<number, Cbor>([[1, 1], [-1, 6], [-2, x], ...more])]]),
          ),
        ),
      ),
    );

  test('refuses a boot id that is not derived from the key', () => {
    for (let i = 0; i < 16; i++) {
      const bootId = new Uint8Array(claims!.bootId);
      bootId[i]! ^= 1;
      const { code, field } = refusal(() =>
        parseSessionClaims(encodeCbor(claimsOf(payload).set(CLAIM.bootId, bootId))),
      );
      expect([code, field]).toEqual(['SESSION_INVALID', 'session.bootId']);
    }
    expect(withKey(signerOf(new Uint8Array(32).fill(5)).raw)).toBe('SESSION_INVALID');
  });

  test('refuses a key that is none', () => {
    expect(withKey(new Uint8Array(32))).toBe('SESSION_INVALID'); // order 4
    expect(withKey(unhex('01'.padEnd(64, '0')))).toBe('SESSION_INVALID'); // the neutral point
    expect(withKey(new Uint8Array(31))).toBe('EVIDENCE_MALFORMED');
    expect(withKey('key')).toBe('EVIDENCE_MALFORMED');
  });

  test('refuses any other COSE_Key', () => {
    const x = new Uint8Array(claims!.sessionKey);
    expect(withKey(x)).toBe('ok');
    expect(withKey(x, [-4, new Uint8Array(32)])).toBe('EVIDENCE_MALFORMED'); // a private key
    expect(withKey(x, [3, -8])).toBe('EVIDENCE_MALFORMED'); // alg
    expect(withKey(x, [1, 2])).toBe('EVIDENCE_MALFORMED'); // kty EC2
    expect(withKey(x, [-1, 4])).toBe('EVIDENCE_MALFORMED'); // X25519
    expect(withClaim('session', CLAIM.cnf, new Map([[3, unhex('00')]]))).toBe('EVIDENCE_MALFORMED'); // a key id
    const cnf = claimsOf(payload).get(CLAIM.cnf) as CborMap;
    const both = new Map<CborKey, Cbor>([...cnf, [3, unhex('00')]]);
    expect(verdict(() => parseSessionClaims(encodeCbor(claimsOf(payload).set(CLAIM.cnf, both))))).toBe(
      'EVIDENCE_MALFORMED',
    );
  });

  test('refuses a runtime with a field more or less, or a text too long', () => {
    const runtime = { application: 'a', node: 'b', onnxruntime: 'c', executionProvider: 'd' };
    const read = (fields: Record<string, Cbor>) => withClaim('session', CLAIM.runtime, new Map(Object.entries(fields)));
    expect(read(runtime)).toBe('ok');
    expect(read({ ...runtime, extra: '' })).toBe('EVIDENCE_MALFORMED');
    expect(read({ ...runtime, node: 20 })).toBe('EVIDENCE_MALFORMED');
    expect(read({ ...runtime, node: 'x'.repeat(257) })).toBe('EVIDENCE_MALFORMED');
    for (const name of Object.keys(runtime)) {
      expect(read(Object.fromEntries(Object.entries(runtime).filter(([key]) => key !== name)))).toBe(
        'EVIDENCE_MALFORMED',
      );
    }
  });

  test('stands at sequence 0 and nowhere else', () => {
    expect(withClaim('session', CLAIM.sequence, 0)).toBe('ok');
    expect(withClaim('session', CLAIM.sequence, 1)).toBe('EVIDENCE_MALFORMED');
  });
});

describe('statement', () => {
  test('refuses lengths that are not the exact ones', () => {
    for (const [key, right] of [
      [CLAIM.cti, 16],
      [CLAIM.sessionDigest, 32],
      [CLAIM.requestDigest, 32],
      [CLAIM.responseDigest, 32],
    ] as const) {
      expect(withClaim('statement', key, new Uint8Array(right))).toBe('ok');
      for (const wrong of [0, right - 1, right + 1]) {
        expect(withClaim('statement', key, new Uint8Array(wrong))).toBe('EVIDENCE_MALFORMED');
      }
    }
  });

  test('a nonce has 8 to 64 bytes, or is left out; null is not a nonce', () => {
    for (const [length, expected] of [
      [7, 'EVIDENCE_MALFORMED'],
      [8, 'ok'],
      [64, 'ok'],
      [65, 'EVIDENCE_MALFORMED'],
      [0, 'EVIDENCE_MALFORMED'],
    ] as const) {
      expect(withClaim('statement', CLAIM.eatNonce, new Uint8Array(length))).toBe(expected);
    }
    expect(withClaim('statement', CLAIM.eatNonce)).toBe('ok');
    expect(withClaim('statement', CLAIM.eatNonce, null)).toBe('EVIDENCE_MALFORMED');
    expect(withClaim('statement', CLAIM.eatNonce, [new Uint8Array(8)])).toBe('EVIDENCE_MALFORMED'); // EAT allows arrays
  });

  test('iat is the second of timeMs', () => {
    const claims = claimsOf(sample('statement')).set(CLAIM.timeMs, 1_999).set(CLAIM.iat, 1);
    expect(verdict(() => parseStatement(encodeCbor(claims)))).toBe('ok');
    for (const iat of [0, 2]) {
      expect(verdict(() => parseStatement(encodeCbor(claims.set(CLAIM.iat, iat))))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test('an outcome is ok or a code of ours; a newer code is unsupported, not malformed', () => {
    expect(withClaim('statement', CLAIM.outcome, 'ok')).toBe('ok');
    expect(withClaim('statement', CLAIM.outcome, 'MODEL_UNKNOWN')).toBe('ok');
    for (const outcome of ['OK', '', 'A_CODE_OF_THE_FUTURE', 'toString', '__proto__', 'constructor']) {
      expect(withClaim('statement', CLAIM.outcome, outcome)).toBe('EVIDENCE_UNSUPPORTED');
    }
    expect(withClaim('statement', CLAIM.outcome, 'X'.repeat(65))).toBe('EVIDENCE_MALFORMED');
  });

  test('a model has a name, a version and a digest, and nothing else', () => {
    const model: Record<string, Cbor> = { name: 'iris', version: '1', digest: new Uint8Array(32) };
    const read = (fields: Record<string, Cbor>) => withClaim('statement', CLAIM.model, new Map(Object.entries(fields)));
    expect(read(model)).toBe('ok');
    expect(withClaim('statement', CLAIM.model, null)).toBe('ok');
    expect(read({ ...model, files: [] })).toBe('EVIDENCE_MALFORMED');
    expect(read({ ...model, digest: new Uint8Array(31) })).toBe('EVIDENCE_MALFORMED');
    expect(read({ ...model, name: 'é'.repeat(128) })).toBe('ok'); // 256 bytes
    expect(read({ ...model, name: 'é'.repeat(129) })).toBe('EVIDENCE_MALFORMED');
  });

  test('the only operation is infer', () => {
    expect(withClaim('statement', CLAIM.operation, 'train')).toBe('EVIDENCE_MALFORMED');
  });

  test('a sequence number above 2^53−1 is refused', () => {
    expect(withClaim('statement', CLAIM.sequence, Number.MAX_SAFE_INTEGER)).toBe('ok');
    expect(withClaim('statement', CLAIM.sequence, 1n << 53n)).toBe('EVIDENCE_MALFORMED');
  });
});

describe('the other kinds', () => {
  test('a key configuration has 1 to 4096 bytes', () => {
    expect(withClaim('key', CLAIM.keyConfig, new Uint8Array(0))).toBe('EVIDENCE_MALFORMED');
    expect(withClaim('key', CLAIM.keyConfig, new Uint8Array(4096))).toBe('ok');
    expect(withClaim('key', CLAIM.keyConfig, new Uint8Array(4097))).toBe('EVIDENCE_MALFORMED');
  });

  test('a model is loaded or unloaded, with 1 to 512 files of one digest each', () => {
    const files = (n: number, digest: Cbor = new Uint8Array(32)) =>
      withClaim('model', CLAIM.files, new Map(Array.from({ length: n }, (_, i) => [`f${i}`, digest])));
    expect([files(0), files(1), files(512), files(513)]).toEqual([
      'EVIDENCE_MALFORMED',
      'ok',
      'ok',
      'EVIDENCE_MALFORMED',
    ]);
    expect(files(1, new Uint8Array(31))).toBe('EVIDENCE_MALFORMED');
    expect(files(1, 'digest')).toBe('EVIDENCE_MALFORMED');
    expect(withClaim('model', CLAIM.files, new Map([[1, new Uint8Array(32)]]))).toBe('EVIDENCE_MALFORMED');
    expect(withClaim('model', CLAIM.event, 'replaced')).toBe('EVIDENCE_MALFORMED');
  });

  test('challenges have 1 to 65,536 nonces and at most 64 configurations', () => {
    for (const [count, expected] of [
      [0, 'EVIDENCE_MALFORMED'],
      [1, 'ok'],
      [MAX_CHALLENGES, 'ok'],
      [MAX_CHALLENGES + 1, 'EVIDENCE_MALFORMED'],
    ] as const) {
      expect(withClaim('challenges', CLAIM.nonceCount, count)).toBe(expected);
    }
    const digests = (n: number, length = 32) =>
      withClaim('challenges', CLAIM.keyConfigDigests, Array(n).fill(new Uint8Array(length)));
    expect([digests(0), digests(64), digests(65), digests(1, 31)]).toEqual([
      'ok',
      'ok',
      'EVIDENCE_MALFORMED',
      'EVIDENCE_MALFORMED',
    ]);
  });

  test('an end has one reason', () => {
    expect(withClaim('end', CLAIM.reason, 'stopped')).toBe('ok');
    expect(withClaim('end', CLAIM.reason, 'crashed')).toBe('EVIDENCE_MALFORMED');
  });
});

describe('entries', () => {
  const messageOf = (name: EntryKind, payload = sample(name)) =>
    encodeSign1(CONTENT_TYPE[name], payload, testSigner.sign);

  test.each(NAMES)('%s: kind, value, sequence and message', async (name) => {
    const entry = parseEntry(messageOf(name));
    expect(entry.kind).toBe(name);
    expect(entry.value).toEqual(KINDS[name].parse(sample(name)));
    expect(entry.sequence).toBe(claimsOf(sample(name)).get(CLAIM.sequence));
    expect(await verifySign1(entry.message, testSigner.key)).toBe(true);
  });

  test('a payload under the content type of another kind is refused', () => {
    for (const name of NAMES) {
      for (const other of NAMES) {
        const message = encodeSign1(CONTENT_TYPE[name], sample(other), testSigner.sign);
        expect(verdict(() => parseEntry(message))).toBe(name === other ? 'ok' : 'EVIDENCE_UNSUPPORTED');
      }
    }
  });

  test('a content type we do not know is unsupported', () => {
    for (const type of [
      '',
      'application/cbor',
      `${CONTENT_TYPE.end} `,
      CONTENT_TYPE.end.toUpperCase(),
      'constructor',
    ]) {
      const message = encodeSign1(type, sample('end'), testSigner.sign);
      expect(verdict(() => parseEntry(message))).toBe('EVIDENCE_UNSUPPORTED');
    }
  });

  test.each(NAMES)('%s: every truncation is refused', (name) => {
    const message = messageOf(name);
    for (let n = 0; n < message.length; n++) {
      expect(verdict(() => parseEntry(message.subarray(0, n)))).toBe('EVIDENCE_MALFORMED');
    }
  });

  test('damaged messages give a code, or a signature that does not verify', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...NAMES), mutationArb, async (name, change) => {
        const message = messageOf(name);
        const damaged = mutate(message, change);
        if (hex(damaged) === hex(message) || verdict(() => parseEntry(damaged)) !== 'ok') return;
        expect(await verifySign1(parseEntry(damaged).message, testSigner.key)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  test('the longest entry has 65,535 bytes, the longest statement 4096', () => {
    const sized = (name: EntryKind, length: number) => {
      const less = utf8('x'.repeat(length - 300)); // as long as the result for all that CBOR lengths depend on
      const overhead = messageOf(name, less).length - less.length;
      const message = messageOf(name, utf8('x'.repeat(length - overhead)));
      expect(message.length).toBe(length);
      return verdict(() => parseEntry(message));
    };
    expect(sized('model', MAX_ENTRY_BYTES)).toBe('EVIDENCE_MALFORMED'); // looked into, and found not to be CBOR
    expect(sized('model', MAX_ENTRY_BYTES + 1)).toBe('EVIDENCE_TOO_LARGE');
    expect(sized('statement', MAX_STATEMENT_BYTES)).toBe('EVIDENCE_MALFORMED');
    expect(sized('statement', MAX_STATEMENT_BYTES + 1)).toBe('EVIDENCE_TOO_LARGE');
  });

  test('the longest statement that can be made fits', () => {
    const long = 'x'.repeat(256);
    const [statement] = fc.sample(statementArb, 1);
    const message = encodeSign1(
      CONTENT_TYPE.statement,
      encodeStatement({
        ...statement!,
        timeMs: Number.MAX_SAFE_INTEGER,
        nonce: new Uint8Array(64),
        sequence: Number.MAX_SAFE_INTEGER,
        model: { name: long, version: long, digest: statement!.requestDigest },
        requestJsonLength: Number.MAX_SAFE_INTEGER,
        responseJsonLength: Number.MAX_SAFE_INTEGER,
        requestMediaType: long,
        responseMediaType: long,
        outcome: 'REQUEST_PARAMETER_UNSUPPORTED',
        durationUs: Number.MAX_SAFE_INTEGER,
      }),
      testSigner.sign,
    );
    expect(message.length).toBeLessThan(MAX_STATEMENT_BYTES);
    expect(parseEntry(message).kind).toBe('statement');
  });

  test('an error names the field and repeats nothing of the payload', () => {
    const secret = 'a-secret-that-must-not-be-logged';
    const claims = claimsOf(sample('statement')).set(CLAIM.operation, secret);
    const error = refusal(() => parseStatement(encodeCbor(claims)));
    expect(error.field).toBe('statement.operation');
    expect(error.message).not.toContain(secret);
    const outcome = refusal(() => parseStatement(encodeCbor(claimsOf(sample('statement')).set(CLAIM.outcome, secret))));
    expect([outcome.field, outcome.message.includes(secret)]).toEqual(['statement.outcome', false]);
  });
});
