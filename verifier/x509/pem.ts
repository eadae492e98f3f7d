/** Files as people keep them: DER, or PEM with text around it (RFC 7468), one item or several. */
import { type Code, EvidenceError, fromBase64 } from '@veritee/protocol';
import { DerReader, TAG } from './der.ts';

const MAX_FILE_BYTES = 4 << 20;
const MAX_ITEMS = 64;
const BEGIN = '-----BEGIN ';
const BLOCK = /^([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]+)-----/;

function fail(code: Code, field: string, reason: string): never {
  throw new EvidenceError(code, `${field}: ${reason}`, { field });
}

function readPem(text: string, label: string, code: Code, field: string): Uint8Array[] {
  const blocks = text.split(BEGIN).slice(1);
  return blocks.map((block) => {
    const [, begin, body = '', end] = BLOCK.exec(block) ?? fail(code, field, 'a PEM block is cut off or not base64');
    if (begin !== label || end !== label) fail(code, field, `got a PEM block '${begin}', want only '${label}'`);
    return fromBase64(body.replace(/\s/g, '')) ?? fail(code, field, 'a PEM block is not base64');
  });
}

/** Concatenated DER; each item is split off by its own header and read strictly later. */
function readDer(file: Uint8Array, code: Code, field: string): Uint8Array[] {
  const reader = new DerReader(file, code, field);
  const items: Uint8Array[] = [];
  while (!reader.done) items.push(new Uint8Array(reader.readWhole(TAG.sequence, 'file')));
  return items;
}

function readItems(file: Uint8Array, label: string, code: Code, field: string): Uint8Array[] {
  if (file.length > MAX_FILE_BYTES) fail(code, field, `got ${file.length} bytes, want at most ${MAX_FILE_BYTES}`);
  const [tag, length = 0] = file;
  // Longer than 127 bytes, so the length has a long form, which no text has as its second character.
  const isDer = tag === TAG.sequence && length >= 0x80;
  // Latin-1 keeps every byte, so text around the blocks may be in any encoding.
  const items = isDer
    ? readDer(file, code, field)
    : readPem(new TextDecoder('latin1').decode(file), label, code, field);
  if (items.length === 0) fail(code, field, 'neither DER nor PEM');
  if (items.length > MAX_ITEMS) fail(code, field, `more than ${MAX_ITEMS} items`);
  return items;
}

/**
 * The DER of each certificate in a file; their contents are read by `parseCertificate`.
 * @throws EvidenceError ENDORSEMENT_MALFORMED neither DER nor PEM certificates
 */
export const readCertificates = (file: Uint8Array, field: string): Uint8Array[] =>
  readItems(file, 'CERTIFICATE', 'ENDORSEMENT_MALFORMED', field);

/**
 * The DER of each CRL in a file; their contents are read by `parseCrl`.
 * @throws EvidenceError CRL_INVALID neither DER nor PEM revocation lists
 */
export const readCrls = (file: Uint8Array, field: string): Uint8Array[] =>
  readItems(file, 'X509 CRL', 'CRL_INVALID', field);
