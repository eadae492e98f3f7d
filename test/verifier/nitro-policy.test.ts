import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AppraisalPolicy, lintPolicy, parsePolicy } from '../../verifier/index.ts';
import { conforms } from '../support/json-schema.ts';
import { nitroImage, strictNitroPolicy, strictPolicy } from '../support/policies.ts';
import { ROOT } from '../support/shared.ts';

const AT = new Date('2026-06-01T12:00:00Z');
const schema = JSON.parse(readFileSync(path.join(ROOT, 'verifier/policy.schema.json'), 'utf8'));
const aa = 'aa'.repeat(48);

const parses = (json: unknown): boolean => {
  try {
    parsePolicy(json);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'POLICY_INVALID' });
    return false;
  }
};
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const withImage = (change: Record<string, unknown>) =>
  strictNitroPolicy({}, { referenceValues: [{ ...nitroImage(), ...change }] });

describe('schema and parser say the same', () => {
  test.each<readonly [string, unknown, boolean]>([
    ['as it is', strictNitroPolicy(), true],
    ['any program', strictNitroPolicy({}, { referenceValues: 'any-unidentified-program' }), true],
    ['any age', strictNitroPolicy({}, { maxDocumentAgeSeconds: 'any' }), true],
    ['both platforms', strictPolicy({ nitro: strictNitroPolicy()['nitro'] }), true],
    ['both built-in roots', strictNitroPolicy({ anchors: [{ builtin: 'aws' }, { builtin: 'amd' }] }), true],
    ['an unused register', withImage({ pcr1: 'unused' }), true],
    ['the signer alone', withImage({ pcr0: 'unused' }), true],
    ['zeros for PCR8', withImage({ pcr8: '00'.repeat(48) }), true],
    ['a build that ends', withImage({ notAfter: '2027-01-31T00:00:00Z' }), true],
    ['a comment', strictNitroPolicy({}, { $comment: 'why' }), true],
    ['zeros for PCR0', withImage({ pcr0: '00'.repeat(48) }), false],
    ['zeros for PCR2', withImage({ pcr2: '00'.repeat(48) }), false],
    ['no PCR8', withImage({ pcr8: undefined }), false],
    ['PCR4', withImage({ pcr4: aa }), false],
    ['no images', strictNitroPolicy({}, { referenceValues: [] }), false],
    ['no age', strictNitroPolicy({}, { maxDocumentAgeSeconds: undefined }), false],
    ['a negative age', strictNitroPolicy({}, { maxDocumentAgeSeconds: -1 }), false],
    ['another root', strictNitroPolicy({ anchors: [{ builtin: 'azure' }] }), false],
    ['a set of models', strictNitroPolicy({}, { modelBinding: { modelSets: [['ab'.repeat(32)]] } }), true],
    ['no set of models', strictNitroPolicy({}, { modelBinding: { modelSets: [] } }), false],
    ['a set of no models', strictNitroPolicy({}, { modelBinding: { modelSets: [[]] } }), false],
    ['a short digest in a set', strictNitroPolicy({}, { modelBinding: { modelSets: [['ab']] } }), false],
    ['no word on models', strictNitroPolicy({}, { modelBinding: undefined }), false],
    ['a field of SNP', strictNitroPolicy({}, { vlek: 'allow' }), false],
  ])('%s', (_, json, good) => {
    expect([conforms(plain(json), schema), parses(plain(json))]).toEqual([good, good]);
  });
});

describe('lint', () => {
  const lint = (changes: Record<string, unknown>, nitro: Record<string, unknown> = {}): string[] =>
    lintPolicy(
      parsePolicy(
        strictNitroPolicy(
          { models: [{ digest: 'ab'.repeat(32) }], freshness: 'nonce-required', ...changes },
          { modelBinding: { modelSets: [['ab'.repeat(32)]] }, ...nitro },
        ),
      ),
      AT,
    ).map(({ code, path: place }) => `${code} ${place}`);
  const image = (change: Record<string, unknown>) => ({ referenceValues: [{ ...nitroImage(), ...change }] });

  test('a policy that opts out of nothing has nothing to say, not even of time', () => {
    expect(lint({})).toEqual([]);
  });

  test.each<readonly [string, Record<string, unknown>, readonly string[]]>([
    ['any program', { referenceValues: 'any-unidentified-program' }, ['opt-out policy.nitro.referenceValues']],
    ['debug', { debug: 'allow-debug-no-confidentiality' }, ['opt-out policy.nitro.debug']],
    ['any age', { maxDocumentAgeSeconds: 'any' }, ['opt-out policy.nitro.maxDocumentAgeSeconds']],
    ['models that nobody measured', { modelBinding: 'not-required' }, ['opt-out policy.nitro.modelBinding']],
    [
      'a model that no set holds',
      { modelBinding: { modelSets: [['cd'.repeat(32)]] } },
      ['model-in-no-set policy.models[0]'],
    ],
    ['an unused register', image({ pcr0: 'unused' }), ['opt-out policy.nitro.referenceValues[0].pcr0']],
    [
      'a build that has expired',
      image({ notAfter: '2026-01-01T00:00:00Z' }),
      [
        'reference-values-expired policy.nitro.referenceValues',
        'reference-value-expired policy.nitro.referenceValues[0].notAfter',
      ],
    ],
    [
      'one name for two builds',
      { referenceValues: [nitroImage(), nitroImage({ 0: aa })] },
      ['name-repeated policy.nitro.referenceValues[1].name'],
    ],
  ])('%s', (_, nitro, warnings) => {
    expect(lint({}, nitro)).toEqual(warnings);
  });

  test('a build that is denied as well', () => {
    const codes = lint({ deniedMeasurements: [aa] }, image({ pcr2: aa }));
    expect(codes).toEqual(['measurement-denied policy.nitro.referenceValues[0].pcr2']);
  });

  test('a time that only one of two platforms can prove, and a policy for neither', () => {
    const both = strictNitroPolicy()['nitro'];
    const codes = (policy: AppraisalPolicy): string[] => lintPolicy(policy, AT).map(({ code }) => code);
    expect(codes(parsePolicy(strictPolicy({ nitro: both, existedBy: 'required' })))).toContain('refuses-sev-snp');
    expect(codes(parsePolicy(strictPolicy({ existedBy: 'required' })))).toContain('refuses-everything');
    expect(codes(parsePolicy(strictPolicy({ sevSnp: 'refuse' })))).toContain('accepts-nothing');
    expect(codes(parsePolicy(strictNitroPolicy()))).not.toContain('accepts-nothing');
  });
});
