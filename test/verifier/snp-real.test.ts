import { describe, expect, test } from 'vitest';
import { AMD_ANCHORS } from '../../verifier/trust/amd.ts';
import { readCertificates } from '../../verifier/x509/pem.ts';
import { AMD_CERTIFICATES, attempt, caseFiles, flipped, midOf, read, SNP_EVIDENCE, snpCases } from './snp-support.ts';

const cases = snpCases();
const withChain = cases.filter(({ files }) => files.signerCert !== undefined);
const find = (id: string) => cases.find((one) => one.id === id) ?? cases[0]!;

describe.skipIf(!SNP_EVIDENCE || !AMD_CERTIFICATES)('real SNP evidence', () => {
  test('the corpus is there', () => {
    expect(cases.filter(({ expected }) => expected === 'valid').length).toBeGreaterThanOrEqual(27);
  });

  test.each(withChain.filter(({ expected }) => expected === 'valid'))('accepts $id', async (one) => {
    const { report, certificates } = caseFiles(one);
    const at = midOf(one);
    const whole = await attempt({ report, certificates, anchors: AMD_ANCHORS, at });
    expect(whole.code).toBe('valid');
    expect(whole.verified).toMatchObject({
      product: one.product,
      signer: one.signer,
      chipIdMasked: false,
      crl: null,
      anchor: { platform: 'snp', name: `ARK-${one.product}` },
    });
    // In any order; without the root; and with nothing but the leaf, since AMD's intermediates are pinned.
    const [leaf] = certificates as [Uint8Array];
    for (const some of [[...certificates].reverse(), certificates.slice(0, 2), [leaf], [...certificates, leaf]]) {
      expect((await attempt({ report, certificates: some, anchors: AMD_ANCHORS, at })).code).toBe('valid');
    }
  });

  test.each(withChain.filter(({ expected }) => expected === 'valid'))('keeps the dates of $id', async (one) => {
    const { report, certificates } = caseFiles(one);
    const at = (text: string | null, ms: number): Date => new Date(Date.parse(text ?? '') + ms);
    const code = async (time: Date) => (await attempt({ report, certificates, anchors: AMD_ANCHORS, at: time })).code;
    expect(await code(at(one.validFrom, 0))).toBe('valid');
    expect(await code(at(one.validFrom, -1000))).toBe('CERTIFICATE_NOT_YET_VALID');
    expect(await code(at(one.validTo, 0))).toBe('valid');
    expect(await code(at(one.validTo, 1))).toBe('CERTIFICATE_EXPIRED');
  });

  test.each([
    ['neg-milan-v2-trustee-vcek-legacy-other-chip', 'CHAIN_UNTRUSTED', 'snp.chain.leaf'],
    ['neg-milan-vlek-v2-constellation', 'SIGNATURE_INVALID', 'snp.signature'],
    ['neg-mix-vlek-under-ask', 'CERTIFICATE_INVALID', 'snp.chain.profile'],
    ['neg-mix-azure-report-other-vcek', 'SIGNATURE_INVALID', 'snp.signature'],
  ])('refuses %s', async (id, code, row) => {
    const one = find(id);
    expect(one.id).toBe(id);
    const outcome = await attempt({ ...caseFiles(one), anchors: AMD_ANCHORS, at: midOf(one) });
    expect([outcome.code, outcome.failed]).toEqual([code, [row]]);
  });

  test.each(cases.filter(({ files }) => files.signerCert === undefined))('$id needs its certificate', async (one) => {
    const outcome = await attempt({ ...caseFiles(one), anchors: AMD_ANCHORS, at: midOf(one) });
    expect(outcome.code).toBe('ENDORSEMENT_MISSING');
  });

  test('every case of the index has a place above', () => {
    const placed = cases.filter(
      ({ id, expected, files }) => expected === 'valid' || files.signerCert === undefined || id.startsWith('neg-'),
    );
    expect(placed.length).toBe(cases.length);
  });

  test('refuses a report under the certificates of another', async () => {
    const milan = find('milan-v3-oak-cb');
    const { certificates } = caseFiles(find('genoa-v3-tinfoil'));
    const outcome = await attempt({
      report: caseFiles(milan).report,
      certificates,
      anchors: AMD_ANCHORS,
      at: midOf(milan),
    });
    expect(outcome.code).toBe('SIGNATURE_INVALID');
  });

  test('refuses a VCEK for a VLEK report and the other way round', async () => {
    const vlek = find('milan-vlek-v3-trustee-vmpl1');
    const vcek = find('milan-v3-azure-trustee-v0');
    const at = midOf(vlek);
    const mixes = [
      { report: caseFiles(vlek).report, certificates: caseFiles(vcek).certificates },
      { report: caseFiles(vcek).report, certificates: caseFiles(vlek).certificates },
    ];
    for (const mix of mixes) {
      const outcome = await attempt({ ...mix, anchors: AMD_ANCHORS, at });
      expect([outcome.code, outcome.failed]).toEqual(['SIGNING_KEY_MISMATCH', ['snp.signing-key']]);
    }
  });

  test('refuses a root that is not among the anchors, and evidence of a product without an anchor', async () => {
    const one = find('genoa-v3-tinfoil');
    const { report, certificates } = caseFiles(one);
    const anchors = AMD_ANCHORS.filter(({ name }) => name !== 'ARK-Genoa');
    const at = midOf(one);
    const code = async (some: readonly Uint8Array[]) =>
      (await attempt({ report, certificates: some, anchors, at })).code;
    expect(await code(certificates)).toBe('CHAIN_UNTRUSTED');
    expect(await code(certificates.slice(0, 2))).toBe('CHAIN_UNTRUSTED');
    expect(await code(certificates.slice(0, 1))).toBe('ENDORSEMENT_MISSING');
  });

  test('no anchor of another platform helps', async () => {
    const one = find('genoa-v3-tinfoil');
    const anchors = AMD_ANCHORS.map((anchor) => ({ ...anchor, platform: 'nitro' as const }));
    expect((await attempt({ ...caseFiles(one), anchors, at: midOf(one) })).code).toBe('CHAIN_UNTRUSTED');
  });

  test('refuses an anchor whose key fits but whose fingerprint does not, when the root is given', async () => {
    const one = find('genoa-v3-tinfoil');
    const anchors = AMD_ANCHORS.map((anchor) => ({ ...anchor, fingerprint: AMD_ANCHORS[0]!.fingerprint }));
    expect((await attempt({ ...caseFiles(one), anchors, at: midOf(one) })).code).toBe('CHAIN_UNTRUSTED');
  });

  describe('certificate revocation lists', () => {
    const crl = (name: string) => read(SNP_EVIDENCE ?? '', 'crl', name);
    const genoa = find('genoa-v3-azure-trustee');
    const at = new Date('2025-06-01T00:00:00Z');
    const tryGenoa = (
      certificates: readonly Uint8Array[],
      crlsGiven: readonly Uint8Array[],
      time = at,
      crlsInside: readonly Uint8Array[] = [],
    ) =>
      attempt({ report: caseFiles(genoa).report, certificates, anchors: AMD_ANCHORS, at: time, crlsGiven, crlsInside });

    test('accepts a current list and says its dates', async () => {
      const outcome = await tryGenoa(caseFiles(genoa).certificates, [crl('genoa-2024-openpcc.crl.der')]);
      expect(outcome.code).toBe('valid');
      expect(outcome.verified?.crl?.nextUpdate.toISOString()).toBe('2025-11-03T01:00:00.000Z');
      expect(outcome.log.notChecked).toEqual([]);
    });

    test('refuses the first ASK-Genoa, with a list and without', async () => {
      const { certificates } = caseFiles(genoa);
      const [leaf] = certificates as [Uint8Array];
      const [ark] = certificates.slice(2) as [Uint8Array];
      const [revoked] = readCertificates(crl('ask-genoa-revoked.pem'), 'ask') as [Uint8Array];
      for (const given of [[crl('genoa-2024-openpcc.crl.der')], []]) {
        const outcome = await tryGenoa([leaf, revoked, ark], given);
        expect([outcome.code, outcome.failed]).toEqual(['CERTIFICATE_REVOKED', ['snp.revocation']]);
      }
      // A list inside the file can add the revocation too, however old it is.
      const inside = await tryGenoa([leaf, revoked], [], new Date('2031-01-01T00:00:00Z'), [
        crl('genoa-2024-openpcc.crl.der'),
      ]);
      expect(inside.code).toBe('CERTIFICATE_REVOKED');
    });

    test('refuses a list that has run out, unless a current one is given too', async () => {
      const milan = { ...caseFiles(find('milan-v3-oak-cb')), anchors: AMD_ANCHORS, at };
      const old = crl('milan-2022-enarx.crl.der');
      const stale = await attempt({ ...milan, crlsGiven: [old] });
      expect([stale.code, stale.failed]).toEqual(['CRL_STALE', ['snp.crl']]);
      const both = await attempt({ ...milan, crlsGiven: [old, crl('milan-2025-openpcc.crl.der')] });
      expect(both.verified?.crl?.thisUpdate.toISOString()).toBe('2025-05-06T12:39:06.000Z');
      const inside = await attempt({ ...milan, crlsInside: [old] });
      expect([inside.code, inside.verified?.crl]).toEqual(['valid', null]);
    });

    test('a list newer than the time is read but does not count as current', async () => {
      const time = new Date('2025-02-10T00:00:00Z');
      const milan = { ...caseFiles(find('milan-v3-oak-cb')), anchors: AMD_ANCHORS, at: time };
      const outcome = await attempt({ ...milan, crlsGiven: [crl('milan-2025-openpcc.crl.der')] });
      expect([outcome.code, outcome.verified?.crl]).toEqual(['valid', null]);
      expect(outcome.log.checks().find(({ id }) => id === 'snp.crl')?.outcome).toBe('skipped');
      expect(outcome.log.notChecked.join()).toContain('no CRL of that time');
    });

    test("ignores another product's list by the caller, refuses it inside the file", async () => {
      const { certificates } = caseFiles(genoa);
      const milan = crl('milan-2025-openpcc.crl.der');
      const given = await tryGenoa(certificates, [milan]);
      expect([given.code, given.verified?.crl]).toEqual(['valid', null]);
      expect(given.log.checks().find(({ id }) => id === 'snp.revocation')?.detail).toContain('ARK-Milan');
      const inside = await tryGenoa(certificates, [], at, [milan]);
      expect([inside.code, inside.failed]).toEqual(['CRL_INVALID', ['snp.revocation']]);
    });

    test('refuses a list with any byte changed, given or inside', async () => {
      const { certificates } = caseFiles(genoa);
      const [leaf] = certificates as [Uint8Array];
      const good = crl('genoa-2024-openpcc.crl.der');
      for (let i = 0; i < good.length; i++) {
        const bad = flipped(good, i, 0x01);
        const outcome = i % 2 === 0 ? await tryGenoa([leaf], [bad]) : await tryGenoa([leaf], [], at, [bad]);
        expect(outcome.code).toBe('CRL_INVALID');
      }
    });
  });
});
