/** What CPUID leaf 1 says in EAX for QEMU's processor models (QEMU, target/i386/cpu.c; AMD 25481 for the packing). */

interface Model {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

const MODELS: ReadonlyMap<string, Model> = new Map([
  ['EPYC', { family: 23, model: 1, stepping: 2 }],
  ['EPYC-Rome', { family: 23, model: 49, stepping: 0 }],
  ['EPYC-Milan', { family: 25, model: 1, stepping: 1 }],
  ['EPYC-Genoa', { family: 25, model: 17, stepping: 0 }],
  ['EPYC-Turin', { family: 26, model: 0, stepping: 0 }],
]);

export const VCPU_TYPES: readonly string[] = [...MODELS.keys()];

/** Families beyond 15 are written as 15 and the rest. */
const pack = ({ family, model, stepping }: Model): number =>
  ((family - 0xf) << 20) | ((model >> 4) << 16) | (0xf << 8) | ((model & 0xf) << 4) | stepping;

/** QEMU's versions of a model (`EPYC-v4`, `EPYC-IBPB`) differ in features, not in what they call themselves; null: unknown. */
export function vcpuSignature(type: string): number | null {
  const model = MODELS.get(type.replace(/-(?:v\d{1,2}|IBPB)$/, ''));
  return model ? pack(model) : null;
}
