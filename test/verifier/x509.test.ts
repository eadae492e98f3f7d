import 'reflect-metadata';
import { constants, createHash, createPublicKey, X509Certificate as NodeCertificate, sign } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { X509Certificate as PeculiarCertificate, X509Crl as PeculiarCrl } from '@peculiar/x509';
import { bytes, EvidenceError, equalBytes, hex } from '@veritee/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  arkSpec,
  type CertificateSpec,
  encodeTbsCertificate,
  issueCertificate,
  publicKeyOf,
} from '../../attestation-fixtures/snp/certificates.ts';
import {
  type SimulatedEvidenceRequest,
  sharedAuthority,
  simulatedEvidence,
} from '../../attestation-fixtures/snp/evidence.ts';
import { ByteCache } from '../../verifier/byte-cache.ts';
import { parseCertificate, verifyCertificateSignature } from '../../verifier/x509/certificate.ts';
import { parseCrl, verifyCrlSignature } from '../../verifier/x509/crl.ts';
import { DerReader, TAG, tlv } from '../../verifier/x509/der.ts';
import { readCertificates, readCrls } from '../../verifier/x509/pem.ts';
import { AMD_CERTIFICATES, codeOf, flipped, read, SNP_EVIDENCE } from './snp-support.ts';

const reader = (...input: readonly number[]): DerReader =>
  new DerReader(Uint8Array.from(input), 'ENDORSEMENT_MALFORMED', 'test');
const ascii = (text: string): number[] => [...Buffer.from(text)];

