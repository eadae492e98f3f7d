/**
 * The certificate table that a host hands to an SNP guest (GHCB specification, SNP_GET_EXT_REPORT; `auxblob` of
 * configfs-tsm): 24-byte entries of GUID (16, text order) ‖ offset (u32) ‖ length (u32), little-endian, ended by an
 * all-zero entry; offsets count from the table's start. The host wrote it, so every number in it may be hostile.
 */
import { concat, fromHex, hex, isZero } from './bytes.ts';
import { EvidenceError } from './errors.ts';

/** Certificate GUIDs; ASK is also the slot of the ASVK. */
export const SNP_CERTIFICATE_GUID = {
  vcek: '63da758d-e664-4564-adc5-f4b93be8accd',
  vlek: 'a8074bc2-a25a-483e-aae6-39c045a0b8a1',
  ask: '4ab7b379-bbac-4fe4-a02f-05aef327c782',
  ark: 'c0b406a4-a803-4952-9743-3fb6014cd0ae',
  crl: '92f81bc3-5811-4d3d-97ff-d19f88dc67ea',
} as const;

export interface SnpCertificateTableEntry {
  /** Lower case, with hyphens. */
  readonly guid: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

const ENTRY_BYTES = 24;
const MAX_ENTRIES = 32;

const guidText = (raw: Uint8Array): string => hex(raw).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** @throws EvidenceError ENDORSEMENT_MALFORMED; an empty blob is an empty table */
export function parseSnpCertificateTable(table: Uint8Array): SnpCertificateTableEntry[] {
  const fail = (reason: string): never => {
    throw new EvidenceError('ENDORSEMENT_MALFORMED', `certificate table: ${reason}`, { field: 'auxblob' });
  };
  if (table.length === 0) return [];
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const places: { guid: string; offset: number; length: number }[] = [];
  for (let at = 0; ; at += ENTRY_BYTES) {
    if (at + ENTRY_BYTES > table.length) return fail('no terminating entry');
    const entry = table.subarray(at, at + ENTRY_BYTES);
    if (isZero(entry)) break;
    if (places.length === MAX_ENTRIES) return fail(`more than ${MAX_ENTRIES} entries`);
    const place = {
      guid: guidText(entry.subarray(0, 16)),
      offset: view.getUint32(at + 16, true),
      length: view.getUint32(at + 20, true),
    };
    if (places.some(({ guid }) => guid === place.guid)) return fail(`duplicate entry ${place.guid}`);
    places.push(place);
  }
  const header = (places.length + 1) * ENTRY_BYTES;
  return places.map(({ guid, offset, length }) => {
    if (offset < header || offset + length > table.length) return fail(`entry ${guid} points outside the table`);
    return { guid, data: new Uint8Array(table.subarray(offset, offset + length)) };
  });
}

export function encodeSnpCertificateTable(
  entries: readonly { readonly guid: string; readonly data: Uint8Array }[],
): Uint8Array<ArrayBuffer> {
  if (entries.length === 0) return new Uint8Array(0); // what a guest reads when its host has no certificates
  const head = new Uint8Array((entries.length + 1) * ENTRY_BYTES);
  const view = new DataView(head.buffer);
  let offset = head.length;
  for (const [i, { guid, data }] of entries.entries()) {
    const raw = fromHex(guid.replaceAll('-', ''));
    if (raw?.length !== 16) throw new TypeError(`${guid} is not a GUID`);
    head.set(raw, i * ENTRY_BYTES);
    view.setUint32(i * ENTRY_BYTES + 16, offset, true);
    view.setUint32(i * ENTRY_BYTES + 20, data.length, true);
    offset += data.length;
  }
  return concat(head, ...entries.map(({ data }) => data));
}
