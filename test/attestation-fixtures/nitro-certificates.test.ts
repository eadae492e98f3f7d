import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { encodeTbsCertificate, pem, publicKeyOf } from '../../attestation-fixtures/certificate.ts';
import {
  ECDSA_SHA256,
  instanceSpec,
  leafSerial,
  leafSpec,
  type NitroIdentity,
  nitroName,
  regionalSpec,
  rootSpec,
  zonalSpec,
} from '../../attestation-fixtures/nitro/certificates.ts';
import { sharedNitroRoot, simulatedNitroEvidence } from '../../attestation-fixtures/nitro/evidence.ts';
import { createNitroRoot, launchIdentity, SimulatedNitroPki } from '../../attestation-fixtures/nitro/pki.ts';
import { hex } from '../../protocol/bytes.ts';
import { sharedFolder } from '../support/shared.ts';
import { chainFault, keyIdentifier, readDocument, realCertificate, realDocuments } from './nitro-oracles.ts';
import { certificateParts } from './oracles.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'veritee-nitro-certificates-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HOUR = 3_600_000;
const life = ({ notBefore, notAfter }: { notBefore: Date; notAfter: Date }) => notAfter.getTime() - notBefore.getTime();

/** What the specifications need to be told, read from a real chain. */
function identityOf(names: readonly string[], crl: string | null): NitroIdentity {
  const [, regional, zonal, , leaf] = names;
  const [regionalId, region] = regional!.split('.');
  const [instanceId, enclaveId] = leaf!.split('.')[0]!.split('-enc');
  return {
    region: region!,
    regionalId: regionalId!,
    zonalId: zonal!.split('.')[0]!,
    zonalCrl: /crl\/([0-9a-f-]+)\.crl$/.exec(crl ?? '')![1]!,
    instanceId: instanceId!,
    enclaveId: enclaveId!,
  };
}

describe.skipIf(realDocuments.length === 0)('against the chains AWS made', () => {
  const chains = realDocuments.map(({ id, raw }) => {
    const { fields } = readDocument(raw);
    return [id, [...fields.cabundle, fields.certificate].map(realCertificate)] as const;
  });

  test.each(chains)('%s is the same bytes once the real keys stand in it', (_id, certificates) => {
    const [root, regional, zonal, instance] = certificates;
    const identity = identityOf(
      certificates.map(({ commonName }) => commonName),
      zonal!.crl,
    );
    const facts = certificates.map((parts) => ({ ...parts, serial: BigInt(`0x${hex(parts.serial)}`) }));
    const identifiers = instance!.oids.includes('551d0e') ? 'present' : 'absent';
    const specs = [
      rootSpec(root!.publicKey),
      regionalSpec(facts[1]!, identity, root!),
      zonalSpec(facts[2]!, identity, regional!),
      instanceSpec(facts[3]!, identity, zonal!, identifiers),
      leafSpec(facts[4]!, identity, instance!),
    ];
    for (const [i, spec] of specs.entries()) {
      const { serial, issuer, subject, notBefore, notAfter, publicKey, extensions, signatureAlgorithm } = spec;
      const own = { serial, issuer, subject, notBefore, notAfter, publicKey, extensions, signatureAlgorithm };
      expect(hex(encodeTbsCertificate(own)), `certificate ${i}`).toBe(hex(certificates[i]!.tbs));
      expect(hex(signatureAlgorithm)).toBe(hex(certificates[i]!.signatureAlgorithm));
    }
    expect(identifiers).toBe(instance!.notBefore > new Date('2024-07-01T00:00:00Z') ? 'present' : 'absent');
  });

  test('serial numbers of leaves tell enclave and time of issue', () => {
    for (const [id, certificates] of chains) {
      const leaf = certificates[4]!;
      const identity = identityOf(
        certificates.map(({ commonName }) => commonName),
        certificates[2]!.crl,
      );
      const issued = new Date(leaf.notAfter.getTime() - 3 * HOUR);
      expect(BigInt(`0x${hex(leaf.serial)}`), id).toBe(leafSerial(identity, issued));
    }
  });

  test('simulated lives are as long as the real ones', () => {
    const now = new Date('2026-02-12T17:56:02.724Z');
    const identity = launchIdentity('us-east-2', 'i-0340e0cb833504eb6', now);
    const { certificate, cabundle } = new SimulatedNitroPki(sharedNitroRoot(), identity).leaf(now);
    const made = [...cabundle, certificate].map((der) => life(certificateParts(der)));
    const real = chains.map(([, certificates]) => certificates.map(life));
    const newest = real.at(-1)!;
    expect([made[0], made[3], made[4]]).toEqual([newest[0], newest[3], newest[4]]);
    const seen = (level: number) => real.map((lives) => lives[level]!);
    expect(seen(1)).toContain(made[1]);
    expect(made[2]).toBeGreaterThan(Math.min(...seen(2)));
    expect(made[2]).toBeLessThan(Math.max(...seen(2)));
  });

  test('a simulated root copies the real one and does not verify as it', () => {
    const folderOfRoots = sharedFolder('trust-anchors', 'aws');
    const real = new X509Certificate(readFileSync(path.join(folderOfRoots!, 'aws-nitro-enclaves-root-g1.pem')));
    const copy = new X509Certificate(sharedNitroRoot().certificate);
    expect([copy.subject, copy.serialNumber, copy.validFrom, copy.validTo]).toEqual([
      ...[real.subject, real.serialNumber, real.validFrom, real.validTo],
    ]);
    expect(copy.fingerprint256).not.toBe(real.fingerprint256);
    expect(copy.verify(real.publicKey)).toBe(false);
  });
});

