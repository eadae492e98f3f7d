import { ed25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Bytes, bytes, concat, hex } from '../../protocol/bytes.ts';
import { type Ed25519Key, ed25519Key, verifyEd25519, verifyEd25519Pure } from '../../protocol/ed25519.ts';
import { sha512 } from '../../protocol/hash.ts';
import { mutate, mutationArb, plain, refusal, signerOf, testSigner, unhex, verdict } from './support.ts';

const { Point } = ed25519;
type Point = InstanceType<typeof Point>;
const L = Point.Fn.ORDER;
const P = Point.Fp.ORDER;

const littleEndian = (value: bigint, width = 32): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
const toInteger = (value: Uint8Array): bigint => BigInt(`0x${hex(plain(value).reverse())}`);

/** Both paths must say the same; that is what is returned. */
async function verify(key: Ed25519Key, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const sized = bytes(signature, 64, 'signature');
  const native = await verifyEd25519(key, message, sized);
  expect(verifyEd25519Pure(key, message, sized)).toBe(native);
  return native;
}

/** RFC 8032 §7.1. */
const VECTORS = [
  {
    name: 'TEST 1',
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    name: 'TEST 2',
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    key: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    name: 'TEST 3',
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    key: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
  {
    name: 'TEST SHA(abc)',
    seed: '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
    key: 'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
    message:
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    signature:
      'dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704',
  },
] as const;

describe('RFC 8032 vectors', () => {
  test.each(VECTORS)('$name', async (vector) => {
    const key = ed25519Key(unhex(vector.key), 'key');
    const message = unhex(vector.message);
    const signature = unhex(vector.signature);
    expect(hex(signerOf(unhex(vector.seed)).raw)).toBe(vector.key);
    expect(hex(signerOf(unhex(vector.seed)).sign(message))).toBe(vector.signature);
    expect(await verify(key, message, signature)).toBe(true);
    expect(await verify(key, concat(message, Uint8Array.of(0)), signature)).toBe(false);
    for (let i = 0; i < 64; i++) {
      const changed = plain(signature);
      changed[i]! ^= 1;
      expect(await verify(key, message, changed)).toBe(false);
    }
  });
});

/** The eight points whose order divides 8. */
const torsion: Point[] = (() => {
  // Any point times L has an order that divides 8; this one's is exactly 8.
  const generator = Array.from({ length: 50 }, (_, y) => y)
    .flatMap((y) => {
      try {
        return [Point.fromBytes(littleEndian(BigInt(y)), false)];
      } catch {
        return [];
      }
    })
    .map((point) => point.multiplyUnsafe(L - 1n).add(point))
    .find((point) => !point.double().double().is0());
  if (!generator) throw new Error('no point of order 8 among the first fifty');
  const points = [Point.ZERO];
  for (let i = 1; i < 8; i++) points.push((points[i - 1] as Point).add(generator));
  return points;
})();

describe('keys', () => {
  test('torsion points are what they should be', () => {
    expect(new Set(torsion.map((point) => point.toHex())).size).toBe(8);
    expect(torsion.every((point) => point.isSmallOrder())).toBe(true);
  });

  test.each(torsion.map((point) => point.toHex()))('refuses the small-order key %s', (text) => {
    expect(verdict(() => ed25519Key(unhex(text), 'key'))).toBe('SESSION_INVALID');
  });

  test('refuses every key with a component of small order', () => {
    const good = Point.fromBytes(testSigner.raw);
    for (const [i, part] of torsion.entries()) {
      const raw = good.add(part).toBytes();
      expect(verdict(() => ed25519Key(raw, 'key'))).toBe(i === 0 ? 'ok' : 'SESSION_INVALID');
    }
  });

  test('refuses every encoding whose y is not below p', () => {
    // y ≥ p leaves the nineteen values p … 2^255−1, with either sign bit.
    for (let y = P; y < 1n << 255n; y++) {
      for (const sign of [0n, 1n << 255n]) {
        expect(verdict(() => ed25519Key(littleEndian(y | sign), 'key'))).toBe('SESSION_INVALID');
      }
    }
  });

  test('refuses x = 0 with the sign bit set, and a y that is on no point', () => {
    expect(verdict(() => ed25519Key(littleEndian(1n | (1n << 255n)), 'key'))).toBe('SESSION_INVALID');
    expect(verdict(() => ed25519Key(littleEndian(2n), 'key'))).toBe('SESSION_INVALID');
    expect(verdict(() => ed25519Key(new Uint8Array(32).fill(0xff), 'key'))).toBe('SESSION_INVALID');
  });

  test('refuses every other length and names the field', () => {
    for (const n of [0, 1, 31, 33, 64]) {
      const { code, field } = refusal(() => ed25519Key(new Uint8Array(n).fill(9), 'session.cnf'));
      expect([code, field]).toEqual(['SESSION_INVALID', 'session.cnf']);
    }
  });

  test('random bytes are a key exactly when they encode a point of prime order', () => {
    let keys = 0;
    const anyBytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(
        fc.oneof(
          anyBytes,
          anyBytes.map((seed) => signerOf(seed).raw),
        ),
        (raw) => {
          const accepted = verdict(() => ed25519Key(raw, 'key')) === 'ok';
          let expected = false;
          try {
            const point = Point.fromBytes(plain(raw), false);
            expected =
              !point.is0() &&
              point
                .multiplyUnsafe(L - 1n)
                .add(point)
                .is0();
          } catch {
            expected = false;
          }
          expect(accepted).toBe(expected);
          if (accepted) keys += 1;
        },
      ),
      { numRuns: 100 },
    );
    expect(keys).toBeGreaterThan(0);
  });
});

