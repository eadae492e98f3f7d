import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Clock, monotonicClock } from '../../enclave/sealing/clock.ts';
import { SEALING_LIMITS, SealingKeys, type SealingLimits } from '../../enclave/sealing/keys.ts';
import { Ticker } from '../../enclave/ticker.ts';
import {
  FRAME,
  generateSealingKey,
  hex,
  type KeyEntry,
  openRequest,
  parseEntry,
  type SealedRequest,
  type SealingKeyPair,
  sealRequest,
} from '../../protocol/index.ts';
import { FakeAttester, framesOf, makeLog, silent, until } from './parts.ts';

const LIFE = SEALING_LIMITS.lifeMs;
const WALL_MS = 1_700_000_000_000;

/** Stands still until it is told to go on. */
class FakeClock implements Clock {
  #now = 1_000_000;
  #timers: { readonly at: number; readonly act: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, act: () => void): () => void {
    const timer = { at: this.#now + ms, act };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** Time passes, and whatever waits for it happens. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#now = Math.max(this.#now, next.at);
      this.#timers = this.#timers.filter((one) => one !== next);
      next.act();
      await settled();
    }
    this.#now = until;
  }

  /** Time passes while this process does not run. */
  freeze(ms: number): void {
    this.#now += ms;
  }
}

