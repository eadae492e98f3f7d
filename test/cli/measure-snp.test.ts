/**
 * The launch digest against what others say it is. Sources, none of which shares code with ours:
 *
 * - MEASUREMENT of real reports, with the inputs of those launches as others published them: one whose signature by an AMD
 *   chip the verifier's own tests verify (QEMU; inputs from Dstack-TEE/dstack), and two of EC2 whose signing certificates
 *   are not at hand (firmware digest from virtee/sev-snp-measure-go).
 * - google/gce-tcb-verifier, sev/sev_test.go: two digests of pages and the VMSA that GCE starts with.
 * - virtee/sev (Rust), tests/measurement.rs and tests/id-block.rs; virtee/sev-snp-measure (Python), tests/test_guest.py
 *   and tests/test_id_block.py. Their fixtures are binary; what they measure beyond the firmware's own pages is edk2's
 *   published memory map, from which the digests they expect are reached again.
 * - launch_digest.py beside this file, written from AMD's and edk2's documents, on whole images.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Bytes, EvidenceError, hex } from '@veritee/protocol';
import { parseSnpReport } from '@veritee/verifier';
import { afterAll, describe, expect, test } from 'vitest';
import { amdKey, keyDigest, readIdBlock } from '../../cli/measure/snp/id-block.ts';
import { hashKernel, type KernelHashes } from '../../cli/measure/snp/kernel-hashes.ts';
import { digestOvmf, type Launch, measureLaunch } from '../../cli/measure/snp/launch.ts';
import { LaunchDigest } from '../../cli/measure/snp/launch-digest.ts';
import { parseOvmf } from '../../cli/measure/snp/ovmf.ts';
import { vcpuSignature } from '../../cli/measure/snp/vcpu.ts';
import { vmsaPage } from '../../cli/measure/snp/vmsa.ts';
import { temporaryFolder } from '../support/cli.ts';
import { ROOT, sharedFolder } from '../support/shared.ts';
import { withByte } from './eif.ts';
import { AMDSEV_2022, AMDSEV_2024, buildOvmf, entry, OVMF_X64, RESET_BLOCK, type SectionBytes } from './ovmf.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);

const digest = (text: string): Bytes<48> => new Uint8Array(Buffer.from(text, 'hex')) as Bytes<48>;
const sha256 = (text: string): Bytes<32> => new Uint8Array(Buffer.from(text, 'hex')) as Bytes<32>;
const NOTHING = new Uint8Array();
const EPYC_V4 = vcpuSignature('EPYC-v4') as number;

const measured = (sections: readonly SectionBytes[], hashTable: number, launch: Partial<Launch>): string =>
  hex(
    measureLaunch({
      ovmf: parseOvmf(buildOvmf({ sections, hashTable })),
      ovmfDigest: digest('00'.repeat(48)),
      kernel: null,
      vcpus: 1,
      vmm: 'qemu',
      sevFeatures: 1n,
      signature: EPYC_V4,
      ...launch,
    }),
  );

describe('real reports', () => {
  const evidence = sharedFolder('evidence', 'snp');
  const reported = (name: string): string =>
    hex(parseSnpReport(new Uint8Array(readFileSync(path.join(evidence as string, name, 'report.bin')))).measurement);

  /** Dstack-TEE/dstack, dstack-mr sev tests: the launch of the guest whose report is dstack-attest/tests. */
  const DSTACK: Partial<Launch> = {
    ovmfDigest: digest(
      'ffb57e393469a497c0e3b07bd1c97d8611e555f464d14491837665893ac642b263a71f9507ff100a847897fe0c3f8c6f',
    ),
    kernel: {
      kernel: sha256('dd9ea274ce9a07090b22e8284b0c841b65c021c2d15ca57d0f16731089dd226c'),
      initrd: sha256('5f844c4a2ca5a3d0711b3db38293b21ba929bb8e0b3c5bc1a779a57f69221c19'),
      cmdline: hashKernel(
        NOTHING,
        NOTHING,
        'console=ttyS0 init=/init panic=1 net.ifnames=0 biosdevname=0 mce=off oops=panic pci=noearly pci=nommconf ' +
          'random.trust_cpu=y random.trust_bootloader=n tsc=reliable no-kvmclock ' +
          'dstack.rootfs_hash=ca5adaef0ac3a36108035925763b48a5818f634e700fbaab561d419fd30d7121 dstack.rootfs_size=490713088',
      ).cmdline,
    },
    vcpus: 2,
  };
  /** There the section of the kernel hashes comes last. */
  const DSTACK_SECTIONS = [...AMDSEV_2024.filter(([, , type]) => type !== 0x10), [0x810000, 0x1000, 0x10] as const];

  test.skipIf(!evidence)('QEMU with kernel, initrd and command line on Milan, 2 vCPUs', () => {
    expect(measured(DSTACK_SECTIONS, 0x810c00, DSTACK)).toBe(reported('milan-v3-dstack'));
  });

  test('one word more on the command line is another launch', () => {
    const kernel = DSTACK.kernel as KernelHashes;
    const other = { ...kernel, cmdline: hashKernel(NOTHING, NOTHING, 'console=ttyS0').cmdline };
    expect(measured(DSTACK_SECTIONS, 0x810c00, { ...DSTACK, kernel: other })).not.toBe(
      measured(DSTACK_SECTIONS, 0x810c00, DSTACK),
    );
  });

  /** virtee/sev-snp-measure-go, guest/testdata: firmware of EC2 in 2023, image 2. */
  const EC2_FIRMWARE = digest(
    '2027a27bb9f7acfd280e4c7bd68a73973b94bf0756e5b282e004b9395f597b8d0eb4defa7d8f6549375aa4d2b146f0f3',
  );
  const ec2 = (vcpus: number, ovmfDigest = EC2_FIRMWARE): string =>
    measured(OVMF_X64, 0, { ovmfDigest, vcpus, vmm: 'ec2-v1' });

  test.skipIf(!evidence)('EC2 of 2023, 2 vCPUs', () => {
    expect(ec2(2)).toBe(reported('neg-milan-vlek-v2-constellation'));
  });

  test('EC2 of 2023, m6a.xlarge with 4 vCPUs, quoted in aws/uefi issue 10', () => {
    expect(ec2(4)).toBe(
      '25ac810f5c4750890fb1a158f097962e04d4d7fb640d1d08a99829cf4a70543a47cc6fb192bbe90aa713142361a66155',
    );
  });

  test('EC2, image 1 of virtee/sev-snp-measure-go', () => {
    const image = digest(
      'a58211791a556a630a4319dc9e2ea96cc0e9784dd9f20a4fadf81b26c98d163fcdcb6703884bbbb80d7b1de45b3d84d0',
    );
    expect(ec2(2, image)).toBe(
      '4c6e33087d08fa770259484dddbef367086a15c3e2cf10038dc97229d39c942671c2e22b300178f8de594a3f2fa59303',
    );
  });
});

