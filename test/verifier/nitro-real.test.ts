import { X509Certificate } from 'node:crypto';
import { hex } from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import { parseNitroCertificate } from '../../verifier/nitro/certificate.ts';
import { opensLikeNitroDocument } from '../../verifier/nitro/detect.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { AWS_ANCHORS } from '../../verifier/trust/aws.ts';
import { attemptNitro, documentOf, NITRO_EVIDENCE, type NitroCase, nitroCases } from './nitro-support.ts';
import { codeOf, flipped } from './snp-support.ts';

const cases = nitroCases();
const genuine = cases.filter(({ expected }) => expected === 'valid');
const find = (id: string): NitroCase => {
  const one = cases.find((candidate) => candidate.id === id);
  if (!one) throw new Error(`${id} is not in the index`);
  return one;
};

/** Cases of the index that are no enclave's, each with its refusal. */
const REFUSED: Readonly<Record<string, readonly [code: string, field: string]>> = {
  'attestor-core-20260618-020ed8bb': ['EVIDENCE_UNSUPPORTED', 'document.nitrotpm_pcrs'],
  'vaportpm-20260201-799ae6d1': ['EVIDENCE_UNSUPPORTED', 'document.nitrotpm_pcrs'],
  'vaportpm-20260203-8df53057': ['EVIDENCE_UNSUPPORTED', 'document.nitrotpm_pcrs'],
  'bedrock-20250829-bfd95b4b': ['ENDORSEMENT_MALFORMED', 'document.cabundle[0]'],
  'nitrite-badtime-e388022c': ['EVIDENCE_MALFORMED', 'document.unprotected'],
};

