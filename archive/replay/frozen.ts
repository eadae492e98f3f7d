/** A frozen verdict, made again from what was frozen with it: the same bytes under the same rules at the same instant. */
import { CodedError, hex, utf8 } from '@veritee/protocol';
import type { BlobStore } from '../blobs/port.ts';
import { putTogether } from '../evidence-parts.ts';
import { type AppraisalInputs, type Appraised, Appraiser } from '../ingest/appraiser.ts';
import { sha256Of } from '../log/frontier.ts';
import type { Appraisal, Digest, EvidenceRow } from '../store/port.ts';

type Blobs = Pick<BlobStore, 'get'>;

const MAX_REMEMBERED = 256;

/** Certificates and policies are shared by thousands of files: the last few that were read need not be read again. */
export class RememberedBlobs implements Blobs {
  readonly #blobs: Blobs;
  readonly #read = new Map<string, Promise<Uint8Array<ArrayBuffer> | null>>();

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    const name = hex(digest);
    const known = this.#read.get(name);
    if (known) return known;
    const [oldest] = this.#read.keys();
    if (oldest !== undefined && this.#read.size >= MAX_REMEMBERED) this.#read.delete(oldest);
    const read = this.#blobs.get(digest);
    this.#read.set(name, read);
    return read;
  }
}

/** Made once for each set of inputs: thousands of verdicts share one. */
export class Replayer {
  readonly #blobs: Blobs;
  readonly #appraisers = new Map<string, Promise<Appraiser>>();

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  /**
   * @throws CodedError EVIDENCE_MISSING an input is gone; STORE_FAILED one was altered; POLICY_INVALID,
   *   TRUST_ANCHOR_INVALID an input is not what it was kept as; EVIDENCE_MALFORMED
   */
  async replay(row: Pick<EvidenceRow, 'parts' | 'certificates' | 'crls' | 'file' | 'appraisal'>): Promise<Appraised> {
    return this.replayFile(await putTogether(row, this.#blobs), row.appraisal);
  }

  /** Of a file that was put together already. */
  async replayFile(file: Uint8Array, appraisal: Appraisal): Promise<Appraised> {
    const appraiser = await this.#appraiser(appraisal);
    return appraiser.appraise(file, appraisal.atMs);
  }

  #appraiser({ policy, anchors, endorsements, crls }: Appraisal): Promise<Appraiser> {
    const name = [[policy], anchors, endorsements, crls].map((list) => list.map(hex).join(' ')).join('\n');
    const known = this.#appraisers.get(name);
    if (known) return known;
    const made = this.#inputs(policy, anchors, endorsements, crls).then(replayAppraiser);
    this.#appraisers.set(name, made);
    return made;
  }

  async #inputs(
    policy: Digest,
    anchors: readonly Digest[],
    endorsements: readonly Digest[],
    crls: readonly Digest[],
  ): Promise<AppraisalInputs> {
    const all = (digests: readonly Digest[]) => Promise.all(digests.map((digest) => read(this.#blobs, digest)));
    return {
      policy: await read(this.#blobs, policy),
      anchors: await all(anchors),
      endorsements: await all(endorsements),
      crls: await all(crls),
    };
  }
}

/** One that keeps nothing: its inputs are blobs already, or are not to become any. */
export const replayAppraiser = (inputs: AppraisalInputs): Promise<Appraiser> =>
  Appraiser.create(inputs, { put: async (content) => sha256Of(content) });

async function read(blobs: Blobs, digest: Digest): Promise<Uint8Array<ArrayBuffer>> {
  const content = await blobs.get(digest);
  if (content) return content;
  throw new CodedError('EVIDENCE_MISSING', `blob ${hex(digest)}: not in the archive`, { field: hex(digest) });
}

/**
 * Whether a replay gave what was frozen. The same release gives the same text to the byte; another one may word or order
 * it otherwise, and is held to the verdict and its codes.
 */
export function sameVerdict(frozen: Appraisal, again: Appraised): boolean {
  const { appraisal } = again;
  if (frozen.verifier === appraisal.verifier) return hex(frozen.result) === hex(sha256Of(utf8(again.resultJson)));
  return frozen.verdict === appraisal.verdict && frozen.codes.join(' ') === appraisal.codes.join(' ');
}