describe('google/gce-tcb-verifier', () => {
  test('normal pages', () => {
    const pages = new Uint8Array(3 * 4096);
    const bumper = Buffer.from('LGTMLGTMLGTMLGTM');
    pages.set(bumper);
    pages.set(bumper, pages.length - bumper.length);
    const sum = new LaunchDigest();
    sum.normalPages(0, pages);
    expect(hex(sum.value)).toBe(
      'cba1cd767c33b30f96271837dbbae4081a945464a5af397b9b0336b5d8759ee88cc6b62c05d915c4424a9ac5747437d4',
    );
  });

  test('zero pages', () => {
    const sum = new LaunchDigest();
    sum.emptyPages('zero', 0x9000, 3 * 4096);
    expect(hex(sum.value)).toBe(
      '4bfe18477ba370a50329da74b9621e721c4f29663176e08fbcf088a17c1bc45f133898b86d5082acbe202a6e9419808a',
    );
  });

  test('the VMSA of the first vCPU, byte by byte where it is not zero', () => {
    const want = new Uint8Array(4096);
    const put = (at: number, bytes: string) => want.set(Buffer.from(bytes.replaceAll(' ', ''), 'hex'), at);
    put(0x000, '0000 9300 ffff'); // es
    put(0x010, '00f0 9b00 ffff 0000 0000 ffff'); // cs
    for (const at of [0x020, 0x030, 0x040, 0x050]) put(at, '0000 9300 ffff'); // ss ds fs gs
    put(0x060, '0000 0000 ffff'); // gdtr
    put(0x070, '0000 8200 ffff'); // ldtr
    put(0x080, '0000 0000 ffff'); // idtr
    put(0x090, '0000 8b00 ffff'); // tr
    put(0x0d0, '0010'); // efer
    put(0x148, '40'); // cr4
    put(0x158, '10'); // cr0
    put(0x160, '0004'); // dr7
    put(0x168, 'f00fffff'); // dr6
    put(0x170, '02'); // rflags
    put(0x178, 'f0ff'); // rip
    put(0x268, '060107'); // g_pat
    put(0x310, '0006'); // rdx
    put(0x3b0, '01'); // sev_features
    put(0x3e8, '01'); // xcr0
    const page = vmsaPage({ vmm: 'gce', resetEip: null, sevFeatures: 1n, signature: 0 });
    expect(hex(page)).toBe(hex(want));
  });

  test('memory that others zero is unmeasured on GCE', () => {
    const sum = new LaunchDigest();
    for (const [gpa, size, type] of OVMF_X64)
      sum.emptyPages(type === 1 ? 'unmeasured' : type === 2 ? 'secrets' : 'cpuid', gpa, size);
    sum.vmsaPage(vmsaPage({ vmm: 'gce', resetEip: null, sevFeatures: 1n, signature: 0 }));
    expect(measured(OVMF_X64, 0, { vmm: 'gce' })).toBe(hex(sum.value));
  });
});

