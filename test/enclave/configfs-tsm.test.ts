import { X509Certificate } from 'node:crypto';
import {
  bytes,
  encodeSnpCertificateTable,
  equalBytes,
  modelSetHostData,
  parseSnpCertificateTable,
  SNP_CERTIFICATE_GUID,
  sha256,
  sha512,
  utf8,
} from '@veritee/protocol';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  askSpec,
  issueCertificate,
  pem,
  publicKeyOf,
  SimulatedAmdSp,
  SimulatedTsm,
  type SimulatedTsmOptions,
  sharedAuthority,
} from '../../attestation-fixtures/index.ts';
import { ConfigfsTsmAttester, type ConfigfsTsmOptions } from '../../enclave/attester/configfs-tsm.ts';
import { ERRNO } from '../../enclave/attester/platform-error.ts';
import { GivenEndorsements } from '../../enclave/attester/snp-certificates.ts';

const leaf = Uint8Array.of(0x30, 1, 0);
const intermediate = Uint8Array.of(0x30, 2, 0);
const table = encodeSnpCertificateTable([
  { guid: SNP_CERTIFICATE_GUID.vcek, data: leaf },
  { guid: SNP_CERTIFICATE_GUID.ask, data: intermediate },
]);

const measurement = bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT');
const data = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');

let chip: SimulatedAmdSp;
let otherChip: SimulatedAmdSp;
beforeAll(async () => {
  const authority = await sharedAuthority('Milan');
  chip = await SimulatedAmdSp.create({ authority });
  otherChip = await SimulatedAmdSp.create({ authority });
}, 120_000);

const tsmOf = (options: Partial<SimulatedTsmOptions> = {}) =>
  new SimulatedTsm(chip, { guest: { measurement }, ...options });
const attester = (tsm: SimulatedTsm, options: Partial<ConfigfsTsmOptions> = {}) =>
  new ConfigfsTsmAttester(tsm, {
    platform: 'test',
    warning: null,
    minIntervalMs: 1,
    privlevel: null,
    endorsements: new GivenEndorsements(),
    ...options,
  });
const chainOf = (one: SimulatedAmdSp) =>
  [one.certificates.vcek, one.certificates.ask].map((der) => new Uint8Array(der));

/** Another writer, who comes each time the blob is read. */
function raced(tsm: SimulatedTsm, times: number): SimulatedTsm {
  const read = tsm.read.bind(tsm);
  let left = times;
  tsm.read = async (path) => {
    const content = await read(path);
    if (path.endsWith('/outblob') && left-- > 0) await tsm.write(path.replace('outblob', 'privlevel'), utf8('0'));
    return content;
  };
  return tsm;
}

