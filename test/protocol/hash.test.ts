import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { concat, hex } from '../../protocol/bytes.ts';
import { saltedDigest, sha256, sha512 } from '../../protocol/hash.ts';
import { bytesArb } from './arbitraries.ts';

describe('digests', () => {
  afterEach(() => vi.unstubAllGlobals());

  test('are those of node:crypto', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        expect(hex(sha256(data))).toBe(createHash('sha256').update(data).digest('hex'));
        expect(hex(sha512(data))).toBe(createHash('sha512').update(data).digest('hex'));
      }),
    );
  });

  test('a salted digest is `cat salt body | sha256sum`, with and without WebCrypto', async () => {
    const [salt] = fc.sample(bytesArb(32), 1);
    for (const body of [new Uint8Array(0), Buffer.from('{"inputs":[]}'), new Uint8Array(100_000).fill(7)]) {
      const expected = execFileSync('sha256sum', { input: concat(salt!, body), encoding: 'utf8' }).slice(0, 64);
      expect(hex(await saltedDigest(salt!, body))).toBe(expected);
      vi.stubGlobal('crypto', {});
      expect(hex(await saltedDigest(salt!, body))).toBe(expected);
      vi.unstubAllGlobals();
    }
  });
});
