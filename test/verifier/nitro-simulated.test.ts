import { generateKeyPairSync } from 'node:crypto';
import { concat, encodeCbor, hex } from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import {
  type CertificateSpec,
  caConstraints,
  criticalExtension,
  extension,
} from '../../attestation-fixtures/certificate.ts';
import { bitString, sequence } from '../../attestation-fixtures/der.ts';
import { ECDSA_SHA256, moduleIdOf, type NitroLevel, nitroName } from '../../attestation-fixtures/nitro/certificates.ts';
import {
  type DocumentEncoding,
  type DocumentFields,
  mirrorSignature,
} from '../../attestation-fixtures/nitro/document.ts';
import {
  type SimulatedNitroEvidenceRequest,
  sharedNitroRoot,
  simulatedNitroEvidence,
} from '../../attestation-fixtures/nitro/evidence.ts';
import { createNitroRoot, generateNitroKey } from '../../attestation-fixtures/nitro/pki.ts';
import { opensLikeNitroDocument } from '../../verifier/nitro/detect.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { nitroAnchorOf } from '../../verifier/nitro/root.ts';
import { AWS_ANCHORS } from '../../verifier/trust/aws.ts';
import {
  AT,
  added,
  anchors,
  BASIC_CONSTRAINTS,
  bytesOf,
  fields,
  HOUR,
  KEY_USAGE,
  make,
  publicKey,
  spec,
  trying,
  usage,
  userData,
  withExtension,
  withoutExtension,
} from './nitro-simulation.ts';
import { attemptNitro } from './nitro-support.ts';
import { flipped } from './snp-support.ts';