describe('configfs-tsm', () => {
  test.each(['der', 'pem'] as const)(
    'returns report and %s chain without the root, and leaves no folder',
    async (form) => {
      const tsm = tsmOf({ certificates: form });
      const evidence = await attester(tsm).attest(data);
      expect(evidence.chain).toEqual(chainOf(chip));
      expect(evidence.report.length).toBe(1184);
      expect(evidence.report.subarray(0x50, 0x90)).toEqual(new Uint8Array(data));
      expect(await tsm.list()).toEqual([]);
    },
  );

  test('asks again in a new folder when the generation moved, and gives up as busy', async () => {
    expect((await attester(raced(tsmOf(), 1)).attest(data)).report.length).toBe(1184);
    const always = raced(tsmOf(), 100);
    await expect(attester(always).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_BUSY', field: 'generation' });
    expect(await always.list()).toEqual([]);
  });

  test.each(['outblob', 'inblob', 'generation'])('%s that fails is named, whatever the errno', async (attribute) => {
    for (const [errno, [code]] of Object.entries(ERRNO)) {
      const tsm = tsmOf();
      tsm.failNext({
        operation: attribute === 'inblob' ? 'write' : 'read',
        attribute,
        code: errno as Parameters<typeof tsm.failNext>[0]['code'],
        times: 1,
      });
      const one = attester(tsm);
      await expect(one.attest(data), errno).rejects.toMatchObject({ code, field: attribute });
      expect(await tsm.list()).toEqual([]);
      expect((await one.attest(data)).report.length).toBe(1184);
    }
  });

  test('an errno that the table does not know is a failure under its own name', async () => {
    const tsm = tsmOf();
    tsm.failNext({ operation: 'mkdir', code: 'EXDEV', times: 1 });
    await expect(attester(tsm).attest(data)).rejects.toMatchObject({
      code: 'PLATFORM_FAILED',
      message: expect.stringContaining('EXDEV'),
      field: 'mkdir',
    });
  });

  test('a folder that cannot be removed costs no report, and goes before the next', async () => {
    const tsm = tsmOf();
    const one = attester(tsm);
    tsm.failNext({ operation: 'rmdir', code: 'EBUSY', times: 1 });
    expect((await one.attest(data)).report.length).toBe(1184);
    expect((await tsm.list()).length).toBe(1);
    await one.attest(data);
    expect(await tsm.list()).toEqual([]);
  });

  test('folders that can never be removed end in a refusal, not in more of them', async () => {
    const tsm = tsmOf();
    const one = attester(tsm);
    tsm.failNext({ operation: 'rmdir', code: 'EBUSY', times: 100_000 });
    for (let i = 0; i < 17; i++) await one.attest(data);
    for (let i = 0; i < 3; i++)
      await expect(one.attest(data)).rejects.toMatchObject({ code: 'PLATFORM_FAILED', field: 'rmdir' });
    expect((await tsm.list()).length).toBe(17);
  });

  test('cleans up what a crashed run of this program left, and nothing else', async () => {
    const tsm = tsmOf();
    for (const name of ['veritee-0123456789abcdef', 'veritee-x', 'other']) await tsm.mkdir(name);
    expect(await attester(tsm).cleanUp()).toBe(1);
    expect(await tsm.list()).toEqual(['veritee-x', 'other']);
  });

  test('asks at the privilege level it is told, and only there', async () => {
    const tsm = tsmOf({ privlevelFloor: 2 });
    const { report } = await attester(tsm, { privlevel: 2 }).attest(data);
    expect(report[0x30]).toBe(2);
    await expect(attester(tsm, { privlevel: 1 }).attest(data)).rejects.toMatchObject({ field: 'privlevel' });
    await expect(attester(tsm).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_FAILED', field: 'auxblob' });
  });

  test('refuses another provider, a short report, one over other data, and a generation that is none', async () => {
    const answering = (attribute: string, answer: (good: Uint8Array) => Uint8Array) => {
      const tsm = tsmOf();
      const read = tsm.read.bind(tsm);
      tsm.read = async (path) => (path.endsWith(`/${attribute}`) ? answer(await read(path)) : read(path));
      return attester(tsm).attest(data);
    };
    const cases = [
      ['provider', () => utf8('tdx_guest\n'), 'PLATFORM_UNAVAILABLE'],
      ['outblob', (good: Uint8Array) => good.subarray(0, 1183), 'PLATFORM_FAILED'],
      ['outblob', () => chip.report({ measurement, reportData: sha512(utf8('other')) }), 'PLATFORM_FAILED'],
      ['generation', () => utf8('many'), 'PLATFORM_FAILED'],
    ] as const;
    for (const [field, answer, code] of cases) {
      await expect(answering(field, answer)).rejects.toMatchObject({ code, field });
    }
  });

  test('reads an SVSM manifest when asked, under the hash of nonce and manifest', async () => {
    const svsmManifest = utf8('services');
    const { report, manifest } = await attester(tsmOf({ svsmManifest })).serviceManifest();
    expect(manifest).toEqual(svsmManifest);
    expect(report.length).toBe(1184);
    await expect(attester(tsmOf()).serviceManifest()).rejects.toMatchObject({
      code: 'PLATFORM_UNAVAILABLE',
      field: 'service_provider',
    });
  });

  test('tells its own measurement, from a report that can never pass for the log’s', async () => {
    const hostData = sha256(utf8('host data'));
    const asked: Uint8Array[] = [];
    const tsm = tsmOf({ guest: { measurement, hostData } });
    const write = tsm.write.bind(tsm);
    tsm.write = (path, content) => {
      asked.push(content);
      return write(path, content);
    };
    expect(await attester(tsm).measurement()).toMatchObject({ platform: 'sev-snp', measurement, hostData, vmpl: 0 });
    expect(asked).toEqual([sha512(utf8('veritee/self-check/v1\n'))]);
  });

  test('HOST_DATA has to be that of the models that are loaded', async () => {
    const models = [sha256(utf8('a')), sha256(utf8('b'))];
    const tsm = tsmOf({ guest: { measurement, hostData: modelSetHostData(models) } });
    await attester(tsm).measureModels([...models].reverse());
    const differ = { code: 'PLATFORM_MODELS_DIFFER', field: 'HOST_DATA' };
    await expect(attester(tsm).measureModels(models.slice(1))).rejects.toMatchObject(differ);
    await expect(attester(tsmOf()).measureModels(models)).rejects.toMatchObject(differ);
  });
});

describe('certificates from elsewhere', () => {
  const missing = { code: 'ENDORSEMENT_MISSING', field: 'auxblob' };
  const bare = () => tsmOf({ certificates: 'none' });
  const pemOf = (...ders: Uint8Array[]) => utf8(ders.map((der) => pem(der)).join(''));

  test.each<readonly [string, () => readonly Uint8Array[]]>([
    ['one PEM file, root first', () => [pemOf(chip.certificates.ark, chip.certificates.ask, chip.certificates.vcek)]],
    ['two DER files', () => [chip.certificates.ask, chip.certificates.vcek]],
    [
      'a certificate table',
      () => [
        encodeSnpCertificateTable([
          { guid: SNP_CERTIFICATE_GUID.vcek, data: chip.certificates.vcek },
          { guid: SNP_CERTIFICATE_GUID.ask, data: chip.certificates.ask },
        ]),
      ],
    ],
    ['those of another chip first', () => [pemOf(...chainOf(otherChip)), pemOf(...chainOf(chip))]],
    ['those of another chip last', () => [pemOf(...chainOf(chip)), pemOf(...chainOf(otherChip))]],
  ])('%s', async (_, files) => {
    const endorsements = new GivenEndorsements();
    const one = attester(bare(), { endorsements });
    await expect(one.attest(data)).rejects.toMatchObject(missing);
    expect(endorsements.wanted?.length).toBe(1184);
    for (const file of files()) endorsements.offer(file);
    expect((await one.attest(data)).chain).toEqual(chainOf(chip));
    expect(endorsements.wanted).toBeNull();
  });

  test('those of another chip are not frozen into evidence, whoever gave them', async () => {
    const endorsements = new GivenEndorsements();
    endorsements.offer(pemOf(...chainOf(otherChip)));
    await expect(attester(bare(), { endorsements }).attest(data)).rejects.toMatchObject(missing);
    // As after a firmware update: the host's table lags behind, the endorsement service does not.
    const stale = new SimulatedTsm(otherChip, { guest: { measurement } });
    const good = tsmOf({ certificates: 'none' });
    const read = good.read.bind(good);
    await stale.mkdir('x');
    await stale.write('x/inblob', data);
    const lagging = await stale.read('x/auxblob');
    good.read = async (path) => (path.endsWith('/auxblob') ? lagging : read(path));
    const one = attester(good, { endorsements });
    await expect(one.attest(data)).rejects.toMatchObject(missing);
    endorsements.offer(pemOf(...chainOf(chip)));
    expect((await one.attest(data)).chain).toEqual(chainOf(chip));
  });

  test('an intermediate of the right name that did not sign the leaf is not frozen into evidence', async () => {
    const { ark } = await sharedAuthority('Milan');
    const arkKey = publicKeyOf(ark.privateKey);
    const impostor = issueCertificate(askSpec('Milan', arkKey, arkKey), ark.privateKey);
    const endorsements = new GivenEndorsements();
    const one = attester(bare(), { endorsements });
    endorsements.offer(pemOf(chip.certificates.vcek, impostor));
    await expect(one.attest(data)).rejects.toMatchObject(missing);
    endorsements.offer(chip.certificates.ask);
    expect((await one.attest(data)).chain).toEqual(chainOf(chip));
  });

  test.each(['vcek', 'ask'] as const)('the host has only the %s, the rest comes over the link', async (name) => {
    const half = tsmOf();
    const read = half.read.bind(half);
    const data1 = encodeSnpCertificateTable([{ guid: SNP_CERTIFICATE_GUID[name], data: chip.certificates[name] }]);
    half.read = async (path) => (path.endsWith('/auxblob') ? data1 : read(path));
    const endorsements = new GivenEndorsements();
    const one = attester(half, { endorsements });
    await expect(one.attest(data)).rejects.toMatchObject(missing);
    endorsements.offer(pemOf(otherChip.certificates.vcek));
    expect(endorsements.wanted?.length).toBe(1184);
    endorsements.offer(chip.certificates[name === 'vcek' ? 'ask' : 'vcek']);
    expect(endorsements.wanted).toBeNull(); // known at once, not at the next tick
    expect((await one.attest(data)).chain).toEqual(chainOf(chip));
  });

  test('one given again takes no place from others', async () => {
    const endorsements = new GivenEndorsements();
    endorsements.offer(chip.certificates.vcek);
    for (let i = 0; i < 20; i++) endorsements.offer(chip.certificates.ask);
    expect((await attester(bare(), { endorsements }).attest(data)).chain).toEqual(chainOf(chip));
  });

  test('hostile ones are refused with a code', () => {
    const endorsements = new GivenEndorsements();
    const good = pemOf(chip.certificates.vcek);
    const hostile: readonly Uint8Array[] = [
      new Uint8Array(0),
      utf8('--'),
      utf8('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      chip.certificates.vcek.subarray(0, 300),
      Uint8Array.of(0x30, 0x82, 0xff, 0xff),
      new Uint8Array(24),
      utf8('x'.repeat(70_000)),
      utf8(new TextDecoder().decode(good).repeat(17)),
    ];
    for (const file of hostile)
      expect(() => endorsements.offer(file)).toThrow(expect.objectContaining({ code: 'ENDORSEMENT_MALFORMED' }));
    for (let i = 0; i < 100; i++) endorsements.offer(good); // kept once over, not a hundred times
  });

  test('a report that the leaf did not sign is told from one that it did', async () => {
    const { isSignedBy } = await import('../../enclave/attester/snp-certificates.ts');
    const report = chip.report({ measurement, reportData: data });
    const [vcek, ask] = chainOf(chip).map((der) => new X509Certificate(der)) as [X509Certificate, X509Certificate];
    expect(isSignedBy(report, vcek)).toBe(true);
    expect(isSignedBy(report, new X509Certificate(otherChip.certificates.vcek))).toBe(false);
    expect(isSignedBy(report, ask)).toBe(false);
    const changed = new Uint8Array(report);
    changed[0x90] = (changed[0x90] as number) ^ 1;
    expect(isSignedBy(changed, vcek)).toBe(false);
    expect(equalBytes(report, changed)).toBe(false);
  });
});

describe('certificate table', () => {
  test('round trip; truncated at every length it is refused', () => {
    expect(parseSnpCertificateTable(table)).toEqual([
      { guid: SNP_CERTIFICATE_GUID.vcek, data: leaf },
      { guid: SNP_CERTIFICATE_GUID.ask, data: intermediate },
    ]);
    expect(parseSnpCertificateTable(new Uint8Array(0))).toEqual([]);
    for (let length = 1; length < table.length; length++) {
      expect(() => parseSnpCertificateTable(table.subarray(0, length)), `${length} bytes`).toThrow(
        expect.objectContaining({ code: 'ENDORSEMENT_MALFORMED' }),
      );
    }
  });

  test.each([
    ['an offset that wraps with its length', 16, 0xffffffff],
    ['an offset into the header', 16, 8],
    ['a length past the end', 20, 4000],
  ])('refuses %s', (_what, at, value) => {
    const hostile = new Uint8Array(table);
    new DataView(hostile.buffer).setUint32(at, value, true);
    expect(() => parseSnpCertificateTable(hostile)).toThrow(expect.objectContaining({ code: 'ENDORSEMENT_MALFORMED' }));
  });

  test('refuses an entry given twice', () => {
    const twice = encodeSnpCertificateTable([
      { guid: SNP_CERTIFICATE_GUID.vcek, data: leaf },
      { guid: SNP_CERTIFICATE_GUID.vcek, data: leaf },
    ]);
    expect(() => parseSnpCertificateTable(twice)).toThrow(expect.objectContaining({ code: 'ENDORSEMENT_MALFORMED' }));
  });
});
