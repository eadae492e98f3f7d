import { describe, expect, test } from 'vitest';
import { bytes, fromHex, hex, modelSetHostData } from '../../protocol/index.ts';
import { AUTHENTICITY, lintPolicy, parsePolicy } from '../../verifier/index.ts';
import { strictPolicy } from '../support/policies.ts';

const AT = new Date('2026-06-01T12:00:00Z');
const h = (n: number, byte = 'ab'): string => byte.repeat(n);
const MODEL = 'ab'.repeat(32);
const measured = (digest: string): string => hex(modelSetHostData([bytes(fromHex(digest)!, 32, 'digest')]));
const build = { ...strictPolicy().sevSnp.referenceValues[0], hostData: measured(MODEL) };

/** Opts out of nothing there is. */
const tight = (changes: Record<string, unknown> = {}, snp: Record<string, unknown> = {}) =>
  strictPolicy(
    {
      models: [{ digest: MODEL }],
      freshness: 'nonce-required',
      ...changes,
    },
    {
      referenceValues: [{ ...build, idKeyDigest: h(48), authorKeyDigest: h(48) }],
      minimumTcb: [floor('Milan')],
      smt: 'forbid',
      singleSocket: 'require',
      ciphertextHiding: 'require',
      memAes256Xts: 'require',
      raplDisabled: 'require',
      pageSwapDisabled: 'require',
      chips: [h(64)],
      crl: { maxAgeDays: 30 },
      modelBinding: { modelSets: [[MODEL]] },
      ...snp,
    },
  );

function floor(product: string, cpuidModels: unknown = 'any', more: object = product === 'Turin' ? { fmc: 1 } : {}) {
  return { product, cpuidModels, bootloader: 1, tee: 0, snp: 1, microcode: 1, ...more };
}

const lint = (policy: unknown, at = AT): string[] =>
  lintPolicy(parsePolicy(policy), at).map(({ code, path }) => `${code} ${path}`);

/** Its own time is the one thing a policy cannot both ask for and meet in this release. */
const UNTIMED = 'opt-out policy.existedBy';

test('a policy that opts out of nothing has nothing to say but the one thing it cannot ask for', () => {
  expect(lint(tight())).toEqual([UNTIMED]);
  expect(lint(tight({ existedBy: 'required' }))).toEqual(['refuses-everything policy.existedBy']);
});

describe('every opt-out is listed at its place', () => {
  const optOuts: readonly (readonly [string, unknown])[] = [
    ['referenceValues', 'any-unidentified-program'],
    ['minimumTcb', 'any'],
    ['minimumLaunchTcb', 'any'],
    ['debug', 'allow-debug-no-confidentiality'],
    ['migration', 'allow'],
    ['smt', 'allow'],
    ['cxl', 'allow'],
    ['singleSocket', 'not-required'],
    ['ciphertextHiding', 'not-required'],
    ['memAes256Xts', 'not-required'],
    ['raplDisabled', 'not-required'],
    ['pageSwapDisabled', 'not-required'],
    ['provisionalFirmware', 'allow'],
    ['aliasCheck', 'not-required'],
    ['unknownPlatformInfo', 'allow'],
    ['chips', 'any'],
    ['crl', 'not-required'],
    ['modelBinding', 'not-required'],
  ];
  test.each(optOuts)('%s', (field, word) => {
    expect(lint(tight({}, { [field]: word }))).toEqual([`opt-out policy.sevSnp.${field}`, UNTIMED]);
  });

  test('maskedChipId and vlek, where any chip will do', () => {
    for (const field of ['maskedChipId', 'vlek']) {
      expect(lint(tight({}, { chips: 'any', [field]: 'allow' }))).toContain(`opt-out policy.sevSnp.${field}`);
    }
  });

  test('outside the platform', () => {
    expect(lint(tight({ models: 'any', freshness: 'not-required', strength: 'session-signed' }))).toEqual([
      'opt-out policy.models',
      'opt-out policy.freshness',
      UNTIMED,
      'opt-out policy.strength',
    ]);
  });

  test('inside a reference value', () => {
    const unused = { hostData: 'unused', idKeyDigest: 'unused', authorKeyDigest: 'unused' };
    expect(lint(tight({}, { referenceValues: [{ ...build, ...unused }] }))).toEqual([
      'opt-out policy.sevSnp.referenceValues[0].hostData',
      'opt-out policy.sevSnp.referenceValues[0].idKeyDigest',
      'opt-out policy.sevSnp.referenceValues[0].authorKeyDigest',
      UNTIMED,
    ]);
  });

  test('no field of a policy has an opting-out word that the linter does not know', () => {
    // builtin:authenticity opts out of all there is, but for what a report cannot be genuine without.
    const { sevSnp } = AUTHENTICITY;
    if (sevSnp === 'refuse') throw new Error('it accepts SNP');
    const words = Object.entries(sevSnp).filter(([, value]) => typeof value === 'string');
    const listed = lintPolicy(AUTHENTICITY, AT).map(({ path }) => path.replace('policy.sevSnp.', ''));
    expect(words.map(([field]) => field).filter((field) => !listed.includes(field))).toEqual(['maskedChipId']);
    expect(words.length).toBeGreaterThan(15);
  });
});