describe('simulated chain', () => {
  const { document, root, issued } = simulatedNitroEvidence({ userData: null, publicKey: null });
  const at = new Date('2026-01-15T12:00:00Z');

  test('verifies with node:crypto at its time only', () => {
    const read = readDocument(document);
    expect(chainFault(read, root, at)).toBeNull();
    expect(chainFault(read, createNitroRoot().certificate, at)).toBe('another root');
    expect(chainFault(read, root, new Date('2026-01-15T15:00:00Z'))).toBe('certificate 4 at 2026-01-15T15:00:00.000Z');
  });

  const haveOpenssl = spawnSync('openssl', ['version']).status === 0;
  if (!haveOpenssl)
    console.warn('SKIPPED: openssl is not installed, the simulated Nitro chain is checked by node only');
  test.skipIf(!haveOpenssl)('verifies with openssl, strictly', () => {
    const file = (name: string, ...certificates: readonly Uint8Array[]) => {
      writeFileSync(path.join(folder, name), certificates.map(pem).join(''));
      return path.join(folder, name);
    };
    const leaf = file('leaf', issued.leaf.certificate);
    const anchor = file('root', root);
    const between = [issued.regional, issued.zonal, issued.instance].map(({ certificate }) => certificate);
    const verify = (untrusted: string) =>
      spawnSync(
        'openssl',
        [
          'verify',
          '-check_ss_sig',
          '-attime',
          String(at.getTime() / 1000),
          '-CAfile',
          anchor,
          '-untrusted',
          untrusted,
          leaf,
        ],
        { encoding: 'utf8' },
      );
    expect(verify(file('between', ...between)).stdout).toBe(`${leaf}: OK\n`);
    expect(verify(file('gap', ...between.slice(1))).status).not.toBe(0);
  });

  test('key identifiers are those of the keys', () => {
    const [regional, zonal, instance] = [issued.regional, issued.zonal, issued.instance].map(({ certificate }) =>
      certificateParts(certificate),
    );
    const value = (parts: typeof regional, oid: string) => hex(parts!.extensions.find((one) => one.oid === oid)!.value);
    const rootId = keyIdentifier(publicKeyOf(issued.root.privateKey));
    expect(value(regional, '551d23')).toBe(`30168014${rootId}`);
    expect(value(regional, '551d0e')).toBe(`0414${keyIdentifier(regional!.publicKey)}`);
    expect(value(zonal, '551d23')).toBe(`30168014${keyIdentifier(regional!.publicKey)}`);
    expect(value(instance, '551d23')).toBe(`30168014${keyIdentifier(zonal!.publicKey)}`);
  });

  test('a certificate that names another hash is signed with it', () => {
    const weak = simulatedNitroEvidence({
      userData: null,
      publicKey: null,
      mutateCertificates: { zonal: (spec) => ({ ...spec, signatureAlgorithm: ECDSA_SHA256 }) },
    });
    const zonal = new X509Certificate(weak.issued.zonal.certificate);
    expect(zonal.verify(new X509Certificate(weak.issued.regional.certificate).publicKey)).toBe(true);
    expect(hex(certificateParts(weak.issued.zonal.certificate).signatureAlgorithm)).toBe(hex(ECDSA_SHA256));
  });
});