/** A key whose making was begun before has been made, and what follows from it has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await generateSealingKey(0);
    await nextTurn();
  }
}

async function make(limits: Partial<SealingLimits> = {}, backlog = 1000) {
  const clock = new FakeClock();
  const parts = makeLog({ maxRecords: backlog, maxBytes: 1 << 24 });
  const seen = { entered: 0 };
  const keys = new SealingKeys(
    { ...parts, clock, now: () => WALL_MS, onEntered: () => void seen.entered++, logger: silent },
    { ...SEALING_LIMITS, ...limits },
  );
  await keys.start();
  const entries = async (): Promise<KeyEntry[]> =>
    (await framesOf(parts.outbox)).flatMap(({ body }) => {
      const entry = parseEntry(body);
      return entry.kind === 'key' ? [entry.value] : [];
    });
  const cover = () => keys.covered(parts.log.size);
  return { ...parts, clock, keys, seen, entries, cover };
}

const keyIdOf = (entry: KeyEntry): number => entry.config[0] as number;
const digestOf = (config: Uint8Array): string => createHash('sha256').update(config).digest('hex');
const inForce = (keys: SealingKeys): string[] => keys.inForce.map(hex);

async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const seal = (config: Uint8Array, chunked = false): Promise<SealedRequest> =>
  sealRequest(config, new TextEncoder().encode('content'), { chunked });

const open = (keys: SealingKeys, { body, mediaType }: SealedRequest) =>
  openRequest(onePiece(body), mediaType, { ...keys.opener(), maxBytes: 10_000 });

const code = (value: string) => expect.objectContaining({ code: value });

describe('life', () => {
  test('the first key is the entry after the session claims, and says how long it lives', async () => {
    const { keys, entries, log } = await make();
    expect(log.size).toBe(2);
    const [entry] = (await entries()) as [KeyEntry];
    expect(entry).toMatchObject({ sequence: 1, issuedAt: WALL_MS / 1000, notBefore: WALL_MS / 1000 });
    expect(entry.notAfter - entry.notBefore).toBe(600);
    expect(inForce(keys)).toEqual([digestOf(entry.config)]);
  });

  test('is used only once a report covers its entry', async () => {
    const { keys, entries, log } = await make();
    const [entry] = (await entries()) as [KeyEntry];
    expect(keys.refusal()).toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    keys.covered(1);
    expect(() => keys.opener().keyOf(keyIdOf(entry))).toThrow(code('KEY_NOT_COMMITTED'));
    await expect(open(keys, await seal(entry.config))).rejects.toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    keys.covered(log.size);
    expect(keys.refusal()).toBeNull();
    expect(keys.opener().keyOf(keyIdOf(entry)).keyId).toBe(keyIdOf(entry));
    await expect(open(keys, await seal(entry.config))).resolves.toBeDefined();
  });

  test('the successor is entered at half-life, not before, and both are in force', async () => {
    const { clock, keys, entries, seen, cover } = await make();
    cover();
    await clock.pass(LIFE / 2 - 1);
    expect(await entries()).toHaveLength(1);
    await clock.pass(1);
    const [first, second] = (await entries()) as [KeyEntry, KeyEntry];
    expect(keyIdOf(second)).toBe((keyIdOf(first) + 1) % 256);
    expect(seen.entered).toBe(1);
    expect(inForce(keys)).toEqual([first, second].map(({ config }) => digestOf(config)));
    expect(() => keys.opener().keyOf(keyIdOf(second))).toThrow(code('KEY_NOT_COMMITTED'));
    cover();
    for (const entry of [first, second]) expect(keys.opener().keyOf(keyIdOf(entry)).keyId).toBe(keyIdOf(entry));
  });

  test('at its end the private half is erased, and the key is unknown and no longer named', async () => {
    const { clock, keys, entries, cover } = await make();
    cover();
    const [first] = (await entries()) as [KeyEntry];
    const pair = keys.opener().keyOf(keyIdOf(first));
    await clock.pass(LIFE / 2);
    cover();
    await clock.pass(LIFE / 2 - 1);
    const late = await seal(first.config);
    await expect(open(keys, await seal(first.config))).resolves.toBeDefined();
    await clock.pass(1);
    expect(inForce(keys)).not.toContain(digestOf(first.config));
    await expect(open(keys, late)).rejects.toMatchObject({ code: 'SEALING_KEY_UNKNOWN' });
    await expect(pair.setup(late.body.subarray(7, 39), new Uint8Array(0))).rejects.toMatchObject({
      code: 'SEALING_KEY_UNKNOWN',
    });
  });

  test('goes on for hours: never without a key, never more than three, ids count through a byte', async () => {
    const { clock, keys, entries, cover } = await make({ lifeMs: 2000 });
    const ids: number[] = [];
    for (let i = 0; i < 270; i++) {
      cover();
      expect(keys.refusal()).toBeNull();
      expect(keys.inForce.length).toBeLessThanOrEqual(3);
      await clock.pass(1000);
    }
    for (const entry of await entries()) ids.push(keyIdOf(entry));
    expect(ids.length).toBe(271);
    for (const [i, id] of ids.entries()) expect(id).toBe(((ids[0] as number) + i) % 256);
  });

  test('a process that did not run refuses what ended meanwhile before any timer fires', async () => {
    const { clock, keys, entries, cover } = await make();
    cover();
    const [entry] = (await entries()) as [KeyEntry];
    const sealed = await seal(entry.config);
    clock.freeze(LIFE);
    expect(keys.inForce).toEqual([]);
    expect(keys.refusal()).toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    await expect(open(keys, sealed)).rejects.toMatchObject({ code: 'KEY_NOT_COMMITTED' });
  });

  test('when reports stall beyond the last committed key, sealed work stops until one comes', async () => {
    const { clock, keys, entries, cover } = await make();
    cover();
    const [first] = (await entries()) as [KeyEntry];
    await clock.pass(LIFE);
    expect(keys.refusal()).toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    // Another attestation could not help: neither the ended key nor its successors can be used.
    for (const { config } of await entries()) {
      await expect(open(keys, await seal(config))).rejects.toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    }
    await clock.pass(6 * LIFE);
    expect(keys.inForce.length).toBeLessThanOrEqual(3);
    cover();
    expect(keys.refusal()).toBeNull();
    const newest = (await entries()).at(-1) as KeyEntry;
    await expect(open(keys, await seal(newest.config))).resolves.toBeDefined();
    await expect(open(keys, await seal(first.config))).rejects.toMatchObject({ code: 'SEALING_KEY_UNKNOWN' });
  });

  test('enters none while the host is behind, and one as soon as it is not', async () => {
    const { clock, keys, entries, outbox, cover } = await make({}, 2);
    expect(outbox.full).toBe(true);
    cover();
    await clock.pass(LIFE / 2 + 5000);
    outbox.acknowledge(2);
    await clock.pass(1000);
    const [second] = (await entries()) as [KeyEntry];
    expect(second.sequence).toBe(2);
    expect(inForce(keys)).toContain(digestOf(second.config));
  });

  test('after the stop every key is erased and none follows', async () => {
    const { clock, keys, entries, log, cover } = await make();
    cover();
    const [entry] = (await entries()) as [KeyEntry];
    const pair: SealingKeyPair = keys.opener().keyOf(keyIdOf(entry));
    keys.stop();
    expect(clock.pending).toBe(0);
    await clock.pass(3 * LIFE);
    expect(log.size).toBe(2);
    expect(keys.inForce).toEqual([]);
    await expect(open(keys, await seal(entry.config))).rejects.toMatchObject({ code: 'KEY_NOT_COMMITTED' });
    await expect(pair.setup(new Uint8Array(32), new Uint8Array(0))).rejects.toMatchObject({
      code: 'SEALING_KEY_UNKNOWN',
    });
  });

  test('a key that is being made when the enclave stops is not entered', async () => {
    const { clock, keys, log } = await make();
    const passing = clock.pass(LIFE / 2);
    keys.stop();
    await passing;
    await settled();
    expect(log.size).toBe(2);
  });

  test('its timer keeps no process alive', () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const cancel = monotonicClock.after(60_000, () => undefined);
    expect(timers()).toBe(before);
    cancel();
  });
});

describe('opened requests', () => {
  test('a key ends with its last allowed one, and its successor is entered half-way', async () => {
    const { keys, entries, cover } = await make({ maxOpened: 6 });
    cover();
    const [first] = (await entries()) as [KeyEntry];
    const pair = keys.opener().keyOf(keyIdOf(first));
    for (let i = 0; i < 3; i++) await open(keys, await seal(first.config));
    await settled();
    const [, second] = (await entries()) as [KeyEntry, KeyEntry];
    cover();
    for (let i = 0; i < 3; i++) await open(keys, await seal(first.config));
    expect(inForce(keys)).toEqual([digestOf(second.config)]);
    await expect(open(keys, await seal(first.config))).rejects.toMatchObject({ code: 'SEALING_KEY_UNKNOWN' });
    await expect(pair.setup(new Uint8Array(32), new Uint8Array(0))).rejects.toMatchObject({
      code: 'SEALING_KEY_UNKNOWN',
    });
    await expect(open(keys, await seal(second.config))).resolves.toBeDefined();
    expect(await entries()).toHaveLength(2);
  });

  test.each([false, true])('a replay is refused (chunked: %s)', async (chunked) => {
    const { keys, entries, cover } = await make();
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const sealed = await seal(config, chunked);
    await open(keys, sealed);
    for (let i = 0; i < 3; i++) {
      await expect(open(keys, sealed)).rejects.toMatchObject({ code: 'SEALED_REQUEST_REPLAYED' });
    }
    await expect(open(keys, await seal(config, chunked))).resolves.toBeDefined();
  });

  test.each([false, true])('of many equal ones at once exactly one is opened (chunked: %s)', async (chunked) => {
    const { keys, entries, cover } = await make();
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const sealed = await seal(config, chunked);
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => open(keys, sealed)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'SEALED_REQUEST_REPLAYED' });
    }
  });

  test('a first chunk that is sent again with another rest is a replay', async () => {
    const { keys, entries, cover } = await make();
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const { body, mediaType } = await sealRequest(config, new Uint8Array(40_000), { chunked: true });
    const first = body.subarray(0, 7 + 32 + 4 + 16_384 + 16);
    const options = () => ({ ...keys.opener(), maxBytes: 1 });
    await openRequest(onePiece(first), mediaType, options());
    await expect(openRequest(onePiece(body), mediaType, options())).rejects.toMatchObject({
      code: 'SEALED_REQUEST_REPLAYED',
    });
  });

  test('what does not authenticate uses nothing up', async () => {
    const { keys, entries, cover } = await make({ maxOpened: 2 });
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const sealed = await seal(config);
    for (let at = 39; at < sealed.body.length; at++) {
      const body = new Uint8Array(sealed.body);
      body[at] = (body[at] as number) ^ 1;
      await expect(open(keys, { ...sealed, body })).rejects.toMatchObject({ code: 'SEALED_REQUEST_UNREADABLE' });
    }
    await expect(open(keys, sealed)).resolves.toBeDefined();
  });

  test('another spelling of the same point is not another request', async () => {
    const { keys, entries, cover } = await make();
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const sealed = await seal(config);
    await open(keys, sealed);
    const body = new Uint8Array(sealed.body);
    body[7 + 31] = (body[7 + 31] as number) ^ 0x80; // RFC 7748 §5 has this bit ignored; the KEM's context does not
    await expect(open(keys, { ...sealed, body })).rejects.toMatchObject({ code: 'SEALED_REQUEST_UNREADABLE' });
  });

  test('a request whose key ends while it is being opened is not handed on', async () => {
    const { clock, keys, entries, cover } = await make();
    cover();
    const [{ config }] = (await entries()) as [KeyEntry];
    const { body, mediaType } = await seal(config);
    const slow = (async function* () {
      yield body.subarray(0, 50); // key id and enc: the context is made
      await settled();
      clock.freeze(LIFE);
      yield body.subarray(50);
    })();
    await expect(openRequest(slow, mediaType, { ...keys.opener(), maxBytes: 1000 })).rejects.toMatchObject({
      code: 'SEALING_KEY_UNKNOWN',
    });
  });

  test('a key id that was never given out is unknown', async () => {
    const { keys, entries, cover } = await make();
    cover();
    const [entry] = (await entries()) as [KeyEntry];
    expect(() => keys.opener().keyOf((keyIdOf(entry) + 7) % 256)).toThrow(code('SEALING_KEY_UNKNOWN'));
  });

  test('another boot does not open what was sealed to this one, whatever its key ids', async () => {
    const first = await make();
    const second = await make();
    for (const { cover } of [first, second]) cover();
    const [entry] = (await first.entries()) as [KeyEntry];
    const [other] = (await second.entries()) as [KeyEntry];
    const sealed = await seal(entry.config);
    await expect(open(second.keys, sealed)).rejects.toMatchObject({
      code: keyIdOf(entry) === keyIdOf(other) ? 'SEALED_REQUEST_UNREADABLE' : 'SEALING_KEY_UNKNOWN',
    });
    const body = new Uint8Array(sealed.body);
    body[0] = keyIdOf(other);
    await expect(open(second.keys, { ...sealed, body })).rejects.toMatchObject({ code: 'SEALED_REQUEST_UNREADABLE' });
  });
});

test('a tick names the keys in force beside the nonces, and makes them usable before it answers', async () => {
  const { session, log, outbox, challenges, keys, clock } = await make();
  const ticker = new Ticker({ session, log, outbox, challenges, keys, attester: new FakeAttester(), logger: silent });
  await clock.pass(LIFE / 2);
  const asked = challenges.ask(new Uint8Array(32).fill(1)).then(() => keys.refusal());
  ticker.poke();
  expect(await asked).toBeNull();
  await until(() => ticker.committed === log.size, 'all is covered');
  await ticker.stop();
  const all = (await framesOf(outbox)).filter(({ type }) => type === FRAME.entry).map(({ body }) => parseEntry(body));
  const named = all.flatMap((entry) => (entry.kind === 'challenges' ? entry.value.keyConfigDigests : []));
  const entered = all.flatMap((entry) => (entry.kind === 'key' ? [digestOf(entry.value.config)] : []));
  expect(entered).toHaveLength(2);
  expect(named.map(hex)).toEqual(entered);
});
