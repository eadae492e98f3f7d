/**
 * The registers a vCPU starts with, as the page that is measured: AMD APM vol. 2 (24593), appendix B, table B-4, "VMSA
 * layout". Hypervisors agree on the reset state but for a few registers; every byte not named here is 0.
 */
import { PAGE_BYTES } from './launch-digest.ts';

/** Where the first vCPU begins: the architectural reset vector. */
const RESET_VECTOR = 0xffff_fff0;

/** `ec2-v1`: EC2 until spring 2026; hosts changed over one by one. */
export const VMMS = ['qemu', 'ec2', 'ec2-v1', 'gce'] as const;
export type Vmm = (typeof VMMS)[number];

interface Registers {
  /** Segment attributes. */
  readonly csAtReset: number;
  readonly cs: number;
  readonly ss: number;
  readonly tr: number;
  readonly gPat: bigint;
  /** `signature`: what CPUID leaf 1 says in EAX, as the architecture has it at reset. */
  readonly rdx: number | 'signature';
  readonly mxcsr: number;
  readonly fcw: number;
}

const PAT_AT_RESET = 0x0007_0406_0007_0406n;
const QEMU: Registers = {
  csAtReset: 0x9b,
  cs: 0x9b,
  ss: 0x93,
  tr: 0x8b,
  gPat: PAT_AT_RESET,
  rdx: 'signature',
  mxcsr: 0x1f80,
  fcw: 0x37f,
};
const EC2: Registers = { ...QEMU, csAtReset: 0x9a, ss: 0x92, tr: 0x83, rdx: 0x600, mxcsr: 0, fcw: 0 };
const REGISTERS: Readonly<Record<Vmm, Registers>> = {
  qemu: QEMU,
  ec2: EC2,
  'ec2-v1': { ...EC2, rdx: 0 },
  gce: { ...QEMU, gPat: 0x0007_0106n, rdx: 0x600, mxcsr: 0, fcw: 0 },
};

/** EC2 and GCE start every guest alike, whatever processor they show it. */
export const usesSignature = (vmm: Vmm): boolean => REGISTERS[vmm].rdx === 'signature';

export interface VmsaInput {
  readonly vmm: Vmm;
  /** Null: the first vCPU. Otherwise where OVMF has the others begin. */
  readonly resetEip: number | null;
  /** SEV_FEATURES; bit 0, SNPActive, is always set. */
  readonly sevFeatures: bigint;
  /** CPUID leaf 1 EAX of the guest's processor model. */
  readonly signature: number;
}

export function vmsaPage({ vmm, resetEip, sevFeatures, signature }: VmsaInput): Uint8Array {
  const registers = REGISTERS[vmm];
  const eip = resetEip ?? RESET_VECTOR;
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  const segment = (at: number, selector: number, attributes: number, base: number): void => {
    view.setUint16(at, selector, true);
    view.setUint16(at + 2, attributes, true);
    view.setUint32(at + 4, 0xffff, true); // limit
    view.setBigUint64(at + 8, BigInt(base), true);
  };
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);

  segment(0x000, 0, 0x93, 0); // ES
  segment(0x010, 0xf000, eip === RESET_VECTOR ? registers.csAtReset : registers.cs, (eip & 0xffff_0000) >>> 0); // CS
  segment(0x020, 0, registers.ss, 0); // SS
  segment(0x030, 0, 0x93, 0); // DS
  segment(0x040, 0, 0x93, 0); // FS
  segment(0x050, 0, 0x93, 0); // GS
  segment(0x060, 0, 0, 0); // GDTR
  segment(0x070, 0, 0x82, 0); // LDTR
  segment(0x080, 0, 0, 0); // IDTR
  segment(0x090, 0, registers.tr, 0); // TR
  u64(0x0d0, 0x1000n); // EFER: SVME, which KVM sets
  u64(0x148, 0x40n); // CR4: MCE, which KVM sets
  u64(0x158, 0x10n); // CR0: ET
  u64(0x160, 0x400n); // DR7
  u64(0x168, 0xffff_0ff0n); // DR6
  u64(0x170, 0x2n); // RFLAGS
  u64(0x178, BigInt(eip & 0xffff)); // RIP
  u64(0x268, registers.gPat); // G_PAT
  u64(0x310, BigInt(registers.rdx === 'signature' ? signature : registers.rdx)); // RDX
  u64(0x3b0, sevFeatures); // SEV_FEATURES
  u64(0x3e8, 0x1n); // XCR0
  view.setUint32(0x408, registers.mxcsr, true); // MXCSR
  view.setUint16(0x410, registers.fcw, true); // X87_FCW
  return page;
}
