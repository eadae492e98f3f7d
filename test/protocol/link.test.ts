import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, hex } from '../../protocol/bytes.ts';
import { encodeFrame, FRAME, type Frame, FrameReader, type FrameType } from '../../protocol/link.ts';
import { unhex, verdict } from './support.ts';

const frameArb: fc.Arbitrary<Frame> = fc.record({
  type: fc.constantFrom<FrameType>(...Object.values(FRAME)),
  body: fc.uint8Array({ maxLength: 100 }),
});
const shown = (frames: readonly Frame[]) => frames.map(({ type, body }) => [type, hex(body)]);
const streamOf = (frames: readonly Frame[]) => concat(...frames.map(({ type, body }) => encodeFrame(type, body)));

describe('frames', () => {
  test('type, big-endian length, body', () => {
    expect(hex(encodeFrame(FRAME.entry, unhex('aabb')))).toBe('0100000002aabb');
    expect(hex(encodeFrame(FRAME.heartbeat, unhex('')))).toBe('0300000000');
  });

  test('a stream cut anywhere gives the same frames', () => {
    fc.assert(
      fc.property(fc.array(frameArb, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 20 }), (frames, cuts) => {
        const stream = streamOf(frames);
        const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
        const reader = new FrameReader();
        const read = places.slice(1).flatMap((end, i) => reader.push(stream.subarray(places[i], end)));
        expect(shown(read)).toEqual(shown(frames));
      }),
    );
  });

  test('a frame is given as soon as its last byte is there, not before', () => {
    const stream = encodeFrame(FRAME.evidence, unhex('010203'));
    const reader = new FrameReader();
    for (let i = 0; i < stream.length - 1; i++) expect(reader.push(stream.subarray(i, i + 1))).toEqual([]);
    expect(shown(reader.push(stream.subarray(-1)))).toEqual([[FRAME.evidence, '010203']]);
    expect(shown(reader.push(stream))).toEqual([[FRAME.evidence, '010203']]);
  });

  test('a frame of four megabytes in chunks of 64 bytes', () => {
    const body = new Uint8Array(4 << 20).fill(0x5a);
    const stream = encodeFrame(FRAME.evidence, body);
    const reader = new FrameReader();
    const read: Frame[] = [];
    for (let i = 0; i < stream.length; i += 64) read.push(...reader.push(stream.subarray(i, i + 64)));
    expect(read.length).toBe(1);
    expect(Buffer.compare(read[0]!.body, body)).toBe(0);
  });

  test.each([
    ['type 0', '0000000000'],
    ['type 4', '0400000000'],
    ['type 255', 'ff00000000'],
    ['a body above four megabytes', '0100400001'],
    ['a body of 2^32−1 bytes', '01ffffffff'],
    ['HTTP', '485454502f312e31'],
  ])('refuses %s, and everything after it', (_, text) => {
    const reader = new FrameReader();
    expect(verdict(() => reader.push(unhex(text)))).toBe('EVIDENCE_MALFORMED');
    expect(verdict(() => reader.push(encodeFrame(FRAME.entry, unhex('00'))))).toBe('EVIDENCE_MALFORMED');
  });

  test('random bytes: frames or a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (data) => {
        const reader = new FrameReader();
        let frames: Frame[] = [];
        const code = verdict(() => {
          frames = reader.push(data);
        });
        expect(['ok', 'EVIDENCE_MALFORMED']).toContain(code);
        expect(hex(data).startsWith(hex(streamOf(frames)))).toBe(true);
      }),
    );
  });

  test('frames share no memory with the chunks, also when these are Buffers', () => {
    const held = Buffer.from(encodeFrame(FRAME.entry, unhex('aa')));
    const slow = new FrameReader();
    slow.push(held.subarray(0, 3)); // kept until the rest is there
    const rest = Buffer.from(held.subarray(3));
    held.fill(0xff);
    expect(shown(slow.push(rest))).toEqual([[FRAME.entry, 'aa']]);
    const stream = Buffer.from(
      streamOf([
        { type: FRAME.entry, body: unhex('0102') },
        { type: FRAME.entry, body: unhex('03') },
      ]),
    );
    const reader = new FrameReader();
    const [first] = reader.push(stream.subarray(0, 9));
    const chunk = stream.subarray(9);
    const second = reader.push(chunk);
    stream.fill(0xff);
    expect(shown([first!, ...second])).toEqual([
      [FRAME.entry, '0102'],
      [FRAME.entry, '03'],
    ]);
  });
});
