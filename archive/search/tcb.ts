/** A floor under the security versions of a machine's firmware, part by part as AMD counts them. */
import type { EvidenceFacts } from '../store/port.ts';

export const TCB_PARTS = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const;

export interface Floor {
  /** `Milan`, `Genoa` or `Turin`: the same numbers mean other things on other dies. */
  readonly product: string;
  /** Parts that are not named may be anything. */
  readonly parts: Readonly<Record<string, number>>;
}

/** Whether REPORTED_TCB lies below the floor in some part; false for other products. */
export function isBelow({ product, tcb }: EvidenceFacts, floor: Floor): boolean {
  if (product !== floor.product || !tcb) return false;
  return Object.entries(floor.parts).some(([part, least]) => (tcb[part] ?? -1) < least);
}

/** Reads `Milan:snp=23,microcode=213`; null for anything else. */
export function parseFloor(text: string): Floor | null {
  const [, product = '', list = ''] = /^(Milan|Genoa|Turin):(.+)$/.exec(text) ?? [];
  const parts: Record<string, number> = {};
  for (const item of list.split(',')) {
    const [, part = '', number = ''] = /^([a-z]+)=(\d{1,3})$/.exec(item) ?? [];
    if (!(TCB_PARTS as readonly string[]).includes(part) || Object.hasOwn(parts, part) || Number(number) > 255)
      return null;
    parts[part] = Number(number);
  }
  return { product, parts };
}