describe('renewal', () => {
  const launch = new Date('2026-03-01T00:00:00.500Z');
  const pki = () =>
    new SimulatedNitroPki(sharedNitroRoot(), launchIdentity('eu-west-1', 'i-00112233445566778', launch));
  const parts = ({ cabundle, certificate }: ReturnType<SimulatedNitroPki['leaf']>) =>
    [...cabundle, certificate].map(certificateParts);

  test('over twenty-five days every chain is valid, none outlives its issuer, and leaves are shared', () => {
    const chain = pki();
    const seen = new Map<number, Set<string>>();
    let oldest = 0;
    for (let hours = 0; hours < 25 * 24; hours += 1.5) {
      const now = new Date(launch.getTime() + hours * HOUR);
      const certificates = parts(chain.leaf(now));
      expect(certificates).toHaveLength(5);
      for (const [level, { notBefore, notAfter, serial, issuer }] of certificates.entries()) {
        expect(notBefore <= now && now <= notAfter).toBe(true);
        const above = certificates[level - 1];
        if (above) {
          expect(hex(issuer)).toBe(hex(above.subject));
          expect(notAfter <= above.notAfter).toBe(true);
        }
        seen.set(level, (seen.get(level) ?? new Set()).add(hex(serial)));
      }
      oldest = Math.max(oldest, now.getTime() - certificates[4]!.notBefore.getTime());
    }
    expect(seen.get(0)!.size).toBe(1);
    expect(seen.get(1)!.size).toBeGreaterThanOrEqual(2);
    expect(seen.get(2)!.size).toBeGreaterThanOrEqual(5);
    expect(seen.get(3)!.size).toBeGreaterThanOrEqual(25);
    expect(seen.get(4)!.size).toBe(200); // 400 documents
    expect(oldest).toBeLessThanOrEqual(138 * 60_000 + 3000);
  });

  test('a clock that goes back gets certificates of its own time', () => {
    const chain = pki();
    chain.leaf(new Date(launch.getTime() + 30 * 24 * HOUR));
    for (const { notBefore, notAfter } of parts(chain.leaf(launch))) {
      expect(notBefore <= launch && launch <= notAfter).toBe(true);
    }
  });
});

test('names are those of the identity', () => {
  const identity: NitroIdentity = {
    ...{ region: 'ap-southeast-2', regionalId: 'a1', zonalId: 'b2', zonalCrl: 'c3' },
    ...{ instanceId: 'i-0fedcba9876543210', enclaveId: '0123456789abcdef' },
  };
  const text = (name: Uint8Array) => Buffer.from(name).toString('latin1');
  expect(text(nitroName.regional(identity))).toContain('a1.ap-southeast-2.aws.nitro-enclaves');
  expect(text(nitroName.zonal(identity))).toContain('b2.zonal.ap-southeast-2.aws.nitro-enclaves');
  expect(text(nitroName.instance(identity))).toContain('i-0fedcba9876543210.ap-southeast-2.aws.nitro-enclaves');
  expect(text(nitroName.leaf(identity))).toContain('i-0fedcba9876543210-enc0123456789abcdef.ap-southeast-2.aws');
});
