import { createHash, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { concat, hex } from '@veritee/protocol';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type CertificateSpec,
  caConstraints,
  encodeTbsCertificate,
  pem,
  publicKeyOf,
  signedDer,
} from '../../attestation-fixtures/certificate.ts';
import { bitString, derNull, integer, oid, sequence } from '../../attestation-fixtures/der.ts';
import {
  ECDSA_SHA256,
  ECDSA_SHA384,
  issueNitroCertificate,
  nitroName,
  rootSpec,
} from '../../attestation-fixtures/nitro/certificates.ts';
import { encodeDocument } from '../../attestation-fixtures/nitro/document.ts';
import { sharedNitroRoot, simulatedNitroEvidence } from '../../attestation-fixtures/nitro/evidence.ts';
import { createNitroRoot, generateNitroKey } from '../../attestation-fixtures/nitro/pki.ts';
import { parseNitroCertificate, verifyNitroCertificateSignature } from '../../verifier/nitro/certificate.ts';
import { nitroAnchorOf } from '../../verifier/nitro/root.ts';
import { embedded, type TrustAnchor } from '../../verifier/trust/anchor.ts';
import { AWS_ANCHORS } from '../../verifier/trust/aws.ts';
import { readCertificates } from '../../verifier/x509/pem.ts';
import { AWS_CERTIFICATES, attemptNitro } from './nitro-support.ts';
import { codeOf, flipped, read } from './snp-support.ts';

const AT = new Date('2026-01-15T12:00:00.250Z');
const key = generateNitroKey();
const good = rootSpec(publicKeyOf(key));
const parse = (der: Uint8Array) => parseNitroCertificate(der, 'test');
const withSignature = (signature: Uint8Array): Uint8Array =>
  signedDer(encodeTbsCertificate(good), ECDSA_SHA384, signature);

