import {
  type Bytes,
  encodeChallengesEntry,
  type Hash,
  hex,
  inclusionPath,
  type LinkChallenge,
  leafHash,
  MAX_CHALLENGES,
  MerkleFrontier,
  type NodeRef,
  ServiceError,
} from '@veritee/protocol';
import type { EnclaveLog } from './log.ts';

interface Waiter {
  readonly resolve: (proof: LinkChallenge) => void;
  readonly reject: (error: Error) => void;
}

/** A set of nonces that went into the log as one entry and waits for a report that covers it. */
interface Batch {
  readonly entry: number;
  readonly places: readonly {
    readonly nonceIndex: number;
    readonly noncePath: readonly string[];
    readonly waiters: readonly Waiter[];
  }[];
}

/**
 * Callers' nonces, gathered until the next tick: first come first, equal ones once, one log entry for all of them, so
 * that strangers cannot grow the log.
 */
export class Challenges {
  readonly #log: EnclaveLog;
  readonly #now: () => number;
  #gathering = new Map<string, { readonly nonce: Uint8Array; readonly waiters: Waiter[] }>();
  #batches: Batch[] = [];
  #closed = false;

  constructor(log: EnclaveLog, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  get pending(): boolean {
    return this.#gathering.size > 0;
  }

  /** Resolves once a report covers the nonce. @throws ServiceError CHALLENGES_FULL, ENCLAVE_STOPPING */
  ask(nonce: Uint8Array): Promise<LinkChallenge> {
    if (this.#closed)
      return Promise.reject(new ServiceError('ENCLAVE_STOPPING', 'the enclave is stopping; try again shortly'));
    const key = hex(nonce);
    let place = this.#gathering.get(key);
    if (!place) {
      if (this.#gathering.size >= MAX_CHALLENGES) {
        return Promise.reject(
          new ServiceError('CHALLENGES_FULL', 'too many challenges wait for the next report; try again'),
        );
      }
      place = { nonce, waiters: [] };
      this.#gathering.set(key, place);
    }
    const { waiters } = place;
    return new Promise((resolve, reject) => waiters.push({ resolve, reject }));
  }

  /** Enters what was gathered into the log; nothing when there is nothing. */
  commit(keyConfigDigests: readonly Bytes<32>[]): void {
    if (!this.pending) return;
    const places = [...this.#gathering.values()];
    this.#gathering = new Map();
    const { root, node } = completeTree(places.map(({ nonce }) => leafHash(nonce)));
    const { index } = this.#log.append('challenges', (sequence) =>
      encodeChallengesEntry({
        sequence,
        issuedAt: Math.floor(this.#now() / 1000),
        nonceRoot: root,
        nonceCount: places.length,
        keyConfigDigests,
      }),
    );
    this.#batches.push({
      entry: index,
      places: places.map(({ waiters }, nonceIndex) => ({
        nonceIndex,
        noncePath: inclusionPath(nonceIndex, places.length, node).map(hex),
        waiters,
      })),
    });
  }

  /** Answers everyone whose entry lies below `size`. */
  covered(size: number, reportData: Bytes<64>): void {
    const done = this.#batches.filter(({ entry }) => entry < size);
    this.#batches = this.#batches.filter(({ entry }) => entry >= size);
    for (const { entry, places } of done) {
      for (const { nonceIndex, noncePath, waiters } of places) {
        for (const { resolve } of waiters) resolve({ entry, nonceIndex, noncePath, reportData: hex(reportData) });
      }
    }
  }

  /** Takes no more nonces; those gathered go into the log now, before its end entry. */
  close(keyConfigDigests: readonly Bytes<32>[]): void {
    this.#closed = true;
    this.commit(keyConfigDigests);
  }

  /** Nobody will be answered any more. */
  abandon(error: Error): void {
    const waiting = [
      ...[...this.#gathering.values()].flatMap(({ waiters }) => waiters),
      ...this.#batches.flatMap(({ places }) => places.flatMap(({ waiters }) => waiters)),
    ];
    this.#gathering = new Map();
    this.#batches = [];
    for (const { reject } of waiting) reject(error);
  }
}

/** Root and complete nodes of a tree held in memory. */
function completeTree(leaves: readonly Hash[]): { root: Hash; node: (ref: NodeRef) => Hash } {
  const tree = new MerkleFrontier();
  const nodes = new Map<string, Hash>();
  for (const leaf of leaves) {
    for (const { level, index, hash } of tree.append(leaf)) nodes.set(`${level}/${index}`, hash);
  }
  return {
    root: tree.root(),
    node: ({ level, index }) => {
      const hash = nodes.get(`${level}/${index}`);
      if (!hash) throw new RangeError(`no node ${level}/${index}`);
      return hash;
    },
  };
}
