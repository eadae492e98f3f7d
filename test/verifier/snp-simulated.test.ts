import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Bytes, bytes, sha256 } from '@veritee/protocol';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  createAuthority,
  generateVcekKey,
  makeCrl,
  type SimulatedAuthority,
} from '../../attestation-fixtures/snp/authority.ts';
import {
  amdName,
  type CertificateSpec,
  issueCertificate,
  publicKeyOf,
  vcekSpec,
} from '../../attestation-fixtures/snp/certificates.ts';
import {
  type SimulatedEvidenceRequest,
  sharedAuthority,
  sharedChipId,
  simulatedEvidence,
} from '../../attestation-fixtures/snp/evidence.ts';
import { PRODUCTS, type Product } from '../../attestation-fixtures/snp/products.ts';
import type { ReportFields } from '../../attestation-fixtures/snp/report.ts';
import { AMD_ANCHORS } from '../../verifier/trust/amd.ts';
import type { TrustAnchor } from '../../verifier/trust/anchor.ts';
import { readTrustAnchors } from '../../verifier/trust/read.ts';
import { type Attempt, attempt, flipped } from './snp-support.ts';

const AT = new Date('2026-06-01T00:00:00Z');
const reportData = bytes(randomBytes(64), 64, 'REPORT_DATA');
const measurement = bytes(randomBytes(48), 48, 'MEASUREMENT');
const integer = (value: number): Uint8Array => Uint8Array.of(0x02, 0x01, value);
const PREFIX = '1.3.6.1.4.1.3704.1';

let anchors: readonly TrustAnchor[];
/** Its roots bear AMD's names like all others, and no test trusts it unless it says so. */
let stranger: SimulatedAuthority;

async function trying(
  product: Product,
  request: Partial<SimulatedEvidenceRequest> = {},
  change: Partial<Attempt> = {},
) {
  const made = await simulatedEvidence({ product, version: 5, reportData, measurement, ...request });
  return attempt({ report: made.report, certificates: made.chain, anchors, at: AT, ...change });
}

type Spec = CertificateSpec;
const set =
  (change: Partial<Spec>) =>
  (good: Spec): Spec => ({ ...good, ...change });
const withoutExtension =
  (oid: string) =>
  (good: Spec): Spec => ({ ...good, extensions: good.extensions.filter((one) => one.oid !== oid) });
const withExtension =
  (oid: string, value: Uint8Array, critical = false) =>
  (good: Spec): Spec => {
    const extension = { oid, critical, value };
    const known = good.extensions.some((one) => one.oid === oid);
    const extensions = known
      ? good.extensions.map((one) => (one.oid === oid ? extension : one))
      : [...good.extensions, extension];
    return { ...good, extensions };
  };
const field =
  (change: Partial<ReportFields>) =>
  (good: ReportFields): ReportFields => ({ ...good, ...change });

beforeAll(async () => {
  stranger = await createAuthority('Milan');
  const authorities = await Promise.all([sharedAuthority('Milan'), sharedAuthority('Turin')]);
  anchors = (await Promise.all(authorities.map(({ ark }) => readTrustAnchors(ark.certificate, 'ark')))).flat();
});

describe('simulated SNP evidence', () => {
  test.each([
    ['Milan', 2],
    ['Milan', 3],
    ['Milan', 4],
    ['Milan', 5],
    ['Turin', 2],
    ['Turin', 3],
    ['Turin', 5],
  ] as const)("accepts %s version %i, and its platform is the anchor's", async (product, version) => {
    const outcome = await trying(product, { version });
    expect(outcome.code).toBe('valid');
    expect(outcome.verified).toMatchObject({ product, signer: 'VCEK', anchor: { platform: 'simulated-snp' } });
  });

  test("is refused under AMD's roots, also when it brings its own root", async () => {
    const { report, chain, ark } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    for (const certificates of [chain, [...chain, ark], chain.slice(0, 1)]) {
      const outcome = await attempt({ report, certificates, anchors: AMD_ANCHORS, at: AT });
      expect(outcome.code).toBe('CHAIN_UNTRUSTED');
    }
  });

  test('under both, the anchor that signed is found, and a leaf alone is not enough', async () => {
    const both = [...AMD_ANCHORS, ...anchors];
    expect((await trying('Turin', {}, { anchors: both })).verified?.anchor.platform).toBe('simulated-snp');
    const { report, chain } = await simulatedEvidence({ product: 'Turin', version: 5, reportData, measurement });
    const alone = { report, certificates: chain.slice(0, 1), at: AT };
    expect((await attempt({ ...alone, anchors: both })).code).toBe('CHAIN_UNTRUSTED');
    expect((await attempt({ ...alone, anchors })).code).toBe('ENDORSEMENT_MISSING');
  });

  test('a second report of the same chain does not see what the first one cached', async () => {
    expect((await trying('Milan')).code).toBe('valid');
    expect((await trying('Milan', {}, { at: new Date('2040-01-01T00:00:00Z') })).code).toBe('CERTIFICATE_EXPIRED');
    expect((await trying('Milan', {}, { anchors: [] })).code).toBe('CHAIN_UNTRUSTED');
    expect((await trying('Milan')).code).toBe('valid');
  });
});

