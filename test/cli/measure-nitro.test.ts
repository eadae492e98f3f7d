/**
 * PCRs against what others say they are. Sources, none of which shares code with ours:
 *
 * - Documents signed by AWS: two of enclaves with one ramdisk, whose PCR2 is that of no application ramdisk and whose
 *   PCR0 and PCR1 are therefore equal.
 * - QEMU 10.0.2, hw/core/eif.c (C): built with libcbor and OpenSSL and run over the image that eif.ts makes, signed and
 *   unsigned; it accepted header, sections, CRC and signature section, and its four registers are written below.
 * - sha384sum, by a shell, over the parts.
 *
 * No image built by nitro-cli has been available here.
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { EvidenceError, hex } from '@veritee/protocol';
import { parseNitroDocument } from '@veritee/verifier';
import { afterAll, describe, expect, test } from 'vitest';
import { parseEif } from '../../cli/measure/nitro/eif.ts';
import { readPemCertificate, verifyEifSignature } from '../../cli/measure/nitro/eif-signature.ts';
import { measureEnclave, measureSigner } from '../../cli/measure/nitro/pcrs.ts';
import { temporaryFolder } from '../support/cli.ts';
import { sharedFolder } from '../support/shared.ts';
import {
  APPLICATION,
  BOOT,
  buildEif,
  CMDLINE,
  KERNEL,
  MODELS,
  PARTS,
  type Part,
  SIGNER_PEM,
  signatureSection,
  signerKey,
  text,
  withByte,
  withCrc,
} from './eif.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);

/** Written by QEMU's reader. */
const QEMU = {
  pcr0: '60a402ab010259d7646937ded506936b0c27c6f8e743390679302902a2146564e0fdd35f07605895e596041c579de243',
  pcr1: '59c8db4cb94fa54f1179d5d2e0e4399fff9185ffbbeb8697a74d058a677b3e8c31b95401f2951033bd3aea1034d17bd3',
  pcr2: '84c1ff5a607b2d696ed8e647e01793a0d96ed07e9926180d84c055d6f1a792d8e9aed3d5a3e46ed3cdf34bd50dbe7807',
  pcr8: '1dfb37cac2dabad817d5aa53e5077a13d59fbc1a98ac40ccef96d59fb1f6bf2c41c9aa453028e15d1799dd5d65b47383',
} as const;
/** Of the image with the boot ramdisk alone. */
const QEMU_BOOT_ONLY = {
  pcr0: QEMU.pcr1,
  pcr1: QEMU.pcr1,
  pcr2: '21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a',
} as const;

const hexed = (pcrs: object): unknown =>
  Object.fromEntries(Object.entries(pcrs).map(([name, value]) => [name, hex(value)]));

const PCRS = measureEnclave({ kernel: KERNEL, cmdline: CMDLINE, ramdisks: [BOOT, APPLICATION, MODELS] });
const signed = (section = signatureSection({ pcr: PCRS.pcr0 })): Uint8Array => buildEif([...PARTS, [4, section]]);

