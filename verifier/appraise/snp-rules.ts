/**
 * The SNP half of a policy, as a table: one claim, one code, one source a row. Every row is run and every failure
 * reported. A row that the policy opts out of is skipped, never passed, and its `unknown` is said in `notChecked`.
 */
import { type Code, equalBytes, hex } from '@veritee/protocol';
import type { CheckLog, CheckRow } from '../checks.ts';
import { meetsTcb, tcbText } from '../snp/tcb.ts';
import type { VerifiedSnp } from '../snp/verify.ts';
import type { SnpTcbs } from './claims.ts';
import type { SnpPolicy } from './policy.ts';
import { buildText, hexOrWord, measuredText, referenceRule } from './reference-values.ts';
import { floorText, launchFloors, meetsFloor, reportedFloors } from './tcb-floors.ts';

export interface SnpFacts {
  readonly snp: VerifiedSnp;
  readonly tcb: SnpTcbs;
  readonly at: Date;
}

export interface SnpRule extends CheckRow {
  readonly code: Code;
  /** Present on rows that say nothing about some reports. */
  readonly applies?: (facts: SnpFacts) => boolean;
  /** True only for the policy's own opting-out word: a value that is missing or misspelt does not switch a row off. */
  readonly optedOut: (policy: SnpPolicy, facts: SnpFacts) => boolean;
  /** What nobody knows when the row is opted out, in plain words; absent where another row says it. */
  readonly unknown?: string;
  readonly expected: (policy: SnpPolicy, facts: SnpFacts) => string;
  readonly holds: (facts: SnpFacts, policy: SnpPolicy) => boolean;
  readonly actual: (facts: SnpFacts, policy: SnpPolicy) => string;
}

const MS_PER_DAY = 86_400_000;
const onOff = (bit: boolean): string => (bit ? '1' : '0');

function policyBit(
  row: Pick<SnpRule, 'id' | 'claim' | 'source' | 'unknown'>,
  bit: 'singleSocket' | 'memAes256Xts' | 'raplDis' | 'ciphertextHidingDram' | 'pageSwapDisable',
  field: 'singleSocket' | 'memAes256Xts' | 'raplDisabled' | 'ciphertextHiding' | 'pageSwapDisabled',
): SnpRule {
  return {
    ...row,
    code: 'GUEST_POLICY_WEAK',
    optedOut: (policy) => policy[field] === 'not-required',
    expected: () => '1',
    holds: ({ snp }) => snp.report.policy[bit],
    actual: ({ snp }) => onOff(snp.report.policy[bit]),
  };
}

