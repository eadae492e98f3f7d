import { describe, expect, test } from 'vitest';
import { GivenEndorsements } from '../../enclave/attester/snp-certificates.ts';
import { caseFiles, SNP_EVIDENCE, snpCases } from '../verifier/snp-support.ts';

const cases = snpCases().filter(({ files }) => files.signerCert !== undefined);

function chainOf(one: (typeof cases)[number]) {
  const { report, certificates } = caseFiles(one);
  const endorsements = new GivenEndorsements();
  for (const der of [...certificates].reverse()) endorsements.offer(der);
  return { certificates, chain: () => endorsements.chainFor(new Uint8Array(report), []) };
}

describe.skipIf(!SNP_EVIDENCE)('certificates of real chips', () => {
  const valid = cases.filter(({ expected }) => expected === 'valid');
  test('VCEKs and VLEKs are there', () => {
    expect(new Set(valid.map(({ signer }) => signer))).toEqual(new Set(['VCEK', 'VLEK']));
  });

  test.each(valid)('$id: leaf and intermediate of the chip that signed, without the root', (one) => {
    const { certificates, chain } = chainOf(one);
    expect(chain().map((der) => Buffer.from(der).toString('hex'))).toEqual(
      certificates.slice(0, 2).map((der) => Buffer.from(der).toString('hex')),
    );
  });

  test.each(['neg-milan-vlek-v2-constellation', 'neg-mix-azure-report-other-vcek'])('%s: none that signed', (id) => {
    const one = cases.find((other) => other.id === id);
    expect(one).toBeDefined();
    expect(chainOf(one!).chain).toThrow(expect.objectContaining({ code: 'ENDORSEMENT_MISSING' }));
  });
});