describe('simulated Nitro documents', () => {
  test('are accepted under their own root, and speak for the simulation', async () => {
    const outcome = await trying();
    expect([outcome.code, outcome.failed]).toEqual(['valid', []]);
    expect(outcome.log.checks().every(({ outcome: one }) => one === 'pass')).toBe(true);
    expect(outcome.verified).toMatchObject({
      anchor: { platform: 'simulated-nitro' },
      region: 'us-east-1',
      debug: false,
      timeSource: 'caller',
      document: { userData, publicKey, nonce: null },
    });
  });

  test('are refused under the roots of AWS and under another simulated root of the same name', async () => {
    const { document } = make();
    const stranger = await nitroAnchorOf(createNitroRoot().certificate, 'root');
    for (const set of [AWS_ANCHORS, [stranger], [...AWS_ANCHORS, stranger]]) {
      const outcome = await attemptNitro(document, set, AT);
      expect([outcome.code, outcome.failed]).toEqual(['CHAIN_UNTRUSTED', ['nitro.chain.root']]);
    }
  });

  const encodings: readonly Partial<DocumentEncoding>[] = [
    { payloadMap: 'definite' },
    { payloadMap: 'indefinite' },
    { order: 'timestamp-first' },
    { absent: 'omitted' },
    { tag: 'sign1' },
    { payloadMap: 'definite', order: 'timestamp-first', absent: 'omitted', tag: 'sign1' },
  ];
  test.each(encodings)('any encoding that occurs or is allowed: %o', async (encoding) => {
    const { document } = make({ encoding });
    expect(opensLikeNitroDocument(document)).toBe(true);
    const outcome = await attemptNitro(document, anchors, AT);
    expect([outcome.code, outcome.verified?.document.nonce]).toEqual(['valid', null]);
  });

  test.each<[string, Partial<SimulatedNitroEvidenceRequest>]>([
    [
      'user_data, nonce and public_key of 1,024 bytes',
      { userData: bytesOf(1024), nonce: bytesOf(1024), publicKey: bytesOf(1024) },
    ],
    ['all three empty', { userData: bytesOf(0), nonce: bytesOf(0), publicKey: bytesOf(0) }],
    ['all three absent', { userData: null, nonce: null, publicKey: null }],
    ['32 PCRs', { pcrs: new Map(Array.from({ length: 32 }, (_, i) => [i, bytesOf(48)])) }],
    ['fields in reverse order', { mutateEntries: (good) => [...good].reverse() }],
    [
      'the other form of the signature',
      { mutateParts: (good) => ({ ...good, signature: mirrorSignature(good.signature) }) },
    ],
    ['a leaf with critical key usage', { mutateCertificates: { leaf: withExtension(usage(0b1000_0000, 7)) } }],
    ['a leaf without basic constraints', { mutateCertificates: { leaf: withoutExtension(BASIC_CONSTRAINTS) } }],
    ['an authority without a path length', { mutateCertificates: { regional: withExtension(caConstraints()) } }],
    [
      'an authority of more path length than it needs',
      { mutateCertificates: { instance: withExtension(caConstraints(5)) } },
    ],
    [
      'an unknown extension that is not critical',
      { mutateCertificates: { leaf: withExtension(extension('1.2.3', bytesOf(3))) } },
    ],
  ])('accepts %s', async (_, request) => {
    const outcome = await trying(request);
    expect([outcome.code, outcome.failed]).toEqual(['valid', []]);
  });

  test('a field this release does not know is said, not refused', async () => {
    const unknown = encodeCbor(new Map([['deep', [true, new Uint8Array(3)]]]));
    const outcome = await trying({ mutateEntries: added('from_the_future', unknown) });
    expect([outcome.code, outcome.verified?.document.unknownFields]).toEqual(['valid', 1]);
    expect(outcome.log.notChecked.join()).toContain('1 fields of the document');
  });

  test.each([[[0, 1, 2]], [[0]], [[1]], [[2]]])('PCR %j of zero is a debug enclave', async (indices) => {
    const outcome = await trying({ pcrs: new Map(indices.map((index) => [index, new Uint8Array(48)])) });
    expect([outcome.code, outcome.verified?.debug]).toEqual(['valid', true]);
  });

  test('PCR 3, 4 and 8 tell nothing about debug mode', async () => {
    const zero = new Map([3, 4, 8].map((index) => [index, new Uint8Array(48)]));
    expect((await trying({ pcrs: zero })).verified?.debug).toBe(false);
    const set = new Map([0, 1, 2, 3, 4, 8].map((index) => [index, index < 3 ? new Uint8Array(48) : bytesOf(48)]));
    expect((await trying({ pcrs: set })).verified?.debug).toBe(true);
  });

  test('nothing of the input is shared with what was read', () => {
    const { document } = make();
    const copy = new Uint8Array(document);
    const parsed = parseNitroDocument(copy);
    const before = [parsed.payload, parsed.toBeSigned, parsed.certificate, parsed.pcr0, parsed.signature].map(hex);
    copy.fill(0xff);
    expect([parsed.payload, parsed.toBeSigned, parsed.certificate, parsed.pcr0, parsed.signature].map(hex)).toEqual(
      before,
    );
  });
});

