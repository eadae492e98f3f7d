import type { CheckRow } from '../checks.ts';

const SPEC = 'AWS Nitro Enclaves, attestation_process.md';
const SYNTAX = `${SPEC} §3.2.2`;
const CHAIN = `${SPEC} §3.2.3`;

export const NITRO_VERIFY_ROWS: readonly CheckRow[] = [
  { id: 'nitro.chain.shape', claim: 'certificate, cabundle', source: 'RFC 5280 §4.1, ITU-T X.690 §10' },
  { id: 'nitro.chain.root', claim: 'cabundle[0]', source: 'trust anchors of the caller' },
  { id: 'nitro.chain.profile', claim: 'certificate, cabundle', source: `${CHAIN}; RFC 5280 §6.1` },
  { id: 'nitro.chain.intermediates', claim: 'cabundle', source: CHAIN },
  { id: 'nitro.chain.leaf', claim: 'certificate', source: CHAIN },
  { id: 'nitro.chain.time', claim: 'validity', source: `${CHAIN}; RFC 5280 §4.1.2.5` },
  { id: 'nitro.signature', claim: 'signature', source: `${SPEC} §3.2.1; RFC 9052 §4.4, ES384` },
  { id: 'nitro.timestamp', claim: 'timestamp', source: SYNTAX },
  { id: 'nitro.module', claim: 'module_id', source: `${SYNTAX}; names in the certificates` },
];
