import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytes, concat, hex } from '../../protocol/bytes.ts';
import { isCode } from '../../protocol/errors.ts';
import {
  encodeKeyConfig,
  encodeKeyConfigList,
  MAX_KEY_CONFIG_BYTES,
  MAX_KEY_CONFIGS,
  parseKeyConfig,
  parseKeyConfigList,
} from '../../protocol/sealed/key-config.ts';
import { pullFrom } from '../../protocol/sealed/pull.ts';
import { refuseRequest } from '../../protocol/sealed/refusal.ts';
import { encodeVarint, integer } from '../../protocol/sealed/varint.ts';
import { refusal, unhex, verdict } from './support.ts';

const publicKey = bytes(
  Uint8Array.from({ length: 32 }, (_, i) => i),
  32,
  'publicKey',
);
const config = encodeKeyConfig({ keyId: 0x5a, publicKey });

test('a configuration, RFC 9458 §3.1', () => {
  expect(hex(config)).toBe(`5a0020${hex(publicKey)}000400010002`);
  expect(parseKeyConfig(config)).toEqual({ keyId: 0x5a, publicKey });
  // A list of suites that holds ours will do, and the example of RFC 9458 appendix A offers another AEAD only.
  expect(parseKeyConfig(unhex(`5a0020${hex(publicKey)}000c000100030001000200020002`)).keyId).toBe(0x5a);
  const rfc = unhex('01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003');
  expect(verdict(() => parseKeyConfig(rfc))).toBe('EVIDENCE_UNSUPPORTED');
  expect(parseKeyConfig(rfc, 1).keyId).toBe(1);
});

const key = hex(publicKey);
const cases: [string, string, string][] = [
  ['nothing', '', 'EVIDENCE_MALFORMED'],
  ['another KEM', `5a0010${key}000400010002`, 'EVIDENCE_UNSUPPORTED'],
  ['another KDF', `5a0020${key}000400030002`, 'EVIDENCE_UNSUPPORTED'],
  ['another AEAD', `5a0020${key}000400010003`, 'EVIDENCE_UNSUPPORTED'],
  ['halves of two suites', `5a0020${key}00080002000100020001`, 'EVIDENCE_UNSUPPORTED'],
  ['no suite', `5a0020${key}0000`, 'EVIDENCE_MALFORMED'],
  ['half a suite', `5a0020${key}00020001`, 'EVIDENCE_MALFORMED'],
  ['suites that are cut off', `5a0020${key}000800010002`, 'EVIDENCE_MALFORMED'],
  ['bytes behind the suites', `5a0020${key}00040001000200`, 'EVIDENCE_MALFORMED'],
  ['too many suites', `5a0020${key}1000${'00010002'.repeat(1024)}`, 'EVIDENCE_MALFORMED'],
];
test.each(cases)('%s is refused', (_, text, code) => {
  const { code: actual, field } = refusal(() => parseKeyConfig(unhex(text)));
  expect([actual, field]).toEqual([code, 'keyConfig']);
});

test('cut anywhere it is malformed', () => {
  for (let length = 0; length < config.length; length++) {
    expect(verdict(() => parseKeyConfig(config.subarray(0, length)))).toBe('EVIDENCE_MALFORMED');
  }
});

test('a list, RFC 9458 §3.2', () => {
  const list = encodeKeyConfigList([config, Uint8Array.of(1, 2, 3)]);
  expect(hex(list)).toBe(`0029${hex(config)}0003010203`);
  expect(parseKeyConfigList(list)).toEqual([config, Uint8Array.of(1, 2, 3)]);
  expect(parseKeyConfigList(new Uint8Array(0))).toEqual([]);
  const whole = [0, 2 + config.length, list.length];
  for (let length = 0; length < list.length; length++) {
    expect(verdict(() => parseKeyConfigList(list.subarray(0, length)))).toBe(
      whole.includes(length) ? 'ok' : 'EVIDENCE_MALFORMED',
    );
  }
  const many = (count: number) => encodeKeyConfigList(Array.from({ length: count }, () => config));
  expect(parseKeyConfigList(many(MAX_KEY_CONFIGS)).length).toBe(MAX_KEY_CONFIGS);
  expect(verdict(() => parseKeyConfigList(many(MAX_KEY_CONFIGS + 1)))).toBe('EVIDENCE_MALFORMED');
  const long = encodeKeyConfigList([new Uint8Array(MAX_KEY_CONFIG_BYTES + 1)]);
  expect(verdict(() => parseKeyConfigList(long))).toBe('EVIDENCE_MALFORMED');
});

test('random bytes get a coded refusal or a reading', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (data) => {
      for (const read of [
        parseKeyConfig,
        parseKeyConfigList,
        () => parseKeyConfig(concat(config.subarray(0, 35), data)),
      ]) {
        const code = verdict(() => read(data));
        expect(code === 'ok' || isCode(code)).toBe(true);
      }
    }),
  );
});

test('varints, RFC 9000 appendix A.1', () => {
  const read = (text: string) => pullFrom(integer('x', refuseRequest), unhex(text));
  expect(['9d7f3e7d', '7bbd', '25', '4025'].map(read)).toEqual([494878333, 15293, 37, 37]);
  expect(read('c2197c5eff14e88c')).toBe(Number(151288809941952652n));
  expect(read('')).toBeNull();
  expect([37, 15293, 494878333].map((value) => hex(encodeVarint(value)))).toEqual(['25', '7bbd', '9d7f3e7d']);
  for (const edge of [0, 63, 64, 16383, 16384, 2 ** 30 - 1, 2 ** 30, Number.MAX_SAFE_INTEGER]) {
    expect(pullFrom(integer('x', refuseRequest), encodeVarint(edge))).toBe(edge);
  }
  for (const cut of ['40', '9d7f3e', 'c2197c5eff14e8'])
    expect(verdict(() => read(cut))).toBe('SEALED_REQUEST_TRUNCATED');
});