describe('each row fails alone', () => {
  type Case = [what: string, code: string, row: string, request: Partial<SimulatedNitroEvidenceRequest>];
  const at = (level: Exclude<NitroLevel, 'root'>, change: (good: CertificateSpec) => CertificateSpec) => ({
    mutateCertificates: { [level]: change },
  });
  const otherKey = generateNitroKey();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });
  const bundle = (change: (good: readonly Uint8Array[]) => readonly Uint8Array[]) => ({
    mutate: (good: DocumentFields) => ({ ...good, cabundle: change(good.cabundle) }),
  });
  const other = simulatedNitroEvidence({
    userData,
    publicKey,
    at: AT,
    keys: { regional: otherKey, zonal: generateNitroKey(), instance: generateNitroKey(), leaf: generateNitroKey() },
  });
  const identity = {
    region: 'us-east-1',
    regionalId: '84dde1b34e42ca38',
    zonalId: '159cc35c5cd76fb7',
    zonalCrl: 'f3e8f31a-4ead-4f8d-84bf-838926efc872',
    instanceId: 'i-0a1b2c3d4e5f60718',
    enclaveId: '019bbf0e4a00d1ce',
  };

  test.each<Case>([
    [
      'a certificate that is none',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      { mutate: fields({ certificate: bytesOf(600) }) },
    ],
    [
      'an authority that is no certificate',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      bundle((good) => [...good.slice(0, 3), bytesOf(600)]),
    ],
    [
      'bytes after a certificate',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      { mutate: (good) => ({ ...good, certificate: concat(good.certificate, Uint8Array.of(0)) }) },
    ],
    [
      'ecdsa-with-SHA256',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      at('leaf', spec({ signatureAlgorithm: ECDSA_SHA256 })),
    ],
    ['an RSA key', 'ENDORSEMENT_MALFORMED', 'nitro.chain.shape', at('leaf', spec({ publicKey: rsa }))],
    ['a P-256 key', 'ENDORSEMENT_MALFORMED', 'nitro.chain.shape', at('leaf', spec({ publicKey: p256 }))],
    ['a serial number of zero', 'ENDORSEMENT_MALFORMED', 'nitro.chain.shape', at('leaf', spec({ serial: 0n }))],
    [
      'a serial number of 161 bits',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      at('leaf', spec({ serial: 1n << 160n })),
    ],
    [
      'an extension twice',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      at('leaf', (good) => ({ ...good, extensions: [...good.extensions, ...good.extensions] })),
    ],
    [
      'a validity that ends before it begins',
      'ENDORSEMENT_MALFORMED',
      'nitro.chain.shape',
      at('leaf', (good) => ({ ...good, notBefore: good.notAfter, notAfter: good.notBefore })),
    ],

    ['no root in front', 'CHAIN_UNTRUSTED', 'nitro.chain.root', bundle((good) => good.slice(1))],
    ['the root at the end', 'CHAIN_UNTRUSTED', 'nitro.chain.root', bundle((good) => [...good].reverse())],
    ['another root of the same name', 'CHAIN_UNTRUSTED', 'nitro.chain.root', { root: createNitroRoot() }],
    [
      'a changed root under the same key',
      'CHAIN_UNTRUSTED',
      'nitro.chain.root',
      { mutateCertificates: { root: spec({ serial: 7n }) } },
    ],

    [
      'authorities out of order',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      bundle(([a, b, c, d]) => [a!, c!, b!, d!]),
    ],
    ['an authority left out', 'CERTIFICATE_INVALID', 'nitro.chain.profile', bundle(([a, b, , d]) => [a!, b!, d!])],
    [
      'an authority twice',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      bundle(([a, b, c, d]) => [a!, b!, b!, c!, d!]),
    ],
    [
      'a leaf in the bundle',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      { mutate: (good) => ({ ...good, cabundle: [...good.cabundle, good.certificate] }) },
    ],
    [
      'another issuer name',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', spec({ issuer: nitroName.root() })),
    ],
    [
      'an authority that is none',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('instance', withExtension(criticalExtension(BASIC_CONSTRAINTS, sequence()))),
    ],
    [
      'an authority without basic constraints',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('zonal', withoutExtension(BASIC_CONSTRAINTS)),
    ],
    [
      'basic constraints that are not critical',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('zonal', withExtension(extension(BASIC_CONSTRAINTS, caConstraints(1).value))),
    ],
    [
      'a path length that is exceeded',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('regional', withExtension(caConstraints(1))),
    ],
    [
      'basic constraints with bytes left over',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at(
        'zonal',
        withExtension(criticalExtension(BASIC_CONSTRAINTS, concat(caConstraints(1).value, Uint8Array.of(0)))),
      ),
    ],
    [
      'an authority without keyCertSign',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('instance', withExtension(usage(0b1000_0010))),
    ],
    [
      'an authority without key usage',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('instance', withoutExtension(KEY_USAGE)),
    ],
    [
      'key usage with a bit that is said to be unused',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('instance', withExtension(usage(0b0000_0101))),
    ],
    [
      'key usage of no bits',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('instance', withExtension(criticalExtension(KEY_USAGE, bitString(new Uint8Array())))),
    ],
    [
      'an unknown critical extension',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('regional', withExtension(criticalExtension('2.5.29.30', sequence()))),
    ],
    [
      'an unknown critical extension of the leaf',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', withExtension(criticalExtension('1.2.3', bytesOf(3)))),
    ],
    [
      'a leaf that is an authority',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', withExtension(caConstraints(0))),
    ],
    [
      'a leaf with a path length',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', withExtension(criticalExtension(BASIC_CONSTRAINTS, sequence(Uint8Array.of(0x02, 0x01, 0x00))))),
    ],
    [
      'a leaf without digitalSignature',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', withExtension(usage(0b0100_0000, 6))),
    ],
    ['a leaf without key usage', 'CERTIFICATE_INVALID', 'nitro.chain.profile', at('leaf', withoutExtension(KEY_USAGE))],
    [
      'a leaf with keyCertSign',
      'CERTIFICATE_INVALID',
      'nitro.chain.profile',
      at('leaf', withExtension(usage(0b1000_0100, 2))),
    ],

    [
      'an authority that the root did not sign',
      'CHAIN_UNTRUSTED',
      'nitro.chain.intermediates',
      bundle(([root]) => [
        root!,
        ...simulatedNitroEvidence({ userData, publicKey, at: AT, root: createNitroRoot() }).fields.cabundle.slice(1),
      ]),
    ],
    [
      'an authority of the same name under another key',
      'CHAIN_UNTRUSTED',
      'nitro.chain.intermediates',
      bundle(([a, , c, d]) => [a!, other.issued.regional.certificate, c!, d!]),
    ],
    [
      'a leaf that its issuer did not sign',
      'CHAIN_UNTRUSTED',
      'nitro.chain.leaf',
      { mutate: fields({ certificate: other.issued.leaf.certificate }) },
    ],

    [
      'an expired leaf',
      'CERTIFICATE_EXPIRED',
      'nitro.chain.time',
      at('leaf', spec({ notAfter: new Date(AT.getTime() - 250) })),
    ],
    [
      'an expired authority',
      'CERTIFICATE_EXPIRED',
      'nitro.chain.time',
      at('zonal', spec({ notAfter: new Date('2026-01-15T11:59:59Z') })),
    ],
    [
      'a leaf that is not yet valid',
      'CERTIFICATE_NOT_YET_VALID',
      'nitro.chain.time',
      at('leaf', spec({ notBefore: new Date('2026-01-15T12:00:01Z') })),
    ],

    ['another signer', 'SIGNATURE_INVALID', 'nitro.signature', { signWith: otherKey }],
    [
      'a changed payload',
      'SIGNATURE_INVALID',
      'nitro.signature',
      { mutateParts: (good) => ({ ...good, payload: flipped(good.payload, 20, 0x01) }) },
    ],
    [
      'r and s exchanged',
      'SIGNATURE_INVALID',
      'nitro.signature',
      {
        mutateParts: (good) => ({
          ...good,
          signature: concat(good.signature.subarray(48), good.signature.subarray(0, 48)),
        }),
      },
    ],
    [
      'r of zero',
      'SIGNATURE_INVALID',
      'nitro.signature',
      { mutateParts: (good) => ({ ...good, signature: concat(new Uint8Array(48), good.signature.subarray(48)) }) },
    ],
    [
      's of zero',
      'SIGNATURE_INVALID',
      'nitro.signature',
      { mutateParts: (good) => ({ ...good, signature: concat(good.signature.subarray(0, 48), new Uint8Array(48)) }) },
    ],
    [
      'r and s of all ones',
      'SIGNATURE_INVALID',
      'nitro.signature',
      { mutateParts: (good) => ({ ...good, signature: new Uint8Array(96).fill(0xff) }) },
    ],

    [
      'a document signed before its leaf began',
      'CERTIFICATE_NOT_YET_VALID',
      'nitro.timestamp',
      { mutate: fields({ timestamp: AT.getTime() - HOUR }) },
    ],
    [
      'a document signed after its leaf ended',
      'CERTIFICATE_EXPIRED',
      'nitro.timestamp',
      { mutate: fields({ timestamp: AT.getTime() + 3 * HOUR }) },
    ],
    [
      'a timestamp in seconds',
      'CERTIFICATE_NOT_YET_VALID',
      'nitro.timestamp',
      { mutate: fields({ timestamp: Math.floor(AT.getTime() / 1000) }) },
    ],

    [
      'the module id of another enclave',
      'CERTIFICATE_INVALID',
      'nitro.module',
      { mutate: fields({ moduleId: moduleIdOf({ ...identity, enclaveId: 'ff' }) }) },
    ],
    [
      'a leaf whose module id only begins alike',
      'CERTIFICATE_INVALID',
      'nitro.module',
      { mutate: fields({ moduleId: moduleIdOf(identity).slice(0, -1) }) },
    ],
    [
      'a leaf of another instance',
      'CERTIFICATE_INVALID',
      'nitro.module',
      at('instance', spec({ subject: nitroName.instance({ ...identity, instanceId: 'i-0b' }) })),
    ],
    [
      'an authority of another region',
      'CERTIFICATE_INVALID',
      'nitro.module',
      at('zonal', spec({ subject: nitroName.zonal({ ...identity, region: 'eu-west-1' }) })),
    ],
    [
      'a leaf without a region',
      'CERTIFICATE_INVALID',
      'nitro.module',
      at('leaf', spec({ subject: nitroName.leaf({ ...identity, region: '' }) })),
    ],
    [
      'a leaf straight under the root',
      'CERTIFICATE_INVALID',
      'nitro.module',
      { ...bundle(([root]) => [root!]), ...underRoot() },
    ],
  ])('%s: %s', async (_, code, row, request) => {
    const outcome = await trying(request);
    expect([outcome.code, outcome.failed]).toEqual([code, [row]]);
  });

  /** The leaf issued by the root itself, which the paths' lengths would allow. */
  function underRoot(): Partial<SimulatedNitroEvidenceRequest> {
    return {
      keys: {
        regional: sharedNitroRoot().privateKey,
        zonal: sharedNitroRoot().privateKey,
        instance: sharedNitroRoot().privateKey,
      },
      mutateCertificates: { leaf: spec({ issuer: nitroName.root() }) },
    };
  }

  test('a key that is no point of the curve verifies nothing', async () => {
    const offCurve = (good: CertificateSpec) => ({ ...good, publicKey: flipped(good.publicKey, 119, 0x01) });
    expect((await trying(at('leaf', offCurve))).failed).toEqual(['nitro.signature']);
    expect((await trying(at('instance', offCurve))).failed).toEqual(['nitro.chain.leaf']);
  });

  test('a refusal is not remembered as a yes, nor a yes as a refusal', async () => {
    const bad = make({ mutate: fields({ certificate: other.issued.leaf.certificate }) });
    const good = make();
    for (const [document, code] of [
      [bad.document, 'CHAIN_UNTRUSTED'],
      [good.document, 'valid'],
      [bad.document, 'CHAIN_UNTRUSTED'],
    ] as const) {
      expect((await attemptNitro(document, anchors, AT)).code).toBe(code);
    }
    // The chain is known by now; its dates are asked again each time.
    expect((await attemptNitro(good.document, anchors, new Date('2027-01-01T00:00:00Z'))).code).toBe(
      'CERTIFICATE_EXPIRED',
    );
  });
});