describe('DER', () => {
  test.each<[string, readonly number[]]>([
    ['an indefinite length', [0x30, 0x80, 0x00, 0x00]],
    ['a long form below 128', [0x30, 0x81, 0x01, 0x00]],
    ['a long form with a leading zero', [0x30, 0x82, 0x00, 0x80, ...new Array(128).fill(0)]],
    ['a length of four bytes', [0x30, 0x84, 0x00, 0x00, 0x00, 0x01, 0x00]],
    ['a length of 127 bytes', [0x30, 0xff, ...new Array(127).fill(0xff)]],
    ['the largest length of three bytes', [0x30, 0x83, 0xff, 0xff, 0xff]],
    ['a length that is cut off', [0x30, 0x82, 0x01]],
    ['contents that are cut off', [0x30, 0x02, 0x00]],
    ['another tag', [0x31, 0x00]],
    ['a tag of several bytes', [0x3f, 0x30, 0x00]],
    ['nothing', []],
  ])('refuses %s', (_, input) => {
    expect(codeOf(() => reader(...input).read(TAG.sequence, 'part'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test.each<[string, readonly number[]]>([
    ['no contents', [0x02, 0x00]],
    ['a leading zero too many', [0x02, 0x02, 0x00, 0x7f]],
    ['a leading 0xff too many', [0x02, 0x02, 0xff, 0x80]],
    ['a negative value', [0x02, 0x01, 0x80]],
    ['a negative value of two bytes', [0x02, 0x02, 0xff, 0x7f]],
  ])('refuses an integer with %s', (_, input) => {
    expect(codeOf(() => reader(...input).integer('n'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('reads integers', () => {
    expect(reader(0x02, 0x01, 0x00).integer('n')).toBe(0n);
    expect(reader(0x02, 0x02, 0x00, 0xdb).integer('n')).toBe(219n);
    expect(reader(0x02, 0x03, 0x01, 0x00, 0x01).small('n', 65537)).toBe(65537);
    expect(codeOf(() => reader(0x02, 0x03, 0x01, 0x00, 0x01).small('n', 65536))).toBe('ENDORSEMENT_MALFORMED');
  });

  test.each<[string, (der: DerReader) => unknown, readonly number[]]>([
    ['a boolean of 1', (der) => der.boolean('b'), [0x01, 0x01, 0x01]],
    ['a boolean of two bytes', (der) => der.boolean('b'), [0x01, 0x02, 0xff, 0xff]],
    ['an empty bit string', (der) => der.bitString('b'), [0x03, 0x00]],
    ['a bit string with unused bits', (der) => der.bitString('b'), [0x03, 0x02, 0x01, 0x80]],
    ['an empty object identifier', (der) => der.oid('o'), [0x06, 0x00]],
    ['an object identifier that is cut off', (der) => der.oid('o'), [0x06, 0x02, 0x2a, 0x86]],
    ['an object identifier with a padded arc', (der) => der.oid('o'), [0x06, 0x03, 0x2a, 0x80, 0x01]],
    [
      'an object identifier with a huge arc',
      (der) => der.oid('o'),
      [0x06, 0x08, 0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ],
    ['bytes left over', (der) => der.end('e'), [0x00]],
  ])('refuses %s', (_, run, input) => {
    expect(codeOf(() => run(reader(...input)))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('reads object identifiers', () => {
    expect(reader(0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a).oid('o')).toBe(
      '1.2.840.113549.1.1.10',
    );
    expect(reader(0x06, 0x03, 0x55, 0x04, 0x03).oid('o')).toBe('2.5.4.3');
    expect(reader(0x06, 0x02, 0x88, 0x37).oid('o')).toBe('2.999');
  });

  test.each<[string, string | null]>([
    ['260605010203Z', '2026-06-05T01:02:03.000Z'],
    ['491231235959Z', '2049-12-31T23:59:59.000Z'],
    ['500101000000Z', '1950-01-01T00:00:00.000Z'],
    ['20500101000000Z', '2050-01-01T00:00:00.000Z'],
    ['240229000000Z', '2024-02-29T00:00:00.000Z'],
    ['250229000000Z', null],
    ['261301000000Z', null],
    ['260631000000Z', null],
    ['260605240000Z', null],
    ['260605236060Z', null],
    ['2606050102Z', null],
    ['260605010203+0000', null],
    ['260605010203', null],
    ['20491231235959Z', null],
    ['20500101000000.5Z', null],
    ['', null],
  ])('time %s', (text, iso) => {
    const tag = text.length > 13 ? TAG.generalizedTime : TAG.utcTime;
    const read = () =>
      reader(tag, text.length, ...ascii(text))
        .time('t')
        .toISOString();
    if (iso === null) expect(codeOf(read)).toBe('ENDORSEMENT_MALFORMED');
    else expect(read()).toBe(iso);
  });

  test('a time of a megabyte is refused like any other', () => {
    const long = Uint8Array.from([TAG.utcTime, 0x83, 0x0f, 0x42, 0x40, ...new Uint8Array(1_000_000).fill(0x30)]);
    expect(codeOf(() => new DerReader(long, 'CRL_INVALID', 'test').time('t'))).toBe('CRL_INVALID');
  });
});

const oneSimulated = (change: Partial<SimulatedEvidenceRequest> = {}) =>
  simulatedEvidence({
    product: 'Turin',
    version: 5,
    reportData: bytes(new Uint8Array(64), 64, 'REPORT_DATA'),
    measurement: bytes(new Uint8Array(48), 48, 'MEASUREMENT'),
    ...change,
  });

describe('certificates', () => {
  /** Replaces one byte string by another of the same length: what a signer of odd certificates would sign. */
  function replaced(der: Uint8Array, from: readonly number[], to: readonly number[], last = false): Uint8Array {
    const at = last ? Buffer.from(der).lastIndexOf(Buffer.from(from)) : Buffer.from(der).indexOf(Buffer.from(from));
    if (at < 0) throw new Error('nothing to replace');
    const copy = new Uint8Array(der);
    copy.set(to, at);
    return copy;
  }

  test.each<[string, readonly number[], readonly number[], boolean]>([
    ['version 2', [0xa0, 3, 2, 1, 2], [0xa0, 3, 2, 1, 1], false],
    ['version 4', [0xa0, 3, 2, 1, 2], [0xa0, 3, 2, 1, 3], false],
    ['a negative serial number', [0xa0, 3, 2, 1, 2, 2, 1, 0], [0xa0, 3, 2, 1, 2, 2, 1, 0x80], false],
    ['another salt inside', [0xa2, 3, 2, 1, 48], [0xa2, 3, 2, 1, 32], false],
    ['another salt outside', [0xa2, 3, 2, 1, 48], [0xa2, 3, 2, 1, 32], true],
    ['SHA-256 outside', [4, 2, 2, 5, 0], [4, 2, 1, 5, 0], true],
    ['a signature with unused bits', [0x03, 0x82, 0x02, 0x01, 0x00], [0x03, 0x82, 0x02, 0x01, 0x01], true],
    ['another curve', [0x2b, 0x81, 0x04, 0x00, 0x22], [0x2b, 0x81, 0x04, 0x00, 0x23], false],
    ['a compressed point', [0x03, 0x62, 0x00, 0x04], [0x03, 0x62, 0x00, 0x02], false],
    ['a validity that ends before it begins', ascii('321205060427Z'), ascii('221205060427Z'), false],
    ['a common name with a line feed', ascii('SEV-VCEK'), ascii('SEV-VCE\n'), false],
    ['a common name in another string type', [0x0c, 8, ...ascii('SEV-VCEK')], [0x16, 8, ...ascii('SEV-VCEK')], false],
  ])('refuses %s', async (_, from, to, last) => {
    const [vcek] = (await oneSimulated()).chain;
    expect(codeOf(() => parseCertificate(replaced(vcek, from, to, last), 'certificate'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('refuses an extension twice, an extension list that is empty, a serial number of 21 octets', async () => {
    const parse = async (mutateVcek: (good: CertificateSpec) => CertificateSpec) => {
      const [vcek] = (await oneSimulated({ mutateVcek })).chain;
      return codeOf(() => parseCertificate(vcek, 'certificate'));
    };
    expect(await parse((good) => good)).toBe('accepted');
    expect(await parse((good) => ({ ...good, extensions: [...good.extensions, good.extensions[0]!] }))).toBe(
      'ENDORSEMENT_MALFORMED',
    );
    expect(await parse((good) => ({ ...good, extensions: [] }))).toBe('ENDORSEMENT_MALFORMED');
    expect(await parse((good) => ({ ...good, serial: 1n << 160n }))).toBe('ENDORSEMENT_MALFORMED');
    expect(await parse((good) => ({ ...good, serial: (1n << 159n) - 1n }))).toBe('accepted');
    const many = Array.from({ length: 40 }, (_, i) => ({
      oid: `1.2.3.${i}`,
      critical: false,
      value: new Uint8Array(1),
    }));
    expect(await parse((good) => ({ ...good, extensions: many }))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('refuses a key whose encoding has more or less than it needs', async () => {
    const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
    const oid = tlv(TAG.oid, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01));
    const none = tlv(TAG.null);
    const modulus = tlv(TAG.integer, new Uint8Array(100).fill(1));
    const exponent = tlv(TAG.integer, Uint8Array.of(1, 0, 1));
    const spki = (algorithm: readonly Uint8Array[], numbers: readonly Uint8Array[], after = new Uint8Array(0)) => {
      const key = join(Uint8Array.of(0), tlv(TAG.sequence, ...numbers), after);
      return tlv(TAG.sequence, tlv(TAG.sequence, ...algorithm), tlv(TAG.bitString, key));
    };
    const code = async (publicKey: Uint8Array) => {
      const [vcek] = (await oneSimulated({ mutateVcek: (good) => ({ ...good, publicKey }) })).chain;
      return codeOf(() => parseCertificate(vcek, 'certificate'));
    };
    expect(await code(spki([oid, none], [modulus, exponent]))).toBe('accepted');
    for (const odd of [
      spki([oid], [modulus, exponent]),
      spki([oid, none, none], [modulus, exponent]),
      spki([oid, tlv(TAG.null, Uint8Array.of(0))], [modulus, exponent]),
      spki([oid, none], [modulus]),
      spki([oid, none], [modulus, exponent, exponent]),
      spki([oid, none], [modulus, tlv(TAG.integer, Uint8Array.of(1, 0, 0, 0, 1))]),
      spki([oid, none], [modulus, exponent], none),
      tlv(TAG.sequence, spki([oid, none], [modulus, exponent]).subarray(3), none),
    ]) {
      expect(await code(odd)).toBe('ENDORSEMENT_MALFORMED');
    }
  });

  test('refuses a certificate larger than any real one', () => {
    const big = Uint8Array.from([0x30, 0x82, 0x7f, 0xff, ...new Uint8Array(0x7fff)]);
    expect(codeOf(() => parseCertificate(big, 'certificate'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('changed or random bytes are refused with a code, or read without an exception of another kind', async () => {
    const [vcek] = (await oneSimulated()).chain;
    const parse = (der: Uint8Array): boolean => {
      const code = codeOf(() => parseCertificate(der, 'certificate'));
      return code === 'accepted' || code === 'ENDORSEMENT_MALFORMED';
    };
    const splice = fc.tuple(fc.nat(vcek.length), fc.nat(40), fc.uint8Array({ maxLength: 40 }));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), parse), { numRuns: 2000 });
    fc.assert(
      fc.property(splice, ([at, drop, add]) =>
        parse(Uint8Array.from([...vcek.subarray(0, at), ...add, ...vcek.subarray(at + drop)])),
      ),
      { numRuns: 5000 },
    );
  });

  test('the result does not change when the input is written to', async () => {
    const [good] = (await oneSimulated()).chain;
    const input = new Uint8Array(good);
    const certificate = parseCertificate(input, 'certificate');
    input.fill(0);
    expect(equalBytes(certificate.der, good)).toBe(true);
    expect(equalBytes(parseCertificate(good, 'certificate').der, good)).toBe(true);
    expect(codeOf(() => parseCertificate(input, 'certificate'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('a remembered yes holds for that certificate and that key only', async () => {
    const { chain, ark } = await oneSimulated();
    const [vcek, ask] = [parseCertificate(chain[0], 'vcek'), parseCertificate(chain[1], 'ask')];
    const root = parseCertificate(ark, 'ark');
    for (let round = 0; round < 2; round++) {
      expect(await verifyCertificateSignature(vcek, ask.spki)).toBe(true);
      expect(await verifyCertificateSignature(vcek, root.spki)).toBe(false);
      expect(await verifyCertificateSignature(vcek, vcek.spki)).toBe(false);
      expect(await verifyCertificateSignature(root, root.spki)).toBe(true);
    }
    // The same signature, and so the same tail, under another to-be-signed part.
    const other = parseCertificate(flipped(chain[0], chain[0].indexOf(0x17) + 3, 0x01), 'vcek');
    expect(equalBytes(other.signature, vcek.signature)).toBe(true);
    expect(await verifyCertificateSignature(other, ask.spki)).toBe(false);
    expect(await verifyCertificateSignature(vcek, ask.spki)).toBe(true);
  });

  test('refuses PSS with another salt than the one it names', async () => {
    const { privateKey } = (await sharedAuthority('Turin')).ark;
    const spec = arkSpec('Turin', publicKeyOf(privateKey));
    const tbs = encodeTbsCertificate(spec);
    const make = (saltLength: number): Uint8Array => {
      const signature = sign('sha384', tbs, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
      const outer = Buffer.concat([tbs, spec.signatureAlgorithm, Uint8Array.of(3, 0x82, 2, 1, 0), signature]);
      return Uint8Array.from([0x30, 0x82, outer.length >> 8, outer.length & 0xff, ...outer]);
    };
    const verify = async (der: Uint8Array): Promise<boolean> => {
      const certificate = parseCertificate(der, 'ark');
      return verifyCertificateSignature(certificate, certificate.spki);
    };
    expect(await verify(make(48))).toBe(true);
    expect(await verify(make(32))).toBe(false);
    expect(await verify(issueCertificate(spec, privateKey))).toBe(true);
  });
});

describe('what is remembered', () => {
  const key = (head: number, tail = 1): Uint8Array => Uint8Array.from([head, ...new Uint8Array(20).fill(tail)]);

  test('is found under exactly its own bytes', () => {
    const cache = new ByteCache<string>(4);
    cache.set(key(1), 'one');
    expect(cache.get(key(1))).toBe('one');
    expect(cache.get(key(2))).toBeUndefined();
    expect(cache.get(key(1).subarray(1))).toBeUndefined();
    expect(cache.get(Uint8Array.from([0, ...key(1)]))).toBeUndefined();
    // The same tail takes the place of the former.
    cache.set(key(2), 'two');
    expect([cache.get(key(1)), cache.get(key(2))]).toEqual([undefined, 'two']);
  });

  test('is bounded, and apart from what the caller writes later', () => {
    const cache = new ByteCache<number>(4);
    const written = key(0, 0);
    for (let i = 0; i < 10; i++) cache.set(key(0, i), i);
    expect(Array.from({ length: 10 }, (_, i) => cache.get(key(0, i)))).toEqual([
      ...new Array(6).fill(undefined),
      6,
      7,
      8,
      9,
    ]);
    cache.set(written, 42);
    written[0] = 9;
    expect([cache.get(key(0, 0)), cache.get(written)]).toEqual([42, undefined]);
  });
});

function realCertificates(): [string, Uint8Array][] {
  if (!SNP_EVIDENCE || !AMD_CERTIFICATES) return [];
  const folders = [AMD_CERTIFICATES, path.join(SNP_EVIDENCE, 'crl')];
  for (const { name } of readdirSync(SNP_EVIDENCE, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    if (name !== 'crl') folders.push(path.join(SNP_EVIDENCE, name));
  }
  return folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /\.pem$|(vcek|vlek)\.der$/.test(name))
      .flatMap((name) =>
        readCertificates(read(folder, name), name).map((der): [string, Uint8Array] => [
          `${path.basename(folder)}/${name}`,
          der,
        ]),
      ),
  );
}

describe.skipIf(!SNP_EVIDENCE || !AMD_CERTIFICATES)('real certificates', () => {
  const certificates = realCertificates();

  test('are there', () => expect(certificates.length).toBeGreaterThan(90));

  test.each(certificates)('%s is read as node and @peculiar/x509 read it', (_, der) => {
    const ours = parseCertificate(der, 'certificate');
    const node = new NodeCertificate(der);
    expect(ours.serial).toBe(BigInt(`0x${node.serialNumber}`));
    expect(node.subject.split('\n')).toContain(`CN=${ours.subjectCN}`);
    expect(node.issuer.split('\n')).toContain(`CN=${ours.issuerCN}`);
    expect(ours.notBefore.getTime()).toBe(Date.parse(node.validFrom));
    expect(ours.notAfter.getTime()).toBe(Date.parse(node.validTo));
    expect(hex(ours.spki)).toBe(node.publicKey.export({ type: 'spki', format: 'der' }).toString('hex'));
    expect(hex(ours.fingerprint)).toBe(node.fingerprint256.replaceAll(':', '').toLowerCase());
    const details = node.publicKey.asymmetricKeyDetails;
    expect(ours.key).toEqual(
      node.publicKey.asymmetricKeyType === 'ec'
        ? { kind: 'ec', curve: details?.namedCurve === 'secp384r1' ? 'P-384' : '?' }
        : { kind: 'rsa', bits: details?.modulusLength, exponent: Number(details?.publicExponent) },
    );

    const peculiar = new PeculiarCertificate(new Uint8Array(der));
    expect(hex(ours.signature)).toBe(hex(new Uint8Array(peculiar.signature)));
    expect(hex(ours.subjectDer)).toBe(hex(new Uint8Array(peculiar.subjectName.toArrayBuffer())));
    expect(hex(ours.issuerDer)).toBe(hex(new Uint8Array(peculiar.issuerName.toArrayBuffer())));
    expect([...ours.extensions].map(([oid, { critical, value }]) => [oid, critical, hex(value)])).toEqual(
      peculiar.extensions.map(({ type, critical, value }) => [type, critical, hex(new Uint8Array(value))]),
    );
  });

  test('signatures agree with node, under the right key and under all others', async () => {
    const issuers = readdirSync(AMD_CERTIFICATES ?? '')
      .filter((name) => name.endsWith('.pem'))
      .flatMap((name) => readCertificates(read(AMD_CERTIFICATES ?? '', name), name));
    for (const [name, der] of certificates) {
      const ours = parseCertificate(der, name);
      const node = new NodeCertificate(der);
      let signers = 0;
      for (const issuer of issuers) {
        const spki = parseCertificate(issuer, 'issuer').spki;
        const good = await verifyCertificateSignature(ours, spki);
        expect(good).toBe(node.verify(createPublicKey({ key: Buffer.from(spki), type: 'spki', format: 'der' })));
        if (good) signers += 1;
      }
      expect(signers).toBe(name.startsWith('neg-milan-v2-trustee') && name.endsWith('vcek.der') ? 0 : 1);
    }
  });
});

describe.skipIf(!SNP_EVIDENCE || !AMD_CERTIFICATES)('real CRLs', () => {
  const names = ['milan-2022-enarx', 'milan-2025-openpcc', 'genoa-2024-openpcc'];
  const crl = (name: string): Uint8Array => read(SNP_EVIDENCE ?? '', 'crl', `${name}.crl.der`);
  const ark = (product: string) =>
    parseCertificate(readCertificates(read(AMD_CERTIFICATES ?? '', `${product}-ark.pem`), 'ark')[0]!, 'ark');

  test.each(names)('%s is read as @peculiar/x509 reads it, and signed by its ARK only', async (name) => {
    const ours = parseCrl(crl(name), 'crl');
    const peculiar = new PeculiarCrl(new Uint8Array(crl(name)));
    expect(ours.thisUpdate).toEqual(peculiar.thisUpdate);
    expect(ours.nextUpdate).toEqual(peculiar.nextUpdate);
    expect(ours.issuerCN).toBe(/CN=([^,]+)/.exec(peculiar.issuer)?.[1]);
    expect([...ours.revoked].map(([serial, date]) => [serial, date])).toEqual(
      peculiar.entries.map(({ serialNumber, revocationDate }) => [BigInt(`0x${serialNumber}`), revocationDate]),
    );
    for (const product of ['milan', 'genoa', 'turin']) {
      expect(await verifyCrlSignature(ours, ark(product).spki)).toBe(name.startsWith(product));
    }
  });

  test('the list of Genoa names the first ASK', () => {
    expect([...parseCrl(crl('genoa-2024-openpcc'), 'crl').revoked.keys()]).toEqual([0x20001n]);
  });

  test('refuses a list cut off at every length, and a critical extension', () => {
    const good = crl('genoa-2024-openpcc');
    for (let n = 0; n < good.length; n++)
      expect(codeOf(() => parseCrl(good.subarray(0, n), 'crl'))).toBe('CRL_INVALID');
    expect(codeOf(() => parseCrl(Uint8Array.from([...good, 0]), 'crl'))).toBe('CRL_INVALID');
    const crlNumber = Buffer.from(good).indexOf(Buffer.from([0x55, 0x1d, 0x14]));
    const critical = Uint8Array.from([...good.subarray(0, crlNumber + 3), 1, 1, 0xff, ...good.subarray(crlNumber + 3)]);
    // The lengths around it: the extension, the list, its wrapper, the to-be-signed part and the whole.
    for (const [at, by] of [
      [crlNumber - 3, 3],
      [crlNumber - 38, 3],
      [crlNumber - 40, 3],
      [7, 3],
      [3, 3],
    ] as const) {
      critical[at] = (critical[at] as number) + by;
    }
    expect(() => parseCrl(critical, 'crl')).toThrow('2.5.29.20');
  });
});

describe('files', () => {
  const pem = (label: string, der: Uint8Array): string =>
    `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`;
  const certificate = tlv(TAG.sequence, new Uint8Array(200).fill(5));
  const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  const digest = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex');
  const digests = (file: Uint8Array): string[] => readCertificates(file, 'file').map(digest);

  test('reads DER and PEM, one and several, with text around PEM', () => {
    const one = digest(certificate);
    expect(digests(certificate)).toEqual([one]);
    expect(digests(Uint8Array.from([...certificate, ...certificate]))).toEqual([one, one]);
    expect(digests(bytesOf(pem('CERTIFICATE', certificate)))).toEqual([one]);
    const around = `0 s:CN = SEV-VCEK\n${pem('CERTIFICATE', certificate)}\nnaïve text\n${pem('CERTIFICATE', certificate).replaceAll('\n', '\r\n')}end`;
    expect(digests(bytesOf(around))).toEqual([one, one]);
    expect(readCrls(bytesOf(pem('X509 CRL', certificate)), 'file').map(digest)).toEqual([one]);
  });

  test.each<[string, Uint8Array]>([
    ['an empty file', new Uint8Array(0)],
    ['text', bytesOf('hello')],
    ['a short sequence', Uint8Array.of(0x30, 0)],
    ['a key', bytesOf(pem('PRIVATE KEY', certificate))],
    ['a certificate and a key', bytesOf(pem('CERTIFICATE', certificate) + pem('PRIVATE KEY', certificate))],
    ['a CRL', bytesOf(pem('X509 CRL', certificate))],
    ['two labels', bytesOf(pem('CERTIFICATE', certificate).replace('END CERTIFICATE', 'END X509 CRL'))],
    ['a block without an end', bytesOf(pem('CERTIFICATE', certificate).slice(0, 100))],
    ['a block with a header', bytesOf(pem('CERTIFICATE', certificate).replace('\n', '\nProc-Type: 4,ENCRYPTED\n'))],
    ['base64 with spare bits', bytesOf('-----BEGIN CERTIFICATE-----\nMB==\n-----END CERTIFICATE-----\n')],
    ['base64 without padding', bytesOf('-----BEGIN CERTIFICATE-----\nMA\n-----END CERTIFICATE-----\n')],
    ['bytes after DER', Uint8Array.from([...certificate, 0x0a])],
    ['DER that is cut off', certificate.subarray(0, 100)],
    ['a hundred certificates', bytesOf(pem('CERTIFICATE', certificate).repeat(100))],
  ])('refuses %s', (_, file) => {
    expect(codeOf(() => readCertificates(file, 'file'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('refuses a certificate where a CRL is wanted', () => {
    expect(codeOf(() => readCrls(bytesOf(pem('CERTIFICATE', certificate)), 'file'))).toBe('CRL_INVALID');
  });

  test('a file of nothing but beginnings is refused as fast as any', () => {
    const hostile = bytesOf('-----BEGIN CERTIFICATE-----\n'.repeat(140_000));
    expect(codeOf(() => readCertificates(hostile, 'file'))).toBe('ENDORSEMENT_MALFORMED');
  });

  test('an error names the file and the reason, as its field and message', () => {
    try {
      readCertificates(bytesOf('hello'), 'endorsement 1');
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(EvidenceError);
      expect((error as EvidenceError).field).toBe('endorsement 1');
      expect((error as EvidenceError).message).toBe('endorsement 1: neither DER nor PEM');
    }
  });
});