describe('signatures: both paths, one verdict', () => {
  const message = unhex('00112233');
  const { key, raw, sign } = testSigner;
  const good = sign(message);
  const R = good.subarray(0, 32);
  const S = toInteger(good.subarray(32));
  const secret = ed25519.utils.getExtendedPublicKey(testSigner.seed).scalar;
  const challenge = (r: Uint8Array): bigint => toInteger(sha512(concat(r, raw, message))) % L;

  test('refuses S + L and every other S that is not below L', async () => {
    expect(await verify(key, message, good)).toBe(true);
    for (let s = S + L; s < 1n << 256n; s += L) {
      expect(await verify(key, message, concat(R, littleEndian(s)))).toBe(false);
    }
    for (const s of [L, L + 1n, (1n << 256n) - 1n]) {
      expect(await verify(key, message, concat(R, littleEndian(s)))).toBe(false);
    }
  });

  test('the neutral point as R is judged by the equation, like any other', async () => {
    const neutral = Point.ZERO.toBytes();
    const s = (challenge(neutral) * secret) % L;
    expect(await verify(key, message, concat(neutral, littleEndian(s)))).toBe(true);
    expect(await verify(key, message, concat(neutral, littleEndian(L - 1n)))).toBe(false);
  });

  test('refuses an R with a component of small order, which only the cofactored equation accepts', async () => {
    const r = 12345n;
    for (const [i, part] of torsion.entries()) {
      const hostile = Point.BASE.multiply(r).add(part).toBytes();
      const s = (r + challenge(hostile) * secret) % L;
      const signature = concat(hostile, littleEndian(s));
      // The cofactored check of ZIP 215 says yes to all eight.
      expect(ed25519.verify(signature, message, raw, { zip215: true })).toBe(true);
      expect(await verify(key, message, signature)).toBe(i === 0);
    }
  });

  test('refuses an R in any encoding but the canonical one', async () => {
    // y = 1 (the neutral point) may also be written p + 1, or with the sign bit set.
    for (const text of [littleEndian(P + 1n), littleEndian(1n | (1n << 255n)), littleEndian((P + 1n) | (1n << 255n))]) {
      const s = (challenge(text) * secret) % L;
      expect(await verify(key, message, concat(text, littleEndian(s)))).toBe(false);
    }
  });

  test('refuses an R that is no point', async () => {
    expect(await verify(key, message, concat(littleEndian(2n), littleEndian(S)))).toBe(false);
    expect(await verify(key, message, new Uint8Array(64))).toBe(false);
    expect(await verify(key, message, new Uint8Array(64).fill(0xff))).toBe(false);
  });

  test('random keys and messages, whole and damaged', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.option(mutationArb, { freq: 3 }),
        async (seed, text, change) => {
          const signer = signerOf(seed);
          const signature = signer.sign(text);
          const changed = change ? mutate(signature, change) : signature;
          if (changed.length !== 64) return;
          const same = hex(changed) === hex(signature);
          expect(await verify(signer.key, text, changed)).toBe(same);
          if (same) accepted += 1;
        },
      ),
      { numRuns: 60 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  test('random signatures', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 64, maxLength: 64 }), async (signature) => {
        expect(await verify(key, message, signature)).toBe(false);
      }),
      { numRuns: 100 },
    );
  });
});

describe('without WebCrypto', () => {
  afterEach(() => vi.unstubAllGlobals());
  const signature = (seed: number): [Ed25519Key, Bytes<64>] => {
    const signer = signerOf(new Uint8Array(32).fill(seed));
    return [signer.key, signer.sign(unhex('01'))];
  };

  test.each<[string, unknown]>([
    ['no crypto at all', undefined],
    ['no subtle: a page that was not served securely', {}],
    ['no Ed25519', { subtle: { importKey: () => Promise.reject(new Error('NotSupportedError')) } }],
  ])('%s: the pure path decides', async (name, stub) => {
    const [key, good] = signature(name.length); // a key of its own, as imported keys are remembered
    vi.stubGlobal('crypto', stub);
    expect(await verifyEd25519(key, unhex('01'), good)).toBe(true);
    expect(await verifyEd25519(key, unhex('02'), good)).toBe(false);
  });

  test('more keys than are remembered still verify', async () => {
    const [key, good] = signature(200);
    expect(await verifyEd25519(key, unhex('01'), good)).toBe(true);
    for (let i = 0; i < 1100; i++) {
      const other = littleEndian(BigInt(i)) as Uint8Array as Ed25519Key; // whether it is a point does not matter here
      expect(await verifyEd25519(other, unhex('01'), good)).toBe(false);
    }
    expect(await verifyEd25519(key, unhex('01'), good)).toBe(true);
  });
});
