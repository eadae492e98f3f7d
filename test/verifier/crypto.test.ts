import { constants, createHash, generateKeyPairSync, sign as nodeSign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { verifyEcdsaP384Sha384, verifyRsaPssSha384 } from '../../verifier/crypto.ts';
import { verifyEcdsaP384Sha384Node, verifyRsaPssSha384Node } from '../../verifier/crypto-node.ts';
import { parseNitroCertificate } from '../../verifier/nitro/certificate.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { parseSnpReport } from '../../verifier/snp/report.ts';
import { AMD_ANCHORS } from '../../verifier/trust/amd.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';
import { sharedFolder } from '../support/shared.ts';
import { documentOf, NITRO_EVIDENCE, nitroCases } from './nitro-support.ts';
import { AMD_CERTIFICATES, attempt, caseFiles, flipped, midOf, SNP_EVIDENCE, snpCases } from './snp-support.ts';

const VECTORS = sharedFolder('vectors', 'wycheproof');
const fromHex = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text, 'hex'));

const { getBuiltinModule } = process;

afterEach(() => {
  vi.unstubAllGlobals();
  process.getBuiltinModule = getBuiltinModule;
});

/** As a page sees it, though a bundler may have given it a `process`. */
const withoutNode = (): void => void Reflect.set(process, 'getBuiltinModule', undefined);

function withoutWebCrypto(): void {
  withoutNode();
  vi.stubGlobal('crypto', {});
}

/** A runtime whose WebCrypto has everything but these. */
function without(name: string): void {
  withoutNode();
  const { subtle } = globalThis.crypto;
  vi.stubGlobal('crypto', {
    subtle: {
      verify: subtle.verify.bind(subtle),
      importKey: async (
        format: 'spki',
        data: Uint8Array<ArrayBuffer>,
        algorithm: { name: string },
        ...rest: [boolean, ['verify']]
      ) => {
        if (algorithm.name === name) throw new DOMException('no such curve', 'NotSupportedError');
        return subtle.importKey(format, data, algorithm, ...rest);
      },
    },
  });
}

type Verify = typeof verifyEcdsaP384Sha384;

/** One check in Node, in a page, and where there is neither: by name, so that a failure says which. */
async function onAllPaths(
  verify: Verify,
  key: Uint8Array,
  signature: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<readonly (readonly [path: string, verdict: boolean])[]> {
  const node = await verify(key, signature, data);
  withoutNode();
  const web = await verify(key, signature, data);
  withoutWebCrypto();
  const pure = await verify(key, signature, data);
  vi.unstubAllGlobals();
  process.getBuiltinModule = getBuiltinModule;
  return [
    ['node:crypto', node],
    ['WebCrypto', web],
    ['fallback', pure],
  ];
}

/** The one verdict of all paths; throws where they differ. */
async function verdictOf(verify: Verify, ...check: Parameters<Verify>): Promise<boolean> {
  const verdicts = await onAllPaths(verify, ...check);
  const [[, first]] = verdicts as [readonly [string, boolean]];
  expect(verdicts.map(([, verdict]) => verdict)).toEqual([first, first, first]);
  return first;
}

interface Vectors {
  readonly testGroups: readonly {
    readonly publicKeyDer: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly msg: string;
      readonly sig: string;
      readonly result: 'valid' | 'invalid';
    }[];
  }[];
}

describe.skipIf(!VECTORS)('Wycheproof, ECDSA P-384 with SHA-384, r ‖ s', () => {
  const read = (): Vectors =>
    JSON.parse(readFileSync(path.join(VECTORS ?? '', 'ecdsa_secp384r1_sha384_p1363_test.json'), 'utf8'));

  test('all three paths give the verdict of every vector', async () => {
    const wrong: string[] = [];
    let count = 0;
    for (const { publicKeyDer, tests } of read().testGroups) {
      const spki = fromHex(publicKeyDer);
      for (const { tcId, msg, sig, result } of tests) {
        const [signature, message] = [fromHex(sig), fromHex(msg)];
        const verdicts = await onAllPaths(verifyEcdsaP384Sha384, spki, signature, message);
        for (const [path, verdict] of verdicts) if (verdict !== (result === 'valid')) wrong.push(`${path} ${tcId}`);
        count += 1;
      }
    }
    expect(wrong).toEqual([]);
    expect(count).toBe(280);
  });
});