describe('certificates of the Nitro profile', () => {
  test('agrees with node, simulated ones included', async () => {
    const { issued } = simulatedNitroEvidence({ userData: null, publicKey: null, at: AT });
    for (const { certificate } of Object.values(issued)) {
      const ours = parse(certificate);
      const oracle = new X509Certificate(certificate);
      expect(ours.serial).toBe(BigInt(`0x${oracle.serialNumber}`));
      expect(hex(ours.fingerprint)).toBe(oracle.fingerprint256.replaceAll(':', '').toLowerCase());
      expect(ours.notAfter).toEqual(new Date(oracle.validTo));
      for (const issuer of Object.values(issued)) {
        const node = new X509Certificate(issuer.certificate);
        expect(await verifyNitroCertificateSignature(ours, parse(issuer.certificate).spki)).toBe(
          oracle.verify(node.publicKey),
        );
      }
    }
  });

  test('reads serial numbers of 20 full octets, as AWS gives them to instances', () => {
    const serial = (1n << 160n) - 1n;
    expect(parse(issueNitroCertificate({ ...good, serial }, key)).serial).toBe(serial);
  });

  const limit = 1n << 384n;
  const negative = Uint8Array.of(0x02, 0x01, 0x80);
  const padded = Uint8Array.of(0x02, 0x02, 0x00, 0x01);
  test.each<[string, Uint8Array]>([
    ['r and s side by side', new Uint8Array(96).fill(1)],
    ['nothing', new Uint8Array()],
    ['r of zero', sequence(integer(0), integer(1))],
    ['s of zero', sequence(integer(1), integer(0))],
    ['a negative r', sequence(negative, integer(1))],
    ['a negative s', sequence(integer(1), negative)],
    ['r with a leading zero too many', sequence(padded, integer(1))],
    ['r of 385 bits', sequence(integer(limit), integer(1))],
    ['s of 385 bits', sequence(integer(1), integer(limit))],
    ['r alone', sequence(integer(1))],
    ['a third integer', sequence(integer(1), integer(1), integer(1))],
    ['bytes after it', concat(sequence(integer(1), integer(1)), Uint8Array.of(0))],
    ['an indefinite length', Uint8Array.of(0x30, 0x80, ...integer(1), ...integer(1), 0, 0)],
    ['a long length', Uint8Array.of(0x30, 0x81, 0x06, ...integer(1), ...integer(1))],
  ])('refuses a signature of %s', (_, signature) => {
    expect(codeOf(() => parse(withSignature(signature)))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('reads small r and s, which then verify nothing', async () => {
    const certificate = parse(withSignature(sequence(integer(1), integer(limit - 1n))));
    expect(hex(certificate.signature)).toBe(`${'1'.padStart(96, '0')}${'f'.repeat(96)}`);
    expect(await verifyNitroCertificateSignature(certificate, certificate.spki)).toBe(false);
  });

  const withKey = (publicKey: Uint8Array): Uint8Array => issueNitroCertificate({ ...good, publicKey }, key);
  const ec = oid('1.2.840.10045.2.1');
  const p384 = oid('1.3.132.0.34');
  const point = good.publicKey.subarray(-97);
  const compressed = concat(Uint8Array.of(0x02), point.subarray(1, 49));
  const signedWith = (inner: Uint8Array, outer: Uint8Array): Uint8Array => {
    const tbs = encodeTbsCertificate({ ...good, signatureAlgorithm: inner });
    return signedDer(tbs, outer, new Uint8Array(sign('sha384', tbs, key)));
  };
  test.each<[string, Uint8Array]>([
    ['a compressed point', withKey(sequence(sequence(ec, p384), bitString(compressed)))],
    [
      'a hybrid point',
      withKey(sequence(sequence(ec, p384), bitString(concat(Uint8Array.of(0x06), point.subarray(1))))),
    ],
    ['a point with a byte too many', withKey(sequence(sequence(ec, p384), bitString(concat(point, Uint8Array.of(0)))))],
    ['unused bits in the key', withKey(sequence(sequence(ec, p384), bitString(point, 1)))],
    ['a key of another curve', withKey(sequence(sequence(ec, oid('1.2.840.10045.3.1.7')), bitString(point)))],
    ['a key without a curve', withKey(sequence(sequence(ec), bitString(point)))],
    ['a key for another algorithm', withKey(sequence(sequence(oid('1.3.132.1.12'), p384), bitString(point)))],
    ['bytes after the key', withKey(sequence(sequence(ec, p384), bitString(point), derNull()))],
    ['another algorithm outside', signedWith(ECDSA_SHA384, ECDSA_SHA256)],
    ['another algorithm inside', signedWith(ECDSA_SHA256, ECDSA_SHA384)],
    [
      'NULL for parameters',
      signedWith(sequence(oid('1.2.840.10045.4.3.3'), derNull()), sequence(oid('1.2.840.10045.4.3.3'), derNull())),
    ],
    ['no extensions', issueNitroCertificate({ ...good, extensions: [] }, key)],
    [
      'more than 1,024 bytes',
      issueNitroCertificate(
        { ...good, extensions: [...good.extensions, { oid: '1.2.3', critical: false, value: new Uint8Array(600) }] },
        key,
      ),
    ],
    ['a byte after it', concat(issueNitroCertificate(good, key), Uint8Array.of(0))],
  ])('refuses %s', (_, der) => {
    expect(codeOf(() => parse(der))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('refuses a certificate cut off at any length', () => {
    const der = issueNitroCertificate(good, key);
    for (let length = 0; length < der.length; length++) {
      expect(codeOf(() => parse(der.subarray(0, length)))).toBe('ENDORSEMENT_MALFORMED');
    }
  });
});

describe('a chain in a document that its leaf signed', () => {
  let anchors: readonly TrustAnchor[];
  beforeAll(async () => {
    anchors = [await nitroAnchorOf(sharedNitroRoot().certificate, 'root')];
  });
  const { fields, issued } = simulatedNitroEvidence({ userData: null, publicKey: null, at: AT });
  const code = async (change: Partial<typeof fields>) =>
    (await attemptNitro(encodeDocument({ ...fields, ...change }, issued.leaf.privateKey), anchors, AT)).code;

  test('is good as it is', async () => {
    expect(await code({})).toBe('valid');
  });

  // The document is signed anew each time, so that only the chain itself can refuse.
  test.each([0, 1, 2, 3])('refuses every change of one byte of cabundle[%i]', async (place) => {
    const der = fields.cabundle[place] as Uint8Array;
    for (let i = 0; i < der.length; i++) {
      const bad = flipped(der, i, i % 2 === 0 ? 0x01 : 0x80);
      const cabundle = fields.cabundle.map((one, at) => (at === place ? bad : one));
      expect(['ENDORSEMENT_MALFORMED', 'CHAIN_UNTRUSTED', 'CERTIFICATE_INVALID']).toContain(await code({ cabundle }));
    }
  });

  test('refuses every change of one byte of the leaf', async () => {
    for (let i = 0; i < fields.certificate.length; i++) {
      const certificate = flipped(fields.certificate, i, i % 2 === 0 ? 0x01 : 0x80);
      expect(['ENDORSEMENT_MALFORMED', 'CHAIN_UNTRUSTED', 'CERTIFICATE_INVALID']).toContain(
        await code({ certificate }),
      );
    }
  });
});

describe('roots as anchors', () => {
  test.skipIf(!AWS_CERTIFICATES)("the embedded root is AWS's own certificate", async () => {
    const [der] = readCertificates(read(AWS_CERTIFICATES ?? '', 'aws-nitro-enclaves-root-g1.pem'), 'root') as [
      Uint8Array,
    ];
    const published = JSON.parse(Buffer.from(read(AWS_CERTIFICATES ?? '', 'fingerprints.json')).toString('utf8')) as {
      certificates: { sha256Der: string; sha256Spki: string }[];
    };
    const [aws] = AWS_ANCHORS as [TrustAnchor];
    expect(AWS_ANCHORS.length).toBe(1);
    expect(hex(aws.fingerprint)).toBe(published.certificates[0]?.sha256Der);
    expect(createHash('sha256').update(aws.publicKey).digest('hex')).toBe(published.certificates[0]?.sha256Spki);
    const certificate = parse(der);
    expect({ ...aws, fingerprint: hex(aws.fingerprint) }).toEqual({
      name: certificate.subjectCN,
      platform: 'nitro',
      publicKey: certificate.spki,
      notBefore: certificate.notBefore,
      notAfter: certificate.notAfter,
      fingerprint: hex(certificate.fingerprint),
    });
    expect(await nitroAnchorOf(der, 'root')).toBe(aws);
  });

  test('any other root speaks for the simulation, whatever its name says', async () => {
    const { certificate } = createNitroRoot();
    const anchor = await nitroAnchorOf(certificate, 'root');
    expect(anchor).toMatchObject({ name: 'aws.nitro-enclaves', platform: 'simulated-nitro' });
    expect(readCertificates(new TextEncoder().encode(pem(certificate)), 'root')).toEqual([certificate]);
  });

  test('key and fingerprint must both be those of AWS', () => {
    const [aws] = AWS_ANCHORS as [TrustAnchor];
    expect(embedded(AWS_ANCHORS, aws)).toBe(aws);
    expect(embedded(AWS_ANCHORS, { ...aws, publicKey: good.publicKey as TrustAnchor['publicKey'] })).toBeNull();
    expect(
      embedded(AWS_ANCHORS, { ...aws, fingerprint: parse(issueNitroCertificate(good, key)).fingerprint }),
    ).toBeNull();
  });

  const changed = (change: Partial<CertificateSpec>, by = key): Uint8Array =>
    issueNitroCertificate({ ...good, ...change }, by);
  test.each<[string, () => Uint8Array]>([
    ['no certificate', () => new Uint8Array(40)],
    ['a root of another key', () => changed({}, generateNitroKey())],
    [
      'a root with another issuer',
      () => changed({ issuer: flipped(nitroName.root(), nitroName.root().length - 1, 0x01) }),
    ],
    ['a root that is no authority', () => changed({ extensions: good.extensions.slice(1) })],
    ['a root without key usage', () => changed({ extensions: [caConstraints()] })],
    ['a leaf', () => simulatedNitroEvidence({ userData: null, publicKey: null, at: AT }).issued.leaf.certificate],
    [
      'an authority below the root',
      () => simulatedNitroEvidence({ userData: null, publicKey: null, at: AT }).issued.regional.certificate,
    ],
    [
      'a P-256 root',
      () => {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        return issueNitroCertificate(rootSpec(publicKeyOf(privateKey)), privateKey);
      },
    ],
  ])('refuses %s', async (_, make) => {
    await expect(nitroAnchorOf(make(), 'anchor')).rejects.toMatchObject({
      code: 'TRUST_ANCHOR_INVALID',
      field: 'anchor',
    });
  });

  test('refuses every change of one byte of a root', async () => {
    const der = issueNitroCertificate(good, key);
    expect((await nitroAnchorOf(der, 'anchor')).platform).toBe('simulated-nitro');
    for (let i = 0; i < der.length; i++) {
      await expect(nitroAnchorOf(flipped(der, i, 0x01), 'anchor')).rejects.toMatchObject({
        code: 'TRUST_ANCHOR_INVALID',
      });
    }
  });
});
