import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CodedError, modelDigest, sha256 } from '../../protocol/index.ts';
import { AUTHENTICITY, parsePolicy, policyDigest, readPolicy } from '../../verifier/index.ts';
import { conforms } from '../support/json-schema.ts';
import { strictPolicy } from '../support/policies.ts';

const schema = JSON.parse(readFileSync(new URL('../../verifier/policy.schema.json', import.meta.url), 'utf8'));

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const h = (n: number): string => 'ab'.repeat(n);

/** Uses every field and every form there is. */
const fullPolicy = (): Json =>
  JSON.parse(
    JSON.stringify(
      strictPolicy(
        {
          anchors: [
            { builtin: 'amd' },
            {
              $comment: 'x',
              name: 'own',
              platform: 'simulated-snp',
              publicKey: 'AAECAw==',
              fingerprint: h(32),
              notBefore: '2026-01-01T00:00:00Z',
              notAfter: '2027-01-01T00:00:00Z',
            },
          ],
          deniedMeasurements: [h(48)],
          models: [
            { files: { 'model.onnx': h(32), 'weights/part-0.bin': h(32) } },
            { name: 'm', version: '1', digest: h(32) },
          ],
          freshness: 'nonce-required',
          existedBy: 'required',
        },
        {
          referenceValues: [
            ...strictPolicy().sevSnp.referenceValues,
            {
              name: 'shapes',
              measurements: [h(48), h(48)],
              hostData: 'unused',
              vmpl: 0,
              idKeyDigest: h(48),
              authorKeyDigest: h(48),
              notAfter: '2027-01-01T00:00:00Z',
            },
          ],
          products: ['Milan', 'Turin'],
          minimumTcb: [
            { product: 'Milan', cpuidModels: 'any', bootloader: 1, tee: 0, snp: 2, microcode: 3 },
            { product: 'Milan', cpuidModels: [1], bootloader: 1, tee: 0, snp: 2, microcode: 3 },
            { product: 'Turin', cpuidModels: [2, 17], fmc: 1, bootloader: 1, tee: 0, snp: 2, microcode: 3 },
          ],
          minimumLaunchTcb: [{ product: 'Milan', cpuidModels: 'any', bootloader: 1, tee: 0, snp: 2, microcode: 3 }],
          chips: [h(64)],
          vlek: { cspIds: ['CN=cc-us-east-2.amazonaws.com'] },
          crl: { maxAgeDays: 30 },
        },
      ),
    ),
  );

function refusedAt(json: unknown): string {
  try {
    parsePolicy(json);
  } catch (error) {
    if (error instanceof CodedError && error.code === 'POLICY_INVALID') return error.field ?? 'no field';
    throw error;
  }
  return 'accepted';
}

type Step = string | number;
type Place = readonly Step[];

/** Every value inside, objects and lists included, with the way to it. */
function* places(value: Json, at: Place = []): Generator<Place> {
  if (at.length > 0) yield at;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value))
    yield* places(item, [...at, Array.isArray(value) ? Number(name) : name]);
}

const pathText = (at: Place): string =>
  at.reduce<string>((text, step) => (typeof step === 'number' ? `${text}[${step}]` : `${text}.${step}`), 'policy');

function parentOf(policy: Json, at: Place): Record<Step, Json> {
  return at.slice(0, -1).reduce<Json>((value, step) => (value as Record<Step, Json>)[step]!, policy) as Record<
    Step,
    Json
  >;
}

function changed(at: Place, change: (parent: Record<Step, Json>, last: Step) => void): Json {
  const policy = fullPolicy();
  change(parentOf(policy, at), at.at(-1)!);
  return policy;
}

const OPTIONAL = /^policy\.models\[\d\]\.(name|version)$|\.files\.|\.\$comment$|referenceValues\[\d\]\.notAfter$/;
const everyPlace = [...places(fullPolicy())];
const members = everyPlace.filter((at) => typeof at.at(-1) === 'string');

