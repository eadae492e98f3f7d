import { equalBytes, hex, isZero, modelSetHostData } from '@veritee/protocol';
import type { SnpProduct } from '../snp/tcb.ts';
import { lintModelBinding, MODEL_BINDING_OPT_OUT } from './lint-model-binding.ts';
import { type OptOut, type PolicyWarning, warn, when } from './lint-warning.ts';
import type { AppraisalPolicy, ReferenceValue, SnpPolicy, TcbFloor } from './policy.ts';
import { hasExpired } from './reference-values.ts';

const SNP_OPT_OUTS: readonly OptOut<SnpPolicy>[] = [
  [
    'referenceValues',
    'any-unidentified-program',
    'any program is accepted, and every result says “by an unidentified program”',
  ],
  ['minimumTcb', 'any', 'firmware and microcode with published flaws are accepted'],
  ['minimumLaunchTcb', 'any', 'a guest launched under flawed firmware is accepted'],
  [
    'debug',
    'allow-debug-no-confidentiality',
    'the host may read and write the guest’s memory: nothing is confidential',
  ],
  ['migration', 'allow', 'a migration agent may take the guest, with its secrets, elsewhere'],
  ['smt', 'allow', 'other threads may share the guest’s cores, and watch them from the side'],
  ['cxl', 'allow', 'the guest’s memory may lie on CXL devices'],
  ['singleSocket', 'not-required', 'the guest’s memory may cross the link between sockets'],
  ['ciphertextHiding', 'not-required', 'the host may watch the guest’s encrypted memory change'],
  ['memAes256Xts', 'not-required', 'AES-256-XTS is not enforced for memory'],
  ['raplDisabled', 'not-required', 'the host may read the power meter as a side channel'],
  ['pageSwapDisabled', 'not-required', 'the host may move and swap the guest’s pages'],
  ['provisionalFirmware', 'allow', 'the host may roll the firmware back to what it was before'],
  ['aliasCheck', 'not-required', 'memory modules that lie about their size (BadRAM) are not ruled out'],
  ['unknownPlatformInfo', 'allow', 'platform flags are accepted that this release cannot name'],
  ['chips', 'any', 'any chip of the accepted products will do, in whoever’s hands'],
  ['maskedChipId', 'allow', 'nothing but the key ties a report to the chip its certificate is for'],
  ['vlek', 'allow', 'keys that cloud providers hold for all their chips will do'],
  ['crl', 'not-required', 'a revoked certificate is found only where somebody happens to give a revocation list'],
  MODEL_BINDING_OPT_OUT,
];

export function lintSnp(snp: SnpPolicy, policy: AppraisalPolicy, at: Date): readonly PolicyWarning[] {
  return [
    ...SNP_OPT_OUTS.flatMap(([field, word, words]) => when(snp[field] === word, 'opt-out', `sevSnp.${field}`, words)),
    ...lintReferenceValues(snp, policy, at),
    ...lintProducts(snp),
    ...lintFloors(snp, 'minimumTcb'),
    ...lintFloors(snp, 'minimumLaunchTcb'),
    ...lintChips(snp),
    ...lintModelBinding('sevSnp', snp.modelBinding, policy),
    ...lintHostData(snp),
  ];
}

function lintReferenceValues(
  { referenceValues }: SnpPolicy,
  { deniedMeasurements }: AppraisalPolicy,
  at: Date,
): readonly PolicyWarning[] {
  if (referenceValues === 'any-unidentified-program') return [];
  const left = referenceValues.filter((value) => !hasExpired(value, at));
  return [
    ...when(
      left.length === 0,
      'reference-values-expired',
      'sevSnp.referenceValues',
      'every build has expired: every report is refused',
    ),
    ...referenceValues.flatMap((value, i) => lintReferenceValue(value, i, referenceValues, deniedMeasurements, at)),
  ];
}

function lintReferenceValue(
  value: ReferenceValue,
  index: number,
  values: readonly ReferenceValue[],
  denied: readonly Uint8Array[],
  at: Date,
): readonly PolicyWarning[] {
  const path = `sevSnp.referenceValues[${index}]`;
  const { notAfter } = value;
  const isListed = (measurement: Uint8Array) => (one: Uint8Array) => equalBytes(one, measurement);
  const named = values.findIndex(({ name }) => name === value.name);
  return [
    ...when(
      notAfter !== null && hasExpired(value, at),
      'reference-value-expired',
      `${path}.notAfter`,
      `the build has been unknown since ${notAfter?.toISOString()}: reports of it are refused`,
    ),
    ...when(named < index, 'name-repeated', `${path}.name`, `results cannot tell it from referenceValues[${named}]`),
    ...when(
      value.hostData === 'unused',
      'opt-out',
      `${path}.hostData`,
      'HOST_DATA is not compared: right only where the measurement covers the whole program, not for containers',
    ),
    ...when(value.idKeyDigest === 'unused', 'opt-out', `${path}.idKeyDigest`, 'whoever signed the ID block will do'),
    ...when(
      value.authorKeyDigest === 'unused',
      'opt-out',
      `${path}.authorKeyDigest`,
      'whoever vouched for that key will do',
    ),
    ...value.measurements.flatMap((measurement, i) => [
      ...when(
        value.measurements.findIndex(isListed(measurement)) < i,
        'measurement-repeated',
        path,
        `measurement ${hex(measurement).slice(0, 16)}… is listed twice in this build`,
      ),
      ...when(
        denied.some(isListed(measurement)),
        'measurement-denied',
        path,
        `deniedMeasurements names ${hex(measurement).slice(0, 16)}… too: reports of it are refused`,
      ),
    ]),
  ];
}

