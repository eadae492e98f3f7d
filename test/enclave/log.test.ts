import {
  encodeEndEntry,
  encodeKeyEntry,
  FRAME,
  fromHex,
  type Hash,
  hex,
  leafHash,
  parseCheckpoint,
  parseEntry,
  parseEvidence,
  reportData,
  rootFromInclusion,
  rootOf,
  verifyCheckpoint,
  verifySign1,
} from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import { Ticker } from '../../enclave/ticker.ts';
import { FakeAttester, framesOf, makeLog, silent, until } from './parts.ts';

const end = (sequence: number) => encodeEndEntry({ sequence, issuedAt: 1, reason: 'stopped' });
const key = (sequence: number) =>
  encodeKeyEntry({ sequence, issuedAt: 1, config: Uint8Array.of(1), notBefore: 1, notAfter: 2 });

describe('log', () => {
  test('starts with the session claims and numbers every entry by its leaf index, signed by the session', async () => {
    const { log, session, outbox } = makeLog();
    for (let i = 1; i < 40; i++) expect(log.append('key', key).index).toBe(i);
    const entries = (await framesOf(outbox)).map(({ body }) => body);
    expect(entries).toHaveLength(40);
    for (const [i, raw] of entries.entries()) {
      const entry = parseEntry(raw);
      expect(entry.sequence).toBe(i);
      expect(await verifySign1(entry.message, session.claims.sessionKey)).toBe(true);
    }
    expect(parseEntry(entries[0] as Uint8Array).message.payload).toEqual(session.claimsBytes);
    const checkpoint = parseCheckpoint(log.checkpoint().note);
    expect(checkpoint.size).toBe(40);
    expect(checkpoint.root).toEqual(rootOf(entries.map(leafHash)));
    expect(await verifyCheckpoint(checkpoint, session.claims.sessionKey)).toBe(true);
  });
});

describe('the end entry', () => {
  test('is the last: nothing is appended after it, and late nonces are refused', async () => {
    const { log, challenges } = makeLog();
    const early = challenges.ask(new Uint8Array(8));
    challenges.close([]);
    log.append('end', end);
    expect(log.size).toBe(3); // session, challenges, end
    expect(() => log.append('key', key)).toThrow(expect.objectContaining({ code: 'ENCLAVE_STOPPING' }));
    await expect(challenges.ask(new Uint8Array(8))).rejects.toMatchObject({ code: 'ENCLAVE_STOPPING' });
    expect(log.size).toBe(3);
    challenges.covered(3, new Uint8Array(64) as never);
    expect((await early).entry).toBe(1);
  });
});

describe('outbox', () => {
  test('keeps records until they are acknowledged and replays from any position it still holds', async () => {
    const { log, outbox } = makeLog();
    for (let i = 1; i < 10; i++) log.append('key', key);
    expect(await framesOf(outbox)).toHaveLength(10);
    outbox.acknowledge(4);
    const frames = await framesOf(outbox);
    expect(frames.map(({ body }) => parseEntry(body).sequence)).toEqual([4, 5, 6, 7, 8, 9]);
    expect(() => outbox.acknowledge(3)).toThrow(expect.objectContaining({ code: 'REQUEST_FIELD_INVALID' }));
    expect(() => outbox.acknowledge(11)).toThrow(expect.objectContaining({ code: 'REQUEST_FIELD_INVALID' }));
    expect(() => outbox.stream(3, 1)).toThrow(expect.objectContaining({ code: 'REQUEST_FIELD_INVALID' }));
  });

  test('refuses new work at the bound and takes it again once the host has caught up', () => {
    const { log, outbox } = makeLog({ maxRecords: 3, maxBytes: 1 << 20 });
    log.append('key', key);
    const release = outbox.reserve();
    expect(() => outbox.reserve()).toThrow(expect.objectContaining({ code: 'LOG_BACKLOG_FULL' }));
    release();
    release(); // giving back twice must not make room twice
    const again = outbox.reserve();
    expect(() => outbox.reserve()).toThrow(expect.objectContaining({ code: 'LOG_BACKLOG_FULL' }));
    again();
    outbox.acknowledge(2);
    outbox.reserve();
    outbox.reserve();
  });

  test('says when all is stored', async () => {
    const { outbox } = makeLog();
    expect(await outbox.drained(1)).toBe(false);
    const drained = outbox.drained(5000);
    outbox.acknowledge(outbox.next);
    expect(await drained).toBe(true);
  });
});

