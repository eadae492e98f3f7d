/**
 * A result as an AR4SI trustworthiness vector (draft-ietf-rats-ar4si §2.3): which check decides which claim, and with
 * which value. A row the policy did not ask for makes no claim; what failed is never left out.
 */
import { CODES } from '@veritee/protocol';
import type { AttestationResult } from './appraise/result.ts';
import type { Platform } from './trust/anchor.ts';

/** The eight claims, in AR4SI's own order. */
export const TRUST_CLAIMS = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
  'runtime-opaque',
  'storage-opaque',
  'sourced-data',
] as const;
export type TrustClaim = (typeof TRUST_CLAIMS)[number];
export type TrustVector = { readonly [claim in TrustClaim]?: number };
export type TrustTier = 'none' | 'affirming' | 'warning' | 'contraindicated';

const NO_CLAIM = 0;
const UNEXPECTED_EVIDENCE = 1;
const AFFIRMED = 2;
const APPROVED_BOOT = 3;
const WARNING = 32;
const ISOLATED_MEMORY = 32;
const UNRECOGNIZED_EXECUTABLES = 33;
const REFUSED = 96;
const VISIBLE_MEMORY = 96;
const UNRECOGNIZED = 97;
const CRYPTOGRAPHY_FAILED = 99;

/** One claim's way to a value: the first line that applies. */
interface Line {
  readonly value: number;
  /** Rows of which one failed. */
  readonly anyFailed?: readonly string[];
  /** Rows that all passed. */
  readonly allPassed?: readonly string[];
}

const REFERENCE_ROWS = ['policy.measurement', 'policy.host-data', 'policy.id-key', 'policy.author-key'] as const;

const NITRO_REFERENCE_ROWS = [
  'policy.nitro-pcr0',
  'policy.nitro-pcr1',
  'policy.nitro-pcr2',
  'policy.nitro-pcr8',
] as const;

const LINES: { readonly [claim in TrustClaim]?: readonly Line[] } = {
  'instance-identity': [
    { value: UNRECOGNIZED, anyFailed: ['policy.chips', 'policy.vlek'] },
    { value: AFFIRMED, allPassed: ['policy.chips'] },
    { value: AFFIRMED, allPassed: ['policy.vlek'] },
  ],
  configuration: [
    { value: REFUSED, anyFailed: ['policy.debug', 'policy.migration', 'policy.nitro-debug'] },
    {
      value: WARNING,
      anyFailed: [
        'policy.vmpl',
        'policy.smt',
        'policy.cxl',
        'policy.single-socket',
        'policy.mem-aes-256-xts',
        'policy.rapl-disabled',
        'policy.ciphertext-hiding',
        'policy.page-swap-disabled',
      ],
    },
    { value: AFFIRMED, allPassed: ['policy.debug', 'policy.migration', 'policy.vmpl'] },
    { value: AFFIRMED, allPassed: ['policy.nitro-debug'] },
  ],
  executables: [
    { value: REFUSED, anyFailed: ['policy.denied-measurements'] },
    { value: UNRECOGNIZED_EXECUTABLES, anyFailed: [...REFERENCE_ROWS, ...NITRO_REFERENCE_ROWS] },
    // Launch measurements speak of what was booted, not of what runs now.
    { value: APPROVED_BOOT, allPassed: REFERENCE_ROWS },
    // PCR0 covers the whole image.
    { value: APPROVED_BOOT, allPassed: ['policy.nitro-pcr0'] },
  ],
  hardware: [
    { value: UNRECOGNIZED, anyFailed: ['policy.product'] },
    { value: REFUSED, anyFailed: ['snp.revocation'] },
    {
      value: WARNING,
      anyFailed: [
        'policy.minimum-tcb',
        'policy.minimum-launch-tcb',
        'policy.tcb-order',
        'policy.provisional-firmware',
        'policy.alias-check',
        'policy.platform-info',
      ],
    },
    { value: AFFIRMED, allPassed: ['policy.minimum-tcb'] },
    { value: AFFIRMED, allPassed: ['nitro.chain.root', 'nitro.signature'] },
  ],
};

/** What the platform itself does for memory; nothing is claimed for software that plays a platform. */
const RUNTIME_OPAQUE: { readonly [platform in Platform]?: number } = { snp: AFFIRMED, nitro: ISOLATED_MEMORY };

export function trustVector(result: AttestationResult): TrustVector {
  const stages = new Set(
    result.findings.filter(({ code }) => code !== 'CERTIFICATE_REVOKED').map(({ code }) => CODES[code].stage),
  );
  if (stages.has('parse')) return all(UNEXPECTED_EVIDENCE);
  if (stages.has('verify')) return all(CRYPTOGRAPHY_FAILED);

  const vector: { [claim in TrustClaim]?: number } = {};
  const simulated = result.platform?.startsWith('simulated-') === true;
  const debug = result.claims.guestPolicy?.['debug'] === true || result.claims.debug === true;
  for (const claim of TRUST_CLAIMS) {
    const value = LINES[claim]?.find((line) => applies(line, result))?.value;
    if (value === undefined || (claim === 'hardware' && simulated && value === AFFIRMED)) continue;
    vector[claim] = value;
  }
  const opaque = result.platform && RUNTIME_OPAQUE[result.platform];
  if (opaque) vector['runtime-opaque'] = opaque;
  if (debug) {
    // A fact about guest or enclave, whether or not the policy minds.
    vector.configuration = REFUSED;
    vector['runtime-opaque'] = VISIBLE_MEMORY;
  }
  // A vector may not be empty.
  return Object.keys(vector).length > 0 ? vector : { hardware: NO_CLAIM };
}

function applies({ anyFailed = [], allPassed = [] }: Line, { checks }: AttestationResult): boolean {
  const came = (ids: readonly string[], outcome: string) =>
    checks.filter((c) => ids.includes(c.id) && c.outcome === outcome);
  return anyFailed.length > 0
    ? came(anyFailed, 'fail').length > 0
    : came(allPassed, 'pass').length === allPassed.length;
}

const all = (value: number): TrustVector => Object.fromEntries(TRUST_CLAIMS.map((claim) => [claim, value]));

/** AR4SI §2.3.2. */
export function tierOf(value: number): TrustTier {
  const size = Math.abs(value);
  if (size < 2) return 'none';
  return size < 32 ? 'affirming' : size < 96 ? 'warning' : 'contraindicated';
}

/** Never better than the verdict, nor than the worst claim; none where no platform was verified. */
export function trustStatus(result: AttestationResult, vector: TrustVector): TrustTier {
  if (result.verdict === 'contraindicated') return 'contraindicated';
  if (result.verdict === 'unsupported' || result.platform === null) return 'none';
  const tiers = Object.values(vector).map(tierOf);
  return tiers.includes('contraindicated') ? 'contraindicated' : tiers.includes('warning') ? 'warning' : 'affirming';
}
