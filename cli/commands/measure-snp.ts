import { createPublicKey, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { type Bytes, EvidenceError, equalBytes, fromBase64, fromHex, fromUtf8, hex } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { print, printJson, readInput } from '../io.ts';
import { printReference, row } from '../measure/print.ts';
import { amdKey, type IdBlock, keyDigest, readIdBlock } from '../measure/snp/id-block.ts';
import { hashKernel, type KernelHashes } from '../measure/snp/kernel-hashes.ts';
import { digestOvmf, measureLaunch } from '../measure/snp/launch.ts';
import { parseOvmf } from '../measure/snp/ovmf.ts';
import { VCPU_TYPES, vcpuSignature } from '../measure/snp/vcpu.ts';
import { usesSignature, VMMS, type Vmm } from '../measure/snp/vmsa.ts';

const MAX_VCPUS = 4096;
const MAX_SHAPES = 64;
const SNP_ACTIVE = 1n;

export interface MeasureSnpOptions {
  readonly ovmf: string;
  readonly ovmfHash?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly vcpus: string;
  readonly vcpuType?: string;
  readonly vcpuSig?: string;
  readonly vmm: string;
  readonly guestFeatures: string;
  readonly idBlock?: string;
  readonly idAuth?: string;
  readonly idKey?: string;
  readonly authorKey?: string;
  readonly hostData?: string;
  readonly vmpl: string;
  readonly name?: string;
  readonly json: boolean;
}

/** The launch digest for each number of vCPUs, and the reference value that accepts them. */
export async function measureSnp(options: MeasureSnpOptions): Promise<number> {
  const vmm = readVmm(options.vmm);
  const signature = readSignature(vmm, options);
  const sevFeatures = readFeatures(options.guestFeatures);
  const shapes = readShapes(options.vcpus);
  const vmpl = readInteger('vmpl', options.vmpl, 0, 3);
  const hostData = options.hostData === undefined ? null : readBytes('host-data', options.hostData, 32);
  const givenDigest = options.ovmfHash === undefined ? null : readBytes('ovmf-hash', options.ovmfHash, 48);
  const ovmf = parseOvmf(await readInput(options.ovmf));
  const ovmfDigest = givenDigest ?? digestOvmf(ovmf);
  const kernel = await readKernel(options);
  const launches = shapes.map((vcpus) => ({
    vcpus,
    measurement: measureLaunch({ ovmf, ovmfDigest, kernel, vcpus, vmm, sevFeatures, signature }),
  }));
  const identity = await readIdentity(options, launches);
  const referenceValue = {
    name: options.name ?? path.basename(options.ovmf),
    measurements: launches.map(({ measurement }) => hex(measurement)),
    hostData: hostData ? hex(hostData) : 'unused',
    vmpl,
    idKeyDigest: identity.idKeyDigest ? hex(identity.idKeyDigest) : 'unused',
    authorKeyDigest: identity.authorKeyDigest ? hex(identity.authorKeyDigest) : 'unused',
  };
  const covers = kernel ? ['firmware', 'kernel', 'initrd', 'command line'] : ['firmware'];
  const report = {
    platform: 'sev-snp',
    referenceValue,
    launches: launches.map(({ vcpus, measurement }) => ({ vcpus, measurement: hex(measurement) })),
    covers,
    vmm,
    vcpuSignature: usesSignature(vmm) ? `0x${signature.toString(16)}` : null,
    sevFeatures: `0x${sevFeatures.toString(16)}`,
    ovmfDigest: hex(ovmfDigest),
    kernelHashes: kernel && {
      kernel: hex(kernel.kernel),
      initrd: hex(kernel.initrd),
      cmdline: hex(kernel.cmdline),
    },
    idBlock: identity.block && {
      policy: `0x${identity.block.policy.toString(16)}`,
      guestSvn: identity.block.guestSvn,
    },
  };
  if (options.json) printJson(report);
  else {
    print(`${referenceValue.name}: SEV-SNP launch digest under ${vmm}, SEV_FEATURES ${report.sevFeatures}`);
    for (const { vcpus, measurement } of report.launches) row(`${vcpus} vCPU${vcpus === 1 ? '' : 's'}`, measurement);
    row('covers', covers.join(', '));
    row('OVMF', report.ovmfDigest);
    for (const [part, digest] of Object.entries(report.kernelHashes ?? {})) row(`${part} SHA-256`, digest);
    if (report.idBlock) row('ID block', `policy ${report.idBlock.policy}, GUEST_SVN ${report.idBlock.guestSvn}`);
    if (!kernel) print('  ! Nothing beyond the firmware is measured: this identifies no program. Give --kernel.');
    printReference('sevSnp', referenceValue);
  }
  return EXIT.done;
}

function readVmm(text: string): Vmm {
  const vmm = VMMS.find((one) => one === text);
  if (!vmm) throw usage('vmm', VMMS.join(', '));
  return vmm;
}

function readSignature(vmm: Vmm, { vcpuType, vcpuSig }: MeasureSnpOptions): number {
  const given = vcpuType !== undefined || vcpuSig !== undefined;
  if (!usesSignature(vmm)) {
    if (given) throw usage('vcpu-type', `nothing with --vmm ${vmm}, which shows no processor at launch`);
    return 0;
  }
  if (vcpuType !== undefined && vcpuSig !== undefined) throw usage('vcpu-sig', 'a type or a signature, not both');
  if (vcpuSig !== undefined) return readInteger('vcpu-sig', vcpuSig, 0, 0xffff_ffff);
  const signature = vcpuType === undefined ? null : vcpuSignature(vcpuType);
  if (signature === null) throw usage('vcpu-type', `${VCPU_TYPES.join(', ')}, with or without -v1…; or --vcpu-sig`);
  return signature;
}

function readInteger(flag: string, text: string, least: number, most: number): number {
  const value = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw usage(flag, `a number from ${least} to ${most}`);
  return value;
}

/** One build may be launched in several shapes, all of which its reference value lists. */
function readShapes(text: string): readonly number[] {
  const shapes = text.split(',').map((one) => readInteger('vcpus', one, 1, MAX_VCPUS));
  if (shapes.length > MAX_SHAPES || new Set(shapes).size !== shapes.length)
    throw usage('vcpus', `up to ${MAX_SHAPES} different numbers, such as 1,2,4`);
  return shapes;
}

function readFeatures(text: string): bigint {
  const value = /^(?:0x)?[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text.replace(/^0x/i, '')}`) : 0n;
  if ((value & SNP_ACTIVE) === 0n) throw usage('guest-features', 'SEV_FEATURES in hexadecimal, with bit 0 (SNPActive)');
  return value;
}

function readBytes<N extends number>(flag: string, text: string, length: N): Bytes<N> {
  const value = fromHex(text);
  if (value?.length !== length) throw usage(flag, `${length} bytes in hexadecimal`);
  return value as Bytes<N>;
}

async function readKernel({ kernel, initrd, append }: MeasureSnpOptions): Promise<KernelHashes | null> {
  if (kernel !== undefined)
    return hashKernel(
      await readInput(kernel),
      initrd === undefined ? new Uint8Array() : await readInput(initrd),
      append ?? '',
    );
  if (initrd !== undefined || append !== undefined) throw usage('kernel', 'a kernel for the initrd and command line');
  return null;
}

interface Identity {
  readonly idKeyDigest: Bytes<48> | null;
  readonly authorKeyDigest: Bytes<48> | null;
  readonly block: IdBlock | null;
}

/** From the ID block that the launch will be given, or from the keys alone. */
async function readIdentity(
  { idBlock, idAuth, idKey, authorKey }: MeasureSnpOptions,
  launches: readonly { readonly measurement: Bytes<48> }[],
): Promise<Identity> {
  if (idBlock === undefined && idAuth === undefined) {
    if (authorKey !== undefined && idKey === undefined) throw usage('id-key', 'the ID key that the author vouches for');
    return {
      idKeyDigest: idKey === undefined ? null : await readKeyDigest('id-key', idKey),
      authorKeyDigest: authorKey === undefined ? null : await readKeyDigest('author-key', authorKey),
      block: null,
    };
  }
  if (idKey !== undefined || authorKey !== undefined) throw usage('id-key', 'an ID block or its keys, not both');
  if (idBlock === undefined || idAuth === undefined) throw usage('id-block', 'both --id-block and --id-auth');
  const block = readIdBlock(await readStructure(idBlock), await readStructure(idAuth));
  if (!launches.some(({ measurement }) => equalBytes(measurement, block.launchDigest)))
    throw new EvidenceError('MEASUREMENT_UNKNOWN', `id-block: is for launch digest ${hex(block.launchDigest)}`, {
      field: 'id-block.launchDigest',
    });
  return { idKeyDigest: block.idKeyDigest, authorKeyDigest: block.authorKeyDigest, block };
}

/** Binary, or in base64 as QEMU takes them. */
async function readStructure(file: string): Promise<Uint8Array> {
  const content = await readInput(file);
  try {
    return fromBase64(fromUtf8(content).trim()) ?? content;
  } catch {
    return content; // not text
  }
}

async function readKeyDigest(flag: string, file: string): Promise<Bytes<48>> {
  const key = publicKey(await readInput(file));
  const amd = key && amdKey(key);
  if (!amd) throw usage(flag, 'a P-384 key in PEM');
  return keyDigest(amd);
}

/** What is wrong with a key that cannot be read is not said: it may be a private one. */
function publicKey(pem: Uint8Array): KeyObject | null {
  try {
    return createPublicKey(Buffer.from(pem));
  } catch {
    return null;
  }
}
