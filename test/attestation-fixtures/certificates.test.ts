import 'reflect-metadata';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { integer, time } from '../../attestation-fixtures/der.ts';
import { makeCrl, type SimulatedAuthority } from '../../attestation-fixtures/snp/authority.ts';
import {
  arkSpec,
  askSpec,
  type CertificateSpec,
  encodeTbsCertificate,
  encodeTbsCrl,
  issueCertificate,
  pem,
  pssAlgorithm,
  publicKeyOf,
  vcekSpec,
} from '../../attestation-fixtures/snp/certificates.ts';
import { sharedAuthority, sharedChipId, simulatedEvidence } from '../../attestation-fixtures/snp/evidence.ts';
import { PRODUCTS, type Product } from '../../attestation-fixtures/snp/products.ts';
import { bytes, hex } from '../../protocol/bytes.ts';
import {
  ANCHORS,
  amdOid,
  certificateParts,
  decodeTcb,
  EVIDENCE,
  haveReal,
  readTime,
  realCases,
  values,
} from './oracles.ts';

const PRODUCT_NAMES: readonly Product[] = ['Milan', 'Genoa', 'Turin'];
const haveOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!haveOpenssl)
  console.warn('SKIPPED: openssl is not installed, certificates are checked by node and @peculiar/x509 only');