describe('a policy is complete data', () => {
  test('the full one and the strict one are accepted', () => {
    expect(refusedAt(fullPolicy())).toBe('accepted');
    expect(refusedAt(strictPolicy())).toBe('accepted');
    expect(members.length).toBeGreaterThan(70);
  });

  test.each(members.map((at) => [pathText(at), at] as const))(
    '%s cannot be left out unless it is optional',
    (text, at) => {
      const without = changed(at, (parent, last) => delete parent[last]);
      // Without the member that tells the two forms apart, it is the other form that is incomplete.
      const asked = text
        .replace('.builtin', '.name')
        .replace('models[0].files', 'models[0].digest')
        .replace('.measurements', '.measurement');
      expect(refusedAt(without)).toBe(OPTIONAL.test(text) ? 'accepted' : asked);
    },
  );

  test('no object takes an unknown field', () => {
    const objects = [[], ...everyPlace].filter((at) => {
      const value = at.length === 0 ? fullPolicy() : parentOf(fullPolicy(), at)[at.at(-1)!];
      return typeof value === 'object' && !Array.isArray(value) && at.at(-1) !== 'files';
    });
    expect(objects.length).toBeGreaterThan(10);
    for (const at of objects) {
      const more = changed([...at, 'debgu'], (parent, last) => {
        parent[last] = 'forbid';
      });
      expect(refusedAt(more)).toBe(`${pathText(at)}.debgu`);
    }
  });

  test('no field takes a value of another kind', () => {
    const odd: readonly Json[] = [null, true, 1.5, -1, 1e9, '', 'yes', [], {}, [[]], { any: 1 }, ['any']];
    let refused = 0;
    for (const at of everyPlace) {
      for (const value of odd) {
        const policy = changed(at, (parent, last) => {
          parent[last] = value;
        });
        const text = pathText(at);
        if (
          /\.(id|name|version|\$comment)$|cspIds(\[0\])?$/.test(text) &&
          [value].flat().every((v) => typeof v === 'string')
        )
          continue; // free text
        if (text === 'policy.deniedMeasurements' && Array.isArray(value) && value.length === 0) continue; // denies none
        expect(refusedAt(policy).startsWith(text), `${text} = ${JSON.stringify(value)}`).toBe(true);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  const cases: readonly (readonly [string, string, unknown])[] = [
    ['something else', 'policy', 'policy'],
    ['nothing', 'policy', null],
    ['a list', 'policy', []],
    ['another profile', 'policy.profile', strictPolicy({ profile: 'veritee/policy/v2' })],
    ['a reserved id', 'policy.id', strictPolicy({ id: 'builtin:authenticity' })],
    ['no anchor', 'policy.anchors', strictPolicy({ anchors: [] })],
    ['no reference value', 'policy.sevSnp.referenceValues', strictPolicy({}, { referenceValues: [] })],
    ['no product', 'policy.sevSnp.products', strictPolicy({}, { products: [] })],
    ['an upper-case word', 'policy.sevSnp.debug', strictPolicy({}, { debug: 'Forbid' })],
    ['a word of another field', 'policy.sevSnp.debug', strictPolicy({}, { debug: 'allow' })],
    ['an opt-out for nitro', 'policy.nitro', strictPolicy({ nitro: 'any' })],
    [
      'two floors for one processor',
      'policy.sevSnp.minimumTcb[1]',
      strictPolicy(
        {},
        {
          minimumTcb: [
            { product: 'Milan', cpuidModels: [1, 2], bootloader: 0, tee: 0, snp: 0, microcode: 0 },
            { product: 'Milan', cpuidModels: [2], bootloader: 9, tee: 9, snp: 9, microcode: 9 },
          ],
        },
      ),
    ],
    [
      'fmc outside Turin',
      'policy.sevSnp.minimumTcb[0].fmc',
      strictPolicy(
        {},
        { minimumTcb: [{ product: 'Milan', cpuidModels: 'any', fmc: 0, bootloader: 0, tee: 0, snp: 0, microcode: 0 }] },
      ),
    ],
    [
      'an anchor that ends before it begins',
      'policy.anchors[0].notAfter',
      strictPolicy({
        anchors: [
          {
            name: 'x',
            platform: 'snp',
            publicKey: 'AAAA',
            fingerprint: h(32),
            notBefore: '2027-01-01T00:00:00Z',
            notAfter: '2026-01-01T00:00:00Z',
          },
        ],
      }),
    ],
    [
      'both files and a digest',
      'policy.models[0].digest',
      strictPolicy({ models: [{ files: { a: h(32) }, digest: h(32) }] }),
    ],
    ['a path that climbs', 'policy.models[0].files.../a', strictPolicy({ models: [{ files: { '../a': h(32) } }] })],
    [
      'both one measurement and several',
      'policy.sevSnp.referenceValues[0].measurement',
      strictPolicy({}, { referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], measurements: [h(48)] }] }),
    ],
    ['no file', 'policy.models[0].files', strictPolicy({ models: [{ files: {} }] })],
  ];
  test.each(cases)('%s is refused at its path', (_, path, json) => {
    expect(refusedAt(json)).toBe(path);
  });

  test('30 February is no date', () => {
    for (const at of [
      ['anchors', 1, 'notAfter'],
      ['sevSnp', 'referenceValues', 1, 'notAfter'],
    ]) {
      const policy = changed(at, (parent, last) => {
        parent[last] = '2027-02-30T00:00:00Z';
      });
      expect(refusedAt(policy)).toBe(pathText(at));
    }
  });

  test('comments may stand in every object and must be text', () => {
    expect(refusedAt(strictPolicy({}, { $comment: 'why' }))).toBe('accepted');
    expect(refusedAt(strictPolicy({}, { $comment: 1 }))).toBe('policy.sevSnp.$comment');
  });

  test('a prototype is no field', () => {
    const policy = strictPolicy();
    const { nitro: _, ...rest } = policy;
    expect(refusedAt(Object.assign(Object.create({ nitro: 'refuse' }), rest))).toBe('policy.nitro');
  });
});

describe('a policy file', () => {
  const file = (text: string): Uint8Array => new TextEncoder().encode(text);

  test('reads as its JSON does', () => {
    const text = JSON.stringify(fullPolicy());
    expect(policyDigest(readPolicy(file(text)))).toEqual(policyDigest(parsePolicy(fullPolicy())));
  });

  test('with a member twice is refused: readers would disagree on which counts', () => {
    const text = JSON.stringify(strictPolicy()).replace('"debug":"forbid"', '"debug":"forbid","debug":"forbid"');
    expect(() => readPolicy(file(text))).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });

  test.each(['', '{', 'null', '\ufeff{}', '{"profile":1e999}'])('%j is refused with its code', (text) => {
    expect(() => readPolicy(file(text))).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});

describe('models', () => {
  test('listed files give the digest that the enclave computes', () => {
    const digest = sha256(new Uint8Array(1));
    const files = { 'model.onnx': Buffer.from(digest).toString('hex') };
    const { models } = parsePolicy(strictPolicy({ models: [{ files }] }));
    expect(models).toEqual([{ name: null, version: null, digest: modelDigest(new Map([['model.onnx', digest]])) }]);
  });
});

describe('the digest of a policy', () => {
  const reference = (change: object) => ({
    referenceValues: [{ ...strictPolicy().sevSnp.referenceValues[0], ...change }],
  });

  test('leaves out comments and the order of members', () => {
    const { id, ...rest } = strictPolicy();
    const same = { ...rest, id, $comment: 'other words' };
    expect(policyDigest(parsePolicy(same))).toEqual(policyDigest(parsePolicy(strictPolicy())));
  });

  test('differs with every field that decides', () => {
    const base = strictPolicy();
    const others = [
      strictPolicy({ id: 'x' }),
      strictPolicy({ strength: 'session-signed' }),
      strictPolicy({ sevSnp: 'refuse' }),
      strictPolicy({}, { smt: 'forbid' }),
      strictPolicy({ deniedMeasurements: [h(48)] }),
      strictPolicy({}, reference({ measurement: h(48) })),
      strictPolicy({}, reference({ notAfter: '2027-01-01T00:00:00Z' })),
      strictPolicy({}, reference({ notAfter: '2028-01-01T00:00:00Z' })),
      strictPolicy({}, { chips: [h(64)] }),
      strictPolicy({ models: [{ digest: h(32) }] }),
    ];
    const digests = [base, ...others].map((json) => Buffer.from(policyDigest(parsePolicy(json))).toString('hex'));
    expect(new Set(digests).size).toBe(digests.length);
    expect(policyDigest(AUTHENTICITY).length).toBe(32);
  });
});

describe('policy.schema.json keeps in step with parsePolicy', () => {
  const agree = (json: unknown): void => {
    const bySchema = conforms(json, schema);
    expect(`${bySchema} ${refusedAt(json)}`).toBe(bySchema ? 'true accepted' : `false ${refusedAt(json)}`);
    if (!bySchema) expect(refusedAt(json)).not.toBe('accepted');
  };

  test('on the full policy, each field left out, each object with one more', () => {
    agree(fullPolicy());
    agree(strictPolicy());
    for (const at of members) agree(changed(at, (parent, last) => delete parent[last]));
    for (const at of members) {
      agree(
        changed([...at.slice(0, -1), 'extra'], (parent, last) => {
          if (at.at(-2) !== 'files') parent[last] = 1;
        }),
      );
    }
  });

  test('on every word of every enumeration, and on values of another kind', () => {
    const words = [...new Set(JSON.stringify(schema).match(/"[a-zA-Z0-9-]{2,40}"/g))].map((word) => JSON.parse(word));
    const values: readonly Json[] = [
      ...words,
      '',
      null,
      true,
      -1,
      0,
      3,
      4,
      255,
      256,
      1.5,
      86_401,
      [],
      {},
      h(32),
      h(48),
      h(64),
    ];
    for (const at of everyPlace) {
      const text = pathText(at);
      for (const value of values) {
        // What JSON Schema cannot say: floors that collide.
        if (/minimum(Launch)?Tcb/.test(text) && /cpuidModels|product/.test(text)) continue;
        agree(
          changed(at, (parent, last) => {
            parent[last] = value;
          }),
        );
      }
    }
  });
});
