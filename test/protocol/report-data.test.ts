import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hex, utf8 } from '../../protocol/bytes.ts';
import { type CheckpointBody, checkpointBody } from '../../protocol/checkpoint.ts';
import { reportData, reportDataPreimage } from '../../protocol/report-data.ts';
import { bytesArb } from './arbitraries.ts';

const sha256sum = (input: string | Uint8Array) => execFileSync('sha256sum', { input, encoding: 'utf8' }).slice(0, 64);
const sha512sum = (input: string) => execFileSync('sha512sum', { input, encoding: 'utf8' }).slice(0, 128);

const claims = utf8('session claims');
const origin = 'veritee/0123456789abcdef0123456789abcdef';
const body = `${origin}\n42\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n` as CheckpointBody;

describe('REPORT_DATA', () => {
  test('is what sha512sum says over the lines of design §3: first report of a boot', () => {
    const text = `veritee/report-data/v1
${sha256sum(claims)}
00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
veritee/0123456789abcdef0123456789abcdef
42
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
`;
    expect(reportDataPreimage(claims, null, body)).toBe(text);
    expect(hex(reportData(claims, null, body))).toBe(sha512sum(text));
  });

  test('is what sha512sum says: a later report', () => {
    const previous = reportData(claims, null, body);
    const text = `veritee/report-data/v1
${sha256sum(claims)}
${hex(previous)}
veritee/0123456789abcdef0123456789abcdef
42
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
`;
    expect(reportDataPreimage(claims, previous, body)).toBe(text);
    expect(hex(reportData(claims, previous, body))).toBe(sha512sum(text));
  });

  test('for any input: node:crypto over six lines, each ended by one line feed', () => {
    const anyBody = fc
      .tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), bytesArb(32))
      .map(([size, root]) => checkpointBody(origin, size, root));
    fc.assert(
      fc.property(fc.uint8Array(), fc.option(bytesArb(64)), anyBody, (claims, previous, body) => {
        const text = [
          'veritee/report-data/v1',
          createHash('sha256').update(claims).digest('hex'),
          previous ? Buffer.from(previous).toString('hex') : '0'.repeat(128),
          ...body.split('\n'),
        ].join('\n');
        expect(text.split('\n').length).toBe(7); // six lines and what follows the last line feed: nothing
        expect(hex(reportData(claims, previous, body))).toBe(createHash('sha512').update(text).digest('hex'));
      }),
    );
  });

  test('every part of the input moves it', () => {
    const previous = reportData(claims, null, body);
    const all = [
      reportData(claims, null, body),
      reportData(utf8('other claims'), null, body),
      reportData(claims, previous, body),
      reportData(claims, null, body.replace('42', '43') as CheckpointBody),
      reportData(claims, null, body.replace('CsUY', 'DsUY') as CheckpointBody),
      reportData(claims, null, body.replace('0123', '1123') as CheckpointBody),
    ].map(hex);
    expect(new Set(all).size).toBe(all.length);
  });
});