describe('one change to the report, signed again', () => {
  const reserved = (offset: number, value = 1) => field({ overwrite: [{ offset, value: Uint8Array.of(value) }] });
  const tcb = PRODUCTS.Milan.tcb;
  test.each<[string, string, (good: ReportFields) => ReportFields]>([
    ['a REPORTED_TCB above the certificate', 'TCB_MISMATCH', field({ reportedTcb: { ...tcb, microcode: 223 } })],
    ['a REPORTED_TCB below the certificate', 'TCB_MISMATCH', field({ reportedTcb: { ...tcb, bootloader: 3 } })],
    ['another tee part', 'TCB_MISMATCH', field({ reportedTcb: { ...tcb, tee: 1 } })],
    ['another snp part', 'TCB_MISMATCH', field({ reportedTcb: { ...tcb, snp: 26 } })],
    ['another CHIP_ID', 'CHIP_ID_MISMATCH', field({ chipId: bytes(randomBytes(64), 64, 'CHIP_ID') })],
    ['a Genoa CPUID', 'PRODUCT_MISMATCH', field({ cpuid: { family: 0x19, model: 0x11, stepping: 1 } })],
    ['an unknown CPUID', 'PRODUCT_MISMATCH', field({ cpuid: { family: 0x1a, model: 0x20, stepping: 0 } })],
    ['the first Venice CPUID', 'EVIDENCE_UNSUPPORTED', field({ cpuid: { family: 0x1a, model: 0x50, stepping: 0 } })],
    ['the last Venice CPUID', 'EVIDENCE_UNSUPPORTED', field({ cpuid: { family: 0x1a, model: 0xc7, stepping: 0 } })],
    ['a CPUID after Venice', 'PRODUCT_MISMATCH', field({ cpuid: { family: 0x1a, model: 0xc8, stepping: 0 } })],
    [
      'a Zen 4 model with a Venice number',
      'PRODUCT_MISMATCH',
      field({ cpuid: { family: 0x19, model: 0x50, stepping: 0 } }),
    ],
    ['SIGNING_KEY VLEK', 'SIGNING_KEY_MISMATCH', field({ keyInfo: 0b0100 })],
    ['SIGNING_KEY 2', 'EVIDENCE_MALFORMED', field({ keyInfo: 0b1000 })],
    ['SIGNING_KEY none', 'SIGNATURE_INVALID', field({ keyInfo: 0b11100 })],
    ['MASK_CHIP_KEY', 'SIGNATURE_INVALID', field({ keyInfo: 0b10 })],
    ['a reserved KEY_INFO bit', 'EVIDENCE_MALFORMED', field({ keyInfo: 0b100000 })],
    ['VMPL 4', 'EVIDENCE_MALFORMED', field({ vmpl: 4 })],
    ['a report asked for by the host', 'EVIDENCE_MALFORMED', field({ vmpl: 0xffff_ffff })],
    ['POLICY bit 17 clear', 'EVIDENCE_MALFORMED', field({ policy: 0x10000n })],
    ['POLICY bit 26 set', 'EVIDENCE_MALFORMED', field({ policy: 0x30000n | (1n << 26n) })],
    ['version 1', 'EVIDENCE_UNSUPPORTED', field({ version: 1 })],
    ['version 6', 'EVIDENCE_UNSUPPORTED', field({ version: 6 })],
    ['another signature algorithm', 'EVIDENCE_UNSUPPORTED', field({ signatureAlgo: 2 })],
    ['reserved byte 0x4c', 'EVIDENCE_MALFORMED', reserved(0x4c)],
    ['reserved byte 0x18b', 'EVIDENCE_MALFORMED', reserved(0x18b)],
    ['reserved byte 0x19f', 'EVIDENCE_MALFORMED', reserved(0x19f)],
    ['reserved byte 0x1eb', 'EVIDENCE_MALFORMED', reserved(0x1eb)],
    ['reserved byte 0x1ef', 'EVIDENCE_MALFORMED', reserved(0x1ef)],
    ['reserved byte 0x208', 'EVIDENCE_MALFORMED', reserved(0x208)],
    ['reserved byte 0x29f', 'EVIDENCE_MALFORMED', reserved(0x29f)],
    ['a reserved byte of CURRENT_TCB', 'EVIDENCE_MALFORMED', reserved(0x38 + 2)],
    ['a reserved byte of REPORTED_TCB', 'EVIDENCE_MALFORMED', reserved(0x180 + 5)],
    ['a reserved byte of COMMITTED_TCB', 'EVIDENCE_MALFORMED', reserved(0x1e0 + 3)],
    ['a reserved byte of LAUNCH_TCB', 'EVIDENCE_MALFORMED', reserved(0x1f0 + 4)],
  ])('refuses %s', async (_, code, mutate) => {
    expect((await trying('Milan', { mutate })).code).toBe(code);
  });

  test('mitigation vectors are reserved bytes before version 5', async () => {
    for (const version of [2, 3, 4]) {
      expect((await trying('Milan', { version, mutate: reserved(0x1f8) })).code).toBe('EVIDENCE_MALFORMED');
      expect((await trying('Milan', { version, mutate: reserved(0x207) })).code).toBe('EVIDENCE_MALFORMED');
    }
    expect((await trying('Milan', { mutate: reserved(0x207) })).code).toBe('valid');
    expect((await trying('Milan', { version: 2, mutate: reserved(0x188) })).code).toBe('EVIDENCE_MALFORMED');
  });

  test('Turin: the bytes behind its eight of CHIP_ID are compared, the layout is its own', async () => {
    const chipId = new Uint8Array(sharedChipId('Turin'));
    chipId[63] = 1;
    const longer = await trying('Turin', { mutate: field({ chipId: bytes(chipId, 64, 'CHIP_ID') }) });
    expect(longer.code).toBe('CHIP_ID_MISMATCH');
    const { tcb: good } = PRODUCTS.Turin;
    expect(good.layout).toBe('turin');
    const fmc = await trying('Turin', { mutate: field({ reportedTcb: { ...good, fmc: 0 } as typeof good }) });
    expect(fmc.code).toBe('TCB_MISMATCH');
    expect((await trying('Turin', { mutate: reserved(0x180 + 4) })).code).toBe('EVIDENCE_MALFORMED');
  });

  test('unknown PLATFORM_INFO bits and weak guest policies are decoded, not refused', async () => {
    const mutate = field({ platformInfo: 0x165n, policy: 0xf0000n });
    const outcome = await trying('Milan', { mutate });
    expect(outcome.verified?.report.platformInfo.unknownBits).toBe(0x140n);
    expect(outcome.verified?.report.policy).toMatchObject({ debug: true, migrateMa: true, smt: true });
  });

  test('a masked CHIP_ID is told, its row skipped', async () => {
    const mutate = field({ chipId: bytes(new Uint8Array(64), 64, 'CHIP_ID') });
    const outcome = await trying('Milan', { mutate });
    expect([outcome.code, outcome.verified?.chipIdMasked]).toEqual(['valid', true]);
    expect(outcome.log.checks().find(({ id }) => id === 'snp.chip-id')?.outcome).toBe('skipped');
    expect(outcome.log.notChecked.join()).toContain('CHIP_ID');
  });

  test('refuses a report signed by another key, and one with a zero R or S', async () => {
    const { report } = await simulatedEvidence({
      product: 'Milan',
      version: 5,
      reportData,
      measurement,
      vcekKey: await generateVcekKey(),
    });
    const { chain } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    expect((await attempt({ report, certificates: chain, anchors, at: AT })).code).toBe('SIGNATURE_INVALID');
    for (const at of [0x2a0, 0x2e8]) {
      const zero = new Uint8Array(report).fill(0, at, at + 72);
      expect((await attempt({ report: zero, certificates: chain, anchors, at: AT })).code).toBe('SIGNATURE_INVALID');
    }
  });
});

