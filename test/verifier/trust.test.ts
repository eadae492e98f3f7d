import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import path from 'node:path';
import { equalBytes, hex } from '@veritee/protocol';
import { beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, type SimulatedAuthority } from '../../attestation-fixtures/snp/authority.ts';
import {
  amdName,
  arkSpec,
  type CertificateSpec,
  issueCertificate,
  pem,
  publicKeyOf,
} from '../../attestation-fixtures/snp/certificates.ts';
import { AMD_ANCHORS, AMD_REVOKED } from '../../verifier/trust/amd.ts';
import { AMD_INTERMEDIATES } from '../../verifier/trust/amd-intermediates.ts';
import { amdAnchor, readTrustAnchors } from '../../verifier/trust/read.ts';
import { AMD_CERTIFICATES, flipped, read } from './snp-support.ts';

const file = (name: string): Uint8Array<ArrayBuffer> => read(path.join(AMD_CERTIFICATES ?? '', name));
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

describe.skipIf(!AMD_CERTIFICATES)('pinned AMD certificates', () => {
  const pinned = [...AMD_ANCHORS, ...AMD_INTERMEDIATES];
  test.each(
    ['milan', 'genoa', 'turin'].flatMap((product) => ['ark', 'ask', 'asvk'].map((kind) => `${product}-${kind}.pem`)),
  )('%s is pinned as it is', (name) => {
    const certificate = new X509Certificate(file(name));
    const fingerprint = createHash('sha256').update(certificate.raw).digest('hex');
    const [facts, ...more] = pinned.filter((one) => hex(one.fingerprint) === fingerprint);
    expect(more).toEqual([]);
    expect(certificate.subject.split('\n')).toContain(`CN=${facts?.name}`);
    expect(facts?.notBefore).toEqual(new Date(certificate.validFrom));
    expect(facts?.notAfter).toEqual(new Date(certificate.validTo));
    const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
    expect(hex(facts?.publicKey ?? new Uint8Array(0))).toBe(spki.toString('hex'));
    if (facts && 'serial' in facts) expect(facts.serial).toBe(BigInt(`0x${certificate.serialNumber}`));
  });

  test('nothing else is pinned, and none of it is known as revoked', () => {
    expect(AMD_ANCHORS.map(({ name }) => name)).toEqual(['ARK-Milan', 'ARK-Genoa', 'ARK-Turin']);
    expect(AMD_ANCHORS.every(({ platform }) => platform === 'snp')).toBe(true);
    expect(pinned.length).toBe(9);
    const revoked = AMD_REVOKED.map(({ serial }) => serial);
    expect(AMD_INTERMEDIATES.filter(({ serial }) => revoked.includes(serial))).toEqual([]);
  });

  test("AMD's roots are read as themselves, alone or in one file", async () => {
    const names = ['milan-ark.pem', 'genoa-ark.pem', 'turin-ark.pem'];
    const all = Uint8Array.from(names.flatMap((name) => [...file(name)]));
    const anchors = await readTrustAnchors(all, 'anchors');
    expect(anchors).toEqual(AMD_ANCHORS);
    for (const anchor of anchors) expect(amdAnchor(anchor)).toBe(anchor);
  });

  test.each(['milan-ask.pem', 'turin-asvk.pem'])('refuses %s: no root', async (name) => {
    await expect(readTrustAnchors(file(name), 'anchor')).rejects.toMatchObject({
      code: 'TRUST_ANCHOR_INVALID',
      field: 'anchor',
    });
  });

  test('refuses a root with any byte changed', async () => {
    const der = new Uint8Array(new X509Certificate(file('turin-ark.pem')).raw);
    for (let at = 0; at < der.length; at++) {
      await expect(readTrustAnchors(flipped(der, at, 1), 'anchor')).rejects.toMatchObject({
        code: 'TRUST_ANCHOR_INVALID',
      });
    }
  });
});

describe('simulated roots', () => {
  let genoa: SimulatedAuthority;
  beforeAll(async () => {
    genoa = await createAuthority('Genoa');
  });
  const root = (change: Partial<CertificateSpec>): Uint8Array =>
    issueCertificate({ ...arkSpec('Genoa', publicKeyOf(genoa.ark.privateKey)), ...change }, genoa.ark.privateKey);

  test('are simulated whatever their name says, from PEM and DER', async () => {
    const [fromDer] = await readTrustAnchors(genoa.ark.certificate, 'anchor');
    const [fromPem] = await readTrustAnchors(text(`made by a test\n${pem(genoa.ark.certificate)}`), 'anchor');
    expect(fromDer).toMatchObject({ name: 'ARK-Genoa', platform: 'simulated-snp' });
    expect(fromPem).toEqual(fromDer);
    expect(hex(fromDer!.fingerprint)).toBe(createHash('sha256').update(genoa.ark.certificate).digest('hex'));
    expect(equalBytes(fromDer!.publicKey, publicKeyOf(genoa.ark.privateKey))).toBe(true);
  });

  test("half of AMD's facts is not AMD", () => {
    const [, amd] = AMD_ANCHORS as unknown as [unknown, (typeof AMD_ANCHORS)[number]];
    const key = publicKeyOf(genoa.ark.privateKey);
    expect(amdAnchor({ publicKey: key, fingerprint: amd.fingerprint })).toBeNull();
    expect(amdAnchor({ publicKey: amd.publicKey, fingerprint: AMD_ANCHORS[0]!.fingerprint })).toBeNull();
  });

  test.each<[string, () => Uint8Array]>([
    ['no file', () => new Uint8Array(0)],
    ['text', () => text('hello')],
    ['an ASK', () => genoa.ask.certificate],
    [
      'a root signed by another key',
      () => issueCertificate(arkSpec('Genoa', publicKeyOf(genoa.ark.privateKey)), genoa.ask.privateKey),
    ],
    ['a root with another issuer', () => root({ issuer: amdName('ARK-Milan') })],
    ['a root with a name AMD does not use', () => root({ subject: amdName('ARK-Rome'), issuer: amdName('ARK-Rome') })],
    [
      'a root without extensions it needs',
      () => root({ extensions: arkSpec('Genoa', publicKeyOf(genoa.ark.privateKey)).extensions.slice(1) }),
    ],
    [
      'a root with a short key',
      () => {
        const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        return issueCertificate(arkSpec('Genoa', publicKeyOf(privateKey)), privateKey);
      },
    ],
    ['a good root and an ASK', () => text(pem(genoa.ark.certificate) + pem(genoa.ask.certificate))],
  ])('refuses %s', async (_, make) => {
    await expect(readTrustAnchors(make(), 'anchor')).rejects.toMatchObject({
      code: 'TRUST_ANCHOR_INVALID',
      field: 'anchor',
    });
  });
});
