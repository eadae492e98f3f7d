import { equalBytes } from '@veritee/protocol';
import { lintModelBinding, MODEL_BINDING_OPT_OUT } from './lint-model-binding.ts';
import { type OptOut, type PolicyWarning, when } from './lint-warning.ts';
import type { AppraisalPolicy, NitroPolicy, NitroReferenceValue } from './policy.ts';
import { hasExpired } from './reference-values.ts';

const NITRO_OPT_OUTS: readonly OptOut<NitroPolicy>[] = [
  [
    'referenceValues',
    'any-unidentified-program',
    'any program is accepted, and every result says “by an unidentified program”',
  ],
  [
    'debug',
    'allow-debug-no-confidentiality',
    'the parent instance may read the enclave’s console, and its PCRs measure nothing',
  ],
  ['maxDocumentAgeSeconds', 'any', 'a document signed long ago will do'],
  MODEL_BINDING_OPT_OUT,
];

const REGISTERS = {
  pcr0: 'the image as a whole is not compared: whatever the others leave open will do',
  pcr1: 'the kernel is compared only as far as PCR0 covers it',
  pcr2: 'the application is compared only as far as PCR0 covers it',
  pcr8: 'whoever signed the image will do, or nobody',
} as const;
const REGISTER_NAMES = Object.keys(REGISTERS) as readonly (keyof typeof REGISTERS)[];

export function lintNitro(nitro: NitroPolicy, policy: AppraisalPolicy, at: Date): readonly PolicyWarning[] {
  const { referenceValues } = nitro;
  const values = referenceValues === 'any-unidentified-program' ? [] : referenceValues;
  return [
    ...NITRO_OPT_OUTS.flatMap(([field, word, words]) =>
      when(nitro[field] === word, 'opt-out', `nitro.${field}`, words),
    ),
    ...when(
      values.length > 0 && values.every((value) => hasExpired(value, at)),
      'reference-values-expired',
      'nitro.referenceValues',
      'every build has expired: every document is refused',
    ),
    ...values.flatMap((value, i) => lintNitroValue(value, i, values, policy.deniedMeasurements, at)),
    ...lintModelBinding('nitro', nitro.modelBinding, policy),
  ];
}

function lintNitroValue(
  value: NitroReferenceValue,
  index: number,
  values: readonly NitroReferenceValue[],
  denied: readonly Uint8Array[],
  at: Date,
): readonly PolicyWarning[] {
  const path = `nitro.referenceValues[${index}]`;
  const named = values.findIndex(({ name }) => name === value.name);
  return [
    ...when(
      hasExpired(value, at),
      'reference-value-expired',
      `${path}.notAfter`,
      `the build has been unknown since ${value.notAfter?.toISOString()}: documents of it are refused`,
    ),
    ...when(named < index, 'name-repeated', `${path}.name`, `results cannot tell it from referenceValues[${named}]`),
    ...REGISTER_NAMES.flatMap((name) => when(value[name] === 'unused', 'opt-out', `${path}.${name}`, REGISTERS[name])),
    ...(['pcr0', 'pcr1', 'pcr2'] as const).flatMap((name) => {
      const pcr = value[name];
      return when(
        pcr !== 'unused' && denied.some((one) => equalBytes(one, pcr)),
        'measurement-denied',
        `${path}.${name}`,
        'deniedMeasurements names it too: documents of it are refused',
      );
    }),
  ];
}
