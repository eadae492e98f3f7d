import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type CertificateSpec,
  createNitroRoot,
  ECDSA_SHA384,
  issueUnder,
  publicKeyOf,
  SIMULATED_PCRS,
  type SimulatedNitroEvidenceRequest,
  sharedNitroRoot,
  simulatedNitroEvidence,
} from '../../attestation-fixtures/index.ts';
import { hex } from '../../protocol/bytes.ts';
import { encodeCbor } from '../../protocol/cbor.ts';
import { chainFault, readDocument, signatureHolds } from './nitro-oracles.ts';
import { certificateParts } from './oracles.ts';

const AT = new Date('2026-01-15T12:00:00.250Z');
const request = { userData: new Uint8Array(64).fill(5), publicKey: new Uint8Array(32).fill(6) };
const made = (change: Partial<SimulatedNitroEvidenceRequest> = {}) => simulatedNitroEvidence({ ...request, ...change });

/** The document holds together under its root. */
const good = ({ document, root }: ReturnType<typeof made>, at = AT) => {
  const read = readDocument(document);
  return signatureHolds(read) && chainFault(read, root, at) === null;
};

describe('good evidence', () => {
  test('carries what was asked for', () => {
    const evidence = made({ nonce: Uint8Array.of(9) });
    expect(good(evidence)).toBe(true);
    expect(readDocument(evidence.document).fields).toEqual(evidence.fields);
    expect(evidence.fields).toMatchObject({
      ...request,
      nonce: Uint8Array.of(9),
      timestamp: AT.getTime(),
      digest: 'SHA384',
    });
    expect(evidence.fields.pcrs).toEqual(SIMULATED_PCRS);
    expect(made().fields.nonce).toBeNull();
  });

  test('lies under one root a process unless another is given', () => {
    expect(made().root).toEqual(sharedNitroRoot().certificate);
    const root = createNitroRoot();
    const other = made({ root });
    expect(other.root).toEqual(root.certificate);
    expect(good(other)).toBe(true);
  });

  test('is valid at the time asked for', () => {
    const at = new Date('2031-07-01T00:00:00Z');
    expect(good(made({ at }), at)).toBe(true);
    expect(good(made({ at }))).toBe(false);
  });

  test('registers can be replaced one by one, those from 16 on included', () => {
    const { fields } = made({
      pcrs: new Map([
        [0, new Uint8Array(48)],
        [31, new Uint8Array(48).fill(1)],
      ]),
    });
    expect([...fields.pcrs.keys()]).toEqual([...Array(16).keys(), 31]);
    expect(hex(fields.pcrs.get(0)!)).toBe('00'.repeat(48));
    expect(hex(fields.pcrs.get(1)!)).toBe(hex(SIMULATED_PCRS.get(1)!));
  });
});

describe('one change, signed again', () => {
  test('of a field', () => {
    const evidence = made({ mutate: (fields) => ({ ...fields, digest: 'SHA512' }) });
    expect(good(evidence)).toBe(true);
    expect(readDocument(evidence.document).fields.digest).toBe('SHA512');
  });

  test('of the payload entries: a key twice', () => {
    const evidence = made({ mutateEntries: (entries) => [...entries, [encodeCbor('digest'), encodeCbor('SHA256')]] });
    expect(Buffer.from(evidence.document).toString('latin1').split('fdigest')).toHaveLength(3);
    expect(signatureHolds({ ...readDocument(made().document), ...evidence.parts, fields: evidence.fields })).toBe(true);
  });

  test('of the headers', () => {
    const protectedHeader = encodeCbor(new Map([[1, -7]]));
    const unprotectedHeader = encodeCbor(new Map([[4, Uint8Array.of(1)]]));
    const read = readDocument(
      made({ mutateSigned: (parts) => ({ ...parts, protectedHeader, unprotectedHeader }) }).document,
    );
    expect(signatureHolds(read)).toBe(true);
    expect([hex(read.protectedHeader), read.unprotectedHeader]).toEqual(['a10126', new Map([[4, Uint8Array.of(1)]])]);
  });

  test.each(['regional', 'zonal', 'instance', 'leaf'] as const)('of the %s certificate', (level) => {
    const withoutExtensions = (spec: CertificateSpec): CertificateSpec => ({
      ...spec,
      extensions: spec.extensions.slice(1),
    });
    const evidence = made({ mutateCertificates: { [level]: withoutExtensions } });
    const { certificate } = evidence.issued[level];
    expect(certificateParts(certificate).extensions).toHaveLength(
      certificateParts(made().issued[level].certificate).extensions.length - 1,
    );
    const above =
      evidence.issued[({ regional: 'root', zonal: 'regional', instance: 'zonal', leaf: 'instance' } as const)[level]];
    expect(new X509Certificate(certificate).verify(new X509Certificate(above.certificate).publicKey)).toBe(true);
    expect(signatureHolds(readDocument(evidence.document))).toBe(true);
  });

  test('of the root, which stays the one to trust', () => {
    const evidence = made({ mutateCertificates: { root: (spec) => ({ ...spec, serial: 5n }) } });
    expect(good(evidence)).toBe(true);
    expect(evidence.root).toEqual(evidence.fields.cabundle[0]);
    expect(evidence.root).not.toEqual(sharedNitroRoot().certificate);
    expect(new X509Certificate(evidence.root).serialNumber).toBe('05');
  });

  test('of a key: the leaf on another curve', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const evidence = made({ keys: { leaf: privateKey } });
    expect(evidence.parts.signature.length).toBe(64);
    expect(good(evidence)).toBe(true);
  });
});

describe('one change that nothing covers', () => {
  test('of the signature', () => {
    const evidence = made({ mutateParts: (parts) => ({ ...parts, signature: new Uint8Array(96) }) });
    expect(signatureHolds(readDocument(evidence.document))).toBe(false);
    expect(chainFault(readDocument(evidence.document), evidence.root, AT)).toBeNull();
  });

  test('of the signing key', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    expect(signatureHolds(readDocument(made({ signWith: privateKey }).document))).toBe(false);
  });
});

test('a test can issue more certificates under any of the chain', () => {
  const { issued } = made();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const spec = { ...issued.leaf.spec, issuer: issued.leaf.spec.subject, publicKey: publicKeyOf(privateKey) };
  const below = issueUnder(issued.leaf, spec, privateKey);
  expect(below.cabundle).toHaveLength(5);
  expect(new X509Certificate(below.certificate).verify(new X509Certificate(issued.leaf.certificate).publicKey)).toBe(
    true,
  );
  expect(hex(spec.signatureAlgorithm)).toBe(hex(ECDSA_SHA384));
});