describe('the time of the check', () => {
  test('at the document time, an old document is as good as on its day; at a later time it is not', async () => {
    const { document } = make();
    const then = await attemptNitro(document, anchors, 'document-time');
    expect(then.verified).toMatchObject({ validAt: AT, timeSource: 'evidence' });
    const later = await attemptNitro(document, anchors, new Date(AT.getTime() + 4 * HOUR));
    expect([later.code, later.failed]).toEqual(['CERTIFICATE_EXPIRED', ['nitro.chain.time']]);
  });

  test('at the document time, a time outside the leaf is refused all the same', async () => {
    for (const [timestamp, code] of [
      [AT.getTime() + 3 * HOUR, 'CERTIFICATE_EXPIRED'],
      [AT.getTime() - HOUR, 'CERTIFICATE_NOT_YET_VALID'],
    ] as const) {
      const outcome = await trying({ mutate: fields({ timestamp }) }, 'document-time');
      expect([outcome.code, outcome.failed]).toEqual([code, ['nitro.chain.time']]);
    }
  });

  test('the anchor has dates of its own', async () => {
    const expired = anchors.map((anchor) => ({ ...anchor, notAfter: new Date(AT.getTime() - 1) }));
    const outcome = await attemptNitro(make().document, expired, AT);
    expect([outcome.code, outcome.failed]).toEqual(['CERTIFICATE_EXPIRED', ['nitro.chain.time']]);
  });

  test('a time that is none is a mistake of the caller', async () => {
    await expect(attemptNitro(make().document, anchors, new Date(Number.NaN))).rejects.toBeInstanceOf(TypeError);
  });
});
