/**
 * A receipt and what it was appraised with as one Conceptual Messages Wrapper collection (RFC 9999), as CBOR or JSON.
 *
 * @see RFC 9999 §3: a record is [media type, value, indicator]; bit 2 is evidence, 3 attestation results, 4 policy
 */
import {
  base64url,
  type Cbor,
  EvidenceError,
  encodeCbor,
  encodeReceipt,
  hex,
  MEDIA_TYPE,
  utf8,
} from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { putTogether } from '../evidence-parts.ts';
import { type EntryProof, portableReceipt } from './prove.ts';

export const CMW_TYPE = { cbor: 'application/cmw+cbor', json: 'application/cmw+json' } as const;

const COLLECTION = 'tag:veritee.dev,2026:archived-receipt-cmw/v1';
const EVIDENCE = 1 << 2;
const RESULT = 1 << 3;
const POLICY = 1 << 4;

interface Item {
  readonly label: string;
  readonly type: string;
  readonly value: Uint8Array;
  readonly indicator: number;
}

async function itemsOf(archive: Archive, proof: EntryProof): Promise<readonly Item[]> {
  const { entry, evidence, path } = proof;
  const { policy } = evidence.appraisal;
  await portableReceipt(archive, proof); // refuses what was purged, and what is no receipt
  const policyFile = await archive.blobs.get(policy);
  const result = await archive.store.resultJson(evidence.reportData);
  if (!policyFile || result === null || !entry.cose) {
    throw new EvidenceError('EVIDENCE_MISSING', `blob ${hex(policy)}: not in the archive`, { field: 'archive' });
  }
  const receipt = encodeReceipt({
    statement: entry.cose,
    path,
    evidence: { reportData: evidence.reportData },
  });
  const file = await putTogether(evidence, archive.blobs);
  return [
    { label: 'receipt', type: MEDIA_TYPE.receipt, value: receipt, indicator: EVIDENCE },
    { label: 'evidence', type: MEDIA_TYPE.evidence, value: file, indicator: EVIDENCE },
    {
      label: 'result',
      type: 'application/vnd.veritee.attestation-result+json',
      value: utf8(result),
      indicator: RESULT,
    },
    { label: 'policy', type: 'application/vnd.veritee.policy+json', value: policyFile, indicator: POLICY },
  ];
}

/** `application/cmw+cbor`. @throws CodedError RECEIPT_UNKNOWN it was purged; EVIDENCE_MISSING */
export async function cmwOfReceipt(archive: Archive, proof: EntryProof): Promise<Uint8Array<ArrayBuffer>> {
  const items = await itemsOf(archive, proof);
  return encodeCbor(
    new Map<string, Cbor>([
      ['__cmwc_t', COLLECTION],
      ...items.map(({ label, type, value, indicator }): [string, Cbor] => [
        label,
        [type, new Uint8Array(value), indicator],
      ]),
    ]),
  );
}

/** `application/cmw+json`. @throws CodedError RECEIPT_UNKNOWN it was purged; EVIDENCE_MISSING */
export async function cmwOfReceiptJson(archive: Archive, proof: EntryProof): Promise<string> {
  const items = await itemsOf(archive, proof);
  const records = items.map(({ label, type, value, indicator }) => [label, [type, base64url(value), indicator]]);
  return `${JSON.stringify({ __cmwc_t: COLLECTION, ...Object.fromEntries(records) })}\n`;
}