describe('ticks', () => {
  const make = (attester = new FakeAttester()) => {
    const parts = makeLog();
    return { ...parts, attester, ticker: new Ticker({ ...parts, attester, logger: silent }) };
  };

  test('chain REPORT_DATA over claims, the previous value and the checkpoint, one report at a time', async () => {
    const { log, outbox, session, attester, ticker } = make();
    ticker.poke();
    for (let i = 0; i < 200; i++) {
      log.append('key', key);
      ticker.poke();
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await until(() => ticker.committed === log.size, 'everything committed');
    await ticker.stop();
    const evidence = (await framesOf(outbox))
      .filter(({ type }) => type === FRAME.evidence)
      .map(({ body }) => parseEvidence(body));
    expect(evidence.length).toBeGreaterThan(1);
    expect(evidence.length).toBeLessThan(200); // coalesced
    expect(attester.mostInFlight).toBe(1);
    let previous: Uint8Array | null = null;
    for (const file of evidence) {
      expect(file.previousReportData).toEqual(previous);
      const { body } = parseCheckpoint(file.checkpoint);
      expect(file.report).toEqual(new Uint8Array(reportData(session.claimsBytes, file.previousReportData, body)));
      previous = file.report;
    }
  });

  test('a failing platform delays ticks and is named, and the next report skips the failed value', async () => {
    const { outbox, attester, ticker } = make();
    const { answer } = attester;
    attester.answer = async () => {
      throw Object.assign(new Error('firmware'), { code: 'EIO' });
    };
    ticker.poke();
    await until(() => ticker.error !== null, 'a failure');
    expect(ticker.error).toBe('PLATFORM_FAILED');
    expect(ticker.evidenceAgeMs).toBeNull();
    attester.answer = answer;
    await until(() => ticker.committed === 1, 'recovery');
    expect(ticker.error).toBeNull();
    await ticker.stop();
    const [evidence] = (await framesOf(outbox))
      .filter(({ type }) => type === FRAME.evidence)
      .map(({ body }) => parseEvidence(body));
    expect(evidence?.previousReportData).toBeNull(); // no report was obtained before
  });

  test('answer nonces with a path, equal ones once, one entry for all', async () => {
    const { log, outbox, attester, ticker, challenges } = make();
    const nonce = (i: number) => new Uint8Array(32).fill(i);
    const before = log.size;
    const asked = [1, 2, 3, 2, 1, 7].map((i) => challenges.ask(nonce(i)));
    ticker.poke();
    const proofs = await Promise.all(asked);
    await ticker.stop();
    expect(log.size).toBe(before + 1);
    expect(attester.asked).toHaveLength(1);
    expect(proofs.map(({ nonceIndex }) => nonceIndex)).toEqual([0, 1, 2, 1, 0, 3]);
    const frame = (await framesOf(outbox)).find(
      ({ type, body }) => type === FRAME.entry && parseEntry(body).kind === 'challenges',
    );
    const entry = parseEntry(frame?.body as Uint8Array);
    if (entry.kind !== 'challenges') throw new Error('not a challenges entry');
    expect(entry.value.nonceCount).toBe(4);
    for (const [i, value] of [1, 2, 3, 2, 1, 7].entries()) {
      const { nonceIndex, noncePath } = proofs[i] as (typeof proofs)[number];
      const path = noncePath.map((text) => fromHex(text) as Hash);
      expect(rootFromInclusion(leafHash(nonce(value)), nonceIndex, 4, path)).toEqual(entry.value.nonceRoot);
    }
    expect(new Set(proofs.map((proof) => proof.reportData))).toEqual(new Set([hex(attester.asked[0] as Uint8Array)]));
  });

  test('refuse a nonce beyond the bound', async () => {
    const { challenges } = make();
    for (let i = 0; i < 65_536; i++)
      challenges.ask(new Uint8Array([i >> 8, i & 255, 0, 0, 0, 0, 0, 0])).catch(() => undefined);
    await expect(challenges.ask(new Uint8Array(8).fill(9))).rejects.toMatchObject({ code: 'CHALLENGES_FULL' });
    challenges.abandon(new Error('done'));
  });
});