describe('virtee', () => {
  const nothing = (cmdline: string): KernelHashes => hashKernel(NOTHING, NOTHING, cmdline);

  /** virtee/sev: the digest after the pages of its fixture is expected by test_snp_ovmf_hash_full_snp_only. */
  const sev = (launch: Partial<Launch>): string =>
    measured(AMDSEV_2024, 0x810c00, {
      ovmfDigest: digest(
        '086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74',
      ),
      ...launch,
    });

  const SEV: readonly (readonly [string, Partial<Launch>, string])[] = [
    [
      'empty kernel',
      { kernel: nothing('') },
      'ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5',
    ],
    [
      'empty kernel, features 0x21',
      { kernel: nothing(''), sevFeatures: 0x21n },
      '329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198',
    ],
    [
      'command line',
      { kernel: nothing('console=ttyS0 loglevel=7') },
      '6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa',
    ],
    [
      'command line, features 0x21',
      { kernel: nothing('console=ttyS0 loglevel=7'), sevFeatures: 0x21n },
      '803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977',
    ],
    [
      'no kernel',
      {},
      '19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d',
    ],
    [
      'no kernel, features 0x21',
      { sevFeatures: 0x21n },
      'e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b',
    ],
    [
      '4 vCPUs',
      { kernel: nothing(''), vcpus: 4 },
      '5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5',
    ],
    [
      '4 vCPUs, features 0x21',
      { kernel: nothing(''), vcpus: 4, sevFeatures: 0x21n },
      '4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942',
    ],
    [
      'EC2',
      { kernel: nothing(''), vmm: 'ec2-v1' },
      '7d3756157c805bf6adf617064c8552e8c1688fa1c8756f11cbf56ba5d25c9270fb69c0505c1cbe1c5c66c0e34c6ed3be',
    ],
    [
      'EC2, features 0x21',
      { kernel: nothing(''), vmm: 'ec2-v1', sevFeatures: 0x21n },
      '6ae80856486b1396af8c82a40351d6ed76a20c785e9c7fa4ffa27c22d5d6313b4b3b458cd3c9968e6f89fb5d8450d7a6',
    ],
    // From the same fixture, sev-snp-measure's tests as jhnberg/sev-snp-measure has them since EC2 changed.
    [
      'EC2 since 2026',
      { kernel: nothing(''), vmm: 'ec2' },
      '0883bd0eeb716e65b7b977a321c278d1e51b33b5c655fab985443bbcc65c086b9c15e8a0bd8811050dec7e24964e5056',
    ],
    [
      'EC2 since 2026, features 0x21',
      { kernel: nothing(''), vmm: 'ec2', sevFeatures: 0x21n },
      '0ce9ccc06bab55eebe8abc234f3df6514883977a68a591b71052498ab52b2f1aa415db338033946ef93aa8278c0d67fb',
    ],
    [
      'GCE',
      { kernel: nothing(''), vmm: 'gce' },
      '5da7106cf14cf46b1725ebab123eb9e53bd46a1e9f400cd0c08e7827b04b688ea8b4e403c8404efed4397ea5d5d0722e',
    ],
    [
      'GCE, 4 vCPUs',
      { kernel: nothing(''), vmm: 'gce', vcpus: 4 },
      '5c5debf100fc339f90276e761ee1f1658d08922c3b20e2a2e6c7a6c3370b2452a15a00eae11886a93d6fd1e7ab81e29d',
    ],
  ];
  for (const [name, launch, want] of SEV) test(`sev: ${name}`, () => expect(sev(launch)).toBe(want));

  /** virtee/sev-snp-measure. Its vectors for QEMU are from before KVM set MXCSR and FCW; those for EC2 hold. */
  const measure = (launch: Partial<Launch>): string =>
    measured(AMDSEV_2022, 0x80fc00, {
      ovmfDigest: digest(
        'edcf6d1c57ce868a167c990f58c8667c698269ef9e0803246419eea914186343054d557e1f17acd93b032c106bc70d25',
      ),
      kernel: nothing(''),
      vmm: 'ec2-v1',
      ...launch,
    });

  test('sev-snp-measure: EC2', () => {
    expect(measure({})).toBe(
      '760b6e51039d2d6c1fc6d38ca5c387967d158e0294883e4522c36f89bd61bfc9cdb975cd1ceedffbe1b23b1daf4e3f42',
    );
  });

  test('sev-snp-measure: EC2, features 0x21', () => {
    expect(measure({ sevFeatures: 0x21n })).toBe(
      'cd4a4690a1f679ac8f3d6e446aab8d0061d535cc94615d98c7d7dbe4b16dbceeaf7fc7944e7874b202e27041f179e7e6',
    );
  });

  const publicKey = (base64: string): KeyObject =>
    createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
  const HEAD = 'MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE';
  const KEYS: readonly (readonly [string, string, string])[] = [
    [
      'sev-snp-measure: ID key',
      'sg/RocK9K2UYOnbiOQrIBfbY5eKvcl5ajpPPh+wCn51F6zJrBLkr63FOFPqYb4qaLJSguKswzHY1JnWUSHaJHpVP9u9YJqYjG6bW1/br+2jOMw4eWTlO+3CAiD3caTZL',
      'hwt+NcU/inLQ0yL3WrKvgmJ5Kq9leWIs5BMcPyHyied8sFYKXjuQs5MuZ07HCcsU',
    ],
    [
      'sev-snp-measure: author key',
      'BoEfxiQJvy2a5RwHQjJU2JPGwj+/FkrzODsPgTpifmFo2QZ6f0vZeZBYjBhBEhCgMrQgoiZW0nHc/U4lZoxy/Vi7X2hR/kcvnRYPiAsU30w2IwaJYs3k1gjnNzQtqRLJ',
      'YxEcNLv8Ckk4+aAJvQdJgNgXIyPmFZnJ/TNtqGcySOHcqY0L6PdjdqEGuK/UwKBX',
    ],
    [
      'sev: ID key',
      '9nY+TSYJzxss8i8syLjKTPVdRww8I1Usk7Foh0OQ3ZXLP97oR933n/Ke+7iAPG0fzNeo0Ee5zcHHULEZCr5tHa03qN7LFDJ7dmYZ9xJgfP0NOIU8UNqbzQgLNTick74+',
      'WfssaG36T+9J84M5qndckAUcKNVzg93DuvO160sUlt87DbvcuuX+J2d6ZEggdz/i',
    ],
    [
      'sev: author key',
      'YnDHi9aQTNEzYpmiW5hzanHOkv7wdJTXLLKLBzyDD59WSvelwcb/xaNJc9XaRYaMhjx5MKLJhEinehAIgQLiqV+TCM0+VrVZt/06zIizzCoZd0NI/qLyyQMRkeBxh6z1',
      '7tgRafsMteDsNHlPEo/U4MSkb2fGWhrfqB/LJLzAiMJyNpt//D6ytq9qQoShs2xf',
    ],
  ];
  for (const [name, key, want] of KEYS)
    test(`${name} digest`, () => {
      const amd = amdKey(publicKey(HEAD + key)) as Uint8Array;
      expect(Buffer.from(keyDigest(amd)).toString('base64')).toBe(want);
    });

  test('processor signatures are those of tests/test_vcpu_types.py', () => {
    const types = ['EPYC', 'EPYC-v4', 'EPYC-IBPB', 'EPYC-Rome-v2', 'EPYC-Milan-v2', 'EPYC-Genoa', 'EPYC-Turin'];
    expect(types.map((type) => vcpuSignature(type)?.toString(16))).toEqual([
      '800f12',
      '800f12',
      '800f12',
      '830f10',
      'a00f11',
      'a10f10',
      'b00f00',
    ]);
    expect(['Skylake-Server', 'EPYC-', 'EPYC-v', 'EPYC-v4x', 'epyc', ''].map(vcpuSignature)).toEqual(
      Array(6).fill(null),
    );
  });
});

