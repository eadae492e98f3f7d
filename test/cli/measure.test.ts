/** The command: what it prints fits a policy, and what it refuses has its code and exit status. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { hex } from '@veritee/protocol';
import { parsePolicy } from '@veritee/verifier';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { exitOfError } from '../../cli/exit.ts';
import { measureEnclave } from '../../cli/measure/nitro/pcrs.ts';
import { amdKey, keyDigest } from '../../cli/measure/snp/id-block.ts';
import { run } from '../../cli/program.ts';
import { temporaryFolder } from '../support/cli.ts';
import { strictNitroPolicy, strictPolicy } from '../support/policies.ts';
import { APPLICATION, BOOT, buildEif, CMDLINE, KERNEL, PARTS, SIGNER_PEM, signatureSection, text } from './eif.ts';
import { buildOvmf, OVMF_X64 } from './ovmf.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);
const put = (name: string, content: Uint8Array | string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

/** Runs the command in this process. @returns its status, what it printed, and the code it ended with */
async function ran(...args: readonly string[]): Promise<{ status: number; stdout: string; code: string | null }> {
  let stdout = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    stdout += String(chunk);
    return true;
  });
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    return { status: await run(['measure', ...args]), stdout, code: null };
  } catch (error) {
    return { status: exitOfError(error), stdout, code: (error as { code: string }).code };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

interface Measured {
  readonly referenceValue: { readonly [name: string]: unknown };
  readonly [name: string]: unknown;
}

async function measured(...args: readonly string[]): Promise<Measured> {
  const { status, stdout, code } = await ran(...args, '--json');
  expect({ status, code }).toEqual({ status: 0, code: null });
  return JSON.parse(stdout) as Measured;
}

const refusal = async (...args: readonly string[]): Promise<unknown> => {
  const { status, stdout, code } = await ran(...args, '--json');
  expect(stdout).toBe('');
  return [status, code];
};
const USAGE = [2, 'USAGE'];

describe('snp', () => {
  const ovmf = put('OVMF.amdsev.fd', buildOvmf());
  const kernel = put('vmlinuz', KERNEL);
  const initrd = put('initrd', BOOT);
  const snp = (...args: readonly string[]) => [
    'snp',
    '--ovmf',
    ovmf,
    '--vcpus',
    '1',
    '--vcpu-type',
    'EPYC-v4',
    ...args,
  ];
  const direct = ['--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0'];

  test('its reference value is one of a policy', async () => {
    const { referenceValue, launches, covers } = await measured(
      ...['snp', '--ovmf', ovmf, '--vcpus', '1,2,64', '--vcpu-type', 'EPYC-Milan', ...direct],
      ...['--name', 'acme 1.4.2', '--host-data', '11'.repeat(32), '--vmpl', '2'],
    );
    const strict = strictPolicy();
    const policy = parsePolicy({ ...strict, sevSnp: { ...strict.sevSnp, referenceValues: [referenceValue] } });
    const [value] = policy.sevSnp === 'refuse' ? [] : policy.sevSnp.referenceValues;
    if (typeof value !== 'object') throw new Error('no reference value');
    expect(value).toMatchObject({ name: 'acme 1.4.2', vmpl: 2, idKeyDigest: 'unused', authorKeyDigest: 'unused' });
    expect(hex(value.hostData as Uint8Array)).toBe('11'.repeat(32));
    expect(launches).toEqual(
      value.measurements.map((measurement, i) => ({ vcpus: [1, 2, 64][i], measurement: hex(measurement) })),
    );
    expect(new Set(value.measurements.map(hex)).size).toBe(3);
    expect(covers).toEqual(['firmware', 'kernel', 'initrd', 'command line']);
  });

  test('a type is its signature; a digest stands for the image’s bytes', async () => {
    const { ovmfDigest, ...first } = await measured(...snp(...direct));
    const again = await measured(
      ...[
        'snp',
        '--ovmf',
        put('other.fd', buildOvmf({ pages: 9 })),
        '--vcpus',
        '1',
        '--vcpu-sig',
        '0x800f12',
        ...direct,
      ],
      ...['--ovmf-hash', String(ovmfDigest), '--name', 'OVMF.amdsev.fd', '--guest-features', '1'],
    );
    expect(again).toEqual({ ovmfDigest, ...first });
    expect(first.referenceValue['name']).toBe('OVMF.amdsev.fd');
  });

  test('each setting is another launch', async () => {
    const of = async (...args: readonly string[]) => (await measured(...args)).referenceValue['measurements'];
    const cloud = (vmm: string) => ['snp', '--ovmf', ovmf, '--vcpus', '1', '--vmm', vmm];
    const all = [
      await of(...snp()),
      await of(...snp(...direct)),
      await of(...snp('--kernel', kernel)),
      await of(...snp('--kernel', kernel, '--initrd', initrd)),
      await of(...snp('--guest-features', '0x21')),
      await of(...cloud('ec2')),
      await of(...cloud('ec2-v1')),
      await of(...cloud('gce')),
    ];
    expect(new Set(all.map(String)).size).toBe(all.length);
  });

  test('for people: says when no program is measured', async () => {
    const { status, stdout } = await ran(...snp());
    expect(status).toBe(0);
    expect(stdout).toMatch(/1 vCPU +[0-9a-f]{96}\n/);
    expect(stdout).toContain('this identifies no program');
    expect(stdout).toContain('sevSnp.referenceValues');
    expect((await ran(...snp(...direct))).stdout).not.toContain('identifies no program');
  });

  test('ID and author key: public, private, or in a file that holds neither', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const id = put('id.pem', publicKey.export({ format: 'pem', type: 'spki' }));
    const author = put('author.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const { referenceValue } = await measured(...snp('--id-key', id, '--author-key', author));
    const want = hex(keyDigest(amdKey(publicKey) as Uint8Array));
    expect([referenceValue['idKeyDigest'], referenceValue['authorKeyDigest']]).toEqual([want, want]);
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    expect(await refusal(...snp('--id-key', put('p256.pem', p256.export({ format: 'pem', type: 'spki' }))))).toEqual(
      USAGE,
    );
    expect(await refusal(...snp('--id-key', kernel))).toEqual(USAGE);
    expect(await refusal(...snp('--author-key', author))).toEqual(USAGE);
  });

  test('flags that contradict or say nothing', async () => {
    const bare = (...args: readonly string[]) => ['snp', '--ovmf', ovmf, '--vcpus', '1', ...args];
    const wrong: readonly (readonly string[])[] = [
      bare(),
      bare('--vcpu-type', 'Skylake'),
      bare('--vcpu-sig', '0x100000000'),
      bare('--vcpu-sig', 'EPYC'),
      bare('--vmm', 'xen'),
      bare('--vmm', 'ec2', '--vcpu-type', 'EPYC'),
      snp('--vcpu-sig', '1'),
      snp('--initrd', initrd),
      snp('--append', 'x'),
      snp('--guest-features', '0x20'),
      snp('--guest-features', 'x'),
      snp('--ovmf-hash', '00'),
      snp('--host-data', '00'),
      snp('--vmpl', '4'),
      snp('--id-block', kernel),
      snp('--id-auth', kernel),
      snp('--id-block', kernel, '--id-auth', kernel, '--id-key', kernel),
      ...['0', '-1', '1.5', '1,1', '4097', '1,', 'many'].map((n) => [
        'snp',
        '--ovmf',
        ovmf,
        '--vcpus',
        n,
        '--vcpu-type',
        'EPYC',
      ]),
    ];
    for (const args of wrong) expect(await refusal(...args), args.join(' ')).toEqual(USAGE);
  });

  test('files', async () => {
    const at = (file: string) => ['snp', '--ovmf', file, '--vcpus', '1', '--vcpu-type', 'EPYC'];
    expect(await refusal(...at(path.join(folder, 'absent')))).toEqual([2, 'FILE_UNREADABLE']);
    expect(await refusal(...at(folder))).toEqual([2, 'FILE_UNREADABLE']);
    expect(await refusal(...at(kernel))).toEqual([1, 'EVIDENCE_MALFORMED']);
    expect(await refusal(...at(put('x64.fd', buildOvmf({ sections: OVMF_X64, hashTable: 0 }))), ...direct)).toEqual([
      4,
      'EVIDENCE_UNSUPPORTED',
    ]);
    expect(await refusal(...snp('--id-block', kernel, '--id-auth', kernel))).toEqual([1, 'EVIDENCE_MALFORMED']);
  });
});

describe('nitro', () => {
  const kernel = put('bzImage', KERNEL);
  const ramdisks = [put('boot.cpio', BOOT), put('app.cpio', APPLICATION)].flatMap((file) => ['--ramdisk', file]);
  const cmdline = Buffer.from(CMDLINE).toString();
  const { pcr0 } = measureEnclave({ kernel: KERNEL, cmdline: CMDLINE, ramdisks: [BOOT, APPLICATION] });
  const section = signatureSection({ pcr: pcr0 });
  const image = put('acme.eif', buildEif([...PARTS.slice(0, 5), [4, section]]));

  test('its reference value is one of a policy, and the same before the image is built', async () => {
    const { referenceValue, signer, image: about } = await measured('nitro', image);
    const policy = parsePolicy(strictNitroPolicy({}, { referenceValues: [referenceValue] }));
    expect(policy.nitro).toMatchObject({ referenceValues: [{ name: 'acme.eif', notAfter: null }] });
    expect(signer).toMatchObject({ subject: 'CN=veritee test EIF signer' });
    expect(about).toMatchObject({ imageName: 'veritee', imageVersion: '1.4.2', cmdline, ramdisks: 2 });
    const parts = ['--kernel', kernel, '--cmdline', cmdline, ...ramdisks, '--signing-cert', put('c.pem', SIGNER_PEM)];
    const before = await measured('nitro', ...parts, '--name', 'acme.eif');
    expect(before).toMatchObject({ referenceValue, signer, image: null });
  });

  test('for people', async () => {
    const { status, stdout } = await ran('nitro', image);
    expect(status).toBe(0);
    expect(stdout).toMatch(/PCR0 +[0-9a-f]{96}\n[\s\S]*PCR8 +[0-9a-f]{96}\n[\s\S]*signed by +CN=veritee/);
    const hostile = put(
      'hostile.eif',
      buildEif([
        [1, KERNEL],
        [2, text('\x1b[2J\u009b2Jgone')],
        [3, BOOT],
      ]),
    );
    expect((await ran('nitro', hostile)).stdout).toContain('\\u{1b}[2J\\u{9b}2Jgone');
  });

  test('an image that nobody signed', async () => {
    const { referenceValue, signer } = await measured('nitro', put('plain.eif', buildEif(PARTS)));
    expect([referenceValue['pcr8'], signer]).toEqual(['00'.repeat(48), null]);
  });

  test('flags and files', async () => {
    const parts = ['--kernel', kernel, '--cmdline', cmdline];
    for (const args of [
      [],
      parts,
      ['--cmdline', cmdline, ...ramdisks],
      [image, ...ramdisks],
      [image, '--kernel', kernel],
    ])
      expect(await refusal('nitro', ...args), args.join(' ')).toEqual(USAGE);
    expect(await refusal('nitro', ...parts, ...ramdisks, '--signing-cert', kernel)).toEqual(USAGE);
    expect(await refusal('nitro', path.join(folder, 'absent'))).toEqual([2, 'FILE_UNREADABLE']);
    expect(await refusal('nitro', kernel)).toEqual([1, 'EVIDENCE_MALFORMED']);
    expect(await refusal('nitro', put('v5.eif', buildEif(PARTS, { version: 5 })))).toEqual([4, 'EVIDENCE_UNSUPPORTED']);
    const about = (metadata: string) => put('m.eif', buildEif([...PARTS.slice(0, 2), [5, text(metadata)], [3, BOOT]]));
    for (const metadata of ['', '{', '{"ImageName":1,"ImageName":2}'])
      expect(await refusal('nitro', about(metadata)), metadata).toEqual([1, 'EVIDENCE_MALFORMED']);
    for (const metadata of ['[]', '{"ImageName":12345678901234567890}', 'null'])
      expect((await measured('nitro', about(metadata)))['image']).toMatchObject({
        imageName: null,
        imageVersion: null,
      });
    const borrowed = put('borrowed.eif', buildEif([...PARTS, [4, section]]));
    expect(await refusal('nitro', borrowed)).toEqual([1, 'SIGNATURE_INVALID']);
  });
});
