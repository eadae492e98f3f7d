/** The AIR part of `cases.ts`: refusals of a receipt of others, each one change from a good one. */
import type { AssessInput, Expected } from '../../verifier/index.ts';
import { AT } from '../support/mini-enclave.ts';
import { air, airKey, digest } from './air-receipts.ts';
import type { Row } from './cases.ts';

const receipt =
  (file: Uint8Array, expected: Expected = {}) =>
  async (): Promise<AssessInput> => ({
    file,
    policy: 'builtin:authenticity',
    at: AT,
    expected: { airKey, ...expected },
  });

const SIGNED = air();

export const AIR_GOOD: readonly (readonly [string, () => Promise<AssessInput>])[] = [
  ['an AIR receipt', receipt(air())],
];

export const AIR: readonly Row[] = [
  ['an untagged AIR receipt', 'air.envelope', 'EVIDENCE_MALFORMED', receipt(air(undefined, { tag: [] }))],
  ['no key', 'air.key', 'ENDORSEMENT_MISSING', async () => ({ file: air(), policy: 'builtin:authenticity', at: AT })],
  ['a key of small order', 'air.key', 'SIGNATURE_INVALID', receipt(air(), { airKey: digest(0) })],
  [
    'a signature with one byte changed',
    'air.signature',
    'SIGNATURE_INVALID',
    receipt(Uint8Array.from(SIGNED, (byte, at) => (at === SIGNED.length - 40 ? byte ^ 1 : byte))),
  ],
  ['no issuer', 'air.claims', 'EVIDENCE_MALFORMED', receipt(air((claims) => claims.delete(1)))],
  [
    'another platform than expected',
    'air.measurement-type',
    'PLATFORM_NOT_ALLOWED',
    receipt(air(), { air: { measurementType: 'tdx-mrtd-rtmr' } }),
  ],
  ['an old receipt', 'air.age', 'FRESHNESS_REQUIRED', receipt(air(), { air: { maxAgeSeconds: 1 } })],
];
