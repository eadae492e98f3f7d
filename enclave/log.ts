import {
  CONTENT_TYPE,
  type EntryKind,
  encodeCheckpoint,
  encodeSign1,
  FRAME,
  leafHash,
  MAX_ENTRY_BYTES,
  MerkleFrontier,
  ServiceError,
} from '@veritee/protocol';
import type { Outbox } from './outbox.ts';
import type { Session } from './session.ts';

export interface Appended {
  /** Leaf index = the payload's own sequence number. */
  readonly index: number;
  readonly entry: Uint8Array<ArrayBuffer>;
}

/**
 * The append-only log of one boot: numbers, signs and appends an entry in one turn of the event loop. Keeps the tree's
 * right edge only; entries go to the outbox until the host has them.
 */
export class EnclaveLog {
  readonly #session: Session;
  readonly #outbox: Outbox;
  readonly #tree = new MerkleFrontier();
  #ended = false;

  constructor(session: Session, outbox: Outbox) {
    this.#session = session;
    this.#outbox = outbox;
    this.append('session', () => session.claimsBytes);
  }

  get size(): number {
    return this.#tree.size;
  }

  /**
   * `payload` gets the sequence number it must carry. No await between number, signature and append.
   * @throws ServiceError ENCLAVE_STOPPING after the end entry, which is the last
   */
  append(kind: EntryKind, payload: (sequence: number) => Uint8Array): Appended {
    if (this.#ended) throw new ServiceError('ENCLAVE_STOPPING', 'the enclave is stopping; try again shortly');
    const index = this.#tree.size;
    const entry = encodeSign1(CONTENT_TYPE[kind], payload(index), this.#session.sign);
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError(`a ${kind} entry of ${entry.length} bytes`);
    this.#tree.append(leafHash(entry));
    this.#outbox.push(FRAME.entry, entry);
    this.#ended = kind === 'end';
    return { index, entry };
  }

  /** The signed note over everything appended so far. */
  checkpoint(): { readonly note: string; readonly size: number } {
    const { origin, publicKey, sign } = this.#session;
    return { note: encodeCheckpoint(origin, this.size, this.#tree.root(), publicKey, sign), size: this.size };
  }
}