describe('launch_digest.py, on whole images', () => {
  const python = spawnSync('python3', ['--version']).status === 0;
  if (!python) console.warn('\n!!! python3 is not here: the second opinion on the launch digest is SKIPPED !!!\n');
  const SCRIPT = path.join(ROOT, 'test/cli/launch_digest.py');
  const put = (name: string, content: Uint8Array | string): string => {
    const file = path.join(folder, name);
    writeFileSync(file, content);
    return file;
  };
  const second = (...args: readonly string[]): string =>
    execFileSync('python3', [SCRIPT, ...args], { encoding: 'utf8' }).trim();
  const ours = (image: Uint8Array, launch: Partial<Launch>): string => {
    const ovmf = parseOvmf(image);
    return hex(
      measureLaunch({
        ...{
          ovmf,
          ovmfDigest: digestOvmf(ovmf),
          kernel: null,
          vcpus: 1,
          vmm: 'qemu',
          sevFeatures: 1n,
          signature: EPYC_V4,
        },
        ...launch,
      }),
    );
  };

  test.skipIf(!python)('direct boot, 3 vCPUs of Genoa, debug swap', () => {
    const image = buildOvmf({ pages: 5 });
    const [kernel, initrd, cmdline] = [Buffer.from('a kernel'), Buffer.alloc(70_000, 7), 'root=/dev/dm-0 é'];
    const launch = { kernel: hashKernel(kernel, initrd, cmdline), vcpus: 3, sevFeatures: 0x21n, signature: 0xa10f10 };
    expect(ours(image, launch)).toBe(
      second(put('ovmf.fd', image), '3', '0xa10f10', '0x21', put('kernel', kernel), put('initrd', initrd), cmdline),
    );
  });

  const DEBIAN = '/usr/share/ovmf/OVMF.fd';
  const debian = existsSync(DEBIAN);
  if (!debian) console.warn(`\n!!! ${DEBIAN} (Debian package ovmf) is not here: its launch digest is SKIPPED !!!\n`);

  test.skipIf(!python || !debian)('Debian’s OVMF, which measures no kernel', () => {
    const image = new Uint8Array(readFileSync(DEBIAN));
    expect(ours(image, { vcpus: 2 })).toBe(second(DEBIAN, '2', `${EPYC_V4}`, '0x1'));
    expect(codeOf(() => ours(image, { kernel: hashKernel(NOTHING, NOTHING, '') }))).toBe('EVIDENCE_UNSUPPORTED');
  });
});