/** HOST_DATA has room for one meaning. */
function lintHostData({ referenceValues, modelBinding }: SnpPolicy): readonly PolicyWarning[] {
  if (referenceValues === 'any-unidentified-program' || modelBinding === 'not-required') return [];
  const sets = modelBinding.modelSets.map(modelSetHostData);
  return referenceValues.flatMap(({ hostData }, i) =>
    when(
      hostData !== 'unused' && !sets.some((set) => equalBytes(set, hostData)),
      'host-data-no-model-set',
      `sevSnp.referenceValues[${i}].hostData`,
      'it is the value of no set in modelBinding, which wants HOST_DATA to be one: reports of this build are refused',
    ),
  );
}

const lintProducts = ({ products }: SnpPolicy): readonly PolicyWarning[] =>
  products.flatMap((product, i) =>
    when(products.indexOf(product) < i, 'product-repeated', `sevSnp.products[${i}]`, `${product} is listed before`),
  );

/** Dies that one product name covers; microcode numbers of one say nothing about another. */
const DIES: Readonly<Record<SnpProduct, string | null>> = {
  Milan: null,
  Genoa: 'Genoa, Bergamo and Siena',
  Turin: 'Turin and Turin Dense',
};

function lintFloors(snp: SnpPolicy, field: 'minimumTcb' | 'minimumLaunchTcb'): readonly PolicyWarning[] {
  const floors = snp[field];
  if (typeof floors === 'string') return [];
  return [
    ...snp.products.flatMap((product) => lintProductFloors(product, floors, `sevSnp.${field}`)),
    ...floors.flatMap(({ product, cpuidModels }, i) => {
      const path = `sevSnp.${field}[${i}]`;
      const dies = DIES[product];
      return [
        ...when(
          !snp.products.includes(product),
          'floor-unused',
          path,
          `${product} is not among the products: no effect`,
        ),
        ...when(
          cpuidModels === 'any' && dies !== null,
          'floor-for-all-dies',
          `${path}.cpuidModels`,
          `one microcode number for ${dies}, whose numbers differ: too low for one or too high for another`,
        ),
      ];
    }),
  ];
}

function lintProductFloors(product: SnpProduct, floors: readonly TcbFloor[], path: string): readonly PolicyWarning[] {
  const own = floors.filter((floor) => floor.product === product);
  if (own.length === 0) {
    return [warn('floor-missing', path, `${product} is accepted but has no floor: every ${product} report is refused`)];
  }
  if (own.some(({ cpuidModels }) => cpuidModels === 'any')) return [];
  const models = own.flatMap(({ cpuidModels }) => (cpuidModels === 'any' ? [] : cpuidModels)).join(', ');
  const words = `reports of ${product} models other than ${models}, and version 2 reports, which name none, are refused`;
  return [warn('floor-for-named-models', path, words)];
}

function lintChips({ chips, maskedChipId, vlek }: SnpPolicy): readonly PolicyWarning[] {
  if (chips === 'any') return [];
  const masked = chips.findIndex(isZero);
  return [
    ...when(
      masked >= 0,
      'chip-masked',
      `sevSnp.chips[${masked}]`,
      'this is no chip but the id of every report that hides its chip: all of those are on the list',
    ),
    ...chips.flatMap((chip, i) => {
      const earlier = chips.findIndex((other) => equalBytes(other, chip));
      return when(earlier < i, 'chip-repeated', `sevSnp.chips[${i}]`, `${hex(chip).slice(0, 16)}… is listed before`);
    }),
    ...when(
      masked < 0 && maskedChipId === 'allow',
      'masked-never-listed',
      'sevSnp.maskedChipId',
      'a report that hides its chip is on no list of chips: it is refused all the same',
    ),
    ...when(
      masked < 0 && vlek !== 'forbid',
      'vlek-may-hide-chip',
      'sevSnp.vlek',
      'where a provider hides CHIP_ID, reports under its VLEK are on no list of chips and refused',
    ),
  ];
}