const folder = mkdtempSync(path.join(tmpdir(), 'veritee-certificates-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const reportData = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');
const measurement = bytes(new Uint8Array(48).fill(9), 48, 'MEASUREMENT');

interface Chain {
  readonly authority: SimulatedAuthority;
  readonly vcek: Uint8Array<ArrayBuffer>;
  readonly ask: Uint8Array<ArrayBuffer>;
  readonly ark: Uint8Array<ArrayBuffer>;
}

describe.each(PRODUCT_NAMES)('simulated %s chain', (product) => {
  let chain: Chain;
  beforeAll(async () => {
    const evidence = await simulatedEvidence({ product, version: 5, reportData, measurement });
    const [vcek, ask] = evidence.chain;
    chain = { authority: await sharedAuthority(product), vcek, ask, ark: evidence.ark };
  });

  test('verifies with node:crypto', () => {
    const [vcek, ask, ark] = [chain.vcek, chain.ask, chain.ark].map((der) => new X509Certificate(der));
    expect(vcek!.verify(ask!.publicKey)).toBe(true);
    expect(ask!.verify(ark!.publicKey)).toBe(true);
    expect(ark!.verify(ark!.publicKey)).toBe(true);
    expect(ask!.verify(ask!.publicKey)).toBe(false);
    expect(vcek!.checkIssued(ask!)).toBe(true);
    expect(ask!.checkIssued(ark!)).toBe(true);
    expect([vcek!.ca, ask!.ca, ark!.ca]).toEqual([false, true, true]);
    expect([vcek!.serialNumber, ask!.serialNumber, ark!.serialNumber].map((serial) => BigInt(`0x${serial}`))).toEqual([
      0n,
      PRODUCTS[product].askSerial,
      PRODUCTS[product].arkSerial,
    ]);
    for (const rsa of [ask!, ark!]) {
      expect(rsa.publicKey.asymmetricKeyType).toBe('rsa');
      expect(rsa.publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096);
    }
    expect(vcek!.publicKey.asymmetricKeyDetails?.namedCurve).toBe('secp384r1');
  });

  test('verifies with @peculiar/x509, CRL included', async () => {
    const [vcek, ask, ark] = [chain.vcek, chain.ask, chain.ark].map((der) => new x509.X509Certificate(der));
    for (const [certificate, issuer] of [
      [vcek!, ask!],
      [ask!, ark!],
      [ark!, ark!],
    ] as const) {
      expect(await certificate.verify({ publicKey: issuer, signatureOnly: true })).toBe(true);
    }
    const revoked = { serial: PRODUCTS[product].askSerial, date: new Date('2026-02-03T04:05:06Z') };
    const times = { thisUpdate: new Date('2026-03-01T00:00:00Z'), nextUpdate: new Date('2027-03-01T00:00:00Z') };
    const crl = new x509.X509Crl(makeCrl(chain.authority, { ...times, number: 7n, revoked: [revoked] }));
    expect(await crl.verify({ publicKey: ark! })).toBe(true);
    expect(await crl.verify({ publicKey: ask! })).toBe(false);
    expect(crl.findRevoked(ask!)?.revocationDate).toEqual(revoked.date);
    expect(crl.findRevoked(ark!)).toBeNull();
    expect([crl.thisUpdate, crl.nextUpdate]).toEqual([times.thisUpdate, times.nextUpdate]);
    const empty = new x509.X509Crl(makeCrl(chain.authority, times));
    expect(await empty.verify({ publicKey: ark! })).toBe(true);
    expect(empty.findRevoked(ask!)).toBeNull();
  });

  test.skipIf(!haveOpenssl)('verifies with openssl, and the revoked ASK is refused', () => {
    const file = (name: string, content: string | Uint8Array) => {
      writeFileSync(path.join(folder, `${product}-${name}`), content);
      return path.join(folder, `${product}-${name}`);
    };
    const [vcek, ask, ark] = [file('vcek', pem(chain.vcek)), file('ask', pem(chain.ask)), file('ark', pem(chain.ark))];
    const verify = (...args: string[]) =>
      spawnSync('openssl', ['verify', '-check_ss_sig', ...args], { encoding: 'utf8' });
    const at = ['-attime', String(Date.parse('2026-06-01T00:00:00Z') / 1000)];
    expect(verify(...at, '-CAfile', ark, '-untrusted', ask, vcek).stdout).toBe(`${vcek}: OK\n`);
    expect(verify(...at, '-CAfile', ark, vcek).status).not.toBe(0);

    const times = { thisUpdate: new Date('2026-03-01T00:00:00Z'), nextUpdate: new Date('2027-03-01T00:00:00Z') };
    const revoked = [{ serial: PRODUCTS[product].askSerial, date: times.thisUpdate }];
    const crl = (name: string, content: Uint8Array) => {
      const der = file(`${name}.der`, content);
      const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-in', der]);
      return file(name, text);
    };
    const clean = crl('clean', makeCrl(chain.authority, times));
    const listed = crl('listed', makeCrl(chain.authority, { ...times, revoked }));
    const checked = (list: string) => verify(...at, '-crl_check', '-CRLfile', list, '-CAfile', ark, ask);
    expect(checked(clean).stdout).toBe(`${ask}: OK\n`);
    expect(checked(listed).stderr).toContain('certificate revoked');

    const text = execFileSync('openssl', ['x509', '-in', ask, '-noout', '-text'], { encoding: 'utf8' });
    expect(text).toContain('Signature Algorithm: rsassaPss');
    expect(text).toContain('Mask Algorithm: mgf1 with sha384');
    expect(text).toContain('Salt Length: 0x30');
    expect(text).toContain('CA:TRUE, pathlen:0');
    expect(text).toContain(`URI:https://kdsintf.amd.com/vcek/v1/${product}/crl`);
  });

  test('the VCEK bears AMD extensions only, in their real encodings', () => {
    const { serial, extensions } = certificateParts(chain.vcek);
    expect(hex(serial)).toBe('00');
    const values = new Map(extensions.map(({ oid, value }) => [oid, hex(value)]));
    expect([...values.keys()].every((oid) => oid.startsWith(amdOid('').slice(0, 16)))).toBe(true);
    expect(extensions.some(({ critical }) => critical)).toBe(false);
    const { tcb, certificateName, chipIdLength } = PRODUCTS[product];
    expect(values.get(amdOid('1'))).toBe(product === 'Turin' ? '020101' : '020100');
    expect(values.get(amdOid('2'))).toBe(
      `16${hex(Uint8Array.of(certificateName.length))}${Buffer.from(certificateName).toString('hex')}`,
    );
    expect(values.get(amdOid('3.3'))).toBe(`0201${hex(Uint8Array.of(tcb.snp))}`);
    expect(values.has(amdOid('3.4'))).toBe(product !== 'Turin');
    expect(values.has(amdOid('3.9'))).toBe(product === 'Turin');
    expect(values.get(amdOid('4'))).toBe(hex(sharedChipId(product).subarray(0, chipIdLength)));
    if (product === 'Milan') expect(values.get(amdOid('3.8'))).toBe('020200de');
  });

  test('a changed part is signed again', async () => {
    const request = { product, version: 5, reportData, measurement };
    const changed = await simulatedEvidence({ ...request, mutateVcek: (spec) => ({ ...spec, serial: 1n }) });
    expect(changed.chain[1]).toEqual(chain.ask);
    expect(changed.ark).toEqual(chain.ark);
    const vcek = new X509Certificate(changed.chain[0]);
    expect(vcek.serialNumber).toBe('01');
    expect(vcek.verify(new X509Certificate(chain.ask).publicKey)).toBe(true);
    const withoutBasicConstraints = (spec: CertificateSpec): CertificateSpec => ({
      ...spec,
      extensions: spec.extensions.filter(({ oid }) => oid !== '2.5.29.19'),
    });
    const { chain: weak } = await simulatedEvidence({ ...request, mutateAsk: withoutBasicConstraints });
    const ask = new X509Certificate(weak[1]);
    expect(ask.ca).toBe(false);
    expect(ask.verify(new X509Certificate(chain.ark).publicKey)).toBe(true);
    const { ark } = await simulatedEvidence({ ...request, mutateArk: (spec) => ({ ...spec, serial: 5n }) });
    expect(new X509Certificate(ark).verify(new X509Certificate(chain.ark).publicKey)).toBe(true);
    expect(ark).not.toEqual(chain.ark);
  });
});

test('one process shares one authority a product, and products share none', async () => {
  expect(await sharedAuthority('Milan')).toBe(await sharedAuthority('Milan'));
  const milan = publicKeyOf((await sharedAuthority('Milan')).ark.privateKey);
  const genoa = publicKeyOf((await sharedAuthority('Genoa')).ark.privateKey);
  expect(milan).not.toEqual(genoa);
});

test('numbers and dates are minimal DER', () => {
  const encoded = [0n, 127n, 128n, 219n, 0x10001n].map((value) => hex(integer(value)));
  expect(encoded).toEqual(['020100', '02017f', '02020080', '020200db', '0203010001']);
  const years = ['2049-12-31T23:59:59Z', '2050-01-01T00:00:00Z'].map((text) => new Date(text));
  expect(years.map((date) => time(date)[0])).toEqual([0x17, 0x18]);
  expect(years.map((date) => readTime(values(time(date))[0]!))).toEqual(years);
});

describe.skipIf(!haveReal)('against the certificates AMD made', () => {
  const anchor = (name: string) => certificateParts(new X509Certificate(readFileSync(`${ANCHORS}/${name}.pem`)).raw);

  test.each(PRODUCT_NAMES)('%s ARK and ASK are the same bytes once the real keys stand in them', (product) => {
    const ark = anchor(`${product.toLowerCase()}-ark`);
    const ask = anchor(`${product.toLowerCase()}-ask`);
    expect(hex(encodeTbsCertificate(arkSpec(product, ark.publicKey)))).toBe(hex(ark.tbs));
    expect(hex(encodeTbsCertificate(askSpec(product, ask.publicKey, ark.publicKey)))).toBe(hex(ask.tbs));
    expect(hex(arkSpec(product, ark.publicKey).signatureAlgorithm)).toBe(hex(ark.signatureAlgorithm));
  });

  const vceks = realCases().filter(({ vcek }) => vcek !== null);
  test('there are VCEKs of all three products to compare with', () => {
    expect(new Set(vceks.map(({ product }) => product))).toEqual(new Set(PRODUCT_NAMES));
  });

  test.each(vceks.map((real) => [real.id, real] as const))('VCEK of %s is the same bytes', (_id, { product, vcek }) => {
    const parts = certificateParts(vcek!);
    const spl = (n: number) =>
      Number(`0x${hex(parts.extensions.find(({ oid }) => oid === amdOid(`3.${n}`))!.value.slice(2))}`);
    const hwId = parts.extensions.find(({ oid }) => oid === amdOid('4'))!.value;
    const raw =
      product === 'Turin'
        ? [spl(9), spl(1), spl(2), spl(3), 0, 0, 0, spl(8)]
        : [spl(1), spl(2), 0, 0, 0, 0, spl(3), spl(8)];
    const chipId = new Uint8Array(64);
    chipId.set(hwId);
    const spec = vcekSpec({
      product,
      tcb: decodeTcb(product, Uint8Array.from(raw)),
      chipId,
      publicKey: parts.publicKey,
      notBefore: parts.notBefore,
    });
    const written = pssAlgorithm('written');
    const old = Buffer.from(written).equals(parts.signatureAlgorithm);
    expect(old).toBe(parts.notBefore < new Date('2024-12-01T00:00:00Z'));
    const asDated = old ? { ...spec, signatureAlgorithm: written } : spec;
    expect(hex(encodeTbsCertificate(asDated))).toBe(hex(parts.tbs));
  });

  test('CRLs are the same bytes', () => {
    const files = readdirSync(`${EVIDENCE}/crl`).filter((name) => name.endsWith('.crl.der'));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const product = file.startsWith('genoa') ? 'Genoa' : 'Milan';
      const der = readFileSync(`${EVIDENCE}/crl/${file}`);
      const tbs = values(values(der)[0]!.content)[0]!;
      const inside = values(tbs.content);
      const listed = inside.find((node, i) => i > 4 && node.tag === 0x30);
      const extensions = values(values(inside.at(-1)!.content)[0]!.content);
      const number = values(values(extensions[1]!.content)[1]!.content)[0]!.content;
      const encoded = encodeTbsCrl({
        product,
        issuerPublicKey: anchor(`${product.toLowerCase()}-ark`).publicKey,
        number: BigInt(`0x${hex(number)}`),
        thisUpdate: readTime(inside[3]!),
        nextUpdate: readTime(inside[4]!),
        revoked: values(listed?.content ?? new Uint8Array(0)).map((entry) => {
          const [serial, date] = values(entry.content);
          return { serial: BigInt(`0x${hex(serial!.content)}`), date: readTime(date!) };
        }),
        signatureAlgorithm: pssAlgorithm('default'),
      });
      expect(hex(encoded)).toBe(hex(tbs.whole));
    }
  });

  test('a simulated chain does not verify under the real root it copies', async () => {
    const { chain, ark } = await simulatedEvidence({ product: 'Genoa', version: 5, reportData, measurement });
    const real = new X509Certificate(readFileSync(`${ANCHORS}/genoa-ark.pem`));
    const copy = new X509Certificate(ark);
    expect(copy.subject).toBe(real.subject);
    expect(copy.fingerprint256).not.toBe(real.fingerprint256);
    expect(copy.verify(real.publicKey)).toBe(false);
    expect(new X509Certificate(chain[1]).verify(real.publicKey)).toBe(false);
  });
});

test('issueCertificate signs whatever the specification says', async () => {
  const { ark } = await sharedAuthority('Genoa');
  const spec = arkSpec('Genoa', publicKeyOf(ark.privateKey));
  const years = { notBefore: new Date('2049-06-01T00:00:00Z'), notAfter: new Date('2074-06-01T00:00:00Z') };
  const parts = certificateParts(issueCertificate({ ...spec, ...years }, ark.privateKey));
  expect([parts.notBefore, parts.notAfter]).toEqual([years.notBefore, years.notAfter]);
});