describe('ECDSA P-384', () => {
  const ORDER = BigInt(
    '0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  );
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const message = new TextEncoder().encode('message');
  const good = new Uint8Array(nodeSign('sha384', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
  const all = (key: Uint8Array, signature: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer> = message) =>
    verdictOf(verifyEcdsaP384Sha384, key, signature, data);

  test('accepts both forms of s', async () => {
    const s = BigInt(`0x${Buffer.from(good.subarray(48)).toString('hex')}`);
    const mirrored = new Uint8Array(good);
    mirrored.set(fromHex((ORDER - s).toString(16).padStart(96, '0')), 48);
    expect(await all(spki, good)).toBe(true);
    expect(await all(spki, mirrored)).toBe(true);
  });

  test('refuses r and s of zero, of the order and above it', async () => {
    for (const at of [0, 48]) {
      for (const value of [0n, ORDER, ORDER + 1n, (1n << 384n) - 1n]) {
        const bad = new Uint8Array(good);
        bad.set(fromHex(value.toString(16).padStart(96, '0')), at);
        expect(await all(spki, bad)).toBe(false);
      }
    }
  });

  test('refuses another message, another length, a point off the curve, and another curve', async () => {
    expect(await all(spki, good, flipped(message, 0, 1))).toBe(false);
    for (const length of [0, 95]) expect(await all(spki, good.slice(0, length))).toBe(false);
    expect(await all(spki, new Uint8Array([...good, 0]))).toBe(false);
    expect(await all(flipped(spki, spki.length - 1, 1), good)).toBe(false);
    // Hybrid form: the same point under another first byte, and a byte behind the key.
    expect(await all(flipped(spki, 23, 0x02), good)).toBe(false);
    expect(await all(new Uint8Array([...spki, 0]), good)).toBe(false);
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    expect(await all(new Uint8Array(p256.export({ format: 'der', type: 'spki' })), good)).toBe(false);
  });

  test.each(['no WebCrypto', 'no P-384'])('%s: the fallback answers', async (how) => {
    if (how === 'no P-384') without('ECDSA');
    else withoutWebCrypto();
    const key = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const der = new Uint8Array(key.publicKey.export({ format: 'der', type: 'spki' }));
    const signature = new Uint8Array(nodeSign('sha384', message, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }));
    expect(await verifyEcdsaP384Sha384(der, signature, message)).toBe(true);
    expect(await verifyEcdsaP384Sha384(der, flipped(signature, 20, 1), message)).toBe(false);
  });

  test('another failure of WebCrypto is a failure, not a verdict', async () => {
    withoutNode();
    vi.stubGlobal('crypto', { subtle: { importKey: () => Promise.reject(new Error('out of memory')) } });
    const { publicKey: fresh } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const der = new Uint8Array(fresh.export({ format: 'der', type: 'spki' }));
    await expect(verifyEcdsaP384Sha384(der, good, message)).rejects.toThrow('out of memory');
  });
});

describe('RSASSA-PSS', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const message = new TextEncoder().encode('to be signed');
  const sign = (saltLength: number, hash = 'sha384'): Uint8Array<ArrayBuffer> =>
    new Uint8Array(nodeSign(hash, message, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }));
  const all = (key: Uint8Array, signature: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer> = message) =>
    verdictOf(verifyRsaPssSha384, key, signature, data);

  test('accepts what the key signed', async () => {
    for (let i = 0; i < 8; i++) expect(await all(spki, sign(48))).toBe(true);
  });

  test('refuses another salt length, hash, padding, message or key', async () => {
    for (const salt of [0, 32, 47, 49, 64]) expect(await all(spki, sign(salt))).toBe(false);
    expect(await all(spki, sign(48, 'sha256'))).toBe(false);
    expect(await all(spki, new Uint8Array(nodeSign('sha384', message, privateKey)))).toBe(false);
    expect(await all(spki, sign(48), flipped(message, 3, 4))).toBe(false);
    expect(await all(new Uint8Array([...spki, 0]), sign(48))).toBe(false);
    const small = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const smallKey = new Uint8Array(small.publicKey.export({ format: 'der', type: 'spki' }));
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const bySmall = nodeSign('sha384', message, { key: small.privateKey, padding, saltLength: 48 });
    expect(await all(smallKey, new Uint8Array(bySmall))).toBe(false);
    const [milan] = AMD_ANCHORS;
    expect(await all(milan!.publicKey, sign(48))).toBe(false);
  });

  test('refuses every changed byte, another length, and a signature not below the modulus', async () => {
    const good = sign(48);
    for (let i = 0; i < good.length; i += 7) expect(await all(spki, flipped(good, i, 1 << (i % 8)))).toBe(false);
    expect(await all(spki, good.slice(1))).toBe(false);
    expect(await all(spki, new Uint8Array([...good, 0]))).toBe(false);
    expect(await all(spki, new Uint8Array(512).fill(0xff))).toBe(false);
    expect(await all(spki, new Uint8Array(512))).toBe(false);
  });

  /** Raw RSA over an encoding of our own making: what only EMSA-PSS-VERIFY's single steps refuse. */
  const signEncoding = (encoded: Uint8Array): Uint8Array<ArrayBuffer> => {
    const { d, n } = privateKey.export({ format: 'jwk' }) as { d: string; n: string };
    const number = (text: string): bigint => BigInt(`0x${Buffer.from(text, 'base64url').toString('hex')}`);
    let [base, power, result] = [BigInt(`0x${Buffer.from(encoded).toString('hex')}`), number(d), 1n];
    const modulus = number(n);
    for (; power > 0n; power >>= 1n) {
      if (power & 1n) result = (result * base) % modulus;
      base = (base * base) % modulus;
    }
    return fromHex(result.toString(16).padStart(1024, '0'));
  };
  const sha384 = (...parts: Uint8Array[]): Buffer => createHash('sha384').update(Buffer.concat(parts)).digest();
  const encode = (change: { trailer?: number; top?: number; separator?: number; padding?: number }): Uint8Array => {
    const salt = Buffer.alloc(48, 7);
    const hash = sha384(Buffer.alloc(8), sha384(message), salt);
    const db = Buffer.concat([Buffer.alloc(414, change.padding ?? 0), Buffer.of(change.separator ?? 1), salt]);
    const mask = Buffer.concat(Array.from({ length: 10 }, (_, i) => sha384(hash, Uint8Array.of(0, 0, 0, i)))).subarray(
      0,
      463,
    );
    const masked = db.map((byte, i) => byte ^ mask[i]!);
    masked[0] = (masked[0]! & 0x7f) | (change.top ?? 0);
    return Buffer.concat([masked, hash, Buffer.of(change.trailer ?? 0xbc)]);
  };

  test('refuses each single fault of the encoding', async () => {
    expect(await all(spki, signEncoding(encode({})))).toBe(true);
    for (const fault of [{ trailer: 0xbd }, { separator: 2 }, { separator: 0 }, { padding: 1 }]) {
      expect(await all(spki, signEncoding(encode(fault)))).toBe(false);
    }
  });

  test.each(['no WebCrypto', 'no RSA-PSS'])('%s: the fallback answers', async (how) => {
    if (how === 'no RSA-PSS') without('RSA-PSS');
    else withoutWebCrypto();
    expect(await verifyRsaPssSha384(spki, sign(48), message)).toBe(true);
    expect(await verifyRsaPssSha384(spki, sign(32), message)).toBe(false);
  });
});