describe('registers', () => {
  const { pcr8, ...unsigned } = QEMU;

  test('QEMU: an image with three ramdisks', () => {
    expect(hexed(measureEnclave(parseEif(buildEif(PARTS))))).toEqual(unsigned);
  });

  test('QEMU: an image with the boot ramdisk alone', () => {
    expect(hexed(measureEnclave(parseEif(buildEif(PARTS.slice(0, 4)))))).toEqual(QEMU_BOOT_ONLY);
  });

  test('QEMU: a signed image', () => {
    const eif = parseEif(signed());
    const certificate = verifyEifSignature(eif.signature as Uint8Array, PCRS.pcr0);
    expect({ ...(hexed(measureEnclave(eif)) as object), pcr8: hex(measureSigner(certificate.raw)) }).toEqual(QEMU);
  });

  test('sha384sum: the parts before they are built', () => {
    const put = (name: string, content: Uint8Array): string => {
      writeFileSync(path.join(folder, name), content);
      return path.join(folder, name);
    };
    const [kernel, cmdline, boot, application, models, certificate] = [
      put('kernel', KERNEL),
      put('cmdline', CMDLINE),
      put('boot', BOOT),
      put('application', APPLICATION),
      put('models', MODELS),
      put('cert.pem', text(SIGNER_PEM)),
    ];
    const shell = (script: string): string => execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
    const register = (contents: string): string =>
      shell(`{ head -c 48 /dev/zero; ${contents} | openssl dgst -sha384 -binary; } | sha384sum | cut -c1-96`);
    expect({
      pcr0: register(`cat ${kernel} ${cmdline} ${boot} ${application} ${models}`),
      pcr1: register(`cat ${kernel} ${cmdline} ${boot}`),
      pcr2: register(`cat ${application} ${models}`),
      pcr8: register(`openssl x509 -in ${certificate} -outform DER`),
    }).toEqual({ ...(hexed(PCRS) as object), pcr8 });
  });

  const evidence = sharedFolder('evidence', 'nitro');
  test.skipIf(!evidence)('AWS: enclaves with one ramdisk', () => {
    for (const name of ['nautilus-20250415-7e916453', 'nautilus-20250415-f8fab7fa']) {
      const file = readFileSync(path.join(evidence as string, name, 'document.cbor'));
      const { pcrs } = parseNitroDocument(new Uint8Array(file));
      const register = (index: number): string => hex(pcrs.get(index) as Uint8Array);
      expect(register(2)).toBe(hex(measureEnclave({ kernel: KERNEL, cmdline: CMDLINE, ramdisks: [BOOT] }).pcr2));
      expect(register(0)).toBe(register(1));
      expect(register(8)).toBe(hex(measureSigner(null)));
    }
  });

  test('metadata and signature are not measured; every other part is, in order', () => {
    const of = (parts: readonly Part[]): unknown => hexed(measureEnclave(parseEif(buildEif(parts))));
    expect(of(PARTS.filter(([type]) => type !== 5))).toEqual(unsigned);
    expect(hexed(measureEnclave(parseEif(signed())))).toEqual(unsigned);
    const swapped = [...PARTS.slice(0, 4), PARTS[5], PARTS[4]] as Part[];
    expect(of(swapped)).not.toEqual(unsigned);
    // The boundary between two application ramdisks is not measured: the format has no separator.
    const joined = [...PARTS.slice(0, 4), [3, Buffer.concat([APPLICATION, MODELS])]] as Part[];
    expect(of(joined)).toEqual(unsigned);
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

describe('images that are refused', () => {
  const good = buildEif(PARTS);
  const refused = (image: Uint8Array): string => codeOf(() => parseEif(image));
  /** Changed where named, its CRC made right. */
  const changed = (change: (image: Buffer) => void): string => {
    const image = Buffer.from(good);
    change(image);
    return refused(withCrc(image));
  };
  const [kernel, cmdline, metadata, boot] = PARTS as readonly [Part, Part, Part, Part];

  test('a good one is read', () => {
    expect(refused(good)).toBe('accepted');
    const eif = parseEif(good);
    expect([eif.version, eif.architecture, eif.ramdisks.length]).toEqual([4, 'x86_64', 3]);
    expect(parseEif(buildEif(PARTS, { flags: 1 })).architecture).toBe('aarch64');
    for (const version of [2, 3]) expect(refused(buildEif(PARTS, { version }))).toBe('accepted');
  });

  test('cut off at any length, or with a byte more', () => {
    for (let length = 0; length < good.length; length += length < 1200 ? 1 : 97)
      expect(refused(good.subarray(0, length)), `${length}`).toBe('EVIDENCE_MALFORMED');
    expect(refused(withCrc(Buffer.concat([good, Buffer.alloc(1)])))).toBe('EVIDENCE_MALFORMED');
  });

  test('any byte changed: the CRC says so', () => {
    for (let at = 0; at < good.length; at += at < 700 ? 1 : 61)
      expect(refused(withByte(good, at, (good[at] as number) ^ 0x40)), `byte ${at}`).toMatch(
        /^EVIDENCE_(MALFORMED|UNSUPPORTED)$/,
      );
  });

  const MALFORMED: readonly (readonly [string, (image: Buffer) => void])[] = [
    ['another magic', (image) => image.write('.elf', 0, 'latin1')],
    ['reserved bytes', (image) => image.writeUInt16BE(1, 24)],
    ['unused bytes', (image) => image.writeUInt32BE(1, 540)],
    ['no sections', (image) => image.writeUInt16BE(0, 26)],
    ['33 sections', (image) => image.writeUInt16BE(33, 26)],
    ['fewer sections than it lists', (image) => image.writeUInt16BE(5, 26)],
    ['more sections than it has', (image) => image.writeUInt16BE(7, 26)],
    ['an offset that leads elsewhere', (image) => image.writeBigUInt64BE(549n, 28)],
    ['two sections that share bytes', (image) => image.writeBigUInt64BE(image.readBigUInt64BE(28), 36)],
    ['an offset beyond 2^63', (image) => image.writeBigUInt64BE(0xffff_ffff_ffff_ffffn, 28)],
    ['a size that the section contradicts', (image) => image.writeBigUInt64BE(1n, 284)],
    ['a section of 2^64 − 1 bytes', (image) => image.writeBigUInt64BE(0xffff_ffff_ffff_ffffn, 548 + 4)],
    ['an entry beyond the number of sections', (image) => image.writeBigUInt64BE(1n, 28 + 8 * 31)],
  ];
  for (const [name, change] of MALFORMED) test(name, () => expect(changed(change)).toBe('EVIDENCE_MALFORMED'));

  const UNSUPPORTED: readonly (readonly [string, (image: Buffer) => void])[] = [
    ['version 1', (image) => image.writeUInt16BE(1, 4)],
    ['version 5', (image) => image.writeUInt16BE(5, 4)],
    ['a flag without a name', (image) => image.writeUInt16BE(2, 6)],
    ['a flag on a section', (image) => image.writeUInt16BE(1, 548 + 2)],
    ['a section of type 0', (image) => image.writeUInt16BE(0, 548)],
    ['a section of type 6', (image) => image.writeUInt16BE(6, 548)],
  ];
  for (const [name, change] of UNSUPPORTED) test(name, () => expect(changed(change)).toBe('EVIDENCE_UNSUPPORTED'));

  const SECTIONS: readonly (readonly [string, readonly Part[]])[] = [
    ['no kernel', [cmdline, boot]],
    ['no command line', [kernel, boot]],
    ['no ramdisk', [kernel, cmdline, metadata]],
    ['a ramdisk before the command line', [kernel, boot, cmdline]],
    ['two kernels', [kernel, cmdline, boot, kernel]],
    ['two command lines', [kernel, cmdline, cmdline, boot]],
    ['two metadata', [...PARTS, metadata]],
    ['two signatures', [...PARTS, [4, text('a')], [4, text('b')]]],
    ['metadata of more than 1 MiB', [kernel, cmdline, [5, new Uint8Array((1 << 20) + 1)], boot]],
    ['a signature of more than 64 KiB', [kernel, cmdline, boot, [4, new Uint8Array((1 << 16) + 1)]]],
  ];
  for (const [name, parts] of SECTIONS) test(name, () => expect(refused(buildEif(parts))).toBe('EVIDENCE_MALFORMED'));
});

describe('signatures that are refused', () => {
  const pcr = PCRS.pcr0;
  const check = (section: Uint8Array): string => codeOf(() => verifyEifSignature(section, pcr));
  const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;

  test('a good one names its certificate', () => {
    expect(verifyEifSignature(signatureSection({ pcr }), pcr).subject).toBe('CN=veritee test EIF signer');
    expect(hex(readPemCertificate(SIGNER_PEM)?.raw as Uint8Array)).toBe(
      hex(verifyEifSignature(signatureSection({ pcr }), pcr).raw),
    );
  });

  test('over another image', () => {
    expect(check(signatureSection({ pcr: PCRS.pcr1 }))).toBe('SIGNATURE_INVALID');
  });

  test('by another key than the certificate’s', () => {
    expect(check(signatureSection({ pcr, key: other }))).toBe('SIGNATURE_INVALID');
  });

  test('over another register', () => {
    expect(check(signatureSection({ pcr, index: 1 }))).toBe('EVIDENCE_MALFORMED');
  });

  test('an algorithm that is not the curve’s', () => {
    for (const algorithm of [-7, -36, -8, -37])
      expect(check(signatureSection({ pcr, algorithm }))).toBe('EVIDENCE_MALFORMED');
  });

  test('no certificate, or one that is none', () => {
    for (const pem of ['', 'x', SIGNER_PEM.replace('MII', 'AAA'), SIGNER_PEM.replaceAll('CERTIFICATE', 'PUBLIC KEY')])
      expect(check(signatureSection({ pcr, pem }))).toBe('EVIDENCE_MALFORMED');
  });

  test('a certificate whose key is none', () => {
    const der = Buffer.from(SIGNER_PEM.replace(/-----.*-----/g, ''), 'base64');
    const point = der.indexOf('03620004', 'hex') + 4;
    der.fill(0xff, point, point + 96);
    const pem = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
    expect(check(signatureSection({ pcr, pem }))).toBe('EVIDENCE_MALFORMED');
  });

  test('two signed registers, other shapes, other bytes', () => {
    const one = signatureSection({ pcr, key: signerKey() });
    const two = Buffer.concat([Buffer.from([0x82]), one.subarray(1), one.subarray(1)]);
    for (const section of [two, Uint8Array.of(0x80), Uint8Array.of(0x81, 0xa0), Uint8Array.of(0xf6), one.subarray(1)])
      expect(check(section)).toBe('EVIDENCE_MALFORMED');
    for (let length = 0; length < one.length; length += 7)
      expect(check(one.subarray(0, length)), `${length}`).toBe('EVIDENCE_MALFORMED');
    const cose = Buffer.from(one).lastIndexOf('signature');
    for (let at = cose; at < one.length; at++)
      expect(check(withByte(one, at, (one[at] as number) ^ 1)), `byte ${at}`).toMatch(
        /^(EVIDENCE_MALFORMED|SIGNATURE_INVALID)$/,
      );
  });
});