export const SNP_RULES: readonly SnpRule[] = [
  {
    id: 'policy.product',
    code: 'PRODUCT_NOT_ALLOWED',
    claim: 'product',
    source: 'AMD 57230, productName',
    optedOut: () => false,
    expected: ({ products }) => products.join(' or '),
    holds: ({ snp }, { products }) => products.includes(snp.product),
    actual: ({ snp }) => snp.product,
  },
  referenceRule(
    'measurement',
    {
      id: 'policy.measurement',
      code: 'MEASUREMENT_UNKNOWN',
      claim: 'MEASUREMENT',
      source: 'AMD 56860, launch digest',
      unknown: 'by an unidentified program: the launch measurement was compared with no reference value',
      actual: measuredText,
    },
    buildText,
  ),
  referenceRule(
    'hostData',
    {
      id: 'policy.host-data',
      code: 'HOST_DATA_MISMATCH',
      claim: 'HOST_DATA',
      source: 'AMD 56860, HOST_DATA',
      unknown: 'HOST_DATA: which container or configuration the host launched',
      actual: ({ snp }) => hex(snp.report.hostData),
    },
    ({ hostData }) => hexOrWord(hostData),
  ),
  referenceRule(
    'vmpl',
    {
      id: 'policy.vmpl',
      code: 'VMPL_NOT_ALLOWED',
      claim: 'VMPL',
      source: 'AMD 56860, VMPL',
      unknown: 'VMPL: at which privilege level of the guest the report was asked for',
      actual: ({ snp }) => String(snp.report.vmpl),
    },
    ({ vmpl }) => String(vmpl),
  ),
  referenceRule(
    'idKeyDigest',
    {
      id: 'policy.id-key',
      code: 'ID_KEY_MISMATCH',
      claim: 'ID_KEY_DIGEST',
      source: 'AMD 56860, ID_BLOCK',
      unknown: 'ID_KEY_DIGEST: whose key signed the ID block',
      actual: ({ snp }) => hex(snp.report.idKeyDigest),
    },
    ({ idKeyDigest }) => hexOrWord(idKeyDigest),
  ),
  referenceRule(
    'authorKeyDigest',
    {
      id: 'policy.author-key',
      code: 'AUTHOR_KEY_MISMATCH',
      claim: 'AUTHOR_KEY_DIGEST',
      source: 'AMD 56860, ID_AUTH_INFO',
      unknown: 'AUTHOR_KEY_DIGEST: whose key vouched for the ID key',
      actual: ({ snp }) => hex(snp.report.authorKeyDigest),
    },
    ({ authorKeyDigest }) => hexOrWord(authorKeyDigest),
  ),
  {
    id: 'policy.minimum-tcb',
    code: 'TCB_BELOW_MINIMUM',
    claim: 'REPORTED_TCB',
    source: 'AMD 56860, TCB_VERSION',
    optedOut: ({ minimumTcb }) => minimumTcb === 'any',
    unknown: 'minimum TCB: whether the firmware has the fixes you want',
    expected: (policy, facts) => floorText(reportedFloors(policy), facts),
    holds: (facts, policy) => meetsFloor(facts.tcb.reported, reportedFloors(policy), facts),
    actual: ({ tcb }) => tcbText(tcb.reported),
  },
  {
    id: 'policy.minimum-launch-tcb',
    code: 'TCB_BELOW_MINIMUM',
    claim: 'LAUNCH_TCB',
    source: 'AMD 56860, TCB_VERSION',
    optedOut: ({ minimumTcb, minimumLaunchTcb }) =>
      minimumLaunchTcb === 'any' || (minimumLaunchTcb === 'same-as-reported' && minimumTcb === 'any'),
    unknown: 'minimum launch TCB: whether the firmware had those fixes when the guest was launched',
    expected: (policy, facts) => floorText(launchFloors(policy), facts),
    holds: (facts, policy) => meetsFloor(facts.tcb.launch, launchFloors(policy), facts),
    actual: ({ tcb }) => tcbText(tcb.launch),
  },
  {
    // What makes a floor on REPORTED_TCB a floor on the platform.
    id: 'policy.tcb-order',
    code: 'TCB_INCONSISTENT',
    claim: 'REPORTED_TCB, COMMITTED_TCB, CURRENT_TCB',
    source: 'AMD 56860, TCB_VERSION',
    optedOut: ({ minimumTcb }) => minimumTcb === 'any',
    unknown: 'order of TCBs: whether reported ≤ committed ≤ current',
    expected: () => 'reported ≤ committed ≤ current, in every part',
    holds: ({ tcb }) => meetsTcb(tcb.committed, tcb.reported) && meetsTcb(tcb.current, tcb.committed),
    actual: ({ tcb }) =>
      `reported ${tcbText(tcb.reported)}; committed ${tcbText(tcb.committed)}; current ${tcbText(tcb.current)}`,
  },
  {
    id: 'policy.provisional-firmware',
    code: 'TCB_PROVISIONAL',
    claim: 'COMMITTED_TCB, COMMITTED_VERSION',
    source: 'AMD 56860, SNP_COMMIT',
    optedOut: ({ provisionalFirmware }) => provisionalFirmware === 'allow',
    unknown: 'provisional firmware: whether the host can still roll the firmware back',
    expected: () => 'the committed TCB and version equal to the current ones',
    holds: ({ snp: { report } }) =>
      equalBytes(report.committedTcb, report.currentTcb) &&
      report.committedFirmware.major === report.currentFirmware.major &&
      report.committedFirmware.minor === report.currentFirmware.minor &&
      report.committedFirmware.build === report.currentFirmware.build,
    actual: ({ snp: { report }, tcb }) => {
      const { committedFirmware: a, currentFirmware: b } = report;
      return (
        `committed ${a.major}.${a.minor}.${a.build} (${tcbText(tcb.committed)}), ` +
        `current ${b.major}.${b.minor}.${b.build} (${tcbText(tcb.current)})`
      );
    },
  },
  {
    id: 'policy.debug',
    code: 'DEBUG_ENABLED',
    claim: 'POLICY.DEBUG',
    source: 'AMD 56860, guest policy bit 19',
    optedOut: ({ debug }) => debug === 'allow-debug-no-confidentiality',
    unknown: 'debug: whether the host may read and write the guest’s memory',
    expected: () => '0',
    holds: ({ snp }) => !snp.report.policy.debug,
    actual: ({ snp }) => onOff(snp.report.policy.debug),
  },
  {
    id: 'policy.migration',
    code: 'MIGRATION_ENABLED',
    claim: 'POLICY.MIGRATE_MA',
    source: 'AMD 56860, guest policy bit 18',
    optedOut: ({ migration }) => migration === 'allow',
    unknown: 'migration: whether a migration agent may take the guest elsewhere',
    expected: () => '0',
    holds: ({ snp }) => !snp.report.policy.migrateMa,
    actual: ({ snp }) => onOff(snp.report.policy.migrateMa),
  },
  {
    id: 'policy.smt',
    code: 'SMT_ENABLED',
    claim: 'POLICY.SMT, PLATFORM_INFO.SMT_EN',
    source: 'AMD 56860, guest policy bit 16, PLATFORM_INFO bit 0',
    optedOut: ({ smt }) => smt === 'allow',
    unknown: 'SMT: whether other threads share the guest’s cores',
    expected: () => '0 and 0',
    holds: ({ snp }) => !snp.report.policy.smt && !snp.report.platformInfo.smtEn,
    actual: ({ snp }) => `${onOff(snp.report.policy.smt)} and ${onOff(snp.report.platformInfo.smtEn)}`,
  },
  {
    id: 'policy.cxl',
    code: 'GUEST_POLICY_WEAK',
    claim: 'POLICY.CXL_ALLOW',
    source: 'AMD 56860, guest policy bit 21',
    optedOut: ({ cxl }) => cxl === 'allow',
    unknown: 'CXL: whether the guest’s memory may lie on CXL devices',
    expected: () => '0',
    holds: ({ snp }) => !snp.report.policy.cxlAllow,
    actual: ({ snp }) => onOff(snp.report.policy.cxlAllow),
  },
  policyBit(
    {
      id: 'policy.single-socket',
      claim: 'POLICY.SINGLE_SOCKET',
      source: 'AMD 56860, guest policy bit 20',
      unknown: 'single socket: whether the guest’s memory crosses a link between sockets',
    },
    'singleSocket',
    'singleSocket',
  ),
  policyBit(
    {
      id: 'policy.mem-aes-256-xts',
      claim: 'POLICY.MEM_AES_256_XTS',
      source: 'AMD 56860, guest policy bit 22',
      unknown: 'memory cipher: whether AES-256-XTS is enforced',
    },
    'memAes256Xts',
    'memAes256Xts',
  ),
  policyBit(
    {
      id: 'policy.rapl-disabled',
      claim: 'POLICY.RAPL_DIS',
      source: 'AMD 56860, guest policy bit 23',
      unknown: 'RAPL: whether the host can read the power meter as a side channel',
    },
    'raplDis',
    'raplDisabled',
  ),
  policyBit(
    {
      id: 'policy.ciphertext-hiding',
      claim: 'POLICY.CIPHERTEXT_HIDING_DRAM',
      source: 'AMD 56860, guest policy bit 24',
      unknown: 'ciphertext hiding: whether the host can watch the guest’s encrypted memory change',
    },
    'ciphertextHidingDram',
    'ciphertextHiding',
  ),
  policyBit(
    {
      id: 'policy.page-swap-disabled',
      claim: 'POLICY.PAGE_SWAP_DISABLE',
      source: 'AMD 56860, guest policy bit 25',
      unknown: 'page swap: whether the host may move and swap the guest’s pages',
    },
    'pageSwapDisable',
    'pageSwapDisabled',
  ),
  {
    id: 'policy.alias-check',
    code: 'ALIAS_CHECK_MISSING',
    claim: 'PLATFORM_INFO.ALIAS_CHECK_COMPLETE',
    source: 'AMD 56860, PLATFORM_INFO bit 5; AMD-SB-3015',
    optedOut: ({ aliasCheck }) => aliasCheck === 'not-required',
    unknown: 'alias check: whether the firmware ruled out memory modules that lie about their size (BadRAM)',
    expected: () => '1',
    holds: ({ snp }) => snp.report.platformInfo.aliasCheckComplete,
    actual: ({ snp }) => onOff(snp.report.platformInfo.aliasCheckComplete),
  },
  {
    id: 'policy.platform-info',
    code: 'PLATFORM_INFO_UNKNOWN',
    claim: 'PLATFORM_INFO',
    source: 'AMD 56860, PLATFORM_INFO, reserved bits',
    optedOut: ({ unknownPlatformInfo }) => unknownPlatformInfo === 'allow',
    unknown: 'platform info: what bits mean that this release has no name for',
    expected: () => 'no unknown bit',
    holds: ({ snp }) => snp.report.platformInfo.unknownBits === 0n,
    actual: ({ snp }) => `0x${snp.report.platformInfo.unknownBits.toString(16)}`,
  },
  {
    id: 'policy.masked-chip-id',
    code: 'CHIP_ID_MASKED',
    claim: 'CHIP_ID',
    source: 'AMD 56860, MASK_CHIP_ID',
    applies: ({ snp }) => snp.signer === 'VCEK', // a VLEK belongs to no chip
    optedOut: ({ maskedChipId }) => maskedChipId === 'allow',
    unknown: 'masked CHIP_ID: whether the report comes from the chip its certificate is for',
    expected: () => 'the id of the chip',
    holds: ({ snp }) => !snp.chipIdMasked,
    actual: ({ snp }) => hex(snp.report.chipId),
  },
  {
    id: 'policy.chips',
    code: 'CHIP_NOT_ALLOWED',
    claim: 'CHIP_ID',
    source: 'AMD 56860, CHIP_ID',
    optedOut: ({ chips }) => chips === 'any',
    unknown: 'chips: whether this is a machine you know',
    expected: ({ chips }) => (chips === 'any' ? 'any' : chips.map(hex).join(' or ')),
    holds: ({ snp }, { chips }) => chips !== 'any' && chips.some((chip) => equalBytes(chip, snp.report.chipId)),
    actual: ({ snp }) => hex(snp.report.chipId),
  },
  {
    id: 'policy.vlek',
    code: 'SIGNING_KEY_NOT_ALLOWED',
    claim: 'SIGNING_KEY, cspID',
    source: 'AMD 56860, KEY_INFO; AMD 57230, cspID',
    applies: ({ snp }) => snp.signer === 'VLEK',
    optedOut: ({ vlek }) => vlek === 'allow',
    unknown: 'VLEK: whether a key that a cloud provider holds for all its chips will do',
    expected: ({ vlek }) => {
      if (typeof vlek === 'object') return `a VLEK of ${vlek.cspIds.map((id) => JSON.stringify(id)).join(' or ')}`;
      return 'a VCEK';
    },
    holds: ({ snp: { certificate } }, { vlek }) =>
      typeof vlek === 'object' && certificate.cspId !== null && vlek.cspIds.includes(certificate.cspId),
    actual: ({ snp: { certificate } }) => `a VLEK of ${JSON.stringify(certificate.cspId)}`,
  },
  {
    id: 'policy.crl',
    code: 'CRL_REQUIRED',
    claim: 'certificate revocation list',
    source: 'RFC 5280 §5; AMD 57230',
    // A list that was given is shown, asked for or not; `snp.crl` says what its absence leaves open.
    optedOut: ({ crl }, { snp }) => crl === 'not-required' && snp.crl === null,
    expected: ({ crl }) =>
      crl === 'not-required' ? 'any' : `a current list given by the caller, at most ${crl.maxAgeDays} days old`,
    holds: ({ snp, at }, { crl }) =>
      snp.crl !== null &&
      (crl === 'not-required' || at.getTime() - snp.crl.thisUpdate.getTime() <= crl.maxAgeDays * MS_PER_DAY),
    actual: ({ snp }) => (snp.crl ? `one of ${snp.crl.thisUpdate.toISOString()}` : 'none'),
  },
];

/** @param policy null when the platform itself is refused: then no row is asked */
export function runSnpRules(facts: SnpFacts, policy: SnpPolicy | null, log: CheckLog): void {
  for (const rule of SNP_RULES) {
    if (!policy) log.skip(rule.id, 'the policy refuses this platform');
    else if (rule.applies && !rule.applies(facts)) log.skip(rule.id, `does not apply to a ${facts.snp.signer}`);
    else if (rule.optedOut(policy, facts)) log.skip(rule.id, 'the policy does not ask', rule.unknown);
    else if (rule.holds(facts, policy)) log.pass(rule.id, rule.actual(facts, policy), rule.expected(policy, facts));
    else log.fail(rule.id, rule.code, rule.expected(policy, facts), rule.actual(facts, policy));
  }
}