describe('one change to the VCEK, signed again', () => {
  const p256 = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const rsa = publicKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  const csp = Uint8Array.of(0x16, 0x01, 0x41);
  test.each<[string, string, (good: Spec) => Spec]>([
    ['no hwID', 'CERTIFICATE_INVALID', withoutExtension(`${PREFIX}.4`)],
    ['hwID and cspID', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.5`, csp)],
    ['an hwID of 63 bytes', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.4`, new Uint8Array(63))],
    [
      'an hwID of 66 bytes that is no octet string',
      'CERTIFICATE_INVALID',
      withExtension(`${PREFIX}.4`, new Uint8Array(66)),
    ],
    ['another hwID', 'CHIP_ID_MISMATCH', withExtension(`${PREFIX}.4`, new Uint8Array(64).fill(7))],
    ['no blSPL', 'CERTIFICATE_INVALID', withoutExtension(`${PREFIX}.3.1`)],
    ['another ucodeSPL', 'TCB_MISMATCH', withExtension(`${PREFIX}.3.8`, integer(1))],
    ['a ucodeSPL of 256', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.3.8`, Uint8Array.of(2, 2, 1, 0))],
    [
      'a ucodeSPL that is not minimal',
      'CERTIFICATE_INVALID',
      withExtension(`${PREFIX}.3.8`, Uint8Array.of(2, 2, 0, 1)),
    ],
    ['a negative ucodeSPL', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.3.8`, integer(0xde))],
    ['bytes after ucodeSPL', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.3.8`, Uint8Array.of(2, 1, 1, 0))],
    ['a reserved SPL', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.3.4`, integer(1))],
    ['an fmcSPL', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.3.9`, integer(0))],
    ['structVersion 1', 'CERTIFICATE_INVALID', withExtension(`${PREFIX}.1`, integer(1))],
    [
      'an unknown productName',
      'CERTIFICATE_INVALID',
      withExtension(`${PREFIX}.2`, Uint8Array.of(0x16, 4, 0x52, 0x6f, 0x6d, 0x65)),
    ],
    [
      "Genoa's productName",
      'PRODUCT_MISMATCH',
      withExtension(`${PREFIX}.2`, Uint8Array.of(0x16, 5, 0x47, 0x65, 0x6e, 0x6f, 0x61)),
    ],
    ['an unknown critical extension', 'CERTIFICATE_INVALID', withExtension('1.2.3.4', Uint8Array.of(5, 0), true)],
    ['basic constraints', 'CERTIFICATE_INVALID', withExtension('2.5.29.19', Uint8Array.of(0x30, 3, 1, 1, 0xff))],
    ['a key usage', 'CERTIFICATE_INVALID', withExtension('2.5.29.15', Uint8Array.of(3, 2, 7, 0x80))],
    ['no extensions', 'ENDORSEMENT_MALFORMED', set({ extensions: [] })],
    ['the name of another kind', 'SIGNING_KEY_MISMATCH', set({ subject: amdName('SEV-VLEK') })],
    ['a name AMD does not use', 'CERTIFICATE_INVALID', set({ subject: amdName('SEV-VCEK2') })],
    ['an issuer of another product', 'CERTIFICATE_INVALID', set({ issuer: amdName('SEV-Genoa') })],
    ['the ARK as its issuer', 'CERTIFICATE_INVALID', set({ issuer: amdName('ARK-Milan') })],
    ['an RSA key', 'CERTIFICATE_INVALID', set({ publicKey: rsa })],
    ['a P-256 key', 'ENDORSEMENT_MALFORMED', set({ publicKey: p256 })],
    ['a time before its validity', 'CERTIFICATE_NOT_YET_VALID', set({ notBefore: new Date('2026-06-01T00:00:01Z') })],
    ['a time after its validity', 'CERTIFICATE_EXPIRED', set({ notAfter: new Date('2026-05-31T23:59:59Z') })],
  ])('refuses %s', async (_, code, mutateVcek) => {
    expect((await trying('Milan', { mutateVcek })).code).toBe(code);
  });

  test("refuses Genoa's productName under Milan's ASK where no CPUID contradicts it", async () => {
    const mutateVcek = withExtension(`${PREFIX}.2`, Uint8Array.of(0x16, 5, 0x47, 0x65, 0x6e, 0x6f, 0x61));
    const outcome = await trying('Milan', { version: 2, mutateVcek });
    expect([outcome.code, outcome.failed]).toEqual(['PRODUCT_MISMATCH', ['snp.product']]);
  });

  test('refuses a right common name in a wrong name', async () => {
    const wrong = (name: Uint8Array): Uint8Array => flipped(name, Buffer.from(name).indexOf('Micro'), 0x20);
    for (const mutateVcek of [
      (good: Spec): Spec => ({ ...good, subject: wrong(good.subject) }),
      (good: Spec): Spec => ({ ...good, issuer: wrong(good.issuer) }),
    ]) {
      const outcome = await trying('Milan', { mutateVcek });
      expect([outcome.code, outcome.failed]).toEqual(['CERTIFICATE_INVALID', ['snp.chain.profile']]);
      expect((await trying('Milan', { mutateAsk: mutateVcek })).code).toBe('CERTIFICATE_INVALID');
    }
  });

  test('accepts an hwID as octet string, an unknown extension that is not critical, and a serial number', async () => {
    const tagged = Uint8Array.from([0x04, 64, ...sharedChipId('Milan')]);
    expect((await trying('Milan', { mutateVcek: withExtension(`${PREFIX}.4`, tagged) })).code).toBe('valid');
    expect((await trying('Milan', { mutateVcek: withExtension('1.2.3.4', Uint8Array.of(5, 0)) })).code).toBe('valid');
    expect((await trying('Milan', { mutateVcek: set({ serial: 5n }) })).code).toBe('valid');
  });

  test('an hwID that begins like an octet string is read by its length', async () => {
    const chipId = bytes(Uint8Array.from([0x04, 62, ...randomBytes(62)]), 64, 'CHIP_ID');
    expect((await trying('Milan', { chipId })).code).toBe('valid');
  });
});

describe('one change to the ASK, signed again', () => {
  const usage = (bits: number, unused = 1) => withExtension('2.5.29.15', Uint8Array.of(3, 2, unused, bits), true);
  const constraints = (...value: readonly number[]) => withExtension('2.5.29.19', Uint8Array.from(value), true);
  const rsa2048 = publicKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  test.each<[string, string, (good: Spec) => Spec]>([
    ['no basic constraints', 'CERTIFICATE_INVALID', withoutExtension('2.5.29.19')],
    ['basic constraints without CA', 'CERTIFICATE_INVALID', constraints(0x30, 0)],
    ['a path length of 1', 'CERTIFICATE_INVALID', constraints(0x30, 6, 1, 1, 0xff, 2, 1, 1)],
    ['no path length', 'CERTIFICATE_INVALID', constraints(0x30, 3, 1, 1, 0xff)],
    ['no key usage', 'CERTIFICATE_INVALID', withoutExtension('2.5.29.15')],
    ['a key usage without keyCertSign', 'CERTIFICATE_INVALID', usage(0x80)],
    ['a key usage with cRLSign too', 'CERTIFICATE_INVALID', usage(0x06)],
    ['an unknown critical extension', 'CERTIFICATE_INVALID', withExtension('1.2.3.4', Uint8Array.of(5, 0), true)],
    ['a short key', 'CERTIFICATE_INVALID', set({ publicKey: rsa2048 })],
    ['serial number 0', 'CERTIFICATE_INVALID', set({ serial: 0n })],
    ['the name of the authority for VLEKs', 'CERTIFICATE_INVALID', set({ subject: amdName('SEV-VLEK-Milan') })],
    ['another issuer', 'CERTIFICATE_INVALID', set({ issuer: amdName('ARK-Genoa') })],
    ['a time before its validity', 'CERTIFICATE_NOT_YET_VALID', set({ notBefore: new Date('2026-06-01T00:00:01Z') })],
    ['a time after its validity', 'CERTIFICATE_EXPIRED', set({ notAfter: new Date('2026-05-31T23:59:59Z') })],
  ])('refuses %s', async (_, code, mutateAsk) => {
    expect((await trying('Milan', { mutateAsk })).code).toBe(code);
  });

  test('both ways of counting unused bits in the key usage are read', async () => {
    expect((await trying('Milan', { mutateAsk: usage(0x04, 1) })).code).toBe('valid');
    expect((await trying('Milan', { mutateAsk: usage(0x04, 2) })).code).toBe('valid');
    expect((await trying('Milan', { mutateAsk: usage(0x04, 3) })).code).toBe('CERTIFICATE_INVALID');
  });
});

describe('the set of certificates', () => {
  test('refuses one more, whatever it is; the ASK in place of the leaf; none at all', async () => {
    const { report, chain, ark } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    const turin = await simulatedEvidence({ product: 'Turin', version: 5, reportData, measurement });
    const [vcek, ask] = chain;
    const code = async (certificates: readonly Uint8Array[]) =>
      (await attempt({ report, certificates, anchors, at: AT })).code;
    expect(await code([vcek, ask, ark])).toBe('valid');
    expect(await code([vcek, ask, turin.chain[0]])).toBe('CERTIFICATE_INVALID');
    expect(await code([vcek, ask, turin.chain[1]])).toBe('CERTIFICATE_INVALID');
    expect(await code([vcek, ask, turin.ark])).toBe('CERTIFICATE_INVALID');
    expect(await code([vcek, ask, ark, turin.ark])).toBe('CERTIFICATE_INVALID');
    expect(await code([ask, ark])).toBe('ENDORSEMENT_MISSING');
    expect(await code([])).toBe('ENDORSEMENT_MISSING');
    expect(await code([vcek])).toBe('ENDORSEMENT_MISSING');
    // AMD's pinned intermediates stand under AMD's roots only.
    expect(await code([vcek, ark])).toBe('ENDORSEMENT_MISSING');
  });

  test("refuses another authority's ASK of the same name, and its root beside the good ASK", async () => {
    const { report, chain } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    const code = async (certificates: readonly Uint8Array[]) =>
      (await attempt({ report, certificates, anchors, at: AT })).code;
    expect(await code([chain[0], stranger.ask.certificate])).toBe('CHAIN_UNTRUSTED');
    expect(await code([...chain, stranger.ark.certificate])).toBe('CHAIN_UNTRUSTED');
    const trusted = [...anchors, ...(await readTrustAnchors(stranger.ark.certificate, 'ark'))];
    const mixed = { report, certificates: [...chain, stranger.ark.certificate], anchors: trusted, at: AT };
    expect((await attempt(mixed)).code).toBe('CHAIN_UNTRUSTED');
  });
});

describe('the anchor', () => {
  test('must be valid at the time, like every other certificate', async () => {
    const until = (notAfter: Date) => anchors.map((anchor) => ({ ...anchor, notAfter }));
    const from = (notBefore: Date) => anchors.map((anchor) => ({ ...anchor, notBefore }));
    const code = async (changed: readonly TrustAnchor[]) => (await trying('Milan', {}, { anchors: changed })).code;
    expect(await code(until(AT))).toBe('valid');
    expect(await code(until(new Date(AT.getTime() - 1)))).toBe('CERTIFICATE_EXPIRED');
    expect(await code(from(AT))).toBe('valid');
    expect(await code(from(new Date(AT.getTime() + 1)))).toBe('CERTIFICATE_NOT_YET_VALID');
  });

  test('must fit a given root by key and by fingerprint', async () => {
    const { report, chain, ark } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    const [milan, turin] = anchors as [TrustAnchor, TrustAnchor];
    const { publicKey, fingerprint } = turin;
    for (const wrong of [{ publicKey }, { fingerprint }]) {
      const certificates = [...chain, ark];
      const outcome = await attempt({ report, certificates, anchors: [{ ...milan, ...wrong }], at: AT });
      expect([outcome.code, outcome.failed]).toEqual(['CHAIN_UNTRUSTED', ['snp.chain.root']]);
    }
  });

  const constraints = (...value: readonly number[]) => withExtension('2.5.29.19', Uint8Array.from(value), true);
  const usage = (bits: number) => withExtension('2.5.29.15', Uint8Array.of(3, 2, 1, bits), true);
  test.each<[string, string, (good: Spec) => Spec]>([
    ['as it is', 'valid', (good) => good],
    ['with a path length', 'CERTIFICATE_INVALID', constraints(0x30, 6, 1, 1, 0xff, 2, 1, 0)],
    ['without basic constraints', 'CERTIFICATE_INVALID', withoutExtension('2.5.29.19')],
    ['without cRLSign', 'CERTIFICATE_INVALID', usage(0x04)],
    ['without keyCertSign', 'CERTIFICATE_INVALID', usage(0x02)],
    ['with an unknown critical extension', 'CERTIFICATE_INVALID', withExtension('1.2.3.4', Uint8Array.of(5, 0), true)],
    ['issued by another', 'CERTIFICATE_INVALID', set({ issuer: amdName('ARK-Genoa') })],
    ['with serial number 0', 'CERTIFICATE_INVALID', set({ serial: 0n })],
  ])('that a policy names is held to the profile when its certificate is given: %s', async (_, code, mutateArk) => {
    const { report, chain, ark } = await simulatedEvidence({
      product: 'Milan',
      version: 5,
      reportData,
      measurement,
      mutateArk,
    });
    const [milan] = anchors as [TrustAnchor];
    const named = { ...milan, fingerprint: sha256(ark) };
    const certificates = [...chain, ark];
    expect((await attempt({ report, certificates, anchors: [named], at: AT })).code).toBe(code);
  });
});

describe('VLEK', () => {
  const CSP = 'CN=cc-us-east-2.amazonaws.com';
  const cspId = Uint8Array.from([0x16, CSP.length, ...Buffer.from(CSP)]);
  const zero = bytes(new Uint8Array(64), 64, 'CHIP_ID');
  const asVlek = (good: Spec): Spec =>
    withExtension(
      `${PREFIX}.5`,
      cspId,
    )(withoutExtension(`${PREFIX}.4`)({ ...good, subject: amdName('SEV-VLEK'), issuer: amdName('SEV-VLEK-Milan') }));
  const asAsvk = set({ subject: amdName('SEV-VLEK-Milan'), serial: 0x10101n });
  const asVlekReport = field({ keyInfo: 0b0100, chipId: zero });
  const vlek = { mutate: asVlekReport, mutateVcek: asVlek, mutateAsk: asAsvk };

  test('accepts ARK → ASVK → VLEK and says which provider', async () => {
    const outcome = await trying('Milan', vlek);
    expect(outcome.code).toBe('valid');
    expect(outcome.verified).toMatchObject({
      signer: 'VLEK',
      chipIdMasked: false,
      certificate: { cspId: CSP, hwId: null },
    });
    expect(outcome.log.checks().find(({ id }) => id === 'snp.chip-id')?.outcome).toBe('skipped');
  });

  test.each<[string, Partial<SimulatedEvidenceRequest>]>([
    [
      'with hwID',
      {
        ...vlek,
        mutateVcek: (good) =>
          withExtension(`${PREFIX}.4`, new Uint8Array(64))(withoutExtension(`${PREFIX}.5`)(asVlek(good))),
      },
    ],
    [
      'issued by the ASK',
      { mutate: asVlekReport, mutateVcek: (good) => ({ ...asVlek(good), issuer: amdName('SEV-Milan') }) },
    ],
    ['in a report that says VCEK', { ...vlek, mutate: field({ chipId: zero }) }],
  ])('refuses a VLEK %s', async (_, request) => {
    expect((await trying('Milan', request)).code).toBe('SIGNING_KEY_MISMATCH');
  });

  test('refuses a VLEK named as a VCEK', async () => {
    const mutateVcek = (good: Spec): Spec => ({ ...asVlek(good), subject: amdName('SEV-VCEK') });
    expect((await trying('Milan', { ...vlek, mutateVcek })).code).toBe('SIGNING_KEY_MISMATCH');
  });
});

describe('CRLs of a simulated root', () => {
  let milan: SimulatedAuthority;
  const dates = { thisUpdate: new Date('2026-01-01T00:00:00Z'), nextUpdate: new Date('2027-01-01T00:00:00Z') };
  beforeAll(async () => {
    milan = await sharedAuthority('Milan');
  });

  test('none revoked: accepted, current at both ends', async () => {
    const crlsGiven = [makeCrl(milan, dates)];
    expect((await trying('Milan', {}, { crlsGiven })).verified?.crl).toEqual(dates);
    expect((await trying('Milan', {}, { crlsGiven, at: dates.nextUpdate })).verified?.crl).toEqual(dates);
    expect((await trying('Milan', {}, { crlsGiven, at: dates.thisUpdate })).verified?.crl).toEqual(dates);
    const late = new Date(dates.nextUpdate.getTime() + 1);
    expect((await trying('Milan', {}, { crlsGiven, at: late })).code).toBe('CRL_STALE');
  });

  test('refuses a revoked ASK, by a list given or inside, current or not', async () => {
    const revoked = [{ serial: 0x10001n, date: new Date('2026-02-01T00:00:00Z') }];
    const crl = makeCrl(milan, { ...dates, revoked });
    for (const at of [AT, new Date('2025-12-31T00:00:00Z'), new Date('2028-01-01T00:00:00Z')]) {
      expect((await trying('Milan', {}, { crlsGiven: [crl], at })).code).toBe('CERTIFICATE_REVOKED');
      expect((await trying('Milan', {}, { crlsInside: [crl], at })).code).toBe('CERTIFICATE_REVOKED');
    }
    const other = makeCrl(milan, { ...dates, revoked: [{ serial: 0x10002n, date: AT }] });
    expect((await trying('Milan', {}, { crlsGiven: [other] })).code).toBe('valid');
  });

  test("refuses a list of a root that nobody knows, and ignores another trusted root's", async () => {
    expect((await trying('Milan', {}, { crlsGiven: [makeCrl(stranger, dates)] })).code).toBe('CRL_INVALID');
    const turin = makeCrl(await sharedAuthority('Turin'), dates);
    expect((await trying('Milan', {}, { crlsGiven: [turin] })).verified?.crl).toBeNull();
    expect((await trying('Milan', {}, { crlsInside: [turin] })).code).toBe('CRL_INVALID');
  });

  test('refuses a list that its own root signed under another name', async () => {
    const turin = { ...milan, product: 'Turin' as const };
    expect((await trying('Milan', {}, { crlsGiven: [makeCrl(turin, dates)] })).code).toBe('CRL_INVALID');
    expect((await trying('Milan', {}, { crlsInside: [makeCrl(turin, dates)] })).code).toBe('CRL_INVALID');
  });
});

describe('hostile bytes', () => {
  test.each(['Milan', 'Turin'] as const)(
    'refuses every single byte changed in report, VCEK, ASK and ARK (%s)',
    async (product) => {
      const { report, chain, ark } = await simulatedEvidence({ product, version: 5, reportData, measurement });
      const parts = [report, ...chain, ark] as const;
      for (const [which, part] of parts.entries()) {
        for (let at = 0; at < part.length; at++) {
          for (const mask of [0x01, 0x80]) {
            const [bad, ...certificates] = parts.map((good, i) => (i === which ? flipped(part, at, mask) : good));
            const outcome = await attempt({ report: bad as Uint8Array, certificates, anchors, at: AT });
            if (outcome.code === 'valid') throw new Error(`part ${which}, byte ${at}, mask ${mask} was accepted`);
          }
        }
      }
    },
  );

  test('refuses a report and each certificate cut off at every length, or with a byte more', async () => {
    const { report, chain } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    const [vcek, ask] = chain;
    const more = (good: Uint8Array): Uint8Array => Uint8Array.from([...good, 0]);
    for (let n = 0; n < report.length; n++) {
      expect((await attempt({ report: report.subarray(0, n), certificates: chain, anchors, at: AT })).code).toBe(
        'EVIDENCE_MALFORMED',
      );
    }
    expect((await attempt({ report: more(report), certificates: chain, anchors, at: AT })).code).toBe(
      'EVIDENCE_MALFORMED',
    );
    for (const cut of [...Array.from(vcek, (_, n) => [vcek.subarray(0, n), ask]), [more(vcek), ask]]) {
      expect((await attempt({ report, certificates: cut, anchors, at: AT })).code).toBe('ENDORSEMENT_MALFORMED');
    }
    for (const cut of [...Array.from(ask, (_, n) => [vcek, ask.subarray(0, n)]), [vcek, more(ask)]]) {
      expect((await attempt({ report, certificates: cut, anchors, at: AT })).code).toBe('ENDORSEMENT_MALFORMED');
    }
  });

  test('a key whose point is not on the curve verifies nothing', async () => {
    const authority = await sharedAuthority('Milan');
    const { report, chain } = await simulatedEvidence({ product: 'Milan', version: 5, reportData, measurement });
    const spki = publicKeyOf(await generateVcekKey());
    spki[spki.length - 1] = (spki[spki.length - 1] as number) ^ 1;
    const facts = {
      product: 'Milan' as const,
      tcb: PRODUCTS.Milan.tcb,
      chipId: sharedChipId('Milan') as Bytes<64>,
      publicKey: spki,
      notBefore: new Date('2025-12-05T06:04:27Z'),
    };
    const leaf = issueCertificate(vcekSpec(facts), authority.ask.privateKey);
    expect((await attempt({ report, certificates: [leaf, chain[1]], anchors, at: AT })).code).toBe('SIGNATURE_INVALID');
  });

  test("a time that is none is the caller's mistake", async () => {
    await expect(trying('Milan', {}, { at: new Date(Number.NaN) })).rejects.toThrow(TypeError);
  });
});
