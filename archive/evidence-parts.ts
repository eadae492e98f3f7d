/**
 * An evidence file taken apart for keeping: certificates and CRLs, which thousands of files share, become blobs. Evidence
 * is canonical CBOR, so that putting the parts together again gives the very bytes that came.
 */
import { type Evidence, EvidenceError, encodeEvidence, equalBytes, hex, parseEvidence } from '@veritee/protocol';
import type { BlobStore } from './blobs/port.ts';
import { sha256Of } from './log/frontier.ts';
import type { Digest, EvidenceRow } from './store/port.ts';

export type EvidenceParts = Pick<EvidenceRow, 'parts' | 'certificates' | 'crls' | 'file'>;

/** Blobs that evidence files share are put once in the life of this process. */
export class BlobCache {
  readonly #blobs: BlobStore;
  readonly #put = new Set<string>();

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  async put(content: Uint8Array): Promise<Digest> {
    const digest = sha256Of(content);
    const name = hex(digest);
    if (!this.#put.has(name)) {
      await this.#blobs.put(content);
      this.#put.add(name);
    }
    return digest;
  }
}

export async function takeApart(
  file: Uint8Array,
  evidence: Evidence,
  blobs: Pick<BlobStore, 'put'>,
): Promise<EvidenceParts> {
  const certificates: Digest[] = [];
  for (const der of evidence.chain) certificates.push(await blobs.put(der));
  const crls: Digest[] = [];
  for (const der of evidence.crls) crls.push(await blobs.put(der));
  return {
    parts: encodeEvidence({ ...evidence, chain: [], crls: [] }),
    certificates,
    crls,
    file: sha256Of(file),
  };
}

/**
 * @throws EvidenceError EVIDENCE_MISSING a blob is gone; EVIDENCE_MALFORMED the parts are not those of the file
 * @throws CodedError STORE_FAILED a blob was altered
 */
export async function putTogether(
  { parts, certificates, crls, file }: EvidenceParts,
  blobs: Pick<BlobStore, 'get'>,
): Promise<Uint8Array<ArrayBuffer>> {
  const read = async (digest: Digest): Promise<Uint8Array<ArrayBuffer>> => {
    const content = await blobs.get(digest);
    if (content) return content;
    throw new EvidenceError('EVIDENCE_MISSING', `blob ${hex(digest)}: not in the archive`, { field: 'evidence' });
  };
  const whole = encodeEvidence({
    ...parseEvidence(parts),
    chain: await Promise.all(certificates.map(read)),
    crls: await Promise.all(crls.map(read)),
  });
  if (!equalBytes(sha256Of(whole), file)) {
    throw new EvidenceError('EVIDENCE_MALFORMED', 'evidence: the stored parts do not give the file that came', {
      field: 'evidence',
    });
  }
  return whole;
}
