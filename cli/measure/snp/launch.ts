/** A whole launch: the firmware, the pages its metadata lists, one VMSA for each vCPU; in this order (virtee/sev-snp-measure). */
import { type Bytes, EvidenceError } from '@veritee/protocol';
import { type KernelHashes, kernelHashesPage } from './kernel-hashes.ts';
import { type EmptyPage, LaunchDigest, PAGE_BYTES } from './launch-digest.ts';
import type { Ovmf, OvmfSection, SectionKind } from './ovmf.ts';
import { type Vmm, vmsaPage } from './vmsa.ts';

export interface Launch {
  /** The image may be left out where `ovmfDigest` stands for it. */
  readonly ovmf: Omit<Ovmf, 'image' | 'gpa'>;
  /** The launch digest after the firmware's own pages, see `digestOvmf`. */
  readonly ovmfDigest: Bytes<48>;
  /** Null: the guest boots from a disk, whose contents are not measured. */
  readonly kernel: KernelHashes | null;
  readonly vcpus: number;
  readonly vmm: Vmm;
  readonly sevFeatures: bigint;
  readonly signature: number;
}

export function digestOvmf({ gpa, image }: Pick<Ovmf, 'gpa' | 'image'>): Bytes<48> {
  const digest = new LaunchDigest();
  digest.normalPages(gpa, image);
  return digest.value;
}

/** Whether a kernel given to the hypervisor comes under the launch digest. */
export const measuresKernel = ({ sections, hashTableGpa }: Launch['ovmf']): boolean =>
  hashTableGpa !== null && sections.some(({ kind }) => kind === 'kernel-hashes');

/**
 * MEASUREMENT as a report of this launch will state it.
 *
 * @throws EvidenceError EVIDENCE_UNSUPPORTED a kernel for firmware that measures none: the digest would not cover it;
 *   EVIDENCE_MALFORMED the firmware's tables place the hashes where they cannot be
 */
export function measureLaunch({ ovmf, ovmfDigest, kernel, vcpus, vmm, sevFeatures, signature }: Launch): Bytes<48> {
  if (kernel && !measuresKernel(ovmf))
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', 'ovmf: measures no kernel; build OvmfPkg/AmdSev/AmdSevX64.dsc', {
      field: 'ovmf',
    });
  const digest = new LaunchDigest(ovmfDigest);
  for (const section of inLaunchOrder(ovmf.sections, vmm)) addSection(digest, section, ovmf.hashTableGpa, kernel, vmm);
  for (let i = 0; i < vcpus; i++)
    digest.vmsaPage(vmsaPage({ vmm, resetEip: i === 0 ? null : ovmf.resetEip, sevFeatures, signature }));
  return digest.value;
}

const isEc2 = (vmm: Vmm): boolean => vmm === 'ec2' || vmm === 'ec2-v1';

/** EC2 hands over the CPUID page last. */
const inLaunchOrder = (sections: readonly OvmfSection[], vmm: Vmm): readonly OvmfSection[] =>
  isEc2(vmm)
    ? [...sections.filter(({ kind }) => kind !== 'cpuid'), ...sections.filter(({ kind }) => kind === 'cpuid')]
    : sections;

function addSection(
  digest: LaunchDigest,
  { kind, gpa, size }: OvmfSection,
  hashTableGpa: number | null,
  kernel: KernelHashes | null,
  vmm: Vmm,
): void {
  if (kind === 'kernel-hashes' && kernel) {
    if (hashTableGpa === null || size !== PAGE_BYTES || Math.floor(hashTableGpa / PAGE_BYTES) * PAGE_BYTES !== gpa)
      throw new EvidenceError('EVIDENCE_MALFORMED', 'ovmf: hash table: outside its section', { field: 'ovmf' });
    digest.normalPages(gpa, kernelHashesPage(kernel, hashTableGpa % PAGE_BYTES));
  } else digest.emptyPages(emptyPage(kind, vmm), gpa, size);
}

function emptyPage(kind: SectionKind, vmm: Vmm): EmptyPage {
  switch (kind) {
    case 'secrets':
    case 'cpuid':
      return kind;
    case 'sec-mem': // GCE leaves to the guest what others hand over as zeros
      return vmm === 'gce' ? 'unmeasured' : 'zero';
    case 'svsm-caa':
    case 'kernel-hashes':
      return 'zero';
  }
}