/** The code of a refusal; whatever else is thrown fails the test. */
function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof EvidenceError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('firmware images that are refused', () => {
  const refused = (parts: Parameters<typeof buildOvmf>[0]): string => codeOf(() => parseOvmf(buildOvmf(parts)));
  const section = (gpa: number, size: number, type: number) => ({
    sections: [...OVMF_X64, [gpa, size, type] as const],
  });

  test('a good one is read', () => {
    expect(refused({})).toBe('accepted');
    expect(parseOvmf(buildOvmf()).hashTableGpa).toBe(0x810c00);
    expect(parseOvmf(buildOvmf({ hashTable: 0 })).hashTableGpa).toBeNull();
  });

  const MALFORMED: readonly (readonly [string, Parameters<typeof buildOvmf>[0]])[] = [
    ['a footer whose size leaves the image', { footerSize: 0xffff }],
    ['a footer smaller than itself', { footerSize: 3 }],
    ['a table that ends inside an entry', { footerSize: 18 + 66 - 1 }],
    ['a table entry of size 0', { extra: [entry(RESET_BLOCK.replace('00', '01'), Buffer.alloc(4), 0)] }],
    ['a table entry larger than the table', { extra: [entry(RESET_BLOCK.replace('00', '01'), Buffer.alloc(4), 600)] }],
    ['an entry twice', { extra: [entry(RESET_BLOCK, Buffer.alloc(4))] }],
    ['no section', { sections: [] }],
    ['more sections than fit', { count: 65 }],
    ['a length that is not that of its sections', { length: 17 }],
    ['a section off the page', section(0x800010, 0x1000, 1)],
    ['a section of part of a page', section(0x900000, 0x800, 1)],
    ['an empty section', section(0x900000, 0, 1)],
    ['a section beyond 4 GiB', section(0xfffff000, 0x2000, 1)],
    ['sections of 4 GiB, each page a hash', section(0, 0xfffff000, 1)],
    ['two CPUID pages in one section', section(0x900000, 0x2000, 3)],
    ['two secrets pages in one section', section(0x900000, 0x2000, 2)],
  ];
  for (const [name, parts] of MALFORMED) test(name, () => expect(refused(parts)).toBe('EVIDENCE_MALFORMED'));

  test('no whole pages, nothing, too much, no OVMF', () => {
    for (const image of [NOTHING, new Uint8Array(4097), new Uint8Array((64 << 20) + 4096), new Uint8Array(4096)])
      expect(codeOf(() => parseOvmf(image))).toBe('EVIDENCE_MALFORMED');
  });

  test('metadata outside the image, or without its signature', () => {
    const image = buildOvmf();
    const at = Buffer.from(image).indexOf('ASEV');
    expect(codeOf(() => parseOvmf(withByte(image, at, 0)))).toBe('EVIDENCE_MALFORMED');
    const pointer = Buffer.from(image).lastIndexOf(Buffer.from('00050000', 'hex'));
    expect(codeOf(() => parseOvmf(withByte(image, pointer + 2, 1)))).toBe('EVIDENCE_MALFORMED');
    expect(codeOf(() => parseOvmf(withByte(withByte(image, pointer + 1, 0), pointer, 15)))).toBe('EVIDENCE_MALFORMED');
  });

  test('what this release does not know is unsupported, not measured in part', () => {
    expect(refused({ version: 2 })).toBe('EVIDENCE_UNSUPPORTED');
    expect(refused(section(0x900000, 0x1000, 9))).toBe('EVIDENCE_UNSUPPORTED');
    const id = Buffer.from('666588dc', 'hex');
    const image = buildOvmf();
    expect(codeOf(() => parseOvmf(withByte(image, Buffer.from(image).lastIndexOf(id), 0)))).toBe(
      'EVIDENCE_UNSUPPORTED',
    );
  });

  test('a kernel for firmware that measures none, or places its hashes elsewhere', () => {
    const launch = { kernel: hashKernel(NOTHING, NOTHING, '') };
    expect(codeOf(() => measured(OVMF_X64, 0, launch))).toBe('EVIDENCE_UNSUPPORTED');
    expect(codeOf(() => measured(AMDSEV_2024, 0, launch))).toBe('EVIDENCE_UNSUPPORTED');
    expect(codeOf(() => measured(AMDSEV_2024, 0x811c00, launch))).toBe('EVIDENCE_MALFORMED');
    expect(codeOf(() => measured(AMDSEV_2024, 0x810f80, launch))).toBe('EVIDENCE_MALFORMED');
  });
});

