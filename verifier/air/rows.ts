import type { CheckRow } from '../checks.ts';

const AIR = ['air-receipt'] as const;
const DRAFT = 'draft-tsyrulnikov-rats-attested-inference-receipt-02';

export const AIR_ROWS: readonly CheckRow[] = [
  { id: 'air.envelope', claim: 'COSE_Sign1, tag 18, {1: -8, 3: 61}', source: `${DRAFT}, layer 1`, kinds: AIR },
  { id: 'air.key', claim: 'signing key of the caller', source: `${DRAFT}, key identification`, kinds: AIR },
  { id: 'air.signature', claim: 'signature', source: `${DRAFT}, layer 2; RFC 9052 §4.4`, kinds: AIR },
  { id: 'air.claims', claim: 'CWT claims of AIR v1', source: `${DRAFT}, layer 3`, kinds: AIR },
  { id: 'air.measurement-type', claim: 'measurement_type', source: `${DRAFT}, layer 4, PLATFORM`, kinds: AIR },
  { id: 'air.age', claim: 'iat', source: `${DRAFT}, layer 4, FRESH`, kinds: AIR },
];
