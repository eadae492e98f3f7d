/** Which sealing keys to offer. All of it is a hint: the caller verifies what it is given. */
import { type Bytes, equalBytes, MAX_KEY_CONFIGS, type ProvenEntry, parseEntry, sha256 } from '@veritee/protocol';
import type { Store, StoredEvidence } from './store/store.ts';

export interface OfferedKey extends ProvenEntry {
  /** OHTTP key configuration, exact bytes. */
  readonly config: Uint8Array<ArrayBuffer>;
}

interface KeyUnderEvidence {
  readonly index: number;
  readonly raw: Uint8Array<ArrayBuffer>;
  readonly config: Uint8Array<ArrayBuffer>;
  readonly digest: Bytes<32>;
  readonly notAfter: number;
}

/** Exactly those that this challenges entry names, oldest first. */
export async function keysNamed(store: Store, evidence: StoredEvidence, challenges: number): Promise<OfferedKey[]> {
  const named = await digestsNamed(store, evidence.boot, challenges);
  const keys: KeyUnderEvidence[] = [];
  if (named.length === 0) return [];
  for await (const key of newestKeys(store, evidence)) {
    if (includes(named, key.digest)) keys.push(key);
    if (keys.length === named.length) break;
  }
  return proven(store, evidence, keys);
}

/** Those that have not ended, as far as their entries and the newest challenges entry tell, oldest first. */
export async function keysInForce(store: Store, evidence: StoredEvidence, nowMs: number): Promise<OfferedKey[]> {
  const [newest = -1] = await store.indicesOf(evidence.boot, 'challenges', evidence.size, 1);
  const named = newest < 0 ? [] : await digestsNamed(store, evidence.boot, newest);
  const keys: KeyUnderEvidence[] = [];
  for await (const key of newestKeys(store, evidence)) {
    if (key.notAfter * 1000 <= nowMs) break; // so have the older ones
    if (key.index > newest || includes(named, key.digest)) keys.push(key);
  }
  return proven(store, evidence, keys);
}

async function* newestKeys(store: Store, { boot, size }: StoredEvidence): AsyncGenerator<KeyUnderEvidence> {
  const oldestFirst = await store.indicesOf(boot, 'key', size, MAX_KEY_CONFIGS);
  for (const index of [...oldestFirst].reverse()) {
    const [raw] = await store.entries(boot, index, index + 1);
    const entry = raw && parseEntry(raw);
    if (!raw || entry?.kind !== 'key') continue;
    const { config, notAfter } = entry.value;
    yield { index, raw, config, digest: sha256(config), notAfter };
  }
}

async function digestsNamed(store: Store, boot: string, challenges: number): Promise<readonly Bytes<32>[]> {
  const [raw] = await store.entries(boot, challenges, challenges + 1);
  const entry = raw && parseEntry(raw);
  return entry?.kind === 'challenges' ? entry.value.keyConfigDigests : [];
}

const includes = (digests: readonly Uint8Array[], digest: Uint8Array): boolean =>
  digests.some((one) => equalBytes(one, digest));

const proven = (
  store: Store,
  { boot, size }: StoredEvidence,
  newestFirst: readonly KeyUnderEvidence[],
): Promise<OfferedKey[]> =>
  Promise.all(
    [...newestFirst].reverse().map(async ({ raw, index, config }) => ({
      entry: raw,
      path: await store.inclusionPath(boot, index, size),
      config,
    })),
  );
