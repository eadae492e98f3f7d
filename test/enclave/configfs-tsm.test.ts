import { bytes, encodeSnpCertificateTable, parseSnpCertificateTable, SNP_CERTIFICATE_GUID } from '@veritee/protocol';
import { describe, expect, test } from 'vitest';
import { ConfigfsTsmAttester, type TsmFilesystem } from '../../enclave/attester/configfs-tsm.ts';

const leaf = Uint8Array.of(0x30, 1, 0);
const intermediate = Uint8Array.of(0x30, 2, 0);
const table = encodeSnpCertificateTable([
  { guid: SNP_CERTIFICATE_GUID.vcek, data: leaf },
  { guid: SNP_CERTIFICATE_GUID.ask, data: intermediate },
]);

/** The kernel's folder, with hooks for what can go wrong. */
class Tsm implements TsmFilesystem {
  readonly folders = new Set<string>();
  generation = 0;
  inblob: Uint8Array = new Uint8Array(0);
  provider = 'sev_guest\n';
  auxblob: Uint8Array = table;
  onRead: (attribute: string) => void = () => undefined;
  async mkdir(name: string) {
    this.folders.add(name);
  }
  async rmdir(name: string) {
    this.folders.delete(name);
  }
  async write(_path: string, data: Uint8Array) {
    this.generation += 1;
    this.inblob = data;
  }
  async read(path: string) {
    const attribute = path.split('/')[1] as string;
    this.onRead(attribute);
    if (attribute === 'provider') return Buffer.from(this.provider);
    if (attribute === 'generation') return Buffer.from(`${this.generation}\n`);
    return attribute === 'auxblob' ? this.auxblob : this.inblob;
  }
}

const attester = (tsm: Tsm) => new ConfigfsTsmAttester(tsm, { platform: 'test', warning: null, minIntervalMs: 1 });
const data = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');
const failing = (code: string) => () => {
  throw Object.assign(new Error(code), { code });
};

describe('configfs-tsm', () => {
  test('returns report and chain without the root, and leaves no folder behind', async () => {
    const tsm = new Tsm();
    const evidence = await attester(tsm).attest(data);
    expect(evidence).toEqual({ report: new Uint8Array(data), chain: [leaf, intermediate], crls: [] });
    expect(tsm.folders.size).toBe(0);
  });

  test('reads PEM entries, as clouds store them', async () => {
    const tsm = new Tsm();
    const pem = (der: Uint8Array) =>
      new Uint8Array(
        Buffer.from(`-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`),
      );
    tsm.auxblob = encodeSnpCertificateTable([
      { guid: SNP_CERTIFICATE_GUID.vlek, data: pem(leaf) },
      { guid: SNP_CERTIFICATE_GUID.ask, data: pem(intermediate) },
    ]);
    expect((await attester(tsm).attest(data)).chain).toEqual([leaf, intermediate]);
  });

  test('asks again in a new folder when the generation moved, and gives up as busy', async () => {
    const once = new Tsm();
    let raced = false;
    once.onRead = (attribute) => {
      if (attribute === 'outblob' && !raced) {
        raced = true;
        once.generation += 1;
      }
    };
    expect((await attester(once).attest(data)).report).toEqual(new Uint8Array(data));
    const always = new Tsm();
    always.onRead = (attribute) => {
      if (attribute === 'outblob') always.generation += 1;
    };
    await expect(attester(always).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_BUSY' });
    expect(always.folders.size).toBe(0);
  });

  test.each([
    ['ENOENT', 'PLATFORM_UNAVAILABLE'],
    ['ENXIO', 'PLATFORM_UNAVAILABLE'],
    ['EBUSY', 'PLATFORM_BUSY'],
    ['ETIMEDOUT', 'PLATFORM_TIMEOUT'],
    ['EIO', 'PLATFORM_FAILED'],
  ])('%s is %s', async (errno, code) => {
    const tsm = new Tsm();
    tsm.onRead = (attribute) => {
      if (attribute === 'outblob') failing(errno)();
    };
    await expect(attester(tsm).attest(data)).rejects.toMatchObject({ code });
    expect(tsm.folders.size).toBe(0);
  });

  test('refuses another provider and a host that gives no chain', async () => {
    const tdx = new Tsm();
    tdx.provider = 'tdx_guest\n';
    await expect(attester(tdx).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_UNAVAILABLE', field: 'provider' });
    const bare = new Tsm();
    bare.auxblob = new Uint8Array(0);
    await expect(attester(bare).attest(data)).rejects.toMatchObject({ code: 'PLATFORM_FAILED', field: 'auxblob' });
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
