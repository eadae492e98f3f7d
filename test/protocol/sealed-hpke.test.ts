import { readFileSync } from 'node:fs';
import { DecapError } from 'hpke';
import { describe, expect, test } from 'vitest';
import { hex } from '../../protocol/bytes.ts';
import { nodeCrypto } from '../../protocol/sealed/node-crypto.ts';
import { nodeSuite, suite, webSuite } from '../../protocol/sealed/suite.ts';
import { PRIMITIVES, pairOf, withEphemeral } from './sealed-support.ts';
import { plain, sharedVectors, unhex } from './support.ts';

interface Vector {
  readonly mode: number;
  readonly kem_id: number;
  readonly kdf_id: number;
  readonly aead_id: number;
  readonly info: string;
  readonly ikmR: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly skEm: string;
  readonly enc: string;
  readonly encryptions: readonly { seq: number; aad: string; pt: string; ct: string }[];
  readonly exports: readonly { exporter_context: string; L: number; exported_value: string }[];
}

const { path, absent } = sharedVectors('hpke/rfc9180-vectors-p256-x25519.json');
const vectors: readonly Vector[] = absent
  ? []
  : (JSON.parse(readFileSync(path, 'utf8')) as Vector[]).filter(
      (v) => v.mode === 0 && v.kem_id === 0x20 && v.kdf_id === 1 && (v.aead_id === 1 || v.aead_id === 2),
    );

describe.each(PRIMITIVES)('HPKE on $name', (primitives) => {
  test.skipIf(absent).each([128, 256] as const)('the RFC 9180 vector with AES-%i-GCM', async (bits) => {
    const [vector] = vectors.filter((v) => v.aead_id === bits / 128);
    const sender = await withEphemeral(primitives, bits, unhex(vector!.skEm));
    const { hpke } = primitives.of(bits);
    const pair = await pairOf(primitives.of(bits), unhex(vector!.skRm));
    expect(hex(await hpke.SerializePublicKey(pair.publicKey))).toBe(vector!.pkRm);
    const derived = await hpke.DeriveKeyPair(unhex(vector!.ikmR));
    expect(hex(await hpke.SerializePublicKey(derived.publicKey))).toBe(vector!.pkRm);

    const info = unhex(vector!.info);
    const { encapsulatedSecret, ctx: sending } = await sender.hpke.SetupSender(pair.publicKey, { info });
    expect(hex(encapsulatedSecret)).toBe(vector!.enc);
    const receiving = await hpke.SetupRecipient(pair, encapsulatedSecret, { info });
    await expect(hpke.SetupRecipient(derived, encapsulatedSecret, { info })).resolves.toBeDefined();

    const wanted = new Map(vector!.encryptions.map((row) => [row.seq, row]));
    const last = Math.max(...wanted.keys());
    for (let seq = 0; seq <= last; seq++) {
      const row = wanted.get(seq);
      const [aad, plaintext] = row ? [unhex(row.aad), unhex(row.pt)] : [new Uint8Array(0), new Uint8Array(0)];
      const sealed = await sending.Seal(plaintext, aad);
      if (row) expect(hex(sealed)).toBe(row.ct);
      expect(plain(await receiving.Open(sealed, aad))).toEqual(plaintext);
    }
    expect(wanted.size).toBeGreaterThanOrEqual(7);
    for (const { exporter_context, L, exported_value } of vector!.exports) {
      expect(hex(await sending.Export(unhex(exporter_context), L))).toBe(exported_value);
      expect(hex(await receiving.Export(unhex(exporter_context), L))).toBe(exported_value);
    }
  });

  // RFC 7748 §6.1, RFC 9180 §7.1.4: points of small order make a shared secret that everybody knows.
  test.each([
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ecff${'ff'.repeat(29)}7f`,
    `edff${'ff'.repeat(29)}7f`,
    `eeff${'ff'.repeat(29)}7f`,
  ])('a public key of small order is refused: %s', async (point) => {
    const { hpke } = primitives.of(256);
    await expect(hpke.SetupRecipient(await hpke.GenerateKeyPair(), unhex(point))).rejects.toBeInstanceOf(DecapError);
    const to = await hpke.DeserializePublicKey(unhex(point));
    await expect(hpke.SetupSender(to)).rejects.toThrow();
  });

  test('the private half of a generated pair cannot be read', async () => {
    const { hpke } = primitives.of(256);
    const { privateKey } = await hpke.GenerateKeyPair();
    expect(privateKey.extractable).toBe(false);
    await expect(hpke.SerializePrivateKey(privateKey)).rejects.toThrow(TypeError);
  });
});

test('in Node the suite stands on node:crypto, and where there is none on WebCrypto', () => {
  expect(nodeCrypto()).toBeDefined();
  expect(suite().aead.Open.toString()).toBe(nodeSuite()!.aead.Open.toString());
  const { process } = globalThis;
  try {
    Object.defineProperty(globalThis, 'process', { value: undefined, configurable: true, writable: true });
    expect(nodeCrypto()).toBeUndefined();
    expect(nodeSuite()).toBeNull();
  } finally {
    Object.defineProperty(globalThis, 'process', { value: process, configurable: true, writable: true });
  }
  expect(webSuite().hpke.AEAD.id).toBe(2);
});

test('an all-zero shared secret is refused even where the library behind node:crypto does not look', async () => {
  const crypto = nodeCrypto()!;
  const { nodeHkdfSha256, nodeX25519 } = await import('../../protocol/sealed/node-crypto.ts');
  const careless = Object.assign(Object.create(crypto), { diffieHellman: () => Buffer.alloc(32) });
  const kem = nodeX25519(careless, nodeHkdfSha256(crypto)())();
  const pair = await kem.GenerateKeyPair(false);
  await expect(kem.Decap(new Uint8Array(32).fill(9), pair.privateKey, pair.publicKey)).rejects.toThrow(/all-zero/);
});
