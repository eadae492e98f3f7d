/** A policy that states everything and opts out of nothing it can state, for the mini enclave's Milan evidence. */
export const strictPolicy = (changes: Record<string, unknown> = {}, snp: Record<string, unknown> = {}) => ({
  $comment: 'for tests',
  profile: 'veritee/policy/v1',
  id: 'strict',
  anchors: [{ builtin: 'amd' }],
  sevSnp: {
    referenceValues: [
      {
        name: 'mini',
        measurement: '5a'.repeat(48),
        hostData: '00'.repeat(32),
        vmpl: 0,
        idKeyDigest: 'unused',
        authorKeyDigest: 'unused',
      },
    ],
    products: ['Milan'],
    minimumTcb: [{ product: 'Milan', cpuidModels: 'any', bootloader: 4, tee: 0, snp: 27, microcode: 222 }],
    minimumLaunchTcb: 'same-as-reported',
    debug: 'forbid',
    migration: 'forbid',
    smt: 'allow',
    cxl: 'forbid',
    singleSocket: 'not-required',
    ciphertextHiding: 'not-required',
    memAes256Xts: 'not-required',
    raplDisabled: 'not-required',
    pageSwapDisabled: 'not-required',
    provisionalFirmware: 'forbid',
    aliasCheck: 'require',
    unknownPlatformInfo: 'forbid',
    chips: 'any',
    maskedChipId: 'forbid',
    vlek: 'forbid',
    crl: 'not-required',
    modelBinding: 'not-required',
    ...snp,
  },
  nitro: 'refuse',
  deniedMeasurements: [] as string[],
  models: 'any',
  freshness: 'not-required',
  existedBy: 'not-required',
  strength: 'hardware-committed',
  maxWaitSeconds: 30,
  ...changes,
});

const PCR = (value: string | undefined): string => value ?? '11'.repeat(48);

/** A reference value of these registers, by index. */
export const nitroImage = (pcrs: Readonly<Record<string, string>> = {}) => ({
  name: 'mini',
  pcr0: PCR(pcrs['0']),
  pcr1: PCR(pcrs['1']),
  pcr2: PCR(pcrs['2']),
  pcr8: PCR(pcrs['8']),
});

/** The same for Nitro evidence. */
export const strictNitroPolicy = (changes: Record<string, unknown> = {}, nitro: Record<string, unknown> = {}) =>
  strictPolicy({
    anchors: [{ builtin: 'aws' }],
    sevSnp: 'refuse',
    nitro: {
      referenceValues: [nitroImage()],
      debug: 'forbid',
      maxDocumentAgeSeconds: 3600,
      modelBinding: 'not-required',
      ...nitro,
    },
    existedBy: 'required',
    ...changes,
  });