describe.skipIf(!NITRO_EVIDENCE)('real Nitro documents', () => {
  test('the corpus is there, and every case of the index has a place below', () => {
    expect(genuine.length).toBeGreaterThanOrEqual(79);
    const others = cases.filter(({ expected }) => expected !== 'valid').map(({ id }) => id);
    expect(others.sort()).toEqual(Object.keys(REFUSED).sort());
  });

  test.each(genuine)('accepts $id', async (one) => {
    const raw = documentOf(one);
    expect(opensLikeNitroDocument(raw)).toBe(true);
    const given = await attemptNitro(raw, AWS_ANCHORS, new Date(one.at));
    expect([given.code, given.failed]).toEqual(['valid', []]);
    expect(given.log.checks().map(({ outcome }) => outcome)).toEqual(given.log.checks().map(() => 'pass'));
    expect(given.log.notChecked).toEqual([]);
    expect(given.verified).toMatchObject({
      anchor: { platform: 'nitro', name: 'aws.nitro-enclaves' },
      debug: one.debug,
      validAt: new Date(one.at),
      timeSource: 'caller',
      document: { moduleId: one.moduleId, digest: 'SHA384', timestamp: new Date(one.timestamp), unknownFields: 0 },
    });
    expect(given.verified?.leaf.notBefore.toISOString()).toBe(one.leafNotBefore);
    expect(given.verified?.leaf.notAfter.toISOString()).toBe(one.leafNotAfter);

    const document = parseNitroDocument(raw);
    expect(document.pcrs.size).toBe(one.pcrCount);
    for (const [index, value] of Object.entries(one.pcrs ?? {})) {
      expect(hex(document.pcrs.get(Number(index)) ?? new Uint8Array())).toBe(value);
    }
    expect([document.nonce, document.userData, document.publicKey].map((field) => field?.length ?? null)).toEqual([
      one.nonceLength,
      one.userDataLength,
      one.publicKeyLength,
    ]);

    const archived = await attemptNitro(raw, AWS_ANCHORS, 'document-time');
    expect(archived.verified).toMatchObject({ timeSource: 'evidence', validAt: new Date(one.timestamp) });
    // AWS allows COSE's tag 18, though hypervisors leave it out.
    const tagged = await attemptNitro(Uint8Array.of(0xd2, ...raw), AWS_ANCHORS, new Date(one.at));
    expect(tagged.code).toBe('valid');
  });

  test.each(genuine)('keeps the dates of $id', async (one) => {
    const raw = documentOf(one);
    const at = async (text: string | null, ms: number) => {
      const { code, failed } = await attemptNitro(raw, AWS_ANCHORS, new Date(Date.parse(text ?? '') + ms));
      return [code, ...failed];
    };
    expect(await at(one.leafNotBefore, 0)).toEqual(['valid']);
    expect(await at(one.leafNotBefore, -1000)).toEqual(['CERTIFICATE_NOT_YET_VALID', 'nitro.chain.time']);
    expect(await at(one.leafNotAfter, 0)).toEqual(['valid']);
    expect(await at(one.leafNotAfter, 1)).toEqual(['CERTIFICATE_EXPIRED', 'nitro.chain.time']);
  });

  test.each(Object.entries(REFUSED))('refuses %s', async (id, [code, field]) => {
    const one = find(id);
    const outcome = await attemptNitro(documentOf(one), AWS_ANCHORS, new Date(one.at));
    expect([outcome.code, outcome.field]).toEqual([code, field]);
  });

  test('what really occurs is among what is accepted', () => {
    const documents = genuine.map((one) => parseNitroDocument(documentOf(one)));
    const some = (holds: (one: (typeof documents)[number]) => boolean) => documents.filter(holds).length;
    const P384_HALF = 0x7f;
    expect({
      indefinite: genuine.some(({ payloadMapIndefinite }) => payloadMapIndefinite),
      definite: genuine.some(({ payloadMapIndefinite }) => !payloadMapIndefinite),
      debug: genuine.some(({ debug }) => debug),
      longNonce: some(({ nonce }) => nonce?.length === 1024) > 0,
      emptyPublicKey: some(({ publicKey }) => publicKey?.length === 0) > 0,
      absentNonce: some(({ nonce }) => nonce === null) > 0,
      seventeenPcrs: some(({ pcrs }) => pcrs.size === 17) > 0,
      highS: some(({ signature }) => (signature[48] as number) > P384_HALF) > 0,
      lowS: some(({ signature }) => (signature[48] as number) < P384_HALF) > 0,
    }).toEqual({
      indefinite: true,
      definite: true,
      debug: true,
      longNonce: true,
      emptyPublicKey: true,
      absentNonce: true,
      seventeenPcrs: true,
      highS: true,
      lowS: true,
    });
  });

  test('refuses a genuine document without an anchor, or with one of another platform, key or fingerprint', async () => {
    const [one] = genuine as [NitroCase];
    const raw = documentOf(one);
    const [aws] = AWS_ANCHORS as [(typeof AWS_ANCHORS)[number]];
    const sets = [
      [],
      [{ ...aws, platform: 'snp' as const }],
      [{ ...aws, publicKey: new Uint8Array(aws.publicKey).reverse() }],
      [{ ...aws, fingerprint: new Uint8Array(aws.fingerprint).reverse() as typeof aws.fingerprint }],
    ];
    for (const anchors of sets) {
      const outcome = await attemptNitro(raw, anchors, new Date(one.at));
      expect([outcome.code, outcome.failed]).toEqual(['CHAIN_UNTRUSTED', ['nitro.chain.root']]);
    }
  });

  // Old and current encoding, debug and not, and one that is full to the limits.
  const indefinite = genuine.find((one) => one.payloadMapIndefinite && !one.debug);
  const definite = genuine.find((one) => !one.payloadMapIndefinite && one.debug);
  const longest = genuine.find((one) => one.nonceLength === 1024);
  const picked: readonly (readonly [string, number, NitroCase | undefined])[] = [
    ['current', 0x01, indefinite],
    ['old, debug', 0x80, definite],
    ['with all fields at their limits', 0x20, longest],
  ];

  test.each(picked)('refuses every change of one byte: %s, XOR %i', async (_, mask, one) => {
    if (!one) throw new Error('the corpus has no such document');
    const raw = documentOf(one);
    const at = new Date(one.at);
    const codes = new Set<string>();
    for (let i = 0; i < raw.length; i++) {
      const { code } = await attemptNitro(flipped(raw, i, mask), AWS_ANCHORS, at);
      if (code === 'valid') throw new Error(`byte ${i} may be changed by XOR ${mask}`);
      codes.add(code);
    }
    expect(codes).toContain('SIGNATURE_INVALID');
    expect(codes).toContain('CHAIN_UNTRUSTED');
  });

  test('refuses a document cut off at any length, and one with bytes after it', () => {
    const [one] = genuine as [NitroCase];
    const raw = documentOf(one);
    for (let length = 0; length < raw.length; length++) {
      expect(codeOf(() => parseNitroDocument(raw.subarray(0, length)))).toBe('EVIDENCE_MALFORMED');
    }
    expect(codeOf(() => parseNitroDocument(Uint8Array.of(...raw, 0)))).toBe('EVIDENCE_MALFORMED');
    expect(codeOf(() => parseNitroDocument(Uint8Array.of(...raw, ...raw)))).toBe('EVIDENCE_MALFORMED');
  });

  test("certificates read as node's own reader reads them", () => {
    let seen = 0;
    for (const one of genuine) {
      const { certificate, cabundle } = parseNitroDocument(documentOf(one));
      for (const der of [...cabundle, certificate]) {
        const ours = parseNitroCertificate(der, 'certificate');
        const oracle = new X509Certificate(der);
        const commonName = (name: string) => /^CN=(.*)$/m.exec(name)?.[1];
        expect({
          serial: ours.serial,
          subjectCN: ours.subjectCN,
          issuerCN: ours.issuerCN,
          notBefore: ours.notBefore.getTime(),
          notAfter: ours.notAfter.getTime(),
          fingerprint: hex(ours.fingerprint),
          spki: hex(ours.spki),
        }).toEqual({
          serial: BigInt(`0x${oracle.serialNumber}`),
          subjectCN: commonName(oracle.subject),
          issuerCN: commonName(oracle.issuer),
          notBefore: Date.parse(oracle.validFrom),
          notAfter: Date.parse(oracle.validTo),
          fingerprint: oracle.fingerprint256.replaceAll(':', '').toLowerCase(),
          spki: oracle.publicKey.export({ type: 'spki', format: 'der' }).toString('hex'),
        });
        seen += 1;
      }
    }
    expect(seen).toBe(5 * genuine.length);
  });
});