describe.skipIf(!SNP_EVIDENCE || !AMD_CERTIFICATES)('real SNP evidence on both paths', () => {
  const cases = snpCases().filter(({ files }) => files.signerCert !== undefined);

  test.each(cases)('$id', async (one) => {
    const { report, certificates } = caseFiles(one);
    const input = { report, certificates, anchors: AMD_ANCHORS, at: midOf(one) };
    const native = await attempt(input);
    withoutWebCrypto();
    const pure = await attempt(input);
    vi.unstubAllGlobals();
    expect([pure.code, pure.failed]).toEqual([native.code, native.failed]);
    // Signatures that lead to a yes are remembered, so each is also checked by itself.
    const [leaf, intermediate, root] = certificates.map((der) => parseCertificate(der, 'certificate'));
    for (const [child, parent] of [
      [leaf, intermediate],
      [intermediate, root],
      [root, root],
    ] as const) {
      if (!child || !parent) throw new Error('want a whole chain');
      await verdictOf(verifyRsaPssSha384, parent.spki, child.signature, child.tbs);
      expect(await verdictOf(verifyRsaPssSha384, parent.spki, flipped(child.signature, 100, 1), child.tbs)).toBe(false);
    }
    const { signature, signedBytes } = parseSnpReport(report);
    await verdictOf(verifyEcdsaP384Sha384, leaf!.spki, signature, signedBytes);
  });
});

describe.skipIf(!NITRO_EVIDENCE)('real Nitro documents on all paths', () => {
  test.each(nitroCases().filter(({ expected }) => expected === 'valid'))('$id', async (one) => {
    const document = parseNitroDocument(documentOf(one));
    const { spki } = parseNitroCertificate(document.certificate, 'certificate');
    const { signature, toBeSigned } = document;
    expect(await verdictOf(verifyEcdsaP384Sha384, spki, signature, toBeSigned)).toBe(true);
    expect(await verdictOf(verifyEcdsaP384Sha384, spki, flipped(signature, 50, 1), toBeSigned)).toBe(false);
  });
});

test('Node answers by its own crypto, and says so where there is none', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  expect(verifyEcdsaP384Sha384Node(spki, new Uint8Array(96), spki)).toBe(false);
  withoutNode();
  expect(verifyEcdsaP384Sha384Node(spki, new Uint8Array(96), spki)).toBeNull();
  expect(verifyRsaPssSha384Node(AMD_ANCHORS[0]!.publicKey, new Uint8Array(512), spki)).toBeNull();
});
