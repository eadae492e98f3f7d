/**
 * TCB_VERSION: eight bytes whose meaning depends on the product, never on the report version. Read in the wrong layout
 * they give plausible, wrong numbers, so the layout is part of the type.
 *
 * ```
 * byte          0           1           2    3    4..5      6         7
 * milan-genoa   BOOT_LOADER TEE         -    -    -         SNP       MICROCODE
 * turin         FMC         BOOT_LOADER TEE  SNP  -         -         MICROCODE
 * ```
 * @see AMD 56860 rev. 1.58, TCB_VERSION structure
 */
import { type Bytes, EvidenceError } from '@veritee/protocol';

export type SnpProduct = 'Milan' | 'Genoa' | 'Turin';
export type TcbLayout = 'milan-genoa' | 'turin';

interface TcbParts {
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}
export type Tcb =
  | (TcbParts & { readonly layout: 'milan-genoa' })
  | (TcbParts & { readonly layout: 'turin'; readonly fmc: number });

export const tcbLayoutOf = (product: SnpProduct): TcbLayout => (product === 'Turin' ? 'turin' : 'milan-genoa');

const RESERVED = { 'milan-genoa': [2, 3, 4, 5], turin: [4, 5, 6] } as const;

/** @throws EvidenceError EVIDENCE_MALFORMED a byte that the layout reserves is not zero */
export function parseTcb(raw: Bytes<8>, layout: TcbLayout, field = 'TCB_VERSION'): Tcb {
  for (const at of RESERVED[layout]) {
    if (raw[at] !== 0) {
      throw new EvidenceError('EVIDENCE_MALFORMED', `${field}: reserved byte ${at} is not zero`, { field });
    }
  }
  const [b0, b1, b2, b3, , , b6, b7] = raw as unknown as readonly [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return layout === 'turin'
    ? { layout, fmc: b0, bootloader: b1, tee: b2, snp: b3, microcode: b7 }
    : { layout, bootloader: b0, tee: b1, snp: b6, microcode: b7 };
}

/** Every part at least the minimum's, in the same layout. A TCB is never compared as one number. */
export function meetsTcb(actual: Tcb, minimum: Tcb): boolean {
  if (actual.layout === 'turin') {
    if (minimum.layout !== 'turin' || actual.fmc < minimum.fmc) return false;
  } else if (minimum.layout === 'turin') {
    return false;
  }
  return (
    actual.bootloader >= minimum.bootloader &&
    actual.tee >= minimum.tee &&
    actual.snp >= minimum.snp &&
    actual.microcode >= minimum.microcode
  );
}

export const equalTcb = (a: Tcb, b: Tcb): boolean => meetsTcb(a, b) && meetsTcb(b, a);

/** For people: `bootloader 4, tee 0, snp 24, microcode 219`. */
export function tcbText(tcb: Tcb): string {
  const fmc = tcb.layout === 'turin' ? `fmc ${tcb.fmc}, ` : '';
  return `${fmc}bootloader ${tcb.bootloader}, tee ${tcb.tee}, snp ${tcb.snp}, microcode ${tcb.microcode}`;
}