describe('ID block', () => {
  const LAUNCH = digest('ab'.repeat(48));
  const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const [id, author] = [pair(), pair()];

  /** R and S as AMD writes them. */
  const signature = (key: KeyObject, data: Uint8Array): Buffer => {
    const raw = sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' });
    const out = Buffer.alloc(512);
    Buffer.from(raw.subarray(0, 48)).reverse().copy(out, 0);
    Buffer.from(raw.subarray(48)).reverse().copy(out, 72);
    return out;
  };

  function make(authored: boolean): { block: Uint8Array; auth: Uint8Array } {
    const block = Buffer.alloc(96);
    Buffer.from(LAUNCH).copy(block);
    block.writeUInt32LE(1, 0x50);
    block.writeUInt32LE(7, 0x54);
    block.writeBigUInt64LE(0x30000n, 0x58);
    const auth = Buffer.alloc(4096);
    const idKey = Buffer.from(amdKey(id.publicKey) as Uint8Array);
    auth.writeUInt32LE(1, 0);
    signature(id.privateKey, block).copy(auth, 0x40);
    idKey.copy(auth, 0x240);
    if (authored) {
      auth.writeUInt32LE(1, 4);
      signature(author.privateKey, idKey).copy(auth, 0x680);
      Buffer.from(amdKey(author.publicKey) as Uint8Array).copy(auth, 0x880);
    }
    return { block: new Uint8Array(block), auth: new Uint8Array(auth) };
  }

  test('its keys as the report will state them', () => {
    const { block, auth } = make(true);
    expect(readIdBlock(block, auth)).toEqual({
      launchDigest: LAUNCH,
      guestSvn: 7,
      policy: 0x30000n,
      idKeyDigest: keyDigest(amdKey(id.publicKey) as Uint8Array),
      authorKeyDigest: keyDigest(amdKey(author.publicKey) as Uint8Array),
    });
    const alone = make(false);
    expect(readIdBlock(alone.block, alone.auth).authorKeyDigest).toBeNull();
  });

  test('every byte of the block is signed', () => {
    const { block, auth } = make(false);
    for (let at = 0; at < block.length; at++)
      expect(
        codeOf(() => readIdBlock(withByte(block, at, (block[at] as number) ^ 1), auth)),
        `byte ${at}`,
      ).toMatch(at >= 0x50 && at < 0x54 ? 'EVIDENCE_MALFORMED' : 'SIGNATURE_INVALID');
  });

  test('no byte of the authentication goes unread', () => {
    const { block, auth } = make(true);
    const places = [
      ...Array(0x100).keys(),
      ...[0x240, 0x250, 0x290, 0x300, 0x643, 0x644, 0x67f, 0x680, 0x6d0, 0x880, 0xc83, 0xc84, 0xfff],
    ];
    for (const at of places)
      expect(
        codeOf(() => readIdBlock(block, withByte(auth, at, (auth[at] as number) ^ 1))),
        `byte ${at}`,
      ).toMatch(/^(EVIDENCE_MALFORMED|SIGNATURE_INVALID)$/);
  });

  test('an author who vouches for another ID key', () => {
    const { block, auth } = make(true);
    const other = Buffer.from(auth);
    signature(author.privateKey, Buffer.alloc(0x404)).copy(other, 0x680);
    expect(codeOf(() => readIdBlock(block, new Uint8Array(other)))).toBe('SIGNATURE_INVALID');
  });

  test('other lengths', () => {
    const { block, auth } = make(false);
    expect(codeOf(() => readIdBlock(block.subarray(1), auth))).toBe('EVIDENCE_MALFORMED');
    expect(codeOf(() => readIdBlock(block, auth.subarray(1)))).toBe('EVIDENCE_MALFORMED');
  });
});