describe('rules that nobody can have meant', () => {
  const cases: readonly (readonly [string, unknown, readonly string[]])[] = [
    [
      'a product without a floor',
      tight({}, { products: ['Milan', 'Genoa'] }),
      ['floor-missing policy.sevSnp.minimumTcb'],
    ],
    [
      'a launch floor for one product of two',
      tight(
        {},
        {
          products: ['Milan', 'Turin'],
          minimumTcb: [floor('Milan'), floor('Turin', [2, 17]), floor('Turin')],
          minimumLaunchTcb: [floor('Milan')],
        },
      ),
      ['floor-for-all-dies policy.sevSnp.minimumTcb[2].cpuidModels', 'floor-missing policy.sevSnp.minimumLaunchTcb'],
    ],
    [
      'a floor for a product that is not accepted',
      tight({}, { minimumTcb: [floor('Milan'), floor('Genoa', [17])] }),
      ['floor-unused policy.sevSnp.minimumTcb[1]'],
    ],
    [
      'a floor for some dies only',
      tight({}, { minimumTcb: [floor('Milan', [1])] }),
      ['floor-for-named-models policy.sevSnp.minimumTcb'],
    ],
    [
      'one floor for several dies',
      tight({}, { products: ['Genoa'], minimumTcb: [floor('Genoa')] }),
      ['floor-for-all-dies policy.sevSnp.minimumTcb[0].cpuidModels'],
    ],
    ['a product twice', tight({}, { products: ['Milan', 'Milan'] }), ['product-repeated policy.sevSnp.products[1]']],
    [
      'the id of every masked chip on the list of chips',
      tight({}, { chips: [h(64), h(64, '00')] }),
      ['chip-masked policy.sevSnp.chips[1]'],
    ],
    ['a chip twice', tight({}, { chips: [h(64), h(64)] }), ['chip-repeated policy.sevSnp.chips[1]']],
    [
      'masked chips beside a list of chips',
      tight({}, { maskedChipId: 'allow' }),
      ['opt-out policy.sevSnp.maskedChipId', 'masked-never-listed policy.sevSnp.maskedChipId'],
    ],
    ['VLEKs beside a list of chips', tight({}, { vlek: { cspIds: ['x'] } }), ['vlek-may-hide-chip policy.sevSnp.vlek']],
    [
      'a model twice',
      tight({ models: [{ digest: h(32) }, { name: 'x', digest: h(32) }] }),
      ['model-repeated policy.models[1]'],
    ],
    [
      'a model that no set holds',
      tight({ models: [{ digest: MODEL }, { digest: h(32, 'cd') }] }),
      ['model-in-no-set policy.models[1]'],
    ],
    [
      'a value for HOST_DATA that is of no set of models',
      tight({}, { referenceValues: [{ ...build, hostData: h(32), idKeyDigest: h(48), authorKeyDigest: h(48) }] }),
      ['host-data-no-model-set policy.sevSnp.referenceValues[0].hostData'],
    ],
    ['no wait for what is asked for', tight({ maxWaitSeconds: 0 }), ['no-wait policy.maxWaitSeconds']],
    ['no platform', tight({ sevSnp: 'refuse' }), ['accepts-nothing policy.sevSnp']],
  ];
  test.each(cases)('%s', (_, policy, expected) => {
    expect(lint(policy).filter((one) => one !== UNTIMED)).toEqual(expected);
  });

  const builds = (...values: readonly object[]) =>
    tight(
      {},
      { referenceValues: values.map((value) => ({ ...build, idKeyDigest: h(48), authorKeyDigest: h(48), ...value })) },
    );

  test('builds that have expired, and no other left', () => {
    const notAfter = '2026-06-01T12:00:00Z';
    expect(lint(builds({ notAfter }))).toEqual([UNTIMED]);
    const later = new Date(AT.getTime() + 1);
    expect(lint(builds({ notAfter }), later)).toEqual([
      'reference-values-expired policy.sevSnp.referenceValues',
      'reference-value-expired policy.sevSnp.referenceValues[0].notAfter',
      UNTIMED,
    ]);
    expect(lint(builds({ notAfter }, { name: 'next' }), later)).toEqual([
      'reference-value-expired policy.sevSnp.referenceValues[0].notAfter',
      UNTIMED,
    ]);
  });

  test('builds of one name, a measurement twice, one that is denied too', () => {
    const { measurement: _, ...rest } = build;
    expect(lint(builds({}, { measurement: h(48) }))).toEqual([
      'name-repeated policy.sevSnp.referenceValues[1].name',
      UNTIMED,
    ]);
    const twice = tight(
      { deniedMeasurements: [h(48)] },
      { referenceValues: [{ ...rest, measurements: [h(48), h(48)], idKeyDigest: h(48), authorKeyDigest: h(48) }] },
    );
    expect(lint(twice)).toEqual([
      'measurement-denied policy.sevSnp.referenceValues[0]',
      'measurement-repeated policy.sevSnp.referenceValues[0]',
      'measurement-denied policy.sevSnp.referenceValues[0]',
      UNTIMED,
    ]);
  });

  test('anchors that have ended, not begun, or are simulated', () => {
    const anchor = (platform: string, notBefore: string, notAfter: string) => ({
      ...{ name: 'own', publicKey: 'AAAA', fingerprint: h(32) },
      ...{ platform, notBefore, notAfter },
    });
    const anchors = [
      anchor('snp', '2025-01-01T00:00:00Z', '2027-01-01T00:00:00Z'),
      anchor('snp', '2025-01-01T00:00:00Z', '2026-01-01T00:00:00Z'),
      anchor('snp', '2026-07-01T00:00:00Z', '2027-01-01T00:00:00Z'),
      anchor('simulated-snp', '2025-01-01T00:00:00Z', '2027-01-01T00:00:00Z'),
    ];
    expect(lint(tight({ anchors }))).toEqual([
      'anchor-expired policy.anchors[1].notAfter',
      'anchor-not-yet-valid policy.anchors[2].notBefore',
      'simulated-anchor policy.anchors[3]',
      UNTIMED,
    ]);
  });
});

test('every warning says its consequence', () => {
  for (const { words } of lintPolicy(AUTHENTICITY, AT)) expect(words).toMatch(/\w+ \w+ \w+/);
});
